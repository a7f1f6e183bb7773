"""The Kafka topics: their names and how they must be made.

`migrate` creates them; nothing relies on broker-side auto-creation, because Faust waits for ever for
an input topic that nobody made.
"""

from dataclasses import dataclass, field

MAX_RECORD_BYTES = 1024 * 1024 - 4096
"""Largest record value that producers send: the broker's default limit less room for key and headers."""

_DAY_MS = 24 * 3600 * 1000


@dataclass(frozen=True)
class TopicSpec:
    """A topic as `migrate` creates it."""

    name: str
    partitions: int
    configs: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Topics:
    """Names of the topics; `prefix` lets several installations, tests and benchmarks share a cluster."""

    prefix: str = ""

    @property
    def samples(self) -> str:
        """Envelopes of samples, from every producer."""
        return f"{self.prefix}metrics.samples.v1"

    @property
    def run_events(self) -> str:
        """Start and finish of load tests, keyed by execution id."""
        return f"{self.prefix}runs.events.v1"

    @property
    def dead_letters(self) -> str:
        """Records and samples that can't be stored, keyed by source position."""
        return f"{self.prefix}metrics.dlq.v1"

    @property
    def watched(self) -> str:
        """Samples of series that a rule watches, reduced, partitioned by metric."""
        return f"{self.prefix}metrics.watched.v1"

    @property
    def alert_states(self) -> str:
        """What the alerts process remembers, compacted; partitioned as `watched`."""
        return f"{self.prefix}alerts.states.v1"

    @property
    def transitions(self) -> str:
        """Changes of alerts, keyed by alert."""
        return f"{self.prefix}alerts.transitions.v1"

    def specs(self, partitions: int) -> tuple[TopicSpec, ...]:
        """Every topic, with `partitions` for the samples; the others are low in volume and want order."""
        return (
            # A week of backlog: a database may be away over a long weekend and nothing is lost.
            TopicSpec(self.samples, partitions, {"retention.ms": str(7 * _DAY_MS)}),
            # Few and precious: a run's start and finish stay readable for a quarter.
            TopicSpec(
                self.run_events,
                1,
                {"retention.ms": str(90 * _DAY_MS), "max.message.bytes": str(4 << 20)},
            ),
            # Compaction leaves one copy where a crash made ingest write two of the same position.
            # Larger than the source's records, because the reason travels in headers on top.
            TopicSpec(
                self.dead_letters,
                1,
                {
                    "cleanup.policy": "compact,delete",
                    "retention.ms": str(30 * _DAY_MS),
                    "max.message.bytes": str(2 << 20),
                },
            ),
            # Longer than the longest window, which is read again from here after a restart.
            TopicSpec(
                self.watched,
                partitions,
                {"retention.ms": str(2 * _DAY_MS), "max.message.bytes": str(4 << 20)},
            ),
            TopicSpec(self.alert_states, partitions, {"cleanup.policy": "compact"}),
            # As those of runs: what happened on a night stays readable for a quarter.
            TopicSpec(self.transitions, 1, {"retention.ms": str(90 * _DAY_MS)}),
        )
