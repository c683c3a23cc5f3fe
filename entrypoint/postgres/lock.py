"""One bootstrapper per target at a time: a session-level advisory lock on a connection of its own.

Owns the lock's key, the wait for it, and who is named as its holder. The lock is tried and polled: a
session that blocks in `pg_advisory_lock` holds a snapshot, which CREATE INDEX CONCURRENTLY in the holder
would wait for, and both would wait for ever. State read before the lock was obtained is stale after it.

The key is a pair of integers: a constant (`entr` in ASCII) and a hash of the ledger schema's name. The
database need not be in it, because PostgreSQL keeps advisory locks per database (manual, "Advisory Locks").
"""

from __future__ import annotations

import hashlib
import random
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql

from entrypoint.conninfo import Conninfo
from entrypoint.errors import ConfigurationError, LockNotObtainedError
from entrypoint.postgres import handshake
from entrypoint.postgres.connection import Link, attempt
from entrypoint.postgres.failures import translate_errors
from entrypoint.postgres.refusals import ConnectFailedError

NAMESPACE = int.from_bytes(b"entr", "big")

_CONNECT_LIMIT_S = 10.0
_UNLOCK_LIMIT_S = 2.0  # a signal promises an end within 5 s, whatever the network does
_POLL_S = (0.25, 0.5)  # jitter between these, so that waiters do not move in step
_REPORT_EVERY_S = 5.0

_ADDRESSED_LOCK = sql.SQL("""
    l.locktype = 'advisory' AND l.objsubid = 2 AND l.granted
    AND l.classid = %(namespace)s::bigint::oid AND l.objid = %(key)s::bigint::oid
    AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
""")
_IS_HELD_QUERY = sql.SQL(
    "SELECT count(*) FROM pg_catalog.pg_locks l WHERE l.pid = pg_catalog.pg_backend_pid() AND {lock}"
).format(lock=_ADDRESSED_LOCK)
_HOLDER_QUERY = sql.SQL("""
    SELECT l.pid, coalesce(a.application_name, ''), pg_catalog.host(a.client_addr),
           to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
    FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
    WHERE {lock} LIMIT 1
""").format(lock=_ADDRESSED_LOCK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds the lock, as far as this role may see.

    Args:
        pid: of the server process.
        application_name: `entrypoint:lock@<host> <since>`; every role may read it, unlike the next two.
        client_addr: None without pg_monitor's rights, or for a local socket.
        since: when it was obtained, or else when its connection began.
    """

    pid: int
    application_name: str
    client_addr: str | None
    since: str | None

    def describe(self) -> str:
        """Return one clause for an error."""
        parts = [f"process {self.pid}", self.application_name.split(" ", 1)[0] or "unnamed"]
        if self.client_addr:
            parts.append(f"from {self.client_addr}")
        if self.since:
            parts.append(f"since {self.since}")
        return ", ".join(parts)


class Lock:
    """The lock while it is held."""

    def __init__(self, connection: psycopg.Connection[Any], key: int, server: str) -> None:
        self._connection = connection
        self._key = key
        self._server = server

    def check(self) -> None:
        """Make sure that the lock is still held; call it before what must not happen without it.

        Raises:
            LockNotObtainedError: the connection ended, and the lock with it.
        """
        try:
            row = self._connection.execute(_IS_HELD_QUERY, _key_values(self._key)).fetchone()
        except psycopg.Error as error:
            raise self._lost() from error
        if row is None or row[0] == 0:
            raise self._lost()

    def _lost(self) -> LockNotObtainedError:
        return LockNotObtainedError(
            "the bootstrap lock was lost: its connection ended",
            where=self._server,
            remedy="nothing was committed after that; start again",
        )


@contextmanager
def hold_lock(conninfo: Conninfo, *, ledger_schema: str, timeout_s: float) -> Iterator[Lock]:
    """Hold the bootstrap lock of this target while the block runs.

    Args:
        conninfo: the target, not through a transaction pooler.
        ledger_schema: bootstrappers with different ledgers do not exclude each other.
        timeout_s: seconds to wait for another holder; 0 tries once.

    Raises:
        LockNotObtainedError: another holder kept it; named as far as this role may see.
        ConfigurationError: a transaction pooler stands in between.
        UnreachableError, NotPermittedError: as `connection.connect`.
    """
    started = time.monotonic()
    link = _open_link(conninfo)
    connection = link.connection
    key = _derive_key(ledger_schema)
    try:
        with translate_errors("taking the bootstrap lock"):
            _refuse_transaction_pooler(link)
            _outlive_idleness(connection)
            _obtain(connection, key, started=started, timeout_s=timeout_s, server=link.server)
        yield Lock(connection, key, link.server)
    finally:
        _release(link)


def _open_link(conninfo: Conninfo) -> Link:
    purpose = f"lock@{socket.gethostname()[:32]}"  # leaves room for the time within 63 bytes
    try:
        return attempt(conninfo, purpose=purpose, deadline=time.monotonic() + _CONNECT_LIMIT_S)
    except ConnectFailedError as error:
        raise error.verdict.to_error() from None


def _refuse_transaction_pooler(link: Link) -> None:
    try:
        is_pooled = link.is_transaction_pooled(deadline=time.monotonic() + _CONNECT_LIMIT_S)
    except ConnectFailedError as error:
        raise error.verdict.to_error() from None
    if is_pooled:
        raise ConfigurationError(
            f"{link.server} is a transaction pooler: each statement may reach another server process, so "
            "that no lock can be held through it; name PostgreSQL itself (or a session pool) in "
            "MIGRATION_DATABASE_URL"
        )


def _outlive_idleness(connection: psycopg.Connection[Any]) -> None:
    # The lock's connection is idle while rows are loaded on another (PostgreSQL 14 and later).
    connection.execute(
        "SELECT set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name = 'idle_session_timeout'"
    )


def _derive_key(ledger_schema: str) -> int:
    digest = hashlib.sha256(ledger_schema.encode()).digest()
    return int.from_bytes(digest[:4], "big", signed=True)


def _key_values(key: int) -> dict[str, int]:
    return {"namespace": NAMESPACE, "key": key % 2**32}  # pg_locks shows the halves as unsigned oids


def _obtain(
    connection: psycopg.Connection[Any], key: int, *, started: float, timeout_s: float, server: str
) -> None:
    deadline = started + timeout_s
    reported = float("-inf")
    has_waited = False
    while not _try_lock(connection, key):
        holder = _find_holder(connection, key)
        now = time.monotonic()
        if now >= deadline:
            by = f": it is held by {holder.describe()}" if holder else ""
            raise LockNotObtainedError(
                f"the bootstrap lock was not obtained within {timeout_s:g} s{by}",
                where=server,
                remedy="wait for it, end it with pg_terminate_backend(), or raise LOCK_TIMEOUT",
            )
        if now - reported >= _REPORT_EVERY_S:
            _report_waiting(holder, waited_s=now - started)
            reported, has_waited = now, True
        time.sleep(min(random.uniform(*_POLL_S), max(0.0, deadline - now)))  # noqa: S311  (no secret)
    _sign(connection)
    if has_waited:
        from entrypoint.log import get_logger  # structlog, only when there is something to say

        get_logger().info("lock_obtained", waited_s=round(time.monotonic() - started, 3))


def _try_lock(connection: psycopg.Connection[Any], key: int) -> bool:
    row = connection.execute(
        "SELECT pg_catalog.pg_try_advisory_lock(%s::int, %s::int)", (NAMESPACE, key)
    ).fetchone()
    return row is not None and bool(row[0])


def _sign(connection: psycopg.Connection[Any]) -> None:
    """Write the time into application_name, the one column of pg_stat_activity that every role may read."""
    connection.execute(
        "SELECT set_config('application_name', current_setting('application_name') || %s, false)",
        (f" {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",),
    )


def _find_holder(connection: psycopg.Connection[Any], key: int) -> Holder | None:
    row = connection.execute(_HOLDER_QUERY, _key_values(key)).fetchone()
    if row is None:  # it was released in between
        return None
    pid, application_name, client_addr, began = row
    signed = re.search(r" (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)$", application_name)
    return Holder(
        pid=pid,
        application_name=application_name,
        client_addr=client_addr,
        since=signed.group(1) if signed else began,
    )


def _report_waiting(holder: Holder | None, *, waited_s: float) -> None:
    from entrypoint.log import get_logger  # structlog, only when there is something to say

    get_logger().info(
        "lock_waiting", holder=holder.describe() if holder else None, waited_s=round(waited_s, 3)
    )


def _release(link: Link) -> None:
    """Unlock and close: a pooled server process lives on, and must not keep the lock."""
    try:
        if not link.connection.closed:
            handshake.ask(
                link.connection.pgconn,
                b"SELECT pg_catalog.pg_advisory_unlock_all()",
                server=link.server,
                deadline=time.monotonic() + _UNLOCK_LIMIT_S,
            )
    except ConnectFailedError:
        pass  # it does not answer any more; closing it is all that can be done
    finally:
        link.connection.close()
