"""Rows that both sides seeded under different numbers, as frameworks do with their types and permissions."""

from __future__ import annotations

from tests.places import Place

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
        "INSERT INTO users VALUES (1, 'ada', 'new@example.org');"
        "INSERT INTO notes VALUES (7, 1)"
    )
    place.run().succeeded()
    assert place.rows("SELECT * FROM notes") == [(7, 1)]
