"""Show what cells mean to a reader, so that a difference is seen.

Owns spelling alone: times as ISO text, bytes as hex, the place where two long texts part.
"""

from __future__ import annotations

import struct
import unicodedata
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from entrypoint.model import Conversion
from entrypoint.transfer.cells import VALUE_WIDTH
from entrypoint.transfer.verify.documents import Meaning, show_document
from entrypoint.transfer.verify.verdict import show

_COMMON_SHOWN = 8  # characters before the first one that differs
_EPOCH = datetime(1970, 1, 1)
_MICROSECONDS_A_DAY = 86_400 * 10**6


def show_meaning(conversion: Conversion, meaning: Meaning) -> str:
    """Return a meaning of `decode`'s that is not NULL as text."""
    return _SHOWN.get(conversion.kind, str)(meaning)


def _show_ticks(ticks: int) -> str:
    try:
        return str(_EPOCH + timedelta(microseconds=ticks))
    except OverflowError:
        return f"{ticks} microseconds since 1970"


def _show_bytes(meaning: Any) -> str:
    return "\\x" + meaning.hex() if isinstance(meaning, bytes) else str(meaning)


_SHOWN: dict[str, Callable[[Any], str]] = {
    "boolean": lambda meaning: str(meaning).lower(),
    "double": lambda meaning: repr(struct.unpack(">d", meaning)[0]),
    "real": lambda meaning: f"{struct.unpack('>f', meaning)[0]:.9g}",
    "bytea": _show_bytes,
    "json": show_document,
    "timestamptz": lambda ticks: _show_ticks(ticks) + "+00",
    "timestamp": _show_ticks,
    "date": lambda days: _show_ticks(days * _MICROSECONDS_A_DAY).removesuffix(" 00:00:00"),
    "time": lambda ticks: _show_ticks(ticks).removeprefix("1970-01-01 "),
}


def show_pair(expected: str | None, found: str | None) -> tuple[str, str]:
    """Return two different texts for a reader, so that what differs is seen: where it is, and escaped."""
    if expected is None or found is None:
        return _quote(expected), _quote(found)
    if max(len(expected), len(found)) > VALUE_WIDTH:
        pairs = enumerate(zip(expected, found, strict=False))
        common = next((i for i, (a, b) in pairs if a != b), min(len(expected), len(found)))
        start = max(0, common - _COMMON_SHOWN)
        expected, found = ("…" * bool(start) + text[start:] for text in (expected, found))
    if unicodedata.normalize("NFKC", expected) == unicodedata.normalize("NFKC", found):
        return ascii(show(expected)), ascii(show(found))
    return _quote(expected), _quote(found)


def _quote(text: str | None) -> str:
    if text is None:
        return "NULL"
    printable = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in show(text))
    return f"'{printable}'"
