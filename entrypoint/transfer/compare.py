"""Compare the cells of the source with their counterparts in PostgreSQL, by another path than the load's.

Owns the comparison: SQLite's cells come through its row interface, PostgreSQL's through the text of its
output functions, and `decode` tells whether they mean the same. Judges nothing by what it finds.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

import psycopg
from psycopg import sql

from entrypoint.model import ColumnPlan, TablePlan
from entrypoint.postgres.catalog import own_rows
from entrypoint.postgres.queries import allow_parameters, name_sent, name_type, send_rows, sent_rows
from entrypoint.sqlite.failures import translate_errors
from entrypoint.sqlite.source import SourceDatabase
from entrypoint.transfer.cells import column_faces, show_key, taken_rows
from entrypoint.transfer.conversions import FaceMaker
from entrypoint.transfer.documents import Meaning
from entrypoint.transfer.multiset import compare_multiset
from entrypoint.transfer.readings import BATCH_ROWS, expect_rows, means, read_cell, show_cell
from entrypoint.transfer.verdict import Difference, Verdict, show

_DIFFERENCES_SHOWN = 5


def compare_table(
    connection: psycopg.Connection[Any],
    source: SourceDatabase,
    table: TablePlan,
    faces: FaceMaker,
    *,
    timezone: str,
    sample: int | None = None,
    is_alone: bool = False,
) -> Verdict:
    """Compare the cells of one table's rows with their counterparts in PostgreSQL.

    Args:
        connection: inside a transaction.
        source: open.
        table: its plan, with units.
        faces: finds a row's counterpart by its key.
        timezone: of naive timestamps going into timestamptz.
        sample: compare so many random rows only; rows without a key cannot be sampled.
        is_alone: the target holds nothing but these rows.
    """
    with translate_errors(source.path):
        if table.key:
            return _compare_by_key(connection, source, table, faces, timezone, sample)
        return compare_multiset(connection, source, table, faces, timezone, is_alone=is_alone)


def _compare_by_key(
    connection: psycopg.Connection[Any],
    source: SourceDatabase,
    table: TablePlan,
    faces: FaceMaker,
    timezone: str,
    sample: int | None,
) -> Verdict:
    by_target = {column.target.name: column for column in table.columns}
    keys = [column_faces(faces, by_target[name]).text for name in table.key]
    compared = [column for column in table.columns if column.source is not None]
    order = f" ORDER BY random() LIMIT {sample}" if sample is not None else ""
    cells = ", ".join([*keys, *(read_cell(source, column, faces) for column in compared)])
    rows = source.connection.execute(f"SELECT {cells} FROM {taken_rows(table)}{order}")
    statement = _select_counterparts(table, compared)
    count = differing = missing = 0
    differences: list[Difference] = []
    while batch := list(islice(rows, BATCH_ROWS)):
        found = {
            row[0]: row[1:]
            for row in connection.execute(statement, send_rows(batch, len(table.key))).fetchall()
        }
        expected = expect_rows(connection, compared, [row[len(keys) :] for row in batch], timezone)
        for position, meanings in enumerate(expected, start=1):
            key = show_key(table.key, map(show, batch[position - 1]))
            wrong = _compare_row(table, key, compared, meanings, found.get(position))
            differing += bool(wrong)
            missing += position not in found
            differences += wrong[: _DIFFERENCES_SHOWN - len(differences)]
        count += len(batch)
    return Verdict(rows=count, differing=differing, differences=tuple(differences), missing=missing)


def _select_counterparts(table: TablePlan, compared: list[ColumnPlan]) -> sql.Composed:
    types = {column.target.name: column.target for column in table.columns}
    matches = [
        sql.SQL("t.{} {} k.{}::{}").format(
            sql.Identifier(name),
            sql.SQL("=" if types[name].is_not_null else "IS NOT DISTINCT FROM"),
            alias,
            name_type(types[name].type.name),
        )
        for name, alias in zip(table.key, name_sent(len(table.key)), strict=True)
    ]
    statement = sql.SQL("SELECT k.n, {} FROM {} JOIN {} t ON {}").format(
        sql.SQL(", ").join(show_cell(column) for column in compared),
        sent_rows(len(table.key)),
        own_rows(table.target),
        sql.SQL(" AND ").join(matches),
    )
    return allow_parameters(statement)


def _compare_row(
    table: TablePlan,
    key: str,
    columns: list[ColumnPlan],
    meanings: tuple[Meaning, ...],
    found: tuple[str | None, ...] | None,
) -> list[Difference]:
    if found is None:
        return [Difference(table=table.source.name, key=key, column=None, expected="a row", found="none")]
    return [
        Difference(
            table=table.source.name,
            key=key,
            column=column.target.name,
            expected=show(meaning),
            found=show(text),
        )
        for column, meaning, text in zip(columns, meanings, found, strict=True)
        if not means(column, text, meaning)
    ]
