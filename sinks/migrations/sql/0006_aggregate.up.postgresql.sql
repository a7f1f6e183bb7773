-- The run's own partition by name, or nothing when no point of it was stored. Reading through the
-- parent would hold a lock on it for as long as an aggregation takes, and the DROP of another run's
-- partition, which needs the parent to itself, would queue behind it with every COPY behind that.
CREATE FUNCTION raw_points(execution uuid) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, public AS $$
    SELECT CASE
        WHEN to_regclass('public.' || part) IS NULL
            THEN '(SELECT NULL::timestamptz ts, NULL::bigint series_id, NULL::double precision AS value WHERE false)'
        ELSE 'public.' || part
    END
    FROM (VALUES ('k6_samples_' || replace(execution::text, '-', ''))) AS p (part)
$$;
REVOKE ALL ON FUNCTION raw_points(uuid) FROM PUBLIC;
