-- name: load_rules
SELECT tenant_id, name, document::text, version FROM rules

-- name: load_thresholds
-- What definitions say of alerts.
SELECT tenant_id, name, warning, critical, version
FROM definitions
WHERE warning IS NOT NULL OR critical IS NOT NULL

-- name: hold_tenant
-- Nobody else applies rules until the transaction ends: $1 tenant.
SELECT FROM tenants WHERE tenant_id = $1 FOR UPDATE

-- name: rules_of_tenant
-- $1 tenant.
SELECT tenant_id, name, document::text, version FROM rules WHERE tenant_id = $1 ORDER BY name

-- name: thresholds_of_tenant
-- As load_thresholds: $1 tenant.
SELECT tenant_id, name, warning, critical, version
FROM definitions
WHERE tenant_id = $1 AND (warning IS NOT NULL OR critical IS NOT NULL)

-- name: put_rule
-- $1 tenant, $2 name, $3 document.
INSERT INTO rules AS r (tenant_id, name, document) VALUES ($1, $2, $3::text::jsonb)
ON CONFLICT (tenant_id, name) DO UPDATE
SET document = excluded.document, version = r.version + 1, updated_at = now()

-- name: delete_rule
-- $1 tenant, $2 name.
DELETE FROM rules WHERE tenant_id = $1 AND name = $2
