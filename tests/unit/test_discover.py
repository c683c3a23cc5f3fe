"""Which files count as candidates, and how a source may be named."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from entrypoint.errors import ConfigurationError, NotPermittedError, SourceNotFoundError
from entrypoint.transfer.discover import find_candidates, find_named, is_candidate_name, parse_sqlite_url


def make_database(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")
    return path


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/data/app.db", "/data/app.db"),
        ("data/app.db", "data/app.db"),
        ("file:/data/app.db", "/data/app.db"),
        ("file:data/app.db", "data/app.db"),
        ("file:///data/app.db", "/data/app.db"),
        ("file:./dev.db?connection_limit=1&mode=ro", "./dev.db"),
        ("sqlite:///data/app.db", "data/app.db"),
        ("sqlite:////data/app.db", "/data/app.db"),
        ("sqlite+aiosqlite:////data/app.db", "/data/app.db"),
        ("sqlite+pysqlite:///app.db?timeout=5", "app.db"),
        ("sqlite://data/app.db", "data/app.db"),
        ("sqlite3:////data/app.db", "/data/app.db"),
        ("SQLITE:////data/app.db", "/data/app.db"),
        ("file:///data/my%20app.db", "/data/my app.db"),
        ("/data/odd%20name.db", "/data/odd%20name.db"),
        ("/data/what?.db", "/data/what?.db"),
        ("C:odd", "C:odd"),
    ],
)
def test_every_way_to_name_a_source(text: str, path: str) -> None:
    assert parse_sqlite_url(text) == Path(path)


@pytest.mark.parametrize(
    "text", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite://:memory:", "file:"]
)
def test_a_url_that_names_no_file(text: str) -> None:
    with pytest.raises(ConfigurationError, match=f"SQLITE_URL={text} names no file"):
        parse_sqlite_url(text)


@pytest.mark.parametrize(
    "name",
    [
        "app.db",
        "app",
        "backup_plans.db",
        "old.sqlite",
        "migrated.db",
        "app.db.migrated-soon",
        "my.bakery.db",
        "wal.db",
    ],
)
def test_names_of_candidates(name: str) -> None:
    assert is_candidate_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "app.db.migrated-20240102T030405Z", "app.db.migrated-20240102T030405Z-3",
        "app.db-wal", "app.db-shm", "app.db-journal",
        "app.db.bak", "app.db.BAK", "app.db~", "app.db.old", "app.db.orig", "app.bak.db",
        "app.backup-2024.db",
        "app.db.backup", "app-backup", "app.db.copy", "app.db-backup-20240102",
    ],
)  # fmt: skip
def test_names_of_sidecars_backups_and_retired_files(name: str) -> None:
    assert not is_candidate_name(name)


def test_directories_files_and_globs_in_order(tmp_path: Path) -> None:
    late = make_database(tmp_path / "late" / "b.db")
    first = make_database(tmp_path / "first" / "noname")
    second = make_database(tmp_path / "first" / "z.sqlite3")
    alone = make_database(tmp_path / "single" / "one.db")
    make_database(tmp_path / "single" / "other.db")
    make_database(tmp_path / "first" / "deeper" / "not-looked-at.db")
    (tmp_path / "first" / "text.txt").write_text("no database")
    paths = [str(tmp_path / "first"), str(tmp_path / "missing"), str(alone), str(tmp_path / "l*" / "*.db")]
    assert find_candidates(paths).groups == ((first, second), (alone,), (late,))


def test_a_file_counts_once(tmp_path: Path) -> None:
    real = make_database(tmp_path / "real.db")
    (tmp_path / "zlink.db").symlink_to(real)
    finds = find_candidates([str(tmp_path), str(real), f"{tmp_path}/*"])
    assert finds.groups == ((real,),)


def test_a_link_that_leads_nowhere_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "gone.db")
    assert find_candidates([str(tmp_path)]).groups == ()


def test_a_name_that_looks_like_a_glob(tmp_path: Path) -> None:
    odd = make_database(tmp_path / "app[1].db")
    assert find_candidates([str(odd)]).groups == ((odd,),)


def test_what_looks_like_a_database_and_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    (tmp_path / "text.sqlite").write_text("hello, this is no database")
    cut = make_database(tmp_path / "cut.db3")
    cut.write_bytes(cut.read_bytes()[:5000])
    (tmp_path / "readme.txt").write_text("not told")
    os.mkfifo(tmp_path / "pipe.db")
    finds = find_candidates([str(tmp_path)])
    assert finds.groups == ()
    assert {path.name: reason for path, reason in finds.skipped} == {
        "empty.db": "0 bytes",
        "text.sqlite": "its first bytes are not SQLite's: encrypted, or another kind of file",
        "cut.db3": "shorter than its header says",
    }


def test_a_named_source_is_the_file_behind_links(tmp_path: Path) -> None:
    real = make_database(tmp_path / "volume" / "real.db")
    (tmp_path / "link.db").symlink_to(real)
    assert find_named(f"sqlite:///{tmp_path}/link.db") == real


def test_a_named_source_may_look_like_a_backup(tmp_path: Path) -> None:
    path = make_database(tmp_path / "app.db.bak")
    assert find_named(str(path)) == path


def test_a_named_source_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="no such file"):
        find_named(str(tmp_path / "missing.db"))
    (tmp_path / "loop.db").symlink_to(tmp_path / "loop.db")
    with pytest.raises((SourceNotFoundError, NotPermittedError)):
        find_named(str(tmp_path / "loop.db"))


def test_three_slashes_mean_the_file_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    absolute = tmp_path / "data" / "app.db"
    absolute.parent.mkdir()
    as_url = f"sqlite://{absolute}"
    assert as_url.count("/") == str(absolute).count("/") + 2
    assert parse_sqlite_url(as_url) == absolute  # its directory is there
    absolute.touch()
    assert parse_sqlite_url(as_url) == absolute
    assert parse_sqlite_url("sqlite:///data/app.db") == Path("data/app.db")
    assert parse_sqlite_url("sqlite:///data/none.db") == Path("data/none.db")
    assert parse_sqlite_url("sqlite:////data/app.db") == Path("/data/app.db")
