"""Booleans, integers, numerics and floating point."""

from __future__ import annotations

import re
import struct
from decimal import ROUND_HALF_EVEN, Decimal, localcontext

from entrypoint.model import Conversion
from entrypoint.sqlite.source import Cell
from entrypoint.transfer.conversions.base import CellRefusedError, Converter, Fast, read_numeric

_TRUE = frozenset({"t", "true", "yes", "on", "1", "y"})
_FALSE = frozenset({"f", "false", "no", "off", "0", "n"})

INTEGER_RANGES = {
    "int2": (-(2**15), 2**15 - 1),
    "int4": (-(2**31), 2**31 - 1),
    "int8": (-(2**63), 2**63 - 1),
    # Their input functions take -1 and 010 for other numbers.
    "oid": (0, 2**32 - 1),
    "xid": (0, 2**32 - 1),
    "cid": (0, 2**32 - 1),
    "xid8": (0, 2**64 - 1),
}
_INTEGER = re.compile(r"\s*([+-]?)0*([0-9]{1,20})(?:\.0*)?\s*", re.ASCII)
_INTEGER_DIGITS = 20
_NUMBER = re.compile(r"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,6})?\s*", re.ASCII)
_SPECIAL_NUMBERS = frozenset({"nan", "inf", "-inf", "+inf", "infinity", "-infinity", "+infinity"})

# Integers up to here are doubles too (IEEE 754, 53 bits of significand).
_EXACT_DOUBLE = 2**53
# A real that lies this close to a decimal of the target's scale is that decimal, carried through binary
# arithmetic: a few units in the last place of a double, or a billionth of the last decimal place that is
# kept, which long sums reach (a thousand times 0.1) and differences leave (0.1 + 0.2 - 0.3).
_FLOAT_NOISE = Decimal(4 * 2.0**-52)
_PLACE_NOISE = Decimal("1e-9")


def _text_of(cell: Cell) -> str:
    if isinstance(cell, bytes):
        raise CellRefusedError("a blob is no number")
    return str(cell)


def _convert_boolean(_conversion: Conversion, cell: Cell) -> str:
    if isinstance(cell, (int, float)):
        if cell in (0, 1):
            return "1" if cell else "0"
        raise CellRefusedError("neither 0 nor 1")
    word = _text_of(cell).strip().lower()
    if word in _TRUE:
        return "1"
    if word in _FALSE:
        return "0"
    raise CellRefusedError("not a boolean")


def _fast_boolean(_conversion: Conversion, cell: str) -> Fast:
    return Fast(when=f"typeof({cell}) = 'integer' AND {cell} IN (0, 1)", render=cell)


def _convert_integer(conversion: Conversion, cell: Cell) -> str:
    if isinstance(cell, float):
        if not cell.is_integer():  # infinities too
            raise CellRefusedError("has a fraction")
        value = int(cell)
    elif isinstance(cell, int):
        value = cell
    else:
        value = _read_integer(_text_of(cell))
    lowest, highest = INTEGER_RANGES[conversion.type.base]
    if not lowest <= value <= highest:
        raise CellRefusedError(f"out of range for {conversion.type.name} ({lowest} to {highest})")
    return str(value)


def _read_integer(text: str) -> int:
    if match := _INTEGER.fullmatch(text):
        return int(match[1] + match[2])
    if _NUMBER.fullmatch(text):  # with an exponent, as programs print a real
        number = Decimal(text.strip())
        if number == 0 or (number.adjusted() < _INTEGER_DIGITS and number == number.to_integral_value()):
            return int(number)
    raise CellRefusedError("does not spell an integer that fits")


def _fast_integer(conversion: Conversion, cell: str) -> Fast:
    lowest, highest = INTEGER_RANGES[conversion.type.base]
    when = f"typeof({cell}) = 'integer'"
    if conversion.type.base != "int8":
        when += f" AND {cell} BETWEEN {lowest} AND {highest}"
    return Fast(when=when, render=cell)


def _convert_numeric(conversion: Conversion, cell: Cell) -> str:
    if isinstance(cell, float):
        text = repr(cell)
    else:
        text = _text_of(cell).strip()
        if text.lower() in _SPECIAL_NUMBERS:
            return _accept_special(conversion, text)
        if not _NUMBER.fullmatch(text):
            raise CellRefusedError("does not spell a number")
    if text in ("inf", "-inf"):
        return _accept_special(conversion, text)
    value = read_numeric(text)
    if not conversion.type.modifier:
        return text
    return _fit_numeric(conversion, value, is_real=isinstance(cell, float))


def _accept_special(conversion: Conversion, text: str) -> str:
    if conversion.type.modifier and "nan" not in text.lower():
        raise CellRefusedError(f"infinity does not fit {conversion.type.name}")
    return text


def _fit_numeric(conversion: Conversion, value: Decimal, *, is_real: bool) -> str:
    precision, scale = conversion.type.modifier
    if value and value.adjusted() >= precision - scale:
        raise CellRefusedError(f"too large for {conversion.type.name}")
    with localcontext(prec=max(precision, len(value.as_tuple().digits)) + abs(scale) + 1):
        rounded = value.quantize(Decimal(1).scaleb(-scale), rounding=ROUND_HALF_EVEN)
        if rounded != value:
            noise = max(abs(value) * _FLOAT_NOISE, _PLACE_NOISE.scaleb(-scale))
            is_noise = is_real and abs(rounded - value) <= noise
            if not is_noise:
                raise CellRefusedError(
                    f"has more than {scale} decimal place(s), which {conversion.type.name} would round away"
                )
        if abs(rounded) >= Decimal(1).scaleb(precision - scale):
            raise CellRefusedError(f"too large for {conversion.type.name}")
        return f"{rounded:f}"


def _fast_numeric(conversion: Conversion, cell: str) -> Fast | None:
    when = f"typeof({cell}) = 'integer'"
    if conversion.type.modifier:
        precision, scale = conversion.type.modifier
        if scale < 0 or precision <= scale:
            return None
        if precision - scale < len(str(2**63)):
            limit = 10 ** (precision - scale) - 1
            when += f" AND {cell} BETWEEN {-limit} AND {limit}"
    return Fast(when=when, render=cell)


def _convert_double(_conversion: Conversion, cell: Cell) -> str:
    if isinstance(cell, float):
        return repr(cell)
    if isinstance(cell, int):
        if int(float(cell)) != cell:
            raise CellRefusedError("an integer that no double precision number equals")
        return str(cell)
    text = _text_of(cell).strip()
    if text.lower() in _SPECIAL_NUMBERS:
        return text
    if not _NUMBER.fullmatch(text):
        raise CellRefusedError("does not spell a number")
    if float(text) in (float("inf"), float("-inf")) or (float(text) == 0 and Decimal(text) != 0):
        raise CellRefusedError("out of range for double precision")
    return text


def _fast_double(_conversion: Conversion, cell: str) -> Fast:
    # 17 significant digits tell every double apart; `!` lifts printf's own limit of 15. The sign of a
    # zero it drops.
    return Fast(
        when=f"(typeof({cell}) = 'real' AND {cell} <> 0) OR"
        f" (typeof({cell}) = 'integer' AND {cell} BETWEEN {-_EXACT_DOUBLE} AND {_EXACT_DOUBLE})",
        render=f"printf('%!.17g', {cell})",
    )


def _convert_real(conversion: Conversion, cell: Cell) -> str:
    """Take what single precision holds: a number it equals, or whose decimal it prints the same.

    Up to nine digits, the most that a single precision number needs to be told apart.
    """
    text = _convert_double(conversion, cell)
    value = float(text)
    try:
        (single,) = struct.unpack("<f", struct.pack("<f", value))
    except OverflowError as error:
        raise CellRefusedError("out of range for real") from error
    if single == value or value != value:
        return text
    printed = Decimal(repr(value))
    if single == 0 or all(Decimal(f"{single:.{digits}g}") != printed for digits in range(1, 10)):
        raise CellRefusedError("has more digits than real holds")
    return repr(value)


BOOLEAN = Converter(
    accepts="0, 1, t, f, true, false, yes, no, on, off", convert=_convert_boolean, fast=_fast_boolean
)
INTEGER = Converter(accepts="a whole number in range", convert=_convert_integer, fast=_fast_integer)
NUMERIC = Converter(accepts="a number that fits", convert=_convert_numeric, fast=_fast_numeric)
DOUBLE = Converter(accepts="a number", convert=_convert_double, fast=_fast_double)
REAL = Converter(accepts="a number of single precision", convert=_convert_real)
