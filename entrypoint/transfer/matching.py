"""Find the place of every source table and column in the target, by name and by the mapping file.

Owns what counts as the same name and what happens to what has no place, or too many. Reads no rows but to
ask whether there are any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from entrypoint.errors import ConfigurationError
from entrypoint.mapping import ColumnMapping, TableMapping
from entrypoint.model import (
    ColumnPlan,
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

_NAME_LIMIT_BYTES = 63  # PostgreSQL cuts longer names off when it creates what they name (NAMEDATALEN)

_Named = TypeVar("_Named", TargetTable, TargetColumn)

HasData = Callable[[str, str | None], bool]


@dataclass(slots=True)
class Matches:
    """What is collected on the way, so that everything is reported at once."""

    skipped: list[Skipped]
    refusals: list[Refusal]
    notes: list[str]


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


def match_table(
    source: SourceTable,
    targets: tuple[TargetTable, ...],
    mapping: TableMapping,
    has_data: HasData,
    findings: Matches,
) -> TargetTable | None:
    """Return the target table a source table goes to, or None and the reason among `findings`."""
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


def match_column(
    source: SourceTable,
    column: SourceColumn,
    target: TargetTable,
    mapping: ColumnMapping,
    has_data: HasData,
    findings: Matches,
) -> ColumnPlan | None:
    """Return the plan of a source column, or None and the reason among `findings`."""
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


def refuse_shared_targets(tables: list[TablePlan], findings: Matches) -> None:
    """Refuse several source tables that fit one target table."""
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


def refuse_shared_columns(source: SourceTable, columns: list[ColumnPlan], findings: Matches) -> None:
    """Refuse several source columns that fit one target column."""
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
