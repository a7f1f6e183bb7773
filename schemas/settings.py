"""Every setting of every process, with the reason for its default.

Read from `HEADRACE_*` environment variables by composition roots (`deploy`) only; every other room
is handed the values it needs.
"""

from datetime import timedelta
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.lifecycle import Keeping, LifecyclePolicy, Refresh

EMBEDDED = "embedded"

_DAY = timedelta(days=1)
_QUARTER = timedelta(days=90)
_SECOND = timedelta(seconds=1)


class Settings(BaseSettings):
    """The environment of a headrace process."""

    model_config = SettingsConfigDict(env_prefix="HEADRACE_", frozen=True, extra="ignore")

    home: Path = Field(
        default=Path(".headrace"),
        description="Where a local stack keeps its data, logs and state.json. Nothing outside it is touched.",
    )
    runtime: Path | None = Field(
        default=None,
        description="Where downloaded servers are cached; default: runtime in home. Several homes may share one.",
    )
    port_offset: int = Field(
        default=0, ge=0, le=40000, description="Added to each port of the local stack."
    )
    kafka: str = Field(
        default=EMBEDDED,
        description="Bootstrap servers (host:port,…), or 'embedded' for the local stack's own broker.",
    )
    database: str = Field(
        default=EMBEDDED,
        description="PostgreSQL or TimescaleDB DSN, or 'embedded'. Each process assumes the role it needs "
        "(headrace_writer, headrace_reader), so one DSN serves all and production gives each its own.",
    )
    temporal: str = Field(
        default=EMBEDDED, description="Temporal frontend (host:port), or 'embedded'."
    )
    temporal_namespace: str = Field(default="default", description="Temporal namespace.")
    topic_prefix: str = Field(
        default="", description="Put before each topic's name, to share a Kafka cluster."
    )
    partitions: int = Field(
        default=4, ge=1, description="Partitions of metrics.samples.v1 when migrate creates it."
    )
    replication: int = Field(
        default=1, ge=1, description="Replication factor of created topics; 3 in production."
    )
    consumer_group: str = Field(
        default="headrace-ingest", description="Kafka group and the key of stored offsets."
    )
    raw_retention: timedelta = Field(
        default=timedelta(days=30),
        ge=_DAY,
        description="Samples older than this are dead-lettered: retention would drop them at once. Raw points of "
        "runs that keep theirs (keep_raw, or incomplete) go when the run ended that long ago.",
    )
    retention_1m: timedelta = Field(
        default=timedelta(days=365), ge=_DAY, description="One-minute rollups are kept as long."
    )
    retention_5m: timedelta = Field(
        default=timedelta(days=730), ge=_DAY, description="Five-minute rollups are kept as long."
    )
    retention_1h: timedelta = Field(
        default=timedelta(days=1825),
        ge=_DAY,
        description="Hourly rollups, and the sketches that answer percentiles, are kept as long.",
    )
    retention_alerts: timedelta = Field(
        default=timedelta(days=400),
        ge=_QUARTER,
        description="Alerts that are over, their transitions and silences are kept as long: a year can be compared "
        "with the one before. Not less than the 90 days that Kafka keeps transitions: read again they would be new.",
    )
    retention_remediations: timedelta = Field(
        default=timedelta(days=400),
        ge=_QUARTER,
        description="Remediations that ended and their audit trails are kept as long. Not less than Kafka keeps "
        "transitions: read again they would be remedied again.",
    )
    compress_raw_after: timedelta = Field(
        default=timedelta(days=7),
        ge=_DAY,
        description="Samples are compressed (PostgreSQL: sorted by series) then: late ones are rare by now.",
    )
    compress_1m_after: timedelta = Field(
        default=timedelta(days=7), ge=_DAY, description="As compress_raw_after, one-minute rollups."
    )
    compress_5m_after: timedelta = Field(
        default=timedelta(days=7),
        ge=_DAY,
        description="As compress_raw_after, five-minute rollups.",
    )
    compress_1h_after: timedelta = Field(
        default=timedelta(days=14), ge=_DAY, description="As compress_raw_after, hourly rollups."
    )
    refresh_1m_every: timedelta = Field(
        default=timedelta(minutes=1),
        ge=_SECOND,
        description="How often TimescaleDB refreshes one-minute rollups; PostgreSQL: at each maintenance.",
    )
    refresh_5m_every: timedelta = Field(
        default=timedelta(minutes=5), ge=_SECOND, description="As refresh_1m_every, five minutes."
    )
    refresh_1h_every: timedelta = Field(
        default=timedelta(hours=1), ge=_SECOND, description="As refresh_1m_every, hours."
    )
    refresh_1m_window: timedelta = Field(
        default=timedelta(days=14),
        ge=_DAY,
        description="How far back each refresh looks for late samples. Older ones are caught up with hourly.",
    )
    refresh_5m_window: timedelta = Field(
        default=timedelta(days=90), ge=_DAY, description="As refresh_1m_window, five minutes."
    )
    refresh_1h_window: timedelta = Field(
        default=timedelta(days=1095), ge=_DAY, description="As refresh_1m_window, hours."
    )
    refresh_1m_lag: timedelta = Field(
        default=timedelta(minutes=1),
        ge=timedelta(0),
        le=timedelta(hours=1),
        description="A bucket is stored when it ended that long ago; before, it is computed by each reader.",
    )
    refresh_5m_lag: timedelta = Field(
        default=timedelta(minutes=5),
        ge=timedelta(0),
        le=timedelta(hours=6),
        description="As refresh_1m_lag, five minutes.",
    )
    refresh_1h_lag: timedelta = Field(
        default=timedelta(hours=1),
        ge=timedelta(0),
        le=timedelta(hours=12),
        description="As refresh_1m_lag, hours and sketches.",
    )
    run_grace: timedelta = Field(
        default=timedelta(minutes=10),
        ge=_SECOND,
        description="A run of which neither event nor point was heard for so long is closed as incomplete: "
        "longer than a network cut, shorter than the patience of who waits for the verdict.",
    )
    maintenance_interval: timedelta = Field(
        default=timedelta(minutes=1),
        ge=_SECOND,
        description="How often a worker refreshes what changed. Each round costs little when little changed.",
    )
    clock_skew: timedelta = Field(
        default=timedelta(minutes=10),
        description="Samples further ahead than this are dead-lettered: a stray clock must not make a chunk in 2106.",
    )
    alerts_stale_after: timedelta = Field(
        default=timedelta(minutes=5),
        gt=timedelta(0),
        description="Changes of alerts found out later than this are marked stale: nobody should be woken for them.",
    )
    alerts_idle_after: timedelta = Field(
        default=timedelta(seconds=2),
        gt=timedelta(0),
        description="Rules do not wait for a source partition that is silent for so long.",
    )
    alerts_clock_allowance: timedelta = Field(
        default=timedelta(seconds=3),
        ge=timedelta(0),
        description="How far behind the clock rules are evaluated when no samples come: their way from producer to rule.",
    )
    alerts_lateness: timedelta = Field(
        default=timedelta(0),
        ge=timedelta(0),
        description="How long rules wait for samples that are late; alerts come later by it.",
    )
    max_series_per_tenant: int = Field(
        default=1_000_000,
        ge=1,
        description="New series past it are rejected; `headrace tenants limit` sets a tenant's own.",
    )
    max_label_values: int = Field(
        default=100_000,
        ge=1,
        description="Distinct values of each label of a metric; a definition's max_label_values overrides it.",
    )
    long_range: timedelta = Field(
        default=timedelta(hours=12),
        ge=_SECOND,
        description="Charts of load tests over more than this have a point a run, those of less are of seconds.",
    )
    api_host: str = Field(default="127.0.0.1", description="Where HTTP processes listen.")
    outgoing_allow: str = Field(
        default="",
        description="Hosts and networks (hooks.internal,10.1.0.0/16) that notifications and playbooks may ask "
        "though they are not public. Tenants choose the URLs: name what any of them may reach.",
    )

    remediation_grants: Path | None = Field(
        default=None,
        description="YAML file of the commands, statements, clusters and secrets that playbooks may use, and whose "
        "(schemas/grants.py). Without it they can ask public HTTP servers, wait and notify.",
    )
    remediation_max_per_hour: int = Field(
        default=30,
        ge=0,
        description="Remediations that a tenant's alerts may begin in any hour, all rules together: a fault of "
        "everything is no time for everything to be restarted. 0: none.",
    )

    @property
    def lifecycle(self) -> LifecyclePolicy:
        """What the settings say of retention, compression and refresh."""
        return LifecyclePolicy(
            raw=Keeping(self.compress_raw_after, self.raw_retention),
            rollups={
                "1m": Keeping(self.compress_1m_after, self.retention_1m),
                "5m": Keeping(self.compress_5m_after, self.retention_5m),
                "1h": Keeping(self.compress_1h_after, self.retention_1h),
            },
            refreshes={
                "1m": Refresh(self.refresh_1m_every, self.refresh_1m_window, self.refresh_1m_lag),
                "5m": Refresh(self.refresh_5m_every, self.refresh_5m_window, self.refresh_5m_lag),
                "1h": Refresh(self.refresh_1h_every, self.refresh_1h_window, self.refresh_1h_lag),
            },
            records={
                "alerts": self.retention_alerts,
                "remediations": self.retention_remediations,
            },
        )
