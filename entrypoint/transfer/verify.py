"""Hold what stands in PostgreSQL against what was read, before the commit.

Owns the verdict: rows are counted always, cells are compared as VERIFY says, and a difference raises, so
that the caller's rollback undoes the load.
"""

from __future__ import annotations

import time
from typing import Any, Literal

import psycopg

from entrypoint.errors import SourceRefusedError
from entrypoint.model import LoadResult, Plan, TablePlan, TableResult
from entrypoint.postgres.catalog import count_rows
from entrypoint.sqlite.source import SourceDatabase
from entrypoint.transfer.compare import compare_table
from entrypoint.transfer.conversions import FaceMaker
from entrypoint.transfer.verdict import Verdict, describe_difference

VerifyMode = Literal["auto", "counts", "full"]

# What a cell costs on both sides together, measured on two cores; only `auto` goes by it.
_SECONDS_A_CELL = 4e-6
_FREE_SECONDS = 1.0
_SHARE_OF_LOAD = 0.2
_SAMPLE_ROWS = 200


def verify_load(
    connection: psycopg.Connection[Any],
    source: SourceDatabase,
    plan: Plan,
    faces: FaceMaker,
    result: LoadResult,
    *,
    mode: VerifyMode,
    timezone: str,
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

    Raises:
        SourceRefusedError: a difference, with the first few cells.
    """
    started = time.monotonic()
    _verify_counts(connection, plan, result)
    cells = 0
    ways: dict[str, str] = {}
    if mode == "counts":
        return {"mode": mode, "cells": 0, "tables": ways}
    budget = started + max(_FREE_SECONDS, _SHARE_OF_LOAD * result.seconds)
    for table, outcome in zip(plan.tables, result.tables, strict=True):
        cost = table.rows_taken * len(table.columns) * _SECONDS_A_CELL
        is_full = mode == "full" or time.monotonic() + cost < budget
        if not is_full and not table.key:
            ways[table.source.name] = "counts"
            continue
        verdict = compare_table(
            connection,
            source,
            table,
            faces,
            timezone=timezone,
            sample=None if is_full else _SAMPLE_ROWS,
            is_alone=not outcome.standing,
        )
        _require_agreement(verdict, table, outcome, is_full=is_full)
        cells += verdict.rows * len(table.columns)
        ways[table.source.name] = "full" if is_full else "sample"
    return {"mode": mode, "cells": cells, "tables": ways}


def _verify_counts(connection: psycopg.Connection[Any], plan: Plan, result: LoadResult) -> None:
    """Hold every table's row count against what it held before and what was inserted."""
    wrong = []
    for table, outcome in zip(plan.tables, result.tables, strict=True):
        found = count_rows(connection, table.target)
        accounted = outcome.inserted + outcome.unchanged + outcome.preserved + outcome.overwritten
        if found != outcome.standing + outcome.inserted or accounted != table.rows - table.rejected:
            wrong.append(
                f"{outcome.target} holds {found} rows where {outcome.standing} stood "
                f"and {outcome.inserted} of {table.rows_taken} were inserted"
            )
    if wrong:
        raise _refuse("; ".join(wrong))


def _require_agreement(verdict: Verdict, table: TablePlan, outcome: TableResult, *, is_full: bool) -> None:
    """Allow as many differing rows as were preserved: those are PostgreSQL's own, on purpose."""
    allowed = outcome.preserved - table.stood_for
    is_agreed = verdict.differing <= allowed
    if is_full:
        is_agreed = verdict.differing == allowed and verdict.rows == table.rows_taken
    if not is_agreed:
        shown = "; ".join(describe_difference(difference) for difference in verdict.differences)
        raise _refuse(f"{verdict.differing} of {verdict.rows} row(s) of {outcome.table} differ: {shown}")


def _refuse(what: str) -> SourceRefusedError:
    return SourceRefusedError(
        f"verification found a difference: {what}",
        remedy="nothing was kept, the source is untouched; see what else changes these rows "
        "(triggers, rules, other sessions), or report this",
    )
