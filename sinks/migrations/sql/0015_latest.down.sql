DROP FUNCTION latest_samples(bigint[]);
CREATE VIEW latest_tenant WITH (security_barrier) AS
SELECT r.series_id, one.ts, one.v_num, one.v_bool, one.v_text
FROM series r
CROSS JOIN LATERAL (
    SELECT s.ts FROM samples s WHERE s.series_id = r.series_id ORDER BY s.ts DESC LIMIT 1
) newest
CROSS JOIN LATERAL (
    SELECT s.ts, s.v_num, s.v_bool, s.v_text
    FROM samples s
    WHERE s.series_id = r.series_id AND s.ts = newest.ts
    ORDER BY s.v_num, s.v_bool, s.v_text COLLATE "C"
    LIMIT 1
) one
WHERE r.tenant_id = (SELECT current_tenant());
GRANT SELECT ON latest_tenant TO headrace_reader;
