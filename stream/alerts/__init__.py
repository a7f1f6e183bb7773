"""Evaluates rules as samples pass: the shell of `stream.core.engine`, with Kafka around it.

metrics.watched.v1 ─ ChunkedTransport ─> lanes (one a partition: engine + ledger)
                                         │ one Kafka transaction a chunk that changes something
                                         ▼
         alerts.states.v1 (states, and the position read) + alerts.transitions.v1
"""
