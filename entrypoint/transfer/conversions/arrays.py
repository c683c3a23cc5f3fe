"""Arrays: a JSON array becomes PostgreSQL's literal, and a literal stays one.

Owns both spellings. What an item must not lose stands in `others`; whether PostgreSQL takes it, it is asked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace

from entrypoint.model import Conversion, TargetType
from entrypoint.sqlite.source import Cell
from entrypoint.transfer.conversions.base import Converter, as_text, require_no_nul, require_no_surrogate
from entrypoint.transfer.conversions.others import require_no_loss
from entrypoint.transfer.conversions.texts import refuse_constant

_JSON_SPACE = " \t\n\r"
_DOCUMENTS = ("json", "jsonb")
# An item of a literal (manual, section 8.15.6): quoted with its escapes, or bare and then not NULL.
_LITERAL_ITEM = re.compile(r'"((?:[^"\\]|\\.)*)"|([^\s{},"\\](?:[^{},"\\]|\\.)*)', re.DOTALL)
_BOUNDS = re.compile(r"\s*(?:\[[-+:\d\s]*\]\s*)+=")


def _convert_array(conversion: Conversion, cell: Cell) -> str:
    text = as_text(cell)
    element = replace(conversion.type, base=conversion.type.element or "", element=None)
    if text.lstrip(_JSON_SPACE).startswith("["):
        try:
            json.loads(text, parse_constant=refuse_constant, parse_int=str, parse_float=str)
            return _spell_array(text.strip(_JSON_SPACE), element)
        except (json.JSONDecodeError, RecursionError):
            pass  # [1:2]={…} is PostgreSQL's spelling too
    for item in _read_literal(text):
        require_no_loss(element, item)
    return text


def _read_literal(text: str) -> Iterator[str]:
    """Yield the items of an array literal; of what is none, something that PostgreSQL refuses in any case."""
    bounds = _BOUNDS.match(text)
    for match in _LITERAL_ITEM.finditer(text, bounds.end() if bounds else 0):
        quoted, bare = match.groups()
        if quoted is not None or bare.upper() != "NULL":
            yield re.sub(r"\\(.)", r"\1", quoted if quoted is not None else bare.strip(), flags=re.DOTALL)


def _spell_array(text: str, element: TargetType) -> str:
    """Return a JSON array as an array literal (PostgreSQL manual, section 8.15.2).

    Its items pass as they are spelled, so that no digit of a number is lost on the way. Those of an array
    of documents are documents, arrays too; in any other, an array within is a further dimension.
    """
    return "{" + ",".join(_spell_item(item, element) for item in _split_array(text)) + "}"


def _split_array(text: str) -> list[str]:
    """Return the texts of the items of a valid JSON array."""
    read = json.JSONDecoder(parse_int=str, parse_float=str).raw_decode
    items = []
    position = _skip_space(text, 1)
    while text[position] != "]":
        _, end = read(text, position)
        items.append(text[position:end])
        position = _skip_space(text, end)
        if text[position] == ",":
            position = _skip_space(text, position + 1)
    return items


def _skip_space(text: str, position: int) -> int:
    while text[position] in _JSON_SPACE:
        position += 1
    return position


def _spell_item(item: str, element: TargetType) -> str:
    if item == "null":
        return "NULL"
    if element.base not in _DOCUMENTS:
        if item.startswith("["):
            return _spell_array(item, element)
        if item.startswith('"'):
            item = json.loads(item)
            require_no_nul(item)
            require_no_surrogate(item)
        require_no_loss(element, item)
    return '"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"'


ARRAY = Converter(accepts="a JSON array or an array literal", convert=_convert_array, is_judged=True)
