-- name: parts
-- Chunks of samples and of the continuous aggregates, oldest first.
SELECT v.level, format('%I.%I', c.chunk_schema, c.chunk_name) AS name, c.range_start AS begin, c.range_end AS "end",
       d.total_bytes AS bytes,
       _timescaledb_functions.chunk_status_text(format('%I.%I', c.chunk_schema, c.chunk_name)::regclass) AS state
FROM (
    SELECT 'raw' AS level, 'public' AS schema, 'samples' AS name
    UNION ALL
    SELECT substring(view_name FROM 'samples_(.*)'), materialization_hypertable_schema, materialization_hypertable_name
    FROM timescaledb_information.continuous_aggregates
    WHERE view_schema = 'public' AND view_name IN ('samples_1m', 'samples_5m', 'samples_1h')
) v
JOIN timescaledb_information.chunks c ON c.hypertable_schema = v.schema AND c.hypertable_name = v.name
JOIN LATERAL chunks_detailed_size(format('%I.%I', v.schema, v.name)::regclass) d
  ON d.chunk_schema = c.chunk_schema AND d.chunk_name = c.chunk_name
ORDER BY c.range_start, v.level

-- name: compressed
-- Tables that hold what is compressed of chunks of ours: level, chunk, table.
SELECT v.level, s.relid::regclass::text AS name, s.compress_relid::regclass::text AS stored
FROM (
    SELECT 'raw' AS level, 'public' AS schema, 'samples' AS name
    UNION ALL
    SELECT substring(view_name FROM 'samples_(.*)'), materialization_hypertable_schema, materialization_hypertable_name
    FROM timescaledb_information.continuous_aggregates
    WHERE view_schema = 'public' AND view_name IN ('samples_1m', 'samples_5m', 'samples_1h')
) v
JOIN timescaledb_information.chunks c ON c.hypertable_schema = v.schema AND c.hypertable_name = v.name
JOIN _timescaledb_catalog.compression_settings s
  ON s.relid = format('%I.%I', c.chunk_schema, c.chunk_name)::regclass
WHERE s.compress_relid IS NOT NULL

-- name: aggregates
-- The tables behind the continuous aggregates, and up to where they are stored.
SELECT substring(a.view_name FROM 'samples_(.*)') AS level,
       format('%I.%I', a.materialization_hypertable_schema, a.materialization_hypertable_name) AS stored,
       CASE WHEN w.mark > 0 THEN _timescaledb_functions.to_timestamp(w.mark) END AS until
FROM timescaledb_information.continuous_aggregates a
JOIN _timescaledb_catalog.hypertable h
  ON h.schema_name = a.materialization_hypertable_schema AND h.table_name = a.materialization_hypertable_name
CROSS JOIN LATERAL _timescaledb_functions.cagg_watermark(h.id) AS w (mark)
WHERE a.view_schema = 'public' AND a.view_name IN ('samples_1m', 'samples_5m', 'samples_1h')

-- name: jobs
-- Policies of ours, and how they went last.
SELECT j.job_id, j.proc_name AS kind, j.hypertable_name AS relation, j.schedule_interval AS every,
       (j.config->>'start_offset')::interval AS window, (j.config->>'end_offset')::interval AS lag,
       coalesce(j.config->>'compress_after', j.config->>'drop_after')::interval AS after,
       s.last_run_started_at AS last_run, s.last_run_status AS last_result, s.next_start AS next_run,
       (SELECT e.err_message FROM timescaledb_information.job_errors e
        WHERE e.job_id = j.job_id AND s.last_run_status = 'Failed' ORDER BY e.finish_time DESC LIMIT 1) AS error
FROM timescaledb_information.jobs j
LEFT JOIN timescaledb_information.job_stats s USING (job_id)
WHERE j.hypertable_schema = 'public' AND j.hypertable_name IN ('samples', 'samples_1m', 'samples_5m', 'samples_1h')
  AND j.proc_name IN ('policy_refresh_continuous_aggregate', 'policy_compression', 'policy_retention')
ORDER BY j.job_id

-- name: add_refresh
-- Refreshes $1 from $2 to $3 ago, every $4.
SELECT add_continuous_aggregate_policy($1::text::regclass, $2::interval, $3::interval, $4::interval)

-- name: add_compression
-- Compresses chunks of $1 that are older than $2.
SELECT add_compression_policy($1::text::regclass, $2::interval)

-- name: add_retention
-- Drops chunks of $1 that are older than $2.
SELECT add_retention_policy($1::text::regclass, $2::interval)

-- name: alter_refresh
-- Gives the refresh job $1 another window $2, lag $3 and schedule $4.
SELECT alter_job($1, schedule_interval => $4::interval, config => j.config || jsonb_build_object(
    'start_offset', $2::interval, 'end_offset', $3::interval))
FROM timescaledb_information.jobs j WHERE j.job_id = $1

-- name: alter_compression
-- Gives the compression job $1 another age $2.
SELECT alter_job($1, config => j.config || jsonb_build_object('compress_after', $2::interval))
FROM timescaledb_information.jobs j WHERE j.job_id = $1

-- name: alter_retention
-- Gives the retention job $1 another age $2.
SELECT alter_job($1, config => j.config || jsonb_build_object('drop_after', $2::interval))
FROM timescaledb_information.jobs j WHERE j.job_id = $1

-- name: of_others
-- In [$1, $2) of samples: whether there are samples of the series $3, and how many there are of others.
SELECT EXISTS (SELECT FROM samples WHERE ts >= $1 AND ts < $2 AND series_id = ANY ($3::bigint[])) AS wanted,
       (SELECT count(*) FROM samples WHERE ts >= $1 AND ts < $2 AND series_id <> ALL ($3::bigint[])) AS others

-- name: set_aside
-- The samples of [$1, $2) that stay: those of the series $3.
CREATE TEMPORARY TABLE samples_kept ON COMMIT DROP AS
SELECT * FROM samples WHERE ts >= $1 AND ts < $2 AND series_id = ANY ($3::bigint[])

-- name: put_back
-- What was set aside.
INSERT INTO samples SELECT * FROM samples_kept

-- name: drop
-- Drops the chunks of $1 within [$2, $3).
SELECT drop_chunks($1::text::regclass, newer_than => $2::timestamptz, older_than => $3::timestamptz)

-- name: compress
-- Compresses the chunk $1, or what of it is not yet compressed or in order.
SELECT compress_chunk($1::text::regclass, true, true)

-- name: chunk
-- How the chunk $1 is stored.
SELECT _timescaledb_functions.chunk_status_text($1::text::regclass) AS state

-- name: plain_rows
-- Estimated rows of the chunks $1 that are not compressed.
SELECT coalesce(sum(greatest(reltuples, 0)), 0)::bigint FROM pg_class WHERE oid = ANY ($1::text[]::regclass[])
