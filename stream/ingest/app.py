"""The Faust application: one agent that hands chunks to who takes them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import faust
from mode import CrashingSupervisor

from stream.ingest.chunks import ChunkedTransport, Positions
from stream.ingest.pipeline import Delivered


@dataclass(frozen=True)
class Consuming:
    """What to read, and how eagerly."""

    kafka: str
    """Bootstrap servers, host:port with commas between."""
    group: str
    topic: str
    fetch_bytes: int = 1 << 20
    """Of one partition in one fetch. Larger is a little faster and much larger in memory."""


class Taker(Protocol):
    """Takes chunks in the order of their offsets, and acknowledges each when it is done."""

    async def put(self, delivered: Delivered) -> None:
        """Take a chunk; waits for room."""
        ...


def create_app(consuming: Consuming, positions: Positions, taker: Taker, datadir: Path) -> Any:
    """Build the application; `await app.start()` joins the consumer group."""
    app = faust.App(
        consuming.group,
        broker=[f"kafka://{server}" for server in consuming.kafka.split(",")],
        datadir=datadir,
        store="memory://",
        web_enabled=False,
        topic_disable_leader=True,
        # A worker that waits for its database must stay in the group however long that takes.
        broker_max_poll_interval=1e8,
        broker_session_timeout=6.0,
        broker_rebalance_timeout=10.0,
        broker_heartbeat_interval=2.0,
        broker_commit_interval=2.0,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=consuming.fetch_bytes,
        stream_buffer_maxsize=4,
        stream_recovery_delay=0.0,  # for tables, of which there are none here
        # A retried record would be a second delivery of a chunk: the pipeline retries by itself.
        stream_wait_empty=False,
    )
    transport = ChunkedTransport(app.conf.broker_consumer, app)
    transport.positions = positions
    transport.topic = consuming.topic
    app.transport = transport
    topic = app.topic(
        consuming.topic, value_type=None, value_serializer="raw", key_serializer="raw"
    )

    # A crash ends the process: an agent restarted by itself would keep its batch and never ack it.
    @app.agent(topic, concurrency=1, supervisor_strategy=CrashingSupervisor)
    async def take(stream: Any) -> None:
        async for event in stream.noack().events():
            await taker.put(Delivered(event.value, event.ack))

    return app
