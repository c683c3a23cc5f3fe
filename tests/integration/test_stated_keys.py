"""The key that the mapping file states: rows it leads to no single row for are refused before the load."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.loading import find_refusals, migrate, write_table
from tests.places import Place
from tests.servers import Database

BY_SLUG = '[tables.t]\nkey = ["slug"]\n'
SOURCE = "CREATE TABLE t (id INTEGER PRIMARY KEY, slug, v)"


@pytest.mark.parametrize("standing", ["", "INSERT INTO t VALUES (9, NULL, 'p'), (10, NULL, 'q')"])
@pytest.mark.parametrize("unique", ["", "UNIQUE"])
def test_null_equals_nothing(database: Database, tmp_path: Path, standing: str, unique: str) -> None:
    database.execute(f"CREATE TABLE t (id serial PRIMARY KEY, slug text {unique}, v text); {standing}")
    rows = [(1, None, "x"), (2, "b", "y"), (3, None, "z")]
    path = write_table(tmp_path / "a.db", SOURCE, rows)
    (refusal,) = find_refusals(database, path, mapping=BY_SLUG)
    assert (refusal.column, refusal.count, refusal.keys) == ("slug", 2, ("id=1", "id=3"))
    assert "cannot be matched by slug, which is NULL" in refusal.reason
    (taken,) = migrate(database, path, mapping=BY_SLUG, ON_REJECT="quarantine", VERIFY="full").result.tables
    assert (taken.inserted, taken.preserved, taken.quarantined) == (1, 0, 2)
    assert database.execute("SELECT v FROM t WHERE slug IS NOT NULL") == [("y",)]


def test_nulls_are_alike_where_the_index_says_so(database: Database, tmp_path: Path) -> None:
    database.execute("CREATE TABLE t (id serial PRIMARY KEY, slug text UNIQUE NULLS NOT DISTINCT, v text)")
    database.execute("INSERT INTO t VALUES (9, NULL, 'p')")
    path = write_table(tmp_path / "a.db", SOURCE, [(1, None, "x")])
    assert find_refusals(database, path, mapping=BY_SLUG) == ()
    (taken,) = migrate(database, path, mapping=BY_SLUG).result.tables
    assert (taken.inserted, taken.preserved) == (0, 1)


def test_empty_text_that_stands_for_null(database: Database, tmp_path: Path) -> None:
    database.execute("CREATE TABLE t (id serial PRIMARY KEY, slug text, v text)")
    path = write_table(tmp_path / "a.db", SOURCE, [(1, "", "x"), (2, "b", "y")])
    mapping = BY_SLUG + '[tables.t.columns]\nslug = { empty = "null" }\n'
    (refusal,) = find_refusals(database, path, mapping=mapping)
    assert refusal.keys == ("id=1",)


def test_several_standing_rows_for_one(database: Database, tmp_path: Path) -> None:
    database.execute(
        "CREATE TABLE t (id serial PRIMARY KEY, slug text, v text);"
        "INSERT INTO t VALUES (8, 'a', 'p'), (9, 'a', 'q'), (10, NULL, ''), (11, NULL, ''), (12, 'c', '')"
    )
    rows = [(1, "a", "x"), (2, "b", "y"), (3, "c", "")]
    path = write_table(tmp_path / "a.db", SOURCE, rows)
    (refusal,) = find_refusals(database, path, mapping=BY_SLUG)
    assert (refusal.column, refusal.value, refusal.count, refusal.keys) == ("slug", "a", 1, ("id=1",))
    assert "several rows of public.t have this slug" in refusal.reason
    (taken,) = migrate(database, path, mapping=BY_SLUG, ON_REJECT="quarantine").result.tables
    assert (taken.inserted, taken.unchanged, taken.preserved, taken.quarantined) == (1, 0, 1, 1)


def test_a_key_of_several_columns(database: Database, tmp_path: Path) -> None:
    database.execute(
        "CREATE TABLE t (id serial PRIMARY KEY, slug text, v text);"
        "INSERT INTO t VALUES (8, 'a', 'p'), (9, 'a', 'p'), (10, 'a', 'q')"
    )
    rows = [(1, "a", "p"), (2, "a", "q"), (3, "b", None), (4, None, None)]
    path = write_table(tmp_path / "a.db", SOURCE, rows)
    refusals = find_refusals(database, path, mapping='[tables.t]\nkey = ["slug", "v"]\n')
    assert [(refusal.column, refusal.value, refusal.count) for refusal in refusals] == [
        ("slug", "NULL", 1),
        ("v", "NULL", 2),
        ("slug, v", "a, p", 1),
    ]


RENUMBERED = """
CREATE TABLE r (id serial PRIMARY KEY, slug text UNIQUE, v text, up int REFERENCES r);
CREATE TABLE c (id int PRIMARY KEY, r int REFERENCES r, s text REFERENCES r (slug));
INSERT INTO r VALUES (1, 'q'), (2, 'z');
SELECT setval('r_id_seq', 2);
"""
NUMBERED = """
CREATE TABLE r (id INTEGER PRIMARY KEY, slug, v, up);
CREATE TABLE c (id INTEGER PRIMARY KEY, r, s);
INSERT INTO r VALUES (1, 'a', '', NULL), (2, 'b', '', 1);
INSERT INTO c VALUES (1, 1, 'a'), (2, 2, 'b'), (3, NULL, 'a');
"""
RENUMBERING = '[tables.r]\nkey = ["slug"]\n[tables.r.columns]\nid = { ignore = true }\n'


@pytest.mark.parametrize("standing", ["", "DELETE FROM r"])
def test_references_to_ids_that_are_not_taken(place: Place, standing: str) -> None:
    """PostgreSQL numbers the rows anew, so that the numbers would lead to others of its rows, or to none."""
    place.rows(RENUMBERED + standing)
    place.write_source(NUMBERED)
    (place.home / "map.toml").write_text(RENUMBERING)
    variables = {"ENTRYPOINT_CONFIG": str(place.home / "map.toml")}
    ended = place.run("migrate", "--dry-run", "--json", variables=variables)
    assert ended.code == 65
    refusals = json.loads(ended.stdout)["refusals"]
    assert [(found["table"], found["column"], found["count"], found["keys"]) for found in refusals] == [
        ("r", "up", 1, ["id=2"]),
        ("c", "r", 2, ["id=1", "id=2"]),
    ]
    assert all("id is not taken from the source" in found["reason"] for found in refusals)
    place.run(variables=variables | {"ON_REJECT": "quarantine", "VERIFY": "full"}).succeeded()
    assert place.rows("SELECT id, r, s FROM c") == [(3, None, "a")]
    assert place.rows("SELECT id, slug, up FROM r WHERE slug IN ('a', 'b')") == [(3, "a", None)]


def test_references_by_what_is_taken(place: Place) -> None:
    place.rows(RENUMBERED)
    place.write_source(NUMBERED)
    ignored = "up = { ignore = true }\n[tables.c.columns]\nr = { ignore = true }\n"
    (place.home / "map.toml").write_text(RENUMBERING + ignored)
    variables = {"ENTRYPOINT_CONFIG": str(place.home / "map.toml"), "VERIFY": "full"}
    place.run(variables=variables).succeeded()
    assert place.rows("SELECT id, r, s FROM c ORDER BY 1") == [(1, None, "a"), (2, None, "b"), (3, None, "a")]
