"""What failed statements become, provoked on real servers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from entrypoint.errors import DeadlineExceededError, EntrypointError, NotPermittedError, UnreachableError
from entrypoint.postgres.failures import translate_errors
from tests.servers import Database, Server


def provoke(
    connection: psycopg.Connection[tuple[object, ...]],
    statement: str,
    *,
    role: str | None = None,
    include_detail: bool = False,
) -> EntrypointError:
    with (
        pytest.raises(EntrypointError) as caught,
        translate_errors("loading t", role=role, include_detail=include_detail),
    ):
        connection.execute(statement.encode())
    assert isinstance(caught.value.__cause__, psycopg.Error)
    return caught.value


@contextmanager
def stranger_to(server: Server, database: Database) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Connect to the database as a role that owns nothing in it."""
    other = server.create_database()
    try:
        with psycopg.connect(
            other.url.removesuffix(other.name) + database.name, autocommit=True
        ) as connection:
            yield connection
    finally:
        other.drop()


@pytest.mark.parametrize(
    ("statement", "grant"),
    [
        ("SELECT * FROM t", "GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE t TO app"),
        ('SELECT * FROM "Odd ""name"""', 'ON TABLE "Odd ""name""" TO app'),
        ("CREATE TABLE closed.x ()", "GRANT USAGE, CREATE ON SCHEMA closed TO app"),
        ("SELECT nextval('s')", "GRANT USAGE, SELECT, UPDATE ON SEQUENCE s TO app"),
        ("CREATE SCHEMA x", "GRANT CONNECT, CREATE, TEMPORARY ON DATABASE"),
        ("ALTER TABLE t ADD x integer", "ALTER TABLE t OWNER TO app"),
    ],
)
def test_a_missing_privilege_names_the_grant(
    server: Server, database: Database, statement: str, grant: str
) -> None:
    database.execute(
        'CREATE TABLE t (); CREATE TABLE "Odd ""name""" (); CREATE SEQUENCE s; CREATE SCHEMA closed'
    )
    with stranger_to(server, database) as connection:
        error = provoke(connection, statement, role="app")

    assert isinstance(error, NotPermittedError)
    assert grant in str(error)
    assert "42501" in str(error)


def test_the_grant_of_the_remedy_helps(server: Server, database: Database) -> None:
    database.execute('CREATE TABLE "T" ()')
    with stranger_to(server, database) as connection:
        role = connection.info.user
        remedy = provoke(connection, 'SELECT FROM "T"', role=role).remedy
        assert remedy is not None
        database.execute(remedy.removeprefix("run: "))
        connection.execute('SELECT FROM "T"')
        database.execute('DROP TABLE "T"')


def test_a_statement_timeout_is_a_timeout(database: Database) -> None:
    with database.connect(options="-c statement_timeout=50ms") as connection:
        error = provoke(connection, "SELECT pg_sleep(5)")

    assert isinstance(error, DeadlineExceededError)
    assert "loading t" in str(error)


def test_a_lock_timeout_is_a_timeout(database: Database) -> None:
    database.execute("CREATE TABLE t ()")
    with database.connect() as holder, database.connect(options="-c lock_timeout=50ms") as connection:
        holder.execute("BEGIN")
        holder.execute("LOCK TABLE t")
        error = provoke(connection, "SELECT FROM t")

    assert isinstance(error, DeadlineExceededError)
    assert "55P03" in str(error)


def test_a_transaction_timeout_is_a_timeout(server: Server, database: Database) -> None:
    if server.version < 17:
        pytest.skip("transaction_timeout came with PostgreSQL 17")
    with database.connect(options="-c transaction_timeout=50ms") as connection:
        error = provoke(connection, "SELECT pg_sleep(5)")

    assert isinstance(error, DeadlineExceededError)


def test_a_terminated_session_is_a_lost_connection(server: Server, database: Database) -> None:
    connection = database.connect()
    pid = connection.info.backend_pid
    timer = threading.Timer(0.2, server.execute, [f"SELECT pg_terminate_backend({pid})"])
    timer.start()
    error = provoke(connection, "SELECT pg_sleep(5)")
    again = provoke(connection, "SELECT 1")
    timer.join()

    for lost in (error, again):
        assert isinstance(lost, UnreachableError)
        assert "connection lost during loading t" in str(lost)


def test_row_values_stay_out_unless_they_are_asked_for(database: Database) -> None:
    database.execute("CREATE TABLE t (secret text PRIMARY KEY)")
    with database.connect() as connection:
        connection.execute("INSERT INTO t VALUES ('tell-nobody')")
        statement = "INSERT INTO t VALUES ('tell-nobody')"
        silent = provoke(connection, statement)
        told = provoke(connection, statement, include_detail=True)

    assert silent.exit_code == 70
    assert "23505" in str(silent)
    assert "tell-nobody" not in str(silent)
    assert "tell-nobody" in str(told)


def test_a_deadlock_says_what_to_stop(database: Database) -> None:
    database.execute("CREATE TABLE a (); CREATE TABLE b ()")
    with database.connect() as first, database.connect() as second:
        for connection, table in ((first, "a"), (second, "b")):
            connection.execute("BEGIN")
            connection.execute(f"LOCK TABLE {table}".encode())
        errors: list[EntrypointError] = []

        def lock_the_other(connection: psycopg.Connection[tuple[object, ...]], table: str) -> None:
            try:
                with translate_errors("loading t"):
                    connection.execute(f"LOCK TABLE {table}".encode())
            except EntrypointError as error:
                errors.append(error)
                connection.rollback()

        threads = [
            threading.Thread(target=lock_the_other, args=args) for args in ((first, "b"), (second, "a"))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert len(errors) == 1
    assert "40P01" in str(errors[0])
    assert "start again" in str(errors[0])


def test_a_server_that_became_read_only_is_unreachable(database: Database) -> None:
    database.execute("CREATE TABLE t ()")
    with database.connect(options="-c default_transaction_read_only=on") as connection:
        error = provoke(connection, "INSERT INTO t DEFAULT VALUES")

    assert isinstance(error, UnreachableError)
    assert "primary" in str(error)


def test_what_is_no_error_of_postgresqls_passes() -> None:
    with pytest.raises(KeyError), translate_errors("loading t"):
        raise KeyError("x")
