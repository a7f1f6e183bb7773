"""`headrace bench`: speed, measured on this machine, beside what its database could do at best."""

import dataclasses
import json
from typing import Annotated

import typer
from rich.console import Console

from deploy.bench import alerts as alert_times
from deploy.bench import dashboards as load_tests
from deploy.bench import post_test as post_tests
from deploy.bench import query as queries
from deploy.bench.ingest import bench_ingest
from deploy.bench.query_mix import METRICS
from deploy.bench.workload import Shape
from deploy.cli.bench_display import (
    dashboard_table,
    ingest_table,
    post_test_table,
    query_table,
)
from deploy.cli.bench_servers import measured
from schemas.errors import Permanent
from schemas.settings import Settings

bench = typer.Typer(
    help="Measure this machine. Each benchmark makes and removes its own topic and database.",
    no_args_is_help=True,
)


def register(app: typer.Typer) -> None:
    """Add the commands to the CLI."""
    app.add_typer(bench, name="bench")


@bench.command("ingest")
def ingest(
    *,
    samples: Annotated[
        int, typer.Option(min=200_000, help="How many samples to ingest.")
    ] = 4_000_000,
    shape: Annotated[
        Shape,
        typer.Option(help="Records of 100 samples in JSON, of one sample, or of 1,000 in Arrow."),
    ] = "json100",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Drain a preloaded topic through the real ingest process into the database.

    Beside it stands the limit: COPY of the same rows, encoded beforehand, into the same table. Uses the
    stack that runs, the servers of HEADRACE_KAFKA and HEADRACE_DATABASE, or a stack of its own.

        headrace bench ingest
        headrace bench ingest --shape arrow --samples 10000000 --json
    """
    if samples % 1000:
        raise Permanent("--samples must be a multiple of 1,000: an Arrow record carries so many.")
    result = measured(
        lambda at, report: bench_ingest(at.kafka, at.database, shape, samples, report),
        "kafka",
        "database",
    )
    if as_json:
        print(json.dumps(dataclasses.asdict(result)))
    else:
        Console().print(ingest_table(result))


@bench.command("alerts")
def alerts(
    *,
    seconds: Annotated[
        float, typer.Option(min=1, max=45, help="How long series become bad, twenty a second.")
    ] = 20,
    rounds: Annotated[
        int, typer.Option(min=1, help="How often ingest drains a backlog without rules, and with.")
    ] = 6,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Send 50,000 samples a second of 1,000 series past 200 rules, and time the alerts.

    From the first breaching sample to the transition that a consumer has. Then 4 million samples of the
    same series are drained as fast as can be, without rules and with them. Runs headrace ingest and
    headrace alerts themselves, with topics and databases of their own.

        headrace bench alerts --json
    """
    result = measured(
        lambda at, report: alert_times.bench_alerts(at.kafka, at.database, seconds, rounds, report),
        "kafka",
        "database",
    )
    facts = dataclasses.asdict(result)
    latency = {name.removesuffix("_ms"): value for name, value in facts["latency_ms"].items()}
    if as_json:
        print(json.dumps(facts | {"latency_ms": latency}))
    else:
        for name, value in (facts | {"latency_ms": latency}).items():
            print(f"{name:24}{value}")
    if result.transitions_seen != result.transitions_expected:
        raise typer.Exit(1)


@bench.command("query")
def query(
    *,
    days: Annotated[int, typer.Option(min=1, max=365, help="How long the history is.")] = 30,
    series: Annotated[
        int, typer.Option(min=len(METRICS), help="How many series, a sample every 10 s of each.")
    ] = 1000,
    rounds: Annotated[
        int, typer.Option(min=1, help="How often each panel of the mix is asked for.")
    ] = 100,
    concurrency: Annotated[
        int, typer.Option(min=1, max=64, help="How many requests are under way at a time.")
    ] = 8,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Ask the query API for the panels of a dashboard, over a month of history.

    Loads the history into a database of its own, rolls it up, and asks the real API process. Rows read
    are the database's own count, for each panel and for the same answer from raw samples; the answers
    are compared, and where they differ the exit code is 1. 30 days of 100 series take 5 minutes and
    4 GB, of 1,000 series (259M samples) ten times as much.

        headrace bench query --series 100
        headrace bench query --days 7 --series 100 --json
    """
    if series % len(METRICS):
        raise Permanent(
            f"--series must be a multiple of {len(METRICS)}: so many metrics they have."
        )
    result = measured(
        lambda at, report: queries.bench_query(
            at.database,
            days=days,
            series=series,
            rounds=rounds,
            concurrency=concurrency,
            policy=Settings().lifecycle,
            report=report,
        ),
        "database",
    )
    if as_json:
        print(json.dumps(dataclasses.asdict(result)))
    else:
        Console().print(query_table(result))
    for difference in result.differences:
        Console(stderr=True).print(f"[red]differs[/] {difference}", highlight=False)
    if result.differences:
        raise typer.Exit(1)


@bench.command("dashboards")
def dashboards(
    *,
    nights: Annotated[
        int, typer.Option(min=1, help="Nightly runs; of the last 14 there are seconds.")
    ] = 365,
    minutes: Annotated[int, typer.Option(min=1, max=60, help="How long each run went.")] = 30,
    rounds: Annotated[int, typer.Option(min=1, help="How often each request is timed.")] = 20,
    clients: Annotated[
        int, typer.Option(min=1, help="Clients that ask without a pause, after one alone.")
    ] = 8,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Time the dashboards of load tests over a year of nightly runs of 50 endpoints.

    Each request first by one client, with the CPU and the rows that it takes,
    then all of them by several.

        headrace bench dashboards
        headrace bench dashboards --nights 30 --json
    """
    result = measured(
        lambda at, report: load_tests.bench_dashboards(
            at.database,
            nights=nights,
            minutes=minutes,
            rounds=rounds,
            clients=clients,
            report=report,
        ),
        "database",
    )
    if as_json:
        print(json.dumps(dataclasses.asdict(result)))
    else:
        Console().print(dashboard_table(result))


@bench.command("post-test")
def post_test(
    *,
    points: Annotated[
        int, typer.Option(min=10_000, help="How many points the load test has.")
    ] = 10_000_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Aggregate half an hour of a load test, verify its counts, delete its raw points.

    The points (50 endpoints, 9 metrics a request) are generated in a database of its own, as ingest
    leaves them. Where counts differ or raw points stay, the exit code is 1. 10M points take 2 minutes
    and 3 GB.

        headrace bench post-test
        headrace bench post-test --points 1000000 --json
    """
    result = measured(
        lambda at, report: post_tests.bench_post_test(at.database, points, report), "database"
    )
    if as_json:
        print(json.dumps(dataclasses.asdict(result)))
    else:
        Console().print(post_test_table(result))
    if result.raw_left or not result.counts_match:
        raise typer.Exit(1)
