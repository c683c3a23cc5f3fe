"""Rows that are left out of a load under ON_REJECT=quarantine: which they are, and what stood in them.

Owns their marks, in temporary tables of the source's connection, and the form in which they are kept in the
ledger: every cell with its storage class and all its bytes. Decides about no row.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from entrypoint.model import Refusal, TablePlan
from entrypoint.postgres.encoding import fit_document, fit_text, holds_any_text
from entrypoint.sqlite.failures import translate_errors
from entrypoint.sqlite.introspect import quote
from entrypoint.sqlite.source import Cell, SourceDatabase
from entrypoint.transfer.cells import find_row_identity, show_key, show_value
from entrypoint.transfer.conversions import raw_cell


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
        """Write every marked row into the ledger, inside the load's transaction, and return how many."""
        stored = 0
        statement = sql.SQL(
            "COPY {}.rejects (run_id, source_table, source_key, source_column, reason, cells) FROM STDIN"
        ).format(sql.Identifier(schema))
        rejecting = [table for table in tables if table.rejected]
        if not rejecting:
            return 0
        with (
            translate_errors(self._source.path),
            connection.cursor() as cursor,
            cursor.copy(statement) as copy,
        ):
            for table in rejecting:
                for key, column, reason, cells in self._read(table, holds_any_text(connection)):
                    told = (
                        None if text is None else fit_text(connection, text) for text in (key, column, reason)
                    )
                    copy.write_row((run_id, table.source.name, *told, fit_document(connection, cells)))
                    stored += 1
        return stored

    def _read(
        self, table: TablePlan, is_any_text: bool
    ) -> Iterator[tuple[str, str | None, str, dict[str, Any]]]:
        identity = find_row_identity(table.source)
        names = [column.name for column in table.source.columns]
        keys = tuple(quote(name) for name in table.source.key) or identity
        parts = [
            part
            for cell in (*(f"s.{cell}" for cell in keys), *(f"s.{quote(name)}" for name in names))
            for part in (f"typeof({cell})", raw_cell(cell))
        ]
        matches = " AND ".join(f"s.{cell} IS r.k{position}" for position, cell in enumerate(identity))
        rows = self._source.connection.execute(
            f"SELECT r.refusal, {', '.join(parts)} FROM {quote(table.source.name)} s"
            f" JOIN {self._tables[table.source.name]} r ON {matches}"
        )
        for refusal, *cells in rows:
            pairs = list(zip(cells[::2], cells[1::2], strict=True))
            key = show_key(
                table.source.key or ("rowid",),
                (
                    show_value(raw, is_text=kind == "text", encoding=self._source.encoding)
                    for kind, raw in pairs
                ),
            )
            reason = self._refusals[int(refusal)]
            document = {
                name: self._describe_cell(str(kind), raw, is_any_text)
                for name, (kind, raw) in zip(names, pairs[len(keys) :], strict=True)
            }
            yield key, reason.column, reason.reason, document

    def _describe_cell(self, storage_class: str, raw: Cell, is_any_text: bool) -> dict[str, Any]:
        """Return a cell so that nothing of it is lost: text as text where JSON can hold it, else as bytes."""
        if isinstance(raw, bytes):
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
