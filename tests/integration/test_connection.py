"""What every connection has in common, and which server of several it leads to."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from entrypoint.conninfo import parse_conninfo
from entrypoint.errors import ConfigurationError, UnreachableError
from entrypoint.postgres.connection import connect
from entrypoint.postgres.wait import wait_until_ready
from tests.servers import Database, Server, find_free_port, remove_server


def open_url(url: str, **settings: str) -> psycopg.Connection[tuple[object, ...]]:
    return connect(parse_conninfo(url), purpose="test", timeout_s=5, settings=settings)


def show(connection: psycopg.Connection[tuple[object, ...]], name: str) -> object:
    row = connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
    assert row is not None
    return row[0]


def option(connection: psycopg.Connection[tuple[object, ...]], name: str) -> str:
    found = {o.keyword.decode(): (o.val or b"").decode() for o in connection.pgconn.info}
    return found[name]


def test_a_connection_says_what_it_is_for(database: Database) -> None:
    with open_url(database.url + "?application_name=other") as connection:
        assert show(connection, "application_name") == "entrypoint:test"
        assert show(connection, "client_encoding") == "UTF8"


def test_a_connection_is_in_autocommit_without_prepared_statements(database: Database) -> None:
    with open_url(database.url) as connection:
        assert connection.autocommit
        for _ in range(10):
            connection.execute("SELECT 1")
        row = connection.execute("SELECT count(*) FROM pg_prepared_statements").fetchone()

    assert row == (0,)


def test_an_error_after_the_login_has_psycopgs_usual_text(database: Database) -> None:
    """The verbosity that shows the SQLSTATE of a log-in is taken back."""
    with open_url(database.url) as connection, pytest.raises(psycopg.errors.UndefinedTable) as caught:
        connection.execute("SELECT * FROM missing")

    assert str(caught.value).startswith('relation "missing" does not exist')
    assert "LOCATION" not in str(caught.value)


def test_settings_and_search_path_hold_for_the_session(database: Database) -> None:
    database.execute('CREATE SCHEMA "My ""odd"" Schema"')
    database.execute('CREATE TABLE "My ""odd"" Schema".here ()')
    url = database.url + "?schema=My%20%22odd%22%20Schema"
    with open_url(url, statement_timeout="12345ms", lock_timeout="1s") as connection:
        connection.execute("SELECT FROM here")
        assert show(connection, "statement_timeout") == "12345ms"
        assert show(connection, "lock_timeout") == "1s"


def test_a_setting_that_does_not_exist_is_configuration(database: Database) -> None:
    with pytest.raises(ConfigurationError, match="no_such_setting"):
        open_url(database.url, no_such_setting="1")


def test_both_sides_notice_a_cut_network(database: Database) -> None:
    with open_url(database.url) as connection:
        assert option(connection, "keepalives_idle") == "30"
        assert option(connection, "tcp_user_timeout") == "120000"
        assert show(connection, "tcp_keepalives_idle") == "30"


def test_what_the_url_says_about_the_network_wins(database: Database) -> None:
    with open_url(database.url + "?keepalives_idle=7&tcp_user_timeout=0") as connection:
        assert option(connection, "keepalives_idle") == "7"
        assert option(connection, "tcp_user_timeout") == "0"
        assert option(connection, "keepalives_count") == "3"


def test_a_unix_socket_is_reached(server: Server, database: Database) -> None:
    url = f"host={server.home} port={server.port} dbname={database.name} user={database.owner}"
    with open_url(f"{url} password={database.password}") as connection:
        row = connection.execute("SELECT inet_client_addr()").fetchone()

    assert row == (None,)


def test_libpqs_environment_names_the_server(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", f"127.0.0.1,{database.server.host}")
    monkeypatch.setenv("PGPORT", f"{find_free_port()},{database.server.port}")
    url = f"dbname={database.name} user={database.owner} password={database.password}"
    with open_url(url) as connection:
        assert connection.info.port == database.server.port


def test_libpqs_environment_does_not_turn_the_primary_away(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGTARGETSESSIONATTRS", "standby")
    with open_url(database.url) as connection:
        assert connection.info.port == database.server.port


def test_a_failure_names_the_place_and_no_password(database: Database) -> None:
    port = find_free_port()
    with pytest.raises(UnreachableError) as caught:
        open_url(f"postgresql://me:open-sesame@127.0.0.1:{port}/x")

    assert f"127.0.0.1:{port}" in str(caught.value)
    assert "open-sesame" not in repr(caught.value) + str(caught.value)


@pytest.mark.parametrize("attribute", ["standby", "read-only"])
def test_a_server_that_cannot_be_written_to_is_not_asked_for(database: Database, attribute: str) -> None:
    with pytest.raises(ConfigurationError, match="target_session_attrs"):
        open_url(f"{database.url}?target_session_attrs={attribute}")


def test_hosts_and_ports_that_do_not_match_are_configuration(database: Database) -> None:
    with pytest.raises(ConfigurationError, match="ports"):
        open_url(f"host=a,b,c port=1,2 dbname={database.name}")


@pytest.fixture(scope="module")
def standby(server: Server) -> Iterator[Server]:
    """A streaming standby of the server."""
    home = Path(tempfile.mkdtemp(prefix=f"entrypoint-pg{server.version}-standby-"))
    home.chmod(0o755)
    shutil.chown(home, server.home.owner(), server.home.group())
    copy = Server(
        version=server.version,
        binaries=server.binaries,
        home=home,
        port=find_free_port(),
        password=server.password,
    )
    server.run(
        ["pg_basebackup", "-d", server.superuser_url, "-D", str(copy.data), "-R", "-c", "fast", "--no-sync"]
    )
    with (copy.data / "postgresql.conf").open("a") as configuration:
        configuration.write(f"port={copy.port}\nunix_socket_directories='{home}'\nhot_standby=on\n")
    copy.start()
    yield copy
    remove_server(copy)


def through(database: Database, *ports: int) -> str:
    """Return the URL of the database with these ports of 127.0.0.1 for its servers."""
    places = ",".join(f"127.0.0.1:{port}" for port in ports)
    return database.url.replace(f"{database.server.host}:{database.server.port}", places)


def catch_up(standby: Server, database: Database) -> None:
    """Wait until the standby knows the database's role."""
    for _ in range(200):
        with contextlib.suppress(psycopg.Error):
            if standby.execute(f"SELECT 1 FROM pg_database WHERE datname = '{database.name}'"):
                return
        time.sleep(0.05)
    raise AssertionError("the standby did not catch up")


@pytest.mark.parametrize("attribute", ["", "?target_session_attrs=read-write", "?target_session_attrs=any"])
def test_of_a_standby_and_its_primary_the_primary_is_taken(
    server: Server, standby: Server, database: Database, attribute: str
) -> None:
    catch_up(standby, database)
    for ports in ((standby.port, server.port), (server.port, standby.port)):
        with open_url(through(database, *ports) + attribute) as connection:
            assert connection.info.port == server.port


def test_a_closed_first_host_is_passed_over(server: Server, database: Database) -> None:
    with open_url(through(database, find_free_port(), server.port)) as connection:
        assert connection.info.port == server.port


def test_a_standby_alone_is_not_ready(standby: Server, database: Database) -> None:
    catch_up(standby, database)
    conninfo = parse_conninfo(through(database, standby.port))

    with pytest.raises(UnreachableError, match="standby"):
        wait_until_ready(conninfo, timeout_s=0.5)


def test_a_standby_that_is_promoted_is_found(standby: Server, database: Database) -> None:
    catch_up(standby, database)
    conninfo = parse_conninfo(through(database, find_free_port(), standby.port))
    promotion = threading.Timer(0.5, standby.execute, ["SELECT pg_promote()"])
    promotion.start()
    with wait_until_ready(conninfo, timeout_s=15) as connection:
        connection.execute("CREATE TABLE written ()")
    promotion.join()
