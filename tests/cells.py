"""Help for the tests of conversions: source files of one column, and target types as the catalog gives them.

`judge` is the whole of a conversion in SQL, as the census and the load use it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any

import apsw

from entrypoint.model import Conversion, TargetType
from entrypoint.sqlite.source import Cell, SourceDatabase, open_source
from entrypoint.transfer.conversions import FaceMaker, choose_conversion, raw_cell

ENCODINGS = ("UTF-8", "UTF-16le", "UTF-16be")

# What SQLite can be made to hold as text and Python's str cannot: bytes that are no text.
RawText = tuple[str, bytes]


def raw_text(content: bytes) -> RawText:
    """A cell of storage class text with these bytes, whatever they are."""
    return ("text", content)


def make_type(name: str, **parts: object) -> TargetType:
    """Return the type that the catalog would describe by its SQL name."""
    base, kind, modifier = _TYPES.get(name, (name, "b", ()))
    described: dict[str, object] = {"name": name, "base": base, "kind": kind, "modifier": modifier, **parts}
    return TargetType(**described)  # type: ignore[arg-type]


_TYPES: dict[str, tuple[str, str, tuple[int, ...]]] = {
    "boolean": ("bool", "b", ()),
    "smallint": ("int2", "b", ()),
    "integer": ("int4", "b", ()),
    "bigint": ("int8", "b", ()),
    "double precision": ("float8", "b", ()),
    "real": ("float4", "b", ()),
    "numeric(5,2)": ("numeric", "b", (5, 2)),
    "numeric(10,2)": ("numeric", "b", (10, 2)),
    "numeric(2,5)": ("numeric", "b", (2, 5)),
    "numeric(3,-2)": ("numeric", "b", (3, -2)),
    "numeric(30,0)": ("numeric", "b", (30, 0)),
    "character varying(5)": ("varchar", "b", (5,)),
    "character(3)": ("bpchar", "b", (3,)),
    "timestamp without time zone": ("timestamp", "b", ()),
    "timestamp(3) without time zone": ("timestamp", "b", (3,)),
    "timestamp(0) without time zone": ("timestamp", "b", (0,)),
    "timestamp with time zone": ("timestamptz", "b", ()),
    "timestamp(3) with time zone": ("timestamptz", "b", (3,)),
    "time without time zone": ("time", "b", ()),
    "time(0) without time zone": ("time", "b", (0,)),
    "mood": ("mood", "e", ()),
    "integer[]": ("_int4", "b", ()),
    "text[]": ("_text", "b", ()),
    "jsonb[]": ("_jsonb", "b", ()),
}


def write_source(
    path: Path,
    cells: Sequence[Cell | RawText],
    *,
    encoding: str = "UTF-8",
    column: str = "v",
    table: str = "CREATE TABLE t (id INTEGER PRIMARY KEY, v)",
) -> Path:
    """Write a database whose table `t` holds one cell a row, numbered from 1."""
    path.unlink(missing_ok=True)
    connection = apsw.Connection(str(path))
    connection.execute(f"PRAGMA encoding='{encoding}'")
    connection.execute(table)
    connection.execute("BEGIN")
    for position, cell in enumerate(cells, 1):
        insert_cell(connection, position, cell, encoding=encoding, column=column)
    connection.execute("COMMIT")
    connection.close()
    return path


def insert_cell(
    connection: apsw.Connection, key: Cell, cell: Cell | RawText, *, encoding: str, column: str = "v"
) -> None:
    """Insert one row; raw text goes in through a cast, which does not look at the bytes."""
    if isinstance(cell, tuple):
        content = cell[1]
        connection.execute(f'INSERT INTO t (id, "{column}") VALUES (?, CAST(? AS TEXT))', (key, content))
    elif isinstance(cell, str) and "\x00" in cell:
        codec = {"UTF-8": "utf-8", "UTF-16le": "utf-16-le", "UTF-16be": "utf-16-be"}[encoding]
        insert_cell(connection, key, raw_text(cell.encode(codec)), encoding=encoding, column=column)
    else:
        connection.execute(f'INSERT INTO t (id, "{column}") VALUES (?, ?)', (key, cell))


@contextmanager
def source_of(
    path: Path, cells: Sequence[Cell | RawText], *, encoding: str = "UTF-8", column_type: str = ""
) -> Iterator[SourceDatabase]:
    """Open a source whose table `t` holds one cell a row in column `v`."""
    table = f"CREATE TABLE t (id INTEGER PRIMARY KEY, v {column_type})"
    write_source(path, cells, encoding=encoding, table=table)
    with open_source(path, is_for_migration=False) as source:
        yield source


def float_bits(value: float) -> bytes:
    """Return what tells every double apart, zeros by their sign."""
    return struct.pack(">d", value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the SQL faces make of one cell: the text for PostgreSQL, or why not; both None for NULL."""

    text: str | None
    reason: str | None


def judge(
    path: Path,
    target: TargetType,
    cells: Sequence[Cell | RawText],
    *,
    unit: str | None = None,
    is_empty_null: bool = False,
    encoding: str = "UTF-8",
) -> list[Verdict]:
    """Return the verdicts of the SQL faces on cells of a real file, having held the faces to each other."""
    conversion = choose_conversion(target, unit=unit, is_empty_null=is_empty_null)
    with source_of(path, cells, encoding=encoding) as source:
        faces = FaceMaker(source)
        made = faces.make(conversion, "(+v)")
        rows = source.connection.execute(
            f"SELECT {made.refuses}, {made.text}, CAST({made.field} AS BLOB), typeof(v), {raw_cell('v')}"
            " FROM t ORDER BY id"
        ).fetchall()
        return [_read_verdict(source, faces, conversion, row) for row in rows]


def _read_verdict(
    source: SourceDatabase, faces: FaceMaker, conversion: Conversion, row: tuple[Any, ...]
) -> Verdict:
    refuses, text, field, storage_class, raw = row
    if refuses:
        assert text is None
        assert field is None
        reason = faces.explain(conversion, storage_class == "text", raw)
        assert reason, "refused in SQL and accepted in Python"
        return Verdict(text=None, reason=str(reason))
    assert type(text) in (str, NoneType)
    written = field.decode(source.encoding)
    if text is None:
        assert written == ""
    elif written.startswith('"'):
        assert written == '"' + text.replace('"', '""') + '"'
    else:
        assert written == text
        assert not set(written) & set('",\r\n'), "needs quotes"
        assert written not in ("", "\\.")
    return Verdict(text=text, reason=None)
