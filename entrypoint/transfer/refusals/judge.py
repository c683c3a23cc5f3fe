"""Have PostgreSQL judge the rendered cells of the types that only it knows: domains, arrays, inet, …

Owns which texts are sent and how a verdict becomes a refusal. Each distinct text is asked about once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeVar

import psycopg

from entrypoint.model import ColumnPlan, TablePlan
from entrypoint.postgres.changes import find_changed
from entrypoint.postgres.encoding import holds_any_text
from entrypoint.postgres.inputs import find_invalid
from entrypoint.sqlite.source import Cell, SourceDatabase
from entrypoint.transfer.cells import (
    column_faces,
    read_distinct,
)
from entrypoint.transfer.conversions import FaceMaker, is_judged_by_target
from entrypoint.transfer.conversions.base import CellRefusedError, blank_numbers
from entrypoint.transfer.refusals.findings import Findings
from entrypoint.transfer.refusals.lines import refuse_by_kind

_BATCH_ROWS = 2000  # sent at once

# Kinds that hold any text; in a database of another encoding than UTF8 they do not.
_TEXT_KINDS = frozenset({"text", "json", "enum"})
_REASON_WIDTH = 200
_QUOTED = re.compile(r'"(.*?)"(?=[^"]*$|[ ,:;])', re.DOTALL)

_Texts = TypeVar("_Texts", tuple[str, ...], tuple[str | None, ...], tuple[Cell, ...])


def refuse_judged_cells(
    source: SourceDatabase,
    table: TablePlan,
    faces: FaceMaker,
    connection: psycopg.Connection[Any],
    findings: Findings,
) -> None:
    """Refuse the cells of every column of the table that hold text its type's input function refuses."""
    for column in table.columns:
        if column.source is None or not _is_judged(connection, column):
            continue
        text = column_faces(faces, column).text
        refused: dict[str, str] = {}
        for batch in read_distinct(source, table, (text,), "1", batch_rows=_BATCH_ROWS):
            # What is NULL is empty, or refused already.
            if texts := [rendered for (rendered,) in batch if rendered is not None]:
                refused |= _find_refused(connection, column, texts)
        if refused:
            _refuse(source, table, column, text, refused, findings)


def _is_judged(connection: psycopg.Connection[Any], column: ColumnPlan) -> bool:
    """Tell whether PostgreSQL has to be asked; also where its encoding may lack a character."""
    return is_judged_by_target(column.conversion) or (
        column.conversion.kind in _TEXT_KINDS and not holds_any_text(connection)
    )


def _find_refused(
    connection: psycopg.Connection[Any], column: ColumnPlan, texts: list[str]
) -> dict[str, str]:
    """Return the texts that the column's type refuses or would change, each with the reason."""
    name = column.target.type.name
    invalid = find_invalid(connection, name, texts, is_document=column.conversion.kind == "json")
    valid = [text for text in texts if text not in invalid]
    return invalid | find_changed(connection, column.target.type, valid)


def sift_rows(
    connection: psycopg.Connection[Any], columns: Sequence[ColumnPlan], rows: list[_Texts]
) -> list[_Texts]:
    """Return the rows whose cells their types' input functions take; others are refused, or will be.

    Args:
        connection: inside a transaction.
        columns: of the rows' cells.
        rows: rendered cells, None for NULL.
    """
    for position, column in enumerate(columns):
        if not _is_judged(connection, column):
            continue
        texts = list({str(row[position]) for row in rows if row[position] is not None})
        refused: set[Cell] = set()
        for start in range(0, len(texts), _BATCH_ROWS):
            refused |= _find_refused(connection, column, texts[start : start + _BATCH_ROWS]).keys()
        rows = [row for row in rows if row[position] not in refused]
    return rows


def _refuse(
    source: SourceDatabase,
    table: TablePlan,
    column: ColumnPlan,
    text: str,
    refused: dict[str, str],
    findings: Findings,
) -> None:
    def find_kind(rendered: Cell) -> str | None:
        reason = refused.get(str(rendered))
        return None if rendered is None or reason is None else _find_kind(str(rendered), reason)

    def explain(_is_text: bool, _raw: Cell, rendered: Cell) -> CellRefusedError:
        reason = refused[str(rendered)]  # which may quote all of the text
        return CellRefusedError(reason if len(reason) <= _REASON_WIDTH else f"{reason[: _REASON_WIDTH - 1]}…")

    source.register_function("entrypoint_judged", find_kind, 1)
    kind = f"entrypoint_judged({text})"
    refuse_by_kind(
        source, table, column, findings, refuses=f"{kind} IS NOT NULL", kind=kind, text=text, explain=explain
    )


def _find_kind(text: str, reason: str) -> str:
    """Return a reason without what it quotes of the text: other texts of its kind have the same."""
    return blank_numbers(_QUOTED.sub(lambda part: '"' if part[1] in text else part[0], reason))
