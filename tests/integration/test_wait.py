"""The wait for a ready server, against real servers and the few that only a wire can play."""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from entrypoint import interrupts, log
from entrypoint.conninfo import parse_conninfo
from entrypoint.errors import EntrypointError, NotPermittedError, UnreachableError
from entrypoint.postgres import handshake
from entrypoint.postgres.wait import wait_until_ready
from tests.servers import Database, Server, find_binaries, find_free_port, launch_server, remove_server
from tests.wires import Refusal, Relay, listen, run_refusing_server, run_silent_server

pytestmark = pytest.mark.newest_server

OVERRUN_S = 0.5


def wait(url: str, timeout_s: float) -> None:
    wait_until_ready(parse_conninfo(url), timeout_s=timeout_s).close()


def fail(url: str, timeout_s: float) -> tuple[EntrypointError, float]:
    """Return the error that the wait ends in and the seconds it took."""
    started = time.monotonic()
    with pytest.raises(EntrypointError) as caught:
        wait(url, timeout_s)
    return caught.value, time.monotonic() - started


@contextmanager
def later(delay_s: float, action: Callable[[], Any]) -> Iterator[None]:
    """Do `action` after a while, in a thread that has ended when the block has."""
    timer = threading.Timer(delay_s, action)
    timer.start()
    try:
        yield
    finally:
        timer.join()


@pytest.fixture
def logged() -> Callable[[], list[dict[str, Any]]]:
    stream = io.StringIO()
    log.configure(log_format="json", level="info", stream=stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_ready_server_is_not_waited_for(
    database: Database, logged: Callable[[], list[dict[str, Any]]]
) -> None:
    with wait_until_ready(database.conninfo, timeout_s=5) as connection:
        assert connection.autocommit
        assert connection.prepare_threshold is None
        row = connection.execute("SELECT current_user, current_database()").fetchone()

    assert row == (database.owner, database.name)
    assert logged() == []


def test_a_closed_port_ends_at_the_deadline(logged: Callable[[], list[dict[str, Any]]]) -> None:
    port = find_free_port()

    error, took_s = fail(f"postgresql://u:sesame-open@127.0.0.1:{port}/x", 1.0)

    assert isinstance(error, UnreachableError)
    assert 0.5 < took_s < 1.0 + OVERRUN_S
    assert "Connection refused" in str(error)
    assert f"127.0.0.1:{port}" in str(error)
    assert "sesame-open" not in str(error)
    assert [line["event"] for line in logged()] == ["postgres_wait_started"]
    assert logged()[0]["timeout_s"] == 1.0
    assert "Connection refused" in logged()[0]["reason"]


def test_the_wait_is_reported_every_five_seconds(logged: Callable[[], list[dict[str, Any]]]) -> None:
    fail(f"postgresql://u@127.0.0.1:{find_free_port()}/x", 6.0)

    assert [line["event"] for line in logged()] == ["postgres_wait_started", "postgres_waiting"]
    assert 5 <= logged()[1]["waited_s"] < 5.5


def test_without_time_there_is_one_attempt(database: Database) -> None:
    wait(database.url, 0)
    _, took_s = fail(f"postgresql://u@127.0.0.1:{find_free_port()}/x", 0)

    assert took_s < OVERRUN_S


def test_a_server_that_accepts_and_is_silent_does_not_outlive_the_deadline() -> None:
    with run_silent_server() as port:
        error, took_s = fail(f"postgresql://u@127.0.0.1:{port}/x", 1.0)

    assert isinstance(error, UnreachableError)
    assert 0.9 < took_s < 1.0 + OVERRUN_S
    assert "did not answer in time" in str(error)


def test_a_server_that_falls_silent_after_the_login_does_not_outlive_the_deadline(
    database: Database,
) -> None:
    relay = Relay((database.server.host, database.server.port))
    conninfo = parse_conninfo(database.url)
    with listen(relay) as port:
        url = database.url.replace(f":{database.server.port}/", f":{port}/")
        connection = wait_until_ready(parse_conninfo(url), timeout_s=5)
        relay.is_cut.set()
        started = time.monotonic()
        with pytest.raises(Exception, match="did not answer a query in time"):
            handshake.ask(connection.pgconn, b"SELECT 1", server="relay", deadline=started + 0.5)
        connection.close()

    assert time.monotonic() - started < 0.5 + OVERRUN_S
    assert conninfo.display() not in url


def test_a_server_that_comes_up_is_found(server: Server, database: Database) -> None:
    server.stop()
    try:
        with later(0.7, server.start):
            wait(database.url, 20)
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            server.start()


def test_at_most_a_tenth_of_a_second_is_added(
    database: Database, logged: Callable[[], list[dict[str, Any]]]
) -> None:
    port = find_free_port()
    url = database.url.replace(f":{database.server.port}/", f":{port}/")
    opened: list[float] = []
    closing = threading.Event()

    def open_port() -> None:
        with listen(Relay((database.server.host, database.server.port)), port):
            opened.append(time.monotonic())
            closing.wait(10)

    with later(1.5, open_port):
        wait(url, 10)
        ready = time.monotonic()
        closing.set()

    assert ready - opened[0] < 0.1 + 0.1  # a pause, and the log-in on a loaded machine
    assert [line["event"] for line in logged()] == ["postgres_wait_started", "postgres_ready"]
    assert 1.5 <= logged()[1]["waited_s"] < 2


def test_a_wrong_password_fails_at_once(database: Database) -> None:
    error, took_s = fail(database.url.replace(database.password, "wrong-" + database.password), 20)

    assert isinstance(error, NotPermittedError)
    assert took_s < OVERRUN_S
    assert "28P01" in str(error)
    assert database.password not in str(error)


def test_an_unknown_role_fails_at_once(database: Database) -> None:
    error, took_s = fail(database.url.replace(f"//{database.owner}:", "//nobody_here:"), 20)

    assert isinstance(error, NotPermittedError)
    assert took_s < OVERRUN_S
    assert "nobody_here" in str(error)


def test_a_missing_password_fails_at_once(database: Database) -> None:
    error, took_s = fail(database.url.replace(f":{database.password}@", "@"), 20)

    assert isinstance(error, NotPermittedError)
    assert took_s < OVERRUN_S


def test_a_host_that_pg_hba_rejects_fails_at_once(server: Server, database: Database) -> None:
    rules = server.data / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text(f"host all {database.owner} 127.0.0.1/32 reject\n{before}")
    try:
        server.execute("SELECT pg_reload_conf()")
        time.sleep(0.2)
        error, took_s = fail(database.url, 20)
    finally:
        rules.write_text(before)
        server.execute("SELECT pg_reload_conf()")

    assert isinstance(error, NotPermittedError)
    assert "28000" in str(error)
    assert took_s < OVERRUN_S


def test_a_role_that_may_not_connect_fails_at_once(server: Server, database: Database) -> None:
    other = server.create_database()
    try:
        database.execute(f"REVOKE CONNECT ON DATABASE {database.name} FROM PUBLIC")
        url = other.url.removesuffix(other.name) + database.name
        error, _ = fail(url, 20)
    finally:
        other.drop()

    assert isinstance(error, NotPermittedError)
    assert "GRANT CONNECT" in str(error)


def test_a_missing_database_gets_a_short_grace(database: Database) -> None:
    error, took_s = fail(database.url + "_missing", 20)

    assert isinstance(error, UnreachableError)
    assert 5 <= took_s < 6.5
    assert f'"{database.name}_missing" does not exist' in str(error)
    assert "create the database" in str(error)


def test_a_database_created_within_the_grace_is_found(server: Server, database: Database) -> None:
    name = database.name + "_later"
    with later(1.0, lambda: server.execute(f"CREATE DATABASE {name} OWNER {database.owner}")):
        wait(database.url + "_later", 20)
    server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_full_server_is_waited_for(
    server: Server, database: Database, logged: Callable[[], list[dict[str, Any]]]
) -> None:
    server.execute(f"ALTER ROLE {database.owner} CONNECTION LIMIT 1")
    holder = database.connect()
    with later(1.0, holder.close):
        wait(database.url, 10)

    assert "53300" in logged()[0]["reason"]


def test_a_role_that_may_only_read_is_not_ready(server: Server, database: Database) -> None:
    server.execute(f"ALTER ROLE {database.owner} SET default_transaction_read_only = on")

    error, _ = fail(database.url, 1.0)

    assert isinstance(error, UnreachableError)
    assert "read-only" in str(error)


FOREIGN = "пароль не подошёл — 認証に失敗しました"


@pytest.mark.parametrize(
    ("sqlstate", "exit_code", "is_at_once"),
    [("28P01", 77, True), ("28000", 77, True), ("57P03", 69, False), ("53300", 69, False)],
)
def test_the_language_of_the_server_does_not_matter(sqlstate: str, exit_code: int, is_at_once: bool) -> None:
    refusal = Refusal(severity="ВАЖНО", sqlstate=sqlstate, message=FOREIGN)
    with run_refusing_server([refusal]) as port:
        error, took_s = fail(f"postgresql://u:p@127.0.0.1:{port}/x", 1.0)

    assert error.exit_code == exit_code
    assert (took_s < 0.4) is is_at_once
    assert f"{FOREIGN} ({sqlstate})" in str(error)


def test_a_refusal_that_becomes_final_ends_the_wait() -> None:
    starting = Refusal(severity="FATAL", sqlstate="57P03", message="the database system is starting up")
    wrong = Refusal(severity="FATAL", sqlstate="28P01", message="wrong")
    with run_refusing_server([starting, starting, wrong]) as port:
        error, took_s = fail(f"postgresql://u:p@127.0.0.1:{port}/x", 10.0)

    assert isinstance(error, NotPermittedError)
    assert took_s < 1.0


def test_the_sqlstate_is_known_with_this_libpq() -> None:
    assert handshake.is_sqlstate_known()


def test_a_german_server_is_understood() -> None:
    version = 15
    if (
        find_binaries().get(version) != Path(f"/usr/lib/postgresql/{version}/bin")
        or not Path(f"/usr/share/locale/de/LC_MESSAGES/postgres-{version}.mo").exists()
    ):
        pytest.skip("Debian's PostgreSQL 15 with its German messages is not installed")
    german = launch_server(version)
    try:
        german.stop()
        with (german.data / "postgresql.conf").open("a") as configuration:
            configuration.write("lc_messages='C.UTF-8'\n")
        # With any locale but "C", gettext goes by LANGUAGE, and no German locale need be generated.
        command = ["/usr/bin/env", "LANGUAGE=de", str(german.binaries / "pg_ctl"), "-D", str(german.data)]
        german.run([*command, "-l", german.home / "log", "-w", "start"])
        error, took_s = fail(german.superuser_url.replace(german.password, "falsch"), 10)
        missing, _ = fail(german.superuser_url + "_fehlt", 1)
    finally:
        remove_server(german)

    assert isinstance(error, NotPermittedError)
    assert "Passwort-Authentifizierung" in str(error)
    assert took_s < OVERRUN_S
    assert "existiert nicht (3D000)" in str(missing)


def resolve_to(monkeypatch: pytest.MonkeyPatch, *answers: list[str] | OSError) -> None:
    """Let the name `db` resolve to each answer in turn; the last is repeated."""
    remaining = list(answers)
    real = socket.getaddrinfo

    def answer(host: Any, *arguments: Any, **keywords: Any) -> Any:
        if host != "db":
            return real(host, *arguments, **keywords)
        found = remaining.pop(0) if len(remaining) > 1 else remaining[0]
        if isinstance(found, OSError):
            raise found
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", answer)


def named(database: Database) -> str:
    return database.url.replace("@127.0.0.1:", "@db:")


def test_every_address_of_a_name_is_tried(monkeypatch: pytest.MonkeyPatch, database: Database) -> None:
    resolve_to(monkeypatch, ["127.0.0.9", "127.0.0.1"])

    with wait_until_ready(parse_conninfo(named(database)), timeout_s=5) as connection:
        assert connection.info.host == "db"
        assert connection.info.hostaddr == "127.0.0.1"


def test_a_name_that_appears_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, database: Database, logged: Callable[[], list[dict[str, Any]]]
) -> None:
    missing = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    resolve_to(monkeypatch, missing, missing, ["127.0.0.1"])

    wait(named(database), 5)

    assert "Name or service not known" in logged()[0]["reason"]


def test_a_hanging_name_server_does_not_outlive_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def hang(*_arguments: Any, **_keywords: Any) -> list[Any]:
        release.wait(20)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    error, took_s = fail("postgresql://u:p@db/x", 1.0)
    release.set()

    assert isinstance(error, UnreachableError)
    assert took_s < 1.0 + OVERRUN_S
    assert "host name" in str(error)


def test_a_silent_first_host_does_not_use_up_the_time(database: Database) -> None:
    with run_silent_server() as port:
        url = database.url.replace("@127.0.0.1:", f"@127.0.0.1:{port},127.0.0.1:")
        started = time.monotonic()
        wait(url, 4)

    assert time.monotonic() - started < 3


@pytest.mark.parametrize("what", ["silent", "closed"])
def test_a_deadline_from_outside_ends_the_wait(what: str) -> None:
    with run_silent_server() as silent:
        port = silent if what == "silent" else find_free_port()
        started = time.monotonic()
        with (
            pytest.raises(interrupts.Interrupted),
            interrupts.deadline(0.5, what="the test", variable="NONE"),
        ):
            wait(f"postgresql://u@127.0.0.1:{port}/x", 20)

    assert time.monotonic() - started < 0.5 + OVERRUN_S


def test_no_descriptor_is_left_open() -> None:
    port = find_free_port()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    fail(f"postgresql://u@127.0.0.1:{port}/x", 0.5)

    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
