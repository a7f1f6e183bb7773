-- name: find_run
-- The facts of a run that comparisons and reports need.
SELECT execution_id, test, script, state, verdict, started_at, finished_at, metrics, thresholds, runners,
       tags, incomplete
FROM runs_tenant
WHERE execution_id = $1;

-- name: latest_run
-- The newest finished run, of test $1 (NULL: of any).
SELECT execution_id
FROM runs_tenant
WHERE state = 'finished' AND ($1::text IS NULL OR test = $1)
ORDER BY started_at DESC, execution_id DESC
LIMIT 1;

-- name: latest_passing
-- The newest run of test $1 before ($2, $3) that passed and is complete.
SELECT execution_id
FROM runs_tenant
WHERE test = $1 AND state = 'finished' AND verdict = 'passed' AND incomplete IS NULL
  AND (started_at, execution_id) < ($2::timestamptz, $3::uuid)
ORDER BY started_at DESC, execution_id DESC
LIMIT 1;

-- name: runs_before
-- The $4 newest complete runs of test $1 before ($2, $3).
SELECT execution_id, metrics, runners
FROM runs_tenant
WHERE test = $1 AND state = 'finished' AND incomplete IS NULL
  AND (started_at, execution_id) < ($2::timestamptz, $3::uuid)
ORDER BY started_at DESC, execution_id DESC
LIMIT $4;

-- name: compared_rows
-- What runs $1 came to, by metric and endpoint, without the metrics $2; at most $3 rows.
SELECT execution_id, metric, name, method, status, n, sum, avg, p50, p95, p99
FROM k6_aggregates_tenant
WHERE execution_id = ANY ($1::uuid[]) AND kind IN ('summary', 'endpoint')
  AND (metric <> ALL ($2::text[]))
LIMIT $3;
