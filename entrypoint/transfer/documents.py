"""What documents and arrays mean: the part of the independent path that reads JSON.

Owns no more than that, and like `decode` shares no code with `conversions`. An error raised here is a
difference.
"""

from __future__ import annotations

import json
from decimal import Decimal

from entrypoint.model import Conversion
from entrypoint.sqlite.source import Cell

Meaning = object


def words(cell: Cell) -> str:
    """Return a cell as text; a blob is UTF-8 text here."""
    return cell.decode() if isinstance(cell, bytes) else str(cell)


def expect_json(conversion: Conversion, cell: Cell, _zone: str) -> Meaning:
    return read_json(conversion, repr(cell) if isinstance(cell, float) else words(cell))


def read_json(conversion: Conversion, text: str) -> Meaning:
    """json keeps its text; jsonb keeps what the text means, with the last of doubled keys."""
    if conversion.type.base == "json":
        return text
    return _canonical(json.loads(text, parse_int=Decimal, parse_float=Decimal))


def _canonical(value: object) -> object:
    if isinstance(value, dict):
        return frozenset((key, _canonical(item)) for key, item in value.items())
    if isinstance(value, list):
        return ("list", *(_canonical(item) for item in value))
    # True equals 1 in Python and not in JSON.
    return ("bool", value) if isinstance(value, bool) else value


class _Unspoken:
    """Equal to everything: documents inside arrays, whose spelling two readers need not share."""

    def __eq__(self, other: object) -> bool:
        return other is not None

    def __hash__(self) -> int:
        return 0


UNSPOKEN = _Unspoken()


def expect_array(conversion: Conversion, cell: Cell, _zone_name: str) -> Meaning:
    text = words(cell)
    if conversion.type.element in ("json", "jsonb"):
        return UNSPOKEN
    try:
        items = json.loads(text, parse_int=Decimal, parse_float=Decimal)
    except json.JSONDecodeError:
        return text
    if not isinstance(items, list):
        return text
    return UNSPOKEN if _holds_object(items) else _braces(items)


def _holds_object(item: object) -> bool:
    return isinstance(item, dict) or (isinstance(item, list) and any(map(_holds_object, item)))


def _braces(item: object) -> str:
    match item:
        case None:
            return "NULL"
        case list():
            return "{" + ",".join(map(_braces, item)) + "}"
        case str() | Decimal():
            escaped = "".join("\\" + letter if letter in '"\\' else letter for letter in str(item))
            return f'"{escaped}"'
        case bool():
            return str(item).lower()
    raise TypeError(f"no array item: {item!r}")
