CREATE OR REPLACE FUNCTION drop_raw(execution uuid) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    DELETE FROM public.k6_samples WHERE execution_id = execution
$$;
