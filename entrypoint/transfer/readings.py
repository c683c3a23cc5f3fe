"""Read rows on both sides for a comparison: SQLite's through its row interface, PostgreSQL's as output text.

Owns the SQL that both sides are read by, and the way from there to what `decode` says they mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg import sql

from entrypoint.model import ColumnPlan
from entrypoint.postgres.queries import name_type
from entrypoint.sqlite.source import Cell, SourceDatabase
from entrypoint.transfer import decode
from entrypoint.transfer.cells import column_cell
from entrypoint.transfer.conversions import FaceMaker
from entrypoint.transfer.documents import UNSPOKEN, Meaning

BATCH_ROWS = 2000


def read_cell(source: SourceDatabase, column: ColumnPlan, faces: FaceMaker) -> str:
    """Return the cell for the row interface.

    A real that becomes text is spelled by SQLite itself; text that becomes bytes need not be valid text.
    """
    cell = column_cell(column)
    if column.redirect is not None:
        text = faces.make(column.conversion, cell).text
        return f"CASE WHEN {column.redirect} IS {text} THEN {cell} ELSE {column.redirect} END"
    if column.conversion.kind == "bytea" and source.encoding == "utf-8":
        return f"CASE typeof({cell}) WHEN 'text' THEN CAST({cell} AS BLOB) ELSE {cell} END"
    if column.conversion.kind == "text":
        return f"CASE typeof({cell}) WHEN 'real' THEN CAST({cell} AS TEXT) ELSE {cell} END"
    return cell


def show_cell(column: ColumnPlan) -> sql.Composed:
    """Return SQL for the text by which PostgreSQL shows a column of the table `t`."""
    template = decode.DECODERS[column.conversion.kind].output
    return sql.SQL(template).format(sql.SQL("t.{}").format(sql.Identifier(column.target.name)))


def expect_rows(
    connection: psycopg.Connection[Any],
    columns: list[ColumnPlan],
    rows: list[tuple[Cell, ...]],
    timezone: str,
) -> Iterator[tuple[Meaning, ...]]:
    """Yield what the cells of each row mean."""
    by_column = []
    for position, column in enumerate(columns):
        meanings = [decode.expect(column.conversion, row[position], timezone=timezone) for row in rows]
        if column.conversion.kind in decode.NORMALISED_KINDS:
            spoken = [meaning for meaning in meanings if meaning is not UNSPOKEN]
            normalised = iter(_normalise(connection, column, spoken))
            meanings = [meaning if meaning is UNSPOKEN else next(normalised) for meaning in meanings]
        by_column.append(meanings)
    return zip(*by_column, strict=True)


def _normalise(
    connection: psycopg.Connection[Any], column: ColumnPlan, texts: list[Meaning]
) -> list[Meaning]:
    """Send text through the type's own input and output functions."""
    row = connection.execute(
        sql.SQL(
            "SELECT array_agg(v::{}::text ORDER BY n) FROM unnest(%s::text[]) WITH ORDINALITY AS k (v, n)"
        ).format(name_type(column.target.type.name)),
        (texts,),
    ).fetchone()
    assert row is not None
    return list(row[0] or [])


def means(column: ColumnPlan, text: str | None, meaning: Meaning) -> bool:
    """Tell whether the text that PostgreSQL shows has this meaning."""
    try:
        return decode.read(column.conversion, text) == meaning
    except (ValueError, ArithmeticError):
        return False  # it shows what this type never shows


def read_row(columns: list[ColumnPlan], row: tuple[str | None, ...]) -> tuple[Meaning, ...] | None:
    """Return what a row of such texts means; None where it shows what these types never show."""
    try:
        return tuple(decode.read(column.conversion, text) for column, text in zip(columns, row, strict=True))
    except (ValueError, ArithmeticError):
        return None  # it shows what these types never show
