"""Read both sides and judge what would become of every row: the part that a look and a migration share.

Owns how a session is set up for it and in which order the questions are asked. Writes on neither side.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from entrypoint.errors import ConfigurationError
from entrypoint.postgres import catalog
from entrypoint.postgres.failures import translate_errors
from entrypoint.postgres.privileges import require_privileges
from entrypoint.settings import Settings
from entrypoint.sqlite import introspect
from entrypoint.sqlite.source import SourceDatabase, open_source
from entrypoint.transfer.cells import has_data
from entrypoint.transfer.census import Judged, judge_cells
from entrypoint.transfer.plan import make_plan
from entrypoint.transfer.plan.mapped import list_unfit_defaults
from entrypoint.transfer.plan.matching import find_matches
from entrypoint.transfer.plan.rights import list_uses
from entrypoint.transfer.plan.untouched import note_untouched

# Reads of the plan happen in the load's transaction; a lock that another session holds on a table is
# waited for this long, so that readers do not queue behind us for the whole of MIGRATION_TIMEOUT.
_LOCK_TIMEOUT_S = 30


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
