"""Prometheus metrics of ingest: each with its unit and what to do when it moves."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class IngestMetrics:
    """Declared once per process, on the registry that its probe server exposes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.samples = Counter(
            "headrace_ingest_samples",
            "Samples handled, by outcome (stored, deduplicated, dead_lettered, rejected). "
            "dead_lettered rising: read the reasons below, then the dead-letter topic.",
            ["outcome"],
            registry=registry,
        )
        _begin(self.samples, "stored", "deduplicated", "dead_lettered", "rejected")
        self.rejects = Counter(
            "headrace_ingest_rejects",
            "Records and samples dead-lettered, by reason. One reason rising: find the producer by the "
            "source header of its dead letters.",
            ["reason"],
            registry=registry,
        )
        self.refused = Counter(
            "headrace_ingest_rejected_samples",
            "Samples of new series past a limit, by reason (too_many_series, too_many_label_values). "
            "Rising: `headrace storage cardinality` names the metric and the label.",
            ["reason"],
            registry=registry,
        )
        self.changes = Counter(
            "headrace_ingest_changes_seen",
            "Times that definitions or limits were found changed. Still after an edit: see the log.",
            registry=registry,
        )
        self.lost = Counter(
            "headrace_ingest_lost_records",
            "Records that Kafka deleted before they were read. Any: raise the topic's retention.",
            registry=registry,
        )
        self.batch_seconds = Histogram(
            "headrace_ingest_batch_seconds",
            "Seconds of decoding and of writing a batch. write rising: the database is the limit.",
            ["stage"],
            registry=registry,
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
        )
        self.batch_samples = Histogram(
            "headrace_ingest_batch_samples",
            "Samples in a committed batch. Small under load: fetches are small, look at the broker.",
            registry=registry,
            buckets=(1, 10, 100, 1_000, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000),
        )
        self.retries = Counter(
            "headrace_ingest_retries",
            "Attempts that a dependency's outage cost, by dependency. Rising: it is away; nothing is lost.",
            ["dependency"],
            registry=registry,
        )
        _begin(self.retries, "kafka", "database")
        self.lag = Gauge(
            "headrace_ingest_lag_records",
            "Records in Kafka that are not stored yet. Rising: producers outrun this consumer; add one.",
            ["topic", "partition"],
            registry=registry,
        )
        self.last_commit = Gauge(
            "headrace_ingest_last_commit_timestamp_seconds",
            "Unix time of the last committed batch. Old while lag is above zero: see the log.",
            registry=registry,
        )


class WatchedMetrics:
    """Of what is forwarded to the alerts process. Declared once per process, as the others."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.rules = Gauge(
            "headrace_ingest_watched_rules",
            "Rules whose samples are forwarded. Fewer than there are: the log names the broken ones.",
            registry=registry,
        )
        self.posted = Counter(
            "headrace_ingest_watched_posted",
            "Records for the alerts process that batches left in the outbox.",
            registry=registry,
        )
        self.published = Counter(
            "headrace_ingest_watched_published",
            "Records of the outbox that Kafka has. Behind the posted ones: Kafka is away, or see the log.",
            registry=registry,
        )
        self.failures = Counter(
            "headrace_ingest_watched_failures",
            "What did not go right, by what: rules (could not be read), batch (went without its samples "
            "being forwarded), publish (is tried again). batch rising: rules miss samples; see the log.",
            ["what"],
            registry=registry,
        )
        _begin(self.failures, "rules", "batch", "publish")
        self.expired = Counter(
            "headrace_ingest_watched_expired",
            "Records that waited an hour for Kafka and were dropped. Any: rules have missed samples.",
            registry=registry,
        )
        self.waiting = Gauge(
            "headrace_ingest_watched_waiting",
            "Records in the outbox of the consumer group. Growing: the watched topic takes nothing.",
            registry=registry,
        )
        self.oldest = Gauge(
            "headrace_ingest_watched_oldest_seconds",
            "Age of the oldest of them: so long rules have been behind. Rising: as waiting.",
            registry=registry,
        )


def _begin(counter: Counter, *labels: str) -> None:
    """Show 0 at once: the step from nothing to 1 is no increase for Prometheus."""
    for label in labels:
        counter.labels(label)
