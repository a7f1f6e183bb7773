-- name: list_definitions
-- Definitions whose names begin with $1, after the name $2 (NULL: from the first on), by name.
SELECT name, display_name, description, unit, type, aggregation, retention_days, warning, critical,
       max_label_values, version, created_at, updated_at
FROM definitions_tenant
WHERE name ^@ $1 AND ($2::text IS NULL OR name > $2)
ORDER BY name
LIMIT $3;

-- name: get_definition
SELECT name, display_name, description, unit, type, aggregation, retention_days, warning, critical,
       max_label_values, version, created_at, updated_at
FROM definitions_tenant
WHERE name = $1;

-- name: hold_definition
-- As get_definition; nobody changes it until the transaction ends.
SELECT name, display_name, description, unit, type, aggregation, retention_days, warning, critical,
       max_label_values, version, created_at, updated_at
FROM definitions_tenant
WHERE name = $1
FOR UPDATE;

-- name: create_definition
-- Stores a definition; no row when there are $11 already.
INSERT INTO definitions_tenant (name, display_name, description, unit, type, aggregation,
                                retention_days, warning, critical, max_label_values)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10
WHERE (SELECT count(*) FROM definitions_tenant) < $11
RETURNING name, display_name, description, unit, type, aggregation, retention_days, warning,
          critical, max_label_values, version, created_at, updated_at;

-- name: replace_definition
UPDATE definitions_tenant
SET display_name = $2, description = $3, unit = $4, type = $5, aggregation = $6, retention_days = $7,
    warning = $8, critical = $9, max_label_values = $10, version = version + 1, updated_at = now()
WHERE name = $1
RETURNING name, display_name, description, unit, type, aggregation, retention_days, warning,
          critical, max_label_values, version, created_at, updated_at;

-- name: delete_definition
DELETE FROM definitions_tenant WHERE name = $1 RETURNING name;
