-- name: oldest_post_test
-- Seconds since the run was heard of that has waited longest for its aggregates; 0 where none waits.
SELECT coalesce(extract(epoch FROM now() - min(heard_at)), 0)::float8
FROM runs
WHERE state = 'aggregating'

-- name: maintained
-- When each part of maintenance last ended, where that went well: seconds since the epoch.
SELECT part, extract(epoch FROM ended_at)::float8 AS ended_at
FROM maintenance
WHERE ended_at IS NOT NULL AND error IS NULL
