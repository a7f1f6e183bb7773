-- Series: made within limits, and forgotten; and what running processes must hear of at once.

CREATE TABLE forgotten_runs (
    execution_id uuid PRIMARY KEY,
    forgotten_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE forgotten_runs IS 'Runs of deleted tenants whose raw points are still to be deleted.';

-- A row a tenant, so that nobody's edit waits for another tenant's. A sequence would count an edit before
-- it is committed: whoever looked in between would keep the old state and not look again.
CREATE TABLE tenant_changes (
    tenant_id uuid PRIMARY KEY REFERENCES tenants ON DELETE CASCADE,
    n bigint NOT NULL
);
COMMENT ON TABLE tenant_changes IS 'How often a tenant''s definitions or limits were changed: what ingest looks at while it is not notified.';
GRANT SELECT ON tenant_changes TO headrace_writer;

CREATE FUNCTION tenant_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    tenant uuid := coalesce(NEW.tenant_id, OLD.tenant_id);
BEGIN
    IF TG_TABLE_NAME = 'tenants' THEN
        NOTIFY headrace_limits;
    END IF;
    -- Not for one that is being deleted: its definitions go with it.
    INSERT INTO public.tenant_changes AS c (tenant_id, n)
    SELECT t.tenant_id, 1 FROM public.tenants t WHERE t.tenant_id = tenant
    ON CONFLICT (tenant_id) DO UPDATE SET n = c.n + 1;
    RETURN NULL;
END
$$;
CREATE TRIGGER tenant_changed AFTER INSERT OR UPDATE OR DELETE ON definitions
    FOR EACH ROW EXECUTE FUNCTION tenant_changed();
CREATE TRIGGER tenant_changed AFTER UPDATE OF max_series ON tenants
    FOR EACH ROW WHEN (OLD.max_series IS DISTINCT FROM NEW.max_series) EXECUTE FUNCTION tenant_changed();

-- Numbers of these series of a tenant, made where they are new and within the limits: one row for each
-- distinct series, with its number, or with why it was refused and at which limit.
--
-- The tenant's row is locked, so the limits hold however many writers there are. New values of a label
-- take its free places in the order given. A series that is refused for one label may have taken
-- another's place from a series behind it: that one finds the place when it is asked for again.
CREATE FUNCTION add_series(
    tenant uuid, names text[], label_sets text[], fingerprints bytea[], most_series bigint, most_values bigint
) RETURNS TABLE (fingerprint bytea, series_id bigint, refused text, at_most bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    places bigint;
BEGIN
    SELECT coalesce(t.max_series, most_series) INTO most_series
    FROM public.tenants t WHERE t.tenant_id = tenant FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'There is no tenant %.', tenant USING ERRCODE = 'foreign_key_violation';
    END IF;
    SELECT most_series - t.series INTO places FROM public.tenants t WHERE t.tenant_id = tenant;
    -- One pass, without a join of two steps: how many rows a step has the planner can't know, and a
    -- nested loop over 40,000 of them takes a minute.
    RETURN QUERY
    WITH wanted AS MATERIALIZED (
        SELECT DISTINCT ON (w.fingerprint) w.name, w.labels, w.fingerprint, w.place, s.series_id
        FROM unnest(names, label_sets, fingerprints) WITH ORDINALITY AS w (name, labels, fingerprint, place)
        LEFT JOIN public.series s ON s.tenant_id = tenant AND s.fingerprint = w.fingerprint
        ORDER BY w.fingerprint, w.place
    ),
    labelled AS (
        SELECT w.name, w.labels::jsonb AS labels, w.fingerprint, w.place, l.key AS label, l.value,
               l.key IS NOT NULL AND v.value IS NULL AS is_new,
               coalesce(d.max_label_values, most_values) AS at_most,
               coalesce(d.max_label_values, most_values) - coalesce(k.n_values, 0) AS free
        FROM wanted w
        LEFT JOIN public.definitions d ON d.tenant_id = tenant AND d.name = w.name
        LEFT JOIN LATERAL jsonb_each_text(w.labels::jsonb) l ON places > 0
        LEFT JOIN public.metric_labels k ON k.tenant_id = tenant AND k.name = w.name AND k.label = l.key
        LEFT JOIN public.label_values v
            ON v.tenant_id = tenant AND v.name = w.name AND v.label = l.key AND v.value = l.value
        WHERE w.series_id IS NULL
    ),
    -- Those for which no place is left at all don't queue for the places of their other labels.
    queuing AS (
        SELECT *, is_new AND NOT bool_or(is_new AND free <= 0) OVER (PARTITION BY place) AS queues FROM labelled
    ),
    firsts AS (
        SELECT *, min(place) FILTER (WHERE queues) OVER (PARTITION BY name, label, value) AS first FROM queuing
    ),
    ranked AS (
        SELECT *, dense_rank() OVER (PARTITION BY name, label, queues ORDER BY first) AS nth FROM firsts
    ),
    judged AS (
        SELECT name, labels, fingerprint, place,
               min(at_most) FILTER (WHERE is_new AND (free <= 0 OR queues AND nth > free)) AS too_wide
        FROM ranked
        GROUP BY name, labels, fingerprint, place
    ),
    decided AS MATERIALIZED (
        SELECT *, too_wide IS NULL
                  AND row_number() OVER (PARTITION BY too_wide IS NULL ORDER BY place) <= places AS accepted
        FROM judged
    ),
    made AS (
        INSERT INTO public.series (tenant_id, name, labels, fingerprint)
        SELECT tenant, a.name, a.labels, a.fingerprint FROM decided a WHERE a.accepted ORDER BY a.place
        RETURNING series.fingerprint, series.series_id
    ),
    counted AS (
        UPDATE public.tenants t SET series = t.series + (SELECT count(*) FROM made)
        WHERE t.tenant_id = tenant AND EXISTS (SELECT FROM made)
    ),
    metrics AS (
        INSERT INTO public.metrics AS k (tenant_id, name, series)
        SELECT tenant, a.name, count(*) FROM decided a WHERE a.accepted GROUP BY a.name
        ON CONFLICT (tenant_id, name) DO UPDATE SET series = k.series + excluded.series
    ),
    valued AS (
        INSERT INTO public.label_values AS k (tenant_id, name, label, value)
        SELECT DISTINCT tenant, a.name, l.key, l.value
        FROM decided a CROSS JOIN LATERAL jsonb_each_text(a.labels) l
        WHERE a.accepted
        ON CONFLICT DO NOTHING
        RETURNING k.name, k.label
    ),
    label_counts AS (
        INSERT INTO public.metric_labels AS k (tenant_id, name, label, n_values)
        SELECT tenant, v.name, v.label, count(*) FROM valued v GROUP BY v.name, v.label
        ON CONFLICT (tenant_id, name, label) DO UPDATE SET n_values = k.n_values + excluded.n_values
    )
    SELECT w.fingerprint, w.series_id, NULL::text, NULL::bigint FROM wanted w WHERE w.series_id IS NOT NULL
    UNION ALL
    SELECT m.fingerprint, m.series_id, NULL, NULL FROM made m
    UNION ALL
    SELECT d.fingerprint, NULL, CASE WHEN d.too_wide IS NULL THEN 'too_many_series' ELSE 'too_many_label_values' END,
           coalesce(d.too_wide, most_series)
    FROM decided d
    WHERE NOT d.accepted;
END
$$;
REVOKE INSERT ON series FROM headrace_writer;
GRANT EXECUTE ON FUNCTION add_series(uuid, text[], text[], bytea[], bigint, bigint) TO headrace_writer;

-- What forget would remove, a row a kind of thing. Samples are counted by the hourly rollups, of a
-- thousand series at the most, so that the answer comes at once: `estimated` says where that is not exact.
CREATE FUNCTION forget_plan(tenant uuid, metric text)
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
CREATE FUNCTION forget(tenant uuid, metric text) RETURNS bigint
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

-- For a tenant's own admin: never another's metric, whatever the name.
CREATE FUNCTION metric_plan(metric text) RETURNS TABLE (what text, n bigint, estimated boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT p.what, p.n, p.estimated
    FROM public.forget_plan(public.current_tenant(), metric) p
    WHERE metric IS NOT NULL
$$;
CREATE FUNCTION forget_metric(metric text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF metric IS NULL THEN
        RAISE EXCEPTION 'Which metric?' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    RETURN public.forget(public.current_tenant(), metric);
END
$$;
GRANT EXECUTE ON FUNCTION metric_plan(text) TO headrace_reader, headrace_editor;
GRANT EXECUTE ON FUNCTION forget_metric(text) TO headrace_editor;
