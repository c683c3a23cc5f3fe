"""What every conversion is made of.

A conversion has two ways to judge and render a cell. `convert`, in Python, is complete: it takes any
cell and either gives the text that PostgreSQL's input function reads or says why not. `fast`, in SQL,
covers the cells that nearly every row holds, so that those never become Python objects. Where both
apply they give values PostgreSQL holds equal; a property test compares them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from entrypoint.model import Conversion
from entrypoint.sqlite.source import Cell

# What PostgreSQL's numeric holds (manual, table 8.2): digits before and after the decimal point.
_NUMERIC_WHOLE_DIGITS = 131_072
_NUMERIC_SCALE = 16_383

_NUMBERS = re.compile("0x[0-9a-f]+|[0-9]+")


class CellRefusedError(ValueError):
    """This cell has no faithful value of the target's type; the message says why.

    Attributes:
        entries: what the mapping file could say of the column to have it taken.
    """

    def __init__(self, reason: str, *, entries: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.entries = entries


@dataclass(frozen=True, slots=True, kw_only=True)
class Fast:
    """The SQL way, as SQLite expressions over one cell that is not NULL.

    Attributes:
        when: true for the cells it covers; NULL counts as false.
        render: their text.
        needs_quotes: whether the text may hold what CSV gives a meaning to.
    """

    when: str
    render: str
    needs_quotes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Converter:
    """One entry of the table of conversions.

    Attributes:
        accepts: what it takes, for the reader of a refusal.
        convert: the complete way; raises CellRefusedError.
        fast: given the conversion and the cell's SQL, the SQL way; or None.
        is_judged: PostgreSQL's own input function has the last word on the rendered text.
    """

    accepts: str
    convert: Callable[[Conversion, Cell], str]
    fast: Callable[[Conversion, str], Fast | None] = lambda _conversion, _cell: None
    is_judged: bool = False


def blank_numbers(reason: str) -> str:
    """Return the kind of a reason: what it says of any cell, without this one's numbers."""
    return _NUMBERS.sub("#", reason)


def decode_text(raw: bytes, encoding: str = "utf-8") -> str:
    """Return text that PostgreSQL can hold, or refuse it."""
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise CellRefusedError(
            f"not valid UTF-8 (byte 0x{raw[error.start]:02x} at position {error.start})"
        ) from error
    require_no_nul(text)
    return text


def as_text(cell: Cell) -> str:
    """Return text, or a blob that is UTF-8 text, as PostgreSQL can hold it."""
    if isinstance(cell, bytes):
        return decode_text(cell)
    text = str(cell)
    require_no_nul(text)
    return text


def require_no_nul(text: str) -> None:
    """Refuse the one character that PostgreSQL's text cannot hold."""
    if "\x00" in text:
        raise CellRefusedError("holds a NUL character (U+0000), which PostgreSQL's text cannot")


def require_no_surrogate(text: str) -> None:
    """Refuse half a surrogate pair, which JSON can escape and no Unicode text can hold."""
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise CellRefusedError("holds half a surrogate pair, which PostgreSQL's text cannot")


def read_numeric(text: str) -> Decimal:
    """Return the number a text spells, or refuse what numeric, whatever its modifier, cannot hold."""
    try:
        value = Decimal(text)
    except InvalidOperation as error:  # an exponent of many digits
        raise CellRefusedError("out of range for numeric") from error
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int), "not a number"
    if (value and value.adjusted() >= _NUMERIC_WHOLE_DIGITS) or -exponent > _NUMERIC_SCALE:
        raise CellRefusedError("out of range for numeric")
    return value


def is_plain_ascii(cell: str) -> str:
    """Return SQL that is true for text of the characters U+0001 to U+007F alone.

    SQLite's length() ends at a NUL and octet_length() does not.
    """
    beyond_ascii = "'*[^' || char(1) || '-' || char(127) || ']*'"
    return f"(octet_length({cell}) = length({cell}) AND {cell} NOT GLOB {beyond_ascii})"
