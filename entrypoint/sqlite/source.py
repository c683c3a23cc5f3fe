"""Open a source so that its rows stand still and its bytes stay as they are.

Owns how a unit is opened, locked, checked and proved unchanged. Knows nothing of tables. There are four
ways in, the first that fits is taken:

locked     the mount allows writing: SQLite's write lock is held until the source is closed, so that no
           other process can commit to it. Used for a migration, never for a look.
shared     reading only, no log involved: a read transaction keeps writers from committing.
immutable  reading only, a database in WAL mode whose log is empty: read without any lock.
copy       reading only, and the log or a hot journal holds data: the unit is copied to a temporary
           directory and opened there, because SQLite would have to write beside it.

Whichever it was, `prove_unchanged` compares the content with the fingerprint taken at the start.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, Literal
from urllib.parse import quote

import apsw

from entrypoint import log
from entrypoint.errors import EntrypointError, NotPermittedError, SourceNotFoundError, SourceRefusedError
from entrypoint.sqlite import unit
from entrypoint.sqlite.failures import REPAIR, translate_errors

Access = Literal["locked", "shared", "immutable", "copy"]
Cell = int | float | str | bytes | None

_BUSY_TIMEOUT_S = 5.0
_BUSY_POLL_S = 0.05
# Statements run in C and Python's signal handlers do not: this many virtual machine steps, a few
# milliseconds, pass between two chances to stop.
_STEPS_BETWEEN_CHECKS = 100_000
_PAGE_CACHE_KIB = 16_384
_INTEGRITY_PROBLEMS_SHOWN = 3

# What FTS3, FTS4, FTS5 and R*Tree say of an index of theirs (xIntegrity): those tables are not migrated, and
# a tokenizer of another version than the application's finds fault with a sound one.
_VIRTUAL = re.compile(r"(malformed|unable to validate the) inverted index for FTS|fts5: |In RTree ")

_ENCODINGS = {"UTF-8": "utf-8", "UTF-16le": "utf-16-le", "UTF-16be": "utf-16-be"}


class SourceDatabase:
    """An open source.

    Attributes:
        path: where the user has it (not the copy).
        access: the way it was opened.
        fingerprint: of its content when it was opened.
        encoding: the Python codec of its text.
        connection: to read through; writing is switched off.
    """

    def __init__(
        self, *, path: Path, access: Access, raw: BinaryIO, connection: apsw.Connection, stamp: unit.Stamp
    ) -> None:
        self.path = path
        self.access = access
        self.connection = connection
        self.fingerprint = unit.compute_fingerprint(path, database=raw)
        self.stamp = stamp
        self.encoding = _ENCODINGS[str(connection.pragma("encoding"))]
        self._raw = raw
        self._is_last_to_tidy = False

    def register_function(self, name: str, function: Callable[..., Cell], argument_count: int) -> None:
        """Make a deterministic Python function callable from this connection's SQL."""
        self.connection.create_scalar_function(name, function, argument_count, deterministic=True)

    def check_integrity(self) -> None:
        """Refuse a database that SQLite finds damaged.

        Raises:
            SourceRefusedError: with the first problems it names.
        """
        with translate_errors(self.path):
            lines = self._run_integrity_check()
        lines = [line for line in lines if line != "ok" and not _is_about_values(line)]
        problems = [line for line in lines if not _VIRTUAL.match(line)]
        if indexes := tuple(line for line in lines if _VIRTUAL.match(line)):
            log.get_logger().warning("virtual_table_inconsistent", path=str(self.path), problems=indexes)
        if problems:
            shown = "; ".join(line.replace("\n", " ") for line in problems[:_INTEGRITY_PROBLEMS_SHOWN])
            raise SourceRefusedError(
                f"integrity check found {len(problems)} problem(s): {shown}",
                where=str(self.path),
                remedy=REPAIR,
            )

    def _run_integrity_check(self) -> list[str]:
        try:
            return [str(row[0]) for row in self.connection.execute("PRAGMA integrity_check(100)")]
        except apsw.SQLError:
            # A virtual table cannot be set up here, for want of its tokenizer, say: check all but those.
            names = self.connection.execute(
                "SELECT 'sqlite_schema' UNION ALL"
                " SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage"
            ).fetchall()
            quoted = [str(name).replace("'", "''") for (name,) in names]
            checks = [f"PRAGMA integrity_check('{name}')" for name in quoted]
            return [str(row[0]) for check in checks for row in self.connection.execute(check)]

    def prove_unchanged(self) -> None:
        """Refuse the source if its content is no longer what was read.

        Raises:
            SourceRefusedError: another process has written to it.
        """
        is_locked_out = self.access in ("locked", "shared")
        if is_locked_out and unit.read_stamp(self.path) == self.stamp:
            return
        if unit.compute_fingerprint(self.path, database=self._raw) != self.fingerprint:
            raise SourceRefusedError(
                "another process wrote to the source while it was being read",
                where=str(self.path),
                remedy="stop whatever still uses the file and start again",
            )

    def release(self) -> bool:
        """Give the source back after the commit; return False if another process wrote to it in between.

        SQLite's own checkpoint moves the log into the database where nobody else is in the way, so that
        what is retired is a single file. Where it cannot, the log is retired with it.
        """
        version = self.connection.pragma("data_version")
        self.connection.execute("ROLLBACK")
        if self.access == "locked":
            try:
                self.connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
                self.connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
                self._is_last_to_tidy = True
            except apsw.Error:
                pass  # a reader in the way, or a full disk: the log stays what it was
        return bool(self.connection.pragma("data_version") == version)

    def is_open_elsewhere(self) -> bool:
        """Tell, once it is closed, whether another process has it open in WAL mode.

        The last connection removes the log and its index when it closes; where they stay, it was not the
        last (https://www.sqlite.org/walformat.html, section 1.2). Other journal modes leave no such trace.
        """
        return self._is_last_to_tidy and self.path.with_name(self.path.name + "-shm").exists()


def _is_about_values(line: str) -> bool:
    """Tell a declared constraint that a value breaks, which the plan judges, from damage."""
    return line.startswith(("NULL value in ", "CHECK constraint failed in ", "non-"))


@contextmanager
def open_source(path: Path, *, is_for_migration: bool) -> Iterator[SourceDatabase]:
    """Open the unit at `path` for reading and hold it still until the block ends.

    Args:
        path: the database file.
        is_for_migration: hold the write lock where the mount allows it; else leave no trace at all.

    Raises:
        SourceNotFoundError: nothing there, or no SQLite database.
        NotPermittedError: it cannot be read.
        SourceRefusedError: another process is writing, or SQLite cannot read it.
    """
    require_database(path)
    access = _choose_access(path, is_for_migration=is_for_migration)
    stamp = unit.read_stamp(path)
    with ExitStack() as stack:
        with translate_errors(path):
            # Before SQLite opens it and closed after it, for the sake of the locks: see compute_fingerprint.
            raw = stack.enter_context(path.open("rb"))
            opened = _copy_unit(path, stack) if access == "copy" else path
            connection = _connect(opened, access)
            stack.callback(connection.close)
            _begin(connection, access)
            source = SourceDatabase(path=path, access=access, raw=raw, connection=connection, stamp=stamp)
        if access == "copy":
            source.prove_unchanged()
        yield source


def require_database(path: Path) -> None:
    """Refuse what is not a readable SQLite database, before SQLite touches it."""
    match unit.classify(path):
        case "sqlite":
            _require_readable_sidecars(path)
        case "missing":
            raise SourceNotFoundError(
                "no such file", where=str(path), remedy="check SQLITE_URL and the volume's mount path"
            )
        case "unreadable":
            raise NotPermittedError(
                "the file cannot be read",
                where=str(path),
                remedy="give the container's user read permission on the file and its directory",
            )
        case "not_regular":
            raise SourceNotFoundError(
                "not a regular file", where=str(path), remedy="name the SQLite database file itself"
            )
        case "empty":
            raise SourceNotFoundError(
                "the file is empty (0 bytes), not a SQLite database",
                where=str(path),
                remedy="check that the right volume is mounted",
            )
        case "truncated":
            raise SourceNotFoundError(
                "the file is shorter than its header says: a truncated SQLite database",
                where=str(path),
                remedy="restore it from a backup",
            )
        case "not_sqlite":
            raise SourceNotFoundError(
                "not a SQLite database (its first 16 bytes say so): encrypted, or another kind of file",
                where=str(path),
                remedy="decrypt it first, or name the right file",
            )


def _require_readable_sidecars(path: Path) -> None:
    if sidecar := unit.find_unreadable_sidecar(path):
        raise NotPermittedError(
            "the file cannot be read, and may hold rows that the database file does not show",
            where=str(sidecar),
            remedy="give the container's user read permission on the database and the files beside it",
        )


def _choose_access(path: Path, *, is_for_migration: bool) -> Access:
    is_writable = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    if is_for_migration and is_writable:
        return "locked"
    if unit.has_pending_files(path):
        return "copy"
    return "immutable" if unit.is_wal_mode(path) else "shared"


def _make_directory(path: Path, stack: ExitStack) -> Path:
    try:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="entrypoint-")))
    except OSError as error:
        raise NotPermittedError(
            "its write-ahead log makes a copy necessary, and no temporary directory can be written to",
            where=str(path),
            remedy="mount a tmpfs at /tmp, set TMPDIR, or mount the volume writable",
        ) from error


def _copy_unit(path: Path, stack: ExitStack) -> Path:
    """Copy the files that hold data; the wal-index (-shm) is rebuilt from them."""
    directory = _make_directory(path, stack)
    try:
        for file in unit.list_unit_files(path):
            if not file.name.endswith("-shm"):
                shutil.copyfile(file, directory / file.name)
    except OSError as error:
        raise EntrypointError(
            f"cannot copy it to {directory}, which its write-ahead log makes necessary: {error.strerror}",
            where=str(path),
            remedy="mount the volume writable, or give TMPDIR more room",
        ) from error
    return directory / path.name


def _connect(path: Path, access: Access) -> apsw.Connection:
    options = {"shared": "?mode=ro", "immutable": "?immutable=1"}.get(access, "?mode=rw")
    flags = apsw.SQLITE_OPEN_URI
    flags |= apsw.SQLITE_OPEN_READWRITE if access in ("locked", "copy") else apsw.SQLITE_OPEN_READONLY
    connection = apsw.Connection(f"file:{quote(os.fsencode(path.absolute()))}{options}", flags=flags)
    if unit.has_pending_files(path):
        # The log stays as it is: nothing but the retiring of the file may change the unit's bytes.
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
    connection.config(apsw.SQLITE_DBCONFIG_DQS_DML, 0)
    gave_up_at = time.monotonic() + _BUSY_TIMEOUT_S

    def wait_while_busy(_attempt: int) -> bool:
        time.sleep(_BUSY_POLL_S)
        return time.monotonic() < gave_up_at

    connection.set_busy_handler(wait_while_busy)
    connection.set_progress_handler(lambda: False, _STEPS_BETWEEN_CHECKS)
    for pragma in (
        f"cache_size=-{_PAGE_CACHE_KIB}",
        "temp_store=MEMORY",
        "cell_size_check=ON",
        "mmap_size=0",
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _begin(connection: apsw.Connection, access: Access) -> None:
    connection.execute("BEGIN IMMEDIATE" if access == "locked" else "BEGIN")
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # takes the snapshot, and the lock
    connection.execute("PRAGMA query_only=ON")
