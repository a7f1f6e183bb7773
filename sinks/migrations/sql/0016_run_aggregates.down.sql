CREATE OR REPLACE FUNCTION cleanup_execution(execution uuid) RETURNS void
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
    -- All three levels from one sort by metric, endpoint and second. Numbers stand for metric and
    -- endpoint while sorting: the labels themselves take three times as long.
    EXECUTE format($q$
        WITH numbered AS (
            SELECT s.series_id,
                   dense_rank() OVER (ORDER BY s.name)::integer AS metric,
                   dense_rank() OVER (
                       ORDER BY s.name, s.labels->>'name', s.labels->>'method', s.labels->>'status'
                   )::integer AS endpoint
            FROM (SELECT DISTINCT p.series_id FROM %1$s p) seen
            JOIN public.series s USING (series_id)
            -- Points that another tenant sent under this execution id stay out, and fail the counts.
            WHERE s.tenant_id = (SELECT r.tenant_id FROM public.runs r WHERE r.execution_id = $1)
        ),
        levels AS (
            SELECT grouping(d.endpoint, t.second) AS level, d.metric, d.endpoint, t.second,
                   min(d.series_id) AS example, count(*) AS n, sum(p.value) AS sum,
                   min(p.value) AS min, max(p.value) AS max,
                   percentile_cont(ARRAY[0.5, 0.9, 0.95, 0.99]) WITHIN GROUP (ORDER BY p.value) AS percentiles
            FROM %1$s p
            JOIN numbered d USING (series_id)
            CROSS JOIN LATERAL (VALUES (date_bin('1 second', p.ts, 'epoch'))) AS t (second)
            GROUP BY GROUPING SETS ((d.metric, d.endpoint, t.second), (d.metric, d.endpoint), (d.metric))
        )
        INSERT INTO public.k6_aggregates
        SELECT $1, (ARRAY['bucket', 'endpoint', NULL, 'summary'])[l.level + 1], l.second, s.name,
               e.labels->>'name', e.labels->>'method', e.labels->>'status',
               l.n, l.sum, l.min, l.max, l.sum / l.n,
               l.percentiles[1], l.percentiles[2], l.percentiles[3], l.percentiles[4]
        FROM levels l
        JOIN public.series s ON s.series_id = l.example
        LEFT JOIN public.series e ON e.series_id = l.example AND l.endpoint IS NOT NULL
        -- A metric without any of the three labels has no endpoint to be summed up by.
        WHERE l.level <> 1 OR e.labels ?| ARRAY['name', 'method', 'status']
    $q$, public.raw_points(execution)) USING execution;
    GET DIAGNOSTICS written = ROW_COUNT;
    RETURN written;
END
$$;
DROP FUNCTION sorted_percentile(double precision[], double precision);
DROP TRIGGER drop_aggregates ON runs;
DROP FUNCTION drop_aggregates();
ALTER TABLE k6_aggregates
    ADD CONSTRAINT k6_aggregates_execution_id_fkey FOREIGN KEY (execution_id) REFERENCES runs ON DELETE CASCADE;
COMMENT ON COLUMN runs.raw_deleted_at IS 'Set with the deletion of the raw points; from then on the aggregates are final.';
ALTER TABLE run_ledger DROP COLUMN heard_at;
