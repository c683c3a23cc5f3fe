"""The ledger's tables: created once, under the bootstrap lock, in a schema of their own.

Owns their definition only. What stands in them belongs to `schema.ledger` and `transfer.ledger`.
"""

from __future__ import annotations

from importlib import resources
from typing import Any

import psycopg
from psycopg import sql


def is_ledger_present(connection: psycopg.Connection[Any], schema: str) -> bool:
    """Tell whether the ledger's newest table stands in `schema`."""
    row = connection.execute(
        "SELECT to_regclass(format('%%I.rejects', %s::text)) IS NOT NULL", (schema,)
    ).fetchone()
    return row is not None and bool(row[0])


def ensure_ledger(connection: psycopg.Connection[Any], schema: str) -> None:
    """Create the ledger's schema and tables where they are missing; safe to call again.

    Existence is looked up first, because CREATE SCHEMA IF NOT EXISTS asks for the privilege even when
    there is nothing to create.
    """
    if is_ledger_present(connection, schema):
        return
    statements = resources.files(__package__).joinpath("ledger.sql").read_text(encoding="utf-8")
    with connection.transaction():
        connection.execute(sql.SQL(statements).format(schema=sql.Identifier(schema)))
