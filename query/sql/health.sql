-- name: ready
-- Whether the database was migrated far enough for these queries; no row when it was not.
SELECT mode
FROM storage
WHERE to_regclass('samples_tenant') IS NOT NULL AND to_regclass('run_ledger_tenant') IS NOT NULL;
