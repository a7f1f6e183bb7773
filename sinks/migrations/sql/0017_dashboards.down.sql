CREATE OR REPLACE VIEW k6_aggregates_tenant WITH (security_barrier) AS
SELECT a.* FROM k6_aggregates a JOIN runs r USING (execution_id) WHERE r.tenant_id = current_tenant();
CREATE OR REPLACE VIEW run_checks_tenant WITH (security_barrier) AS
SELECT c.* FROM run_checks c JOIN runs r USING (execution_id) WHERE r.tenant_id = current_tenant();
CREATE OR REPLACE VIEW run_errors_tenant WITH (security_barrier) AS
SELECT e.* FROM run_errors e JOIN runs r USING (execution_id) WHERE r.tenant_id = current_tenant();
DROP INDEX k6_aggregates_endpoints;
ALTER TABLE k6_aggregates
    DROP CONSTRAINT k6_aggregates_key,
    ADD UNIQUE NULLS NOT DISTINCT (execution_id, kind, metric, bucket, name, method, status);
