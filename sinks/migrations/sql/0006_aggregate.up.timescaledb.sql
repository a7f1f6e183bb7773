-- Chunks are shared by the runs of a day; the segments of the columnstore are not.
CREATE FUNCTION raw_points(execution uuid) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, public AS $$
    SELECT format('(SELECT ts, series_id, value FROM public.k6_samples WHERE execution_id = %L)', execution)
$$;
REVOKE ALL ON FUNCTION raw_points(uuid) FROM PUBLIC;
