"""Durations: interval. Text is PostgreSQL's to read; of a number somebody has to say what it counts."""

from __future__ import annotations

import math
from fractions import Fraction

from entrypoint.model import Conversion
from entrypoint.sqlite.source import Cell
from entrypoint.transfer.conversions.base import CellRefusedError, Converter, as_text
from entrypoint.transfer.conversions.others import require_no_loss
from entrypoint.transfer.conversions.units import PER_SECOND, UNIT_ENTRIES

_SECONDS_A_DAY = 86_400
_MICROSECONDS = 1_000_000


def _convert_interval(conversion: Conversion, cell: Cell) -> str:
    if not isinstance(cell, (int, float)):
        text = as_text(cell)
        require_no_loss(conversion.type, text)
        return text
    if conversion.unit is None:
        raise CellRefusedError("a number says no unit of a duration", entries=UNIT_ENTRIES)
    if not math.isfinite(cell):
        raise CellRefusedError("infinity is no duration here")
    per_second = PER_SECOND.get(conversion.unit, Fraction(1, _SECONDS_A_DAY))
    microseconds = Fraction(cell) * _MICROSECONDS / per_second
    # As with moments: an integer's finer digits are cut, a real's noise is rounded.
    whole = round(microseconds) if isinstance(cell, float) else math.trunc(microseconds)
    return f"{whole} microseconds"


INTERVAL = Converter(
    accepts="text that PostgreSQL reads as one, or a number in the unit that the mapping file states",
    convert=_convert_interval,
    is_judged=True,
)
