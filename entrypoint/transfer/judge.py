"""Have PostgreSQL judge the rendered cells of the types that only it knows: domains, arrays, inet, …

Owns which texts are sent and how a verdict becomes a refusal. Each distinct text is asked about once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import psycopg

from entrypoint.model import ColumnPlan, Refusal, TablePlan
from entrypoint.postgres.inputs import find_invalid
from entrypoint.sqlite.introspect import quote
from entrypoint.sqlite.source import Cell, SourceDatabase
from entrypoint.transfer.cells import column_cell, column_faces, read_examples, show_value
from entrypoint.transfer.conversions import CONVERTERS, FaceMaker, is_judged_by_target, raw_cell
from entrypoint.transfer.findings import Findings

# What is sent at once: many short texts, or a few long ones.
_BATCH_SIZE = 2000
_BATCH_CHARACTERS = 4 * 1024 * 1024

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
        if column.source is None or not is_judged_by_target(column.conversion):
            continue
        text = column_faces(faces, column).text
        invalid: dict[str, str] = {}
        for batch in _read_distinct(source, table, text):
            invalid |= find_invalid(
                connection, column.target.type.name, batch, is_document=column.conversion.kind == "json"
            )
        if invalid:
            _refuse(source, table, column, text, invalid, findings)


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
        if not is_judged_by_target(column.conversion):
            continue
        texts = list({str(row[position]) for row in rows if row[position] is not None})
        invalid: set[Cell] = set()
        for start in range(0, len(texts), _BATCH_SIZE):
            invalid |= find_invalid(
                connection,
                column.target.type.name,
                texts[start : start + _BATCH_SIZE],
                is_document=column.conversion.kind == "json",
            ).keys()
        rows = [row for row in rows if row[position] not in invalid]
    return rows


def _read_distinct(source: SourceDatabase, table: TablePlan, text: str) -> Iterator[list[str]]:
    rows = source.connection.execute(f"SELECT DISTINCT {text} FROM {quote(table.source.name)}")
    batch: list[str] = []
    size = 0
    for (text_read,) in rows:
        if text_read is None:  # NULL, or refused already
            continue
        batch.append(str(text_read))
        size += len(batch[-1])
        if len(batch) >= _BATCH_SIZE or size >= _BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _refuse(
    source: SourceDatabase,
    table: TablePlan,
    column: ColumnPlan,
    text: str,
    invalid: dict[str, str],
    findings: Findings,
) -> None:
    assert column.source is not None

    def is_invalid(rendered: Cell) -> int:
        return int(rendered in invalid)

    source.register_function("entrypoint_is_invalid", is_invalid, 1)
    cell = column_cell(column)
    condition = f"entrypoint_is_invalid({text})"
    row = source.connection.execute(
        f"SELECT count(*) FROM {quote(table.source.name)} WHERE {condition}"
    ).fetchone()
    assert row is not None
    keys, (storage_class, raw, rendered) = read_examples(
        source, table.source, condition, (f"typeof({cell})", raw_cell(cell), text)
    )
    refusal = Refusal(
        table=table.source.name,
        column=column.source.name,
        storage_class=str(storage_class),
        value=show_value(raw, is_text=storage_class == "text", encoding=source.encoding),
        reason=invalid[str(rendered)],
        remedy=f"correct it in the source ({column.target.type.name} takes "
        f"{CONVERTERS[column.conversion.kind].accepts})",
        keys=keys,
        count=int(row[0]),
    )
    findings.refuse(table, refusal, condition)
