-- name: find_series
SELECT series_id FROM series_tenant
WHERE name = $1 AND labels @> $2::jsonb
ORDER BY series_id

-- name: mean
-- Of the series $1 in [$2, $3), in buckets of $4, by the label $5.
SELECT date_bin($4::interval, ts, 'epoch') AS bucket, labels->>$5::text AS grp,
       sum(v_num) / count(v_num) AS lowest, sum(v_num) / count(v_num) AS highest
FROM samples_tenant
WHERE series_id = ANY ($1::bigint[]) AND ts >= $2 AND ts < $3
GROUP BY 1, 2

-- name: percentile
-- As mean, the samples between which the percentile $6 lies.
SELECT bucket, grp, sorted[1 + floor($6::float8 * (cardinality(sorted) - 1))::integer] AS lowest,
       sorted[1 + ceil($6::float8 * (cardinality(sorted) - 1))::integer] AS highest
FROM (
    SELECT date_bin($4::interval, ts, 'epoch') AS bucket, labels->>$5::text AS grp,
           array_agg(v_num ORDER BY v_num) AS sorted
    FROM samples_tenant
    WHERE series_id = ANY ($1::bigint[]) AND ts >= $2 AND ts < $3
    GROUP BY 1, 2
) AS buckets
