"""Make the plan of tables and columns, from the two catalogs and the mapping file.

Owns what fills each target column, by which key rows are matched, and in which order tables are loaded.
What goes where by its name is `matching`'s, judging cells is `census`'s.
"""

from __future__ import annotations

from entrypoint.errors import ConfigurationError
from entrypoint.mapping import ColumnMapping, Mapping, TableMapping
from entrypoint.model import (
    ColumnPlan,
    Plan,
    Refusal,
    Skipped,
    SourceTable,
    TablePlan,
    TargetTable,
)
from entrypoint.transfer.conversions import choose_conversion
from entrypoint.transfer.matching import (
    HasData,
    Matches,
    match_column,
    match_table,
    refuse_shared_columns,
    refuse_shared_targets,
)
from entrypoint.transfer.order import find_deferred, sort_tables


def make_plan(
    sources: tuple[SourceTable, ...],
    targets: tuple[TargetTable, ...],
    *,
    mapping: Mapping,
    has_data: HasData,
    skipped: tuple[Skipped, ...] = (),
    only: tuple[str, ...] = (),
) -> Plan:
    """Return the plan before any cell has been judged.

    Args:
        sources: the source's ordinary tables.
        targets: the tables the search path reaches.
        mapping: of the mapping file.
        has_data: tells whether a source table (table, None) or column holds anything but NULL.
        skipped: what introspection left out.
        only: source tables to restrict the plan to; empty for all.

    Raises:
        ConfigurationError: the mapping file or `only` names a table or column that does not exist.
    """
    _require_known_names(mapping, sources, only)
    findings = Matches(skipped=list(skipped), refusals=[], notes=[])
    matched: list[TablePlan] = []
    for source in sources:
        if only and source.name not in only:
            continue
        table_mapping = mapping.tables.get(source.name, TableMapping())
        target = match_table(source, targets, table_mapping, has_data, findings)
        if target is not None:
            matched.append(_plan_table(source, target, table_mapping, has_data, findings))
    refuse_shared_targets(matched, findings)
    return Plan(
        tables=sort_tables(matched),
        skipped=tuple(findings.skipped),
        refusals=tuple(findings.refusals),
        notes=tuple(findings.notes),
        deferred=find_deferred(matched),
    )


def _require_known_names(mapping: Mapping, sources: tuple[SourceTable, ...], only: tuple[str, ...]) -> None:
    tables = {source.name: {column.name for column in source.columns} for source in sources}
    known = ", ".join(sorted(tables)) or "none"
    problems = [
        f"--table {name}: no such table in the source; it has: {known}" for name in only if name not in tables
    ]
    for name, table in mapping.tables.items():
        if name not in tables:
            problems.append(f"mapping file: no table {name} in the source; it has: {known}")
            continue
        problems += [
            f"mapping file: no column {column} in source table {name}; "
            f"it has: {', '.join(sorted(tables[name]))}"
            for column, entry in table.columns.items()
            if column not in tables[name] and entry.default is None
        ]
    if problems:
        raise ConfigurationError(*problems)


def _plan_table(
    source: SourceTable,
    target: TargetTable,
    mapping: TableMapping,
    has_data: HasData,
    findings: Matches,
) -> TablePlan:
    columns: list[ColumnPlan] = []
    for column in source.columns:
        entry = mapping.columns.get(column.name, ColumnMapping())
        planned = match_column(source, column, target, entry, has_data, findings)
        if planned is not None:
            columns.append(planned)
    refuse_shared_columns(source, columns, findings)
    columns += _plan_constants(source, target, columns, mapping, findings)
    is_told = any(refusal.table == source.name for refusal in findings.refusals)
    if not columns and not is_told and has_data(source.name, None):
        findings.refusals.append(
            Refusal(
                table=source.name,
                column=None,
                reason=f"none of its columns has a place in {target.qualified_name}",
                remedy="say where they go in the mapping file, "
                f'[tables."{source.name}".columns], or ignore = true',
            )
        )
    if target.has_row_security:
        findings.refusals.append(
            Refusal(
                table=source.name,
                column=None,
                reason=f"row-level security on {target.qualified_name} would hide or refuse rows",
                remedy="connect as the table's owner without FORCE ROW LEVEL SECURITY, or grant BYPASSRLS",
            )
        )
    return TablePlan(
        source=source,
        target=target,
        columns=tuple(columns),
        key=_choose_key(source, target, columns, mapping, findings),
    )


def _plan_constants(
    source: SourceTable,
    target: TargetTable,
    planned: list[ColumnPlan],
    mapping: TableMapping,
    findings: Matches,
) -> list[ColumnPlan]:
    """Give every column that no source column fills its stated constant, or require its own default."""
    filled = {column.target.name for column in planned}
    constants = []
    for column in target.columns:
        if column.name in filled or column.is_generated:
            continue
        entry = mapping.columns.get(column.name)
        if entry is not None and entry.default is not None:
            constants.append(
                ColumnPlan(
                    source=None,
                    target=column,
                    conversion=choose_conversion(column.type),
                    constant=entry.default,
                )
            )
        elif column.is_not_null and not column.has_default:
            findings.refusals.append(
                Refusal(
                    table=source.name,
                    column=None,
                    reason=f"nothing fills {target.qualified_name}.{column.name}, which is NOT NULL "
                    "without a default",
                    remedy=f'add to the mapping file: [tables."{source.name}".columns] "{column.name}" = '
                    '{ default = "…" }, or a default to the column',
                )
            )
    return constants


def _choose_key(
    source: SourceTable,
    target: TargetTable,
    columns: list[ColumnPlan],
    mapping: TableMapping,
    findings: Matches,
) -> tuple[str, ...]:
    """Return the columns rows are matched by: stated, else the primary key, else a unique key, else none."""
    filled = {column.target.name: column for column in columns}
    if mapping.key:
        names = []
        for name in mapping.key:
            found = [column.target.name for column in columns if column.source and column.source.name == name]
            names += found or ([name] if name in filled else [])
        if len(names) == len(mapping.key):
            return tuple(names)
        raise ConfigurationError(
            f"mapping file: table {source.name}: key {list(mapping.key)} names a column that is not migrated"
        )
    for key in target.unique_keys:
        is_total = all(
            name in filled and (filled[name].target.is_not_null or key.is_nulls_not_distinct)
            for name in key.columns
        )
        if is_total:
            return key.columns
    findings.notes.append(
        f"{source.name}: no key to match rows by; whole rows are counted, so that a second run adds none"
    )
    return ()
