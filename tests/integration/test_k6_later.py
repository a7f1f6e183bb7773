"""What reaches Kafka after the run: points that a bridge had to keep, and files of finished runs."""

import asyncio
import gzip
import json
import os
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiokafka.errors import OutOfOrderSequenceNumber

from producers.k6 import kept
from producers.k6.delivery import Delivery
from producers.k6.doubt import SEQUENCE_HEADER
from producers.k6.imports import ImportConfig, import_run
from producers.k6.run import RunConfig, run_k6
from producers.topics import create_topics
from schemas.envelopes import IMPORT_HEADER
from schemas.errors import Permanent
from schemas.runs import RunFinished, RunStarted
from schemas.topics import Topics
from tests.k6_runs import DATA, Bench, stored, written


@pytest.fixture
async def bench(kafka: str, topics: Topics, tmp_path: Path) -> Bench:
    await create_topics(kafka, topics.specs(4), 1)
    return Bench(kafka, topics, tmp_path)


@pytest.fixture
async def kept_run(bench: Bench) -> Path:
    """A run that found no broker, kept on disk; k6 itself knew nothing of it."""
    fake = bench.folder / "fake"
    source = bench.folder / "source.json"
    source.write_bytes(gzip.decompress((DATA / "k6-1.1.0" / "run.json.gz").read_bytes()) * 20)
    fake.write_text(
        '#!/bin/sh\nfor a in "$@"; do case "$a" in json=*) out="${a#json=}";; esac; done\n'
        f'[ "$1" = run ] && exec cat {source} > "$out"\n'
    )
    fake.chmod(0o755)
    config = RunConfig(
        bootstrap="127.0.0.1:9",
        topics=bench.topics,
        tenant_id=bench.tenant_id,
        arguments=["any.js"],
        environment=dict(os.environ),
        spool=bench.folder / "spool",
        k6=fake,
    )
    still = asyncio.Event()

    def say(text: str) -> None:
        bench.said.append(text)
        if "still delivering" in text:
            still.set()

    running = asyncio.create_task(run_k6(config, say=say))
    await still.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    (directory,) = kept.directories(config.spool)
    bench.truth.write_bytes(source.read_bytes())
    return directory


async def test_a_kept_run_is_delivered_later(bench: Bench, kept_run: Path) -> None:
    """All of it, in order, with both events; then the directory is gone."""
    ended = await kept.deliver(kept_run, bench.bootstrap, bench.said.append)
    records = await bench.records()
    assert stored(records) == written(bench.truth.read_bytes())
    assert [int(dict(one.headers)[SEQUENCE_HEADER]) for one in records] == list(range(len(records)))
    assert isinstance(ended, RunFinished)
    assert sum(one.points for one in ended.sent) == stored(records).total()
    assert [type(event) for event in await bench.events()] == [RunStarted, RunFinished]
    assert kept.directories(kept_run.parent) == []


async def test_a_delivery_that_died_is_not_repeated(bench: Bench, kept_run: Path) -> None:
    """Stopped halfway, as by kill -9, the next delivery asks the broker and sends only what is missing."""
    manifest = kept.load(kept_run)

    class Stop(Exception):  # an interruption, not an error
        pass

    halfway = asyncio.Event()

    async def follow(delivery: Delivery) -> None:
        while not 0 < delivery.points < manifest.points:  # noqa: ASYNC110 # each turn of the loop counts
            await asyncio.sleep(0)
        halfway.set()

    followers: list[asyncio.Task[None]] = []
    delivering = asyncio.create_task(
        kept.deliver(
            kept_run,
            bench.bootstrap,
            bench.said.append,
            lambda delivery: followers.append(asyncio.create_task(follow(delivery))),
        )
    )
    await halfway.wait()
    delivering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await delivering
    assert 0 < stored(await bench.records()).total() < manifest.points
    ended = await kept.deliver(kept_run, bench.bootstrap, bench.said.append)
    records = await bench.records()
    assert stored(records) == written(bench.truth.read_bytes())
    assert isinstance(ended, RunFinished)
    assert sum(one.points for one in ended.sent) == manifest.points
    assert ended.sent[0].last_offset == records[-1].offset


async def test_a_producer_that_breaks_is_replaced(bench: Bench, kept_run: Path) -> None:
    """What it had not acknowledged is looked for before it is sent again: no gap, nothing twice."""
    broken = 0

    async def follow(delivery: Delivery) -> None:
        nonlocal broken
        seen = 0
        while broken < 3:
            producer = delivery._producer  # noqa: SLF001 # no broker can be made to refuse a batch
            if producer is not None and delivery.points > seen:
                accumulator = producer._message_accumulator  # noqa: SLF001 # the same
                accumulator.fail_all(OutOfOrderSequenceNumber())
                seen = delivery.points
                broken += 1
            await asyncio.sleep(0)

    followers: list[asyncio.Task[None]] = []
    ended = await kept.deliver(
        kept_run,
        bench.bootstrap,
        bench.said.append,
        lambda delivery: followers.append(asyncio.create_task(follow(delivery))),
    )
    followers[0].cancel()
    assert broken > 0
    assert stored(await bench.records()) == written(bench.truth.read_bytes())
    assert isinstance(ended, RunFinished)
    assert sum(one.points for one in ended.sent) == stored(await bench.records()).total()


async def test_a_kept_run_is_delivered_by_one_at_a_time(bench: Bench, kept_run: Path) -> None:
    """The second is told, and the first finishes."""
    first = asyncio.create_task(kept.deliver(kept_run, bench.bootstrap, bench.said.append))
    await asyncio.sleep(0)
    with pytest.raises(Permanent, match="another process"):
        await kept.deliver(kept_run, bench.bootstrap, bench.said.append)
    await first
    assert stored(await bench.records()) == written(bench.truth.read_bytes())


async def test_a_folder_without_manifest_is_refused(tmp_path: Path) -> None:
    """What a killed bridge left has a hole in it, and is not passed off as a run."""
    with pytest.raises(Permanent, match="killed"):
        await kept.deliver(tmp_path, "127.0.0.1:9", print)


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
