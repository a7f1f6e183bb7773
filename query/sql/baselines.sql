-- name: list_baselines
-- Baselines of test $1 (NULL: of all), after ($2, $3), by test and name.
SELECT test, name, execution_id, set_at
FROM baselines_tenant
WHERE ($1::text IS NULL OR test = $1)
  AND ($2::text IS NULL OR (test, name) > ($2, $3::text))
ORDER BY test, name
LIMIT $4;

-- name: get_baseline
SELECT test, name, execution_id, set_at
FROM baselines_tenant
WHERE test = $1 AND name = $2;

-- name: baselines_named
-- Those of this name, of any test; more than one is one too many.
SELECT test, name, execution_id, set_at
FROM baselines_tenant
WHERE name = $1
LIMIT 2;

-- name: set_baseline
-- Pins run $3; no row when there are $4 baselines already and this is a new one.
INSERT INTO baselines_tenant (test, name, execution_id)
SELECT $1, $2, $3
WHERE (SELECT count(*) FROM baselines_tenant) < $4
   OR EXISTS (SELECT FROM baselines_tenant WHERE test = $1 AND name = $2)
ON CONFLICT (tenant_id, test, name) DO UPDATE SET execution_id = excluded.execution_id, set_at = now()
RETURNING test, name, execution_id, set_at;

-- name: remove_baseline
DELETE FROM baselines_tenant
WHERE test = $1 AND name = $2
RETURNING test, name, execution_id, set_at;
