-- name: find_key
-- The tenant and scopes of the good key with this hash; no row for any other.
SELECT tenant_id, scopes FROM find_key($1);

-- name: create_tenant
-- Makes a tenant; no row when the name is taken.
INSERT INTO tenants (name) VALUES ($1)
ON CONFLICT (name) DO NOTHING
RETURNING tenant_id, name, created_at;

-- name: get_tenant
SELECT tenant_id, name, created_at FROM tenants WHERE name = $1;

-- name: list_tenants
SELECT tenant_id, name, created_at FROM tenants ORDER BY name;

-- name: create_key
INSERT INTO api_keys (key_hash, tenant_id, scopes, expires_at) VALUES ($1, $2, $3, $4);

-- name: list_keys
SELECT encode(k.key_hash, 'hex') AS hash, k.scopes, k.created_at, k.expires_at, k.revoked_at
FROM api_keys k
JOIN tenants t USING (tenant_id)
WHERE t.name = $1
ORDER BY k.created_at, k.key_hash;

-- name: revoke_key
-- Revokes the one key whose hash begins so. A key revoked before keeps its time; two matches
-- change nothing and are both returned, so that the caller can say it is ambiguous.
WITH matches AS (
    SELECT key_hash FROM api_keys WHERE encode(key_hash, 'hex') LIKE $1 || '%'
), revoked AS (
    UPDATE api_keys SET revoked_at = coalesce(revoked_at, now())
    WHERE key_hash IN (SELECT key_hash FROM matches) AND (SELECT count(*) FROM matches) = 1
)
SELECT encode(key_hash, 'hex') AS hash FROM matches;
