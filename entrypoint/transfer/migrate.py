"""One source into one target: check, plan, load, verify, record; the part between lock and retire.

Owns the order of these phases and the transaction around them. Whether a source is to be migrated, and
what happens to its file afterwards, is decided above.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from entrypoint import log
from entrypoint.errors import ConfigurationError, SourceRefusedError
from entrypoint.model import LoadResult, Plan, Refusal
from entrypoint.postgres import catalog
from entrypoint.postgres.failures import CheckViolatedError, translate_errors, translate_load_errors
from entrypoint.postgres.ledger import ensure_ledger
from entrypoint.postgres.privileges import require_privileges
from entrypoint.settings import Settings
from entrypoint.sqlite import introspect, unit
from entrypoint.sqlite.source import SourceDatabase, open_source
from entrypoint.transfer import ledger, report
from entrypoint.transfer.cells import has_data
from entrypoint.transfer.census import Judged, judge_cells
from entrypoint.transfer.checks import list_violations
from entrypoint.transfer.compare import compare_table
from entrypoint.transfer.load import Progress, load_rows
from entrypoint.transfer.mapped import list_unfit_defaults
from entrypoint.transfer.matching import find_matches
from entrypoint.transfer.merge import CONFLICT_REMEDY
from entrypoint.transfer.plan import make_plan
from entrypoint.transfer.readings import Sides
from entrypoint.transfer.rights import list_uses
from entrypoint.transfer.sequences import advance_sequences
from entrypoint.transfer.untouched import note_untouched
from entrypoint.transfer.verify import verify_load

# Reads of the plan happen in the load's transaction; a lock that another session holds on a table is
# waited for this long, so that readers do not queue behind us for the whole of MIGRATION_TIMEOUT.
_LOCK_TIMEOUT_S = 30


class PlanRefusedError(SourceRefusedError):
    """The plan found what cannot be taken.

    Args:
        refusals: all of it.
        where: the source.
        document: the whole plan.
    """

    def __init__(self, refusals: tuple[Refusal, ...], *, where: str, document: dict[str, Any]) -> None:
        first = refusals[0]
        place = first.table + (f".{first.column}" if first.column else "")
        rest = f" (and {len(refusals) - 1} more)" if len(refusals) > 1 else ""
        hint = " (--write-mapping FILE writes one)" if any(refusal.entries for refusal in refusals) else ""
        super().__init__(
            f"{len(refusals)} refusal(s): {place}: {first.reason}{rest}",
            where=where,
            remedy="see them all with `entrypoint migrate --dry-run`, correct the source or the mapping file"
            + hint,
        )
        self.refusals = refusals
        self.document = document


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


def examine(
    connection: psycopg.Connection[Any],
    source: SourceDatabase,
    settings: Settings,
    *,
    only: tuple[str, ...] = (),
    is_for_load: bool = False,
    has_checks: bool = False,
) -> Judged:
    """Return the judged plan for one source; reads both sides and writes neither.

    Args:
        connection: inside a transaction.
        source: open.
        settings: mapping and ledger schema count.
        only: source tables to restrict the plan to.
        is_for_load: require the privileges that loading takes.
        has_checks: have PostgreSQL evaluate its checks over the rows.

    Raises:
        NotPermittedError: privileges are missing; it names all of them.
    """
    source.check_integrity()
    tables, skipped = introspect.read_tables(source)
    with translate_errors("reading the catalog", role=connection.info.user):
        targets = catalog.read_tables(connection, ledger_schema=settings.ledger_schema)
        plan = make_plan(
            tables,
            targets,
            mapping=settings.mapping,
            has_data=partial(has_data, source),
            skipped=skipped,
            only=only,
            unreachable=catalog.read_unreachable(connection, ledger_schema=settings.ledger_schema),
        )
        if is_for_load:
            uses = list_uses(
                plan, on_conflict=settings.on_conflict, has_rows=lambda table: has_data(source, table, None)
            )
            require_privileges(connection, uses, ledger_schema=settings.ledger_schema)
        if problems := tuple(list_unfit_defaults(connection, plan)):
            raise ConfigurationError(*problems)
        if not only:
            untouched = note_untouched(connection, plan, targets, ledger_schema=settings.ledger_schema)
            plan = replace(plan, notes=plan.notes + untouched)
        return judge_cells(
            source,
            plan,
            connection,
            can_quarantine=settings.on_reject == "quarantine",
            on_conflict=settings.on_conflict,
            has_checks=has_checks,
        )


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
        if (
            plan.refusals and settings.on_reject != "quarantine"
        ):  # nothing will be loaded: make the list whole
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
        advance_sequences(connection, judged.plan.tables)
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


def shares_tables(connection: psycopg.Connection[Any], path: Path, settings: Settings) -> bool:
    """Tell whether any table of the source at `path` has a place in the target."""
    with translate_errors("reading the catalog", role=connection.info.user):
        targets = catalog.read_tables(connection, ledger_schema=settings.ledger_schema)
    with open_source(path, is_for_migration=False) as source:
        tables, _ = introspect.read_tables(source)
    return any(table.name in settings.mapping.tables or find_matches(table.name, targets) for table in tables)


def configure_session(connection: psycopg.Connection[Any], settings: Settings) -> None:
    """Fix what gives text its meaning and have the server hold the limits too, for one transaction."""
    timeout_ms = str(int(settings.migration_timeout_s * 1000))
    values = {
        "TimeZone": settings.source_timezone,
        "DateStyle": "ISO, YMD",
        "IntervalStyle": "postgres",
        "bytea_output": "hex",
        "extra_float_digits": "1",
        "standard_conforming_strings": "on",
        "statement_timeout": timeout_ms,
        "idle_in_transaction_session_timeout": timeout_ms,
        # Below the other limit, so that who holds the lock is said.
        "lock_timeout": str(int(min(_LOCK_TIMEOUT_S, 0.8 * settings.migration_timeout_s) * 1000)),
        "row_security": "off",  # rows that a policy would hide are an error, not a silence
    }
    connection.execute(
        "SELECT set_config(name, value, true) FROM unnest(%s::text[], %s::text[]) AS s (name, value)",
        (list(values), list(values.values())),
    )
