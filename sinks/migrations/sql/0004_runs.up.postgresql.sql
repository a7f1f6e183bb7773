-- A partition an execution, so that its raw points leave by dropping a table.
CREATE TABLE k6_samples (
    ts timestamptz NOT NULL,
    execution_id uuid NOT NULL,
    series_id bigint NOT NULL,
    value double precision NOT NULL
) PARTITION BY LIST (execution_id);
GRANT SELECT, INSERT ON k6_samples TO headrace_writer;

CREATE FUNCTION ensure_executions(executions uuid[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    execution uuid;
    part text;
BEGIN
    FOREACH execution IN ARRAY executions LOOP
        part := 'k6_samples_' || replace(execution::text, '-', '');
        CONTINUE WHEN to_regclass('public.' || part) IS NOT NULL;
        PERFORM pg_advisory_xact_lock(hashtext('headrace.ensure_executions'));
        CONTINUE WHEN to_regclass('public.' || part) IS NOT NULL;
        EXECUTE format(
            'CREATE TABLE public.%I (LIKE public.k6_samples INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', part);
        EXECUTE format(
            'ALTER TABLE public.k6_samples ATTACH PARTITION public.%I FOR VALUES IN (%L)', part, execution);
    END LOOP;
END
$$;

CREATE FUNCTION drop_raw(execution uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    EXECUTE format('DROP TABLE IF EXISTS public.%I', 'k6_samples_' || replace(execution::text, '-', ''));
END
$$;
REVOKE ALL ON FUNCTION drop_raw(uuid), ensure_executions(uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION drop_raw(uuid), ensure_executions(uuid[]) TO headrace_writer;
