"""Wait until PostgreSQL is ready: an authenticated query answered by a server that can be written to.

Owns when to try again and when to give up. What an attempt is belongs to `connection`; what its failure
means, to `refusals`. One monotonic deadline covers all attempts, all servers and name resolution.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import psycopg

from entrypoint.conninfo import Conninfo
from entrypoint.errors import EntrypointError, UnreachableError
from entrypoint.postgres.connection import Link, attempt
from entrypoint.postgres.endpoints import Resolver
from entrypoint.postgres.refusals import ConnectFailedError, ConnectFailure, Disposition, Phase

if TYPE_CHECKING:
    from tenacity import RetryCallState

# A missing database is created by the PostgreSQL image's init scripts within seconds, or never.
MISSING_DATABASE_GRACE_S = 5.0

# With a time-out of 0 there is one attempt, which still needs time to log in.
SINGLE_ATTEMPT_LIMIT_S = 5.0

_FIRST_PAUSE_S = 0.05
# While a start is fresh, at most this is added after PostgreSQL became ready.
_FRESH_PAUSE_LIMIT_S = 0.1
_FRESH_FOR_S = 30.0
# Later, and for names that do not resolve and a database that is missing: neither a name server nor the
# server's log is ours to flood.
_PAUSE_LIMIT_S = 1.0
_REPORT_EVERY_S = 5.0

# An attempt shorter than this cannot succeed.
_LEAST_ATTEMPT_S = 0.02


def wait_until_ready(
    conninfo: Conninfo,
    *,
    timeout_s: float,
    purpose: str = "wait",
    settings: Mapping[str, str] | None = None,
) -> psycopg.Connection[Any]:
    """Return an autocommit connection to a writable server, as soon as there is one.

    Args:
        conninfo: the target; with several servers the first that can be written to is taken.
        timeout_s: seconds for everything; 0 is one attempt.
        purpose: shown as `entrypoint:<purpose>` in `pg_stat_activity`.
        settings: run-time parameters of the session, by name.

    Raises:
        UnreachableError: not in time, no such database, or TLS was refused.
        NotPermittedError: wrong password, unknown role, no pg_hba.conf entry; at once.
        ConfigurationError: libpq or the server refused a parameter; at once.
    """
    started = time.monotonic()
    deadline = started + (timeout_s or SINGLE_ATTEMPT_LIMIT_S)
    resolver = Resolver()

    def try_once() -> Link:
        return attempt(conninfo, purpose=purpose, deadline=deadline, settings=settings, resolver=resolver)

    try:
        return try_once().connection
    except ConnectFailedError as error:
        first = error
    if timeout_s == 0 or first.verdict.disposition is Disposition.FAIL:
        raise first.verdict.to_error() from None
    waiting = _Waiting(display=conninfo.display(), started=started, timeout_s=timeout_s, first=first)
    # 20 ms of imports that a start with PostgreSQL up need not pay.
    from tenacity import RetryError, Retrying

    retrying = Retrying(
        retry=waiting.should_retry, stop=waiting.should_stop, wait=waiting.choose_pause, sleep=time.sleep
    )
    time.sleep(min(_FIRST_PAUSE_S, timeout_s))
    try:
        link = retrying(try_once)
    except (ConnectFailedError, RetryError):
        raise waiting.conclude() from None
    waiting.report_ready(link)
    return link.connection


class _Waiting:
    """The state of one wait: what was said last, by whom, and since when."""

    def __init__(self, *, display: str, started: float, timeout_s: float, first: ConnectFailedError) -> None:
        from entrypoint.log import get_logger  # structlog, only when there is something to say

        self._log = get_logger()
        self._display = display
        self._started = started
        self._timeout_s = timeout_s
        self._last = first
        self._last_answer = first
        self._answered = self._started
        self._missing_since: float | None = None
        self._reported = time.monotonic()
        self._log.info("postgres_wait_started", host=display, timeout_s=timeout_s, reason=first.reason)
        self._note(first)

    @property
    def _waited_s(self) -> float:
        return round(time.monotonic() - self._started, 3)

    def _note(self, error: ConnectFailedError) -> None:
        self._last = error
        if not error.has_timed_out:
            self._last_answer, self._answered = error, time.monotonic()
        if error.verdict.disposition is not Disposition.GRACE:
            self._missing_since = None
        elif self._missing_since is None:
            self._missing_since = time.monotonic()
        if time.monotonic() - self._reported >= _REPORT_EVERY_S:
            self._reported = time.monotonic()
            self._log.info("postgres_waiting", waited_s=self._waited_s, reason=error.reason)

    def _is_hopeless(self) -> bool:
        if self._last.verdict.disposition is Disposition.FAIL:
            return True
        return (
            self._missing_since is not None
            and time.monotonic() - self._missing_since >= MISSING_DATABASE_GRACE_S
        )

    def should_retry(self, state: RetryCallState) -> bool:
        """Tell whether another attempt may succeed (tenacity's `retry`)."""
        error = state.outcome.exception() if state.outcome else None
        if not isinstance(error, ConnectFailedError):
            return False
        self._note(error)
        return not self._is_hopeless()

    def should_stop(self, _state: RetryCallState) -> bool:
        """Tell whether the deadline leaves no time for another attempt (tenacity's `stop`)."""
        return self._started + self._timeout_s - time.monotonic() < _LEAST_ATTEMPT_S

    def choose_pause(self, state: RetryCallState) -> float:
        """Return the seconds to the next attempt: exponential with full jitter (tenacity's `wait`).

        Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
        """
        from tenacity import wait_random_exponential  # loaded by now

        is_costly = self._missing_since is not None or all(
            failure.phase is Phase.RESOLVE for failure in self._last.failures
        )
        is_fresh = time.monotonic() - self._started < _FRESH_FOR_S and not is_costly
        limit_s = _FRESH_PAUSE_LIMIT_S if is_fresh else _PAUSE_LIMIT_S
        pause_s = wait_random_exponential(multiplier=_FIRST_PAUSE_S, max=limit_s)(state)
        remaining_s = self._started + self._timeout_s - time.monotonic()
        return max(0.0, min(pause_s, remaining_s - 2 * _LEAST_ATTEMPT_S))

    def conclude(self) -> EntrypointError:
        """Return the error to end with: the final refusal, or that the time is over and why."""
        verdict = self._last.verdict
        if verdict.disposition is Disposition.FAIL or self._missing_since is not None:
            return verdict.to_error()
        # The last attempt may have been cut short by the deadline: what was heard just before says more.
        if time.monotonic() - self._answered < 2 * _PAUSE_LIMIT_S:
            self._last = self._last_answer
        return UnreachableError(
            f"PostgreSQL was not ready within {self._timeout_s:g} s ({self._last.reason})",
            where=self._display,
            remedy=_advise(self._last.verdict),
        )

    def report_ready(self, link: Link) -> None:
        """Log the end of the wait."""
        self._log.info("postgres_ready", server=link.server, waited_s=self._waited_s)


def _advise(verdict: ConnectFailure) -> str:
    if verdict.phase is Phase.RESOLVE:
        return "check the host name in DATABASE_URL and that both containers share a network"
    return f"{verdict.remedy}, or raise POSTGRES_WAIT_TIMEOUT"
