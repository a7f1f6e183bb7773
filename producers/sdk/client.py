"""The client: takes samples, fills envelopes, and raises whatever did not reach Kafka."""

import asyncio
import contextlib
import numbers
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Self, cast
from uuid import UUID

from producers.envelopes import pack, record_key
from producers.sdk.outbox import Outbox
from producers.sdk.series import SeriesCache
from producers.steady import SteadyProducer
from schemas.envelopes import LooseSample
from schemas.errors import Invalid, Temporary
from schemas.samples import Value, check_source, check_value
from schemas.topics import Topics


@dataclass(frozen=True)
class Batching:
    """When an envelope is sent, and how much may wait."""

    samples: int = 100
    """The sweet spot of ingest: larger envelopes gain little, smaller ones cost it a record each."""
    bytes: int = 64 * 1024
    linger: float = 0.05
    """Seconds that a sample waits for company."""
    buffer: int = 8 * 1024 * 1024
    """Bytes that may wait for the broker, beyond which `send` waits: about 90,000 samples."""
    connect: float = 30.0
    """Seconds in which a broker must answer when the client is opened."""
    close: float = 30.0
    """Seconds in which the broker must acknowledge the rest when the client is closed."""


class Headrace:
    """Sends samples of one tenant and source; one event loop, any number of tasks.

    Nothing is lost in silence: samples that Kafka refused are told by the next `send`, `flush` or close,
    whichever comes first, as Temporary (send them again) or Permanent (a person must act). An outage of
    the broker refuses nothing: samples wait, then `send` waits, and each is stored once.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        tenant_id: UUID | str,
        source: str,
        topic: str = Topics().samples,
        batching: Batching = Batching(),
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`clock` gives seconds since the epoch. Raises Invalid for a bad source."""
        check_source(source)
        self._tenant_id = str(UUID(str(tenant_id)))
        self._source = source
        self._batching = batching
        self._clock = clock
        self._series = SeriesCache()
        self._producer = SteadyProducer(bootstrap, [topic], client_id=f"headrace-sdk-{source}")
        self._outbox = Outbox(
            self._producer, topic, record_key(self._tenant_id, source), capacity=batching.buffer
        )
        self._open: list[LooseSample] = []
        self._open_bytes = 0
        self._linger: asyncio.TimerHandle | None = None
        self._sending: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Connect. Raises Temporary when no broker answers within `Batching.connect` seconds."""
        self._producer.start()
        try:
            async with asyncio.timeout(self._batching.connect):
                await self._producer.connected()
        except TimeoutError:
            problem = self._producer.problem
            await self._producer.close(timeout=0)
            raise Temporary(problem) from None
        self._sending = asyncio.create_task(self._outbox.run())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close; see `close`."""
        await self.close()

    async def send(
        self,
        name: str,
        value: Value,
        labels: Mapping[str, str] | None = None,
        /,
        *,
        timestamp: datetime | None = None,
        **more_labels: str,
    ) -> None:
        """Take a sample; waits only while the buffer is full. It is sent when its envelope is full or old.

        Labels come as a mapping, as keywords, or both. `timestamp` is aware; absent, it is now.

        Raises:
            Invalid: the sample breaks a rule of `schemas.samples`; its text says which.
            Temporary, Permanent: earlier samples were not stored; this one was not taken.
        """
        if self._outbox.calls:
            await self._outbox.answer()
        if labels is None:
            labels = more_labels
        elif more_labels:
            labels = {**labels, **more_labels}
        series = self._series.find(name, labels)
        size = series.size
        if type(value) is not float or not -_HUGE < value < _HUGE:
            value = _plain(value)
            if isinstance(value, str):
                size += 2 * len(value)
        millis = int(self._clock() * 1000) if timestamp is None else _millis(timestamp)
        self._open.append(LooseSample(series.name, value, series.labels, millis))
        self._open_bytes += size
        if len(self._open) >= self._batching.samples or self._open_bytes >= self._batching.bytes:
            self._seal()
            await asyncio.sleep(0)  # a caller in a tight loop would not let the envelope go out
        elif self._linger is None:
            self._linger = asyncio.get_running_loop().call_later(self._batching.linger, self._seal)

    async def flush(self) -> None:
        """Wait until everything sent so far is acknowledged by the broker.

        Raises:
            Temporary, Permanent: some of it was not stored.
        """
        self._seal()
        await self._outbox.settled()
        self._outbox.check()

    async def close(self) -> None:
        """Flush and disconnect; calling it again does nothing.

        Raises:
            Temporary: samples were not stored, or not acknowledged within `Batching.close` seconds.
            Permanent: Kafka refused samples.
        """
        if self._sending is None:
            return
        self._seal()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._batching.close):
                await self._outbox.settled()
        left = self._outbox.unsettled
        self._sending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._sending
        self._sending = None
        with contextlib.suppress(Temporary):  # told below, with the number of samples
            await self._producer.close(timeout=1)
        if left:
            raise Temporary(
                f"Kafka did not acknowledge {left} samples within {self._batching.close:g} s of closing; "
                "some of them may be stored."
            )
        self._outbox.check()

    def _seal(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        samples, self._open, self._open_bytes = self._open, [], 0
        for record, count in pack(
            self._tenant_id, self._source, samples, most=self._batching.samples
        ):
            self._outbox.put(record, count)


_HUGE = float("inf")


def _plain(value: object) -> Value:
    """The checked value as a type that JSON knows: NumPy's numbers and other subclasses are not."""
    if isinstance(value, numbers.Real) and not isinstance(value, int):
        value = float(value)
    check_value(value)
    if isinstance(value, str):
        return str(value)
    return value if isinstance(value, bool | float) else int(cast("int", value))


def _millis(moment: datetime) -> int:
    if moment.tzinfo is None:
        raise Invalid("bad_timestamp", f"timestamp {moment.isoformat()} needs a time zone")
    return round(moment.timestamp() * 1000)
