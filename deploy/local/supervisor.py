"""Starts a stack, watches it and stops it.

    servers side by side → migrate → apps side by side → watch → apps stop → servers stop

A server or the migration that fails at the start stops everything: nothing could work. An app that
fails is shown as failed, and started again later; the others stay up. What it does is read in
state.json.
"""

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any

import msgspec
import psutil

from deploy.local import children
from deploy.local import state as states
from deploy.local.home import Home, tail
from deploy.local.keeper import TAIL_LINES, Keeper, ended
from deploy.local.ports import Ports
from deploy.local.processes import App, Table
from deploy.local.program import CannotPrepareError, Program, Server, answers
from deploy.local.restarts import APP_RESTARTS, SERVER_RESTARTS
from deploy.local.state import Endpoints, Service, State


class StartError(Exception):
    """Something without which the stack is useless did not start; the message tells why."""


class Supervisor:
    """One run of a stack."""

    def __init__(
        self,
        home: Home,
        ports: Ports,
        servers: Mapping[str, Server | str],
        table: Table,
        env: Mapping[str, str],
    ) -> None:
        """`servers`: what is embedded, or the address of what is external, by endpoint name."""
        self._home, self._ports, self._servers, self._table = home, ports, servers, table
        self._env = children.environment(home, env)
        self._keepers: list[tuple[Program, Keeper]] = []
        self._stop = asyncio.Event()
        me = psutil.Process()
        external = {name: at for name, at in servers.items() if isinstance(at, str)}
        self._state = State(
            phase="starting",
            supervisor_pid=me.pid,
            supervisor_create_time=me.create_time(),
            port_offset=ports.offset,
            endpoints=_endpoints(ports, external),
            services=tuple(self._planned()),
        )

    def stop(self) -> None:
        """Begin to stop; `run` returns when everything has."""
        self._stop.set()

    async def run(self) -> int:
        """Start everything, stay until told to stop, stop everything.

        Returns the exit code: 0 stopped as told, 1 failed to start.
        """
        problem = ""
        self._change(phase="starting")
        begin = asyncio.create_task(self._begin())
        stop = asyncio.create_task(self._stop.wait())
        await asyncio.wait({begin, stop}, return_when=asyncio.FIRST_COMPLETED)
        if begin.done():
            try:
                begin.result()
            except StartError as error:
                problem = str(error)
            else:
                self._change(phase="running")
                await stop
        self._change(phase="stopping", problem=problem)
        begin.cancel()
        stop.cancel()
        await asyncio.gather(begin, stop, return_exceptions=True)
        for servers in (False, True):  # apps first: their last work needs the servers
            kept = [k for program, k in self._keepers if (program.kind == "service") is servers]
            await asyncio.gather(*(keeper.stop() for keeper in kept))
        self._change(phase="failed" if problem else "stopped")
        return 1 if problem else 0

    async def _begin(self) -> None:
        embedded = {n: s for n, s in self._servers.items() if not isinstance(s, str)}
        await _together(self._start_server(name, server) for name, server in embedded.items())
        if self._table.migrate:
            await self._migrate()
        await _together(self._keep(self._app(app)) for app in self._table.apps)

    async def _start_server(self, endpoint: str, server: Server) -> None:
        loop = asyncio.get_running_loop()

        def report(detail: str) -> None:
            loop.call_soon_threadsafe(lambda: self._tell(server.name, detail=detail))

        try:
            program = await asyncio.to_thread(server.prepare, self._home, self._ports, report)
        except (CannotPrepareError, OSError) as error:
            self._tell(server.name, state="failed", detail=str(error))
            raise StartError(f"{server.name}: {error}") from error
        self._change(
            endpoints=msgspec.structs.replace(self._state.endpoints, **{endpoint: program.url})
        )
        await self._keep(program)
        service = self._service(server.name)
        if service.state != "ready":
            raise StartError(f"{server.name} did not start: {service.detail}\nlog: {service.log}")

    async def _migrate(self) -> None:
        program = Program("migrate", "step", self._table.migrate, probe=_nothing, port=0, url="")
        log = self._home.log("migrate")
        process, created, since = await children.spawn(program, self._home, self._app_env())
        self._tell("migrate", pid=process.pid, create_time=created, log=str(log), detail="running")
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            await children.stop(process, program)
            raise
        if code:
            detail = "\n".join([ended(code), *tail(log, TAIL_LINES, since)])
            self._tell("migrate", state="failed", pid=0, detail=detail)
            raise StartError(f"migrate failed: {detail}\nlog: {log}")
        self._tell("migrate", state="ready", pid=0, detail="done")

    async def _keep(self, program: Program) -> None:
        server = program.kind == "service"
        keeper = Keeper(
            program,
            self._home,
            self._env if server else self._app_env(),
            SERVER_RESTARTS if server else APP_RESTARTS,
            lambda **changes: self._tell(program.name, **changes),
        )
        self._keepers.append((program, keeper))
        await keeper.start()

    def _app(self, app: App) -> Program:
        port = self._ports[app.port]
        url = self._ports.url(app.port)
        return Program(app.name, "app", app.argv, answers(port, "/readyz"), port, url)

    def _app_env(self) -> dict[str, str]:
        endpoints = self._state.endpoints
        return {
            **self._env,
            "HEADRACE_HOME": str(self._home.root),
            "HEADRACE_RUNTIME": str(self._home.runtime),
            "HEADRACE_PORT_OFFSET": str(self._ports.offset),
            "HEADRACE_KAFKA": endpoints.kafka,
            "HEADRACE_DATABASE": endpoints.database,
            "HEADRACE_TEMPORAL": endpoints.temporal,
        }

    def _planned(self) -> Iterable[Service]:
        for endpoint, server in self._servers.items():
            if isinstance(server, str):
                yield Service(endpoint, "service", "external", url=server)
            else:
                yield Service(server.name, "service", "starting", detail="preparing")
        if self._table.migrate:
            yield Service("migrate", "step", "starting", detail="waits for the servers")
        for app in self._table.apps:
            yield Service(app.name, "app", "starting", detail="waits for migrate")

    def _service(self, name: str) -> Service:
        return next(service for service in self._state.services if service.name == name)

    def _tell(self, name: str, **changes: Any) -> None:
        old = self._service(name)
        new = msgspec.structs.replace(old, **changes)
        if new != old:
            services = tuple(new if s is old else s for s in self._state.services)
            self._change(services=services)

    def _change(self, **changes: Any) -> None:
        self._state = msgspec.structs.replace(self._state, **changes)
        states.write(self._home.state, self._state)


def _endpoints(ports: Ports, external: Mapping[str, str]) -> Endpoints:
    """Addresses known before anything runs; the database's comes with its password."""
    return Endpoints(
        kafka=external.get("kafka", ports.address("kafka")),
        database=external.get("database", ""),
        temporal=external.get("temporal", ports.address("temporal")),
        temporal_ui="" if "temporal" in external else ports.url("temporal-ui"),
        gateway=ports.url("gateway"),
        api=ports.url("api"),
        ingest_metrics=ports.url("ingest"),
        worker_metrics=ports.url("worker"),
        items=ports.url("items"),
    )


async def _together(starts: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Await all; the first failure cancels the others and is raised."""
    tasks = [asyncio.create_task(start) for start in starts]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _nothing() -> None:
    """The probe of a step: nobody asks a step whether it is ready."""
