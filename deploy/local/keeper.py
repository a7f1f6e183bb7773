"""Keeps one program running: starts it, asks whether it is ready, starts it again when it exits."""

import asyncio
import contextlib
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping
from typing import Any

from deploy.local import children
from deploy.local.home import Home, tail
from deploy.local.program import NotReadyError, Program
from deploy.local.restarts import Restarts

PROBE_EVERY = 0.1
PROBE_TIMEOUT = 10.0
TAIL_LINES = 15

Tell = Callable[..., None]
"""Called with the fields of `state.Service` that changed."""


class Keeper:
    """One program under the supervisor's care."""

    def __init__(
        self, program: Program, home: Home, env: Mapping[str, str], policy: Restarts, tell: Tell
    ) -> None:
        self._program, self._home, self._env = program, home, env
        self._policy, self._tell = policy, tell
        self._process: Process | None = None
        self._since = 0
        self._settled = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to keep it; returns when it is ready or has failed."""
        program = self._program
        log = str(self._home.log(program.name))
        self._tell(port=program.port, url=program.url, log=log, detail="starting")
        self._task = asyncio.create_task(self._keep())
        self._task.add_done_callback(self._ended)
        await self._settled.wait()

    async def stop(self) -> None:
        """Stop the program and no longer start it."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._process:
            await children.stop(self._process, self._program)
        self._tell(state="stopped", pid=0, detail="")

    async def _keep(self) -> None:
        loop, exits, restarts = asyncio.get_running_loop(), 0, 0
        while True:
            await self._while_held()
            self._process, created, self._since = await children.spawn(
                self._program, self._home, self._env
            )
            pid = self._process.pid
            self._tell(state="starting", pid=pid, create_time=created, restarts=restarts)
            ready_at = await self._until_ready(self._process)
            code = await self._process.wait()
            ready_for = loop.time() - ready_at if ready_at is not None else 0.0
            exits = self._policy.exits_in_a_row(exits, ready_for)
            delay = self._policy.delay(exits, code)
            self._exited(code, exits, delay)
            if delay is None:
                return
            await asyncio.sleep(delay)
            restarts += 1

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Whatever went wrong in keeping (a program that can't be executed) is shown as failed."""
        error = None if task.cancelled() else task.exception()
        if error:
            self._tell(state="failed", pid=0, detail=f"{type(error).__name__}: {error}")
            self._settled.set()

    async def _while_held(self) -> None:
        """Wait while someone holds the program down, as tests of outages do."""
        hold = self._home.held / self._program.name
        while hold.exists():
            self._tell(state="stopped", detail=f"held down by {hold}")
            await asyncio.sleep(PROBE_EVERY)

    async def _until_ready(self, process: Process) -> float | None:
        """The loop time at which it became ready; None when it exited first."""
        loop = asyncio.get_running_loop()
        deadline, late = loop.time() + self._program.ready_within, False
        while process.returncode is None:
            try:
                await asyncio.wait_for(self._program.probe(), PROBE_TIMEOUT)
            except (NotReadyError, OSError) as error:
                late = late or loop.time() > deadline
                why = str(error) if isinstance(error, NotReadyError) else "not listening yet"
                self._tell(state="failed" if late else "starting", detail=why)
                if late:
                    self._settled.set()
            else:
                self._tell(state="ready", detail="")
                self._settled.set()
                return loop.time()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(process.wait()), PROBE_EVERY)
        return None

    def _exited(self, code: int, exits: int, delay: float | None) -> None:
        given_up = delay is None or exits >= self._policy.patience
        detail = ended(code)
        if delay is not None:
            detail += f", starts again in {delay:g} s"
        if given_up:
            detail = "\n".join(
                [detail, *tail(self._home.log(self._program.name), TAIL_LINES, self._since)]
            )
        changed: dict[str, Any] = {"state": "failed" if given_up else "starting"}
        self._tell(pid=0, detail=detail, **changed)
        if given_up:
            self._settled.set()


def ended(code: int) -> str:
    """How a process ended, in words."""
    return f"killed by signal {-code}" if code < 0 else f"exited with {code}"
