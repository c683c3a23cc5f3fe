"""Match the source's tables and columns with the target's, from the two catalogs and the mapping file.

Owns which table and column goes where, by which key rows are matched, and in which order tables are
loaded. Reads no rows but to ask whether there are any: judging cells is `census`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from entrypoint.errors import ConfigurationError
from entrypoint.mapping import ColumnMapping, Mapping, TableMapping
from entrypoint.model import (
    ColumnPlan,
    Plan,
    Refusal,
    Skipped,
    SourceColumn,
    SourceTable,
    TablePlan,
    TargetColumn,
    TargetTable,
)
from entrypoint.transfer.bookkeeping import recognise_tool
from entrypoint.transfer.conversions import choose_conversion
from entrypoint.transfer.order import find_deferred, sort_tables

_NAME_LIMIT_BYTES = 63  # PostgreSQL cuts longer names off when it creates what they name (NAMEDATALEN)

_Named = TypeVar("_Named", TargetTable, TargetColumn)

HasData = Callable[[str, str | None], bool]


@dataclass(slots=True)
class _Findings:
    """What is collected on the way, so that everything is reported at once."""

    skipped: list[Skipped]
    refusals: list[Refusal]
    notes: list[str]


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
    findings = _Findings(skipped=list(skipped), refusals=[], notes=[])
    matched: list[TablePlan] = []
    for source in sources:
        if only and source.name not in only:
            continue
        table_mapping = mapping.tables.get(source.name, TableMapping())
        target = _match_table(source, targets, table_mapping, has_data, findings)
        if target is not None:
            matched.append(_plan_table(source, target, table_mapping, has_data, findings))
    _refuse_shared_targets(matched, findings)
    return Plan(
        tables=sort_tables(matched),
        skipped=tuple(findings.skipped),
        refusals=tuple(findings.refusals),
        notes=tuple(findings.notes),
        deferred=find_deferred(matched),
    )


def fold_name(name: str) -> str:
    """Return what `userId`, `user_id` and `UserID` have in common."""
    return name.replace("_", "").replace("-", "").replace(" ", "").casefold()


def find_matches(name: str, candidates: Iterable[_Named]) -> tuple[_Named, ...]:
    """Return the candidates a source name stands for: exact, else case-insensitive, else snake/camel."""
    pool = tuple(candidates)
    name = name.encode()[:_NAME_LIMIT_BYTES].decode(errors="ignore")
    for fold in (str, str.casefold, fold_name):
        found = tuple(candidate for candidate in pool if fold(candidate.name) == fold(name))
        if found:
            return found
    return ()


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


def _match_table(
    source: SourceTable,
    targets: tuple[TargetTable, ...],
    mapping: TableMapping,
    has_data: HasData,
    findings: _Findings,
) -> TargetTable | None:
    if mapping.ignore:
        findings.skipped.append(Skipped(name=source.name, reason="ignored by the mapping file"))
        return None
    tool = None if mapping.target else recognise_tool(source)
    if tool:
        findings.skipped.append(Skipped(name=source.name, reason=f"bookkeeping of {tool}"))
        return None
    found = find_matches(mapping.target or source.name, targets)
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(sorted(target.qualified_name for target in found))
        findings.refusals.append(
            Refusal(
                table=source.name,
                column=None,
                reason=f"several tables of the target fit its name: {names}",
                remedy=f'say which in the mapping file: [tables."{source.name}"] target = "…"',
            )
        )
    elif mapping.target:
        known = ", ".join(sorted(target.name for target in targets)) or "none"
        raise ConfigurationError(
            f"mapping file: table {source.name}: no table {mapping.target} in the target; it has: {known}"
        )
    elif has_data(source.name, None):
        findings.refusals.append(
            Refusal(
                table=source.name,
                column=None,
                reason="holds rows and has no table in the target",
                remedy="let the schema migrations create it, or add to the mapping file: "
                f'[tables."{source.name}"] with target = "…" or ignore = true',
            )
        )
    else:
        findings.skipped.append(Skipped(name=source.name, reason="empty, and no table in the target"))
    return None


def _plan_table(
    source: SourceTable,
    target: TargetTable,
    mapping: TableMapping,
    has_data: HasData,
    findings: _Findings,
) -> TablePlan:
    columns: list[ColumnPlan] = []
    for column in source.columns:
        entry = mapping.columns.get(column.name, ColumnMapping())
        planned = _match_column(source, column, target, entry, has_data, findings)
        if planned is not None:
            columns.append(planned)
    _refuse_shared_columns(source, columns, findings)
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


def _match_column(
    source: SourceTable,
    column: SourceColumn,
    target: TargetTable,
    mapping: ColumnMapping,
    has_data: HasData,
    findings: _Findings,
) -> ColumnPlan | None:
    name = f"{source.name}.{column.name}"
    if mapping.ignore:
        findings.skipped.append(Skipped(name=name, reason="ignored by the mapping file"))
        return None
    found = find_matches(mapping.target or column.name, target.columns)
    if len(found) == 1 and not found[0].is_generated:
        return ColumnPlan(
            source=column,
            target=found[0],
            conversion=choose_conversion(
                found[0].type, is_empty_null=mapping.empty == "null", unit=mapping.unit
            ),
        )
    if found:
        if len(found) == 1:
            findings.skipped.append(Skipped(name=name, reason="PostgreSQL computes it"))
        else:
            spelled = ", ".join(candidate.name for candidate in found)
            findings.refusals.append(
                Refusal(
                    table=source.name,
                    column=column.name,
                    reason=f"several columns of {target.qualified_name} fit its name: {spelled}",
                    remedy=f'say which in the mapping file: [tables."{source.name}".columns] '
                    f'"{column.name}" = {{ target = "…" }}',
                )
            )
    elif mapping.target:
        known = ", ".join(candidate.name for candidate in target.columns)
        raise ConfigurationError(
            f"mapping file: column {name}: no column {mapping.target} in {target.qualified_name}; "
            f"it has: {known}"
        )
    elif column.is_generated:
        findings.skipped.append(Skipped(name=name, reason="generated, and no column in the target"))
    elif has_data(source.name, column.name):
        findings.refusals.append(
            Refusal(
                table=source.name,
                column=column.name,
                reason=f"holds data and has no column in {target.qualified_name}",
                remedy=f'add to the mapping file: [tables."{source.name}".columns] "{column.name}" = '
                '{ target = "…" } or { ignore = true }',
            )
        )
    else:
        findings.skipped.append(Skipped(name=name, reason="only NULL, and no column in the target"))
    return None


def _plan_constants(
    source: SourceTable,
    target: TargetTable,
    planned: list[ColumnPlan],
    mapping: TableMapping,
    findings: _Findings,
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
    findings: _Findings,
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


def _refuse_shared_targets(tables: list[TablePlan], findings: _Findings) -> None:
    by_target: dict[str, list[str]] = {}
    for table in tables:
        by_target.setdefault(table.target.qualified_name, []).append(table.source.name)
    for target, names in by_target.items():
        if len(names) > 1:
            findings.refusals.append(
                Refusal(
                    table=names[0],
                    column=None,
                    reason=f"{' and '.join(names)} both fit the target table {target}",
                    remedy="say in the mapping file where each goes, or ignore all but one",
                )
            )


def _refuse_shared_columns(source: SourceTable, columns: list[ColumnPlan], findings: _Findings) -> None:
    by_target: dict[str, list[str]] = {}
    for column in columns:
        if column.source:
            by_target.setdefault(column.target.name, []).append(column.source.name)
    for target, names in by_target.items():
        if len(names) > 1:
            findings.refusals.append(
                Refusal(
                    table=source.name,
                    column=names[0],
                    reason=f"{' and '.join(names)} both fit the target column {target}",
                    remedy="say in the mapping file where each goes, or ignore all but one",
                )
            )
