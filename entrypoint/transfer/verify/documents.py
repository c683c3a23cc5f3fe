"""What documents and arrays mean: the part of the independent path that reads JSON.

Owns no more than that, and like `decode` shares no code with `conversions`. An error raised here is a
difference.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from decimal import Context, Decimal

from entrypoint.model import Conversion
from entrypoint.sqlite.source import Cell

Meaning = object

# Exact for every number that PostgreSQL's numeric holds: 131,072 digits before the point, 16,383 behind it.
_EXACT = Context(prec=150_000)
# SQLite and PostgreSQL read documents that are nested deeper than Python's default of 1000 calls allows.
_DEEPEST_NESTING = 20_000


def words(cell: Cell) -> str:
    """Return a cell as text; a blob is UTF-8 text here."""
    return cell.decode() if isinstance(cell, bytes) else str(cell)


def spell_number(number: Decimal) -> str:
    """Return one text for all spellings of a number: 1.50 and 1.5, 100 and 1e2, 0 and -0."""
    if not number.is_finite():
        return str(number)
    return str(_EXACT.normalize(number)) if number else "0"


class _BeyondIntegersError(Exception):
    """A number too long for the quick way: Python reads and prints integers of 4300 digits at most."""


def _read_number(text: str) -> int | str:
    """Return a number that has a point or an exponent: no string in jsonb can begin with U+0000."""
    number = Decimal(text)
    if number.adjusted() >= _LONGEST_INTEGER:
        raise _BeyondIntegersError
    return int(number) if number == number.to_integral_value(context=_EXACT) else _mark_number(number)


def _mark_number(number: Decimal) -> str:
    return "\x00" + spell_number(number)


def show_document(spelled: str) -> str:
    """Return for a reader what `read_json` gave."""
    return _MARKED.sub(r"\1", spelled)


_LONGEST_INTEGER = 4300  # digits
_MARKED = re.compile(r'"\\u0000([^"]*)"')
_DECODER = json.JSONDecoder(parse_float=_read_number)
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def expect_json(conversion: Conversion, cell: Cell, _zone: str) -> Meaning:
    return read_json(conversion, repr(cell) if isinstance(cell, float) else words(cell))


def read_json(conversion: Conversion, text: str) -> Meaning:
    """json keeps its text; jsonb keeps what the text means, with the last of doubled keys."""
    if conversion.type.base == "json":
        return text
    try:
        return _ENCODER.encode(_DECODER.decode(text))
    except json.JSONDecodeError:
        raise
    except (_BeyondIntegersError, ValueError, RecursionError):
        return "".join(_spell_document(_load(text)))


def _load(text: str) -> object:
    try:
        return json.loads(text, parse_int=Decimal, parse_float=Decimal)
    except RecursionError:
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(_DEEPEST_NESTING)
        try:
            return json.loads(text, parse_int=Decimal, parse_float=Decimal)
        finally:
            sys.setrecursionlimit(limit)


def _spell_document(document: object) -> Iterator[str]:
    """Yield the pieces of what the quick way gives for a document, whatever its nesting and its numbers."""
    pending: list[object] = [document]
    while pending:
        match pending.pop():
            case _Mark() as mark:
                yield mark
            case dict() as members:
                parts: list[object] = [_Mark("{")]
                for key in sorted(members):
                    parts += [_Mark("," * (len(parts) > 1) + json.dumps(key) + ":"), members[key]]
                pending += [_Mark("}"), *reversed(parts)]
            case list() as items:
                parts = [_Mark("[")]
                for item in items:
                    parts += [_Mark("," * (len(parts) > 1)), item]
                pending += [_Mark("]"), *reversed(parts)]
            case Decimal() as number if number == number.to_integral_value(context=_EXACT):
                yield f"{number:f}".partition(".")[0] if number else "0"
            case Decimal() as number:
                yield json.dumps(_mark_number(number))
            case rest:
                yield json.dumps(rest)


class _Mark(str):
    """Punctuation, which stands for itself."""

    __slots__ = ()


# --- arrays --------------------------------------------------------------------------------------


def expect_array(conversion: Conversion, cell: Cell, _zone_name: str) -> Meaning:
    """Return a JSON array as PostgreSQL's literal, which its own functions then bring into their spelling.

    Anything else is PostgreSQL's literal already.
    """
    text = words(cell).strip()
    try:
        is_array = isinstance(_load(text), list)
    except json.JSONDecodeError:
        is_array = False
    return _braces(text, holds_documents=conversion.type.element in ("json", "jsonb")) if is_array else text


def _braces(array: str, *, holds_documents: bool) -> str:
    items = []
    for item in _split(array):
        if item == "null":
            items.append("NULL")
        elif item.startswith("[") and not holds_documents:
            items.append(_braces(item, holds_documents=False))
        else:
            spelled = json.loads(item) if item.startswith('"') and not holds_documents else item
            items.append('"' + spelled.replace("\\", "\\\\").replace('"', '\\"') + '"')
    return "{" + ",".join(items) + "}"


def _split(array: str) -> Iterator[str]:
    """Yield the items of a JSON array as they are spelled: what lies between its own commas."""
    depth = start = 0
    is_string = is_escaped = False
    for position, character in enumerate(array):
        if is_string:
            is_string = is_escaped or character != '"'
            is_escaped = character == "\\" and not is_escaped
        elif character == '"':
            is_string = True
        elif character in "[{":
            depth += 1
            start = position + 1 if depth == 1 else start
        elif character in "]}" or (character == "," and depth == 1):
            is_last = character != "," and depth == 1
            if (is_last or character == ",") and (item := array[start:position].strip()):
                yield item
            start = position + 1 if character == "," else start
            depth -= character != ","
