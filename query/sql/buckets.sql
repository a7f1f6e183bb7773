-- Numbers of the series $1 (ascending) in [$3, $4), in buckets of $5 that begin at $6 or whole buckets
-- before and after it, by group: $2 has the number of the group of each series. Empty ones are left out;
-- the others ascend.
-- All of one metric, $7: the ids reach the samples, the name the series that the views join them with.
-- width_bucket finds the place of a series in $1: a join with the two arrays is planned for ten rows.
-- LEVEL in a name stands for each level of the rollups in turn: 1m, 5m, 1h.

-- name: numbers_raw
SELECT date_bin($5::interval, ts, $6::timestamptz) AS at,
       ($2::integer[])[width_bucket(series_id, $1::bigint[])] AS grp,
       count(*) AS n, sum(v_num) AS sum, min(v_num) AS min, max(v_num) AS max
FROM samples_tenant
WHERE name = $7 AND series_id = ANY($1::bigint[]) AND ts >= $3 AND ts < $4 AND v_num IS NOT NULL
GROUP BY 1, 2
ORDER BY 1;

-- name: numbers_LEVEL
SELECT date_bin($5::interval, bucket, $6::timestamptz) AS at,
       ($2::integer[])[width_bucket(series_id, $1::bigint[])] AS grp,
       sum(n)::bigint AS n, sum(v_sum) AS sum, min(v_min) AS min, max(v_max) AS max
FROM samples_LEVEL_tenant
WHERE name = $7 AND series_id = ANY($1::bigint[]) AND bucket >= $3 AND bucket < $4
GROUP BY 1, 2
ORDER BY 1;

-- name: percentiles_raw
-- Exact percentiles $8 (each 0 to 1), interpolated between ranks.
SELECT date_bin($5::interval, ts, $6::timestamptz) AS at,
       ($2::integer[])[width_bucket(series_id, $1::bigint[])] AS grp,
       count(*) AS n, percentile_cont($8::float8[]) WITHIN GROUP (ORDER BY v_num) AS percentiles
FROM samples_tenant
WHERE name = $7 AND series_id = ANY($1::bigint[]) AND ts >= $3 AND ts < $4 AND v_num IS NOT NULL
GROUP BY 1, 2
ORDER BY 1;

-- name: classes_raw
-- Classes of a sketch, as sketch_1h has them: in order, so that what needs no merging needs no sorting.
SELECT at, grp, string_agg(int4send(key) || int8send(n), ''::bytea ORDER BY key) AS classes
FROM (
    SELECT date_bin($5::interval, ts, $6::timestamptz) AS at,
           ($2::integer[])[width_bucket(series_id, $1::bigint[])] AS grp,
           sketch_key(v_num) AS key, count(*) AS n
    FROM samples_tenant
    WHERE name = $7 AND series_id = ANY($1::bigint[]) AND ts >= $3 AND ts < $4 AND v_num IS NOT NULL
    GROUP BY 1, 2, 3
) AS found
GROUP BY at, grp
ORDER BY at, grp;

-- name: classes_sketch_1h
-- As classes_raw, of stored sketches: a class comes once for each of them. oldest is the first of them.
SELECT date_bin($5::interval, bucket, $6::timestamptz) AS at,
       ($2::integer[])[width_bucket(series_id, $1::bigint[])] AS grp,
       min(bucket) AS oldest, string_agg(classes, ''::bytea) AS classes
FROM sketches_1h_tenant
WHERE name = $7 AND series_id = ANY($1::bigint[]) AND bucket >= $3 AND bucket < $4
GROUP BY 1, 2
ORDER BY 1, 2;

-- name: increases_raw
-- Increases of counters: of each sample over the one before it, which may lie in [$8, $3). A counter
-- that fell was reset, and has counted from zero since.
WITH steps AS (
    SELECT ts, series_id, v_num,
           lag(v_num) OVER (PARTITION BY series_id ORDER BY ts, v_num) AS before
    FROM samples_tenant
    WHERE name = $7 AND series_id = ANY($1::bigint[]) AND ts >= $8 AND ts < $4 AND v_num IS NOT NULL
)
SELECT date_bin($5::interval, ts, $6::timestamptz) AS at,
       ($2::integer[])[width_bucket(series_id, $1::bigint[])] AS grp,
       count(*) AS n,
       sum(CASE WHEN v_num >= before THEN v_num - before ELSE greatest(v_num, 0) END)
           FILTER (WHERE before IS NOT NULL) AS increase
FROM steps
WHERE ts >= $3
GROUP BY 1, 2
ORDER BY 1;

-- name: increases_LEVEL
-- As increases_raw, estimated: of a bucket's maximum over that of the one before, and where a reset is
-- seen no more than is certain. Exact while nothing is reset and nothing is late.
WITH steps AS (
    SELECT bucket, series_id, n, v_min, v_max,
           lag(v_max) OVER (PARTITION BY series_id ORDER BY bucket) AS before
    FROM samples_LEVEL_tenant
    WHERE name = $7 AND series_id = ANY($1::bigint[]) AND bucket >= $8 AND bucket < $4
)
SELECT date_bin($5::interval, bucket, $6::timestamptz) AS at,
       ($2::integer[])[width_bucket(series_id, $1::bigint[])] AS grp,
       sum(n)::bigint AS n,
       sum(CASE WHEN before IS NULL THEN v_max - v_min
                WHEN v_max >= before THEN v_max - before
                ELSE greatest(v_max, 0) END) FILTER (WHERE before IS NOT NULL OR n > 1) AS increase
FROM steps
WHERE bucket >= $3
GROUP BY 1, 2
ORDER BY 1;

-- name: is_rolled
-- Whether the hours [$2, $3) have numbers.
SELECT EXISTS (
    SELECT FROM samples_1h_tenant
    WHERE name = $4 AND series_id = ANY($1::bigint[]) AND bucket >= $2 AND bucket < $3
) AS is_rolled;
