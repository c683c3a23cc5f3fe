"""What times mean: the part of the independent path that reads moments, days, clocks and durations.

Owns no more than that, and like `decode` shares no code with `conversions`. An error raised here is a
difference.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Context, Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo

from entrypoint.model import Conversion
from entrypoint.sqlite.source import Cell
from entrypoint.transfer.verify.documents import Meaning, words

# Exact for every number of a source: 1074 binary places of a double at the most.
_WIDE = Context(prec=2000)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = datetime(1970, 1, 1)
_TICK = timedelta(microseconds=1)
_UNITS_A_SECOND = {"s": 10**0, "ms": 10**3, "us": 10**6, "ns": 10**9}


def expect_timestamptz(conversion: Conversion, cell: Cell, zone: str) -> Meaning:
    """Return the microseconds since 1970 of a cell; naive text is in `zone`."""
    moment = _moment(conversion, cell)
    if isinstance(moment, datetime):
        moment = _place(moment, _zone(zone)) if moment.tzinfo is None else moment
        ticks = _ticks_since_epoch(moment)
    else:
        ticks = moment
    return _cut(conversion, ticks)


def expect_timestamp(conversion: Conversion, cell: Cell, _zone_name: str) -> Meaning:
    """Return the microseconds since 1970-01-01 00:00 on the same clock; what has a zone is taken in UTC."""
    moment = _moment(conversion, cell)
    if isinstance(moment, datetime):
        is_naive = moment.tzinfo is None
        return _cut(conversion, (moment - _NAIVE_EPOCH) // _TICK if is_naive else _ticks_since_epoch(moment))
    return _cut(conversion, moment)


def expect_date(conversion: Conversion, cell: Cell, zone_name: str) -> Meaning:
    """The day of a midnight: as it is written, else in the zone of the source."""
    moment = _moment(conversion, cell)
    if isinstance(moment, int):
        days, rest = divmod(moment, 86_400 * 10**6)
        if not rest:
            return days
        moment = _EPOCH + moment * _TICK
    if moment.tzinfo is not None and (moment.hour or moment.minute or moment.second or moment.microsecond):
        moment = moment.astimezone(_zone(zone_name))
    return moment.toordinal() - _NAIVE_EPOCH.toordinal()


def expect_time(conversion: Conversion, cell: Cell, _zone_name: str) -> Meaning:
    """Return the microseconds since midnight."""
    if isinstance(cell, (int, float)):
        moment = _moment(conversion, cell)
        assert isinstance(moment, int)
        return _cut(conversion, moment % (86_400 * 10**6))
    clock = words(cell).strip()
    if not clock[1:3].count(":"):  # there is a date before it, which a driver put there; Go's has the year 0
        clock = _parse("2000" + clock[4:]).time().isoformat()
    hours, minutes, *seconds = clock.split(":")
    whole, _, fraction = (seconds or ["0"])[0].replace(",", ".").partition(".")
    ticks = ((int(hours) * 60 + int(minutes)) * 60 + int(whole)) * 10**6 + int(f"{fraction:0<6}"[:6])
    return _cut(conversion, ticks)


def _moment(conversion: Conversion, cell: Cell) -> datetime | int:
    """Return a number as microseconds since 1970, text as the datetime it spells."""
    if isinstance(cell, (int, float)):
        if conversion.unit == "julian":
            return round((cell - 2440587.5) * 86_400_000) * 1000
        scale = Decimal(10**6) / _UNITS_A_SECOND[conversion.unit or "s"]
        ticks = _WIDE.multiply(Decimal(cell), scale)
        return int(ticks.to_integral_value() if isinstance(cell, float) else ticks.__floor__())
    return _parse(words(cell).strip())


def _parse(text: str) -> datetime:
    """Read a date, or a date and a clock with what Go and others write behind it."""
    written = text.partition(" m=")[0].upper()
    day, _, rest = written.partition("T" if "T" in written[:11] else " ")  # another T is of UTC or CEST
    parts = day.split("-") if "-" in day else (day[:4], day[4:6], day[6:])
    year, month, number = (int(part) for part in parts)
    clock, *behind = rest.split() or ["00:00"]
    for name in ("UTC", "GMT", "Z"):
        if clock.endswith(name):
            clock, behind = clock.removesuffix(name), ["Z"]
    has_offset = "+" in clock or "-" in clock  # and a zone's name behind it, then, says no more
    zone = behind[0] if behind and not has_offset else ""
    zone = "Z" if zone in ("UTC", "GMT", "Z") else zone
    clock = "0" + clock if clock[1:2] == ":" else clock
    days = int(clock.startswith("24"))  # the end of a day is the next one's beginning
    clock = clock.replace("24", "00", 1) if days else clock
    moment = datetime.fromisoformat(f"{year:04d}-{month:02d}-{number:02d}T{clock}{zone}")
    return moment + timedelta(days=days)


def _ticks_since_epoch(moment: datetime) -> int:
    offset = moment.utcoffset() or timedelta(0)
    return (moment.replace(tzinfo=None) - _NAIVE_EPOCH - offset) // _TICK


@lru_cache(maxsize=8)
def _zone(name: str) -> tzinfo:
    return UTC if name.upper() == "UTC" else ZoneInfo(name)


def _place(moment: datetime, zone: tzinfo) -> datetime:
    """Give a wall clock its zone as PostgreSQL does (DetermineTimeZoneOffset in datetime.c).

    A time that comes twice is the later one; a time that is skipped counts with the offset before the gap.
    """
    first, second = moment.replace(tzinfo=zone, fold=0), moment.replace(tzinfo=zone, fold=1)
    earlier, later = first.utcoffset(), second.utcoffset()
    assert earlier is not None
    assert later is not None
    return second if earlier > later else first


def _cut(conversion: Conversion, ticks: int) -> int:
    digits = conversion.type.modifier[0] if conversion.type.modifier else 6
    unit: int = 10 ** (6 - digits)
    return ticks - ticks % unit


def read_ticks(_conversion: Conversion, text: str) -> Meaning:
    """Return what PostgreSQL shows as microseconds."""
    return int(Decimal(text))


def expect_interval(conversion: Conversion, cell: Cell, _zone_name: str) -> Meaning:
    """Return text for PostgreSQL to normalise; of a number, the whole microseconds."""
    if not isinstance(cell, (int, float)):
        return words(cell)
    seconds = _WIDE.divide(
        _WIDE.multiply(Decimal(cell), 86_400 if conversion.unit == "julian" else 1),
        Decimal(_UNITS_A_SECOND.get(conversion.unit or "", 1)),
    )
    ticks = _WIDE.multiply(seconds, 1_000_000)
    rounding = ROUND_HALF_EVEN if isinstance(cell, float) else ROUND_DOWN
    return f"{ticks.quantize(Decimal(1), rounding, _WIDE)} us"
