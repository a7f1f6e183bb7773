-- Numbers of the series $1 (ascending) in [$3, $4), in buckets of $5 that begin at $6 or whole buckets
-- before and after it, by group: $2 has the number of the group of each series. A group that has any is one
-- row, its buckets columns that ascend by time; empty ones are left out. See query.columns.
-- All of one metric, $7: the ids reach the samples, the name the series that the views join them with.
-- width_bucket finds the place of a series in $1: a join with the two arrays is planned for ten rows.
-- LEVEL in a name stands for each level of the rollups in turn: 1m, 5m, 1h.

-- name: numbers_raw
-- Of sum, min and max those in $8; the others are NULL, and what is not wanted is not computed.
SELECT grp, string_agg(timestamptz_send(at), ''::bytea ORDER BY at) AS at,
       string_agg(int8send(n), ''::bytea ORDER BY at) AS n,
       CASE WHEN 'sum' = ANY($8::text[]) THEN string_agg(float8send(sum), ''::bytea ORDER BY at) END AS sum,
       CASE WHEN 'min' = ANY($8::text[]) THEN string_agg(float8send(min), ''::bytea ORDER BY at) END AS min,
       CASE WHEN 'max' = ANY($8::text[]) THEN string_agg(float8send(max), ''::bytea ORDER BY at) END AS max
FROM (
    SELECT date_bin($5::interval, ts, $6::timestamptz) AS at,
           ($2::integer[])[width_bucket(series_id, $1::bigint[])] AS grp,
           count(*) AS n, sum(v_num) AS sum, min(v_num) AS min, max(v_num) AS max
    FROM samples_tenant
    WHERE name = $7 AND series_id = ANY($1::bigint[]) AND ts >= $3 AND ts < $4 AND v_num IS NOT NULL
    GROUP BY 1, 2
) AS found
GROUP BY grp;

-- name: numbers_LEVEL
-- As numbers_raw.
SELECT grp, string_agg(timestamptz_send(at), ''::bytea ORDER BY at) AS at,
       string_agg(int8send(n), ''::bytea ORDER BY at) AS n,
       CASE WHEN 'sum' = ANY($8::text[]) THEN string_agg(float8send(sum), ''::bytea ORDER BY at) END AS sum,
       CASE WHEN 'min' = ANY($8::text[]) THEN string_agg(float8send(min), ''::bytea ORDER BY at) END AS min,
       CASE WHEN 'max' = ANY($8::text[]) THEN string_agg(float8send(max), ''::bytea ORDER BY at) END AS max
FROM (
    SELECT date_bin($5::interval, bucket, $6::timestamptz) AS at,
           ($2::integer[])[width_bucket(series_id, $1::bigint[])] AS grp,
           sum(n)::bigint AS n, sum(v_sum) AS sum, min(v_min) AS min, max(v_max) AS max
    FROM samples_LEVEL_tenant
    WHERE name = $7 AND series_id = ANY($1::bigint[]) AND bucket >= $3 AND bucket < $4
    GROUP BY 1, 2
) AS found
GROUP BY grp;

-- name: percentiles_raw
-- Exact percentiles $8 (each 0 to 1), interpolated between ranks. A bucket is a row; they ascend.
SELECT date_bin($5::interval, ts, $6::timestamptz) AS at,
       ($2::integer[])[width_bucket(series_id, $1::bigint[])] AS grp,
       count(*) AS n, percentile_cont($8::float8[]) WITHIN GROUP (ORDER BY v_num) AS percentiles
FROM samples_tenant
WHERE name = $7 AND series_id = ANY($1::bigint[]) AND ts >= $3 AND ts < $4 AND v_num IS NOT NULL
GROUP BY 1, 2
ORDER BY 1;

-- name: classes_raw
-- Classes of a sketch, as sketch_1h has them, of all groups in one row: by bucket and group how many bytes
-- are its. In order, so that what needs no merging needs no sorting.
SELECT string_agg(timestamptz_send(at), ''::bytea ORDER BY at, grp) AS at,
       string_agg(int4send(grp), ''::bytea ORDER BY at, grp) AS grp,
       string_agg(int4send(length(classes)), ''::bytea ORDER BY at, grp) AS sizes,
       string_agg(classes, ''::bytea ORDER BY at, grp) AS classes
FROM (
    SELECT at, grp, string_agg(int4send(key) || int8send(n), ''::bytea ORDER BY key) AS classes
    FROM (
        SELECT date_bin($5::interval, ts, $6::timestamptz) AS at,
               ($2::integer[])[width_bucket(series_id, $1::bigint[])] AS grp,
               sketch_key(v_num) AS key, count(*) AS n
        FROM samples_tenant
        WHERE name = $7 AND series_id = ANY($1::bigint[]) AND ts >= $3 AND ts < $4 AND v_num IS NOT NULL
        GROUP BY 1, 2, 3
    ) AS counted
    GROUP BY at, grp
) AS found;

-- name: classes_sketch_1h
-- As classes_raw, of stored sketches: a class comes once for each of them. oldest is the first of them.
SELECT string_agg(timestamptz_send(at), ''::bytea ORDER BY at, grp) AS at,
       string_agg(int4send(grp), ''::bytea ORDER BY at, grp) AS grp,
       string_agg(int4send(length(classes)), ''::bytea ORDER BY at, grp) AS sizes,
       string_agg(classes, ''::bytea ORDER BY at, grp) AS classes, min(bucket) AS oldest
FROM (
    SELECT date_bin($5::interval, bucket, $6::timestamptz) AS at,
           ($2::integer[])[width_bucket(series_id, $1::bigint[])] AS grp, bucket, classes
    FROM sketches_1h_tenant
    WHERE name = $7 AND series_id = ANY($1::bigint[]) AND bucket >= $3 AND bucket < $4
) AS found;

-- name: increases_raw
-- Increases of counters: of each sample over the one before it, which may lie in [$8, $3). A counter
-- that fell was reset, and has counted from zero since. Buckets in which nothing follows are left out.
WITH steps AS (
    SELECT ts, series_id, v_num,
           lag(v_num) OVER (PARTITION BY series_id ORDER BY ts, v_num) AS before
    FROM samples_tenant
    WHERE name = $7 AND series_id = ANY($1::bigint[]) AND ts >= $8 AND ts < $4 AND v_num IS NOT NULL
)
SELECT grp, string_agg(timestamptz_send(at), ''::bytea ORDER BY at) AS at,
       string_agg(int8send(n), ''::bytea ORDER BY at) AS n,
       string_agg(float8send(increase), ''::bytea ORDER BY at) AS increase
FROM (
    SELECT date_bin($5::interval, ts, $6::timestamptz) AS at,
           ($2::integer[])[width_bucket(series_id, $1::bigint[])] AS grp,
           count(*) AS n,
           sum(CASE WHEN v_num >= before THEN v_num - before ELSE greatest(v_num, 0) END)
               FILTER (WHERE before IS NOT NULL) AS increase
    FROM steps
    WHERE ts >= $3
    GROUP BY 1, 2
) AS found
WHERE increase IS NOT NULL
GROUP BY grp;

-- name: increases_LEVEL
-- As increases_raw, estimated: of a bucket's maximum over that of the one before, and where a reset is
-- seen no more than is certain. Exact while nothing is reset and nothing is late.
WITH steps AS (
    SELECT bucket, series_id, n, v_min, v_max,
           lag(v_max) OVER (PARTITION BY series_id ORDER BY bucket) AS before
    FROM samples_LEVEL_tenant
    WHERE name = $7 AND series_id = ANY($1::bigint[]) AND bucket >= $8 AND bucket < $4
)
SELECT grp, string_agg(timestamptz_send(at), ''::bytea ORDER BY at) AS at,
       string_agg(int8send(n), ''::bytea ORDER BY at) AS n,
       string_agg(float8send(increase), ''::bytea ORDER BY at) AS increase
FROM (
    SELECT date_bin($5::interval, bucket, $6::timestamptz) AS at,
           ($2::integer[])[width_bucket(series_id, $1::bigint[])] AS grp,
           sum(n)::bigint AS n,
           sum(CASE WHEN before IS NULL THEN v_max - v_min
                    WHEN v_max >= before THEN v_max - before
                    ELSE greatest(v_max, 0) END) FILTER (WHERE before IS NOT NULL OR n > 1) AS increase
    FROM steps
    WHERE bucket >= $3
    GROUP BY 1, 2
) AS found
WHERE increase IS NOT NULL
GROUP BY grp;

-- name: is_rolled
-- Whether the hours [$2, $3) have numbers.
SELECT EXISTS (
    SELECT FROM samples_1h_tenant
    WHERE name = $4 AND series_id = ANY($1::bigint[]) AND bucket >= $2 AND bucket < $3
) AS is_rolled;
