"""Settle a run: what nothing was heard of is closed as incomplete; what is whole after all is opened again.

look where the topic ends → wait for ingest to get there → decide under a lock → start the post-test

Ingest may be behind a run that goes on, so silence counts only once it has stored all that there was.
"""
