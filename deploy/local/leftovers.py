"""Finds and stops what a stack left running when its supervisor could not stop it.

Three traces lead to a process: what state.json recorded (pid and creation time both match), the
mark in the environment of every child (a child that died with its parent before it was recorded),
and PostgreSQL backends working in our data folder (they overwrite their environment, and leave
their process group).
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
import psutil

from deploy.local import state as states
from deploy.local.home import Home
from deploy.local.program import APP_GRACE, SERVICE_GRACE

MARK = "HEADRACE_STACK"


@dataclass(frozen=True)
class Traces:
    """Living processes of one stack, by how they were found."""

    apps: list[psutil.Process]
    services: list[psutil.Process]
    strays: list[psutil.Process]


def find(home: Home) -> Traces:
    """What still runs of this stack; never this process or its ancestors."""
    state = states.read(home.state)
    recorded: dict[bool, list[psutil.Process]] = {True: [], False: []}
    for service in state.services if state else ():
        process = states.process(service.pid, service.create_time)
        if process:
            recorded[service.kind == "service"].append(process)
    ours = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    known = {process.pid for group in recorded.values() for process in group}
    strays = [p for p in psutil.process_iter() if p.pid not in ours | known and _is_ours(p, home)]
    return Traces(recorded[False], recorded[True], strays)


def stop(home: Home) -> int:
    """Stop what still runs, apps before servers, as gently as time allows; how many there were.

    Only for the holder of the stack's lock. State.json then says that everything is stopped.
    """
    traces = find(home)
    terminate(traces.apps, APP_GRACE)
    terminate(traces.services, SERVICE_GRACE)
    strays = find(home).strays  # a server's own children usually went with it
    terminate(strays, APP_GRACE)
    state = states.read(home.state)
    if state and state.phase not in {"stopped", "failed"}:
        services = tuple(_stopped(service) for service in state.services)
        states.write(home.state, msgspec.structs.replace(state, phase="stopped", services=services))
    return len(traces.apps) + len(traces.services) + len(strays)


def _is_ours(process: psutil.Process, home: Home) -> bool:
    try:
        if process.environ().get(MARK) == str(home.root):
            return True
        in_data = bool(process.cwd() == str(home.data("postgres")))
        return in_data and process.name() == "postgres"
    except (psutil.Error, OSError):
        return False  # another user's, or gone meanwhile


def terminate(processes: list[psutil.Process], seconds: float) -> None:
    """Signal politely, wait, kill what is left."""
    for process in processes:
        # PostgreSQL: SIGTERM would wait for its clients.
        with contextlib.suppress(psutil.Error):
            postgres = process.name() == "postgres"
            process.send_signal(signal.SIGINT if postgres else signal.SIGTERM)
    alive = _wait(processes, seconds)
    kill(alive)
    _wait(alive, 5)


def _wait(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Those that still run after this time.

    psutil's own wait takes zombies for alive, and a container whose first process does not reap
    keeps the zombies of orphans for ever.
    """
    deadline = time.monotonic() + seconds
    while (alive := list(filter(states.runs, processes))) and time.monotonic() < deadline:
        time.sleep(0.02)
    return alive


def kill(processes: Iterable[psutil.Process]) -> None:
    """SIGKILL each process with its descendants and, where it leads one, its group."""
    for process in processes:
        family = [process]
        with contextlib.suppress(psutil.Error):
            family += process.children(recursive=True)
        with contextlib.suppress(ProcessLookupError, PermissionError, psutil.Error):
            if process.is_running() and os.getpgid(process.pid) == process.pid:
                os.killpg(process.pid, signal.SIGKILL)
        for one in family:
            with contextlib.suppress(psutil.Error):
                one.kill()


def _stopped(service: states.Service) -> states.Service:
    if service.state == "external":
        return service
    return msgspec.structs.replace(service, state="stopped", pid=0, detail="")
