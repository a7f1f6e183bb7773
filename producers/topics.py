"""Creates the topics that are missing and refuses those that would lose or reject samples."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code

from schemas.errors import Permanent, Temporary
from schemas.topics import TopicSpec

_OK = 0
_TOPIC_ALREADY_EXISTS = 36
_DEFAULTS = {"cleanup.policy": "delete", "max.message.bytes": str(1024 * 1024)}
"""What a topic needs where its specification says nothing: no compaction, room for our largest record."""


@dataclass(frozen=True)
class TopicState:
    """What became of one topic. `partitions` may be more than were asked for."""

    name: str
    state: Literal["created", "existing"]
    partitions: int


async def create_topics(
    bootstrap: str, specs: Iterable[TopicSpec], replication: int, *, patience: float = 30.0
) -> list[TopicState]:
    """Create what is missing, check what exists, and wait until each partition has a leader.

    Calling it again changes nothing. An existing topic is never altered: that is its owner's decision.

    Raises:
        Temporary: no broker answers, or the topics are not usable after `patience` seconds.
        Permanent: the broker refuses a topic, or an existing one does not fit; the text names each.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, client_id="headrace-migrate")
    try:
        async with asyncio.timeout(patience):
            await admin.start()
            wanted = {spec.name: spec for spec in specs}
            created = await _create(admin, wanted.values(), replication)
            partitions = await _wait_for_leaders(admin, set(wanted))
            existing = [spec for spec in wanted.values() if spec.name not in created]
            await _check(admin, existing, partitions)
    except TimeoutError:
        raise Temporary(
            f"The topics are not usable after {patience:g} s: see the log of the broker at {bootstrap}."
        ) from None
    except KafkaError as error:
        raise Temporary(f"Kafka at {bootstrap} does not answer: {error}") from error
    finally:
        await admin.close()
    return [
        TopicState(name, "created" if name in created else "existing", partitions[name])
        for name in wanted
    ]


async def partitions_of(bootstrap: str, topic: str) -> int:
    """How many partitions a topic has. Raises Temporary while no broker, or no topic, is there."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, client_id="headrace-topics")
    try:
        await admin.start()
        described: list[dict[str, Any]] = await admin.describe_topics([topic])
    except (KafkaError, OSError) as error:
        raise Temporary(f"Kafka at {bootstrap} does not answer: {error}") from error
    finally:
        await admin.close()
    count = sum(len(one["partitions"]) for one in described)
    if not count:
        raise Temporary(f"There is no topic {topic} yet: run `headrace migrate`.")
    return count


async def _create(
    admin: AIOKafkaAdminClient, specs: Iterable[TopicSpec], replication: int
) -> set[str]:
    topics = [
        NewTopic(spec.name, spec.partitions, replication, topic_configs=spec.configs)
        for spec in specs
    ]
    answer = await admin.create_topics(topics)
    created = set()
    refused = []
    for name, code, detail in answer.topic_errors:
        if code == _OK:
            created.add(name)
        elif code != _TOPIC_ALREADY_EXISTS:
            refused.append(f"{name}: {detail or for_code(code).description}")
    if refused:
        raise Permanent("Kafka refuses to create topics. " + "; ".join(refused))
    return created


async def _wait_for_leaders(admin: AIOKafkaAdminClient, names: set[str]) -> dict[str, int]:
    while True:
        described: list[dict[str, Any]] = await admin.describe_topics(sorted(names))
        ready = {
            topic["topic"]: len(topic["partitions"])
            for topic in described
            if topic["partitions"] and all(part["leader"] >= 0 for part in topic["partitions"])
        }
        if ready.keys() >= names:
            return ready
        await asyncio.sleep(0.05)  # the broker offers nothing to wait on; the caller sets a timeout


async def _check(
    admin: AIOKafkaAdminClient, existing: list[TopicSpec], partitions: dict[str, int]
) -> None:
    if not existing:
        return
    answers = await admin.describe_configs(
        [ConfigResource(ConfigResourceType.TOPIC, spec.name, dict(_DEFAULTS)) for spec in existing]
    )
    configs = {
        resource[3]: {entry[0]: entry[1] for entry in resource[4]}
        for answer in answers
        for resource in answer.resources
    }
    faults = [
        f"{spec.name}: {fault}"
        for spec in existing
        for fault in _faults(spec, partitions[spec.name], configs[spec.name])
    ]
    if faults:
        raise Permanent(
            "Topics exist but do not fit. "
            + "; ".join(faults)
            + ". Alter them with kafka-configs or kafka-topics, or set HEADRACE_TOPIC_PREFIX to use others."
        )


def _faults(spec: TopicSpec, partitions: int, actual: dict[str, str]) -> list[str]:
    wanted = _DEFAULTS | spec.configs
    faults = []
    if partitions < spec.partitions:
        faults.append(f"it has {partitions} partitions, {spec.partitions} are wanted")
    policy = actual["cleanup.policy"]
    if set(policy.split(",")) != set(wanted["cleanup.policy"].split(",")):
        faults.append(f"cleanup.policy is {policy}, it must be {wanted['cleanup.policy']}")
    size = int(actual["max.message.bytes"])
    if size < int(wanted["max.message.bytes"]):
        faults.append(
            f"max.message.bytes is {size}, it must be at least {wanted['max.message.bytes']}"
        )
    return faults
