"""Brings a run's points from its folder to Kafka while k6 writes them, and says when it began and ended.

The one that started k6 works like its successors: a successor only asks first what is in Kafka already. Die
when it may, the folder stays, and k6 does not notice.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from producers.k6.connection import Say
from producers.k6.delivery import Delivery, Target
from producers.k6.disk import DiskPolicy, PointsOnDisk
from producers.k6.ending import Ending
from producers.k6.envelopes import Envelopes
from producers.k6.folder import Progress, RunFolder
from producers.k6.outcome import RunResult
from producers.k6.program import Inspect
from producers.k6.signals import Signals
from producers.k6.tail import Tail
from schemas.topics import Topics

_FIRST_NOTE, _NEXT_NOTE = 2.0, 10.0
"""Seconds after k6's end until the bridge says that it still delivers, and between such lines."""

_LOOK = 0.1
"""Seconds between looks whether k6 has ended."""

_ROUND = 0.5
"""Seconds between looks at the disk, and between notes of how far it came."""

Watch = Callable[[int, int], None]
"""Told how many bytes of k6's output are acknowledged, and how many there are."""


class Bridge:
    """A run on its way. `successor`: another may have begun before; `deliver_within` of k6's end, or for ever."""

    def __init__(
        self,
        folder: RunFolder,
        bootstrap: str,
        say: Say,
        *,
        successor: bool = False,
        deliver_within: timedelta | None = None,
        watch: Watch = lambda _done, _size: None,
    ) -> None:
        """Raises Permanent where the folder can't be read."""
        self._folder, self._bootstrap, self._say, self._watch = folder, bootstrap, say, watch
        self._manifest = folder.manifest()
        self._started = self._manifest.started
        self._patience = deliver_within
        self._successor = successor
        topics, progress = Topics(self._manifest.topic_prefix), folder.progress()
        self._target = Target(
            bootstrap,
            topics,
            self._started.tenant_id,
            self._started.execution_id,
            self._started.runner,
        )
        self._envelopes = Envelopes(
            tenant_id=self._target.tenant_id,
            source=self._target.source,
            execution_id=self._target.execution_id,
            at=progress.end,
            folding=self._manifest.folding,
        )
        self._envelopes.points = progress.points
        self._envelopes.recall(progress.metrics, progress.thresholds, progress.named)
        self._delivery = Delivery(
            self._target,
            self._manifest.since_ms,
            say,
            at=progress.end,
            points=progress.points,
            sent=progress.sent,
            in_doubt=successor,
        )
        self._end: Ending | None = None
        """What k6 left, once it has ended."""
        self._noted = progress.end
        self._most_waiting = 0
        self._published: set[str] = set()
        self._located = asyncio.Event()
        self._interrupted = asyncio.Event()

    async def run(
        self, signals: Signals | None = None, inspect: Inspect | None = None
    ) -> RunResult:
        """Work until k6 has ended and everything is delivered, or the time for that is over.

        `signals` go to k6 while that runs, and stop the delivery after it. The folder is gone when there
        is nothing left to do. Cancelled, it stays, and k6 goes on.
        """
        if signals:
            signals.subscribe(self._signalled)
        with self._folder.points.open("r+b") as file:
            self._disk = PointsOnDisk(file.fileno())
            self._tail = Tail(file.fileno(), self._envelopes, self._noted)
            self._draining = asyncio.create_task(self._drain())
            self._announcing = asyncio.create_task(self._announce(inspect))
            rounds = asyncio.create_task(self._rounds())
            try:
                while self._folder.alive():  # noqa: ASYNC110 # not our child: no event tells
                    await asyncio.sleep(_LOOK)
                self._tail.close()
                self._end = end = Ending.seen(self._folder, whole=self._disk.whole)
                # There is a run with its first point, or once k6 completed without any.
                began = self._disk.size > 0 or end.completed
                return await self._finish(end) if began else self._drop(end)
            finally:
                for task in (self._draining, self._announcing, rounds):
                    task.cancel()
                await asyncio.gather(
                    self._draining, self._announcing, rounds, return_exceptions=True
                )
                await self._delivery.stop()
                self._note()

    async def _drain(self) -> None:
        if self._successor:
            self._published = await self._delivery.published()
            self._tail.skim(await self._delivery.located())
        self._located.set()
        await self._delivery.drain(self._tail)

    async def _announce(self, inspect: Inspect | None) -> None:
        if inspect:
            self._started = told = (await inspect()).added_to(self._started)
            self._manifest = self._manifest.model_copy(update={"started": told})
            with contextlib.suppress(OSError):  # a successor would know a little less
                self._folder.write(self._manifest)
        await self._located.wait()
        await self._tail.begun.wait()
        if not self._published:
            await self._delivery.publish(self._started)

    async def _finish(self, end: Ending) -> RunResult:
        self._tail.begun.set()
        finishing = asyncio.create_task(self._deliver_rest(end))
        interrupted = asyncio.create_task(self._interrupted.wait())
        noting = asyncio.create_task(self._say_that_it_goes_on())
        try:
            await asyncio.wait(
                {finishing, interrupted},
                timeout=self._patience.total_seconds() if self._patience else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if finishing.done():
                finishing.result()
                self._folder.remove()
                return self._result(end, problem=end.loss)
            problem = (
                "the delivery was interrupted"
                if interrupted.done()
                else f"Kafka did not take everything within {self._limit}"
            )
        except Exception as error:  # noqa: BLE001 # whatever it is, the points are on disk and k6 has ended
            problem = str(error) or repr(error)
        finally:
            for task in (finishing, interrupted, noting):
                task.cancel()
        return self._result(end, problem=problem, kept=self._folder.path)

    async def _deliver_rest(self, end: Ending) -> None:
        self._delivery.hurry()
        await asyncio.gather(self._draining, self._announcing)
        if not self._published & {"finished", "aborted"}:
            topic = self._target.topics.samples
            await self._delivery.publish(
                end.event(self._started, topic, self._envelopes, self._delivery)
            )

    def _drop(self, end: Ending) -> RunResult:
        """k6 gave up before its first point: there was no run."""
        self._folder.remove()
        return self._result(end, recorded=False)

    def _result(
        self, end: Ending, *, recorded: bool = True, problem: str = "", kept: Path | None = None
    ) -> RunResult:
        return RunResult.of(
            self._target.execution_id,
            end.exit_code,
            self._envelopes,
            self._delivery,
            recorded=recorded,
            problem=problem,
            kept=kept,
            spooled_bytes=self._most_waiting,
            thresholds=end.thresholds(self._started, self._envelopes),
            summary=end.summary,
        )

    @property
    def _limit(self) -> str:
        return f"{self._patience.total_seconds():g} s" if self._patience else ""

    def _signalled(self, received: signal.Signals, from_a_process: bool) -> None:
        if self._end:
            self._interrupted.set()
        elif from_a_process:
            self._passing = asyncio.create_task(pass_on(self._folder, received))

    async def _rounds(self) -> None:
        policy, told = DiskPolicy(limit=self._manifest.disk_limit), False
        while True:
            self._note()
            self._most_waiting = max(self._most_waiting, self._disk.size - self._delivery.end)
            self._watch(self._delivery.end, self._disk.size)
            # Once: k6 takes a second one for the wish not to end in order.
            if not (self._end or told) and (problem := policy.problem(*self._disk.room)):
                told = True
                self._say(f"{problem}: k6 is told to end the test. What it has measured is kept.")
                await pass_on(self._folder, signal.SIGINT)
            await asyncio.sleep(_ROUND)

    def _note(self) -> None:
        """Write down how far it came; what a successor does not need any more, the disk gets back."""
        if self._delivery.end == self._noted:
            return
        with contextlib.suppress(OSError):  # a full disk, or a folder that is gone by now
            self._folder.write(
                Progress(
                    end=self._delivery.end,
                    points=self._delivery.points,
                    sent=self._delivery.sent,
                    metrics=self._envelopes.metrics,
                    thresholds=self._envelopes.thresholds,
                    named=self._envelopes.named,
                )
            )
            self._noted = self._delivery.end
            could = self._disk.can_free
            self._disk.free(self._noted)
            if could and not self._disk.can_free:
                self._say(
                    f"the file system of {self._folder.path} gives no part of a file back: the whole "
                    "run's points take disk there until it ends."
                )

    async def _say_that_it_goes_on(self) -> None:
        await asyncio.sleep(_FIRST_NOTE)
        while True:
            waiting = (self._disk.size - self._delivery.end) / (1 << 20)
            after = f"; so does the bridge, {self._limit} after k6's end" if self._limit else ""
            self._say(
                f"k6 has ended; still delivering {waiting:,.1f} MiB of points to Kafka at "
                f"{self._bootstrap}. Ctrl-C keeps them on disk for later{after}."
            )
            await asyncio.sleep(_NEXT_NOTE)


async def pass_on(folder: RunFolder, number: signal.Signals) -> None:
    """Send k6 a signal, as soon as it runs; nothing if it has ended."""
    while (pid := folder.pid()) is None and folder.alive():  # noqa: ASYNC110 # as above
        await asyncio.sleep(_LOOK)
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
