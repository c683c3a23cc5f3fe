"""Rows that another unique index than their key keeps out of a target, and what refers to them.

Owns the contract's rules about them for the oracle. Must not import the product.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tests.fuzz.model import Case, Culprit, Expectation, ForeignKey, Row, Setting, Table
from tests.fuzz.rows import compare_key, find_doubles, find_entry, is_out_of_bounds, list_uniques, pick

Standing = Sequence[tuple[Row, Row]]


def settle_collisions(
    case: Case, rows: list[list[Row]], standing: Sequence[Standing], expected: Expectation
) -> list[dict[int, Row]]:
    """Find the rows that another unique index than the key keeps out, and have what refers to them follow.

    Args:
        case: the schemas and settings.
        rows: that can be taken; references in it are changed in place.
        standing: rows of the target before.
        expected: told of what is refused or in doubt.

    Returns:
        for each table the numbers of such rows, with the row that stands.
    """
    left_out: list[dict[int, Row]] = [{} for _ in case.tables]
    kept: list[dict[int, Row]] = [{} for _ in case.tables]
    originals = [list(found) for found in rows]
    settled: set[int] = set()
    for position in _order_tables(case):
        table = case.tables[position]
        for key in table.foreign_keys:
            if key.parent in settled:
                _follow(case, position, key, originals, rows, kept, expected)
        left_out[position] = _find_collisions(
            table, rows[position], standing[position], case.setting, expected
        )
        own = _find_own(table, rows[position], standing[position], case.setting)
        kept[position] = own | left_out[position]
        settled.add(position)
    for position, table in enumerate(case.tables):
        before = list(rows[position])
        for key in table.foreign_keys:
            _follow(case, position, key, originals, rows, kept, expected)
        if before != rows[position] and table.uniques:
            expected.doubts.append(Culprit(table.source, None, "follows in a cycle"))
        if originals[position] != rows[position]:
            _judge_moved(table, rows[position], left_out[position], expected)
    return left_out


def _order_tables(case: Case) -> list[int]:
    """Return the tables, those they refer to first as far as there are no cycles."""
    order: list[int] = []
    while len(order) < len(case.tables):
        waiting = [position for position in range(len(case.tables)) if position not in order]
        free = [
            position
            for position in waiting
            if all(key.parent in (*order, position) for key in case.tables[position].foreign_keys)
        ]
        order.append((free or waiting)[0])
    return order


def _follow(
    case: Case,
    position: int,
    key: ForeignKey,
    originals: list[list[Row]],
    rows: list[list[Row]],
    kept: list[dict[int, Row]],
    expected: Expectation,
) -> None:
    """Point a table's references at what stands for the rows that are left out or preserved."""
    table, parent = case.tables[position], case.tables[key.parent]
    follow = {}
    for number, (old, new) in enumerate(zip(originals[key.parent], rows[key.parent], strict=True)):
        there = kept[key.parent].get(number)
        end = new if there is None else there
        before = compare_key(parent.columns, old, key.referenced)
        if before != compare_key(parent.columns, end, key.referenced):
            follow[before] = pick(end, key.referenced), there is None
    for number, row in enumerate(rows[position]):
        is_done = pick(row, key.columns) != pick(originals[position][number], key.columns)
        if None in pick(row, key.columns) or is_done:
            continue
        found = follow.get(compare_key(table.columns, row, key.columns))
        if found is None:
            continue
        new, is_moved = found
        changed = list(row)
        for column, cell in zip(key.columns, new, strict=True):
            changed[column] = cell
        rows[position][number] = tuple(changed)
        expected.events.add("a reference follows")
        types = [
            (table.columns[i].type, parent.columns[k].type)
            for i, k in zip(key.columns, key.referenced, strict=True)
        ]
        shared = {i for other in table.foreign_keys if other is not key for i in other.columns}
        if is_moved or None in new or shared & set(key.columns) or any(a != b for a, b in types):
            expected.doubts.append(Culprit(table.source, None, "what follows is more than a reference"))


def _find_own(table: Table, rows: Sequence[Row], standing: Standing, setting: Setting) -> dict[int, Row]:
    """Return the rows that are preserved, with the row of their key that stands."""
    if not table.key or setting.on_conflict != "preserve":
        return {}
    by_key = {compare_key(table.columns, row, table.key): row for row, _ in standing}
    keys = [compare_key(table.columns, row, table.key) for row in rows]
    return {number: by_key[key] for number, key in enumerate(keys) if key in by_key}


def _judge_moved(table: Table, rows: Sequence[Row], left_out: dict[int, Row], expected: Expectation) -> None:
    """Doubt what becomes of rows that collide, or fit no more, only since their references follow."""
    taken = [row for number, row in enumerate(rows) if number not in left_out]
    if find_doubles(table, taken, set()) or any(is_out_of_bounds(table, row) for row in taken):
        expected.doubts.append(Culprit(table.source, None, "no longer fits as its references follow"))


def _find_collisions(
    table: Table, rows: Sequence[Row], standing: Standing, setting: Setting, expected: Expectation
) -> dict[int, Row]:
    held = [row for row, _ in standing]
    if not table.key:
        taken = list((Counter(rows) - Counter(held)).elements())
        if find_doubles(table, [*held, *taken], set()):
            culprit = Culprit(table.source, None, "whole rows collide on a unique index")
            expected.late.append(culprit)
            if setting.on_conflict == "preserve" or setting.on_reject == "quarantine":
                expected.doubts.append(culprit)
        return {}
    arriving = {compare_key(table.columns, row, table.key) for row in rows}
    by_key = {compare_key(table.columns, row, table.key): row for row in held}
    found: dict[int, Row] = {}
    disputed: list[Culprit] = []
    for unique in list_uniques(table)[1:]:
        entries = {entry: row for row in held if (entry := find_entry(table, unique, row)) is not None}
        for number, row in enumerate(rows):
            entry = find_entry(table, unique, row)
            kept = entries.get(entry) if entry is not None else None
            own = by_key.get(compare_key(table.columns, row, table.key))
            if kept is None or kept is own:
                continue
            culprit = Culprit(table.source, None, "collides with a row that stands", 1)
            is_moving = compare_key(table.columns, kept, table.key) in arriving
            if setting.on_conflict == "preserve":
                if own is not None and _shares_entry(table, row, own):
                    continue
                if found.setdefault(number, kept) != kept:
                    disputed.append(Culprit(table.source, None, "two rows stand for one", 1))
            elif setting.on_conflict == "overwrite" and (own is not None or is_moving):
                expected.late.append(culprit)
                if is_moving:
                    expected.doubts.append(Culprit(table.source, None, "what stands there will change"))
            elif own is None:
                expected.refusals.append(culprit)
    claims = Counter(compare_key(table.columns, kept, table.key) for kept in found.values())
    for number, row in enumerate(rows):
        key = compare_key(table.columns, row, table.key)
        if number not in found and key in claims:
            claims[key] += 1
    if any(count > 1 for count in claims.values()):
        disputed.append(Culprit(table.source, None, "one row stands for two", 2))
    # Where references may have followed otherwise, so may the rows be told apart otherwise.
    is_in_doubt = any(doubt.table == table.source for doubt in expected.doubts)
    (expected.late if is_in_doubt else expected.refusals).extend(disputed)
    return found


def _shares_entry(table: Table, row: Row, own: Row) -> bool:
    """Tell whether two rows of one key are the same in another unique index too."""
    return any(
        (entry := find_entry(table, unique, row)) is not None and entry == find_entry(table, unique, own)
        for unique in list_uniques(table)[1:]
    )
