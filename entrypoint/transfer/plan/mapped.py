"""Hold the mapping file to the two catalogs: what it names exists and is of the kind it is said to be.

Owns what is wrong with names and units; each problem says what there is instead. Plans nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg

from entrypoint.mapping import ColumnMapping, Mapping, TableMapping
from entrypoint.mapping_lines import list_names, spell_place
from entrypoint.model import Plan, SourceTable, TablePlan, TargetTable
from entrypoint.postgres.inputs import find_invalid
from entrypoint.transfer.conversions import UNIT_KINDS


def list_unknown_tables(
    mapping: Mapping, sources: tuple[SourceTable, ...], only: tuple[str, ...]
) -> Iterator[str]:
    """Yield a problem for each table that the mapping file or `--table` names and the source lacks."""
    known = [source.name for source in sources]
    for place, names in (("--table", only), ("mapping file: tables", mapping.tables)):
        for name in names:
            if name not in known:
                yield f"{place}: no table {name} in the source; {list_names(name, known)}"


def list_unknown_columns(
    mapping: TableMapping, source: SourceTable, target: TargetTable | None
) -> Iterator[str]:
    """Yield a problem for each column that the mapping file names and that is not there.

    A default stands under a column of the target, everything else under one of the source; an entry that says
    nothing may stand under either. Without a target, defaults are not looked at.
    """
    own = [column.name for column in source.columns]
    theirs = [column.name for column in target.columns] if target else []
    for name, entry in mapping.columns.items():
        place = f"mapping file: {spell_place(source.name, name)}"
        if entry.default is not None and target is not None and name not in theirs:
            yield f"{place}: no column {name} in {target.qualified_name}; {list_names(name, theirs)}"
        if name in own or (entry.default is not None and not entry.ignore):
            continue
        if entry != ColumnMapping() or (target is not None and name not in theirs):
            yield f"{place}: no column {name} in source table {source.name}; {list_names(name, own)}"


def list_misplaced_units(mapping: TableMapping, table: TablePlan) -> Iterator[str]:
    """Yield a problem for each unit that is stated of a column that becomes neither a time nor a duration."""
    for column in table.columns:
        if column.source is None or column.conversion.kind in UNIT_KINDS:
            continue
        entry = mapping.columns.get(column.source.name)
        if entry is not None and entry.unit is not None:
            yield (
                f"mapping file: {spell_place(table.source.name, column.source.name)}: unit is for numbers "
                f"that become times, and {table.target.qualified_name}.{column.target.name} is "
                f"{column.target.type.name}"
            )


def list_unfit_defaults(connection: psycopg.Connection[Any], plan: Plan) -> Iterator[str]:
    """Yield a problem for each default that its column's type does not take; PostgreSQL is asked."""
    for table in plan.tables:
        for column in table.columns:
            if column.constant is None:
                continue
            is_document = column.conversion.kind == "json"
            found = find_invalid(
                connection, column.target.type.name, [column.constant], is_document=is_document
            )
            for text, reason in found.items():
                place = spell_place(table.source.name, column.target.name)
                yield f"mapping file: {place}: default {text!r} is no {column.target.type.name}: {reason}"
