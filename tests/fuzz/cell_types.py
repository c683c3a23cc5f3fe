"""What a cell means in each type of PostgreSQL that `kinds` draws, straight from the contract.

Must not import the product.
"""

from __future__ import annotations

import ipaddress
import json
import re
import struct
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from tests.fuzz.model import RawText, Row


class RefusedError(Exception):
    """The contract does not take this cell."""


_INTEGER_BITS = {"smallint": 16, "integer": 32, "bigint": 64, "positive": 32}
_TRUE = ("t", "true", "yes", "on", "1")
_FALSE = ("f", "false", "no", "off", "0")
# Types that only PostgreSQL reads: what the cells that are drawn mean, as it prints them.
_SPELLED = {
    "int4range": {"[1,3)": "[1,3)", "[1,2]": "[1,3)", "empty": "empty", "[4,)": "[4,)"},
    "interval": {"1 day": "1 day", "01:02:03": "01:02:03", "-2 mons": "-2 mons", "P1Y": "1 year"},
    "bit(3)": {"101": "101", "000": "000"},
    "macaddr": {"08:00:2b:01:02:03": "08:00:2b:01:02:03", "08002b010203": "08:00:2b:01:02:03"},
    "point": {"(1,2)": "(1,2)", "3,4": "(3,4)"},
    "tsvector": {"a b": "'a' 'b'", "'a':1": "'a':1"},
}


def _require(condition: bool) -> None:
    if not condition:
        raise RefusedError


def _text(cell: Any) -> str:
    _require(not isinstance(cell, RawText))
    text = cell.decode() if isinstance(cell, bytes) else str(cell)
    _require("\x00" not in text)
    return text


def _words(cell: Any) -> str:
    _require(isinstance(cell, str))
    return _text(cell)


def _boolean(cell: Any, _timezone: str) -> bool:
    if isinstance(cell, (int, float)):
        _require(cell in (0, 1))
        return bool(cell)
    word = _words(cell).lower()
    _require(word in _TRUE or word in _FALSE)
    return word in _TRUE


def _integer(bits: int) -> Callable[[Any, str], int]:
    def read(cell: Any, _timezone: str) -> int:
        if isinstance(cell, float):
            _require(cell.is_integer())
        elif not isinstance(cell, int):
            found = re.fullmatch(r"([+-]?\d+)(\.0*)?", _words(cell))
            _require(found is not None)
            assert found is not None
            cell = found[1]
        value = int(cell)
        _require(-(2 ** (bits - 1)) <= value < 2 ** (bits - 1))
        return value

    return read


def _positive(cell: Any, timezone: str) -> int:
    value = _integer(32)(cell, timezone)
    _require(value > 0)
    return value


def _numeric(cell: Any, _timezone: str) -> Decimal:
    return Decimal(repr(cell) if isinstance(cell, (int, float)) else _words(cell))


def _scaled(precision: int, scale: int) -> Callable[[Any, str], Decimal]:
    def read(cell: Any, timezone: str) -> Decimal:
        value = _numeric(cell, timezone)
        _require(abs(value) < Decimal(10) ** (precision - scale))
        rounded = value.quantize(Decimal(1).scaleb(-scale))
        is_noise = isinstance(cell, float) and abs(rounded - value) < Decimal("1e-9")
        _require(rounded == value or is_noise)
        return rounded

    return read


def _double(cell: Any, _timezone: str) -> bytes:
    value = float(cell) if isinstance(cell, (int, float)) else float(_words(cell))
    _require(not isinstance(cell, int) or int(value) == cell)
    return struct.pack(">d", value)


def _real(cell: Any, _timezone: str) -> bytes:
    value = float(cell) if isinstance(cell, (int, float)) else float(_words(cell))
    packed = struct.pack(">f", value)
    digits = Decimal(repr(value)).normalize().as_tuple().digits
    _require(struct.unpack(">f", packed)[0] == value or len(digits) <= 6)  # FLT_DIG
    return packed


def _limited(length: int) -> Callable[[Any, str], str]:
    def read(cell: Any, _timezone: str) -> str:
        text = _text(cell)
        _require(len(text) <= length)
        return text

    return read


def _label(cell: Any, timezone: str) -> str:
    text = _limited(4)(cell, timezone)
    _require(text != "no")
    return text


def _mood(cell: Any, _timezone: str) -> str:
    text = _text(cell)
    _require(text in ("sad", "so so", 'it\'s "ok"', "é"))
    return text


def _bytea(cell: Any, _timezone: str) -> bytes:
    _require(isinstance(cell, (str, bytes)))
    return cell.encode() if isinstance(cell, str) else bytes(cell)


def _uuid(cell: Any, _timezone: str) -> UUID:
    return UUID(bytes=cell) if isinstance(cell, bytes) else UUID(_words(cell))


def _json(cell: Any, _timezone: str) -> str:
    text = _text(cell)
    json.loads(text)
    return text


def _jsonb(cell: Any, timezone: str) -> str:
    text = _json(cell, timezone)
    _require("\\u0000" not in text)
    return json.dumps(json.loads(text), sort_keys=True)


def _moment(cell: Any) -> tuple[datetime, bool]:
    """Return a wall clock and whether it is UTC's."""
    if isinstance(cell, datetime):
        return cell.replace(tzinfo=None), True
    text = _words(cell)
    _require(re.match(r"\d{4}-\d\d-\d\d", text) is not None)
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        return moment, False
    return moment.astimezone(UTC).replace(tzinfo=None), True


def _cut(digits: int, moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond - moment.microsecond % 10 ** (6 - digits))


def _timestamptz(digits: int) -> Callable[[Any, str], datetime]:
    def read(cell: Any, timezone: str) -> datetime:
        moment, is_utc = _moment(cell)
        if not is_utc:
            moment -= _find_offset(moment, ZoneInfo(timezone))
        return _cut(digits, moment)

    return read


def _find_offset(moment: datetime, zone: ZoneInfo) -> timedelta:
    """Return the zone's offset: the earlier in a gap, the later of a time that was twice (manual, B.1)."""
    before, after = (moment.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
    assert before is not None
    assert after is not None
    return before if before < after else after


def _timestamp(digits: int) -> Callable[[Any, str], datetime]:
    return lambda cell, _timezone: _cut(digits, _moment(cell)[0])


def _date(cell: Any, _timezone: str) -> date:
    moment, _ = _moment(cell)
    _require(moment.time() == time())
    return moment.date()


def _array(type_name: str, kind: type) -> Callable[[Any, str], Row]:
    def read(cell: Any, timezone: str) -> Row:
        text = _words(cell)
        if text.startswith("{"):
            _require(text.endswith("}"))
            items = [None if item == "NULL" else kind(item) for item in text[1:-1].split(",") if item]
        else:
            items = json.loads(text)
            _require(isinstance(items, list))
        _require(all(item is None or isinstance(item, kind) for item in items))
        return tuple(items)

    return read


def _spelled(type_name: str) -> Callable[[Any, str], str]:
    def read(cell: Any, _timezone: str) -> str:
        _require(cell in _SPELLED[type_name])
        return _SPELLED[type_name][cell]

    return read


MEANINGS: dict[str, Callable[[Any, str], Any]] = {
    "boolean": _boolean,
    **{name: _integer(bits) for name, bits in _INTEGER_BITS.items()},
    "positive": _positive,
    "numeric": _numeric,
    "numeric(8,2)": _scaled(8, 2),
    "numeric(4,-2)": _scaled(4, -2),
    "double precision": _double,
    "real": _real,
    **dict.fromkeys(("text", "loose text", "citext"), lambda cell, _timezone: _text(cell)),
    "varchar(5)": _limited(5),
    "char(4)": lambda cell, timezone: _limited(4)(cell, timezone).rstrip(" "),
    '"la""bel%"': _label,
    '"mood %s"': _mood,
    "bytea": _bytea,
    "uuid": _uuid,
    "json": _json,
    "jsonb": _jsonb,
    "timestamptz": _timestamptz(6),
    "timestamptz(3)": _timestamptz(3),
    "timestamp": _timestamp(6),
    "timestamp(0)": _timestamp(0),
    "date": _date,
    "time": lambda cell, _timezone: time.fromisoformat(_words(cell)),
    "integer[]": _array("integer[]", int),
    "text[]": _array("text[]", str),
    "inet": lambda cell, _timezone: ipaddress.ip_interface(_words(cell)),
    **{name: _spelled(name) for name in _SPELLED},
}
