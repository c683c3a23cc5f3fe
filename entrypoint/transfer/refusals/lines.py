"""Refuse a column's cells: one line for each kind of reason, however many cells there are.

Owns how cells are grouped into lines and what a line says of its first cell. Judges nothing: which cells are
refused, and why, it is told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from entrypoint.mapping_lines import EMPTY_AS_NULL, write_remedy
from entrypoint.model import ColumnPlan, Refusal, TablePlan
from entrypoint.sqlite.introspect import quote
from entrypoint.sqlite.source import Cell, SourceDatabase
from entrypoint.transfer.cells import column_cell, read_examples, show_value, spell_text
from entrypoint.transfer.conversions import CONVERTERS, raw_cell
from entrypoint.transfer.conversions.base import CellRefusedError
from entrypoint.transfer.refusals.findings import Findings

# So many kinds of reasons of one column have a line each, what is left one together.
_LINES_A_COLUMN = 5

# Told whether the cell is text, the raw cell and what it was rendered as, gives why it is refused.
Explain = Callable[[bool, Cell, Cell], CellRefusedError]


def refuse_by_kind(
    source: SourceDatabase,
    table: TablePlan,
    column: ColumnPlan,
    findings: Findings,
    *,
    refuses: str,
    kind: str,
    text: str,
    explain: Explain,
) -> None:
    """Refuse the cells of a column that are known to be refused.

    Args:
        source: open.
        table: its plan.
        column: with a source.
        findings: told of each line.
        refuses: SQL over the table, true for these cells.
        kind: SQL that gives the kind of a refused cell's reason.
        text: SQL of what a cell is rendered as.
        explain: gives the reason itself.
    """
    cell = column_cell(column)
    # The empty string has a line of its own, because the mapping file can settle it.
    line = f"CASE WHEN {cell} = '' THEN 'text: the empty string' ELSE typeof({cell}) || ': ' || {kind} END"
    found = source.connection.execute(
        f"SELECT {line}, typeof({cell}), count(*) FROM {quote(table.source.name)} WHERE {refuses}"
        " GROUP BY 1 ORDER BY 3 DESC, 1"
    ).fetchall()
    counted = [(str(name), str(storage_class), int(str(count))) for name, storage_class, count in found]
    shown, others = counted[:_LINES_A_COLUMN], counted[_LINES_A_COLUMN:]
    for name, storage_class, count in shown:
        condition = f"{refuses} AND {line} = {spell_text(name)}"
        refusal, is_about_rows = _describe_first(source, table, column, condition, text, explain)
        refusal = replace(refusal, storage_class=storage_class, count=count)
        findings.refuse(table, refusal, condition, is_about_rows=is_about_rows)
    if others:
        condition = f"{refuses} AND {line} NOT IN ({', '.join(spell_text(name) for name, _, _ in shown)})"
        refusal, is_about_rows = _describe_first(source, table, column, condition, text, explain)
        reason = f"{len(others)} more kinds of reasons; of the first: {refusal.reason}"
        refusal = replace(refusal, reason=reason, count=sum(count for _, _, count in others))
        findings.refuse(table, refusal, condition, is_about_rows=is_about_rows)


def _describe_first(
    source: SourceDatabase,
    table: TablePlan,
    column: ColumnPlan,
    condition: str,
    text: str,
    explain: Explain,
) -> tuple[Refusal, bool]:
    """Return the refusal of cells for which `condition` holds, by the first, and whether it is about rows."""
    assert column.source is not None
    cell = column_cell(column)
    keys, (raw, is_text, rendered) = read_examples(
        source, table.source, condition, (raw_cell(cell), f"typeof({cell}) = 'text'", text)
    )
    error = explain(bool(is_text), raw, rendered)
    # A unit is missing for the whole column, and one line of the mapping file settles it.
    lacks_unit = bool(error.entries) and column.conversion.unit is None
    is_empty = bool(is_text) and raw == b""
    reason, entries = str(error), error.entries
    if is_empty and "empty string" not in reason:
        reason = f"the empty string: {reason}"
    if is_empty and not column.target.is_not_null:
        entries += (EMPTY_AS_NULL,)
    correct = (
        f"correct it in the source ({column.target.type.name} takes "
        f"{CONVERTERS[column.conversion.kind].accepts})"
    )
    refusal = Refusal(
        table=table.source.name,
        column=column.source.name,
        value=show_value(raw, is_text=bool(is_text), encoding=source.encoding),
        reason=reason,
        remedy=write_remedy(
            table.source.name,
            column.source.name,
            entries,
            otherwise=None if lacks_unit else correct,
        ),
        keys=keys,
        entries=entries,
    )
    return refusal, not lacks_unit
