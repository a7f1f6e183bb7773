-- name: list_tenant_keys
-- Keys from the newest on, older than ($1, $2) (NULL: all), at most $3; with $4 also those that are dead.
SELECT key_hash, encode(key_hash, 'hex') AS hash, scopes, created_at, expires_at, revoked_at
FROM api_keys_tenant
WHERE ($1::timestamptz IS NULL OR (created_at, key_hash) < ($1, $2::bytea))
  AND ($4 OR (revoked_at IS NULL AND coalesce(expires_at > now(), true)))
ORDER BY created_at DESC, key_hash DESC
LIMIT $3;

-- name: hold_tenant_keys
-- The keys whose hash begins so, at most two; nobody changes them until the transaction ends.
SELECT encode(key_hash, 'hex') AS hash, scopes, created_at, expires_at, revoked_at,
       revoked_at IS NULL AND coalesce(expires_at > now(), true) AS good
FROM api_keys_tenant
WHERE encode(key_hash, 'hex') LIKE $1 || '%'
LIMIT 2
FOR UPDATE;

-- name: add_tenant_key
-- Stores a key that lives $3 (NULL: for ever); no row when $4 are good already.
INSERT INTO api_keys_tenant (key_hash, scopes, expires_at)
SELECT $1, $2, now() + $3::interval
WHERE (SELECT count(*) FROM api_keys_tenant
       WHERE revoked_at IS NULL AND coalesce(expires_at > now(), true)) < $4
RETURNING encode(key_hash, 'hex') AS hash, scopes, created_at, expires_at, revoked_at;

-- name: expire_tenant_key
-- Ends a key $2 from now, unless it ends before that.
UPDATE api_keys_tenant
SET expires_at = least(expires_at, now() + $2::interval)
WHERE encode(key_hash, 'hex') = $1
RETURNING encode(key_hash, 'hex') AS hash, scopes, created_at, expires_at, revoked_at;

-- name: revoke_tenant_key
UPDATE api_keys_tenant
SET revoked_at = coalesce(revoked_at, now())
WHERE encode(key_hash, 'hex') = $1
RETURNING encode(key_hash, 'hex') AS hash, scopes, created_at, expires_at, revoked_at;
