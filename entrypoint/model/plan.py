"""The plan: how every cell gets from source to target, and what cannot. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from entrypoint.model.source import Skipped, SourceColumn, SourceTable
from entrypoint.model.target import (
    ForeignKey,
    TargetColumn,
    TargetTable,
    TargetType,
)

# How a name of the source found its target: as it is, cut to PostgreSQL's 63 bytes, whatever the case, as
# snake_case of CamelCase, by the mapping file, or not at all: a constant stands in.
NameMatch = Literal["exact", "cut", "case", "snake", "mapping", "constant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """How the cells of one column become values of its target's type.

    A value, not code: `transfer.conversions` gives it its faces (which cells it accepts, the COPY text
    it renders, why it refuses), `transfer.decode` the independent one that verification reads by.

    Attributes:
        kind: names the entry in the table of conversions: `boolean`, `integer`, `timestamp`, …
        unit: of numbers that are times: `s`, `ms`, `us`, `ns`, `julian`.
        is_unit_inferred: the unit was not stated; numbers have to be plausible in it.
        evidence: what the unit was inferred from, for the reader.
        timezone: a moment at midnight there is a date.
        is_empty_null: the empty string stands for NULL (the mapping file says so).
    """

    kind: str
    type: TargetType
    unit: str | None = None
    is_unit_inferred: bool = False
    evidence: str | None = None
    timezone: str = "UTC"
    is_empty_null: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnPlan:
    """One column's way from the source into the target.

    Attributes:
        match: how the target was found.
        constant: stands in where there is no source.
        redirect: SQL over the source table that renders the cell instead, where it refers to a row for
            which another one stands in PostgreSQL.
    """

    source: SourceColumn | None
    target: TargetColumn
    conversion: Conversion
    match: NameMatch = "exact"
    constant: str | None = None
    redirect: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TablePlan:
    """One table's way.

    Attributes:
        key: target columns rows are matched by; empty: rows are a multiset.
        key_name: where the key comes from: `primary key NAME`, `unique key NAME`, `mapping file`, or `none`.
        match: how the target was found.
        rows: in the source.
        rejected: of those, the ones that are quarantined instead of loaded.
        stood_for: of those, the ones left out because another row of PostgreSQL has their unique key.
        stand_ins: the first few of them, for the reader: `id=7 for which id=1 stands`.
        condition: SQL over the source table that holds for the others; None: for all.
        declared: foreign keys that the source alone has, in the target's names: followed, not demanded.
    """

    source: SourceTable
    target: TargetTable
    columns: tuple[ColumnPlan, ...]
    key: tuple[str, ...]
    key_name: str = "none"
    match: NameMatch = "exact"
    rows: int = 0
    rejected: int = 0
    stood_for: int = 0
    stand_ins: tuple[str, ...] = ()
    condition: str | None = None
    declared: tuple[ForeignKey, ...] = ()

    @property
    def references(self) -> tuple[ForeignKey, ...]:
        """The foreign keys of either side."""
        return self.target.foreign_keys + self.declared

    @property
    def rows_taken(self) -> int:
        return self.rows - self.rejected - self.stood_for


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Cells, a row, a column or a table that cannot be taken.

    Attributes:
        keys: of the first few rows concerned, as text.
        count: rows concerned; 0 where it is not about rows.
        remedy: what the reader may do.
        entries: what the mapping file could say of the table, or of the column, each of them enough: TOML
            as `unit = "ms"` or `ignore = true`.
        candidates: names in the target that the table or column could go to, the likeliest first.
    """

    table: str
    column: str | None
    reason: str
    remedy: str
    storage_class: str | None = None
    value: str | None = None
    keys: tuple[str, ...] = ()
    count: int = 0
    entries: tuple[str, ...] = ()
    candidates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything a data migration will do, in the order it will do it; nothing is done if it refuses."""

    tables: tuple[TablePlan, ...]
    skipped: tuple[Skipped, ...]
    refusals: tuple[Refusal, ...]
    notes: tuple[str, ...]
    quarantined: tuple[Refusal, ...] = ()
    deferred: tuple[tuple[str, str], ...] = field(default=())

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables)
