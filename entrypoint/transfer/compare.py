"""Compare the cells of the source with their counterparts in PostgreSQL, by another path than the load's.

Owns the comparison: SQLite's cells come through its row interface, PostgreSQL's through the text of its
output functions, and `decode` tells whether they mean the same. Judges nothing by what it finds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import psycopg
from psycopg import sql

from entrypoint.model import ColumnPlan, TablePlan
from entrypoint.postgres.catalog import own_rows
from entrypoint.postgres.queries import allow_parameters, name_sent, name_type, send_rows, sent_rows
from entrypoint.sqlite.failures import translate_errors
from entrypoint.sqlite.source import Cell, SourceDatabase
from entrypoint.transfer import decode
from entrypoint.transfer.cells import VALUE_WIDTH, column_cell, column_faces, show_key, taken_rows
from entrypoint.transfer.conversions import FaceMaker

_BATCH_ROWS = 2000
_DIFFERENCES_SHOWN = 5
# Rows of a table without a key are compared as hashes, in as many passes as keep them small in memory.
_HASHES_A_PASS = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A cell, or a row (`column` None), that PostgreSQL holds otherwise than the source."""

    table: str
    key: str
    column: str | None
    expected: str
    found: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a comparison of cells found.

    Attributes:
        rows: compared.
        differing: of those, the ones with a difference or without a counterpart.
        missing: of those, the ones without a counterpart.
        differences: the first few.
    """

    rows: int
    differing: int
    differences: tuple[Difference, ...]
    missing: int = 0


def describe_difference(difference: Difference) -> str:
    """Return a difference in one clause."""
    place = difference.table + (f".{difference.column}" if difference.column else "")
    return (
        f"{place} ({difference.key}): {difference.expected} in the source, {difference.found} in PostgreSQL"
    )


def compare_table(
    connection: psycopg.Connection[Any],
    source: SourceDatabase,
    table: TablePlan,
    faces: FaceMaker,
    *,
    timezone: str,
    sample: int | None = None,
    is_alone: bool = False,
) -> Verdict:
    """Compare the cells of one table's rows with their counterparts in PostgreSQL.

    Args:
        connection: inside a transaction.
        source: open.
        table: its plan, with units.
        faces: finds a row's counterpart by its key.
        timezone: of naive timestamps going into timestamptz.
        sample: compare so many random rows only; rows without a key cannot be sampled.
        is_alone: the target holds nothing but these rows.
    """
    with translate_errors(source.path):
        if table.key:
            return _compare_by_key(connection, source, table, faces, timezone, sample)
        return _compare_multiset(connection, source, table, faces, timezone, is_alone=is_alone)


def _compare_by_key(
    connection: psycopg.Connection[Any],
    source: SourceDatabase,
    table: TablePlan,
    faces: FaceMaker,
    timezone: str,
    sample: int | None,
) -> Verdict:
    by_target = {column.target.name: column for column in table.columns}
    keys = [column_faces(faces, by_target[name]).text for name in table.key]
    compared = [column for column in table.columns if column.source is not None]
    order = f" ORDER BY random() LIMIT {sample}" if sample is not None else ""
    cells = ", ".join([*keys, *(_read_cell(source, column, faces) for column in compared)])
    rows = source.connection.execute(f"SELECT {cells} FROM {taken_rows(table)}{order}")
    statement = _select_counterparts(table, compared)
    count = differing = missing = 0
    differences: list[Difference] = []
    while batch := list(islice(rows, _BATCH_ROWS)):
        found = {
            row[0]: row[1:]
            for row in connection.execute(statement, send_rows(batch, len(table.key))).fetchall()
        }
        expected = _expect_rows(connection, compared, [row[len(keys) :] for row in batch], timezone)
        for position, meanings in enumerate(expected, start=1):
            key = show_key(table.key, map(_show, batch[position - 1]))
            wrong = _compare_row(table, key, compared, meanings, found.get(position))
            differing += bool(wrong)
            missing += position not in found
            differences += wrong[: _DIFFERENCES_SHOWN - len(differences)]
        count += len(batch)
    return Verdict(rows=count, differing=differing, differences=tuple(differences), missing=missing)


def _read_cell(source: SourceDatabase, column: ColumnPlan, faces: FaceMaker) -> str:
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


def _select_counterparts(table: TablePlan, compared: list[ColumnPlan]) -> sql.Composed:
    types = {column.target.name: column.target for column in table.columns}
    matches = [
        sql.SQL("t.{} {} k.{}::{}").format(
            sql.Identifier(name),
            sql.SQL("=" if types[name].is_not_null else "IS NOT DISTINCT FROM"),
            alias,
            name_type(types[name].type.name),
        )
        for name, alias in zip(table.key, name_sent(len(table.key)), strict=True)
    ]
    statement = sql.SQL("SELECT k.n, {} FROM {} JOIN {} t ON {}").format(
        sql.SQL(", ").join(_output(column) for column in compared),
        sent_rows(len(table.key)),
        own_rows(table.target),
        sql.SQL(" AND ").join(matches),
    )
    return allow_parameters(statement)


def _output(column: ColumnPlan) -> sql.Composed:
    template = decode.DECODERS[column.conversion.kind].output
    return sql.SQL(template).format(sql.SQL("t.{}").format(sql.Identifier(column.target.name)))


def _expect_rows(
    connection: psycopg.Connection[Any],
    columns: list[ColumnPlan],
    rows: list[tuple[Cell, ...]],
    timezone: str,
) -> Iterator[tuple[decode.Meaning, ...]]:
    by_column = []
    for position, column in enumerate(columns):
        meanings = [decode.expect(column.conversion, row[position], timezone=timezone) for row in rows]
        if column.conversion.kind in decode.NORMALISED_KINDS:
            spoken = [meaning for meaning in meanings if meaning is not decode.UNSPOKEN]
            normalised = iter(_normalise(connection, column, spoken))
            meanings = [meaning if meaning is decode.UNSPOKEN else next(normalised) for meaning in meanings]
        by_column.append(meanings)
    return zip(*by_column, strict=True)


def _normalise(
    connection: psycopg.Connection[Any], column: ColumnPlan, texts: list[decode.Meaning]
) -> list[decode.Meaning]:
    """Send text through the type's own input and output functions."""
    row = connection.execute(
        sql.SQL(
            "SELECT array_agg(v::{}::text ORDER BY n) FROM unnest(%s::text[]) WITH ORDINALITY AS k (v, n)"
        ).format(name_type(column.target.type.name)),
        (texts,),
    ).fetchone()
    assert row is not None
    return list(row[0] or [])


def _compare_row(
    table: TablePlan,
    key: str,
    columns: list[ColumnPlan],
    meanings: tuple[decode.Meaning, ...],
    found: tuple[str | None, ...] | None,
) -> list[Difference]:
    if found is None:
        return [Difference(table=table.source.name, key=key, column=None, expected="a row", found="none")]
    return [
        Difference(
            table=table.source.name,
            key=key,
            column=column.target.name,
            expected=_show(meaning),
            found=_show(text),
        )
        for column, meaning, text in zip(columns, meanings, found, strict=True)
        if not _means(column, text, meaning)
    ]


def _means(column: ColumnPlan, text: str | None, meaning: decode.Meaning) -> bool:
    try:
        return decode.read(column.conversion, text) == meaning
    except (ValueError, ArithmeticError):
        return False  # it shows what this type never shows


def _show(value: object) -> str:
    shown = value.hex() if isinstance(value, bytes) else "NULL" if value is None else str(value)
    return shown if len(shown) <= VALUE_WIDTH else shown[: VALUE_WIDTH - 1] + "…"


# --- rows without a key --------------------------------------------------------------------------


def _compare_multiset(
    connection: psycopg.Connection[Any],
    source: SourceDatabase,
    table: TablePlan,
    faces: FaceMaker,
    timezone: str,
    *,
    is_alone: bool,
) -> Verdict:
    """Count each distinct row on both sides, as hashes, a part of them at a time."""
    # Hashes cannot leave a cell open, as arrays of documents have to be.
    compared = [column for column in table.columns if column.source and column.conversion.kind != "array"]
    if not compared:
        return Verdict(rows=table.rows_taken, differing=0, differences=())
    passes = table.rows_taken // _HASHES_A_PASS + 1
    missing = extra = 0
    for part in range(passes):
        counts: dict[int, int] = {}
        for digest in _hash_source(connection, source, table, compared, faces, timezone):
            if digest % passes == part:
                counts[digest] = counts.get(digest, 0) + 1
        for digest in _hash_target(connection, table, compared):
            if digest % passes == part:
                counts[digest] = counts.get(digest, 0) - 1
        missing += sum(count for count in counts.values() if count > 0)
        extra -= sum(count for count in counts.values() if count < 0)
    differing = missing + (extra if is_alone else 0)
    differences = (
        Difference(
            table=table.source.name,
            key="no key",
            column=None,
            expected=f"{missing} row(s)",
            found=f"{extra} other row(s)",
        ),
    )
    return Verdict(rows=table.rows_taken, differing=differing, differences=differences if differing else ())


def _hash_source(
    connection: psycopg.Connection[Any],
    source: SourceDatabase,
    table: TablePlan,
    columns: list[ColumnPlan],
    faces: FaceMaker,
    timezone: str,
) -> Iterator[int]:
    cells = ", ".join(_read_cell(source, column, faces) for column in columns)
    rows = source.connection.execute(f"SELECT {cells} FROM {taken_rows(table)}")
    while batch := list(islice(rows, _BATCH_ROWS)):
        yield from map(hash, _expect_rows(connection, columns, batch, timezone))


def _hash_target(
    connection: psycopg.Connection[Any], table: TablePlan, columns: list[ColumnPlan]
) -> Iterator[int]:
    statement = sql.SQL("SELECT {} FROM {} t").format(
        sql.SQL(", ").join(_output(column) for column in columns),
        own_rows(table.target),
    )
    with connection.cursor(name="entrypoint_verify") as cursor:
        cursor.itersize = _BATCH_ROWS
        for row in cursor.execute(statement):
            yield hash(_read_row(columns, row))


def _read_row(columns: list[ColumnPlan], row: tuple[str | None, ...]) -> tuple[decode.Meaning, ...] | None:
    try:
        return tuple(decode.read(column.conversion, text) for column, text in zip(columns, row, strict=True))
    except (ValueError, ArithmeticError):
        return None  # it shows what these types never show
