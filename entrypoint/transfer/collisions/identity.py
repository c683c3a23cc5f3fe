"""By what an arriving row is told from the others, and by what it may meet standing ones besides.

Owns which columns and which of the target's indexes these are. Asks neither side for rows.
"""

from __future__ import annotations

from entrypoint.model import TablePlan, UniqueIndex


def choose_identity(table: TablePlan) -> tuple[str, ...]:
    """Return the columns by which an arriving row is told from others: its key, or all it has."""
    return table.key or tuple(column.target.name for column in table.columns)


def list_other_indexes(table: TablePlan) -> list[UniqueIndex]:
    """Return the unique indexes by whose values rows are not matched."""
    return [
        index
        for index in table.target.unique_indexes
        if not (
            index.is_key
            and set(index.columns) == set(table.key)
            and all(part.is_deterministic for part in index.parts)
        )
    ]


def make_empty_index(table: TablePlan) -> UniqueIndex:
    """Return what makes rows be sent with their keys alone: nothing is evaluated, and every row counts."""
    return UniqueIndex(
        name="", parts=(), predicate=None, needs=table.key, is_primary=False, is_nulls_not_distinct=True
    )
