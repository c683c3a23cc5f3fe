"""Rows whose unique key PostgreSQL holds under another primary key: kept there, and followed."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.programs import Ended, run_program
from tests.servers import Database

TARGET = """
CREATE TABLE roles (id serial PRIMARY KEY, name text NOT NULL UNIQUE, label text);
CREATE TABLE users (
    id uuid PRIMARY KEY, email text UNIQUE, role_id int REFERENCES roles, boss uuid REFERENCES users);
CREATE TABLE grants (
    role_id int REFERENCES roles, user_id uuid REFERENCES users, PRIMARY KEY (role_id, user_id));
CREATE TABLE notes (id int PRIMARY KEY, role_name text REFERENCES roles (name), body text);
INSERT INTO roles VALUES (1, 'admin', 'seeded'), (2, 'guest', 'seeded');
INSERT INTO users VALUES ('00000000-0000-0000-0000-0000000000ff', 'root@example.org', 1, NULL);
"""
SOURCE = """
CREATE TABLE roles (id INTEGER PRIMARY KEY, name TEXT UNIQUE, label);
CREATE TABLE users (id TEXT PRIMARY KEY, email TEXT UNIQUE, role_id, boss);
CREATE TABLE grants (role_id, user_id, PRIMARY KEY (role_id, user_id));
CREATE TABLE notes (id INTEGER PRIMARY KEY, role_name, body);
INSERT INTO roles VALUES (1, 'member', 'x'), (2, 'guest', 'seeded'), (7, 'admin', 'mine'), (8, 'new', NULL);
INSERT INTO users VALUES
  ('00000000-0000-0000-0000-000000000001', 'root@example.org', 7, NULL),
  ('00000000-0000-0000-0000-000000000002', 'ada@example.org', 7, '00000000-0000-0000-0000-000000000001'),
  ('00000000-0000-0000-0000-000000000003', NULL, 8, '00000000-0000-0000-0000-000000000002'),
  ('00000000-0000-0000-0000-000000000004', NULL, NULL, NULL);
INSERT INTO grants VALUES
  (7, '00000000-0000-0000-0000-000000000001'), (8, '00000000-0000-0000-0000-000000000003');
INSERT INTO notes VALUES (1, 'admin', 'by name'), (2, 'new', ''), (3, NULL, '');
"""


def run(database: Database, path: Path, *arguments: str, **settings: str) -> Ended:
    environment = {"DATABASE_URL": database.url, "SQLITE_URL": str(path), **settings}
    return run_program(*arguments, environment=environment)


@pytest.fixture
def source(database: Database, tmp_path: Path) -> Path:
    database.execute(TARGET)
    path = tmp_path / "a.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(SOURCE)
    connection.close()
    return path


def read(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    return {
        "roles": database.execute("SELECT id, name, label FROM roles ORDER BY 1"),
        "users": database.execute(
            "SELECT right(id::text, 2), email, role_id, right(boss::text, 2) FROM users ORDER BY 1"
        ),
        "grants": database.execute("SELECT role_id, right(user_id::text, 2) FROM grants ORDER BY 1"),
        "notes": database.execute("SELECT id, role_name FROM notes ORDER BY 1"),
    }


EXPECTED = {
    "roles": [(1, "admin", "seeded"), (2, "guest", "seeded"), (8, "new", None)],
    "users": [
        ("02", "ada@example.org", 1, "ff"),
        ("03", None, 8, "02"),
        ("04", None, None, None),
        ("ff", "root@example.org", 1, None),
    ],
    "grants": [(1, "ff"), (8, "03")],
    "notes": [(1, "admin"), (2, "new"), (3, None)],
}


def test_children_follow_the_row_that_stands(database: Database, source: Path) -> None:
    ended = run(database, source, "migrate", "--yes", "--json", VERIFY="full")
    assert ended.code == 0, ended.stderr
    assert read(database) == EXPECTED
    tables = {table["table"]: table for table in json.loads(ended.stdout)["result"]["tables"]}
    counts = {
        name: tuple(table[outcome] for outcome in ("rows", "inserted", "unchanged", "preserved"))
        for name, table in tables.items()
    }
    # member has the id of the seeded admin, and the admin that arrives has its name: both rows give way
    assert counts == {
        "roles": (4, 1, 1, 2),
        "users": (4, 3, 0, 1),
        "grants": (2, 2, 0, 0),
        "notes": (3, 3, 0, 0),
    }
    assert "follows them" in ended.stdout


def test_a_second_run_changes_nothing(database: Database, source: Path, tmp_path: Path) -> None:
    content = source.read_bytes()
    run(database, source, "migrate", "--yes")
    again = tmp_path / "again.db"
    again.write_bytes(content)
    with sqlite3.connect(again) as connection:
        connection.execute("PRAGMA user_version = 1")  # another content, so that it is not recognised
    connection.close()
    ended = run(database, again, "migrate", "--yes", VERIFY="full")
    assert ended.code == 0, ended.stderr
    assert read(database) == EXPECTED


@pytest.mark.parametrize("policy", ["overwrite", "fail"])
def test_other_policies_refuse_and_list_what_refers(database: Database, source: Path, policy: str) -> None:
    before = read(database)
    ended = run(database, source, "migrate", "--dry-run", ON_CONFLICT=policy)
    assert ended.code == 65
    assert "PostgreSQL holds other rows under the same unique key (roles_name_key)" in ended.stdout
    assert "public.grants (role_id)" in ended.stdout
    assert "public.users (boss)" in ended.stdout
    assert "id=7" in ended.stdout
    assert run(database, source, "run", "--migrate-only", ON_CONFLICT=policy).code == 65
    assert read(database) == before
