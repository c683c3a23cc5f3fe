"""Keep other writers out of tables for the length of a transaction, and say who stands in the way.

Owns the table locks of a load. The advisory lock between bootstrappers is `lock`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from entrypoint.errors import DeadlineExceededError

# What SHARE ROW EXCLUSIVE waits for (manual, "Table-Level Locks").
_CONFLICTING = [
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
]
_HOLDERS = """
    SELECT DISTINCT l.pid, coalesce(a.usename, '?'), coalesce(nullif(a.application_name, ''), 'unnamed'),
           l.relation::regclass::text
    FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'relation' AND l.granted AND l.mode = ANY (%(modes)s) AND l.pid <> pg_backend_pid()
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.relation IN (
          SELECT part.relid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          CROSS JOIN LATERAL (SELECT c.oid AS relid UNION SELECT relid FROM pg_partition_tree(c.oid)) part
          JOIN unnest(%(schemas)s::text[], %(tables)s::text[]) AS t (schema, name)
            ON t.schema = n.nspname AND t.name = c.relname)
    ORDER BY 1 LIMIT 3
"""


def lock_tables(connection: psycopg.Connection[Any], names: Sequence[tuple[str, str]]) -> None:
    """Let nobody else write into the tables until the transaction ends; readers go on.

    Args:
        connection: inside a transaction, whose lock_timeout counts.
        names: (schema, table).

    Raises:
        DeadlineExceededError: others hold one of them for too long, with their processes.
    """
    statement = sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(
        sql.SQL(", ").join(sql.Identifier(*name) for name in names)
    )
    try:
        with connection.transaction():
            connection.execute(statement)
    except psycopg.errors.LockNotAvailable as error:
        holders = _describe_holders(connection, names)
        raise DeadlineExceededError(
            "another session holds a table that is to be loaded" + (f": {holders}" if holders else ""),
            where="locking the tables",
            remedy="stop it (pg_terminate_backend ends a process), or start again later",
        ) from error


def _describe_holders(connection: psycopg.Connection[Any], names: Sequence[tuple[str, str]]) -> str:
    rows = connection.execute(
        _HOLDERS,
        {
            "modes": _CONFLICTING,
            "schemas": [schema for schema, _ in names],
            "tables": [table for _, table in names],
        },
    )
    return "; ".join(
        f"process {pid} of {role} ({application}) holds {table}" for pid, role, application, table in rows
    )
