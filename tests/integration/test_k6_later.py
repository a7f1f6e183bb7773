"""What reaches Kafka after the run: points that a bridge had to keep, and files of finished runs."""

import asyncio
import gzip
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiokafka.errors import OutOfOrderSequenceNumber

from producers.k6.bridge import Bridge
from producers.k6.delivery import Delivery
from producers.k6.doubt import RANGE_HEADER
from producers.k6.folder import Exit, RunFolder
from producers.k6.imports import ImportConfig, import_run
from producers.k6.outcome import RunResult
from producers.k6.run import resume_run
from producers.topics import create_topics
from schemas.envelopes import IMPORT_HEADER
from schemas.errors import Permanent
from schemas.runs import RunAborted, RunFinished, RunStarted
from schemas.topics import Topics
from tests.k6_runs import DATA, Bench, stored, written


@pytest.fixture
async def bench(kafka: str, topics: Topics, tmp_path: Path) -> Bench:
    await create_topics(kafka, topics.specs(4), 1)
    return Bench(kafka, topics, tmp_path)


@pytest.fixture
async def kept_run(bench: Bench) -> RunFolder:
    """A run that found no broker, kept on disk."""
    lines = gzip.decompress((DATA / "k6-1.1.0" / "run.json.gz").read_bytes()) * 60
    bench.truth.write_bytes(lines)
    folder = RunFolder.make(bench.folder / "spool", bench.manifest())
    folder.points.write_bytes(lines)
    ended = Exit(code=99, at=datetime.now(UTC))
    (folder.path / "exit.json").write_text(ended.model_dump_json())
    folder.close()
    return folder


async def test_a_kept_run_is_delivered_later(bench: Bench, kept_run: RunFolder) -> None:
    """All of it, in order, with both events; then the folder is gone."""
    result = await resume_run(kept_run.path, bench.bootstrap, say=bench.said.append)
    records = await bench.records()
    assert stored(records) == written(bench.truth.read_bytes())
    spans = [dict(one.headers)[RANGE_HEADER] for one in records]
    ends = [int(span.partition(b"/")[0].partition(b"-")[2]) for span in spans]
    starts = [int(span.partition(b"-")[0]) for span in spans]
    assert starts == [0, *ends[:-1]]
    assert ends[-1] == bench.truth.stat().st_size
    assert (result.exit_code, result.sent) == (99, stored(records).total())
    started, finished = await bench.events()
    assert isinstance(started, RunStarted)
    assert isinstance(finished, RunFinished)
    assert sum(one.points for one in finished.sent) == result.sent
    assert not kept_run.path.exists()


async def test_a_delivery_that_died_is_not_repeated(bench: Bench, kept_run: RunFolder) -> None:
    """Stopped halfway without a note of it, the next one asks the broker and sends only what is missing."""
    folder = RunFolder(kept_run.path)
    bridge = Bridge(folder, bench.bootstrap, bench.said.append, successor=True)
    delivering = asyncio.create_task(bridge.run())
    await _at_work(bridge, delivering)
    delivering.cancel()
    await asyncio.gather(delivering, return_exceptions=True)
    folder.close()
    (folder.path / "progress.json").unlink()
    total = written(bench.truth.read_bytes()).total()
    assert 0 < stored(await bench.records()).total() < total
    result = await resume_run(folder.path, bench.bootstrap, say=bench.said.append)
    records = await bench.records()
    assert stored(records) == written(bench.truth.read_bytes())
    assert (result.sent, result.partitions[0].last_offset) == (total, records[-1].offset)
    finished = (await bench.events())[-1]
    assert isinstance(finished, RunFinished)
    assert finished.metrics["http_req_duration"] == "trend"


async def test_a_producer_that_breaks_is_replaced(bench: Bench, kept_run: RunFolder) -> None:
    """What it had not acknowledged is looked for before it is sent again: no gap, nothing twice."""
    folder = RunFolder(kept_run.path)
    bridge = Bridge(folder, bench.bootstrap, bench.said.append, successor=True)
    delivering = asyncio.create_task(bridge.run())
    broken = 0
    while broken < 2 and (delivery := await _at_work(bridge, delivering)):
        if producer := delivery._connection._producer:  # noqa: SLF001 # no broker can be made to refuse a batch
            producer._message_accumulator.fail_all(OutOfOrderSequenceNumber())  # noqa: SLF001 # the same
            broken += 1
    result = await delivering
    assert broken
    assert stored(await bench.records()) == written(bench.truth.read_bytes())
    assert result.delivered
    assert result.sent == stored(await bench.records()).total()


async def _at_work(bridge: Bridge, running: "asyncio.Task[RunResult]") -> Delivery | None:
    """Its delivery, as soon as that has got further than now; None when it has ended."""
    delivery = bridge._delivery  # noqa: SLF001 # the moment matters
    before = delivery.points
    while delivery.points == before and not running.done():  # noqa: ASYNC110 # each turn counts
        await asyncio.sleep(0)
    return None if running.done() else delivery


async def test_a_kept_run_is_delivered_by_one_at_a_time(bench: Bench, kept_run: RunFolder) -> None:
    """The second is told, and the first finishes."""
    first = asyncio.create_task(resume_run(kept_run.path, bench.bootstrap, say=bench.said.append))
    await asyncio.sleep(0)
    with pytest.raises(Permanent, match="another process"):
        await resume_run(kept_run.path, bench.bootstrap, say=bench.said.append)
    await first
    assert stored(await bench.records()) == written(bench.truth.read_bytes())


async def test_what_is_published_already_is_not_published_again(
    bench: Bench, kept_run: RunFolder
) -> None:
    """A bridge that died between its last event and the end of its folder leaves nothing to send."""
    copy = bench.folder / "copy"
    shutil.copytree(kept_run.path, copy)
    await resume_run(kept_run.path, bench.bootstrap, say=bench.said.append)
    records, events = await bench.records(), await bench.events()
    assert (await resume_run(copy, bench.bootstrap, say=bench.said.append)).delivered
    assert (await bench.records(), await bench.events()) == (records, events)
    assert not copy.exists()


async def test_a_k6_that_never_started_leaves_no_run(bench: Bench) -> None:
    """A bridge that died between its manifest and k6's first point: nothing to deliver, nothing said."""
    folder = RunFolder.make(bench.folder / "spool", bench.manifest())
    folder.close()
    result = await resume_run(folder.path, bench.bootstrap, say=bench.said.append)
    assert (result.recorded, result.delivered) == (False, True)
    assert await bench.events() == []
    assert not folder.path.exists()


async def test_points_that_k6_could_not_write_are_reported(
    bench: Bench, kept_run: RunFolder
) -> None:
    """A file that ends in half a line, though k6 ended by itself, is no whole run."""
    with kept_run.points.open("ab") as file:
        file.write(b'{"metric":"http_reqs","type":"Po')
    result = await resume_run(kept_run.path, bench.bootstrap, say=bench.said.append)
    assert (result.delivered, result.kept) == (False, None)
    assert "ARE LOST" in result.problem
    assert isinstance((await bench.events())[-1], RunAborted)
    assert stored(await bench.records()) == written(bench.truth.read_bytes())


@pytest.mark.parametrize("version", ["0.57.0", "1.1.0", "2.0.0"])
async def test_an_import_is_the_run_with_its_own_times(bench: Bench, version: str) -> None:
    """Points, verdicts and times are the file's; the header lets ingest take times of any age."""
    folder = DATA / f"k6-{version}"
    summary = json.loads((folder / "summary.json").read_bytes())
    result = await import_run(
        _importing(bench, folder / "run.json.gz", summary=summary), say=print, progress=_ignore
    )
    truth = written(gzip.decompress((folder / "run.json.gz").read_bytes()))
    records = await bench.records()
    assert stored(records) == truth
    assert all(dict(record.headers)[IMPORT_HEADER] == b"1" for record in records)
    started, finished = await bench.events()
    assert isinstance(finished, RunFinished)
    assert (started.at.isoformat()[:19], finished.at.isoformat()[:19]) == (
        min(point[2] for point in truth)[:19],
        max(point[2] for point in truth)[:19],
    )
    assert (finished.exit_code, result.exit_code) == (99, 99)
    assert {one.k6_passed for one in finished.thresholds} == {True, False}


@pytest.mark.parametrize("version", ["0.57.0", "1.1.0", "2.0.0"])
async def test_an_import_of_csv_is_the_same_run(bench: Bench, version: str) -> None:
    """Counts, types, thresholds and verdicts are those of the JSON file; tags and `keep_raw` are told."""
    folder = DATA / f"k6-{version}"
    summary = json.loads((folder / "summary.json").read_bytes())
    for name in ("json", "csv"):
        config = _importing(
            bench,
            folder / f"run.{name}.gz",
            summary=summary,
            tags={"branch": "main"},
            keep_raw=True,
        )
        assert (await import_run(config, say=print, progress=_ignore)).read == 724
    _, by_json, started, by_csv = await bench.events()
    assert isinstance(by_json, RunFinished)
    assert isinstance(by_csv, RunFinished)
    assert by_csv.metrics == by_json.metrics
    # Only JSON says which threshold aborts.
    assert [(t.metric, t.expression, t.k6_passed) for t in by_csv.thresholds] == [
        (t.metric, t.expression, t.k6_passed) for t in by_json.thresholds
    ]
    assert by_csv.sent[0].points == by_json.sent[0].points == 724
    assert isinstance(started, RunStarted)
    assert (started.tags, started.keep_raw) == ({"branch": "main"}, True)


async def test_the_same_content_is_imported_once(bench: Bench, tmp_path: Path) -> None:
    """Packed or not, under whatever name: the second import is refused, unless it is given an id."""
    packed = DATA / "k6-1.1.0" / "run.json.gz"
    plain = tmp_path / "other.txt"
    plain.write_bytes(gzip.decompress(packed.read_bytes()))
    first = await import_run(_importing(bench, packed), say=print, progress=_ignore)
    with pytest.raises(Permanent, match=str(first.execution_id)):
        await import_run(_importing(bench, plain), say=print, progress=_ignore)
    again = _importing(bench, plain, execution_id=uuid4())
    assert (await import_run(again, say=print, progress=_ignore)).delivered


@pytest.mark.parametrize("out", ["json", "csv"])
async def test_an_interrupted_import_goes_on(bench: Bench, tmp_path: Path, out: str) -> None:
    """The second attempt sends exactly what the first did not."""
    file = tmp_path / "run"
    file.write_bytes(gzip.decompress((DATA / "k6-1.1.0" / f"run.{out}.gz").read_bytes()) * 100)
    size = file.stat().st_size
    loop = asyncio.get_running_loop()
    passes = 0

    def stop_in_the_second_half(done: int, _total: int) -> None:
        nonlocal passes
        passes += done == size
        if passes == 1 and size / 2 < done < size:
            loop.call_soon_threadsafe(importing.cancel)

    config = _importing(bench, file)
    importing = asyncio.create_task(import_run(config, say=print, progress=stop_in_the_second_half))
    with pytest.raises(asyncio.CancelledError):
        await importing
    assert 0 < stored(await bench.records()).total() < 72_400
    result = await import_run(config, say=print, progress=_ignore)
    assert stored(await bench.records()).total() == 72_400
    if out == "json":
        assert stored(await bench.records()) == written(file.read_bytes())
    assert (result.read, result.sent) == (72_400, 72_400)


async def test_a_file_without_points_is_refused(bench: Bench, tmp_path: Path) -> None:
    """The error names the file and says what is wanted; nothing is published."""
    for content in (b"", b"metric_name,timestamp\n", b"\x1f\x8bbroken"):
        file = tmp_path / "run.json"
        file.write_bytes(content)
        with pytest.raises(Permanent, match=r"run\.json"):
            await import_run(_importing(bench, file), say=print, progress=_ignore)
    assert await bench.events() == []


def _importing(bench: Bench, file: Path, **given: Any) -> ImportConfig:
    return ImportConfig(bench.bootstrap, bench.topics, bench.tenant_id, file, **given)


def _ignore(_done: int, _total: int) -> None:
    pass
