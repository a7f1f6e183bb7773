DROP VIEW baselines_tenant, run_errors_tenant, run_checks_tenant, k6_aggregates_tenant, runs_tenant;
DROP TABLE baselines, run_errors, run_checks;
DELETE FROM k6_aggregates WHERE kind = 'total';
ALTER TABLE k6_aggregates
    DROP COLUMN domain,
    DROP COLUMN sketch,
    DROP CONSTRAINT k6_aggregates_kind_check,
    DROP CONSTRAINT k6_aggregates_check;
ALTER TABLE k6_aggregates
    ADD CONSTRAINT k6_aggregates_kind_check CHECK (kind IN ('bucket', 'summary', 'endpoint')),
    ADD CONSTRAINT k6_aggregates_check CHECK ((kind = 'bucket') = (bucket IS NOT NULL));
COMMENT ON TABLE k6_aggregates IS 'bucket: one second per metric and endpoint; summary: one row a metric; endpoint: one row per metric, name, method and status.';
DROP INDEX runs_tags;
ALTER TABLE runs DROP COLUMN tags, DROP COLUMN keep_raw, DROP COLUMN incomplete, DROP COLUMN heard_at;
CREATE VIEW runs_tenant WITH (security_barrier) AS
SELECT execution_id, test, script, state, started_at, finished_at, runners, metrics, thresholds,
       verdict, raw_deleted_at
FROM runs
WHERE tenant_id = current_tenant();
CREATE VIEW k6_aggregates_tenant WITH (security_barrier) AS
SELECT a.*
FROM k6_aggregates a
JOIN runs r USING (execution_id)
WHERE r.tenant_id = current_tenant();
GRANT SELECT ON runs_tenant, k6_aggregates_tenant TO headrace_reader;
