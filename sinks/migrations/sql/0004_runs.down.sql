DROP FUNCTION drop_raw(uuid);
DROP FUNCTION ensure_executions(uuid[]);
DROP TABLE k6_samples;
DROP TABLE k6_aggregates;
DROP TABLE run_ledger;
DROP TABLE runs;
