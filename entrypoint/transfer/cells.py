"""Point at cells of the source in SQL, and show them to a reader.

Owns nothing but spelling: the SQL of a planned column's cell, a row's key, a value cut to fit a line.
"""

from __future__ import annotations

from entrypoint.model import ColumnPlan, SourceTable
from entrypoint.sqlite.introspect import quote
from entrypoint.sqlite.source import Cell, SourceDatabase, translate_errors
from entrypoint.transfer.conversions import raw_cell

KEYS_SHOWN = 3
VALUE_WIDTH = 40


def column_cell(column: ColumnPlan) -> str:
    """Return the SQL of a planned column's cell, without its affinity, which would bend comparisons."""
    assert column.source is not None
    return f"(+{quote(column.source.name)})"


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
        shown = raw[: 4 * VALUE_WIDTH].decode(encoding, "backslashreplace")
    else:
        shown = f"x'{raw[:VALUE_WIDTH].hex()}'"
    printable = "".join(
        character if character.isprintable() else repr(character)[1:-1] for character in shown
    )
    return printable if len(printable) <= VALUE_WIDTH else printable[: VALUE_WIDTH - 1] + "…"


def read_keys(source: SourceDatabase, table: SourceTable, condition: str) -> tuple[str, ...]:
    """Return the keys of the first few rows for which the SQL `condition` holds, as `id=3` or `rowid=3`."""
    if table.key:
        cells = {name: f"(+{quote(name)})" for name in table.key}
    elif table.has_rowid and "rowid" not in {column.name.lower() for column in table.columns}:
        cells = {"rowid": "rowid"}
    else:
        return ()
    parts = ", ".join(f"typeof({cell}), {raw_cell(cell)}" for cell in cells.values())
    rows = source.connection.execute(
        f"SELECT {parts} FROM {quote(table.name)} WHERE {condition} LIMIT {KEYS_SHOWN}"
    )
    return tuple(
        ", ".join(
            f"{name}={show_value(row[2 * i + 1], is_text=row[2 * i] == 'text', encoding=source.encoding)}"
            for i, name in enumerate(cells)
        )
        for row in rows
    )
