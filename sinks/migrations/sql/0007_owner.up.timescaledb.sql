-- TimescaleDB runs a policy as the owner of its table and wants that role to have LOGIN. It has no
-- password: nobody signs in as it where passwords are asked for.
DO $$
BEGIN
    IF NOT (SELECT rolcanlogin FROM pg_roles WHERE rolname = 'headrace_owner') THEN
        ALTER ROLE headrace_owner LOGIN;
    END IF;
END
$$;
