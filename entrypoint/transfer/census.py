"""Judge every cell of the source against the plan, in one pass per table, before anything is written.

Owns the questions asked of the source's rows: how many there are, which unit a column of numbers is in,
which cells cannot be taken and why. Answers become a plan with units, row counts and every refusal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from entrypoint.model import ColumnPlan, Plan, Refusal, TablePlan
from entrypoint.sqlite.failures import translate_errors
from entrypoint.sqlite.introspect import quote
from entrypoint.sqlite.source import SourceDatabase
from entrypoint.transfer.cells import column_cell, column_faces, read_examples, read_keys, show_value
from entrypoint.transfer.checks import refuse_violations
from entrypoint.transfer.collisions import settle_collisions
from entrypoint.transfer.conversions import CONVERTERS, TEMPORAL_KINDS, FaceMaker, Faces, raw_cell
from entrypoint.transfer.conversions.times import WINDOWS, NumberFacts, UnitUnknownError, infer_unit
from entrypoint.transfer.findings import Findings
from entrypoint.transfer.judge import refuse_judged_cells
from entrypoint.transfer.orphans import refuse_orphans
from entrypoint.transfer.rejects import Rejects

# SQLite returns at most 2000 columns (SQLITE_MAX_COLUMN); a question asks for up to nine about each.
_COLUMNS_A_SCAN = 200


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
    with translate_errors(source.path):
        tables = [
            _judge_table(source, _infer_units(source, findings.watch(table)), faces, findings, connection)
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


# --- units of numbers that are times -------------------------------------------------------------


def _infer_units(source: SourceDatabase, table: TablePlan) -> TablePlan:
    """Return the table with the unit of each column of numbers, or why it is not known for evidence."""
    temporal = [
        column
        for column in table.columns
        if column.source and column.conversion.kind in TEMPORAL_KINDS and column.conversion.unit is None
    ]
    if not temporal:
        return table
    inferred: dict[str, ColumnPlan] = {}
    for column, facts in zip(temporal, _read_number_facts(source, table, temporal), strict=True):
        if not facts.count:
            continue
        try:
            unit: str | None
            unit, evidence = infer_unit(facts)
        except UnitUnknownError as error:
            unit, evidence = None, str(error)  # its numbers are refused with this for a reason
        conversion = replace(column.conversion, unit=unit, evidence=evidence)
        inferred[column.target.name] = replace(column, conversion=conversion)
    columns = tuple(inferred.get(column.target.name, column) for column in table.columns)
    return replace(table, columns=columns)


def _read_number_facts(
    source: SourceDatabase, table: TablePlan, columns: list[ColumnPlan]
) -> Iterator[NumberFacts]:
    parts = []
    for column in columns:
        cell = column_cell(column)
        is_number = f"typeof({cell}) IN ('integer', 'real')"
        parts += [
            f"sum({is_number})",
            f"sum({is_number} AND {cell} = 0)",
            *(f"sum({is_number} AND {cell} BETWEEN {low} AND {high})" for low, high in WINDOWS.values()),
            f"min(CASE WHEN {is_number} THEN {cell} END)",
            f"max(CASE WHEN {is_number} THEN {cell} END)",
        ]
    width = len(parts) // len(columns)
    answers = _ask(source, table, parts, width=width)
    for start in range(0, len(parts), width):
        count, zeros, *in_window, lowest, highest = answers[start : start + width]
        yield NumberFacts(
            count=int(count or 0),
            zeros=int(zeros or 0),
            in_window={unit: int(found or 0) for unit, found in zip(WINDOWS, in_window, strict=True)},
            lowest=lowest or 0,
            highest=highest or 0,
        )


def _ask(source: SourceDatabase, table: TablePlan, questions: Sequence[str], *, width: int) -> list[Any]:
    """Return the answers to aggregate SQL over a table, `width` of them a column, in few scans."""
    answers: list[Any] = []
    size = _COLUMNS_A_SCAN * width
    for start in range(0, len(questions), size):
        row = source.connection.execute(
            f"SELECT {', '.join(questions[start : start + size])} FROM {quote(table.source.name)}"
        ).fetchone()
        assert row is not None
        answers += row
    return answers


# --- cells ---------------------------------------------------------------------------------------


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
    (rows,) = _ask(source, table, ["count(*)"], width=1)
    counts = [int(value or 0) for value in _ask(source, table, parts, width=3)]
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
    """Refuse a column's cells by storage class, with the first one's value and reason, and the first keys."""
    assert column.source is not None
    cell = column_cell(column)
    name = quote(table.source.name)
    found = source.connection.execute(
        f"SELECT typeof({cell}), count(*) FROM {name} WHERE {face.refuses} GROUP BY 1"
    ).fetchall()
    for storage_class, count in found:
        condition = f"typeof({cell}) = '{storage_class}' AND {face.refuses}"
        keys, (raw,) = read_examples(source, table.source, condition, (raw_cell(cell),))
        is_text = storage_class == "text"
        reason = faces.explain(column.conversion, is_text, raw) or "cannot be converted"
        remedy = (
            f"correct it in the source ({column.target.type.name} takes "
            f"{CONVERTERS[column.conversion.kind].accepts})"
        )
        lacks_unit = storage_class in ("integer", "real") and _lacks_unit(column)
        if lacks_unit:
            reason = column.conversion.evidence or reason
            remedy = (
                f'state it in the mapping file: [tables."{table.source.name}".columns] '
                f'"{column.source.name}" = {{ unit = "ms" }} (s, ms, us, ns or julian)'
            )
        refusal = Refusal(
            table=table.source.name,
            column=column.source.name,
            storage_class=str(storage_class),
            value=show_value(raw, is_text=is_text, encoding=source.encoding),
            reason=reason,
            remedy=remedy,
            keys=keys,
            count=int(count),  # type: ignore[arg-type]
        )
        # A unit is missing for the whole column, and one line of the mapping file settles it.
        findings.refuse(table, refusal, condition, is_about_rows=not lacks_unit)


def _lacks_unit(column: ColumnPlan) -> bool:
    return column.conversion.kind in TEMPORAL_KINDS and column.conversion.unit is None
