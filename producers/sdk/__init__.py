"""The SDK: metrics from a service to Kafka, in ten lines.

from producers.sdk import Headrace

async with Headrace("kafka:9092", tenant_id=TENANT, source="checkout") as metrics:
    await metrics.send("cpu_usage", 75.5, host="server-1")
    await metrics.send("http.requests", 1, {"http.method": "GET"})
    await metrics.flush()  # everything so far is in Kafka, or this raises

client ─→ series (rules, once a series)
   └────→ outbox (bounded, acknowledged or raised) ─→ producers.steady
"""

from producers.sdk.client import Batching, Headrace

__all__ = ["Batching", "Headrace"]
