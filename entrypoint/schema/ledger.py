"""Reads and writes of the ledger's `schema_migrations` table.

Owns its rows; the table's definition is `postgres/ledger.sql`. Decides nothing: what the rows mean is
`state`, when they are written is `apply`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql

from entrypoint import __version__
from entrypoint.errors import NotPermittedError, SchemaError
from entrypoint.postgres.ledger import ensure_ledger
from entrypoint.schema.migration import AppliedMigration, Migration

# Times come as seconds since 1970: psycopg reads no timestamptz in DateStyle German, which a role or the file
# before may have set.
_READ = """
    SELECT version, name, checksum, state, extract(epoch FROM applied_at)::double precision, duration_s
    FROM {table}
"""
_WRITE = """
    INSERT INTO {table} AS present
        (version, name, checksum, state, applied_at, duration_s, entrypoint_version)
    VALUES (%(version)s, %(name)s, %(checksum)s, %(state)s, clock_timestamp(), %(duration_s)s, %(program)s)
    ON CONFLICT (version) DO UPDATE
    SET name = excluded.name, checksum = excluded.checksum, state = excluded.state,
        applied_at = excluded.applied_at, duration_s = excluded.duration_s,
        entrypoint_version = excluded.entrypoint_version
    WHERE present.state = 'started'
    RETURNING extract(epoch FROM present.applied_at)::double precision
"""


def applied_query(ledger_schema: str) -> sql.Composed:
    """Return the query whose rows `rows_to_applied` understands; the table has to be there."""
    return sql.SQL(_READ).format(table=_table(ledger_schema))


def rows_to_applied(rows: Iterable[tuple[Any, ...]]) -> tuple[AppliedMigration, ...]:
    """Make values of the rows of `applied_query`."""
    return tuple(
        AppliedMigration(
            version=int(version),
            name=name,
            checksum=checksum,
            state=state,
            applied_at=_make_time(epoch_s),
            duration_s=duration_s,
        )
        for version, name, checksum, state, epoch_s, duration_s in rows
    )


def read_applied(connection: psycopg.Connection[Any], ledger_schema: str) -> tuple[AppliedMigration, ...]:
    """Return every row of the ledger, in no order; none where the ledger does not exist yet."""
    found = connection.execute(
        "SELECT to_regclass(format('%%I.schema_migrations', %s::text)) IS NOT NULL", (ledger_schema,)
    ).fetchone()
    if found is None or not found[0]:
        return ()
    return rows_to_applied(connection.execute(applied_query(ledger_schema)).fetchall())


def prepare_ledger(connection: psycopg.Connection[Any], ledger_schema: str) -> None:
    """Create the ledger where it is missing.

    Raises:
        NotPermittedError: the role may not create it.
    """
    try:
        ensure_ledger(connection, ledger_schema)
    except psycopg.errors.InsufficientPrivilege as error:
        user = connection.info.user
        raise NotPermittedError(
            f"role {user} may not create the ledger ({error.diag.message_primary})",
            where=f"schema {ledger_schema}",
            remedy=f"grant CREATE on database {connection.info.dbname} to {user}, "
            f"or create the schema with {user} as its owner",
        ) from error


def write_row(
    connection: psycopg.Connection[Any],
    ledger_schema: str,
    migration: Migration,
    *,
    state: str,
    duration_s: float | None = None,
) -> AppliedMigration:
    """Write a migration's row, in the transaction that is open, new or in place of a started one.

    Raises:
        SchemaError: it has been recorded meanwhile, so that it must not be applied a second time.
    """
    row = connection.execute(
        sql.SQL(_WRITE).format(table=_table(ledger_schema)),
        {
            "version": migration.version,
            "name": migration.name,
            "checksum": migration.checksum,
            "state": state,
            "duration_s": duration_s,
            "program": __version__,
        },
    ).fetchone()
    if row is None:
        raise SchemaError(
            "was applied by someone else at the same time",
            where=migration.label,
            remedy="start again; what this run did of it was rolled back",
        )
    return AppliedMigration(
        version=migration.version,
        name=migration.name,
        checksum=migration.checksum,
        state=state,
        applied_at=_make_time(row[0]),
        duration_s=duration_s,
    )


def delete_row(connection: psycopg.Connection[Any], ledger_schema: str, version: int) -> None:
    """Forget a migration."""
    statement = sql.SQL("DELETE FROM {} WHERE version = %s").format(_table(ledger_schema))
    connection.execute(statement, (version,))


def change_state(
    connection: psycopg.Connection[Any],
    ledger_schema: str,
    version: int,
    *,
    state: str,
    checksum: str | None = None,
) -> None:
    """Change the state, and the checksum where one is given, of a row that is there."""
    statement = sql.SQL("UPDATE {} SET state = %s, checksum = coalesce(%s, checksum) WHERE version = %s")
    connection.execute(statement.format(_table(ledger_schema)), (state, checksum, version))


def _make_time(epoch_s: float) -> datetime:
    return datetime.fromtimestamp(epoch_s, UTC)


def _table(ledger_schema: str) -> sql.Composed:
    return sql.SQL("{}.schema_migrations").format(sql.Identifier(ledger_schema))
