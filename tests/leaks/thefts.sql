-- Attempts of an editor in the intruder's tenant on what is the victim's. Each is refused, or returns no row.

-- name: delete_by_tenant
DELETE FROM definitions_tenant WHERE tenant_id = :victim RETURNING name;

-- name: change_by_tenant
UPDATE definitions_tenant SET unit = 'x' WHERE tenant_id = :victim RETURNING name;

-- name: revoke_by_tenant
UPDATE api_keys_tenant SET revoked_at = now() WHERE tenant_id = :victim RETURNING 1;

-- name: revoke_by_hash
UPDATE api_keys_tenant SET revoked_at = now() WHERE key_hash = :hash RETURNING 1;

-- name: define_for_another
INSERT INTO definitions_tenant (tenant_id, name, type, aggregation)
VALUES (:victim, 'x', 'gauge', 'avg') RETURNING name;

-- name: give_away_definitions
UPDATE definitions_tenant SET tenant_id = :victim RETURNING name;

-- name: give_away_keys
UPDATE api_keys_tenant SET tenant_id = :victim RETURNING 1;

-- name: make_a_key_for_another
INSERT INTO api_keys_tenant (tenant_id, key_hash, scopes)
VALUES (:victim, sha256('x'), '{read}') RETURNING 1;

-- name: take_a_definition
INSERT INTO definitions_tenant (tenant_id, name, type, aggregation)
VALUES (:victim, 'cpu_usage', 'gauge', 'avg')
ON CONFLICT (tenant_id, name) DO UPDATE SET tenant_id = :intruder RETURNING name;

-- name: take_a_key
INSERT INTO api_keys_tenant (key_hash, scopes) VALUES (:hash, '{read}')
ON CONFLICT (key_hash) DO UPDATE SET tenant_id = :intruder RETURNING 1;

-- name: revoke_by_conflict
INSERT INTO api_keys_tenant (key_hash, scopes) VALUES (:hash, '{read}')
ON CONFLICT (key_hash) DO UPDATE SET revoked_at = now() RETURNING 1;

-- name: merge_definitions
MERGE INTO definitions_tenant d USING (SELECT 'cpu_usage' AS name) s ON d.name = s.name AND d.tenant_id = :victim
WHEN MATCHED THEN UPDATE SET unit = 'x' RETURNING d.name;

-- name: pin_for_another
INSERT INTO baselines_tenant (tenant_id, test, name, execution_id)
VALUES (:victim, 'x', 'x', :execution) RETURNING name;

-- name: pin_anothers_run
INSERT INTO baselines_tenant (test, name, execution_id) VALUES ('x', 'x', :execution) RETURNING name;

-- name: move_a_pin_to_anothers_run
UPDATE baselines_tenant SET execution_id = :execution RETURNING name;

-- name: take_a_pin
INSERT INTO baselines_tenant (tenant_id, test, name, execution_id)
SELECT :victim, test, name, execution_id FROM baselines_tenant
ON CONFLICT (tenant_id, test, name) DO UPDATE SET execution_id = :execution RETURNING name;

-- name: unpin_by_tenant
DELETE FROM baselines_tenant WHERE tenant_id = :victim RETURNING name;

-- name: rule_over_another
INSERT INTO rules_tenant (tenant_id, name, document) VALUES (:victim, 'x', '{}') RETURNING name;

-- name: change_anothers_rule
UPDATE rules_tenant SET document = '{}' WHERE tenant_id = :victim RETURNING name;

-- name: give_away_rules
UPDATE rules_tenant SET tenant_id = :victim RETURNING name;

-- name: delete_anothers_rule
DELETE FROM rules_tenant WHERE tenant_id = :victim RETURNING name;

-- name: take_a_rule
INSERT INTO rules_tenant (tenant_id, name, document) VALUES (:victim, 'shared', '{}')
ON CONFLICT (tenant_id, name) DO UPDATE SET document = '{}' RETURNING name;
-- name: acknowledge_anothers
UPDATE alerts_tenant SET acknowledged_at = now(), acknowledged_by = 'me' WHERE alert_id = :alert RETURNING alert_id;

-- name: raise_an_alarm
INSERT INTO alerts_tenant (alert_id) VALUES ('x') RETURNING alert_id;

-- name: change_an_alarm
UPDATE alerts_tenant SET state = 'resolved' RETURNING alert_id;

-- name: silence_another
INSERT INTO silences_tenant (tenant_id, matchers, starts_at, expires_at, author, comment)
VALUES (:victim, '{a=b}', now(), now(), 'me', '') RETURNING silence_id;

-- name: give_away_silences
UPDATE silences_tenant SET tenant_id = :victim RETURNING silence_id;

-- name: end_anothers_silence
UPDATE silences_tenant SET expires_at = now() WHERE silence_id = :silence RETURNING silence_id;

-- name: take_a_silence
INSERT INTO silences_tenant (silence_id, matchers, starts_at, expires_at, author, comment)
VALUES (:silence, '{a=b}', now(), now(), 'me', '')
ON CONFLICT (silence_id) DO UPDATE SET tenant_id = :intruder RETURNING silence_id;
