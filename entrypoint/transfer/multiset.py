"""Compare rows that no key tells apart: each distinct row is counted on both sides.

Owns the counting. How rows are read, and what they mean, is `readings`' and `decode`'s.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import psycopg
from psycopg import sql

from entrypoint.model import ColumnPlan, TablePlan
from entrypoint.postgres.catalog import own_rows
from entrypoint.sqlite.source import SourceDatabase
from entrypoint.transfer.cells import taken_rows
from entrypoint.transfer.conversions import FaceMaker
from entrypoint.transfer.readings import BATCH_ROWS, expect_rows, read_cell, read_row, show_cell
from entrypoint.transfer.verdict import Difference, Verdict

# Hashes are counted in as many passes as keep them small in memory.
_HASHES_A_PASS = 200_000


def compare_multiset(
    connection: psycopg.Connection[Any],
    source: SourceDatabase,
    table: TablePlan,
    faces: FaceMaker,
    timezone: str,
    *,
    is_alone: bool,
) -> Verdict:
    """Count each distinct row on both sides, as hashes, a part of them at a time."""
    # Hashes cannot leave a cell open, as arrays of documents have to be.
    compared = [column for column in table.columns if column.source and column.conversion.kind != "array"]
    if not compared:
        return Verdict(rows=table.rows_taken, differing=0, differences=())
    passes = table.rows_taken // _HASHES_A_PASS + 1
    missing = extra = 0
    for part in range(passes):
        counts: dict[int, int] = {}
        for digest in _hash_source(connection, source, table, compared, faces, timezone):
            if digest % passes == part:
                counts[digest] = counts.get(digest, 0) + 1
        for digest in _hash_target(connection, table, compared):
            if digest % passes == part:
                counts[digest] = counts.get(digest, 0) - 1
        missing += sum(count for count in counts.values() if count > 0)
        extra -= sum(count for count in counts.values() if count < 0)
    differing = missing + (extra if is_alone else 0)
    differences = (
        Difference(
            table=table.source.name,
            key="no key",
            column=None,
            expected=f"{missing} row(s)",
            found=f"{extra} other row(s)",
        ),
    )
    return Verdict(rows=table.rows_taken, differing=differing, differences=differences if differing else ())


def _hash_source(
    connection: psycopg.Connection[Any],
    source: SourceDatabase,
    table: TablePlan,
    columns: list[ColumnPlan],
    faces: FaceMaker,
    timezone: str,
) -> Iterator[int]:
    cells = ", ".join(read_cell(source, column, faces) for column in columns)
    rows = source.connection.execute(f"SELECT {cells} FROM {taken_rows(table)}")
    while batch := list(islice(rows, BATCH_ROWS)):
        yield from map(hash, expect_rows(connection, columns, batch, timezone))


def _hash_target(
    connection: psycopg.Connection[Any], table: TablePlan, columns: list[ColumnPlan]
) -> Iterator[int]:
    statement = sql.SQL("SELECT {} FROM {} t").format(
        sql.SQL(", ").join(show_cell(column) for column in columns),
        own_rows(table.target),
    )
    with connection.cursor(name="entrypoint_verify") as cursor:
        cursor.itersize = BATCH_ROWS
        for row in cursor.execute(statement):
            yield hash(read_row(columns, row))
