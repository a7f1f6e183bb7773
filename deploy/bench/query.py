"""Measures the query API over a month of history: time to an answer, rows read, and whether it is right."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from deploy.bench.query_load import Pool, Report, load_history
from deploy.bench.query_mix import METRICS, mix
from deploy.bench.query_rows import Witness
from deploy.bench.query_traffic import Timing, api_process, time_panels
from schemas.lifecycle import Keeping, LifecyclePolicy, floor
from sinks.database import connect_pool
from sinks.keys import Tenants
from sinks.lifecycle.maintenance import open_lifecycle
from sinks.migrate import migrate
from sinks.scratch import scratch_database

_TENANT = "bench"
_SHOWN = 20


@dataclass(frozen=True)
class PanelResult:
    """Time to a panel's answer while the others are asked for, and rows read for it."""

    p95_ms: float
    rows_read: int
    rows_read_raw: int | None
    """For the same answer from raw samples; None where it is not one of samples."""


@dataclass(frozen=True)
class Result:
    """What `headrace bench query` finds out."""

    storage: str
    days: int
    series: int
    mix: Timing
    mix_first_look: Timing
    """Of an API that remembers nothing."""
    queries: dict[str, PanelResult]
    differences: list[str]
    """Some of the points that are not what the raw samples give; none when all is right."""


async def bench_query(
    server: str,
    *,
    days: int,
    series: int,
    rounds: int,
    concurrency: int,
    policy: LifecyclePolicy,
    report: Report,
) -> Result:
    """Run once, in a database of its own that is gone afterwards.

    Each panel of the mix is asked `rounds` times, by `concurrency` clients that never pause: as of one of the
    last minutes, and where it shows a host, of any. Rows are those that the database says it read for the
    very statements of the API when it remembers nothing.
    """
    with scratch_database(server) as dsn:
        storage = migrate(dsn).storage
        # Longer than the history, or what is under way would grow too old in the middle of it.
        kept = timedelta(days=days + 2)
        policy = replace(policy, raw=Keeping(policy.raw.compress_after, kept))
        owners = await connect_pool(dsn, role="headrace_owner", application="bench")
        readers = await connect_pool(dsn, role="headrace_reader", application="bench")
        async with owners, readers:
            end = floor(datetime.now(UTC), timedelta(minutes=1))
            tenants = Tenants(owners)
            tenant, _ = await tenants.create(_TENANT)
            key = await tenants.create_key(_TENANT, ("read",))
            begin = floor(end - timedelta(days=days), timedelta(hours=1))
            await load_history(owners, tenant.tenant_id, begin, end, series=series, report=report)
            await age_history(owners, policy, begin, end, report)

            panels = mix(days)

            async def ask(*options: str) -> dict[str, list[float]]:
                async with api_process(dsn, kept, *options) as url:
                    return await time_panels(
                        url,
                        key,
                        panels,
                        lambda panel, order: panel.look(end, series // len(METRICS), order),
                        rounds=rounds,
                        concurrency=concurrency,
                        report=report,
                    )

            took, first_look = await ask(), await ask("--memory-mb", "0")
            witness = Witness(readers, tenant.tenant_id, key, kept)
            queries, differences = {}, []
            for n, panel in enumerate(panels):
                report("comparing with raw samples", n, len(panels))
                queries[panel.name] = PanelResult(
                    Timing.of(took[panel.name]).p95_ms,
                    await witness.rows_read(panel, end),
                    await witness.rows_read_raw(panel, end),
                )
                differences += await witness.differences(panel, end)
    return Result(
        storage,
        days,
        series,
        _whole(took),
        _whole(first_look),
        queries,
        differences[:_SHOWN],
    )


def _whole(took: dict[str, list[float]]) -> Timing:
    return Timing.of([seconds for panel in took.values() for seconds in panel])


async def age_history(
    pool: Pool, policy: LifecyclePolicy, begin: datetime, end: datetime, report: Report
) -> None:
    """Do what maintenance has done by the time that a history is so long."""

    def progress(words: str) -> None:
        report(words, 0, 1)

    lifecycle = await open_lifecycle(pool, policy)
    await lifecycle.refresh_range(begin, end, end, progress)
    await lifecycle.compact(end, progress)
    # Hours change while they last, and late samples are few.
    await pool.execute(
        "UPDATE hour_versions SET changed_at = least(changed_at, hour + interval '65 min')"
    )
    progress("vacuum and analyze")
    await pool.execute("VACUUM ANALYZE", timeout=3600)
