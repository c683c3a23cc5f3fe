"""One connection to one address, and one question on it, each under a deadline.

Owns the asynchronous use of libpq: psycopg's own `connect` hides how far an attempt came, cannot be told
to report SQLSTATEs, and rounds time-outs up to whole seconds of two or more. Tries one address once;
which addresses, and how often, is decided above.
"""

from __future__ import annotations

import ctypes
import select
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo

from entrypoint.errors import ConfigurationError
from entrypoint.postgres.refusals import (
    ConnectFailedError,
    ConnectFailure,
    Phase,
    judge_answer,
    judge_handshake,
)

_VERBOSITY_DEFAULT = 1  # PGVerbosity in libpq-fe.h
_VERBOSITY_VERBOSE = 2


@cache
def _find_set_error_verbosity() -> Callable[[int, int], int] | None:
    """Return PQsetErrorVerbosity of the very libpq that psycopg uses, or None where it cannot be found.

    psycopg does not offer it. Looking the symbol up in psycopg's extension module searches what that module
    is linked with, so that no second libpq can be meant, be it from a wheel, a frozen folder or the system.
    """
    try:
        if pq.__impl__ == "python":
            from psycopg.pq import _pq_ctypes  # loads a second libpq where the wheel's is in use

            library: ctypes.CDLL = _pq_ctypes.pq  # type: ignore[attr-defined]
        else:
            library = ctypes.CDLL(sys.modules[pq.PGconn.__module__].__file__)
        function = library.PQsetErrorVerbosity
    except (AttributeError, KeyError, OSError):
        return None
    function.argtypes = [ctypes.c_void_p, ctypes.c_int]
    function.restype = ctypes.c_int
    return function


def _set_verbosity(pgconn: pq.abc.PGconn, verbosity: int) -> None:
    # Without the function a refusal has no SQLSTATE and is retried until the deadline, with its text shown.
    function = _find_set_error_verbosity()
    pointer = getattr(pgconn, "pgconn_ptr", None)  # public, and missing from psycopg's protocol class
    if function is not None and pointer:
        function(pointer, verbosity)


def is_sqlstate_known() -> bool:
    """Tell whether refusals carry their SQLSTATE on this machine."""
    return _find_set_error_verbosity() is not None


def _wait_for(pgconn: pq.abc.PGconn, events: int, deadline: float) -> bool:
    poller = select.poll()
    poller.register(pgconn.socket, events)
    return bool(poller.poll(max(0.0, deadline - time.monotonic()) * 1000))


def _broken(server: str, reason: str, *, has_timed_out: bool = False) -> ConnectFailedError:
    return ConnectFailedError(
        [ConnectFailure(server=server, reason=reason, phase=Phase.CONNECT, has_timed_out=has_timed_out)]
    )


def establish(parameters: Mapping[str, str], *, server: str, deadline: float) -> pq.abc.PGconn:
    """Return an authenticated libpq connection.

    Args:
        parameters: libpq keywords of exactly one server, its address resolved.
        server: what to call it in a failure.
        deadline: on `time.monotonic`'s clock.

    Raises:
        ConnectFailedError: with one failure.
        ConfigurationError: libpq knows no such parameter.
    """
    try:
        conninfo = make_conninfo("", **parameters)
    except psycopg.ProgrammingError as error:
        raise ConfigurationError(f"DATABASE_URL cannot be used: {str(error).strip()}") from None
    pgconn: pq.abc.PGconn = pq.PGconn.connect_start(conninfo.encode())
    try:
        _set_verbosity(pgconn, _VERBOSITY_VERBOSE)
        _poll(pgconn, server, deadline)
        _set_verbosity(pgconn, _VERBOSITY_DEFAULT)
    except BaseException:
        pgconn.finish()
        raise
    return pgconn


def _poll(pgconn: pq.abc.PGconn, server: str, deadline: float) -> None:
    stage: pq.ConnStatus | None = None
    events = select.POLLOUT
    while True:
        if pgconn.status == pq.ConnStatus.BAD:
            raise _judge(pgconn, server, stage)
        stage = pq.ConnStatus(pgconn.status)
        if not _wait_for(pgconn, events, deadline):
            silent = (
                "could not be reached in time" if stage is pq.ConnStatus.STARTED else "did not answer in time"
            )
            raise _broken(server, silent, has_timed_out=True)
        polled = pgconn.connect_poll()
        if polled == pq.PollingStatus.OK:
            return
        if polled == pq.PollingStatus.FAILED:
            raise _judge(pgconn, server, stage)
        events = select.POLLIN if polled == pq.PollingStatus.READING else select.POLLOUT


def _judge(pgconn: pq.abc.PGconn, server: str, stage: pq.ConnStatus | None) -> ConnectFailedError:
    # Before the session has an encoding the server writes in its own; what is no UTF-8 is shown as "?".
    message = pgconn.error_message.decode("utf-8", "replace")
    return ConnectFailedError(
        [judge_handshake(server, message, stage=stage, needs_password=pgconn.needs_password)]
    )


def ask(
    pgconn: pq.abc.PGconn, query: bytes, values: Sequence[bytes] = (), *, server: str, deadline: float
) -> list[bytes | None]:
    """Send one statement and return the first row of its answer, in text format.

    Args:
        pgconn: a connection without anything under way.
        query: one statement, or several where there are no `values`.
        values: for `$1`, `$2`…
        server: what to call it in a failure.
        deadline: on `time.monotonic`'s clock.

    Raises:
        ConnectFailedError: an error, a lost connection, or no answer in time; then the connection is of no
            further use.
    """
    try:
        if values:
            pgconn.send_query_params(query, values)
        else:
            pgconn.send_query(query)
        results = _collect(pgconn, server, deadline)
    except psycopg.Error as error:
        raise _broken(server, str(error).strip().splitlines()[0]) from None
    for result in results:
        if sqlstate := result.error_field(pq.DiagnosticField.SQLSTATE):
            text = result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b""
            raise ConnectFailedError(
                [judge_answer(server, sqlstate.decode(), text.decode("utf-8", "replace"))]
            )
        if result.status == pq.ExecStatus.FATAL_ERROR:
            raise _broken(server, result.error_message.decode("utf-8", "replace").strip().splitlines()[0])
    rows = [result for result in results if result.ntuples]
    return [rows[-1].get_value(0, column) for column in range(rows[-1].nfields)] if rows else []


def is_answered(pgconn: pq.abc.PGconn) -> bool:
    """Tell whether something has come for a statement whose answer `ask` no longer waited for."""
    return _wait_for(pgconn, select.POLLIN, time.monotonic())


def _collect(pgconn: pq.abc.PGconn, server: str, deadline: float) -> list[pq.abc.PGresult]:
    results: list[pq.abc.PGresult] = []
    while True:
        events = select.POLLIN | select.POLLOUT if pgconn.flush() else select.POLLIN
        while pgconn.is_busy():
            if not _wait_for(pgconn, events, deadline):
                raise _broken(server, "did not answer a query in time", has_timed_out=True)
            try:
                pgconn.consume_input()
            except psycopg.OperationalError:
                if any(result.error_field(pq.DiagnosticField.SQLSTATE) for result in results):
                    return results  # the reason came before the connection was closed
                raise
            events = select.POLLIN | select.POLLOUT if pgconn.flush() else select.POLLIN
        result = pgconn.get_result()
        if result is None:
            return results
        results.append(result)
