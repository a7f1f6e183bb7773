-- name: ready
-- Whether the database was migrated far enough for these queries; no row when it was not.
SELECT mode
FROM storage
WHERE to_regclass('latest_tenant') IS NOT NULL; -- the newest of what they read
