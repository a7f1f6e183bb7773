-- Load-test runs: the run, its raw points, its aggregates, and a ledger of its own.

CREATE TABLE runs (
    execution_id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES tenants,
    test text NOT NULL,
    script text,
    state text NOT NULL DEFAULT 'running'
        CHECK (state IN ('running', 'aggregating', 'finished', 'aborted')),
    started_at timestamptz NOT NULL,
    finished_at timestamptz,
    runners jsonb NOT NULL DEFAULT '{}',
    metrics jsonb NOT NULL DEFAULT '{}',
    thresholds jsonb NOT NULL DEFAULT '[]',
    verdict text CHECK (verdict IN ('passed', 'failed')),
    raw_deleted_at timestamptz
);
COMMENT ON COLUMN runs.runners IS 'Runner to its own started/finished facts: exit code, sent points per partition, k6''s summary.';
COMMENT ON COLUMN runs.metrics IS 'Metric name to k6 type.';
COMMENT ON COLUMN runs.raw_deleted_at IS 'Set with the deletion of the raw points; from then on the aggregates are final.';
CREATE INDEX runs_tenant_started ON runs (tenant_id, started_at DESC);

CREATE TABLE run_ledger (
    execution_id uuid NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    stored bigint NOT NULL DEFAULT 0,
    dead_lettered bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (execution_id, topic, partition)
);
COMMENT ON TABLE run_ledger IS 'Points of a run by source partition, written in the transaction that stores them.';

CREATE TABLE k6_aggregates (
    execution_id uuid NOT NULL REFERENCES runs ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('bucket', 'summary', 'endpoint')),
    bucket timestamptz CHECK ((kind = 'bucket') = (bucket IS NOT NULL)),
    metric text NOT NULL,
    name text,
    method text,
    status text,
    n bigint NOT NULL,
    sum double precision NOT NULL,
    min double precision NOT NULL,
    max double precision NOT NULL,
    avg double precision NOT NULL,
    p50 double precision NOT NULL,
    p90 double precision NOT NULL,
    p95 double precision NOT NULL,
    p99 double precision NOT NULL,
    UNIQUE NULLS NOT DISTINCT (execution_id, kind, metric, bucket, name, method, status)
);
COMMENT ON TABLE k6_aggregates IS 'bucket: one second per metric and endpoint; summary: one row a metric; endpoint: one row per metric, name, method and status.';

GRANT SELECT, INSERT, UPDATE ON runs, run_ledger TO headrace_writer;
GRANT SELECT, INSERT, DELETE ON k6_aggregates TO headrace_writer;
