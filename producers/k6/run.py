"""Runs k6 with the bridge beside it: k6 owns the terminal and the exit code, the bridge the points."""

import asyncio
import contextlib
import os
import platform
import signal
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from producers.k6 import program
from producers.k6.arguments import Arguments
from producers.k6.envelopes import Envelopes
from producers.k6.fifo import Fifo
from producers.k6.folder import private_folder
from producers.k6.outcome import RunResult
from producers.k6.signals import Signals
from producers.k6.spool import Spool, SpoolPolicy
from producers.k6.transfer import Say, Target, Transfer
from schemas.errors import Permanent
from schemas.k6 import judged
from schemas.runs import PartitionSent, RunAborted, RunFinished, RunStarted, Threshold
from schemas.samples import check_source
from schemas.topics import Topics

_FIRST_NOTE, _NEXT_NOTE = 2.0, 10.0
"""Seconds after k6's end until the bridge says that it still delivers, and between such lines."""

_COMPLETED = frozenset({0, 99})
"""Exit codes of a test that ran to its end; 99 where a threshold was crossed."""

_TERMINATION = 10.0
"""Seconds that k6 gets to end when the bridge's own task is cancelled."""


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
    """Folder for runs whose points must wait on disk; made when needed."""
    execution_id: UUID = field(default_factory=uuid4)
    test: str | None = None
    """What runs are compared under; by default the script's name without suffix."""
    runner: str = field(default_factory=this_process)
    """Unique within the execution, at most 100 bytes."""
    k6: Path | None = None
    policy: SpoolPolicy = field(default_factory=SpoolPolicy)
    deliver_within: timedelta = timedelta(minutes=10)
    """How long to go on after k6's end; then the rest is kept. Longer than a broker's restart, shorter
    than a CI job."""
    stdout: int | None = None
    """Descriptor for k6's standard output; by default ours."""

    @property
    def target(self) -> Target:
        """Where the points go."""
        return Target(self.bootstrap, self.topics, self.tenant_id, self.execution_id, self.runner)


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
        Permanent: k6 can't be found; nothing was published.
        Invalid: the runner's name is too long; as before.
        PointsLostError: Kafka did not take the points and neither did the disk.
    """
    check_source(config.target.source)
    k6 = program.find(config.k6, config.environment)
    arguments = Arguments.parse(config.arguments)
    with private_folder() as private:
        exported = private / "summary.json"
        summary = program.SummaryFile(arguments.summary_file(config.environment) or exported)
        with Fifo(private / "points") as fifo:
            line = program.command(k6, arguments, config.environment, fifo.path, exported)
            process = await program.start(line, config.environment, config.stdout)
            bridge = _Bridge(
                config=config,
                script=arguments.script or "-",
                process=process,
                fifo=fifo,
                summary=summary,
                say=say,
                now=now,
            )
            return await bridge.run(
                signals, partial(program.inspect, k6, arguments, config.environment)
            )


class _Bridge:
    """A running k6 and what goes on around it."""

    def __init__(
        self,
        *,
        config: RunConfig,
        script: str,
        process: Process,
        fifo: Fifo,
        summary: program.SummaryFile,
        say: Say,
        now: Callable[[], datetime],
    ) -> None:
        self._config, self._script, self._say, self._now = config, script, say, now
        self._process, self._fifo, self._summary = process, fifo, summary
        self._interrupted = asyncio.Event()
        self._inspected: list[Threshold] = []
        self._crash = ""
        self._ended_at = self._started_at = now()
        self._transfer = Transfer(
            config.target,
            spool=config.spool,
            policy=config.policy,
            since_ms=int(self._started_at.timestamp() * 1000) - 60_000,
            say=say,
        )

    async def run(self, signals: Signals | None, inspect: program.Inspect) -> RunResult:
        if signals:
            signals.subscribe(self._signalled)
        started = RunStarted(
            execution_id=self._config.execution_id,
            tenant_id=self._config.tenant_id,
            at=self._started_at,
            runner=self._config.runner,
            test=self._config.test or ("stdin" if self._script == "-" else Path(self._script).stem),
            script=self._script,
        )

        async def enriched() -> RunStarted:
            self._inspected, options = await inspect()
            await self._transfer.spool.begun.wait()
            return started.model_copy(update={"thresholds": self._inspected, "options": options})

        self._transfer.begin(self._copy)
        self._transfer.announce(started, enriched)
        try:
            await self._process.wait()
            self._ended_at = self._now()
            self._fifo.end()
            never_began = await self._never_began()
        except asyncio.CancelledError:
            await self._terminate()
            self._ended_at = self._now()
            self._fifo.end()
            await self._transfer.stop()
            if not await self._never_began():
                self._transfer.keep(self._event)
            raise
        if never_began:
            await self._transfer.stop()
            return self._result(recorded=False)
        return await self._deliver()

    async def _never_began(self) -> bool:
        return (
            self._process.returncode not in _COMPLETED
            and await self._transfer.idle()
            and not self._crash
        )

    async def _deliver(self) -> RunResult:
        self._transfer.spool.begun.set()
        finishing = asyncio.create_task(self._transfer.finish(self._event))
        interrupted = asyncio.create_task(self._interrupted.wait())
        noting = asyncio.create_task(self._note())
        problem, kept = "", None
        try:
            await asyncio.wait(
                {finishing, interrupted},
                timeout=self._config.deliver_within.total_seconds(),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if finishing.done():
                finishing.result()
                problem = self._crash
            elif interrupted.done():
                problem = "the delivery was interrupted"
            else:
                problem = f"Kafka did not take everything within {self._patience}"
        except Permanent as error:
            problem = str(error)
        finally:
            for task in (finishing, interrupted, noting):
                task.cancel()
            if not finishing.done() or finishing.cancelled() or finishing.exception():
                await self._transfer.stop()
                kept = self._transfer.keep(self._event)
        return self._result(problem=problem, kept=kept)

    def _result(
        self, *, recorded: bool = True, problem: str = "", kept: Path | None = None
    ) -> RunResult:
        return RunResult.of(
            self._config.execution_id,
            self._exit_code,
            self._transfer,
            recorded=recorded,
            problem=problem,
            kept=kept,
            thresholds=self._judged(),
            summary=self._summary.read(),
        )

    def _copy(self, envelopes: Envelopes, spool: Spool) -> None:
        try:
            self._fifo.copy(envelopes, spool)
        except Exception as error:  # noqa: BLE001 # whatever it is, k6 must not hang on a full pipe
            lost = sum(map(len, self._fifo.blocks()))
            self._crash = f"the bridge failed ({error!r}); {lost:,} bytes of points ARE LOST"

    def _event(self, sent: list[PartitionSent]) -> RunFinished | RunAborted:
        identity: dict[str, Any] = {
            "execution_id": self._config.execution_id,
            "tenant_id": self._config.tenant_id,
            "at": self._ended_at,
            "runner": self._config.runner,
        }
        code = self._process.returncode
        if self._crash or code is None or code < 0:
            killed = "k6 was stopped" if code is None else f"k6 was killed by signal {-code}"
            return RunAborted(**identity, reason=self._crash or killed)
        return RunFinished(
            **identity,
            topic=self._config.topics.samples,
            sent=sent,
            exit_code=code,
            metrics=self._transfer.envelopes.metrics,
            thresholds=self._judged(),
            summary=self._summary.read(),
        )

    def _judged(self) -> list[Threshold]:
        # What the script's options say first: they alone know whether a submetric's threshold aborts.
        return judged(
            [*self._transfer.envelopes.thresholds, *self._inspected], self._summary.read()
        )

    @property
    def _patience(self) -> str:
        return f"{self._config.deliver_within.total_seconds():g} s"

    @property
    def _exit_code(self) -> int:
        code = self._process.returncode or 0
        return code if code >= 0 else 128 - code

    def _signalled(self, received: signal.Signals, from_a_process: bool) -> None:
        if self._process.returncode is not None:
            self._interrupted.set()
        elif from_a_process:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(received)

    async def _terminate(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
            try:
                async with asyncio.timeout(_TERMINATION):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()

    async def _note(self) -> None:
        await asyncio.sleep(_FIRST_NOTE)
        while True:
            self._say(
                f"k6 has ended; still delivering {self._transfer.undelivered:,} points to Kafka at "
                f"{self._config.bootstrap}. Ctrl-C keeps them on disk for later; so does the bridge, "
                f"{self._patience} after k6's end."
            )
            await asyncio.sleep(_NEXT_NOTE)
