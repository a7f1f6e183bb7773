-- name: candidates
-- Runs with raw points that lack totals, which every aggregation writes since there are any; not those of which
-- event or point was heard within $1.
SELECT r.execution_id, r.test, r.state, r.started_at, l.points,
    CASE WHEN EXISTS (SELECT FROM k6_aggregates a WHERE a.execution_id = r.execution_id)
        THEN 'aggregated by an older version' ELSE 'never aggregated' END AS reason
FROM runs r
JOIN LATERAL (
    SELECT sum(stored)::bigint AS points, max(heard_at) AS heard_at FROM run_ledger WHERE execution_id = r.execution_id
) l ON l.points > 0
WHERE r.raw_deleted_at IS NULL
    AND (r.state = 'finished' OR greatest(r.heard_at, l.heard_at) < now() - $1::interval)
    AND NOT EXISTS (SELECT FROM k6_aggregates a WHERE a.execution_id = r.execution_id AND a.kind = 'total')
    AND EXISTS (SELECT FROM k6_samples p WHERE p.execution_id = r.execution_id)
ORDER BY r.started_at, r.execution_id

-- name: unannounced
-- Executions that ingest stored points of and that are no run.
SELECT l.execution_id, sum(l.stored)::bigint AS points
FROM run_ledger l
WHERE NOT EXISTS (SELECT FROM runs r WHERE r.execution_id = l.execution_id)
GROUP BY l.execution_id
HAVING sum(l.stored) > 0
ORDER BY l.execution_id

-- name: aggregate
-- $1 execution; the number of rows written.
SELECT aggregate_execution($1)
