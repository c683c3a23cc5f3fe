"""Read the source's catalog: its tables and columns, and what is no table of the application's.

Owns SQLite's catalog pragmas. Judges nothing against the target.
"""

from __future__ import annotations

import re
from itertools import groupby

import apsw

from entrypoint.model import Skipped, SourceColumn, SourceForeignKey, SourceTable
from entrypoint.sqlite.failures import translate_errors
from entrypoint.sqlite.source import SourceDatabase

_KINDS = {
    "view": "a view",
    "virtual": "a virtual table",
    "shadow": "a shadow table of a virtual table",
}
# What modules that are not built into SQLite append to a virtual table's name for the tables they keep
# their data in; those that are built in are asked by SQLite itself (xShadowName).
_SHADOWS_OF_EXTENSIONS = {
    # https://github.com/asg017/sqlite-vec (sqlite-vec.c, vec0ShadowName) and sqlite-vss
    "vec0": re.compile(
        r"_(?:chunks|rowids|info|auxiliary|vector_chunks\d+|metadatachunks\d+|metadatatext\d+)"
    ),
    "vss0": re.compile(r"_(?:index|data)"),
}
_MODULE = re.compile(r"\bUSING\s+(\w+)", re.IGNORECASE)
# PRAGMA table_xinfo, column `hidden`: 1 is a virtual table's hidden column.
_GENERATED = (2, 3)


def quote(name: str) -> str:
    """Return `name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def read_tables(source: SourceDatabase) -> tuple[tuple[SourceTable, ...], tuple[Skipped, ...]]:
    """Return the ordinary tables in the order of their creation, and everything else."""
    connection = source.connection
    with translate_errors(source.path):
        positions = {
            str(name): position
            for position, (name,) in enumerate(
                connection.execute("SELECT name FROM sqlite_schema ORDER BY rowid")
            )
        }
        listed = list(
            connection.execute("SELECT name, type, wr FROM pragma_table_list WHERE schema = 'main'")
        )
        counters = _read_counters(connection)
        shadows = _find_shadows_of_extensions(connection)
        tables = []
        skipped = []
        for name, kind, without_rowid in sorted(listed, key=lambda row: positions.get(str(row[0]), -1)):
            name = str(name)
            if name.startswith("sqlite_"):
                continue
            if kind == "table" and any(shadow.fullmatch(name) for shadow in shadows):
                kind = "shadow"
            if kind == "table":
                tables.append(_read_table(connection, name, bool(without_rowid), counters.get(name)))
            else:
                skipped.append(Skipped(name=name, reason=_KINDS.get(str(kind), str(kind))))
    return tuple(tables), tuple(skipped)


def _find_shadows_of_extensions(connection: apsw.Connection) -> list[re.Pattern[str]]:
    """Return what the shadow tables of virtual tables are called whose module is not here to be asked."""
    found = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND rootpage = 0")
    patterns = []
    for name, statement in found:
        module = _MODULE.search(str(statement))
        if module and (shadow := _SHADOWS_OF_EXTENSIONS.get(module[1].lower())):
            patterns.append(re.compile(re.escape(str(name)) + shadow.pattern))
    return patterns


def _read_counters(connection: apsw.Connection) -> dict[str, int]:
    has_counters = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence'").fetchone()
    if not has_counters:
        return {}
    rows = connection.execute(
        "SELECT name, max(seq) FROM sqlite_sequence WHERE typeof(seq) = 'integer' GROUP BY name"
    )
    return {str(name): int(seq) for name, seq in rows}


def _read_table(
    connection: apsw.Connection, name: str, is_without_rowid: bool, counter: int | None
) -> SourceTable:
    rows = list(connection.execute("SELECT name, type, pk, hidden FROM pragma_table_xinfo(?)", (name,)))
    columns = tuple(
        SourceColumn(name=str(column), declared_type=str(declared or ""), is_generated=hidden in _GENERATED)
        for column, declared, _, hidden in rows
        if hidden != 1
    )
    key = tuple(str(row[0]) for row in sorted((row for row in rows if row[2]), key=lambda row: int(row[2])))
    unique_keys, has_key_index = _read_unique_keys(connection, name)
    is_alias = len(key) == 1 and not is_without_rowid and not has_key_index
    return SourceTable(
        name=name,
        columns=columns,
        key=key,
        has_rowid=not is_without_rowid,
        autoincrement=counter,
        unique_keys=((key,) if key else ()) + unique_keys,
        rowid_alias=key[0] if is_alias else None,
        foreign_keys=_read_foreign_keys(connection, name),
    )


def _read_unique_keys(connection: apsw.Connection, table: str) -> tuple[tuple[tuple[str, ...], ...], bool]:
    """Return the columns of each unique index over plain columns and all rows.

    And whether one of all indexes is the primary key's: a primary key without an index is the rowid.
    """
    indexes = connection.execute(
        'SELECT name, origin FROM pragma_index_list(?) WHERE "unique" AND NOT partial', (table,)
    ).fetchall()
    keys = []
    for index, _ in indexes:
        parts = connection.execute(
            "SELECT name FROM pragma_index_xinfo(?) WHERE key ORDER BY seqno", (index,)
        ).fetchall()
        if all(name is not None for (name,) in parts):
            keys.append(tuple(str(name) for (name,) in parts))
    return tuple(keys), any(origin == "pk" for _, origin in indexes)


def _read_foreign_keys(connection: apsw.Connection, table: str) -> tuple[SourceForeignKey, ...]:
    rows = connection.execute(
        'SELECT id, "table", "from", "to" FROM pragma_foreign_key_list(?) ORDER BY id, seq', (table,)
    )
    return tuple(
        SourceForeignKey(
            columns=tuple(str(column) for _, _, column, _ in parts),
            referenced_table=str(parts[0][1]),
            referenced_columns=tuple(str(column) for *_, column in parts if column is not None),
        )
        for _, group in groupby(rows, key=lambda row: row[0])
        if (parts := list(group))
    )
