"""Judges a run: its thresholds on the merged points of all runners, and its counts. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from schemas.errors import Invalid
from schemas.k6 import seconds_tested
from schemas.runs import RunStarted, Threshold
from schemas.thresholds import (
    Expression,
    Judgement,
    Selection,
    Statistics,
    kind_of,
    observe,
    parse_expression,
    parse_selection,
)
from sinks.run_states import Run
from sinks.runs import Counts
from workflows.post_test.types import Verdict

_THRESHOLDS_CROSSED = 99
"""k6's exit code for crossed thresholds, which are judged here anew; any other but 0 is a failure of its own."""


@dataclass(frozen=True)
class Question:
    """A threshold that can be evaluated: the points it looks at and what it asks of them."""

    threshold: Threshold
    selection: Selection
    kind: str
    expression: Expression


def declared(run: Run) -> list[Threshold]:
    """Thresholds of all runners, each once, in the order of the script; k6 passed where no runner's failed.

    Of a runner that did not finish, as it stated them when it started.
    """
    merged: dict[tuple[str, str], Threshold] = {}
    done = {event.runner for event in run.finished}
    told = [event.thresholds for event in run.finished]
    told += [event.thresholds for event in run.started if event.runner not in done]
    for threshold in chain.from_iterable(told):
        key = threshold.metric, threshold.expression
        known = merged.get(key, threshold)
        words = {known.k6_passed, threshold.k6_passed} - {None}
        merged[key] = threshold.model_copy(update={"k6_passed": all(words) if words else None})
    return list(merged.values())


def question(threshold: Threshold, metrics: Mapping[str, str]) -> Question | None:
    """Read a threshold; None for one that this version can't read, as a newer k6 may write."""
    try:
        selection = parse_selection(threshold.metric)
        expression = parse_expression(threshold.expression)
        kind = kind_of(expression, metrics.get(selection.metric))
    except Invalid:
        return None
    return Question(threshold, selection, kind, expression)


def judge(
    threshold: Threshold, asked: Question | None, points: Statistics, seconds: float | None
) -> Judgement:
    """Evaluate one threshold. One that nothing was observed for passes, as in k6."""
    observed, passed = None, None
    if asked is not None:
        observed = observe(asked.expression, asked.kind, points, seconds)
        passed = observed is None or asked.expression.holds(observed)
    return Judgement(
        metric=threshold.metric,
        expression=threshold.expression,
        abort_on_fail=threshold.abort_on_fail,
        observed=observed,
        passed=passed,
        k6_passed=threshold.k6_passed,
    )


def verdict(run: Run, judgements: Sequence[Judgement]) -> Verdict:
    """Passed when every runner finished, every k6 ended well and every threshold holds.

    k6's own word counts for a threshold that headrace can't read, and for one with abortOnFail: crossed
    at one runner, it cut that runner's test short, whatever the merged points say.
    """
    held = all(
        (j.k6_passed if j.passed is None else j.passed)
        and not (j.abort_on_fail and j.k6_passed is False)
        for j in judgements
    )
    ended_well = all(e.exit_code in {0, _THRESHOLDS_CROSSED} for e in run.finished)
    return "passed" if run.incomplete is None and held and ended_well else "failed"


def duration(run: Run) -> float | None:
    """Seconds that the run took, for the rates of counters: its longest runner's.

    k6 divides by the duration of the test proper, without its start and end; its summary tells that
    as a counter's count over its rate. Where no summary came, the events' times have to do, and where no
    runner finished, those of its points.
    """
    began: dict[str, RunStarted] = {event.runner: event for event in run.started}
    lengths = []
    for event in run.finished:
        length = seconds_tested(event.summary)
        if length is None and event.runner in began:
            length = (event.at - began[event.runner].at).total_seconds()
        lengths.append(length or 0.0)
    return max(lengths, default=0.0) or run.seconds


def mismatches(run: Run, counts: Counts) -> list[str]:
    """What does not agree, in words; empty when each point that was sent is accounted for.

    What the missing runners of an incomplete run sent nobody knows: there may be more points than were
    stated, not fewer.
    """
    found = []
    sent: dict[tuple[str, int], int] = {}
    for event in run.finished:
        for part in event.sent:
            key = event.topic, part.partition
            sent[key] = sent.get(key, 0) + part.points
    landed = {(entry.topic, entry.partition): entry for entry in counts.ledger}
    for key in sorted({*sent, *landed}):
        entry = landed.get(key)
        stored, buried = (entry.stored, entry.dead_lettered) if entry else (0, 0)
        more = stored + buried - sent.get(key, 0)
        if more < 0 or (more and run.incomplete is None):
            found.append(
                f"{key[0]}/{key[1]}: {sent.get(key, 0)} points sent, but {stored} stored and "
                f"{buried} dead-lettered"
            )
    if not counts.raw == counts.stored == counts.summarised:
        found.append(
            f"{counts.raw} raw points, but the ledger says {counts.stored} stored and the summaries "
            f"hold {counts.summarised}"
        )
    return found
