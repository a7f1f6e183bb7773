-- Metric definitions: what a name means, how long it is kept, what a query returns by default.

CREATE TABLE definitions (
    tenant_id uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    name text COLLATE "C" NOT NULL,
    display_name text,
    description text,
    unit text,
    type text NOT NULL CHECK (type IN ('gauge', 'counter', 'histogram', 'summary')),
    aggregation text NOT NULL
        CHECK (aggregation IN ('avg', 'min', 'max', 'sum', 'count', 'rate', 'p50', 'p95', 'p99')),
    retention_days integer CHECK (retention_days BETWEEN 1 AND 3650),
    warning double precision,
    critical double precision,
    max_label_values integer CHECK (max_label_values BETWEEN 1 AND 1000000),
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, name)
);
COMMENT ON COLUMN definitions.retention_days IS 'Overrides the retention of raw samples, in either direction; NULL: as the settings have it.';
COMMENT ON COLUMN definitions.max_label_values IS 'Overrides the limit on distinct values of each of the metric''s labels.';
COMMENT ON COLUMN definitions.version IS 'Counts changes; the ETag of a definition.';

-- Readers and editors meet only their own; what they write is theirs.
CREATE VIEW definitions_tenant WITH (security_barrier) AS
SELECT * FROM definitions WHERE tenant_id = current_tenant()
WITH LOCAL CHECK OPTION;
ALTER VIEW definitions_tenant ALTER COLUMN tenant_id SET DEFAULT current_tenant();
GRANT SELECT ON definitions_tenant TO headrace_reader;
-- The tenant is in no grant: CHECK OPTION looks at the row that results, so an UPDATE of it could take
-- another tenant's row by ON CONFLICT.
GRANT SELECT, DELETE,
    INSERT (name, display_name, description, unit, type, aggregation, retention_days, warning, critical,
            max_label_values),
    UPDATE (display_name, description, unit, type, aggregation, retention_days, warning, critical,
            max_label_values, version, updated_at)
    ON definitions_tenant TO headrace_editor;
GRANT SELECT ON definitions TO headrace_writer;

CREATE FUNCTION definition_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    now_sketched boolean := TG_OP <> 'DELETE' AND NEW.type IN ('histogram', 'summary');
    was_sketched boolean := TG_OP <> 'INSERT' AND OLD.type IN ('histogram', 'summary');
BEGIN
    -- Without a payload: every role may listen.
    NOTIFY headrace_definitions;
    -- Sketches are kept for these types only: what is there already is sketched by the next refresh.
    IF now_sketched AND NOT was_sketched THEN
        INSERT INTO public.rollup_dirty (level, begin_at, end_at)
        VALUES ('sketch', '-infinity', date_bin('1 hour', now(), 'epoch') + interval '1 hour');
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER definition_changed AFTER INSERT OR UPDATE OR DELETE ON definitions
    FOR EACH ROW EXECUTE FUNCTION definition_changed();
