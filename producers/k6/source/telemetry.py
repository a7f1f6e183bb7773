"""What a consumer of k6's Kafka formats counts."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class Telemetry:
    """Declared once; each says what to do when it moves."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.points = Counter(
            "headrace_k6_source_points",
            "Points taken from the source topic and acknowledged in the samples topic.",
            registry=registry,
        )
        self.again = Counter(
            "headrace_k6_source_messages_again",
            "Messages that a run had taken before: after a restart a few, of a replay all.",
            registry=registry,
        )
        self.bad = Counter(
            "headrace_k6_source_dead_letters",
            "Messages that are no point, by reason. Look at metrics.dlq.v1: is --format right?",
            ["reason"],
            registry=registry,
        )
        self.runs = Counter(
            "headrace_k6_source_runs", "Runs by what became of them.", ["event"], registry=registry
        )
        self.open = Gauge(
            "headrace_k6_source_open_runs",
            "Runs under way. One that stays open gets points, or --idle is too long.",
            registry=registry,
        )
