-- name: list_playbooks
-- The newest version of each, after the name $1 (NULL: from the first on), by name.
SELECT DISTINCT ON (name) name, version, document, created_at
FROM playbooks_tenant
WHERE $1::text IS NULL OR name > $1
ORDER BY name, version DESC
LIMIT $2;

-- name: get_playbook
-- Version $2 (NULL: the newest) of $1.
SELECT name, version, document, created_at
FROM playbooks_tenant
WHERE name = $1 AND ($2::integer IS NULL OR version = $2)
ORDER BY version DESC
LIMIT 1;

-- name: hold_playbooks
-- All of the tenant's, after whoever else changes any: what includes what must stay true.
SELECT DISTINCT ON (name) name, version, document, created_at
FROM playbooks_tenant
ORDER BY name, version DESC;

-- name: lock_playbooks
SELECT pg_advisory_xact_lock(hashtextextended('playbooks/' || current_tenant()::text, 0)) IS NULL AS locked;

-- name: add_playbook
INSERT INTO playbooks_tenant (name, version, document) VALUES ($1, $2, $3)
RETURNING name, version, document, created_at;

-- name: remove_playbook
DELETE FROM playbooks_tenant WHERE name = $1 RETURNING version;

-- name: list_remediations
-- The newest first: in state $1, of rule $2, since $3, after ($4, $5), each if given.
SELECT remediation_id, rule, fingerprint, episode, level, labels, playbook, playbook_version, state, reason, dry_run,
       approver, expires_at, created_at, began_at, ended_at
FROM remediations_tenant
WHERE ($1::text IS NULL OR state = $1) AND ($2::text IS NULL OR rule = $2)
  AND ($3::timestamptz IS NULL OR created_at >= $3)
  AND ($4::timestamptz IS NULL OR (created_at, remediation_id) < ($4, $5::uuid))
ORDER BY created_at DESC, remediation_id DESC
LIMIT $6;

-- name: get_remediation
SELECT remediation_id, rule, fingerprint, episode, level, labels, playbook, playbook_version, state, reason, dry_run,
       approver, expires_at, created_at, began_at, ended_at, incident
FROM remediations_tenant
WHERE remediation_id = $1;

-- name: trail
-- What was planned, and then all that was done, in order.
SELECT step, kind, attempt, action, actor, input, output, status, began_at, ended_at
FROM remediation_steps_tenant
WHERE remediation_id = $1
ORDER BY attempt > 0, began_at, kind, step, attempt;

-- name: list_pauses
-- That are on, or will be.
SELECT begins_at, nullif(ends_at, 'infinity') AS ends_at, actor, reason
FROM remediation_pauses_tenant
WHERE ends_at > now()
ORDER BY begins_at, pause_id
LIMIT $1;

-- name: add_pause
-- From $1 (NULL: now) to $2 (NULL: until it is resumed); no row when that is no time, or there are $5.
INSERT INTO remediation_pauses_tenant (begins_at, ends_at, actor, reason)
SELECT coalesce($1::timestamptz, now()), coalesce($2::timestamptz, 'infinity'), $3, $4
WHERE (SELECT count(*) FROM remediation_pauses_tenant) < $5
  AND coalesce($2::timestamptz, 'infinity') > coalesce($1::timestamptz, now())
RETURNING begins_at, nullif(ends_at, 'infinity') AS ends_at, actor, reason;

-- name: resume
DELETE FROM remediation_pauses_tenant
RETURNING begins_at, nullif(ends_at, 'infinity') AS ends_at, actor, reason;
