"""Measures the dashboards of load tests over a year of nights: time, CPU and rows of each request."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psutil

from deploy.bench.dashboards_load import load_nights
from deploy.bench.dashboards_mix import dashboards
from deploy.bench.query_load import Pool, Report
from deploy.bench.query_mix import Panel, Parameters
from deploy.bench.query_rows import Witness
from deploy.bench.query_traffic import WARM_UP, Timing, api_process, time_panels
from sinks.database import connect_pool
from sinks.keys import Tenants
from sinks.migrate import migrate
from sinks.scratch import scratch_database

_KEPT = timedelta(days=30)
_BACKENDS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'headrace api' AND datname = current_database()"


@dataclass(frozen=True)
class RouteResult:
    """Of a request: milliseconds to its answer, and CPU and rows that it takes."""

    alone: Timing
    """Asked by one client that asks for nothing else."""
    busy: Timing
    """Asked by several that ask for all of them."""
    api_cpu_ms: float
    database_cpu_ms: float | None
    """None where the database runs on another machine."""
    rows_read: int


@dataclass(frozen=True)
class DashboardResult:
    """What `headrace bench dashboards` finds out."""

    storage: str
    nights: int
    seconds: int
    clients: int
    aggregate_rows: int
    all_alone: Timing
    all_busy: Timing
    routes: dict[str, RouteResult]


async def bench_dashboards(
    server: str, *, nights: int, minutes: int, rounds: int, clients: int, report: Report
) -> DashboardResult:
    """Run once, in a database of its own that is gone afterwards; each request is timed `rounds` times."""
    with scratch_database(server) as dsn:
        storage = migrate(dsn).storage
        owners = await connect_pool(dsn, role="headrace_owner", application="bench")
        readers = await connect_pool(dsn, role="headrace_reader", application="bench")
        # Who else is connected only an administrator may see.
        admins = await connect_pool(dsn, role=None, application="bench")
        async with owners, readers, admins:
            tenant, _ = await Tenants(owners).create("bench")
            key = await Tenants(owners).create_key("bench", ("read",))
            # The last night is over.
            now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
            last = now - timedelta(minutes=minutes)
            runs = await load_nights(
                owners, tenant.tenant_id, last, nights=nights, seconds=60 * minutes, report=report
            )
            panels = dashboards(last, nights, str(runs[-1]))

            def ask(panel: Panel, _: random.Random) -> Parameters:
                return panel.query(last)

            alone: dict[str, list[float]] = {}
            cpu: dict[str, tuple[float, float | None]] = {}
            async with api_process(dsn, _KEPT) as url:
                for n, panel in enumerate(panels):
                    report("asking one by one", n, len(panels))
                    api, database = await _cpu(admins)
                    alone |= await time_panels(
                        url, key, [panel], ask, rounds=rounds, concurrency=1, report=_quiet
                    )
                    api_after, database_after = await _cpu(admins)
                    asked = rounds + WARM_UP
                    cpu[panel.name] = (
                        round(1e3 * (api_after - api) / asked, 2),
                        round(1e3 * (database_after - database) / asked, 2) if database else None,
                    )
                busy = await time_panels(
                    url, key, panels, ask, rounds=rounds, concurrency=clients, report=report
                )
            witness = Witness(readers, tenant.tenant_id, key, _KEPT)
            rows = {panel.name: await witness.rows_read(panel, last) for panel in panels}
            stored = await owners.fetchval("SELECT count(*) FROM k6_aggregates", timeout=600)
    return DashboardResult(
        storage,
        nights,
        60 * minutes,
        clients,
        stored,
        Timing.of([one for times in alone.values() for one in times]),
        Timing.of([one for times in busy.values() for one in times]),
        {
            name: RouteResult(Timing.of(alone[name]), Timing.of(busy[name]), *cpu[name], rows[name])
            for name in alone
        },
    )


async def _cpu(admins: Pool) -> tuple[float, float]:
    """Seconds of CPU that the API process has taken, and its sessions in the database; 0 of another machine."""
    api = sum(_seconds(one) for one in psutil.Process().children())
    rows = await admins.fetch(_BACKENDS)
    found = [psutil.Process(row["pid"]) for row in rows if psutil.pid_exists(row["pid"])]
    return api, sum(_seconds(one) for one in found if "postgres" in one.name())


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _quiet(what: str, done: int, total: int) -> None:
    """The line of progress is another's."""
