"""Metrics of the worker process, declared once. Each text says what to do when it moves."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    """Metrics in a registry of their own; labels are in the names' order."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.events = Counter(
            "headrace_run_events_total",
            "Run events handled, by event (started finished aborted). None for hours of testing: see "
            "the consumer group's lag and this process's log.",
            ["event"],
            registry=registry,
        )
        self.events_dead_lettered = Counter(
            "headrace_run_events_dead_lettered_total",
            "Run events that can't be handled, by reason. Any: read them in the dead-letter topic; the "
            "run they speak of does not finish.",
            ["reason"],
            registry=registry,
        )
        self.workflows_started = Counter(
            "headrace_post_tests_started_total",
            "Post-test workflows started or found running. Fewer than runs that finish: look for runs "
            "whose runners did not all finish.",
            registry=registry,
        )
        self.mismatches = Counter(
            "headrace_post_test_mismatches_total",
            "Times that what was sent, stored and summarised of a run did not agree; looked at again after "
            "a while. Any that stays: the run keeps its raw points, and its workflow says what differs.",
            registry=registry,
        )
        self.oldest_post_test = Gauge(
            "headrace_post_test_oldest_seconds",
            "Age of the run that has waited longest for its aggregates since it was last heard of. Above "
            "minutes: see its workflow.",
            registry=registry,
        )
        self.maintained = Gauge(
            "headrace_maintenance_good_timestamp_seconds",
            "Unix time at which a part of maintenance ended well, by whatever worker. Old: `headrace "
            "storage status` has the error.",
            ["part"],
            registry=registry,
        )
        self.transitions = Counter(
            "headrace_alert_transitions_total",
            "Transitions of alerts recorded and handed on, by the state they lead to. None while alerts "
            "change: see the consumer group's lag and this process's log.",
            ["state"],
            registry=registry,
        )
        self.transitions_dead_lettered = Counter(
            "headrace_alert_transitions_dead_lettered_total",
            "Transitions that can't be recorded, by reason. Any: read them in the dead-letter topic; nobody "
            "is told of them.",
            ["reason"],
            registry=registry,
        )
        self.notifications = Counter(
            "headrace_notifications_total",
            "Notifications that a receiver took, by kind (webhook slack email alertmanager). None for an "
            "alert that fires: is it silenced, inhibited or without a route?",
            ["kind"],
            registry=registry,
        )
        self.notification_failures = Counter(
            "headrace_notification_failures_total",
            "Attempts to notify that failed, each made again. Growing: the activity's last failure, in the "
            "Temporal UI under notify/, has the reason.",
            ["kind"],
            registry=registry,
        )
        self.notifications_given_up = Counter(
            "headrace_notifications_given_up_total",
            "Alerts of whose end a receiver was not told within a day, so that it still shows them.",
            registry=registry,
        )
        self.aggregate_seconds = Histogram(
            "headrace_aggregate_seconds",
            "Duration of aggregating one run. Above 3 s per million points: see work_mem and the "
            "database's temporary files.",
            buckets=(0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800),
            registry=registry,
        )
        self.aggregate_rows = Counter(
            "headrace_aggregate_rows_total",
            "Rows of aggregates written. A jump: some script gives each request a name of its own.",
            registry=registry,
        )
        self.maintenance_seconds = Histogram(
            "headrace_maintenance_seconds",
            "Duration of a part of maintenance, by part (refresh forget runs ensure catch up retain compact). "
            "Refresh above the interval: late samples of many days, or a database that is short of memory.",
            ["part"],
            buckets=(0.01, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800, 7200),
            registry=registry,
        )
        self.maintenance_done = Counter(
            "headrace_maintenance_done_total",
            "Things done by a part of maintenance: rows of rollups changed, rows of deleted series, "
            "runs settled, policies or partitions made, removals, parts compacted. No refresh for minutes of ingest: "
            "see `headrace status`.",
            ["part"],
            registry=registry,
        )
        self.maintenance_failures = Counter(
            "headrace_maintenance_failures_total",
            "Parts of maintenance that failed, each tried again in the next round. Again and again: "
            "`headrace storage status` has the error.",
            ["part"],
            registry=registry,
        )
        self.remediations = Counter(
            "headrace_remediations_total",
            "Remediations decided (refused planned) and ended (succeeded cancelled rejected escalated), by "
            "state. Escalated: `headrace remediation list --state escalated`; a person is needed.",
            ["state"],
            registry=registry,
        )
        self.remediation_steps = Counter(
            "headrace_remediation_steps_total",
            "Attempts at steps of playbooks, by action and what came of them. Failures: the audit trail has "
            "what the other side said (`headrace remediation show`).",
            ["action", "came"],
            registry=registry,
        )
