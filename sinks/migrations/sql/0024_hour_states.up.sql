-- What the API may remember: figures of an hour stay as they are while its version does.

-- As data_version, and with `every` also what it is made of. hours and versions: array_send of what there is
-- of hours; the version is -1 for two hours after the last change (twice what the coarsest level takes to
-- follow). marked: what waits for a level to follow. An hour without a version has never had a sample.
CREATE FUNCTION hour_states(first timestamptz, last timestamptz, every boolean,
    OUT taken bigint, OUT waiting bigint, OUT changed_at timestamptz,
    OUT hours bytea, OUT versions bytea, OUT marked tstzmultirange)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT h.taken, d.waiting, greatest(h.changed_at, d.marked_at), h.hours, h.versions, d.marked
    FROM (
        SELECT coalesce(sum(v.version), 0)::bigint AS taken, max(v.changed_at) AS changed_at,
               array_send(array_agg(v.hour) FILTER (WHERE every)) AS hours,
               array_send(array_agg(CASE WHEN v.changed_at > now() - interval '2 hours' THEN -1 ELSE v.version END)
                          FILTER (WHERE every)) AS versions
        FROM public.hour_versions v
        WHERE v.hour >= date_bin('1 hour', first, 'epoch') AND v.hour < last
    ) h, (
        SELECT count(*) FILTER (WHERE m.level = 'raw') AS waiting,
               max(m.marked_at) FILTER (WHERE m.level = 'raw') AS marked_at,
               range_agg(tstzrange(greatest(m.begin_at, first), least(m.end_at, last))) FILTER (WHERE every) AS marked
        FROM public.rollup_dirty m
        WHERE m.begin_at < last AND m.end_at > first
    ) d
$$;
GRANT EXECUTE ON FUNCTION hour_states(timestamptz, timestamptz, boolean) TO headrace_reader;
