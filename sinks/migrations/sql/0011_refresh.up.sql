-- What keeps the rollups right: marks are taken, what they name is computed anew, and passed on upwards.
-- One refresher at a time; a step handles a day at the most, so that no transaction grows with a backlog.

CREATE INDEX sketch_1h_bucket ON sketch_1h USING brin (bucket) WITH (autosummarize = on);

CREATE TABLE maintenance (
    part text PRIMARY KEY,
    began_at timestamptz NOT NULL,
    ended_at timestamptz,
    result text,
    error text
);
COMMENT ON TABLE maintenance IS 'The last run of each part of the maintenance, by whom ever it was started.';

-- Marks of a level that touch [first, last): deleted, counted in hour_versions when they are of the raw
-- level, and returned as the time they cover there. What of them lies outside stays marked.
CREATE FUNCTION take_marks(which text, first timestamptz, last timestamptz,
    OUT marks bigint, OUT touched tstzmultirange)
LANGUAGE sql SET search_path = pg_catalog, public, pg_temp AS $$
    WITH taken AS (
        DELETE FROM public.rollup_dirty d
        WHERE d.level = which AND d.begin_at < last AND d.end_at > first
        RETURNING d.*
    ),
    kept AS (
        INSERT INTO public.rollup_dirty (level, begin_at, end_at, marked_at)
        SELECT t.level, t.begin_at, first, t.marked_at FROM taken t WHERE t.begin_at < first
        UNION ALL
        SELECT t.level, last, t.end_at, t.marked_at FROM taken t WHERE t.end_at > last
    ),
    counted AS (
        INSERT INTO public.hour_versions AS h (hour, version, changed_at)
        SELECT hour, count(*), now()
        FROM taken t,
             generate_series(date_bin('1 hour', greatest(t.begin_at, first), 'epoch'),
                             least(t.end_at, last) - interval '1 microsecond', '1 hour') AS hour
        WHERE which = 'raw'
        GROUP BY hour
        ON CONFLICT (hour) DO UPDATE SET version = h.version + excluded.version, changed_at = excluded.changed_at
    )
    SELECT count(*), coalesce(range_agg(tstzrange(greatest(t.begin_at, first), least(t.end_at, last))), '{}')
    FROM taken t
$$;

-- Marks the time for a level, as far as the level is stored: behind its watermark it reads everything anew.
CREATE FUNCTION pass_marks(which text, touched tstzmultirange) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, public, pg_temp AS $$
    INSERT INTO public.rollup_dirty (level, begin_at, end_at)
    SELECT which, lower(piece), upper(piece)
    FROM public.rollups r, unnest(touched * tstzmultirange(tstzrange(NULL, r.until))) AS piece
    WHERE r.level = which
$$;

-- Whole buckets that cover the time, with gaps of a quarter of an hour filled: reading a few minutes more
-- costs less than reading once for each of a hundred pieces.
CREATE FUNCTION whole_buckets(width interval, touched tstzmultirange) RETURNS SETOF tstzrange
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT tstzrange(date_bin(width, lower(wide), 'epoch'),
                     date_bin(width, upper(wide) - interval '15 minutes 1 microsecond', 'epoch') + width)
    FROM unnest((
        SELECT range_agg(tstzrange(date_bin(width, lower(piece), 'epoch'), upper(piece) + interval '15 minutes'))
        FROM unnest(touched) AS piece
    )) AS wide
$$;

-- What a level has to do next in time before `ready`: its head, a day at a time; then the newest marks.
-- Nothing: first is NULL.
CREATE FUNCTION next_stretch(which text, input text, ready timestamptz,
    OUT first timestamptz, OUT last timestamptz, OUT head boolean)
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    earliest timestamptz;
    stored timestamptz := (SELECT r.until FROM public.rollups r WHERE r.level = which);
BEGIN
    head := stored < ready;
    IF head THEN
        first := stored;
        IF first = '-infinity' THEN
            first := least(coalesce(public.earliest_sample(), ready), ready);
        END IF;
        last := least(date_bin('1 day', first, 'epoch') + interval '1 day', ready);
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM public.rollup_dirty d WHERE d.level = input AND d.begin_at = '-infinity') THEN
        earliest := coalesce(public.earliest_sample(), 'infinity');
        DELETE FROM public.rollup_dirty d
        WHERE d.level = input AND d.begin_at = '-infinity' AND d.end_at <= earliest;
        UPDATE public.rollup_dirty d SET begin_at = earliest WHERE d.level = input AND d.begin_at = '-infinity';
    END IF;
    SELECT max(least(d.end_at, ready)) INTO last
    FROM public.rollup_dirty d
    WHERE d.level = input AND d.begin_at < ready;
    first := date_bin('1 day', last - interval '1 microsecond', 'epoch');
END
$$;

-- One step of the sketches: stores those of the hours that changed since, of samples before `ready`.
-- first is NULL when there was nothing to do.
CREATE FUNCTION refresh_sketches(ready timestamptz,
    OUT first timestamptz, OUT last timestamptz, OUT head boolean, OUT marks bigint, OUT changed bigint)
LANGUAGE plpgsql
SET lock_timeout = '5min' SET jit = off
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    stretch record;
    touched tstzmultirange;
    sketched bigint[];
    piece tstzrange;
    stored timestamptz;
    n bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('headrace.refresh'));
    stretch := public.next_stretch('sketch', 'sketch', ready);
    first := stretch.first;
    last := stretch.last;
    head := stretch.head;
    changed := 0;
    IF first IS NULL THEN
        RETURN;
    END IF;
    SELECT t.marks, t.touched INTO marks, touched FROM public.take_marks('sketch', first, last) t;
    IF head THEN
        touched := tstzmultirange(tstzrange(first, last));
    END IF;
    -- The sketch of an hour that is still open ends at the watermark: readers add what comes after it.
    SELECT greatest(r.until, last) INTO stored FROM public.rollups r WHERE r.level = 'sketch';
    SELECT array_agg(s.series_id) INTO sketched
    FROM public.definitions d
    JOIN public.series s USING (tenant_id, name)
    WHERE d.type IN ('histogram', 'summary');
    FOR piece IN SELECT public.whole_buckets('1 hour', touched) WHERE sketched IS NOT NULL LOOP
        EXECUTE format($q$
            INSERT INTO public.sketch_1h AS t
            SELECT bucket, series_id, string_agg(int4send(key) || int8send(n), ''::bytea ORDER BY key), sum(n)::bigint
            FROM (
                SELECT date_bin('1 hour', ts, 'epoch') AS bucket, series_id,
                       public.sketch_key(v_num) AS key, count(*) AS n
                FROM public.samples
                WHERE ts >= %L AND ts < %L AND series_id = ANY ($1) AND v_num IS NOT NULL
                GROUP BY 1, 2, 3
            ) AS classes
            GROUP BY bucket, series_id
            ON CONFLICT (series_id, bucket) DO UPDATE
            SET classes = excluded.classes, n = excluded.n
            WHERE t.classes <> excluded.classes
        $q$, lower(piece), least(upper(piece), stored)) USING sketched;
        GET DIAGNOSTICS n = ROW_COUNT;
        changed := changed + n;
    END LOOP;
    UPDATE public.rollups r SET until = stored, refreshed_at = now() WHERE r.level = 'sketch';
END
$$;
