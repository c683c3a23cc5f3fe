"""The values that flow through the phases: what was found, what is planned, what was done. No I/O.

A cell is one value of one row of the source; its storage class is SQLite's (`integer`, `real`, `text`,
`blob`, `null`). Names stand as the catalogs spell them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

# How a name of the source found its target: as it is, cut to PostgreSQL's 63 bytes, whatever the case, as
# snake_case of CamelCase, by the mapping file, or not at all: a constant stands in.
NameMatch = Literal["exact", "cut", "case", "snake", "mapping", "constant"]

# --- the source, as its catalog describes it -----------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceColumn:
    """A column of a source table; `declared_type` is free text in SQLite."""

    name: str
    declared_type: str
    is_generated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceTable:
    """An ordinary table of the source.

    Attributes:
        key: the columns that tell its rows apart in reports (the primary key, or empty: the rowid).
        autoincrement: the highest id ever used according to `sqlite_sequence`.
        unique_keys: the columns of every key and unique index over plain columns and all rows.
        rowid_alias: the column that is the rowid, and so holds integers alone.
    """

    name: str
    columns: tuple[SourceColumn, ...]
    key: tuple[str, ...]
    has_rowid: bool
    autoincrement: int | None
    unique_keys: tuple[tuple[str, ...], ...] = ()
    rowid_alias: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """Something of the source that is left out on purpose."""

    name: str
    reason: str


# --- the target, as its catalog describes it -----------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetType:
    """A column's type.

    Attributes:
        name: as `format_type` prints it, with its modifier: `numeric(10,2)`, `character varying(40)`.
        base: the type below any domain, as `pg_type.typname` spells it: `int4`, `varchar`, `_text`.
        kind: `b` base, `e` enum, `d` domain over one of those, `r` range, `m` multirange, `c` composite.
        modifier: what the parentheses hold: (precision, scale), (length,), (fraction digits,) or ().
        labels: an enum's.
        element: the element type's `typname` where this is an array.
        has_equality: whether the type knows `=` (json, xml and point do not).
    """

    name: str
    base: str
    kind: str
    modifier: tuple[int, ...] = ()
    labels: tuple[str, ...] = ()
    element: str | None = None
    is_domain: bool = False
    has_equality: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSequence:
    """A sequence that fills a column: owned by it, its identity, or named in its default.

    Attributes:
        is_owned: by the connecting role, so that it may be altered.
        prefix: what a text default puts before the number: `INV-`.
    """

    schema: str
    name: str
    increment: int
    minimum: int
    maximum: int
    is_owned: bool
    prefix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetColumn:
    """A column of a target table.

    Attributes:
        identity: `a` always, `d` by default, or empty.
        collation: as SQL, where it is not its type's own.
        generation: of a generated column, the expression over the table's columns, as SQL.
        generated_from: the columns that it needs.
        is_stored: it is computed when a row is written, not when it is read.
    """

    name: str
    type: TargetType
    is_not_null: bool
    has_default: bool
    is_generated: bool
    identity: str
    sequence: TargetSequence | None
    collation: str | None = None
    generation: str | None = None
    generated_from: tuple[str, ...] = ()
    is_stored: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexPart:
    """One of the things whose values an index keeps apart.

    Attributes:
        expression: SQL over the table's bare column names.
        collation: as SQL, where its type has any.
        column: the column, where it is nothing else.
        operator: by which the index holds two values equal, as SQL.
        is_deterministic: its collation, if it has one, holds only equal bytes equal.
    """

    expression: str
    collation: str | None
    column: str | None
    operator: str
    is_deterministic: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class UniqueIndex:
    """A primary key, unique constraint or unique index that PostgreSQL enforces.

    Attributes:
        predicate: SQL of the rows it is about; None: all.
        needs: the table's columns that its parts and its predicate are computed from.
    """

    name: str
    parts: tuple[IndexPart, ...]
    predicate: str | None
    needs: tuple[str, ...]
    is_primary: bool
    is_nulls_not_distinct: bool

    @property
    def columns(self) -> tuple[str, ...]:
        """Its parts that are plain columns, in its order."""
        return tuple(part.column for part in self.parts if part.column is not None)

    @property
    def is_key(self) -> bool:
        """Whether rows can be matched by it: over plain columns and all rows."""
        return self.predicate is None and len(self.columns) == len(self.parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignKey:
    """A foreign key of a target table."""

    name: str
    columns: tuple[str, ...]
    referenced_schema: str
    referenced_table: str
    referenced_columns: tuple[str, ...]
    is_deferrable: bool
    is_match_full: bool

    @property
    def references(self) -> str:
        return f"{self.referenced_schema}.{self.referenced_table}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What no row may make false: a CHECK of the table or of a partition, that some partition takes it, or
    that its generated columns can be computed.

    Attributes:
        name: the constraint's; empty where it is about partitions.
        expression: SQL over the table's columns.
        columns: that it needs.
        is_validated: it holds for the rows that stand (it is not NOT VALID).
        is_computation: `name` is a generated column's.
    """

    name: str
    expression: str
    columns: tuple[str, ...]
    is_validated: bool
    is_computation: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """A user trigger that would fire on INSERT or UPDATE; `state` is `pg_trigger.tgenabled` (O, R or A)."""

    schema: str
    table: str
    name: str
    state: str
    is_on_insert: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule that would apply to INSERT or UPDATE; `state` is `pg_rewrite.ev_enabled` (O, R or A)."""

    schema: str
    table: str
    name: str
    state: str
    is_on_insert: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetTable:
    """A table of the target that the search path can reach.

    Attributes:
        is_lockable: the role's privileges allow it to keep other writers out.
    """

    oid: int
    schema: str
    name: str
    is_partitioned: bool
    is_owned: bool
    is_lockable: bool
    has_row_security: bool
    columns: tuple[TargetColumn, ...]
    unique_indexes: tuple[UniqueIndex, ...]
    foreign_keys: tuple[ForeignKey, ...]
    triggers: tuple[Trigger, ...]
    rules: tuple[Rule, ...]
    checks: tuple[Check, ...] = ()

    @property
    def unique_keys(self) -> tuple[UniqueIndex, ...]:
        """Those of the unique indexes by which rows can be matched, the primary key first."""
        return tuple(index for index in self.unique_indexes if index.is_key)

    @property
    def qualified_name(self) -> str:
        return f"{self.schema}.{self.name}"


# --- the plan ------------------------------------------------------------------------------------


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


# --- what was done -------------------------------------------------------------------------------


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
