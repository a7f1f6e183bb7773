-- Stored by refresh_rollup(); a partition a month.

CREATE TABLE rollup_1m (
    bucket timestamptz NOT NULL,
    series_id bigint NOT NULL,
    v_max double precision NOT NULL,
    v_min double precision NOT NULL,
    v_sum double precision NOT NULL,
    n bigint NOT NULL,
    PRIMARY KEY (series_id, bucket)
) PARTITION BY RANGE (bucket);
-- For the level above and for retention, which read by time alone.
CREATE INDEX rollup_1m_bucket ON rollup_1m USING brin (bucket) WITH (autosummarize = on);
INSERT INTO rollups (level) VALUES ('1m');
CREATE VIEW samples_1m AS
SELECT bucket, series_id, CASE WHEN abs(v_sum) > 1e-290 THEN v_sum / n ELSE 0 END AS v_avg, v_max, v_min, v_sum, n
FROM (
    SELECT bucket, series_id, v_max, v_min, v_sum, n
    FROM rollup_1m
    WHERE bucket < rollup_until('1m')
    UNION ALL
    SELECT date_bin('1 minute', ts, 'epoch'), series_id, max(v_num), min(v_num), sum(v_num), count(*)
    FROM samples
    WHERE ts >= rollup_until('1m') AND v_num IS NOT NULL
    GROUP BY 1, 2
) AS both_parts;

CREATE VIEW samples_1m_tenant WITH (security_barrier) AS
SELECT a.bucket, a.series_id, r.name, r.labels, a.v_avg, a.v_max, a.v_min, a.v_sum, a.n
FROM samples_1m a
JOIN series r USING (series_id)
WHERE r.tenant_id = current_tenant();

CREATE TABLE rollup_5m (
    bucket timestamptz NOT NULL,
    series_id bigint NOT NULL,
    v_max double precision NOT NULL,
    v_min double precision NOT NULL,
    v_sum double precision NOT NULL,
    n bigint NOT NULL,
    PRIMARY KEY (series_id, bucket)
) PARTITION BY RANGE (bucket);
-- For the level above and for retention, which read by time alone.
CREATE INDEX rollup_5m_bucket ON rollup_5m USING brin (bucket) WITH (autosummarize = on);
INSERT INTO rollups (level) VALUES ('5m');
CREATE VIEW samples_5m AS
SELECT bucket, series_id, CASE WHEN abs(v_sum) > 1e-290 THEN v_sum / n ELSE 0 END AS v_avg, v_max, v_min, v_sum, n
FROM (
    SELECT bucket, series_id, v_max, v_min, v_sum, n
    FROM rollup_5m
    WHERE bucket < rollup_until('5m')
    UNION ALL
    SELECT date_bin('5 minutes', bucket, 'epoch'), series_id, max(v_max), min(v_min), sum(v_sum), sum(n)::bigint
    FROM samples_1m
    WHERE bucket >= rollup_until('5m')
    GROUP BY 1, 2
) AS both_parts;

CREATE VIEW samples_5m_tenant WITH (security_barrier) AS
SELECT a.bucket, a.series_id, r.name, r.labels, a.v_avg, a.v_max, a.v_min, a.v_sum, a.n
FROM samples_5m a
JOIN series r USING (series_id)
WHERE r.tenant_id = current_tenant();

CREATE TABLE rollup_1h (
    bucket timestamptz NOT NULL,
    series_id bigint NOT NULL,
    v_max double precision NOT NULL,
    v_min double precision NOT NULL,
    v_sum double precision NOT NULL,
    n bigint NOT NULL,
    PRIMARY KEY (series_id, bucket)
) PARTITION BY RANGE (bucket);
-- For the level above and for retention, which read by time alone.
CREATE INDEX rollup_1h_bucket ON rollup_1h USING brin (bucket) WITH (autosummarize = on);
INSERT INTO rollups (level) VALUES ('1h');
CREATE VIEW samples_1h AS
SELECT bucket, series_id, CASE WHEN abs(v_sum) > 1e-290 THEN v_sum / n ELSE 0 END AS v_avg, v_max, v_min, v_sum, n
FROM (
    SELECT bucket, series_id, v_max, v_min, v_sum, n
    FROM rollup_1h
    WHERE bucket < rollup_until('1h')
    UNION ALL
    SELECT date_bin('1 hour', bucket, 'epoch'), series_id, max(v_max), min(v_min), sum(v_sum), sum(n)::bigint
    FROM samples_5m
    WHERE bucket >= rollup_until('1h')
    GROUP BY 1, 2
) AS both_parts;

CREATE VIEW samples_1h_tenant WITH (security_barrier) AS
SELECT a.bucket, a.series_id, r.name, r.labels, a.v_avg, a.v_max, a.v_min, a.v_sum, a.n
FROM samples_1h a
JOIN series r USING (series_id)
WHERE r.tenant_id = current_tenant();

GRANT SELECT ON samples_1m_tenant, samples_5m_tenant, samples_1h_tenant TO headrace_reader;

-- refresh_rollup reads a minute of all series: the index by series would read the whole day for it.
CREATE INDEX samples_ts ON samples USING brin (ts) WITH (pages_per_range = 32, autosummarize = on);
