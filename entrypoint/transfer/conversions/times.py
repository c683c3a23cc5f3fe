"""Timestamps, dates and times of day: text in the spellings applications write, numbers since an epoch.

A number's unit belongs to its column, never to a cell; `infer_unit` finds it from the column's values.
Naive text stays naive: the session's TimeZone (SOURCE_TIMEZONE) gives it its zone in a timestamptz.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from fractions import Fraction

from entrypoint.model import Conversion
from entrypoint.sqlite.source import Cell
from entrypoint.transfer.conversions.base import CellRefusedError, Converter, Fast, decode_text

# ISO 8601 as applications write it, and what Go's time.Time.String() appends: the offset, the zone's
# name and the monotonic clock (https://pkg.go.dev/time#Time.String).
_TEXT = re.compile(
    r"""\s*
    (?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})
    (?:[Tt\ ]\s*(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d+))?)?
       \s*(?:(?P<utc>[Zz]|UTC|GMT)|(?P<sign>[+-])(?P<offset>\d{2}(?::?\d{2}(?::?\d{2})?)?)
             (?:\s+(?:[A-Za-z]{1,5}|[+-]\d{2,4}))?)?
       (?:\s+m=[+-][\d.]+)?)?
    \s*""",
    re.VERBOSE | re.ASCII,
)
_TIME = re.compile(r"\s*(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d+))?)?\s*", re.ASCII)
_ISO_GLOB = "{d}{d}{d}{d}-{d}{d}-{d}{d}[ T]{d}{d}:{d}{d}:{d}{d}*".replace("{d}", "[0-9]")

_MICROSECONDS = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST_US = -62_135_596_800 * _MICROSECONDS  # 0001-01-01
_LATEST_US = 253_402_300_800 * _MICROSECONDS - 1  # 9999-12-31 23:59:59.999999
_JULIAN_EPOCH = 2_440_587.5
_JULIAN_LIMIT = 10**8  # days; far beyond the years that are taken, far below what overflows
# PostgreSQL's MAX_TZDISP_HOUR (src/include/datatype/timestamp.h).
_OFFSET_LIMIT = timedelta(hours=16)
_MILLISECONDS_A_DAY = 86_400_000

UNITS = ("s", "ms", "us", "ns", "julian")
PER_SECOND = {"s": 1, "ms": 1000, "us": 1_000_000, "ns": 1_000_000_000}

# Numbers between these belong to that unit beyond doubt: the years 1980 to 2100, in which no two units
# overlap. What lies outside them says nothing about the unit.
_FIRST_S, _LAST_S = 315_532_800, 4_102_444_800
WINDOWS: dict[str, tuple[float, float]] = {
    unit: (_FIRST_S * per_second, _LAST_S * per_second) for unit, per_second in PER_SECOND.items()
} | {"julian": (2_444_239.5, 2_488_069.5)}

_UNIT_NAMES = {
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
    "julian": "Julian days",
}


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


class UnitUnknownError(ValueError):
    """The column's numbers do not tell one unit; the message says why."""


def infer_unit(facts: NumberFacts) -> tuple[str, str]:
    """Return the one unit of a column's numbers, and the evidence for the reader.

    Raises:
        UnitUnknownError: two units, or no number that tells.
    """
    found = {unit: count for unit, count in facts.in_window.items() if count}
    extent = f"{facts.lowest:.15g} to {facts.highest:.15g}"
    if facts.count == facts.zeros:
        return (
            "s",
            f"every number is 0, which is 1970-01-01 in every unit but Julian days ({facts.count} value(s))",
        )
    if len(found) > 1:
        parts = " and ".join(f"{count} in {_UNIT_NAMES[unit]}" for unit, count in found.items())
        raise UnitUnknownError(f"numbers of two units in one column ({parts}; {extent})")
    if not found:
        raise UnitUnknownError(f"numbers whose unit cannot be told ({extent})")
    ((unit, count),) = found.items()
    return unit, f"{_UNIT_NAMES[unit]}: {count} of {facts.count} value(s) from {extent} lie in 1980 to 2100"


def _microseconds_of(unit: str, cell: float) -> int:
    """Return the microseconds since 1970: an integer's finer digits are cut, a real's noise is rounded."""
    if isinstance(cell, float) and not math.isfinite(cell):
        raise CellRefusedError("infinity is no time here")
    if unit == "julian":
        if abs(cell) > _JULIAN_LIMIT:
            raise CellRefusedError("as Julian days outside the years 0001 to 9999")
        return round((cell - _JULIAN_EPOCH) * _MILLISECONDS_A_DAY) * 1000
    scaled = Fraction(cell) * _MICROSECONDS / PER_SECOND[unit]
    return round(scaled) if isinstance(cell, float) else math.floor(scaled)


def _moment_of_number(conversion: Conversion, cell: float) -> datetime:
    if conversion.unit is None:
        raise CellRefusedError("a number whose unit is not known")
    microseconds = _microseconds_of(conversion.unit, cell)
    if not _EARLIEST_US <= microseconds <= _LATEST_US:
        raise CellRefusedError(f"as {_UNIT_NAMES[conversion.unit]} outside the years 0001 to 9999")
    return _EPOCH + timedelta(microseconds=microseconds)


def _moment_of_text(text: str) -> datetime:
    """Return the moment that a text spells, naive where it names no zone."""
    match = _TEXT.fullmatch(text)
    if match is None:
        raise CellRefusedError(
            "the empty string is no time" if not text.strip() else "not a time in ISO 8601"
        )
    part = match.groupdict()
    try:
        return datetime(
            int(part["year"]),
            int(part["month"]),
            int(part["day"]),
            int(part["hour"] or 0),
            int(part["minute"] or 0),
            int(part["second"] or 0),
            int(f"{part['fraction'] or 0:0<6}"[:6]),
            tzinfo=_zone_of(part),
        )
    except ValueError as error:
        raise CellRefusedError(f"no such moment: {error}") from error


def _zone_of(part: dict[str, str | None]) -> timezone | None:
    if part["utc"]:
        return UTC
    if not part["offset"]:
        return None
    digits = part["offset"].replace(":", "").ljust(6, "0")
    minutes, seconds = int(digits[2:4]), int(digits[4:])
    offset = timedelta(hours=int(digits[:2]), minutes=minutes, seconds=seconds)
    if offset >= _OFFSET_LIMIT or minutes > 59 or seconds > 59:
        raise ValueError("an offset from UTC of less than 16 hours was expected")
    return timezone(-offset if part["sign"] == "-" else offset)


def _moment_of(conversion: Conversion, cell: Cell) -> datetime:
    if isinstance(cell, (int, float)):
        return _moment_of_number(conversion, cell)
    return _moment_of_text(decode_text(cell) if isinstance(cell, bytes) else str(cell))


def _cut(microsecond: int, digits: int) -> int:
    unit: int = 10 ** (6 - digits)
    return microsecond - microsecond % unit


def _digits_of(conversion: Conversion) -> int:
    return conversion.type.modifier[0] if conversion.type.modifier else 6


def _print_naive(moment: datetime, digits: int) -> str:
    return moment.replace(tzinfo=None, microsecond=_cut(moment.microsecond, digits)).isoformat(sep=" ")


def _convert_timestamptz(conversion: Conversion, cell: Cell) -> str:
    moment = _moment_of(conversion, cell)
    naive = _print_naive(moment, _digits_of(conversion))
    offset = moment.utcoffset()
    if offset is None:
        return naive
    sign, offset = ("-", -offset) if offset < timedelta(0) else ("+", offset)
    hours, rest = divmod(int(offset.total_seconds()), 3600)
    return f"{naive}{sign}{hours:02d}:{rest // 60:02d}:{rest % 60:02d}"


def _convert_timestamp(conversion: Conversion, cell: Cell) -> str:
    """A naive target keeps naive text as it is and takes every other moment in UTC."""
    moment = _moment_of(conversion, cell)
    if moment.tzinfo is not None:
        try:
            moment = moment.astimezone(UTC)
        except OverflowError as error:
            raise CellRefusedError("in UTC outside the years 0001 to 9999") from error
    return _print_naive(moment, _digits_of(conversion))


def _convert_date(conversion: Conversion, cell: Cell) -> str:
    moment = _moment_of(conversion, cell)
    if moment.timetz().replace(tzinfo=None) != time():
        raise CellRefusedError("has a time of day, which date would lose")
    return date(moment.year, moment.month, moment.day).isoformat()


def _convert_time(conversion: Conversion, cell: Cell) -> str:
    digits = _digits_of(conversion)
    if not isinstance(cell, (int, float)):
        text = decode_text(cell) if isinstance(cell, bytes) else str(cell)
        match = _TIME.fullmatch(text)
        if match:
            hour, minute, second, fraction = match.groups()
            try:
                parsed = time(int(hour), int(minute), int(second or 0), int(f"{fraction or 0:0<6}"[:6]))
            except ValueError as error:
                raise CellRefusedError(f"no such time of day: {error}") from error
            return parsed.replace(microsecond=_cut(parsed.microsecond, digits)).isoformat()
        # Go puts the year 0 before a bare time of day, which Python's calendar does not have.
        cell = text.replace("0000-01-01", "2000-01-01", 1)
    moment = _moment_of(conversion, cell)
    if moment.date() not in (_EPOCH.date(), date(2000, 1, 1)):  # what ORMs put before a bare time of day
        raise CellRefusedError("has a date, which time would lose")
    return moment.replace(tzinfo=None, microsecond=_cut(moment.microsecond, digits)).time().isoformat()


def _fast_timestamp(conversion: Conversion, cell: str) -> Fast:
    texts = _fast_text(conversion, cell)
    numbers = _fast_number(conversion, cell)
    if numbers is None:
        return texts
    return Fast(
        when=f"CASE typeof({cell}) WHEN 'text' THEN {texts.when} ELSE {numbers.when} END",
        render=f"CASE typeof({cell}) WHEN 'text' THEN {texts.render} ELSE {numbers.render} END",
    )


def _fast_text(conversion: Conversion, cell: str) -> Fast:
    """Cover `2024-01-02 03:04:05`, with T, a fraction and Z: what SQLite, JavaScript and most ORMs write.

    SQLite's own calendar carries 30 February over into March, which the comparison finds.
    """
    moment = f"(substr({cell}, 1, 10) || ' ' || substr({cell}, 12, 8))"
    rest = f"substr({cell}, 20)"
    fraction = f"substr({cell}, 21, length({cell}) - 20 - ({cell} GLOB '*Z'))"
    when = (
        f"(typeof({cell}) = 'text' AND octet_length({cell}) = length({cell}) AND {cell} GLOB '{_ISO_GLOB}'"
        f" AND {cell} >= '0001' AND strftime('%Y-%m-%d %H:%M:%S', {moment}) = {moment}"
        f" AND ({rest} IN ('', 'Z') OR ({rest} GLOB '.[0-9]*' AND {fraction} NOT GLOB '*[^0-9]*')))"
    )
    render = moment
    if digits := _digits_of(conversion):
        render += (
            f" || CASE WHEN {rest} GLOB '.*' THEN '.' || substr({fraction}, 1, {min(digits, 6)}) ELSE '' END"
        )
    if conversion.type.base == "timestamptz":
        render += f" || CASE WHEN {cell} GLOB '*Z' THEN '+00' ELSE '' END"
    return Fast(when=when, render=f"({render})")


def _fast_number(conversion: Conversion, cell: str) -> Fast | None:
    per_second = PER_SECOND.get(conversion.unit or "")
    if per_second is None:
        return None
    lowest = max(_EARLIEST_US * per_second // _MICROSECONDS, -(2**63))
    highest = min(_LATEST_US * per_second // _MICROSECONDS, 2**63 - 1)
    beyond = f"(({cell} % {per_second} + {per_second}) % {per_second})"
    # Not (cell - beyond): near the lowest bigint that would overflow into a real.
    seconds = f"({cell} / {per_second} - ({cell} % {per_second} < 0))"
    render = f"strftime('%Y-%m-%d %H:%M:%S', {seconds}, 'unixepoch')"
    if (digits := _digits_of(conversion)) and per_second > 1:
        width = len(str(per_second)) - 1
        render += f" || '.' || substr(printf('%0{width}d', {beyond}), 1, {min(digits, 6)})"
    if conversion.type.base == "timestamptz":
        render += " || '+00'"
    return Fast(
        when=f"(typeof({cell}) = 'integer' AND {cell} BETWEEN {lowest} AND {highest})", render=f"({render})"
    )


TIMESTAMPTZ = Converter(
    accepts="ISO 8601 text, or a number of one unit since an epoch",
    convert=_convert_timestamptz,
    fast=_fast_timestamp,
)
TIMESTAMP = Converter(
    accepts="ISO 8601 text, or a number of one unit since an epoch",
    convert=_convert_timestamp,
    fast=_fast_timestamp,
)
DATE = Converter(accepts="an ISO 8601 date, or a midnight", convert=_convert_date)
TIME = Converter(accepts="a time of day", convert=_convert_time)
