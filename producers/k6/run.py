"""Runs k6 with the bridge beside it, or bridges a run that lost its bridge.

k6 owns the terminal and the exit code, the bridge the points.
"""

import asyncio
import os
import platform
import signal
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

from producers.k6 import program
from producers.k6.arguments import Arguments
from producers.k6.bridge import Bridge, Watch, pass_on
from producers.k6.connection import Say
from producers.k6.disk import DiskPolicy
from producers.k6.folder import Manifest, RunFolder
from producers.k6.outcome import RunResult
from producers.k6.signals import Signals
from producers.k6.urls import USUAL, Folding
from schemas.runs import RunStarted
from schemas.samples import check_source
from schemas.topics import Topics

_TERMINATION = 10.0
"""Seconds that k6 gets to end when the bridge's own task is cancelled."""

_BEFORE = 60_000
"""Milliseconds before k6's start from which the topic is searched for the run's records."""


def this_process() -> str:
    """A runner's default name: host and process."""
    return f"{platform.node()}-{os.getpid()}"


@dataclass(frozen=True)
class RunConfig:
    """A run of k6. `arguments` are k6's own, without `run`; `environment` is k6's, whole."""

    bootstrap: str
    topics: Topics
    tenant_id: UUID
    arguments: Sequence[str]
    environment: Mapping[str, str]
    spool: Path
    """Where each run has its folder as long as it is not delivered; made when needed."""
    execution_id: UUID = field(default_factory=uuid4)
    test: str | None = None
    """What runs are compared under; by default the script's name without suffix."""
    runner: str = field(default_factory=this_process)
    """Unique within the execution, at most 100 bytes."""
    runners: int = 1
    """How many share the execution."""
    keep_raw: bool = False
    """Whether the points stay after aggregation."""
    k6: Path | None = None
    disk_limit: int = DiskPolicy.limit
    folding: Folding = USUAL
    deliver_within: timedelta = timedelta(minutes=10)
    """How long to go on after k6's end; then the rest is kept. Longer than a broker's restart, shorter
    than a CI job."""
    stdout: int | None = None
    """Descriptor for k6's standard output; by default ours."""


async def run_k6(
    config: RunConfig,
    *,
    say: Say,
    signals: Signals | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> RunResult:
    """Run k6, stream its points to Kafka, publish the run's events.

    There is a run from its first point on, or once k6 completed without any; a script that can't be
    loaded leaves no trace. `say` gets a few lines for people. `signals` are passed on to k6 while that
    runs, and stop the delivery after it. Cancelling the call ends k6 and keeps what is not delivered.

    Raises:
        Permanent: k6 can't be found, or the spool not be written; nothing was published.
        Invalid: the runner's name is too long; as before.
    """
    arguments = Arguments.parse(config.arguments)
    manifest = _manifest(config, arguments, now())
    check_source(f"k6/{config.execution_id}/{config.runner}")
    k6 = program.find(config.k6, config.environment)
    folder = RunFolder.make(config.spool, manifest)
    try:
        asked = arguments.summary_file(config.environment)
        line = program.command(
            k6, arguments, config.environment, folder.points, folder.summary_file
        )
        process = await program.start(
            line, config.environment, config.stdout, folder, asked or folder.summary_file
        )
        bridge = Bridge(folder, config.bootstrap, say, deliver_within=config.deliver_within)
        inspect = partial(program.inspect, k6, arguments, config.environment)
        try:
            return await bridge.run(signals, inspect)
        except asyncio.CancelledError:
            await _terminate(process, folder)
            if not folder.points.stat().st_size:
                folder.remove()
            raise
        finally:
            await process.wait()
    finally:
        folder.close()


async def resume_run(
    path: Path, bootstrap: str, *, say: Say, watch: Watch = lambda _done, _size: None
) -> RunResult:
    """Bridge a run's folder to its end, and remove it; k6 may still be running.

    Cancel it to stop: the folder stays, k6 goes on, and this can be called again.

    Raises:
        Permanent: the folder holds no run, or another process has it.
    """
    folder = RunFolder(path)
    try:
        bridge = Bridge(folder, bootstrap, say, successor=True, watch=watch)
        if (pid := folder.pid()) is not None:
            say(
                f"k6 still runs (process {pid}); Ctrl-C here leaves it running, `kill {pid}` ends it."
            )
        return await bridge.run()
    finally:
        folder.close()


def _manifest(config: RunConfig, arguments: Arguments, at: datetime) -> Manifest:
    script = arguments.script or "-"
    return Manifest(
        topic_prefix=config.topics.prefix,
        since_ms=int(at.timestamp() * 1000) - _BEFORE,
        disk_limit=config.disk_limit,
        folding=config.folding,
        started=RunStarted(
            execution_id=config.execution_id,
            tenant_id=config.tenant_id,
            at=at,
            runner=config.runner,
            test=config.test or ("stdin" if script == "-" else Path(script).stem),
            script=script,
            runners_expected=config.runners,
            tags=arguments.tags(),
            keep_raw=config.keep_raw,
        ),
    )


async def _terminate(process: Process, folder: RunFolder) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        await pass_on(folder, number)
        try:
            async with asyncio.timeout(_TERMINATION):
                await process.wait()
        except TimeoutError:
            continue
        return
