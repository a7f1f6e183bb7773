"""What the gateway alone counts for Prometheus. Each metric says what to do when it moves."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from producers.gateway.limits import Budget


class Telemetry:
    """The samples and bytes of one gateway, in the registry that it is given."""

    def __init__(self, registry: CollectorRegistry, budget: Budget) -> None:
        self.accepted = Counter(
            "headrace_gateway_samples_accepted_total",
            "Samples that Kafka acknowledged. Falling: look at 4xx and 5xx.",
            registry=registry,
        )
        self.refused = Counter(
            "headrace_gateway_samples_refused_total",
            "Samples refused, by reason. Rising: a client sends what the rules do not allow.",
            ["reason"],
            registry=registry,
        )
        held = Gauge(
            "headrace_gateway_held_bytes",
            "Bodies being read and records on their way to Kafka. At the limit the gateway answers 503.",
            registry=registry,
        )
        held.set_function(lambda: budget.used)
