"""`entrypoint migrate` and `verify`: a data migration, or a comparison, by hand.

Owns the choice of the source, the question before writing, and what is printed.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import psycopg

from entrypoint import bootstrap, log, plan_text, report_text
from entrypoint.commands.shared import (
    connect,
    hold_bootstrap_lock,
    print_document,
    print_text,
    require_target,
)
from entrypoint.errors import (
    ConfigurationError,
    EntrypointError,
    SourceNotFoundError,
    SourceRefusedError,
    StoppedError,
    UsageError,
)
from entrypoint.interrupts import Interrupted
from entrypoint.mapping_text import require_new_file, write_mapping, write_new_file
from entrypoint.progress import choose_reporter
from entrypoint.settings import Settings
from entrypoint.sqlite import unit
from entrypoint.transfer import sources
from entrypoint.transfer.dry_run import plan_source
from entrypoint.transfer.refusals import PlanRefusedError
from entrypoint.transfer.report import log_refusals
from entrypoint.transfer.reverify import verify_source


def migrate(settings: Settings, arguments: argparse.Namespace) -> int:
    """Migrate a source by hand: the same path and the same lock as `run`."""
    only = tuple(arguments.table)
    destination = _read_destination(arguments)
    if arguments.again and settings.sqlite_url is None:
        raise UsageError("--again merges a source that is named", remedy="name the file with --sqlite-url")
    with connect(settings, "migrate") as connection:
        if arguments.dry_run or destination is not None:
            return _dry_run(connection, settings, arguments, destination)
        with hold_bootstrap_lock(settings) as lock:
            path = _choose_path(connection, settings, arguments)
            if path is None:
                return _report_nothing(connection, settings, as_json=arguments.json)
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
                    print_document({"status": "refused", **failure.document})
                raise
    if arguments.json:
        print_document({"status": "migrated", **migrated.document})
    else:
        print_text(report_text.write_result(migrated.result))
    return 0


def verify(settings: Settings, arguments: argparse.Namespace) -> int:
    """Compare a source, retired or live, with PostgreSQL, cell by cell."""
    with connect(settings, "verify") as connection:
        path = _find_migrated(connection, settings)
        document = verify_source(connection, path, settings)
    is_equal = not document["differing"] and not document["refusals"]
    if arguments.json:
        print_document({"status": "equal" if is_equal else "different", **document})
    else:
        print_text(report_text.write_verification(document))
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
    successes = bootstrap.read_successes(connection, settings)
    if settings.sqlite_url is not None:
        return sources.find_migrated(settings.sqlite_url, successes)
    for success in successes:
        path = success.retired_path or success.path
        if path.exists():
            return path
    due = find_due_source(connection, settings)
    if due is None:
        raise SourceNotFoundError(
            "no SQLite source was migrated or is there to compare", remedy="name one with --sqlite-url"
        )
    return due


def _read_destination(arguments: argparse.Namespace) -> str | None:
    """Return where a mapping file is to be written, `-` for the standard output; None: nowhere."""
    destination: str | None = arguments.write_mapping
    if destination == "-" and arguments.json:
        raise UsageError("--json and --write-mapping - both want the standard output", remedy="name a file")
    if destination == "":
        raise UsageError("--write-mapping needs the name of a file", remedy="name one, or - to print it")
    if destination is not None and destination != "-":
        require_new_file(Path(destination))
    return destination


def _dry_run(
    connection: psycopg.Connection[Any],
    settings: Settings,
    arguments: argparse.Namespace,
    destination: str | None,
) -> int:
    as_json = arguments.json
    path = _choose_path(connection, settings, arguments)
    if path is None:
        return _report_nothing(connection, settings, as_json=as_json)
    plan, document = plan_source(connection, path, settings, only=tuple(arguments.table))
    if destination is not None:
        text = write_mapping(settings.mapping, plan.refusals, source=unit.spell(path))
        if destination == "-":
            print_text(text)
        else:
            write_new_file(Path(destination), text)
            log.get_logger().info("mapping_written", path=destination)
    if as_json:
        print_document({"status": "refused" if plan.refusals else "planned", **document})
    elif destination != "-":
        print_text(plan_text.write_plan(plan, source=unit.spell(path)))
    if plan.refusals:
        if as_json:
            log_refusals(plan.refusals)
        raise PlanRefusedError(plan.refusals, where=str(path), document=document, is_listed=True)
    return 0


def _choose_path(
    connection: psycopg.Connection[Any], settings: Settings, arguments: argparse.Namespace
) -> Path | None:
    """Return the source to migrate, None where none is due; with `--again` the named one always is."""
    if arguments.again and settings.sqlite_url is not None:
        successes = bootstrap.read_successes(connection, settings)
        return sources.find_migrated(settings.sqlite_url, successes)
    return find_due_source(connection, settings)


def _report_nothing(connection: psycopg.Connection[Any], settings: Settings, *, as_json: bool) -> int:
    """Say that no source is due, and of one that was named all the same, why not."""
    known = sources.find_known(settings, bootstrap.read_successes(connection, settings))
    if not as_json:
        print_text("nothing to do: no SQLite source that has not been migrated")
        if known is not None:
            path, run = known
            print_text(f"{unit.spell(path)} was migrated in run {run}; --again merges it once more")
        return 0
    print_document({"status": "nothing to do"})
    if known is not None:
        path, run = known
        log.get_logger().info(
            "source_migrated_before", path=str(path), run=run, remedy="--again merges it once more"
        )
    return 0


def find_due_source(connection: psycopg.Connection[Any], settings: Settings) -> Path | None:
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
    target = require_target(settings).display()
    print(  # noqa: T201
        f"Migrate {rows:,} rows of {tables} tables from {path} into {target}? [y/N] ",
        end="",
        file=sys.stderr,
        flush=True,
    )
    return sys.stdin.readline().strip().lower() in ("y", "yes")
