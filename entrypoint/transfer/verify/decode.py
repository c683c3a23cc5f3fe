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
from decimal import ROUND_HALF_EVEN, Context, Decimal
from uuid import UUID

from entrypoint.model import Conversion
from entrypoint.sqlite.source import Cell
from entrypoint.transfer.verify import documents, moments
from entrypoint.transfer.verify.documents import Meaning, words

# Exact for every number that numeric holds: 131,072 digits before the point and 16,383 behind it.
_WIDE = Context(prec=150_000)
# Longer bytes are compared by their SHA-256: neither side then shows them as text of twice their size.
_LONGEST_BYTES = 2**20
_DIGEST = "sha256:"


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


# --- types that only PostgreSQL knows ------------------------------------------------------------


def _expect_other(_conversion: Conversion, cell: Cell, _zone_name: str) -> Meaning:
    return repr(cell) if isinstance(cell, float) else words(cell)


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
    "timestamptz": Decoder(expect=moments.expect_timestamptz, read=moments.read_ticks, output=_EPOCH_OUTPUT),
    "timestamp": Decoder(expect=moments.expect_timestamp, read=moments.read_ticks, output=_EPOCH_OUTPUT),
    "date": Decoder(
        expect=moments.expect_date, read=lambda _c, text: int(text), output="({0} - date '1970-01-01')::text"
    ),
    "time": Decoder(expect=moments.expect_time, read=moments.read_ticks, output=_EPOCH_OUTPUT),
    "array": Decoder(expect=documents.expect_array, read=_read_plain),
    "interval": Decoder(expect=moments.expect_interval, read=_read_plain),
    "other": Decoder(expect=_expect_other, read=_read_plain),
}

# Kinds whose spelling PostgreSQL normalises: the source's text is compared after a round trip through the
# type's own input and output functions.
NORMALISED_KINDS = frozenset({"array", "interval", "other"})
