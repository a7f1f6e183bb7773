-- name: load_settings
-- The document of tenant $1.
SELECT document::text FROM notification_settings WHERE tenant_id = $1

-- name: versions
-- Every tenant that has a document, and the document's version.
SELECT tenant_id, version FROM notification_settings

-- name: apply
-- Stores $2 as the document of tenant $1; no row when it is that already.
INSERT INTO notification_settings AS s (tenant_id, document) VALUES ($1, $2::jsonb)
ON CONFLICT (tenant_id) DO UPDATE SET document = excluded.document, version = s.version + 1, updated_at = now()
WHERE s.document <> excluded.document
RETURNING version

-- name: find_alert
SELECT tenant_id, rule, labels::text, state, level FROM alerts WHERE alert_id = $1

-- name: firing
-- Alerts of tenant $1 that fire.
SELECT alert_id FROM alerts WHERE tenant_id = $1 AND state = 'firing' ORDER BY alert_id

-- name: enrol
-- Alert $2 of tenant $1 belongs to these groups: $3 receivers, $4 keys, $5 groupings.
INSERT INTO notifications (tenant_id, receiver, group_key, alert_id, grouping)
SELECT $1, g.receiver, g.key, $2, g.grouping::jsonb
FROM unnest($3::text[], $4::text[], $5::text[]) AS g (receiver, key, grouping)
ON CONFLICT (tenant_id, receiver, group_key, alert_id) DO UPDATE SET grouping = excluded.grouping

-- name: leave
-- Alert $1 is in no other groups than these, but for those that were told of it: $2 receivers, $3 keys.
DELETE FROM notifications n
WHERE alert_id = $1 AND told_at IS NULL
  AND NOT EXISTS (SELECT FROM unnest($2::text[], $3::text[]) AS g (receiver, key)
                  WHERE g.receiver = n.receiver AND g.key = n.group_key)

-- name: groups_of_alert
SELECT tenant_id, receiver, group_key, grouping::text FROM notifications WHERE alert_id = $1
ORDER BY receiver, group_key

-- name: groups
-- Every group that has somebody to tell, of tenant $1.
SELECT DISTINCT ON (receiver, group_key) tenant_id, receiver, group_key, grouping::text
FROM notifications
WHERE tenant_id = $1
ORDER BY receiver, group_key

-- name: members
-- Alerts of a group, those first that it was told of longest ago: $1 tenant, $2 receiver, $3 key.
SELECT a.alert_id, a.rule, a.fingerprint, a.labels::text, a.annotations::text, a.state, a.level, a.value, a.threshold,
       a.condition, a.episode, a.number, a.since, a.fired_at, a.resolved_at, a.stale, a.updated_at,
       a.acknowledged_at IS NOT NULL AS acknowledged,
       n.told_episode, n.told_number, n.told_level, n.told_at, n.grouping::text
FROM notifications n
JOIN alerts a USING (alert_id)
WHERE n.tenant_id = $1 AND n.receiver = $2 AND n.group_key = $3
ORDER BY n.told_at NULLS FIRST, a.since, a.alert_id

-- name: silences
-- Of tenant $1, those that are on.
SELECT matchers, expires_at FROM silences WHERE tenant_id = $1 AND starts_at <= now() AND expires_at > now()

-- name: firing_labels
-- What may inhibit others: alerts of tenant $1 that fire.
SELECT alert_id, rule, level, labels::text FROM alerts WHERE tenant_id = $1 AND state = 'firing'

-- name: now
SELECT now()

-- name: told
-- Alerts of which a group was told, as they were then: $1 tenant, $2 receiver, $3 key, $4 alert ids, $5 episodes,
-- $6 numbers, $7 levels, $8 when.
UPDATE notifications n
SET told_episode = t.episode, told_number = t.number, told_level = t.level, told_at = $8
FROM unnest($4::text[], $5::timestamptz[], $6::integer[], $7::text[]) AS t (alert_id, episode, number, level)
WHERE n.tenant_id = $1 AND n.receiver = $2 AND n.group_key = $3 AND n.alert_id = t.alert_id

-- name: hold
-- Alerts $1 stay as they are until the transaction ends. In order, so that two groups don't wait for each other.
SELECT FROM alerts WHERE alert_id = ANY($1) ORDER BY alert_id FOR SHARE

-- name: done
-- Nothing is left to tell a group of these alerts, if they still are as they were then: $1 tenant, $2 receiver, $3 key,
-- $4 alert ids, $5 episodes, $6 numbers.
DELETE FROM notifications n
USING unnest($4::text[], $5::timestamptz[], $6::integer[]) AS t (alert_id, episode, number), alerts a
WHERE n.tenant_id = $1 AND n.receiver = $2 AND n.group_key = $3 AND n.alert_id = t.alert_id
  AND a.alert_id = n.alert_id AND (a.episode, a.number) = (t.episode, t.number)

-- name: dissolve
-- A group, unless its receiver is there: $1 tenant, $2 receiver, $3 key.
DELETE FROM notifications
WHERE tenant_id = $1 AND receiver = $2 AND group_key = $3
  AND NOT EXISTS (SELECT FROM notification_settings s
                  WHERE s.tenant_id = $1
                    AND s.document -> 'receivers' @> jsonb_build_array(jsonb_build_object('name', $2::text)))

-- name: left
-- Whether a group has alerts: $1 tenant, $2 receiver, $3 key.
SELECT EXISTS (SELECT FROM notifications WHERE tenant_id = $1 AND receiver = $2 AND group_key = $3)
