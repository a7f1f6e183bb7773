"""The steps of the post-test workflow. Each may run again at any time and ends in the same rows."""

import time
from collections.abc import Awaitable, Callable, Sequence

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from schemas.thresholds import Statistics, fractions
from sinks.runs import Behind
from workflows.heartbeats import beating
from workflows.metrics import Metrics
from workflows.post_test.types import PostTest, Runs, Verdict
from workflows.post_test.verdicts import declared, duration, judge, mismatches, question, verdict


class PostTestActivities:
    """The steps over a store of runs."""

    def __init__(self, runs: Runs, metrics: Metrics) -> None:
        self._runs = runs
        self._metrics = metrics

    @property
    def all(self) -> list[Callable[..., Awaitable[object]]]:
        """The steps, for a worker to serve."""
        return [
            self.await_ingest,
            self.aggregate,
            self.evaluate,
            self.verify,
            self.clean_up,
            self.finish,
        ]

    @activity.defn
    async def await_ingest(self, task: PostTest) -> None:
        """Succeed once ingest has stored all that the run sent; fail, to be tried again, until then."""
        run = await self._runs.load(task.execution_id)
        behind = await self._runs.behind(run, task.consumer_group)
        still_behind(behind)

    @activity.defn
    async def aggregate(self, task: PostTest) -> int:
        """Compute the aggregates; return the number of their rows."""
        began = time.monotonic()
        async with beating():
            rows = await self._runs.aggregate(task.execution_id)
        self._metrics.aggregate_seconds.observe(time.monotonic() - began)
        self._metrics.aggregate_rows.inc(rows)
        return rows

    @activity.defn
    async def evaluate(self, task: PostTest) -> Verdict:
        """Evaluate and store the thresholds; return the run's verdict."""
        async with beating():
            run = await self._runs.load(task.execution_id)
            if run.raw_deleted:
                return verdict(run, run.judgements)
            thresholds = declared(run)
            questions = [question(threshold, run.metrics) for threshold in thresholds]
            asked = [q for q in questions if q is not None]
            found = await self._runs.statistics(
                task.execution_id,
                [q.selection for q in asked],
                [q.kind for q in asked],
                fractions(q.expression for q in asked),
            )
            answers = iter(found)
            judgements = [
                judge(t, q, next(answers) if q else Statistics(), duration(run))
                for t, q in zip(thresholds, questions, strict=True)
            ]
            await self._runs.save_judgements(task.execution_id, judgements)
            return verdict(run, judgements)

    @activity.defn
    async def verify(self, task: PostTest) -> list[str]:
        """Compare what was sent with what was stored and summarised; return what does not agree."""
        async with beating():
            run = await self._runs.load(task.execution_id)
            if run.raw_deleted:
                return []
            found = mismatches(run, await self._runs.counts(task.execution_id))
            if found:
                self._metrics.mismatches.inc()
            return found

    @activity.defn
    async def clean_up(self, task: PostTest) -> None:
        """Delete the raw points."""
        async with beating():
            await self._runs.clean_up(task.execution_id)

    @activity.defn
    async def finish(self, task: PostTest, verdict: Verdict) -> None:
        """Close the run."""
        await self._runs.finish(task.execution_id, verdict)


def still_behind(behind: Sequence[Behind]) -> None:
    """Raise, so that the step is tried again, while there is anything left for ingest to store."""
    if behind:
        # Benign: waiting is the step's purpose, so it is neither logged nor counted as a failure.
        raise ApplicationError(
            "Ingest has still to store "
            + ", ".join(f"{b.left} records of {b.topic}/{b.partition}" for b in behind),
            type="IngestBehind",
            category=ApplicationErrorCategory.BENIGN,
        )
