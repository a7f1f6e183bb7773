"""Metrics of the host: what is read, and when it is sent."""

import itertools
from collections.abc import Iterator

import pytest

from deploy.demo.host import HostMetrics, Reading, read_host
from schemas.samples import check_labels, check_name, check_value


class _Stop(Exception):
    pass


class _Taken:
    """Takes samples as the SDK does."""

    def __init__(self) -> None:
        self.samples: list[Reading] = []

    async def send(self, name: str, value: float, labels: dict[str, str], /) -> None:
        self.samples.append(Reading(name, value, labels))


def test_readings_of_this_machine_are_samples_that_ingest_takes() -> None:
    """Names, labels and values keep the rules, and no two readings are the same series."""
    readings = list(read_host("here"))
    for name, value, labels in readings:
        check_name(name)
        check_labels(labels)
        check_value(value)
        assert labels["host"] == "here"
    series = {(name, *sorted(labels.items())) for name, _, labels in readings}
    assert len(series) == len(readings)
    assert {"cpu_usage", "memory_usage", "disk_usage", "load_average"} <= {r.name for r in readings}


async def test_readings_go_out_in_rhythm_and_a_late_one_is_not_caught_up() -> None:
    """Every second from when it was due; after a pause of the machine there is one reading, not four."""
    # When each look at the clock happens: at the start, then twice a round.
    times = iter([0.0, 0.2, 0.2, 1.1, 1.1, 5.3, 5.3, 5.4, 5.4])
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(round(seconds, 3))
        if len(pauses) == 4:
            raise _Stop

    numbers = itertools.count()

    def read() -> Iterator[Reading]:
        yield Reading("n", next(numbers), {})

    taken = _Taken()
    host = HostMetrics(taken, read=read, clock=lambda: next(times), pause=pause)
    with pytest.raises(_Stop):
        await host.run()
    assert pauses == [0.8, 0.9, 0.0, 0.9]
    assert [sample.value for sample in taken.samples] == [1, 2, 3]
    assert host.sent == 3
