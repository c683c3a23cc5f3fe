"""Leave every sequence above all ids ever used: those in the table, those of rows that were left aside or for
which others stand, and those SQLite once gave out.

ALTER SEQUENCE … RESTART, which a rollback undoes, asks for ownership. A role that has UPDATE on a sequence
instead moves it by setval(), which stays after a rollback: ids are left out then, none is given out twice.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import psycopg
from psycopg import sql

from entrypoint import log
from entrypoint.model import ColumnPlan, TablePlan, TargetSequence
from entrypoint.sqlite.failures import translate_errors
from entrypoint.sqlite.introspect import quote
from entrypoint.sqlite.source import SourceDatabase
from entrypoint.transfer.cells import column_faces
from entrypoint.transfer.conversions import FaceMaker


def advance_sequences(
    connection: psycopg.Connection[Any],
    tables: tuple[TablePlan, ...],
    source: SourceDatabase,
    faces: FaceMaker,
) -> int:
    """Move every sequence that would give out an id again; return how many were moved.

    Called as late as can be, so that nothing but the commit itself may fail afterwards.

    Args:
        connection: inside the load's transaction.
        tables: loaded.
        source: still open.
        faces: of the census.
    """
    used: dict[tuple[str, str], tuple[TargetSequence, list[int]]] = {}
    for table in tables:
        for column in table.target.columns:
            sequence = column.sequence
            if sequence is None or not (table.rows or has_counter(table, column.name)):
                continue
            _, ids = used.setdefault((sequence.schema, sequence.name), (sequence, []))
            ids += _read_extremes(connection, table, column.name, sequence)
            ids += _read_left_out(source, faces, table, column.name, sequence)
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


def _read_left_out(
    source: SourceDatabase, faces: FaceMaker, table: TablePlan, column: str, sequence: TargetSequence
) -> list[int]:
    """Return the last id of the source where rows were left out: it is theirs, if they come back."""
    if table.rows_taken == table.rows:
        return []
    planned = next((planned for planned in table.columns if planned.target.name == column), None)
    if planned is None or planned.source is None or planned.conversion.kind != "integer":
        return []
    number = f"CAST({column_faces(faces, planned).text} AS INTEGER)"
    extreme = "max" if sequence.increment > 0 else "min"
    with translate_errors(source.path):
        row = source.connection.execute(
            f"SELECT {extreme}({number}) FROM {quote(table.source.name)}"
        ).fetchone()
    return [int(str(row[0]))] if row is not None and row[0] is not None else []


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
        log.get_logger().warning(
            "sequence_exhausted",
            sequence=name.as_string(connection),
            used=max(ids, key=abs),
            last=sequence.maximum if sequence.increment > 0 else sequence.minimum,
            meaning="ids beyond its end were used, so that the next INSERT that asks it for one will fail",
            remedy="widen the column and its sequence: ALTER TABLE … ALTER COLUMN … TYPE bigint; "
            "ALTER SEQUENCE … AS bigint",
        )
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
