"""Ingestion: chunks of raw records in, exact rows out.

chunks.py        Faust hands over one event per fetched chunk, from the offsets of the database
decode.py        records → columns and rejects (json_records.py, arrow_records.py)
pipeline.py      decodes the next batch while this one is written; retries outages for ever
dead_letters.py  what can't be stored goes to its own topic before the batch commits
app.py           the Faust application; watchdog.py ends a process that is stuck
"""
