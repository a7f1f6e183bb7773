"""Faust applications: `ingest` moves samples from Kafka to the database, `alerts` evaluates rules on them.

May import `schemas` and `sinks`; broker clients live here, rules and formats do not.
"""
