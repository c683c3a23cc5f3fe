"""Bring the planned rows into PostgreSQL: SQLite renders them, COPY takes them, upserts merge them.

Owns what happens between BEGIN and the last row, inside a transaction that the caller commits. A table
that is empty takes its rows from COPY directly; into one that holds rows they go through a staging table
(`merge`). Rows never become Python objects: they pass as CSV in chunks of bounded size.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Protocol

import psycopg
from psycopg import sql

from entrypoint import log
from entrypoint.errors import SourceRefusedError
from entrypoint.model import LoadResult, Plan, TablePlan, TableResult
from entrypoint.postgres.catalog import count_rows
from entrypoint.postgres.locking import lock_tables
from entrypoint.postgres.quiet import defer_foreign_keys, hold_reactions
from entrypoint.sqlite.failures import translate_errors
from entrypoint.sqlite.source import SourceDatabase
from entrypoint.transfer.cells import column_faces, taken_rows
from entrypoint.transfer.conversions import FaceMaker
from entrypoint.transfer.load.merge import ConflictPolicy, merge_rows
from entrypoint.transfer.plan.order import find_own_references

# COPY is fed in pieces of about this size: large enough to amortise the call, small in memory.
_CHUNK_BYTES = 256 * 1024


class Progress(Protocol):
    """Whoever wants to know how the load goes on."""

    def begin(self, plan: Plan) -> None: ...

    def advance(self, table: TablePlan, rows: int) -> None: ...

    def end(self) -> None: ...


def load_rows(
    connection: psycopg.Connection[Any],
    source: SourceDatabase,
    plan: Plan,
    faces: FaceMaker,
    *,
    on_conflict: ConflictPolicy,
    progress: Progress,
) -> LoadResult:
    """Load every planned table and say what became of its rows.

    Args:
        connection: inside a transaction, which the caller commits or rolls back.
        source: held open and still.
        plan: judged, without refusals.
        faces: the SQL that renders cells, from the census.
        on_conflict: what to do about a row whose key PostgreSQL already holds with other values.
        progress: told how far it is.

    Raises:
        SourceRefusedError: rows that PostgreSQL's constraints, or `on_conflict="fail"`, do not allow.
    """
    started = time.monotonic()
    targets = [table.target for table in plan.tables if table.rows_taken]
    is_updating = on_conflict == "overwrite"
    results = []
    with ExitStack() as stack:
        stack.callback(progress.end)
        progress.begin(plan)
        _lock_tables(connection, plan)
        stack.enter_context(hold_reactions(connection, targets, is_updating=is_updating))
        stack.enter_context(defer_foreign_keys(connection, targets, list_deferred(plan, on_conflict)))
        for table in plan.tables:
            referring = _name_referring(plan, table)
            result = _load_table(connection, source, table, faces, on_conflict, progress, referring)
            _log_table(result)
            results.append(result)
    return LoadResult(tables=tuple(results), seconds=time.monotonic() - started)


def _log_table(result: TableResult) -> None:
    log.get_logger().info(
        "table_loaded",
        table=result.table,
        target=result.target,
        rows=result.rows,
        inserted=result.inserted,
        unchanged=result.unchanged,
        preserved=result.preserved,
        overwritten=result.overwritten,
        quarantined=result.quarantined,
        seconds=round(result.seconds, 3),
    )


def list_deferred(plan: Plan, on_conflict: ConflictPolicy) -> tuple[tuple[str, str], ...]:
    """Return the foreign keys to be checked at the end: an overwritten row may refer to one yet to come."""
    own = find_own_references(plan.tables) if on_conflict == "overwrite" else ()
    return plan.deferred + own


def _name_referring(plan: Plan, table: TablePlan) -> tuple[str, ...]:
    """Return the foreign keys that lead to a table, `messages (user_id)`, for the reader."""
    return tuple(
        f"{child.source.name} ({', '.join(key.columns)})"
        for child in plan.tables
        for key in child.references
        if key.references == table.target.qualified_name
    )


def _lock_tables(connection: psycopg.Connection[Any], plan: Plan) -> None:
    """Keep other writers out until the commit, so that what is counted stays true; readers go on."""
    targets = [table.target for table in plan.tables if table.rows_taken or table.target.is_lockable]
    if targets:
        lock_tables(connection, sorted((target.schema, target.name) for target in targets))


def _load_table(
    connection: psycopg.Connection[Any],
    source: SourceDatabase,
    table: TablePlan,
    faces: FaceMaker,
    on_conflict: ConflictPolicy,
    progress: Progress,
    referring: tuple[str, ...],
) -> TableResult:
    started = time.monotonic()
    target = sql.Identifier(table.target.schema, table.target.name)

    def copy_into(destination: sql.Identifier) -> None:
        copied = _copy_rows(connection, source, table, faces, destination, progress)
        if copied != table.rows_taken:
            raise SourceRefusedError(
                f"{copied} rows were copied where {table.rows_taken} were counted",
                where=f"table {table.source.name}",
                remedy="stop whatever still uses the source and start again",
            )

    if table.stood_for:
        log.get_logger().warning(
            "rows_stood_for",
            table=table.source.name,
            rows=table.stood_for,
            keys="; ".join(table.stand_ins),
            meaning="PostgreSQL holds other rows under another unique key of theirs; those were kept, and "
            + (
                "what refers to the source's follows them"
                if referring
                else "no foreign key leads here: what names the source's keys otherwise still does"
            ),
            referring=list(referring),
            remedy="compare the two rows, and correct PostgreSQL's where the source's should have stayed",
        )
    standing = count_rows(connection, table.target)
    if not table.rows_taken:
        inserted = unchanged = preserved = overwritten = 0
    elif not standing:
        copy_into(target)
        inserted, unchanged, preserved, overwritten = table.rows_taken, 0, 0, 0
    else:
        counts = merge_rows(connection, table, copy_into, on_conflict=on_conflict, referring=referring)
        inserted, unchanged, preserved, overwritten = counts
    return TableResult(
        table=table.source.name,
        target=table.target.qualified_name,
        rows=table.rows,
        standing=standing,
        inserted=inserted,
        unchanged=unchanged,
        preserved=preserved + table.stood_for,
        overwritten=overwritten,
        quarantined=table.rejected,
        seconds=time.monotonic() - started,
    )


def _copy_rows(
    connection: psycopg.Connection[Any],
    source: SourceDatabase,
    table: TablePlan,
    faces: FaceMaker,
    destination: sql.Identifier,
    progress: Progress,
) -> int:
    """Send every row of one table through COPY and return how many PostgreSQL took."""
    columns = sql.SQL(", ").join(sql.Identifier(column.target.name) for column in table.columns)
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv, NULL '', ENCODING 'UTF8')").format(
        destination, columns
    )
    with translate_errors(source.path), connection.cursor() as cursor:
        with cursor.copy(statement) as copy:
            for chunk, rows in _render_chunks(source, table, faces):
                copy.write(chunk)
                progress.advance(table, rows)
        return cursor.rowcount


def _render_chunks(source: SourceDatabase, table: TablePlan, faces: FaceMaker) -> Iterator[tuple[bytes, int]]:
    """Yield CSV in chunks with the rows rendered so far."""
    fields = [column_faces(faces, column).field for column in table.columns]
    separated = [part for field in fields for part in (field, "','")]
    line = _concatenate([*separated[:-1], "char(10)"])
    is_utf8 = source.encoding == "utf-8"
    pieces: list[bytes] = []
    size = rows = 0
    for (raw,) in source.connection.execute(f"SELECT CAST({line} AS BLOB) FROM {taken_rows(table)}"):
        if not isinstance(raw, bytes):
            raise SourceRefusedError(
                "a row could not be rendered though its cells were accepted",
                where=f"table {table.source.name}, row {rows + 1}",
                remedy="please report this",
            )
        piece = raw if is_utf8 else raw.decode(source.encoding).encode()
        pieces.append(piece)
        size += len(piece)
        rows += 1
        if size >= _CHUNK_BYTES:
            yield b"".join(pieces), rows
            pieces.clear()
            size = 0
    yield b"".join(pieces), rows


def _concatenate(parts: list[str]) -> str:
    """Join SQL expressions with ||, balanced, because SQLite limits an expression's depth to 1000."""
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return f"({_concatenate(parts[:middle])} || {_concatenate(parts[middle:])})"
