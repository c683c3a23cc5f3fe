"""The commands beside the story: each does one thing by hand, prints what it found, returns an exit code.

Owns what is printed on stdout (text for a reader, or a JSON document with `version`). The phases they call
are those of `bootstrap`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from entrypoint import bootstrap, log, report_text
from entrypoint.conninfo import Conninfo
from entrypoint.errors import (
    ConfigurationError,
    EntrypointError,
    NotPermittedError,
    SourceNotFoundError,
    SourceRefusedError,
    StoppedError,
    UnreachableError,
    UsageError,
)
from entrypoint.interrupts import Interrupted
from entrypoint.postgres.failures import translate_errors
from entrypoint.postgres.ledger import is_ledger_present
from entrypoint.postgres.lock import hold_lock
from entrypoint.postgres.wait import wait_until_ready
from entrypoint.progress import choose_reporter
from entrypoint.schema.apply import baseline, revert
from entrypoint.schema.layouts import read_migrations
from entrypoint.schema.ledger import read_applied
from entrypoint.schema.migration import Migration, parse_version
from entrypoint.schema.state import list_status
from entrypoint.settings import Settings
from entrypoint.sqlite import unit
from entrypoint.transfer import ledger, sources
from entrypoint.transfer.discover import find_named
from entrypoint.transfer.migrate import PlanRefusedError, plan_source, verify_source
from entrypoint.transfer.report import REPORT_VERSION, log_refusals

Command = Callable[[Settings, argparse.Namespace], int]

_RUNS_SHOWN = 10


def wait(settings: Settings, _arguments: argparse.Namespace) -> int:
    """Wait until PostgreSQL is ready. The contract knows two outcomes, 0 and 69."""
    try:
        _connect(settings, "wait").close()
    except NotPermittedError as error:
        raise UnreachableError(error.what, where=error.where, remedy=error.remedy) from error
    return 0


# --- schema --------------------------------------------------------------------------------------


def schema_up(settings: Settings, arguments: argparse.Namespace) -> int:
    """Apply every pending schema migration, or record those a database already contains."""
    with _connect(settings, "schema") as connection, _lock(settings):
        if arguments.baseline is None:
            bootstrap.apply_schema(connection, settings)
            return 0
        written = baseline(
            connection,
            migrations=_read_migrations(settings),
            ledger_schema=settings.ledger_schema,
            version=parse_version(arguments.baseline),
        )
    _print(f"recorded {len(written)} schema migration(s) as applied")
    return 0


def schema_down(settings: Settings, arguments: argparse.Namespace) -> int:
    """Revert the newest schema migrations."""
    if arguments.steps < 1:
        raise UsageError("--steps must be at least 1")
    with _connect(settings, "schema") as connection, _lock(settings):
        reverted = revert(
            connection,
            migrations=_read_migrations(settings),
            ledger_schema=settings.ledger_schema,
            steps=arguments.steps,
            deadline=time.monotonic() + settings.schema_timeout_s,
        )
    for migration in reverted:
        _print(f"reverted {migration.name}")
    return 0


def schema_status(settings: Settings, arguments: argparse.Namespace) -> int:
    """List the schema migrations of files and ledger."""
    with _connect(settings, "status") as connection:
        rows = list_status(_read_migrations(settings), read_applied(connection, settings.ledger_schema))
    if arguments.json:
        migrations = [
            {"version": row.version, "name": row.name, "state": row.state, "applied_at": row.applied_at}
            for row in rows
        ]
        _print_json({"migrations": migrations})
    else:
        _print(report_text.write_schema_status(rows))
    return 0


# --- data ----------------------------------------------------------------------------------------


def migrate(settings: Settings, arguments: argparse.Namespace) -> int:
    """Migrate a source by hand: the same path and the same lock as `run`."""
    only = tuple(arguments.table)
    with _connect(settings, "migrate") as connection:
        if arguments.dry_run:
            return _dry_run(connection, settings, only, as_json=arguments.json)
        with _lock(settings) as lock:
            path = _find_source(connection, settings)
            if path is None:
                return _report_nothing(as_json=arguments.json)
            if not arguments.yes and sys.stdin.isatty():
                plan, _ = plan_source(connection, path, settings, only=only)
                if not plan.refusals and not _is_confirmed(path, plan.rows, len(plan.tables), settings):
                    raise UsageError("not confirmed", remedy="nothing was changed")
            started = time.monotonic()
            try:
                migrated = bootstrap.migrate_file(
                    connection,
                    settings,
                    lock,
                    path,
                    only=only,
                    progress=choose_reporter(wants_bar=not arguments.json),
                )
            except (EntrypointError, Interrupted) as stop:
                failure = stop.error if isinstance(stop, Interrupted) else stop
                if not isinstance(failure, StoppedError):
                    bootstrap.record_failure(settings, path, failure, seconds=time.monotonic() - started)
                if arguments.json and isinstance(failure, PlanRefusedError):
                    _print_json({"status": "refused", **failure.document})
                raise
    if arguments.json:
        _print_json({"status": "migrated", **migrated.document})
    else:
        _print(report_text.write_result(migrated.result))
    return 0


def verify(settings: Settings, arguments: argparse.Namespace) -> int:
    """Compare a source, retired or live, with PostgreSQL, cell by cell."""
    with _connect(settings, "verify") as connection:
        path = _find_migrated(connection, settings)
        document = verify_source(connection, path, settings)
    is_equal = not document["differing"] and not document["refusals"]
    if arguments.json:
        _print_json({"status": "equal" if is_equal else "different", **document})
    else:
        _print(report_text.write_verification(document))
    if not is_equal:
        raise SourceRefusedError(
            f"{document['differing']} of {document['rows']} row(s) differ from PostgreSQL's"
            + (f", {len(document['refusals'])} refusal(s)" if document["refusals"] else ""),
            where=str(path),
            remedy="rows that the application changed since are expected to; the others are listed above",
        )
    return 0


def _find_migrated(connection: psycopg.Connection[Any], settings: Settings) -> Path:
    """Return the source that is named, else the one that was migrated last, wherever it lies now."""
    if settings.sqlite_url is not None:
        return find_named(settings.sqlite_url)
    for success in bootstrap.read_successes(connection, settings):
        path = success.retired_path or success.path
        if path.exists():
            return path
    due = _find_source(connection, settings)
    if due is None:
        raise SourceNotFoundError(
            "no SQLite source was migrated or is there to compare", remedy="name one with --sqlite-url"
        )
    return due


def _dry_run(
    connection: psycopg.Connection[Any], settings: Settings, only: tuple[str, ...], *, as_json: bool
) -> int:
    path = _find_source(connection, settings)
    if path is None:
        return _report_nothing(as_json=as_json)
    plan, document = plan_source(connection, path, settings, only=only)
    if as_json:
        _print_json({"status": "refused" if plan.refusals else "planned", **document})
    else:
        _print(report_text.write_plan(plan, source=unit.spell(path)))
    if plan.refusals:
        if as_json:
            log_refusals(plan.refusals)
        raise PlanRefusedError(plan.refusals, where=str(path), document=document)
    return 0


def _report_nothing(*, as_json: bool) -> int:
    if as_json:
        _print_json({"status": "nothing to do"})
    else:
        _print("nothing to do: no SQLite source that has not been migrated")
    return 0


def _find_source(connection: psycopg.Connection[Any], settings: Settings) -> Path | None:
    """Return the source that is due, or None; a second one is merged only if it is named."""
    successes = bootstrap.read_successes(connection, settings)
    assessment = sources.assess(settings, successes)
    if not assessment.has_success:
        sources.require_readable(assessment)
    if not assessment.new:
        return None
    if assessment.has_success and settings.sqlite_url is None:
        names = ", ".join(str(path) for group in assessment.new for path in group)
        raise ConfigurationError(
            f"a data migration was committed before, and {names} could bring deleted rows back; "
            "name the file with --sqlite-url to merge it all the same"
        )
    return bootstrap.choose_source(connection, assessment.new, settings)


def _is_confirmed(path: Path, rows: int, tables: int, settings: Settings) -> bool:
    print(  # noqa: T201
        f"Migrate {rows:,} rows of {tables} tables from {path} into {_target(settings).display()}? [y/N] ",
        end="",
        file=sys.stderr,
        flush=True,
    )
    return sys.stdin.readline().strip().lower() in ("y", "yes")


# --- status --------------------------------------------------------------------------------------


def status(settings: Settings, arguments: argparse.Namespace) -> int:
    """Say what was migrated, when and from where, which schema is pending, which sources lie there."""
    with (
        _connect(settings, "status") as connection,
        translate_errors("reading the ledger", role=connection.info.user),
    ):
        migrations = list_status(_read_migrations(settings), read_applied(connection, settings.ledger_schema))
        has_ledger = is_ledger_present(connection, settings.ledger_schema)
        runs = ledger.read_runs(connection, settings.ledger_schema, limit=_RUNS_SHOWN) if has_ledger else []
        assessment = sources.assess(settings, bootstrap.read_successes(connection, settings))
    document = {
        "target": _target(settings).display(),
        "schema": {
            "applied": sum(row.state in ("applied", "baseline") for row in migrations),
            "pending": [row.name for row in migrations if row.state == "pending"],
            "problems": [
                {"name": row.name, "state": row.state}
                for row in migrations
                if row.state not in ("applied", "baseline", "pending")
            ],
        },
        "runs": runs,
        "sources": {
            "new": [unit.spell(path) for group in assessment.new for path in group],
            "migrated_not_renamed": [unit.spell(path) for path, _ in assessment.unretired],
            "changed_after_migration": [unit.spell(path) for path in assessment.changed],
        },
    }
    if arguments.json:
        _print_json(document)
    else:
        _print(report_text.write_status(document))
    return 0


def demo(settings: Settings, _arguments: argparse.Namespace) -> int:
    """Show the main job on an embedded PostgreSQL."""
    from entrypoint.demo import run_demo  # an extra, and nothing a start needs

    return run_demo(settings)


# --- what they share -----------------------------------------------------------------------------


def _target(settings: Settings) -> Conninfo:
    if settings.direct is None:
        raise ConfigurationError(
            "no PostgreSQL is configured: set DATABASE_URL to a postgresql:// URL, or libpq's PGHOST"
        )
    return settings.direct


def _connect(settings: Settings, purpose: str) -> psycopg.Connection[Any]:
    return wait_until_ready(_target(settings), timeout_s=settings.wait_timeout_s, purpose=purpose)


def _lock(settings: Settings) -> AbstractContextManager[Any]:
    return hold_lock(
        _target(settings), ledger_schema=settings.ledger_schema, timeout_s=settings.lock_timeout_s
    )


def _read_migrations(settings: Settings) -> tuple[Migration, ...]:
    return read_migrations(settings.migrations_dir, is_required=settings.is_migrations_dir_explicit)


def _print(text: str) -> None:
    print(log.make_presentable(text))  # noqa: T201


def _print_json(document: dict[str, Any]) -> None:
    encoded = msgspec.json.encode(log.redact_values({"version": REPORT_VERSION, **document}))
    print(msgspec.json.format(encoded, indent=2).decode())  # noqa: T201


COMMANDS: dict[str, Command] = {
    "wait": wait,
    "migrate": migrate,
    "verify": verify,
    "status": status,
    "demo": demo,
}
SCHEMA_ACTIONS: dict[str, Command] = {"up": schema_up, "down": schema_down, "status": schema_status}
