"""Help for integration tests of conversions: one source file into one database, by the real path."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import apsw
import pytest

from entrypoint.mapping import parse_mapping
from entrypoint.model import Refusal
from entrypoint.postgres.ledger import ensure_ledger
from entrypoint.progress import ProgressReporter
from entrypoint.settings import Settings, load_settings
from entrypoint.sqlite.source import open_source
from entrypoint.transfer.dry_run import plan_source
from entrypoint.transfer.migrate import Migrated, migrate_source
from entrypoint.transfer.refusals import PlanRefusedError
from tests.programs import Ended, run_program
from tests.servers import Database

Rows = Iterable[Sequence[Any]]


def write_table(path: Path, ddl: str, rows: Rows = (), *, pragmas: str = "") -> Path:
    """Write a source of one table `t`; a row's cells stand in the order of its columns."""
    path.unlink(missing_ok=True)
    connection = apsw.Connection(str(path))
    with contextlib.closing(connection):
        connection.execute(f"{pragmas};{ddl}")
        with connection:
            add_rows(connection, rows)
    return path


def add_rows(connection: apsw.Connection, rows: Rows) -> None:
    for row in rows:
        connection.execute(f"INSERT INTO t VALUES ({', '.join('?' * len(row))})", tuple(row))


def make_settings(database: Database, *, mapping: str = "", **variables: str) -> Settings:
    """Return settings for a database; counts are verified unless asked otherwise: the oracle is the test."""
    environment = {"DATABASE_URL": database.url, "VERIFY": "counts", **variables}
    settings = load_settings({}, environment)
    if mapping:
        object.__setattr__(settings, "mapping", parse_mapping(mapping, name="map.toml"))
    return settings


def migrate(database: Database, path: Path, *, mapping: str = "", **variables: str) -> Migrated:
    """Migrate the source's table `t` with all that belongs to it, but the retiring of the file."""
    settings = make_settings(database, mapping=mapping, **variables)
    with database.connect() as connection:
        ensure_ledger(connection, settings.ledger_schema)
        with open_source(path, is_for_migration=True) as source:
            return migrate_source(
                connection,
                source,
                settings,
                only=("t",),
                before_commit=lambda: None,
                progress=ProgressReporter(),
            )


def find_refusals(
    database: Database, path: Path, *, mapping: str = "", **variables: str
) -> tuple[Refusal, ...]:
    """Return what a dry run refuses; a migration refuses the same and writes nothing."""
    settings = make_settings(database, mapping=mapping, **variables)
    with database.connect() as connection:
        plan, _ = plan_source(connection, path, settings)
    if plan.refusals:
        before = database.execute("SELECT count(*) FROM t")
        with pytest.raises(PlanRefusedError) as refused:
            migrate(database, path, mapping=mapping, **variables)
        assert refused.value.refusals == plan.refusals
        assert database.execute("SELECT count(*) FROM t") == before
    return plan.refusals


def plan_notes(
    database: Database, path: Path, *, mapping: str = "", **variables: str
) -> tuple[tuple[Refusal, ...], tuple[str, ...]]:
    """Return what a dry run refuses and what it notes."""
    with database.connect() as connection:
        plan, _ = plan_source(connection, path, make_settings(database, mapping=mapping, **variables))
    return plan.refusals, plan.notes


def write_source(path: Path, script: str) -> Path:
    """Write a source by SQL."""
    connection = apsw.Connection(str(path))
    with contextlib.closing(connection):
        connection.execute(script)
    return path


def run_on(database: Database, path: Path, *arguments: str, **settings: str) -> Ended:
    """Run the program on one source and one database."""
    return run_program(
        *arguments, environment={"DATABASE_URL": database.url, "SQLITE_URL": str(path), **settings}
    )
