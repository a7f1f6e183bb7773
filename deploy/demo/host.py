"""Metrics of this machine, sent with the SDK: what a service's own metrics look like on their way."""

import asyncio
import platform
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple, Protocol

import psutil


class Reading(NamedTuple):
    """One value, with the labels that tell it from its siblings."""

    name: str
    value: float
    labels: dict[str, str]


class Metrics(Protocol):
    """What takes samples: `producers.sdk.Headrace`."""

    async def send(self, name: str, value: float, labels: dict[str, str], /) -> None:
        """Take a sample."""


def read_host(host: str = platform.node()) -> Iterator[Reading]:
    """The machine now: percent for usage, bytes for memory, disk and network.

    CPU usage is since the call before; the first call of a process gives 0 for it.
    """
    here = {"host": host}
    yield Reading("cpu_usage", psutil.cpu_percent(), here)
    for core, usage in enumerate(psutil.cpu_percent(percpu=True)):
        yield Reading("cpu_core_usage", usage, {**here, "core": str(core)})
    for minutes, load in zip((1, 5, 15), psutil.getloadavg(), strict=True):
        yield Reading("load_average", load, {**here, "minutes": str(minutes)})
    memory = psutil.virtual_memory()
    yield Reading("memory_usage", memory.percent, here)
    yield Reading("memory_available_bytes", memory.available, here)
    yield Reading("disk_usage", psutil.disk_usage("/").percent, {**here, "path": "/"})
    # None in a sandbox that hides the counters.
    if disk := psutil.disk_io_counters():
        yield Reading("disk_read_bytes_total", disk.read_bytes, here)
        yield Reading("disk_written_bytes_total", disk.write_bytes, here)
    if network := psutil.net_io_counters():
        yield Reading("network_received_bytes_total", network.bytes_recv, here)
        yield Reading("network_sent_bytes_total", network.bytes_sent, here)


class HostMetrics:
    """Sends what `read` gives, every `every` seconds, until cancelled; `sent` counts the samples."""

    def __init__(
        self,
        metrics: Metrics,
        *,
        every: float = 1.0,
        read: Callable[[], Iterator[Reading]] = read_host,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._metrics = metrics
        self._every = every
        self._read = read
        self._clock = clock
        self._pause = pause
        self.sent = 0

    async def run(self) -> None:
        """Send for ever. Raises what the SDK raises: earlier samples did not reach Kafka."""
        list(self._read())  # begins the first interval of CPU usage
        due = self._clock()
        while True:
            # From when it was due, so that the work between does not shift the rhythm; a machine that
            # is late skips readings rather than sending several at once.
            due = max(due + self._every, self._clock())
            await self._pause(due - self._clock())
            for reading in self._read():
                await self._metrics.send(*reading)
                self.sent += 1
