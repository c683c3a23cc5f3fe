"""Rows of which one would stand for two, or two for one: refused, where one of them would be lost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.loading import plan_notes, run_on, write_source
from tests.servers import Database

pytestmark = pytest.mark.newest_server

CHILD = "CREATE TABLE c (id int PRIMARY KEY, t_id int REFERENCES t, words text);"
CHILD_OF_SOURCE = """
CREATE TABLE c (id INTEGER PRIMARY KEY, t_id, words);
INSERT INTO c VALUES (1, 1, 'about 1'), (2, 2, 'about 2');
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A table `t` with an `id` of its own, and what of it cannot be told."""

    target: str
    source: str
    mapping: str = ""
    keys: tuple[str, ...]
    said: str


CASES = {
    "by its key and by an index": Case(
        target="CREATE TABLE t (id serial PRIMARY KEY, slug text UNIQUE, v text);"
        "INSERT INTO t VALUES (1, 'seed', 'p')",
        source="CREATE TABLE t (id INTEGER PRIMARY KEY, slug, v);"
        "INSERT INTO t VALUES (1, 'own', 'x'), (2, 'seed', 'y')",
        keys=("id=1", "id=2"),
        said="PostgreSQL's id=1 for id=1 by its key and id=2 by t_slug_key (slug)",
    ),
    "by a key of the mapping file and by the primary key": Case(
        target="CREATE TABLE t (id serial PRIMARY KEY, slug text NOT NULL UNIQUE, v text);"
        "INSERT INTO t VALUES (1, 'seed', 'p')",
        source="CREATE TABLE t (id INTEGER PRIMARY KEY, slug, v);"
        "INSERT INTO t VALUES (1, 'own', 'x'), (2, 'seed', 'y')",
        mapping='[tables.t]\nkey = ["slug"]\n',
        keys=("slug=own", "slug=seed"),
        said="PostgreSQL's slug=seed for slug=own by t_pkey (id) and slug=seed by its key",
    ),
    "by two indexes": Case(
        target="CREATE TABLE t (id int PRIMARY KEY, e text UNIQUE, f text UNIQUE);"
        "INSERT INTO t VALUES (9, 'a', 'y')",
        source="CREATE TABLE t (id INTEGER PRIMARY KEY, e, f);"
        "INSERT INTO t VALUES (1, 'a', 'x'), (2, 'b', 'y')",
        keys=("id=1", "id=2"),
        said="PostgreSQL's id=9 for id=1 by t_e_key (e) and id=2 by t_f_key (f)",
    ),
    "two for one": Case(
        target="CREATE TABLE t (id int PRIMARY KEY, e text UNIQUE, f text UNIQUE);"
        "INSERT INTO t VALUES (8, 'a', 'x'), (9, 'b', 'y')",
        source="CREATE TABLE t (id INTEGER PRIMARY KEY, e, f);"
        "INSERT INTO t VALUES (1, 'a', 'y'), (2, 'c', 'z')",
        keys=("id=1",),
        said="id=1, for which PostgreSQL holds id=8 by t_e_key (e) and id=9 by t_f_key (f)",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_one_row_is_one_thing(database: Database, tmp_path: Path, name: str) -> None:
    case = CASES[name]
    database.execute(f"{case.target}; {CHILD}")
    before = database.execute("SELECT t::text FROM t ORDER BY 1")
    path = write_source(tmp_path / "a.db", f"{case.source}; {CHILD_OF_SOURCE}")
    mapping = tmp_path / "map.toml"
    mapping.write_text(case.mapping)
    ended = run_on(database, path, "migrate", "--dry-run", ENTRYPOINT_CONFIG=str(mapping))
    assert ended.code == 65
    assert case.said in ended.stdout
    assert "public.c (t_id)" in ended.stdout
    assert plan_notes(database, path, mapping=case.mapping)[0][0].keys == case.keys
    for policy in ("fail", "quarantine"):
        ended = run_on(database, path, "migrate", "--yes", ENTRYPOINT_CONFIG=str(mapping), ON_REJECT=policy)
        assert ended.code == 65, ended.stderr
    assert database.execute("SELECT t::text FROM t ORDER BY 1") == before
    assert database.execute("SELECT * FROM c") == []


def test_rows_that_only_changed_are_preserved(database: Database, tmp_path: Path) -> None:
    """One of each, though every value but the number is another."""
    database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, slug text UNIQUE, v text);"
        "INSERT INTO t VALUES (1, 'guest', 'p'), (2, 'admin', 'p')"
    )
    path = write_source(
        tmp_path / "a.db",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, slug, v);"
        "INSERT INTO t VALUES (1, 'member', 'x'), (3, 'admin', 'y'), (4, 'new', 'z')",
    )
    assert plan_notes(database, path)[0] == ()
    ended = run_on(database, path, "migrate", "--yes", VERIFY="full")
    assert ended.code == 0, ended.stderr
    assert database.execute("SELECT id, slug FROM t ORDER BY 1") == [(1, "guest"), (2, "admin"), (4, "new")]
