-- name: tables
-- Ordinary and partitioned tables that an unqualified name reaches, or would if the role might use their schema
-- of the search path; partitions are loaded through their parent.
WITH closed AS (
    SELECT n.oid, n.nspname, part.position
    FROM regexp_matches(current_setting('search_path'), '"((?:[^"]|"")*)"|([^",\s]+)', 'g')
        WITH ORDINALITY AS part (found, position)
    CROSS JOIN LATERAL (SELECT coalesce(replace(part.found[1], '""', '"'), lower(part.found[2])) AS name) named
    JOIN pg_namespace n ON n.nspname = CASE named.name WHEN '$user' THEN current_user ELSE named.name END
    WHERE NOT has_schema_privilege(n.oid, 'USAGE'))
SELECT c.oid, n.nspname, c.relname, c.relkind = 'p',
       pg_has_role(c.relowner, 'USAGE'),
       has_table_privilege(c.oid, 'UPDATE, DELETE, TRUNCATE'),  -- one of them (manual, "LOCK")
       row_security_active(c.oid)
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p')
  AND NOT c.relispartition
  AND n.nspname <> %(ledger_schema)s
  AND (n.nspname = ANY (current_schemas(false)) AND pg_table_is_visible(c.oid)
       OR c.oid IN (
           SELECT DISTINCT ON (t.relname) t.oid
           FROM pg_class t JOIN closed s ON s.oid = t.relnamespace
           WHERE NOT EXISTS (SELECT FROM pg_class v WHERE v.relname = t.relname AND pg_table_is_visible(v.oid))
           ORDER BY t.relname, s.position))
  AND NOT EXISTS (
      SELECT FROM pg_depend d
      WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY n.nspname, c.relname

-- name: unreachable
-- Tables that an application has, and an unqualified name does not reach.
SELECT n.nspname, c.relname
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND NOT pg_table_is_visible(c.oid)
  AND n.nspname <> %(ledger_schema)s AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%%'
ORDER BY 1, 2

-- name: columns
SELECT a.attrelid, a.attname,
       format_type(a.atttypid, a.atttypmod),
       base.typname, base.typtype::text, base.typmod, base.is_domain,
       element.typname,
       ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = base.oid ORDER BY e.enumsortorder),
       coalesce(element.typcategory, base.typcategory) IN ('S', 'E', 'R') OR EXISTS (
           SELECT FROM pg_operator o
           WHERE o.oprname = '=' AND (o.oprcanmerge OR o.oprcanhash)
             AND o.oprleft = coalesce(element.oid, base.oid) AND o.oprright = o.oprleft),
       a.attnotnull OR base.is_not_null,
       a.atthasdef OR a.attidentity <> ''
           OR EXISTS (SELECT FROM pg_type d WHERE d.oid = a.atttypid AND d.typdefault IS NOT NULL),
       a.attgenerated <> '',
       a.attidentity::text,
       (SELECT format('%%I.%%I', n.nspname, l.collname)
        FROM pg_type t JOIN pg_collation l ON l.oid = a.attcollation JOIN pg_namespace n ON n.oid = l.collnamespace
        WHERE t.oid = a.atttypid AND t.typcollation <> a.attcollation),
       CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) END,
       ARRAY(SELECT DISTINCT r.attname::text
             FROM pg_depend dep
             JOIN pg_attribute r ON r.attrelid = dep.refobjid AND r.attnum = dep.refobjsubid
             WHERE a.attgenerated <> '' AND dep.classid = 'pg_attrdef'::regclass AND dep.objid = d.oid
               AND dep.refclassid = 'pg_class'::regclass AND dep.refobjid = a.attrelid
               AND dep.refobjsubid NOT IN (0, a.attnum)),
       a.attgenerated = 's',
       sequence.schema, sequence.name, sequence.seqincrement, sequence.seqmin, sequence.seqmax,
       pg_has_role(sequence.relowner, 'USAGE'),
       (regexp_match(pg_get_expr(d.adbin, d.adrelid), '^\(*''((?:[^'']|'''')*)''::text \|\| '))[1]
FROM pg_attribute a
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
CROSS JOIN LATERAL (
    WITH RECURSIVE chain (oid, typmod, depth, is_not_null) AS (
        SELECT a.atttypid, a.atttypmod, 0, false
        UNION ALL
        SELECT t.typbasetype, t.typtypmod, chain.depth + 1, chain.is_not_null OR t.typnotnull
        FROM chain JOIN pg_type t ON t.oid = chain.oid
        WHERE t.typtype = 'd')
    SELECT t.oid, t.typname, t.typtype, t.typcategory, t.typelem, t.typlen, chain.typmod,
           chain.depth > 0 AS is_domain, chain.is_not_null
    FROM chain JOIN pg_type t ON t.oid = chain.oid
    ORDER BY chain.depth DESC
    LIMIT 1) base
LEFT JOIN pg_type element ON base.typcategory = 'A' AND element.oid = base.typelem
-- nextval('s'::text) finds its sequence when it runs, and depends on none (manual, "Sequence Manipulation Functions").
LEFT JOIN LATERAL (
    SELECT n.nspname AS schema, s.relname AS name, s.relowner, q.seqincrement, q.seqmin, q.seqmax
    FROM (
        SELECT CASE dep.classid WHEN 'pg_class'::regclass THEN dep.objid ELSE dep.refobjid END,
               CASE dep.classid WHEN 'pg_attrdef'::regclass THEN 1 ELSE 3 END
        FROM pg_depend dep
        WHERE (dep.classid = 'pg_attrdef'::regclass AND dep.objid = d.oid AND dep.refclassid = 'pg_class'::regclass)
           OR (dep.classid = 'pg_class'::regclass AND dep.refclassid = 'pg_class'::regclass
               AND dep.refobjid = a.attrelid AND dep.refobjsubid = a.attnum AND dep.deptype IN ('a', 'i'))
        UNION ALL
        SELECT to_regclass(replace(substring(pg_get_expr(d.adbin, d.adrelid) FROM
                   $$nextval\(\(+'((?:[^']|'')+)'::(?:text|character varying)\)$$), $$''$$, $$'$$)), 2
        ) AS feeds (sequence, preference)
    JOIN pg_class s ON s.oid = feeds.sequence AND s.relkind = 'S'
    JOIN pg_namespace n ON n.oid = s.relnamespace
    JOIN pg_sequence q ON q.seqrelid = s.oid
    ORDER BY feeds.preference
    LIMIT 1) sequence ON true
WHERE a.attrelid = ANY (%(oids)s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum

-- name: unique_indexes
-- Those that are enforced. Every part with the equality of its operator class, strategy 3 of a B-tree; a key WITHOUT
-- OVERLAPS is GiST's, and the overlaps it forbids are left to the load. A constraint's index depends on the constraint, which its columns stand for.
-- indnullsnotdistinct came with PostgreSQL 15.
SELECT i.indrelid, c.relname, i.indisprimary,
       coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false),
       pg_get_expr(i.indpred, i.indrelid, true),
       part.parts,
       ARRAY(SELECT a.attname::text
             FROM pg_attribute a
             WHERE a.attrelid = i.indrelid
               AND (a.attnum IN (SELECT k.attnum
                                 FROM unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (attnum, position)
                                 WHERE k.attnum <> 0 AND k.position <= i.indnkeyatts)
                    OR (i.indpred IS NOT NULL OR i.indexprs IS NOT NULL) AND a.attnum IN (
                        SELECT d.refobjsubid
                        FROM pg_depend d
                        WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
                          AND d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indrelid))
             ORDER BY a.attnum)
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
CROSS JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object(
               'expression', pg_get_indexdef(i.indexrelid, k.position::int, true),
               'collation', quote_ident(ln.nspname) || '.' || quote_ident(l.collname),
               'column', a.attname,
               'operator', coalesce('OPERATOR(' || quote_ident(o.nspname) || '.' || o.oprname || ')', '='),
               'is_deterministic', coalesce(l.collisdeterministic, true)) ORDER BY k.position) AS parts
    FROM unnest(i.indkey::smallint[], i.indclass::oid[], i.indcollation::oid[])
         WITH ORDINALITY AS k (attnum, opclass, coll, position)
    LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum <> 0
    LEFT JOIN pg_collation l ON l.oid = k.coll
    LEFT JOIN pg_namespace ln ON ln.oid = l.collnamespace
    LEFT JOIN LATERAL (
        SELECT n.nspname, o.oprname
        FROM pg_opclass oc
        JOIN pg_am am ON am.oid = oc.opcmethod AND am.amname = 'btree'
        JOIN pg_amop ao ON ao.amopfamily = oc.opcfamily AND ao.amopstrategy = 3
         AND ao.amoplefttype = oc.opcintype AND ao.amoprighttype = oc.opcintype
        JOIN pg_operator o ON o.oid = ao.amopopr
        JOIN pg_namespace n ON n.oid = o.oprnamespace
        WHERE oc.oid = k.opclass
        LIMIT 1) o ON true
    WHERE k.position <= i.indnkeyatts) part
WHERE i.indrelid = ANY (%(oids)s::oid[]) AND i.indisunique AND i.indisvalid
ORDER BY i.indrelid, i.indisprimary DESC, i.indnkeyatts, c.relname

-- name: foreign_keys
-- Those that are enforced: conenforced came with PostgreSQL 18.
SELECT f.conrelid, f.conname, n.nspname, r.relname, f.condeferrable, f.confmatchtype = 'f',
       ARRAY(SELECT a.attname::text FROM unnest(f.conkey) WITH ORDINALITY AS k (attnum, position)
             JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.attnum ORDER BY k.position),
       ARRAY(SELECT a.attname::text FROM unnest(f.confkey) WITH ORDINALITY AS k (attnum, position)
             JOIN pg_attribute a ON a.attrelid = f.confrelid AND a.attnum = k.attnum ORDER BY k.position)
FROM pg_constraint f
JOIN pg_class r ON r.oid = f.confrelid
JOIN pg_namespace n ON n.oid = r.relnamespace
WHERE f.contype = 'f' AND coalesce((to_jsonb(f) ->> 'conenforced')::boolean, true) AND f.conparentid = 0 AND f.conrelid = ANY (%(oids)s::oid[])
ORDER BY f.conrelid, f.conname

-- name: triggers
-- Of the tables and of their partitions, clones included: each is altered by itself, as each has its own state.
-- A trigger's type has a bit for each event (src/include/catalog/pg_trigger.h): 4 INSERT, 16 UPDATE.
SELECT tree.root, n.nspname, c.relname, t.tgname, t.tgenabled::text, t.tgtype & 4 <> 0
FROM unnest(%(oids)s::oid[]) AS root (oid)
CROSS JOIN LATERAL (
    SELECT root.oid AS root, root.oid AS relid
    UNION
    SELECT root.oid, p.relid FROM pg_partition_tree(root.oid) p) tree
JOIN pg_trigger t ON t.tgrelid = tree.relid AND NOT t.tgisinternal AND t.tgtype & 20 <> 0
 AND t.tgenabled IN ('A', CASE current_setting('session_replication_role') WHEN 'replica' THEN 'R' ELSE 'O' END)
JOIN pg_class c ON c.oid = t.tgrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
ORDER BY tree.root, n.nspname, c.relname, t.tgname

-- name: rules
SELECT r.ev_class, n.nspname, c.relname, r.rulename, r.ev_enabled::text, r.ev_type = '3'
FROM pg_rewrite r
JOIN pg_class c ON c.oid = r.ev_class
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE r.ev_class = ANY (%(oids)s::oid[]) AND r.ev_type IN ('2', '3')
  AND r.ev_enabled IN ('A', CASE current_setting('session_replication_role') WHEN 'replica' THEN 'R' ELSE 'O' END)
ORDER BY r.ev_class, r.rulename

-- name: checks
-- Those of the table, those that its partitions have of their own, and that some partition takes the row.
-- One over whole rows or system columns cannot be evaluated over a part of them. conenforced came with PostgreSQL 18.
WITH leaves AS MATERIALIZED (
    SELECT root.oid AS root, tree.relid, pg_get_partition_constraintdef(tree.relid) AS bounds
    FROM unnest(%(oids)s::oid[]) AS root (oid)
    JOIN pg_partitioned_table p ON p.partrelid = root.oid
    CROSS JOIN LATERAL pg_partition_tree(root.oid) tree
    WHERE tree.isleaf AND tree.relid <> root.oid),
bounded AS (  -- a column of a partition key depends on its table (src/backend/catalog/heap.c)
    SELECT DISTINCT root.oid AS root, a.attname
    FROM unnest(%(oids)s::oid[]) AS root (oid)
    JOIN pg_partitioned_table p ON p.partrelid = root.oid
    CROSS JOIN LATERAL pg_partition_tree(root.oid) tree
    JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.refclassid = d.classid AND d.deptype = 'i'
     AND d.objid = tree.relid AND d.refobjid = tree.relid AND d.refobjsubid = 0
    JOIN pg_attribute a ON a.attrelid = tree.relid AND a.attnum = d.objsubid),
found AS (
    SELECT c.conrelid AS root, c.conname, pg_get_expr(c.conbin, c.conrelid) AS expression, c.convalidated,
           c.conrelid, c.conkey
    FROM pg_constraint c
    WHERE c.contype = 'c' AND coalesce((to_jsonb(c) ->> 'conenforced')::boolean, true)
      AND c.conrelid = ANY (%(oids)s::oid[])
    UNION ALL
    SELECT l.root, c.conname,
           concat('(' || l.bounds || ') IS FALSE OR ', '(', pg_get_expr(c.conbin, c.conrelid), ')'),
           c.convalidated, c.conrelid,
           c.conkey || ARRAY(
               SELECT a.attnum FROM pg_attribute a JOIN bounded b ON b.attname = a.attname
               WHERE a.attrelid = l.relid AND b.root = l.root)
    FROM leaves l
    JOIN pg_constraint c ON c.conrelid = l.relid AND c.contype = 'c'
    WHERE coalesce((to_jsonb(c) ->> 'conenforced')::boolean, true)
      AND NOT EXISTS (SELECT FROM pg_constraint r WHERE r.conrelid = l.root AND r.conname = c.conname))
SELECT root, conname, expression, convalidated,
       ARRAY(SELECT DISTINCT a.attname::text FROM pg_attribute a WHERE a.attrelid = conrelid AND a.attnum = ANY (conkey))
FROM found
WHERE 0 < ALL (conkey)
UNION ALL
SELECT root.oid, '', coalesce(string_agg('(' || l.bounds || ')', ' OR '), 'false'), true,
       ARRAY(SELECT b.attname::text FROM bounded b WHERE b.root = root.oid)
FROM unnest(%(oids)s::oid[]) AS root (oid)
JOIN pg_partitioned_table p ON p.partrelid = root.oid
LEFT JOIN leaves l ON l.root = root.oid
GROUP BY root.oid
HAVING count(*) FILTER (WHERE l.relid IS NOT NULL AND l.bounds IS NULL) = 0
ORDER BY 1, 2

-- name: free_sequences
-- Those of no identity, serial column or column default.
SELECT n.nspname, c.relname
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'S'
  AND n.nspname = ANY (current_schemas(false))
  AND n.nspname <> %(ledger_schema)s
  AND NOT EXISTS (
      SELECT FROM pg_depend d
      WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i', 'e'))
  AND NOT EXISTS (
      SELECT FROM pg_depend d
      WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND d.classid = 'pg_attrdef'::regclass)
ORDER BY n.nspname, c.relname
