"""A unit as files: what stands at a path, and a fingerprint that a checkpoint does not change."""

from __future__ import annotations

import os
import shutil
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from entrypoint.sqlite import unit

ROWS = (
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {})"
    " INSERT INTO t SELECT hex(randomblob(60)) FROM n"
)


@contextmanager
def open_wal(path: Path, page_size: int = 4096, vacuum: str = "NONE") -> Iterator[sqlite3.Connection]:
    """A database in WAL mode that never checkpoints by itself."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA page_size = {page_size}")
        connection.execute(f"PRAGMA auto_vacuum = {vacuum}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("CREATE TABLE t (x)")
        yield connection


def copy_unit(source: Path, destination: Path) -> Path:
    for suffix in ("", "-wal"):
        if Path(f"{source}{suffix}").exists():
            shutil.copy(f"{source}{suffix}", f"{destination}{suffix}")
    return destination


def checkpoint(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)


@pytest.mark.parametrize("page_size", [512, 4096, 65536])
@pytest.mark.parametrize("vacuum", ["NONE", "FULL"])
def test_a_fingerprint_is_the_same_before_and_after_a_checkpoint(
    tmp_path: Path, page_size: int, vacuum: str
) -> None:
    with open_wal(tmp_path / "live.db", page_size, vacuum) as connection:
        connection.execute(ROWS.format(300))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("UPDATE t SET x = 'changed' WHERE rowid % 3 = 0")
        connection.execute(ROWS.format(200))
        connection.execute("DELETE FROM t WHERE rowid > 100")  # with FULL, the database shrinks
        copied = copy_unit(tmp_path / "live.db", tmp_path / "copy.db")
    before = unit.compute_fingerprint(copied)
    assert unit.has_pending_files(copied)
    checkpoint(copied)
    assert not unit.has_pending_files(copied)
    assert unit.compute_fingerprint(copied) == before
    assert copied.stat().st_size == before.size_bytes


def test_frames_that_were_not_committed_do_not_count(tmp_path: Path) -> None:
    live = tmp_path / "live.db"
    with open_wal(live) as connection:
        connection.execute(ROWS.format(50))
        committed = unit.compute_fingerprint(live)
        connection.execute("PRAGMA cache_size = 2")
        connection.execute("BEGIN")
        connection.execute(ROWS.format(5000))
        spilled = copy_unit(live, tmp_path / "spilled.db")
        size = (tmp_path / "spilled.db-wal").stat().st_size
        connection.execute("ROLLBACK")
    assert size > 100_000  # the frames are there
    assert unit.compute_fingerprint(spilled) == committed


def test_frames_of_an_earlier_generation_do_not_count(tmp_path: Path) -> None:
    """After a checkpoint SQLite writes over the log from its start; what lies behind is stale."""
    live = tmp_path / "live.db"
    with open_wal(live) as connection:
        connection.execute(ROWS.format(500))
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        connection.execute("INSERT INTO t VALUES ('short')")
        copied = copy_unit(live, tmp_path / "copy.db")
    before = unit.compute_fingerprint(copied)
    checkpoint(copied)
    assert unit.compute_fingerprint(copied) == before


def test_a_torn_last_frame_does_not_count(tmp_path: Path) -> None:
    live = tmp_path / "live.db"
    with open_wal(live) as connection:
        connection.execute("INSERT INTO t VALUES ('one')")
        whole = unit.compute_fingerprint(live)
        size = Path(f"{live}-wal").stat().st_size
        connection.execute("INSERT INTO t VALUES ('two')")
        copied = copy_unit(live, tmp_path / "copy.db")
    os.truncate(f"{copied}-wal", size + 30)
    assert unit.compute_fingerprint(copied) == whole


def test_another_content_has_another_fingerprint(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    seen = set()
    for _ in range(3):
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("CREATE TABLE IF NOT EXISTS t (x)")
            connection.execute("INSERT INTO t VALUES (1)")
        fingerprint = unit.compute_fingerprint(path)
        assert fingerprint.size_bytes == path.stat().st_size
        seen.add((fingerprint.sha256, fingerprint.change_counter))
    assert len(seen) == 3


def test_the_place_and_the_times_of_a_file_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")
    before, stamp = unit.compute_fingerprint(path), unit.read_stamp(path)
    moved = path.rename(tmp_path / "other name")
    os.utime(moved, (0, 0))
    assert unit.compute_fingerprint(moved) == before
    assert unit.read_stamp(moved) != stamp


def test_a_stamp_knows_the_log_and_not_the_shared_memory(tmp_path: Path) -> None:
    live = tmp_path / "live.db"
    with open_wal(live) as connection:
        connection.execute("INSERT INTO t VALUES (1)")
        stamp = unit.read_stamp(live)
        assert set(stamp) == {"", "-wal"}
        assert connection.execute("SELECT * FROM t").fetchall() == [(1,)]
        assert unit.read_stamp(live) == stamp
        connection.execute("INSERT INTO t VALUES (2)")
        assert unit.read_stamp(live) != stamp
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert set(unit.read_stamp(live)) == {""}
        assert [file.name for file in unit.list_unit_files(live)] == ["live.db", "live.db-wal", "live.db-shm"]


def test_what_stands_at_a_path(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    assert unit.classify(path) == "missing"
    assert unit.classify(path / "below") == "missing"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")
    content = path.read_bytes()
    assert unit.classify(path) == "sqlite"
    for length, kind in (
        (0, "empty"),
        (7, "truncated"),
        (16, "truncated"),
        (99, "truncated"),
        (4096, "truncated"),
    ):
        path.write_bytes(content[:length])
        assert unit.classify(path) == kind, length
    path.write_bytes(b"X" + content[1:])
    assert unit.classify(path) == "not_sqlite"
    assert unit.classify(tmp_path) == "not_regular"


def test_an_old_file_whose_header_does_not_count_pages(tmp_path: Path) -> None:
    """Before 3.7.0 the page count was not kept: it is valid only beside an equal change counter."""
    path = tmp_path / "app.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")
    content = bytearray(path.read_bytes())
    content[28:32] = struct.pack(">I", 99999)
    content[92:96] = bytes(4)
    path.write_bytes(content)
    assert unit.classify(path) == "sqlite"


def test_a_journal_counts_while_it_is_hot(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = PERSIST")
        connection.execute("CREATE TABLE t (x)")
        assert Path(f"{path}-journal").stat().st_size > 0
        assert not unit.has_pending_files(path)
        connection.execute("PRAGMA cache_size = 2")
        connection.execute("BEGIN")
        connection.execute(ROWS.format(3000))
        assert unit.has_pending_files(path)
        connection.execute("ROLLBACK")
    assert not unit.is_wal_mode(path)


@pytest.mark.parametrize("place", ["page number", "size after commit", "content"])
def test_the_log_ends_before_a_damaged_frame_as_it_does_for_sqlite(tmp_path: Path, place: str) -> None:
    offset = {"page number": 0, "size after commit": 4, "content": 24 + 100}[place]
    with open_wal(tmp_path / "live.db") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for _ in range(5):
            connection.execute(ROWS.format(40))
        copied = copy_unit(tmp_path / "live.db", tmp_path / "app.db")
    log = tmp_path / "app.db-wal"
    content = bytearray(log.read_bytes())
    middle = 32 + (len(content) - 32) // 4120 // 2 * 4120
    content[middle + offset] ^= 0x7F  # of a page number or a count: billions of pages
    log.write_bytes(content)
    before = unit.compute_fingerprint(copied)
    with closing(sqlite3.connect(copied)) as connection:
        (rows,) = connection.execute("SELECT count(*) FROM t").fetchone()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert 0 < rows < 200
    assert unit.compute_fingerprint(copied) == before
