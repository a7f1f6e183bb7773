-- What dashboards, comparisons and merged runs need beyond 0004: tags, totals by the second, sketches,
-- checks, errors and baselines.

ALTER TABLE runs
    ADD COLUMN tags jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN keep_raw boolean NOT NULL DEFAULT false,
    ADD COLUMN incomplete text,
    ADD COLUMN heard_at timestamptz NOT NULL DEFAULT now();
COMMENT ON COLUMN runs.tags IS 'Of the whole run, as its runners stated them.';
COMMENT ON COLUMN runs.keep_raw IS 'The raw points stay after aggregation.';
COMMENT ON COLUMN runs.incomplete IS 'Why not all of the run is in its aggregates; NULL: all is, or it goes on.';
COMMENT ON COLUMN runs.heard_at IS 'When the last event of the run came.';
CREATE INDEX runs_tags ON runs USING gin (tags jsonb_path_ops);
CREATE OR REPLACE VIEW runs_tenant WITH (security_barrier) AS
SELECT execution_id, test, script, state, started_at, finished_at, runners, metrics, thresholds,
       verdict, raw_deleted_at, tags, keep_raw, incomplete
FROM runs
WHERE tenant_id = current_tenant();

ALTER TABLE k6_aggregates
    ADD COLUMN domain text,
    ADD COLUMN sketch bytea,
    DROP CONSTRAINT k6_aggregates_kind_check,
    DROP CONSTRAINT k6_aggregates_check;
ALTER TABLE k6_aggregates
    ADD CONSTRAINT k6_aggregates_kind_check CHECK (kind IN ('bucket', 'total', 'summary', 'endpoint')),
    ADD CONSTRAINT k6_aggregates_check CHECK ((kind IN ('bucket', 'total')) = (bucket IS NOT NULL));
COMMENT ON TABLE k6_aggregates IS 'bucket: one second per metric and endpoint; total: one second per metric, and of http_reqs per status too; summary: one row a metric; endpoint: one row per metric, name, method and status.';
COMMENT ON COLUMN k6_aggregates.domain IS 'Tag domain of the points, or the host of their URL; of rows that have an endpoint.';
COMMENT ON COLUMN k6_aggregates.sketch IS 'Of trends: classes as in sketch_1h, by which percentiles of wider intervals are merged.';
CREATE OR REPLACE VIEW k6_aggregates_tenant WITH (security_barrier) AS
SELECT a.*
FROM k6_aggregates a
JOIN runs r USING (execution_id)
WHERE r.tenant_id = current_tenant();

CREATE TABLE run_checks (
    execution_id uuid NOT NULL REFERENCES runs ON DELETE CASCADE,
    group_name text COLLATE "C" NOT NULL,
    check_name text COLLATE "C" NOT NULL,
    passes bigint NOT NULL,
    fails bigint NOT NULL,
    PRIMARY KEY (execution_id, group_name, check_name)
);
COMMENT ON TABLE run_checks IS 'Checks of a run by group; written with its aggregates.';

CREATE TABLE run_errors (
    execution_id uuid NOT NULL REFERENCES runs ON DELETE CASCADE,
    name text NOT NULL,
    method text NOT NULL,
    status text NOT NULL,
    error_code text NOT NULL,
    error text NOT NULL,
    n bigint NOT NULL,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL
);
CREATE INDEX run_errors_execution ON run_errors (execution_id);
COMMENT ON TABLE run_errors IS 'Requests of a run that failed, by endpoint, status and k6''s error code; written with its aggregates.';

CREATE TABLE baselines (
    tenant_id uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    test text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    execution_id uuid NOT NULL REFERENCES runs ON DELETE CASCADE,
    set_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, test, name)
);
COMMENT ON TABLE baselines IS 'Runs that others of their test are compared with, by name.';

CREATE VIEW run_checks_tenant WITH (security_barrier) AS
SELECT c.* FROM run_checks c JOIN runs r USING (execution_id) WHERE r.tenant_id = current_tenant();
CREATE VIEW run_errors_tenant WITH (security_barrier) AS
SELECT e.* FROM run_errors e JOIN runs r USING (execution_id) WHERE r.tenant_id = current_tenant();
CREATE VIEW baselines_tenant WITH (security_barrier) AS
SELECT b.*
FROM baselines b
WHERE b.tenant_id = current_tenant()
  -- A run of another tenant may not be named either.
  AND EXISTS (SELECT FROM runs r WHERE r.execution_id = b.execution_id AND r.tenant_id = current_tenant())
WITH LOCAL CHECK OPTION;
ALTER VIEW baselines_tenant ALTER COLUMN tenant_id SET DEFAULT current_tenant();
ALTER VIEW baselines_tenant ALTER COLUMN set_at SET DEFAULT now();
GRANT SELECT ON run_checks_tenant, run_errors_tenant, baselines_tenant TO headrace_reader;
GRANT SELECT, DELETE, INSERT (test, name, execution_id), UPDATE (execution_id, set_at)
    ON baselines_tenant TO headrace_editor;
