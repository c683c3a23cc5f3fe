"""Text, bytes, identifiers and documents: text and its kin, bytea, uuid, json, enums."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import NoReturn

import apsw

from entrypoint.model import Conversion
from entrypoint.sqlite.source import Cell
from entrypoint.transfer.conversions.base import (
    CellRefusedError,
    Converter,
    Fast,
    as_text,
    decode_text,
    is_plain_ascii,
    read_numeric,
)

_HEX_DIGIT = "[0-9a-fA-F]"
_UUID_GLOB = "-".join(_HEX_DIGIT * digits for digits in (8, 4, 4, 4, 12))
# PostgreSQL manual, section 8.12: braces around all, a hyphen after any group of four digits.
_UUID = re.compile(r"(\{)?(?:[0-9a-f]{4}-?){7}[0-9a-f]{4}(?(1)\})", re.IGNORECASE | re.ASCII)
_UUID_SIZE = 16

_FAST_JSONB_BYTES = 8192

# An escaped surrogate without its other half, the one kind of \u escape that jsonb cannot resolve.
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)


@cache
def _open_printer() -> apsw.Connection:
    return apsw.Connection(":memory:")


def _print_as_sqlite(cell: float) -> str:
    """Return a real as SQLite prints it: `1.0e+20` where Python says `1e+20`."""
    row = _open_printer().execute("SELECT CAST(? AS TEXT)", (cell,)).fetchone()
    assert row is not None
    return str(row[0])


def _convert_text(conversion: Conversion, cell: Cell) -> str:
    text = _print_as_sqlite(cell) if isinstance(cell, float) else as_text(cell)
    # Trailing blanks mean nothing in char(n), and PostgreSQL takes any number of them (manual, section 8.3).
    length = len(text.rstrip(" ") if conversion.type.base == "bpchar" else text)
    if conversion.type.modifier and length > conversion.type.modifier[0]:
        raise CellRefusedError(f"{length} characters, longer than {conversion.type.name}")
    return text


def _fast_text(conversion: Conversion, cell: str) -> Fast:
    printed = f"CAST({cell} AS TEXT)"
    when = f"(typeof({cell}) IN ('integer', 'real') OR (typeof({cell}) = 'text' AND {is_plain_ascii(cell)}))"
    if conversion.type.modifier:
        when += f" AND length({printed}) <= {conversion.type.modifier[0]}"
    return Fast(when=when, render=printed, needs_quotes=True)


def _convert_bytea(_conversion: Conversion, cell: Cell) -> str:
    if isinstance(cell, (int, float)):
        raise CellRefusedError("a number is neither a blob nor text")
    raw = cell if isinstance(cell, bytes) else str(cell).encode()
    return "\\x" + raw.hex()


def _fast_bytea(_conversion: Conversion, cell: str) -> Fast:
    return Fast(when=f"typeof({cell}) = 'blob'", render=f"'\\x' || hex({cell})")


def _convert_uuid(_conversion: Conversion, cell: Cell) -> str:
    if isinstance(cell, bytes):
        if len(cell) == _UUID_SIZE:
            return cell.hex()
        cell = decode_text(cell)
    if not isinstance(cell, str) or not _UUID.fullmatch(cell):
        raise CellRefusedError("not a UUID")
    return cell


def _fast_uuid(_conversion: Conversion, cell: str) -> Fast:
    return Fast(
        when=f"(typeof({cell}) = 'text' AND octet_length({cell}) = 36 AND {cell} GLOB '{_UUID_GLOB}')"
        f" OR (typeof({cell}) = 'blob' AND length({cell}) = {_UUID_SIZE})",
        render=f"CASE typeof({cell}) WHEN 'blob' THEN hex({cell}) ELSE {cell} END",
    )


def refuse_constant(name: str) -> NoReturn:
    raise CellRefusedError(f"{name} is not JSON")


def _convert_json(conversion: Conversion, cell: Cell) -> str:
    text = repr(cell) if isinstance(cell, float) else as_text(cell)
    # jsonb keeps its numbers as numeric, json its text.
    read_number = read_numeric if conversion.type.base == "jsonb" else str
    try:
        json.loads(text, parse_constant=refuse_constant, parse_int=read_number, parse_float=read_number)
    except json.JSONDecodeError as error:
        raise CellRefusedError(f"not valid JSON ({error.msg} at character {error.pos})") from error
    except RecursionError as error:
        raise CellRefusedError("JSON nested too deeply") from error
    if conversion.type.base == "jsonb":
        _require_resolvable_escapes(text)
    return text


def _require_resolvable_escapes(text: str) -> None:
    """Refuse the escapes that jsonb refuses (PostgreSQL manual, section 8.14): \\u0000 and half a pair."""
    has_open_surrogate = False
    end = 0
    for match in _ESCAPE.finditer(text):
        code = int(match[1], 16) if match[1] else -1
        if code == 0:
            raise CellRefusedError("holds \\u0000, which jsonb cannot")
        is_low = 0xDC00 <= code <= 0xDFFF
        is_pair = has_open_surrogate and is_low and match.start() == end
        if (has_open_surrogate or is_low) and not is_pair:
            break
        has_open_surrogate = 0xD800 <= code <= 0xDBFF
        end = match.end()
    else:
        if not has_open_surrogate:
            return
    raise CellRefusedError("holds half a surrogate pair, which jsonb cannot")


def _fast_json(conversion: Conversion, cell: str) -> Fast:
    # Python's control-character rule and SQLite's agree on strict JSON (json_valid's default flag, 1).
    when = f"typeof({cell}) = 'text' AND {is_plain_ascii(cell)} AND instr({cell}, '\\u') = 0"
    if conversion.type.base == "jsonb":
        # So short, and with an exponent of three digits at most, no number is beyond numeric's range.
        when += f" AND octet_length({cell}) <= {_FAST_JSONB_BYTES}"
        for sign in ("", "[+-]"):
            when += f" AND {cell} NOT GLOB '*[0-9][eE]{sign}[0-9][0-9][0-9][0-9]*'"
    return Fast(
        when=f"{when} AND json_valid({cell})",
        render=cell,
        needs_quotes=True,
    )


def _convert_enum(conversion: Conversion, cell: Cell) -> str:
    text = as_text(cell)
    if text in conversion.type.labels:
        return text
    raise CellRefusedError(f"no label of {conversion.type.name} ({', '.join(conversion.type.labels)})")


def _fast_enum(conversion: Conversion, cell: str) -> Fast:
    labels = ", ".join("'" + label.replace("'", "''") + "'" for label in conversion.type.labels)
    return Fast(when=f"typeof({cell}) = 'text' AND {cell} IN ({labels})", render=cell, needs_quotes=True)


TEXT = Converter(accepts="text, or UTF-8 in a blob", convert=_convert_text, fast=_fast_text)
BYTEA = Converter(accepts="a blob or text", convert=_convert_bytea, fast=_fast_bytea)
UUID = Converter(accepts="a UUID as text or 16 bytes", convert=_convert_uuid, fast=_fast_uuid)
JSON = Converter(accepts="valid JSON", convert=_convert_json, fast=_fast_json)
ENUM = Converter(accepts="a label of the type", convert=_convert_enum, fast=_fast_enum)
