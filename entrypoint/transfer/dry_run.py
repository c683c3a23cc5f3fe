"""Look first: what a migration would do and refuse, found without a trace on either side.

Owns the READ ONLY transaction around it, and foreseeing what ON_CONFLICT would do to rows that stand.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg

from entrypoint.model import Plan, Refusal
from entrypoint.postgres import catalog
from entrypoint.settings import Settings
from entrypoint.sqlite import unit
from entrypoint.sqlite.source import SourceDatabase, open_source
from entrypoint.transfer import report
from entrypoint.transfer.census import Judged
from entrypoint.transfer.examine import configure_session, examine
from entrypoint.transfer.load.merge import CONFLICT_REMEDY
from entrypoint.transfer.verify.compare import compare_table
from entrypoint.transfer.verify.readings import Sides


def plan_source(
    connection: psycopg.Connection[Any], path: Path, settings: Settings, *, only: tuple[str, ...] = ()
) -> tuple[Plan, dict[str, Any]]:
    """Return the plan for the source at `path`, and its document, leaving no trace on either side."""
    with open_source(path, is_for_migration=False) as source, connection.transaction(force_rollback=True):
        connection.execute("SET TRANSACTION READ ONLY")
        configure_session(connection, settings)
        judged = examine(connection, source, settings, only=only, is_for_load=True, has_checks=True)
        plan = judged.plan
        if not plan.refusals:
            plan = _foresee_conflicts(connection, source, judged, settings)
        return plan, report.describe_plan(plan, source=unit.spell(path), access=source.access)


def _foresee_conflicts(
    connection: psycopg.Connection[Any], source: SourceDatabase, judged: Judged, settings: Settings
) -> Plan:
    """Return the plan with what ON_CONFLICT would do: a refusal under `fail`, else a note."""
    refusals, notes = [], list(judged.plan.notes)
    sides = Sides(connection=connection, source=source, faces=judged.faces, timezone=settings.source_timezone)
    for table in judged.plan.tables:
        if not table.key or not catalog.has_rows(connection, table.target):
            continue
        verdict = compare_table(sides, table)
        conflicts = verdict.differing - verdict.missing
        if conflicts and settings.on_conflict == "fail":
            refusals.append(
                Refusal(
                    table=table.source.name,
                    column=None,
                    reason="rows stand in PostgreSQL with other values",
                    remedy=CONFLICT_REMEDY,
                    keys=tuple(item.key for item in verdict.differences if item.column)[:1],
                    count=conflicts,
                )
            )
        elif conflicts:
            notes.append(
                f"{table.source.name}: {conflicts} row(s) stand in PostgreSQL with other values and would be "
                + ("preserved" if settings.on_conflict == "preserve" else "overwritten")
            )
    return replace(judged.plan, refusals=tuple(refusals), notes=tuple(notes))
