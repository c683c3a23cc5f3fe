"""How a script runs: in one transaction with what records it, or outside of any.

Owns transactions, lock waits and the server-side time limit of a script. Does not know what is
recorded, nor in which order scripts run.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
from psycopg.pq import TransactionStatus

from entrypoint.errors import DeadlineExceededError, SchemaError
from entrypoint.schema.migration import Script
from entrypoint.schema.script import Outcome, list_statements, send

Recorded = TypeVar("Recorded")

DEFAULT_LOCK_TIMEOUT_S = 5.0

# Lost a race for locks: lock_not_available, deadlock_detected. The script has been rolled back.
_RETRIED = frozenset({"55P03", "40P01"})
# PostgreSQL demands a transaction for each statement: active_sql_transaction (CREATE INDEX CONCURRENTLY),
# invalid_transaction_termination (a procedure that commits), unsafe_new_enum_value_usage.
NEEDS_NO_TRANSACTION = frozenset({"25001", "2D000", "55P04"})

# A COMMIT that ends the file, with nothing but comments after it. Left out, so that the ledger row still
# gets into the transaction; in a comment it may be left out as well. No quote may follow it, hence it
# cannot stand inside a literal. A bare END is left alone: it may close a function's BEGIN ATOMIC.
_SPACE = r"(?:\s|--[^\n'\"$*]*(?:\n|\Z))*"
_FINAL_COMMIT = re.compile(
    rf";{_SPACE}(?:COMMIT|COMMIT\s+(?:WORK|TRANSACTION)|END\s+(?:WORK|TRANSACTION))\s*;?{_SPACE}\Z",
    re.IGNORECASE,
)

_SET_LIMITS = (
    "SELECT pg_catalog.set_config('statement_timeout', %(statement)s, %(is_local)s), "
    "pg_catalog.set_config('lock_timeout', %(lock)s, %(is_local)s)"
)
_OLDEST_TRANSACTION = """
    SELECT format('process %s (user %s, application %s, %s)', pid, usename, application_name, state)
    FROM pg_catalog.pg_stat_activity
    WHERE datname = pg_catalog.current_database() AND pid <> pg_catalog.pg_backend_pid()
      AND xact_start IS NOT NULL AND backend_type = 'client backend'
    ORDER BY xact_start LIMIT 1
"""

# Pauses between attempts: the queue that formed behind our lock request gets through meanwhile.
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long a script may take.

    Attributes:
        deadline: the end of the whole step, on `time.monotonic()`'s clock, in seconds.
        lock_timeout_s: how long one attempt waits for a lock, with other sessions queueing behind it.
    """

    deadline: float
    lock_timeout_s: float = DEFAULT_LOCK_TIMEOUT_S

    @property
    def remaining_s(self) -> float:
        """Seconds until the deadline, never negative."""
        return max(self.deadline - time.monotonic(), 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A script that failed, and what is left of it.

    Attributes:
        outcome: the answer to the message that failed; has an error.
        offset: where in the script that message began, in characters.
        is_nothing_applied: whether the database is certainly as it was.
    """

    outcome: Outcome
    offset: int = 0
    is_nothing_applied: bool = True

    @property
    def is_transaction_unwanted(self) -> bool:
        """Whether PostgreSQL demands to run it without a transaction, and it can be run again."""
        return self.is_nothing_applied and self.outcome.sqlstate in NEEDS_NO_TRANSACTION


def run_in_transaction(
    connection: psycopg.Connection[Any], script: Script, *, limits: Limits, record: Callable[[], Recorded]
) -> Recorded | Refusal:
    """Run `script` and `record` in one transaction; begin anew where it lost a race for a lock.

    Args:
        connection: in autocommit mode, idle.
        script: sent as it is written, less a COMMIT at its very end.
        limits: the deadline, and how long an attempt waits for locks.
        record: writes what is to be remembered, by the connecting role.

    Raises:
        DeadlineExceededError: locks were not obtained in time.
        SchemaError: the script rolled itself back.
    """
    attempt = 1
    while True:
        result = _attempt(connection, script, limits, record)
        if not isinstance(result, Refusal) or not _is_worth_retrying(connection, result):
            return result
        wait_for_locks(connection, script, limits, attempt)
        attempt += 1


def run_bare(connection: psycopg.Connection[Any], script: Script, *, limits: Limits) -> Refusal | None:
    """Run `script` without a transaction of ours; None where all of it ran.

    It goes as one message first, which PostgreSQL runs as one implicit transaction. Where PostgreSQL
    refuses just that, nothing has been applied and its statements go one by one. They do so at once where
    the script has transactions of its own, which a second run could repeat.
    """
    # A lock time-out in the midst of CONCURRENTLY leaves a half-built index; such a wait blocks no one else.
    lock_timeout_s = limits.remaining_s if "concurrently" in script.text.lower() else limits.lock_timeout_s
    _set_limits(connection, limits, lock_timeout_s=lock_timeout_s, is_local=False)
    statements = list_statements(connection, script.text)
    if not any(statement.is_transaction_control for statement in statements):
        whole = _send_patiently(connection, script, script.text, limits)
        if whole.error is None:
            return None
        if whole.sqlstate not in NEEDS_NO_TRANSACTION or len(statements) < 2:
            return Refusal(outcome=whole, is_nothing_applied=not connection.closed)
    is_nothing_applied = True
    for statement in statements:
        outcome = _send_patiently(connection, script, statement.text, limits)
        if outcome.error is not None:
            return Refusal(
                outcome=outcome,
                offset=statement.offset,
                is_nothing_applied=is_nothing_applied and not connection.closed,
            )
        is_nothing_applied &= connection.info.transaction_status != TransactionStatus.IDLE
    if connection.info.transaction_status != TransactionStatus.IDLE:
        roll_back(connection)
        raise SchemaError(
            "begins a transaction that it does not commit",
            where=script.label,
            remedy="add the COMMIT and start again; that transaction was rolled back",
        )
    return None


def roll_back(connection: psycopg.Connection[Any]) -> None:
    """End the transaction that is open; a connection that cannot do that is closed, which does it as well."""
    status = connection.info.transaction_status
    if status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
        connection.execute("ROLLBACK")
    elif status == TransactionStatus.ACTIVE:
        connection.close()


def wait_for_locks(connection: psycopg.Connection[Any], script: Script, limits: Limits, attempt: int) -> None:
    """Pause before the next attempt, and say so.

    Raises:
        DeadlineExceededError: there is no time left for another attempt.
    """
    from entrypoint.log import get_logger  # structlog, only where there is something to say

    row = connection.execute(_OLDEST_TRANSACTION).fetchone()
    suspect = row[0] if row else None
    if limits.remaining_s <= _FIRST_PAUSE_S:
        raise DeadlineExceededError(
            "another session held a lock that it needs"
            + (f"; the oldest transaction is {suspect}" if suspect else ""),
            where=script.label,
            remedy="end that session, or raise SCHEMA_TIMEOUT, and start again; nothing of it was applied",
        )
    longest_s = min(_FIRST_PAUSE_S * 2 ** (attempt - 1), _LONGEST_PAUSE_S, limits.remaining_s)
    pause_s = random.uniform(longest_s / 2, longest_s)  # noqa: S311  (jitter)
    get_logger().warning(
        "migration_lock_not_obtained",
        file=script.label,
        attempt=attempt,
        lock_timeout_s=limits.lock_timeout_s,
        next_attempt_in_s=round(pause_s, 1),
        remaining_s=round(limits.remaining_s, 1),
        oldest_transaction=suspect,
    )
    time.sleep(pause_s)


def _attempt(
    connection: psycopg.Connection[Any], script: Script, limits: Limits, record: Callable[[], Recorded]
) -> Recorded | Refusal:
    with _rolled_back_if_raised(connection):
        connection.execute("BEGIN")
        _set_limits(connection, limits, lock_timeout_s=limits.lock_timeout_s, is_local=True)
        transaction = _read_transaction_id(connection)
        ending = _FINAL_COMMIT.search(script.text)
        outcome = send(connection, script.text[: ending.start() + 1] if ending else script.text)
        if outcome.error is not None:
            return _make_refusal(connection, outcome, transaction)
        _judge_transaction(connection, script, outcome, transaction)
        try:
            recorded = record()
            if connection.info.transaction_status == TransactionStatus.INTRANS:
                connection.execute("COMMIT")
        except psycopg.Error as error:  # a deferred constraint, mostly
            return _make_refusal(connection, Outcome(tags=outcome.tags, error=error), transaction)
        return recorded


def _judge_transaction(
    connection: psycopg.Connection[Any], script: Script, outcome: Outcome, transaction: int
) -> None:
    """Say so where the script has ended the transaction in which its row should have been written."""
    is_open = connection.info.transaction_status == TransactionStatus.INTRANS
    if is_open and _read_transaction_id(connection) == transaction:
        return
    endings = [tag for tag in outcome.tags if tag in ("COMMIT", "ROLLBACK")]
    if endings and endings[-1] == "ROLLBACK":
        raise SchemaError(
            "was undone by a ROLLBACK of its own",
            where=script.label,
            remedy="remove the ROLLBACK, undo by hand what it committed before, if anything, and start again",
        )
    from entrypoint.log import get_logger  # structlog, only where there is something to say

    get_logger().warning(
        "migration_committed_by_itself",
        file=script.label,
        reason="a COMMIT within the file ended the transaction before it could be recorded there",
        remedy="remove BEGIN and COMMIT: every file runs in a transaction",
    )


def _make_refusal(connection: psycopg.Connection[Any], outcome: Outcome, transaction: int) -> Refusal:
    was_open = connection.closed or connection.info.transaction_status == TransactionStatus.INERROR
    roll_back(connection)
    if connection.closed:  # its end is the end of its transaction; a COMMIT under way left a row or nothing
        return Refusal(outcome=outcome)
    row = connection.execute("SELECT pg_catalog.txid_status(%s)", (transaction,)).fetchone()
    return Refusal(outcome=outcome, is_nothing_applied=was_open and row is not None and row[0] != "committed")


def _set_limits(
    connection: psycopg.Connection[Any], limits: Limits, *, lock_timeout_s: float, is_local: bool
) -> None:
    """Tell the server how long to go on by itself, in ms; 0 would mean for ever."""
    limits_ms = {
        "statement": str(max(int(limits.remaining_s * 1000), 1)),
        # A little below, so that a wait for a lock is called that even at the very end.
        "lock": str(max(int(min(lock_timeout_s, limits.remaining_s * 0.9) * 1000), 1)),
    }
    connection.execute(_SET_LIMITS, {**limits_ms, "is_local": is_local})


def _read_transaction_id(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("SELECT pg_catalog.txid_current()").fetchone()
    assert row is not None
    return int(row[0])


def _send_patiently(
    connection: psycopg.Connection[Any], script: Script, text: str, limits: Limits
) -> Outcome:
    """Send a message until it does not fail for a lock; not within a transaction, which is spoilt by then."""
    attempt = 1
    while True:
        was_idle = connection.info.transaction_status == TransactionStatus.IDLE
        outcome = send(connection, text)
        if outcome.sqlstate not in _RETRIED or not was_idle:
            return outcome
        roll_back(connection)
        wait_for_locks(connection, script, limits, attempt)
        attempt += 1


def _is_worth_retrying(connection: psycopg.Connection[Any], refusal: Refusal) -> bool:
    return refusal.is_nothing_applied and refusal.outcome.sqlstate in _RETRIED and not connection.closed


@contextmanager
def _rolled_back_if_raised(connection: psycopg.Connection[Any]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with suppress(psycopg.Error):  # a lost connection has rolled back; what came first is what is told
            roll_back(connection)
        raise
