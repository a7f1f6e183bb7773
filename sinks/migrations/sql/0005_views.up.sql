-- What readers may see: views that show the tenant of the transaction, and nothing when none is set.
-- security_barrier keeps a leaky function in a filter from seeing other tenants' rows.

CREATE VIEW series_tenant WITH (security_barrier) AS
SELECT series_id, name, labels, created_at
FROM series
WHERE tenant_id = current_tenant();

CREATE VIEW samples_tenant WITH (security_barrier) AS
SELECT s.ts, s.series_id, r.name, r.labels, s.v_num, s.v_bool, s.v_text
FROM samples s
JOIN series r USING (series_id)
WHERE r.tenant_id = current_tenant();

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

CREATE VIEW run_ledger_tenant WITH (security_barrier) AS
SELECT l.*
FROM run_ledger l
JOIN runs r USING (execution_id)
WHERE r.tenant_id = current_tenant();

GRANT SELECT ON series_tenant, samples_tenant, runs_tenant, k6_aggregates_tenant, run_ledger_tenant
    TO headrace_reader;
