"""Make the plan of tables and columns, from the two catalogs and the mapping file.

Owns what fills each target column, by which key rows are matched, and in which order tables are loaded.
What goes where by its name is `matching`'s, judging cells is `census`'s.
"""

from __future__ import annotations

from entrypoint.errors import ConfigurationError
from entrypoint.mapping import ColumnMapping, Mapping, TableMapping
from entrypoint.mapping_lines import IGNORE, list_names, spell_place, write_remedy
from entrypoint.model import (
    ColumnPlan,
    NameMatch,
    Plan,
    Refusal,
    Skipped,
    SourceTable,
    TablePlan,
    TargetTable,
)
from entrypoint.transfer.conversions import choose_conversion
from entrypoint.transfer.plan.declared import add_declared
from entrypoint.transfer.plan.mapped import list_misplaced_units, list_unknown_columns, list_unknown_tables
from entrypoint.transfer.plan.matching import (
    HasData,
    Matches,
    find_matches,
    match_column,
    match_table,
)
from entrypoint.transfer.plan.order import find_deferred, sort_tables
from entrypoint.transfer.plan.rivals import refuse_shared_columns, refuse_shared_targets
from entrypoint.transfer.plan.unfilled import refuse_unfilled


def make_plan(
    sources: tuple[SourceTable, ...],
    targets: tuple[TargetTable, ...],
    *,
    mapping: Mapping,
    has_data: HasData,
    skipped: tuple[Skipped, ...] = (),
    only: tuple[str, ...] = (),
    unreachable: tuple[tuple[str, str], ...] = (),
) -> Plan:
    """Return the plan before any cell has been judged.

    Args:
        sources: the source's ordinary tables.
        targets: the tables the search path reaches.
        mapping: of the mapping file.
        has_data: tells whether a source table (table, None) or column holds anything but NULL.
        skipped: what introspection left out.
        only: source tables to restrict the plan to; empty for all.
        unreachable: (schema, table) of the target's tables that the search path does not reach.

    Raises:
        ConfigurationError: the mapping file or `only` names a table or column that does not exist.
    """
    findings = Matches(skipped=list(skipped), unreachable=unreachable)
    findings.problems += list_unknown_tables(mapping, sources, only)
    findings.proposed = {
        found.name
        for source in sources
        for found in find_matches(_get_table(mapping, source).target or source.name, targets)
    }
    matched: list[TablePlan] = []
    for source in sources:
        if only and source.name not in only:
            continue
        table_mapping = _get_table(mapping, source)
        found = match_table(source, targets, table_mapping, has_data, findings)
        findings.problems += list_unknown_columns(table_mapping, source, found[0] if found else None)
        if found is not None:
            matched.append(_plan_table(source, *found, table_mapping, has_data, findings))
            findings.problems += list_misplaced_units(table_mapping, matched[-1])
    if findings.problems:
        raise ConfigurationError(*findings.problems)
    refuse_shared_targets(matched, has_data, findings)
    return Plan(
        tables=add_declared(sort_tables(matched)),
        skipped=tuple(findings.skipped),
        refusals=tuple(findings.refusals),
        notes=tuple(findings.notes),
        deferred=find_deferred(matched),
    )


def _get_table(mapping: Mapping, source: SourceTable) -> TableMapping:
    return mapping.tables.get(source.name, TableMapping())


def _plan_table(
    source: SourceTable,
    target: TargetTable,
    match: NameMatch,
    mapping: TableMapping,
    has_data: HasData,
    findings: Matches,
) -> TablePlan:
    columns = _plan_columns(source, target, mapping, has_data, findings)
    refuse_shared_columns(source, columns, has_data, findings)
    is_told = any(refusal.table == source.name for refusal in findings.refusals)
    has_rows = has_data(source.name, None)
    if not columns and not is_told and has_rows:
        findings.refusals.append(
            Refusal(
                table=source.name,
                column=None,
                reason=f"none of its columns has a place in {target.qualified_name}",
                remedy=write_remedy(
                    source.name, None, (IGNORE,), otherwise="say of its columns where they go"
                ),
                entries=(IGNORE,),
            )
        )
    columns += _plan_constants(source, target, columns, mapping, findings)
    if has_rows:
        refuse_unfilled(source, target, columns, mapping, findings)
    if target.has_row_security:
        findings.refusals.append(
            Refusal(
                table=source.name,
                column=None,
                reason=f"row-level security on {target.qualified_name} would hide or refuse rows",
                remedy="connect as the table's owner, without FORCE ROW LEVEL SECURITY, or as a superuser: "
                "ALTER ROLE … BYPASSRLS",
            )
        )
    key, key_name = _choose_key(source, target, columns, mapping, findings)
    return TablePlan(
        source=source, target=target, columns=tuple(columns), key=key, key_name=key_name, match=match
    )


def _plan_columns(
    source: SourceTable,
    target: TargetTable,
    mapping: TableMapping,
    has_data: HasData,
    findings: Matches,
) -> list[ColumnPlan]:
    entries = {column.name: mapping.columns.get(column.name, ColumnMapping()) for column in source.columns}
    taken = {
        found.name
        for name, entry in entries.items()
        if not entry.ignore
        for found in find_matches(entry.target or name, target.columns)
    }
    columns: list[ColumnPlan] = []
    for column in source.columns:
        entry = entries[column.name]
        planned = match_column(source, column, target, entry, has_data, findings, taken)
        if planned is not None:
            columns.append(planned)
    return columns


def _plan_constants(
    source: SourceTable,
    target: TargetTable,
    planned: list[ColumnPlan],
    mapping: TableMapping,
    findings: Matches,
) -> list[ColumnPlan]:
    """Give every column that has a default in the mapping file this constant."""
    filled = {column.target.name: column for column in planned}
    constants = []
    for column in target.columns:
        entry = mapping.columns.get(column.name)
        if entry is None or entry.default is None:
            continue
        if column.is_generated or column.name in filled:
            place = spell_place(source.name, column.name)
            findings.problems.append(
                f"mapping file: {place}: default is for a column of the target without a source, "
                f"and {_tell_filler(source, filled.get(column.name))}"
            )
            continue
        constants.append(
            ColumnPlan(
                source=None,
                target=column,
                conversion=choose_conversion(column.type),
                match="constant",
                constant=entry.default,
            )
        )
    return constants


def _tell_filler(source: SourceTable, filler: ColumnPlan | None) -> str:
    if filler is None or filler.source is None:
        return "PostgreSQL computes it"
    return f"{source.name}.{filler.source.name} fills it unless that has ignore = true"


def _choose_key(
    source: SourceTable,
    target: TargetTable,
    columns: list[ColumnPlan],
    mapping: TableMapping,
    findings: Matches,
) -> tuple[tuple[str, ...], str]:
    """Return the columns rows are matched by and where that comes from.

    Stated by the mapping file, else the primary key, else a unique key, else none.
    """
    filled = {column.target.name: column for column in columns}
    if mapping.key:
        names = []
        for name in mapping.key:
            found = [column.target.name for column in columns if column.source and column.source.name == name]
            names += found or ([name] if name in filled else [])
        if len(names) == len(mapping.key):
            return tuple(names), "mapping file"
        known = list(dict.fromkeys(column.source.name for column in columns if column.source))
        findings.problems += [
            f"mapping file: {spell_place(source.name)}.key: {name} names a column that is not migrated; "
            + list_names(name, known)
            for name in mapping.key
            if name not in known and name not in filled
        ]
    for key in target.unique_keys:
        is_total = all(
            name in filled and (filled[name].target.is_not_null or key.is_nulls_not_distinct)
            for name in key.columns
        )
        if is_total:
            return key.columns, f"{'primary key' if key.is_primary else 'unique key'} {key.name}"
    findings.notes.append(
        f"{source.name}: no key to match rows by; whole rows are counted, so that a second run adds none"
    )
    return (), "none"
