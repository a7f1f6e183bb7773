-- name: find_series
-- Series of a metric whose labels include these. The labels are filtered last: @> is not leakproof,
-- so the barrier of the view lets only the name reach the index.
SELECT series_id, labels
FROM series_tenant
WHERE name = $1 AND labels @> $2::jsonb
ORDER BY series_id
LIMIT $3;

-- name: list_names
-- Names of metrics that begin so, in the order of their bytes.
SELECT name
FROM series_tenant
WHERE name ^@ $1
GROUP BY name
ORDER BY name COLLATE "C"
LIMIT $2;

-- name: page_samples
-- Newest samples of some series in [$2, $3) that are not newer than ($4, $5), after the first $6, at most
-- $7; and beside each, how many rows there were to choose from. Beyond $8 not all of them were looked
-- at, and the answer is not to be used.
-- By series id, not by name: only constants reach the metadata of compressed batches (2 ms against 32).
WITH found AS MATERIALIZED (
    SELECT ts, series_id, v_num, v_bool, v_text
    FROM samples_tenant
    WHERE series_id = ANY($1::bigint[])
      AND ts >= $2 AND ts < $3
      AND (ts, series_id) <= ($4::timestamptz, $5::bigint)
    LIMIT $8::bigint + 1
)
SELECT ts, series_id, v_num, v_bool, v_text, count(*) OVER () AS chosen_from
FROM found
ORDER BY ts DESC, series_id DESC, v_num, v_bool, v_text
OFFSET $6
LIMIT $7;

-- name: latest_samples
-- The newest sample of each series in [$2, $3), and the number of rows as in page_samples, up to $4.
WITH found AS MATERIALIZED (
    SELECT ts, series_id, v_num, v_bool, v_text
    FROM samples_tenant
    WHERE series_id = ANY($1::bigint[]) AND ts >= $2 AND ts < $3
    LIMIT $4::bigint + 1
)
SELECT DISTINCT ON (series_id)
       ts, series_id, v_num, v_bool, v_text, (SELECT count(*) FROM found) AS chosen_from
FROM found
ORDER BY series_id, ts DESC, v_num, v_bool, v_text;

-- name: bucket_numbers
-- Numbers of some series in [$2, $3), in buckets of $4 aligned to the epoch; empty ones are left out.
SELECT date_bin($4::interval, ts, 'epoch'::timestamptz) AS bucket,
       count(*) AS n, avg(v_num) AS avg, min(v_num) AS min, max(v_num) AS max, sum(v_num) AS sum
FROM samples_tenant
WHERE series_id = ANY($1::bigint[]) AND ts >= $2 AND ts < $3 AND v_num IS NOT NULL
GROUP BY bucket
ORDER BY bucket;

-- name: bucket_percentile
-- As bucket_numbers, with the exact percentile $5 (0 to 1), interpolated between ranks.
SELECT date_bin($4::interval, ts, 'epoch'::timestamptz) AS bucket,
       count(*) AS n, percentile_cont($5::float8) WITHIN GROUP (ORDER BY v_num) AS percentile
FROM samples_tenant
WHERE series_id = ANY($1::bigint[]) AND ts >= $2 AND ts < $3 AND v_num IS NOT NULL
GROUP BY bucket
ORDER BY bucket;
