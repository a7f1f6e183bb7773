-- name: list_rules
-- Rules whose names begin with $1, after the name $2 (NULL: from the first on), by name.
SELECT document::text, version, created_at, updated_at
FROM rules_tenant
WHERE name ^@ $1 AND ($2::text IS NULL OR name > $2)
ORDER BY name
LIMIT $3;

-- name: get_rule
SELECT document::text, version, created_at, updated_at
FROM rules_tenant
WHERE name = $1;

-- name: hold_rule
-- As get_rule; nobody changes it until the transaction ends.
SELECT document::text, version, created_at, updated_at
FROM rules_tenant
WHERE name = $1
FOR UPDATE;

-- name: create_rule
-- Stores a rule; no row when there are $3 already.
INSERT INTO rules_tenant (name, document)
SELECT $1, $2::text::jsonb
WHERE (SELECT count(*) FROM rules_tenant) < $3
RETURNING document::text, version, created_at, updated_at;

-- name: replace_rule
UPDATE rules_tenant
SET document = $2::text::jsonb, version = version + 1, updated_at = now()
WHERE name = $1
RETURNING document::text, version, created_at, updated_at;

-- name: delete_rule
DELETE FROM rules_tenant WHERE name = $1 RETURNING name;
