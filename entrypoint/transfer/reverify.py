"""Compare a source with PostgreSQL at any later time: what `entrypoint verify` says.

Owns what counts as a difference once the application lives on PostgreSQL: rows that it gained do not, rows
that the newest migration quarantined and that are still as they were are in the ledger, rows that were
preserved differ and are said to. Writes nowhere.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg

from entrypoint.model import Refusal, TablePlan
from entrypoint.postgres.failures import translate_load_errors
from entrypoint.postgres.ledger import is_ledger_present
from entrypoint.settings import Settings
from entrypoint.sqlite import unit
from entrypoint.sqlite.source import SourceDatabase, open_source
from entrypoint.transfer import ledger, report
from entrypoint.transfer.examine import configure_session, examine
from entrypoint.transfer.refusals.rejects import Rejects
from entrypoint.transfer.verify.compare import compare_table
from entrypoint.transfer.verify.readings import Sides
from entrypoint.transfer.verify.verdict import Verdict, describe_difference


def verify_source(connection: psycopg.Connection[Any], path: Path, settings: Settings) -> dict[str, Any]:
    """Compare every cell of the source at `path` with PostgreSQL and return what differs as a document.

    Args:
        connection: in autocommit mode, outside a transaction.
        path: of a live or a retired source.
        settings: mapping, ledger schema and ON_CONFLICT count.
    """
    with (
        open_source(path, is_for_migration=False) as source,
        translate_load_errors("the verification", role=connection.info.user),
        connection.transaction(force_rollback=True),
    ):
        connection.execute("SET TRANSACTION READ ONLY")
        configure_session(connection, settings)
        # Left aside, so that what the ledger has of them can be told from what it has not.
        judged = examine(connection, source, replace(settings, on_reject="quarantine"))
        runs = _read_runs(connection, source, path, settings)
        sides = Sides(
            connection=connection, source=source, faces=judged.faces, timezone=settings.source_timezone
        )
        compared: list[dict[str, Any]] = []
        refusals = list(judged.plan.refusals)
        for planned in judged.plan.tables:
            name = planned.source.name
            # What an earlier run left, a later one may have taken.
            run = next((run for run in runs if name in run.preserved), None)
            kept = preserved = 0
            if run is not None:
                rejects = ledger.read_rejects(connection, settings.ledger_schema, run, name)
                kept = judged.rejects.recall(connection, planned, rejects)
                preserved = run.preserved[name]
            table = _leave_out(planned, judged.rejects)
            if table.rejected > kept:
                refusals += _list_refusals(judged.plan.quarantined, planned)
            compared.append(_describe(table, compare_table(sides, table), kept, preserved))
    return {
        "source": unit.spell(path),
        "rows": sum(table["rows"] for table in compared),
        "differing": sum(table["differing"] for table in compared),
        "refusals": [report.describe_refusal(refusal) for refusal in refusals],
        "tables": compared,
    }


def _read_runs(
    connection: psycopg.Connection[Any], source: SourceDatabase, path: Path, settings: Settings
) -> tuple[ledger.Account, ...]:
    if not is_ledger_present(connection, settings.ledger_schema):
        return ()
    return ledger.read_accounts(
        connection, settings.ledger_schema, path=path, sha256=source.fingerprint.sha256
    )


def _leave_out(table: TablePlan, rejects: Rejects) -> TablePlan:
    """Return the table without the rows that are marked by now."""
    condition = rejects.condition(table)
    if condition is None:
        return table
    if table.condition and condition not in table.condition:
        condition = f"{table.condition} AND {condition}"
    return replace(table, rejected=rejects.count(table), condition=condition)


def _list_refusals(quarantined: tuple[Refusal, ...], table: TablePlan) -> list[Refusal]:
    return [refusal for refusal in quarantined if refusal.table == table.source.name]


def _describe(table: TablePlan, verdict: Verdict, quarantined: int, preserved: int) -> dict[str, Any]:
    return {
        "table": table.source.name,
        "rows": verdict.rows,
        "differing": verdict.differing,
        "missing": verdict.missing,
        "quarantined": quarantined,
        "preserved": preserved,
        "differences": [describe_difference(difference) for difference in verdict.differences],
    }
