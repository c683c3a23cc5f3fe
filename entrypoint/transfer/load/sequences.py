"""Leave every sequence above all ids ever used: those in the table, and those SQLite once gave out.

ALTER SEQUENCE … RESTART, which a rollback undoes, asks for ownership. A role that has UPDATE on a sequence
instead moves it by setval(), which stays after a rollback: ids are left out then, none is given out twice.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import psycopg
from psycopg import sql

from entrypoint.model import ColumnPlan, TablePlan, TargetSequence


def advance_sequences(connection: psycopg.Connection[Any], tables: tuple[TablePlan, ...]) -> int:
    """Move every sequence that would give out an id again; return how many were moved.

    Called as late as can be, so that nothing but the commit itself may fail afterwards.
    """
    used: dict[tuple[str, str], tuple[TargetSequence, list[int]]] = {}
    for table in tables:
        for column in table.target.columns:
            sequence = column.sequence
            if sequence is None or not (table.rows_taken or has_counter(table, column.name)):
                continue
            _, ids = used.setdefault((sequence.schema, sequence.name), (sequence, []))
            ids += _read_extremes(connection, table, column.name, sequence)
            ids += _read_autoincrement(table, column.name)
    return sum(_move(connection, sequence, ids) for sequence, ids in used.values() if ids)


def has_counter(table: TablePlan, column: str) -> bool:
    """Tell whether SQLite counted the ids that go into a column (AUTOINCREMENT)."""
    return bool(_read_autoincrement(table, column))


def _read_extremes(
    connection: psycopg.Connection[Any], table: TablePlan, column: str, sequence: TargetSequence
) -> list[int]:
    value: sql.Composable = sql.Identifier(column)
    condition: sql.Composable = sql.SQL("true")
    if sequence.prefix:  # a text column ('INV-' || nextval…): of the texts like those its default makes
        digits = sql.SQL("substr({}, {})").format(value, sql.Literal(len(sequence.prefix) + 1))
        condition = sql.SQL("starts_with({}, {}) AND {} ~ '^[0-9]{{1,18}}$'").format(
            value, sql.Literal(sequence.prefix), digits
        )
        value = sql.SQL("CASE WHEN {} THEN {}::bigint END").format(condition, digits)
    statement = sql.SQL("SELECT {}({}) FROM {} WHERE {}").format(
        sql.SQL("max" if sequence.increment > 0 else "min"),
        value,
        sql.Identifier(table.target.schema, table.target.name),
        condition,
    )
    row = connection.execute(statement).fetchone()
    # Other texts say nothing of the sequence that is a part of them.
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


def _move(connection: psycopg.Connection[Any], sequence: TargetSequence, ids: list[int]) -> bool:
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
    is_exhausted = not sequence.minimum <= needed <= sequence.maximum
    if is_exhausted:  # the last id there is has been used: say so to whoever asks for the next one
        needed = sequence.maximum if sequence.increment > 0 else sequence.minimum
    if sequence.is_owned:
        connection.execute(sql.SQL("ALTER SEQUENCE {} RESTART WITH {}").format(name, sql.Literal(needed)))
        if is_exhausted:
            connection.execute("SELECT nextval(%s::regclass)", (name.as_string(connection),))
    else:
        # Other sessions take ids meanwhile; it never goes back.
        beyond = sql.SQL("last_value < {}" if sequence.increment > 0 else "last_value > {}")
        connection.execute(
            sql.SQL("SELECT setval({}::regclass, {}, {}) FROM {} WHERE NOT is_called OR {}").format(
                sql.Literal(name.as_string(connection)),
                sql.Literal(needed),
                sql.Literal(is_exhausted),
                name,
                beyond.format(sql.Literal(needed)),
            )
        )
    return True
