"""A real PgBouncer in front of a test server."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import require
from tests.servers import Database, find_free_port

PGBOUNCER = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")


@contextmanager
def run_pgbouncer(database: Database, **settings: object) -> Iterator[str]:
    """Run PgBouncer for one database and yield the URL that leads through it."""
    assert PGBOUNCER is not None
    home = Path(tempfile.mkdtemp(prefix="entrypoint-pgbouncer-"))
    port = find_free_port()
    (home / "users").write_text(f'"{database.owner}" "{database.password}"\n')
    lines = {
        "listen_addr": "127.0.0.1",
        "listen_port": port,
        "unix_socket_dir": "",
        "auth_type": "plain",
        "auth_file": home / "users",
        "ignore_startup_parameters": "",
        **settings,
    }
    configuration = home / "pgbouncer.ini"
    configuration.write_text(
        f"[databases]\n{database.name} = host={database.server.host} port={database.server.port}\n"
        "[pgbouncer]\n" + "".join(f"{name} = {value}\n" for name, value in lines.items())
    )
    user: dict[str, int] = {}
    if os.geteuid() == 0:  # it refuses to run as root
        nobody = pwd.getpwnam("nobody")
        user = {"user": nobody.pw_uid, "group": nobody.pw_gid}
        for path in (home, *home.iterdir()):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
    with (home / "log").open("w") as log:
        process = subprocess.Popen([PGBOUNCER, str(configuration)], stdout=log, stderr=log, **user)  # type: ignore[call-overload]
    try:
        _wait_until_open(port)
        yield f"postgresql://{database.owner}:{database.password}@127.0.0.1:{port}/{database.name}"
    finally:
        process.terminate()
        process.wait(timeout=10)
        shutil.rmtree(home, ignore_errors=True)


def _wait_until_open(port: int) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError("PgBouncer did not open its port")


@contextmanager
def pooled(database: Database, **settings: object) -> Iterator[str]:
    """Yield the URL through PgBouncer, or skip where there is none."""
    require("pgbouncer", PGBOUNCER is not None)
    with run_pgbouncer(database, **settings) as url:
        yield url
