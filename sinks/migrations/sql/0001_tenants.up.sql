-- Tenants, their API keys, and the two roles that processes assume.

CREATE TABLE storage (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    mode text NOT NULL CHECK (mode IN ('timescaledb', 'postgresql'))
);
COMMENT ON TABLE storage IS 'The storage mode that migrate found; read by every process, never guessed again.';

-- Roles belong to the cluster, so another headrace database may have made them.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'headrace_writer') THEN
        CREATE ROLE headrace_writer NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'headrace_reader') THEN
        CREATE ROLE headrace_reader NOLOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL; -- two databases migrated in the same moment
END
$$;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO headrace_writer, headrace_reader;
GRANT SELECT ON storage TO headrace_writer, headrace_reader;

CREATE TABLE tenants (
    tenant_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE api_keys (
    key_hash bytea PRIMARY KEY CHECK (length(key_hash) = 32),
    tenant_id uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    scopes text[] NOT NULL CHECK (scopes <@ ARRAY['ingest', 'read', 'admin'] AND scopes <> '{}'),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz
);
COMMENT ON COLUMN api_keys.key_hash IS 'SHA-256 of the key; the key itself is shown once and kept nowhere.';
GRANT SELECT ON tenants TO headrace_writer;

-- The reader must not see the table of keys, only ask whether the one it holds is good.
CREATE FUNCTION find_key(hash bytea) RETURNS TABLE (tenant_id uuid, scopes text[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
    SELECT k.tenant_id, k.scopes
    FROM public.api_keys k
    WHERE k.key_hash = hash
      AND k.revoked_at IS NULL
      AND (k.expires_at IS NULL OR k.expires_at > now())
$$;
REVOKE ALL ON FUNCTION find_key(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_key(bytea) TO headrace_reader, headrace_writer;

-- NULL when unset, empty or malformed: a view that compares with it then shows nothing.
CREATE FUNCTION current_tenant() RETURNS uuid
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog AS $$
BEGIN
    RETURN nullif(current_setting('app.tenant_id', true), '')::uuid;
EXCEPTION WHEN invalid_text_representation THEN
    RETURN NULL;
END
$$;
