-- name: list_runs
-- Runs started in [$5, $6) from the newest on, older than ($7, $8); what is NULL lets all pass.
SELECT execution_id, test, state, verdict, started_at, finished_at, tags, incomplete
FROM runs_tenant
WHERE ($1::text IS NULL OR test = $1)
  AND ($2::text IS NULL OR state = $2)
  AND ($3::text IS NULL OR verdict = $3)
  AND ($4::jsonb IS NULL OR tags @> $4)
  AND ($5::timestamptz IS NULL OR started_at >= $5)
  AND ($6::timestamptz IS NULL OR started_at < $6)
  AND ($7::timestamptz IS NULL OR (started_at, execution_id) < ($7, $8::uuid))
ORDER BY started_at DESC, execution_id DESC
LIMIT $9;

-- name: get_run
SELECT execution_id, test, script, state, verdict, started_at, finished_at, raw_deleted_at,
       metrics, thresholds, runners, tags, incomplete
FROM runs_tenant
WHERE execution_id = $1;

-- name: run_points
-- What became of a run's points.
SELECT coalesce(sum(stored), 0)::bigint AS stored,
       coalesce(sum(dead_lettered), 0)::bigint AS dead_lettered
FROM run_ledger_tenant
WHERE execution_id = $1;

-- name: run_metrics
-- One row a metric over the whole run.
SELECT metric, n, sum, min, max, avg, p50, p90, p95, p99
FROM k6_aggregates_tenant
WHERE execution_id = $1 AND kind = 'summary';

-- name: run_endpoints
-- One row per name, method and status, the busiest first.
SELECT name, method, status, n, min, max, avg, p50, p90, p95, p99
FROM k6_aggregates_tenant
WHERE execution_id = $1 AND kind = 'endpoint' AND metric = 'http_req_duration'
ORDER BY n DESC, name, method, status;
