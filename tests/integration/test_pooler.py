"""Real PgBouncers: a pool that shares its processes is refused, one that lends them is not."""

from __future__ import annotations

import contextlib
import io
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from entrypoint import log
from entrypoint.conninfo import parse_conninfo
from entrypoint.errors import ConfigurationError, EntrypointError, LockNotObtainedError, UnreachableError
from entrypoint.postgres.connection import connect
from entrypoint.postgres.lock import hold_lock
from entrypoint.postgres.wait import wait_until_ready
from tests.poolers import pooled
from tests.servers import Database, Server

pytestmark = pytest.mark.newest_server

SCHEMA = "entrypoint"


@pytest.fixture
def logged() -> Callable[[], list[dict[str, Any]]]:
    stream = io.StringIO()
    log.configure(log_format="json", level="info", stream=stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def list_advisory_locks(server: Server, database: Database) -> list[tuple[Any, ...]]:
    return server.execute("SELECT classid FROM pg_locks WHERE locktype = 'advisory'", database.name)


def eventually_free(server: Server, database: Database) -> None:
    for _ in range(100):
        if not list_advisory_locks(server, database):
            return
        time.sleep(0.02)
    raise AssertionError("an advisory lock was left behind")


def warm(url: str, clients: int) -> None:
    """Let the pool have this many idle server processes."""
    with contextlib.ExitStack() as stack:
        for _ in range(clients):
            connection = stack.enter_context(wait_until_ready(parse_conninfo(url), timeout_s=5))
            connection.execute("BEGIN")


@pytest.mark.parametrize(
    "settings",
    [
        {"pool_mode": "transaction"},
        {"pool_mode": "statement"},
        {"pool_mode": "transaction", "default_pool_size": 1},
        {"pool_mode": "transaction", "server_round_robin": 1},
    ],
    ids=["transaction", "statement", "one-process", "round-robin"],
)
@pytest.mark.parametrize("idle", [0, 3])
def test_a_transaction_pooler_is_refused(
    server: Server, database: Database, settings: dict[str, object], idle: int
) -> None:
    with pooled(database, **settings) as url:
        if idle and settings["pool_mode"] == "transaction" and "default_pool_size" not in settings:
            warm(url, idle)
        started = time.monotonic()
        with (
            pytest.raises(ConfigurationError, match="MIGRATION_DATABASE_URL") as caught,
            hold_lock(parse_conninfo(url), ledger_schema=SCHEMA, timeout_s=1),
        ):
            pytest.fail("a lock through a transaction pooler")
        took_s = time.monotonic() - started
        assert list_advisory_locks(server, database) == []

    assert caught.value.exit_code == 78
    assert took_s < 1
    assert database.password not in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [{}, {"default_pool_size": 1}, {"server_round_robin": 1}],
    ids=["plain", "one-process", "round-robin"],
)
def test_a_session_pooler_holds_the_lock_and_keeps_nothing(
    server: Server, database: Database, settings: dict[str, object]
) -> None:
    with pooled(database, pool_mode="session", **settings) as url:
        if not settings:
            warm(url, 3)
        with hold_lock(parse_conninfo(url), ledger_schema=SCHEMA, timeout_s=1) as lock:
            lock.check()
            with (
                pytest.raises(LockNotObtainedError, match="held by"),
                hold_lock(database.conninfo, ledger_schema=SCHEMA, timeout_s=0),
            ):
                pytest.fail("two holders")
        eventually_free(server, database)


def test_a_pooler_without_room_for_the_test_is_not_trusted(database: Database) -> None:
    with (
        pooled(database, pool_mode="transaction", max_client_conn=1) as url,
        pytest.raises(UnreachableError, match="max_client_conn"),
        hold_lock(parse_conninfo(url), ledger_schema=SCHEMA, timeout_s=1),
    ):
        pytest.fail("a lock through a transaction pooler")


def test_a_wait_through_a_transaction_pooler_leaves_its_processes_alone(
    database: Database, logged: Callable[[], list[dict[str, Any]]]
) -> None:
    with pooled(database, pool_mode="transaction") as url:
        wait_until_ready(parse_conninfo(url + "?schema=elsewhere"), timeout_s=5).close()
        with wait_until_ready(parse_conninfo(url), timeout_s=5) as connection:
            row = connection.execute("SHOW search_path").fetchone()

    assert row == ('"$user", public',)
    assert [line["event"] for line in logged()] == ["session_settings_skipped"]


def test_settings_hold_through_a_session_pooler(database: Database) -> None:
    with (
        pooled(database, pool_mode="session") as url,
        connect(parse_conninfo(url + "?schema=elsewhere"), purpose="test", timeout_s=5) as connection,
    ):
        row = connection.execute("SHOW search_path").fetchone()

    assert row == ('"elsewhere"',)


@pytest.mark.parametrize(
    ("change", "exit_code"),
    [(("password", "wrong"), 77), (("owner", "nobody_here"), 77), (("name", "missing"), 69)],
)
def test_what_a_pooler_refuses_is_told_apart(
    database: Database, change: tuple[str, str], exit_code: int
) -> None:
    field, text = change
    parts = {"owner": database.owner, "password": database.password, "name": database.name, field: text}
    with pooled(database, pool_mode="transaction") as url:
        place = url.split("@", 1)[1].split("/", 1)[0]
        conninfo = parse_conninfo(
            f"postgresql://{parts['owner']}:{parts['password']}@{place}/{parts['name']}"
        )
        with pytest.raises(EntrypointError) as caught:
            wait_until_ready(conninfo, timeout_s=1)

    assert caught.value.exit_code == exit_code
