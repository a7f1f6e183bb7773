"""Runs a command: an argument vector, as a user without rights, for a limited time, with limited output."""

import asyncio
import contextlib
import os
import pwd
import signal
import subprocess
from asyncio import StreamReader, StreamReaderProtocol
from collections.abc import Sequence
from typing import TypedDict

from schemas.errors import Invalid, Temporary

_KEPT = 16 * 1024
"""Bytes of output; what follows is read, so that the command is not held up, and dropped."""
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
"""All that a command gets: the worker's own holds passwords."""
_DRAIN = 1.0


class _Account(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


async def run_command(argv: Sequence[str], user: str, seconds: float) -> str:
    """Run it to its end; return its output.

    Raises:
        Invalid: it can't be run, or ends with another status than 0.
        Temporary: it took longer than `seconds`. It was killed, with all that it had started.
    """
    try:
        # Not asyncio's own: that of uvloop knows no users.
        process = await asyncio.to_thread(_start, argv, _account(user))
    except (OSError, ValueError) as error:
        raise Invalid("bad_command", f"{argv[0]} can't be run: {error}") from error
    kept, output = bytearray(), StreamReader()
    pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: StreamReaderProtocol(output), process.stdout
    )
    reading = asyncio.create_task(_read(output, kept))
    try:
        status = await asyncio.to_thread(process.wait, seconds)
    except subprocess.TimeoutExpired as error:
        raise Temporary(f"{argv[0]} was killed after {seconds:g} s. {_shown(kept)}") from error
    finally:
        # What it left in the background must not outlive the step, nor keep its pipe open.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN):
                await reading
        pipe.close()
        process.wait()
    if status != 0:
        raise Invalid("command_failed", f"{argv[0]} ended with status {status}. {_shown(kept)}")
    return _shown(kept)


def _start(argv: Sequence[str], account: _Account) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        env=_ENVIRONMENT,
        start_new_session=True,
        **account,
    )


def _account(name: str) -> _Account:
    if os.geteuid() != 0:
        return {}
    try:
        found = pwd.getpwnam(name)
    except KeyError as error:
        raise Invalid("bad_command", f"This machine has no user {name!r} to run it.") from error
    return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}


async def _read(output: StreamReader, kept: bytearray) -> None:
    while piece := await output.read(65_536):
        kept += piece[: max(0, _KEPT - len(kept))]


def _shown(kept: bytearray) -> str:
    return kept.decode("utf-8", "replace").strip()
