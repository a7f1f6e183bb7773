-- name: lock_remediations
-- Of tenant $1: what is counted below must not change before the row is there.
SELECT pg_advisory_xact_lock(hashtextextended('remediations/' || $1::uuid::text, 0));

-- name: same_incident
-- Whatever was decided of it before.
SELECT remediation_id, owner, state, expires_at FROM remediations
WHERE tenant_id = $1 AND rule = $2 AND fingerprint = $3 AND episode = $4
FOR UPDATE;

-- name: guards
-- What holds remediation back: $1 tenant, $2 rule, $3 fingerprint.
SELECT now() AS now,
    (SELECT actor || CASE WHEN reason = '' THEN '' ELSE ': ' || reason END FROM remediation_pauses
     WHERE coalesce(tenant_id, $1) = $1 AND begins_at <= now() AND ends_at > now()
     ORDER BY pause_id LIMIT 1) AS paused,
    max(coalesce(ended_at, began_at)) FILTER (WHERE rule = $2 AND fingerprint = $3) AS last_ended,
    count(*) FILTER (WHERE rule = $2 AND counted) AS of_rule,
    count(*) FILTER (WHERE counted) AS of_tenant
FROM (
    -- What waits for approval has its place already, so that the caps hold whenever it is approved.
    SELECT rule, fingerprint, began_at, ended_at,
        coalesce(began_at > now() - interval '1 hour', state = 'awaiting' AND expires_at > now()) AS counted
    FROM remediations
    WHERE tenant_id = $1 AND state <> 'refused' AND NOT dry_run
      AND created_at > now() - interval '15 days'  -- a week of waiting for approval, a week of cooldown
) AS recent;

-- name: add_remediation
INSERT INTO remediations (tenant_id, rule, fingerprint, episode, level, labels, incident, playbook, playbook_version,
    steps, owner, state, reason, dry_run, cancel_on_resolve, expires_at, began_at, ended_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15,
    CASE WHEN $12 = 'awaiting' THEN now() + $16::interval END,
    CASE WHEN $12 = 'running' THEN now() END,
    CASE WHEN $12 IN ('refused', 'planned', 'cancelled') THEN now() END)
RETURNING remediation_id, expires_at;

-- name: plan_step
-- What would be done, for who approves and who looks later.
INSERT INTO remediation_steps (remediation_id, step, kind, attempt, action, actor, input, status, ended_at)
VALUES ($1, $2, 'step', 0, $3, $4, $5, 'planned', now());

-- name: lock_remediation
SELECT r.owner, r.state, r.approver, r.expires_at <= now() AS expired,
    (SELECT actor || CASE WHEN reason = '' THEN '' ELSE ': ' || reason END FROM remediation_pauses p
     WHERE coalesce(p.tenant_id, r.tenant_id) = r.tenant_id AND begins_at <= now() AND ends_at > now()
     ORDER BY pause_id LIMIT 1) AS paused
FROM remediations r
WHERE r.remediation_id = $1
FOR UPDATE OF r;

-- name: last_attempt
-- Of $1, kind $2, step $3.
SELECT attempt, status, output FROM remediation_steps
WHERE remediation_id = $1 AND kind = $2 AND step = $3 AND attempt > 0
ORDER BY attempt DESC LIMIT 1;

-- name: load_remediation
SELECT tenant_id, rule, fingerprint, level, labels, incident, playbook, playbook_version, steps, created_at,
    cancel_on_resolve
FROM remediations WHERE remediation_id = $1;

-- name: begin_attempt
INSERT INTO remediation_steps (remediation_id, step, kind, attempt, action, actor, input, status)
VALUES ($1, $2, $3, $4, $5, $6, $7, 'begun');

-- name: end_attempt
-- How it ended; what has ended stays as it is.
UPDATE remediation_steps SET status = $5, output = $6, ended_at = clock_timestamp()
WHERE remediation_id = $1 AND kind = $2 AND step = $3 AND attempt = $4 AND status = 'begun';

-- name: note_step
-- What takes no time to do; noted once, of what is not deleted.
INSERT INTO remediation_steps (remediation_id, step, kind, attempt, action, actor, output, status, ended_at)
SELECT remediation_id, $2, $3, 1, $4, $5, $6, $7, clock_timestamp() FROM remediations WHERE remediation_id = $1
ON CONFLICT DO NOTHING;

-- name: ask_alert
-- The incident of remediation $1, and its alert as it is now.
SELECT r.rule, r.fingerprint, r.episode, a.state, a.level, a.episode AS now, a.since
FROM remediations r
LEFT JOIN alerts a USING (tenant_id, rule, fingerprint)
WHERE r.remediation_id = $1;

-- name: note_verification
-- What was asked about the alert of $1, and seen: input $2, output $3, status $4.
INSERT INTO remediation_steps (remediation_id, step, kind, attempt, action, actor, input, output, status, ended_at)
VALUES ($1, '', 'verification', 1, 'ask', 'workflow', $2, $3, $4, clock_timestamp())
ON CONFLICT (remediation_id, kind, step, attempt) DO UPDATE
SET output = excluded.output, status = excluded.status, ended_at = excluded.ended_at;

-- name: approve
UPDATE remediations SET state = 'running', approver = $2, began_at = now() WHERE remediation_id = $1;

-- name: reject
UPDATE remediations SET state = 'rejected', approver = $2, reason = $3, ended_at = clock_timestamp()
WHERE remediation_id = $1;

-- name: go_on
-- To state $2, unless it has ended.
UPDATE remediations SET state = $2 WHERE remediation_id = $1 AND ended_at IS NULL;

-- name: end_remediation
-- In state $2 for reason $3, unless it has ended; $4: the states in which it may, NULL: any.
UPDATE remediations SET state = $2, reason = $3, ended_at = clock_timestamp()
WHERE remediation_id = $1 AND ended_at IS NULL AND ($4::text[] IS NULL OR state = ANY ($4));

-- name: state_of
SELECT state FROM remediations WHERE remediation_id = $1;

-- name: list_remediations
-- Of tenant $1, the newest first: in state $2 and of rule $3, if given; at most $4.
SELECT remediation_id, rule, fingerprint, episode, level, labels, incident, playbook, playbook_version, state, reason,
    dry_run, approver, expires_at, created_at, began_at, ended_at
FROM remediations
WHERE tenant_id = $1 AND ($2::text IS NULL OR state = $2) AND ($3::text IS NULL OR rule = $3)
ORDER BY created_at DESC, remediation_id
LIMIT $4;

-- name: get_remediation
-- $2 of tenant $1.
SELECT remediation_id, rule, fingerprint, episode, level, labels, incident, playbook, playbook_version, state, reason,
    dry_run, approver, expires_at, created_at, began_at, ended_at
FROM remediations WHERE tenant_id = $1 AND remediation_id = $2;

-- name: trail
-- The audit trail of $1, in order.
SELECT step, kind, attempt, action, actor, input, output, status, began_at, ended_at
FROM remediation_steps WHERE remediation_id = $1
ORDER BY attempt > 0, began_at, kind, step, attempt;

-- name: pause
-- Tenant $1 (NULL: all) from $2 (NULL: now) to $3 (NULL: until it is resumed), by $4, because of $5.
INSERT INTO remediation_pauses (tenant_id, begins_at, ends_at, actor, reason)
VALUES ($1, coalesce($2::timestamptz, now()), coalesce($3::timestamptz, 'infinity'), $4, $5)
RETURNING pause_id, begins_at, ends_at;

-- name: resume
-- What is on now, or later, for tenant $1 (NULL: of those for all).
DELETE FROM remediation_pauses WHERE tenant_id IS NOT DISTINCT FROM $1 RETURNING pause_id;

-- name: pauses
-- That are on or will be, for tenant $1 and for all.
SELECT tenant_id IS NULL AS everybody, begins_at, nullif(ends_at, 'infinity') AS ends_at, actor, reason
FROM remediation_pauses
WHERE coalesce(tenant_id, $1) = $1 AND ends_at > now()
ORDER BY begins_at, pause_id;
