"""The target as its catalog describes it: tables, types, keys and what reacts to rows. No I/O."""

from __future__ import annotations

from dataclasses import dataclass


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
