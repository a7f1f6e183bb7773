-- name: newest_playbooks
-- Of these names ($2; NULL: all) of tenant $1, by name.
SELECT DISTINCT ON (name) name, version, document, created_at
FROM playbooks
WHERE tenant_id = $1 AND ($2::text[] IS NULL OR name = ANY ($2))
ORDER BY name, version DESC;

-- name: playbook_version
SELECT name, version, document, created_at FROM playbooks
WHERE tenant_id = $1 AND name = $2 AND version = $3;

-- name: lock_playbooks
-- Includes are checked against what is there: nobody else may add one meanwhile.
SELECT pg_advisory_xact_lock(hashtextextended('playbooks/' || $1::uuid::text, 0));

-- name: add_playbook
-- The next version.
INSERT INTO playbooks (tenant_id, name, version, document)
SELECT $1, $2, coalesce(max(version), 0) + 1, $3 FROM playbooks WHERE tenant_id = $1 AND name = $2
RETURNING version;
