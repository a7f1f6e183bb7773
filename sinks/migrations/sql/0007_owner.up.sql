-- Everything belongs to headrace_owner: views and functions then act with its rights, which end at this
-- schema, not with those of the login that migrates, which is often a superuser. And headrace_editor, who
-- changes what tenants administer themselves, through views that show one tenant, as readers do.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'headrace_owner') THEN
        CREATE ROLE headrace_owner NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'headrace_editor') THEN
        CREATE ROLE headrace_editor NOLOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL; -- two databases migrated in the same moment
END
$$;
-- A superuser needs no membership; who may not grant it was given it, or is told so by what follows.
DO $$
BEGIN
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        EXECUTE format('GRANT headrace_owner TO %I', current_user);
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    NULL;
END
$$;
GRANT USAGE, CREATE ON SCHEMA public TO headrace_owner;
GRANT USAGE ON SCHEMA public TO headrace_editor;

-- Hands over what `was` owns here, except the version table and what belongs to an extension.
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
SELECT hand_over(current_user, 'headrace_owner');
DROP FUNCTION hand_over(name, name);

-- What is made from now on, chunks and partitions too, is granted to nobody but by name.
ALTER DEFAULT PRIVILEGES FOR ROLE headrace_owner REVOKE ALL ON TABLES FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE headrace_owner REVOKE ALL ON ROUTINES FROM PUBLIC;

-- pg_temp is searched first unless it is named: a caller's temporary type would run as the owner.
DO $$
DECLARE
    routine regprocedure;
BEGIN
    FOR routine IN
        SELECT oid FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace AND 'search_path=pg_catalog, public' = ANY (proconfig)
    LOOP
        EXECUTE format('ALTER ROUTINE %s SET search_path = pg_catalog, public, pg_temp', routine);
    END LOOP;
END
$$;
