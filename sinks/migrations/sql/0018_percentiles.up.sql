-- Percentiles: of whole runs without sorting them, which takes a seventh off the aggregation of 10M points; and of
-- sketches by a plan of before.

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
        -- Whole metrics and endpoints are never sorted: their values are counted by class, of which a few hold
        -- the ranks that percentiles lie between, and only what is in those is sorted: classes ascend as their
        -- values do. Endpoint 0 is the whole metric.
        classes AS MATERIALIZED (
            SELECT b.metric, b.endpoint, public.sketch_key(v) AS key, count(*) AS n, min(v) AS low, max(v) AS high
            FROM buckets b CROSS JOIN unnest(b.values) AS v
            GROUP BY b.metric, b.endpoint, key
        ),
        levels AS MATERIALIZED (
            SELECT metric, endpoint, key, n, low, high FROM classes
            UNION ALL
            SELECT metric, 0, key, sum(n)::bigint, min(low), max(high) FROM classes GROUP BY metric, key
        ),
        placed AS (
            SELECT l.*, (sum(n) OVER before - n)::bigint AS first, (sum(n) OVER whole)::bigint AS total
            FROM levels l
            WINDOW whole AS (PARTITION BY metric, endpoint), before AS (PARTITION BY metric, endpoint ORDER BY key)
        ),
        ranks AS MATERIALIZED (
            SELECT p.metric, p.endpoint, p.key, p.low, p.high, p.first, f.fraction, (p.total - 1) * f.fraction AS at, r.rank
            FROM placed p
            CROSS JOIN unnest(ARRAY[0.5, 0.9, 0.95, 0.99]::double precision[]) AS f (fraction)
            CROSS JOIN LATERAL (VALUES
                (floor((p.total - 1) * f.fraction)::bigint), (ceil((p.total - 1) * f.fraction)::bigint)
            ) AS r (rank)
            WHERE r.rank >= p.first AND r.rank < p.first + p.n
        ),
        sought AS MATERIALIZED (
            SELECT DISTINCT c.endpoint AS source, r.metric, r.endpoint, r.key, r.first
            FROM ranks r
            JOIN classes c ON c.metric = r.metric AND c.key = r.key AND r.endpoint IN (0, c.endpoint)
            WHERE r.low < r.high
        ),
        sorted AS (
            SELECT o.metric, o.endpoint, x.v,
                   o.first + row_number() OVER (PARTITION BY o.metric, o.endpoint, o.key ORDER BY x.v) - 1 AS rank
            FROM (
                SELECT b.endpoint, v, public.sketch_key(v) AS key FROM buckets b CROSS JOIN unnest(b.values) AS v
                -- Joined before it is unnested, a value would be compared with each class of its endpoint.
                OFFSET 0
            ) x
            JOIN sought o ON o.source = x.endpoint AND o.key = x.key
        ),
        percentiles AS (
            SELECT metric, endpoint, array_agg(low + (high - low) * (at - floor(at)) ORDER BY fraction) AS percentiles
            FROM (
                SELECT r.metric, r.endpoint, r.fraction, r.at,
                       min(coalesce(s.v, r.low)) AS low, max(coalesce(s.v, r.low)) AS high
                FROM ranks r
                LEFT JOIN sorted s ON s.metric = r.metric AND s.endpoint = r.endpoint AND s.rank = r.rank
                GROUP BY r.metric, r.endpoint, r.fraction, r.at
            ) AS p
            GROUP BY metric, endpoint
        ),
        wide AS (
            SELECT t.metric, t.endpoint, NULL::timestamptz AS second, NULL::text AS status, NULL::bytea AS sketch,
                   t.n, t.sum, t.min, t.max, p.percentiles
            FROM (
                SELECT metric, endpoint, sum(cardinality(values)) AS n, sum(sum) AS sum, min(values[1]) AS min,
                       max(values[cardinality(values)]) AS max
                FROM buckets
                GROUP BY GROUPING SETS ((metric, endpoint), (metric))
            ) AS t
            JOIN percentiles p ON p.metric = t.metric AND p.endpoint = coalesce(t.endpoint, 0)
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
        sketches AS (
            SELECT l.metric, l.endpoint, string_agg(int4send(key) || int8send(n), ''::bytea ORDER BY key) AS sketch
            FROM levels l
            JOIN metrics m USING (metric)
            WHERE m.trend
            GROUP BY l.metric, l.endpoint
        )
        INSERT INTO public.k6_aggregates (execution_id, kind, bucket, metric, name, method, status,
            n, sum, min, max, avg, p50, p90, p95, p99, domain, sketch)
        SELECT $1, 'bucket', b.second, b.metric_name, b.name, b.method, b.status,
               cardinality(b.values), b.sum, b.values[1], b.values[cardinality(b.values)],
               b.sum / cardinality(b.values),
               public.sorted_percentile(b.values, 0.5), public.sorted_percentile(b.values, 0.9),
               public.sorted_percentile(b.values, 0.95), public.sorted_percentile(b.values, 0.99), b.domain,
               CASE WHEN b.trend THEN (
                   SELECT string_agg(int4send(c.key) || int8send(c.n), ''::bytea ORDER BY c.key)
                   FROM (
                       SELECT public.sketch_key(v) AS key, count(*) AS n FROM unnest(b.values) AS v GROUP BY key
                   ) AS c
               ) END
        -- In the order of the index, which takes them twice as fast and stays half as large. Joined after it is
        -- sorted, it may come out in any.
        FROM (
            SELECT b.second, b.sum, b.values, e.metric_name, e.name, e.method, e.status, e.domain, e.trend
            FROM buckets b
            JOIN endpoints e USING (endpoint)
            ORDER BY b.endpoint, b.second
        ) b
        UNION ALL
        SELECT $1, CASE WHEN w.endpoint IS NOT NULL THEN 'endpoint' WHEN w.second IS NOT NULL THEN 'total' ELSE 'summary' END,
               w.second, m.metric_name, e.name, e.method, coalesce(e.status, w.status),
               w.n, w.sum, w.min, w.max, w.sum / w.n,
               w.percentiles[1], w.percentiles[2], w.percentiles[3], w.percentiles[4], e.domain,
               coalesce(w.sketch, k.sketch)
        FROM wide w
        JOIN metrics m USING (metric)
        LEFT JOIN endpoints e USING (endpoint)
        LEFT JOIN sketches k ON w.second IS NULL AND k.metric = w.metric AND k.endpoint = coalesce(w.endpoint, 0)
        -- A metric without any of the three labels has no endpoint to be summed up by.
        WHERE w.endpoint IS NULL OR coalesce(e.name, e.method, e.status) IS NOT NULL
    $q$, public.raw_points(execution)) USING execution, trends, host;
    GET DIAGNOSTICS written = ROW_COUNT;
    RETURN written;
END
$$;

-- Up to where sketches hold the samples is asked when a query runs: the sketch of an open hour grows, and a
-- plan made before that would count its last samples in the sketch, and again. What the planner is told (see
-- rollup_until) only keeps it from reading partitions.
CREATE OR REPLACE VIEW sketches_1h AS
SELECT bucket, series_id, classes, n
FROM sketch_1h
WHERE bucket < (SELECT until FROM rollups WHERE level = 'sketch')
UNION ALL
SELECT bucket, series_id, string_agg(int4send(key) || int8send(n), ''::bytea ORDER BY key), sum(n)::bigint
FROM (
    SELECT date_bin('1 hour', ts, 'epoch') AS bucket, series_id, sketch_key(v_num) AS key, count(*) AS n
    FROM samples
    WHERE ts >= rollup_until('sketch') AND ts >= (SELECT until FROM rollups WHERE level = 'sketch')
        AND v_num IS NOT NULL
    GROUP BY 1, 2, 3
) AS head
GROUP BY bucket, series_id;
