"""Runs the items service as a process beside the stack; uses one that runs already."""

import os
import subprocess
import time
from collections.abc import Mapping
from typing import Self

import httpx

from deploy.demo.failures import DemoFailed
from deploy.local import children, ports
from deploy.local.home import Home, tail
from deploy.local.processes import COMMAND

_READY_WITHIN = 30.0
_STOP_WITHIN = 10.0
_LOOK_EVERY = 0.05


class ItemsProcess:
    """The items service on a port of this machine.

    Its environment carries the stack's mark: whatever stops the stack finds it and stops it too,
    also after the demo was killed.
    """

    def __init__(self, home: Home, port: int, database: str) -> None:
        self.url = f"http://{ports.HOST}:{port}"
        self.log = home.log("items")
        self._home = home
        self._port = port
        self._database = database
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, base: Mapping[str, str]) -> Self:
        """Start it and wait until it is ready; `base` is our own environment.

        Raises:
            DemoFailed: something else has the port, or it did not start.
        """
        if not ports.is_free(self._port):
            if _answer(f"{self.url}/healthz") != {"service": "items"}:
                taken = ports.Busy("items", self._port, ports.owner(self._port))
                raise DemoFailed(f"{taken}. Stop that, or take other ports: --port-offset")
        else:
            self._process = self._spawn(base)
        deadline = time.monotonic() + _READY_WITHIN
        while _answer(f"{self.url}/readyz") != {"database": True}:
            ended = self._process and self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                self.stop()
                last = "\n".join(tail(self.log, 5))
                raise DemoFailed(f"The items service did not start. Its log, {self.log}:\n{last}")
            time.sleep(_LOOK_EVERY)
        return self

    def stop(self) -> None:
        """Stop it, if it was started here."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _spawn(self, base: Mapping[str, str]) -> subprocess.Popen[bytes]:
        log = self._home.open_log("items")
        try:
            return subprocess.Popen(
                (*COMMAND, "items", "--port", str(self._port)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={
                    **children.environment(self._home, base),
                    "HEADRACE_DATABASE": self._database,
                    "HEADRACE_API_HOST": ports.HOST,
                },
                start_new_session=True,  # a Ctrl-C is for the demo, which then stops it in order
            )
        finally:
            os.close(log)


def _answer(url: str) -> object:
    """What a JSON endpoint answers; None when nothing sensible does."""
    try:
        return httpx.get(url, timeout=2).json()
    except (httpx.HTTPError, ValueError):
        return None
