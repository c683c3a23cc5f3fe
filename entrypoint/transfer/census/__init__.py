"""Judge every cell of the source against the plan, in one pass per table, before anything is written.

Owns the questions asked of the source's rows: how many there are, which cells cannot be taken and why.
Answers become a plan with units, row counts and every refusal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import psycopg

from entrypoint.model import ColumnPlan, Plan, Refusal, TablePlan
from entrypoint.sqlite.failures import translate_errors
from entrypoint.sqlite.source import Cell, SourceDatabase
from entrypoint.transfer.cells import (
    ask_rows,
    column_cell,
    column_faces,
    read_keys,
)
from entrypoint.transfer.census.checks import refuse_violations
from entrypoint.transfer.census.orphans import refuse_orphans
from entrypoint.transfer.census.units import infer_units
from entrypoint.transfer.collisions import settle_collisions
from entrypoint.transfer.collisions.stated import refuse_unmatchable
from entrypoint.transfer.collisions.twins import refuse_twins
from entrypoint.transfer.conversions import FaceMaker, Faces
from entrypoint.transfer.conversions.base import CellRefusedError
from entrypoint.transfer.load.merge import ConflictPolicy
from entrypoint.transfer.refusals.findings import Findings
from entrypoint.transfer.refusals.judge import refuse_judged_cells
from entrypoint.transfer.refusals.lines import refuse_by_kind
from entrypoint.transfer.refusals.rejects import Rejects


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A plan whose cells have been judged, and the SQL that renders them."""

    plan: Plan
    faces: FaceMaker
    rejects: Rejects


def judge_cells(
    source: SourceDatabase,
    plan: Plan,
    connection: psycopg.Connection[Any],
    *,
    can_quarantine: bool,
    on_conflict: ConflictPolicy,
    has_checks: bool = False,
) -> Judged:
    """Return the plan with units, row counts and the refusals of every cell that cannot be taken.

    Args:
        source: open.
        plan: of tables and columns.
        connection: inside a transaction.
        can_quarantine: leave rows with such cells out of the load instead of refusing it.
        on_conflict: what becomes of rows for which others stand in PostgreSQL.
        has_checks: ask PostgreSQL about its checks and partitions too, which costs as much as a load.
    """
    faces = FaceMaker(source)
    findings = Findings(Rejects(source), plan, can_quarantine=can_quarantine)
    timezone = connection.info.parameter_status("TimeZone") or "UTC"
    with translate_errors(source.path):
        tables = [
            _judge_table(
                source,
                infer_units(source, findings.watch(table), timezone=timezone),
                faces,
                findings,
                connection,
            )
            for table in plan.tables
        ]
        for table in tables if has_checks else ():
            refuse_violations(source, table, faces, connection, findings)
        refuse_unmatchable(source, tables, faces, connection, findings)
        refuse_twins(source, tables, faces, connection, findings)
        refuse_orphans(source, tuple(tables), faces, connection, findings)
        counted = tuple(findings.conclude(table) for table in tables)
        counted = settle_collisions(source, counted, faces, connection, findings, on_conflict=on_conflict)
    return Judged(
        plan=replace(
            plan,
            tables=counted,
            refusals=tuple(findings.refusals),
            quarantined=tuple(findings.quarantined),
            notes=tuple(findings.notes),
        ),
        faces=faces,
        rejects=findings.rejects,
    )


def _judge_table(
    source: SourceDatabase,
    table: TablePlan,
    faces: FaceMaker,
    findings: Findings,
    connection: psycopg.Connection[Any],
) -> TablePlan:
    columns = [column for column in table.columns if column.source]
    made = [column_faces(faces, column) for column in columns]
    parts = []
    for column, face in zip(columns, made, strict=True):
        cell = column_cell(column)
        parts += [
            f"sum({face.refuses})",
            f"sum({_null_condition(column)})" if column.target.is_not_null else "0",
            f"sum(typeof({cell}) = 'blob')" if column.conversion.kind == "text" else "0",
        ]
    (rows,) = ask_rows(source, table, ["count(*)"], width=1)
    counts = [int(value or 0) for value in ask_rows(source, table, parts, width=3)]
    for position, (column, face) in enumerate(zip(columns, made, strict=True)):
        assert column.source is not None
        refused, nulls, blobs = counts[3 * position : 3 * position + 3]
        if refused:
            _refuse_cells(source, table, column, face, faces, findings)
        if nulls:
            findings.refuse(table, _describe_nulls(source, table, column, nulls), _null_condition(column))
        if blobs:
            findings.notes.append(
                f"{table.source.name}.{column.source.name}: {blobs} blob(s) that are UTF-8 text become text"
            )
        if column.conversion.unit:
            findings.notes.append(f"{table.source.name}.{column.source.name}: {column.conversion.evidence}")
    refuse_judged_cells(source, table, faces, connection, findings)
    return replace(table, rows=int(rows))


def _null_condition(column: ColumnPlan) -> str:
    cell = column_cell(column)
    return f"({cell} IS NULL OR {cell} = '')" if column.conversion.is_empty_null else f"{cell} IS NULL"


def _describe_nulls(source: SourceDatabase, table: TablePlan, column: ColumnPlan, count: int) -> Refusal:
    assert column.source is not None
    return Refusal(
        table=table.source.name,
        column=column.source.name,
        storage_class="null",
        value="NULL",
        reason=f"NULL, and {table.target.qualified_name}.{column.target.name} is NOT NULL",
        remedy="fill the cells in the source, or drop the NOT NULL in the target",
        keys=read_keys(source, table.source, _null_condition(column)),
        count=count,
    )


def _refuse_cells(
    source: SourceDatabase,
    table: TablePlan,
    column: ColumnPlan,
    face: Faces,
    faces: FaceMaker,
    findings: Findings,
) -> None:
    def explain(is_text: bool, raw: Cell, _rendered: Cell) -> CellRefusedError:
        error = faces.explain(column.conversion, is_text, raw)
        assert error is not None, "refused in SQL and taken in Python"
        return error

    refuse_by_kind(
        source,
        table,
        column,
        findings,
        refuses=face.refuses,
        kind=faces.make_kind(column.conversion, column_cell(column)),
        text="NULL",
        explain=explain,
    )
