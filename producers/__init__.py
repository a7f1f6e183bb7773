"""Puts records on Kafka: the SDK for services, the HTTP gateway, the k6 bridge.

    sdk, gateway, k6 ─→ publisher ─→ kafka ─→ the broker

This room knows `schemas` and nothing else of ours: what a sample may be is decided there, once, for
every producer and for ingest. No producer writes to the database.
"""
