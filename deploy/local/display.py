"""How a stack looks on a terminal: a table, and progress while it starts or stops."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from deploy.local.checks import Check
from deploy.local.state import Service, State

COLOURS = {
    "ready": "green",
    "external": "cyan",
    "starting": "yellow",
    "stopped": "dim",
    "failed": "bold red",
}
REPEAT_AFTER = 2.0
"""Seconds after which a line is printed for a mere change of detail, where nothing is redrawn."""


def table(state: State) -> Table:
    """What runs where."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name", "state", "where", "pid", ""):
        shown.add_column(column, overflow="fold")
    for service in state.services:
        restarted = f"restarts: {service.restarts}" if service.restarts else ""
        shown.add_row(
            service.name,
            Text(service.state, COLOURS[service.state]),
            service.shown_url,
            str(service.pid or ""),
            Text("\n".join(filter(None, [restarted, first_line(service.detail)]))),
        )
        if service.name == "temporal" and state.endpoints.temporal_ui:
            shown.add_row("  its UI", "", state.endpoints.temporal_ui)
    return shown


def findings(checks: Iterable[Check]) -> Table:
    """The table of `doctor`."""
    shown = Table(box=None, pad_edge=False, show_header=False)
    for check in checks:
        word, colour = ("ok", "green") if check.ok else ("missing", "red")
        if not check.ok and not check.needed:
            word, colour = "note", "yellow"
        fix = "" if check.ok else f"\n→ {check.fix}"
        shown.add_row(Text(word, colour), check.name, Text(check.found + fix))
    return shown


@contextmanager
def progress(console: Console) -> Iterator[Callable[[State], None]]:
    """Show each state it is called with: redrawn on a terminal, as lines elsewhere."""
    if not console.is_terminal:
        # What fails is told in full by the error that ends the start.
        yield Changes(console, brief=True)
        return
    with Live(console=console, refresh_per_second=10, transient=True) as live:

        def show(state: State) -> None:
            drawn = Table.grid(padding=(0, 1))
            for service in state.services:
                waiting = service.state == "starting"
                mark = Spinner("dots") if waiting else Text("•", COLOURS[service.state])
                drawn.add_row(mark, service.name, service.state, first_line(service.detail))
            live.update(drawn)

        yield show


class Changes:
    """Prints a line for each service that changed since the last state it saw."""

    def __init__(self, console: Console, *, seen: State | None = None, brief: bool = False) -> None:
        self._console = console
        self._brief = brief
        self._seen = {service.name: service for service in seen.services} if seen else {}
        self._printed: dict[str, float] = {}

    def __call__(self, state: State) -> None:
        """Print what is new in this state."""
        now = time.monotonic()
        for service in state.services:
            old = self._seen.get(service.name)
            long_ago = now - self._printed.get(service.name, 0) > REPEAT_AFTER
            if old is None or old.state != service.state or (old != service and long_ago):
                self._printed[service.name] = now
                self._seen[service.name] = service
                news = old is None or old.state != service.state
                whole = news and service.state == "failed" and not self._brief
                self._console.print(_line(service, whole=whole))


def _line(service: Service, *, whole: bool) -> Text:
    where = f" at {service.shown_url}" if service.state == "ready" and service.url else ""
    told = service.detail if whole else first_line(service.detail)
    detail = f": {told}" if told else ""
    colour = COLOURS[service.state]
    return Text.assemble(f"{service.name:<9} ", (service.state, colour), where, detail)


def first_line(text: str) -> str:
    """The first line of a text that may have none."""
    return text.partition("\n")[0]
