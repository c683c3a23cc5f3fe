"""Rows that are left out of a load under ON_REJECT=quarantine: which they are, and what stood in them.

Owns their marks, in temporary tables of the source's connection, and the form in which they are kept in the
ledger: every cell with its storage class and all its bytes. Decides about no row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from entrypoint.errors import SourceRefusedError
from entrypoint.model import Refusal, TablePlan
from entrypoint.postgres.encoding import fit_document, fit_text, holds_any_text, spell_document
from entrypoint.sqlite.failures import translate_errors
from entrypoint.sqlite.introspect import quote
from entrypoint.sqlite.source import Cell, SourceDatabase
from entrypoint.transfer import ledger
from entrypoint.transfer.cells import find_row_identity, show_key, show_value
from entrypoint.transfer.conversions import raw_cell

# Longer cells are kept beside the document: jsonb holds 256 MB, a row of SQLite's up to 1 GB.
_LONGEST_IN_DOCUMENT = 32 * 1024
_COLUMNS = {
    "run_id": "int8",
    "source_table": "text",
    "source_key": "text",
    "source_column": "text",
    "reason": "text",
    "cells": "jsonb",
    "long_cells": "bytea",
}
_KNOWN = -1  # instead of a refusal's number: the ledger has this row
_ROWID_KEY = re.compile(r"rowid=(-?\d+)", re.ASCII)


class Rejects:
    """The marks of one migration.

    Args:
        source: open; marks live as long as its connection.
    """

    def __init__(self, source: SourceDatabase) -> None:
        self._source = source
        self._tables: dict[str, str] = {}
        self._refusals: list[Refusal] = []

    def watch(self, table: TablePlan) -> str | None:
        """Return the SQL condition of the rows that are not marked; None where rows cannot be told apart."""
        identity = find_row_identity(table.source)
        if not identity:
            return None
        name = f"temp.entrypoint_rejected_{len(self._tables)}"
        columns = ", ".join(f"k{position}" for position in range(len(identity)))
        with self._writing():
            self._source.connection.execute(
                f"CREATE TABLE {name} ({columns}, refusal, PRIMARY KEY ({columns})) WITHOUT ROWID"
            )
        self._tables[table.source.name] = name
        return self.condition(table)

    def condition(self, table: TablePlan) -> str | None:
        """Return the SQL condition of the rows that are not marked; None where rows cannot be told apart."""
        name = self._tables.get(table.source.name)
        if name is None:
            return None
        identity = find_row_identity(table.source)
        columns = ", ".join(f"k{position}" for position in range(len(identity)))
        return f"({', '.join(identity)}) NOT IN (SELECT {columns} FROM {name})"

    def mark(self, table: TablePlan, refusal: Refusal, condition: str) -> None:
        """Mark the rows for which `condition` holds, for this reason unless they have one already."""
        identity = find_row_identity(table.source)
        self._refusals.append(refusal)
        with self._writing():
            self._source.connection.execute(
                f"INSERT OR IGNORE INTO {self._tables[table.source.name]}"
                f" SELECT {', '.join(identity)}, {len(self._refusals) - 1}"
                f" FROM {quote(table.source.name)} WHERE {condition}"
            )

    def count(self, table: TablePlan) -> int:
        """Return how many rows of the table are marked."""
        row = self._source.connection.execute(
            f"SELECT count(*) FROM {self._tables[table.source.name]}"
        ).fetchone()
        assert row is not None
        return int(row[0])

    def recall(
        self, connection: psycopg.Connection[Any], table: TablePlan, rejects: Iterable[ledger.Reject]
    ) -> int:
        """Mark the rows that the ledger has as they still are, and return how many those are.

        Args:
            connection: to the ledger, whose encoding its documents were fitted to.
            table: that was watched.
            rejects: as they were stored.
        """
        identity = find_row_identity(table.source)
        if not identity:
            return 0
        marks = self._tables[table.source.name]
        slots = ", ".join("?" * len(identity))
        is_any_text = holds_any_text(connection)
        recalled: set[tuple[Cell, ...]] = set()
        with translate_errors(self._source.path), self._writing():
            for reject in rejects:
                for row, document, long in self._find_rows(table, identity, reject, is_any_text):
                    if (spell_document(connection, document), long) == (reject.cells, reject.long_cells):
                        self._source.connection.execute(
                            f"INSERT OR REPLACE INTO {marks} VALUES ({slots}, {_KNOWN})", row
                        )
                        recalled.add(row)
        return len(recalled)

    def _find_rows(
        self, table: TablePlan, identity: tuple[str, ...], reject: ledger.Reject, is_any_text: bool
    ) -> list[tuple[tuple[Cell, ...], dict[str, Any], bytes | None]]:
        """Return the rows with the key of a stored one: identity, and cells as they would be stored now."""
        match = _ROWID_KEY.fullmatch(reject.key)
        cells = reject.cells
        known = [cells[name] for name in table.source.key if "from" not in cells.get(name, {"from": 0})]
        if len(known) < len(table.source.key) or not (known or match):
            return []  # the source has other columns by now, or a key is too long to be found by
        values = [self._restore(cell) for cell in known] or [("?", int(match[1]) if match else 0)]
        columns = [quote(name) for name in table.source.key] or list(identity)
        same = " AND ".join(
            f"{column} IS {value}" for column, (value, _) in zip(columns, values, strict=True)
        )
        names = [column.name for column in table.source.columns]
        rows = self._source.connection.execute(
            f"SELECT {', '.join([*identity, *_pair_cells(map(quote, names))])}"
            f" FROM {quote(table.source.name)} WHERE {same}",
            tuple(value for _, value in values),
        ).fetchall()
        width = len(identity)
        return [(row[:width], *self._describe_row(names, row[width:], is_any_text)) for row in rows]

    @staticmethod
    def _restore(cell: dict[str, Any]) -> tuple[str, Cell]:
        """Return the SQL of a stored key cell, and its parameter."""
        if "hex" in cell:
            raw = bytes.fromhex(cell["hex"])
            return ("CAST(? AS TEXT)" if cell["class"] == "text" else "?"), raw
        return "?", float(cell["value"]) if cell["class"] == "real" else cell["value"]

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Allow writing for the temporary tables' sake; nothing else is written through this connection."""
        self._source.connection.execute("PRAGMA query_only=OFF")
        try:
            yield
        finally:
            self._source.connection.execute("PRAGMA query_only=ON")

    def store(
        self, connection: psycopg.Connection[Any], schema: str, run_id: int, tables: tuple[TablePlan, ...]
    ) -> int:
        """Write every marked row into the ledger, inside the load's transaction, and return how many.

        Raises:
            SourceRefusedError: they are not as many as were left out.
        """
        rejecting = [table for table in tables if table.rejected]
        if not rejecting:
            return 0
        # Binary, because the text of a long cell would be longer than a message may be.
        statement = sql.SQL("COPY {}.rejects ({}) FROM STDIN (FORMAT binary)").format(
            sql.Identifier(schema), sql.SQL(", ").join(map(sql.Identifier, _COLUMNS))
        )
        stored = 0
        with (
            translate_errors(self._source.path),
            connection.cursor() as cursor,
            cursor.copy(statement) as copy,
        ):
            copy.set_types(list(_COLUMNS.values()))
            for table in rejecting:
                before = stored
                for key, column, reason, cells, long in self._read(table, holds_any_text(connection)):
                    told = (
                        None if text is None else fit_text(connection, text) for text in (key, column, reason)
                    )
                    document = fit_document(connection, cells)
                    copy.write_row((run_id, fit_text(connection, table.source.name), *told, document, long))
                    stored += 1
                if stored - before != table.rejected:
                    raise SourceRefusedError(
                        f"{stored - before} rows were kept where {table.rejected} were left out",
                        where=f"table {table.source.name}",
                        remedy="nothing was kept, the source is untouched; please report this",
                    )
        return stored

    def _read(
        self, table: TablePlan, is_any_text: bool
    ) -> Iterator[tuple[str, str | None, str, dict[str, Any], bytes | None]]:
        identity = find_row_identity(table.source)
        names = [column.name for column in table.source.columns]
        keys = tuple(quote(name) for name in table.source.key) or identity
        parts = _pair_cells(f"s.{cell}" for cell in (*keys, *map(quote, names)))
        matches = " AND ".join(f"s.{cell} IS r.k{position}" for position, cell in enumerate(identity))
        rows = self._source.connection.execute(
            f"SELECT r.refusal, {', '.join(parts)} FROM {quote(table.source.name)} s"
            f" JOIN {self._tables[table.source.name]} r ON {matches}"
        )
        for refusal, *cells in rows:
            key = show_key(
                table.source.key or ("rowid",),
                (
                    show_value(raw, is_text=kind == "text", encoding=self._source.encoding)
                    for kind, raw in zip(cells[::2], cells[1::2], strict=True)
                ),
            )
            reason = self._refusals[int(refusal)]
            document, long = self._describe_row(names, cells[2 * len(keys) :], is_any_text)
            yield key, reason.column, reason.reason, document, long

    def _describe_row(
        self, names: list[str], cells: Sequence[Cell], is_any_text: bool
    ) -> tuple[dict[str, Any], bytes | None]:
        """Return a row as it is stored: the document, and its long cells.

        Args:
            names: of its columns.
            cells: storage class and raw value of each.
            is_any_text: the ledger can hold every character.
        """
        long: list[bytes] = []
        document = {
            name: self._describe_cell(str(kind), raw, long, is_any_text)
            for name, kind, raw in zip(names, cells[::2], cells[1::2], strict=True)
        }
        return document, b"".join(long) or None

    def _describe_cell(
        self, storage_class: str, raw: Cell, long: list[bytes], is_any_text: bool
    ) -> dict[str, Any]:
        """Return a cell so that nothing of it is lost: text as text where JSON can hold it, else as bytes.

        A long one is appended to `long`, and its place there returned: `from`, counted from 1, and `bytes`.
        """
        if isinstance(raw, bytes):
            if len(raw) > _LONGEST_IN_DOCUMENT:
                start = sum(map(len, long)) + 1
                long.append(raw)
                return {"class": storage_class, "from": start, "bytes": len(raw)}
            if storage_class == "text":
                text = raw.decode(self._source.encoding, "replace")
                if text.encode(self._source.encoding, "replace") == raw and (
                    "\x00" not in text and (is_any_text or text.isascii())
                ):
                    return {"class": storage_class, "value": text}
            return {"class": storage_class, "hex": raw.hex()}
        if isinstance(raw, float):
            return {"class": storage_class, "value": repr(raw)}
        return {"class": storage_class, "value": raw}


def _pair_cells(cells: Iterable[str]) -> list[str]:
    """Return the SQL of each cell's storage class and raw value."""
    return [part for cell in cells for part in (f"typeof({cell})", raw_cell(cell))]
