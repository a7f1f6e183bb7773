-- name: sketch_of
CREATE FUNCTION pg_temp.sketch_of(drawn double precision[]) RETURNS bytea LANGUAGE sql AS $$
    SELECT string_agg(int4send(key) || int8send(n), ''::bytea ORDER BY key)
    FROM (SELECT sketch_key(v) AS key, count(*) AS n FROM unnest(drawn) AS v GROUP BY 1) AS found
$$

-- name: shapes
-- What a trend may look like over a second of an endpoint, a second of all, a run of an endpoint, a run of
-- all: a few of each, which the nights share.
CREATE TEMP TABLE shape AS
SELECT kind, variant, metric, n, percentile, drawn.sum, drawn.min, drawn.max, drawn.sketch
FROM (VALUES ('bucket', 64, 3), ('total', 64, 150), ('endpoint', 8, 5000), ('summary', 2, 100000))
    AS k (kind, variants, least)
CROSS JOIN LATERAL generate_series(0, variants - 1) AS variant
CROSS JOIN (VALUES ('duration', 40.0), ('waiting', 35), ('receiving', 1), ('sending', 0.2), ('blocked', 0.1),
                   ('connecting', 0.05), ('tls_handshaking', 0.05)) AS m (phase, base)
CROSS JOIN LATERAL (VALUES ('http_req_' || phase, least + variant % 7)) AS named (metric, n)
CROSS JOIN LATERAL (
    SELECT sum(v) AS sum, min(v) AS min, max(v) AS max, pg_temp.sketch_of(array_agg(v)) AS sketch,
           percentile_cont(ARRAY[0.5, 0.9, 0.95, 0.99]) WITHIN GROUP (ORDER BY v) AS percentile
    FROM (
        SELECT base * exp(1.6 * (random() + random() + random() - 1.5)) AS v FROM generate_series(1, n)
    ) AS value
) AS drawn

-- name: endpoints
-- Fifty of 5 domains; one in ten fails now and then.
CREATE TEMP TABLE endpoint AS
SELECT number, '/items/' || number AS name, 'GET' AS method, status,
       'service-' || number % 5 || '.example' AS domain
FROM generate_series(1, 50) AS number
CROSS JOIN (VALUES ('200'), ('500')) AS s (status)
WHERE status = '200' OR number % 10 = 0

-- name: run
-- A night's run of tenant $1 and $3 seconds from $2 on; every seventh fails a threshold.
INSERT INTO runs (execution_id, tenant_id, test, script, state, started_at, finished_at, metrics, thresholds,
                  verdict, tags)
SELECT gen_random_uuid(), $1::uuid, 'nightly', 'nightly.js', 'finished', $2::timestamptz,
       $2 + $3::integer * interval '1 second',
       (SELECT jsonb_object_agg(metric, 'trend') FROM shape)
           || '{"http_reqs": "counter", "http_req_failed": "rate", "checks": "rate", "vus": "gauge"}',
       jsonb_build_array(
           jsonb_build_object('metric', 'http_req_duration', 'expression', 'p(95)<400', 'observed', 310,
                              'passed', true, 'k6_passed', true),
           jsonb_build_object('metric', 'http_req_failed', 'expression', 'rate<0.01', 'observed', 0.009,
                              'passed', passed, 'k6_passed', passed)
       ),
       CASE WHEN passed THEN 'passed' ELSE 'failed' END, '{"branch": "main"}'
FROM (SELECT extract(doy FROM $2::timestamptz)::integer % 7 <> 0) AS judged (passed)
RETURNING execution_id

-- name: whole
-- Summaries, endpoints, checks and errors of run $1 of $3 seconds from $2 on.
WITH aggregate AS (
    INSERT INTO k6_aggregates
    SELECT $1::uuid, 'summary', NULL::timestamptz, metric, NULL::text, NULL::text, NULL::text, n, sum, min, max, sum / n,
           percentile[1], percentile[2], percentile[3], percentile[4], NULL::text, sketch
    FROM shape WHERE kind = 'summary' AND variant = extract(doy FROM $2::timestamptz)::integer % 2
    UNION ALL
    SELECT $1, 'endpoint', NULL, metric, name, method, status, n, sum, min, max, sum / n,
           percentile[1], percentile[2], percentile[3], percentile[4], domain, sketch
    FROM shape, endpoint WHERE kind = 'endpoint' AND variant = (extract(doy FROM $2::timestamptz)::integer + number) % 8
    UNION ALL
    SELECT $1, 'summary', NULL, metric, NULL, NULL, NULL, n, sum, 0, least(sum, 50), sum / n, 0, 0, 0, 0, NULL, NULL
    FROM (VALUES ('http_reqs', 100000, 100000), ('http_req_failed', 100000, 900), ('checks', 200000, 199900),
                 ('iterations', 30000, 30000), ('vus', $3::integer, 50 * $3), ('vus_max', $3, 50 * $3),
                 ('data_sent', 30000, 90000000), ('data_received', 30000, 900000000)) AS m (metric, n, sum)
    UNION ALL
    SELECT $1, 'endpoint', NULL, metric, name, method, status, 5000, sum, 0, 1, 0, 0, 0, 0, 0, domain, NULL
    FROM endpoint, (VALUES ('http_reqs', 5000), ('http_req_failed', NULL)) AS m (metric, whole)
    CROSS JOIN LATERAL (VALUES (coalesce(whole, CASE status WHEN '200' THEN 0 ELSE 5000 END))) AS s (sum)
), checked AS (
    INSERT INTO run_checks
    SELECT $1, '::group ' || number % 5, 'check ' || number, 5000, number % 3 FROM generate_series(1, 20) AS number
)
INSERT INTO run_errors
SELECT $1, name, method, status, '1500', 'internal', 40, $2, $2 + interval '20 minutes'
FROM endpoint WHERE status = '500'

-- name: seconds
-- Each of the $3 seconds from $2 on of run $1: by endpoint and in all.
INSERT INTO k6_aggregates
SELECT $1::uuid, kind, at, metric, name, method, status, n, sum, min, max, sum / n,
       percentile[1], percentile[2], percentile[3], percentile[4], domain, sketch
FROM (
    SELECT *, 'bucket' AS of FROM endpoint
    UNION ALL
    SELECT 0, NULL, NULL, NULL, NULL, 'total'
) AS place
CROSS JOIN generate_series(0, $3::integer - 1) AS second
JOIN shape ON kind = of AND variant = (7 * second + number) % 64
CROSS JOIN LATERAL (VALUES ($2::timestamptz + second * interval '1 second')) AS t (at)
UNION ALL
SELECT $1, of, $2 + second * interval '1 second', metric, name, method, status, n, sum, 0, 1, sum / n, 0, 0, 0, 0,
       domain, NULL
FROM generate_series(0, $3 - 1) AS second
CROSS JOIN (
    SELECT 'bucket' AS of, metric, name, method, status, domain, 3 AS n,
           CASE WHEN metric = 'http_reqs' THEN 3 WHEN status = '500' THEN 3 ELSE 0 END AS sum
    FROM endpoint, unnest(ARRAY['http_reqs', 'http_req_failed']) AS metric
    UNION ALL
    SELECT 'total', metric, NULL, NULL, status, NULL, n, sum
    FROM (VALUES ('http_reqs', NULL, 165, 165), ('http_reqs', '200', 150, 150), ('http_reqs', '500', 15, 15),
                 ('http_req_failed', NULL, 165, 15), ('checks', NULL, 300, 299), ('iterations', NULL, 20, 20),
                 ('vus', NULL, 1, 50), ('vus_max', NULL, 1, 50), ('data_sent', NULL, 20, 90000),
                 ('data_received', NULL, 20, 900000)) AS m (metric, status, n, sum)
) AS plain
ORDER BY 2, 4, 5, 6, 7, 3
