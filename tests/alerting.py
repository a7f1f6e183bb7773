"""Transitions of alerts as the alerts process publishes them, in Kafka transactions."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from aiokafka import AIOKafkaProducer

from schemas.notifications import Notifications
from schemas.transitions import Transition, alert_id, fingerprint, transition_id
from sinks.database import connect_pool
from sinks.notifications import NotificationStore

BEGAN = datetime(2026, 6, 1, 12, tzinfo=UTC)


@dataclass
class Incident:
    """An alert whose transitions are made one after the other, ten seconds apart."""

    tenant: UUID
    rule: str = "items-slow"
    labels: Mapping[str, str] = field(default_factory=lambda: {"host": "a"})
    episode: datetime = BEGAN
    annotations: Mapping[str, str] = field(default_factory=lambda: {"summary": "a is slow"})
    number: int = 0
    state: str = "inactive"
    level: str | None = None

    @property
    def alert(self) -> str:
        """The alert's id."""
        return alert_id(self.tenant, self.rule, fingerprint(self.labels))

    def goes(self, state: str, level: str = "warning", **more: Any) -> Transition:
        """The next transition of the episode."""
        self.number += 1
        mark = fingerprint(self.labels)
        facts = {
            "id": transition_id(self.tenant, self.rule, mark, self.episode, self.number),
            "tenant_id": self.tenant,
            "rule": self.rule,
            "rule_version": 1,
            "fingerprint": mark,
            "labels": dict(self.labels),
            "was": self.state,
            "state": state,
            "was_level": self.level,
            "level": level,
            "episode": self.episode,
            "number": self.number,
            "at": self.episode + timedelta(seconds=10 * self.number),
            "value": 600.0,
            "threshold": 500.0,
            "condition": "p95(http_req_duration) over 30s > 500",
            "annotations": dict(self.annotations),
        }
        self.state, self.level = state, level
        return Transition.model_validate(facts | more)

    def again(self, after: timedelta = timedelta(hours=1)) -> "Incident":
        """The alert's next episode."""
        return Incident(self.tenant, self.rule, self.labels, self.episode + after, self.annotations)


async def publish(
    kafka: str, topic: str, records: Iterable[Transition | bytes | None], *, abort: bool = False
) -> None:
    """Write records in one Kafka transaction, which an `abort` takes back."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka, transactional_id=f"test-{uuid4()}")
    await producer.start()
    try:
        await producer.begin_transaction()
        for record in records:
            value, key = (
                (record.model_dump_json().encode(), record.key.encode())
                if isinstance(record, Transition)
                else (record, b"bad")
            )
            await producer.send(topic, value, key)
        await producer.flush()
        await (producer.abort_transaction() if abort else producer.commit_transaction())
    finally:
        await producer.stop()


async def apply(dsn: str, tenant: UUID, **document: Any) -> None:
    """Store a tenant's document of notifications."""
    async with await connect_pool(dsn, role="headrace_owner", application="test") as pool:
        await NotificationStore(pool).apply(tenant, Notifications.model_validate(document))


SOON = {"group_wait": "0s", "group_interval": "1s", "repeat_interval": "1h"}
"""Times of a route that nobody waits for."""
