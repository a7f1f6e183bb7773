-- Aggregates a run anew and returns the number of rows of k6_aggregates written; 0 once its raw points are
-- deleted, for then the rows that are there are all that is left of the run.
CREATE OR REPLACE FUNCTION aggregate_execution(execution uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
-- Small on purpose: runs that fit into the processor's cache sort 10M points in 5 s, 128 MB takes 10.
SET work_mem = '8MB'
-- Points stored a moment ago have no statistics: the planner takes them for a handful, and reads all
-- of them once for each series.
SET enable_nestloop = off
-- The plan is one long sort: compiling it costs more than it gains.
SET jit = off
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    deleted_at timestamptz;
    written bigint;
    -- k6's own, for a run whose runners died before they told the types.
    trends CONSTANT text[] := ARRAY['http_req_duration', 'http_req_blocked', 'http_req_connecting',
        'http_req_tls_handshaking', 'http_req_sending', 'http_req_waiting', 'http_req_receiving',
        'iteration_duration', 'group_duration', 'ws_connecting', 'ws_session_duration', 'ws_ping',
        'grpc_req_duration'];
    host CONSTANT text := '(?i)^[a-z][a-z0-9+.-]*://(?:[^/?#@]*@)?(\[[^]]*\]|[^/?#:]+)';
BEGIN
    -- Locked, so that a retry waits for the attempt it replaces and for a cleanup.
    SELECT r.raw_deleted_at INTO deleted_at FROM public.runs r WHERE r.execution_id = execution FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'There is no run %: its started event has not been handled.', execution
            USING ERRCODE = 'no_data_found';
    END IF;
    IF deleted_at IS NOT NULL THEN
        RETURN 0;
    END IF;
    DELETE FROM public.k6_aggregates a WHERE a.execution_id = execution;
    DELETE FROM public.run_checks c WHERE c.execution_id = execution;
    DELETE FROM public.run_errors e WHERE e.execution_id = execution;
    -- Points are sorted once, by metric, endpoint, second and value: what falls into a second is then an
    -- array to read percentiles from, and wider levels sort few or half-sorted values. Numbers stand for
    -- metric and endpoint while sorting: the labels themselves take three times as long.
    EXECUTE format($q$
        WITH seen AS (
            SELECT p.series_id, count(*) AS n, count(*) FILTER (WHERE p.value <> 0) AS nonzero,
                   min(p.ts) AS first_at, max(p.ts) AS last_at
            FROM %1$s p
            GROUP BY p.series_id
        ),
        numbered AS MATERIALIZED (
            SELECT s.series_id, s.name AS metric_name, s.labels, seen.n, seen.nonzero, seen.first_at, seen.last_at,
                   CASE WHEN r.metrics ? s.name THEN r.metrics->>s.name = 'trend' ELSE s.name = ANY ($2) END AS trend,
                   dense_rank() OVER (ORDER BY s.name)::integer AS metric,
                   dense_rank() OVER (
                       ORDER BY s.name, s.labels->>'name', s.labels->>'method', s.labels->>'status'
                   )::integer AS endpoint
            FROM seen
            JOIN public.series s USING (series_id)
            -- Points that another tenant sent under this execution id stay out, and fail the counts.
            JOIN public.runs r ON r.execution_id = $1 AND r.tenant_id = s.tenant_id
        ),
        endpoints AS MATERIALIZED (
            SELECT metric, endpoint, metric_name, trend, min(labels->>'name') AS name,
                   min(labels->>'method') AS method, min(labels->>'status') AS status,
                   min(coalesce(labels->>'domain', lower(substring(labels->>'url' FROM $3)),
                       lower(substring(labels->>'name' FROM $3)))) AS domain
            FROM numbered
            GROUP BY metric, endpoint, metric_name, trend
        ),
        metrics AS MATERIALIZED (
            SELECT DISTINCT metric, metric_name, trend FROM endpoints
        ),
        checks AS (
            INSERT INTO public.run_checks (execution_id, group_name, check_name, passes, fails)
            SELECT $1, coalesce(labels->>'group', ''), coalesce(labels->>'check', ''), sum(nonzero), sum(n - nonzero)
            FROM numbered
            WHERE metric_name = 'checks'
            GROUP BY 2, 3
        ),
        errors AS (
            INSERT INTO public.run_errors
                (execution_id, name, method, status, error_code, error, n, first_at, last_at)
            SELECT $1, coalesce(labels->>'name', ''), coalesce(labels->>'method', ''), coalesce(labels->>'status', ''),
                   coalesce(labels->>'error_code', ''), coalesce(labels->>'error', ''),
                   sum(n), min(first_at), max(last_at)
            FROM numbered
            WHERE metric_name = 'http_reqs' AND (labels ? 'error_code' OR labels->>'status' ~ '^(0|[4-9]\d\d)$')
            GROUP BY 2, 3, 4, 5, 6
        ),
        buckets AS MATERIALIZED (
            SELECT e.metric, e.endpoint, to_timestamp(c.cell & 4294967295) AS second, c.sum, c.values
            FROM (
                -- Endpoint and second in one number: sorted by two, nearly all points would be compared by both.
                SELECT d.endpoint::bigint << 32 | floor(date_part('epoch', p.ts))::bigint AS cell,
                       sum(p.value) AS sum, array_agg(p.value ORDER BY p.value) AS values
                FROM %1$s p
                JOIN numbered d USING (series_id)
                GROUP BY cell
            ) AS c
            JOIN endpoints e ON e.endpoint = (c.cell >> 32)::integer
        ),
        wide AS (
            SELECT b.metric, b.endpoint, NULL::timestamptz AS second, NULL::text AS status, NULL::bytea AS sketch,
                   count(*) AS n, sum(v) AS sum, min(v) AS min, max(v) AS max,
                   percentile_cont(ARRAY[0.5, 0.9, 0.95, 0.99]) WITHIN GROUP (ORDER BY v) AS percentiles
            FROM buckets b CROSS JOIN unnest(b.values) AS v
            GROUP BY GROUPING SETS ((b.metric, b.endpoint), (b.metric))
            UNION ALL
            SELECT b.metric, NULL, b.second, NULL,
                   -- A table of classes for each second: one for all would not stay in the processor's cache.
                   CASE WHEN m.trend THEN (
                       SELECT string_agg(int4send(c.key) || int8send(c.n), ''::bytea ORDER BY c.key)
                       FROM (
                           SELECT public.sketch_key(v) AS key, count(*) AS n FROM unnest(b.values) AS v GROUP BY key
                       ) AS c
                   ) END,
                   b.n, b.sum, b.min, b.max, b.percentiles
            FROM (
                SELECT b.metric, b.second, array_agg(v) AS values, count(*) AS n, sum(v) AS sum, min(v) AS min,
                       max(v) AS max,
                       percentile_cont(ARRAY[0.5, 0.9, 0.95, 0.99]) WITHIN GROUP (ORDER BY v) AS percentiles
                -- Whole seconds are sorted, which are some hundred times fewer than points.
                FROM (SELECT * FROM buckets ORDER BY metric, second) b CROSS JOIN unnest(b.values) AS v
                GROUP BY b.metric, b.second
            ) b
            JOIN metrics m USING (metric)
            UNION ALL
            SELECT b.metric, NULL, b.second, e.status, NULL, count(*), sum(v), min(v), max(v),
                   percentile_cont(ARRAY[0.5, 0.9, 0.95, 0.99]) WITHIN GROUP (ORDER BY v)
            FROM buckets b
            JOIN endpoints e USING (endpoint)
            CROSS JOIN unnest(b.values) AS v
            WHERE e.metric_name = 'http_reqs' AND e.status IS NOT NULL
            GROUP BY b.metric, b.second, e.status
        ),
        classes AS MATERIALIZED (
            SELECT b.metric, b.endpoint, public.sketch_key(v) AS key, count(*) AS n
            FROM buckets b
            JOIN metrics m USING (metric)
            CROSS JOIN unnest(b.values) AS v
            WHERE m.trend
            GROUP BY b.metric, b.endpoint, key
        ),
        sketches AS (
            SELECT metric, endpoint, string_agg(int4send(key) || int8send(n), ''::bytea ORDER BY key) AS sketch
            FROM (
                SELECT metric, endpoint, key, n FROM classes
                UNION ALL
                SELECT metric, 0, key, sum(n)::bigint FROM classes GROUP BY metric, key
            ) AS c
            GROUP BY metric, endpoint
        )
        INSERT INTO public.k6_aggregates (execution_id, kind, bucket, metric, name, method, status,
            n, sum, min, max, avg, p50, p90, p95, p99, domain, sketch)
        SELECT $1, 'bucket', b.second, e.metric_name, e.name, e.method, e.status,
               cardinality(b.values), b.sum, b.values[1], b.values[cardinality(b.values)],
               b.sum / cardinality(b.values),
               public.sorted_percentile(b.values, 0.5), public.sorted_percentile(b.values, 0.9),
               public.sorted_percentile(b.values, 0.95), public.sorted_percentile(b.values, 0.99), e.domain,
               CASE WHEN e.trend THEN (
                   SELECT string_agg(int4send(c.key) || int8send(c.n), ''::bytea ORDER BY c.key)
                   FROM (
                       SELECT public.sketch_key(v) AS key, count(*) AS n FROM unnest(b.values) AS v GROUP BY key
                   ) AS c
               ) END
        -- In the order of the index, which takes them twice as fast.
        FROM (SELECT * FROM buckets ORDER BY endpoint, second) b
        JOIN endpoints e USING (endpoint)
        UNION ALL
        SELECT $1, CASE WHEN w.endpoint IS NOT NULL THEN 'endpoint' WHEN w.second IS NOT NULL THEN 'total' ELSE 'summary' END,
               w.second, m.metric_name, e.name, e.method, coalesce(e.status, w.status),
               w.n, w.sum, w.min, w.max, w.sum / w.n,
               w.percentiles[1], w.percentiles[2], w.percentiles[3], w.percentiles[4], e.domain,
               coalesce(w.sketch, k.sketch)
        FROM wide w
        JOIN metrics m USING (metric)
        LEFT JOIN endpoints e USING (endpoint)
        -- 0 is the whole metric.
        LEFT JOIN sketches k ON w.second IS NULL AND k.metric = w.metric AND k.endpoint = coalesce(w.endpoint, 0)
        -- A metric without any of the three labels has no endpoint to be summed up by.
        WHERE w.endpoint IS NULL OR coalesce(e.name, e.method, e.status) IS NOT NULL
    $q$, public.raw_points(execution)) USING execution, trends, host;
    GET DIAGNOSTICS written = ROW_COUNT;
    RETURN written;
END
$$;

CREATE OR REPLACE VIEW sketches_1h AS
SELECT bucket, series_id, classes, n
FROM sketch_1h
WHERE bucket < rollup_until('sketch')
UNION ALL
SELECT bucket, series_id, string_agg(int4send(key) || int8send(n), ''::bytea ORDER BY key), sum(n)::bigint
FROM (
    SELECT date_bin('1 hour', ts, 'epoch') AS bucket, series_id, sketch_key(v_num) AS key, count(*) AS n
    FROM samples
    WHERE ts >= rollup_until('sketch') AND v_num IS NOT NULL
    GROUP BY 1, 2, 3
) AS head
GROUP BY bucket, series_id;
