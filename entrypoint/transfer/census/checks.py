"""Find rows that the target refuses by more than a cell: all, before the load.

They break a CHECK constraint, no partition takes them, or a generated column cannot be computed from them.

Owns which rows are asked about: each distinct combination of the cells that a check needs, once. A check
that needs a column which PostgreSQL fills by its default is left to the load.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg

from entrypoint.model import Check, ColumnPlan, Plan, Refusal, TablePlan, TargetColumn, TargetTable
from entrypoint.postgres.catalog import has_rows
from entrypoint.postgres.expressions import NotEvaluableError, Row, find_false
from entrypoint.sqlite.failures import translate_errors
from entrypoint.sqlite.introspect import quote
from entrypoint.sqlite.source import Cell, SourceDatabase
from entrypoint.transfer.cells import (
    VALUE_WIDTH,
    column_faces,
    count_rows,
    read_distinct,
    read_examples,
)
from entrypoint.transfer.conversions import FaceMaker
from entrypoint.transfer.refusals.findings import Findings
from entrypoint.transfer.refusals.judge import sift_rows
from entrypoint.transfer.refusals.rejects import Rejects

_BATCH_ROWS = 5000  # sent at once
_EXPRESSION_WIDTH = 120


def refuse_violations(
    source: SourceDatabase,
    table: TablePlan,
    faces: FaceMaker,
    connection: psycopg.Connection[Any],
    findings: Findings,
) -> None:
    """Refuse the rows of a table that PostgreSQL's checks would.

    Args:
        source: open.
        table: judged.
        faces: of the census.
        connection: inside a transaction.
        findings: told of each.
    """
    if not table.rows:
        return
    for check in (*table.target.checks, *_require_computable(table.target)):
        needed = _find_needed(table, check)
        # Rows may stand that a check which is not validated would refuse, and be the same as arriving ones.
        if needed is None or not (check.is_validated or not has_rows(connection, table.target)):
            continue
        planned, columns = needed
        made = [column_faces(faces, column) for column in planned]
        texts = [face.text for face in made]
        condition = " AND ".join(
            [*(f"NOT ({face.refuses})" for face in made if face.refuses != "0"), table.condition or "1"]
        )
        found: dict[Row, str | None] = {}
        try:
            for batch in read_distinct(source, table, texts, condition, batch_rows=_BATCH_ROWS):
                rows = sift_rows(connection, planned, batch)
                found |= _ask(connection, check, columns, len(planned), rows)
        except NotEvaluableError:
            continue
        if found:
            _refuse(source, table, check, planned, texts, condition, found, findings)


def _require_computable(target: TargetTable) -> Iterator[Check]:
    """Yield a check for each stored generated column: that it can be computed, and has a value if it must."""
    for column in target.columns:
        if column.is_stored:
            name = quote(column.name)
            yield Check(
                name=column.name,
                expression=f"{name} IS NOT NULL" + ("" if column.is_not_null else f" OR {name} IS NULL"),
                columns=(column.name,),
                is_validated=True,
                is_computation=True,
            )


def list_violations(
    source: SourceDatabase, plan: Plan, faces: FaceMaker, connection: psycopg.Connection[Any]
) -> tuple[Refusal, ...]:
    """Return the refusals of all tables: after a load that PostgreSQL refused for one row."""
    findings = Findings(Rejects(source), plan, can_quarantine=False)
    with translate_errors(source.path):
        for table in plan.tables:
            refuse_violations(source, table, faces, connection, findings)
    return tuple(findings.refusals)


def _find_needed(table: TablePlan, check: Check) -> tuple[list[ColumnPlan], list[TargetColumn]] | None:
    """Return what a check needs: planned columns; and those, columns left NULL, and generated ones.

    None where PostgreSQL fills one of them by a default, or where it needs none.
    """
    plans = {column.target.name: column for column in table.columns}
    needed = set(check.columns)
    generated = [c for c in table.target.columns if c.name in needed and c.generation is not None]
    needed |= {name for column in generated for name in column.generated_from}
    plain = [c for c in table.target.columns if c.name in needed and c.generation is None]
    planned = [plans[column.name] for column in plain if column.name in plans]
    empty = [column for column in plain if column.name not in plans]
    if not plain or any(column.has_default for column in empty):
        return None
    return planned, [*(column.target for column in planned), *empty, *generated]


def _ask(
    connection: psycopg.Connection[Any],
    check: Check,
    columns: list[TargetColumn],
    width: int,
    rows: list[Row],
) -> dict[Row, str | None]:
    """Return the rows, of `width` planned columns, that break the check; the other columns are NULL."""
    nulls = (None,) * sum(column.generation is None for column in columns[width:])
    found = find_false(connection, check.expression, columns, [row + nulls for row in rows]) if rows else {}
    return {row[:width]: reason for row, reason in found.items()}


def _refuse(
    source: SourceDatabase,
    table: TablePlan,
    check: Check,
    planned: list[ColumnPlan],
    texts: list[str],
    condition: str,
    found: dict[Row, str | None],
    findings: Findings,
) -> None:
    def is_violating(*rendered: Cell) -> int:
        return int(tuple(None if cell is None else str(cell) for cell in rendered) in found)

    source.register_function("entrypoint_is_violating", is_violating, len(texts))
    condition += f" AND entrypoint_is_violating({', '.join(texts)})"
    keys, shown = read_examples(source, table.source, condition, tuple(texts))
    names = [column.source.name for column in planned if column.source]
    example = tuple(None if cell is None else str(cell) for cell in shown)
    refusal = Refusal(
        table=table.source.name,
        column=", ".join(names) or None,
        value=_cut(", ".join("NULL" if cell is None else cell for cell in example)),
        reason=_explain(table, check, found[example]),
        remedy=f"correct these rows in the source, or {_find_other_remedy(check)}",
        keys=keys,
        count=count_rows(source, table, condition),
    )
    findings.refuse(table, refusal, condition)


def _explain(table: TablePlan, check: Check, raised: str | None) -> str:
    name = table.target.qualified_name
    if not check.name:
        return f"no partition of {name} takes these rows"
    if check.is_computation:
        return f"{name}.{check.name} cannot be computed from them: {raised or 'NULL, and it is NOT NULL'}"
    return f"breaks the check {check.name} of {name}: {raised or _cut(check.expression, _EXPRESSION_WIDTH)}"


def _find_other_remedy(check: Check) -> str:
    if not check.name:
        return "add a partition that takes them"
    return f"the {'generated column' if check.is_computation else 'check'} in the target"


def _cut(text: str, width: int = VALUE_WIDTH) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
