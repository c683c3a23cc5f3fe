"""Leave every sequence above all ids ever used: those in the table, and those SQLite once gave out.

Uses ALTER SEQUENCE … RESTART, which a rollback undoes, where setval() would stay.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import psycopg
from psycopg import sql

from entrypoint.model import ColumnPlan, TablePlan, TargetSequence


def advance_sequences(connection: psycopg.Connection[Any], tables: tuple[TablePlan, ...]) -> int:
    """Restart every sequence that would give out an id again; return how many were restarted."""
    used: dict[tuple[str, str], tuple[TargetSequence, list[int]]] = {}
    for table in tables:
        for column in table.target.columns:
            if column.sequence is None:
                continue
            key = (column.sequence.schema, column.sequence.name)
            _, ids = used.setdefault(key, (column.sequence, []))
            ids += _read_extremes(connection, table, column.name, column.sequence)
            ids += _read_autoincrement(table, column.name)
    return sum(_restart(connection, sequence, ids) for sequence, ids in used.values() if ids)


def _read_extremes(
    connection: psycopg.Connection[Any], table: TablePlan, column: str, sequence: TargetSequence
) -> list[int]:
    row = connection.execute(
        sql.SQL("SELECT {}({}) FROM {}").format(
            sql.SQL("max" if sequence.increment > 0 else "min"),
            sql.Identifier(column),
            sql.Identifier(table.target.schema, table.target.name),
        )
    ).fetchone()
    # A sequence may also feed a text column ('INV-' || nextval…): its cells say nothing of the sequence.
    is_number = row is not None and isinstance(row[0], int | float | Decimal) and math.isfinite(row[0])
    return [int(row[0])] if row is not None and is_number else []


def _read_autoincrement(table: TablePlan, column: str) -> list[int]:
    """Return SQLite's counter where this column takes the table's rowid alias."""
    if table.source.autoincrement is None or len(table.source.key) != 1:
        return []
    return [
        table.source.autoincrement
        for planned in table.columns
        if _is_fed_by_key(planned, table) and planned.target.name == column
    ]


def _is_fed_by_key(planned: ColumnPlan, table: TablePlan) -> bool:
    return planned.source is not None and planned.source.name == table.source.key[0]


def _restart(connection: psycopg.Connection[Any], sequence: TargetSequence, ids: list[int]) -> bool:
    name = sql.Identifier(sequence.schema, sequence.name)
    row = connection.execute(sql.SQL("SELECT last_value, is_called FROM {}").format(name)).fetchone()
    assert row is not None
    last_value, is_called = row
    upcoming = last_value + sequence.increment if is_called else last_value
    if sequence.increment > 0:
        needed = max(max(ids) + 1, sequence.minimum)
        is_enough = upcoming >= needed
    else:
        needed = min(min(ids) - 1, sequence.maximum)
        is_enough = upcoming <= needed
    if is_enough:
        return False
    if not sequence.minimum <= needed <= sequence.maximum:
        # The last id there is has been used: say so to whoever asks for the next one.
        last = sequence.maximum if sequence.increment > 0 else sequence.minimum
        connection.execute("SELECT setval(%s::regclass, %s, true)", (name.as_string(connection), last))
        return True
    connection.execute(sql.SQL("ALTER SEQUENCE {} RESTART WITH {}").format(name, sql.Literal(needed)))
    return True
