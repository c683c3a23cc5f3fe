"""The key that the mapping file states: rows it leads to no single row for are refused before the load."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.loading import find_refusals, migrate, write_table
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
