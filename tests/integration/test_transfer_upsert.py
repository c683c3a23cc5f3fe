"""Rows that meet rows: by primary key, by unique key, as a multiset; four counts that add up."""

from __future__ import annotations

from typing import Any

import pytest

from tests.places import Place

CATALOG = """
CREATE TABLE settings (key text PRIMARY KEY, value text, note text DEFAULT 'ours');
CREATE TABLE members (team text NOT NULL, person text NOT NULL, role text, UNIQUE (person, team));
CREATE TABLE visits (page text, at timestamp, weight real, raw json);
INSERT INTO settings VALUES ('a', 'seeded'), ('b', 'same'), ('z', 'only here');
INSERT INTO members VALUES ('red', 'ada', 'lead'), ('red', 'bob', 'same');
INSERT INTO visits VALUES ('/', '2024-01-01', 1.5, '{"x": 1}'), ('/', '2024-01-01', 1.5, '{"x": 1}');
"""
SOURCE = """
CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT);
CREATE TABLE members (team TEXT, person TEXT, role TEXT);
CREATE TABLE visits (page TEXT, at TEXT, weight REAL, raw TEXT);
INSERT INTO settings VALUES ('a', 'theirs'), ('b', 'same'), ('c', 'new'), ('n', NULL);
INSERT INTO members VALUES ('red', 'ada', 'chief'), ('red', 'bob', 'same'), ('blue', 'ada', NULL);
INSERT INTO visits VALUES ('/', '2024-01-01', 1.5, '{"x": 1}'), ('/', '2024-01-01', 1.5, '{"x": 1}'),
  ('/', '2024-01-01', 1.5, '{"x": 1}'), ('/b', NULL, NULL, NULL), ('/b', NULL, NULL, NULL), ('', NULL,
  NULL, NULL);
"""


@pytest.fixture
def prepared(place: Place) -> Place:
    place.write_schema(CATALOG)
    place.run("schema", "up").succeeded()
    place.write_source(SOURCE)
    return place


def counts(ended: Any) -> dict[str, tuple[int, ...]]:
    keys = ("rows", "inserted", "unchanged", "preserved", "overwritten")
    return {entry["table"]: tuple(entry[key] for key in keys) for entry in ended.find("table_loaded")}


def read_all(place: Place) -> tuple[list[Any], list[Any], list[Any]]:
    return (
        place.rows("SELECT * FROM settings ORDER BY 1"),
        place.rows("SELECT team, person, role FROM members ORDER BY 1, 2"),
        place.rows("SELECT page, count(*) FROM visits GROUP BY 1 ORDER BY 1"),
    )


VISITS = [("", 1), ("/", 3), ("/b", 2)]


def test_preserve(prepared: Place) -> None:
    ended = prepared.run().succeeded()
    assert counts(ended) == {
        "settings": (4, 2, 1, 1, 0),
        "members": (3, 1, 1, 1, 0),
        "visits": (6, 4, 2, 0, 0),
    }
    assert read_all(prepared) == (
        [
            ("a", "seeded", "ours"),
            ("b", "same", "ours"),
            ("c", "new", "ours"),
            ("n", None, "ours"),
            ("z", "only here", "ours"),
        ],
        [("blue", "ada", None), ("red", "ada", "lead"), ("red", "bob", "same")],
        VISITS,
    )


def test_overwrite(prepared: Place) -> None:
    prepared.rows("UPDATE settings SET note = 'kept' WHERE key = 'a'")
    ended = prepared.run(variables={"ON_CONFLICT": "overwrite"}).succeeded()
    assert counts(ended) == {
        "settings": (4, 2, 1, 0, 1),
        "members": (3, 1, 1, 0, 1),
        "visits": (6, 4, 2, 0, 0),
    }
    assert read_all(prepared) == (
        [
            ("a", "theirs", "kept"),
            ("b", "same", "ours"),
            ("c", "new", "ours"),
            ("n", None, "ours"),
            ("z", "only here", "ours"),
        ],
        [("blue", "ada", None), ("red", "ada", "chief"), ("red", "bob", "same")],
        VISITS,
    )


def test_fail(prepared: Place) -> None:
    before, files = prepared.describe_target(), prepared.hash_files()
    line = prepared.run(variables={"ON_CONFLICT": "fail"}).failed_with(65)
    assert line.startswith("table settings: 1 row(s) stand in PostgreSQL with other values: key=a")
    assert prepared.describe_target() == before
    assert prepared.hash_files() == files


def test_equal_rows_are_no_conflicts(prepared: Place) -> None:
    prepared.rows("DELETE FROM settings WHERE key = 'a'; DELETE FROM members WHERE person = 'ada'")
    prepared.run(variables={"ON_CONFLICT": "fail"}).succeeded()


@pytest.mark.parametrize("policy", ["preserve", "overwrite", "fail"])
def test_a_second_run_of_the_same_rows_adds_nothing(place: Place, policy: str) -> None:
    """The rows again, in a file of another fingerprint: nothing doubles, nothing conflicts."""
    place.write_schema(CATALOG.partition("INSERT")[0])
    place.run("schema", "up").succeeded()
    place.write_source(SOURCE)
    place.run().succeeded()
    before = place.describe_target()
    again = place.write_source(SOURCE + "CREATE TABLE another_fingerprint (x)", "again.db")
    ended = place.run(
        "migrate", "--yes", "--sqlite-url", str(again), variables={"ON_CONFLICT": policy}
    ).succeeded()
    assert counts(ended) == {
        "settings": (4, 0, 4, 0, 0),
        "members": (3, 0, 3, 0, 0),
        "visits": (6, 0, 6, 0, 0),
    }
    assert place.describe_target() == before


def test_some_tables_by_hand(prepared: Place) -> None:
    line = prepared.run("migrate", "--yes", "--table", "nothing").failed_with(78)
    assert line.startswith("--table: no table nothing in the source; it has: ")
    ended = prepared.run("migrate", "--yes", "--table", "visits", "--table", "members").succeeded()
    assert set(counts(ended)) == {"visits", "members"}
    assert prepared.retired() == []
    assert prepared.rows("SELECT count(*) FROM settings") == [(3,)]
    prepared.run().succeeded()
    assert read_all(prepared)[2] == VISITS
    assert len(prepared.retired()) == 1


def test_a_key_that_is_compared_loosely(place: Place) -> None:
    """Rows whose keys PostgreSQL calls equal, and a reader does not, are conflicts like others."""
    if not place.rows("SELECT 1 FROM pg_available_extensions WHERE name = 'citext'"):
        pytest.skip("this PostgreSQL comes without citext")
    place.write_schema(
        "CREATE EXTENSION citext; CREATE TABLE tags (tag citext PRIMARY KEY); INSERT INTO tags VALUES ('Red')"
    )
    place.run("schema", "up").succeeded()
    source = "CREATE TABLE tags (tag TEXT PRIMARY KEY); INSERT INTO tags VALUES ('red'), ('blue');"
    place.write_source(source)
    assert counts(place.run().succeeded()) == {"tags": (2, 1, 0, 1, 0)}
    assert place.rows("SELECT tag::text FROM tags ORDER BY 1") == [("Red",), ("blue",)]
    again = str(place.write_source(source + "CREATE TABLE empty (x)", "again.db"))
    ended = place.run("migrate", "--yes", "--sqlite-url", again, variables={"ON_CONFLICT": "overwrite"})
    assert counts(ended.succeeded()) == {"tags": (2, 0, 1, 0, 1)}
    assert place.rows("SELECT tag::text FROM tags ORDER BY 1") == [("blue",), ("red",)]


def test_padded_keys_are_equal(place: Place) -> None:
    place.write_schema(
        "CREATE TABLE codes (code char(4) PRIMARY KEY, v int); INSERT INTO codes VALUES ('ab', 1)"
    )
    place.run("schema", "up").succeeded()
    place.write_source(
        "CREATE TABLE codes (code TEXT PRIMARY KEY, v INTEGER); INSERT INTO codes VALUES ('ab', 1), ('c', 2)"
    )
    assert counts(place.run(variables={"ON_CONFLICT": "fail"}).succeeded()) == {"codes": (2, 1, 1, 0, 0)}


def test_a_collision_on_another_unique_key(place: Place) -> None:
    place.write_schema(
        "CREATE TABLE users (id int PRIMARY KEY, email text UNIQUE);"
        "INSERT INTO users VALUES (1, 'admin@example.org')"
    )
    place.run("schema", "up").succeeded()
    place.write_source(
        "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT);"
        "INSERT INTO users VALUES (7, 'admin@example.org')"
    )
    before, files = place.describe_target(), place.hash_files()
    assert "email" in place.run(variables={"ON_CONFLICT": "fail"}).failed_with(65)
    assert (place.describe_target(), place.hash_files()) == (before, files)
    ended = place.run()
    ended.succeeded()
    (event,) = ended.find("rows_stood_for")
    assert event["rows"] == 1
    assert "for which" in event["keys"]
    assert "correct" in event["remedy"]
    assert "no foreign key leads here" in event["meaning"]
    assert event["referring"] == []
    assert place.rows("SELECT id, email FROM users") == [(1, "admin@example.org")]


def test_preserved_rows_are_warned_of_with_their_keys(place: Place) -> None:
    place.write_schema(
        "CREATE TABLE users (id int PRIMARY KEY, name text); INSERT INTO users VALUES (1, 'x'), (2, 'same')"
    )
    place.run("schema", "up").succeeded()
    place.write_source(
        "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT);"
        "INSERT INTO users VALUES (1, 'legacy'), (2, 'same'), (3, 'new')"
    )
    ended = place.run()
    ended.succeeded()
    (warning,) = ended.find("rows_preserved")
    assert (warning["level"], warning["table"], warning["rows"], warning["keys"]) == (
        "warning",
        "users",
        1,
        "id=1",
    )


def test_preserved_rows_that_hardly_are_the_same_thing(place: Place) -> None:
    place.write_schema(
        "CREATE TABLE users (id int PRIMARY KEY, mail text UNIQUE, name text);"
        "CREATE TABLE notes (id int PRIMARY KEY, user_id int REFERENCES users);"
        "INSERT INTO users VALUES (1, 'new@example.org', 'x'), (2, 'b@example.org', 'x')"
    )
    place.write_source(
        "CREATE TABLE users (id INTEGER PRIMARY KEY, mail TEXT, name TEXT);"
        "CREATE TABLE notes (id INTEGER PRIMARY KEY, user_id INTEGER);"
        "INSERT INTO users VALUES (1, 'old@example.org', 'a'), (2, 'b@example.org', 'b');"
        "INSERT INTO notes VALUES (1, 1)"
    )
    ended = place.run()
    ended.succeeded()
    (warning,) = ended.find("rows_preserved")
    assert (warning["rows"], warning["other_things"]) == (2, 1)
    assert warning["referring"] == ["notes (user_id)"]


def test_rows_that_exchange_their_unique_values(place: Place) -> None:
    place.write_schema(
        "CREATE TABLE ranks (id int PRIMARY KEY, place int UNIQUE DEFERRABLE, v int);"
        "INSERT INTO ranks VALUES (1, 1), (2, 2)"
    )
    place.run("schema", "up").succeeded()
    place.write_source(
        "CREATE TABLE ranks (id INTEGER PRIMARY KEY, place INTEGER); INSERT INTO ranks VALUES (1, 2), (2, 1)"
    )
    place.run(variables={"ON_CONFLICT": "overwrite"}).succeeded()
    assert place.rows("SELECT id, place FROM ranks ORDER BY 1") == [(1, 2), (2, 1)]


def test_identities_that_are_always_generated(place: Place) -> None:
    place.write_schema(
        "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text);"
        "INSERT INTO t (v) VALUES ('seed')"
    )
    place.run("schema", "up").succeeded()
    place.write_source(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'theirs'), (5, 'five')"
    )
    place.run(variables={"ON_CONFLICT": "overwrite"}).succeeded()
    assert place.rows("SELECT * FROM t ORDER BY 1") == [(1, "theirs"), (5, "five")]
    assert place.rows("INSERT INTO t (v) VALUES ('next') RETURNING id") == [(6,)]


def test_a_stated_key(place: Place) -> None:
    place.write_schema(
        "CREATE TABLE recipes (id serial PRIMARY KEY, slug text UNIQUE NOT NULL, title text);"
        "INSERT INTO recipes VALUES (50, 'soup', 'Soup')"
    )
    place.run("schema", "up").succeeded()
    place.write_source(
        "CREATE TABLE Recipe (slug TEXT, title TEXT);"
        "INSERT INTO Recipe VALUES ('soup', 'Better soup'), ('pie', 'Pie')"
    )
    mapping = place.home / "entrypoint.toml"
    mapping.write_text('[tables.Recipe]\ntarget = "recipes"\nkey = ["slug"]\n')
    place.run(variables={"ON_CONFLICT": "overwrite", "ENTRYPOINT_CONFIG": str(mapping)}).succeeded()
    assert place.rows("SELECT id, slug, title FROM recipes ORDER BY slug") == [
        (1, "pie", "Pie"),
        (50, "soup", "Better soup"),
    ]


def test_a_nullable_unique_key_is_no_key(place: Place) -> None:
    place.write_schema("CREATE TABLE t (a int UNIQUE, v text); INSERT INTO t VALUES (NULL, 'x'), (1, 'one')")
    place.run("schema", "up").succeeded()
    place.write_source(
        "CREATE TABLE t (a INTEGER, v TEXT); INSERT INTO t VALUES (NULL, 'x'), (NULL, 'x'), (1, 'one')"
    )
    assert counts(place.run().succeeded()) == {"t": (3, 1, 2, 0, 0)}


@pytest.mark.parametrize(
    ("policy", "code", "said"),
    [
        ("preserve", 0, "users: 1 row(s) stand in PostgreSQL with other values and would be preserved"),
        ("overwrite", 0, "users: 1 row(s) stand in PostgreSQL with other values and would be overwritten"),
        ("fail", 65, "users, 1 row(s), id=1: rows stand in PostgreSQL with other values"),
    ],
)
def test_a_dry_run_foresees_what_a_run_does_about_conflicts(
    place: Place, policy: str, code: int, said: str
) -> None:
    place.write_schema(
        "CREATE TABLE users (id int PRIMARY KEY, name text); INSERT INTO users VALUES (1, 'x'), (2, 'same')"
    )
    place.run("schema", "up").succeeded()
    place.write_source(
        "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT);"
        "INSERT INTO users VALUES (1, 'legacy'), (2, 'same'), (3, 'new')"
    )
    ended = place.run("migrate", "--dry-run", variables={"ON_CONFLICT": policy})
    assert ended.code == code
    assert said in ended.stdout
    assert place.run(variables={"ON_CONFLICT": policy}).code == code
