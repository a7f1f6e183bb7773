-- name: alerts
-- Alerts of tenant $1, each with two episodes that ended and the transitions of both: $2 names, $3 states, $4 when the
-- second began, $5 when it was heard of last. The first was a day before the second and took an hour.
WITH made AS (
    INSERT INTO alerts (alert_id, tenant_id, rule, fingerprint, labels, state, level, condition, annotations, episode,
                        number, since, stale)
    SELECT name, $1, name, 'f', '{}', state, 'warning', 'p95(m) over 30s > 1', '{}', began, 2, since, false
    FROM unnest($2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[]) AS a (name, state, began, since)
    RETURNING alert_id, state, episode, since
), told AS (
    INSERT INTO notifications (tenant_id, receiver, group_key, alert_id, grouping)
    SELECT $1, 'ops', 'k', alert_id, '{}' FROM made
)
INSERT INTO alert_history (transition_id, alert_id, tenant_id, at, was, state, level, episode, number, rule_version, stale)
SELECT m.alert_id || '/' || t.id, m.alert_id, $1, t.at, t.was, t.state, 'warning', t.episode, t.number, 1, false
FROM made m
CROSS JOIN LATERAL (VALUES
    ('first begins', m.episode - interval '1 day', 'pending', 'firing', m.episode - interval '1 day', 1),
    ('first ends', m.episode - interval '23 hours', 'firing', 'resolved', m.episode - interval '1 day', 2),
    ('begins', m.episode, 'pending', 'firing', m.episode, 1),
    ('is heard of', m.since, 'firing', m.state, m.episode, 2)
) AS t (id, at, was, state, episode, number)

-- name: remediations
-- Remediations of tenant $1, each with a step: $2 rules, $3 states, $4 when opened, $5 when they ended.
WITH made AS (
    INSERT INTO remediations (tenant_id, rule, fingerprint, episode, level, labels, incident, playbook, owner, state,
                              dry_run, created_at, ended_at)
    SELECT $1, rule, 'f', opened, 'warning', '{}', '{"condition": "p95(m) over 30s > 1"}', 'p', 'w', state, false,
           opened, ended
    FROM unnest($2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[]) AS r (rule, state, opened, ended)
    RETURNING remediation_id
)
INSERT INTO remediation_steps (remediation_id, step, kind, attempt, action, actor, status)
SELECT remediation_id, 'a', 'step', 1, 'http', 'p@1', 'succeeded' FROM made

-- name: silence
-- Of tenant $1, from $2 to $3.
INSERT INTO silences (tenant_id, matchers, starts_at, expires_at, author, comment) VALUES ($1, '{a=b}', $2, $3, 'ana', '')

-- name: pause
-- Of tenant $1, from $2 to $3.
INSERT INTO remediation_pauses (tenant_id, begins_at, ends_at, actor) VALUES ($1, $2, $3, 'ana')
