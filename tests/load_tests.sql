-- name: run
INSERT INTO runs (execution_id, tenant_id, test, script, state, started_at, finished_at, metrics, thresholds,
                  verdict, tags)
VALUES ($1, $2, $3, $3 || '.js', $4, $5, $6, $7, $8, $9, $10)

-- name: sketch_of
CREATE OR REPLACE FUNCTION pg_temp.sketch_of(drawn double precision[]) RETURNS bytea LANGUAGE sql AS $$
    SELECT string_agg(int4send(key) || int8send(n), ''::bytea ORDER BY key)
    FROM (SELECT sketch_key(v) AS key, count(*) AS n FROM unnest(drawn) AS v GROUP BY 1) AS found
$$

-- name: points
CREATE TEMP TABLE point ON COMMIT DROP AS
SELECT * FROM unnest($1::timestamptz[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::float8[])
    AS p (at, metric, name, method, status, domain, value)

-- name: aggregate
-- All kinds of rows of run $1, with sketches of the metrics $2 where $3.
WITH place AS (
    SELECT 'bucket' AS kind, date_bin('1 second', at, 'epoch') AS bucket, * FROM point
    UNION ALL
    SELECT 'total', date_bin('1 second', at, 'epoch'), at, metric, NULL, NULL, NULL, NULL, value FROM point
    UNION ALL
    SELECT 'total', date_bin('1 second', at, 'epoch'), at, metric, NULL, NULL, status, NULL, value
    FROM point WHERE metric = 'http_reqs'
    UNION ALL
    SELECT 'summary', NULL, at, metric, NULL, NULL, NULL, NULL, value FROM point
    UNION ALL
    SELECT 'endpoint', NULL, * FROM point WHERE name IS NOT NULL
)
INSERT INTO k6_aggregates
SELECT $1::uuid, kind, bucket, metric, name, method, status, n, sum, min, max, sum / n,
       percentile[1], percentile[2], percentile[3], percentile[4], domain,
       CASE WHEN $3::boolean AND metric = ANY($2::text[]) THEN pg_temp.sketch_of(of) END
FROM (
    SELECT kind, bucket, metric, name, method, status, domain, count(*) AS n, sum(value) AS sum,
           min(value) AS min, max(value) AS max, array_agg(value) AS of,
           percentile_cont(ARRAY[0.5, 0.9, 0.95, 0.99]) WITHIN GROUP (ORDER BY value) AS percentile
    FROM place GROUP BY 1, 2, 3, 4, 5, 6, 7
) AS found

-- name: untotalled
-- Leaves of run $1 what there was before there were totals and sketches.
WITH seconds AS (DELETE FROM k6_aggregates WHERE execution_id = $1 AND kind = 'total')
UPDATE k6_aggregates SET sketch = NULL WHERE execution_id = $1 AND kind <> 'total'
