-- Seconds of one endpoint side by side, as aggregate_execution writes them: a chart of it reads no others.
-- The same columns as before, so the same rows are refused.
ALTER TABLE k6_aggregates
    DROP CONSTRAINT k6_aggregates_execution_id_kind_metric_bucket_name_method_s_key,
    ADD CONSTRAINT k6_aggregates_key
        UNIQUE NULLS NOT DISTINCT (execution_id, kind, metric, name, method, status, bucket);

-- A year of nights by endpoint is read from this alone.
CREATE INDEX k6_aggregates_endpoints
    ON k6_aggregates (execution_id, metric, domain, name, method, status)
    INCLUDE (n, sum, min, max, p50, p90, p95, p99)
    WHERE kind = 'endpoint';

-- A subquery, for current_tenant() is then asked once, not of the run of each row.
CREATE OR REPLACE VIEW k6_aggregates_tenant WITH (security_barrier) AS
SELECT a.* FROM k6_aggregates a JOIN runs r USING (execution_id) WHERE r.tenant_id = (SELECT current_tenant());
CREATE OR REPLACE VIEW run_checks_tenant WITH (security_barrier) AS
SELECT c.* FROM run_checks c JOIN runs r USING (execution_id) WHERE r.tenant_id = (SELECT current_tenant());
CREATE OR REPLACE VIEW run_errors_tenant WITH (security_barrier) AS
SELECT e.* FROM run_errors e JOIN runs r USING (execution_id) WHERE r.tenant_id = (SELECT current_tenant());
