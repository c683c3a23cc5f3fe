"""A script and its bookkeeping: recorded in the same transaction, or around it where there is none.

Owns which of the two ways a script takes, and what a failure is called. Does not know whether it
applies or reverts: that is `apply`, as is the order.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg

from entrypoint.errors import DeadlineExceededError, EntrypointError
from entrypoint.postgres.failures import translate
from entrypoint.schema.migration import NEVER_WRAPPING, AppliedMigration, Layout, Script
from entrypoint.schema.runner import (
    NEEDS_NO_TRANSACTION,
    Limits,
    Refusal,
    roll_back,
    run_bare,
    run_in_transaction,
)
from entrypoint.schema.script import become_connecting_role, explain, isolated_session
from entrypoint.schema.state import find_invalid_indexes

_NOTHING_APPLIED = "correct the file and start again; nothing of it was applied"
_COMMITTED_PART = (
    "the file's own COMMIT has kept what stands before it: undo that by hand, correct the file, start again"
)
_LEFT_PART = "some of it may be applied: the next start, or `entrypoint schema up`, says what to do about it"
_USE_DIRECTIVE = (
    "put the line -- entrypoint:no-transaction above its first statement (dbmate: transaction:false after "
    "migrate:up; goose: -- +goose NO TRANSACTION) and start again; nothing of it was applied"
)
_QUERY_CANCELED = "57014"
_NO_SCHEMA = "3F000"
_EXPIRY_TOLERANCE_S = 0.5  # the server's clock and ours start counting at different moments


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What every migration of one step shares."""

    connection: psycopg.Connection[Any]
    ledger_schema: str
    limits: Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Bookkeeping:
    """What to write into the ledger around a script.

    Attributes:
        begin: before a run outside a transaction, so that an interrupted one is noticed.
        undo: after such a run that certainly changed nothing.
        finish: when the script has run, with the seconds it took.
        started: when, on `time.monotonic()`'s clock.
    """

    begin: Callable[[], object]
    undo: Callable[[], object]
    finish: Callable[[float], AppliedMigration]
    started: float = field(default_factory=time.monotonic)


def run_script(step: Step, script: Script, layout: Layout, books: Bookkeeping) -> AppliedMigration:
    """Run a script with its bookkeeping, and give the session back as it was.

    Raises:
        SchemaError: it failed; names file and line, and whether something of it is left.
        DeadlineExceededError: the deadline passed.
        NotPermittedError: the role may not do what the script does.
        UnreachableError: the connection was lost.
    """
    with isolated_session(step.connection) as role:

        def finish() -> AppliedMigration:
            become_connecting_role(step.connection, role)
            return books.finish(time.monotonic() - books.started)

        if not script.is_transactional:
            return _run_bare(step, script, books, finish, role)
        result = run_in_transaction(step.connection, script, limits=step.limits, record=finish)
        if isinstance(result, AppliedMigration):
            return result
        if result.is_transaction_unwanted and layout in NEVER_WRAPPING:
            return _run_bare(step, script, books, finish, role)
        raise _explain_refusal(step, script, result, _COMMITTED_PART)


def _run_bare(
    step: Step, script: Script, books: Bookkeeping, finish: Callable[[], AppliedMigration], role: str
) -> AppliedMigration:
    """Run a script outside a transaction, between two rows; the first stays unless nothing was changed."""
    connection = step.connection
    half_built = find_invalid_indexes(connection)
    books.begin()
    refusal = run_bare(connection, script, limits=step.limits)
    if refusal is None:
        return finish()
    is_clean = refusal.is_nothing_applied and not connection.closed
    if not connection.closed:
        roll_back(connection)
        become_connecting_role(connection, role)
        is_clean = is_clean and find_invalid_indexes(connection) == half_built
        if is_clean:
            books.undo()
    raise _explain_refusal(step, script, replace(refusal, is_nothing_applied=is_clean), _LEFT_PART)


def _explain_refusal(step: Step, script: Script, refusal: Refusal, remedy_for_part: str) -> EntrypointError:
    error = refusal.outcome.error
    if step.connection.closed and isinstance(error, psycopg.OperationalError):
        return translate(error, script.label)
    sqlstate, is_clean = refusal.outcome.sqlstate, refusal.is_nothing_applied
    remedy = _NOTHING_APPLIED if is_clean else remedy_for_part
    if script.is_transactional and is_clean and sqlstate in NEEDS_NO_TRANSACTION:
        remedy = _USE_DIRECTIVE
    if sqlstate == _NO_SCHEMA:
        remedy = "create the schema that the search path (DATABASE_URL's `schema`) names and start again"
    explained = explain(script, refusal.outcome, offset=refusal.offset, remedy=remedy)
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return _explain_privilege(step, error, explained.where or script.label)
    if sqlstate == _QUERY_CANCELED and step.limits.remaining_s < _EXPIRY_TOLERANCE_S:
        left = "nothing of it was applied" if is_clean else remedy_for_part
        return DeadlineExceededError(
            "did not end in time", where=explained.where, remedy=f"raise SCHEMA_TIMEOUT; {left}"
        )
    return explained


def _explain_privilege(
    step: Step, error: psycopg.errors.InsufficientPrivilege, where: str
) -> EntrypointError:
    refused = translate(error, where, role=step.connection.info.user)
    extension = re.search(r'extension "([^"]+)"', str(error))
    if extension:  # a right that no GRANT gives
        refused.remedy = f'let a superuser run CREATE EXTENSION "{extension[1]}" once and start again'
    return refused
