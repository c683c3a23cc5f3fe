"""Point at cells of the source in SQL, and show them to a reader.

Owns nothing but spelling: the SQL of a planned column's cell, a row's key, a value cut to fit a line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from entrypoint.model import ColumnPlan, SourceTable, TablePlan
from entrypoint.sqlite.failures import translate_errors
from entrypoint.sqlite.introspect import quote
from entrypoint.sqlite.source import Cell, SourceDatabase
from entrypoint.transfer.conversions import FaceMaker, Faces, quote_field, raw_cell

# SQLite returns at most 2000 columns (SQLITE_MAX_COLUMN); up to nine questions are asked about each.
_COLUMNS_A_SCAN = 200

KEYS_SHOWN = 3
VALUE_WIDTH = 40
_BATCH_CHARACTERS = 4 * 1024 * 1024


def column_cell(column: ColumnPlan) -> str:
    """Return the SQL of a planned column's cell, without what would bend comparisons.

    That is its affinity and its collation: NOCASE and RTRIM make different texts equal.
    """
    assert column.source is not None
    return f"(+{quote(column.source.name)} COLLATE BINARY)"


def column_faces(faces: FaceMaker, column: ColumnPlan) -> Faces:
    """Return the SQL that judges and renders a planned column, constants and redirections included."""
    if column.source is None:
        assert column.constant is not None
        text = spell_text(column.constant)
        return Faces(refuses="0", text=text, field=quote_field(text))
    made = faces.make(column.conversion, column_cell(column))
    if column.redirect is None:
        return made
    field = f"CASE WHEN {column.redirect} IS NULL THEN '' ELSE {quote_field(column.redirect)} END"
    return Faces(refuses=made.refuses, text=column.redirect, field=field)


def spell_text(text: str) -> str:
    """Return a text without NUL as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def ask_rows(source: SourceDatabase, table: TablePlan, questions: Sequence[str], *, width: int) -> list[Any]:
    """Return the answers to aggregate SQL over a table, `width` of them a column, in few scans."""
    answers: list[Any] = []
    size = _COLUMNS_A_SCAN * width
    for start in range(0, len(questions), size):
        row = source.connection.execute(
            f"SELECT {', '.join(questions[start : start + size])} FROM {quote(table.source.name)}"
        ).fetchone()
        assert row is not None
        answers += row
    return answers


def show_key(names: Iterable[str], cells: Iterable[object]) -> str:
    """Return a row's key for a reader: `a=1, b=x`."""
    return ", ".join(f"{name}={cell}" for name, cell in zip(names, cells, strict=False))


def taken_rows(table: TablePlan) -> str:
    """Return what stands behind FROM for the rows of a planned table that are loaded."""
    condition = f" WHERE {table.condition}" if table.condition else ""
    return f"{quote(table.source.name)}{condition}"


def count_rows(source: SourceDatabase, table: TablePlan, condition: str) -> int:
    """Return how many rows of a planned table's source there are for which the SQL `condition` holds."""
    ((count,),) = source.connection.execute(
        f"SELECT count(*) FROM {quote(table.source.name)} WHERE {condition}"
    ).fetchall()
    return int(str(count))


def read_distinct(
    source: SourceDatabase, table: TablePlan, texts: Sequence[str], condition: str, *, batch_rows: int
) -> Iterator[list[tuple[str | None, ...]]]:
    """Yield the distinct combinations of rendered cells, in batches of many short ones or a few long ones.

    Args:
        source: open.
        table: planned; all rows of its source.
        texts: SQL that renders each cell; with none there is one combination, the empty one.
        condition: SQL that holds for the rows that count.
        batch_rows: the most in one batch.
    """
    rows = source.connection.execute(
        f"SELECT DISTINCT {', '.join(texts) or 'NULL'} FROM {quote(table.source.name)} WHERE {condition}"
    )
    batch: list[tuple[str | None, ...]] = []
    size = 0
    for row in rows:
        batch.append(tuple(None if cell is None else str(cell) for cell in row[: len(texts)]))
        size += sum(len(cell) for cell in batch[-1] if cell is not None)
        if len(batch) >= batch_rows or size >= _BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def write_texts(table: TablePlan, names: Iterable[str], faces: FaceMaker) -> str:
    """Return the SQL, with commas, that renders a planned table's columns of these names."""
    planned = {column.target.name: column for column in table.columns}
    return ", ".join(column_faces(faces, planned[name]).text for name in names)


def has_data(source: SourceDatabase, table: str, column: str | None) -> bool:
    """Tell whether a source table has rows, or a column anything but NULL."""
    condition = f" WHERE {quote(column)} IS NOT NULL" if column else ""
    with translate_errors(source.path):
        row = source.connection.execute(f"SELECT EXISTS (SELECT 1 FROM {quote(table)}{condition})").fetchone()
    return bool(row and row[0])


def show_value(raw: Cell, *, is_text: bool, encoding: str) -> str:
    """Return a cell for a reader: text as text, blobs as hex, cut to `VALUE_WIDTH` characters."""
    if not isinstance(raw, bytes):
        shown = "NULL" if raw is None else str(raw)
    elif is_text:
        shown = raw[: 4 * (VALUE_WIDTH + 1)].decode(encoding, "backslashreplace")
    else:
        shown = f"x'{raw[:VALUE_WIDTH].hex()}'"
    printable = "".join(
        character if character.isprintable() else repr(character)[1:-1] for character in shown
    )
    return printable if len(printable) <= VALUE_WIDTH else printable[: VALUE_WIDTH - 1] + "…"


def read_keys(source: SourceDatabase, table: SourceTable, condition: str) -> tuple[str, ...]:
    """Return the keys of the first few rows for which the SQL `condition` holds, as `id=3` or `rowid=3`."""
    keys, _ = read_examples(source, table, condition, ())
    return keys


def read_examples(
    source: SourceDatabase, table: SourceTable, condition: str, expressions: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[Cell, ...]]:
    """Return the keys of the first few rows for which `condition` holds, and what stands in the first.

    Args:
        source: open.
        table: whose key names a row; where it has none, there are no keys.
        condition: SQL over the table.
        expressions: SQL to evaluate in the first of these rows.
    """
    cells = key_cells(table)
    parts = [part for cell in cells.values() for part in (f"typeof({cell})", raw_cell(cell))]
    rowid = (_find_rowid_name(table) if table.has_rowid and table.key else None) or "NULL"
    rows = source.connection.execute(
        f"SELECT {rowid}, {', '.join([*parts, *expressions]) or '1'} FROM {quote(table.name)}"
        f" WHERE {condition} LIMIT {KEYS_SHOWN}"
    ).fetchall()
    if not rows:
        return (), ()
    keys = tuple(_name_row(source, tuple(cells), row) for row in rows) if cells else ()
    return keys, tuple(rows[0][1 + len(parts) :])


def _name_row(source: SourceDatabase, names: tuple[str, ...], row: tuple[Cell, ...]) -> str:
    """Return a row's key from rowid, then class and raw cell of each part of the key."""
    classes, raw = row[1 : 2 * len(names) + 1 : 2], row[2 : 2 * len(names) + 1 : 2]
    shown = show_key(
        names,
        (
            show_value(cell, is_text=storage_class == "text", encoding=source.encoding)
            for storage_class, cell in zip(classes, raw, strict=True)
        ),
    )
    # SQLite allows NULL in a primary key, which then names no row.
    return f"{shown} (rowid {row[0]})" if "null" in classes and isinstance(row[0], int) else shown


def find_row_identity(table: SourceTable) -> tuple[str, ...]:
    """Return the SQL of what tells a table's rows apart: rowid or primary key; empty if nothing can."""
    if not table.has_rowid:
        return tuple(quote(name) for name in table.key)
    return (free,) if (free := _find_rowid_name(table)) else ()


def _find_rowid_name(table: SourceTable) -> str | None:
    taken = {column.name.lower() for column in table.columns}
    return next((name for name in ("rowid", "_rowid_", "oid") if name not in taken), None)


def key_cells(table: SourceTable) -> dict[str, str]:
    """Return the SQL of a row's key cells by name: the primary key, else the rowid by a name that is free."""
    if table.key:
        return {name: f"(+{quote(name)})" for name in table.key}
    free = _find_rowid_name(table)
    return {"rowid": free} if table.has_rowid and free else {}
