-- name: list_alerts
-- Alerts by their newest change, the newest first: in states $1 (NULL: in any), of rule $2 (or NULL), level $3
-- (or NULL), changed from $4 on (or NULL), with labels $5 (or NULL), after ($6, $7).
SELECT alert_id, rule, fingerprint, labels::text, state, level, value, threshold, condition, annotations::text, episode,
       since, fired_at, resolved_at, stale, acknowledged_at, acknowledged_by, acknowledgement, updated_at
FROM alerts_tenant
WHERE ($1::text[] IS NULL OR state = ANY($1))
  AND ($2::text IS NULL OR rule = $2)
  AND ($3::text IS NULL OR level = $3)
  AND ($4::timestamptz IS NULL OR since >= $4)
  AND ($5::jsonb IS NULL OR labels @> $5)
  AND ($6::timestamptz IS NULL OR (since, alert_id) < ($6, $7::text))
ORDER BY since DESC, alert_id DESC
LIMIT $8;

-- name: get_alert
SELECT alert_id, rule, fingerprint, labels::text, state, level, value, threshold, condition, annotations::text, episode,
       since, fired_at, resolved_at, stale, acknowledged_at, acknowledged_by, acknowledgement, updated_at
FROM alerts_tenant
WHERE alert_id = $1;

-- name: named_alerts
-- Alerts whose id begins with $1; more than one is one too many.
SELECT alert_id FROM alerts_tenant WHERE alert_id ^@ $1 LIMIT 2;

-- name: acknowledge_alert
-- $2 takes care of alert $1, which is not over, with comment $3.
UPDATE alerts_tenant
SET acknowledged_at = now(), acknowledged_by = $2, acknowledgement = $3
WHERE alert_id = $1 AND state IN ('pending', 'firing')
RETURNING alert_id, rule, fingerprint, labels::text, state, level, value, threshold, condition, annotations::text,
          episode, since, fired_at, resolved_at, stale, acknowledged_at, acknowledged_by, acknowledgement, updated_at;

-- name: alert_history
-- Changes, the newest first: of alert $1 (or NULL), rule $2 (or NULL), to states $3 (or NULL), from $4 on and before $5
-- (or NULL), after ($6, $7).
SELECT transition_id, alert_id, rule, labels::text, at, was, state, was_level, level, value, threshold, episode, number,
       rule_version, stale, recorded_at
FROM alert_history_tenant
WHERE ($1::text IS NULL OR alert_id = $1)
  AND ($2::text IS NULL OR rule = $2)
  AND ($3::text[] IS NULL OR state = ANY($3))
  AND ($4::timestamptz IS NULL OR at >= $4)
  AND ($5::timestamptz IS NULL OR at < $5)
  AND ($6::timestamptz IS NULL OR (at, transition_id) < ($6, $7::text))
ORDER BY at DESC, transition_id DESC
LIMIT $8;

-- name: silences_on
-- Those that are on at $1.
SELECT silence_id, matchers FROM silences_tenant WHERE starts_at <= $1 AND expires_at > $1 ORDER BY silence_id;

-- name: list_silences
-- The longest first: in states $2 (NULL: in any) at $1, after ($3, $4).
SELECT silence_id, matchers, starts_at, expires_at, author, comment, version, created_at, updated_at
FROM silences_tenant
WHERE ($2::text[] IS NULL
       OR CASE WHEN expires_at <= $1 THEN 'expired' WHEN starts_at > $1 THEN 'pending' ELSE 'active' END = ANY($2))
  AND ($3::timestamptz IS NULL OR (expires_at, silence_id) < ($3, $4::uuid))
ORDER BY expires_at DESC, silence_id DESC
LIMIT $5;

-- name: get_silence
SELECT silence_id, matchers, starts_at, expires_at, author, comment, version, created_at, updated_at
FROM silences_tenant
WHERE silence_id = $1;

-- name: hold_silence
-- As get_silence; nobody changes it until the transaction ends.
SELECT silence_id, matchers, starts_at, expires_at, author, comment, version, created_at, updated_at
FROM silences_tenant
WHERE silence_id = $1
FOR UPDATE;

-- name: create_silence
-- No row when there are $6 already that have not expired by $7.
INSERT INTO silences_tenant (matchers, starts_at, expires_at, author, comment)
SELECT $1, $2, $3, $4, $5
WHERE (SELECT count(*) FROM silences_tenant WHERE expires_at > $7) < $6
RETURNING silence_id, matchers, starts_at, expires_at, author, comment, version, created_at, updated_at;

-- name: replace_silence
UPDATE silences_tenant
SET matchers = $2, starts_at = $3, expires_at = $4, author = $5, comment = $6, version = version + 1, updated_at = now()
WHERE silence_id = $1
RETURNING silence_id, matchers, starts_at, expires_at, author, comment, version, created_at, updated_at;

-- name: expire_silence
-- Ends it at $2, unless it has ended.
UPDATE silences_tenant
SET starts_at = least(starts_at, $2), expires_at = $2, version = version + 1, updated_at = now()
WHERE silence_id = $1 AND expires_at > $2
RETURNING silence_id, matchers, starts_at, expires_at, author, comment, version, created_at, updated_at;
