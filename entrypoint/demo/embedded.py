"""A PostgreSQL for as long as the demo lasts: in a folder of ours, on a free port, gone in the end.

Owns the server's life. Nothing in it need survive a crash, so nothing is synced, and it is stopped at once.
Which programs it runs, and as whom, belongs to `programs`.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from entrypoint import log
from entrypoint.conninfo import Conninfo, parse_conninfo
from entrypoint.demo.processes import run_process
from entrypoint.demo.programs import Owner, choose_owner, prepare_programs
from entrypoint.errors import EntrypointError, NotPermittedError, UnreachableError

SUPERUSER = "postgres"
HOST = "127.0.0.1"

_START_LIMIT_S = 30.0
_START_ATTEMPTS = 3  # somebody else may take a port between its choice and its use
_POLL_S = 0.02

_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}

# All of it is thrown away: nothing need survive a crash, and little memory is enough.
_CONFIGURATION = (
    f"listen_addresses = '{HOST}'\nunix_socket_directories = ''\nfsync = off\nsynchronous_commit = off\n"
    "full_page_writes = off\nshared_buffers = 16MB\nmax_connections = 20\nautovacuum = off\n"
)


@contextmanager
def run_postgres(home: Path, installation: Path) -> Iterator[Conninfo]:
    """Start a PostgreSQL in `home` and give its superuser's connection; stop it in the end, in whatever way.

    Raises:
        UnreachableError: it did not start; with the end of what it said.
        NotPermittedError: root may not become another user here.
    """
    owner = choose_owner()
    folder = home / "postgres"
    folder.mkdir(mode=0o700)
    programs = prepare_programs(installation, home / "programs", owner)
    password = secrets.token_urlsafe(12)
    log.register_secret(password)
    (folder / "password").write_text(password)
    if owner.is_other:
        try:
            for path in (folder / "password", folder):
                os.chown(path, owner.uid, owner.gid)
        except PermissionError as error:
            raise _not_permitted(owner) from error
    _initialise(programs, folder, owner)
    output = home / "postgres.log"
    for _ in range(_START_ATTEMPTS):
        port = _find_free_port()
        with (
            output.open("wb") as said,
            run_process(
                [programs / "postgres", "-D", folder / "data", "-p", str(port)],
                environment=_ENVIRONMENT,
                folder=home,
                output=said,
                end_with=signal.SIGQUIT,  # immediate shutdown: its data are thrown away
                identity=owner.identity,
                is_apart=True,  # Ctrl-C is for us; the server is stopped when nothing uses it any more
            ) as process,
        ):
            if _is_ready(process, folder / "data" / "postmaster.pid"):
                yield parse_conninfo(f"postgresql://{SUPERUSER}:{password}@{HOST}:{port}/postgres")
                return
        if b"Address already in use" not in output.read_bytes():
            break
    raise _not_started(output)


def _initialise(programs: Path, folder: Path, owner: Owner) -> None:
    options = (
        *("--pgdata", folder / "data", "--username", SUPERUSER, "--pwfile", folder / "password"),
        *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"),
    )
    output = folder.parent / "initdb.log"
    try:
        with (
            output.open("wb") as said,
            run_process(
                [programs / "initdb", *options],
                environment=_ENVIRONMENT,
                folder=folder.parent,
                output=said,
                end_with=signal.SIGTERM,
                identity=owner.identity,
            ) as process,
        ):
            exit_code = process.wait()
    except OSError as error:
        if owner.is_other and isinstance(error, PermissionError):
            raise _not_permitted(owner) from error
        output.write_text(f"{programs / 'initdb'}: {error.strerror}")
        raise _not_started(output) from error
    if exit_code != 0:
        raise _not_started(output)
    with (folder / "data" / "postgresql.conf").open("a") as configuration:
        configuration.write(_CONFIGURATION)


def _is_ready(process: subprocess.Popen[bytes], pid_file: Path) -> bool:
    """Wait for the state in the eighth line of postmaster.pid, as pg_ctl does (`utils/pidfile.h`)."""
    deadline = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            lines = pid_file.read_text().splitlines()
        except OSError:
            lines = []
        if len(lines) >= 8 and lines[7].strip() == "ready":
            return True
        time.sleep(_POLL_S)
    return False


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _not_permitted(owner: Owner) -> NotPermittedError:
    return NotPermittedError(
        f"root may not start PostgreSQL as uid {owner.uid} here",
        where="entrypoint demo",
        remedy="start the demo as an ordinary user, or with the capabilities CHOWN, SETUID and SETGID",
    )


def _not_started(output: Path) -> EntrypointError:
    lines = [line.strip() for line in output.read_text(errors="replace").splitlines() if line.strip()]
    return UnreachableError(
        f"the embedded PostgreSQL did not start: {' / '.join(lines[-3:]) or 'it said nothing'}",
        where="entrypoint demo",
        remedy="set TMPDIR to a folder that programs may be started from, or use a server of your own",
    )
