"""Writes to the database: COPY, offsets, the series dictionary, the ledger, runs, migrations.

The only room that holds SQL which changes measurements. Above `schemas`; knows no broker and no
framework. `stream` and `workflows` reach the database through the classes here.
"""
