"""A run's folder: what a successor finds in it, whenever its predecessor died."""

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from producers.k6 import keeper
from producers.k6.disk import DiskPolicy, PointsOnDisk
from producers.k6.folder import Manifest, Progress, RunFolder, is_idle, unfinished
from producers.k6.urls import USUAL
from schemas.errors import Permanent
from schemas.runs import RunStarted


def manifest(execution_id: UUID | None = None) -> Manifest:
    started = RunStarted(
        execution_id=execution_id or uuid4(),
        tenant_id=uuid4(),
        at=datetime.now(UTC),
        runner="r",
        test="t",
        script="t.js",
    )
    return Manifest(
        topic_prefix="p.", since_ms=1, disk_limit=1 << 30, folding=USUAL, started=started
    )


def kept(folder: RunFolder, summary: Path, *program: str) -> "subprocess.Popen[bytes]":
    """A program under its keeper, as a bridge starts it."""
    with folder.held_running() as descriptor:
        return subprocess.Popen(
            [sys.executable, keeper.__file__, str(folder.path), str(summary), *program],
            pass_fds=[descriptor],
        )


def test_a_run_is_found_with_what_was_written(tmp_path: Path) -> None:
    """Of all, or of one execution; a folder whose manifest is missing never started anything."""
    first, second = manifest(), manifest()
    for one in (first, second):
        RunFolder.make(tmp_path, one).close()
    (tmp_path / "half").mkdir()
    assert len(unfinished(tmp_path)) == 2
    (path,) = unfinished(tmp_path, second.started.execution_id)
    folder = RunFolder(path)
    assert folder.manifest() == second
    assert folder.progress() == Progress()
    folder.write(Progress(end=7, points=1, metrics={"m": "gauge"}))
    assert folder.progress().end == 7
    assert oct(path.stat().st_mode)[-3:] == "700"
    folder.remove()
    assert len(unfinished(tmp_path)) == 1


def test_one_at_a_time(tmp_path: Path) -> None:
    """The second is refused, until the first lets go."""
    folder = RunFolder.make(tmp_path, manifest())
    assert not is_idle(folder.path)
    with pytest.raises(Permanent, match="another process"):
        RunFolder(folder.path)
    folder.close()
    assert is_idle(folder.path)


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    """No folder, an empty one, one of an earlier version, a spool that can't be written."""
    with pytest.raises(Permanent, match="no run"):
        RunFolder(tmp_path / "nope")
    folder = RunFolder(tmp_path)
    with pytest.raises(Permanent, match="no run"):
        folder.manifest()
    (tmp_path / "manifest.json").write_text('{"version": 1}')
    with pytest.raises(Permanent, match="earlier version"):
        folder.manifest()
    (tmp_path / "file").touch()
    with pytest.raises(Permanent, match="can't be written"):
        RunFolder.make(tmp_path / "file", manifest())


def test_a_progress_that_is_not_whole_is_none(tmp_path: Path) -> None:
    """As after a power failure: then the broker is asked from the run's start."""
    folder = RunFolder.make(tmp_path, manifest())
    (folder.path / "progress.json").write_text("")
    assert folder.progress() == Progress()


def test_the_end_of_k6_is_written_down(tmp_path: Path) -> None:
    """Its exit code or its signal; the summary that it wrote elsewhere now, not an old one, comes along."""
    elsewhere = tmp_path / "summary.json"
    elsewhere.write_text('{"old": 1}')
    folder = RunFolder.make(tmp_path, manifest())
    assert kept(folder, elsewhere, "/bin/sh", "-c", "exit 99").wait() == 99
    ended = folder.exit()
    assert ended is not None
    assert (ended.code, folder.alive(), folder.pid(), folder.summary()) == (99, False, None, None)

    folder = RunFolder.make(tmp_path, manifest())
    script = f"""echo '{{"new": 2}}' > {elsewhere}; kill -KILL $$"""
    assert kept(folder, elsewhere, "/bin/sh", "-c", script).wait() == 128 + signal.SIGKILL
    ended = folder.exit()
    assert ended is not None
    assert (ended.code, folder.summary()) == (-signal.SIGKILL, {"new": 2})


def test_k6_outlives_its_keeper_and_is_seen_to(tmp_path: Path) -> None:
    """With the keeper killed, k6 still counts as running until it ends; then nobody knows its exit code."""
    folder = RunFolder.make(tmp_path, manifest())
    reader, writer = os.pipe()
    with folder.held_running() as descriptor:
        process = subprocess.Popen(
            [
                *(sys.executable, keeper.__file__, str(folder.path), str(folder.summary_file)),
                *("/bin/cat",),
            ],
            pass_fds=[descriptor],
            stdin=reader,
        )
    os.close(reader)
    assert folder.alive()
    while (pid := folder.pid()) is None:
        pass
    process.kill()
    process.wait()
    assert folder.alive()
    assert folder.pid() == pid
    os.close(writer)
    while folder.alive():
        pass
    assert (folder.exit(), folder.pid()) == (None, None)


def test_signals_of_the_terminal_are_for_k6_alone(tmp_path: Path) -> None:
    """The keeper outlives them to see how k6 takes them."""
    folder = RunFolder.make(tmp_path, manifest())
    script = "import signal, sys; signal.signal(signal.SIGINT, lambda *_: sys.exit(105)); print(); signal.pause()"
    with folder.held_running() as descriptor:
        process = subprocess.Popen(
            [
                *(sys.executable, keeper.__file__, str(folder.path), str(folder.summary_file)),
                *(sys.executable, "-uc", script),
            ],
            pass_fds=[descriptor],
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
    assert process.stdout is not None
    process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait() == 105
    process.stdout.close()


def test_the_disk_gets_back_what_is_acknowledged(tmp_path: Path) -> None:
    """From the front, in whole blocks; what follows stays as it was, and so does the last byte."""
    content = os.urandom(1 << 20) + b"\n"
    path = tmp_path / "points"
    path.write_bytes(content)
    with path.open("r+b") as file:
        disk = PointsOnDisk(file.fileno())
        before, _ = disk.room
        disk.free(700_000)
        assert disk.can_free
        assert disk.room[0] <= before - 600_000
        assert path.read_bytes()[700_000:] == content[700_000:]
        disk.free(disk.size)
        assert disk.whole
        assert disk.size == len(content)
        assert disk.room[0] <= 1 << 17


def test_the_test_ends_before_the_disk_does() -> None:
    """At its own limit, and while there is room for what k6 writes until it has ended."""
    policy = DiskPolicy(limit=10 << 20, spare=100)
    assert policy.problem(10 << 20, 100) == ""
    assert "limit of 10 MiB" in policy.problem((10 << 20) + 1, 1000)
    assert "room" in policy.problem(0, 99)


def test_a_summary_is_an_object_or_none(tmp_path: Path) -> None:
    """k6 writes none after a second Ctrl-C, and `handleSummary` may write anything."""
    folder = RunFolder.make(tmp_path, manifest())
    for text, found in (("", None), ("[]", None), (json.dumps({"metrics": {}}), {"metrics": {}})):
        folder.summary_file.write_text(text)
        assert folder.summary() == found
