"""Which value a cell must have in a column, and which values PostgreSQL holds for equal.

The rules come straight from the contract and hold for the cells that `kinds` draws. Must not import the
product.
"""

from __future__ import annotations

import struct
import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from tests.fuzz.cell_types import MEANINGS, RefusedError
from tests.fuzz.model import Column

REFUSED = "<refused>"  # in place of a meaning; no cell that is drawn means it

_EPOCH = datetime(1970, 1, 1)
_JULIAN_EPOCH = Decimal("2440587.5")  # the Julian day of 1970-01-01
# The least number of a unit as it is drawn, in 2001 to 2033, and the unit.
_SIZES = {10**9: "s", 10**12: "ms", 10**15: "us", 10**18: "ns"}
_MICROSECONDS = {
    "s": Decimal(10**6),
    "ms": Decimal(10**3),
    "us": Decimal(1),
    "ns": Decimal("0.001"),
    "julian": Decimal(86_400 * 10**6),
}


def find_unit(number: float) -> str | None:
    """Return the unit that a number of this size counts in; None: it says nothing."""
    if 2_400_000 <= number < 2_500_000:
        return "julian"
    return next((unit for least, unit in _SIZES.items() if least <= number < 2 * least), None)


def find_units(column: Column, cells: Iterable[Any]) -> set[str]:
    """Return the units that a column's numbers are in: one, or the column cannot be taken."""
    if column.unit:
        return {column.unit}
    numbers = [cell for cell in cells if isinstance(cell, (int, float))]
    return {unit for number in numbers if (unit := find_unit(number)) is not None}


def is_temporal(column: Column) -> bool:
    return column.type.startswith(("timestamp", "date"))


def read_meaning(column: Column, cell: Any, timezone: str, unit: str = "s") -> Any:
    """Return the value that a cell must have in the column, None for NULL, or REFUSED.

    Args:
        column: where it goes.
        cell: as SQLite stores it.
        timezone: SOURCE_TIMEZONE.
        unit: of numbers that are times.
    """
    if cell is None or (cell == "" and column.is_empty_null):
        return None
    try:
        if is_temporal(column) and isinstance(cell, (int, float)):
            cell = _read_number(cell, unit)
        return MEANINGS[column.type](cell, timezone)
    except (RefusedError, ValueError, InvalidOperation, OverflowError):
        return REFUSED


def compare_as(column: Column, meaning: Any) -> Any:
    """Return what is equal exactly for the values that PostgreSQL's `=` holds for equal in this column."""
    if column.type in ("loose text", "citext") and isinstance(meaning, str):
        folded = meaning.lower()
        return folded if column.type == "citext" else unicodedata.normalize("NFC", folded)
    if column.type == "double precision" and isinstance(meaning, bytes):
        return struct.unpack(">d", meaning)[0]
    if column.type == "real" and isinstance(meaning, bytes):
        return struct.unpack(">f", meaning)[0]
    return meaning


def _read_number(cell: float, unit: str) -> datetime:
    """Return the moment in UTC: an integer's finer digits are cut, a real is rounded."""
    number = Decimal(cell) - (_JULIAN_EPOCH if unit == "julian" else 0)
    rounding = "ROUND_HALF_EVEN" if isinstance(cell, float) else "ROUND_FLOOR"
    microseconds = (number * _MICROSECONDS[unit]).to_integral_value(rounding)
    return (_EPOCH + timedelta(microseconds=int(microseconds))).replace(tzinfo=UTC)
