"""The consumer of run events keeps its place: an event is committed after it is handled, never before."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from aiokafka.errors import KafkaError
from prometheus_client import CollectorRegistry

from schemas.errors import Invalid, Permanent, Temporary
from schemas.runs import RunEvent
from sinks.run_states import State
from tests.unit.workflows.test_verdicts import EXECUTION, finished, started
from workflows.metrics import Metrics
from workflows.run_events import RunEvents
from workflows.topic_loop import Backoff, Source, TopicLoop

GOOD = [event.model_dump_json().encode() for event in (started(), finished())]


class Log:
    """What happened, in order; `failures` maps an action to what it raises before it works."""

    def __init__(self, failures: dict[str, list[Exception]] | None = None) -> None:
        self.failures = failures or {}
        self.actions: list[str] = []
        self.idle = asyncio.Event()

    def add(self, action: str) -> None:
        """Note an action, or fail."""
        waiting = self.failures.get(action.partition(" ")[0])
        if waiting:
            self.actions.append(f"{action} failed")
            raise waiting.pop(0)
        self.actions.append(action)


class Consumer:
    """A partition that begins at the first record not yet committed."""

    committed = 0

    def __init__(self, log: Log, values: Sequence[bytes | None]) -> None:
        self._log, self._values, self._next = log, values, Consumer.committed

    async def start(self) -> None:
        """Join."""
        self._log.add("start")

    def subscribe(self, topics: list[str]) -> None:
        """Take the topic."""
        assert topics == ["events"]

    async def getone(self) -> Any:
        """Return the next record, or wait for ever."""
        if self._next == len(self._values):
            self._log.idle.set()
            await asyncio.Event().wait()
        self._next += 1
        return SimpleNamespace(
            topic="events", partition=0, offset=self._next - 1, timestamp=0,
            value=self._values[self._next - 1],
        )  # fmt: skip

    async def commit(self) -> None:
        """Commit what was returned."""
        self._log.add(f"commit {self._next}")
        Consumer.committed = self._next

    async def stop(self) -> None:
        """Leave."""


class Producer:
    """Notes dead letters."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def start(self) -> None:
        """Connect."""

    async def send_and_wait(self, topic: str, _: bytes, key: bytes, headers: Any) -> None:
        """Note the key and the reason."""
        assert topic == "dead"
        self._log.add(f"bury {key.decode()} {dict(headers)['reason'].decode()}")

    async def stop(self) -> None:
        """Disconnect."""


class Recorder:
    """Notes events."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def record(self, event: RunEvent) -> State:
        """Aggregate at the finished event."""
        self._log.add(f"record {event.event}")
        return "aggregating" if event.event == "finished" else "running"


async def consume(log: Log, values: Sequence[bytes | None]) -> list[str]:
    """Consume the values until nothing is left, and return what happened."""

    async def start_post_test(execution: UUID) -> None:
        assert execution == EXECUTION
        log.add("workflow")

    Consumer.committed = 0
    source = Source("events", "dead", lambda: Consumer(log, values), lambda: Producer(log))
    taker = RunEvents(Recorder(log), start_post_test, Metrics(CollectorRegistry()))
    events = TopicLoop(source, taker, Backoff(first=0.0))
    running = asyncio.create_task(events.run())
    idle = asyncio.create_task(log.idle.wait())
    await asyncio.wait({running, idle}, timeout=10, return_when=asyncio.FIRST_COMPLETED)
    idle.cancel()
    running.cancel()
    await asyncio.wait({running})
    if not running.cancelled():
        running.result()
    return log.actions


async def test_an_event_is_committed_after_it_is_handled() -> None:
    """The workflow is started before the finished event is committed."""
    assert await consume(Log(), GOOD) == [
        "start", "record started", "commit 1", "record finished", "workflow", "commit 2",
    ]  # fmt: skip


async def test_an_outage_is_waited_for_at_the_same_event() -> None:
    """Database or Temporal away: the event is tried again, and no other goes before it."""
    log = Log({"record": [Temporary("away")] * 3, "workflow": [Temporary("away")]})
    assert await consume(log, GOOD) == [
        "start", *["record started failed"] * 3, "record started", "commit 1",
        "record finished", "workflow failed", "record finished", "workflow", "commit 2",
    ]  # fmt: skip


async def test_a_bad_event_is_buried_before_it_is_committed() -> None:
    """Text that is no event, or that the store refuses, costs itself only; so does Kafka being away."""
    log = Log({"record": [Invalid("unknown_tenant", "no")], "bury": [KafkaError()]})
    assert await consume(log, [b"{", *GOOD]) == [
        "start", "bury events/0/0 bad_run_event failed", "bury events/0/0 bad_run_event", "commit 1",
        "record started failed", "bury events/0/1 unknown_tenant", "commit 2",
        "record finished", "workflow", "commit 3",
    ]  # fmt: skip


async def test_a_failed_commit_reads_the_event_again() -> None:
    """A new consumer begins where the group stands; what is handled twice is the same."""
    log = Log({"commit": [KafkaError()], "start": [KafkaError()]})
    assert await consume(log, GOOD[:1]) == [
        "start failed", "start", "record started", "commit 1 failed",
        "start", "record started", "commit 1",
    ]  # fmt: skip


async def test_what_only_a_person_can_mend_stops_the_consumer() -> None:
    """It does not spin on a database that refuses it."""
    with pytest.raises(Permanent):
        await consume(Log({"record": [Permanent("no such table")]}), GOOD)


def test_pauses_grow_to_a_limit() -> None:
    """Doubled from the first, never above the longest, after any number of failures."""
    assert [Backoff(1, 30).after(n) for n in (1, 2, 3, 6, 10_000)] == [1, 2, 4, 30, 30]
