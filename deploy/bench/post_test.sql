-- name: series
-- What k6 measures of a request, for $2 endpoints that answer 200 and, seldom, 503; and vus.
INSERT INTO series (tenant_id, name, labels, fingerprint)
SELECT $1::uuid, metric, labels, decode(md5(metric || labels::text), 'hex')
FROM unnest($3::text[]) AS metric
CROSS JOIN generate_series(1, $2::integer) AS endpoint
CROSS JOIN (VALUES ('200', '{}'::jsonb), ('503', '{"error_code": "1503"}')) AS s (status, more)
CROSS JOIN LATERAL (VALUES (more || jsonb_build_object(
    'name', 'https://shop.example/endpoint/' || endpoint, 'url', 'https://shop.example/endpoint/' || endpoint,
    'method', 'GET', 'status', status, 'proto', 'HTTP/2.0', 'scenario', 'default', 'group', '',
    'expected_response', (status = '200')::text
))) AS l (labels)
UNION ALL
SELECT $1, 'vus', '{}', decode(md5('vus'), 'hex')

-- name: partition
SELECT ensure_executions(ARRAY[$1::uuid])

-- name: requests
-- $4 requests to $5 endpoints within $3 seconds from $2 on, nine points each, as a batch of ingest: by series
-- and time. Connections are kept, so that connecting takes mostly no time at all.
INSERT INTO k6_samples (ts, execution_id, series_id, value)
SELECT r.ts, $1, s.series_id, v.value
FROM (
    SELECT $2::timestamptz + random() * $3::double precision * interval '1 second' AS ts,
           (1 + floor(random() * $5::integer))::integer AS endpoint,
           CASE WHEN random() < 0.01 THEN '503' ELSE '200' END AS status,
           exp(random_normal(3, 0.7)) AS waiting, exp(random_normal(-3, 0.5)) AS receiving,
           exp(random_normal(-4, 0.5)) AS sending, exp(random_normal(-6, 0.5)) AS blocked,
           CASE WHEN random() < 0.02 THEN exp(random_normal(0, 0.3)) ELSE 0 END AS connecting
    FROM generate_series(1, $4::integer)
) AS r
CROSS JOIN LATERAL (VALUES
    ('http_reqs', 1), ('http_req_failed', (status <> '200')::integer),
    ('http_req_duration', waiting + receiving + sending), ('http_req_waiting', waiting),
    ('http_req_receiving', receiving), ('http_req_sending', sending), ('http_req_blocked', blocked + connecting),
    ('http_req_connecting', connecting), ('http_req_tls_handshaking', connecting / 2)
) AS v (metric, value)
JOIN (
    SELECT series_id, name, labels->>'status' AS status, substring(labels->>'name' FROM '\d+$')::integer AS endpoint
    FROM series
) AS s ON s.name = v.metric AND s.status = r.status AND s.endpoint = r.endpoint
ORDER BY s.series_id, r.ts

-- name: rest
-- $3 points from $2 on that make the number round.
INSERT INTO k6_samples (ts, execution_id, series_id, value)
SELECT $2::timestamptz + i * interval '1 second', $1, series_id, 50
FROM series, generate_series(1, $3::integer) AS i
WHERE name = 'vus'

-- name: ledger
-- What ingest counts beside the points: $2 of them.
INSERT INTO run_ledger (execution_id, topic, partition, stored) VALUES ($1, 'bench', 0, $2)

-- name: compress
-- On TimescaleDB the COPY of ingest lands compressed; an INSERT does not always.
SELECT count(compress_chunk(c, true)) FROM show_chunks('k6_samples') AS c

-- name: raw_left
SELECT count(*) FROM k6_samples WHERE execution_id = $1

-- name: dead_rows
-- Deleted rows whose space is still to be had back, in what holds raw points.
SELECT coalesce(sum(n_dead_tup), 0)::bigint
FROM pg_stat_user_tables
WHERE relname ~ '^k6_samples|^compress_hyper|_chunk$'

-- name: raw_bytes_postgresql
SELECT coalesce(sum(pg_total_relation_size(inhrelid)), 0)::bigint
FROM pg_inherits
WHERE inhparent = 'k6_samples'::regclass

-- name: raw_bytes_timescaledb
SELECT hypertable_size('k6_samples')

-- name: kept_bytes
SELECT (pg_total_relation_size('k6_aggregates') + pg_total_relation_size('run_checks')
    + pg_total_relation_size('run_errors'))::bigint
