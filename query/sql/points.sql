-- Pages of rollups, as page_samples: buckets of some series in [$2, $3) older than ($4, $5), at most $6;
-- beyond $7 to choose from, not to be used. A bucket of a series is one row: nothing to skip. LEVEL as in buckets.sql.

-- name: page_LEVEL
WITH found AS MATERIALIZED (
    SELECT bucket AS ts, series_id, v_avg, v_min, v_max, v_sum, n
    FROM samples_LEVEL_tenant
    WHERE series_id = ANY($1::bigint[])
      AND bucket >= $2 AND bucket < $3
      AND (bucket, series_id) < ($4::timestamptz, $5::bigint)
    LIMIT $7::bigint + 1
)
SELECT ts, series_id, v_avg, v_min, v_max, v_sum, n, count(*) OVER () AS chosen_from
FROM found
ORDER BY ts DESC, series_id DESC
LIMIT $6;
