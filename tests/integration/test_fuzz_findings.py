"""What the fuzz test found, each as the smallest case that shows it."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from tests.fuzz.kinds import ICU_PRELUDE
from tests.loading import find_refusals, migrate, write_table
from tests.servers import Database


def test_percent_signs_in_names_are_no_placeholders_where_unique_keys_are_compared(
    database: Database, tmp_path: Path
) -> None:
    database.execute(
        'CREATE TABLE t ("%d" int PRIMARY KEY, "100%s" text UNIQUE); INSERT INTO t VALUES (9, \'z\')'
    )
    path = write_table(tmp_path / "s.db", 'CREATE TABLE t ("%d" INTEGER PRIMARY KEY, "100%s")', [(1, "a")])
    assert migrate(database, path).result.tables[0].inserted == 1
    assert database.execute("SELECT * FROM t ORDER BY 1") == [(1, "a"), (9, "z")]


def test_an_overwritten_row_may_refer_to_one_that_is_yet_to_be_inserted(
    database: Database, tmp_path: Path
) -> None:
    database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, boss int REFERENCES t); INSERT INTO t VALUES (1, 1)"
    )
    deferrable = (
        "SELECT conname, condeferrable FROM pg_constraint WHERE conrelid = 't'::regclass AND contype = 'f'"
    )
    before = database.execute(deferrable)
    path = write_table(tmp_path / "s.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, boss)", [(1, 2), (2, 2)])
    (result,) = migrate(database, path, ON_CONFLICT="overwrite").result.tables
    assert (result.inserted, result.overwritten) == (1, 1)
    assert database.execute("SELECT * FROM t ORDER BY 1") == [(1, 2), (2, 2)]
    assert database.execute(deferrable) == before


def test_a_foreign_key_of_a_domain_is_judged_beside_cells_the_domain_refuses(
    database: Database, tmp_path: Path
) -> None:
    database.execute(
        "CREATE DOMAIN positive AS int CHECK (value > 0);"
        "CREATE TABLE t (id positive PRIMARY KEY, boss positive REFERENCES t)"
    )
    rows = [(1, "1"), (0, "01"), ("2", -5), (3, 7)]
    path = write_table(tmp_path / "s.db", "CREATE TABLE t (id, boss)", rows)
    refusals = find_refusals(database, path)
    assert sorted((refusal.column, refusal.value) for refusal in refusals) == [
        ("boss", "-5"),
        ("boss", "7"),
        ("id", "0"),
    ]


def test_a_foreign_key_of_a_type_only_postgresql_knows_is_judged_beside_cells_it_refuses(
    database: Database, tmp_path: Path
) -> None:
    database.execute("CREATE TABLE t (id inet PRIMARY KEY, boss inet REFERENCES t)")
    rows = [("10.0.0.1", "10.0.0.1/32"), ("here", "10.0.0.1"), ("::1", "nowhere"), ("::2", "::3")]
    path = write_table(tmp_path / "s.db", "CREATE TABLE t (id, boss)", rows)
    refusals = find_refusals(database, path)
    assert sorted(str(refusal.value) for refusal in refusals) == ["::3", "here", "nowhere"]


def test_percent_signs_in_the_names_of_types_are_no_placeholders(database: Database, tmp_path: Path) -> None:
    database.execute(
        "CREATE TYPE \"%s\" AS ENUM ('a', 'b'); CREATE DOMAIN \"%d\" AS text CHECK (value <> 'no');"
        'CREATE TABLE t (id "%s" PRIMARY KEY, other "%s" REFERENCES t, word "%d" UNIQUE, words "%s"[]);'
        "INSERT INTO t VALUES ('b', NULL, 'w')"
    )
    ddl = "CREATE TABLE t (id, other, word, words)"
    path = write_table(tmp_path / "s.db", ddl, [("a", b"b", "v", '["a"]'), ("b", None, "w", None)])
    (result,) = migrate(database, path, VERIFY="full").result.tables
    assert (result.inserted, result.unchanged) == (1, 1)
    path = write_table(tmp_path / "s.db", ddl, [("a", "b", "no", '["c"]')])
    assert [refusal.column for refusal in find_refusals(database, path)] == ["word", "words"]


@pytest.mark.parametrize("type_name", ["citext", "text COLLATE loose", "char(4) COLLATE loose"])
def test_a_reference_that_only_a_wide_equality_satisfies_is_no_orphan(
    database: Database, tmp_path: Path, type_name: str
) -> None:
    try:
        database.execute(ICU_PRELUDE.format(schema="public"))
    except psycopg.errors.FeatureNotSupported:
        pytest.skip("this PostgreSQL has no ICU and no citext")
    database.execute(
        f"CREATE TABLE t (n int, id {type_name}, boss {type_name},"
        " PRIMARY KEY (n, id), FOREIGN KEY (n, boss) REFERENCES t)"
    )
    rows = [(1, "Ada", "ADA"), (1, "Max", "ada"), (2, "Eva", "ada"), (1, "Leo", "eva")]
    path = write_table(tmp_path / "s.db", "CREATE TABLE t (n, id, boss)", rows)
    (refusal,) = find_refusals(database, path)
    assert (refusal.column, refusal.count) == ("n, boss", 2)
    path = write_table(tmp_path / "s.db", "CREATE TABLE t (n, id, boss)", rows[:2])
    (result,) = migrate(database, path, VERIFY="full").result.tables
    assert result.inserted == 2


@pytest.mark.parametrize("key", ["", " PRIMARY KEY"])
def test_an_empty_text_that_is_null_for_bytes_is_verified_as_null(
    database: Database, tmp_path: Path, key: str
) -> None:
    database.execute(f"CREATE TABLE t (id int{key}, a bytea)")
    rows = [(1, ""), (2, b""), (3, "b"), (4, None)]
    path = write_table(tmp_path / "s.db", "CREATE TABLE t (id, a)", rows)
    migrate(database, path, VERIFY="full", mapping='[tables.t.columns]\na = { empty = "null" }')
    assert database.execute("SELECT * FROM t ORDER BY 1") == [(1, None), (2, b""), (3, b"b"), (4, None)]
