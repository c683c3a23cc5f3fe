"""What the source itself guarantees about its rows, so that nobody has to look.

Owns when a unique key of SQLite's makes a unique index of PostgreSQL's hold, and when equal texts are equal
values. Answers no where it is in doubt.
"""

from __future__ import annotations

from entrypoint.model import ColumnPlan, IndexPart, TablePlan, UniqueIndex
from entrypoint.sqlite.introspect import quote
from entrypoint.sqlite.source import SourceDatabase
from entrypoint.transfer.cells import column_cell

_NUMBERS = frozenset({"integer", "real"})
_INTEGERS = frozenset({"integer"})
_TEXTS = frozenset({"text"})
_BLOBS = frozenset({"blob"})

# By conversion: the storage classes within which cells that SQLite tells apart are values that PostgreSQL
# tells apart. SQLite compares an integer and a real exactly. Text and blobs meet, or numbers and text.
_APART: dict[str, tuple[frozenset[str], ...]] = {
    "boolean": (_NUMBERS,),
    "integer": (_NUMBERS,),
    "numeric": (_INTEGERS,),
    "double": (_NUMBERS,),
    "text": (_TEXTS, _INTEGERS, _BLOBS),
    "bytea": (_TEXTS, _BLOBS),
    "uuid": (_TEXTS, _BLOBS),
    "enum": (_TEXTS,),
    "timestamptz": (_INTEGERS,),
    "timestamp": (_INTEGERS,),
}
# Those that spell equal cells of one storage class alike.
_SPELLED_ALIKE = frozenset({"boolean", "integer", "text", "bytea", "uuid", "enum"})
_EXACT_UNITS = frozenset({"s", "ms", "us"})  # down to the microsecond, as PostgreSQL keeps them
_BYTEWISE = frozenset({"text", "varchar"})


class Guarantees:
    """Answers for one source; each column's cells are looked at once.

    Args:
        source: open.
    """

    def __init__(self, source: SourceDatabase) -> None:
        self._source = source
        self._classes: dict[tuple[str, str], frozenset[str]] = {}

    def holds(self, table: TablePlan, index: UniqueIndex) -> bool:
        """Tell whether a unique key of the source table keeps rows from meeting on the index."""
        exact = {
            column.source.name: column
            for column in table.columns
            if column.source is not None and _find_part(index, column) is not None
        }
        return any(
            set(key) <= set(exact)
            and all(
                self._keeps_apart(table, index, exact[name], has_key_nulls=index.is_nulls_not_distinct)
                for name in key
            )
            for key in table.source.unique_keys
        )

    def has_telling_texts(self, table: TablePlan, index: UniqueIndex) -> bool:
        """Tell whether rows meet on the index exactly where their rendered cells are the same texts."""
        planned = {column.target.name: column for column in table.columns}
        return index.is_key and all(
            name in planned
            and planned[name].source is not None
            and planned[name].conversion.kind in _SPELLED_ALIKE
            and self._keeps_apart(table, index, planned[name], has_key_nulls=False)
            and len(self._read_classes(table, planned[name]) - {"null"}) < 2
            for name in index.columns
        )

    def _keeps_apart(
        self, table: TablePlan, index: UniqueIndex, column: ColumnPlan, *, has_key_nulls: bool
    ) -> bool:
        """Tell whether cells of a column that SQLite tells apart are different for the index."""
        conversion = column.conversion
        part = _find_part(index, column)
        if part is None or column.redirect is not None or conversion.is_empty_null:
            return False
        if conversion.kind == "text" and not (conversion.type.base in _BYTEWISE and part.is_deterministic):
            return False
        if conversion.kind in ("timestamptz", "timestamp") and conversion.unit not in _EXACT_UNITS:
            return False
        classes = self._read_classes(table, column)
        if has_key_nulls and "null" in classes:
            return False
        is_apart = any(classes - {"null"} <= apart for apart in _APART.get(conversion.kind, ()))
        return is_apart and (
            conversion.kind != "uuid" or "text" not in classes or self._is_canonical(table, column)
        )

    def _read_classes(self, table: TablePlan, column: ColumnPlan) -> frozenset[str]:
        assert column.source is not None
        if column.source.name == table.source.rowid_alias:
            return _INTEGERS
        place = (table.source.name, column.source.name)
        if place not in self._classes:
            found = self._source.connection.execute(
                f"SELECT DISTINCT typeof({quote(column.source.name)}) FROM {quote(table.source.name)}"
            )
            self._classes[place] = frozenset(str(name) for (name,) in found)
        return self._classes[place]

    def _is_canonical(self, table: TablePlan, column: ColumnPlan) -> bool:
        """Tell whether every UUID, all of which were accepted, is spelled in the one usual way."""
        cell = column_cell(column)
        hyphens = " AND ".join(f"substr({cell}, {position}, 1) = '-'" for position in (9, 14, 19, 24))
        row = self._source.connection.execute(
            f"SELECT EXISTS (SELECT 1 FROM {quote(table.source.name)} WHERE {cell} IS NOT NULL"
            f" AND NOT (length({cell}) = 36 AND {hyphens} AND lower({cell}) = {cell}))"
        ).fetchone()
        assert row is not None
        return not row[0]


def _find_part(index: UniqueIndex, column: ColumnPlan) -> IndexPart | None:
    return next((part for part in index.parts if part.column == column.target.name), None)
