"""What a run is by the events of its runners, and what is missing of it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from schemas.runs import RunAborted, RunFinished, RunStarted
from schemas.thresholds import Judgement

State = Literal["running", "aggregating", "finished", "aborted"]


@dataclass(frozen=True)
class Run:
    """A run as its runners describe it, and what has become of it.

    `incomplete` says why it was closed though runners are missing; `seconds` is how long its points span,
    once they are aggregated.
    """

    state: State
    started: tuple[RunStarted, ...]
    finished: tuple[RunFinished, ...]
    aborted: tuple[RunAborted, ...]
    metrics: Mapping[str, str]
    judgements: tuple[Judgement, ...] = ()
    raw_deleted: bool = False
    incomplete: str | None = None
    seconds: float | None = None


def phase(run: Run) -> State:
    """The state that a run's events amount to, in whatever order they came.

    Without a started event nobody knows how many runners to wait for. A runner that finished after
    it was given up as aborted has finished. A run that was closed without some of its runners is opened
    again by `settle` alone, when nothing works on it.
    """
    if run.state == "finished" or run.incomplete is not None:
        return run.state
    if shortfall(run) is None:
        return "aggregating"
    done = {event.runner for event in run.finished}
    return "aborted" if {event.runner for event in run.aborted} - done else "running"


def shortfall(run: Run) -> str | None:
    """Which runners are missing and why, in words; None when each one that was expected has finished."""
    done = {event.runner for event in run.finished}
    expected = max((event.runners_expected for event in run.started), default=None)
    if expected is None:
        return "no runner said that it started, so nobody knows how many there were"
    if len(done) >= expected:
        return None
    aborted = {event.runner: event.reason for event in run.aborted if event.runner not in done}
    silent = {event.runner for event in run.started} - done - aborted.keys()
    unheard = expected - len(done) - len(aborted) - len(silent)
    missing = [f"{runner} aborted: {aborted[runner]}" for runner in sorted(aborted)]
    missing += [f"{runner} was not heard of any more" for runner in sorted(silent)]
    if unheard > 0:
        missing.append(f"{unheard} never started")
    return f"{len(done)} of {expected} runners finished; " + "; ".join(missing)
