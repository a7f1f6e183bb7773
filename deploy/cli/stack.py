"""`headrace up`, `down`, `status`, `logs`, `doctor`: the stack of this machine."""

import contextlib
import itertools
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, NoReturn

import msgspec
import pydantic
import typer
from rich.console import Console, RenderableType

from deploy.local import checks, display
from deploy.local import logs as stack_logs
from deploy.local.ports import PortsInUse
from deploy.local.stack import Stack, StackError
from deploy.local.state import State
from schemas.settings import Settings

DEGRADED, USAGE, NOT_RUNNING, INTERRUPTED = 1, 2, 3, 130
LOOK_EVERY = 0.25

PortOffset = Annotated[
    int | None,
    typer.Option(help="Add this to every port, to run beside something else.", min=0, max=40000),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the CLI."""
    for command in (up, down, status, logs, doctor):
        app.command()(command)


def up(
    *,
    detach: Annotated[bool, typer.Option(help="Return when everything is ready.")] = False,
    port_offset: PortOffset = None,
    services_only: Annotated[
        bool, typer.Option(help="Only Kafka, PostgreSQL and Temporal; no headrace process.")
    ] = False,
) -> None:
    """Start Kafka, PostgreSQL, Temporal and headrace on this machine.

    Stays in the foreground: Ctrl-C stops everything, and so does the end of the shell that started
    it. A stack that runs already is found, not started twice. Everything is kept in .headrace/
    (HEADRACE_HOME). To use a server of your own, name it:

        HEADRACE_DATABASE=postgresql://me@db/metrics headrace up --detach

    Exit code 0: ready, and stopped by you later; 1: something did not start; 130: interrupted
    before all was ready.
    """
    console = Console()
    with _explained(), _parent_watched() as check:
        stack, was_ready = _stack(port_offset, services_only=services_only), False
        try:
            with display.progress(console) as show:

                def watch(state: State) -> None:
                    show(state)
                    check()

                state = stack.start(detach=detach, on_change=watch)
            was_ready = True
            _announce(console, stack, state, port_offset)
            if not detach and stack.is_ours:
                _follow(console, stack, state, check)
        except KeyboardInterrupt:
            if stack.is_ours:
                console.print("Stopping …")
                stack.stop(display.Changes(console, seen=stack.last_state()))
            console.print("Stopped.")
            if not was_ready:
                raise typer.Exit(INTERRUPTED) from None


def down() -> None:
    """Stop everything that `up` started; the data stays.

    Also cleans up after a stack that was killed. Exit code 0, also when nothing runs.

        headrace down && rm -r .headrace/data    # begin anew
    """
    with _explained():
        stack, console = _stack(), Console()
        with display.progress(console) as show:
            stopped = stack.stop(show)
        console.print("Stopped." if stopped else "Nothing runs here.")


def status(*, as_json: Json = False) -> None:
    """Show what runs where, and how the maintenance of what is stored went last.

    Exit code 0: all is ready; 1: something is not; 3: nothing runs. The JSON has the addresses
    with their passwords:

        psql "$(headrace status --json | jq -r .endpoints.database)"
    """
    with _explained():
        state = _stack().state()
        upkeep = None if state is None else _upkeep(state)
        if as_json:
            facts = msgspec.to_builtins(state) if state else {}
            running = {"running": state is not None, "ready": bool(state and state.ready)}
            if upkeep:
                facts["maintenance"] = upkeep[0]
            print(msgspec.json.format(msgspec.json.encode({**running, **facts})).decode())
        elif state is None:
            print("Nothing runs here. Start it: headrace up")
        else:
            Console().print(display.table(state))
            if upkeep:
                Console().print("", upkeep[1], sep="\n")
    if state is None:
        raise typer.Exit(NOT_RUNNING)
    if not state.ready:
        raise typer.Exit(DEGRADED)


def logs(
    service: Annotated[str | None, typer.Argument(help="One process; all when left out.")] = None,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", help="Last lines of each.", min=0)] = 20,
) -> None:
    """Show the last lines of a process's log, or of all.

        headrace logs ingest -f

    The files are .headrace/logs/*.log.
    """
    with _explained():
        home = _stack().home
        names = stack_logs.names(home)
        if service is not None and service not in names:
            known = ", ".join(names) or "none yet; start something: headrace up"
            _fail(f"There is no log of {service!r}. Logs: {known}", USAGE)
        wanted = [service] if service else names
        width = max(map(len, wanted), default=0)
        # Asked for first: a line written in between is shown twice rather than never.
        added = stack_logs.follow(home, wanted) if follow else iter(())
        found = itertools.chain(stack_logs.last(home, wanted, lines), added)
        with contextlib.suppress(KeyboardInterrupt):
            for name, line in found:
                print(line if service else f"{name:<{width}} | {line}", flush=follow)


def doctor(*, as_json: Json = False) -> None:
    """Say what this machine has and lacks for `headrace up`, and how to get it.

    Exit code 1 when something needed is missing.
    """
    with _explained():
        found = list(checks.examine(_stack()))
        if as_json:
            ok = all(check.ok or not check.needed for check in found)
            print(msgspec.json.format(msgspec.json.encode({"ok": ok, "checks": found})).decode())
        else:
            Console().print(display.findings(found))
    if not all(check.ok or not check.needed for check in found):
        raise typer.Exit(DEGRADED)


def _upkeep(state: State) -> tuple[object, RenderableType] | None:
    """Maintenance, for JSON and for people; None where no worker runs that would do it."""
    if not any(service.name == "worker" for service in state.services):
        return None
    # Temporal's client takes half a second to import, and only a running stack has use for it.
    from deploy.cli import upkeep  # noqa: PLC0415

    found = upkeep.read(Settings(), state.endpoints.temporal)
    return upkeep.facts(found), upkeep.table(found)


def _stack(port_offset: int | None = None, *, services_only: bool = False) -> Stack:
    settings = Settings()
    if port_offset is not None:
        settings = settings.model_copy(update={"port_offset": port_offset})
    return Stack.from_settings(settings, services_only=services_only)


def _announce(console: Console, stack: Stack, state: State, port_offset: int | None) -> None:
    console.print(display.table(state))
    if not stack.is_ours:
        console.print(f"It ran already (supervisor {state.supervisor_pid}).", style="dim")
        if port_offset not in {None, state.port_offset}:
            console.print(
                f"Its port offset is {state.port_offset}; for another: headrace down, then up.",
                style="yellow",
            )
    console.print(
        "Ctrl-C stops it." if stack.is_ours and stack.on_leash else "Stop it: headrace down",
        style="dim",
    )


def _follow(console: Console, stack: Stack, state: State, check: Callable[[], None]) -> None:
    """Print what changes until the stack ends or `check` interrupts."""
    show = display.Changes(console, seen=state)
    while True:
        check()
        now = stack.state()
        if now is None:
            last = stack.last_state()
            if last and last.phase == "stopped":
                console.print("Stopped by another command.")
                return
            raise StackError("The supervisor was killed; its reaper stops the rest.")
        show(now)
        time.sleep(LOOK_EVERY)


@contextmanager
def _parent_watched() -> Iterator[Callable[[], None]]:
    """SIGTERM and SIGHUP end `up` as Ctrl-C does; so does, when asked, the parent's death."""
    parent = os.getppid()

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    def check() -> None:
        if os.getppid() != parent:
            raise KeyboardInterrupt

    before = {s: signal.signal(s, interrupt) for s in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield check
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _explained() -> Iterator[None]:
    """Turn errors whose message says what to do into that message and an exit code."""
    try:
        yield
    except (PortsInUse, StackError) as error:
        _fail(str(error), DEGRADED)
    except pydantic.ValidationError as error:
        wrong = "\n".join(
            f"  HEADRACE_{'_'.join(map(str, one['loc'])).upper()}: {one['msg']}"
            for one in error.errors()
        )
        _fail(f"These environment variables are wrong:\n{wrong}", USAGE)
    except OSError as error:
        _fail(f"{error}\nIs the home folder yours? Another: HEADRACE_HOME=/some/folder", DEGRADED)


def _fail(message: str, code: int) -> NoReturn:
    print(message, file=sys.stderr)
    raise typer.Exit(code)
