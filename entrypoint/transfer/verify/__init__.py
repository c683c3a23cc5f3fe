"""Hold what stands in PostgreSQL against what was read, before the commit.

Owns the verdict: the plan is held against the source's catalog and rows are counted always, cells are
compared as VERIFY says, and a difference raises, so that the caller's rollback undoes the load.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import psycopg
from psycopg import sql

from entrypoint.errors import SourceRefusedError
from entrypoint.mapping import Mapping
from entrypoint.model import LoadResult, Plan, TablePlan, TableResult
from entrypoint.postgres.catalog import own_rows
from entrypoint.sqlite.source import SourceDatabase
from entrypoint.transfer.conversions import FaceMaker
from entrypoint.transfer.verify.compare import compare_table
from entrypoint.transfer.verify.coverage import find_omissions
from entrypoint.transfer.verify.readings import WRITTEN_HERE, Sides
from entrypoint.transfer.verify.verdict import OutOfTimeError, Verdict, describe_difference

VerifyMode = Literal["auto", "counts", "full"]
Way = Literal["counts", "full", "sample"]

# What `auto` may spend on comparing every cell.
_FREE_SECONDS = 1.0
_SHARE_OF_LOAD = 0.2
_SAMPLE_ROWS = 200

# What a cell costs on both sides together, until this machine has shown it on so many cells.
_SECONDS_A_CELL = 4e-6
_CELLS_MEASURED = 5000

_TABLES_SHOWN = 3


@dataclass(slots=True)
class _Pace:
    """How fast cells are compared here."""

    cells: int = 0
    seconds: float = 0.0

    def foresee(self, cells: int) -> float:
        """Return the seconds that so many cells will take."""
        is_known = self.cells >= _CELLS_MEASURED
        return cells * (self.seconds / self.cells if is_known else _SECONDS_A_CELL)


def verify_load(
    connection: psycopg.Connection[Any],
    source: SourceDatabase,
    plan: Plan,
    faces: FaceMaker,
    result: LoadResult,
    *,
    mode: VerifyMode,
    timezone: str,
    mapping: Mapping,
    only: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Hold every table against the source and return what was compared, for the report.

    Args:
        connection: inside the load's transaction.
        source: still open.
        plan: that was loaded.
        faces: of the census; finds the rows, is not trusted with their cells.
        result: what the load says it did.
        mode: `counts`; `full`, every cell; `auto`, every cell while that is cheap, else a sample.
        timezone: of naive timestamps going into timestamptz.
        mapping: of the mapping file.
        only: source tables the plan was restricted to; empty for all.

    Raises:
        SourceRefusedError: a difference, with the first few cells.
    """
    started = time.monotonic()
    sides = Sides(connection=connection, source=source, faces=faces, timezone=timezone)
    problems = find_omissions(source, plan, mapping, only=only)
    miscounted = dict(_count_tables(connection, plan, result))
    problems += miscounted.values()
    limit = time.monotonic() + max(_FREE_SECONDS, _SHARE_OF_LOAD * result.seconds)
    cells = 0
    pace = _Pace()
    ways: dict[str, Way] = {table.source.name: "counts" for table in plan.tables}
    pairs = zip(plan.tables, result.tables, strict=True)
    # Small tables first: then the time that is given reaches for most of them.
    for table, outcome in sorted(pairs, key=lambda pair: _count_cells(pair[0])):
        if mode == "counts":
            break
        name = table.source.name
        is_due = mode == "full" or name in miscounted
        verdict, ways[name] = _compare(sides, table, outcome, pace, limit=None if is_due else limit)
        problems += _find_disagreement(verdict, table, outcome, ways[name])
        cells += verdict.rows * len(table.columns)
    if problems:
        rest = len(problems) - _TABLES_SHOWN
        raise SourceRefusedError(
            "verification found a difference: "
            + "; ".join(problems[:_TABLES_SHOWN])
            + (f"; and {rest} more" if rest > 0 else ""),
            remedy="nothing was kept, the source is untouched; see what else changes these rows "
            "(triggers, rules, functions in constraints, other sessions), or report this",
        )
    return {
        "mode": mode,
        "cells": cells,
        "seconds": round(time.monotonic() - started, 3),
        "tables": ways,
    }


def _count_cells(table: TablePlan) -> int:
    return table.rows_taken * len(table.columns)


def _compare(
    sides: Sides, table: TablePlan, outcome: TableResult, pace: _Pace, *, limit: float | None
) -> tuple[Verdict, Way]:
    """Compare every cell, or a sample of rows where that would not end before `limit`."""
    started = time.monotonic()
    if limit is None or started + pace.foresee(_count_cells(table)) < limit:
        try:
            verdict = compare_table(replace(sides, deadline=limit), table, is_alone=not outcome.standing)
        except OutOfTimeError:
            pass
        else:
            pace.cells += _count_cells(table)
            pace.seconds += time.monotonic() - started
            return verdict, "full"
    return compare_table(sides, table, sample=_SAMPLE_ROWS), "sample"


def _count_tables(
    connection: psycopg.Connection[Any], plan: Plan, result: LoadResult
) -> Iterator[tuple[str, str]]:
    """Yield the tables whose rows, or whose rows written here, are not as many as the load accounts for."""
    for table, outcome in zip(plan.tables, result.tables, strict=True):
        row = connection.execute(
            # Grouped, so that only a few rows are asked who wrote them.
            sql.SQL(
                "SELECT coalesce(sum(n), 0), coalesce(sum(n) FILTER (WHERE {}), 0) FROM ("
                "SELECT count(*) AS n, CASE WHEN age(xmin) <= 0 THEN xmin END AS xmin FROM {} GROUP BY 2) t"
            ).format(WRITTEN_HERE, own_rows(table.target))
        ).fetchone()
        assert row is not None
        found, written = row
        accounted = outcome.inserted + outcome.unchanged + outcome.preserved + outcome.overwritten
        if found != outcome.standing + outcome.inserted or accounted != table.rows - table.rejected:
            yield (
                table.source.name,
                f"{outcome.target} holds {found} rows where {outcome.standing} stood "
                f"and {outcome.inserted} of {table.rows_taken} were inserted",
            )
        elif written != outcome.inserted + outcome.overwritten:
            yield (
                table.source.name,
                f"{written} rows of {outcome.target} were written where {outcome.inserted} were inserted "
                f"and {outcome.overwritten} overwritten",
            )


def _find_disagreement(verdict: Verdict, table: TablePlan, outcome: TableResult, way: Way) -> list[str]:
    """Return what differs otherwise than by being preserved: such rows are PostgreSQL's own, on purpose."""
    preserved = outcome.preserved - table.stood_for
    is_agreed = verdict.differing == verdict.kept <= preserved and not verdict.missing
    if way == "full" and verdict.rows != table.rows_taken:
        return [f"{verdict.rows} rows of {outcome.table} were read where {table.rows_taken} were counted"]
    if is_agreed:
        return []
    shown = "; ".join(describe_difference(difference) for difference in verdict.differences)
    return [f"{verdict.differing} of {verdict.rows} row(s) of {outcome.table} differ: {shown}"]
