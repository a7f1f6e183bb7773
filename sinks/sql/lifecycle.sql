-- name: mode
-- The storage mode that migrate recorded.
SELECT mode FROM storage

-- name: refresh_rollup
-- One step of level $1, up to $2; first is NULL when there was nothing to do.
SELECT first, last, head, marks, changed FROM refresh_rollup($1, $2)

-- name: refresh_sketches
-- One step of the sketches, up to $1.
SELECT first, last, head, marks, changed FROM refresh_sketches($1)

-- name: mark
-- Says that the samples of [$1, $2) are to be looked at again.
INSERT INTO rollup_dirty (level, begin_at, end_at) VALUES ('raw', $1, $2)

-- name: definitions
-- Metrics whose samples are kept for another time than the settings say, and their series.
SELECT d.tenant_id, d.name, d.retention_days, array_agg(s.series_id ORDER BY s.series_id) AS series
FROM definitions d
JOIN series s USING (tenant_id, name)
WHERE d.retention_days IS NOT NULL
GROUP BY d.tenant_id, d.name
ORDER BY d.tenant_id, d.name

-- name: longest_retention
-- Days that the most patient definition asks for; NULL when none asks.
SELECT max(retention_days) FROM definitions

-- name: marks
-- Marks that wait, by level.
SELECT level, count(*) AS waiting, min(marked_at) AS oldest FROM rollup_dirty GROUP BY level

-- name: forgotten
-- Deleted series whose rows are still to go.
SELECT count(*) FROM forgotten_series

-- name: maintenance
-- The last run of each part.
SELECT part, began_at, ended_at, result, error FROM maintenance ORDER BY part

-- name: begin_part
-- Part $1 begins; what is known of its last end stays until it ends.
INSERT INTO maintenance (part, began_at) VALUES ($1, now())
ON CONFLICT (part) DO UPDATE SET began_at = excluded.began_at

-- name: end_part
-- Part $1 ended with result $2, or error $3.
UPDATE maintenance SET ended_at = now(), result = $2, error = $3 WHERE part = $1

-- name: watermarks
-- Up to where our own levels are stored.
SELECT level, nullif(until, '-infinity') AS until, refreshed_at FROM rollups

-- name: sketch_size
-- Bytes and estimated rows of the sketches, and the hours they span.
SELECT pg_total_relation_size('sketch_1h') AS bytes,
       greatest((SELECT reltuples FROM pg_class WHERE oid = 'sketch_1h'::regclass), 0)::bigint AS rows,
       min(bucket) AS oldest, max(bucket) AS newest
FROM sketch_1h

-- name: old_sketches
-- Sketches of before $1: how many, and the first of them.
SELECT count(*) AS rows, min(bucket) AS begin FROM sketch_1h WHERE bucket < $1

-- name: delete_sketches
-- Deletes the sketches of [$2, $3) of the series $1, or all of them where $1 is empty.
DELETE FROM sketch_1h
WHERE bucket >= $2 AND bucket < $3 AND (series_id = ANY ($1::bigint[]) OR cardinality($1::bigint[]) = 0)

-- name: undefined_sketches
-- Sketches that no definition asks for: how many, and the hours they span.
SELECT count(*) AS rows, min(k.bucket) AS begin, max(k.bucket) + interval '1 hour' AS "end"
FROM sketch_1h k
WHERE NOT EXISTS (
    SELECT FROM series s JOIN definitions d USING (tenant_id, name)
    WHERE s.series_id = k.series_id AND d.type IN ('histogram', 'summary')
)

-- name: delete_undefined_sketches
-- Deletes those of [$1, $2); not of a metric that was defined again meanwhile.
DELETE FROM sketch_1h k
WHERE k.bucket >= $1 AND k.bucket < $2 AND NOT EXISTS (
    SELECT FROM series s JOIN definitions d USING (tenant_id, name)
    WHERE s.series_id = k.series_id AND d.type IN ('histogram', 'summary')
)

-- name: old_versions
-- Versions of hours before $1.
SELECT count(*) AS rows, min(hour) AS begin FROM hour_versions WHERE hour < $1

-- name: delete_versions
-- Deletes the versions of hours before $1.
DELETE FROM hour_versions WHERE hour < $1
