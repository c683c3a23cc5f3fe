"""What the fuzz test draws, and what its oracle foretells. Values alone: no product code, no I/O."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Row = tuple[Any, ...]


class RawText(NamedTuple):
    """A cell of storage class text with these bytes, whatever they are."""

    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column that stands on both sides.

    Attributes:
        type: names an entry of `kinds.DDL`, or is the type as DDL spells it.
        unit: what the mapping file says its numbers count; None: it says nothing.
        is_empty_null: the mapping file says that the empty string is NULL.
        is_renamed: the mapping file says where it goes.
    """

    source: str
    target: str
    type: str
    declared: str
    is_not_null: bool
    good: Row
    bad: Row
    unit: str | None = None
    is_empty_null: bool = False
    is_renamed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Unique:
    """A unique constraint or index beside the table's key.

    Attributes:
        parts: positions of columns, each with the function it is seen through: none, `lower` or `abs`.
        predicate: a column's position and whether it is NULL in the rows that count; None: all count.
    """

    parts: tuple[tuple[int, str], ...]
    predicate: tuple[int, bool] | None = None
    is_nulls_not_distinct: bool = False
    is_deferrable: bool = False

    @property
    def columns(self) -> tuple[int, ...]:
        return tuple(position for position, _ in self.parts)

    @property
    def is_referable(self) -> bool:
        """Whether a foreign key may refer to it."""
        is_plain = not any(function for _, function in self.parts)
        return is_plain and self.predicate is None and not self.is_deferrable


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A CHECK: the cell is not `literal`, or, where there is an `other` column, not both are NULL."""

    column: int
    literal: Any = None
    other: int | None = None
    is_valid: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignKey:
    """Positions of columns, and of the parent among the tables."""

    columns: tuple[int, ...]
    parent: int
    referenced: tuple[int, ...]
    timing: str
    is_match_full: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table that stands on both sides; positions are those of `columns`.

    Attributes:
        key: by which rows are matched; `style` says what makes it the key.
        extras: columns of the target alone: DDL, and what a new row gets as text.
        source_extras: columns of the source alone: DDL, and whether they hold what has no home.
        reaction: a trigger or rule that would change rows, or forbid them.
        partitions: how the target is partitioned by its first column; empty: not at all.
    """

    source: str
    target: str
    columns: tuple[Column, ...]
    key: tuple[int, ...]
    style: str
    uniques: tuple[Unique, ...]
    checks: tuple[Check, ...]
    foreign_keys: tuple[ForeignKey, ...]
    extras: tuple[tuple[str, str, str | None], ...]
    source_extras: tuple[tuple[str, str, bool], ...]
    layout: str
    is_autoincrement: bool
    is_counter_ahead: bool
    is_renamed: bool
    reaction: str
    partitions: str

    def replace(self, **changes: Any) -> Table:
        return dataclasses.replace(self, **changes)

    @property
    def is_rowid_key(self) -> bool:
        """Whether its key is SQLite's rowid."""
        is_integer = len(self.key) == 1 and self.columns[0].type in ("integer", "bigint")
        return is_integer and self.layout in ("rowid", "strict")

    @property
    def has_counter(self) -> bool:
        return self.is_rowid_key and self.is_autoincrement


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Of a run."""

    on_conflict: str
    on_reject: str
    verify: str
    timezone: str


class Seed(NamedTuple):
    """A row that stands in PostgreSQL before: like a source's row wholly, in its key, in another or not."""

    model: int | None
    likeness: str
    cells: Row


@dataclass(frozen=True, kw_only=True)
class Case:
    """One pair of schemas with rows for both, and the settings of the run.

    Attributes:
        cells: rows of each table as they are inserted.
        care: `clean`: rows that cannot be taken are left out of the source; `damaged`: they stand in it.
        stray: a table of the source alone: `none`, `empty`, `rows`, `ignored` by the mapping file, or a
            `double` whose name folds to another's.
        schema: of the target; where it is not `public`, that has an empty table of the first one's name.
        clutter: views, virtual tables and bookkeeping beside the tables.
        is_mapped: there is a mapping file, which also settles what has no home and what nothing fills.
        is_granted: the role has grants alone and owns nothing.
    """

    tables: tuple[Table, ...]
    cells: tuple[tuple[Row, ...], ...]
    seeds: tuple[tuple[Seed, ...], ...]
    care: str
    setting: Setting
    encoding: str
    journal: str
    stray: str
    schema: str
    has_clutter: bool
    is_mapped: bool
    is_granted: bool
    is_by_child: bool

    @property
    def needs_owner(self) -> bool:
        """Whether triggers or rules must be held, or foreign keys of a cycle be deferred, as an owner may."""
        has_reaction = any(table.reaction not in ("", "disabled") for table in self.tables)
        return has_reaction or any(
            key.parent >= position for position, table in enumerate(self.tables) for key in table.foreign_keys
        )


# --- what is foretold ----------------------------------------------------------------------------


class Culprit(NamedTuple):
    """What must be refused: a source's table, its column where it is one's fault, and in how many rows."""

    table: str
    column: str | None
    why: str
    rows: int = 0


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What became of one table's rows."""

    final: Counter[Row] = field(default_factory=Counter)
    inserted: int = 0
    unchanged: int = 0
    preserved: int = 0
    overwritten: int = 0
    rejects: list[Row] = field(default_factory=list)

    @property
    def counts(self) -> tuple[int, int, int, int, int]:
        return self.inserted, self.unchanged, self.preserved, self.overwritten, len(self.rejects)


@dataclass(slots=True, kw_only=True)
class Expectation:
    """What must happen.

    Attributes:
        refusals: why nothing may be written, all in the plan's words already; empty: it must succeed.
        late: reasons that only the load may find.
        doubts: why either is right.
        tables: what becomes of the rows; a guess where there are doubts.
        rows: the meanings of the source's cells.
        events: what happened on the way, to see how often a run meets it.
    """

    refusals: list[Culprit] = field(default_factory=list)
    late: list[Culprit] = field(default_factory=list)
    doubts: list[Culprit] = field(default_factory=list)
    tables: list[Outcome] = field(default_factory=list)
    rows: list[list[Row]] = field(default_factory=list)
    events: set[str] = field(default_factory=set)

    @property
    def verdict(self) -> Literal["refused", "done", "either"]:
        if self.refusals or (self.late and not self.doubts):
            return "refused"
        return "either" if self.doubts else "done"
