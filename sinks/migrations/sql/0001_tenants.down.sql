DROP FUNCTION current_tenant();
DROP FUNCTION find_key(bytea);
DROP TABLE api_keys;
DROP TABLE tenants;
DROP TABLE storage;
REVOKE USAGE ON SCHEMA public FROM headrace_writer, headrace_reader;
-- The roles stay while another database of the cluster, or a login, depends on them.
DO $$
DECLARE
    r text;
BEGIN
    FOREACH r IN ARRAY ARRAY['headrace_writer', 'headrace_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_auth_members m JOIN pg_roles o ON o.oid = m.roleid WHERE o.rolname = r) THEN
            EXECUTE format('DROP ROLE IF EXISTS %I', r);
        END IF;
    END LOOP;
EXCEPTION WHEN dependent_objects_still_exist THEN
    NULL;
END
$$;
