"""Refuse several tables or columns of the source that fit one place in the target.

Owns which of them a reader is advised to keep. Keeps none on its own: the mapping file has to say it.
"""

from __future__ import annotations

from collections.abc import Sequence

from entrypoint.mapping_lines import IGNORE, spell_key, spell_place, write_remedy
from entrypoint.model import ColumnPlan, NameMatch, Refusal, SourceTable, TablePlan
from entrypoint.transfer.plan.matching import HasData, Matches

# Of several names for one target, the one that is more likely meant.
_CLOSEST_FIRST: tuple[NameMatch, ...] = ("mapping", "exact", "case", "cut", "snake", "constant")


def refuse_shared_targets(tables: list[TablePlan], has_data: HasData, findings: Matches) -> None:
    """Refuse several source tables that fit one target table; all but one may be ignored."""
    by_target: dict[str, list[TablePlan]] = {}
    for table in tables:
        by_target.setdefault(table.target.qualified_name, []).append(table)
    for target, rivals in by_target.items():
        names = [(table.source.name, None) for table in rivals]
        ranks = [_rank(table.match, has_data(table.source.name, None)) for table in rivals]
        _refuse_rivals(names, ranks, f"table {target}", findings)


def refuse_shared_columns(
    source: SourceTable, columns: list[ColumnPlan], has_data: HasData, findings: Matches
) -> None:
    """Refuse several source columns that fit one target column; all but one may be ignored."""
    by_target: dict[str, list[tuple[str, NameMatch]]] = {}
    for column in columns:
        if column.source:
            by_target.setdefault(column.target.name, []).append((column.source.name, column.match))
    for target, rivals in by_target.items():
        names = [(source.name, name) for name, _ in rivals]
        ranks = [_rank(match, has_data(source.name, name)) for name, match in rivals]
        _refuse_rivals(names, ranks, f"column {target}", findings)


def _rank(match: NameMatch, holds_data: bool) -> tuple[bool, int]:
    """Return what is the less, the more a rival is the one to keep: it holds data, and its name is close."""
    return not holds_data, _CLOSEST_FIRST.index(match)


def _refuse_rivals(
    places: Sequence[tuple[str, str | None]],
    ranks: Sequence[tuple[bool, int]],
    target: str,
    findings: Matches,
) -> None:
    """Refuse the tables or columns that fit one target, and offer to ignore all but the one to keep.

    It is one decision, so that it is offered once: whoever takes every choice still migrates one of them.
    """
    if len(places) < 2:
        return
    names = " and ".join(table if column is None else column for table, column in places)
    kept = min(range(len(places)), key=lambda number: ranks[number])
    others = [place for number, place in enumerate(places) if number != kept]
    remedy = write_remedy(*others[0], (IGNORE,)) if len(others) == 1 else "ignore all but one of them"
    if len(others) == 1:
        remedy += f", or instead, not as well: {_say_ignored(*places[kept])}"
    for number, (table, column) in enumerate(places):
        findings.refusals.append(
            Refusal(
                table=table,
                column=column,
                reason=f"{names} both fit the target {target}: one of them can go there",
                remedy=remedy,
                entries=() if number == kept else (IGNORE,),
            )
        )


def _say_ignored(table: str, column: str | None) -> str:
    if column is None:
        return f"[{spell_place(table)}] {IGNORE}"
    return f"[{spell_place(table)}.columns] {spell_key(column)} = {{ {IGNORE} }}"
