"""How a demo looks on a terminal: its steps while it runs, and tables at the end."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from deploy.demo.report import Figures, Report, Threshold

Show = Callable[[str], None]


class Steps:
    """Shows what is being done: a line that lives on a terminal, a line a step elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, text: str) -> None:
        """Print a line between the steps."""
        self._console.print(text, highlight=False, markup=False)

    @contextmanager
    def step(self, text: str) -> Iterator[Show]:
        """Show a step until the block ends; call what it yields with how far it is."""
        began = time.monotonic()
        if self._console.is_terminal:
            columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
            with Progress(*columns, console=self._console, transient=True) as progress:
                task = progress.add_task(text)
                yield lambda now: progress.update(task, description=f"{text}: {now}")
        else:
            self.say(f"{text} …")
            yield lambda _: None
        self._console.print(
            Text.assemble(("✓ ", "green"), f"{text}, {time.monotonic() - began:.1f} s")
        )


def tables(report: Report) -> RenderableType:
    """The whole report."""
    return Group(
        _comparison(report.k6, report.headrace), _thresholds(report.thresholds), _ledger(report)
    )


def _comparison(k6: Figures, headrace: Figures) -> Table:
    shown = Table(
        title="The run", title_justify="left", box=None, header_style="bold", min_width=50
    )
    shown.add_column("")
    for side in ("k6", "headrace"):
        shown.add_column(side, justify="right")

    def row(name: str, figure: Callable[[Figures], str]) -> None:
        shown.add_row(name, figure(k6), figure(headrace))

    row("requests", lambda f: f"{f.http_reqs:,}")
    row("requests per second", lambda f: f"{f.per_second:,.1f}")
    row("average", lambda f: _ms(f.http_req_duration.avg))
    row("p50", lambda f: _ms(f.http_req_duration.p50))
    row("p95", lambda f: _ms(f.http_req_duration.p95))
    row("p99", lambda f: _ms(f.http_req_duration.p99))
    row("error rate", lambda f: f"{f.failed_rate:.2%}")
    row("checks passed", lambda f: f"{f.checks_passed:,}")
    row("checks failed", lambda f: f"{f.checks_failed:,}")
    row(
        "verdict",
        lambda f: {0: "passed", 99: "failed"}.get(f.exit_code, f"exit code {f.exit_code}"),
    )
    return shown


def _thresholds(thresholds: list[Threshold]) -> Table:
    shown = Table(
        title="\nThresholds", title_justify="left", box=None, header_style="bold", min_width=50
    )
    for column in ("", "observed", "k6", "headrace"):
        shown.add_column(column, justify="right" if column == "observed" else "left")
    for one in thresholds:
        observed = "-" if one.observed is None else f"{one.observed:,.4g}"
        shown.add_row(Text(one.text), observed, _verdict(one.k6_passed), _verdict(one.passed))
    return shown


def _ledger(report: Report) -> Table:
    points = report.points
    shown = Table(
        title="\nThe ledger", title_justify="left", box=None, show_header=False, min_width=50
    )
    shown.add_column("")
    shown.add_column("", justify="right")
    rows = {
        "points sent by the bridge": points.sent,
        "points stored": points.stored,
        "records deduplicated": points.deduplicated,
        "points dead-lettered": points.dead_lettered,
        "raw points left": report.raw_left,
        "rows of aggregates": report.aggregate_rows,
        "samples of this host sent by the SDK": report.host_samples,
    }
    for name, count in rows.items():
        shown.add_row(name, f"{count:,}")
    return shown


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.2f} ms"


def _verdict(passed: bool | None) -> Text:
    if passed is None:
        return Text("-", "dim")
    return Text("passed", "green") if passed else Text("failed", "red")
