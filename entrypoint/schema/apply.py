"""The schema step on a connection: apply what is pending, revert, adopt.

Owns the order, and that a script and its ledger row go together. Expects the bootstrap lock to be held
by the caller; takes none.
"""

from __future__ import annotations

from typing import Any

import psycopg

from entrypoint.errors import SchemaError
from entrypoint.postgres.failures import translate_errors
from entrypoint.schema import ledger
from entrypoint.schema.adoption import refuse_unknown_tables
from entrypoint.schema.migration import AppliedMigration, Migration, order_of, spell_version
from entrypoint.schema.runner import DEFAULT_LOCK_TIMEOUT_S, Limits
from entrypoint.schema.script import logged_notices
from entrypoint.schema.state import SchemaState, read_state
from entrypoint.schema.step import Bookkeeping, Step, run_script


def apply_pending(
    connection: psycopg.Connection[Any],
    *,
    migrations: tuple[Migration, ...],
    ledger_schema: str,
    deadline: float,
    lock_timeout_s: float = DEFAULT_LOCK_TIMEOUT_S,
) -> tuple[AppliedMigration, ...]:
    """Apply every migration that has no row in the ledger, in order, each with its row.

    The ledger is created and read here, so that it may be called at once when the lock has been obtained.

    Args:
        connection: in autocommit mode, under the bootstrap lock.
        migrations: what `read_migrations` returned.
        ledger_schema: the PostgreSQL schema of the ledger.
        deadline: the end of the step on `time.monotonic()`'s clock, in seconds.
        lock_timeout_s: how long one attempt waits for a lock; attempts go on until the deadline.

    Returns:
        The new rows; those before a failure stay applied.

    Raises:
        SchemaError: the files and the ledger disagree, or a file failed: names file and line.
        DeadlineExceededError: the deadline passed.
        NotPermittedError: the ledger may not be written.
        UnreachableError: the connection was lost.
    """
    with translate_errors("the schema step", role=connection.info.user):
        ledger.prepare_ledger(connection, ledger_schema)
        state = read_state(connection, ledger_schema=ledger_schema, migrations=migrations)
        state.check()
        warn_about(state)
        if not state.pending:
            return ()
        if not state.applied:
            refuse_unknown_tables(connection, ledger_schema=ledger_schema, pending=state.pending)
        step = Step(
            connection=connection,
            ledger_schema=ledger_schema,
            limits=Limits(deadline=deadline, lock_timeout_s=lock_timeout_s),
        )
        with logged_notices(connection):
            return tuple(_apply(step, migration) for migration in state.pending)


def revert(
    connection: psycopg.Connection[Any],
    *,
    migrations: tuple[Migration, ...],
    ledger_schema: str,
    steps: int,
    deadline: float,
    lock_timeout_s: float = DEFAULT_LOCK_TIMEOUT_S,
) -> tuple[Migration, ...]:
    """Revert the newest `steps` migrations, newest first, each with its row; all of them can be or none is.

    Args and errors are those of `apply_pending`; besides:

    Raises:
        SchemaError: nothing is applied, fewer than `steps` are, or one of them cannot be reverted.
    """
    with translate_errors("the schema step", role=connection.info.user):
        state = read_state(connection, ledger_schema=ledger_schema, migrations=migrations)
        chosen = _choose_reverted(state, migrations, steps)
        step = Step(
            connection=connection,
            ledger_schema=ledger_schema,
            limits=Limits(deadline=deadline, lock_timeout_s=lock_timeout_s),
        )
        with logged_notices(connection):
            for migration, row in chosen:
                _revert(step, migration, row)
    return tuple(migration for migration, _ in chosen)


def baseline(
    connection: psycopg.Connection[Any],
    *,
    migrations: tuple[Migration, ...],
    ledger_schema: str,
    version: int,
) -> tuple[AppliedMigration, ...]:
    """Record every migration up to `version` as applied without running it: the database already has it.

    Rows that are there stay, except that an interrupted run counts as finished and an edited file as it
    is now.

    Args:
        version: of one of the migrations; see `parse_version`.

    Returns:
        The rows that were written for migrations that had none.

    Raises:
        SchemaError: no file has that version.
    """
    if all(migration.version != version for migration in migrations):
        known = ", ".join(spell_version(migration.version) for migration in migrations) or "none"
        raise SchemaError(
            f"no migration has version {spell_version(version)}",
            remedy=f"name one of the files' versions: {known}",
        )
    written = []
    with translate_errors("the schema step", role=connection.info.user):
        ledger.prepare_ledger(connection, ledger_schema)
        with connection.transaction():
            rows = {row.version: row for row in ledger.read_applied(connection, ledger_schema)}
            for migration in migrations:
                if order_of(migration.version) > order_of(version):
                    break
                row = rows.get(migration.version)
                if row is None:
                    written.append(ledger.write_row(connection, ledger_schema, migration, state="baseline"))
                elif row.state == "started" or row.checksum != migration.checksum:
                    state = "baseline" if row.state == "started" else row.state
                    ledger.change_state(
                        connection, ledger_schema, row.version, state=state, checksum=migration.checksum
                    )
    _log("migrations_adopted", up_to=spell_version(version), recorded=len(written))
    return tuple(written)


def warn_about(state: SchemaState) -> None:
    """Log what is remarkable about a state and yet no reason to stop."""
    if state.ahead or state.missing:
        from entrypoint.log import get_logger  # structlog, only where there is something to say

    if state.ahead:
        get_logger().warning(
            "database_found_ahead",
            applied_without_file=[row.name for row in state.ahead],
            meaning="an older image runs on the schema of a newer one",
        )
    if state.missing:
        get_logger().warning("migration_files_missing", names=[row.name for row in state.missing])


def _apply(step: Step, migration: Migration) -> AppliedMigration:
    connection, schema = step.connection, step.ledger_schema

    def finish(duration_s: float) -> AppliedMigration:
        return ledger.write_row(connection, schema, migration, state="applied", duration_s=duration_s)

    row = run_script(
        step,
        migration.up,
        migration.layout,
        Bookkeeping(
            begin=lambda: ledger.write_row(connection, schema, migration, state="started"),
            undo=lambda: ledger.delete_row(connection, schema, migration.version),
            finish=finish,
        ),
    )
    _log(
        "migration_applied",
        version=spell_version(migration.version),
        name=migration.name,
        duration_s=round(row.duration_s or 0, 3),
    )
    return row


def _revert(step: Step, migration: Migration, row: AppliedMigration) -> None:
    connection, schema, version = step.connection, step.ledger_schema, migration.version
    assert migration.down is not None

    def finish(_duration_s: float) -> AppliedMigration:
        ledger.delete_row(connection, schema, version)
        return row

    run_script(
        step,
        migration.down,
        migration.layout,
        Bookkeeping(
            begin=lambda: ledger.change_state(connection, schema, version, state="started"),
            undo=lambda: ledger.change_state(connection, schema, version, state=row.state),
            finish=finish,
        ),
    )
    _log("migration_reverted", version=spell_version(version), name=migration.name)


def _choose_reverted(
    state: SchemaState, migrations: tuple[Migration, ...], steps: int
) -> tuple[tuple[Migration, AppliedMigration], ...]:
    if steps < 1:
        raise SchemaError("at least one migration has to be reverted", remedy="give --steps a number from 1")
    if not state.applied:
        raise SchemaError("no migration is applied", remedy="there is nothing to revert")
    if steps > len(state.applied):
        raise SchemaError(
            f"only {len(state.applied)} migrations are applied",
            remedy=f"ask for at most {len(state.applied)} steps",
        )
    files = {migration.version: migration for migration in migrations}
    chosen = []
    for row in reversed(state.applied[-steps:]):
        migration = files.get(row.version)
        if migration is None:
            raise SchemaError(
                "is applied, but its file is not here",
                where=row.name,
                remedy="revert it with the image that has the file, or restore a backup",
            )
        if migration.down is None:
            raise SchemaError(
                "cannot be reverted: it has no down part",
                where=migration.label,
                remedy="restore a backup from before it",
            )
        chosen.append((migration, row))
    reverted = {migration.label for migration, _ in chosen}
    for problem in state.problems:
        if problem.where in reverted:
            raise problem
    return tuple(chosen)


def _log(event: str, **values: object) -> None:
    from entrypoint.log import get_logger  # structlog, only where something was done

    get_logger().info(event, **values)
