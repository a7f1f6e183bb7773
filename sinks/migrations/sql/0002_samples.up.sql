-- Samples: narrow rows that point into a dictionary of series.

CREATE TABLE series (
    series_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES tenants,
    name text NOT NULL,
    labels jsonb NOT NULL,
    fingerprint bytea NOT NULL CHECK (length(fingerprint) = 16),
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant_id, fingerprint)
);
COMMENT ON COLUMN series.fingerprint IS 'BLAKE2b-128 of name and sorted labels: label sets outgrow an index entry, this never does.';
CREATE INDEX series_tenant_name ON series (tenant_id, name text_pattern_ops);
GRANT SELECT, INSERT ON series TO headrace_writer;
