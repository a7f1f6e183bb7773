-- name: extension
SELECT extname FROM pg_extension

-- name: schema
-- With its grants, one a line.
SELECT n.nspname, g::text
FROM pg_namespace n
LEFT JOIN LATERAL unnest(n.nspacl) g ON true
WHERE n.nspname !~ '^(pg_|_?timescaledb|information_schema|toolkit)'

-- name: relation
-- Tables, partitions, indexes, views, sequences: kind, options, partitioning, comment.
SELECT c.oid::regclass, c.relkind, c.relpersistence, c.reloptions, c.relrowsecurity, c.relispartition,
       pg_get_partkeydef(c.oid), pg_get_expr(c.relpartbound, c.oid), obj_description(c.oid, 'pg_class')
FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relname !~ '^schema_version'
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')

-- name: grant
SELECT c.oid::regclass, g::text
FROM pg_class c, unnest(c.relacl) g
WHERE c.relnamespace = 'public'::regnamespace AND c.relname !~ '^schema_version'
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')

-- name: column
-- By rank, not by number: a dropped column leaves a hole in the numbers.
SELECT c.oid::regclass, rank() OVER (PARTITION BY c.oid ORDER BY a.attnum), a.attname,
       format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated, a.attstorage,
       pg_get_expr(d.adbin, d.adrelid), a.attacl, col_description(c.oid, a.attnum)
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relnamespace = 'public'::regnamespace AND c.relname !~ '^schema_version'
  AND c.relkind IN ('r', 'p', 'v', 'm')
  AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = c.oid AND e.deptype = 'e')

-- name: index
SELECT i.indrelid::regclass, pg_get_indexdef(i.indexrelid), i.indisvalid
FROM pg_index i
JOIN pg_class c ON c.oid = i.indrelid
WHERE c.relnamespace = 'public'::regnamespace AND c.relname !~ '^schema_version'

-- name: constraint
SELECT k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid), k.convalidated
FROM pg_constraint k
JOIN pg_class c ON c.oid = k.conrelid
WHERE k.connamespace = 'public'::regnamespace AND c.relname !~ '^schema_version'

-- name: view
SELECT c.oid::regclass, pg_get_viewdef(c.oid)
FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('v', 'm')
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')

-- name: function
-- pg_get_functiondef tells security, volatility, search_path and body.
SELECT p.oid::regprocedure, pg_get_functiondef(p.oid), obj_description(p.oid, 'pg_proc'),
       (SELECT array_agg(g::text ORDER BY g::text) FROM unnest(p.proacl) g)
FROM pg_proc p
WHERE p.pronamespace = 'public'::regnamespace AND p.prokind IN ('f', 'p')
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')

-- name: aggregate
SELECT p.oid::regprocedure, a.aggtransfn, a.aggfinalfn, a.agginitval
FROM pg_proc p
JOIN pg_aggregate a ON a.aggfnoid = p.oid
WHERE p.pronamespace = 'public'::regnamespace
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')

-- name: type
SELECT t.oid::regtype, t.typtype, (SELECT array_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid)
FROM pg_type t
WHERE t.typnamespace = 'public'::regnamespace AND t.typtype IN ('d', 'e', 'r')

-- name: trigger
SELECT t.tgrelid::regclass, pg_get_triggerdef(t.oid), t.tgenabled
FROM pg_trigger t
JOIN pg_class c ON c.oid = t.tgrelid
WHERE c.relnamespace = 'public'::regnamespace AND NOT t.tgisinternal

-- name: policy
SELECT tablename, policyname, permissive, roles, cmd, qual, with_check
FROM pg_policies
WHERE schemaname = 'public'

-- name: default_grant
SELECT d.defaclrole::regrole, d.defaclobjtype, g::text
FROM pg_default_acl d, unnest(d.defaclacl) g
