"""Is there a pooler that answers each transaction by another server process?

Session locks, `SET` and temporary tables need one server process from beginning to end; PgBouncer in
`pool_mode = transaction` or `statement`, and its like, do not give that. Owns the test for it; changes
nothing on the server. That there is a pooler at all is seen by its caller: the process id that came with
the log-in (PQbackendPID) is then not the one that answers (`pg_backend_pid()`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from psycopg import pq

from entrypoint.postgres import handshake
from entrypoint.postgres.refusals import ConnectFailedError, ConnectFailure, Phase

_ROUNDS = 5
_ROOM_LIMIT_S = 2.0  # for the pool to find a process for the second connection
_PID_QUERY = b"SELECT pg_catalog.pg_backend_pid()"
_PINNING_QUERY = b"BEGIN; SELECT pg_catalog.pg_backend_pid()"


def is_transaction_pooled(
    first: pq.abc.PGconn, *, parameters: Mapping[str, str], server: str, deadline: float
) -> bool:
    """Tell whether two transactions of one connection may reach different server processes.

    A second connection opens a transaction and keeps it, between two questions on the first one. If it
    was given the process that had just answered the first, that process is shared: certain, and what
    happens when the pool is otherwise idle, because poolers reuse the most recent process. If the first
    one is answered by another process than before: certain as well, and what happens when the pool hands
    them out in turn or other clients are busy. A pool that gives each client its own process shows neither,
    however often it is asked; nor does it take a process from the first to serve the second, where there
    is no other.

    Args:
        first: an idle connection.
        parameters: libpq keywords that lead to the same place.
        server: what to call it in a failure.
        deadline: on `time.monotonic`'s clock.

    Raises:
        ConnectFailedError: the pooler did not answer, or had no room for the second connection. That may
            pass; taking a lock that may not hold is worse.
    """
    second = handshake.establish(parameters, server=server, deadline=deadline)
    try:
        if not _has_room(first, second, server=server, deadline=deadline):
            return False
        return any(_is_shared(first, second, server=server, deadline=deadline) for _ in range(_ROUNDS))
    finally:
        second.finish()  # the pooler rolls its transaction back


def _has_room(first: pq.abc.PGconn, second: pq.abc.PGconn, *, server: str, deadline: float) -> bool:
    """Tell whether the second connection is answered; not, when the first keeps the last process."""
    try:
        _ask_pid(second, server, min(deadline, time.monotonic() + _ROOM_LIMIT_S))
    except ConnectFailedError as error:
        if not error.has_timed_out:
            raise
        _ask_pid(first, server, deadline)
        if handshake.is_answered(second):  # a process became free in between, and says nothing
            busy = ConnectFailure(server=server, reason="the pool has no free process", phase=Phase.ANSWER)
            raise ConnectFailedError([busy]) from None
        return False
    return True


def _is_shared(first: pq.abc.PGconn, second: pq.abc.PGconn, *, server: str, deadline: float) -> bool:
    seen = _ask_pid(first, server, deadline)
    try:
        (pinned,) = handshake.ask(second, _PINNING_QUERY, server=server, deadline=deadline)
    except ConnectFailedError as error:
        if error.verdict.sqlstate is None:
            raise
        return True  # "transaction blocks not allowed in statement pooling mode"
    if pinned == seen or _ask_pid(first, server, deadline) != seen:
        return True
    handshake.ask(second, b"ROLLBACK", server=server, deadline=deadline)
    return _ask_pid(first, server, deadline) != seen


def _ask_pid(pgconn: pq.abc.PGconn, server: str, deadline: float) -> bytes | None:
    (pid,) = handshake.ask(pgconn, _PID_QUERY, server=server, deadline=deadline)
    return pid
