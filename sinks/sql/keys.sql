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

-- name: rotate_key
-- Stores a key ($2) in the place of the one good key whose hash begins so: with its scopes and as long a
-- life. The old one ends $3 from now, unless it ends before that. Returns the good keys that match, and
-- changes nothing when they are two.
WITH matches AS (
    SELECT * FROM api_keys
    WHERE encode(key_hash, 'hex') LIKE $1 || '%'
      AND revoked_at IS NULL AND coalesce(expires_at > now(), true)
), made AS (
    INSERT INTO api_keys (key_hash, tenant_id, scopes, expires_at)
    SELECT $2, tenant_id, scopes, now() + (expires_at - created_at) FROM matches
    WHERE (SELECT count(*) FROM matches) = 1
), ended AS (
    UPDATE api_keys SET expires_at = least(expires_at, now() + $3::interval)
    WHERE key_hash IN (SELECT key_hash FROM matches) AND (SELECT count(*) FROM matches) = 1
)
SELECT encode(key_hash, 'hex') AS hash FROM matches;
