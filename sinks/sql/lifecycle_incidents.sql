-- name: old_alert_history
-- Transitions of episodes that ended before $1: how many, and the first of them.
SELECT count(*) AS rows, min(h.at) AS begin
FROM alert_history h
WHERE h.at < $1
  AND NOT EXISTS (SELECT FROM alerts a WHERE a.alert_id = h.alert_id AND a.episode = h.episode
                  AND a.state IN ('pending', 'firing'))
  AND NOT EXISTS (SELECT FROM alert_history n WHERE n.alert_id = h.alert_id AND n.episode = h.episode AND n.at >= $1)

-- name: delete_alert_history
-- Those, $2 at the most; an episode that this cuts in two goes on with the next.
DELETE FROM alert_history WHERE transition_id IN (
    SELECT h.transition_id
    FROM alert_history h
    WHERE h.at < $1
      AND NOT EXISTS (SELECT FROM alerts a WHERE a.alert_id = h.alert_id AND a.episode = h.episode
                      AND a.state IN ('pending', 'firing'))
      AND NOT EXISTS (SELECT FROM alert_history n WHERE n.alert_id = h.alert_id AND n.episode = h.episode AND n.at >= $1)
    ORDER BY h.at LIMIT $2
    FOR UPDATE OF h SKIP LOCKED
)

-- name: old_alerts
-- That are over, since before $1.
SELECT count(*) AS rows, min(since) AS begin FROM alerts WHERE state IN ('inactive', 'resolved') AND since < $1

-- name: delete_alerts
-- Those, $2 at the most, with what is still to be told of them.
DELETE FROM alerts WHERE alert_id IN (
    SELECT alert_id FROM alerts WHERE state IN ('inactive', 'resolved') AND since < $1
    ORDER BY since LIMIT $2
    FOR UPDATE SKIP LOCKED
)

-- name: old_silences
-- That expired before $1.
SELECT count(*) AS rows, min(expires_at) AS begin FROM silences WHERE expires_at < $1

-- name: delete_silences
DELETE FROM silences WHERE silence_id IN (
    SELECT silence_id FROM silences WHERE expires_at < $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
)

-- name: old_remediations
-- That ended before $1.
SELECT count(*) AS rows, min(ended_at) AS begin FROM remediations WHERE ended_at < $1

-- name: delete_remediations
-- Those, $2 at the most, with their steps.
DELETE FROM remediations WHERE remediation_id IN (
    SELECT remediation_id FROM remediations WHERE ended_at < $1 ORDER BY ended_at LIMIT $2 FOR UPDATE SKIP LOCKED
)

-- name: old_remediation_pauses
-- That were over before $1.
SELECT count(*) AS rows, min(ends_at) AS begin FROM remediation_pauses WHERE ends_at < $1

-- name: delete_remediation_pauses
DELETE FROM remediation_pauses WHERE pause_id IN (
    SELECT pause_id FROM remediation_pauses WHERE ends_at < $1 ORDER BY ends_at LIMIT $2 FOR UPDATE SKIP LOCKED
)

-- name: oldest
-- What ended first, of alerts and of remediations.
SELECT 'alerts' AS record, 'alert_history' AS part, (
    SELECT (SELECT max(n.at) FROM alert_history n WHERE n.alert_id = h.alert_id AND n.episode = h.episode)
    FROM alert_history h
    WHERE NOT EXISTS (SELECT FROM alerts a WHERE a.alert_id = h.alert_id AND a.episode = h.episode
                      AND a.state IN ('pending', 'firing'))
    ORDER BY h.at LIMIT 1
) AS ended
UNION ALL
SELECT 'remediations', 'remediations', (SELECT min(ended_at) FROM remediations)
