-- What forget would remove, a row a kind of thing. Samples are counted by the hourly rollups, of a
-- thousand series at the most, so that the answer comes at once: `estimated` says where that is not exact.
CREATE OR REPLACE FUNCTION forget_plan(tenant uuid, metric text)
RETURNS TABLE (what text, n bigint, estimated boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    series bigint;
    chosen bigint[];
    share numeric;
    hours bigint;
    samples bigint;
BEGIN
    SELECT count(*) INTO series FROM public.series s
    WHERE s.tenant_id = tenant AND (metric IS NULL OR s.name = metric);
    -- By fingerprint: as good as by chance.
    SELECT array_agg(s.series_id) INTO chosen FROM (
        SELECT s.series_id FROM public.series s
        WHERE s.tenant_id = tenant AND (metric IS NULL OR s.name = metric)
        ORDER BY s.fingerprint LIMIT 1000
    ) s;
    share := series::numeric / greatest(coalesce(cardinality(chosen), 0), 1);
    SELECT count(*), coalesce(sum(h.n), 0) INTO hours, samples
    FROM public.samples_1h h WHERE h.series_id = ANY (chosen);
    RETURN QUERY VALUES
        ('series', series, false),
        ('samples', (samples * share)::bigint, true),
        ('rollup rows', ((least(60 * hours, samples) + least(12 * hours, samples) + hours) * share)::bigint, true),
        ('sketches', ((SELECT count(*) FROM public.sketch_1h k WHERE k.series_id = ANY (chosen)) * share)::bigint, true),
        ('definitions', (SELECT count(*) FROM public.definitions d
                         WHERE d.tenant_id = tenant AND (metric IS NULL OR d.name = metric)), false);
    IF metric IS NULL THEN
        RETURN QUERY VALUES
            ('keys', (SELECT count(*) FROM public.api_keys k WHERE k.tenant_id = tenant), false),
            ('runs', (SELECT count(*) FROM public.runs r WHERE r.tenant_id = tenant), false),
            ('run aggregates', (SELECT count(*) FROM public.k6_aggregates a
                                JOIN public.runs r USING (execution_id) WHERE r.tenant_id = tenant), false);
    END IF;
END
$$;

-- Takes a metric, or with NULL a whole tenant, out of everybody's sight and returns the number of its
-- series. Their samples and rollups are deleted afterwards, in bounded steps (sinks.forget.drain).
--
-- Results of load tests (k6_aggregates) belong to their runs and stay when a metric goes.
CREATE OR REPLACE FUNCTION forget(tenant uuid, metric text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    forgotten bigint;
BEGIN
    -- No new series from here on. Not FOR UPDATE: a delivery that refers to the tenant would wait for
    -- us, and we for it.
    PERFORM FROM public.tenants t WHERE t.tenant_id = tenant FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'There is no tenant %.', tenant USING ERRCODE = 'no_data_found';
    END IF;
    WITH gone AS (
        DELETE FROM public.series s
        WHERE s.tenant_id = tenant AND (metric IS NULL OR s.name = metric)
        RETURNING s.series_id
    )
    INSERT INTO public.forgotten_series (series_id) SELECT g.series_id FROM gone g;
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    UPDATE public.tenants t SET series = t.series - forgotten WHERE t.tenant_id = tenant;
    -- Children first: cascades would look for each row's own.
    DELETE FROM public.label_values v WHERE v.tenant_id = tenant AND (metric IS NULL OR v.name = metric);
    DELETE FROM public.metric_labels l WHERE l.tenant_id = tenant AND (metric IS NULL OR l.name = metric);
    DELETE FROM public.metrics m WHERE m.tenant_id = tenant AND (metric IS NULL OR m.name = metric);
    DELETE FROM public.definitions d WHERE d.tenant_id = tenant AND (metric IS NULL OR d.name = metric);
    IF metric IS NULL THEN
        DELETE FROM public.k6_aggregates a USING public.runs r
        WHERE a.execution_id = r.execution_id AND r.tenant_id = tenant;
    END IF;
    -- Last, for it stops all deliveries: those under way end first, and those that come find that the
    -- numbers they know may be gone.
    PERFORM pg_advisory_xact_lock(hashtext('headrace.forget'));
    UPDATE public.series_epoch SET epoch = epoch + 1;
    -- Only the example is the metric's.
    UPDATE public.rejections x SET last_name = '', last_labels = '{}'
    WHERE x.tenant_id = tenant AND x.last_name = metric;
    IF metric IS NULL THEN
        PERFORM FROM public.tenants t WHERE t.tenant_id = tenant FOR UPDATE;
        WITH gone AS (
            DELETE FROM public.runs r WHERE r.tenant_id = tenant RETURNING r.execution_id
        ), ledgers AS (
            DELETE FROM public.run_ledger l USING gone g WHERE l.execution_id = g.execution_id
        )
        INSERT INTO public.forgotten_runs (execution_id) SELECT g.execution_id FROM gone g;
        DELETE FROM public.tenants t WHERE t.tenant_id = tenant;
    END IF;
    RETURN forgotten;
END
$$;

DROP FUNCTION remediations_about(uuid, text);
DROP FUNCTION alerts_about(uuid, text);
DROP FUNCTION is_about(uuid, text, text, text);
DROP INDEX remediations_age;
DROP INDEX alert_history_age;
DELETE FROM remediation_steps WHERE kind = 'verification';
ALTER TABLE remediation_steps
    DROP CONSTRAINT remediation_steps_kind_check,
    ADD CONSTRAINT remediation_steps_kind_check
        CHECK (kind IN ('step', 'undo', 'approval', 'escalation'));
