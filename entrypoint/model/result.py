"""What was done, table by table. No I/O."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TableResult:
    """What became of one table's rows; the five outcomes add up to `rows`.

    Attributes:
        standing: rows the target held before.
    """

    table: str
    target: str
    rows: int
    standing: int
    inserted: int
    unchanged: int
    preserved: int
    overwritten: int
    quarantined: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """What a load did, table by table."""

    tables: tuple[TableResult, ...]
    seconds: float

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables)
