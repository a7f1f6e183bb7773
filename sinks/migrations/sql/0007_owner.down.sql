DO $$
DECLARE
    routine regprocedure;
BEGIN
    FOR routine IN
        SELECT oid FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace AND 'search_path=pg_catalog, public, pg_temp' = ANY (proconfig)
          AND proname IN ('find_key', 'ensure_samples', 'ensure_executions', 'drop_raw', 'raw_points')
    LOOP
        EXECUTE format('ALTER ROUTINE %s SET search_path = pg_catalog, public', routine);
    END LOOP;
END
$$;
ALTER DEFAULT PRIVILEGES FOR ROLE headrace_owner GRANT EXECUTE ON ROUTINES TO PUBLIC;
-- As on the way up.
CREATE FUNCTION hand_over(was name, heir name) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
DECLARE
    one record;
BEGIN
    FOR one IN
        SELECT 'TABLE' AS kind, c.oid::regclass::text AS object
        FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v')
          AND c.relowner = was::regrole AND c.relname !~ '^schema_version'
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
        UNION ALL
        SELECT 'ROUTINE', p.oid::regprocedure::text
        FROM pg_proc p
        WHERE p.pronamespace = 'public'::regnamespace AND p.proowner = was::regrole
          AND p.proname <> 'hand_over'
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
    LOOP
        EXECUTE format('ALTER %s %s OWNER TO %I', one.kind, one.object, heir);
    END LOOP;
END
$$;
SELECT hand_over('headrace_owner', current_user);
DROP FUNCTION hand_over(name, name);
REVOKE USAGE, CREATE ON SCHEMA public FROM headrace_owner, headrace_editor;
-- The role and who is in it stay: they belong to the cluster, and another database may be using them.
