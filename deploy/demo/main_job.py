"""The demo from start to report: a stack, a service, load on it, the workflow, the figures."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote
from uuid import UUID

from deploy.cli.context import Endpoints, default_key, tenant, topics
from deploy.demo import evidence, incident_documents, report
from deploy.demo.display import Steps
from deploy.demo.failures import DemoFailed
from deploy.demo.host import HostMetrics
from deploy.demo.incident import HEALTHY_FOR, Incident, Timeline
from deploy.demo.items_process import ItemsProcess
from deploy.demo.read_api import Document, ReadApi
from deploy.demo.report import Report
from deploy.demo.scripts import Load
from deploy.local import state as states
from deploy.local.ports import Ports
from deploy.local.stack import Stack
from deploy.local.state import State
from producers.k6.outcome import RunResult
from producers.k6.run import RunConfig, run_k6
from producers.sdk import Headrace
from schemas.errors import HeadraceError
from schemas.settings import Settings
from schemas.topics import Topics
from sinks.database import connect_pool
from sinks.playbooks import PlaybookStore
from sinks.rules import RuleBook

_POST_TEST_WITHIN = 120.0
"""Seconds from k6's end to a finished run; a warm machine needs two."""

# p99 beside the usual ones, so that it can be compared; no port, no call home.
_K6_OPTIONS = (
    "--summary-trend-stats=avg,min,med,max,p(90),p(95),p(99)",
    "--no-usage-report",
    "--address=",
)


@dataclass(frozen=True)
class Plan:
    """What a demo is asked to do. `environment` is ours, for the processes that it starts."""

    settings: Settings
    load: Load
    environment: Mapping[str, str]
    keep: bool = False
    api_key: str | None = None
    incident: bool = False
    """Make the service slow meanwhile, and have it remedied."""


@dataclass(frozen=True)
class Outcome:
    """A finished demo, where to look at it, and whether the stack still runs."""

    report: Report
    urls: dict[str, str]
    stays_up: bool
    timeline: Timeline | None = None


def run_demo(plan: Plan, steps: Steps) -> Outcome:
    """Run the demo; stops what it started, unless told to keep it and not interrupted.

    Raises:
        HeadraceError: a part failed; the text says which and what to read.
    """
    began = time.monotonic()
    stack = Stack.from_settings(plan.settings)
    items: ItemsProcess | None = None
    stop = not plan.keep
    try:
        with steps.step("starting Kafka, PostgreSQL, Temporal and headrace") as show:
            state = stack.start(detach=plan.keep, on_change=lambda now: show(_awaited(now)))
        with steps.step("starting the items service"):
            port = Ports(state.port_offset)["items"]
            items = ItemsProcess(stack.home, port, state.endpoints.database)
            items.start(plan.environment)
        job = _MainJob(plan, steps, stack, state.endpoints, items.url)
        found = asyncio.run(job.run(began))
    except KeyboardInterrupt:
        stop = True
        raise
    finally:
        if stop and items is not None:
            items.stop()
        if stop and stack.is_ours:
            with steps.step("stopping what was started"):
                stack.stop()
    urls = _urls(state.endpoints, items.url, plan, found)
    return Outcome(found, urls, stack.state() is not None, job.timeline)


class _MainJob:
    """The part that needs a running stack."""

    def __init__(
        self,
        plan: Plan,
        steps: Steps,
        stack: Stack,
        running: states.Endpoints,
        items: str,
    ) -> None:
        self._plan = plan
        self._steps = steps
        self._home = stack.home
        self._running = running
        self._items = items
        self._topics: Topics = topics(plan.settings)
        self.timeline: Timeline | None = None

    async def run(self, began: float) -> Report:
        """Put load on the service and follow its points to the report."""
        endpoints = Endpoints(self._running.kafka, self._running.database, self._running.temporal)
        settings, load = self._plan.settings, self._plan.load
        key = self._plan.api_key or await default_key(settings, endpoints)
        tenant_id = await tenant(settings, endpoints, key)
        async with await connect_pool(
            endpoints.database, role="headrace_writer", application="demo", max_size=1
        ) as database:
            group, topic = settings.consumer_group, self._topics.samples
            before = await evidence.deduplicated(database, group, topic)
            if self._plan.incident:
                await self._prepare(endpoints.database, tenant_id)
            started = time.monotonic()
            with self._steps.step(f"k6 runs {load.script}.js for {load.seconds:g} s"):
                async with self._host_metrics(tenant_id) as host:
                    result = await self._run_load(tenant_id, key)
            ended = time.monotonic()
            with self._steps.step("the post-test workflow") as show:
                summary = await self._finished(key, result, show)
            finished = time.monotonic()
            rows = await evidence.collect(database, result.execution_id)
            again = await evidence.deduplicated(database, group, topic) - before
        return Report(
            execution_id=str(result.execution_id),
            k6=report.k6_figures(result.summary or {}, result.exit_code),
            headrace=report.headrace_figures(summary),
            points=report.Points(result.sent, rows.stored, again, rows.dead_lettered),
            raw_left=rows.raw_left,
            aggregate_rows=rows.aggregate_rows,
            seconds=report.Seconds(started - began, ended - started, finished - ended),
            thresholds=report.thresholds(summary),
            host_samples=host.sent,
        )

    async def _prepare(self, dsn: str, tenant_id: UUID) -> None:
        """What `headrace playbooks apply` and `headrace rules apply` do."""
        with self._steps.step("a playbook, and a rule that starts it"):
            async with await connect_pool(
                dsn, role="headrace_owner", application="demo", max_size=1
            ) as owners:
                playbook = incident_documents.playbook(self._items)
                await PlaybookStore(owners).apply(tenant_id, [playbook])
                rules = RuleBook(owners, tenant_id)
                await rules.apply([incident_documents.rule()], prune=False, dry_run=False)

    async def _run_load(self, tenant_id: UUID, key: str) -> RunResult:
        """Run k6, and the incident beside it; the first that fails ends the other."""
        try:
            async with asyncio.TaskGroup() as tasks:
                running = tasks.create_task(self._run_k6(tenant_id))
                if self._plan.incident:
                    tasks.create_task(self._incident(key))
        except* HeadraceError as failed:
            raise failed.exceptions[0] from None
        return running.result()

    async def _incident(self, key: str) -> None:
        await asyncio.sleep(HEALTHY_FOR)
        incident = Incident(
            self._running.api,
            key,
            self._items,
            environment=self._plan.environment,
            steps=self._steps,
        )
        self.timeline = await incident.run()

    @contextlib.asynccontextmanager
    async def _host_metrics(self, tenant_id: UUID) -> AsyncIterator[HostMetrics]:
        """Metrics of this machine, sent inside the block. Raises what the SDK raises."""
        async with Headrace(
            self._running.kafka,
            tenant_id=tenant_id,
            source="demo-host",
            topic=self._topics.samples,
        ) as sdk:
            host = HostMetrics(sdk)
            sending = asyncio.create_task(host.run())
            try:
                yield host
            finally:
                sending.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await sending

    async def _run_k6(self, tenant_id: UUID) -> RunResult:
        log = self._home.log("k6")
        output = self._home.open_log("k6")
        try:
            result = await run_k6(
                RunConfig(
                    bootstrap=self._running.kafka,
                    topics=self._topics,
                    tenant_id=tenant_id,
                    arguments=(*_K6_OPTIONS, str(self._plan.load.path)),
                    environment=self._plan.load.environment(self._plan.environment, self._items),
                    spool=self._home.root / "spool",
                    stdout=output,
                ),
                say=self._steps.say,
            )
        except asyncio.CancelledError:
            self._steps.say("Interrupted. What k6 measured is kept; finish it: headrace k6 deliver")
            raise
        finally:
            os.close(output)
        if not result.delivered:
            raise DemoFailed(
                f"Not all points reached Kafka: {result.problem}. Finish it: headrace k6 deliver"
            )
        if result.exit_code not in {0, report.THRESHOLDS_CROSSED} or result.summary is None:
            raise DemoFailed(
                f"k6 failed with exit code {result.exit_code}; its output is in {log}."
            )
        return result

    async def _finished(self, key: str, result: RunResult, show: Callable[[str], None]) -> Document:
        async with ReadApi(self._running.api, key) as api:
            try:
                return await api.finished(result.execution_id, _POST_TEST_WITHIN, show)
            except DemoFailed as error:
                raise DemoFailed(
                    f"{error}\nRead {self._home.log('worker')} and {self._home.log('ingest')}; "
                    "see what runs: headrace status"
                ) from error


def _awaited(state: State) -> str:
    """What the stack waits for, in a few words."""
    waiting = [service for service in state.services if service.state == "starting"]
    return ", ".join(f"{one.name} {one.detail}".strip() for one in waiting)


def _urls(running: states.Endpoints, items: str, plan: Plan, found: Report) -> dict[str, str]:
    """What there is to look at, by name."""
    workflow = quote(f"post-test/{found.execution_id}", safe="")
    namespace = plan.settings.temporal_namespace
    urls = {
        "the run's summary": f"{running.api}/api/v1/runs/{found.execution_id}/summary",
        "query API": f"{running.api}/docs",
        "gateway": f"{running.gateway}/docs",
        "items service": f"{items}/docs",
    }
    if running.temporal_ui:
        urls["the workflow"] = f"{running.temporal_ui}/namespaces/{namespace}/workflows/{workflow}"
    return urls
