"""What a start makes of failures, of files that cannot be renamed, and of files that turn up later."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.places import Place, leave_hot_journal, leave_in_wal, open_writer
from tests.programs import PROGRAM, ROOT, clean_environment, wait_until

pytestmark = pytest.mark.newest_server

SCHEMA = "CREATE TABLE notes (id int PRIMARY KEY, body text)"
SOURCE = (
    "CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT); INSERT INTO notes VALUES (1, 'a'), (2, 'b');"
)
BAD = SOURCE.replace("(2, 'b')", "('x', 'b')").replace("id INTEGER PRIMARY KEY", "id")

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can mount, or run the child as another user"
)


@pytest.fixture
def prepared(place: Place) -> Place:
    place.write_schema(SCHEMA)
    place.run("schema", "up").succeeded()
    return place


def test_a_failed_migration_starts_the_application(prepared: Place) -> None:
    prepared.write_source(BAD)
    files = prepared.hash_files()
    ended = prepared.run(
        "run", "--", "echo", "up", variables={"ON_MIGRATION_FAILURE": "continue"}
    ).succeeded()
    assert ended.stdout == "up\n"
    (failure,) = ended.find("migration_failed")
    assert failure["exit_code"] == 65
    assert "notes.id" in failure["error"]
    (refusal,) = ended.find("source_refused")
    assert (refusal["table"], refusal["column"], refusal["value"]) == ("notes", "id", "x")
    assert prepared.hash_files() == files
    assert prepared.rows("SELECT * FROM notes") == []
    assert prepared.runs() == [("failed", 65, None)]
    report = prepared.rows("SELECT report, error FROM entrypoint.runs")[0]
    assert report[0]["refusals"][0]["value"] == "x"
    assert "notes.id" in report[1]


def test_a_failed_migration_ends_a_start_that_is_to_abort(prepared: Place) -> None:
    prepared.write_source(BAD)
    ended = prepared.run("run", "--", "echo", "up")
    ended.failed_with(65)
    assert ended.stdout == ""
    job = prepared.run("run", "--migrate-only", variables={"ON_MIGRATION_FAILURE": "continue"})
    job.failed_with(65)
    assert prepared.runs() == [("failed", 65, None)] * 2


def test_a_corrected_source_is_taken_by_the_next_start(prepared: Place) -> None:
    prepared.write_source(BAD)
    prepared.run(variables={"ON_MIGRATION_FAILURE": "continue"}).succeeded()
    prepared.write_source("UPDATE notes SET id = 2 WHERE id = 'x'")
    prepared.run().succeeded()
    assert prepared.rows("SELECT * FROM notes ORDER BY 1") == [(1, "a"), (2, "b")]
    assert [row[0] for row in prepared.runs()] == ["failed", "succeeded"]


def test_migrate_only_executes_nothing(prepared: Place) -> None:
    prepared.write_source(SOURCE)
    assert prepared.run("run", "--migrate-only").succeeded().stdout == ""
    assert len(prepared.retired()) == 1


def test_skip_migration_still_applies_the_schema(place: Place) -> None:
    place.write_schema(SCHEMA)
    place.write_source(SOURCE)
    files = place.hash_files()
    place.run(variables={"SKIP_MIGRATION": "yes"}).succeeded()
    assert place.rows("SELECT * FROM notes") == []
    assert place.hash_files() == files
    assert place.runs() == []


def test_skip_schema_still_migrates(prepared: Place) -> None:
    prepared.write_schema("CREATE TABLE more (id int)", "002_more.sql")
    prepared.write_source(SOURCE)
    prepared.run(variables={"SKIP_SCHEMA": "1"}).succeeded()
    assert prepared.rows("SELECT to_regclass('more'), count(*) FROM notes") == [(None, 2)]


@pytest.mark.parametrize("url", ["", "sqlite:////app/data/app.db"])
def test_without_postgres_nothing_happens(place: Place, url: str) -> None:
    place.write_source(SOURCE)
    files = place.hash_files()
    ended = place.run("run", "--", "echo", "up", variables={"DATABASE_URL": url}).succeeded()
    assert ended.names == ["postgres_not_configured"]
    assert ended.stdout == "up\n"
    assert place.hash_files() == files


# --- sources that cannot be renamed --------------------------------------------------------------


def assert_migrated_in_place(place: Place, **options: str) -> None:
    """Migrate where nothing can be written, twice; the second start only repeats the warning."""
    files = place.hash_files()
    ended = place.run(**options).succeeded()
    assert "source_not_retired" in ended.names
    assert place.rows("SELECT count(*) FROM notes") == [(2,)]
    assert [row[0] for row in place.runs()] == ["succeeded"]
    place.rows("DELETE FROM notes WHERE id = 2")
    again = place.run(**options).succeeded()
    assert again.names == ["source_not_retired"]
    assert place.rows("SELECT count(*) FROM notes") == [(1,)]
    assert len(place.runs()) == 1
    assert place.hash_files() == files


def make_unit(place: Place, kind: str) -> None:
    if kind == "wal":
        leave_in_wal(place.file, SOURCE.replace(", (2, 'b')", ""), ["INSERT INTO notes VALUES (2, 'b')"])
    else:
        place.write_source(("PRAGMA journal_mode = WAL;" if kind == "empty wal" else "") + SOURCE)


@needs_root
@pytest.mark.parametrize("kind", ["journal", "empty wal", "wal"])
def test_a_directory_of_another_user(prepared: Place, kind: str) -> None:
    make_unit(prepared, kind)
    assert_migrated_in_place(prepared, user="nobody")


@needs_root
@pytest.mark.parametrize("kind", ["journal", "empty wal", "wal"])
def test_a_read_only_mount(prepared: Place, kind: str) -> None:
    make_unit(prepared, kind)
    mount = ["mount", "--bind", "-o", "ro", str(prepared.data), str(prepared.data)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this machine does not let us mount")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(prepared.data)], check=True)
        assert_migrated_in_place(prepared)
    finally:
        subprocess.run(["umount", str(prepared.data)], check=True)


@needs_root
def test_a_file_that_is_a_mount_of_its_own(prepared: Place) -> None:
    original = prepared.home / "host.db"
    prepared.write_source(SOURCE).rename(original)
    prepared.file.touch()
    if subprocess.run(
        ["mount", "--bind", str(original), str(prepared.file)], check=False, capture_output=True
    ).returncode:
        pytest.skip("this machine does not let us mount")
    try:
        assert_migrated_in_place(prepared)
    finally:
        subprocess.run(["umount", str(prepared.file)], check=True)


def test_a_name_that_is_taken(prepared: Place) -> None:
    """Whatever second it is, a file lies where the retired one would go."""
    prepared.write_source(SOURCE)
    now = datetime.now(UTC)
    taken = [
        prepared.data / f"app.db.migrated-{now + timedelta(seconds=s):%Y%m%dT%H%M%SZ}" for s in range(-1, 30)
    ]
    for path in taken:
        path.write_text("precious")
    prepared.run().succeeded()
    assert all(path.read_text() == "precious" for path in taken)
    (retired,) = set(prepared.retired()) - set(taken)
    assert retired.name.endswith("Z-1")
    assert prepared.runs()[0][2] == str(retired)
    assert prepared.run().succeeded().events == []


# --- files that turn up later --------------------------------------------------------------------


def test_another_file_after_a_success_is_reported_and_not_merged(prepared: Place) -> None:
    prepared.write_source(SOURCE)
    prepared.run().succeeded()
    later = prepared.write_source(SOURCE.replace("'a'", "'older'").replace("(2,", "(3,"), "backup-2023.db")
    files, target = prepared.hash_files(), prepared.describe_target()
    ended = prepared.run().succeeded()
    (warning,) = ended.find("source_not_merged")
    assert f"entrypoint migrate --sqlite-url {later}" in warning["remedy"]
    assert (prepared.hash_files(), prepared.describe_target()) == (files, target)
    assert str(later) in prepared.run("migrate", "--yes").failed_with(78)
    prepared.run("migrate", "--yes", "--sqlite-url", str(later)).succeeded()
    assert prepared.rows("SELECT * FROM notes ORDER BY 1") == [(1, "a"), (2, "b"), (3, "b")]
    assert not later.exists()
    assert prepared.run().succeeded().events == []


def test_a_retired_file_that_is_written_later_is_reported_until_it_is_merged(prepared: Place) -> None:
    prepared.write_source(SOURCE)
    prepared.run().succeeded()
    (retired,) = prepared.retired()
    prepared.write_source("INSERT INTO notes VALUES (3, 'late')", retired.name)
    (warning,) = prepared.run().succeeded().find("retired_source_changed")
    assert f"entrypoint migrate --sqlite-url {retired}" in warning["remedy"]
    assert prepared.rows("SELECT count(*) FROM notes") == [(2,)]
    prepared.run("migrate", "--yes", "--sqlite-url", str(retired)).succeeded()
    assert prepared.rows("SELECT count(*) FROM notes") == [(3,)]
    assert prepared.run().succeeded().events == []


def test_a_copy_of_a_migrated_source_is_left_alone(prepared: Place) -> None:
    prepared.write_source(SOURCE)
    shutil.copy(prepared.file, prepared.home / "copy.db")
    prepared.run().succeeded()
    shutil.copy(prepared.home / "copy.db", prepared.data / "again.db")
    assert [name for name in prepared.run().succeeded().names if name != "source_copy_ignored"] == []
    assert (prepared.data / "again.db").exists()


def test_a_named_source_may_be_gone_once_it_is_migrated(prepared: Place) -> None:
    prepared.write_source(SOURCE)
    for url in (str(prepared.file), f"file:{prepared.file}", f"sqlite:///{prepared.file}"):
        prepared.run(variables={"SQLITE_URL": url}).succeeded()
    assert len(prepared.runs()) == 1


def test_a_source_behind_a_symbolic_link(prepared: Place) -> None:
    real = prepared.home / "volume"
    real.mkdir()
    prepared.write_source(SOURCE).rename(real / "real.db")
    prepared.file.symlink_to(real / "real.db")
    prepared.run(variables={"SQLITE_URL": str(prepared.file)}).succeeded()
    assert [path.name.partition(".migrated-")[0] for path in real.iterdir()] == ["real.db"]
    assert prepared.run(variables={"SQLITE_URL": str(prepared.file)}).succeeded().events == []


# --- writers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_process_that_is_writing_is_refused(prepared: Place, mode: str) -> None:
    prepared.write_source(f"PRAGMA journal_mode = {mode};" + SOURCE)
    with open_writer(prepared.file) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO notes VALUES (3, 'uncommitted')")
        line = prepared.run().failed_with(65)
        assert line == (
            f"{prepared.file}: another process is writing to the source;"
            " stop whatever still uses the file and start again"
        )
        writer.execute("COMMIT")
    assert prepared.rows("SELECT * FROM notes") == []
    prepared.run().succeeded()
    assert prepared.rows("SELECT count(*) FROM notes") == [(3,)]


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_writer_is_kept_out_during_the_load(prepared: Place, mode: str) -> None:
    prepared.write_source(f"PRAGMA journal_mode = {mode};" + SOURCE)
    with prepared.database.connect() as other, open_writer(prepared.file) as writer:
        assert writer.execute("SELECT count(*) FROM notes").fetchone() == (2,)
        other.execute("BEGIN; LOCK TABLE notes IN SHARE MODE")
        with prepared.start() as running:
            running.wait_for("source_planned")
            with pytest.raises(sqlite3.OperationalError, match="database is locked"):
                writer.execute("INSERT INTO notes VALUES (3, 'too late')")
            assert writer.execute("SELECT count(*) FROM notes").fetchone() == (2,)
            other.execute("ROLLBACK")
            running.finish().succeeded()
    assert prepared.rows("SELECT count(*) FROM notes") == [(2,)]
    assert len([path for path in prepared.retired() if path.suffix.endswith("Z")]) == 1


@needs_root
def test_a_writer_that_cannot_be_kept_out_is_detected(prepared: Place) -> None:
    """Read-only for us, writable on the host: what it commits during the load refuses the commit."""
    prepared.write_source("PRAGMA journal_mode = WAL;" + SOURCE)
    with prepared.database.connect() as other, open_writer(prepared.file) as writer:
        other.execute("BEGIN; LOCK TABLE notes IN SHARE MODE")
        with prepared.start(user="nobody") as running:
            running.wait_for("source_planned")
            writer.execute("INSERT INTO notes VALUES (3, 'meanwhile')")
            other.execute("ROLLBACK")
            line = running.finish().failed_with(65)
    assert "another process wrote to the source while it was being read" in line
    assert prepared.rows("SELECT * FROM notes") == []
    assert prepared.runs() == [("failed", 65, None)]


def test_a_signal_reaches_a_start_that_waits_for_a_writer(prepared: Place) -> None:
    prepared.write_source(SOURCE)
    with open_writer(prepared.file) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with prepared.start() as running:
            running.wait_for("migration_started")
            ended, seconds = running.stop()
        ended.failed_with(143)
        assert seconds < 2
    assert prepared.rows("SELECT * FROM notes") == []


def test_a_long_plan_is_stopped_at_once(prepared: Place) -> None:
    """SQLite works in C; its progress handler lets the signal through."""
    prepared.write_source(
        "CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT); CREATE INDEX by_body ON notes (body);"
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400000)"
        " INSERT INTO notes SELECT i, hex(randomblob(8)) FROM n"
    )
    files = prepared.hash_files()
    with prepared.start() as running:
        running.wait_for("migration_started")
        ended, seconds = running.stop()
    ended.failed_with(143)
    assert seconds < 1.5
    assert prepared.hash_files() == files
    wait_until(lambda: prepared.backends() == 0, timeout_s=5, what="the end of backends")


def test_what_is_left_of_temporary_copies(prepared: Place, tmp_path: Path) -> None:
    make_unit(prepared, "wal")
    prepared.run("migrate", "--dry-run", variables={"TMPDIR": str(tmp_path)}).succeeded()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [("status",), ("status", "--json"), ("schema", "status")])
def test_output_that_nobody_reads_any_more(prepared: Place, arguments: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    result = subprocess.run(
        [*PROGRAM, *arguments],
        env=clean_environment(prepared.environment | {"PYTHONPATH": str(ROOT)}),
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
        text=True,
    )
    os.close(writing)
    assert (result.returncode, result.stderr) == (141, "")


@pytest.mark.parametrize("content", [b"", b"recreated, and no database", b"SQLite format 3\x00 cut"])
def test_a_named_source_that_is_made_anew_once_it_is_migrated(prepared: Place, content: bytes) -> None:
    """An application may make its file again; that is no reason not to start for ever after."""
    prepared.write_source(SOURCE)
    variables = {"SQLITE_URL": str(prepared.file)}
    prepared.run(variables=variables).succeeded()
    prepared.file.write_bytes(content)
    ended = prepared.run(variables=variables).succeeded()
    assert ended.names == ["source_candidate_skipped"]
    assert prepared.file.read_bytes() == content


@needs_root
@pytest.mark.parametrize("named", [True, False])
def test_a_directory_that_may_not_be_entered_any_more(prepared: Place, named: bool) -> None:
    """Once the data is migrated, a start does not depend on the old place."""
    prepared.write_source(SOURCE)
    variables = {"SQLITE_URL": str(prepared.file)} if named else {}
    prepared.run(variables=variables).succeeded()
    prepared.data.chmod(0o700)
    assert prepared.run(variables=variables, user="nobody").succeeded().stdout == ""


@needs_root
def test_a_hot_journal_that_cannot_be_rolled_back_in_place(prepared: Place) -> None:
    leave_hot_journal(prepared.file)
    files = prepared.hash_files()
    prepared.run(user="nobody").succeeded()
    assert prepared.rows("SELECT count(*) FROM notes WHERE body = 'old ' || id") == [(500,)]
    assert prepared.hash_files() == files
    assert prepared.run(user="nobody").succeeded().names == ["source_not_retired"]
    assert len(prepared.runs()) == 1


def test_paths_that_were_set_and_do_not_exist_are_warned_of(place: Place) -> None:
    ended = place.run(variables={"SQLITE_PATHS": "/app/dta:/nowhere/*.db"})
    ended.succeeded()
    assert [event["level"] for event in ended.find("source_paths_missing")] == ["warning"]
    assert place.run().find("source_paths_missing") == []
