"""The Kafka group of a source topic: one member reads all partitions, the others stand by.

A run lies in all partitions, so whoever divides it has to see all of them.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import (
    ConsumerProtocolMemberAssignment,
    ConsumerProtocolMemberMetadata,
)

_HAND_OVER = 3.0
"""Seconds to finish what is in hand. A batch takes a fraction of one."""


class OneReadsAll(AbstractPartitionAssignor):  # type: ignore[misc] # the library is untyped
    """Assigns everything to one member."""

    name = "headrace-one-reads-all"
    version = 0

    @classmethod
    def assign(
        cls, cluster: ClusterMetadata, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """All partitions of all topics to the first member by id."""
        reader = min(members)
        topics = sorted({topic for one in members.values() for topic in one.subscription})
        everything = [
            (topic, sorted(cluster.partitions_for_topic(topic) or ())) for topic in topics
        ]
        return {
            member: ConsumerProtocolMemberAssignment(
                cls.version, everything if member == reader else [], b""
            )
            for member in members
        }

    @classmethod
    def metadata(cls, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        """Nothing but the subscription."""
        return ConsumerProtocolMemberMetadata(cls.version, list(topics), b"")

    @classmethod
    def on_assignment(cls, assignment: Any) -> None:
        """Nothing to remember."""


class Turn(ConsumerRebalanceListener):  # type: ignore[misc] # the library is untyped
    """Whether it is this process's turn to read."""

    def __init__(self) -> None:
        self.partitions: list[TopicPartition] = []
        self.begun, self.over = asyncio.Event(), asyncio.Event()
        self.work: asyncio.Task[None] | None = None
        """What the reader does with its turn; done when it has nothing in hand any more."""

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Begin, if there is anything."""
        self.partitions = sorted(assigned)
        if self.partitions:
            self.over.clear()
            self.begun.set()

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Let the reader finish its batch before another member looks into Kafka for what it did."""
        del revoked
        self.begun.clear()
        await self.end()

    async def end(self) -> None:
        """End the turn: soon with its batch acknowledged, or then without.

        A batch that waits for a broker must not arrive when somebody else has sent it.
        """
        self.over.set()
        if self.work is not None:
            await asyncio.wait({self.work}, timeout=_HAND_OVER)
            self.work.cancel()
            await asyncio.wait({self.work})
