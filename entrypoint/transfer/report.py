"""Plans and results as documents: for `--json`, the ledger, and a reader on a terminal.

Owns the stable form (`version`) that scripts rely on. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from entrypoint import log
from entrypoint.model import ColumnPlan, LoadResult, Plan, Refusal, TablePlan, TargetColumn

REPORT_VERSION = 1


def describe_plan(plan: Plan, *, source: str, access: str) -> dict[str, Any]:
    """Return a plan as a document of plain values; its tables stand in the order they are loaded in."""
    return {
        "version": REPORT_VERSION,
        "source": source,
        "access": access,
        "rows": plan.rows,
        "tables": [_describe_table(table, position) for position, table in enumerate(plan.tables, 1)],
        "deferred": [{"table": table, "constraint": constraint} for table, constraint in plan.deferred],
        "skipped": [{"name": item.name, "reason": item.reason} for item in plan.skipped],
        "notes": list(plan.notes),
        "refusals": [describe_refusal(refusal) for refusal in plan.refusals],
        "quarantined": [describe_refusal(refusal) for refusal in plan.quarantined],
    }


def describe_refusal(refusal: Refusal) -> dict[str, Any]:
    """Return a refusal as a document of plain values; keys and cells are data, but never secrets of ours."""
    return {
        "table": refusal.table,
        "column": refusal.column,
        "keys": list(refusal.keys),
        "count": refusal.count,
        "storage_class": refusal.storage_class,
        "value": refusal.value,
        "reason": refusal.reason,
        "remedy": refusal.remedy,
        "entries": list(refusal.entries),
        "candidates": list(refusal.candidates),
    }


def describe_result(result: LoadResult) -> dict[str, Any]:
    """Return a load's outcome as a document of plain values."""
    return {
        "rows": result.rows,
        "seconds": round(result.seconds, 3),
        "tables": [
            {
                "table": table.table,
                "target": table.target,
                "rows": table.rows,
                "inserted": table.inserted,
                "unchanged": table.unchanged,
                "preserved": table.preserved,
                "overwritten": table.overwritten,
                "quarantined": table.quarantined,
                "seconds": round(table.seconds, 3),
            }
            for table in result.tables
        ],
    }


def _describe_table(table: TablePlan, position: int) -> dict[str, Any]:
    return {
        "table": table.source.name,
        "target": table.target.qualified_name,
        "match": table.match,
        "position": position,
        "rows": table.rows,
        "quarantined": table.rejected,
        "stood_for": table.stood_for,
        "key": list(table.key),
        "key_name": table.key_name,
        "columns": [_describe_column(column) for column in table.columns],
        "unfilled": [
            {"target": column.name, "type": column.type.name, "filled_by": filled_by}
            for column, filled_by in list_unfilled(table)
        ],
        "sequences": list_sequences(table),
        "held": list_held(table),
    }


def list_unfilled(table: TablePlan) -> Iterator[tuple[TargetColumn, str]]:
    """Yield the target columns that nothing of the source fills, and what does: a default, or else NULL."""
    filled = {column.target.name for column in table.columns}
    for column in table.target.columns:
        if column.name in filled:
            continue
        if column.is_generated:
            yield column, "generated"
        elif column.identity:
            yield column, "identity"
        else:
            yield column, "default" if column.has_default else "null"


def list_sequences(table: TablePlan) -> list[str]:
    """Return the sequences that are moved beyond every id of the table."""
    found = [column.sequence for column in table.target.columns if column.sequence]
    return list(dict.fromkeys(f"{sequence.schema}.{sequence.name}" for sequence in found))


def list_held(table: TablePlan) -> list[str]:
    """Return the triggers and rules, of the target or of its partitions, that do not fire during the load."""
    return [
        *(f"trigger {item.name} of {item.schema}.{item.table}" for item in table.target.triggers),
        *(f"rule {item.name} of {item.schema}.{item.table}" for item in table.target.rules),
    ]


def _describe_column(column: ColumnPlan) -> dict[str, Any]:
    return {
        "column": column.source.name if column.source else None,
        "declared_type": column.source.declared_type if column.source else None,
        "target": column.target.name,
        "match": column.match,
        "type": column.target.type.name,
        "conversion": column.conversion.kind,
        "unit": column.conversion.unit,
        "evidence": column.conversion.evidence,
        "empty": "null" if column.conversion.is_empty_null else None,
        "constant": column.constant,
    }


def log_refusals(refusals: tuple[Refusal, ...]) -> None:
    """Log every refusal, a line each; what the mapping file could say stands in its remedy."""
    for refusal in refusals:
        described = replace(refusal, entries=(), candidates=())
        known = {
            key: value for key, value in describe_refusal(described).items() if value not in (None, [], 0)
        }
        log.get_logger().error("source_refused", **known)
