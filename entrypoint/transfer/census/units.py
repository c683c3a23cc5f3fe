"""Find the unit of every column of numbers that are times, from one scan of its table.

Owns the questions asked of the rows and which columns are evidence for others; what the answers say stands in
`conversions.units`. Refuses nothing: numbers whose unit stays unknown are refused as cells.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from entrypoint.model import ColumnPlan, TablePlan
from entrypoint.sqlite.source import SourceDatabase
from entrypoint.transfer.cells import ask_rows, column_cell, read_keys
from entrypoint.transfer.conversions import TEMPORAL_KINDS
from entrypoint.transfer.conversions.units import (
    UNIT_NAMES,
    WINDOWS,
    NumberFacts,
    Sibling,
    UnitUnknownError,
    infer_unit,
    read_values,
)


def infer_units(source: SourceDatabase, table: TablePlan, *, timezone: str) -> TablePlan:
    """Return the table with the unit of each column of numbers, or why it is not known for evidence.

    Args:
        source: open.
        table: its plan.
        timezone: a moment at midnight there is a date.
    """
    table = _say_django_s(source, table)
    temporal = [
        column for column in table.columns if column.source and column.conversion.kind in TEMPORAL_KINDS
    ]
    if not temporal:
        return table
    unknown = [column for column in temporal if column.conversion.unit is None]
    facts = dict(zip(_names(unknown), _read_number_facts(source, table, unknown), strict=True))
    siblings = _find_siblings(temporal, facts)
    planned = {}
    for column in temporal:
        name = column.target.name
        conversion = replace(column.conversion, timezone=timezone)
        if name in facts and facts[name].count:
            unit, evidence = _judge(source, table, column, facts[name], siblings)
            conversion = replace(conversion, unit=unit, evidence=evidence, is_unit_inferred=unit is not None)
        planned[name] = replace(column, conversion=conversion)
    return replace(table, columns=tuple(planned.get(column.target.name, column) for column in table.columns))


def _say_django_s(source: SourceDatabase, table: TablePlan) -> TablePlan:
    """Return the table with the unit of durations as Django keeps them: a bigint of microseconds.

    https://docs.djangoproject.com/en/5.2/ref/models/fields/#durationfield
    No value tells the unit of a duration, so that it is known of this framework's alone.
    """
    planned = {
        column.target.name: replace(
            column,
            conversion=replace(
                column.conversion,
                unit="us",
                evidence="microseconds: Django keeps durations so, and this is a database of Django's "
                "(django_migrations)",
            ),
        )
        for column in table.columns
        if column.source
        and column.source.declared_type.lower() == "bigint"
        and column.conversion.kind == "interval"
        and column.conversion.unit is None
    }
    if not planned or not _is_django_s(source):
        return table
    return replace(table, columns=tuple(planned.get(column.target.name, column) for column in table.columns))


def _is_django_s(source: SourceDatabase) -> bool:
    query = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'django_migrations')"
    row = source.connection.execute(query).fetchone()
    return bool(row and row[0])


def _names(columns: list[ColumnPlan]) -> list[str]:
    return [column.target.name for column in columns]


def _find_siblings(temporal: list[ColumnPlan], facts: dict[str, NumberFacts]) -> tuple[Sibling, ...]:
    """Return the columns whose unit is stated or told by their own values."""
    siblings = []
    for column in temporal:
        assert column.source is not None
        unit = column.conversion.unit
        if found := facts.get(column.target.name):
            try:
                told = read_values(found)
            except UnitUnknownError:
                continue
            unit = told[0] if told else None
        if unit:
            siblings.append(Sibling(name=column.source.name, unit=unit))
    return tuple(siblings)


def _judge(
    source: SourceDatabase,
    table: TablePlan,
    column: ColumnPlan,
    facts: NumberFacts,
    siblings: tuple[Sibling, ...],
) -> tuple[str | None, str]:
    assert column.source is not None
    # What other columns count from an epoch, a time of day may count from midnight.
    is_clock = column.conversion.kind == "time"
    try:
        return infer_unit(
            facts,
            declared_type=column.source.declared_type,
            siblings=() if is_clock else siblings,
        )
    except UnitUnknownError as error:
        if error.strays is None:
            return None, str(error)
        lowest, highest = WINDOWS[error.strays]
        keys = read_keys(source, table.source, f"{column_cell(column)} BETWEEN {lowest} AND {highest}")
        found = facts.in_window[error.strays]
        rows = "; ".join([*keys, *(["…"] if found > len(keys) else [])])
        return None, f"{error}; correct those in {UNIT_NAMES[error.strays]} first: {rows}"


def _read_number_facts(
    source: SourceDatabase, table: TablePlan, columns: list[ColumnPlan]
) -> Iterator[NumberFacts]:
    parts = []
    for column in columns:
        cell = column_cell(column)
        is_number = f"typeof({cell}) IN ('integer', 'real')"
        parts += [
            f"sum({is_number})",
            f"sum({is_number} AND {cell} = 0)",
            *(f"sum({is_number} AND {cell} BETWEEN {low} AND {high})" for low, high in WINDOWS.values()),
            f"min(CASE WHEN {is_number} THEN {cell} END)",
            f"max(CASE WHEN {is_number} THEN {cell} END)",
        ]
    width = len(WINDOWS) + 4
    answers = ask_rows(source, table, parts, width=width)
    for start in range(0, len(parts), width):
        count, zeros, *in_window, lowest, highest = answers[start : start + width]
        yield NumberFacts(
            count=int(count or 0),
            zeros=int(zeros or 0),
            in_window={unit: int(found or 0) for unit, found in zip(WINDOWS, in_window, strict=True)},
            lowest=lowest or 0,
            highest=highest or 0,
        )
