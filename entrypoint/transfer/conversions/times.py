"""Timestamps, dates and times of day: text in the spellings applications write, numbers since an epoch.

What a number means in its column's unit stands in `units`.
Naive text stays naive: the session's TimeZone (SOURCE_TIMEZONE) gives it its zone in a timestamptz.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from functools import cache
from zoneinfo import ZoneInfo

from entrypoint.model import Conversion
from entrypoint.sqlite.source import Cell
from entrypoint.transfer.conversions.base import CellRefusedError, Converter, Fast, decode_text
from entrypoint.transfer.conversions.units import PER_SECOND, find_limits, read_number

# ISO 8601 as applications write it, extended or basic, and what Go's time.Time.String() appends: the
# offset, the zone's name and the monotonic clock (https://pkg.go.dev/time#Time.String).
_TEXT = re.compile(
    r"""\s*
    (?P<year>\d{4})(?P<dash>-?)(?P<month>\d{2}|(?<=-)\d)(?P=dash)(?P<day>\d{2}|(?<=-)\d)
    (?:[Tt\ ]\s*(?P<hour>\d{2}|\d(?=:))(?P<colon>:?)(?P<minute>\d{2})
       (?:(?P=colon)(?P<second>\d{2})(?:[.,](?P<fraction>\d+))?)?
       \s*(?:(?P<utc>[Zz]|UTC|GMT)|(?P<sign>[+-])(?P<offset>\d{2}(?::?\d{2}(?::?\d{2})?)?)
             (?:\s+(?:[A-Za-z]{1,5}|[+-]\d{2,4}))?)?
       (?:\s+m=[+-][\d.]+)?)?
    \s*""",
    re.VERBOSE | re.ASCII,
)
_TIME = re.compile(r"\s*(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d+))?)?\s*", re.ASCII)
_ISO_GLOB = "{d}{d}{d}{d}-{d}{d}-{d}{d}[ T]{d}{d}:{d}{d}:{d}{d}*".replace("{d}", "[0-9]")

_EPOCH_DAY = date(1970, 1, 1)
_END_OF_DAY = (24, 0, 0, 0)  # ISO 8601's midnight at the end of a day
# PostgreSQL's MAX_TZDISP_HOUR (src/include/datatype/timestamp.h).
_OFFSET_LIMIT = timedelta(hours=16)


def _moment_of_text(text: str) -> datetime:
    """Return the moment that a text spells, naive where it names no zone."""
    match = _TEXT.fullmatch(text)
    if match is None:
        raise CellRefusedError(
            "the empty string is no time" if not text.strip() else "not a time in ISO 8601"
        )
    part = match.groupdict()
    hour, minute, second = (int(part[name] or 0) for name in ("hour", "minute", "second"))
    is_end_of_day = (hour, minute, second, int(part["fraction"] or 0)) == _END_OF_DAY
    try:
        moment = datetime(
            int(part["year"]),
            int(part["month"]),
            int(part["day"]),
            0 if is_end_of_day else hour,
            minute,
            second,
            int(f"{part['fraction'] or 0:0<6}"[:6]),
            tzinfo=_zone_of(part),
        )
        return moment + timedelta(days=is_end_of_day)
    except (ValueError, OverflowError) as error:
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
        return read_number(conversion, cell)
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
    """Take a moment that is midnight as it is written, or else in the source's zone."""
    moment = _moment_of(conversion, cell)
    if not _is_midnight(moment) and moment.tzinfo is not None:
        try:
            moment = moment.astimezone(_find_zone(conversion.timezone))
        except OverflowError as error:
            raise CellRefusedError("outside the years 0001 to 9999") from error
    if not _is_midnight(moment):
        raise CellRefusedError("has a time of day, which date would lose")
    return moment.date().isoformat()


def _is_midnight(moment: datetime) -> bool:
    return moment.time() == time()


@cache
def _find_zone(name: str) -> tzinfo:
    """Return a zone by its IANA name; UTC where PostgreSQL knows one that is not here."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError):
        return UTC


def _convert_time(conversion: Conversion, cell: Cell) -> str:
    digits = _digits_of(conversion)
    if not isinstance(cell, (int, float)):
        text = decode_text(cell) if isinstance(cell, bytes) else str(cell)
        match = _TIME.fullmatch(text)
        if match:
            hour, minute, second, fraction = match.groups()
            if (int(hour), int(minute), int(second or 0), int(fraction or 0)) == _END_OF_DAY:
                return "24:00:00"  # which time holds beside 00:00 (manual, table 8.9)
            try:
                parsed = time(int(hour), int(minute), int(second or 0), int(f"{fraction or 0:0<6}"[:6]))
            except ValueError as error:
                raise CellRefusedError(f"no such time of day: {error}") from error
            return parsed.replace(microsecond=_cut(parsed.microsecond, digits)).isoformat()
        # Go puts the year 0 before a bare time of day, which Python's calendar does not have.
        cell = text.replace("0000-01-01", "2000-01-01", 1)
    moment = _moment_of(conversion, cell)
    if moment.date() not in (_EPOCH_DAY, date(2000, 1, 1)):  # what ORMs put before a bare time of day
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
    first_s, last_s = find_limits(conversion)
    lowest, highest = max(first_s * per_second, -(2**63)), min((last_s + 1) * per_second - 1, 2**63 - 1)
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
