-- name: schemas
SELECT n.nspname FROM pg_namespace n
WHERE n.nspname = ANY (%(schemas)s) AND NOT has_schema_privilege(n.oid, 'USAGE')
ORDER BY 1

-- name: owners
-- Tables of others. A membership that is not inherited, or in a superuser, is no way to their rights.
SELECT n.nspname, c.relname,
       CASE WHEN me.rolinherit AND NOT owner.rolsuper THEN owner.rolname END
FROM unnest(%(schemas)s::text[], %(tables)s::text[]) AS wanted (schema, name)
JOIN pg_namespace n ON n.nspname = wanted.schema
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = wanted.name
JOIN pg_roles owner ON owner.oid = c.relowner
JOIN pg_roles me ON me.rolname = current_user
WHERE NOT pg_has_role(c.relowner, 'USAGE')
ORDER BY 1, 2

-- name: tables
-- Several privileges in one text mean any of them; those on columns will do where all of these have it.
SELECT n.nspname, c.relname, owner.rolname, wanted.privilege
FROM unnest(%(schemas)s::text[], %(tables)s::text[], %(privileges)s::text[], %(columns)s::jsonb[])
    AS wanted (schema, name, privilege, columns)
JOIN pg_namespace n ON n.nspname = wanted.schema
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = wanted.name
JOIN pg_roles owner ON owner.oid = c.relowner
WHERE NOT has_table_privilege(c.oid, wanted.privilege)
  AND NOT (wanted.columns <> '[]' AND (
      SELECT bool_and(has_column_privilege(c.oid, a.attnum, wanted.privilege))
      FROM pg_attribute a WHERE a.attrelid = c.oid AND wanted.columns ? a.attname))
ORDER BY 1, 2

-- name: sequences
-- Ownership allows ALTER SEQUENCE; without it setval() asks for UPDATE.
SELECT n.nspname, c.relname, owner.rolname, wanted.privilege, owned_by.nspname, owned_by.relname
FROM unnest(%(schemas)s::text[], %(sequences)s::text[]) AS sequence (schema, name)
CROSS JOIN (VALUES ('SELECT'), ('UPDATE')) AS wanted (privilege)
JOIN pg_namespace n ON n.nspname = sequence.schema
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = sequence.name
JOIN pg_roles owner ON owner.oid = c.relowner
LEFT JOIN LATERAL (
    SELECT tn.nspname, t.relname
    FROM pg_depend d JOIN pg_class t ON t.oid = d.refobjid JOIN pg_namespace tn ON tn.oid = t.relnamespace
    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = d.classid
      AND d.deptype IN ('a', 'i')) owned_by ON true
WHERE NOT has_sequence_privilege(c.oid, wanted.privilege)
  AND NOT (wanted.privilege = 'UPDATE' AND pg_has_role(c.relowner, 'USAGE'))
ORDER BY 1, 2, 4

-- name: functions
-- What defaults, generated columns, checks and index expressions call. Built-in ones are not in pg_depend.
SELECT DISTINCT format('%%I.%%I(%%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid))
FROM pg_depend d
JOIN pg_proc p ON p.oid = d.refobjid
JOIN pg_namespace n ON n.oid = p.pronamespace
LEFT JOIN pg_constraint k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid AND k.contype = 'c'
LEFT JOIN pg_index i ON d.classid = 'pg_class'::regclass AND i.indexrelid = d.objid
LEFT JOIN pg_attrdef f ON d.classid = 'pg_attrdef'::regclass AND f.oid = d.objid
LEFT JOIN pg_attribute a ON a.attrelid = f.adrelid AND a.attnum = f.adnum
JOIN unnest(%(oids)s::oid[], %(columns)s::jsonb[]) AS loaded (oid, columns)
  ON loaded.oid IN (k.conrelid, i.indrelid)
  OR loaded.oid = f.adrelid AND (a.attgenerated <> '' OR NOT loaded.columns ? a.attname)
WHERE d.refclassid = 'pg_proc'::regclass AND NOT has_function_privilege(p.oid, 'EXECUTE')
ORDER BY 1

-- name: types
-- CREATE TABLE asks for USAGE on the types of the columns, and so does the staging table.
SELECT DISTINCT format('%%I.%%I', n.nspname, t.typname)
FROM unnest(%(oids)s::oid[], %(columns)s::jsonb[]) AS loaded (oid, columns)
JOIN pg_attribute a ON a.attrelid = loaded.oid AND loaded.columns ? a.attname
JOIN pg_type t ON t.oid = a.atttypid
JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE NOT has_type_privilege(t.oid, 'USAGE')
ORDER BY 1

-- name: type_schemas
SELECT DISTINCT n.nspname::text
FROM unnest(%(oids)s::oid[], %(columns)s::jsonb[]) AS loaded (oid, columns)
JOIN pg_attribute a ON a.attrelid = loaded.oid AND loaded.columns ? a.attname
JOIN pg_type t ON t.oid = a.atttypid
JOIN pg_namespace n ON n.oid = t.typnamespace

-- name: database
SELECT current_database(), has_database_privilege(current_database(), 'CREATE'),
       has_database_privilege(current_database(), 'TEMPORARY')

-- name: ledger
SELECT has_schema_privilege(n.oid, 'CREATE'),
       EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND c.relname = 'rejects')
FROM pg_namespace n WHERE n.nspname = %(schema)s
