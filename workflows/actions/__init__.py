"""What the steps of a playbook do, each kind in a module; `actions` chooses.

Each is given data that was filled in from the alert, never a text to be interpreted again. Raises Invalid
for what fails for good, Temporary for what may pass; returns what the audit trail shows.
"""
