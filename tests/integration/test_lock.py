"""The bootstrap lock: one holder, named, taken over when it dies."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from entrypoint import interrupts, log
from entrypoint.conninfo import parse_conninfo
from entrypoint.errors import LockNotObtainedError
from entrypoint.postgres.lock import NAMESPACE, hold_lock
from tests.poolers import pooled
from tests.servers import Database, Server

pytestmark = pytest.mark.newest_server

SCHEMA = "entrypoint"


@pytest.fixture
def logged() -> Callable[[], list[dict[str, Any]]]:
    stream = io.StringIO()
    log.configure(log_format="json", level="info", stream=stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def refuse(database: Database, timeout_s: float = 0.0) -> LockNotObtainedError:
    with (
        pytest.raises(LockNotObtainedError) as caught,
        hold_lock(database.conninfo, ledger_schema=SCHEMA, timeout_s=timeout_s),
    ):
        pytest.fail("two holders")
    return caught.value


def list_advisory_locks(server: Server, database: Database) -> list[tuple[Any, ...]]:
    return server.execute("SELECT classid FROM pg_locks WHERE locktype = 'advisory'", database.name)


def test_the_lock_is_held_in_the_block_and_gone_after_it(
    server: Server, database: Database, logged: Callable[[], list[dict[str, Any]]]
) -> None:
    with hold_lock(database.conninfo, ledger_schema=SCHEMA, timeout_s=1) as lock:
        lock.check()
        assert list_advisory_locks(server, database) == [(NAMESPACE,)]

    assert list_advisory_locks(server, database) == []
    assert logged() == []


def test_an_error_in_the_block_passes_and_releases(server: Server, database: Database) -> None:
    with (
        pytest.raises(KeyError, match="inside"),
        hold_lock(database.conninfo, ledger_schema=SCHEMA, timeout_s=1),
    ):
        raise KeyError("inside")

    assert list_advisory_locks(server, database) == []


def test_a_second_holder_is_refused_and_told_who_holds_it(database: Database) -> None:
    with hold_lock(database.conninfo, ledger_schema=SCHEMA, timeout_s=1):
        started = time.monotonic()
        error = refuse(database, 0.8)
        took_s = time.monotonic() - started

    assert error.exit_code == 75
    assert 0.8 <= took_s < 1.3
    assert re.search(
        r"held by process \d+, entrypoint:lock@\S+, from 127\.0\.0\.1, since \d{4}-\d\d-\d\dT", str(error)
    )
    assert "LOCK_TIMEOUT" in str(error)


def test_the_holder_is_named_to_a_role_without_rights_over_it(server: Server, database: Database) -> None:
    other = server.create_database()
    try:
        stranger = other.url.removesuffix(other.name) + database.name
        with (
            hold_lock(database.conninfo, ledger_schema=SCHEMA, timeout_s=1),
            pytest.raises(LockNotObtainedError) as caught,
            hold_lock(parse_conninfo(stranger), ledger_schema=SCHEMA, timeout_s=0),
        ):
            pytest.fail("two holders")
    finally:
        other.drop()

    assert re.search(r"entrypoint:lock@\S+, since \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", str(caught.value))


def test_ledgers_and_databases_do_not_exclude_each_other(server: Server, database: Database) -> None:
    other = server.create_database()
    try:
        with (
            hold_lock(database.conninfo, ledger_schema=SCHEMA, timeout_s=0),
            hold_lock(database.conninfo, ledger_schema="another", timeout_s=0),
            hold_lock(other.conninfo, ledger_schema=SCHEMA, timeout_s=0),
        ):
            assert len(list_advisory_locks(server, database)) == 3
    finally:
        other.drop()


def test_a_waiter_gets_the_lock_when_it_is_released(
    database: Database, logged: Callable[[], list[dict[str, Any]]]
) -> None:
    release = threading.Event()
    held = threading.Event()

    def hold() -> None:
        with hold_lock(database.conninfo, ledger_schema=SCHEMA, timeout_s=1):
            held.set()
            release.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(5)
    threading.Timer(1.0, release.set).start()
    with hold_lock(database.conninfo, ledger_schema=SCHEMA, timeout_s=10) as lock:
        lock.check()
    holder.join()

    assert [line["event"] for line in logged()] == ["lock_waiting", "lock_obtained"]
    assert "entrypoint:lock@" in logged()[0]["holder"]
    assert 0.9 < logged()[1]["waited_s"] < 2.0


def test_the_wait_is_reported_every_five_seconds(
    database: Database, logged: Callable[[], list[dict[str, Any]]]
) -> None:
    with hold_lock(database.conninfo, ledger_schema=SCHEMA, timeout_s=1):
        refuse(database, 5.8)

    assert [line["event"] for line in logged()] == ["lock_waiting", "lock_waiting"]
    assert logged()[1]["waited_s"] >= 5


def test_a_waiter_does_not_block_an_index_built_concurrently(database: Database) -> None:
    database.execute("CREATE TABLE t (id integer)")
    waiter = threading.Thread(target=refuse, args=(database, 3.0))
    with hold_lock(database.conninfo, ledger_schema=SCHEMA, timeout_s=1):
        waiter.start()
        time.sleep(0.5)
        started = time.monotonic()
        with database.connect(options="-c statement_timeout=2s") as connection:
            connection.execute("CREATE INDEX CONCURRENTLY t_id ON t (id)")
        assert time.monotonic() - started < 2
        waiter.join()


def test_a_terminated_holder_notices_and_is_followed(server: Server, database: Database) -> None:
    with hold_lock(database.conninfo, ledger_schema=SCHEMA, timeout_s=1) as lock:
        server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE datname = '{database.name}' AND application_name LIKE 'entrypoint:lock@%'"
        )
        with (
            hold_lock(database.conninfo, ledger_schema=SCHEMA, timeout_s=5),
            pytest.raises(LockNotObtainedError, match="was lost"),
        ):
            lock.check()


def test_a_lock_that_was_given_up_is_noticed(server: Server, database: Database) -> None:
    with hold_lock(database.conninfo, ledger_schema=SCHEMA, timeout_s=1) as lock:
        lock._connection.execute("SELECT pg_advisory_unlock_all()")
        with pytest.raises(LockNotObtainedError, match="was lost"):
            lock.check()


_HOLD_FOR_EVER = """
import sys, time
from entrypoint.conninfo import parse_conninfo
from entrypoint.postgres.lock import hold_lock
with hold_lock(parse_conninfo(sys.argv[1]), ledger_schema="entrypoint", timeout_s=1):
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def holding_process(url: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, "-c", _HOLD_FOR_EVER, url], stdout=subprocess.PIPE, text=True)
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_a_killed_holder_is_followed(database: Database) -> None:
    with holding_process(database.url) as process:
        refuse(database)
        os.kill(process.pid, signal.SIGKILL)
        with hold_lock(database.conninfo, ledger_schema=SCHEMA, timeout_s=5) as lock:
            lock.check()


def test_a_deadline_from_outside_ends_the_wait_for_the_lock(server: Server, database: Database) -> None:
    with hold_lock(database.conninfo, ledger_schema=SCHEMA, timeout_s=1):
        started = time.monotonic()
        with (
            pytest.raises(interrupts.Interrupted),
            interrupts.deadline(0.7, what="the test", variable="NONE"),
            hold_lock(database.conninfo, ledger_schema=SCHEMA, timeout_s=20),
        ):
            pytest.fail("two holders")
        assert time.monotonic() - started < 1.2

    assert list_advisory_locks(server, database) == []


def test_an_idle_holder_outlives_the_servers_idle_limit(server: Server, database: Database) -> None:
    if server.version < 14:
        pytest.skip("idle_session_timeout came with PostgreSQL 14")
    server.execute(f"ALTER ROLE {database.owner} SET idle_session_timeout = '300ms'")
    with hold_lock(database.conninfo, ledger_schema=SCHEMA, timeout_s=1) as lock:
        time.sleep(0.7)
        lock.check()


def test_a_killed_holder_behind_a_session_pooler_is_followed(database: Database) -> None:
    with pooled(database, pool_mode="session") as url, holding_process(url) as process:
        refuse(database)
        os.kill(process.pid, signal.SIGKILL)
        with hold_lock(database.conninfo, ledger_schema=SCHEMA, timeout_s=5) as lock:
            lock.check()
