-- name: freshness
-- What changes whenever an answer about metric $3 in [$1, $2) may: the samples stored or refreshed there,
-- the metric's series (a metric deleted and sent again has another first_seen), and its definition.
SELECT v.taken, v.waiting, v.changed_at, m.first_seen, m.series, d.created_at, d.version
FROM data_version($1, $2) v
LEFT JOIN metrics_tenant m ON m.name = $3
LEFT JOIN definitions_tenant d ON d.name = $3;
