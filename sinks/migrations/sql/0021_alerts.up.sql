-- Alerts as their transitions leave them, what people do about them, and who was told.

CREATE TABLE alerts (
    alert_id text COLLATE "C" PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    rule text COLLATE "C" NOT NULL,
    fingerprint text COLLATE "C" NOT NULL,
    labels jsonb NOT NULL,
    state text NOT NULL CHECK (state IN ('inactive', 'pending', 'firing', 'resolved')),
    level text NOT NULL CHECK (level IN ('warning', 'critical')),
    value double precision,
    threshold double precision,
    condition text NOT NULL,
    annotations jsonb NOT NULL,
    episode timestamptz NOT NULL,
    number integer NOT NULL,
    since timestamptz NOT NULL,
    fired_at timestamptz,
    resolved_at timestamptz,
    stale boolean NOT NULL,
    acknowledged_at timestamptz,
    acknowledged_by text,
    acknowledgement text,
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant_id, rule, fingerprint)
);
COMMENT ON TABLE alerts IS 'One row an alert, as its newest transition leaves it.';
COMMENT ON COLUMN alerts.alert_id IS 'Hash of tenant, rule and fingerprint.';
COMMENT ON COLUMN alerts.episode IS 'When the condition began to hold. With number it orders transitions: an older one changes nothing.';
COMMENT ON COLUMN alerts.since IS 'Event time of the newest transition.';
COMMENT ON COLUMN alerts.acknowledged_at IS 'Of this episode: the next one is nobody''s yet.';
CREATE INDEX alerts_since ON alerts (tenant_id, since DESC, alert_id DESC);
CREATE INDEX alerts_firing ON alerts (tenant_id) WHERE state = 'firing';

CREATE TABLE alert_history (
    transition_id text COLLATE "C" PRIMARY KEY,
    alert_id text COLLATE "C" NOT NULL REFERENCES alerts ON DELETE CASCADE,
    tenant_id uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    at timestamptz NOT NULL,
    was text NOT NULL,
    state text NOT NULL,
    was_level text,
    level text NOT NULL,
    value double precision,
    threshold double precision,
    episode timestamptz NOT NULL,
    number integer NOT NULL,
    rule_version bigint NOT NULL,
    stale boolean NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE alert_history IS 'Every transition, once.';
CREATE INDEX alert_history_at ON alert_history (tenant_id, at DESC, transition_id DESC);
CREATE INDEX alert_history_alert ON alert_history (alert_id, at DESC, transition_id DESC);

CREATE TABLE silences (
    silence_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    matchers text[] NOT NULL CHECK (cardinality(matchers) > 0),
    starts_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    author text NOT NULL,
    comment text NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CHECK (expires_at >= starts_at)
);
COMMENT ON TABLE silences IS 'While one is on, nobody is told of alerts that all its matchers match.';
CREATE INDEX silences_expiry ON silences (tenant_id, expires_at DESC, silence_id DESC);

CREATE TABLE notification_settings (
    tenant_id uuid PRIMARY KEY REFERENCES tenants ON DELETE CASCADE,
    document jsonb NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE notification_settings IS 'Receivers and routes of a tenant, as headrace notifications apply stored them. Holds references to secrets, no secret.';

CREATE TABLE notifications (
    tenant_id uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    receiver text COLLATE "C" NOT NULL,
    group_key text COLLATE "C" NOT NULL,
    alert_id text COLLATE "C" NOT NULL REFERENCES alerts ON DELETE CASCADE,
    grouping jsonb NOT NULL,
    told_episode timestamptz,
    told_number integer,
    told_level text,
    told_at timestamptz,
    PRIMARY KEY (tenant_id, receiver, group_key, alert_id)
);
COMMENT ON TABLE notifications IS 'Alerts that a receiver has to be told of, or was told fire: a row goes when it was told that the alert resolved.';
COMMENT ON COLUMN notifications.told_episode IS 'The newest transition it was told of; NULL: of none yet.';
CREATE INDEX notifications_alert ON notifications (alert_id);

CREATE VIEW alerts_tenant WITH (security_barrier) AS
SELECT alert_id, rule, fingerprint, labels, state, level, value, threshold, condition, annotations,
       episode, since, fired_at, resolved_at, stale, acknowledged_at, acknowledged_by, acknowledgement, updated_at
FROM alerts
WHERE tenant_id = current_tenant();
CREATE VIEW alert_history_tenant WITH (security_barrier) AS
SELECT h.transition_id, h.alert_id, a.rule, a.labels, h.at, h.was, h.state, h.was_level, h.level, h.value, h.threshold,
       h.episode, h.number, h.rule_version, h.stale, h.recorded_at
FROM alert_history h
JOIN alerts a USING (alert_id)
WHERE h.tenant_id = (SELECT current_tenant());
CREATE VIEW silences_tenant WITH (security_barrier) AS
SELECT * FROM silences WHERE tenant_id = current_tenant()
WITH LOCAL CHECK OPTION;
ALTER VIEW silences_tenant ALTER COLUMN tenant_id SET DEFAULT current_tenant();

GRANT SELECT ON alerts_tenant, alert_history_tenant, silences_tenant TO headrace_reader;
GRANT SELECT, UPDATE (acknowledged_at, acknowledged_by, acknowledgement) ON alerts_tenant TO headrace_editor;
GRANT SELECT, INSERT (matchers, starts_at, expires_at, author, comment),
    UPDATE (matchers, starts_at, expires_at, author, comment, version, updated_at)
    ON silences_tenant TO headrace_editor;
GRANT SELECT, INSERT, UPDATE ON alerts TO headrace_writer;
GRANT SELECT, INSERT ON alert_history TO headrace_writer;
GRANT SELECT ON silences, notification_settings TO headrace_writer;
GRANT SELECT, INSERT, UPDATE, DELETE ON notifications TO headrace_writer;
