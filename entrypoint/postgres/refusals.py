"""What a failed attempt to connect means: try again, try a little longer, or give up.

Owns that judgement and the error it ends in. Opens no connection; failed statements belong to `failures`.

A failed connect has no SQLSTATE in psycopg, because libpq keeps only a text, and that text is in the
server's language (`lc_messages`). Therefore `handshake` sets libpq's error verbosity to VERBOSE before the
first byte is answered; libpq then writes `<severity>:  <SQLSTATE>: <message>` whatever the language
(manual, "Control Functions", PQsetErrorVerbosity), and the code is read from there. What libpq itself says
is never translated in this process: it asks for LC_MESSAGES, which Python leaves at "C".
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass

from psycopg import pq

from entrypoint.errors import ConfigurationError, EntrypointError, NotPermittedError, UnreachableError


class Disposition(enum.Enum):
    """What to do after a failed attempt."""

    RETRY = "retry"  # it may pass: the server is starting, full, in recovery, not there yet
    GRACE = "grace"  # it may pass, but soon: the database is still being created
    FAIL = "fail"  # waiting does not help


class Phase(enum.Enum):
    """How far an attempt came."""

    RESOLVE = "resolve"  # the host name has no address
    CONNECT = "connect"  # nothing answered, or not to the end
    ANSWER = "answer"  # PostgreSQL, a pooler or TLS said no


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectFailure:
    """Why one server could not be used.

    Args:
        server: `host:port` or the socket's path, with the address where it differs.
        reason: one clause for the reader.
        sqlstate: five characters, or None where PostgreSQL said nothing.
        has_timed_out: it was given up here, not refused there.
        error: the class of the error that reports it, when it is final.
        remedy: what the reader should do.
    """

    server: str
    reason: str
    phase: Phase
    disposition: Disposition = Disposition.RETRY
    sqlstate: str | None = None
    has_timed_out: bool = False
    error: type[EntrypointError] = UnreachableError
    remedy: str = "check that PostgreSQL runs there and that DATABASE_URL names it"

    def to_error(self) -> EntrypointError:
        """Return the error to end with."""
        if self.error is ConfigurationError:
            return ConfigurationError(f"{self.server}: {self.reason}; {self.remedy}")
        return self.error(self.reason, where=self.server, remedy=self.remedy)


class ConnectFailedError(Exception):
    """No server of a conninfo could be used; one failure for each address that was tried.

    It never leaves `postgres`: `connect` and `wait_until_ready` raise an `EntrypointError` instead.
    """

    def __init__(self, failures: Iterable[ConnectFailure]) -> None:
        self.failures = tuple(failures)
        super().__init__(self.reason)

    @property
    def reason(self) -> str:
        """Every server with its reason, once."""
        return "; ".join(dict.fromkeys(f"{f.server}: {f.reason}" for f in self.failures))

    @property
    def has_timed_out(self) -> bool:
        """Tell whether no address said anything."""
        return all(failure.has_timed_out for failure in self.failures)

    @property
    def verdict(self) -> ConnectFailure:
        """The failure that decides.

        A wrong password is wrong everywhere. Otherwise one server that may still become ready is reason
        enough to wait for it; of several addresses of one server the one that answered counts
        (`localhost` is `::1` too, where often nothing listens).
        """
        for failure in self.failures:
            if failure.error is NotPermittedError and failure.sqlstate in (None, "28P01"):
                return failure
        by_server: dict[str, ConnectFailure] = {}
        for failure in self.failures:
            name = failure.server.split(" ", 1)[0]
            if name not in by_server or by_server[name].phase is not Phase.ANSWER:
                by_server[name] = failure
        for disposition in (Disposition.RETRY, Disposition.GRACE, Disposition.FAIL):
            for failure in reversed(by_server.values()):
                if failure.disposition is disposition:
                    return failure
        raise AssertionError("a failed attempt without a failure")


_CHECK_LOGIN = (
    "check the user and password in DATABASE_URL (a PostgreSQL volume keeps the password it was created with)"
)
_CHECK_ROLE = "check the user in DATABASE_URL and the server's pg_hba.conf"
_CHECK_DATABASE = "create the database, or correct its name in DATABASE_URL"
_CHECK_TLS = "check sslmode, sslrootcert and the server's certificate"
_CHECK_PARAMETERS = "check the parameters of DATABASE_URL"
_CHECK_POOLER = "name PostgreSQL itself, past the pooler, in MIGRATION_DATABASE_URL"

_RULES: dict[str, tuple[Disposition, type[EntrypointError], str]] = {
    "28P01": (Disposition.FAIL, NotPermittedError, _CHECK_LOGIN),
    "28000": (Disposition.FAIL, NotPermittedError, _CHECK_ROLE),
    "42501": (Disposition.FAIL, NotPermittedError, "GRANT CONNECT ON DATABASE to this role"),
    "3D000": (Disposition.GRACE, UnreachableError, _CHECK_DATABASE),
    "0A000": (Disposition.FAIL, ConfigurationError, _CHECK_POOLER),
}

# PgBouncer gives this one code to nearly everything (1.18, and much of later ones). It never translates what
# it says itself, so the code that PostgreSQL would have given is told from the text.
_POOLER_CODE = "08P01"
_POOLER_TEXTS = {
    "password authentication failed": "28P01",
    "auth failed": "28P01",
    "no such user": "28P01",
    "no such database": "3D000",
    "unsupported startup parameter": "0A000",
}

# Manual, appendix A. Whole classes that pass by themselves: connection exception (PgBouncer's own troubles
# carry 08P01), insufficient resources, operator intervention (57P01-57P03 among them), system error,
# internal error, object not in prerequisite state, read-only transaction, rollback.
_PASSING_CLASSES = frozenset({"08", "53", "57", "58", "XX", "55", "25", "40"})


def judge_answer(server: str, sqlstate: str, text: str) -> ConnectFailure:
    """Judge the refusal of a server or pooler that answered, by its SQLSTATE.

    Args:
        server: as in `ConnectFailure`.
        sqlstate: five characters.
        text: the primary message, in the server's language.
    """
    rule: tuple[Disposition, type[EntrypointError], str]
    if sqlstate == _POOLER_CODE:
        sqlstate = next((code for said, code in _POOLER_TEXTS.items() if said in text), sqlstate)
    if sqlstate in _RULES:
        rule = _RULES[sqlstate]
    elif sqlstate[:2] in _PASSING_CLASSES:
        rule = (Disposition.RETRY, UnreachableError, "look at the server's log")
    else:
        rule = (Disposition.FAIL, ConfigurationError, _CHECK_PARAMETERS)
    disposition, error, remedy = rule
    return ConnectFailure(
        server=server,
        reason=f"{text} ({sqlstate})",
        sqlstate=sqlstate,
        phase=Phase.ANSWER,
        disposition=disposition,
        error=error,
        remedy=remedy,
    )


_PREFIX = re.compile(
    r'^connection to server (?:at|on socket) ".*?"(?: \([^)]*\))?(?:, port \d+)? failed: ', re.MULTILINE
)
_SERVER_SAID = re.compile(r"^[^:\n]+:  ([0-9A-Z]{5}): (.*)")

# What libpq says when the peer or the network went away; everything else it says while TLS is being
# negotiated is a refusal (fe-secure-openssl.c: certificates, keys, names, protocol versions).
_BROKEN = re.compile(
    r"SYSCALL|unexpected eof|closed (?:the connection )?unexpectedly|could not (?:receive|send)"
    r"|error response during SSL|timeout|Connection (?:reset|refused)|Broken pipe",
    re.IGNORECASE,
)
_CREDENTIALS = re.compile(r"no password supplied|authentication method|channel binding|require_auth|SCRAM")


def judge_handshake(
    server: str, message: str, *, stage: pq.ConnStatus | None, needs_password: bool
) -> ConnectFailure:
    """Judge what libpq left in a connection that could not be established.

    Args:
        server: as in `ConnectFailure`.
        message: libpq's error message; several lines when it fell back from TLS to plain text.
        stage: the status before the last step; None when libpq refused the parameters themselves.
        needs_password: the server asked for a password and there was none.
    """
    parts = [part.strip() for part in _PREFIX.split(message) if part.strip()] or ["no reason given"]
    said = [(match.group(1), match.group(2)) for part in parts if (match := _SERVER_SAID.match(part))]
    if said:
        return judge_answer(server, said[-1][0], "; ".join(dict.fromkeys(text for _, text in said)))
    reason = "; ".join(dict.fromkeys(part.splitlines()[0] for part in parts))
    if stage is None and not _PREFIX.search(message):
        return _refuse(server, reason, ConfigurationError, _CHECK_PARAMETERS)
    if needs_password or _CREDENTIALS.search(reason):
        return _refuse(server, reason, NotPermittedError, _CHECK_LOGIN)
    is_tls = stage is pq.ConnStatus.SSL_STARTUP or "SSL error" in reason
    if is_tls and not _BROKEN.search(parts[-1]):
        return _refuse(server, reason, UnreachableError, _CHECK_TLS)
    return ConnectFailure(server=server, reason=reason, phase=Phase.CONNECT)


def _refuse(server: str, reason: str, error: type[EntrypointError], remedy: str) -> ConnectFailure:
    return ConnectFailure(
        server=server,
        reason=reason,
        phase=Phase.ANSWER,
        disposition=Disposition.FAIL,
        error=error,
        remedy=remedy,
    )
