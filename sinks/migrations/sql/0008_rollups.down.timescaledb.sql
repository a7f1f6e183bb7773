DROP VIEW samples_1h_tenant, samples_5m_tenant, samples_1m_tenant;
DROP MATERIALIZED VIEW samples_1h;
DROP MATERIALIZED VIEW samples_5m;
DROP MATERIALIZED VIEW samples_1m;
