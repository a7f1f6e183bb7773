-- name: post
-- Rows of a batch, in its transaction: $1 group, then by row: $2 topics, $3 partitions, $4 partitions of
-- the watched topic, $5 epochs, $6 first offsets, $7 parts, $8 payloads.
INSERT INTO watched_outbox
    (consumer_group, topic, partition, watched_partition, epoch, start_offset, part, payload)
SELECT $1, topic, partition, watched_partition, epoch, start_offset, part, payload
FROM unnest($2::text[], $3::int[], $4::int[], $5::int[], $6::bigint[], $7::int[], $8::bytea[])
    AS posted (topic, partition, watched_partition, epoch, start_offset, part, payload)

-- name: waiting
-- The oldest rows of each source and partition of the watched topic, each such lane in order: $1 group,
-- $2 topics, $3 partitions, $4 partitions of the watched topic, $5 rows of a lane at the most.
SELECT lane.*
FROM unnest($2::text[], $3::int[]) AS source (topic, partition)
CROSS JOIN generate_series(0, $4::int - 1) AS watched (partition)
CROSS JOIN LATERAL (
    SELECT w.topic, w.partition, w.watched_partition, w.epoch, w.start_offset, w.part, w.payload
    FROM watched_outbox w
    WHERE w.consumer_group = $1 AND w.topic = source.topic AND w.partition = source.partition
        AND w.watched_partition = watched.partition
    ORDER BY w.epoch, w.start_offset, w.part
    LIMIT $5
) AS lane

-- name: published
-- Rows that Kafka has: $1 group, then by row: $2 topics, $3 partitions, $4 partitions of the watched
-- topic, $5 epochs, $6 first offsets, $7 parts. To publish twice is harmless: nothing waits for the disk.
WITH hurried AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
DELETE FROM watched_outbox w
USING hurried, unnest($2::text[], $3::int[], $4::int[], $5::int[], $6::bigint[], $7::int[])
    AS gone (topic, partition, watched_partition, epoch, start_offset, part)
WHERE w.consumer_group = $1 AND w.topic = gone.topic AND w.partition = gone.partition
    AND w.watched_partition = gone.watched_partition AND w.epoch = gone.epoch
    AND w.start_offset = gone.start_offset AND w.part = gone.part

-- name: expire
-- Rows that wait for longer than $2, of group $1: how many there were.
WITH gone AS (
    DELETE FROM watched_outbox WHERE consumer_group = $1 AND posted_at < now() - $2::interval RETURNING 1
)
SELECT count(*) FROM gone

-- name: backlog
-- What waits, of group $1: rows, and seconds that the oldest has waited.
SELECT count(*) AS rows, coalesce(extract(epoch FROM now() - min(posted_at)), 0)::float8 AS seconds
FROM watched_outbox
WHERE consumer_group = $1

-- name: describe
-- Of these series ($1) those of metrics that a rule watches: $2 tenants, $3 names.
SELECT series_id, tenant_id, name, labels::text AS labels
FROM series
WHERE series_id = ANY ($1::bigint[])
    AND (tenant_id, name) IN (SELECT * FROM unnest($2::uuid[], $3::text[]))
