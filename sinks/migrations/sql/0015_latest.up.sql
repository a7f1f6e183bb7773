-- The newest sample of each of these series of the tenant, those that have none left out.
--
-- Looked for from now backwards: within bounds that the planner sees, a day is a chunk or two; without them
-- it plans for every chunk there is, which takes longer than all the rest.
-- Of several samples at that time the same one in both storage modes. Found in two steps: sorted by more
-- than the time, a day's samples of the series would all be read.
CREATE FUNCTION latest_samples(ids bigint[])
RETURNS TABLE (
    series_id bigint, ts timestamptz, v_num double precision, v_bool boolean, v_text text
)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    silent bigint[];
    heard bigint[];
    since timestamptz;
    before timestamptz := 'infinity';
    one record;
BEGIN
    silent := ARRAY(
        SELECT r.series_id FROM public.series r
        WHERE r.series_id = ANY (ids) AND r.tenant_id = public.current_tenant()
    );
    FOREACH since IN ARRAY ARRAY[now() - interval '1 day', now() - interval '8 days', '-infinity'] LOOP
        EXIT WHEN cardinality(silent) = 0;
        heard := '{}';
        FOR one IN EXECUTE format($q$
            SELECT i.series_id, found.*
            FROM unnest($1) AS i (series_id)
            CROSS JOIN LATERAL (
                SELECT s.ts FROM public.samples s
                WHERE s.series_id = i.series_id AND s.ts >= %1$L AND s.ts < %2$L
                ORDER BY s.ts DESC LIMIT 1
            ) newest
            CROSS JOIN LATERAL (
                SELECT s.ts, s.v_num, s.v_bool, s.v_text FROM public.samples s
                WHERE s.series_id = i.series_id AND s.ts = newest.ts AND s.ts >= %1$L AND s.ts < %2$L
                ORDER BY s.v_num, s.v_bool, s.v_text COLLATE "C" LIMIT 1
            ) found
        $q$, since, before) USING silent
        LOOP
            series_id := one.series_id;
            ts := one.ts;
            v_num := one.v_num;
            v_bool := one.v_bool;
            v_text := one.v_text;
            heard := heard || one.series_id;
            RETURN NEXT;
        END LOOP;
        silent := ARRAY(SELECT unnest(silent) EXCEPT SELECT unnest(heard));
        before := since;
    END LOOP;
END
$$;
GRANT EXECUTE ON FUNCTION latest_samples(bigint[]) TO headrace_reader;
DROP VIEW latest_tenant;
