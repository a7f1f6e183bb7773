-- Rows of figures have one shape: n, sum, min, max, and what percentiles come of, where they are wanted:
-- `exact`, p50, p90, p95 and p99 of the only row; or `classes`, the sketches of all, where each row has one.
-- Runs are chosen before, by k6_runs: a condition on execution_id is what reaches the index.

-- name: k6_runs
-- Runs started in [$6, $7), or under way at $6 where $8; from the newest on. NULL lets all pass.
SELECT execution_id, test, state, verdict, started_at, finished_at, incomplete, tags, raw_deleted_at,
       md5(thresholds::text) AS judged
FROM runs_tenant
WHERE ($1::uuid IS NULL OR execution_id = $1)
  AND ($2::text IS NULL OR test = $2)
  AND ($3::jsonb IS NULL OR tags @> $3)
  AND ($4::text IS NULL OR verdict = $4)
  AND ($5::text IS NULL OR state = $5)
  AND ($6::timestamptz IS NULL OR started_at >= $6
       -- Longer than a day goes no run that is found by its time.
       OR $8 AND started_at >= $6::timestamptz - interval '1 day' AND coalesce(finished_at, 'infinity') > $6)
  AND ($7::timestamptz IS NULL OR started_at < $7)
ORDER BY started_at DESC, execution_id DESC
LIMIT $9;

-- name: k6_summaries
-- What each of the runs $1 came to in the metrics $2 (NULL: all); $3 wants percentiles.
SELECT execution_id, metric, NULL AS status, n, sum, min, max,
       CASE WHEN $3::boolean THEN ARRAY[p50, p90, p95, p99] END AS exact, NULL::bytea AS classes
FROM k6_aggregates_tenant
WHERE execution_id = ANY($1::uuid[]) AND kind = 'summary' AND ($2::text[] IS NULL OR metric = ANY($2));

-- name: k6_whole
-- What the runs $1 came to together in the metrics $2.
SELECT metric, sum(n)::bigint AS n, sum(sum) AS sum, min(min) AS min, max(max) AS max,
       CASE WHEN count(*) = 1 THEN ARRAY[min(p50), min(p90), min(p95), min(p99)] END AS exact,
       CASE WHEN count(*) > 1 AND count(sketch) = count(*) THEN string_agg(sketch, ''::bytea) END AS classes
FROM k6_aggregates_tenant
WHERE execution_id = ANY($1::uuid[]) AND kind = 'summary' AND metric = ANY($2::text[])
GROUP BY metric;

-- name: k6_totals
-- The seconds [$3, $4) of the runs $1 in the metrics $2, over all endpoints, in intervals of $5; by status
-- where $6, which only http_reqs has; $7 wants percentiles.
SELECT date_bin($5::interval, bucket, 'epoch') AS at, metric, status,
       sum(n)::bigint AS n, sum(sum) AS sum, min(min) AS min, max(max) AS max,
       CASE WHEN $7::boolean AND count(*) = 1 THEN ARRAY[min(p50), min(p90), min(p95), min(p99)] END AS exact,
       CASE WHEN $7 AND count(*) > 1 AND count(sketch) = count(*)
            THEN string_agg(sketch, ''::bytea) END AS classes
FROM k6_aggregates_tenant
WHERE execution_id = ANY($1::uuid[]) AND kind = 'total' AND metric = ANY($2::text[])
  AND bucket >= $3 AND bucket < $4 AND name IS NULL AND method IS NULL AND (status IS NOT NULL) = $6::boolean
GROUP BY 1, 2, 3;

-- name: k6_buckets
-- As k6_totals, over the endpoints that have one of the names $8, method $9, status $10 and domain $11 (NULL:
-- any). A domain comes with the names of its endpoints, by which the index finds them.
SELECT date_bin($5::interval, bucket, 'epoch') AS at, metric, CASE WHEN $6::boolean THEN status END AS status,
       sum(n)::bigint AS n, sum(sum) AS sum, min(min) AS min, max(max) AS max,
       CASE WHEN $7::boolean AND count(*) = 1 THEN ARRAY[min(p50), min(p90), min(p95), min(p99)] END AS exact,
       CASE WHEN $7 AND count(*) > 1 AND count(sketch) = count(*)
            THEN string_agg(sketch, ''::bytea) END AS classes
FROM k6_aggregates_tenant
WHERE execution_id = ANY($1::uuid[]) AND kind = 'bucket' AND metric = ANY($2::text[])
  AND bucket >= $3 AND bucket < $4
  AND ($8::text[] IS NULL OR name = ANY($8)) AND ($9::text IS NULL OR method = $9)
  AND ($10::text IS NULL OR status = $10) AND ($11::text IS NULL OR domain = $11)
GROUP BY 1, 2, 3;

-- name: k6_levels
-- As k6_totals, of gauges: what all runs had in a second, at most and on average over the seconds.
SELECT date_bin($5::interval, bucket, 'epoch') AS at, metric, NULL AS status,
       count(*) AS n, sum(avg) AS sum, min(avg) AS min, max(max) AS max, NULL::float8[] AS exact,
       NULL::bytea AS classes
FROM (
    SELECT bucket, metric, sum(avg) AS avg, sum(max) AS max
    FROM k6_aggregates_tenant
    WHERE execution_id = ANY($1::uuid[]) AND kind = $6 AND metric = ANY($2::text[])
      AND bucket >= $3 AND bucket < $4
    GROUP BY 1, 2
) AS second
GROUP BY 1, 2;

-- name: k6_endpoints_of_runs
-- What each of the runs $1 came to in the metrics $2, over the endpoints that have the name $5, method $6,
-- status $7 and domain $8 (NULL: any); by status where $3; $4 wants percentiles.
SELECT execution_id, metric, CASE WHEN $3::boolean THEN status END AS status,
       sum(n)::bigint AS n, sum(sum) AS sum, min(min) AS min, max(max) AS max,
       CASE WHEN $4::boolean AND count(*) = 1 THEN ARRAY[min(p50), min(p90), min(p95), min(p99)] END AS exact,
       CASE WHEN $4 AND count(*) > 1 AND count(sketch) = count(*)
            THEN string_agg(sketch, ''::bytea) END AS classes
FROM k6_aggregates_tenant
WHERE execution_id = ANY($1::uuid[]) AND kind = 'endpoint' AND metric = ANY($2::text[])
  AND ($5::text IS NULL OR name = $5) AND ($6::text IS NULL OR method = $6)
  AND ($7::text IS NULL OR status = $7) AND ($8::text IS NULL OR domain = $8)
GROUP BY 1, 2, 3;

-- name: k6_endpoint_rows
-- How many rows k6_endpoints_of_runs takes together: of the name $3, method $4, status $5 and domain $6.
SELECT count(*) AS n
FROM k6_aggregates_tenant
WHERE execution_id = ANY($1::uuid[]) AND kind = 'endpoint' AND metric = ANY($2::text[])
  AND ($3::text IS NULL OR name = $3) AND ($4::text IS NULL OR method = $4)
  AND ($5::text IS NULL OR status = $5) AND ($6::text IS NULL OR domain = $6);

-- name: k6_requests
-- What the runs $1 came to in the trend $2 by domain and, where $3, by name and method; of the domain $5
-- and the name $6 (NULL: of all); $4 wants percentiles, and sketches also of single rows, for a domain is made of
-- its endpoints. Beside it the requests that failed and all that were judged.
SELECT domain, CASE WHEN $3::boolean THEN name END AS name, CASE WHEN $3 THEN method END AS method,
       sum(n) FILTER (WHERE metric = $2)::bigint AS n, sum(sum) FILTER (WHERE metric = $2) AS sum,
       min(min) FILTER (WHERE metric = $2) AS min, max(max) FILTER (WHERE metric = $2) AS max,
       sum(sum) FILTER (WHERE metric = 'http_req_failed') AS failed,
       sum(n) FILTER (WHERE metric = 'http_req_failed')::bigint AS judged,
       CASE WHEN $4::boolean AND count(*) FILTER (WHERE metric = $2) = 1
            THEN ARRAY[min(p50) FILTER (WHERE metric = $2), min(p90) FILTER (WHERE metric = $2),
                       min(p95) FILTER (WHERE metric = $2), min(p99) FILTER (WHERE metric = $2)] END AS exact,
       CASE WHEN $4 AND count(sketch) FILTER (WHERE metric = $2) = count(*) FILTER (WHERE metric = $2)
            THEN string_agg(sketch, ''::bytea) FILTER (WHERE metric = $2) END AS classes
FROM k6_aggregates_tenant
WHERE execution_id = ANY($1::uuid[]) AND kind = 'endpoint' AND metric IN ($2, 'http_req_failed')
  AND ($5::text IS NULL OR domain = $5) AND ($6::text IS NULL OR name = $6)
GROUP BY 1, 2, 3
HAVING count(*) FILTER (WHERE metric = $2) > 0
LIMIT $7;

-- name: k6_statuses
-- Requests of the runs $1 by status.
SELECT status, sum(sum) AS requests
FROM k6_aggregates_tenant
WHERE execution_id = ANY($1::uuid[]) AND kind = 'endpoint' AND metric = 'http_reqs'
GROUP BY status
ORDER BY status;

-- name: k6_untotalled
-- Whether one of the runs $1 was aggregated when there were seconds of endpoints only. LIMIT 1 keeps the
-- planner from counting all the rows there are.
SELECT count(*) > 0 AS some
FROM unnest($1::uuid[]) AS run (id)
WHERE (SELECT true FROM k6_aggregates_tenant WHERE execution_id = id AND kind = 'total' LIMIT 1) IS NULL
  AND (SELECT true FROM k6_aggregates_tenant WHERE execution_id = id AND kind = 'bucket' LIMIT 1);

-- name: k6_domain
-- Names of the endpoints of domain $2 in the runs $1.
SELECT DISTINCT name
FROM k6_aggregates_tenant
WHERE execution_id = ANY($1::uuid[]) AND kind = 'endpoint' AND domain = $2;

-- name: k6_peak
-- The second in which run $1 made the most requests, from rows of kind $2.
SELECT bucket AS at, sum(sum) AS requests
FROM k6_aggregates_tenant
WHERE execution_id = $1 AND kind = $2 AND metric = 'http_reqs' AND (kind = 'bucket' OR status IS NULL)
GROUP BY bucket
ORDER BY requests DESC, at
LIMIT 1;

-- name: k6_errors
-- Requests of the runs $1 that failed, by endpoint, status and code, the most first; of the name $2, status $3
-- and code $4 (NULL: of all).
SELECT name, method, status, error_code, error, sum(n)::bigint AS n, min(first_at) AS first_at,
       max(last_at) AS last_at, count(DISTINCT execution_id) AS runs
FROM run_errors_tenant
WHERE execution_id = ANY($1::uuid[]) AND ($2::text IS NULL OR name = $2)
  AND ($3::text IS NULL OR status = $3) AND ($4::text IS NULL OR error_code = $4)
GROUP BY name, method, status, error_code, error
ORDER BY n DESC, name, method, status, error_code, error
OFFSET $5
LIMIT $6;

-- name: k6_checks
-- Checks of the runs $1 by group, those that failed the most first.
SELECT group_name, check_name, sum(passes)::bigint AS passes, sum(fails)::bigint AS fails,
       count(*) FILTER (WHERE fails > 0) AS failed_runs, count(*) AS runs
FROM run_checks_tenant
WHERE execution_id = ANY($1::uuid[])
GROUP BY group_name, check_name
ORDER BY fails DESC, group_name, check_name
OFFSET $2
LIMIT $3;

-- name: k6_thresholds
SELECT execution_id, thresholds
FROM runs_tenant
WHERE execution_id = ANY($1::uuid[]);

-- name: k6_overview
-- The last $1 runs of each of the $2 tests that ran last, after the test $4 that ran last at $3 (NULL: from
-- the first on); the newest first.
WITH run AS (
    SELECT execution_id, test, state, verdict, started_at, finished_at, incomplete, tags,
           max(started_at) OVER (PARTITION BY test) AS last_at,
           row_number() OVER (PARTITION BY test ORDER BY started_at DESC, execution_id DESC) AS back
    FROM runs_tenant
),
shown AS (
    SELECT last_at, test
    FROM run
    WHERE back = 1 AND ($3::timestamptz IS NULL OR (last_at, test) < ($3, $4::text))
    ORDER BY last_at DESC, test DESC
    LIMIT $2
)
SELECT run.*
FROM run
JOIN shown USING (test, last_at)
WHERE back <= $1
ORDER BY last_at DESC, test DESC, back;
