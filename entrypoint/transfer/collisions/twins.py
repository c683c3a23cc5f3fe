"""Rows of the source that PostgreSQL's unique indexes hold equal to each other, refused before the load.

Owns which indexes are asked about, and the refusal; `twin_search` finds the rows. The target's equality may
be wider than the source's: case that does not count, a number or a UUID spelled in two ways, `1` beside
`'1'`, NULLs that are alike, an index the source does not have.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from entrypoint.model import Refusal, TablePlan, UniqueIndex
from entrypoint.sqlite.source import Cell, SourceDatabase
from entrypoint.transfer.cells import show_value
from entrypoint.transfer.collisions.followers import describe_referring, find_referring
from entrypoint.transfer.collisions.guarantees import Guarantees
from entrypoint.transfer.collisions.indexed import IndexedRows, describe_index, note_left, plan_rows
from entrypoint.transfer.collisions.stated import make_stated_index
from entrypoint.transfer.collisions.twin_search import Twins, TwinSearch, write_token
from entrypoint.transfer.conversions import FaceMaker
from entrypoint.transfer.refusals.findings import Findings

_SETS_SHOWN = 2


def refuse_twins(
    source: SourceDatabase,
    tables: Sequence[TablePlan],
    faces: FaceMaker,
    connection: psycopg.Connection[Any],
    findings: Findings,
    *,
    is_redirected: bool = False,
) -> None:
    """Refuse the rows of each set that a unique index, or the key rows are matched by, holds equal.

    Under ON_REJECT=quarantine the first of each set, in the order of its keys, is kept.

    Args:
        source: open.
        tables: of the plan, judged.
        faces: of the census.
        connection: inside a transaction.
        findings: told of each.
        is_redirected: look only at indexes over references that were redirected, and leave no row aside.
    """
    guarantees = Guarantees(source)
    for table in tables:
        for index in _list_indexes(table) if table.rows > 1 else ():
            rows = plan_rows(table, index)
            if rows is None or guarantees.holds(table, index):
                continue
            if is_redirected and all(column.redirect is None for column in rows.sent):
                continue
            is_local = guarantees.has_telling_texts(table, index)
            search = TwinSearch(source, rows, faces, connection, findings, is_local=is_local)
            try:
                with connection.transaction():
                    found = search.run()
            except psycopg.Error as error:
                note_left(table, index, error, findings)
                continue
            while found.sets:
                _refuse(source, rows, found, tables, findings, is_about_rows=not is_redirected)
                if found.is_complete or is_redirected or not findings.can_leave_aside(table):
                    break
                found = search.run()


def _list_indexes(table: TablePlan) -> list[UniqueIndex]:
    """Return the target's unique indexes, and the key rows are matched by where none of them is over it."""
    indexes = list(table.target.unique_indexes)
    if table.key and all(set(index.columns) != set(table.key) for index in table.target.unique_keys):
        indexes.append(make_stated_index(table))
    return indexes


def _refuse(
    source: SourceDatabase,
    rows: IndexedRows,
    found: Twins,
    tables: Sequence[TablePlan],
    findings: Findings,
    *,
    is_about_rows: bool,
) -> None:
    table = rows.table
    is_aside = is_about_rows and findings.can_leave_aside(table)
    refused = [alike[1:] if is_aside else alike for _, alike in found.sets]
    tokens = {row.token for alike in refused for row in alike}

    def is_twin(token: Cell) -> int:
        return int(token in tokens)

    source.register_function("entrypoint_is_twin", is_twin, 1)
    names = [column.source.name for column in rows.sent if column.source is not None]
    remedy = "keep one row of each set in the source, or make their values differ"
    if is_about_rows and not is_aside:
        remedy += "; ON_REJECT=quarantine keeps the first of each set"
    refusal = Refusal(
        table=table.source.name,
        column=", ".join(names) or None,
        value=show_value(found.sets[0][0], is_text=False, encoding=source.encoding),
        reason=_describe(rows, found, tables, is_aside=is_aside),
        remedy=remedy,
        keys=tuple(row.key for alike in refused[:_SETS_SHOWN] for row in alike[:2] if row.key),
        count=sum(len(alike) for alike in refused),
    )
    condition = f"entrypoint_is_twin({write_token(table)})"
    findings.refuse(table, refusal, condition, is_about_rows=is_about_rows)


def _describe(rows: IndexedRows, found: Twins, tables: Sequence[TablePlan], *, is_aside: bool) -> str:
    target = rows.table.target.qualified_name
    referring = find_referring({table.target.qualified_name: table for table in tables}, target)
    at_least = "" if found.is_complete else "at least "
    count = sum(len(alike) for _, alike in found.sets)
    return (
        f"{at_least}{count} rows in {len(found.sets)} set(s) have one value for PostgreSQL on the unique "
        f"index {describe_index(rows.index)}"
        + ("; the first of each set is kept" if is_aside else "")
        + f"; what refers to such rows: {describe_referring(referring)}"
    )
