-- Continuous aggregates, read in real time; their policies follow the settings (headrace migrate).
-- Dividing what is next to nothing is an error (underflow): one tenant's would fail everybody's refresh.

CREATE MATERIALIZED VIEW samples_1m
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT time_bucket('1 minute', ts) AS bucket, series_id, CASE WHEN abs(sum(v_num)) > 1e-290 THEN sum(v_num) / count(v_num) ELSE 0 END AS v_avg,
       max(v_num) AS v_max, min(v_num) AS v_min, sum(v_num) AS v_sum, count(v_num) AS n
FROM samples
WHERE v_num IS NOT NULL
GROUP BY 1, 2
WITH NO DATA;
ALTER MATERIALIZED VIEW samples_1m SET (
    timescaledb.compress, timescaledb.compress_segmentby = 'series_id', timescaledb.compress_orderby = 'bucket'
);

CREATE VIEW samples_1m_tenant WITH (security_barrier) AS
SELECT a.bucket, a.series_id, r.name, r.labels, a.v_avg, a.v_max, a.v_min, a.v_sum, a.n
FROM samples_1m a
JOIN series r USING (series_id)
WHERE r.tenant_id = current_tenant();

CREATE MATERIALIZED VIEW samples_5m
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT time_bucket('5 minutes', bucket) AS bucket, series_id,
       CASE WHEN abs(sum(v_sum)) > 1e-290 THEN sum(v_sum) / sum(n)::double precision ELSE 0 END AS v_avg,
       max(v_max) AS v_max, min(v_min) AS v_min, sum(v_sum) AS v_sum, sum(n)::bigint AS n
FROM samples_1m
GROUP BY 1, 2
WITH NO DATA;
ALTER MATERIALIZED VIEW samples_5m SET (
    timescaledb.compress, timescaledb.compress_segmentby = 'series_id', timescaledb.compress_orderby = 'bucket'
);

CREATE VIEW samples_5m_tenant WITH (security_barrier) AS
SELECT a.bucket, a.series_id, r.name, r.labels, a.v_avg, a.v_max, a.v_min, a.v_sum, a.n
FROM samples_5m a
JOIN series r USING (series_id)
WHERE r.tenant_id = current_tenant();

CREATE MATERIALIZED VIEW samples_1h
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT time_bucket('1 hour', bucket) AS bucket, series_id,
       CASE WHEN abs(sum(v_sum)) > 1e-290 THEN sum(v_sum) / sum(n)::double precision ELSE 0 END AS v_avg,
       max(v_max) AS v_max, min(v_min) AS v_min, sum(v_sum) AS v_sum, sum(n)::bigint AS n
FROM samples_5m
GROUP BY 1, 2
WITH NO DATA;
ALTER MATERIALIZED VIEW samples_1h SET (
    timescaledb.compress, timescaledb.compress_segmentby = 'series_id', timescaledb.compress_orderby = 'bucket'
);

CREATE VIEW samples_1h_tenant WITH (security_barrier) AS
SELECT a.bucket, a.series_id, r.name, r.labels, a.v_avg, a.v_max, a.v_min, a.v_sum, a.n
FROM samples_1h a
JOIN series r USING (series_id)
WHERE r.tenant_id = current_tenant();

GRANT SELECT ON samples_1m_tenant, samples_5m_tenant, samples_1h_tenant TO headrace_reader;
