"""What a plan will do with each table of the target, as far as privileges are concerned.

Owns reading that off the plan, before any cell has been judged; what it takes is `postgres.privileges`'s.
"""

from __future__ import annotations

from collections.abc import Callable

from entrypoint.model import Plan, TablePlan
from entrypoint.postgres.privileges import Use
from entrypoint.postgres.quiet import find_reactions, find_undeferrable
from entrypoint.transfer.load import list_deferred
from entrypoint.transfer.load.merge import ConflictPolicy
from entrypoint.transfer.load.sequences import has_counter


def list_uses(plan: Plan, *, on_conflict: ConflictPolicy, has_rows: Callable[[str], bool]) -> list[Use]:
    """Return what will be done with each planned table.

    Args:
        plan: of tables and columns.
        on_conflict: what is done about rows that stand with other values.
        has_rows: tells whether a source table has any.
    """
    deferred = list_deferred(plan, on_conflict)
    planned = {table.target.qualified_name for table in plan.tables}
    return [
        _describe(
            table,
            planned,
            [name for owner, name in deferred if owner == table.target.qualified_name],
            is_loaded=has_rows(table.source.name),
            is_updating=on_conflict == "overwrite",
        )
        for table in plan.tables
    ]


def _describe(
    table: TablePlan, planned: set[str], deferred: list[str], *, is_loaded: bool, is_updating: bool
) -> Use:
    target = table.target
    columns = [column.target.name for column in table.columns]
    fed = [
        column
        for column in target.columns
        if column.sequence is not None and (is_loaded or has_counter(table, column.name))
    ]
    triggers, rules = find_reactions(target, is_updating=is_updating)
    altered = {(trigger.schema, trigger.table) for trigger in triggers}
    altered |= {(rule.schema, rule.table) for rule in rules}
    altered |= {(target.schema, target.name)} if find_undeferrable(target, deferred) else set()
    return Use(
        table=target,
        columns=tuple(columns),
        is_loaded=is_loaded,
        is_updating=is_updating,
        sequences=tuple(column.sequence for column in fed if column.sequence is not None),
        referenced=tuple(
            (key.referenced_schema, key.referenced_table, key.referenced_columns)
            for key in target.foreign_keys
            if is_loaded and key.references not in planned and set(key.columns) <= set(columns)
        ),
        altered=tuple(sorted(altered)) if is_loaded else (),
    )
