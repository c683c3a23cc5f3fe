"""What a migration must do with these cells and those standing rows: the oracle of the fuzz test.

Owns the contract's rules about rows that meet rows. Must not import the product.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tests.fuzz.collide import Standing, settle_collisions
from tests.fuzz.kinds import REQUIRED_VALUE
from tests.fuzz.meanings import find_units, is_temporal
from tests.fuzz.model import Case, Culprit, Expectation, Outcome, Row, Setting, Table
from tests.fuzz.rows import (
    compare_key,
    find_bad_cells,
    find_doubles,
    find_orphans,
    is_out_of_bounds,
    read_meanings,
    refers,
)

_KEPT = "which of them is kept"
_MEETING = ("collides with a row that stands", "conflicts")


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
    left_out = settle_collisions(case, rows, standing, expected)
    for position, table in enumerate(case.tables):
        taken = [row for number, row in enumerate(rows[position]) if number not in left_out[position]]
        outcome = _merge(table, taken, standing[position], case.setting, expected)
        outcome.preserved += len(left_out[position])
        expected.events |= {"another row stands for one"} if left_out[position] else set()
        outcome.rejects = [cells[position][number] for number in sorted(lost[position])]
        expected.tables.append(outcome)
    _check_constraints(case, expected)
    if any(doubt.why == _KEPT for doubt in expected.doubts):  # what meets PostgreSQL's rows depends on it
        expected.late += [culprit for culprit in expected.refusals if culprit.why in _MEETING]
        expected.refusals = [culprit for culprit in expected.refusals if culprit.why not in _MEETING]
    culprits = [*expected.refusals, *expected.late, *expected.doubts]
    expected.events |= {culprit.why for culprit in culprits}
    expected.events |= {"rows left aside"} if any(outcome.rejects for outcome in expected.tables) else set()
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
        units = [
            find_units(column, (row[position] for row in found)) if is_temporal(column) else set()
            for position, column in enumerate(table.columns)
        ]
        for column, seen in zip(table.columns, units, strict=True):
            if len(seen) > 1:
                expected.refusals.append(Culprit(table.source, column.source, "two units"))
        if {"julian"} in units:  # a zero beside Julian days may be none of them, and no other unit either
            expected.doubts += [
                Culprit(table.source, column.source, "a zero of no unit")
                for position, column in enumerate(table.columns)
                if is_temporal(column) and not units[position] and any(row[position] == 0 for row in found)
            ]


def _foretell_losses(case: Case, expected: Expectation, standing: Sequence[Standing]) -> list[set[int]]:
    """Return the rows of each table that cannot be taken; under ON_REJECT=fail they refuse the whole."""
    reasons: list[Culprit] = []
    lost: list[set[int]] = []
    for table, rows, held in zip(case.tables, expected.rows, standing, strict=True):
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
        if outside and held and not all(check.is_valid for check in table.checks):
            # Rows that break such a check may stand, and be the same as arriving ones.
            expected.doubts.append(Culprit(table.source, None, "a CHECK that is not valid"))
        lost.append(gone | outside)
    for table, rows, gone in zip(case.tables, expected.rows, lost, strict=True):
        if twins := find_doubles(table, rows, gone):
            reasons.append(Culprit(table.source, None, "rows that collide with each other", len(twins)))
            if case.setting.on_reject == "quarantine":
                expected.doubts.append(Culprit(table.source, None, _KEPT))
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


def _merge(
    table: Table, taken: list[Row], standing: Standing, setting: Setting, expected: Expectation
) -> Outcome:
    outcome = Outcome()
    defaults = tuple(REQUIRED_VALUE if default == "?" else default for _, _, default in table.extras)
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
    for event in ("unchanged", "preserved", "overwritten"):
        expected.events |= {event} if getattr(outcome, event) else set()
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
