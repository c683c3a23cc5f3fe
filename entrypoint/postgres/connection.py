"""Connections to the one server of a conninfo that can be written to.

Owns what every connection of this program has in common: its name in `pg_stat_activity`, its encoding,
its search path, how soon a cut network is noticed, and that it leads to a primary. Does not wait
(`wait`), and sends no statement of the application's.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import pq

from entrypoint.conninfo import Conninfo
from entrypoint.errors import ConfigurationError
from entrypoint.postgres import handshake, pooler
from entrypoint.postgres.endpoints import Endpoint, Resolver, complete_parameters, list_endpoints
from entrypoint.postgres.refusals import ConnectFailedError, ConnectFailure, Phase

# An address that swallows packets must not use up the time of the others (in seconds; `connect_timeout`
# in the URL overrides both).
_LONE_ADDRESS_LIMIT_S = 10.0
_SHARED_ADDRESS_LIMIT_S = 3.0

# libpq's keywords; values in the URL override them. A cut network is noticed after about a minute of
# silence. `tcp_user_timeout` also ends a connection whose server takes nothing for so long, so it stays
# above the stalls of a slow disk under COPY.
_NETWORK_DEFAULTS = {
    "keepalives": "1",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "120000",  # ms
}

# The same for the server's side, so that the locks of a container that vanished are released.
_SERVER_SETTINGS = {
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}

# A session is idle while another holds the lock, or SCHEMA_COMMAND runs: that is no reason to end it.
_IDLE_SETTINGS = {"idle_session_timeout": "0"}
_FIRST_WITH_IDLE_TIMEOUT = 14_00_00

_UNWRITABLE_ATTRIBUTES = frozenset({"read-only", "standby"})

_NAME_LIMIT_BYTES = 63  # NAMEDATALEN - 1: PostgreSQL cuts application_name there

_STATE_QUERY = (
    b"SELECT pg_catalog.pg_backend_pid(), pg_catalog.pg_is_in_recovery(), "
    b"pg_catalog.current_setting('transaction_read_only')"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A connection and how it came about.

    Args:
        connection: in autocommit mode.
        server: what to call its server.
        has_pooler: the process that answers is not the one that was connected to.
        is_transaction_pooled: each transaction may be answered by another process; asked for lazily,
            because it takes a second connection.
        parameters: libpq keywords of its one server, with the password.
    """

    connection: psycopg.Connection[Any]
    server: str
    has_pooler: bool
    parameters: Mapping[str, str] = field(repr=False)

    def is_transaction_pooled(self, *, deadline: float) -> bool:
        """Tell whether statements may reach different server processes (see `pooler`)."""
        if not self.has_pooler:
            return False
        return pooler.is_transaction_pooled(
            self.connection.pgconn, parameters=self.parameters, server=self.server, deadline=deadline
        )


def connect(
    conninfo: Conninfo, *, purpose: str, timeout_s: float, settings: Mapping[str, str] | None = None
) -> psycopg.Connection[Any]:
    """Return an autocommit connection to the first server of `conninfo` that can be written to.

    Args:
        conninfo: the target.
        purpose: shown as `entrypoint:<purpose>` in `pg_stat_activity`.
        timeout_s: seconds for everything: names, servers, log-in.
        settings: run-time parameters of the session (`SET`), by name.

    Raises:
        UnreachableError: no server could be used.
        NotPermittedError: the server refused the user.
        ConfigurationError: libpq or the server refused a parameter.
    """
    try:
        return attempt(
            conninfo, purpose=purpose, deadline=time.monotonic() + timeout_s, settings=settings
        ).connection
    except ConnectFailedError as error:
        raise error.verdict.to_error() from None


def attempt(
    conninfo: Conninfo,
    *,
    purpose: str,
    deadline: float,
    settings: Mapping[str, str] | None = None,
    resolver: Resolver | None = None,
) -> Link:
    """Try every address of every server once, in order, and return the first that can be written to.

    Raises:
        ConnectFailedError: none could; with a failure for each.
        ConfigurationError: the conninfo makes no sense.
    """
    parameters = _prepare_parameters(conninfo, purpose)
    try:
        endpoints = list_endpoints(parameters)
    except ValueError as error:
        raise ConfigurationError(f"DATABASE_URL: {error}") from None
    resolver = resolver or Resolver()
    failures: list[ConnectFailure] = []
    for position, endpoint in enumerate(endpoints):
        others = len(endpoints) - position - 1
        try:
            addresses = resolver.resolve(endpoint, deadline=_share(deadline, others))
        except OSError as error:
            failures.append(_judge_lookup(endpoint, error))
            continue
        for number, address in enumerate(addresses):
            waiting = others + len(addresses) - number - 1
            try:
                return _open(
                    _point_to(endpoint, address, parameters),
                    server=endpoint.display(address),
                    deadline=_limit_address(deadline, waiting, parameters),
                    settings=_session_settings(conninfo, settings),
                )
            except ConnectFailedError as error:
                failures += error.failures
    raise ConnectFailedError(failures)


def _share(deadline: float, others: int) -> float:
    """Return the time by which one of `others + 1` must be done for all to have their turn."""
    now = time.monotonic()
    return now + max(0.0, deadline - now) / (others + 1)


def _limit_address(deadline: float, waiting: int, parameters: Mapping[str, str]) -> float:
    limit_s = _SHARED_ADDRESS_LIMIT_S if waiting else _LONE_ADDRESS_LIMIT_S
    stated = parameters.get("connect_timeout", "")
    if stated.isdecimal() and int(stated) > 0:
        limit_s = float(stated)
    return min(_share(deadline, waiting), time.monotonic() + limit_s)


def _judge_lookup(endpoint: Endpoint, error: OSError) -> ConnectFailure:
    return ConnectFailure(
        server=endpoint.display(),
        reason=f"the host name has no address: {error.strerror or error}",
        phase=Phase.RESOLVE,
        has_timed_out=isinstance(error, TimeoutError),
    )


def _prepare_parameters(conninfo: Conninfo, purpose: str) -> dict[str, str]:
    parameters = complete_parameters(conninfo.as_dict())
    # Which server is meant is decided here, by asking it; libpq sees one address at a time, and must not
    # take PGTARGETSESSIONATTRS for it.
    wanted = parameters.get("target_session_attrs", "any")
    if wanted in _UNWRITABLE_ATTRIBUTES:
        raise ConfigurationError(
            f"DATABASE_URL: target_session_attrs={wanted} asks for a server that cannot be written to; "
            "use read-write, or name the primary in MIGRATION_DATABASE_URL"
        )
    parameters.pop("load_balance_hosts", None)
    name = f"entrypoint:{purpose}".encode()[:_NAME_LIMIT_BYTES].decode(errors="ignore")
    return {
        **_NETWORK_DEFAULTS,
        **parameters,
        "target_session_attrs": "any",
        "application_name": name,
        "client_encoding": "UTF8",
    }


def _point_to(endpoint: Endpoint, address: str, parameters: Mapping[str, str]) -> dict[str, str]:
    # `host` stays: TLS verification and password files go by it. What is empty is left to libpq, which may
    # have it from a service file.
    place = {"host": endpoint.host, "hostaddr": address, "port": endpoint.port}
    return {name: text for name, text in ({**parameters, **place}).items() if text or name not in place}


def _session_settings(conninfo: Conninfo, settings: Mapping[str, str] | None) -> dict[str, str]:
    wanted = dict(settings or {})
    if conninfo.search_path:
        wanted["search_path"] = ", ".join(
            '"' + name.replace('"', '""') + '"' for name in conninfo.search_path
        )
    return wanted


def _open(parameters: dict[str, str], *, server: str, deadline: float, settings: dict[str, str]) -> Link:
    pgconn = handshake.establish(parameters, server=server, deadline=deadline)
    try:
        pid, in_recovery, read_only = handshake.ask(pgconn, _STATE_QUERY, server=server, deadline=deadline)
        _require_writable(server, in_recovery=in_recovery == b"t", is_read_only=read_only == b"on")
        has_pooler = pid != str(pgconn.backend_pid).encode()
        if not has_pooler:
            idle = _IDLE_SETTINGS if pgconn.server_version >= _FIRST_WITH_IDLE_TIMEOUT else {}
            settings = {**_SERVER_SETTINGS, **idle, **settings}
        elif settings and pooler.is_transaction_pooled(
            pgconn, parameters=parameters, server=server, deadline=deadline
        ):
            _report_skipped(server, settings)
            settings = {}
        if settings:
            _apply(pgconn, settings, server=server, deadline=deadline)
        pgconn.nonblocking = 1  # as psycopg expects it
        connection = psycopg.Connection(pgconn)
    except BaseException:
        pgconn.finish()
        raise
    connection.autocommit = True
    connection.prepare_threshold = None  # a pooler may hand the next statement to another process
    return Link(connection=connection, server=server, has_pooler=has_pooler, parameters=parameters)


def _require_writable(server: str, *, in_recovery: bool, is_read_only: bool) -> None:
    if in_recovery or is_read_only:
        reason = "is in recovery (a standby)" if in_recovery else "accepts only read-only transactions"
        raise ConnectFailedError(
            [ConnectFailure(server=server, reason=f"the server {reason}", phase=Phase.ANSWER)]
        )


def _apply(pgconn: pq.abc.PGconn, settings: Mapping[str, str], *, server: str, deadline: float) -> None:
    """Set run-time parameters by statement: a pooler refuses them at log-in (`options`)."""
    calls = ", ".join(
        f"pg_catalog.set_config(${2 * number + 1}, ${2 * number + 2}, false)"
        for number in range(len(settings))
    )
    values = [text.encode() for pair in settings.items() for text in pair]
    handshake.ask(pgconn, f"SELECT {calls}".encode(), values, server=server, deadline=deadline)


def _report_skipped(server: str, settings: Mapping[str, str]) -> None:
    from entrypoint.log import get_logger  # structlog costs every start; this is rare

    # A pooled server process would keep them for the next client, whoever that is.
    get_logger().warning(
        "session_settings_skipped", server=server, settings=sorted(settings), reason="transaction pooler"
    )
