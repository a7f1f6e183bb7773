-- name: points
-- Points of a run by what became of them, as ingest noted in the transactions that stored them.
SELECT coalesce(sum(stored), 0)::bigint AS stored, coalesce(sum(dead_lettered), 0)::bigint AS dead_lettered
FROM run_ledger
WHERE execution_id = $1

-- name: raw_left
SELECT count(*) FROM k6_samples WHERE execution_id = $1

-- name: aggregate_rows
SELECT count(*) FROM k6_aggregates WHERE execution_id = $1

-- name: deduplicated
-- Records that were delivered again and dropped, since the beginning; the difference is a run's.
SELECT coalesce(sum(deduplicated), 0)::bigint
FROM ledger
WHERE consumer_group = $1 AND topic = $2
