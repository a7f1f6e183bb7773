"""Every setting of every process, with the reason for its default.

Read from `HEADRACE_*` environment variables by composition roots (`deploy`) only; every other room
is handed the values it needs.
"""

from datetime import timedelta
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

EMBEDDED = "embedded"


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
        description="Samples older than this are dead-lettered: retention would drop them at once.",
    )
    clock_skew: timedelta = Field(
        default=timedelta(minutes=10),
        description="Samples further ahead than this are dead-lettered: a stray clock must not make a chunk in 2106.",
    )
    api_host: str = Field(default="127.0.0.1", description="Where HTTP processes listen.")
