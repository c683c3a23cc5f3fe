"""What a cell of the source means, and what PostgreSQL shows it as: the independent path of verification.

Owns the second opinion. It shares no code with `conversions`, which rendered the load: cells come as Python
objects from the ordinary row interface, PostgreSQL's come as the text of its output functions, and both
become values that compare equal exactly if they mean the same. An error raised here is a difference.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Context, Decimal
from functools import lru_cache
from uuid import UUID
from zoneinfo import ZoneInfo

from entrypoint.model import Conversion
from entrypoint.sqlite.source import Cell
from entrypoint.transfer.verify import documents
from entrypoint.transfer.verify.documents import Meaning, words

# Exact for every number that numeric holds: 131,072 digits before the point and 16,383 behind it.
_WIDE = Context(prec=150_000)
# Longer bytes are compared by their SHA-256: neither side then shows them as text of twice their size.
_LONGEST_BYTES = 2**20
_DIGEST = "sha256:"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = datetime(1970, 1, 1)
_TICK = timedelta(microseconds=1)
_UNITS_A_SECOND = {"s": 10**0, "ms": 10**3, "us": 10**6, "ns": 10**9}


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoder:
    """How one kind is read on both sides.

    Attributes:
        expect: the meaning of a source cell that is not NULL.
        read: the meaning of the text that `output` gives.
        output: SQL template over the column, giving text; `{0}` stands for the column.
    """

    expect: Callable[[Conversion, Cell, str], Meaning]
    read: Callable[[Conversion, str], Meaning]
    output: str = "{0}::text"


def expect(conversion: Conversion, cell: Cell, *, timezone: str) -> Meaning:
    """Return what a source cell means under its conversion; None for NULL.

    Args:
        conversion: of the cell's column.
        cell: as the row interface gives it.
        timezone: the zone of naive timestamps going into timestamptz.
    """
    if cell is None or (conversion.is_empty_null and cell == ""):
        return None
    return DECODERS[conversion.kind].expect(conversion, cell, timezone)


def read(conversion: Conversion, text: str | None) -> Meaning:
    """Return what PostgreSQL's text of a value means; None for NULL."""
    return None if text is None else DECODERS[conversion.kind].read(conversion, text)


# --- numbers -------------------------------------------------------------------------------------


def _expect_boolean(_conversion: Conversion, cell: Cell, _zone: str) -> Meaning:
    if isinstance(cell, (int, float)):
        return {0: False, 1: True}[int(cell)]
    return words(cell).strip().lower() in ("1", "t", "y", "true", "yes", "on")


def _expect_integer(_conversion: Conversion, cell: Cell, _zone: str) -> Meaning:
    if isinstance(cell, (int, float)):
        return int(cell)
    return int(Decimal(words(cell).strip()))


def _expect_numeric(conversion: Conversion, cell: Cell, _zone: str) -> Meaning:
    value = _number(words(cell))
    if isinstance(value, Decimal) and value.is_finite() and conversion.type.modifier:
        _, scale = conversion.type.modifier
        return value.quantize(Decimal((0, (1,), -scale)), rounding=ROUND_HALF_EVEN, context=_WIDE)
    return value


def _number(text: str) -> Meaning:
    value = Decimal(text.strip())
    return "NaN" if value.is_nan() else value  # a NaN equals nothing, itself included


def _expect_double(_conversion: Conversion, cell: Cell, _zone: str) -> Meaning:
    return struct.pack(">d", float(cell if isinstance(cell, (int, float)) else words(cell)))


def _expect_real(_conversion: Conversion, cell: Cell, _zone: str) -> Meaning:
    return struct.pack(">f", float(cell if isinstance(cell, (int, float)) else words(cell)))


# --- text and its kin ----------------------------------------------------------------------------


def _expect_text(conversion: Conversion, cell: Cell, _zone: str) -> Meaning:
    return _trim(conversion, words(cell))


def _trim(conversion: Conversion, text: str) -> str:
    # char(n) is padded with blanks, which mean nothing in it (manual, section 8.3).
    return text.rstrip(" ") if conversion.type.base == "bpchar" else text


def _expect_bytea(_conversion: Conversion, cell: Cell, _zone: str) -> Meaning:
    raw = cell if isinstance(cell, bytes) else words(cell).encode()
    return raw if len(raw) <= _LONGEST_BYTES else _DIGEST + hashlib.sha256(raw).hexdigest()


def _read_bytea(_conversion: Conversion, text: str) -> Meaning:
    return text if text.startswith(_DIGEST) else bytes.fromhex(text)


def _expect_uuid(_conversion: Conversion, cell: Cell, _zone: str) -> Meaning:
    if isinstance(cell, bytes) and len(cell) == 16:
        return UUID(bytes=cell)
    return UUID(words(cell))


# --- times ---------------------------------------------------------------------------------------


def _expect_timestamptz(conversion: Conversion, cell: Cell, zone: str) -> Meaning:
    moment = _moment(conversion, cell)
    if isinstance(moment, datetime):
        moment = _place(moment, _zone(zone)) if moment.tzinfo is None else moment
        ticks = _ticks_since_epoch(moment)
    else:
        ticks = moment
    return _cut(conversion, ticks)


def _expect_timestamp(conversion: Conversion, cell: Cell, _zone_name: str) -> Meaning:
    moment = _moment(conversion, cell)
    if isinstance(moment, datetime):
        is_naive = moment.tzinfo is None
        return _cut(conversion, (moment - _NAIVE_EPOCH) // _TICK if is_naive else _ticks_since_epoch(moment))
    return _cut(conversion, moment)


def _expect_date(conversion: Conversion, cell: Cell, zone_name: str) -> Meaning:
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


def _expect_time(conversion: Conversion, cell: Cell, _zone_name: str) -> Meaning:
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


def _read_ticks(_conversion: Conversion, text: str) -> Meaning:
    return int(Decimal(text))


# --- types that only PostgreSQL knows ------------------------------------------------------------


def _expect_other(_conversion: Conversion, cell: Cell, _zone_name: str) -> Meaning:
    return repr(cell) if isinstance(cell, float) else words(cell)


def _expect_interval(conversion: Conversion, cell: Cell, _zone_name: str) -> Meaning:
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


def _read_plain(_conversion: Conversion, text: str) -> Meaning:
    return text


def _read_text(conversion: Conversion, text: str) -> Meaning:
    return _trim(conversion, text)


_EPOCH_OUTPUT = "trunc(extract(epoch FROM {0}) * 1000000)::text"

DECODERS: dict[str, Decoder] = {
    "boolean": Decoder(expect=_expect_boolean, read=lambda _c, text: text == "true"),
    "integer": Decoder(expect=_expect_integer, read=lambda _c, text: int(text)),
    "numeric": Decoder(expect=_expect_numeric, read=lambda _c, text: _number(text)),
    "double": Decoder(expect=_expect_double, read=lambda _c, text: struct.pack(">d", float(text))),
    "real": Decoder(expect=_expect_real, read=lambda _c, text: struct.pack(">f", float(text))),
    "text": Decoder(expect=_expect_text, read=_read_text),
    "bytea": Decoder(
        expect=_expect_bytea,
        read=_read_bytea,
        output=f"CASE WHEN octet_length({{0}}) <= {_LONGEST_BYTES} THEN encode({{0}}, 'hex')"
        f" ELSE '{_DIGEST}' || encode(sha256({{0}}), 'hex') END",
    ),
    "uuid": Decoder(expect=_expect_uuid, read=lambda _c, text: UUID(text)),
    "json": Decoder(expect=documents.expect_json, read=documents.read_json),
    "enum": Decoder(expect=_expect_other, read=_read_plain),
    "timestamptz": Decoder(expect=_expect_timestamptz, read=_read_ticks, output=_EPOCH_OUTPUT),
    "timestamp": Decoder(expect=_expect_timestamp, read=_read_ticks, output=_EPOCH_OUTPUT),
    "date": Decoder(
        expect=_expect_date, read=lambda _c, text: int(text), output="({0} - date '1970-01-01')::text"
    ),
    "time": Decoder(expect=_expect_time, read=_read_ticks, output=_EPOCH_OUTPUT),
    "array": Decoder(expect=documents.expect_array, read=_read_plain),
    "interval": Decoder(expect=_expect_interval, read=_read_plain),
    "other": Decoder(expect=_expect_other, read=_read_plain),
}

# Kinds whose spelling PostgreSQL normalises: the source's text is compared after a round trip through the
# type's own input and output functions.
NORMALISED_KINDS = frozenset({"array", "interval", "other"})
