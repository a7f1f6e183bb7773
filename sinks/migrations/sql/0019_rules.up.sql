-- Alert rules of each tenant; those that its definitions stand for are made from them by whoever reads them.

CREATE TABLE rules (
    tenant_id uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    name text COLLATE "C" NOT NULL,
    document jsonb NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, name)
);
COMMENT ON COLUMN rules.document IS 'The rule as schemas.rules.Rule writes it.';
COMMENT ON COLUMN rules.version IS 'Counts changes; the ETag of a rule.';
COMMENT ON TABLE tenant_changes IS 'How often a tenant''s definitions, rules or limits were changed: what processes look at while they are not notified.';

CREATE VIEW rules_tenant WITH (security_barrier) AS
SELECT * FROM rules WHERE tenant_id = current_tenant()
WITH LOCAL CHECK OPTION;
ALTER VIEW rules_tenant ALTER COLUMN tenant_id SET DEFAULT current_tenant();
GRANT SELECT ON rules_tenant TO headrace_reader;
GRANT SELECT, DELETE, INSERT (name, document), UPDATE (document, version, updated_at) ON rules_tenant TO headrace_editor;
GRANT SELECT ON rules TO headrace_writer;

CREATE FUNCTION rule_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    -- Without a payload: every role may listen.
    NOTIFY headrace_rules;
    RETURN NULL;
END
$$;
CREATE TRIGGER rule_changed AFTER INSERT OR UPDATE OR DELETE ON rules
    FOR EACH STATEMENT EXECUTE FUNCTION rule_changed();
CREATE TRIGGER tenant_changed AFTER INSERT OR UPDATE OR DELETE ON rules
    FOR EACH ROW EXECUTE FUNCTION tenant_changed();
