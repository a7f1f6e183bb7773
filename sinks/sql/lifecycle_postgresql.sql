-- name: ensure
-- Makes the partitions of samples for the days $1 and of the rollups for the months $2.
SELECT ensure_samples($1::date[]), ensure_rollups($2::date[])

-- name: partitions
-- Partitions that there are.
SELECT count(*) FROM pg_inherits
WHERE inhparent IN ('samples'::regclass, 'rollup_1m'::regclass, 'rollup_5m'::regclass, 'rollup_1h'::regclass)

-- name: parts
-- Partitions of samples and rollups, with their bounds and sizes, oldest first.
SELECT coalesce(substring(p.relname FROM '_(1m|5m|1h)$'), 'raw') AS level,
       c.relname AS name,
       substring(bound FROM $$FROM \('([^']+)'\)$$)::timestamptz AS begin,
       substring(bound FROM $$TO \('([^']+)'\)$$)::timestamptz AS "end",
       pg_total_relation_size(c.oid) AS bytes,
       greatest(c.reltuples, 0)::bigint AS rows,
       EXISTS (SELECT FROM pg_index x WHERE x.indrelid = c.oid AND x.indisclustered) AS compacted
FROM pg_inherits i
JOIN pg_class p ON p.oid = i.inhparent
JOIN pg_class c ON c.oid = i.inhrelid
CROSS JOIN LATERAL pg_get_expr(c.relpartbound, c.oid) AS bound
WHERE p.oid IN ('samples'::regclass, 'rollup_1m'::regclass, 'rollup_5m'::regclass, 'rollup_1h'::regclass)
ORDER BY "begin", p.relname

-- name: one_dropper
-- Held until the session is given back: what another one is detaching is not to be finished here.
SELECT pg_advisory_lock(hashtext('headrace.retain'))

-- name: attached
-- Whether $1 is a partition still.
SELECT EXISTS (SELECT FROM pg_class c WHERE c.oid = to_regclass($1) AND c.relispartition)

-- name: detaching
-- Partitions whose detaching was cut off: their parent and their name.
SELECT p.relname AS parent, c.relname AS name
FROM pg_inherits i
JOIN pg_class p ON p.oid = i.inhparent
JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhdetachpending
  AND p.oid IN ('samples'::regclass, 'rollup_1m'::regclass, 'rollup_5m'::regclass, 'rollup_1h'::regclass)

-- name: detached
-- Partitions that were detached to be dropped, and are still there. Others that somebody detached stay.
SELECT c.relname AS name
FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND NOT c.relispartition
  AND obj_description(c.oid, 'pg_class') = 'headrace: past its retention'

-- name: index_of
-- The index of partition $1 that has the series first.
SELECT c.relname
FROM pg_index x
JOIN pg_class c ON c.oid = x.indexrelid
JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = x.indkey[0]
WHERE x.indrelid = $1::text::regclass AND a.attname = 'series_id'
