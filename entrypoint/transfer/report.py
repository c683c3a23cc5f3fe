"""Plans and results as documents: for `--json`, the ledger, and a reader on a terminal.

Owns the stable form (`version`) that scripts rely on. Decides nothing.
"""

from __future__ import annotations

from typing import Any

from entrypoint import log
from entrypoint.model import ColumnPlan, LoadResult, Plan, Refusal, TablePlan

REPORT_VERSION = 1


def describe_plan(plan: Plan, *, source: str, access: str) -> dict[str, Any]:
    """Return a plan as a document of plain values."""
    return {
        "version": REPORT_VERSION,
        "source": source,
        "access": access,
        "rows": plan.rows,
        "tables": [_describe_table(table) for table in plan.tables],
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


def _describe_table(table: TablePlan) -> dict[str, Any]:
    return {
        "table": table.source.name,
        "target": table.target.qualified_name,
        "rows": table.rows,
        "quarantined": table.rejected,
        "key": list(table.key),
        "columns": [_describe_column(column) for column in table.columns],
    }


def _describe_column(column: ColumnPlan) -> dict[str, Any]:
    return {
        "column": column.source.name if column.source else None,
        "target": column.target.name,
        "type": column.target.type.name,
        "conversion": column.conversion.kind,
        "unit": column.conversion.unit,
        "evidence": column.conversion.evidence,
        "constant": column.constant,
    }


def log_refusals(refusals: tuple[Refusal, ...]) -> None:
    """Log every refusal, a line each."""
    for refusal in refusals:
        known = {key: value for key, value in describe_refusal(refusal).items() if value not in (None, [], 0)}
        log.get_logger().error("source_refused", **known)
