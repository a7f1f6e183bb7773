-- name: series
-- Metrics $3 of $2 hosts each, as a fleet has them.
WITH made AS (
    INSERT INTO series (tenant_id, name, labels, fingerprint)
    SELECT $1::uuid, name, labels, decode(md5(name || labels::text), 'hex')
    FROM generate_series(1, $2::integer) AS host
    CROSS JOIN LATERAL (VALUES (jsonb_build_object(
        'host', 'host-' || host,
        'region', (ARRAY['eu', 'us', 'ap'])[1 + host % 3],
        'role', (ARRAY['web', 'queue'])[1 + host % 2]
    ))) AS l (labels)
    CROSS JOIN unnest($3::text[]) AS name
    ORDER BY name, host
    RETURNING name, labels
),
counted AS (
    UPDATE tenants SET series = (SELECT count(*) FROM made) WHERE tenant_id = $1
),
metric AS (
    INSERT INTO metrics (tenant_id, name, series)
    SELECT $1, name, count(*) FROM made GROUP BY name
),
label AS (
    INSERT INTO metric_labels (tenant_id, name, label, n_values)
    SELECT $1, m.name, l.key, count(DISTINCT l.value)
    FROM made m CROSS JOIN LATERAL jsonb_each_text(m.labels) AS l
    GROUP BY m.name, l.key
)
INSERT INTO label_values (tenant_id, name, label, value)
SELECT DISTINCT $1, m.name, l.key, l.value
FROM made m CROSS JOIN LATERAL jsonb_each_text(m.labels) AS l

-- name: definition
-- What makes sketches of a metric.
INSERT INTO definitions (tenant_id, name, type, unit, aggregation) VALUES ($1, $2, 'histogram', 'ms', 'p95')

-- name: samples
-- A sample every 10 s of every series in [$1, $2). Eighths and sixteenths add up exactly in any order, so
-- that an answer from rollups can be compared with one from samples by =.
INSERT INTO samples (ts, series_id, v_num)
SELECT ts, s.series_id,
       CASE s.name
           WHEN $3 THEN greatest(1, round(16 * exp(3 + 1.6 * (random() + random() + random() - 1.5)))) / 16
           ELSE round(400 + 200 * sin(extract(epoch FROM ts) / 13751 + s.series_id) + 100 * random()) / 8
       END
FROM (SELECT series_id, name FROM series ORDER BY series_id) AS s
CROSS JOIN LATERAL generate_series($1::timestamptz, $2::timestamptz - interval '1 microsecond', '10 seconds') AS ts

-- name: partitions
-- Of the days; nothing to do in TimescaleDB, whose chunks make themselves.
SELECT ensure_samples($1::date[])
