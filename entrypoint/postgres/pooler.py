"""Is there a pooler that answers each transaction by another server process?

Session locks, `SET` and temporary tables need one server process from beginning to end; PgBouncer in
`pool_mode = transaction` or `statement`, and its like, do not give that. Owns the test for it, changes
nothing on the server. That there is a pooler at all is seen by its caller: the process id that came with the
log-in (PQbackendPID) is then not the one that answers (`pg_backend_pid()`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from psycopg import pq

from entrypoint.postgres import handshake
from entrypoint.postgres.refusals import ConnectFailedError

_ROUNDS = 5
_QUERY_LIMIT_S = 2.0
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
    however often it is asked; one that has none left for the second connection while it answers the first
    keeps them as well.

    Args:
        first: an idle connection.
        parameters: libpq keywords that lead to the same place.
        server: what to call it in a failure.
        deadline: on `time.monotonic`'s clock.

    Raises:
        ConnectFailedError: the first connection did not answer.
    """
    try:
        second = handshake.establish(parameters, server=server, deadline=_limit(deadline))
    except ConnectFailedError:
        return _is_moving(first, server=server, deadline=deadline)
    try:
        try:
            _ask_pid(second, server, _limit(deadline))
        except ConnectFailedError:
            # No room for a second client: what the first one sees has to do.
            return _is_moving(first, server=server, deadline=deadline)
        return any(_is_shared(first, second, server=server, deadline=deadline) for _ in range(_ROUNDS))
    finally:
        second.finish()  # the pooler rolls its transaction back


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


def _limit(deadline: float) -> float:
    return min(deadline, time.monotonic() + _QUERY_LIMIT_S)


def _ask_pid(pgconn: pq.abc.PGconn, server: str, deadline: float) -> bytes | None:
    (pid,) = handshake.ask(pgconn, _PID_QUERY, server=server, deadline=deadline)
    return pid


def _is_moving(pgconn: pq.abc.PGconn, *, server: str, deadline: float) -> bool:
    return len({_ask_pid(pgconn, server, deadline) for _ in range(4 * _ROUNDS)}) > 1
