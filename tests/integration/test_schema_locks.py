"""Locks and time: DDL waits a moment, lets others pass, tries again, and ends with the step."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import psycopg
import pytest

from entrypoint.errors import DeadlineExceededError
from entrypoint.schema.apply import apply_pending
from entrypoint.schema.layouts import read_migrations
from entrypoint.schema.migration import AppliedMigration
from tests.servers import Database

pytestmark = pytest.mark.newest_server


def up(
    database: Database, directory: Path, *, timeout_s: float = 30.0, lock_timeout_s: float = 0.2
) -> tuple[AppliedMigration, ...]:
    with database.connect() as connection:
        return apply_pending(
            connection,
            migrations=read_migrations(directory),
            ledger_schema="entrypoint",
            deadline=time.monotonic() + timeout_s,
            lock_timeout_s=lock_timeout_s,
        )


@pytest.mark.parametrize("directive", ["", "-- entrypoint:no-transaction\n"])
def test_lock_held_by_another_session_is_waited_for_in_short_attempts(
    database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str], directive: str
) -> None:
    (tmp_path / "1_t.sql").write_text("CREATE TABLE t (a int)")
    up(database, tmp_path)
    (tmp_path / "2_t.sql").write_text(f"{directive}CREATE TABLE u (a int);\nALTER TABLE t ADD COLUMN b int;")
    with database.connect(application_name="psql") as holder:
        holder.execute("BEGIN")
        holder.execute("LOCK TABLE t IN ACCESS SHARE MODE")
        release = threading.Timer(1.5, lambda: holder.execute("COMMIT"))
        release.start()
        try:
            (applied,) = up(database, tmp_path)
        finally:
            release.join()
    assert applied.name == "2_t"
    assert database.execute("SELECT a, b FROM t") == []
    printed = capsys.readouterr().out
    assert "migration_lock_not_obtained" in printed
    assert "application psql, idle in transaction" in printed


def test_queue_behind_the_lock_request_gets_through_between_attempts(
    database: Database, tmp_path: Path
) -> None:
    (tmp_path / "1_t.sql").write_text("CREATE TABLE t (a int)")
    up(database, tmp_path)
    (tmp_path / "2_t.sql").write_text("ALTER TABLE t ADD COLUMN b int;")
    with database.connect() as holder, database.connect() as reader:
        holder.execute("BEGIN")
        holder.execute("LOCK TABLE t IN ACCESS SHARE MODE")
        release = threading.Timer(2.0, lambda: holder.execute("COMMIT"))
        release.start()
        worker = threading.Thread(target=up, args=(database, tmp_path))
        worker.start()
        longest_s = 0.0
        while worker.is_alive():
            began = time.monotonic()
            reader.execute("SELECT count(*) FROM t")
            longest_s = max(longest_s, time.monotonic() - began)
            time.sleep(0.02)
        release.join()
    assert longest_s < 1.5
    assert database.execute("SELECT b FROM t") == []


def test_lock_that_is_never_released_ends_with_the_step(database: Database, tmp_path: Path) -> None:
    (tmp_path / "1_t.sql").write_text("CREATE TABLE t (a int)")
    up(database, tmp_path)
    (tmp_path / "2_t.sql").write_text("CREATE TABLE u (a int);\nALTER TABLE t ADD COLUMN b int;")
    started = time.monotonic()
    with database.connect() as holder, holder.transaction():
        holder.execute("LOCK TABLE t")
        with pytest.raises(DeadlineExceededError, match=r"^2_t\.sql: another session held a lock") as caught:
            up(database, tmp_path, timeout_s=3)
    assert 2 < time.monotonic() - started < 5
    assert caught.value.exit_code == 124
    assert "oldest transaction is process" in str(caught.value)
    assert database.execute("SELECT to_regclass('u')") == [(None,)]


def test_statement_that_runs_too_long_is_ended_by_the_server(database: Database, tmp_path: Path) -> None:
    (tmp_path / "1_t.sql").write_text("CREATE TABLE t (a int);\nSELECT pg_sleep(60);")
    with pytest.raises(
        DeadlineExceededError, match=r"^1_t\.sql:2: did not end in time; raise SCHEMA_TIMEOUT"
    ):
        up(database, tmp_path, timeout_s=1)
    assert database.execute("SELECT to_regclass('t')") == [(None,)]


def test_deadlock_is_tried_again(database: Database, tmp_path: Path) -> None:
    (tmp_path / "1_t.sql").write_text("CREATE TABLE t (a int); CREATE TABLE u (a int);")
    up(database, tmp_path)
    (tmp_path / "2_t.sql").write_text(
        "LOCK TABLE t;\nSELECT pg_sleep(0.5);\nLOCK TABLE u;\nALTER TABLE u ADD b int;"
    )
    with psycopg.connect(database.superuser_url, autocommit=True) as other:
        other.execute("SET deadlock_timeout = '60s'")  # so that it is we who notice
        other.execute("BEGIN")
        other.execute("LOCK TABLE u")
        blocked = threading.Timer(0.3, lambda: (other.execute("LOCK TABLE t"), other.execute("COMMIT")))
        blocked.start()
        (applied,) = up(database, tmp_path, lock_timeout_s=10)
        blocked.join()
    assert applied.name == "2_t"
