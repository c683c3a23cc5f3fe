"""Judge every cell of the source against the plan, in one pass per table, before anything is written.

Owns the questions asked of the source's rows: how many there are, which cells cannot be taken and why.
Answers become a plan with units, row counts and every refusal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import psycopg

from entrypoint.mapping_lines import write_remedy
from entrypoint.model import ColumnPlan, Plan, Refusal, TablePlan
from entrypoint.sqlite.failures import translate_errors
from entrypoint.sqlite.introspect import quote
from entrypoint.sqlite.source import SourceDatabase
from entrypoint.transfer.cells import (
    ask_rows,
    column_cell,
    column_faces,
    read_examples,
    read_keys,
    show_value,
    spell_text,
)
from entrypoint.transfer.checks import refuse_violations
from entrypoint.transfer.collisions import settle_collisions
from entrypoint.transfer.conversions import CONVERTERS, FaceMaker, Faces, raw_cell
from entrypoint.transfer.findings import Findings
from entrypoint.transfer.judge import refuse_judged_cells
from entrypoint.transfer.orphans import refuse_orphans
from entrypoint.transfer.rejects import Rejects
from entrypoint.transfer.units import infer_units

# Refusals of one column: so many kinds of reasons have a line each, what is left one together.
_LINES_A_COLUMN = 5


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
    can_preserve: bool,
    has_checks: bool = False,
) -> Judged:
    """Return the plan with units, row counts and the refusals of every cell that cannot be taken.

    Args:
        source: open.
        plan: of tables and columns.
        connection: inside a transaction.
        can_quarantine: leave rows with such cells out of the load instead of refusing it.
        can_preserve: where PostgreSQL holds another row under a unique key, keep that one.
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
        refuse_orphans(source, tuple(tables), faces, connection, findings)
        counted = tuple(findings.conclude(table) for table in tables)
        counted = settle_collisions(source, counted, faces, connection, findings, can_preserve=can_preserve)
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
    """Refuse a column's cells: a line for each storage class and kind of reason, one for the rest."""
    cell = column_cell(column)
    kind = f"typeof({cell}) || ': ' || {faces.make_kind(column.conversion, cell)}"
    found = source.connection.execute(
        f"SELECT {kind}, typeof({cell}), count(*) FROM {quote(table.source.name)} WHERE {face.refuses}"
        " GROUP BY 1 ORDER BY 3 DESC, 1"
    ).fetchall()
    shown = found[:_LINES_A_COLUMN]
    kinds = [spell_text(str(name)) for name, _, _ in shown]
    for name, (_, storage_class, count) in zip(kinds, shown, strict=True):
        condition = f"{face.refuses} AND {kind} = {name}"
        refusal, is_about_rows = _describe_cells(source, table, column, faces, condition)
        refusal = replace(refusal, storage_class=str(storage_class), count=int(str(count)))
        findings.refuse(table, refusal, condition, is_about_rows=is_about_rows)
    if others := found[_LINES_A_COLUMN:]:
        condition = f"{face.refuses} AND {kind} NOT IN ({', '.join(kinds)})"
        refusal, is_about_rows = _describe_cells(source, table, column, faces, condition)
        count = sum(int(str(count)) for _, _, count in others)
        reason = f"{len(others)} more kinds of reasons; of the first: {refusal.reason}"
        findings.refuse(
            table, replace(refusal, count=count, reason=reason), condition, is_about_rows=is_about_rows
        )


def _describe_cells(
    source: SourceDatabase, table: TablePlan, column: ColumnPlan, faces: FaceMaker, condition: str
) -> tuple[Refusal, bool]:
    """Return the refusal of cells for which `condition` holds, by the first, and whether it is about rows."""
    assert column.source is not None
    cell = column_cell(column)
    keys, (raw, is_text) = read_examples(
        source, table.source, condition, (raw_cell(cell), f"typeof({cell}) = 'text'")
    )
    error = faces.explain(column.conversion, is_text, raw)
    assert error is not None, "refused in SQL and taken in Python"
    # A unit is missing for the whole column, and one line of the mapping file settles it.
    lacks_unit = bool(error.entries) and column.conversion.unit is None
    return (
        Refusal(
            table=table.source.name,
            column=column.source.name,
            value=show_value(raw, is_text=bool(is_text), encoding=source.encoding),
            reason=str(error),
            remedy=write_remedy(
                table.source.name,
                column.source.name,
                error.entries,
                otherwise=None
                if lacks_unit
                else f"correct it in the source ({column.target.type.name} takes "
                f"{CONVERTERS[column.conversion.kind].accepts})",
            ),
            keys=keys,
            entries=error.entries,
        ),
        not lacks_unit,
    )
