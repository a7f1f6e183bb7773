-- name: find_series
-- Series of a metric whose labels include these. The labels are filtered last: @> is not leakproof,
-- so the barrier of the view lets only the name reach the index.
SELECT series_id, labels
FROM series_tenant
WHERE name = $1 AND labels @> $2::jsonb
ORDER BY series_id
LIMIT $3;

-- name: page_samples
-- Newest samples of some series in [$2, $3) that are not newer than ($4, $5), at most $6; and beside
-- each, how many rows there were to choose from. Beyond $7 not all of them were looked at, and the
-- answer is not to be used.
-- Of the samples of ($4, $5) those up to the value $8 | $9 | $10 are left out, and $11 that equal it.
-- By series id, not by name: only constants reach the metadata of compressed batches (2 ms against 32).
WITH found AS MATERIALIZED (
    SELECT ts, series_id, v_num, v_bool, v_text, md5(v_text) AS digest
    FROM samples_tenant
    WHERE series_id = ANY($1::bigint[])
      AND ts >= $2 AND ts < $3
      AND (ts, series_id) <= ($4::timestamptz, $5::bigint)
    LIMIT $7::bigint + 1
)
SELECT ts, series_id, v_num, v_bool, v_text, digest, count(*) OVER () AS chosen_from
FROM found
ORDER BY ts DESC, series_id DESC, v_num, v_bool, digest COLLATE "C"
OFFSET (
    SELECT count(*) FILTER (WHERE v_num < $8::float8 OR v_num IS NOT NULL AND $8 IS NULL
                               OR v_bool < $9::boolean OR v_bool IS NOT NULL AND $10::text IS NOT NULL
                               OR digest COLLATE "C" < $10)
           + least($11::bigint, count(*) FILTER (WHERE v_num = $8 OR v_bool = $9 OR digest = $10))
    FROM found
    WHERE ts = $4 AND series_id = $5 AND $11 > 0
)
LIMIT $6;

-- name: latest_samples
-- The newest sample of each of these series that has one.
SELECT series_id, ts, v_num, v_bool, v_text
FROM latest_tenant
WHERE series_id = ANY($1::bigint[])
ORDER BY series_id;
