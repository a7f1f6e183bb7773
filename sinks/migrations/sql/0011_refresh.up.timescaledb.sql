-- The rollups refresh themselves; the marks serve the versions of the hours, and the sketches.

CREATE FUNCTION earliest_sample() RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT min(range_start) FROM timescaledb_information.chunks
    WHERE hypertable_schema = 'public' AND hypertable_name = 'samples'
$$;

-- One step: takes the raw marks of the newest marked day before `ready`.
CREATE FUNCTION refresh_rollup(which text, ready timestamptz,
    OUT first timestamptz, OUT last timestamptz, OUT head boolean, OUT marks bigint, OUT changed bigint)
LANGUAGE plpgsql
SET lock_timeout = '5min'
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    touched tstzmultirange;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('headrace.refresh'));
    head := false;
    changed := 0;
    SELECT max(least(d.end_at, ready)) INTO last
    FROM public.rollup_dirty d
    WHERE d.level = 'raw' AND d.begin_at < ready AND which = '1m';
    IF last IS NULL THEN
        RETURN;
    END IF;
    first := date_bin('1 day', last - interval '1 microsecond', 'epoch');
    SELECT t.marks, t.touched INTO marks, touched FROM public.take_marks('raw', first, last) t;
    PERFORM public.pass_marks('sketch', touched);
END
$$;
