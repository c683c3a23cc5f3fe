"""The unit of numbers that are times: which one a column's numbers are in, and what is plausible in it.

Owns the evidence: the values, then other columns of the table, then the declared type. A unit belongs to a
column, never to a cell. Reads nothing; what it judges by is handed to it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

from entrypoint.mapping_lines import say_unit
from entrypoint.model import Conversion
from entrypoint.transfer.conversions.base import CellRefusedError

_MICROSECONDS = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEARS = (-62_135_596_800, 253_402_300_799)  # 0001-01-01 to 9999-12-31 23:59:59, in seconds
# Where a number may lie whose unit was not stated but inferred: the years 1900 to 2200.
_PLAUSIBLE_YEARS = (-2_208_988_800, 7_289_654_399)
# … or on a day, from first to last, that programs put for no time or for one beyond all others.
_SENTINEL_DAYS = (
    (date(1, 1, 1), date(1, 1, 2)),  # zero of Go and .NET, and of either in another zone
    (date(1601, 1, 1), date(1601, 1, 1)),  # zero of Windows
    (date(1677, 9, 21), date(1677, 9, 21)),  # the least bigint, in nanoseconds
    (date(1753, 1, 1), date(1753, 1, 1)),  # the least datetime of SQL Server
    (date(1754, 8, 30), date(1754, 8, 30)),  # zero of Go in nanoseconds: time.Time{}.UnixNano()
    (date(1899, 12, 30), date(1899, 12, 31)),  # zero of OLE automation
    (date(2262, 4, 11), date(2262, 4, 11)),  # the greatest bigint, in nanoseconds
    (date(2999, 12, 31), date(3000, 1, 1)),
    (date(9999, 12, 30), date(9999, 12, 31)),
)
_JULIAN_EPOCH = 2_440_587.5
_JULIAN_LIMIT = 10**8  # days; far beyond the years that are taken, far below what overflows
_MILLISECONDS_A_DAY = 86_400_000

UNITS = ("s", "ms", "us", "ns", "julian")
PER_SECOND = {"s": 1, "ms": 1000, "us": 1_000_000, "ns": 1_000_000_000}
# What the mapping file can say of a column whose unit is not known.
UNIT_ENTRIES = tuple(say_unit(unit) for unit in UNITS)

# Numbers between these belong to that unit beyond doubt: the years 1980 to 2100, in which no two units
# overlap. What lies outside them says nothing about the unit.
_FIRST_S, _LAST_S = 315_532_800, 4_102_444_800
WINDOWS: dict[str, tuple[float, float]] = {
    unit: (_FIRST_S * per_second, _LAST_S * per_second) for unit, per_second in PER_SECOND.items()
} | {"julian": (2_444_239.5, 2_488_069.5)}

# What other columns say of the unit is not believed of numbers that are so few days from 1970 in
# it, if they are more than a year from it in another: dates of birth in seconds, beside milliseconds.
_FEW_DAYS_S, _YEAR_S = 30 * 86_400, 365 * 86_400

UNIT_NAMES = {
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
    "julian": "Julian days",
}
# What a declared type calls a unit, `TIMESTAMP_MS` or `UnixEpoch`: part of a word, or a word of its own.
_PARTS_OF_WORDS = (
    (re.compile("milli"), "ms"),
    (re.compile("micro"), "us"),
    (re.compile("nano"), "ns"),
    (re.compile("julian"), "julian"),
    (re.compile("second"), "s"),
    (re.compile("unix|epoch"), "s"),
)
_WORDS = {"ms": "ms", "msec": "ms", "us": "us", "usec": "us", "ns": "ns", "nsec": "ns", "sec": "s", "s": "s"}
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberFacts:
    """What one scan says of the numbers in a column.

    Attributes:
        count: of integers and reals.
        zeros: of those, the ones that are 0.
        in_window: per unit, those that lie in its window.
        lowest, highest: of all of them.
    """

    count: int
    zeros: int
    in_window: dict[str, int]
    lowest: float
    highest: float

    @property
    def extent(self) -> str:
        return f"{self.lowest:.15g} to {self.highest:.15g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sibling:
    """Another column of the table, whose values told its unit."""

    name: str
    unit: str


class UnitUnknownError(ValueError):
    """The column's numbers do not tell one unit; the message says why.

    Args:
        strays: of two units, the one that fewer numbers are in.
    """

    def __init__(self, message: str, *, strays: str | None = None) -> None:
        super().__init__(message)
        self.strays = strays


def read_values(facts: NumberFacts) -> tuple[str, str] | None:
    """Return the one unit that a column's values tell, and the evidence for the reader; None if they do not.

    Raises:
        UnitUnknownError: they tell two units.
    """
    found = {unit: count for unit, count in facts.in_window.items() if count}
    if len(found) > 1:
        parts = " and ".join(f"{count} in {UNIT_NAMES[unit]}" for unit, count in found.items())
        raise UnitUnknownError(
            f"numbers of two units in one column ({parts}; {facts.extent})",
            strays=min(found, key=lambda unit: found[unit]),
        )
    for unit, count in found.items():
        return unit, (
            f"{UNIT_NAMES[unit]}: {count} of {facts.count} value(s) from {facts.extent} lie in 1980 to 2100"
        )
    return None


def infer_unit(
    facts: NumberFacts, *, declared_type: str = "", siblings: Sequence[Sibling] = ()
) -> tuple[str, str]:
    """Return the one unit of a column's numbers, and the evidence for the reader.

    Args:
        facts: at least one number.
        declared_type: as the source declares the column.
        siblings: columns of the table whose unit is known.

    Raises:
        UnitUnknownError: two units, or nothing that tells.
    """
    if told := read_values(facts):
        return told
    doubts = []
    asked = _ask_siblings(siblings)
    for unit, reason in (*asked, *_read_declared_type(declared_type)):
        if (unit, reason) in asked and (likelier := _find_likelier(facts, unit)):
            doubts.append(
                f"{UNIT_NAMES[unit]}, as {reason}, would be days from 1970, {UNIT_NAMES[likelier]} years"
            )
        elif _is_plausible_number(unit, facts.lowest) and _is_plausible_number(unit, facts.highest):
            return (
                unit,
                f"{UNIT_NAMES[unit]}: {reason}; the values, {facts.extent}, do not tell it themselves",
            )
        doubts.append(f"{UNIT_NAMES[unit]}, as {reason}, would be implausible")
    if facts.count == facts.zeros and not doubts:
        return "s", (
            "every number is 0, which is ambiguous, but 1970-01-01 in every unit except Julian days "
            f"({facts.count} value(s))"
        )
    raise UnitUnknownError("; ".join([f"numbers whose unit cannot be told ({facts.extent})", *doubts]))


def _find_likelier(facts: NumberFacts, unit: str) -> str | None:
    """Return another unit in which numbers are years from 1970 that are days from it in `unit`; or None."""

    def measure(other: str) -> float:
        return max(abs(facts.lowest), abs(facts.highest)) / PER_SECOND[other]

    if unit not in PER_SECOND or measure(unit) > _FEW_DAYS_S:
        return None
    return next(
        (
            other
            for other in PER_SECOND
            if measure(other) >= _YEAR_S
            and _is_plausible_number(other, facts.lowest)
            and _is_plausible_number(other, facts.highest)
        ),
        None,
    )


def _ask_siblings(siblings: Sequence[Sibling]) -> list[tuple[str, str]]:
    """Return the unit of the table's other columns where they agree on one."""
    if len({sibling.unit for sibling in siblings}) != 1:
        return []
    names = ", ".join(sibling.name for sibling in siblings[:3])
    return [(siblings[0].unit, f"the table's other times are in it ({names})")]


def _read_declared_type(declared_type: str) -> list[tuple[str, str]]:
    words = [word.lower() for word in _WORD.findall(declared_type)]
    named = [_WORDS[word] for word in words if word in _WORDS]
    named += [unit for part, unit in _PARTS_OF_WORDS if part.search(declared_type.lower())]
    return [(unit, f"the declared type {declared_type} names it") for unit in named[:1]]


def _is_plausible_number(unit: str, number: float) -> bool:
    try:
        return is_plausible(moment_since_epoch(unit, number))
    except CellRefusedError:
        return False


def is_plausible(moment: datetime) -> bool:
    """Tell whether a moment is what a number of an inferred unit may mean."""
    if _PLAUSIBLE_YEARS[0] <= moment.timestamp() < _PLAUSIBLE_YEARS[1] + 1:
        return True
    return any(first <= moment.date() <= last for first, last in _SENTINEL_DAYS)


def find_limits(conversion: Conversion) -> tuple[int, int]:
    """Return the first and last whole second since 1970 in which every number of the column is taken."""
    return _PLAUSIBLE_YEARS if conversion.is_unit_inferred else _YEARS


def read_number(conversion: Conversion, cell: float) -> datetime:
    """Return the moment that a number of the column stands for, in UTC.

    Raises:
        CellRefusedError: the unit is not known, or the moment is implausible in it.
    """
    _require_finite(cell)
    if conversion.unit is None:
        raise CellRefusedError(
            conversion.evidence or "a number whose unit is not known", entries=UNIT_ENTRIES
        )
    moment = moment_since_epoch(conversion.unit, cell)
    if conversion.is_unit_inferred and not is_plausible(moment):
        raise CellRefusedError(
            f"as {UNIT_NAMES[conversion.unit]} in the year {moment.year:04d}, which is implausible",
            entries=(say_unit(conversion.unit),),
        )
    return moment


def _require_finite(cell: float) -> None:
    if isinstance(cell, float) and not math.isfinite(cell):
        raise CellRefusedError("infinity is no time here")


def moment_since_epoch(unit: str, cell: float) -> datetime:
    """Return the moment of a number: an integer's finer digits are cut, a real's noise is rounded."""
    _require_finite(cell)
    if unit == "julian":
        is_far = abs(cell) > _JULIAN_LIMIT
        microseconds = 0 if is_far else round((cell - _JULIAN_EPOCH) * _MILLISECONDS_A_DAY) * 1000
    else:
        is_far = False
        scaled = Fraction(cell) * _MICROSECONDS / PER_SECOND[unit]
        microseconds = round(scaled) if isinstance(cell, float) else math.floor(scaled)
    if is_far or not _YEARS[0] <= microseconds // _MICROSECONDS <= _YEARS[1]:
        raise CellRefusedError(f"as {UNIT_NAMES[unit]} outside the years 0001 to 9999")
    return _EPOCH + timedelta(microseconds=microseconds)
