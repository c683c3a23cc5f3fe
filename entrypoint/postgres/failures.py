"""What a failed statement becomes: the only translator of `psycopg.Error`.

Owns the mapping from SQLSTATEs to this program's errors and their remedies. Failed log-ins belong to
`refusals`. Row values stay out of the text: PostgreSQL writes them into DETAIL, which is left away unless
it is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors as pg

from entrypoint.errors import (
    DeadlineExceededError,
    EntrypointError,
    NotPermittedError,
    SourceRefusedError,
    UnreachableError,
)

_COPIED = re.compile(r"COPY (.+), line (\d+)")


class CheckViolatedError(SourceRefusedError):
    """A row breaks a CHECK constraint, no partition takes it, or a generated column cannot be computed."""


@contextmanager
def translate_load_errors(where: str, *, role: str | None = None) -> Iterator[None]:
    """As `translate_errors`, for statements whose rows come from the source: what they break is its fault.

    DETAIL is shown: it names the key that the reader has to look for in the source.
    """
    try:
        yield
    except (pg.IntegrityError, pg.DataError) as error:
        place = error.diag.table_name or where
        detail = error.diag.message_detail or error.diag.context or ""
        is_check = isinstance(error, pg.CheckViolation | pg.NotNullViolation | pg.DataError)
        refused = CheckViolatedError if is_check else SourceRefusedError
        raise refused(
            f"{_say(error)}{': ' if detail else ''}{detail.splitlines()[0] if detail else ''}",
            where=place,
            remedy="nothing was kept; correct the rows in the source and start again",
        ) from error
    except pg.ProgramLimitExceeded as error:  # a value too large for an index, or for a tsvector made of it
        copied = _COPIED.match(error.diag.context or "")
        raise SourceRefusedError(
            f"{_say(error)}{f', row {copied[2]} of those that were sent' if copied else ''}",
            where=copied[1] if copied else where,
            remedy="nothing was kept; shorten the value in the source, or drop what limits it in the target",
        ) from error
    except psycopg.Error as error:
        raise translate(error, where, role=role) from error


@contextmanager
def translate_errors(where: str, *, role: str | None = None, include_detail: bool = False) -> Iterator[None]:
    """Raise what psycopg raises in the block as an `EntrypointError`.

    Args:
        where: the step or place, as it stands in the message: `loading users`, `020_index.sql`.
        role: who is connected, for the GRANT in the remedy.
        include_detail: add PostgreSQL's DETAIL, which may hold row values.
    """
    try:
        yield
    except psycopg.Error as error:
        raise translate(error, where, role=role, include_detail=include_detail) from error


def translate(
    error: psycopg.Error, where: str, *, role: str | None = None, include_detail: bool = False
) -> EntrypointError:
    """Return the `EntrypointError` that says what `error` means (arguments as `translate_errors`)."""
    if isinstance(error, pg.InsufficientPrivilege):
        return _not_permitted(error, where, role)
    if _is_connection_lost(error):
        return UnreachableError(
            f"connection lost during {where} ({_say(error)})",
            remedy="nothing uncommitted was kept; look at PostgreSQL's log and start again",
        )
    if isinstance(error, pg.ReadOnlySqlTransaction):
        return UnreachableError(
            f"the server accepts only read-only transactions ({_say(error)})",
            where=where,
            remedy="name the primary in DATABASE_URL, and see default_transaction_read_only",
        )
    if error.sqlstate in _RULES:
        translated, remedy = _RULES[error.sqlstate]
        return translated(_say(error), where=where, remedy=remedy)
    text = _say(error)
    if include_detail and error.diag.message_detail:
        text = f"{text}: {error.diag.message_detail}"
    return EntrypointError(text, where=where, remedy=error.diag.message_hint)


_RAISE_TIMEOUT = "raise the time-out of this step, or see what it waited for in pg_stat_activity"
_STOP_OTHERS = (
    "another session writes the same tables; stop the application's other containers and start again"
)

# Manual, appendix A.
_RULES: dict[str, tuple[type[EntrypointError], str]] = {
    "57014": (DeadlineExceededError, _RAISE_TIMEOUT),  # statement_timeout, or pg_cancel_backend()
    "25P03": (DeadlineExceededError, _RAISE_TIMEOUT),  # idle_in_transaction_session_timeout
    "25P04": (DeadlineExceededError, _RAISE_TIMEOUT),  # transaction_timeout
    "55P03": (
        DeadlineExceededError,
        "another session holds the table (see pg_locks); stop it, or start again later",
    ),
    "40P01": (EntrypointError, _STOP_OTHERS),
    "40001": (EntrypointError, _STOP_OTHERS),
    "53100": (EntrypointError, "free space on PostgreSQL's volume and start again"),
    "53200": (EntrypointError, "give PostgreSQL more memory, or lower work_mem, and start again"),
    "53400": (EntrypointError, "raise the limit in PostgreSQL's configuration and start again"),
    "XX001": (EntrypointError, "restore PostgreSQL from a backup"),
    "XX002": (EntrypointError, "rebuild the index with REINDEX and start again"),
}


def _is_connection_lost(error: psycopg.Error) -> bool:
    if isinstance(error, pg.AdminShutdown | pg.CrashShutdown | pg.CannotConnectNow | pg.DatabaseDropped):
        return True
    if error.sqlstate is not None:
        return error.sqlstate[:2] == "08" or error.sqlstate == "57P05"
    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)


def _say(error: psycopg.Error) -> str:
    text = error.diag.message_primary or (str(error).strip().splitlines() or [type(error).__name__])[0]
    return f"{text} ({error.sqlstate})" if error.sqlstate else text


# Manual, "Privileges": what this program does with each kind of object.
_PRIVILEGES = {
    "table": "SELECT, INSERT, UPDATE, DELETE ON TABLE",
    "relation": "SELECT, INSERT, UPDATE, DELETE ON TABLE",
    "view": "SELECT ON TABLE",
    "sequence": "USAGE, SELECT, UPDATE ON SEQUENCE",
    "schema": "USAGE, CREATE ON SCHEMA",
    "database": "CONNECT, CREATE, TEMPORARY ON DATABASE",
    "function": "EXECUTE ON FUNCTION",
    "type": "USAGE ON TYPE",
    "language": "USAGE ON LANGUAGE",
}

_DENIED = re.compile(rf"^permission denied for ({'|'.join(_PRIVILEGES)}) (.+)$")
_NOT_OWNER = re.compile(
    r"^must be owner of (table|relation|materialized view|view|sequence|schema|type) (.+)$"
)


def _not_permitted(error: psycopg.Error, where: str, role: str | None) -> NotPermittedError:
    """Name the GRANT. Its object stands only in the message: a translated one gets a general remedy."""
    text = error.diag.message_primary or str(error)
    grantee = _quote(role) if role else "<the role in DATABASE_URL>"
    remedy = f"grant the privilege to {grantee}, or connect as the owner (MIGRATION_DATABASE_URL)"
    if denied := _DENIED.match(text):
        remedy = f"run: GRANT {_PRIVILEGES[denied.group(1)]} {_quote(denied.group(2))} TO {grantee}"
    elif owned := _NOT_OWNER.match(text):
        kind = owned.group(1).upper().replace("RELATION", "TABLE")
        remedy = f"run: ALTER {kind} {_quote(owned.group(2))} OWNER TO {grantee}, or connect as its owner"
    return NotPermittedError(_say(error), where=where, remedy=remedy)


def _quote(name: str) -> str:
    if re.fullmatch(r"[a-z_][a-z0-9_$]*", name):
        return name
    return '"' + name.replace('"', '""') + '"'
