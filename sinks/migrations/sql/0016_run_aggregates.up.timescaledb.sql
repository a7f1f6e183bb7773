-- A chunk that holds nothing else goes whole, and its disk space with it at once. From one that other runs
-- share whole batches are deleted, without being unpacked; the last of them takes the chunk along.
CREATE OR REPLACE FUNCTION drop_raw(execution uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
-- Writers wait behind us for the lock: not for long, then it is for the caller to try again.
SET lock_timeout = '2s'
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    chunk record;
    ours boolean;
    shared boolean;
    attempt integer;
BEGIN
    -- A segment is deleted by its key; only rows that were never compressed are looked at, and none unpacked.
    PERFORM set_config('timescaledb.max_tuples_decompressed_per_dml_transaction', '0', true);
    FOR chunk IN
        SELECT format('%I.%I', c.chunk_schema, c.chunk_name) AS name, c.range_start, c.range_end
        FROM timescaledb_information.chunks c
        WHERE c.hypertable_schema = 'public' AND c.hypertable_name = 'k6_samples'
        ORDER BY c.range_start
    LOOP
        -- Again under the lock, which every delivery shares: what looks like our own may just be joined.
        FOR attempt IN 1..2 LOOP
            EXECUTE format('SELECT EXISTS (SELECT FROM %1$s WHERE execution_id = $1),
                EXISTS (SELECT FROM %1$s WHERE execution_id <> $1)', chunk.name) INTO ours, shared USING execution;
            EXIT WHEN shared OR NOT ours;
            PERFORM pg_advisory_xact_lock(hashtext('headrace.forget'));
        END LOOP;
        IF ours AND shared THEN
            DELETE FROM public.k6_samples
            WHERE execution_id = execution AND ts >= chunk.range_start AND ts < chunk.range_end;
        ELSIF ours THEN
            PERFORM public.drop_chunks('public.k6_samples'::regclass,
                newer_than => chunk.range_start, older_than => chunk.range_end);
        END IF;
    END LOOP;
END
$$;
