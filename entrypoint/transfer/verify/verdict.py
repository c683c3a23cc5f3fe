"""What a comparison says: which rows and cells differ, and how that is shown.

Owns the words of a difference. Compares nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from entrypoint.transfer.cells import VALUE_WIDTH


class OutOfTimeError(Exception):
    """A comparison was given a limit and has passed it; what it found so far is void."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A cell, or a row (`column` None), that PostgreSQL holds otherwise than the source."""

    table: str
    key: str
    column: str | None
    expected: str
    found: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a comparison of cells found.

    Attributes:
        rows: compared.
        differing: of those, the ones with a difference or without a counterpart; rows of PostgreSQL's
            without a counterpart too, where there should be none.
        missing: of those, the ones without a counterpart.
        kept: of those, the ones whose counterpart stood in PostgreSQL before this transaction.
        differences: the first few.
    """

    rows: int
    differing: int
    differences: tuple[Difference, ...]
    missing: int = 0
    kept: int = 0


def describe_difference(difference: Difference) -> str:
    """Return a difference in one clause."""
    place = difference.table + (f".{difference.column}" if difference.column else "")
    return (
        f"{place} ({difference.key}): {difference.expected} in the source, {difference.found} in PostgreSQL"
    )


def show(value: object) -> str:
    """Return a value for a reader, cut to `VALUE_WIDTH` characters."""
    shown = value.hex() if isinstance(value, bytes) else "NULL" if value is None else str(value)
    return shown if len(shown) <= VALUE_WIDTH else shown[: VALUE_WIDTH - 1] + "…"
