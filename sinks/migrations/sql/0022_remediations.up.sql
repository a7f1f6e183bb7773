-- Playbooks, and what was done about which incident.

CREATE TABLE playbooks (
    tenant_id uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    name text COLLATE "C" NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    document jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, name, version)
);
COMMENT ON TABLE playbooks IS 'Every version that there was; the newest is run. Rows never change.';

CREATE TABLE remediations (
    remediation_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    rule text COLLATE "C" NOT NULL,
    fingerprint text NOT NULL,
    episode timestamptz NOT NULL,
    level text NOT NULL,
    labels jsonb NOT NULL,
    incident jsonb NOT NULL,
    playbook text NOT NULL,
    playbook_version integer,
    steps jsonb NOT NULL DEFAULT '[]',
    owner text NOT NULL,
    state text NOT NULL CHECK (state IN
        ('refused', 'planned', 'awaiting', 'running', 'verifying', 'succeeded', 'cancelled', 'rejected', 'escalated')),
    reason text,
    dry_run boolean NOT NULL,
    cancel_on_resolve boolean NOT NULL DEFAULT true,
    approver text,
    expires_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    began_at timestamptz,
    ended_at timestamptz,
    -- The incident: however often it is told of, by however many workers, there is one row.
    UNIQUE (tenant_id, rule, fingerprint, episode)
);
COMMENT ON COLUMN remediations.incident IS 'The transition that started it, but for its labels.';
COMMENT ON COLUMN remediations.steps IS 'The steps as they were when it was started: a playbook that changes meanwhile changes nothing.';
COMMENT ON COLUMN remediations.owner IS 'First run id of the workflow that works on it: no other may.';
COMMENT ON COLUMN remediations.began_at IS 'When the first step was let through: what cooldown and caps count.';
CREATE INDEX remediations_newest ON remediations (tenant_id, created_at DESC, remediation_id);
CREATE INDEX remediations_counted ON remediations (tenant_id, created_at)
    WHERE state <> 'refused' AND NOT dry_run;

CREATE TABLE remediation_steps (
    remediation_id uuid NOT NULL REFERENCES remediations ON DELETE CASCADE,
    step text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('step', 'undo', 'approval', 'escalation')),
    attempt integer NOT NULL,
    action text NOT NULL,
    actor text NOT NULL,
    input jsonb,
    output text,
    status text NOT NULL CHECK (status IN
        ('begun', 'succeeded', 'failed', 'skipped', 'planned', 'approved', 'rejected')),
    began_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz,
    PRIMARY KEY (remediation_id, kind, step, attempt)
);
COMMENT ON TABLE remediation_steps IS 'The audit trail: an attempt is written down before it is made.';
COMMENT ON COLUMN remediation_steps.input IS 'As it was filled in; secrets are references.';
COMMENT ON COLUMN remediation_steps.output IS 'Shortened, without secrets.';

CREATE TABLE remediation_pauses (
    pause_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id uuid REFERENCES tenants ON DELETE CASCADE,
    begins_at timestamptz NOT NULL DEFAULT now(),
    ends_at timestamptz NOT NULL DEFAULT 'infinity' CHECK (ends_at > begins_at),
    actor text NOT NULL,
    reason text NOT NULL DEFAULT ''
);
COMMENT ON TABLE remediation_pauses IS 'While one of these is on nothing is started and no step is begun; without a tenant: for all.';

-- Readers and editors meet only their own.
CREATE VIEW playbooks_tenant WITH (security_barrier) AS
SELECT * FROM playbooks WHERE tenant_id = current_tenant()
WITH LOCAL CHECK OPTION;
ALTER VIEW playbooks_tenant ALTER COLUMN tenant_id SET DEFAULT current_tenant();

CREATE VIEW remediations_tenant WITH (security_barrier) AS
SELECT remediation_id, rule, fingerprint, episode, level, labels, incident, playbook, playbook_version, state,
       reason, dry_run, approver, expires_at, created_at, began_at, ended_at
FROM remediations WHERE tenant_id = current_tenant();

CREATE VIEW remediation_steps_tenant WITH (security_barrier) AS
SELECT s.*
FROM remediation_steps s JOIN remediations r USING (remediation_id)
WHERE r.tenant_id = (SELECT current_tenant());

CREATE VIEW remediation_pauses_tenant WITH (security_barrier) AS
SELECT * FROM remediation_pauses WHERE tenant_id = current_tenant()
WITH LOCAL CHECK OPTION;
ALTER VIEW remediation_pauses_tenant ALTER COLUMN tenant_id SET DEFAULT current_tenant();

GRANT SELECT ON playbooks_tenant, remediations_tenant, remediation_steps_tenant, remediation_pauses_tenant
    TO headrace_reader, headrace_editor;
GRANT INSERT (name, version, document), DELETE ON playbooks_tenant TO headrace_editor;
GRANT INSERT (begins_at, ends_at, actor, reason), DELETE ON remediation_pauses_tenant TO headrace_editor;

GRANT SELECT, INSERT ON playbooks TO headrace_writer;
GRANT SELECT, INSERT, UPDATE ON remediations, remediation_steps TO headrace_writer;
GRANT SELECT, INSERT, DELETE ON remediation_pauses TO headrace_writer;
