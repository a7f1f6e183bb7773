DROP VIEW rules_tenant;
DROP TABLE rules;
DROP FUNCTION rule_changed();
COMMENT ON TABLE tenant_changes IS 'How often a tenant''s definitions or limits were changed: what ingest looks at while it is not notified.';
