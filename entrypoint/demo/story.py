"""The demo's story: a legacy file, an empty PostgreSQL, two starts of an application, and what they did.

Owns what is shown on stdout and in which order. What is shown is what users get: every start is a process
of its own that runs the command line, gets its settings from the environment, and becomes the application.
The demo itself stays, so that it can stop the server and remove the folder however the story ends.
"""

from __future__ import annotations

import os
import secrets
import shlex
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from entrypoint import log
from entrypoint.conninfo import Conninfo, parse_conninfo
from entrypoint.demo.embedded import HOST, run_postgres
from entrypoint.demo.processes import run_process
from entrypoint.demo.programs import find_installation, make_home
from entrypoint.demo.sample import TABLES, Sample, make_sample
from entrypoint.errors import EntrypointError
from entrypoint.postgres.failures import translate_errors
from entrypoint.postgres.wait import wait_until_ready
from entrypoint.report_text import write_table
from entrypoint.settings import SETTINGS, Settings, make_environment

_APPLICATION = ("sh", "-c", 'echo "application: running as process $$"')
_TARGETS = {"ChatUser": "chat_user", "Conversation": "conversation", "Message": "message"}
_WIDEST_CELL = 42
_CONNECT_LIMIT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    """Where the story plays.

    Attributes:
        source: the legacy file.
        conninfo: the application's role and database.
        settings: what a Compose file would set, by variable.
        environment: of every start: the demo's own, without settings of ours, and with `settings`.
    """

    source: Path
    conninfo: Conninfo
    settings: dict[str, str]
    environment: dict[str, str]


def run_demo(settings: Settings) -> int:
    """Tell the story and return 0; stop the server and remove the folder whatever happens.

    Raises:
        ConfigurationError: the extra `demo` is not installed.
        UnreachableError: its PostgreSQL does not start here.
        NotPermittedError: root may not run it as another user, or no folder can be shared with that user.
        EntrypointError: a start did not end well; what it said stands above.
    """
    installation = find_installation()
    _forget_libpq_variables(settings)
    with make_home() as home:
        _tell_heading("A legacy file of SQLite, with rows that only its -wal holds")
        (home / "data").mkdir()
        source = home / "data" / "chat.db"
        sample = make_sample(source)
        _tell_sample(source, sample)

        _tell_heading("An empty PostgreSQL, and the application's schema migrations")
        with run_postgres(home, installation) as superuser:
            conninfo = _create_database(superuser)
            stage = _set_stage(home, source, conninfo, settings)
            _tell_stage(stage)

            _tell_heading("The first start: wait, lock, schema, plan, load, verify, commit, retire, exec")
            _start_application(stage)

            _tell_heading("The rows on both sides")
            with wait_until_ready(conninfo, timeout_s=_CONNECT_LIMIT_S, purpose="demo") as connection:
                _tell_rows(connection, sample)

            _tell_heading("The legacy file, retired")
            _tell("\n".join(str(path) for path in sorted(source.parent.iterdir())))

            _tell_heading("The second start: nothing to do")
            seconds = _start_application(stage)
            _tell(f"{seconds:.2f} s in all: the interpreter, one connection, the application")

            _tell_heading("What the ledger knows")
            _run_program(stage, ("status",))
    _tell_heading("The end")
    _tell("The server is stopped and the folder is removed.")
    return 0


def _forget_libpq_variables(settings: Settings) -> None:
    """Let libpq, which reads this process's environment by itself, know only what we tell it."""
    for name in make_environment(settings):
        if name.startswith("PG"):
            os.unsetenv(name)


def _set_stage(home: Path, source: Path, conninfo: Conninfo, settings: Settings) -> _Stage:
    migrations = home / "migrations"
    migrations.mkdir()
    for file in resources.files(__package__).joinpath("migrations").iterdir():
        (migrations / file.name).write_bytes(file.read_bytes())
    changes = {
        "DATABASE_URL": conninfo.url(),
        "MIGRATIONS_DIR": str(migrations),
        "SQLITE_PATHS": str(source.parent),
    }
    log_settings = {
        "LOG_FORMAT": "console" if settings.log_format == "auto" else settings.log_format,
        "LOG_LEVEL": settings.log_level,
    }
    ours = {setting.variable for setting in SETTINGS} | {f"{setting.variable}_FILE" for setting in SETTINGS}
    inherited = {
        name: value
        for name, value in make_environment(settings).items()
        if name not in ours and not name.startswith("PG")
    }
    return _Stage(
        source=source, conninfo=conninfo, settings=changes, environment=inherited | changes | log_settings
    )


def _create_database(superuser: Conninfo) -> Conninfo:
    """Create the application's role and database, as the PostgreSQL image would; return its connection."""
    password = secrets.token_urlsafe(12)
    log.register_secret(password)
    with (
        wait_until_ready(superuser, timeout_s=_CONNECT_LIMIT_S, purpose="demo") as connection,
        translate_errors("creating the demo's database", role=connection.info.user),
    ):
        connection.execute(sql.SQL("CREATE ROLE chat LOGIN PASSWORD {}").format(sql.Literal(password)))
        connection.execute("CREATE DATABASE chat OWNER chat")
    return parse_conninfo(f"postgresql://chat:{password}@{HOST}:{superuser.as_dict()['port']}/chat")


def _start_application(stage: _Stage) -> float:
    """Start the application behind `entrypoint run`; return the seconds until it has ended."""
    return _run_program(stage, ("run", "--", *_APPLICATION), tells_process=True)


def _run_program(stage: _Stage, arguments: tuple[str, ...], *, tells_process: bool = False) -> float:
    """Run `entrypoint` with `arguments` as a process of its own, its logs among our lines."""
    _tell(f"$ entrypoint {shlex.join(arguments)}")
    started = time.monotonic()
    with run_process(
        [sys.executable, "-m", "entrypoint", *arguments],
        environment=stage.environment,
        folder=stage.source.parent.parent,
        output=None,
        end_with=signal.SIGTERM,
    ) as process:
        exit_code = process.wait()
    seconds = time.monotonic() - started
    if exit_code != 0:
        raise EntrypointError(
            f"ended with exit code {exit_code}",
            where=f"entrypoint {arguments[0]}",
            remedy="its lines stand above; please report them",
        )
    if tells_process:
        _tell(f"demo: process {process.pid} was `entrypoint run`, and became the application")
    return seconds


# --- what is shown -------------------------------------------------------------------------------


def _tell(text: str) -> None:
    print(log.redact(text), flush=True)  # noqa: T201  (flushed, because processes of ours write in between)


def _tell_heading(text: str) -> None:
    _tell(f"\n== {text}\n")


def _tell_sample(source: Path, sample: Sample) -> None:
    rows = ((table, sample.rows[table], sample.wal_rows[table]) for table in TABLES)
    _tell(f"{source}\n")
    _tell(write_table(("table", "rows", "only in the -wal"), rows))
    _tell(
        f"\nConversation counts to {sample.counter} though its highest id is {sample.highest_id}: "
        "the others were deleted"
    )


def _tell_stage(stage: _Stage) -> None:
    with wait_until_ready(stage.conninfo, timeout_s=_CONNECT_LIMIT_S, purpose="demo") as connection:
        version = connection.info.parameter_status("server_version")
    _tell(f"PostgreSQL {version}; the role chat owns its database and is no superuser\n")
    shown: Mapping[str, str] = stage.settings | {"DATABASE_URL": log.redact(stage.settings["DATABASE_URL"])}
    _tell("\n".join(f"{variable}={value}" for variable, value in shown.items()))


def _tell_rows(connection: psycopg.Connection[Any], sample: Sample) -> None:
    with translate_errors("reading the demo's rows", role=connection.info.user):
        counts = [(table, sample.rows[table], _TARGETS[table], _count(connection, table)) for table in TABLES]
        _tell(write_table(("SQLite", "rows", "PostgreSQL", "rows"), counts))
        for (table, key), cells in sample.examples.items():
            row = _read_row(connection, table, key)
            lines = (
                (cell.column, cell.storage, _cut(cell.shown), type_name, _cut(value))
                for cell, (type_name, value) in zip(cells, row, strict=True)
            )
            _tell(f"\n{table} {key}, a row of the -wal:\n")
            _tell(write_table(("column", "SQLite", "value", "PostgreSQL", "value"), lines))
        _tell(f"\nThe next conversation gets the id {_try_next_id(connection)}.")


def _count(connection: psycopg.Connection[Any], table: str) -> int:
    statement = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(_TARGETS[table]))
    row = connection.execute(statement).fetchone()
    assert row is not None
    return int(row[0])


def _read_row(connection: psycopg.Connection[Any], table: str, key: str | int) -> list[tuple[str, str]]:
    """Return each column's type and its value as PostgreSQL prints it, in the table's order."""
    target = sql.Identifier(_TARGETS[table])
    statement = sql.SQL(
        "SELECT format_type(a.atttypid, a.atttypmod), a.attname FROM pg_attribute a "
        "WHERE a.attrelid = {}::regclass AND a.attnum > 0 ORDER BY a.attnum"
    ).format(sql.Literal(_TARGETS[table]))
    columns = connection.execute(statement).fetchall()
    texts = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(name)) for _, name in columns)
    row = connection.execute(
        sql.SQL("SELECT {} FROM {} WHERE id::text = {}").format(texts, target, sql.Literal(str(key)))
    ).fetchone()
    assert row is not None
    return [(type_name, value or "") for (type_name, _), value in zip(columns, row, strict=True)]


def _try_next_id(connection: psycopg.Connection[Any]) -> int:
    """Insert a conversation, take its id, and undo the row."""
    with connection.transaction(force_rollback=True):
        row = connection.execute(
            "INSERT INTO conversation (owner_id, title) SELECT id, 'next' FROM chat_user LIMIT 1 RETURNING id"
        ).fetchone()
    assert row is not None
    return int(row[0])


def _cut(text: str) -> str:
    return text if len(text) <= _WIDEST_CELL else text[: _WIDEST_CELL - 1] + "…"
