"""What another migration tool says about a database that it has migrated so far.

Owns the bookkeeping tables of the tools whose layouts are read, only to name in an error the version
that `--baseline` probably wants. Decides and changes nothing: the user does.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from entrypoint.errors import SchemaError
from entrypoint.schema.migration import Migration, parse_version, spell_version

# Table, the tools that have it, and the newest version in it as text.
_BOOKS = (
    (
        "_prisma_migrations",
        "Prisma",
        "SELECT substring(max(migration_name) FROM '^[0-9]+') FROM {} "
        "WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL",
    ),
    ("goose_db_version", "goose", "SELECT max(version_id)::text FROM {} WHERE is_applied"),
    ("__diesel_schema_migrations", "diesel", "SELECT max(version)::text FROM {}"),
    (
        "flyway_schema_history",
        "Flyway",
        "SELECT version FROM {} WHERE success AND version IS NOT NULL ORDER BY installed_rank DESC LIMIT 1",
    ),
    ("_sqlx_migrations", "sqlx", "SELECT max(version)::text FROM {} WHERE success"),
    (
        "schema_migrations",
        "golang-migrate or dbmate",
        "SELECT max(version::text::numeric)::text FROM {} WHERE version::text ~ '^[0-9]+$'",
    ),
)

# An ordinary table where unqualified names resolve, neither ours nor an extension's.
_FOREIGN_TABLES = """
    SELECT n.nspname, c.relname, format('%%I.%%I', n.nspname, c.relname)
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
      AND n.nspname = ANY (pg_catalog.current_schemas(false)) AND n.nspname <> %s
      AND NOT EXISTS (
          SELECT FROM pg_catalog.pg_depend d
          WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
      )
    ORDER BY 1, 2
"""
_MOST_NAMES = 3


def refuse_unknown_tables(
    connection: psycopg.Connection[Any], *, ledger_schema: str, pending: tuple[Migration, ...]
) -> None:
    """Refuse to apply migrations to a database that has tables and no row in the ledger.

    Only to be asked when there are pending migrations and no row at all. A table is any ordinary or
    partitioned one in a schema of the search path, other than the ledger's and extensions' own.

    Raises:
        SchemaError: there are such tables; says how to adopt them.
    """
    tables = connection.execute(_FOREIGN_TABLES, (ledger_schema,)).fetchall()
    if not tables:
        return
    names = ", ".join(display for _, _, display in tables[:_MOST_NAMES])
    more = ", …" if len(tables) > _MOST_NAMES else ""
    hint = _read_books(connection, {name: schema for schema, name, _ in tables}, pending)
    raise SchemaError(
        f"has tables ({names}{more}) that no migration in the ledger has made",
        where=f"database {connection.info.dbname}",
        remedy="say which migrations it already contains with `entrypoint schema up --baseline VERSION`"
        + hint,
    )


def _read_books(
    connection: psycopg.Connection[Any], schema_of: dict[str, str], pending: tuple[Migration, ...]
) -> str:
    """Return what to say about the version, with the newest that a tool's table and the files both know."""
    versions = {migration.version for migration in pending}
    for table, tool, query in _BOOKS:
        if table not in schema_of:
            continue
        try:
            row = connection.execute(
                sql.SQL(query).format(sql.Identifier(schema_of[table], table))
            ).fetchone()
            newest = parse_version(row[0]) if row and row[0] else None
        except (psycopg.Error, SchemaError):  # an application's own table of that name, or not ours to read
            continue
        if newest in versions:
            return f"; according to {table} ({tool}) that is {spell_version(newest)}"
    return f", {spell_version(pending[-1].version)} if it contains all of them"
