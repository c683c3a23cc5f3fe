"""Foreign keys that SQLite alone declares: followed where another row stands, and never demanded."""

from __future__ import annotations

import json

import pytest

from tests.places import Place

pytestmark = pytest.mark.newest_server


def test_they_follow_the_row_of_the_same_name(place: Place) -> None:
    """Else the user would become admin, and the admin a user, where both sides seeded the same names."""
    place.write_schema(
        "CREATE TABLE roles (id serial PRIMARY KEY, name text UNIQUE);"
        "CREATE TABLE u (id int PRIMARY KEY, r int);"
        "INSERT INTO roles VALUES (2, 'admin'), (1, 'user')"
    )
    place.write_source(
        "CREATE TABLE roles (id INTEGER PRIMARY KEY, name);"
        "CREATE TABLE u (id INTEGER PRIMARY KEY, r REFERENCES ROLES);"
        "INSERT INTO roles VALUES (1, 'admin'), (2, 'user');"
        "INSERT INTO u VALUES (1, 1), (2, 2), (3, NULL), (4, 99)"  # 99 leads nowhere, which nobody forbids
    )
    place.run("schema", "up").succeeded()
    planned = place.run("migrate", "--dry-run")
    assert planned.code == 0, planned.stderr
    assert (
        "what refers to the others follows them, public.u (r): id=1 for which id=2 stands" in planned.stdout
    )
    ended = place.run(variables={"VERIFY": "full"})
    ended.succeeded()
    events = [json.loads(line) for line in ended.stderr.splitlines() if line.startswith("{")]
    assert [event["referring"] for event in events if event["event"] == "rows_stood_for"] == [["u (r)"]]
    assert place.rows("SELECT * FROM u ORDER BY id") == [(1, 2), (2, 1), (3, None), (4, 99)]
    (retired,) = place.retired()
    verified = place.run("verify", "--sqlite-url", str(retired))
    assert verified.code == 0, verified.stdout + verified.stderr


def test_they_are_followed_before_what_they_are_part_of(place: Place) -> None:
    """Also where a table comes before those it refers to, by several columns, or refers to itself."""
    place.write_schema(
        "CREATE TABLE permissions (id int PRIMARY KEY, kind_id int, code text, above int,"
        "  UNIQUE (kind_id, code));"
        "CREATE TABLE grants (id int PRIMARY KEY, kind int, code text, permission int);"
        "CREATE TABLE kinds (id int PRIMARY KEY, name text UNIQUE);"
        "INSERT INTO kinds VALUES (2, 'a'), (1, 'b');"
        "INSERT INTO permissions VALUES (7, 2, 'view'), (8, 1, 'view')"
    )
    place.write_source(
        "CREATE TABLE permissions (id INTEGER PRIMARY KEY, kind_id REFERENCES kinds (ID), code TEXT,"
        "  above REFERENCES permissions, UNIQUE (kind_id, code));"
        "CREATE TABLE grants (id INTEGER PRIMARY KEY, kind, code, permission REFERENCES permissions,"
        "  FOREIGN KEY (kind, code) REFERENCES permissions (kind_id, code));"
        "CREATE TABLE kinds (id INTEGER PRIMARY KEY, name TEXT);"
        "INSERT INTO kinds VALUES (1, 'a'), (2, 'b');"
        "INSERT INTO permissions VALUES (3, 1, 'view', NULL), (4, 2, 'view', NULL), (5, 2, 'add', 4);"
        "INSERT INTO grants VALUES (1, 1, 'view', 3), (2, 2, 'add', 5)"
    )
    place.run(variables={"VERIFY": "full"}).succeeded()
    assert place.rows("SELECT * FROM permissions ORDER BY id") == [
        (5, 1, "add", 8),
        (7, 2, "view", None),
        (8, 1, "view", None),
    ]
    assert place.rows("SELECT * FROM grants ORDER BY id") == [(1, 2, "view", 7), (2, 1, "add", 5)]


def test_a_cycle_through_one_of_them_is_loaded_in_the_order_of_the_others(place: Place) -> None:
    place.write_schema(
        "CREATE TABLE a (id int PRIMARY KEY, b_id int);"
        "CREATE TABLE b (id int PRIMARY KEY, a_id int REFERENCES a, name text UNIQUE);"
        "INSERT INTO b VALUES (9, NULL, 'x')"
    )
    place.write_source(
        "CREATE TABLE b (id INTEGER PRIMARY KEY, a_id REFERENCES a, name TEXT);"
        "CREATE TABLE a (id INTEGER PRIMARY KEY, b_id REFERENCES b);"
        "INSERT INTO a VALUES (1, 1), (2, 2); INSERT INTO b VALUES (1, 1, 'x'), (2, 2, 'y')"
    )
    place.run(variables={"VERIFY": "full"}).succeeded()
    assert place.rows("SELECT * FROM a ORDER BY id") == [(1, 9), (2, 2)]
    assert place.rows("SELECT * FROM b ORDER BY id") == [(2, 2, "y"), (9, None, "x")]


def test_nothing_follows_by_a_null(place: Place) -> None:
    place.write_schema(
        "CREATE TABLE users (id int PRIMARY KEY, email text UNIQUE, code text UNIQUE);"
        "CREATE TABLE notes (id int PRIMARY KEY, code text REFERENCES users (code));"
        "INSERT INTO users VALUES (9, 'ada', 'c9')"
    )
    place.write_source(
        "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT, code TEXT);"
        "CREATE TABLE notes (id INTEGER PRIMARY KEY, code TEXT);"
        "INSERT INTO users VALUES (1, 'ada', NULL); INSERT INTO notes VALUES (1, NULL)"
    )
    place.run(variables={"VERIFY": "full"}).succeeded()
    assert place.rows("SELECT * FROM notes") == [(1, None)]


def test_what_refers_to_a_reference_follows_the_same_row(place: Place) -> None:
    """As where users are persons, by one number."""
    place.write_schema(
        "CREATE TABLE persons (id int PRIMARY KEY, name text UNIQUE);"
        "CREATE TABLE users (id int PRIMARY KEY REFERENCES persons, mail text);"
        "CREATE TABLE posts (id int PRIMARY KEY, user_id int REFERENCES users);"
        "INSERT INTO persons VALUES (2, 'ada'), (1, 'bob')"
    )
    place.write_source(
        "CREATE TABLE persons (id INTEGER PRIMARY KEY, name TEXT);"
        "CREATE TABLE users (id INTEGER PRIMARY KEY, mail TEXT);"
        "CREATE TABLE posts (id INTEGER PRIMARY KEY, user_id INTEGER);"
        "INSERT INTO persons VALUES (1, 'ada'), (2, 'bob'); INSERT INTO users VALUES (1, 'a@'), (2, 'b@');"
        "INSERT INTO posts VALUES (1, 1), (2, 2)"
    )
    place.run(variables={"VERIFY": "full"}).succeeded()
    assert place.rows("SELECT * FROM users ORDER BY id") == [(1, "b@"), (2, "a@")]
    assert place.rows("SELECT * FROM posts ORDER BY id") == [(1, 2), (2, 1)]
