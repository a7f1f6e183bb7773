"""Evaluates rules over the records of one partition of the watched topic.

What comes of it depends on nothing but the calls: records, ticks of the clock and rules, in their order.
Whoever calls stores what `take` gives, and goes on from there after a crash: with `restore`, with
`remember` for what windows still reach back to, and with `add` for what was not read.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from schemas.batches import Source
from schemas.watched import Place, Watched
from schemas.watched_rows import SLOT
from stream.core.alerting import ABSENCE, level_of
from stream.core.changes import Changes, Finding, after, ended
from stream.core.functions import LOOKBACK, reading
from stream.core.history import block_of, spans, values_of
from stream.core.lateness import Lateness, Watermark
from stream.core.states import AlertState, Checkpoint
from stream.core.targets import LiveRule, Series, Watcher

_LATENESS = Lateness()
_SWEEP = 1200
"""Slots between looks for series that nobody has heard of for longer than any window."""
_AT_ONCE = 20_000
"""Evaluations of a target after which others have their turn: some tenths of a second."""


class Engine:
    """Times that are given as `now` are the clock's, in microseconds since the epoch."""

    def __init__(
        self,
        lateness: Lateness = _LATENESS,
        *,
        stale_after: timedelta = timedelta(minutes=5),
        slot: int | None = None,
    ) -> None:
        self._lateness = lateness
        self._stale_after = stale_after
        self._watermark = Watermark(lateness)
        self.slot = slot
        """The newest that is evaluated; None until the first record says where time begins."""
        self._series: dict[int, Series] = {}
        self._watchers: dict[tuple[UUID, str], Watcher] = {}
        self._by_metric: dict[tuple[UUID, str], list[Watcher]] = {}
        self._reread: dict[Source, Place] = {}
        self._orphans: dict[str, AlertState] = {}
        self._changes = Changes()
        self._span = LOOKBACK
        self._settling = 0
        self._stirred = slot or 0
        self._swept = 0

    @property
    def span(self) -> int:
        """Slots that the longest window reaches back."""
        return self._span

    @property
    def alerts(self) -> int:
        """Pending and firing ones."""
        return sum(len(watcher.alerts) for watcher in self._watchers.values())

    @property
    def watermark(self) -> int | None:
        """Event time in microseconds."""
        return self._watermark.at

    def take(self) -> Changes:
        """What came of the calls since the last `take`."""
        changes, self._changes = self._changes, Changes()
        return changes

    def checkpoint(self, *, commit: int, offset: int) -> Checkpoint:
        """How far it is, for `restore`."""
        return Checkpoint(commit, offset, self.slot, self._watermark.at, self._watermark.stored())

    def restore(self, checkpoint: Checkpoint, states: Iterable[AlertState], now: int) -> None:
        """Go on where another ended; before `set_rules`, to which alerts without a rule are left."""
        self.slot = checkpoint.slot
        self._watermark.at = checkpoint.at
        self._watermark.restore(checkpoint.sources, now)
        self._orphans = {state.last.key: state for state in states}

    def set_rules(self, rules: Iterable[LiveRule], now: int) -> None:
        """These are the rules from now on; alerts of others, and of targets no longer watched, resolve.

        One that changed keeps the alerts of targets that it still has.
        """
        before = self._watchers
        self._watchers = {}
        changed = []
        for live in sorted(rules, key=lambda live: live.key):
            known = before.get(live.key)
            if known is not None and (known.version, known.rule) == (live.version, live.rule):
                self._watchers[live.key] = known
            else:
                self._watchers[live.key] = Watcher(live)
                changed.append(live.key)
        gone = {id(before[key]) for key in before if self._watchers.get(key) is not before[key]}
        for one in self._series.values():
            one.places = [place for place in one.places if id(place[0]) not in gone]
        by_metric: defaultdict[tuple[UUID, str], list[Series]] = defaultdict(list)
        for one in self._series.values():
            by_metric[one.tenant_id, one.name].append(one)
        self._by_metric = {}
        for watcher in self._watchers.values():
            self._by_metric.setdefault((watcher.tenant_id, watcher.rule.metric), []).append(watcher)
        for key in changed:
            watcher = self._watchers[key]
            watcher.watch(by_metric[watcher.tenant_id, watcher.rule.metric])
        self._keep_values(self._series.values())
        self._span = max([LOOKBACK, *(one.horizon for one in self._watchers.values())])
        self._settling = max((one.settling for one in self._watchers.values()), default=0)
        self._stirred = self.slot or 0
        left = [
            *self._orphans.values(),
            *(
                state
                for key, watcher in before.items()
                if self._watchers.get(key) is not watcher
                for state in watcher.alerts.values()
            ),
        ]
        self._orphans = {}
        for state in sorted(left, key=lambda state: state.last.key):
            watcher_now = self._watchers.get((state.last.tenant_id, state.last.rule))
            if watcher_now is not None and watcher_now.belongs(state):
                watcher_now.take(state.last.fingerprint, state)
            else:
                self._end(state, now)

    def remember(self, record: Watched) -> None:
        """Take in a record that was evaluated before the crash: its rows are in windows yet."""
        header = record.header
        if header.source in self._reread and header.place <= self._reread[header.source]:
            return
        self._reread[header.source] = header.place
        self._store(record)

    def add(self, record: Watched, now: int) -> None:
        """Take in a record; `tick` evaluates what it makes possible."""
        if self._watermark.hear(record.header, now):
            self._store(record)

    def excuse(self, since: int, until: int) -> None:
        """Nobody could be heard from `since` on: wait for who was heard then, to `until` and a bit."""
        self._watermark.excuse(since, until)

    def tick(self, now: int) -> bool:
        """Evaluate towards event time, which follows the clock when all sources are silent.

        Returns whether there is more to evaluate: then call again, before anything else.
        """
        self._watermark.advance(now)
        if self._watermark.at is None:
            return False
        # A sample of the very end of a slot may have others of that time behind it.
        until = (self._watermark.at - 1) // SLOT - self._lateness.allowed
        if self.slot is None:
            self.slot = self._stirred = until
        evaluated = 0
        while self.slot < until and evaluated < _AT_ONCE:
            self._pass_over(until)
            due = min(
                (
                    (self.slot // watcher.every + 1) * watcher.every
                    for watcher in self._watchers.values()
                    if watcher.live
                ),
                default=until + 1,
            )
            self.slot = min(due, until)
            if due <= until:
                for watcher in self._watchers.values():
                    if watcher.live and not due % watcher.every:
                        evaluated += len(watcher.live)
                        self._evaluate(watcher, due, now)
        if self.slot - self._swept >= _SWEEP:
            self._sweep()
        return self.slot < until

    def catch_up(self, now: int) -> None:
        """Tick as long as there is more to evaluate."""
        while self.tick(now):
            pass

    def _pass_over(self, until: int) -> None:
        """Pass over slots in which nothing changes, as no sample came for longer than any rule looks back.

        A day without samples would be evaluated for as long as one with them, to no end.
        """
        if self.slot is None or self.slot - self._stirred <= self._settling:
            return
        later = (one.history.first_after(self._stirred) for one in self._series.values())
        resumes = min((slot for slot in later if slot is not None), default=until + 1)
        if resumes > self.slot:
            self.slot = min(until, resumes) - 1
        self._stirred = self.slot

    def _store(self, record: Watched) -> None:
        rows = record.rows
        if not len(rows):
            return
        self._stirred = self.slot or 0
        found = spans(rows)
        if any(number not in self._series for number, _, _ in found):
            self._learn(record)
        block, values = block_of(rows), values_of(rows)
        oldest = (self.slot or 0) - self._span
        for number, begin, end in found:
            series = self._series[number]
            if not series.places:
                continue
            series.history.add(block[:, begin:end], values[begin:end], oldest)
            for watcher, mark in series.places:
                watcher.live.add(mark)

    def _learn(self, record: Watched) -> None:
        new: defaultdict[tuple[UUID, str], list[Series]] = defaultdict(list)
        for described in record.described():
            if described.series_id not in self._series:
                series = Series.of(described)
                self._series[described.series_id] = series
                new[series.tenant_id, series.name].append(series)
        for metric, found in new.items():
            for watcher in self._by_metric.get(metric, ()):
                watcher.watch(found)
            self._keep_values(found)

    @staticmethod
    def _keep_values(series: Iterable[Series]) -> None:
        for one in series:
            one.history.keep(any(watcher.percentile for watcher, _ in one.places))

    def _evaluate(self, watcher: Watcher, slot: int, now: int) -> None:
        rule, stale = watcher.rule, self._is_stale(slot, now)
        fresh = []
        for mark in sorted(watcher.live):
            target, state = watcher.targets[mark], watcher.alerts.get(mark)
            gone = target.last <= slot - watcher.horizon
            value, level = None, None
            if rule.absent_for is not None:
                level = ABSENCE if gone else None
            else:
                value = reading(rule, target.histories, slot)
                level = level_of(rule, value, firing=state is not None and state.firing)
                if gone and state is None:
                    watcher.idle(mark)
            found = Finding(mark, level, value, slot, stale)
            if state is not None:
                self._step(watcher, found)
            elif level is not None:
                fresh.append(found)
        # What ended now has made room for what begins.
        for found in fresh[: max(0, rule.limit - len(watcher.alerts))]:
            self._step(watcher, found)

    def _step(self, watcher: Watcher, found: Finding) -> None:
        state, transition = after(watcher, found)
        if transition is not None:
            self._changes.transitions.append(transition)
            if state is None:
                del watcher.alerts[found.mark]
                self._changes.states[transition.key] = None
        if state is not None and state is not watcher.alerts.get(found.mark):
            watcher.alerts[found.mark] = state
            self._changes.states[state.last.key] = state

    def _end(self, state: AlertState, now: int) -> None:
        """End an alert whose rule does not want it any more."""
        slot = max(state.since, self.slot or 0)
        self._changes.transitions.append(ended(state, slot, stale=self._is_stale(slot, now)))
        self._changes.states[state.last.key] = None

    def _is_stale(self, slot: int, now: int) -> bool:
        return timedelta(microseconds=now - slot * SLOT) > self._stale_after

    def _sweep(self) -> None:
        """Forget series that no window reaches any more."""
        self._swept = self.slot or 0
        for number, one in list(self._series.items()):
            if one.history.last > self._swept - self._span:
                continue
            if any(
                watcher.rule.absent_for is not None or mark in watcher.alerts
                for watcher, mark in one.places
            ):
                continue
            for watcher, mark in one.places:
                watcher.forget(mark, one.history)
            del self._series[number]
