"""`headrace k6 consume` and `headrace k6 end`: runs from a topic that the archived Kafka extension writes."""

import asyncio
import contextlib
import logging
from typing import Annotated, Literal

import typer
import uvloop
from prometheus_client import CollectorRegistry

from deploy.cli.context import resolve, tenant, topics
from deploy.cli.k6.options import ApiKey, KeepRaw, Metrics, Tags, metric_types, seconds, tags
from deploy.cli.k6.shared import UrlFolding, UrlRules, folding, quiet, say
from deploy.probes import serve_probes
from deploy.signals import until_stopped
from producers.k6.source.config import SourceConfig
from producers.k6.source.consumer import Source
from producers.k6.source.ending import end as end_runs
from producers.k6.source.telemetry import Telemetry
from schemas.errors import Temporary
from schemas.settings import Settings

PORT = 21095
_RETRY = 2.0

Topic = Annotated[
    str,
    typer.Option(envvar="HEADRACE_K6_TOPIC", help="The topic that k6 writes to (K6_KAFKA_TOPIC)."),
]


def register(app: typer.Typer) -> None:
    """Add the commands to `headrace k6`."""
    app.command("consume")(consume)
    app.command("end")(end)


def consume(
    *,
    topic: Topic,
    test: Annotated[
        str, typer.Option(envvar="HEADRACE_K6_TEST", help="Name that its runs are compared under.")
    ],
    format: Annotated[  # noqa: A002 # the extension's own word
        Literal["json", "influx"],
        typer.Option(
            envvar="HEADRACE_K6_FORMAT", help="As K6_KAFKA_FORMAT; `influxdb` there is influx here."
        ),
    ] = "json",
    idle: Annotated[
        str,
        typer.Option(
            metavar="DURATION",
            envvar="HEADRACE_K6_IDLE",
            help="Two points further apart, by their own times, belong to two runs.",
        ),
    ] = "30s",
    run_tag: Annotated[
        str | None,
        typer.Option(
            envvar="HEADRACE_K6_RUN_TAG",
            help="One run for each value of this tag, also at the same time: `testid` with `k6 run --tag testid=…`.",
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            envvar="HEADRACE_K6_GROUP",
            help="Kafka group. Another than before reads the topic anew, as runs of its own. "
            "By default one that follows from tenant and topic.",
        ),
    ] = None,
    metric: Metrics = None,
    tag: Tags = None,
    keep_raw: KeepRaw = False,
    url_rules: UrlRules = None,
    url_folding: UrlFolding = True,
    api_key: ApiKey = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help=f"Of /healthz, /readyz and /metrics. [{PORT}]"),
    ] = None,
) -> None:
    """Take runs out of a topic that xk6-output-kafka writes, until told to stop.

    All partitions are read by one process; another one stands by. Each point arrives once, through
    restarts and kill -9; a replay of the topic is the same runs. A run begins with its first point. It is
    over when the next point is more than `--idle` later, when for so long (and 5 s) nothing came, or by
    `headrace k6 end`. A message that is no point goes to the dead letters, with the reason.

        headrace k6 consume --topic k6 --test checkout
        headrace k6 consume --topic k6 --format influx --test checkout --run-tag testid --metric my_errors=rate
    """
    settings = Settings()
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s %(message)s")
    quiet()
    endpoints = resolve(settings, "kafka", "database")
    registry = CollectorRegistry()
    telemetry = Telemetry(registry)
    types, run_tags = metric_types(metric), tags(tag)
    urls = folding(url_rules, by_default=url_folding)
    idle_seconds = seconds("--idle", idle)
    current: list[Source] = []

    async def ready() -> dict[str, bool]:
        return {"kafka": bool(current) and current[0].connected}

    async def work() -> None:
        while True:
            try:
                tenant_id = await tenant(settings, endpoints, api_key)
            except Temporary as error:
                logging.getLogger(__name__).warning("waiting for the database: %s", error)
                await asyncio.sleep(_RETRY)
            else:
                break
        config = SourceConfig(
            bootstrap=endpoints.kafka,
            topics=topics(settings),
            tenant_id=tenant_id,
            topic=topic,
            format=format,
            test=test,
            idle=idle_seconds,
            run_tag=run_tag,
            group=group,
            types=types,
            tags=run_tags,
            keep_raw=keep_raw,
            folding=urls,
        )
        current.append(Source(config, telemetry))
        await current[0].run()

    async def process() -> None:
        at = PORT + settings.port_offset if port is None else port
        async with serve_probes(settings.api_host, at, registry, ready):
            working = asyncio.create_task(work())
            signalled = asyncio.create_task(until_stopped())
            await asyncio.wait({working, signalled}, return_when=asyncio.FIRST_COMPLETED)
            signalled.cancel()
            if current:
                current[0].stop()
            else:
                working.cancel()  # nothing in hand yet
            with contextlib.suppress(asyncio.CancelledError):
                await working

    uvloop.run(process())


def end(
    *,
    topic: Topic,
    value: Annotated[
        str | None,
        typer.Option(
            "--run",
            metavar="VALUE",
            help="Only the run of this value of --run-tag; by default all.",
        ),
    ] = None,
) -> None:
    """End the runs of a topic at once, without waiting for `--idle`: a message in each partition says so.

    Call it when k6 has ended: points that come later begin a new run.

        headrace k6 end --topic k6
    """
    settings = Settings()
    quiet()
    endpoints = resolve(settings, "kafka")
    asyncio.run(end_runs(endpoints.kafka, topic, value))
    say(f"the runs in {topic} end here")
