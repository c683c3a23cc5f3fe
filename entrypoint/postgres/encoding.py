"""What a database of another encoding than UTF8 can hold of what the program itself writes.

Owns the spelling of texts and documents for the ledger. The application's rows are judged elsewhere: of those
nothing may change.
"""

from __future__ import annotations

import json
import re
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

# In JSON's text every escape begins with a backslash of its own.
_ESCAPE = re.compile(r"\\(?:u([0-9a-f]{4})|.)")
_LAST_OF_ASCII = 0x7F


def holds_any_text(connection: psycopg.Connection[Any]) -> bool:
    """Tell whether the database can hold every character."""
    return connection.info.parameter_status("server_encoding") == "UTF8"


def fit_text(connection: psycopg.Connection[Any], text: str) -> str:
    """Return a text for a reader; what is beyond ASCII is escaped where the database may not hold it."""
    if holds_any_text(connection):
        return text
    return text.encode("ascii", "backslashreplace").decode()


def fit_document(connection: psycopg.Connection[Any], value: object) -> Jsonb:
    """Return a document; what is beyond ASCII in its texts is escaped where the database may not hold it."""
    return Jsonb(value) if holds_any_text(connection) else Jsonb(value, dumps=_print_ascii)


def spell_document(connection: psycopg.Connection[Any], value: object) -> object:
    """Return a document of texts, whole numbers and NULLs as it is read back after `fit_document`."""
    return value if holds_any_text(connection) else json.loads(_print_ascii(value))


def _print_ascii(value: object) -> str:
    return _ESCAPE.sub(_double_backslash, json.dumps(value))


def _double_backslash(match: re.Match[str]) -> str:
    is_beyond = match[1] is not None and int(match[1], 16) > _LAST_OF_ASCII
    return "\\" + match[0] if is_beyond else match[0]
