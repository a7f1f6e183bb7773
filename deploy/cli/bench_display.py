"""How results of the benchmarks look in a terminal."""

from rich.table import Table

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
