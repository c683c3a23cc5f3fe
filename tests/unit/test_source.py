"""How a source is opened: what it shows, whom it keeps out, and that its bytes stay as they are."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw
import pytest

from entrypoint.errors import NotPermittedError, SourceRefusedError
from entrypoint.sqlite import introspect, unit
from entrypoint.sqlite.source import SourceDatabase, open_source, require_database
from tests.places import hash_files, leave_in_wal

SCHEMA = "CREATE TABLE t (x); INSERT INTO t VALUES (1);"


def make(path: Path, script: str = SCHEMA) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
    return path


@contextmanager
def open_writer(path: Path) -> Iterator[apsw.Connection]:
    """Another connection of this process's: by the same library, as POSIX locks are a process's own."""
    with closing(apsw.Connection(str(path))) as connection:
        yield connection


def list_names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def count(source: SourceDatabase) -> int:
    row = source.connection.execute("SELECT count(*) FROM t").fetchone()
    assert row is not None
    return int(row[0])


def make_kind(directory: Path, kind: str) -> Path:
    path = directory / "app.db"
    if kind == "wal":
        leave_in_wal(path, SCHEMA, ["INSERT INTO t VALUES (2)"])
        return path
    return make(path, ("PRAGMA journal_mode = WAL;" if kind == "empty wal" else "") + SCHEMA)


@pytest.mark.parametrize(
    ("kind", "access", "rows"), [("journal", "shared", 1), ("empty wal", "immutable", 1), ("wal", "copy", 2)]
)
def test_a_look_leaves_no_trace(tmp_path: Path, kind: str, access: str, rows: int) -> None:
    path = make_kind(tmp_path, kind)
    names, before = list_names(tmp_path), hash_files(tmp_path)
    with open_source(path, is_for_migration=False) as source:
        assert source.access == access
        assert count(source) == rows
        source.check_integrity()
        source.prove_unchanged()
    assert list_names(tmp_path) == names
    assert hash_files(tmp_path) == before


@pytest.mark.parametrize("kind", ["journal", "empty wal", "wal"])
def test_a_migration_that_fails_leaves_the_bytes(tmp_path: Path, kind: str) -> None:
    path = make_kind(tmp_path, kind)
    before = hash_files(tmp_path)

    def fail() -> None:
        with open_source(path, is_for_migration=True) as source:
            assert source.access == "locked"
            source.check_integrity()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert hash_files(tmp_path) == before


@pytest.mark.parametrize("kind", ["journal", "empty wal", "wal"])
def test_what_is_released_is_one_file_of_the_same_content(tmp_path: Path, kind: str) -> None:
    path = make_kind(tmp_path, kind)
    with open_source(path, is_for_migration=True) as source:
        fingerprint = source.fingerprint
        source.prove_unchanged()
        assert source.release() is True
    assert list_names(tmp_path) == ["app.db"]
    assert unit.compute_fingerprint(path) == fingerprint


@pytest.mark.parametrize("kind", ["journal", "wal"])
def test_nobody_else_writes_while_it_is_open_for_a_migration(tmp_path: Path, kind: str) -> None:
    path = make_kind(tmp_path, kind)
    with open_writer(path) as writer:
        assert writer.execute("SELECT 1 FROM t").fetchall()[0] == (1,)
        with open_source(path, is_for_migration=True) as source:
            # Reading the files again must not lose the lock (closing any descriptor of a file would).
            source.prove_unchanged()
            unit.read_stamp(path)
            with pytest.raises(apsw.BusyError):
                writer.execute("INSERT INTO t VALUES (9)")
        writer.execute("INSERT INTO t VALUES (9)")


def test_it_cannot_be_written_through(tmp_path: Path) -> None:
    with open_source(make(tmp_path / "app.db"), is_for_migration=True) as source:  # noqa: SIM117
        with pytest.raises(apsw.ReadOnlyError):
            source.connection.execute("INSERT INTO t VALUES (2)")


def test_a_writer_that_commits_meanwhile_is_noticed(tmp_path: Path) -> None:
    path = make_kind(tmp_path, "empty wal")
    with open_writer(path) as writer, open_source(path, is_for_migration=False) as source:
        assert source.access == "immutable"
        writer.execute("INSERT INTO t VALUES (2)")
        with pytest.raises(SourceRefusedError, match="another process wrote to the source"):
            source.prove_unchanged()


def test_a_file_that_is_replaced_meanwhile_is_noticed(tmp_path: Path) -> None:
    path = make(tmp_path / "app.db")
    with open_source(path, is_for_migration=False) as source:
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\0" * 10)
        with pytest.raises(SourceRefusedError):
            source.prove_unchanged()


def test_a_lock_that_is_held_is_waited_for_and_then_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("entrypoint.sqlite.source._BUSY_TIMEOUT_S", 0.2)  # five seconds would test no more
    path = make(tmp_path / "app.db")
    with open_writer(path) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with (
            pytest.raises(SourceRefusedError, match="another process is writing"),
            open_source(path, is_for_migration=True),
        ):
            pass
        writer.execute("ROLLBACK")
    with open_source(path, is_for_migration=True) as source:
        assert count(source) == 1


def test_odd_file_names(tmp_path: Path) -> None:
    for name in ("with space.db", "what?.db", "a#b.db", "50%.db", "ä.db", "new\nline.db", "quo'te\".db"):
        with open_source(make(tmp_path / name), is_for_migration=True) as source:
            assert count(source) == 1


def test_values_that_break_declared_constraints_are_no_damage(tmp_path: Path) -> None:
    path = make(tmp_path / "app.db", SCHEMA + "CREATE TABLE c (n TEXT NOT NULL, k INTEGER CHECK (k > 0));")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("INSERT INTO c VALUES ('x', -1)")
        connection.commit()
    with open_source(path, is_for_migration=False) as source:
        source.check_integrity()


def test_damage_is_refused_with_what_sqlite_says(tmp_path: Path) -> None:
    path = make(
        tmp_path / "app.db", "CREATE TABLE t (x); CREATE INDEX i ON t (x);" + "INSERT INTO t VALUES (1);" * 9
    )
    content = bytearray(path.read_bytes())
    content[2 * 4096 + 3 : 2 * 4096 + 5] = b"\x00\x02"  # the index page says that it has two cells
    path.write_bytes(content)
    with (
        open_source(path, is_for_migration=False) as source,
        pytest.raises(SourceRefusedError, match=r"integrity check found \d+ problem") as caught,
    ):
        source.check_integrity()
    assert caught.value.exit_code == 65
    assert "\n" not in str(caught.value)


def test_an_unreadable_sidecar_is_not_ignored(tmp_path: Path) -> None:
    path = make_kind(tmp_path, "wal")
    Path(f"{path}-wal").chmod(0)
    if os.access(f"{path}-wal", os.R_OK):
        pytest.skip("root reads everything")
    with pytest.raises(NotPermittedError, match=r"app\.db-wal"):
        require_database(path)


def test_the_catalog_of_a_source(tmp_path: Path) -> None:
    path = make(
        tmp_path / "app.db",
        'CREATE TABLE "b ""q""" (id INTEGER PRIMARY KEY AUTOINCREMENT, "A b" TEXT, g AS (id + 1),'
        " h AS (id) STORED);"
        "CREATE TABLE a (y, x, PRIMARY KEY (x, y)) WITHOUT ROWID; CREATE VIEW v AS SELECT 1;"
        'INSERT INTO "b ""q""" (id) VALUES (41), (7); DELETE FROM "b ""q""" WHERE id = 41;',
    )
    with open_source(path, is_for_migration=False) as source:
        tables, skipped = introspect.read_tables(source)
    first, second = tables
    assert (first.name, first.key, first.has_rowid, first.autoincrement) == ('b "q"', ("id",), True, 41)
    assert [(column.name, column.declared_type, column.is_generated) for column in first.columns] == [
        ("id", "INTEGER", False),
        ("A b", "TEXT", False),
        ("g", "", True),
        ("h", "", True),
    ]
    assert (second.name, second.key, second.has_rowid, second.autoincrement) == ("a", ("x", "y"), False, None)
    assert [(item.name, item.reason) for item in skipped] == [("v", "a view")]


def test_a_large_log_is_hashed_like_its_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    leave_in_wal(path, SCHEMA, [f"INSERT INTO t VALUES ('{i:0500}')" for i in range(300)])
    with open_source(path, is_for_migration=True) as source:
        before = source.fingerprint
        source.release()
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before.sha256
