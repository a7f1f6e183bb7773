"""Makes Kafka producers, and says what their acknowledgement is worth.

A record handed to `await producer.send(…)` ends in exactly one of these ways:

- `send` raises: the record was not taken over and never reaches the broker. Sending it again is safe.
- The future that `send` returned has a result: the record is in the log once, on all in-sync replicas
  (`acks=all`, idempotence), at the offset that the result names.
- The future raises: the broker refused the record for a reason that no retry mends (too large, not
  authorised), or the producer itself broke. The record is not acknowledged and **the producer is of no
  further use**: aiokafka numbers a batch when it first sends it and never takes the number back, so the
  broker refuses every later batch of that partition (OutOfOrderSequenceNumber). Make a new producer,
  as `producers.steady` does.
- The future waits: the broker is away, hung or without a leader. It is retried with the same sequence
  number, for minutes or days, until one of the above; the broker recognises a batch whose first answer
  got lost, after a crash too, because the numbers are in its log. So an outage neither loses nor
  doubles. A caller that can't wait sets its own deadline; the record may still arrive after it.

Order is kept within a partition: one request a broker is in flight.
"""

import asyncio
import contextlib
import math

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.errors import Temporary
from schemas.topics import MAX_RECORD_BYTES

LINGER_MS = 10
"""For more records of a batch, where nobody waits for the first."""

_RECORD_ROOM = 4096
"""Bytes that key, headers and framing may take beside the value."""

_BATCH_BYTES = 512 * 1024
"""One batch a partition fills while another is in flight: two of these a partition bound the memory.
Below the broker's limit of 1 MiB a batch; a single record may be larger than this and travels alone."""

_REQUEST_TIMEOUT_MS = 15_000
"""How long a silent broker keeps a connection before the batch is retried on another. Not a limit of
delivery: see the module's text."""

_RETRY_BACKOFF_MS = 250
"""Between attempts while the broker is away; aiokafka's 100 ms log three lines each."""


def make_producer(
    bootstrap: str,
    *,
    client_id: str,
    linger_ms: int = LINGER_MS,
    max_record_bytes: int = MAX_RECORD_BYTES,
    compress: bool = True,
) -> AIOKafkaProducer:
    """An idempotent producer that retries for ever; not started, made for the running event loop.

    `start()` raises KafkaConnectionError while no broker answers; stop() the producer then too.
    `max_record_bytes` bounds a record's value; raise it only for topics with a larger max.message.bytes.
    Values that are compressed already go without `compress`.
    """
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        client_id=client_id,
        enable_idempotence=True,
        acks="all",
        # A fifth of lz4's CPU in this client, and smaller.
        compression_type="zstd" if compress else None,
        linger_ms=linger_ms,
        max_batch_size=_BATCH_BYTES,
        max_request_size=max_record_bytes + _RECORD_ROOM,
        request_timeout_ms=_REQUEST_TIMEOUT_MS,
        retry_backoff_ms=_RETRY_BACKOFF_MS,
    )
    # aiokafka expires even an idempotent batch when it is older than a request timeout and its partition
    # has no leader, as for a moment after a broker's restart: the batch is lost and, its number being
    # used up, so is every later one. There is no public setting; the version is pinned for this line.
    producer._message_accumulator._batch_ttl = math.inf  # noqa: SLF001 # reason above
    return producer


async def close_producer(producer: AIOKafkaProducer, *, timeout: float) -> None:  # noqa: ASYNC109 # a budget, spent on two steps
    """Flush and close within `timeout` seconds and two more, whatever state the broker is in.

    Raises:
        Temporary: the broker did not acknowledge all in time. The futures of what is left raise.
    """
    stopping = asyncio.ensure_future(producer.stop())
    done, _ = await asyncio.wait({stopping}, timeout=timeout)
    if done:
        stopping.result()
        return
    late = Temporary(f"Kafka did not acknowledge everything within {timeout:g} s of closing.")
    # stop() waits for ever for a broker that is away. Failing the batches lets it go on.
    producer._message_accumulator.fail_all(KafkaError(str(late)))  # noqa: SLF001 # stop() has no timeout
    await asyncio.wait({stopping}, timeout=1)
    if not stopping.done():
        # The sender waits for a request to a silent broker; nobody waits for its outcome any more.
        stopping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await stopping
        # A socket full of bytes that nobody reads never closes by itself.
        await asyncio.wait({asyncio.ensure_future(producer.client.close())}, timeout=1)
    raise late
