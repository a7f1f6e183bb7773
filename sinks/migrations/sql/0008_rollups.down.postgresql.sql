DROP INDEX samples_ts;
DROP VIEW samples_1h_tenant, samples_5m_tenant, samples_1m_tenant;
DROP VIEW samples_1h, samples_5m, samples_1m;
DROP TABLE rollup_1h, rollup_5m, rollup_1m;
