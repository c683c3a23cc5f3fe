"""The source as its catalog describes it. No I/O."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceColumn:
    """A column of a source table; `declared_type` is free text in SQLite."""

    name: str
    declared_type: str
    is_generated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceForeignKey:
    """A foreign key as SQLite's catalog has it; what it leads to need not be there.

    Attributes:
        referenced_columns: empty where the statement names none: the primary key.
    """

    columns: tuple[str, ...]
    referenced_table: str
    referenced_columns: tuple[str, ...]


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
    foreign_keys: tuple[SourceForeignKey, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """Something of the source that is left out on purpose."""

    name: str
    reason: str
