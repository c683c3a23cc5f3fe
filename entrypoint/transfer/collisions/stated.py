"""The key that the mapping file states, where no unique index of PostgreSQL's holds it up.

Owns what makes rows unfit to be matched by it, before the load: a NULL, which equals nothing, and several
standing rows for one that arrives. Rows of the source that have one key are `twins`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from entrypoint.model import IndexPart, Refusal, TablePlan, UniqueIndex
from entrypoint.postgres.catalog import has_rows
from entrypoint.postgres.queries import allow_parameters, send_rows
from entrypoint.sqlite.introspect import quote
from entrypoint.sqlite.source import Cell, SourceDatabase
from entrypoint.transfer.cells import (
    column_faces,
    count_rows,
    read_keys,
    show_value,
    write_texts,
)
from entrypoint.transfer.collisions.followers import Key
from entrypoint.transfer.collisions.indexed import (
    IndexedRows,
    name_values,
    plan_rows,
    read_batches,
    write_arriving,
    write_standing,
)
from entrypoint.transfer.conversions import FaceMaker
from entrypoint.transfer.refusals.findings import Findings

# Held in memory at once.
_MOST_KEYS = 100_000


def make_stated_index(table: TablePlan) -> UniqueIndex:
    """Return the stated key as the unique index that is not there."""
    known = {column.name: column for column in table.target.columns}
    parts = tuple(
        IndexPart(
            expression=quote(name),
            collation=known[name].collation,
            column=name,
            operator="=",
            is_deterministic=known[name].collation is None,
        )
        for name in table.key
    )
    return UniqueIndex(
        name="the mapping file's key",
        parts=parts,
        predicate=None,
        needs=table.key,
        is_primary=False,
        is_nulls_not_distinct=False,
    )


def refuse_unmatchable(
    source: SourceDatabase,
    tables: Sequence[TablePlan],
    faces: FaceMaker,
    connection: psycopg.Connection[Any],
    findings: Findings,
) -> None:
    """Refuse the rows that a stated key does not lead to one row, or to none, in PostgreSQL.

    Args:
        source: open.
        tables: of the plan, judged.
        faces: of the census.
        connection: inside a transaction.
        findings: told of each.
    """
    for table in tables:
        if table.key_name != "mapping file" or not table.rows or _is_held_up(table):
            continue
        _refuse_nulls(source, table, faces, findings)
        # Rows that are hidden are refused already.
        if table.target.has_row_security or not has_rows(connection, table.target):
            continue
        rows = plan_rows(table, make_stated_index(table), table.key)
        assert rows is not None
        while found := _find_doubled(source, rows, faces, connection, findings):
            _refuse_doubled(source, table, found, faces, findings)
            if len(found) < _MOST_KEYS or not findings.can_leave_aside(table):
                break


def _is_held_up(table: TablePlan) -> bool:
    """Tell whether a unique index keeps rows with one key, NULLs in it alike, from standing twice."""
    nullable = {column.name for column in table.target.columns if not column.is_not_null}
    return any(
        set(index.columns) <= set(table.key)
        and (index.is_nulls_not_distinct or nullable.isdisjoint(index.columns))
        for index in table.target.unique_keys
    )


def _refuse_nulls(source: SourceDatabase, table: TablePlan, faces: FaceMaker, findings: Findings) -> None:
    for column in table.columns:
        # Those of NOT NULL columns are refused already.
        if column.source is None or column.target.name not in table.key or column.target.is_not_null:
            continue
        made = column_faces(faces, column)
        condition = f"{made.text} IS NULL AND NOT ({made.refuses}) AND {table.condition or '1'}"
        count = count_rows(source, table, condition)
        if not count:
            continue
        refusal = Refusal(
            table=table.source.name,
            column=column.source.name,
            storage_class="null",
            value="NULL",
            reason=f"cannot be matched by {column.source.name}, which is NULL: "
            "it is of the key that the mapping file states, and NULL equals nothing",
            remedy="fill the cells in the source, or state a key without it in the mapping file",
            keys=read_keys(source, table.source, condition),
            count=count,
        )
        findings.refuse(table, refusal, condition)


def _find_doubled(
    source: SourceDatabase,
    rows: IndexedRows,
    faces: FaceMaker,
    connection: psycopg.Connection[Any],
    findings: Findings,
) -> set[Key]:
    """Return the arriving keys, as they are rendered, under which several rows stand."""
    names = name_values(rows)
    statement = sql.SQL(
        "SELECT s.n FROM ({arriving}) AS s JOIN (SELECT {values} FROM ({standing}) AS p GROUP BY {values}"
        " HAVING count(*) > 1) AS t ON {same_key}"
    ).format(
        arriving=write_arriving(rows),
        standing=write_standing(rows),
        values=sql.SQL(", ").join(names),
        same_key=sql.SQL(" AND ").join(sql.SQL("t.{0} = s.{0}").format(name) for name in names),
    )
    found: set[Key] = set()
    for batch in read_batches(source, rows, faces, connection, findings):
        answers = connection.execute(allow_parameters(statement), send_rows(batch, rows.width))
        found |= {batch[number - 1][: len(rows.table.key)] for (number,) in answers}
        if len(found) >= _MOST_KEYS:
            break
    return found


def _refuse_doubled(
    source: SourceDatabase, table: TablePlan, found: set[Key], faces: FaceMaker, findings: Findings
) -> None:
    def is_doubled(*key: Cell) -> int:
        return int(key in found)

    source.register_function("entrypoint_is_doubled", is_doubled, len(table.key))
    condition = f"entrypoint_is_doubled({write_texts(table, table.key, faces)}) AND {table.condition or '1'}"
    key = min(", ".join(str(cell) for cell in key) for key in found)
    names = [
        column.source.name for column in table.columns if column.source and column.target.name in table.key
    ]
    refusal = Refusal(
        table=table.source.name,
        column=", ".join(names) or None,
        value=show_value(key, is_text=False, encoding=source.encoding),
        reason=f"several rows of {table.target.qualified_name} have this {', '.join(table.key)}, "
        "by which the mapping file matches rows",
        remedy="keep one of them in PostgreSQL, or state a key that is unique there in the mapping file",
        keys=read_keys(source, table.source, condition),
        count=count_rows(source, table, condition),
    )
    findings.refuse(table, refusal, condition)
