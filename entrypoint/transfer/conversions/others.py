"""Types that PostgreSQL's own input function judges: what it would lose of their text without a word.

Owns those losses, for a cell and for an item of an array. Whether the text is one of the type's at all
PostgreSQL is asked later.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from entrypoint.model import Conversion, TargetType
from entrypoint.sqlite.source import Cell
from entrypoint.transfer.conversions import numbers, texts
from entrypoint.transfer.conversions.base import CellRefusedError, Converter, as_text

_NAME_BYTES = 63  # NAMEDATALEN less the end of the string (manual, section 8.3)
_CLOCK = re.compile(r"(?<![\d:])(?!00:00(?::00(?:[.]0+)?)?(?![\d:.]))\d\d?:\d\d")  # other than midnight
# After a clock: an offset, Z, or the name of a zone.
_OFFSET = re.compile(r"\d:\d\d(?::\d\d)?(?:[.,]\d*)?\s*(?![ap]m\b)(?:[+-]\d|[a-z])", re.IGNORECASE)
_DATE = re.compile(r"\d{4}-\d\d?-\d|(?<![\d.])\d{8}")
_FINER_THAN_MICROSECONDS = re.compile(r"[.,]\d{6}\d*[1-9]")
_ESCAPE = re.compile(r"^(?!\\x).*\\", re.DOTALL)  # but for the hex format
# Words for the moment of reading (manual, table 8.13).
_NOW = re.compile(r"\b(?:now|today|tomorrow|yesterday)\b", re.IGNORECASE)


def _convert_other(conversion: Conversion, cell: Cell) -> str:
    text = repr(cell) if isinstance(cell, float) else as_text(cell)
    require_no_loss(conversion.type, text)
    return text


def require_no_loss(target: TargetType, text: str) -> None:
    """Refuse text of which the input function of a type would keep only a part."""
    check = _CHECKS.get(target.base)
    if check is not None:
        check(target, text)


def _check_length(limit: int) -> Callable[[TargetType, str], None]:
    def check(target: TargetType, text: str) -> None:
        if (size := len(text.encode())) > limit:
            raise CellRefusedError(f"{size} bytes, longer than the {limit} that {target.name} keeps")

    return check


def _refuse_where(*rules: tuple[re.Pattern[str], str]) -> Callable[[TargetType, str], None]:
    def check(target: TargetType, text: str) -> None:
        for pattern, reason in rules:
            if pattern.search(text):
                raise CellRefusedError(reason.format(target.name))

    return check


def _check_by(converter: Converter) -> Callable[[TargetType, str], None]:
    def check(target: TargetType, text: str) -> None:
        converter.convert(Conversion(kind="", type=target), text)

    return check


_HAS_DATE = (_DATE, "has a date, which {} would lose")
_HAS_CLOCK = (_CLOCK, "has a time of day, which {} would lose")
_HAS_OFFSET = (_OFFSET, "has an offset or a zone, which {} would lose")
_IS_FINE = (_FINER_THAN_MICROSECONDS, "is finer than microseconds, which {} would round")
_HAS_ESCAPE = (_ESCAPE, "has a backslash, which {} would read as an escape")
_IS_NOW = (_NOW, "names the day of its reading")

_WHOLE_NUMBER = _check_by(numbers.INTEGER)
_CHECKS: dict[str, Callable[[TargetType, str], None]] = {
    "name": _check_length(_NAME_BYTES),
    "char": _check_length(1),
    "interval": _refuse_where(_IS_FINE),
    "timetz": _refuse_where(_HAS_DATE, _IS_FINE, _IS_NOW),
    "daterange": _refuse_where(_HAS_CLOCK, _IS_NOW),
    "datemultirange": _refuse_where(_HAS_CLOCK, _IS_NOW),
    "tsrange": _refuse_where(_HAS_OFFSET, _IS_FINE, _IS_NOW),
    "tsmultirange": _refuse_where(_HAS_OFFSET, _IS_FINE, _IS_NOW),
    "tstzrange": _refuse_where(_IS_FINE, _IS_NOW),
    "tstzmultirange": _refuse_where(_IS_FINE, _IS_NOW),
    # As items of arrays only; a column of these has a conversion of its own.
    "date": _refuse_where(_HAS_CLOCK, _IS_NOW),
    "time": _refuse_where(_HAS_DATE, _HAS_OFFSET, _IS_FINE, _IS_NOW),
    "timestamp": _refuse_where(_HAS_OFFSET, _IS_FINE, _IS_NOW),
    "timestamptz": _refuse_where(_IS_FINE, _IS_NOW),
    "bytea": _refuse_where(_HAS_ESCAPE),
    "numeric": _check_by(numbers.NUMERIC),
    "float4": _check_by(numbers.REAL),
    "float8": _check_by(numbers.DOUBLE),
    "varchar": _check_by(texts.TEXT),
    "oid": _WHOLE_NUMBER,
    "xid": _WHOLE_NUMBER,
    "cid": _WHOLE_NUMBER,
    "xid8": _WHOLE_NUMBER,
}

OTHER = Converter(accepts="text that the type's input function takes", convert=_convert_other, is_judged=True)
