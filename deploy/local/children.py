"""Starts and stops one child process of the supervisor."""

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Mapping
from pathlib import Path

import psutil

import deploy
from deploy.local import leftovers
from deploy.local.home import Home
from deploy.local.program import Program, grace

CODE = str(Path(deploy.__file__).parents[1])


def environment(home: Home, base: Mapping[str, str]) -> dict[str, str]:
    """The environment of every child: marked as ours, with our code and our scratch folder."""
    paths = [CODE, *filter(None, base.get("PYTHONPATH", "").split(os.pathsep))]
    return {
        **base,
        leftovers.MARK: str(home.root),
        "TMPDIR": str(home.tmp),
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
    }


async def spawn(program: Program, home: Home, env: Mapping[str, str]) -> tuple[Process, float, int]:
    """Start a program in its own session; also its creation time, and where in its log it begins."""
    log = home.open_log(program.name)
    since = os.fstat(log).st_size
    try:
        process = await asyncio.create_subprocess_exec(
            *program.argv,
            stdin=DEVNULL,
            stdout=log,
            stderr=STDOUT,
            cwd=program.cwd or home.root,
            env={**env, **program.env},
            start_new_session=True,
        )
    finally:
        os.close(log)
    try:
        return process, psutil.Process(process.pid).create_time(), since
    except psutil.NoSuchProcess:
        return process, 0.0, since


async def stop(process: Process, program: Program) -> None:
    """Ask it to end, wait its time of grace, then kill what is left of its group."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(program.stop_signal)
    try:
        await asyncio.wait_for(process.wait(), grace(program.kind))
    except TimeoutError:
        with contextlib.suppress(psutil.NoSuchProcess):
            leftovers.kill([psutil.Process(process.pid)])
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # children that outlived their leader
    await process.wait()
