CREATE TABLE samples (
    ts timestamptz NOT NULL,
    series_id bigint NOT NULL,
    v_num double precision,
    v_bool boolean,
    v_text text
) PARTITION BY RANGE (ts);
CREATE INDEX samples_series_ts ON samples (series_id, ts);
GRANT SELECT, INSERT ON samples TO headrace_writer;

-- Makes the daily partitions that a batch needs. Attached rather than created in place, because
-- CREATE … PARTITION OF would lock out every COPY in flight; ATTACH does not.
CREATE FUNCTION ensure_samples(days date[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    day date;
    part text;
BEGIN
    FOREACH day IN ARRAY days LOOP
        part := 'samples_' || to_char(day, 'YYYYMMDD');
        CONTINUE WHEN EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass('public.' || part));
        -- One maker at a time; whoever waited finds it made.
        PERFORM pg_advisory_xact_lock(hashtext('headrace.ensure_samples'));
        CONTINUE WHEN EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass('public.' || part));
        EXECUTE format(
            'CREATE TABLE public.%I (LIKE public.samples INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', part);
        EXECUTE format(
            'ALTER TABLE public.samples ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
            part, day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION ensure_samples(date[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_samples(date[]) TO headrace_writer;
