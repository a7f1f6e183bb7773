-- name: check
-- Fails unless the database answers and has the schema that these queries need. Reads nothing.
SELECT aggregate_execution(execution_id) FROM runs WHERE false

-- name: record_event
-- What an event says of a run, merged so that order and repetition don't matter: $1 execution,
-- $2 tenant, $3 test and $4 script (NULL where the event does not tell), $5 when it began at the latest,
-- $6 runner, $7 {event: its text}, $8 metric types, $9 when it finished (or NULL), $10 tags, $11 whether the
-- raw points are to be kept.
-- No row comes back when the run belongs to another tenant.
INSERT INTO runs AS r
    (execution_id, tenant_id, test, script, started_at, finished_at, runners, metrics, tags, keep_raw)
VALUES ($1, $2, coalesce($3, ''), $4, $5, $9, jsonb_build_object($6::text, $7::jsonb), $8::jsonb, $10::jsonb, $11)
ON CONFLICT (execution_id) DO UPDATE SET
    test = coalesce($3, r.test),
    script = coalesce($4, r.script),
    started_at = least(r.started_at, excluded.started_at),
    finished_at = greatest(r.finished_at, excluded.finished_at),
    runners = r.runners || jsonb_build_object($6::text, coalesce(r.runners -> $6::text, '{}') || $7::jsonb),
    metrics = r.metrics || excluded.metrics,
    tags = r.tags || excluded.tags,
    keep_raw = r.keep_raw OR excluded.keep_raw,
    heard_at = now()
WHERE r.tenant_id = excluded.tenant_id
RETURNING state, runners::text, metrics::text, thresholds::text, raw_deleted_at IS NOT NULL AS raw_deleted,
    incomplete, NULL::double precision AS seconds

-- name: set_state
-- $1 execution, $2 state, except that a finished run stays finished.
UPDATE runs SET state = $2 WHERE execution_id = $1 AND state NOT IN ('finished', $2)

-- name: load_run
-- $1 execution.
SELECT state, runners::text, metrics::text, thresholds::text, raw_deleted_at IS NOT NULL AS raw_deleted, incomplete,
    (SELECT extract(epoch FROM max(bucket) - min(bucket)) + 1
     FROM k6_aggregates a
     WHERE a.execution_id = r.execution_id AND kind = 'total')::double precision AS seconds
FROM runs r
WHERE execution_id = $1

-- name: behind
-- Which of these positions ingest has not passed: $1 consumer group, $2 topics, $3 partitions,
-- $4 offsets. `left` is the number of records still to come.
SELECT w.topic, w.partition, w.last_offset + 1 - coalesce(o.next_offset, 0) AS left
FROM unnest($2::text[], $3::int[], $4::bigint[]) AS w (topic, partition, last_offset)
LEFT JOIN ingest_offsets o ON o.consumer_group = $1 AND o.topic = w.topic AND o.partition = w.partition
WHERE coalesce(o.next_offset, 0) <= w.last_offset
ORDER BY w.topic, w.partition

-- name: watch_client
-- Makes the server stop the transaction's long statement soon after its client has died.
SELECT set_config('client_connection_check_interval', '5s', true)

-- name: aggregate
-- $1 execution; the number of rows written.
SELECT aggregate_execution($1)

-- name: statistics
-- $1 execution, then one entry a selection: $2 metrics, $3 tags, $4 metric types; $5 fractions.
SELECT n, sum, min, max, nonzero, last, percentiles
FROM execution_statistics($1, $2, $3::text[]::jsonb[], $4, $5)
ORDER BY selection

-- name: save_thresholds
-- $1 execution, $2 verdicts; not once the points that they were computed from are gone.
UPDATE runs SET thresholds = $2::jsonb WHERE execution_id = $1 AND raw_deleted_at IS NULL

-- name: counts
-- $1 execution.
SELECT raw, stored, summarised FROM execution_counts($1)

-- name: ledger
-- Points of an execution by source partition: $1 execution.
SELECT topic, partition, stored, dead_lettered
FROM run_ledger
WHERE execution_id = $1
ORDER BY topic, partition

-- name: cleanup
-- $1 execution.
SELECT cleanup_execution($1)

-- name: finish
-- $1 execution, $2 verdict.
UPDATE runs SET state = 'finished', verdict = $2 WHERE execution_id = $1

-- name: unsettled
-- Runs that nothing was heard of for $1, neither event nor point, and those that were closed so and may since
-- be whole.
SELECT execution_id, state, runners::text, metrics::text, thresholds::text, false AS raw_deleted, incomplete,
    NULL::double precision AS seconds
FROM runs r
WHERE (state IN ('running', 'aborted') AND greatest(heard_at, (
        SELECT max(l.heard_at) FROM run_ledger l WHERE l.execution_id = r.execution_id
    )) < now() - $1::interval)
    OR (state = 'finished' AND incomplete IS NOT NULL AND raw_deleted_at IS NULL)
ORDER BY started_at

-- name: lock_run
-- $1 execution; `silent` where nothing was heard of it for $2.
SELECT state, runners::text, metrics::text, thresholds::text, raw_deleted_at IS NOT NULL AS raw_deleted, incomplete,
    NULL::double precision AS seconds, greatest(heard_at, (
        SELECT max(l.heard_at) FROM run_ledger l WHERE l.execution_id = r.execution_id
    )) < now() - $2::interval AS silent
FROM runs r
WHERE execution_id = $1
FOR UPDATE

-- name: settle
-- $1 execution, $2 why it is incomplete, or NULL.
UPDATE runs SET state = 'aggregating', incomplete = $2 WHERE execution_id = $1

-- name: kept_too_long
-- Runs over for longer than $1 whose raw points were kept.
SELECT execution_id
FROM runs
WHERE state = 'finished' AND raw_deleted_at IS NULL AND (keep_raw OR incomplete IS NOT NULL)
    AND greatest(finished_at, heard_at) < now() - $1::interval

-- name: drop_raw
-- $1 execution.
SELECT drop_raw($1)

-- name: raw_dropped
-- $1 execution.
UPDATE runs SET raw_deleted_at = now() WHERE execution_id = $1
