"""Have PostgreSQL evaluate a unique index over rows of the source before they are loaded.

Owns which columns are sent for it, how they are read in batches, and the SQL that gives the index's values of
sent rows and of standing ones. Compares nothing. Writes nothing: a dry run's transaction is READ ONLY.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

import psycopg
from psycopg import sql

from entrypoint.model import ColumnPlan, IndexPart, TablePlan, TargetColumn, UniqueIndex
from entrypoint.postgres.catalog import own_rows
from entrypoint.postgres.inputs import is_verdict
from entrypoint.postgres.queries import sent_rows, typed_row, write_expression
from entrypoint.sqlite.introspect import quote
from entrypoint.sqlite.source import Cell, SourceDatabase
from entrypoint.transfer.cells import column_faces
from entrypoint.transfer.conversions import FaceMaker
from entrypoint.transfer.refusals.findings import Findings
from entrypoint.transfer.refusals.judge import sift_rows

# What is sent at once: many short rows, or a few long ones.
_BATCH_ROWS = 4000
_BATCH_CHARACTERS = 4 * 1024 * 1024
_FETCH_ROWS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedRows:
    """What is sent of a table's rows so that one of its unique indexes can be evaluated.

    Attributes:
        sent: planned columns in the order they are sent.
        empty: columns that nothing fills, sent after those as NULL.
        generated: columns that PostgreSQL computes from them.
    """

    table: TablePlan
    index: UniqueIndex
    sent: tuple[ColumnPlan, ...]
    empty: tuple[TargetColumn, ...]
    generated: tuple[TargetColumn, ...]

    @property
    def width(self) -> int:
        return len(self.sent) + len(self.empty)

    def find_positions(self, names: Iterable[str]) -> tuple[int, ...]:
        """Return where columns of these names stand in a row that is sent."""
        order = {column.target.name: position for position, column in enumerate(self.sent)}
        return tuple(order[name] for name in names)


def plan_rows(table: TablePlan, index: UniqueIndex, names: tuple[str, ...] = ()) -> IndexedRows | None:
    """Return what to send, `names` first.

    None where a default fills what the index needs, or where no two rows can meet because a column of it
    stays NULL in all.

    Args:
        table: planned.
        index: of its target.
        names: planned columns that are wanted beside those that the index needs.
    """
    planned = {column.target.name: column for column in table.columns}
    known = {column.name: column for column in table.target.columns}
    needed = [known[name] for name in index.needs]
    generated = tuple(column for column in needed if column.is_generated)
    stored = [column.name for column in needed if not column.is_generated]
    stored += [name for column in generated for name in column.generated_from]
    missing = [known[name] for name in dict.fromkeys(stored) if name not in planned]
    is_computed = all(column.generation is not None for column in generated)
    if any(column.has_default for column in missing) or not is_computed:
        return None
    if not index.is_nulls_not_distinct and any(column.name in index.columns for column in missing):
        return None
    return IndexedRows(
        table=table,
        index=index,
        sent=tuple(planned[name] for name in dict.fromkeys([*names, *stored]) if name in planned),
        empty=tuple(missing),
        generated=generated,
    )


def read_batches(
    source: SourceDatabase,
    rows: IndexedRows,
    faces: FaceMaker,
    connection: psycopg.Connection[Any],
    findings: Findings,
    extra: Sequence[str] = (),
    only: str | None = None,
) -> Iterator[list[tuple[Cell, ...]]]:
    """Yield the rendered rows that are to be loaded, without those that hold a refused cell.

    Args:
        source: open.
        rows: what to read.
        faces: of the census.
        connection: inside a transaction.
        findings: know whether any cell of the table is refused.
        extra: SQL over the source table whose values stand behind the rendered cells.
        only: SQL over it that holds for the rows that are wanted.
    """
    table = rows.table
    made = [column_faces(faces, column) for column in rows.sent]
    parts = [*(face.text for face in made), *("NULL" for _ in rows.empty), *extra]
    has_refused = findings.has_refused(table)
    conditions = [condition for condition in (table.condition, only) if condition]
    conditions += [f"NOT ({face.refuses})" for face in made] if has_refused else []
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    found = source.connection.execute(f"SELECT {', '.join(parts)} FROM {quote(table.source.name)}{where}")
    for batch in _cut(found, rows.width):
        yield sift_rows(connection, rows.sent, batch) if has_refused else batch


def _cut(found: Iterator[tuple[Cell, ...]], width: int) -> Iterator[list[tuple[Cell, ...]]]:
    batch: list[tuple[Cell, ...]] = []
    characters = 0
    while fetched := list(islice(found, _FETCH_ROWS)):
        batch += fetched
        columns = cast("Iterator[tuple[str | None, ...]]", islice(zip(*fetched, strict=True), width))
        characters += sum(sum(map(len, filter(None, column))) for column in columns)
        if len(batch) >= _BATCH_ROWS or characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def write_arriving(rows: IndexedRows) -> sql.Composed:
    """Return a query over sent rows that the index is about: `n`, its values `e0`…, the columns `c0`….

    A row with a NULL among the values is left out unless NULLs are alike: the index lets any number stand.
    The predicate is held against a row before the expressions are evaluated, as PostgreSQL does.
    """
    index = rows.index
    columns = [*(column.target for column in rows.sent), *rows.empty, *rows.generated]
    parts = [_write_part(part) for part in index.parts]
    applies: sql.Composable = sql.SQL("true")
    if not index.is_nulls_not_distinct:
        applies = sql.SQL("num_nulls({}) = 0").format(sql.SQL(", ").join(parts))
    if index.predicate is not None:
        applies = sql.SQL("CASE WHEN {} THEN {} ELSE false END").format(
            write_expression(index.predicate), applies
        )
    return sql.SQL(
        "SELECT k.n, a.* FROM {sent} CROSS JOIN LATERAL"
        " (SELECT {values} FROM {typed} AS {name} WHERE {applies}) AS a"
    ).format(
        sent=sent_rows(rows.width),
        values=_list_values(rows),
        typed=typed_row(columns),
        name=sql.Identifier(rows.table.target.name),
        applies=applies,
    )


def write_standing(rows: IndexedRows) -> sql.Composed:
    """Return a query over the standing rows that the index is about, with the same columns but `n`."""
    predicate = rows.index.predicate
    return sql.SQL("SELECT {values} FROM {rows} AS {name} WHERE {applies}").format(
        values=_list_values(rows),
        rows=own_rows(rows.table.target),
        name=sql.Identifier(rows.table.target.name),
        applies=write_expression(predicate if predicate is not None else "true"),
    )


def _list_values(rows: IndexedRows) -> sql.Composed:
    values = [
        sql.SQL("{} AS {}").format(_write_part(part), name)
        for part, name in zip(rows.index.parts, name_values(rows), strict=True)
    ]
    columns = [
        sql.SQL("{} AS {}").format(sql.Identifier(column.target.name), name)
        for column, name in zip(rows.sent, name_columns(rows), strict=True)
    ]
    return sql.SQL(", ").join([*values, *columns])


def _write_part(part: IndexPart) -> sql.SQL:
    collation = f" COLLATE {part.collation}" if part.collation is not None else ""
    return write_expression(part.expression + collation)


def name_values(rows: IndexedRows) -> list[sql.Identifier]:
    """Return what the index's values are called in both queries."""
    return [sql.Identifier(f"e{position}") for position in range(len(rows.index.parts))]


def name_columns(rows: IndexedRows) -> list[sql.Identifier]:
    """Return what the planned columns that are sent are called in both queries."""
    return [sql.Identifier(f"c{position}") for position in range(len(rows.sent))]


def describe_index(index: UniqueIndex) -> str:
    """Return an index for a reader: its name, what it is over, and which rows it is about."""
    parts = ", ".join(part.column if part.column is not None else part.expression for part in index.parts)
    condition = f" WHERE {index.predicate}" if index.predicate is not None else ""
    return f"{index.name} ({parts}){condition}"


def note_left(table: TablePlan, index: UniqueIndex, error: psycopg.Error, findings: Findings) -> None:
    """Note that an index cannot be evaluated before the load; what is no answer of PostgreSQL's is raised."""
    if not _is_about_index(error):
        raise error
    note = (
        f"{table.source.name}: only the load will show whether rows meet on the unique index "
        f"{describe_index(index)}, which cannot be evaluated before ({error.diag.message_primary or error})"
    )
    if note not in findings.notes:
        findings.notes.append(note)


@contextmanager
def suppress_verdicts() -> Iterator[None]:
    """Let an index pass that cannot be evaluated, which was noted before."""
    try:
        yield
    except psycopg.Error as error:
        if not _is_about_index(error):
            raise


def _is_about_index(error: psycopg.Error) -> bool:
    """Tell whether the index cannot be evaluated: a function in it may not be called, or raises."""
    return is_verdict(error) or isinstance(error, psycopg.ProgrammingError | psycopg.InternalError)
