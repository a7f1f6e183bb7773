"""The spool: order, limits, a full disk, and what is kept."""

import asyncio
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.k6 import segments
from producers.k6.envelopes import Envelope
from producers.k6.spool import Spool, SpoolPolicy

TINY = SpoolPolicy(memory=100, segment=40, disk=10_000)


def numbered(count: int, size: int = 10) -> list[Envelope]:
    return [Envelope(n, b"%0*d" % (size, n)) for n in range(count)]


def filled(spool: Spool, envelopes: list[Envelope]) -> threading.Thread:
    def put() -> None:
        for one in envelopes:
            spool.put(one)
        spool.close()

    thread = threading.Thread(target=put)
    thread.start()
    return thread


async def rest(spool: Spool) -> list[Envelope]:
    taken = []
    while (one := await spool.get()) is not None:
        taken.append(one)
    return taken


def silent(_text: str) -> None:
    pass


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 120), max_size=60),
    taken_before=st.integers(0, 20),
    policy=st.builds(
        SpoolPolicy,
        memory=st.integers(0, 300),
        segment=st.integers(1, 200),
        disk=st.integers(0, 600),
    ),
)
def test_order_is_kept_whatever_the_limits(
    tmp_path_factory: pytest.TempPathFactory,
    sizes: list[int],
    taken_before: int,
    policy: SpoolPolicy,
) -> None:
    """Every envelope comes out once, in order, with any sizes, limits and interleaving."""
    envelopes = [Envelope(n, b"x" * size) for n, size in enumerate(sizes)]

    async def run() -> None:
        folder = tmp_path_factory.mktemp("spool") / "run"
        spool = Spool(folder, policy, silent)
        thread = filled(spool, envelopes)
        first = [await spool.get() for _ in range(min(taken_before, len(envelopes)))]
        assert [*first, *await rest(spool)] == envelopes
        thread.join()
        spool.discard()
        assert not folder.exists()

    asyncio.run(run())


async def test_a_full_spool_stalls_the_writer_and_says_so(tmp_path: Path) -> None:
    """At the limit `put` waits for the reader; nothing is dropped, one line is said."""
    said: list[str] = []
    full = asyncio.Event()
    loop = asyncio.get_running_loop()

    def warn(text: str) -> None:
        said.append(text)
        loop.call_soon_threadsafe(full.set)

    spool = Spool(tmp_path / "run", SpoolPolicy(memory=50, segment=50, disk=100), warn)
    thread = filled(spool, numbered(100))
    await full.wait()
    assert thread.is_alive()
    assert sum(file.stat().st_size for file in segments.listed(tmp_path / "run")) <= 200
    assert await rest(spool) == numbered(100)
    thread.join()
    assert len(said) == 1


async def test_a_disk_that_takes_nothing_stalls_the_writer_too(tmp_path: Path) -> None:
    """With the folder's place taken by a file nothing can be written, and still nothing is lost."""
    (tmp_path / "run").write_text("in the way")
    said: list[str] = []
    spool = Spool(tmp_path / "run", TINY, said.append)
    thread = filled(spool, numbered(60))
    assert await rest(spool) == numbered(60)
    thread.join()


async def test_what_is_kept_can_be_read_back_in_order(tmp_path: Path) -> None:
    """Memory before, disk between, memory behind: segments hold what was not taken, first things first."""
    spool = Spool(tmp_path / "run", TINY, silent)
    filled(spool, numbered(57)).join()
    taken = [await spool.get() for _ in range(3)]
    spool.keep([one for one in taken if one])
    kept = [one for file in segments.listed(tmp_path / "run") for one in segments.read(file)]
    assert kept == numbered(57)


async def test_lifting_the_limit_frees_a_stalled_writer(tmp_path: Path) -> None:
    """Who interrupts a stalled bridge gets everything on disk, a little over the limit."""
    stalled = asyncio.Event()
    loop = asyncio.get_running_loop()
    policy = SpoolPolicy(memory=50, segment=50, disk=100)

    def warn(_text: str) -> None:
        loop.call_soon_threadsafe(stalled.set)

    spool = Spool(tmp_path / "run", policy, warn)
    thread = filled(spool, numbered(60))
    await stalled.wait()
    spool.lift_limit()
    await asyncio.to_thread(thread.join)
    spool.keep([])
    kept = [one for file in segments.listed(tmp_path / "run") for one in segments.read(file)]
    assert kept == numbered(60)
