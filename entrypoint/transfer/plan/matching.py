"""Find the place of every source table and column in the target, by name and by the mapping file.

Owns what counts as the same name and what happens to what has no place, or too many. Reads no rows but to
ask whether there are any.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from entrypoint.mapping import ColumnMapping, TableMapping
from entrypoint.mapping_lines import (
    IGNORE,
    find_like,
    list_names,
    say_target,
    sort_by_likeness,
    spell_place,
    write_remedy,
)
from entrypoint.model import (
    ColumnPlan,
    NameMatch,
    Refusal,
    Skipped,
    SourceColumn,
    SourceTable,
    TargetColumn,
    TargetTable,
)
from entrypoint.transfer.conversions import choose_conversion
from entrypoint.transfer.plan.bookkeeping import recognise_tool

_NAME_LIMIT_BYTES = 63  # PostgreSQL cuts longer names off when it creates what they name (NAMEDATALEN)
_MOST_CANDIDATES = 20  # that are told for one table or column

_Named = TypeVar("_Named", TargetTable, TargetColumn)

HasData = Callable[[str, str | None], bool]


@dataclass(slots=True, kw_only=True)
class Matches:
    """What is collected on the way, so that everything is reported at once.

    Attributes:
        problems: of the mapping file; with one of them there is no plan.
        proposed: target tables that were proposed for a source table, or are taken.
        offered: targets that stand first among what is offered: (table, column), or ("", table). One target
            takes one source, so that they stand first once.
        unreachable: (schema, table) of tables that the search path does not reach.
    """

    skipped: list[Skipped]
    refusals: list[Refusal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    proposed: set[str] = field(default_factory=set)
    offered: set[tuple[str, str]] = field(default_factory=set)
    unreachable: tuple[tuple[str, str], ...] = ()


def fold_case(name: str) -> str:
    """Return what names have in common that differ in case, or in how Unicode composes their letters."""
    return unicodedata.normalize("NFC", name).casefold()


def fold_name(name: str) -> str:
    """Return what `userId`, `user_id` and `UserID` have in common."""
    return fold_case(name.replace("_", "").replace("-", "").replace(" ", ""))


_FOLDS: tuple[tuple[NameMatch, Callable[[str], str]], ...] = (
    ("exact", str),
    ("case", fold_case),
    ("snake", fold_name),
)


def find_matches(name: str, candidates: Iterable[_Named]) -> tuple[_Named, ...]:
    """Return the candidates a source name stands for: exact, else case-insensitive, else snake/camel."""
    return _match_name(name, candidates)[0]


def _match_name(name: str, candidates: Iterable[_Named]) -> tuple[tuple[_Named, ...], NameMatch]:
    pool = tuple(candidates)
    cut = name.encode()[:_NAME_LIMIT_BYTES].decode(errors="ignore")
    for match, fold in _FOLDS:
        found = tuple(candidate for candidate in pool if fold(candidate.name) == fold(cut))
        if found:
            return found, "cut" if cut != name else match
    return (), "exact"


def propose_target(
    name: str, known: Iterable[str], taken: Collection[str]
) -> tuple[tuple[str, ...], str | None]:
    """Return what a source name could go to, the likeliest first, and the one to propose, if any is alike."""
    candidates = sort_by_likeness(name, (other for other in known if other not in taken))
    return candidates[:_MOST_CANDIDATES], find_like(name, candidates[:1])


def match_table(
    source: SourceTable,
    targets: tuple[TargetTable, ...],
    mapping: TableMapping,
    has_data: HasData,
    findings: Matches,
) -> tuple[TargetTable, NameMatch] | None:
    """Return the target table a source table goes to and why, or None and the reason among `findings`."""
    if mapping.ignore:
        findings.skipped.append(Skipped(name=source.name, reason="ignored by the mapping file"))
        return None
    tool = recognise_tool(source) if mapping == TableMapping() else None
    if tool:
        findings.skipped.append(Skipped(name=source.name, reason=f"bookkeeping of {tool}"))
        return None
    found, match = _match_name(mapping.target or source.name, targets)
    if len(found) == 1:
        return found[0], "mapping" if mapping.target else match
    if mapping.target:
        findings.problems.append(
            f"mapping file: {spell_place(source.name)}.target: no table {mapping.target} in the target; "
            + list_names(mapping.target, [target.name for target in targets])
        )
    elif found:
        names = ", ".join(sorted(target.qualified_name for target in found))
        _refuse_name(
            findings,
            source.name,
            None,
            f"several tables of the target fit its name: {names}",
            [target.name for target in found],
        )
    elif has_data(source.name, None):
        candidates, proposed = propose_target(
            source.name, (target.name for target in targets), findings.proposed
        )
        findings.proposed |= {proposed} if proposed else set()
        _refuse_homeless(
            findings,
            source.name,
            None,
            "holds rows and has no table in the target",
            candidates,
            proposed,
            otherwise=_find_way(source.name, findings.unreachable),
        )
    else:
        findings.skipped.append(Skipped(name=source.name, reason="empty, and no table in the target"))
    return None


def _find_way(name: str, unreachable: tuple[tuple[str, str], ...]) -> str:
    """Return what would give a table a place: the schema of one of its name, or the table itself."""
    schemas = sorted({schema for schema, table in unreachable if fold_name(table) == fold_name(name)})
    if not schemas:
        return "let the schema migrations create it"
    names = " or ".join(schemas)
    return f"have the search path reach {names} first, which has it (DATABASE_URL with ?schema={schemas[0]})"


def match_column(
    source: SourceTable,
    column: SourceColumn,
    target: TargetTable,
    mapping: ColumnMapping,
    has_data: HasData,
    findings: Matches,
    proposed: set[str],
) -> ColumnPlan | None:
    """Return the plan of a source column, or None and the reason among `findings`.

    Args:
        source: the column's table.
        column: of the source.
        target: where its table goes.
        mapping: what the mapping file says of it.
        has_data: tells whether it holds anything but NULL.
        findings: told of what is skipped or refused.
        proposed: target columns that are taken or were proposed for another column; added to.
    """
    name = f"{source.name}.{column.name}"
    if mapping.ignore:
        findings.skipped.append(Skipped(name=name, reason="ignored by the mapping file"))
        return None
    found, match = _match_name(mapping.target or column.name, target.columns)
    if len(found) == 1 and not found[0].is_generated:
        return ColumnPlan(
            source=column,
            target=found[0],
            conversion=choose_conversion(
                found[0].type, is_empty_null=mapping.empty == "null", unit=mapping.unit
            ),
            match="mapping" if mapping.target else match,
        )
    if len(found) == 1:
        findings.skipped.append(Skipped(name=name, reason="PostgreSQL computes it"))
        if not column.is_generated and has_data(source.name, column.name):
            findings.notes.append(
                f"{name}: PostgreSQL computes {found[0].name}; what stands in the source is not taken, "
                "nor compared with it"
            )
    elif mapping.target:
        findings.problems.append(
            f"mapping file: {spell_place(source.name, column.name)}.target: no column {mapping.target} in "
            f"{target.qualified_name}; "
            + list_names(mapping.target, [other.name for other in target.columns])
        )
    elif found:
        spelled = [candidate.name for candidate in found]
        reason = f"several columns of {target.qualified_name} fit its name: {', '.join(spelled)}"
        _refuse_name(findings, source.name, column.name, reason, spelled)
    elif column.is_generated:
        findings.skipped.append(Skipped(name=name, reason="generated, and no column in the target"))
    elif has_data(source.name, column.name):
        fillable = (other.name for other in target.columns if not other.is_generated)
        candidates, nearest = propose_target(column.name, fillable, proposed)
        proposed |= {nearest} if nearest else set()
        reason = f"holds data and has no column in {target.qualified_name}"
        _refuse_homeless(findings, source.name, column.name, reason, candidates, nearest)
    else:
        findings.skipped.append(Skipped(name=name, reason="only NULL, and no column in the target"))
    return None


def _refuse_homeless(
    findings: Matches,
    table: str,
    column: str | None,
    reason: str,
    candidates: tuple[str, ...],
    proposed: str | None,
    *,
    otherwise: str | None = None,
) -> None:
    entries = (say_target(proposed), IGNORE) if proposed else (IGNORE,)
    remedy = write_remedy(table, column, entries, candidates=candidates, otherwise=otherwise)
    findings.refusals.append(
        Refusal(
            table=table,
            column=column,
            reason=reason,
            remedy=remedy,
            entries=entries,
            candidates=candidates,
        )
    )


def _refuse_name(
    findings: Matches, table: str, column: str | None, reason: str, targets: Sequence[str]
) -> None:
    place = "" if column is None else table
    fresh = [target for target in targets if (place, target) not in findings.offered]
    findings.offered |= {(place, target) for target in fresh[:1]}
    used = [target for target in targets if target not in fresh]
    entries = (*map(say_target, fresh), IGNORE, *map(say_target, used))
    remedy = write_remedy(table, column, entries)
    findings.refusals.append(
        Refusal(table=table, column=column, reason=reason, remedy=remedy, entries=entries)
    )
