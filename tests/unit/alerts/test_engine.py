"""The engine against the model: whatever comes, in whatever order, as often as it likes."""

import json
import math
from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.batches import Source
from schemas.rules import Rule
from schemas.transitions import Transition
from schemas.watched import Header, Watched, WatchedSeries, decode, encode, entry
from schemas.watched_rows import PARTS, SLOT, Part
from stream.core.changes import Changes
from stream.core.engine import Engine
from stream.core.functions import parts_of
from stream.core.reduction import reduced
from stream.core.states import AlertState, decode_checkpoint, encode_checkpoint
from stream.core.targets import LiveRule
from tests.unit.alerts.model import Model, Sample, Told

TENANT = UUID("00000000-0000-0000-0000-000000000001")
LABELS = {
    1: {"host": "a", "zone": "x"},
    2: {"host": "b", "zone": "x"},
    3: {"host": "a", "zone": "y"},
}
SECOND = 1_000_000


def rule(**fields: Any) -> Rule:
    """A rule of the metric m, as JSON has it."""
    return Rule.model_validate_json(json.dumps({"name": "r", "metric": "m", **fields}))


def live(given: Rule, version: int = 1, hosts: str = "ab") -> LiveRule:
    """The rule at work; of these hosts only."""
    return LiveRule(TENANT, given, version, lambda labels: [one["host"] in hosts for one in labels])


def record(
    samples: Sequence[Sample],
    place: int,
    newest: int | None = None,
    source: int = 0,
    *,
    parts: Collection[Part] = PARTS,
) -> Watched:
    """What ingest would send of these samples, for rules that ask for these parts."""
    ordered = sorted({sample.series for sample in samples})
    rows = reduced(
        np.array([one.series for one in samples], np.int64),
        np.array([one.ts for one in samples], np.int64),
        np.array([one.value for one in samples], np.float64),
        np.full(len(samples), "values" in parts),
        parts=parts,
    )
    times = [sample.ts for sample in samples]
    header = Header(
        Source("s", source),
        1,
        place,
        place + 1,
        max(times, default=None) if newest is None else newest,
    )
    series = [WatchedSeries(one, TENANT, "m", json.dumps(LABELS[one])) for one in ordered]
    return decode(encode(header, [entry(one) for one in series], rows))


def told(transition: Transition) -> Told:
    """A transition in the model's words."""
    return Told(
        round(transition.at.timestamp() * 2),
        tuple(sorted(transition.labels.items())),
        transition.was,
        transition.state,
        transition.level,
        transition.number,
        round(transition.episode.timestamp() * 2),
        transition.value,
    )


def check(found: Sequence[Transition], expected: Sequence[Told]) -> None:
    """The same transitions, in the same order; each with an id of its own."""
    said = [told(one) for one in found]
    assert [one._replace(value=None) for one in said] == [
        one._replace(value=None) for one in expected
    ]
    for one, other in zip(said, expected, strict=True):
        assert (one.value is None) == (other.value is None)
        assert one.value is None or math.isclose(one.value, other.value or 0, abs_tol=1e-9)
    assert len({one.id for one in found}) == len(found)


DURATIONS = st.sampled_from(["500ms", "1s", "1500ms", "4s"])
WAITS = st.sampled_from(["0s", "0s", "500ms", "2s"])


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    """Any rule."""
    fields: dict[str, Any] = {
        "for": draw(WAITS),
        "keep_firing_for": draw(WAITS),
        "interval": draw(st.sampled_from(["500ms", "500ms", "1500ms"])),
        "group_by": draw(st.sampled_from([None, [], ["host"], ["zone"]])),
        "limit": draw(st.sampled_from([1, 2, 500])),
    }
    if draw(st.integers(0, 4)) == 0:
        return rule(absent_for=draw(DURATIONS), **fields)
    function = draw(
        st.sampled_from(["value", "avg", "min", "max", "sum", "count", "rate", "p50", "p95"])
    )
    fields["function"] = function
    if function != "value":
        fields["window"] = draw(DURATIONS)
        fields["change"] = draw(st.sampled_from([None, None, "absolute", "percent"]))
    operator = draw(st.sampled_from([">", ">=", "<", "<=", "==", "!="]))
    fields["operator"] = operator
    if operator in {"==", "!="}:
        fields["warning"] = draw(st.integers(-2, 4))
        return rule(**fields)
    far, first, clear = sorted(
        draw(st.tuples(*[st.integers(-3, 9)] * 3)), reverse=operator[0] == ">"
    )
    fields |= draw(
        st.sampled_from(
            [
                {"critical": far},
                {"warning": first},
                {"warning": first, "critical": far},
                {"warning": first, "critical": far, "clear": clear},
                {"critical": far, "clear": first},
            ]
        )
    )
    return rule(**fields)


# Times of one series differ, as which of two is the latest is the producer's affair.
SAMPLES = st.lists(
    st.builds(
        Sample,
        st.integers(1, 24 * 8).map(lambda n: n * SLOT // 8),
        st.integers(1, 3),
        st.integers(-3, 9).map(float),
    ),
    max_size=40,
    unique_by=lambda sample: sample.ts,
)


def hear(engine: Engine, one: Watched, now: int) -> None:
    """Have it take in a record, and evaluate what that makes possible."""
    engine.add(one, now)
    engine.catch_up(now)


class Run:
    """An engine and the model, each told the same; a crash makes the engine anew from what it stored."""

    def __init__(self, given: Rule) -> None:
        self.rule, self.model = given, Model(given, LABELS)
        self.engine = Engine(slot=0)
        self.engine.set_rules([live(given)], 0)
        self.log: list[Watched] = []
        self.states: dict[str, AlertState] = {}
        self.found: list[Transition] = []
        self.slot = 0

    def add(self, one: Watched, samples: Sequence[Sample]) -> None:
        """A record with these samples, to both."""
        self.log.append(one)
        hear(self.engine, one, 0)
        self.model.samples += samples
        self.until(one.header.newest or 0)
        self.store(self.engine.take())

    def until(self, at: int) -> None:
        """Let the model evaluate as far."""
        while self.slot < (at - 1) // SLOT:
            self.slot += 1
            self.model.evaluate(self.slot)

    def store(self, changes: Changes) -> None:
        """Keep what the engine changed."""
        self.found += changes.transitions
        for key, state in changes.states.items():
            if state is None:
                self.states.pop(key, None)
            else:
                self.states[key] = AlertState.model_validate_json(state.model_dump_json())

    def crash(self) -> None:
        """Go on from what is stored."""
        stored = encode_checkpoint(self.engine.checkpoint(commit=1, offset=0))
        self.engine = Engine()
        self.engine.restore(decode_checkpoint(stored), self.states.values(), 0)
        self.engine.set_rules([live(self.rule)], 0)
        for one in self.log:
            self.engine.remember(one)
            hear(self.engine, one, 0)
        self.store(self.engine.take())


@settings(max_examples=400, deadline=None)
@given(rules(), SAMPLES, st.data())
def test_transitions_are_those_of_the_model(
    given: Rule, samples: list[Sample], data: st.DataObject
) -> None:
    """Late, out of order, redelivered, with gaps and crashes: each transition once, at its time."""
    run = Run(given)
    if data.draw(st.booleans(), "in order"):
        samples = sorted(samples)
    place = 0
    while samples:
        size = data.draw(st.integers(1, len(samples)), "batch")
        batch, samples = samples[:size], samples[size:]
        run.add(record(batch, place, parts=parts_of(run.rule)), batch)
        place += 1
        action = data.draw(st.sampled_from(["", "", "again", "crash"]))
        if action == "again":
            hear(run.engine, data.draw(st.sampled_from(run.log)), 0)
        if action == "crash":
            run.crash()
    # All sources are silent: the clock goes on alone.
    run.engine.catch_up(40 * SECOND)
    run.until(37 * SECOND)
    run.store(run.engine.take())
    check(run.found, run.model.told)


def transitions(engine: Engine) -> list[tuple[str, str, str]]:
    """What it tells: host, was, state."""
    return [(one.labels["host"], one.was, one.state) for one in engine.take().transitions]


def fired(given: Rule) -> Engine:
    """An engine in which the alerts of hosts a and b fire."""
    engine = Engine(slot=0)
    engine.set_rules([live(given)], 0)
    hear(engine, record([Sample(SLOT, 1, 9), Sample(SLOT, 2, 9)], 0, 2 * SLOT), 0)
    assert len(engine.take().transitions) == 2
    return engine


HIGH = rule(function="value", operator=">", warning=5)


def test_a_changed_rule_keeps_the_alerts_that_it_still_matches() -> None:
    """The others resolve; those kept go on in their episode."""
    engine = fired(HIGH)
    engine.set_rules([live(rule(function="value", operator=">", warning=7), 2, hosts="a")], 0)
    assert transitions(engine) == [("b", "firing", "resolved")]
    hear(engine, record([Sample(3 * SLOT, 1, 6)], 1, 4 * SLOT), 0)
    (resolved,) = engine.take().transitions
    assert (resolved.state, resolved.number, resolved.rule_version) == ("resolved", 2, 2)


def test_a_rule_that_is_gone_resolves_its_alerts() -> None:
    """Also one that went while nobody evaluated."""
    engine = Engine(slot=0)
    engine.set_rules([live(HIGH)], 0)
    hear(engine, record([Sample(SLOT, 1, 9), Sample(SLOT, 2, 9)], 0, 2 * SLOT), 0)
    stored = engine.checkpoint(commit=1, offset=1)
    states = [state for state in engine.take().states.values() if state is not None]
    engine.set_rules([], 0)
    assert sorted(transitions(engine)) == [("a", "firing", "resolved"), ("b", "firing", "resolved")]
    again = Engine()
    again.restore(stored, states, 0)
    again.set_rules([], 0)
    assert sorted(transitions(again)) == [("a", "firing", "resolved"), ("b", "firing", "resolved")]


def test_a_source_that_speaks_holds_time_back_and_an_idle_one_does_not() -> None:
    """What is evaluated waits for the slower of two sources, but not for a silent one."""
    engine = Engine(slot=0)
    engine.set_rules([live(HIGH)], 0)
    hear(engine, record([Sample(SLOT, 2, 1)], 0, SLOT, source=1), 0)
    hear(engine, record([Sample(SLOT, 1, 9)], 0, 9 * SLOT), 0)
    assert not engine.take()
    hear(engine, record([], 1, 9 * SLOT), 3 * SECOND)
    assert transitions(engine) == [("a", "inactive", "firing")]


def test_months_without_a_sample_are_passed_over() -> None:
    """What can still change is evaluated, in pieces; then time goes on to the next sample at once."""
    engine = Engine(slot=0)
    engine.set_rules([live(rule(function="max", window="2h", operator=">", warning=5))], 0)
    hear(engine, record([Sample(SLOT, 1, 9), Sample(SLOT, 2, 9)], 0, 2 * SLOT), 0)
    assert len(engine.take().transitions) == 2
    later = 90 * 24 * 3600 * SECOND
    engine.add(record([Sample(later, 1, 9)], 1, later + SLOT), 0)
    pieces = 1
    while engine.tick(0):
        pieces += 1
    assert pieces == 2
    assert engine.slot == later // SLOT
    told = [
        (one.at.timestamp(), one.labels["host"], one.state) for one in engine.take().transitions
    ]
    assert sorted(told) == [
        (7200.5, "a", "resolved"),
        (7200.5, "b", "resolved"),
        (later / 1e6, "a", "firing"),
    ]


def test_what_is_found_late_is_stale() -> None:
    """After the time that is set, by the clock."""
    engine = Engine(slot=0)
    engine.set_rules([live(HIGH)], 0)
    hear(engine, record([Sample(SLOT, 1, 9)], 0, 2 * SLOT), 3600 * SECOND)
    assert engine.take().transitions[0].stale


def test_texts_are_filled_in_once() -> None:
    """What a label says is text, whatever it looks like."""
    engine = Engine(slot=0)
    given = rule(
        function="value",
        operator=">",
        warning=5,
        group_by=[],
        labels={"team": "{{ value }}"},
        annotations={
            "summary": "{{ labels.team }}: {{value}} > {{ threshold }}, {{ level }} {{ other }}"
        },
    )
    engine.set_rules([live(given)], 0)
    hear(engine, record([Sample(SLOT, 1, 9)], 0, 2 * SLOT), 0)
    (one,) = engine.take().transitions
    assert one.annotations == {"summary": "{{ value }}: 9 > 5, warning {{ other }}"}
    assert one.condition == "value(m) > 5"


def test_a_percentile_of_many_values_is_at_most_one_per_cent_off() -> None:
    """They come as classes where a row has too many to be told one by one."""
    values = np.random.default_rng(1).lognormal(size=2_000)
    samples = [Sample(i + 1, 1 + i % 3, float(value)) for i, value in enumerate(values)]
    engine = Engine(slot=0)
    engine.set_rules(
        [live(rule(function="p95", window="1s", operator=">", warning=0, group_by=[]))], 0
    )
    hear(engine, record(samples, 0, 2 * SLOT), 0)
    (one,) = engine.take().transitions
    assert one.value is not None
    assert math.isclose(one.value, float(np.quantile(values, 0.95)), rel_tol=0.015)


def test_a_rate_goes_on_to_the_ends_of_its_window_as_in_prometheus() -> None:
    """Four samples two seconds apart in eight seconds: 10 a second, not 7.5; none from before zero."""
    for first, expected in ((100.0, 10.0), (0.0, 8.75)):
        samples = [Sample((1 + 2 * i) * SECOND, 1, first + 20.0 * i) for i in range(4)]
        engine = Engine(slot=15)
        engine.set_rules([live(rule(function="rate", window="8s", operator=">", warning=0))], 0)
        hear(engine, record(samples, 0, 16 * SLOT + 1), 0)
        (one,) = engine.take().transitions
        assert one.value is not None
        assert math.isclose(one.value, expected)
