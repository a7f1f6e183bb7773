"""An ingest process with rules of its own, that can die between a commit and what it would publish.

    python -m tests.chaos.dying_ingest METRICS [COMMITS] --port PORT

METRICS, with commas between, are watched; p- before one keeps its values. It is killed -9 right after
so many commits that posted something. The rest is the environment's, as for `headrace ingest`.
"""

import os
import signal
import sys
from collections.abc import Sequence

import uvloop
from prometheus_client import CollectorRegistry

from deploy.ingest import IngestConfig, ingesting
from deploy.probes import serve_probes
from deploy.signals import until_stopped
from schemas.settings import Settings
from schemas.topics import Topics
from schemas.watched_rows import PARTS
from sinks.delivery import Written
from sinks.transactions import Pool
from stream.core.watchlist import Labels, WatchedRule
from stream.ingest.forwarding import Forwarding


def _every(labels: Sequence[Labels]) -> Sequence[bool]:
    return [True] * len(labels)


async def _run(port: int, metrics: Sequence[str]) -> None:
    settings = Settings()
    config = IngestConfig(
        kafka=settings.kafka,
        database=settings.database,
        topics=Topics(settings.topic_prefix),
        group=settings.consumer_group,
    )

    async def rules(pool: Pool) -> Sequence[WatchedRule]:
        tenants = await pool.fetch("SELECT tenant_id FROM tenants")
        return [
            WatchedRule(
                tenant,
                name.removeprefix("p-"),
                _every,
                PARTS if name.startswith("p-") else PARTS - {"values"},
            )
            for (tenant,) in tenants
            for name in metrics
        ]

    registry = CollectorRegistry()
    async with (
        ingesting(config, registry, rules) as ingest,
        serve_probes("127.0.0.1", port, registry, ingest.ready),
    ):
        await until_stopped()


def _die_after(commits: int) -> None:
    committed = Forwarding.committed
    left = [commits]

    def commit_and_die(self: Forwarding, written: Written) -> None:
        committed(self, written)
        left[0] -= bool(written.posted)
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    Forwarding.committed = commit_and_die  # type: ignore[method-assign] # dies where nothing else would


if __name__ == "__main__":
    _, names, *commits, _, at = sys.argv
    if commits:
        _die_after(int(commits[0]))
    uvloop.run(_run(int(at), [name for name in names.split(",") if name]))
