"""The values that flow through the phases: what was found, what is planned, what was done. No I/O.

A cell is one value of one row of the source; its storage class is SQLite's (`integer`, `real`, `text`,
`blob`, `null`). Names stand as the catalogs spell them.
"""

from __future__ import annotations

from entrypoint.model.plan import (
    ColumnPlan,
    Conversion,
    NameMatch,
    Plan,
    Refusal,
    TablePlan,
)
from entrypoint.model.result import (
    LoadResult,
    TableResult,
)
from entrypoint.model.source import (
    Skipped,
    SourceColumn,
    SourceForeignKey,
    SourceTable,
)
from entrypoint.model.target import (
    Check,
    ForeignKey,
    IndexPart,
    Rule,
    TargetColumn,
    TargetSequence,
    TargetTable,
    TargetType,
    Trigger,
    UniqueIndex,
)

__all__ = [
    "Check",
    "ColumnPlan",
    "Conversion",
    "ForeignKey",
    "IndexPart",
    "LoadResult",
    "NameMatch",
    "Plan",
    "Refusal",
    "Rule",
    "Skipped",
    "SourceColumn",
    "SourceForeignKey",
    "SourceTable",
    "TablePlan",
    "TableResult",
    "TargetColumn",
    "TargetSequence",
    "TargetTable",
    "TargetType",
    "Trigger",
    "UniqueIndex",
]
