-- name: subject
-- What a request about metric $3 must know before it reads data. What changes whenever an answer about it
-- in [$1, $2) may: the samples stored or refreshed there, hour by hour with $6, the metric's series (a metric
-- deleted and sent again has another first_seen), and its definition. The definition. And its series whose
-- labels include $4, at most $5. The labels are filtered last: @> is not leakproof, so the barrier of the
-- view lets only the name reach the index. Planned once for all values; $7 says how what follows is planned:
-- see query.database.Plan.
SELECT v.taken, v.waiting, v.changed_at, m.first_seen, m.series,
       d.created_at, d.version, d.display_name, d.unit, d.type, d.aggregation, d.retention_days,
       s.ids, s.labels, v.hours, v.versions, v.marked, set_config('plan_cache_mode', $7, true)
FROM hour_states($1, $2, $6) v
LEFT JOIN metrics_tenant m ON m.name = $3
LEFT JOIN definitions_tenant d ON d.name = $3
CROSS JOIN (
    SELECT array_agg(series_id) AS ids, array_agg(labels::text) AS labels
    FROM (
        SELECT series_id, labels
        FROM series_tenant
        WHERE name = $3 AND labels @> $4::jsonb
        ORDER BY series_id
        LIMIT $5
    ) AS found
) s;

-- name: plan_for_values
-- What follows in the transaction is planned for its values.
SELECT set_config('plan_cache_mode', 'force_custom_plan', true);

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
FROM latest_samples($1::bigint[])
ORDER BY series_id;
