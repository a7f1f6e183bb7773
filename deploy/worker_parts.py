"""What a worker is put together of: what its steps read and write, ask and consume."""

import os
import ssl
from datetime import UTC, datetime

import asyncpg
from aiokafka import AIOKafkaConsumer

from deploy.grants import read_grants
from producers.kafka import make_producer
from schemas.settings import Settings
from schemas.topics import Topics
from sinks.alerts import AlertStore
from sinks.notifications import NotificationStore
from sinks.playbooks import PlaybookStore
from sinks.remediation_trail import RemediationTrail
from sinks.remediations import RemediationStore
from sinks.run_upkeep import RunUpkeep
from sinks.runs import RunStore
from sinks.verification import Verifier
from workflows.actions.actions import Actions
from workflows.actions.receivers import Receivers
from workflows.actions.secrets import Secrets
from workflows.addresses import Allowed
from workflows.metrics import Metrics
from workflows.notify.delivery import Delivery
from workflows.outgoing import Outgoing, OutgoingPolicy
from workflows.remediation.activities import RemediationActivities
from workflows.topic_loop import Source

_MAX_POLL_INTERVAL_MS = 100_000_000
"""An event may wait for the database for a day; leaving the group meanwhile would not help it."""
_SESSION_MS = 6000
"""What a killed worker had in hand waits so long for another. Brokers take no less unless told to."""
_DEAD_LETTER_BYTES = 1536 * 1024


class Stores:
    """What the steps of workflows read and write."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self.runs = RunStore(pool)
        self.upkeep = RunUpkeep(pool)
        self.alerts = AlertStore(pool)
        self.notifications = NotificationStore(pool)


def delivery(settings: Settings) -> Delivery:
    """What tells receivers."""
    allowed = Allowed.parse(settings.outgoing_allow)
    return Delivery(
        Outgoing(OutgoingPolicy(allowed)),
        Secrets(os.environ),
        allowed,
        ssl.create_default_context(),
    )


def source(kafka: str, names: Topics, topic: str, group: str) -> Source:
    """A topic, read as a group of consumers."""
    return Source(
        topic=topic,
        dead_letters=names.dead_letters,
        make_consumer=lambda: AIOKafkaConsumer(
            bootstrap_servers=kafka,
            client_id="headrace-worker",
            group_id=names.prefix + group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            # Transitions are written in transactions, whose aborted records never happened.
            isolation_level="read_committed",
            max_poll_interval_ms=_MAX_POLL_INTERVAL_MS,
            session_timeout_ms=_SESSION_MS,
            heartbeat_interval_ms=_SESSION_MS // 3,
        ),
        make_producer=lambda: make_producer(
            kafka,
            client_id="headrace-worker-dead-letters",
            max_record_bytes=_DEAD_LETTER_BYTES,
        ),
    )


def remediation(
    settings: Settings,
    pool: "asyncpg.Pool[asyncpg.Record]",
    telling: Delivery,
    metrics: Metrics,
) -> RemediationActivities:
    """The steps that remedy, and what they may use."""
    return RemediationActivities(
        RemediationStore(pool),
        RemediationTrail(pool),
        PlaybookStore(pool),
        Actions(
            Outgoing(OutgoingPolicy(Allowed.parse(settings.outgoing_allow))),
            Secrets(os.environ),
            read_grants(settings.remediation_grants),
            Receivers(NotificationStore(pool), telling),
        ),
        metrics,
        verifier=Verifier(pool),
        per_tenant=settings.remediation_max_per_hour,
        clock=lambda: datetime.now(UTC),
    )
