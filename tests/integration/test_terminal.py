"""`entrypoint migrate` at a terminal: it asks before it writes, and shows how far it is."""

from __future__ import annotations

import os
import pty
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from tests.programs import PROGRAM, ROOT
from tests.servers import Database

pytestmark = pytest.mark.newest_server


def run_at_terminal(arguments: list[str], environment: dict[str, str], answer: str) -> tuple[int, str]:
    """Run the program on a pseudo-terminal, answer its question, return its exit code and all it showed."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [*PROGRAM, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment},
    )
    os.close(theirs)
    shown = ""
    has_answered = False
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            shown += os.read(ours, 65536).decode()
        except OSError:  # the child has closed the terminal
            break
        if "[y/N]" in shown and not has_answered:
            os.write(ours, f"{answer}\n".encode())
            has_answered = True
    code = child.wait(timeout=30)
    os.close(ours)
    return code, shown


def make_source(path: Path, rows: int) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT)")
        connection.executemany("INSERT INTO notes VALUES (?, ?)", ((i, "x" * 200) for i in range(rows)))
    connection.close()


def test_it_asks_and_a_no_changes_nothing(database: Database, tmp_path: Path) -> None:
    database.execute("CREATE TABLE notes (id bigint PRIMARY KEY, body text)")
    make_source(tmp_path / "a.db", 3)
    code, shown = run_at_terminal(
        ["migrate"], {"DATABASE_URL": database.url, "SQLITE_URL": str(tmp_path / "a.db")}, "n"
    )
    assert "Migrate 3 rows of 1 tables from" in shown
    assert code == 64
    assert "not confirmed; nothing was changed" in shown
    assert database.execute("SELECT count(*) FROM notes") == [(0,)]
    assert [item.name for item in tmp_path.iterdir()] == ["a.db"]


def test_a_yes_migrates_under_a_bar(database: Database, tmp_path: Path) -> None:
    database.execute("CREATE TABLE notes (id bigint PRIMARY KEY, body text)")
    make_source(tmp_path / "a.db", 150_000)
    code, shown = run_at_terminal(
        ["migrate"], {"DATABASE_URL": database.url, "SQLITE_URL": str(tmp_path / "a.db")}, "y"
    )
    assert code == 0
    assert "/150,000 rows" in shown
    assert "s left  notes" in shown
    assert database.password not in shown
    assert database.execute("SELECT count(*) FROM notes") == [(150_000,)]
