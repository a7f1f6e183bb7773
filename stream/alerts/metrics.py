"""Prometheus metrics of the alerts process: each with its unit and what to do when it moves."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class AlertsMetrics:
    """Declared once per process, on the registry that its probe server exposes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.transitions = Counter(
            "headrace_alerts_transitions",
            "Transitions published, by the state that was entered. A flood: see which rule flaps.",
            ["state"],
            registry=registry,
        )
        for state in ("inactive", "pending", "firing", "resolved"):
            self.transitions.labels(state)
        self.commits = Counter(
            "headrace_alerts_commits",
            "Kafka transactions. Standing still while samples come: see the log.",
            registry=registry,
        )
        self.invalid = Counter(
            "headrace_alerts_invalid_records",
            "Records of watched samples that can't be read. Any: ingest is of another version.",
            registry=registry,
        )
        self.lost = Counter(
            "headrace_alerts_lost_partitions",
            "Times that another process had taken a partition. More than deploys: pauses of seconds.",
            registry=registry,
        )
        self.rules = Gauge("headrace_alerts_rules", "Rules that are evaluated.", registry=registry)
        self.active = Gauge(
            "headrace_alerts_active", "Alerts that are pending or firing.", registry=registry
        )
        self.behind = Gauge(
            "headrace_alerts_behind_seconds",
            "From the clock back to what is evaluated, of the slowest partition. Rising: ingest or this "
            "process is behind; alerts come late by so much.",
            registry=registry,
        )
