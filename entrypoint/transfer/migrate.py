"""One source into one target: check, plan, load, verify, record; the part between lock and retire.

Owns the order of these phases and the transaction around them. Whether a source is to be migrated, and
what happens to its file afterwards, is decided above.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from entrypoint import log
from entrypoint.model import LoadResult, Plan
from entrypoint.postgres.failures import CheckViolatedError, translate_load_errors
from entrypoint.postgres.ledger import ensure_ledger
from entrypoint.settings import Settings
from entrypoint.sqlite import unit
from entrypoint.sqlite.source import SourceDatabase
from entrypoint.transfer import ledger, report
from entrypoint.transfer.census import Judged
from entrypoint.transfer.census.checks import list_violations
from entrypoint.transfer.examine import configure_session, examine
from entrypoint.transfer.load import Progress, load_rows
from entrypoint.transfer.load.sequences import advance_sequences
from entrypoint.transfer.refusals import PlanRefusedError
from entrypoint.transfer.verify import verify_load


@dataclass(frozen=True, slots=True, kw_only=True)
class Migrated:
    """A data migration that has been committed.

    Attributes:
        run_id: its row in the ledger.
        document: the plan and the result, as `--json` prints them.
    """

    run_id: int
    plan: Plan
    result: LoadResult
    document: dict[str, Any]


def migrate_source(
    connection: psycopg.Connection[Any],
    source: SourceDatabase,
    settings: Settings,
    *,
    only: tuple[str, ...] = (),
    before_commit: Callable[[], None],
    progress: Progress,
) -> Migrated:
    """Plan, load, verify and record one source in one transaction.

    Args:
        connection: in autocommit mode, outside a transaction.
        source: open for a migration.
        settings: of this start.
        only: source tables to restrict it to.
        before_commit: called last; what it raises undoes everything.
        progress: told how the load goes on.

    Raises:
        PlanRefusedError: cells, tables or columns that cannot be taken.
        SourceRefusedError: PostgreSQL's constraints or the verification refused rows.
    """
    started = time.monotonic()
    with (
        translate_load_errors("the data migration", role=connection.info.user),
        connection.transaction(),
    ):
        configure_session(connection, settings)
        # Where the first row that breaks a check ends the load, the others are looked for only then.
        judged = examine(
            connection,
            source,
            settings,
            only=only,
            is_for_load=True,
            has_checks=settings.on_reject == "quarantine",
        )
        plan = judged.plan
        if plan.refusals and settings.on_reject != "quarantine":
            # Nothing will be loaded: make the list whole.
            plan = replace(plan, refusals=list_violations(source, plan, judged.faces, connection))
        document = report.describe_plan(plan, source=unit.spell(source.path), access=source.access)
        if plan.refusals:
            raise PlanRefusedError(plan.refusals, where=str(source.path), document=document)
        log.get_logger().info(
            "source_planned",
            path=str(source.path),
            tables=len(judged.plan.tables),
            rows=judged.plan.rows,
            skipped=len(judged.plan.skipped),
            seconds=round(time.monotonic() - started, 3),
        )
        for note in judged.plan.notes:
            log.get_logger().info("plan_noted", note=note)
        ensure_ledger(connection, settings.ledger_schema)
        result = _load(connection, source, judged, settings, progress)
        verified = verify_load(
            connection,
            source,
            judged.plan,
            judged.faces,
            result,
            mode=settings.verify,
            timezone=settings.source_timezone,
            mapping=settings.mapping,
            only=only,
        )
        sampled = [name for name, way in verified["tables"].items() if way == "sample"]
        log.get_logger().info(
            "load_verified",
            mode=settings.verify,
            cells=verified["cells"],
            **({"sample": sampled} if sampled else {}),
        )
        source.prove_unchanged()
        document["result"] = report.describe_result(result) | {"verified": verified}
        run_id = ledger.record_success(
            connection,
            settings.ledger_schema,
            path=source.path,
            fingerprint=None if only else source.fingerprint,
            stamp=source.stamp,
            report=document,
            seconds=time.monotonic() - started,
        )
        stored = judged.rejects.store(connection, settings.ledger_schema, run_id, judged.plan.tables)
        if stored:
            log.get_logger().warning(
                "rows_quarantined",
                rows=stored,
                where=f"{settings.ledger_schema}.rejects",
                run=run_id,
            )
        advance_sequences(connection, judged.plan.tables, source, judged.faces)
        before_commit()
    return Migrated(run_id=run_id, plan=judged.plan, result=result, document=document)


def _load(
    connection: psycopg.Connection[Any],
    source: SourceDatabase,
    judged: Judged,
    settings: Settings,
    progress: Progress,
) -> LoadResult:
    """Load the rows; where one breaks a check, refuse with all that do."""
    try:
        with translate_load_errors("the data migration", role=connection.info.user), connection.transaction():
            return load_rows(
                connection,
                source,
                judged.plan,
                judged.faces,
                on_conflict=settings.on_conflict,
                progress=progress,
            )
    except CheckViolatedError:
        refusals = list_violations(source, judged.plan, judged.faces, connection)
        if not refusals:
            raise
        plan = replace(judged.plan, refusals=refusals)
        document = report.describe_plan(plan, source=unit.spell(source.path), access=source.access)
        raise PlanRefusedError(refusals, where=str(source.path), document=document) from None
