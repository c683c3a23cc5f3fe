"""The story of `run`: wait, lock, schema, discover, plan, load, verify, commit, retire.

Owns the order of the phases, what is done without the lock, and what a failure of the data migration
means for the start. Each phase is a module of its own. Executing the application is `handover`'s.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from entrypoint import log
from entrypoint.errors import (
    ConfigurationError,
    EntrypointError,
    LockNotObtainedError,
    NotPermittedError,
    SourceNotFoundError,
    StoppedError,
    UnreachableError,
)
from entrypoint.interrupts import Interrupted, deadline
from entrypoint.postgres.failures import translate_errors
from entrypoint.postgres.ledger import ensure_ledger, is_ledger_present
from entrypoint.postgres.lock import Lock, hold_lock
from entrypoint.postgres.privileges import require_ledger_privileges
from entrypoint.postgres.wait import wait_until_ready
from entrypoint.progress import ProgressReporter
from entrypoint.schema.apply import apply_pending, warn_about
from entrypoint.schema.command import run_schema_command
from entrypoint.schema.layouts import read_migrations
from entrypoint.schema.state import read_state
from entrypoint.settings import Settings, make_environment
from entrypoint.sqlite import unit
from entrypoint.sqlite.source import open_source
from entrypoint.transfer import ledger, retire, sources
from entrypoint.transfer.refusals import PlanRefusedError
from entrypoint.transfer.report import describe_refusal, log_refusals

if TYPE_CHECKING:
    from entrypoint.transfer.migrate import Migrated

Connection = psycopg.Connection[Any]

# After a signal everything ends within 5 s, the note of it included.
_RECORDING_LIMIT_S = 1.5

# Failures that leave no doubt that the application must not start, whatever ON_MIGRATION_FAILURE says:
# they are not the data migration's, or the reader has to put a setting right first.
_NEVER_CONTINUED = (
    ConfigurationError,
    SourceNotFoundError,
    UnreachableError,
    LockNotObtainedError,
    StoppedError,
)


def run(settings: Settings, *, is_migration_only: bool) -> None:
    """Bring the target to where the application can start on it; return when it can.

    Raises:
        EntrypointError: the application must not start; with the reason and the exit code.
    """
    target = settings.direct
    assert target is not None
    with wait_until_ready(target, timeout_s=settings.wait_timeout_s, purpose="run") as connection:
        if is_settled(connection, settings):
            return
        with hold_lock(
            target, ledger_schema=settings.ledger_schema, timeout_s=settings.lock_timeout_s
        ) as lock:
            apply_schema(connection, settings)
            failure = None if settings.skip_migration else migrate_data(connection, settings, lock)
    if failure is not None:
        _judge_failure(failure, settings, is_migration_only=is_migration_only)


def is_settled(connection: Connection, settings: Settings) -> bool:
    """Tell whether this start has nothing to do: no schema migration is pending and no source is new."""
    if not settings.skip_schema:
        if settings.schema_command:
            return False
        migrations = read_migrations(settings.migrations_dir, is_required=settings.is_migrations_dir_explicit)
        with translate_errors("reading the ledger", role=connection.info.user):
            state = read_state(connection, ledger_schema=settings.ledger_schema, migrations=migrations)
        if not state.is_current:
            return False
        warn_about(state)
    if settings.skip_migration:
        return True
    assessment = sources.assess(settings, read_successes(connection, settings))
    if assessment.is_settled:
        sources.report_assessment(assessment)
    return assessment.is_settled


def apply_schema(connection: Connection, settings: Settings) -> None:
    """Bring the schema up to date, by our own runner or the application's command."""
    if settings.skip_schema:
        return
    if settings.schema_command:
        assert settings.direct is not None
        run_schema_command(
            settings.schema_command,
            environment=make_environment(settings, {"DATABASE_URL": settings.direct.command_url()}),
            timeout_s=settings.schema_timeout_s,
        )
        return
    migrations = read_migrations(settings.migrations_dir, is_required=settings.is_migrations_dir_explicit)
    if not migrations:
        return
    started = time.monotonic()
    with deadline(settings.schema_timeout_s, what="the schema step", variable="SCHEMA_TIMEOUT"):
        applied = apply_pending(
            connection,
            migrations=migrations,
            ledger_schema=settings.ledger_schema,
            deadline=started + settings.schema_timeout_s,
        )
    if applied:
        log.get_logger().info(
            "schema_applied",
            migrations=len(applied),
            version=applied[-1].name,
            seconds=round(time.monotonic() - started, 3),
        )


def read_successes(connection: Connection, settings: Settings) -> tuple[ledger.Success, ...]:
    """Return the committed data migrations, none where there is no ledger yet."""
    try:
        with translate_errors("reading the ledger", role=connection.info.user):
            if not is_ledger_present(connection, settings.ledger_schema):
                return ()
            return ledger.read_successes(connection, settings.ledger_schema)
    except NotPermittedError:
        require_ledger_privileges(connection, ledger_schema=settings.ledger_schema)
        raise


def migrate_data(connection: Connection, settings: Settings, lock: Lock) -> EntrypointError | None:
    """Migrate the source that is due, or finish what an earlier start left; return what went wrong.

    Raises:
        EntrypointError: what no setting lets an application start after.
    """
    successes = read_successes(connection, settings)
    assessment = sources.assess(settings, successes)
    sources.report_assessment(assessment)
    finish_retirements(connection, settings, assessment)
    if assessment.has_success or not (assessment.new or assessment.unreadable):
        return None
    started = time.monotonic()
    path: Path | None = None
    try:
        sources.require_readable(assessment)
        path = choose_source(connection, assessment.new, settings)
        migrate_file(connection, settings, lock, path, progress=ProgressReporter())
    except (EntrypointError, Interrupted) as stop:
        failure = stop.error if isinstance(stop, Interrupted) else stop
        record_failure(settings, path, failure, seconds=time.monotonic() - started)
        if isinstance(failure, _NEVER_CONTINUED):
            raise
        return failure
    return None


def choose_source(connection: Connection, groups: tuple[tuple[Path, ...], ...], settings: Settings) -> Path:
    """Return the one source to migrate: the only one, or the first that shares tables with the target.

    Raises:
        ConfigurationError: two in one directory do.
    """
    if sum(len(group) for group in groups) == 1:
        return groups[0][0]
    from entrypoint.transfer.examine import shares_tables  # not in a start that has nothing to do

    for group in groups:
        sharing = [path for path in group if shares_tables(connection, path, settings)]
        if len(sharing) > 1:
            names = " and ".join(str(path) for path in sharing)
            raise ConfigurationError(f"{names} both look like the source; name the right one in SQLITE_URL")
        if sharing:
            return sharing[0]
    return groups[0][0]


def migrate_file(
    connection: Connection,
    settings: Settings,
    lock: Lock,
    path: Path,
    *,
    only: tuple[str, ...] = (),
    progress: ProgressReporter,
) -> Migrated:
    """Migrate one source and retire it; with `only`, just those tables, and the file stays."""
    from entrypoint.transfer.migrate import migrate_source  # not in a start that has nothing to do

    started = time.monotonic()
    log.get_logger().info("migration_started", path=str(path), size_bytes=path.stat().st_size)
    with ExitStack() as limit:
        limit.enter_context(
            deadline(settings.migration_timeout_s, what="the data migration", variable="MIGRATION_TIMEOUT")
        )
        with open_source(path, is_for_migration=True) as source:
            migrated = migrate_source(
                connection, source, settings, only=only, before_commit=lock.check, progress=progress
            )
            # From here on the rows are PostgreSQL's and nothing can be rolled back; what is left is the file.
            limit.close()
            is_untouched = source.release()
    is_in_use = not is_untouched or source.is_open_elsewhere()
    log.get_logger().info(
        "migration_committed",
        path=str(path),
        tables=len(migrated.result.tables),
        rows=migrated.result.rows,
        inserted=sum(table.inserted for table in migrated.result.tables),
        seconds=round(time.monotonic() - started, 3),
    )
    if not only:
        retire_source(connection, settings, path, migrated.run_id)
    if is_in_use:
        log.get_logger().warning(
            "source_still_in_use",
            path=str(path),
            meaning="another process has the file open; what it writes from now on is not in PostgreSQL",
            remedy="stop it; the next start, or `entrypoint status`, says how to merge what it wrote",
        )
    return migrated


def retire_source(connection: Connection, settings: Settings, path: Path, run_id: int) -> Path | None:
    """Rename a migrated source and note it in the ledger; where that fails the ledger alone must do."""
    try:
        retired = path if sources.is_retired_name(path) else retire.retire_unit(path)
    except OSError as error:
        sources.warn_not_retired(path, error.strerror or str(error))
        return None
    with translate_errors("writing the ledger", role=connection.info.user):
        ledger.record_retired(
            connection,
            settings.ledger_schema,
            run_id,
            retired_path=retired,
            stamp=unit.read_stamp(retired),
        )
    log.get_logger().info("source_retired", path=str(path), retired_path=str(retired))
    return retired


def finish_retirements(connection: Connection, settings: Settings, assessment: sources.Assessment) -> None:
    """Rename what an earlier start migrated and could not rename any more."""
    for path, success in assessment.unretired:
        if sources.is_renamable(path):
            retire_source(connection, settings, path, success.id)
    for retired, success in assessment.unrecorded:
        retire.finish_retiring(success.path, retired)
        retire_source(connection, settings, retired, success.id)
    for path, retired in assessment.left_behind:
        retire.finish_retiring(path, retired)


def record_failure(settings: Settings, path: Path | None, error: EntrypointError, *, seconds: float) -> None:
    """Write a failed attempt into the ledger, on a connection of its own; log it where that fails too."""
    assert settings.direct is not None
    refusals = error.refusals if isinstance(error, PlanRefusedError) else ()
    log_refusals(refusals)
    try:
        with (
            wait_until_ready(
                settings.direct,
                timeout_s=_RECORDING_LIMIT_S,
                purpose="ledger",
                settings={"statement_timeout": str(int(_RECORDING_LIMIT_S * 1000))},
            ) as connection,
            translate_errors("writing the ledger", role=connection.info.user),
        ):
            ensure_ledger(connection, settings.ledger_schema)
            if isinstance(error, StoppedError) and _is_committed(connection, settings, path):
                return  # stopped on the way from the commit to the application: nothing has failed
            ledger.record_failure(
                connection,
                settings.ledger_schema,
                path=path,
                error=str(error),
                exit_code=error.exit_code,
                report={"refusals": [describe_refusal(refusal) for refusal in refusals]},
                seconds=seconds,
            )
    except EntrypointError as unrecorded:
        log.get_logger().warning("failure_not_recorded", reason=str(unrecorded))


def _is_committed(connection: Connection, settings: Settings, path: Path | None) -> bool:
    return any(success.path == path for success in read_successes(connection, settings))


def _judge_failure(failure: EntrypointError, settings: Settings, *, is_migration_only: bool) -> None:
    """Raise the failure, or log it and let the application start on PostgreSQL as it was."""
    if is_migration_only or settings.on_migration_failure == "abort":
        raise failure
    log.get_logger().error(
        "migration_failed",
        error=str(failure),
        exit_code=failure.exit_code,
        consequence="the source is untouched, PostgreSQL is as it was, the application starts "
        "(ON_MIGRATION_FAILURE=continue)",
    )
