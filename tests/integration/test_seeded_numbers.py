"""Rows that both sides seeded under different numbers, as frameworks do with their types and permissions."""

from __future__ import annotations

import pytest

from tests.places import Place

pytestmark = pytest.mark.newest_server


TARGET = """
CREATE TABLE kinds (id serial PRIMARY KEY, app text NOT NULL, model text NOT NULL, UNIQUE (app, model));
CREATE TABLE permissions (
    id serial PRIMARY KEY, kind_id int NOT NULL REFERENCES kinds, code text NOT NULL, UNIQUE (kind_id, code));
CREATE TABLE grants (
    id serial PRIMARY KEY, who text NOT NULL, permission_id int NOT NULL REFERENCES permissions,
    UNIQUE (who, permission_id));
INSERT INTO kinds (app, model) VALUES ('admin', 'entry'), ('auth', 'user'), ('docs', 'tag');
INSERT INTO permissions (kind_id, code)
    VALUES (1, 'view'), (1, 'delete'), (2, 'view'), (2, 'delete'), (3, 'view'), (3, 'delete');
"""
SOURCE = """
CREATE TABLE kinds (id INTEGER PRIMARY KEY AUTOINCREMENT, app TEXT, model TEXT, UNIQUE (app, model));
CREATE TABLE permissions (id INTEGER PRIMARY KEY AUTOINCREMENT, kind_id INTEGER, code TEXT);
CREATE TABLE grants (id INTEGER PRIMARY KEY AUTOINCREMENT, who TEXT, permission_id INTEGER);
INSERT INTO kinds (app, model) VALUES ('docs', 'tag'), ('admin', 'entry'), ('auth', 'user'), ('docs', 'note');
INSERT INTO permissions (kind_id, code) VALUES
    (1, 'delete'), (1, 'view'), (2, 'view'), (2, 'delete'), (3, 'delete'), (3, 'view'), (4, 'view');
INSERT INTO grants (who, permission_id) SELECT 'ada', id FROM permissions WHERE code = 'view';
INSERT INTO grants (who, permission_id) SELECT 'root', id FROM permissions WHERE code = 'delete';
"""
GRANTED = (
    "SELECT who, app, model, code FROM grants g JOIN permissions p ON p.id = g.permission_id"
    " JOIN kinds k ON k.id = p.kind_id ORDER BY 1, 2, 3, 4"
)


def test_references_follow_the_row_of_the_same_name(place: Place) -> None:
    """A number that stands for something else in PostgreSQL must not give anybody another permission."""
    place.write_schema(TARGET)
    place.write_source(SOURCE)
    place.run(variables={"VERIFY": "full"}).succeeded()
    assert place.rows(GRANTED) == [
        ("ada", "admin", "entry", "view"),
        ("ada", "auth", "user", "view"),
        ("ada", "docs", "note", "view"),
        ("ada", "docs", "tag", "view"),
        ("root", "admin", "entry", "delete"),
        ("root", "auth", "user", "delete"),
        ("root", "docs", "tag", "delete"),
    ]
    assert place.rows("SELECT id, app, model FROM kinds ORDER BY 1") == [
        (1, "admin", "entry"),
        (2, "auth", "user"),
        (3, "docs", "tag"),
        (4, "docs", "note"),
    ]


def test_a_row_that_shares_a_unique_key_with_its_own_number_stays_it(place: Place) -> None:
    place.write_schema(
        "CREATE TABLE users (id int PRIMARY KEY, name text UNIQUE, email text UNIQUE);"
        "CREATE TABLE notes (id int PRIMARY KEY, user_id int REFERENCES users);"
        "INSERT INTO users VALUES (1, 'ada', 'old@example.org'), (2, 'kurt', 'new@example.org')"
    )
    place.write_source(
        "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, email TEXT);"
        "CREATE TABLE notes (id INTEGER PRIMARY KEY, user_id INTEGER);"
        "INSERT INTO users VALUES (1, 'ada', 'new@example.org'), (5, 'kurt', 'kurt@example.org');"
        "INSERT INTO notes VALUES (7, 1), (8, 5)"
    )
    place.run().succeeded()
    assert place.rows("SELECT * FROM notes ORDER BY id") == [(7, 1), (8, 2)]


def test_references_by_another_column_follow_the_row_under_its_number(place: Place) -> None:
    """Authelia's, say: what refers to a user by an identifier that PostgreSQL has given anew."""
    place.write_schema(
        "CREATE TABLE users (id int PRIMARY KEY, ident text UNIQUE, code uuid UNIQUE);"
        "CREATE TABLE consents (id int PRIMARY KEY, subject text REFERENCES users (ident),"
        " code uuid REFERENCES users (code), user_id int REFERENCES users);"
        "INSERT INTO users VALUES (1, 'seeded', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'), (3, 'same', NULL)"
    )
    source = place.write_source(
        "CREATE TABLE users (id INTEGER PRIMARY KEY, ident TEXT UNIQUE, code TEXT);"
        "CREATE TABLE consents (id INTEGER PRIMARY KEY, subject TEXT, code TEXT, user_id INTEGER);"
        "INSERT INTO users VALUES (1, 'legacy', 'A0EEBC999C0B4EF8BB6D6BB9BD380A11'), (2, 'new', NULL),"
        " (3, 'same', NULL);"
        "INSERT INTO consents VALUES (1, 'legacy', 'A0EEBC999C0B4EF8BB6D6BB9BD380A11', 1),"
        " (2, 'new', NULL, 2), (3, 'same', NULL, 3), (4, NULL, NULL, NULL)"
    )
    again = source.read_bytes()
    place.run(variables={"VERIFY": "full"}).succeeded()
    consents = "SELECT id, subject, code::text, user_id FROM consents ORDER BY id"
    assert place.rows(consents) == [
        (1, "seeded", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", 1),
        (2, "new", None, 2),
        (3, "same", None, 3),
        (4, None, None, None),
    ]
    (place.home / "again.db").write_bytes(again)
    ended = place.run("migrate", "--yes", "--json", "--sqlite-url", str(place.home / "again.db"))
    assert ended.code == 0, ended.stderr
