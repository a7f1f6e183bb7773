"""What callers use: start, find, watch and stop the stack of one home.

with Stack(tmp_path, "auto", runtime=cache, services_only=True) as stack:
    connect(stack.endpoints.database)
"""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from deploy.local import leftovers, ports
from deploy.local import state as states
from deploy.local.home import Home, tail, try_lock
from deploy.local.launch import launch
from deploy.local.processes import SERVICES_ONLY, TABLE, Table
from deploy.local.state import Endpoints, State
from schemas.errors import HeadraceError
from schemas.settings import EMBEDDED, Settings

LOOK_EVERY = 0.05
STOP_WITHIN = 75.0
"""Seconds; apps have 10, servers 20, and the reaper the same again for what was left."""

OnChange = Callable[[State], None]


class StackError(HeadraceError):
    """The stack did not do what was asked; the message says why and what to do."""


class Stack:
    """The stack of one home folder, running or not."""

    def __init__(
        self,
        home: Path,
        port_offset: int | Literal["auto"] = 0,
        *,
        runtime: Path | None = None,
        services_only: bool = False,
        kafka: str = EMBEDDED,
        database: str = EMBEDDED,
        temporal: str = EMBEDDED,
        temporal_namespace: str = "default",
        table: Table = TABLE,
    ) -> None:
        """An address other than 'embedded' means: use that server, start none."""
        self.home = Home.at(home, runtime)
        self._port_offset = port_offset
        self._addresses = {"kafka": kafka, "database": database, "temporal": temporal}
        self._namespace = temporal_namespace
        self._table = SERVICES_ONLY if services_only else table
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._leash: int | None = None

    @classmethod
    def from_settings(cls, settings: Settings, *, services_only: bool = False) -> Self:
        """The stack that the environment describes."""
        return cls(
            settings.home,
            settings.port_offset,
            runtime=settings.runtime,
            services_only=services_only,
            kafka=settings.kafka,
            database=settings.database,
            temporal=settings.temporal,
            temporal_namespace=settings.temporal_namespace,
        )

    def state(self) -> State | None:
        """The state of the running stack; None when no supervisor runs."""
        state = states.read(self.home.state)
        if state and states.process(state.supervisor_pid, state.supervisor_create_time):
            return state
        return None

    def last_state(self) -> State | None:
        """What the last stack wrote down, whether it runs or not."""
        return states.read(self.home.state)

    @property
    def is_ours(self) -> bool:
        """Whether this object started the stack, rather than finding it."""
        return self._supervisor is not None

    @property
    def on_leash(self) -> bool:
        """Whether the stack stops when this process dies."""
        return self._leash is not None

    def busy_ports(self, offset: int | None = None) -> list[ports.Busy]:
        """Ports that this stack needs (at another offset, if given) and somebody else has."""
        wanted = offset if offset is not None else self._port_offset
        if wanted == "auto":
            return []
        names = [
            name
            for server, server_ports in ports.SERVER_PORTS.items()
            if self._addresses[server] == EMBEDDED
            for name in server_ports
        ]
        names += [app.port for app in self._table.apps]
        return ports.busy(names, ports.Ports(wanted))

    @property
    def endpoints(self) -> Endpoints:
        """Addresses of the running stack.

        Raises:
            StackError: it does not run.
        """
        state = self.state()
        if state is None:
            raise StackError("No stack runs here. Start it: headrace up")
        return state.endpoints

    def start(self, *, detach: bool = False, on_change: OnChange | None = None) -> State:
        """Start the stack, or find the one that runs; returns when everything is ready.

        Unless detached, the stack stops when this process dies.

        Raises:
            PortsInUse: names the ports, and who has them.
            StackError: the home folder can't be written, or something did not start; an app that did
                not leaves the others running.
        """
        try:
            self.home.make()
            fd = self._lock_or_running()
        except OSError as error:
            raise StackError(
                f"{error}\nIs the home folder yours? Another: HEADRACE_HOME=/some/folder"
            ) from error
        if fd is not None:
            try:
                leftovers.stop(self.home)
                self._launch(fd, detach=detach)
            finally:
                os.close(fd)
        return self._wait_started(on_change or (lambda _: None))

    def stop(self, on_change: OnChange | None = None) -> bool:
        """Stop whatever runs of this stack; False when nothing did.

        Raises:
            StackError: it would not go.
        """
        if not self.home.root.exists():
            return False
        deadline, found, killed = time.monotonic() + STOP_WITHIN, False, False
        while (fd := try_lock(self.home)) is None:
            state = states.read(self.home.state)
            supervisor = state and states.process(
                state.supervisor_pid, state.supervisor_create_time
            )
            if state and supervisor:
                if not found:
                    supervisor.terminate()
                if on_change:
                    on_change(state)
                found = True
            if time.monotonic() > deadline:
                if killed or not supervisor:
                    raise StackError(f"The stack in {self.home.root} does not stop; see its logs.")
                supervisor.kill()  # the reaper takes over
                killed, deadline = True, time.monotonic() + STOP_WITHIN
            time.sleep(LOOK_EVERY)
        try:
            found = bool(leftovers.stop(self.home)) or found
        finally:
            os.close(fd)
        self._let_go()
        return found

    def hold(self, name: str) -> None:
        """Stop one process and keep it down, as an outage would, until `release`."""
        (self.home.held / name).touch()
        service = self._service(name)
        process = states.process(service.pid, service.create_time)
        if process:
            leftovers.terminate([process], seconds=20)
        self._wait_service(name, "stopped")

    def release(self, name: str) -> None:
        """Let a held process start again; returns when it is ready."""
        (self.home.held / name).unlink(missing_ok=True)
        self._wait_service(name, "ready")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _lock_or_running(self) -> int | None:
        """The lock; None when a stack runs. Waits while another is being started or stopped."""
        deadline = time.monotonic() + STOP_WITHIN
        while (fd := try_lock(self.home)) is None:
            state = self.state()
            if state and state.phase in {"starting", "running"}:
                return None
            if time.monotonic() > deadline:
                raise StackError(
                    f"Another process holds {self.home.root / 'lock'} and does not finish. "
                    "See what runs: headrace status; stop it: headrace down"
                )
            time.sleep(LOOK_EVERY)
        return fd

    def _launch(self, lock_fd: int, *, detach: bool) -> None:
        offset = ports.free_offset() if self._port_offset == "auto" else self._port_offset
        busy = self.busy_ports(offset)
        if busy:
            raise ports.PortsInUse(busy)
        self.home.state.unlink(missing_ok=True)
        for hold in self.home.held.iterdir():
            hold.unlink()
        self._let_go()
        settings = {
            **self._addresses,
            "port_offset": str(offset),
            "temporal_namespace": self._namespace,
        }
        self._supervisor, self._leash = launch(
            self.home, self._table, settings, lock_fd, leash=not detach
        )

    def _wait_started(self, on_change: OnChange) -> State:
        seen: State | None = None
        while True:
            state = states.read(self.home.state)
            if state and state.phase == "running":
                if not state.ready:
                    raise StackError(_what_failed(state))
                return state
            if state and state != seen:
                on_change(state)
                seen = state
            if state and state.phase in {"failed", "stopped"}:
                self._let_go()
                raise StackError(state.problem or "The stack was stopped while it started.")
            if not self._supervisor_lives():
                last = "\n".join(tail(self.home.log("supervisor"), 15))
                raise StackError(
                    f"The supervisor was killed before the stack was ready; start it again.\n{last}"
                )
            time.sleep(LOOK_EVERY)

    def _supervisor_lives(self) -> bool:
        if self._supervisor:
            return self._supervisor.poll() is None
        return self.state() is not None

    def _let_go(self) -> None:
        """Forget a supervisor that ended, or that shall end with its leash."""
        if self._leash is not None:
            os.close(self._leash)
            self._leash = None
        if self._supervisor:
            self._supervisor.wait()
            self._supervisor = None

    def _service(self, name: str) -> states.Service:
        state = self.state()
        for service in state.services if state else ():
            if service.name == name:
                return service
        raise StackError(f"No {name} runs here. See what does: headrace status")

    def _wait_service(self, name: str, condition: states.Condition) -> None:
        deadline = time.monotonic() + 120
        while (service := self._service(name)).state != condition:
            if time.monotonic() > deadline:
                raise StackError(f"{name} is not {condition}: {service.detail}\nlog: {service.log}")
            time.sleep(LOOK_EVERY)


def _what_failed(state: State) -> str:
    lines = [f"{s.name}: {s.detail}\nlog: {s.log}" for s in state.services if s.state == "failed"]
    return "\n".join(lines) or "Not everything is ready. See: headrace status"
