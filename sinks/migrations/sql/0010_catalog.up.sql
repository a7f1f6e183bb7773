-- The catalog of what a tenant sends, its limits, and what is being deleted.

ALTER TABLE tenants
    ADD COLUMN series bigint NOT NULL DEFAULT 0,
    ADD COLUMN max_series bigint CHECK (max_series > 0);
COMMENT ON COLUMN tenants.series IS 'Number of the tenant''s series; kept by add_series and forget_series.';
COMMENT ON COLUMN tenants.max_series IS 'Overrides the limit of the settings.';

CREATE TABLE metrics (
    tenant_id uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    name text COLLATE "C" NOT NULL,
    series bigint NOT NULL,
    first_seen timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, name)
);
CREATE TABLE metric_labels (
    tenant_id uuid NOT NULL,
    name text COLLATE "C" NOT NULL,
    label text COLLATE "C" NOT NULL,
    n_values bigint NOT NULL,
    PRIMARY KEY (tenant_id, name, label),
    FOREIGN KEY (tenant_id, name) REFERENCES metrics ON DELETE CASCADE
);
CREATE TABLE label_values (
    tenant_id uuid NOT NULL,
    name text COLLATE "C" NOT NULL,
    label text COLLATE "C" NOT NULL,
    value text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, name, label, value),
    FOREIGN KEY (tenant_id, name, label) REFERENCES metric_labels ON DELETE CASCADE
);
INSERT INTO metrics SELECT tenant_id, name, count(*), min(created_at) FROM series GROUP BY 1, 2;
INSERT INTO metric_labels
SELECT s.tenant_id, s.name, l.key, count(DISTINCT l.value)
FROM series s CROSS JOIN LATERAL jsonb_each_text(s.labels) l GROUP BY 1, 2, 3;
INSERT INTO label_values
SELECT DISTINCT s.tenant_id, s.name, l.key, l.value
FROM series s CROSS JOIN LATERAL jsonb_each_text(s.labels) l;
UPDATE tenants t SET series = (SELECT count(*) FROM series s WHERE s.tenant_id = t.tenant_id);

CREATE TABLE rejections (
    tenant_id uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    reason text NOT NULL,
    samples bigint NOT NULL,
    last_name text NOT NULL,
    last_labels jsonb NOT NULL,
    first_at timestamptz NOT NULL DEFAULT now(),
    last_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, reason)
);
COMMENT ON TABLE rejections IS 'Samples of new series past a limit, by reason (too_many_series, too_many_label_values), with the last example.';
GRANT SELECT, INSERT, UPDATE ON rejections TO headrace_writer;

CREATE TABLE series_epoch (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    epoch bigint NOT NULL
);
INSERT INTO series_epoch (epoch) VALUES (1);
COMMENT ON TABLE series_epoch IS 'Counts deletions of series: a writer whose cached numbers are older must not use them.';
GRANT SELECT ON series_epoch TO headrace_writer;

CREATE TABLE forgotten_series (
    series_id bigint PRIMARY KEY,
    forgotten_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE forgotten_series IS 'Numbers of deleted series whose samples and rollups are still to be deleted; nobody can see them any more.';

CREATE VIEW metrics_tenant WITH (security_barrier) AS
SELECT name, series, first_seen FROM metrics WHERE tenant_id = current_tenant();
CREATE VIEW metric_labels_tenant WITH (security_barrier) AS
SELECT name, label, n_values FROM metric_labels WHERE tenant_id = current_tenant();
CREATE VIEW label_values_tenant WITH (security_barrier) AS
SELECT name, label, value FROM label_values WHERE tenant_id = current_tenant();
CREATE VIEW rejections_tenant WITH (security_barrier) AS
SELECT reason, samples, last_name, last_labels, first_at, last_at FROM rejections WHERE tenant_id = current_tenant();
CREATE VIEW limits_tenant WITH (security_barrier) AS
SELECT name AS tenant, series, max_series FROM tenants WHERE tenant_id = current_tenant();
GRANT SELECT ON metrics_tenant, metric_labels_tenant, label_values_tenant, rejections_tenant, limits_tenant
    TO headrace_reader;

-- Keys that a tenant's admin manages; the hash goes in and is never shown to a reader.
CREATE VIEW api_keys_tenant WITH (security_barrier) AS
SELECT key_hash, tenant_id, scopes, created_at, expires_at, revoked_at
FROM api_keys
WHERE tenant_id = current_tenant()
WITH LOCAL CHECK OPTION;
ALTER VIEW api_keys_tenant ALTER COLUMN tenant_id SET DEFAULT current_tenant();
ALTER VIEW api_keys_tenant ALTER COLUMN created_at SET DEFAULT now();
GRANT SELECT, INSERT (key_hash, scopes, expires_at), UPDATE (expires_at, revoked_at)
    ON api_keys_tenant TO headrace_editor;
