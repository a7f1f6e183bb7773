"""What a consumer of a topic has to be told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from producers.k6.source.boundaries import Rules
from producers.k6.source.messages import Format
from producers.k6.urls import USUAL, Folding
from schemas.k6_metrics import MetricType
from schemas.topics import Topics


@dataclass(frozen=True)
class SourceConfig:
    """A topic to read, and whose runs of which test are in it."""

    bootstrap: str
    topics: Topics
    tenant_id: UUID
    topic: str
    format: Format
    test: str
    idle: float = 30.0
    """Seconds between two points that divide two runs."""
    run_tag: str | None = None
    group: str | None = None
    """By default one that follows from tenant and topic."""
    types: Mapping[str, MetricType] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    keep_raw: bool = False
    folding: Folding = USUAL

    @property
    def rules(self) -> Rules:
        """How the topic is divided."""
        group = self.group or f"{self.topics.prefix}headrace-k6.{self.tenant_id}.{self.topic}"
        return Rules(group, self.topic, self.idle, self.run_tag)
