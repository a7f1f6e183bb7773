-- name: load_rules
SELECT tenant_id, name, document::text, version FROM rules

-- name: load_thresholds
-- What definitions say of alerts.
SELECT tenant_id, name, warning, critical, version
FROM definitions
WHERE warning IS NOT NULL OR critical IS NOT NULL
