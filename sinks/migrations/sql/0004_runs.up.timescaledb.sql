-- Segmented by execution, so that deleting one drops whole compressed batches.
CREATE TABLE k6_samples (
    ts timestamptz NOT NULL,
    execution_id uuid NOT NULL,
    series_id bigint NOT NULL,
    value double precision NOT NULL
);
SELECT create_hypertable('k6_samples', 'ts', chunk_time_interval => interval '1 day', create_default_indexes => false);
CREATE INDEX k6_samples_execution ON k6_samples (execution_id);
ALTER TABLE k6_samples SET (
    timescaledb.compress,
    timescaledb.compress_segmentby = 'execution_id',
    timescaledb.compress_orderby = 'series_id, ts'
);
GRANT SELECT, INSERT ON k6_samples TO headrace_writer;

CREATE FUNCTION ensure_executions(executions uuid[]) RETURNS void LANGUAGE sql AS $$ SELECT $$;

CREATE FUNCTION drop_raw(execution uuid) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
    DELETE FROM public.k6_samples WHERE execution_id = execution
$$;
REVOKE ALL ON FUNCTION drop_raw(uuid), ensure_executions(uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION drop_raw(uuid), ensure_executions(uuid[]) TO headrace_writer;
