"""What a schema migration is: its version, its scripts, and the row that remembers it.

Owns the values that flow between reading files, comparing them with the ledger and applying them,
and the arithmetic of versions. Reads no file and asks no database.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from entrypoint.errors import SchemaError

# Flyway's versions have parts (1.2 < 1.10 < 2), the ledger's column is one whole number. A version of one
# part is that number; one of several is put above every number a file name can reasonably carry, with
# six digits to each part after the first, so that it can be read back and ordered by its parts.
_DOTTED_BASE = 10**40
_PART_LIMIT = 10**6
_MAX_PARTS = 4
_FIRST_PART_LIMIT = 10**21


class Layout(StrEnum):
    """The tool whose way of laying out files a migration follows."""

    PLAIN = "plain"
    GOLANG_MIGRATE = "golang-migrate"
    DBMATE = "dbmate"
    GOOSE = "goose"
    DIESEL = "diesel"
    PRISMA = "prisma"
    FLYWAY = "flyway"


# golang-migrate and Prisma send a file as it is, without a transaction of their own around it.
NEVER_WRAPPING = frozenset({Layout.GOLANG_MIGRATE, Layout.PRISMA})


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """SQL to send as it is written, and where in which file it stands.

    Attributes:
        label: the file, relative to the migrations directory, for messages.
        first_line: the line of the file on which `text` begins, from 1.
        text: the SQL, as in the file less a byte order mark.
        is_transactional: whether it may share a transaction with its ledger row.
    """

    label: str
    first_line: int
    text: str
    is_transactional: bool

    def locate(self, offset: int) -> str:
        """Return `file:line` of the character at `offset` (from 0) of the text."""
        return f"{self.label}:{self.first_line + self.text.count(chr(10), 0, offset)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One schema migration as its files tell it.

    Attributes:
        version: what the ledger calls it; see `encode_version`.
        name: the file's (or directory's) name without its endings, version included.
        path: the file whose text is applied.
        checksum: SHA-256 of that file, newlines normalised, in hex.
        down: how to revert it; None where that is not possible.
    """

    version: int
    name: str
    path: Path
    checksum: str
    layout: Layout
    up: Script
    down: Script | None

    @property
    def is_transactional(self) -> bool:
        """Whether the file and its ledger row may commit in one transaction."""
        return self.up.is_transactional

    @property
    def label(self) -> str:
        """The file, relative to the migrations directory."""
        return self.up.label


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedMigration:
    """One row of the ledger's `schema_migrations`.

    Attributes:
        state: `applied`; `baseline` (adopted without being run); `started` (a run outside a transaction
            that has not been seen to end).
        duration_s: how long it ran; None where it did not.
    """

    version: int
    name: str
    checksum: str
    state: str
    applied_at: datetime | None
    duration_s: float | None = None


def encode_version(parts: tuple[int, ...]) -> int:
    """Return the ledger's number for a version of one or several parts; trailing zeros do not count.

    Raises:
        ValueError: more than four parts, or a part too large to be told apart.
    """
    while len(parts) > 1 and parts[-1] == 0:
        parts = parts[:-1]
    if len(parts) == 1:
        if parts[0] >= _DOTTED_BASE:
            raise ValueError("more than 40 digits")
        return parts[0]
    if len(parts) > _MAX_PARTS:
        raise ValueError(f"more than {_MAX_PARTS} parts")
    if parts[0] >= _FIRST_PART_LIMIT or any(part >= _PART_LIMIT for part in parts[1:]):
        raise ValueError("a part with too many digits")
    number = 0
    for part in parts + (0,) * (_MAX_PARTS - len(parts)):
        number = number * _PART_LIMIT + part
    return _DOTTED_BASE + number


def order_of(version: int) -> tuple[int, ...]:
    """Return the parts of a ledger version: what versions are sorted by."""
    if version < _DOTTED_BASE:
        return (version,)
    number, parts = version - _DOTTED_BASE, []
    for _ in range(_MAX_PARTS - 1):
        number, part = divmod(number, _PART_LIMIT)
        parts.append(part)
    parts.append(number)
    while parts[0] == 0:
        parts.pop(0)
    return tuple(reversed(parts))


def spell_version(version: int) -> str:
    """Return a ledger version as people write it: `7`, `20240102030405`, `1.2`."""
    return ".".join(str(part) for part in order_of(version))


def parse_version(text: str) -> int:
    """Return the ledger's number for a version as people write it: `007`, `1.2`, `2024-01-02-030405`.

    Raises:
        SchemaError: it is no version.
    """
    if not re.fullmatch(r"[0-9]+(?:[._-][0-9]+)*", text):
        raise SchemaError(
            "is no version", where=text, remedy="write it as the file's name begins, such as 7 or 1.2"
        )
    try:
        return encode_version(tuple(int(part) for part in re.split(r"[._]", text.replace("-", ""))))
    except ValueError as error:
        raise SchemaError(
            f"is no usable version ({error})", where=text, remedy="use a shorter one"
        ) from error
