-- What happens to a run's raw points once they are all stored: counted, aggregated, judged, deleted.
-- raw_points(execution), the only part that knows the storage mode, is in the mode's own file.
--
-- Owner's rights, because a partition grants nothing to the writer's role.

-- The rows of k6_aggregates for one run, from one sort of its points by metric, endpoint and second.
--
-- A function of its own that returns rows, because neither INSERT … SELECT nor SELECT … INTO runs in
-- parallel and RETURN QUERY does. Numbers stand for metric and endpoint while sorting: comparing the
-- labels themselves took three times as long.
CREATE FUNCTION aggregate_rows(execution uuid) RETURNS TABLE (
    kind text, bucket timestamptz, metric text, name text, method text, status text,
    n bigint, sum double precision, min double precision, max double precision, percentiles double precision[]
)
LANGUAGE plpgsql
-- 10M points sort in 128 MB a process with one spill; the default of 4 MB doubles the time.
SET work_mem = '128MB'
-- The plan is one long sort: compiling it costs more than it gains.
SET jit = off
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    series_ids bigint[];
    metrics bigint[];
    endpoints bigint[];
BEGIN
    EXECUTE format($q$
        SELECT array_agg(series_id), array_agg(metric), array_agg(endpoint)
        FROM (
            SELECT s.series_id,
                   min(s.series_id) OVER (PARTITION BY s.name) AS metric,
                   min(s.series_id) OVER (
                       PARTITION BY s.name, s.labels->>'name', s.labels->>'method', s.labels->>'status'
                   ) AS endpoint
            FROM (SELECT DISTINCT p.series_id FROM %s p) seen
            JOIN public.series s USING (series_id)
            -- Points that another tenant sent under this execution id stay out, and fail the counts.
            WHERE s.tenant_id = (SELECT r.tenant_id FROM public.runs r WHERE r.execution_id = $1)
        ) numbered
    $q$, public.raw_points(execution)) INTO series_ids, metrics, endpoints USING execution;

    RETURN QUERY EXECUTE format($q$
        WITH levels AS (
            SELECT grouping(d.endpoint, t.second) AS level, d.metric AS m, d.endpoint AS e, t.second AS s,
                   count(*) AS n, sum(p.value) AS sum, min(p.value) AS min, max(p.value) AS max,
                   percentile_cont(ARRAY[0.5, 0.9, 0.95, 0.99]) WITHIN GROUP (ORDER BY p.value) AS percentiles
            FROM %s p
            JOIN unnest($1, $2, $3) AS d (series_id, metric, endpoint) USING (series_id)
            CROSS JOIN LATERAL (VALUES (floor(date_part('epoch', p.ts))::bigint)) AS t (second)
            GROUP BY GROUPING SETS ((d.metric, d.endpoint, t.second), (d.metric, d.endpoint), (d.metric))
        )
        SELECT (ARRAY['bucket', 'endpoint', NULL, 'summary'])[l.level + 1],
               to_timestamp(l.s), m.name,
               e.labels->>'name', e.labels->>'method', e.labels->>'status',
               l.n, l.sum, l.min, l.max, l.percentiles
        FROM levels l
        JOIN public.series m ON m.series_id = l.m
        LEFT JOIN public.series e ON e.series_id = l.e
        -- A metric without any of the three labels has no endpoint to be summed up by.
        WHERE l.level <> 1 OR e.labels ?| ARRAY['name', 'method', 'status']
    $q$, public.raw_points(execution)) USING series_ids, metrics, endpoints;
END
$$;

-- Aggregates a run anew and returns the number of rows written; 0 once its raw points are deleted,
-- for then the rows that are there are all that is left of the run.
CREATE FUNCTION aggregate_execution(execution uuid) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    deleted_at timestamptz;
    written bigint;
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
    INSERT INTO public.k6_aggregates
    SELECT execution, r.kind, r.bucket, r.metric, r.name, r.method, r.status, r.n, r.sum, r.min, r.max, r.sum / r.n,
           r.percentiles[1], r.percentiles[2], r.percentiles[3], r.percentiles[4]
    FROM public.aggregate_rows(execution) r;
    GET DIAGNOSTICS written = ROW_COUNT;
    RETURN written;
END
$$;

-- Raw points there are, points that the ledger calls stored, points that the summaries hold.
CREATE FUNCTION execution_counts(execution uuid, OUT raw bigint, OUT stored bigint, OUT summarised bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    EXECUTE format('SELECT count(*) FROM %s p', public.raw_points(execution)) INTO raw;
    SELECT coalesce(sum(l.stored), 0) INTO stored FROM public.run_ledger l WHERE l.execution_id = execution;
    SELECT coalesce(sum(a.n), 0) INTO summarised
    FROM public.k6_aggregates a
    WHERE a.execution_id = execution AND a.kind = 'summary';
END
$$;

-- Deletes a run's raw points, if all of them are in its summaries and in the ledger; else raises.
-- Does nothing when they are deleted already.
CREATE FUNCTION cleanup_execution(execution uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    deleted_at timestamptz;
    counts record;
BEGIN
    SELECT r.raw_deleted_at INTO deleted_at FROM public.runs r WHERE r.execution_id = execution FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'There is no run %.', execution USING ERRCODE = 'no_data_found';
    END IF;
    IF deleted_at IS NOT NULL THEN
        RETURN;
    END IF;
    SELECT * INTO counts FROM public.execution_counts(execution);
    IF counts.raw <> counts.stored OR counts.raw <> counts.summarised THEN
        RAISE EXCEPTION 'Run % keeps its raw points: % are stored, the ledger says %, its summaries hold %.',
            execution, counts.raw, counts.stored, counts.summarised
            USING ERRCODE = 'integrity_constraint_violation',
                  HINT = 'Aggregate it again, or compare run_ledger with what its runners sent.';
    END IF;
    PERFORM public.drop_raw(execution);
    UPDATE public.runs SET raw_deleted_at = now() WHERE execution_id = execution;
END
$$;

-- Statistics over the points whose series has the metric's name and all of the tags: what thresholds
-- are evaluated on. One row a selection, numbered from 1; n = 0 where nothing matches.
-- Percentiles are computed for trends, the last value for gauges, as nothing else is asked for them.
CREATE FUNCTION execution_statistics(
    execution uuid, metrics text[], tags jsonb[], types text[], fractions double precision[]
) RETURNS TABLE (
    selection bigint, n bigint, sum double precision, min double precision, max double precision,
    nonzero bigint, last double precision, percentiles double precision[]
)
LANGUAGE plpgsql SECURITY DEFINER
SET work_mem = '128MB' SET jit = off SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    series_ids bigint[];
    selections bigint[];
BEGIN
    SELECT array_agg(s.series_id), array_agg(w.selection) INTO series_ids, selections
    FROM unnest(metrics, tags) WITH ORDINALITY AS w (metric, tags, selection)
    JOIN public.series s
      ON s.name = w.metric AND s.labels @> w.tags
     AND s.tenant_id = (SELECT r.tenant_id FROM public.runs r WHERE r.execution_id = execution);

    RETURN QUERY EXECUTE format($q$
        WITH chosen AS (
            SELECT d.selection, count(*) AS n, sum(p.value) AS sum, min(p.value) AS min, max(p.value) AS max,
                   count(*) FILTER (WHERE p.value <> 0) AS nonzero,
                   percentile_cont($4) WITHIN GROUP (ORDER BY p.value)
                       FILTER (WHERE $3[d.selection] = 'trend') AS percentiles
            FROM %1$s p
            JOIN unnest($1, $2) AS d (series_id, selection) USING (series_id)
            GROUP BY d.selection
        )
        SELECT w.selection, coalesce(c.n, 0), coalesce(c.sum, 0), c.min, c.max, coalesce(c.nonzero, 0),
               CASE WHEN w.type = 'gauge' THEN (
                   SELECT p.value
                   FROM %1$s p
                   JOIN unnest($1, $2) AS d (series_id, selection) USING (series_id)
                   WHERE d.selection = w.selection
                   ORDER BY p.ts DESC
                   LIMIT 1
               ) END,
               c.percentiles
        FROM unnest($3) WITH ORDINALITY AS w (type, selection)
        LEFT JOIN chosen c USING (selection)
        ORDER BY w.selection
    $q$, public.raw_points(execution)) USING series_ids, selections, types, fractions;
END
$$;

REVOKE ALL ON FUNCTION aggregate_rows(uuid), aggregate_execution(uuid), cleanup_execution(uuid), execution_counts(uuid),
    execution_statistics(uuid, text[], jsonb[], text[], double precision[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aggregate_execution(uuid), cleanup_execution(uuid), execution_counts(uuid),
    execution_statistics(uuid, text[], jsonb[], text[], double precision[]) TO headrace_writer;
