-- Rollups: what became of the samples of a minute, five minutes and an hour, and sketches of an hour.
--
-- samples_1m, samples_5m and samples_1h (bucket, series_id, v_avg, v_max, v_min, v_sum, n) are never
-- stale: up to a watermark they are stored, behind it they are computed from what they are made of.
-- avg() is not used: it squares its input, and one 1e200 would fail every refresh from then on.

CREATE TABLE rollups (
    level text PRIMARY KEY CHECK (level IN ('1m', '5m', '1h', 'sketch')),
    until timestamptz NOT NULL DEFAULT '-infinity',
    refreshed_at timestamptz
);
COMMENT ON COLUMN rollups.until IS 'Watermark: buckets before it are stored, except those that rollup_dirty names.';

-- The watermark as the planner sees it: called immutable, so that a plan holds it as a constant and reads
-- no partition that it excludes (a sub-select costs 6 ms of planning a query, and wrong plans). A plan
-- that outlives a refresh computes anew what has been stored since, which is the same.
CREATE FUNCTION rollup_until(which text) RETURNS timestamptz
LANGUAGE plpgsql IMMUTABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    RETURN (SELECT r.until FROM public.rollups r WHERE r.level = which);
END
$$;
GRANT EXECUTE ON FUNCTION rollup_until(text) TO headrace_reader;

CREATE TABLE rollup_dirty (
    level text NOT NULL CHECK (level IN ('raw', '5m', '1h', 'sketch')),
    begin_at timestamptz NOT NULL,
    end_at timestamptz NOT NULL CHECK (end_at > begin_at),
    marked_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE rollup_dirty IS 'Time [begin_at, end_at) in which a level''s input changed. The sink marks whole minutes, as raw, in the transaction that stores the samples. Only ever added to and taken from: writers never wait here.';
GRANT INSERT ON rollup_dirty TO headrace_writer;

CREATE TABLE hour_versions (
    hour timestamptz PRIMARY KEY,
    version bigint NOT NULL,
    changed_at timestamptz NOT NULL
);
COMMENT ON TABLE hour_versions IS 'How many marks of an hour were taken from rollup_dirty, and when the last was: what an ETag is made of.';

-- Changes with whatever is stored, or refreshed, in [first, last): marks taken, marks waiting, last change.
CREATE FUNCTION data_version(first timestamptz, last timestamptz,
    OUT taken bigint, OUT waiting bigint, OUT changed_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT h.taken, d.waiting, greatest(h.changed_at, d.marked_at)
    FROM (
        SELECT coalesce(sum(v.version), 0)::bigint AS taken, max(v.changed_at) AS changed_at
        FROM public.hour_versions v
        WHERE v.hour >= date_bin('1 hour', first, 'epoch') AND v.hour < last
    ) h, (
        SELECT count(*) AS waiting, max(m.marked_at) AS marked_at
        FROM public.rollup_dirty m
        WHERE m.level = 'raw' AND m.begin_at < last AND m.end_at > first
    ) d
$$;
GRANT EXECUTE ON FUNCTION data_version(timestamptz, timestamptz) TO headrace_reader;

-- Sketches: counts by logarithmic class, as DDSketch has it. A class is 2 % wide, so a value read back
-- is at most 1 % off; counts of the same class add up, which is all that merging takes.
-- Not STRICT, which would keep the planner from inlining them: four times slower, a call a sample.
-- nullif, because TimescaleDB computes both branches where it aggregates a column at once.
CREATE FUNCTION sketch_key(value double precision) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN value = 0 THEN 0
                ELSE sign(value)::integer * (ceil(ln(abs(nullif(value, 0))) / ln(1.01 / 0.99::double precision))::integer + 40000)
           END
$$;
CREATE FUNCTION sketch_value(key integer) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN key = 0 THEN 0
                ELSE sign(key) * exp((abs(key) - 40000) * ln(1.01 / 0.99::double precision)) * 0.99
           END
$$;
GRANT EXECUTE ON FUNCTION sketch_key(double precision), sketch_value(integer) TO headrace_reader, headrace_writer;

CREATE TABLE sketch_1h (
    bucket timestamptz NOT NULL,
    series_id bigint NOT NULL,
    classes bytea NOT NULL,
    n bigint NOT NULL,
    PRIMARY KEY (series_id, bucket)
);
COMMENT ON TABLE sketch_1h IS 'Of metrics defined as histogram or summary.';
-- Bytes, not arrays: a month of one series is read in 1.4 ms instead of 10, and merged outside.
COMMENT ON COLUMN sketch_1h.classes IS 'A class after another, keys ascending: sketch_key as int4send, its count as int8send. Counts sum to n.';
INSERT INTO rollups (level) VALUES ('sketch');
CREATE VIEW sketches_1h AS
SELECT bucket, series_id, classes, n
FROM sketch_1h
WHERE bucket < rollup_until('sketch')
UNION ALL
SELECT bucket, series_id, string_agg(int4send(key) || int8send(n), ''::bytea ORDER BY key), sum(n)::bigint
FROM (
    SELECT date_bin('1 hour', ts, 'epoch') AS bucket, series_id, sketch_key(v_num) AS key, count(*) AS n
    FROM samples
    WHERE ts >= rollup_until('sketch') AND v_num IS NOT NULL
    GROUP BY 1, 2, 3
) AS head
GROUP BY bucket, series_id;

CREATE VIEW sketches_1h_tenant WITH (security_barrier) AS
SELECT k.bucket, k.series_id, r.name, r.labels, k.classes, k.n
FROM sketches_1h k
JOIN series r USING (series_id)
WHERE r.tenant_id = current_tenant();
GRANT SELECT ON sketches_1h_tenant TO headrace_reader;
