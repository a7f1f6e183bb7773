-- name: define
-- $1 tenant, $2 its word: two definitions, two rules, and a rejection.
WITH ruled AS (
    INSERT INTO rules (tenant_id, name, document)
    SELECT $1, name, jsonb_build_object('name', name, 'metric', $2 || '.latency', 'function', 'value',
        'operator', '>', 'warning', 5, 'annotations', jsonb_build_object('summary', $2 || ' summary'))
    FROM (VALUES ('shared'), ($2 || '-rule')) AS r (name)
), defined AS (
    INSERT INTO definitions (tenant_id, name, display_name, description, unit, type, aggregation)
    SELECT $1, name, $2 || ' display', $2 || ' description', $2 || '-unit', type, aggregation
    FROM (VALUES ('cpu_usage', 'gauge', 'avg'), ($2 || '.latency', 'histogram', 'p95'))
        AS d (name, type, aggregation)
)
INSERT INTO rejections (tenant_id, reason, samples, last_name, last_labels)
VALUES ($1, 'too_many_series', 7, $2 || '.rejected', jsonb_build_object($2::text, $2::text));

-- name: name_run
-- $1 execution, $2 its tenant's word.
WITH totals AS (
    UPDATE k6_aggregates SET name = $2 || ' /items', p99 = $3, domain = $2 || '-domain'
    WHERE execution_id = $1 AND kind = 'endpoint'
), seconds AS (
    INSERT INTO k6_aggregates
    SELECT $1, kind, started_at, 'http_req_duration', $2 || name, NULL, NULL, 1, $3, $3, $3, $3, $3, $3, $3, $3,
           $2 || domain, int4send(sketch_key($3)) || int8send(1)
    FROM runs, (VALUES ('total', NULL, NULL), ('bucket', ' /items', '-domain')) AS k (kind, name, domain)
    WHERE execution_id = $1
), counted AS (
    UPDATE run_ledger SET topic = $2 || '-topic' WHERE execution_id = $1
), checked AS (
    INSERT INTO run_checks VALUES ($1, $2 || '-group', $2 || '-check', 7, 1)
), failed AS (
    INSERT INTO run_errors
    VALUES ($1, $2 || ' /items', 'GET', '500', '1500', $2 || '-error', 3, to_timestamp($3), to_timestamp($3))
), pinned AS (
    INSERT INTO baselines (tenant_id, test, name, execution_id)
    SELECT tenant_id, $2 || '-test', $2 || '-baseline', $1 FROM runs WHERE execution_id = $1
)
UPDATE runs
SET test = $2 || '-test', script = $2 || '.js', metrics = jsonb_build_object($2 || '_metric', 'trend'),
    tags = jsonb_build_object($2 || '-tag', $2), incomplete = $2 || '-runner'
WHERE execution_id = $1;

-- name: keep_raw
-- $1 execution, $2 its tenant's word, $3 a number, $4 when.
INSERT INTO k6_samples
SELECT $4, $1, series_id, $3 FROM series WHERE name = $2 || '.latency';

-- name: alarm
-- $1 tenant, $2 its word, $3 a number, $4 alert, $5 silence, $6 when: an alert that fires, how it came to, and a silence
-- of others.
WITH alarmed AS (
    INSERT INTO alerts (alert_id, tenant_id, rule, fingerprint, labels, state, level, value, threshold, condition,
                        annotations, episode, number, since, fired_at, stale)
    VALUES ($4, $1, $2 || '-rule', $2, jsonb_build_object('host', $2 || '-host'), 'firing', 'critical', $3, 1,
            $2 || '-condition', jsonb_build_object('summary', $2), $6, 1, $6, $6, false)
    RETURNING alert_id, tenant_id
), happened AS (
    INSERT INTO alert_history (transition_id, alert_id, tenant_id, at, was, state, level, value, episode, number,
                               rule_version, stale)
    SELECT reverse(alert_id), alert_id, tenant_id, $6, 'pending', 'firing', 'critical', $3, $6, 1, 1, false FROM alarmed
)
INSERT INTO silences (silence_id, tenant_id, matchers, starts_at, expires_at, author, comment)
VALUES ($5, $1, ARRAY['host=' || $2 || '-quiet'], $6, $6 + interval '10 years', $2 || '-author', $2 || '-comment');
