"""Which rows of a source can stand beside each other in a target: the oracle's rules about single tables.

Rows are tuples of meanings. Must not import the product.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tests.fuzz.meanings import REFUSED, compare_as, find_units, is_temporal, read_meaning
from tests.fuzz.model import Check, Column, RawText, Row, Table, Unique
from tests.fuzz.postgres_text import quote


def pick(row: Row, positions: Iterable[int]) -> Row:
    return tuple(row[position] for position in positions)


def read_source(connection: sqlite3.Connection, tables: Sequence[Table]) -> list[list[Row]]:
    """Return every table's cells as SQLite stores them."""
    connection.text_factory = _decode
    found = []
    for table in tables:
        names = ", ".join(quote(column.source) for column in table.columns)
        found.append([tuple(row) for row in connection.execute(f"SELECT {names} FROM {quote(table.source)}")])
    return found


def _decode(content: bytes) -> str | RawText:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return RawText(content)


def read_counters(connection: sqlite3.Connection, tables: Sequence[Table]) -> list[int]:
    """Return each table's highest id ever used according to AUTOINCREMENT, 0 where it has no counter."""
    counters = {}
    if any(table.has_counter for table in tables):
        counters = dict(connection.execute("SELECT CAST(name AS TEXT), seq FROM sqlite_sequence"))
    return [int(counters.get(table.source, 0)) for table in tables]


def read_meanings(tables: Sequence[Table], rows: Sequence[Sequence[Row]], timezone: str) -> list[list[Row]]:
    """Return the meanings of all cells."""
    return [_read_table(table, found, timezone) for table, found in zip(tables, rows, strict=True)]


def _read_table(table: Table, rows: Sequence[Row], timezone: str) -> list[Row]:
    units = [
        min(find_units(column, (row[position] for row in rows)) or {"s"}) if is_temporal(column) else "s"
        for position, column in enumerate(table.columns)
    ]
    return [
        tuple(
            read_meaning(column, cell, timezone, unit)
            for column, cell, unit in zip(table.columns, row, units, strict=True)
        )
        for row in rows
    ]


# --- rows by themselves --------------------------------------------------------------------------


def find_bad_cells(table: Table, row: Row) -> Iterator[int]:
    """Yield the positions of cells that cannot be taken, or are NULL where that must not be."""
    for position, (column, cell) in enumerate(zip(table.columns, row, strict=True)):
        is_key = position in table.key and table.style != "alike"
        if cell == REFUSED or (cell is None and (column.is_not_null or is_key)):
            yield position


def is_out_of_bounds(table: Table, row: Row) -> bool:
    """Tell whether a CHECK refuses a row without bad cells, or no partition takes it."""
    if any(fails(table, check, row) for check in table.checks):
        return True
    return table.partitions == "list" and row[0] not in (1, 2, 3)


def fails(table: Table, check: Check, row: Row) -> bool:
    cell = row[check.column]
    if check.other is not None:
        return cell is None and row[check.other] is None
    column = table.columns[check.column]
    return cell is not None and compare_as(column, cell) == compare_as(column, check.literal)


def is_bad(table: Table, row: Row) -> bool:
    return any(True for _ in find_bad_cells(table, row)) or is_out_of_bounds(table, row)


# --- rows beside each other ----------------------------------------------------------------------


def compare_key(columns: Sequence[Column], row: Row, positions: Iterable[int]) -> Row:
    """Return some of a row's cells as PostgreSQL's `=` sees them."""
    return tuple(compare_as(columns[position], row[position]) for position in positions)


def find_entry(table: Table, unique: Unique, row: Row) -> Row | None:
    """Return what the index holds of a row; None: nothing that another row could equal."""
    if unique.predicate is not None:
        position, is_null = unique.predicate
        if (row[position] is None) != is_null:
            return None
    entry: list[Any] = []
    for position, function in unique.parts:
        cell = row[position]
        if cell is not None and function == "lower":
            cell = cell.lower()
        elif cell is not None and function == "abs":
            cell = abs(cell)
        entry.append(compare_as(table.columns[position], cell))
    if None in entry and not unique.is_nulls_not_distinct:
        return None
    return tuple(entry)


def list_uniques(table: Table) -> list[Unique]:
    """Return all that must be unique in a target, its key first."""
    key = Unique(
        parts=tuple((position, "") for position in table.key),
        is_nulls_not_distinct=table.style == "alike",
    )
    return [*([key] if table.key else []), *table.uniques]


def find_doubles(table: Table, rows: Sequence[Row], lost: set[int]) -> dict[int, Unique]:
    """Return the rows that an earlier row keeps out of a unique index; those that are `lost` keep none."""
    doubles: dict[int, Unique] = {}
    for unique in list_uniques(table):
        seen: set[Row] = set()
        for number, row in enumerate(rows):
            if number in lost or number in doubles:
                continue
            entry = find_entry(table, unique, row)
            if entry is None:
                continue
            if entry in seen:
                doubles[number] = unique
            seen.add(entry)
    return doubles


def find_orphans(
    tables: Sequence[Table],
    rows: Sequence[Sequence[Row]],
    standing: Sequence[Sequence[Row]],
    lost: list[set[int]],
) -> dict[tuple[int, int], str]:
    """Add to `lost` the rows that refer to no row that is not lost, until there are no more.

    Returns:
        the (table, row) numbers that were added, with the first column of the foreign key.
    """
    found: dict[tuple[int, int], str] = {}
    is_changed = True
    while is_changed:
        is_changed = False
        for position, table in enumerate(tables):
            for key in table.foreign_keys:
                parent = tables[key.parent].columns
                present = {compare_key(parent, row, key.referenced) for row in standing[key.parent]}
                present |= {
                    compare_key(parent, row, key.referenced)
                    for number, row in enumerate(rows[key.parent])
                    if number not in lost[key.parent]
                }
                for number, row in enumerate(rows[position]):
                    if number in lost[position] or refers(
                        table, key.columns, key.is_match_full, row, present
                    ):
                        continue
                    lost[position].add(number)
                    found[position, number] = table.columns[key.columns[0]].source
                    is_changed = True
    return found


def refers(table: Table, columns: Sequence[int], is_match_full: bool, row: Row, present: set[Row]) -> bool:
    """Tell whether a row's reference is satisfied (manual, CREATE TABLE, MATCH)."""
    cells = pick(row, columns)
    if None in cells:
        return not is_match_full or not any(cell is not None for cell in cells)
    return compare_key(table.columns, row, columns) in present


def purge(tables: Sequence[Table], rows: Sequence[Sequence[Row]]) -> list[set[int]]:
    """Return the rows (of meanings) that must go for the rest to be sound by itself."""
    nothing: list[list[Row]] = [[] for _ in tables]
    lost = [
        {number for number, row in enumerate(found) if is_bad(table, row)}
        for table, found in zip(tables, rows, strict=True)
    ]
    for table, found, gone in zip(tables, rows, lost, strict=True):
        gone.update(find_doubles(table, found, gone))
    find_orphans(tables, rows, nothing, lost)
    return lost
