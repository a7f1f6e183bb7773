-- name: result_metrics
-- One row a metric over the whole run.
SELECT metric, n, sum, min, max, avg, p50, p90, p95, p99
FROM k6_aggregates_tenant
WHERE execution_id = $1 AND kind = 'summary'
ORDER BY metric;

-- name: result_last
-- The last second of the metrics $2: what gauges came to.
SELECT DISTINCT ON (metric) metric, max
FROM k6_aggregates_tenant
WHERE execution_id = $1 AND kind = 'total' AND metric = ANY ($2::text[]) AND status IS NULL
ORDER BY metric, bucket DESC;

-- name: result_endpoints
-- Requests by endpoint and status, the $2 busiest first; and how many of them failed.
SELECT d.name, d.method, d.status, d.n, d.avg, d.min, d.p50, d.p90, d.p95, d.p99, d.max, f.sum AS failed
FROM k6_aggregates_tenant d
LEFT JOIN k6_aggregates_tenant f
  ON f.execution_id = $1 AND f.kind = 'endpoint' AND f.metric = 'http_req_failed'
 AND f.name IS NOT DISTINCT FROM d.name AND f.method IS NOT DISTINCT FROM d.method
 AND f.status IS NOT DISTINCT FROM d.status
WHERE d.execution_id = $1 AND d.kind = 'endpoint' AND d.metric = 'http_req_duration'
ORDER BY d.n DESC, d.name, d.method, d.status
LIMIT $2;

-- name: result_checks
SELECT group_name, check_name, passes, fails
FROM run_checks_tenant
WHERE execution_id = $1
ORDER BY group_name, check_name
LIMIT $2;

-- name: result_errors
-- What failed most, first.
SELECT name, method, status, error_code, error, n, first_at, last_at
FROM run_errors_tenant
WHERE execution_id = $1
ORDER BY n DESC, name, method, status, error_code
LIMIT $2;

-- name: result_times
-- Metrics $4 over time, in intervals of $2 seconds from $3 on. The percentiles are right where an
-- interval is a second; those of longer ones are in the sketches.
SELECT date_bin(make_interval(secs => $2), bucket, $3) AS at, metric, status, sum(n)::bigint AS n,
       sum(sum) AS sum, max(p50) AS p50, max(p90) AS p90, max(p95) AS p95, max(p99) AS p99,
       array_agg(sketch) FILTER (WHERE sketch IS NOT NULL AND metric = 'http_req_duration') AS sketches
FROM k6_aggregates_tenant
WHERE execution_id = $1 AND kind = 'total' AND metric = ANY ($4::text[])
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3;
