"""`headrace api` as a process: it starts, waits for its database, and stops."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys

import httpx

from tests.exposition import check_measured
from tests.outages import database_away


async def until_ready(port: int, status: int) -> None:
    """Wait until /readyz answers so; the test's own time limit ends it."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        while True:
            try:
                if (await client.get("/readyz")).status_code == status:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)  # there is no event of another process to wait for


def start_api(dsn: str, *options: str) -> "subprocess.Popen[str]":
    environment = {
        **os.environ,
        "HEADRACE_DATABASE": dsn,
        "HEADRACE_KAFKA": "unused:1",
        "HEADRACE_TEMPORAL": "unused:1",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "deploy.cli", "api", *options],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )


async def test_the_process_starts_before_its_database_and_stops_when_told(
    postgres: str, database: str
) -> None:
    """It is up but not ready while the database is away, recovers by itself, and exits 0 on SIGTERM."""
    with database_away(postgres, database):
        process = start_api(database, "--port", "0")
        assert process.stderr is not None
        found = None
        while found is None:
            found = re.search(
                r"listens on http://127\.0\.0\.1:(\d+)",
                await asyncio.to_thread(process.stderr.readline),
            )
        port = int(found[1])
        await until_ready(port, 503)
    await until_ready(port, 200)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        assert (await client.get("/api/v1/runs")).status_code == 401
        check_measured((await client.get("/metrics")).text, "GET", "/api/v1/runs", 401)
    process.send_signal(signal.SIGTERM)
    _, log = await asyncio.to_thread(process.communicate, timeout=10)
    assert process.returncode == 0
    assert "Traceback" not in log


def test_a_busy_port_is_named() -> None:
    """The command says which port is taken and ends with the code for wrong configuration."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        process = start_api("postgresql://postgres@127.0.0.1:1/none", "--port", port)
        _, log = process.communicate(timeout=60)
    assert process.returncode == 2
    assert port in log
    assert "Traceback" not in log
