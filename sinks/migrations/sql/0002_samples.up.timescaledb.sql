CREATE TABLE samples (
    ts timestamptz NOT NULL,
    series_id bigint NOT NULL,
    v_num double precision,
    v_bool boolean,
    v_text text
);
SELECT create_hypertable('samples', 'ts', chunk_time_interval => interval '1 day', create_default_indexes => false);
-- Not unique: a unique index would silently switch direct compress off.
CREATE INDEX samples_series_ts ON samples (series_id, ts);
ALTER TABLE samples SET (
    timescaledb.compress,
    timescaledb.compress_segmentby = '',
    timescaledb.compress_orderby = 'series_id, ts'
);
GRANT SELECT, INSERT ON samples TO headrace_writer;

-- Chunks make themselves; the sink calls the same name in both modes.
CREATE FUNCTION ensure_samples(days date[]) RETURNS void LANGUAGE sql AS $$ SELECT $$;
REVOKE ALL ON FUNCTION ensure_samples(date[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_samples(date[]) TO headrace_writer;
