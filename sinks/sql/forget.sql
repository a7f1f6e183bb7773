-- name: tenant
-- Of this name.
SELECT tenant_id FROM tenants WHERE name = $1

-- name: plan
-- What would go: $1 tenant id, $2 metric or NULL for all.
SELECT what, n, estimated FROM forget_plan($1, $2)

-- name: known_metric
-- Whether there is anything of this name: $1 tenant id, $2 metric.
SELECT EXISTS (SELECT FROM metrics WHERE tenant_id = $1 AND name = $2)
    OR EXISTS (SELECT FROM definitions WHERE tenant_id = $1 AND name = $2)

-- name: forget
-- $1 tenant id, $2 metric or NULL for all; the number of series.
SELECT forget($1, $2)

-- name: mode
SELECT mode FROM storage

-- name: left
-- What is still to be drained.
SELECT (SELECT count(*) FROM forgotten_series) AS series, (SELECT count(*) FROM forgotten_runs) AS runs

-- name: some_runs
SELECT execution_id FROM forgotten_runs ORDER BY forgotten_at LIMIT 100

-- name: drop_raw
-- Raw points of a run: $1 execution.
SELECT drop_raw($1)

-- name: drop_run
DELETE FROM forgotten_runs WHERE execution_id = $1

-- name: some_series
-- $1 at most. In the order of their numbers, which is how they lie side by side in the columnstore.
SELECT series_id FROM forgotten_series ORDER BY series_id LIMIT $1

-- name: parts_postgresql
-- Every table with rows of series, in the order in which rows become other rows; and what to delete in.
SELECT root.level, c.oid::regclass::text AS target, 'true' AS condition, root.name = 'k6_samples' AS points
FROM (VALUES ('samples', 0), ('k6_samples', 0), ('rollup_1m', 1), ('rollup_5m', 2), ('rollup_1h', 3), ('sketch_1h', 3))
    AS root (name, level)
LEFT JOIN LATERAL pg_partition_tree(root.name::regclass) t ON t.isleaf
JOIN pg_class c ON c.oid = coalesce(t.relid, root.name::regclass) AND c.relkind = 'r'
ORDER BY 1, 2

-- name: parts_timescaledb
-- As above; a chunk is a stretch of its hypertable, a rollup the hypertable behind its aggregate.
SELECT level, format('%I.%I', k.hypertable_schema, k.hypertable_name) AS target,
    format('%I >= %L AND %I < %L', k.primary_dimension, k.range_start, k.primary_dimension, k.range_end) AS condition,
    root.name = 'k6_samples' AS points
FROM (
    VALUES ('samples', 0), ('k6_samples', 0), ('samples_1m', 1), ('samples_5m', 2), ('samples_1h', 3)
) AS root (name, level)
LEFT JOIN timescaledb_information.continuous_aggregates a
    ON a.view_schema = 'public' AND a.view_name = root.name
JOIN timescaledb_information.chunks k
    ON k.hypertable_schema = coalesce(a.materialization_hypertable_schema, 'public')
    AND k.hypertable_name = coalesce(a.materialization_hypertable_name, root.name)
UNION ALL
SELECT 3, 'sketch_1h', 'true', false
ORDER BY 1, 2, 3

-- name: one_at_a_time
-- A refresh under way must not store what is deleted here; nor two drains lock rows crosswise.
SELECT pg_advisory_xact_lock(hashtext('headrace.refresh')), set_config('lock_timeout', '5min', true)

-- name: any_size
-- A compressed batch is unpacked to delete from it: as many as there are.
SELECT set_config('timescaledb.max_tuples_decompressed_per_dml_transaction', '0', true)

-- name: orphans
-- Runs ($1) that never started, or not in our hearing, and have no point any more: nobody else's either.
WITH orphans AS (
    SELECT execution_id
    FROM unnest($1::uuid[]) AS seen (execution_id)
    WHERE NOT EXISTS (SELECT FROM runs r WHERE r.execution_id = seen.execution_id)
        AND NOT EXISTS (SELECT FROM k6_samples p WHERE p.execution_id = seen.execution_id)
), ledgers AS (
    DELETE FROM run_ledger l USING orphans o WHERE l.execution_id = o.execution_id
)
INSERT INTO forgotten_runs (execution_id) SELECT execution_id FROM orphans ON CONFLICT DO NOTHING

-- name: fence
-- The transaction's number.
SELECT pg_current_xact_id()::text

-- name: looking_back
-- Whether somebody still sees the database as it was before transaction $1.
SELECT EXISTS (
    SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
        AND age(backend_xmin) >= age(($1::text)::xid8::xid)
)

-- name: drained
-- These series are gone for good: $1 series numbers.
DELETE FROM forgotten_series WHERE series_id = ANY ($1::bigint[])
