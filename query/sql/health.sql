-- name: ready
-- Whether the database was migrated far enough for these queries; no row when it was not.
SELECT mode
FROM storage
WHERE to_regprocedure('hour_states(timestamptz, timestamptz, boolean)') IS NOT NULL; -- the newest of what they read
