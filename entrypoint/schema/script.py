"""One script to the server: as it is written, in one message, and what came of it.

Owns the simple query protocol (manual, "Message Flow", 55.2.2.1), the wording of a failure with file
and line, and what a script may leave behind in the session. Knows no ledger and opens no transaction.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import generators
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus

from entrypoint.errors import SchemaError
from entrypoint.schema.migration import Script
from entrypoint.schema.statements import Statement, split_statements

_COPY_TAIL = re.compile(r"\bCOPY\b[^;]*\bFROM\s+STDIN\b[^;]*;\s*\Z", re.IGNORECASE)
_META_COMMAND = re.compile(r"\\\S*")
_ALREADY_IN_TRANSACTION = "25001"
_SYNTAX_ERROR = "42601"
_NO_STDIN = "no data comes with a migration"

# Classes of SQLSTATE whose DETAIL shows values of rows: data exception, integrity constraint violation.
_ROW_VALUE_CLASSES = frozenset({"22", "23"})

# What a file may leave to the next one. Not DISCARD ALL, which would also let go of advisory locks.
_FORGET = (
    "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ROLE; RESET ALL; UNLISTEN *; "
    "DISCARD TEMP; DISCARD SEQUENCES; DISCARD PLANS"
)
_SESSION_SETTINGS = """
    SELECT name, setting FROM pg_catalog.pg_settings
    WHERE source = 'session' AND context IN ('user', 'superuser') AND name NOT LIKE 'transaction\\_%'
    UNION ALL SELECT 'role', pg_catalog.current_setting('role')
"""
_SET_ALL = """
    SELECT pg_catalog.set_config(name, setting, false)
    FROM unnest(%s::text[], %s::text[]) AS kept (name, setting)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the server answered to one message.

    Attributes:
        tags: the command tags of the statements that succeeded (`CREATE TABLE`, `COMMIT`, …).
        error: why the rest did not run; None where all of it did.
    """

    tags: tuple[str, ...]
    error: psycopg.Error | None

    @property
    def sqlstate(self) -> str | None:
        """The SQLSTATE of the error, where the server gave one."""
        return self.error.sqlstate if self.error else None


def send(connection: psycopg.Connection[Any], text: str) -> Outcome:
    """Send `text` as one message of the simple query protocol, unchanged, and collect every answer.

    PostgreSQL itself takes the statements apart. A KeyboardInterrupt meanwhile cancels the query.
    """
    pgconn = connection.pgconn
    try:
        with connection.lock:
            pgconn.send_query(text.encode(connection.info.encoding))
            results = connection.wait(generators.execute(pgconn))
    except psycopg.Error as error:  # the connection is gone
        return Outcome(tags=(), error=error)
    tags = tuple((result.command_status or b"").decode() for result in results if _is_success(result.status))
    last = results[-1] if results else None
    if last is None or _is_success(last.status):
        return Outcome(tags=tags, error=None)
    if last.status == ExecStatus.FATAL_ERROR:
        return Outcome(tags=tags, error=error_from_result(last, encoding=connection.info.encoding))
    return Outcome(tags=tags, error=_leave_copy(connection, last.status))


def explain(script: Script, outcome: Outcome, *, remedy: str, offset: int = 0) -> SchemaError:
    """Return the error for a message that failed: file and line, PostgreSQL's words, what to do.

    Args:
        script: what was sent.
        outcome: its answer; has an error.
        remedy: what to do and what was or was not applied.
        offset: where in the script the message began, in characters.
    """
    error = outcome.error
    assert error is not None
    text = script.text[offset:]
    position = int(error.diag.statement_position) - 1 if error.diag.statement_position else None
    if position is None:
        position = _find_statement(text, len(outcome.tags))
    where = script.label if position is None else script.locate(offset + position)
    psql_only = _find_psql_only(text, position, outcome)
    if psql_only:
        return SchemaError(psql_only[0], where=where, remedy=psql_only[1])
    what = " ".join((error.diag.message_primary or str(error)).split())
    if outcome.sqlstate:
        what += f" ({outcome.sqlstate})"
    if error.diag.message_detail and (outcome.sqlstate or "")[:2] not in _ROW_VALUE_CLASSES:
        what += ": " + " ".join(error.diag.message_detail.split()).rstrip(".")
    if error.diag.context and error.diag.context.startswith("PL/pgSQL"):
        what += ", in " + error.diag.context.splitlines()[0]
    return SchemaError(what, where=where, remedy=remedy)


def list_statements(connection: psycopg.Connection[Any], text: str) -> tuple[Statement, ...]:
    """Take `text` apart by the session's rules for backslashes."""
    setting = connection.pgconn.parameter_status(b"standard_conforming_strings")
    return split_statements(text, is_standard_conforming=setting != b"off")


@contextmanager
def isolated_session(connection: psycopg.Connection[Any]) -> Iterator[str]:
    """Give back the session as it was: settings, role, cursors, temporary tables. Yields the role.

    A file's `SET search_path`, or the `set_config('search_path', '', false)` that pg_dump writes, would
    otherwise decide where the next file's tables go. Where the body raised, nothing is given back.
    """
    if connection.pgconn.parameter_status(b"client_encoding") != b"UTF8":
        connection.execute("SET client_encoding TO 'UTF8'")  # the files' encoding, whatever the database's
    settings = dict(connection.execute(_SESSION_SETTINGS).fetchall())
    yield settings["role"]
    connection.execute(_FORGET)
    connection.execute(_SET_ALL, (list(settings), list(settings.values())))


def become_connecting_role(connection: psycopg.Connection[Any], role: str) -> None:
    """Become the role again that the connection had, so that a file's SET ROLE does not write our rows.

    Args:
        role: what `isolated_session` yielded.
    """
    connection.execute("SET SESSION AUTHORIZATION DEFAULT; RESET ROLE")
    connection.execute("SELECT pg_catalog.set_config('role', %s, false)", (role,))


@contextmanager
def logged_notices(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Log what the server says on the side: warnings as warnings, notices for debugging."""
    from entrypoint.log import get_logger  # structlog, not needed by a start with nothing to do

    def log_notice(diagnostic: psycopg.errors.Diagnostic) -> None:
        if diagnostic.sqlstate == _ALREADY_IN_TRANSACTION:  # a file's own BEGIN inside ours: expected
            return
        log = get_logger()
        say = log.warning if diagnostic.severity_nonlocalized == "WARNING" else log.debug
        say("postgresql_notice_received", message=diagnostic.message_primary, sqlstate=diagnostic.sqlstate)

    connection.add_notice_handler(log_notice)
    try:
        yield
    finally:
        connection.remove_notice_handler(log_notice)


def _leave_copy(connection: psycopg.Connection[Any], status: int) -> psycopg.Error:
    """End a COPY that a script began with a client that has no data and wants none."""
    if status == ExecStatus.COPY_IN:
        try:
            with connection.lock:
                connection.wait(generators.copy_end(connection.pgconn, _NO_STDIN.encode()))
        except psycopg.Error as error:
            return error
    connection.close()  # there is no other way out
    return psycopg.NotSupportedError("COPY … TO STDOUT has nobody to read it")


def _is_success(status: int) -> bool:
    return status in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK, ExecStatus.EMPTY_QUERY)


def _find_statement(text: str, index: int) -> int | None:
    """Return where the statement stands that failed without saying where: after `index` that did not."""
    statements = split_statements(text)
    return statements[index].offset if index < len(statements) else None


def _find_psql_only(text: str, position: int | None, outcome: Outcome) -> tuple[str, str] | None:
    """Return what and remedy where the file was written for psql."""
    before_error = text[: position or 0]
    error = outcome.error
    if isinstance(error, psycopg.errors.QueryCanceled) and _NO_STDIN in str(error):
        before_error = "COPY FROM STDIN;"
    elif outcome.sqlstate != _SYNTAX_ERROR or position is None:
        return None
    meta = _META_COMMAND.match(text, position or 0)
    if _COPY_TAIL.search(before_error):
        return (
            "COPY … FROM stdin needs psql to send the data",
            "write the rows as INSERT statements (pg_dump --inserts)",
        )
    if meta:
        return (f"{meta.group()} is a command of psql, not SQL", "remove it, or write it in SQL")
    return None
