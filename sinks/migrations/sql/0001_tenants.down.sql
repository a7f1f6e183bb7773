DROP FUNCTION current_tenant();
DROP FUNCTION find_key(bytea);
DROP TABLE api_keys;
DROP TABLE tenants;
DROP TABLE storage;
REVOKE USAGE ON SCHEMA public FROM headrace_writer, headrace_reader;
-- The roles stay: they belong to the cluster, and another database may be using or granting them.
