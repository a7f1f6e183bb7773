"""The tail of k6's file: everything that is written, until it is said that there will be no more."""

import asyncio
import json
import os
from pathlib import Path
from uuid import UUID

from producers.k6.envelopes import Envelope, Envelopes
from producers.k6.tail import Tail


def line(n: int) -> bytes:
    data = {"time": "2026-01-01T00:00:00Z", "value": n, "tags": {}}
    return json.dumps({"metric": "m", "type": "Point", "data": data}).encode() + b"\n"


def reading(path: Path, at: int = 0) -> tuple[int, Envelopes, Tail]:
    descriptor = os.open(path, os.O_RDONLY)
    envelopes = Envelopes(tenant_id=UUID(int=1), source="s", execution_id=UUID(int=2), at=at)
    return descriptor, envelopes, Tail(descriptor, envelopes, at)


async def rest(tail: Tail) -> list[Envelope]:
    found = []
    while (one := await tail.get()) is not None:
        found.append(one)
    return found


async def test_what_is_written_comes_out_before_the_end(tmp_path: Path) -> None:
    """A half line waits for its other half; points do not wait for their envelope to fill."""
    path = tmp_path / "points"
    path.touch()
    with path.open("ab", buffering=0) as file:
        descriptor, envelopes, tail = reading(path)
        taking = asyncio.create_task(tail.get())
        file.write(line(1) + line(2)[:20])
        first = await taking
        assert first is not None
        assert (first.points, first.end) == (1, len(line(1)))
        assert tail.begun.is_set()
        file.write(line(2)[20:] + line(3).rstrip())
        tail.close()
        assert sum(one.points for one in await rest(tail)) == 2
        assert (envelopes.points, envelopes.malformed) == (3, 0)
        os.close(descriptor)


async def test_a_cancelled_get_loses_nothing(tmp_path: Path) -> None:
    """The next one gets what the cancelled one had read."""
    path = tmp_path / "points"
    path.write_bytes(b"".join(map(line, range(5000))))
    descriptor, _, tail = reading(path)
    taking = asyncio.create_task(tail.get())
    await asyncio.sleep(0)
    taking.cancel()
    await asyncio.gather(taking, return_exceptions=True)
    assert taking.cancelled()
    tail.close()
    assert sum(one.points for one in await rest(tail)) == 5000
    os.close(descriptor)


async def test_a_successor_skims_what_is_delivered(tmp_path: Path) -> None:
    """What those lines declare is known; their points do not come again."""
    path = tmp_path / "points"
    metric = b'{"type":"Metric","data":{"type":"gauge"},"metric":"m"}\n'
    head = line(0) + metric + line(1)
    path.write_bytes(head + line(2))
    descriptor, envelopes, tail = reading(path, at=len(line(0)))
    tail.skim(len(head))
    assert envelopes.metrics == {"m": "gauge"}
    tail.close()
    (left,) = await rest(tail)
    assert (left.points, left.end) == (1, len(head + line(2)))
    assert envelopes.points == 2
    os.close(descriptor)
