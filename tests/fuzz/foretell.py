"""What a migration must do with these cells and those standing rows: the oracle of the fuzz test.

Owns the contract's rules about rows that meet rows. Must not import the product.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tests.fuzz.meanings import find_units, is_temporal
from tests.fuzz.model import Case, Culprit, Expectation, Outcome, Row, Setting, Table
from tests.fuzz.rows import (
    compare_key,
    find_bad_cells,
    find_doubles,
    find_entry,
    find_orphans,
    is_out_of_bounds,
    list_uniques,
    pick,
    read_meanings,
    refers,
)

Standing = Sequence[tuple[Row, Row]]


def foretell(case: Case, cells: Sequence[Sequence[Row]], standing: Sequence[Standing]) -> Expectation:
    """Return what must happen.

    Args:
        case: the schemas and settings.
        cells: of the source, as it stores them.
        standing: rows of the target before, as meanings and the text of what only the target has.
    """
    expected = Expectation(rows=read_meanings(case.tables, cells, case.setting.timezone))
    _foretell_structure(case, cells, expected)
    lost = _foretell_losses(case, expected, standing)
    rows = [
        [row for number, row in enumerate(found) if number not in gone]
        for found, gone in zip(expected.rows, lost, strict=True)
    ]
    left_out = _settle_collisions(case, rows, standing, expected)
    for position, table in enumerate(case.tables):
        taken = [row for number, row in enumerate(rows[position]) if number not in left_out[position]]
        outcome = _merge(table, taken, standing[position], case.setting, expected)
        outcome.preserved += len(left_out[position])
        outcome.rejects = [cells[position][number] for number in sorted(lost[position])]
        expected.tables.append(outcome)
    _check_constraints(case, expected)
    return expected


# --- what the plan refuses -----------------------------------------------------------------------


def _foretell_structure(case: Case, cells: Sequence[Sequence[Row]], expected: Expectation) -> None:
    if case.stray == "rows":
        expected.refusals.append(Culprit("stray", None, "a table without a home"))
    if case.stray == "double":
        first = case.tables[0].source
        expected.refusals.append(Culprit(first, None, "two tables fold to one"))
    for table, found in zip(case.tables, cells, strict=True):
        for name, _, is_data in table.source_extras:
            if found and is_data and not case.is_mapped:
                expected.refusals.append(Culprit(table.source, name, "a column without a home"))
        if any(default == "?" for _, _, default in table.extras) and not case.is_mapped:
            culprit = Culprit(table.source, None, "nothing fills a column")
            (expected.refusals if found else expected.doubts).append(culprit)
        for position, column in enumerate(table.columns):
            if is_temporal(column) and len(find_units(column, (row[position] for row in found))) > 1:
                expected.refusals.append(Culprit(table.source, column.source, "two units"))


def _foretell_losses(case: Case, expected: Expectation, standing: Sequence[Standing]) -> list[set[int]]:
    """Return the rows of each table that cannot be taken; under ON_REJECT=fail they refuse the whole."""
    reasons: list[Culprit] = []
    lost: list[set[int]] = []
    for table, rows in zip(case.tables, expected.rows, strict=True):
        bad = Counter(position for row in rows for position in find_bad_cells(table, row))
        reasons += [
            Culprit(table.source, table.columns[position].source, "bad cells", count)
            for position, count in bad.items()
        ]
        gone = {number for number, row in enumerate(rows) if any(True for _ in find_bad_cells(table, row))}
        outside = {
            number for number, row in enumerate(rows) if number not in gone and is_out_of_bounds(table, row)
        }
        reasons += [Culprit(table.source, None, "a CHECK or no partition", len(outside))] if outside else []
        lost.append(gone | outside)
    for table, rows, gone in zip(case.tables, expected.rows, lost, strict=True):
        if twins := find_doubles(table, rows, gone):
            reasons.append(Culprit(table.source, None, "rows that collide with each other", len(twins)))
            if case.setting.on_reject == "quarantine":
                expected.doubts.append(Culprit(table.source, None, "which of them is kept"))
            gone.update(twins)
    planned = [[row for row, _ in found] for found in standing]
    orphans = find_orphans(case.tables, expected.rows, planned, lost)
    reasons += [
        Culprit(case.tables[position].source, column, "an orphan")
        for (position, _), column in orphans.items()
    ]
    if case.setting.on_reject == "fail":
        expected.refusals += reasons
    return lost


# --- rows that meet rows of PostgreSQL -----------------------------------------------------------


def _settle_collisions(
    case: Case, rows: list[list[Row]], standing: Sequence[Standing], expected: Expectation
) -> list[dict[int, Row]]:
    """Find the rows that another unique index than the key keeps out, and have what refers to them follow.

    Args:
        rows: that can be taken; references in it are changed in place.

    Returns:
        for each table the numbers of such rows, with the row that stands.
    """
    left_out = [
        _find_collisions(table, found, held, case.setting, expected)
        for table, found, held in zip(case.tables, rows, standing, strict=True)
    ]
    originals = [list(found) for found in rows]
    for position, table in enumerate(case.tables):
        for key in table.foreign_keys:
            parent = case.tables[key.parent]
            follow = {
                compare_key(parent.columns, originals[key.parent][number], key.referenced): pick(
                    kept, key.referenced
                )
                for number, kept in left_out[key.parent].items()
            }
            for number, row in enumerate(rows[position]):
                new = follow.get(compare_key(table.columns, row, key.columns))
                if new is None or None in pick(row, key.columns) or new == pick(row, key.columns):
                    continue
                changed = list(row)
                for column, cell in zip(key.columns, new, strict=True):
                    changed[column] = cell
                rows[position][number] = tuple(changed)
                _doubt_redirection(table, key.columns, parent, key.referenced, new, expected)
    return left_out


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
    for unique in list_uniques(table)[1:]:
        entries = {entry: row for row in held if (entry := find_entry(table, unique, row)) is not None}
        for number, row in enumerate(rows):
            entry = find_entry(table, unique, row)
            kept = entries.get(entry) if entry is not None else None
            own = by_key.get(compare_key(table.columns, row, table.key))
            if kept is None or kept is own or (own is not None and setting.on_conflict != "overwrite"):
                continue
            culprit = Culprit(table.source, None, "collides with a row that stands", 1)
            is_moving = compare_key(table.columns, kept, table.key) in arriving
            if own is not None:
                expected.late.append(culprit)
            elif setting.on_conflict == "preserve":
                if found.setdefault(number, kept) != kept:
                    expected.doubts.append(Culprit(table.source, None, "which of two it follows"))
            elif is_moving and setting.on_conflict == "overwrite":
                expected.late.append(culprit)
            else:
                expected.refusals.append(culprit)
            if is_moving and setting.on_conflict == "overwrite":
                expected.doubts.append(Culprit(table.source, None, "what stands there will change"))
    return found


def _doubt_redirection(
    table: Table,
    columns: Sequence[int],
    parent: Table,
    referenced: Sequence[int],
    new: Row,
    expected: Expectation,
) -> None:
    """Doubt what follows where a reference is part of more than itself."""
    used = [position for unique in list_uniques(table) for position in unique.columns]
    used += [unique.predicate[0] for unique in table.uniques if unique.predicate]
    used += [check.column for check in table.checks]
    used += [check.other for check in table.checks if check.other is not None]
    used += [0] if table.partitions else []
    for key in table.foreign_keys:
        if tuple(key.columns) != tuple(columns):
            used += key.columns
    types = [
        (table.columns[i].type, parent.columns[k].type) for i, k in zip(columns, referenced, strict=True)
    ]
    if set(columns) & set(used) or None in new or any(own != other for own, other in types):
        expected.doubts.append(Culprit(table.source, None, "a reference that follows and is more than that"))


def _merge(
    table: Table, taken: list[Row], standing: Standing, setting: Setting, expected: Expectation
) -> Outcome:
    outcome = Outcome()
    defaults = tuple(default for _, _, default in table.extras)
    if not table.key:
        present = Counter(row for row, _ in standing)
        added = Counter(taken) - present
        outcome.inserted = added.total()
        outcome.unchanged = len(taken) - outcome.inserted
        outcome.final = Counter((row, extras) for row, extras in standing)
        for row, count in added.items():
            outcome.final[(row, defaults)] += count
        return outcome
    by_key = {compare_key(table.columns, row, table.key): (row, extras) for row, extras in standing}
    for row in taken:
        key = compare_key(table.columns, row, table.key)
        if key not in by_key:
            outcome.inserted += 1
            by_key[key] = (row, defaults)
        elif by_key[key][0] == row:
            outcome.unchanged += 1
        elif setting.on_conflict == "overwrite":
            outcome.overwritten += 1
            by_key[key] = (row, by_key[key][1])
        else:
            outcome.preserved += 1
    if outcome.preserved and setting.on_conflict == "fail":
        expected.refusals.append(Culprit(table.source, None, "conflicts", outcome.preserved))
    if outcome.overwritten and table.uniques:
        expected.doubts.append(Culprit(table.source, None, "unique keys change row by row"))
    outcome.final = Counter(by_key.values())
    return outcome


def _check_constraints(case: Case, expected: Expectation) -> None:
    """Refuse what would break a constraint in the end."""
    for table, outcome in zip(case.tables, expected.tables, strict=True):
        final = [row for row, _ in outcome.final.elements()]
        if find_doubles(table, final, set()):
            expected.late.append(Culprit(table.source, None, "collides on another unique key"))
        for key in table.foreign_keys:
            parent = case.tables[key.parent].columns
            present = {
                compare_key(parent, row, key.referenced) for row, _ in expected.tables[key.parent].final
            }
            if not all(refers(table, key.columns, key.is_match_full, row, present) for row in final):
                culprit = Culprit(table.source, None, "a parent is not what it was")
                expected.late.append(culprit)
                if case.setting.on_conflict == "preserve":
                    expected.doubts.append(culprit)  # it may follow the row that stands
