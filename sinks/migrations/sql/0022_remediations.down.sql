DROP VIEW remediation_steps_tenant, remediations_tenant, remediation_pauses_tenant, playbooks_tenant;
DROP TABLE remediation_pauses, remediation_steps, remediations, playbooks;
