"""What becomes of samples with age: rolled up, compressed or sorted, dropped; and how that stands.

`ports` says what there is to do, `postgresql` and `timescaledb` do it, each in its own way, and
`maintenance` does it by the names of its parts and keeps a record. All of it runs as headrace_owner.
Every step may be repeated, cancelled or killed: it is one transaction, or one that its repetition completes.
"""
