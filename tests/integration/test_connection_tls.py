"""TLS against real servers with a private CA: what is accepted, and what ends a wait at once."""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from entrypoint.conninfo import parse_conninfo
from entrypoint.errors import EntrypointError, NotPermittedError, UnreachableError
from entrypoint.postgres.connection import connect
from entrypoint.postgres.wait import wait_until_ready
from tests.servers import Database, Server
from tests.wires import Relay, TlsRelay, listen


def open_link(url: str) -> psycopg.Connection[Any]:
    return connect(parse_conninfo(url), purpose="test", timeout_s=5)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private CA, another one, and server certificates: good, expired, for another name."""
    home = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str | Path) -> None:
        subprocess.run(["openssl", *map(str, arguments)], check=True, cwd=home, capture_output=True)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    for name in ("ca", "other"):
        openssl("req", "-x509", *key, "-keyout", f"{name}.key", "-out", f"{name}.crt", "-subj", f"/CN={name}")
    # `openssl x509` before 3.4 cannot date a certificate back; `openssl ca` can.
    (home / "index.txt").touch()
    (home / "ca.cnf").write_text(
        "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\npolicy=p\n"
        "default_md=sha256\nunique_subject=no\n[p]\ncommonName=supplied\n"
    )
    for name, host, end in (
        ("good", "localhost", "20991231000000Z"),
        ("expired", "localhost", "20200101000000Z"),
        ("named", "db.test", "20991231000000Z"),
    ):
        (home / f"{name}.ext").write_text(f"subjectAltName=DNS:{host}\n")
        openssl("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={host}")
        signing = ["-batch", "-create_serial", "-notext", "-cert", "ca.crt", "-keyfile", "ca.key"]
        names = ["-in", f"{name}.csr", "-out", f"{name}.crt", "-extfile", f"{name}.ext"]
        openssl("ca", "-config", "ca.cnf", *signing, *names, "-startdate", "20190101000000Z", "-enddate", end)
    return home


@pytest.fixture
def show_certificate(
    server: Server, database: Database, certificates: Path
) -> Iterator[Callable[[str], str]]:
    """Let the server show one of the certificates; return the database's URL at `localhost`.

    The wheel's PostgreSQL is built without TLS: there a wire speaks it in front of the server.
    """
    with contextlib.ExitStack() as stack:

        def show(name: str) -> str:
            url = database.url.replace("@127.0.0.1:", "@localhost:")
            if _is_built_with_tls(server):
                _install(server, certificates / f"{name}.crt", certificates / f"{name}.key")
                stack.callback(_switch_tls, server, "off")
                return url
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificates / f"{name}.crt", certificates / f"{name}.key")
            relay = TlsRelay((server.host, server.port), context)
            return url.replace(f":{server.port}/", f":{stack.enter_context(listen(relay))}/")

        yield show


def _is_built_with_tls(server: Server) -> bool:
    return server.execute("SHOW ssl_library") != [("",)]


def _install(server: Server, *files: Path) -> None:
    for file in files:
        target = server.data / f"server{file.suffix}"
        shutil.copy(file, target)
        shutil.chown(target, server.home.owner(), server.home.group())
        target.chmod(0o600)
    _switch_tls(server, "on")


def _switch_tls(server: Server, state: str) -> None:
    server.execute(f"ALTER SYSTEM SET ssl = {state}")
    server.execute("SELECT pg_reload_conf()")
    for _ in range(100):
        if server.execute("SHOW ssl") == [(state,)]:
            return
        time.sleep(0.02)
    raise AssertionError(f"ssl is not {state}")


def refuse(url: str) -> EntrypointError:
    """Return the error of a wait that has 20 s and must not use them."""
    started = time.monotonic()
    with pytest.raises(EntrypointError) as caught:
        wait_until_ready(parse_conninfo(url), timeout_s=20)
    assert time.monotonic() - started < 1
    return caught.value


def test_verify_full_accepts_the_private_ca(
    show_certificate: Callable[[str], str], certificates: Path
) -> None:
    url = show_certificate("good")
    with open_link(f"{url}?sslmode=verify-full&sslrootcert={certificates}/ca.crt") as connection:
        assert connection.pgconn.ssl_in_use
        assert connection.info.host == "localhost"


@pytest.mark.parametrize(
    ("shown", "root", "said"),
    [
        ("good", "other.crt", "certificate verify failed"),
        ("expired", "ca.crt", "certificate verify failed"),
        ("named", "ca.crt", 'does not match host name "localhost"'),
        ("good", "missing.crt", "does not exist"),
    ],
)
def test_a_certificate_that_fails_verification_ends_the_wait_at_once(
    show_certificate: Callable[[str], str], certificates: Path, shown: str, root: str, said: str
) -> None:
    url = show_certificate(shown)

    error = refuse(f"{url}?sslmode=verify-full&sslrootcert={certificates / root}")

    assert isinstance(error, UnreachableError)
    assert said in str(error)
    assert "sslrootcert" in str(error)


def test_a_wrong_password_is_recognised_through_tls(
    database: Database, show_certificate: Callable[[str], str], certificates: Path
) -> None:
    url = show_certificate("good").replace(database.password, "wrong")

    error = refuse(f"{url}?sslmode=verify-full&sslrootcert={certificates}/ca.crt")

    assert isinstance(error, NotPermittedError)
    assert "28P01" in str(error)


def test_a_server_without_tls_is_refused_where_tls_is_required(database: Database) -> None:
    error = refuse(database.url + "?sslmode=require")

    assert isinstance(error, UnreachableError)
    assert "server does not support SSL" in str(error)


def test_a_connection_that_breaks_in_the_tls_handshake_is_tried_again(
    show_certificate: Callable[[str], str],
) -> None:
    """As when a server shuts down: the first log-ins are cut off in the middle."""
    url = show_certificate("good")
    real_port = parse_conninfo(url).as_dict()["port"]
    relay = Relay(("127.0.0.1", int(real_port)))
    seen: list[socket.socket] = []

    def drop_then_relay(client: socket.socket) -> None:
        seen.append(client)
        if len(seen) > 6:  # three attempts at each address of localhost, where it has two
            relay(client)
            return
        client.recv(8)
        client.sendall(b"S")
        client.recv(1)
        client.close()

    with listen(drop_then_relay) as port:
        conninfo = parse_conninfo(url.replace(f":{real_port}/", f":{port}/") + "?sslmode=require")
        with wait_until_ready(conninfo, timeout_s=10) as connection:
            assert connection.pgconn.ssl_in_use
    assert len(seen) > 6
