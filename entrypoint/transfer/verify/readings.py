"""Read rows on both sides for a comparison: SQLite's through its row interface, PostgreSQL's as output text.

Owns the SQL that both sides are read by, and the way from there to what `decode` says they mean. With the
load it shares the plan (which column goes where, in which unit) and the condition of the rows that are
taken; of `conversions` it uses nothing but the SQL that finds a row by its key.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from psycopg import sql

from entrypoint.model import ColumnPlan, Conversion, TablePlan
from entrypoint.postgres.catalog import own_rows
from entrypoint.postgres.queries import name_type
from entrypoint.sqlite.source import Cell, SourceDatabase
from entrypoint.transfer.cells import column_cell, find_row_identity, taken_rows
from entrypoint.transfer.conversions import FaceMaker
from entrypoint.transfer.verify import decode
from entrypoint.transfer.verify.documents import Meaning
from entrypoint.transfer.verify.showing import show_meaning, show_pair
from entrypoint.transfer.verify.verdict import Difference, OutOfTimeError

# What is held of each side at once: many small rows, or a few large ones.
BATCH_ROWS = 2000
_BATCH_BYTES = 8 * 1024 * 1024

_CELLS_SHOWN = 3

# True for a row of `t` that this transaction wrote. Others may have begun and committed after it got its
# number (manual, "System Columns" and "Transaction ID and Snapshot Information Functions").
WRITTEN_HERE = sql.SQL(
    "(age(t.xmin) <= 0 AND 'in progress' IS NOT DISTINCT FROM"
    " pg_xact_status((pg_current_xact_id_if_assigned()::text::numeric - age(t.xmin))::text::xid8))"
)

Row = tuple[Cell, ...]
Texts = tuple[str | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """What is compared, and how far.

    Attributes:
        connection: inside a transaction.
        source: open.
        faces: finds a row's counterpart by its key, and is not trusted with its cells.
        timezone: of naive timestamps going into timestamptz.
        deadline: by `time.monotonic()`; passing it raises OutOfTimeError.
    """

    connection: psycopg.Connection[Any]
    source: SourceDatabase
    faces: FaceMaker
    timezone: str
    deadline: float | None = None

    def read_source(
        self, table: TablePlan, *expressions: str, sample: int | None = None
    ) -> Iterator[list[Row]]:
        """Yield batches of the taken rows: `expressions` over the source table, then every planned cell.

        Args:
            sample: so many random rows only.
        """
        cells = [*expressions, *(read_cell(self.source, column, self.faces) for column in table.columns)]
        rows = self.source.connection.execute(f"SELECT {', '.join(cells)} FROM {_choose_rows(table, sample)}")
        return self._batch(rows)

    def read_target(self, table: TablePlan, *, row_bytes: float) -> Iterator[Texts]:
        """Yield every row of the target as texts.

        Args:
            row_bytes: what a row takes; the larger it is, the fewer are fetched at once.
        """
        statement = sql.SQL("SELECT {} FROM {} t").format(show_cells(table), own_rows(table.target))
        with self.connection.cursor(name="entrypoint_verify") as cursor:
            cursor.itersize = max(1, min(BATCH_ROWS, int(_BATCH_BYTES / max(row_bytes, 1))))
            for number, row in enumerate(cursor.execute(statement)):
                if number % BATCH_ROWS == BATCH_ROWS - 1:
                    self._keep_time()
                yield row

    def expect(self, table: TablePlan, rows: Sequence[Row]) -> Iterator[tuple[Meaning, ...]]:
        """Yield what the cells of each source row mean."""
        by_column = []
        for position, column in enumerate(table.columns):
            conversion = _conversion_of(column)
            meanings = [decode.expect(conversion, row[position], timezone=self.timezone) for row in rows]
            if conversion.kind in decode.NORMALISED_KINDS:
                meanings = self._normalise(column, meanings)
            by_column.append(meanings)
        return zip(*by_column, strict=True)

    def _normalise(self, column: ColumnPlan, texts: list[Meaning]) -> list[Meaning]:
        """Send text through the type's own input and output functions."""
        statement = sql.SQL(
            "SELECT array_agg(v::{}::text ORDER BY n) FROM unnest(%s::text[]) WITH ORDINALITY AS k (v, n)"
        ).format(name_type(column.target.type.name))
        row = self.connection.execute(statement, (texts,)).fetchone()
        assert row is not None
        return list(row[0] or [])

    def _batch(self, rows: Iterable[Row]) -> Iterator[list[Row]]:
        batch: list[Row] = []
        size = 0
        for row in rows:
            batch.append(row)
            size += measure_row(row)
            if len(batch) >= BATCH_ROWS or size >= _BATCH_BYTES:
                yield batch
                self._keep_time()
                batch, size = [], 0
        if batch:
            yield batch

    def _keep_time(self) -> None:
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise OutOfTimeError


def _choose_rows(table: TablePlan, sample: int | None) -> str:
    if sample is None:
        return taken_rows(table)
    order = f"ORDER BY random() LIMIT {sample}"
    identity = ", ".join(find_row_identity(table.source))
    if not identity:
        return f"{taken_rows(table)} {order}"
    # What tells rows apart is sorted instead of whole rows.
    name = taken_rows(replace(table, condition=None))
    return f"{name} WHERE ({identity}) IN (SELECT {identity} FROM {taken_rows(table)} {order})"


def measure_row(row: Row) -> int:
    """Return the bytes that a row's texts and blobs take, nearly."""
    return sum(len(cell) for cell in row if isinstance(cell, (str, bytes)))


def read_cell(source: SourceDatabase, column: ColumnPlan, faces: FaceMaker) -> str:
    """Return the cell for the row interface.

    A real that becomes text is spelled by SQLite itself; text that becomes bytes need not be valid text.
    """
    if column.source is None:
        assert column.constant is not None
        return "'" + column.constant.replace("'", "''") + "'"
    cell = column_cell(column)
    if column.redirect is not None:
        text = faces.make(column.conversion, cell).text
        other = column.redirect
        if column.conversion.kind == "bytea":
            other = f"unhex(substr({other}, 3))"
        return f"CASE WHEN {column.redirect} IS {text} THEN {cell} ELSE {other} END"
    if column.conversion.kind == "bytea" and source.encoding == "utf-8":
        empty = f" AND {cell} <> ''" if column.conversion.is_empty_null else ""  # which stays text: a NULL
        return f"CASE WHEN typeof({cell}) = 'text'{empty} THEN CAST({cell} AS BLOB) ELSE {cell} END"
    if column.conversion.kind == "text":
        return f"CASE typeof({cell}) WHEN 'real' THEN CAST({cell} AS TEXT) ELSE {cell} END"
    return cell


def show_cells(table: TablePlan) -> sql.Composed:
    """Return SQL for the texts by which PostgreSQL shows the planned columns of the table `t`."""
    return sql.SQL(", ").join(
        sql.SQL(decode.DECODERS[_conversion_of(column).kind].output).format(
            sql.SQL("t.{}").format(sql.Identifier(column.target.name))
        )
        for column in table.columns
    )


def read_row(table: TablePlan, row: Texts) -> tuple[Meaning, ...]:
    """Return what such texts mean; a text that its type never shows means itself, and nothing else does."""
    return tuple(_read(column, text) for column, text in zip(table.columns, row, strict=True))


def compare_rows(table: TablePlan, key: str, meanings: Sequence[Meaning], found: Texts) -> list[Difference]:
    """Return the cells of a row that PostgreSQL shows otherwise."""
    differences = []
    for column, meaning, text in zip(table.columns, meanings, found, strict=True):
        read = _read(column, text)
        if read != meaning:
            expected, shown = show_pair(_show(column, meaning), _show(column, read))
            differences.append(
                Difference(
                    table=table.source.name,
                    key=key,
                    column=column.target.name,
                    expected=expected,
                    found=shown,
                )
            )
    return differences


def show_row(table: TablePlan, meanings: Sequence[Meaning]) -> str:
    """Return the first few cells of a row that are not NULL, for a reader."""
    shown = [
        f"{column.target.name}={show_pair(_show(column, meaning), None)[0]}"
        for column, meaning in zip(table.columns, meanings, strict=True)
        if meaning is not None
    ]
    return ", ".join([*shown[:_CELLS_SHOWN], *(["…"] if len(shown) > _CELLS_SHOWN else [])])


@dataclass(frozen=True, slots=True)
class _Unreadable:
    text: str


def _read(column: ColumnPlan, text: str | None) -> Meaning:
    try:
        return decode.read(_conversion_of(column), text)
    except (ValueError, ArithmeticError):
        return _Unreadable(str(text))


def _show(column: ColumnPlan, meaning: Meaning) -> str | None:
    if meaning is None or isinstance(meaning, _Unreadable):
        return meaning.text if meaning else None
    return show_meaning(_conversion_of(column), meaning)


def _conversion_of(column: ColumnPlan) -> Conversion:
    """A constant is text for the type's own input function, whatever the type."""
    return (
        column.conversion if column.source else replace(column.conversion, kind="other", is_empty_null=False)
    )
