-- name: all_tenants
-- Every tenant that may send.
SELECT tenant_id FROM tenants

-- name: find_series
-- Series that exist already: $1 tenant ids, $2 fingerprints (same length). Rows come in no order.
SELECT s.series_id, s.tenant_id, s.fingerprint
FROM unnest($1::uuid[], $2::bytea[]) AS wanted (tenant_id, fingerprint)
JOIN series s USING (tenant_id, fingerprint)

-- name: add_series
-- New series of a tenant, within its limits: $1 tenant id, $2 names, $3 labels, $4 fingerprints, $5 series
-- of a tenant and $6 values of a label at the most, where it has no limits of its own.
SELECT fingerprint, series_id, refused, at_most FROM add_series($1, $2, $3, $4, $5, $6)

-- name: series_epoch
-- Grows with each deletion of series.
SELECT epoch FROM series_epoch

-- name: ensure_samples
-- Partitions for these days (a no-op where chunks make themselves).
SELECT ensure_samples($1::date[])

-- name: ensure_executions
-- Somewhere to put the raw points of these executions.
SELECT ensure_executions($1::uuid[])

-- name: positions
-- Stored positions of a consumer group: $1 group, $2 topics, $3 partitions.
SELECT topic, partition, next_offset, epoch
FROM unnest($2::text[], $3::int[]) AS wanted (topic, partition)
JOIN ingest_offsets USING (topic, partition)
WHERE consumer_group = $1

-- name: open_positions
-- First sight of these partitions: $1 group, $2 topics, $3 partitions, $4 where consuming starts.
INSERT INTO ingest_offsets (consumer_group, topic, partition, next_offset)
SELECT $1, topic, partition, next_offset
FROM unnest($2::text[], $3::int[], $4::bigint[]) AS opened (topic, partition, next_offset)
ON CONFLICT DO NOTHING

-- name: hold_off_forgetting
-- Until the transaction ends, no series is deleted: $1 lets the columnstore take COPY as it comes.
SELECT pg_advisory_xact_lock_shared(hashtext('headrace.forget')),
    CASE WHEN $1 THEN set_config('timescaledb.enable_direct_compress_copy', 'on', true) END

-- name: lock_positions
-- Takes the rows that a batch moves: a second writer of the same partition waits here, then sees that
-- it was overtaken. In a fixed order, because batches of several partitions would deadlock otherwise.
SELECT topic, partition, next_offset, epoch, (SELECT e.epoch FROM series_epoch e) AS series_epoch
FROM ingest_offsets
WHERE consumer_group = $1 AND (topic, partition) IN (SELECT * FROM unnest($2::text[], $3::int[]))
ORDER BY topic, partition
FOR UPDATE OF ingest_offsets

-- name: holders
-- Transactions that were the last to lock these rows: $1 group, $2 topics, $3 partitions.
SELECT DISTINCT xmax::text AS holder
FROM ingest_offsets
WHERE consumer_group = $1 AND (topic, partition) IN (SELECT * FROM unnest($2::text[], $3::int[]))

-- name: end_stalled
-- Of these transactions ($1), end those that have long been open and wait for their client.
SELECT pg_terminate_backend(pid)
FROM pg_stat_activity
WHERE backend_xid::text = ANY ($1::text[])
    AND wait_event = 'ClientRead' AND xact_start < clock_timestamp() - interval '10 s'

-- name: move_positions
-- $1 group, $2 topics, $3 partitions, $4 next offsets.
UPDATE ingest_offsets o
SET next_offset = moved.next_offset, updated_at = now()
FROM unnest($2::text[], $3::int[], $4::bigint[]) AS moved (topic, partition, next_offset)
WHERE o.consumer_group = $1 AND o.topic = moved.topic AND o.partition = moved.partition

-- name: restart_position
-- The topic was made anew, or its head was deleted: $1 group, $2 topic, $3 partition, $4 next offset,
-- $5 whether this is another topic of the same name.
UPDATE ingest_offsets
SET next_offset = $4, epoch = epoch + $5::int, updated_at = now()
WHERE consumer_group = $1 AND topic = $2 AND partition = $3
RETURNING epoch

-- name: mark_dirty
-- Minutes whose samples changed: $1 first microseconds, $2 last ones + 1, both since the epoch.
INSERT INTO rollup_dirty (level, begin_at, end_at)
SELECT 'raw', 'epoch'::timestamptz + first * interval '1 us', 'epoch'::timestamptz + last * interval '1 us'
FROM unnest($1::bigint[], $2::bigint[]) AS run (first, last)

-- name: count_in_ledger
-- $1 group, $2 topics, $3 partitions, then counts of samples: $4 received, $5 stored, $6 deduplicated,
-- $7 dead-lettered, $8 rejected; $9 records lost.
INSERT INTO ledger AS l
    (consumer_group, topic, partition, minute, received, stored, deduplicated, dead_lettered, rejected, lost)
SELECT $1, topic, partition, date_trunc('minute', now()), received, stored, deduplicated, dead_lettered, rejected, lost
FROM unnest($2::text[], $3::int[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[])
    AS counted (topic, partition, received, stored, deduplicated, dead_lettered, rejected, lost)
ORDER BY topic, partition
ON CONFLICT (consumer_group, topic, partition, minute) DO UPDATE SET
    received = l.received + excluded.received,
    stored = l.stored + excluded.stored,
    deduplicated = l.deduplicated + excluded.deduplicated,
    dead_lettered = l.dead_lettered + excluded.dead_lettered,
    rejected = l.rejected + excluded.rejected,
    lost = l.lost + excluded.lost

-- name: count_rejections
-- $1 tenant ids, $2 reasons, $3 samples, $4 names and $5 labels of an example.
INSERT INTO rejections AS r (tenant_id, reason, samples, last_name, last_labels)
SELECT tenant_id, reason, samples, example, labels::jsonb
FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::text[])
    AS counted (tenant_id, reason, samples, example, labels)
JOIN tenants USING (tenant_id)
ORDER BY tenant_id, reason
ON CONFLICT (tenant_id, reason) DO UPDATE SET
    samples = r.samples + excluded.samples,
    last_name = excluded.last_name,
    last_labels = excluded.last_labels,
    last_at = excluded.last_at

-- name: count_in_run_ledger
-- $1 executions, $2 topics, $3 partitions, $4 stored, $5 dead-lettered points.
INSERT INTO run_ledger AS l (execution_id, topic, partition, stored, dead_lettered)
SELECT execution_id, topic, partition, stored, dead_lettered
FROM unnest($1::uuid[], $2::text[], $3::int[], $4::bigint[], $5::bigint[])
    AS counted (execution_id, topic, partition, stored, dead_lettered)
ORDER BY execution_id, topic, partition
ON CONFLICT (execution_id, topic, partition) DO UPDATE SET
    stored = l.stored + excluded.stored,
    dead_lettered = l.dead_lettered + excluded.dead_lettered,
    heard_at = now()

-- name: storage_mode
-- timescaledb or postgresql, as migrate recorded it.
SELECT mode FROM storage

-- name: changes
-- Grows with each change of a definition or a limit, and changes when a tenant goes.
SELECT coalesce(sum(n), 0)::bigint FROM tenant_changes
