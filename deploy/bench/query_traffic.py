"""Asks the real API process, several requests at a time, and times the answers."""

import asyncio
import os
import random
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import aiohttp
import numpy as np
import psutil

from deploy.bench.query_load import Report
from deploy.bench.query_mix import Panel, Parameters
from deploy.bench.servers import free_port
from schemas.errors import Temporary

STARTS_WITHIN = 30.0
WARM_UP = 5
"""Rounds of the mix that are not counted: connections are opened, plans and pages cached."""


@dataclass(frozen=True)
class Timing:
    """Percentiles of the time to an answer, in milliseconds."""

    p50_ms: float
    p95_ms: float
    p99_ms: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Timing":
        """Of some requests."""
        return cls(*(round(1e3 * float(p), 2) for p in np.percentile(seconds, [50, 95, 99])))


@asynccontextmanager
async def api_process(dsn: str, raw_retention: timedelta, *options: str) -> AsyncIterator[str]:
    """`headrace api` itself over a database. Yields its URL when it is ready."""
    port = free_port()
    env = {
        **os.environ,
        "HEADRACE_DATABASE": dsn,
        "HEADRACE_RAW_RETENTION": f"P{raw_retention.days}D",
    }
    argv = [sys.executable, "-m", "deploy.cli", "api", "--port", str(port), *options]
    process = psutil.Popen(argv, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    url = f"http://127.0.0.1:{port}"
    try:
        await _ready(url, process)
        yield url
    finally:
        process.terminate()
        await asyncio.to_thread(process.communicate)


async def time_panels(
    url: str,
    key: str,
    panels: Sequence[Panel],
    query: Callable[[Panel, random.Random], Parameters],
    *,
    rounds: int,
    concurrency: int,
    report: Report,
) -> dict[str, list[float]]:
    """Seconds to each whole answer, by panel: each is asked `rounds` times, in a random order.

    `query` makes the query string of each request; what is random about it is the same each time.
    `concurrency` clients ask one request after the other without a pause. Raises Temporary for an
    answer other than 200.
    """
    took: dict[str, list[float]] = defaultdict(list)
    order = random.Random(1)  # noqa: S311 # the same order each time, not a secret
    waiting = [order.sample(panels, len(panels)) for _ in range(WARM_UP + rounds)]
    requests = iter(
        [
            (n >= WARM_UP, panel, query(panel, order))
            for n, round_ in enumerate(waiting)
            for panel in round_
        ]
    )
    total = rounds * len(panels)

    async def client(http: aiohttp.ClientSession) -> None:
        for counted, panel, parameters in requests:
            started = time.perf_counter()
            async with http.get(f"/api/v1{panel.path}", params=parameters) as answer:
                body = await answer.read()
            if answer.status != 200:  # noqa: PLR2004
                raise Temporary(
                    f"{panel.name} was answered with {answer.status}: {body[:300].decode()}"
                )
            if counted:
                took[panel.name].append(time.perf_counter() - started)
                report("asking", sum(map(len, took.values())), total)

    try:
        async with (
            aiohttp.ClientSession(url, headers={"X-API-Key": key}) as http,
            asyncio.TaskGroup() as clients,
        ):
            for _ in range(concurrency):
                clients.create_task(client(http))
    except* (Temporary, aiohttp.ClientError) as failed:
        raise Temporary(f"The API failed under load: {failed.exceptions[0]}") from failed
    return took


async def _ready(url: str, process: psutil.Popen) -> None:
    async with asyncio.timeout(STARTS_WITHIN), aiohttp.ClientSession() as http:
        while True:
            if process.poll() is not None:
                _, errors = process.communicate()
                raise Temporary(f"The API did not start:\n{errors.decode()[-2000:]}")
            try:
                async with http.get(f"{url}/readyz") as answer:
                    if answer.ok:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)
