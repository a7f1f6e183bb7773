"""Remediation: what a playbook says is done about an alert, once, within its guards, and written down.

open (decide, in the database) → approval → steps → verify that the alert resolves → or escalate

One workflow an alert, at most. The database decides: which incidents are remedied (guards, caps, one row
an incident), whether a step may begin, how often. The workflow only waits, and keeps the order.
"""
