-- Rollups of the PostgreSQL mode: partitions by month, and the step that stores what changed.

CREATE FUNCTION ensure_rollups(months date[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    month date;
    parent text;
    part text;
BEGIN
    FOREACH month IN ARRAY months LOOP
        FOREACH parent IN ARRAY ARRAY['rollup_1m', 'rollup_5m', 'rollup_1h'] LOOP
            part := parent || '_' || to_char(month, 'YYYYMM');
            CONTINUE WHEN EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass('public.' || part));
            PERFORM pg_advisory_xact_lock(hashtext('headrace.ensure_rollups'));
            CONTINUE WHEN EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass('public.' || part));
            -- Attached rather than created in place, which would wait for every reader.
            EXECUTE format('CREATE TABLE public.%I (LIKE public.%I INCLUDING DEFAULTS)', part, parent);
            EXECUTE format(
                'ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                parent, part, month::timestamp AT TIME ZONE 'UTC',
                (month + interval '1 month') AT TIME ZONE 'UTC');
        END LOOP;
    END LOOP;
END
$$;

-- Start of the first day that holds a sample.
CREATE FUNCTION earliest_sample() RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    part text;
    found boolean;
BEGIN
    FOR part IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'public.samples'::regclass ORDER BY c.relname
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM public.%I)', part) INTO found;
        IF found THEN
            RETURN to_date(right(part, 8), 'YYYYMMDD')::timestamp AT TIME ZONE 'UTC';
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;

-- One step of a level: computes anew the buckets whose input changed since, in a day at the most, and
-- passes what came out different on to the levels above. `ready` is where the open buckets begin.
-- first is NULL when there was nothing to do.
CREATE FUNCTION refresh_rollup(which text, ready timestamptz,
    OUT first timestamptz, OUT last timestamptz, OUT head boolean, OUT marks bigint, OUT changed bigint)
LANGUAGE plpgsql
SET lock_timeout = '5min' SET work_mem = '64MB' SET jit = off SET enable_seqscan = on
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    width interval := CASE which WHEN '1m' THEN '1 minute' WHEN '5m' THEN '5 minutes' ELSE '1 hour' END;
    input text := CASE which WHEN '1m' THEN 'raw' ELSE which END;
    source text := CASE which
        WHEN '1m' THEN 'SELECT date_bin(''1 minute'', ts, ''epoch''), series_id, max(v_num), min(v_num), '
                       'sum(v_num), count(*) FROM public.samples WHERE ts >= %1$L AND ts < %2$L AND v_num IS NOT NULL'
        WHEN '5m' THEN 'SELECT date_bin(''5 minutes'', bucket, ''epoch''), series_id, max(v_max), min(v_min), '
                       'sum(v_sum), sum(n)::bigint FROM public.rollup_1m WHERE bucket >= %1$L AND bucket < %2$L'
        WHEN '1h' THEN 'SELECT date_bin(''1 hour'', bucket, ''epoch''), series_id, max(v_max), min(v_min), '
                       'sum(v_sum), sum(n)::bigint FROM public.rollup_5m WHERE bucket >= %1$L AND bucket < %2$L'
    END;
    stretch record;
    touched tstzmultirange;
    different tstzmultirange := '{}';
    piece tstzrange;
    n bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('headrace.refresh'));
    changed := 0;
    -- A level can be stored no further than what it is made of.
    SELECT least(ready, min(r.until)) INTO ready FROM public.rollups r
    WHERE (which, r.level) IN (('5m', '1m'), ('1h', '5m'));
    IF ready = '-infinity' THEN
        RETURN;
    END IF;
    ready := date_bin(width, ready, 'epoch');
    stretch := public.next_stretch(which, input, ready);
    first := stretch.first;
    last := stretch.last;
    head := stretch.head;
    IF first IS NULL THEN
        RETURN;
    END IF;
    SELECT t.marks, t.touched INTO marks, touched FROM public.take_marks(input, first, last) t;
    IF which = '1m' THEN
        PERFORM public.pass_marks('sketch', touched);
        -- What is not in the summary yet is read whole: autovacuum alone would leave it minutes behind.
        PERFORM brin_summarize_new_values(x.indexrelid)
        FROM pg_index x
        JOIN pg_class c ON c.oid = x.indexrelid
        JOIN pg_am a ON a.oid = c.relam
        WHERE x.indrelid = to_regclass('public.samples_' || to_char(first AT TIME ZONE 'UTC', 'YYYYMMDD'))
          AND a.amname = 'brin';
    END IF;
    IF head THEN
        touched := tstzmultirange(tstzrange(first, last));
    END IF;
    -- A stretch lies within one day, so within one month.
    PERFORM public.ensure_rollups(ARRAY[date_trunc('month', first AT TIME ZONE 'UTC')::date])
    WHERE NOT isempty(touched);
    FOR piece IN SELECT public.whole_buckets(width, touched) LOOP
        -- A day whose statistics are not made yet looks small: its few last minutes must not be read whole.
        PERFORM set_config('enable_seqscan', (upper(piece) - lower(piece) > interval '1 hour')::text, true);
        -- Literals, so that the plan knows the partition and how little of it is read.
        -- What is being deleted must not come back. Added only, never deleted: what is read is complete
        -- or, beyond its retention, gone.
        EXECUTE format(
            'INSERT INTO public.rollup_%3$s AS t (bucket, series_id, v_max, v_min, v_sum, n) ' || source ||
            ' AND series_id NOT IN (SELECT series_id FROM public.forgotten_series)
             GROUP BY 1, 2
             ORDER BY 2, 1 -- side by side what is read together
             ON CONFLICT (series_id, bucket) DO UPDATE
             SET v_max = excluded.v_max, v_min = excluded.v_min, v_sum = excluded.v_sum, n = excluded.n
             WHERE (t.v_max, t.v_min, t.v_sum, t.n)
                   IS DISTINCT FROM (excluded.v_max, excluded.v_min, excluded.v_sum, excluded.n)',
            lower(piece), upper(piece), which);
        GET DIAGNOSTICS n = ROW_COUNT;
        changed := changed + n;
        IF n > 0 THEN
            different := different + tstzmultirange(piece);
        END IF;
    END LOOP;
    IF which <> '1h' THEN
        PERFORM public.pass_marks(CASE which WHEN '1m' THEN '5m' ELSE '1h' END, different);
    END IF;
    UPDATE public.rollups r SET until = greatest(r.until, last), refreshed_at = now() WHERE r.level = which;
END
$$;
