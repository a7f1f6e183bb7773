-- name: check
-- Fails unless the schema is there. Reads nothing.
SELECT FROM alerts, alert_history, silences, notifications, notification_settings WHERE false

-- name: record_alert
-- What a transition makes of its alert, unless that is past it already: $1 alert id, $2 tenant, $3 rule,
-- $4 fingerprint, $5 labels, $6 the state before, $7 state, $8 level, $9 value, $10 threshold, $11 condition,
-- $12 annotations, $13 episode, $14 number, $15 when, $16 stale.
INSERT INTO alerts AS a
    (alert_id, tenant_id, rule, fingerprint, labels, state, level, value, threshold, condition, annotations, episode,
     number, since, fired_at, resolved_at, stale)
SELECT $1, $2, $3, $4, $5::jsonb, $7, $8, $9, $10, $11, $12::jsonb, $13, $14, $15,
       CASE $7 WHEN 'firing' THEN $15::timestamptz END, CASE $7 WHEN 'resolved' THEN $15::timestamptz END, $16
-- The end of an alert that was deleted with its rule and its metric, or went with age, is nobody's.
WHERE $7 <> 'resolved'
    OR EXISTS (SELECT FROM alerts WHERE alert_id = $1)
    OR EXISTS (SELECT FROM rules WHERE tenant_id = $2 AND name = $3)
    OR EXISTS (SELECT FROM definitions WHERE tenant_id = $2 AND 'definition:' || name = $3)
ON CONFLICT (alert_id) DO UPDATE SET
    labels = excluded.labels,
    state = excluded.state,
    level = excluded.level,
    value = excluded.value,
    threshold = excluded.threshold,
    condition = excluded.condition,
    annotations = excluded.annotations,
    episode = excluded.episode,
    number = excluded.number,
    since = excluded.since,
    -- A change of level is no new fire.
    fired_at = CASE WHEN $6 = 'firing' AND a.episode = excluded.episode THEN a.fired_at ELSE excluded.fired_at END,
    resolved_at = CASE excluded.state WHEN 'resolved' THEN excluded.since WHEN 'firing' THEN NULL ELSE a.resolved_at END,
    stale = excluded.stale,
    acknowledged_at = CASE a.episode WHEN excluded.episode THEN a.acknowledged_at END,
    acknowledged_by = CASE a.episode WHEN excluded.episode THEN a.acknowledged_by END,
    acknowledgement = CASE a.episode WHEN excluded.episode THEN a.acknowledgement END,
    updated_at = now()
WHERE (excluded.episode, excluded.number) > (a.episode, a.number)

-- name: record_history
-- Keeps a transition: $1 its id, $2 alert id, $3 tenant, $4 when, $5 state before, $6 state, $7 level before, $8 level,
-- $9 value, $10 threshold, $11 episode, $12 number, $13 rule's version, $14 stale.
INSERT INTO alert_history (transition_id, alert_id, tenant_id, at, was, state, was_level, level, value, threshold,
                           episode, number, rule_version, stale)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14
WHERE EXISTS (SELECT FROM alerts WHERE alert_id = $2)
ON CONFLICT (transition_id) DO NOTHING
