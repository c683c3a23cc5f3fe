"""Rows that refer to nothing are found before the load, all of them, as the target's foreign keys see it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from entrypoint.model import Refusal
from entrypoint.settings import load_settings
from entrypoint.transfer.dry_run import plan_source
from tests.servers import Database

pytestmark = pytest.mark.newest_server


def find_refusals(database: Database, path: Path) -> tuple[Refusal, ...]:
    settings = load_settings({"DATABASE_URL": database.url}, {})
    with database.connect() as connection:
        plan, _ = plan_source(connection, path, settings)
    return plan.refusals


def make(path: Path, script: str) -> Path:
    with sqlite3.connect(path) as connection:
        connection.executescript(script)
    connection.close()
    return path


def test_every_orphan_is_counted_with_the_first_keys(database: Database, tmp_path: Path) -> None:
    database.execute(
        "CREATE TABLE users (id int PRIMARY KEY);"
        "CREATE TABLE posts (id int PRIMARY KEY, user_id int CONSTRAINT author REFERENCES users)"
    )
    path = make(
        tmp_path / "a.db",
        "CREATE TABLE users (id INTEGER PRIMARY KEY); CREATE TABLE posts (id INTEGER PRIMARY KEY, user_id);"
        "INSERT INTO users VALUES (1), (2);"
        "INSERT INTO posts VALUES (10, 1), (11, NULL), (12, 7), (13, 7), (14, 8), (15, 9),"
        "  (16, '2'), (17, 1.0)",
    )
    (refusal,) = find_refusals(database, path)
    assert (refusal.table, refusal.column, refusal.count) == ("posts", "user_id", 4)
    assert refusal.keys == ("id=12", "id=13", "id=14")
    assert "public.users (id)" in refusal.reason
    assert "author" in refusal.reason


def test_a_row_that_stands_in_postgresql_is_a_parent_too(database: Database, tmp_path: Path) -> None:
    database.execute(
        "CREATE TABLE users (id int PRIMARY KEY); INSERT INTO users VALUES (7);"
        "CREATE TABLE posts (id int PRIMARY KEY, user_id int REFERENCES users)"
    )
    path = make(
        tmp_path / "a.db",
        "CREATE TABLE posts (id INTEGER PRIMARY KEY, user_id); INSERT INTO posts VALUES (1, 7)",
    )
    assert find_refusals(database, path) == ()


@pytest.mark.parametrize(
    ("key_type", "parent", "child", "is_orphan"),
    [
        ("uuid", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc999c0b4ef8bb6d6bb9bd380a11", False),
        ("text", "Ada", "ada", True),
        ("text", "1", "1.0", True),
        ("bigint", " 1", "1", False),
    ],
)
def test_keys_are_compared_as_postgresql_reads_them(
    database: Database, tmp_path: Path, key_type: str, parent: str, child: str, is_orphan: bool
) -> None:
    database.execute(
        f"CREATE TABLE p (k {key_type} PRIMARY KEY);"
        f"CREATE TABLE c (id int PRIMARY KEY, k {key_type} REFERENCES p)"
    )
    path = tmp_path / "a.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE p (k TEXT COLLATE NOCASE PRIMARY KEY)")
        connection.execute("CREATE TABLE c (id INTEGER PRIMARY KEY, k TEXT COLLATE NOCASE)")
        connection.execute("INSERT INTO p VALUES (?)", (parent,))
        connection.execute("INSERT INTO c VALUES (1, ?)", (child,))
    connection.close()
    assert bool(find_refusals(database, path)) == is_orphan


def test_composite_keys_and_self_references(database: Database, tmp_path: Path) -> None:
    database.execute(
        "CREATE TABLE parts (a int, b text, PRIMARY KEY (a, b), up_a int, up_b text,"
        " FOREIGN KEY (up_a, up_b) REFERENCES parts)"
    )
    path = make(
        tmp_path / "a.db",
        "CREATE TABLE parts (a, b, up_a, up_b, PRIMARY KEY (a, b));"
        "INSERT INTO parts VALUES (1, 'x', 2, 'y'), (2, 'y', NULL, 'z'), (3, 'z', 2, 'q'),"
        "  (4, 'w', NULL, NULL)",
    )
    (refusal,) = find_refusals(database, path)
    assert (refusal.column, refusal.count, refusal.keys) == ("up_a, up_b", 1, ("a=3, b=z",))


def test_a_null_among_the_parents_keys_hides_nothing(database: Database, tmp_path: Path) -> None:
    database.execute(
        "CREATE TABLE p (id int PRIMARY KEY, code text UNIQUE);"
        "CREATE TABLE c (id int PRIMARY KEY, code text REFERENCES p (code))"
    )
    path = make(
        tmp_path / "a.db",
        "CREATE TABLE p (id INTEGER PRIMARY KEY, code); CREATE TABLE c (id INTEGER PRIMARY KEY, code);"
        "INSERT INTO p VALUES (1, NULL), (2, 'a'); INSERT INTO c VALUES (1, 'a'), (2, 'b')",
    )
    (refusal,) = find_refusals(database, path)
    assert refusal.keys == ("id=2",)


def test_a_part_of_a_key_that_is_compared_in_full(database: Database, tmp_path: Path) -> None:
    database.execute(
        "CREATE TABLE p (a int, b int, PRIMARY KEY (a, b));"
        "CREATE TABLE c (id int PRIMARY KEY, a int, b int,"
        " CONSTRAINT whole FOREIGN KEY (a, b) REFERENCES p MATCH FULL);"
        "CREATE TABLE d (id int PRIMARY KEY, a int, b int, FOREIGN KEY (a, b) REFERENCES p)"
    )
    path = make(
        tmp_path / "a.db",
        "CREATE TABLE p (a, b); INSERT INTO p VALUES (1, 2); CREATE TABLE c (id INTEGER PRIMARY KEY, a, b);"
        "CREATE TABLE d (id INTEGER PRIMARY KEY, a, b);"
        "INSERT INTO c VALUES (1, 1, 2), (2, NULL, NULL), (3, 1, NULL), (4, NULL, 9), (5, 8, 8);"
        "INSERT INTO d SELECT * FROM c WHERE id < 5",
    )
    part, orphan = find_refusals(database, path)
    assert (part.table, part.column, part.count, part.keys) == ("c", "a, b", 2, ("id=3", "id=4"))
    assert "whole, which is MATCH FULL" in part.reason
    assert (orphan.table, orphan.keys) == ("c", ("id=5",))
