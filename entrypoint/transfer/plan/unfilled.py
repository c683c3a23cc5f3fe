"""Refuse columns of the target that need a value and get none.

Owns the value that the mapping file is proposed for them.
"""

from __future__ import annotations

from entrypoint.mapping import ColumnMapping, TableMapping
from entrypoint.mapping_lines import say_default, say_target, write_remedy
from entrypoint.model import ColumnPlan, Refusal, SourceTable, TargetColumn, TargetTable, TargetType
from entrypoint.transfer.plan.matching import Matches

# What a proposed default of a type says, by pg_type.typname; of others it is empty text, to be filled in.
_DEFAULTS = {
    "bool": "false",
    "int2": "0",
    "int4": "0",
    "int8": "0",
    "numeric": "0",
    "float4": "0",
    "float8": "0",
    "json": "{}",
    "jsonb": "{}",
    "date": "1970-01-01",
    "timestamp": "1970-01-01 00:00:00",
    "timestamptz": "1970-01-01 00:00:00Z",
    "time": "00:00:00",
    "interval": "0",
    "uuid": "00000000-0000-0000-0000-000000000000",
}


def _propose_default(target: TargetType) -> str:
    if target.element is not None:
        return "{}"
    return target.labels[0] if target.labels else _DEFAULTS.get(target.base, "")


def refuse_unfilled(
    source: SourceTable,
    target: TargetTable,
    columns: list[ColumnPlan],
    mapping: TableMapping,
    findings: Matches,
) -> None:
    """Refuse every column that needs a value and gets none."""
    filled = {column.target.name for column in columns}
    for column in target.columns:
        if column.name in filled or column.is_generated or column.has_default or not column.is_not_null:
            continue
        # The source's column of that name, if it has one, goes elsewhere or is ignored: both are keys there.
        entry = mapping.columns.get(column.name, ColumnMapping())
        entries = () if entry.target else (say_default(_propose_default(column.type)),)
        remedy = write_remedy(
            source.name, column.name, entries, otherwise="give the column a default in the target"
        )
        if rivals := _list_proposed(source, column, findings):
            # A default beside a source would be a contradiction: it is offered once none of them goes here.
            entries = ()
            remedy = f"settle {rivals} first: with {say_target(column.name)} it goes here; otherwise {remedy}"
        reason = f"nothing fills {target.qualified_name}.{column.name}, which is NOT NULL without a default"
        findings.refusals.append(
            Refusal(
                table=source.name,
                column=column.name,
                reason=reason,
                remedy=remedy,
                entries=entries,
            )
        )


def _list_proposed(source: SourceTable, column: TargetColumn, findings: Matches) -> str:
    """Return the columns of the source for which a refusal offers to go to `column`."""
    return " or ".join(
        f"{source.name}.{refusal.column}"
        for refusal in findings.refusals
        if refusal.table == source.name
        and refusal.column is not None
        and say_target(column.name) in refusal.entries
    )
