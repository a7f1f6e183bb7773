"""How results of the benchmarks look in a terminal."""

from rich.table import Table

from deploy.bench import ingest, post_test, query
from deploy.bench.dashboards import DashboardResult


def dashboard_table(result: DashboardResult) -> Table:
    """The requests of the benchmark of dashboards, a row each."""
    alone, busy = result.all_alone, result.all_busy
    table = Table(
        title=f"{result.nights} nights, {result.aggregate_rows:,} rows, {result.storage}",
        caption=f"all, p95: [bold]{alone.p95_ms}[/] ms by one client, [bold]{busy.p95_ms}[/] ms by {result.clients}",
    )
    table.add_column("request", no_wrap=True)
    for name in (
        "p50, ms",
        "p95, ms",
        f"p95 of {result.clients}",
        "API CPU, ms",
        "database",
        "rows",
    ):
        table.add_column(name, justify="right")
    for name, route in result.routes.items():
        database = "" if route.database_cpu_ms is None else f"{route.database_cpu_ms}"
        times = (route.alone.p50_ms, route.alone.p95_ms, route.busy.p95_ms, route.api_cpu_ms)
        table.add_row(name, *map(str, times), database, f"{route.rows_read:,}")
    return table


def ingest_table(result: ingest.Result) -> Table:
    """How fast a topic was drained, beside the limit."""
    table = Table(title=f"ingest, {result.shape}, {result.storage}", show_header=False)
    share = result.samples_per_second / result.limit_samples_per_second
    table.add_row("samples a second", f"[bold]{result.samples_per_second:,}[/]")
    table.add_row(
        "limit (COPY alone)", f"{result.limit_samples_per_second:,}; ingest reaches {share:.0%}"
    )
    table.add_row("samples, rows", f"{result.samples:,}, {result.rows:,}")
    table.add_row("CPU of the process", f"{result.cpu_seconds} s")
    table.add_row("peak memory of the process", f"{result.peak_rss_mb} MB")
    table.add_row("bytes a sample on disk", f"{result.bytes_per_sample}")
    return table


def post_test_table(result: post_test.Result) -> Table:
    """What the steps after a load test took, and what they left."""
    table = Table(title=f"after a load test, {result.storage}", show_header=False)
    table.add_row("points", f"{result.points:,}")
    table.add_row("aggregated in", f"[bold]{result.aggregate_seconds}[/] s")
    table.add_row("rows of aggregates", f"{result.aggregate_rows:,}")
    table.add_row("counts", "match" if result.counts_match else "[red]differ[/]")
    table.add_row("deleted in", f"{result.clean_up_seconds} s")
    table.add_row("raw points left, dead rows", f"{result.raw_left:,}, {result.dead_rows:,}")
    before, after = result.disk_before, result.disk_after
    table.add_row("disk: raw points", f"{before.raw / 1e6:,.0f} MB, then {after.raw / 1e6:,.0f}")
    table.add_row("disk: aggregates", f"{before.kept / 1e6:,.0f} MB, then {after.kept / 1e6:,.0f}")
    return table


def query_table(result: query.Result) -> Table:
    """The panels of the mix, a row each."""
    table = Table(
        title=f"{result.days} days of {result.series} series, {result.storage}",
        caption=f"mix: p50 [bold]{result.mix.p50_ms}[/], p95 [bold]{result.mix.p95_ms}[/], "
        f"p99 [bold]{result.mix.p99_ms}[/] ms; of an API that remembers nothing "
        f"{result.mix_first_look.p50_ms}, {result.mix_first_look.p95_ms}, {result.mix_first_look.p99_ms} ms",
    )
    table.add_column("panel")
    for name in ("p95, ms", "rows read", "from raw", "times fewer"):
        table.add_column(name, justify="right")
    for name, panel in result.queries.items():
        raw = panel.rows_read_raw
        table.add_row(
            name,
            f"{panel.p95_ms}",
            f"{panel.rows_read:,}",
            "" if raw is None else f"{raw:,}",
            "" if raw is None else f"{raw / max(panel.rows_read, 1):,.0f}",
        )
    return table
