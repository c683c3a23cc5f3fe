"""What stretches the path: big cells, very many columns, one column, and texts that look like COPY's own."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest

from tests.loading import find_refusals, migrate, write_table
from tests.servers import Database

MIB = 1024 * 1024


def test_big_cells_pass_unchanged(database: Database, tmp_path: Path) -> None:
    noise = random.Random(7).randbytes(5 * MIB)
    texts = ["x" * (5 * MIB), 'é\n"\\.\r' * MIB, noise.decode("latin-1").replace("\x00", "\x01")]
    rows = [(key, text, noise[key:]) for key, text in enumerate(texts)]
    database.execute("CREATE TABLE t (id int PRIMARY KEY, v text, b bytea)")
    migrate(database, write_table(tmp_path / "s.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, v, b)", rows))
    found = database.execute("SELECT md5(v), md5(b) FROM t ORDER BY id")
    assert found == [
        (hashlib.md5(text.encode()).hexdigest(), hashlib.md5(content).hexdigest())
        for _, text, content in rows
    ]


def test_big_cells_that_postgresql_judges(database: Database, tmp_path: Path) -> None:
    database.execute(
        "CREATE DOMAIN long AS text CHECK (length(value) > 3); CREATE TABLE t (id int, v long, a int[])"
    )
    numbers = "[" + ",".join(map(str, range(30_000))) + "]"
    rows = [(key, "x" * MIB + str(key), numbers) for key in range(20)]
    migrate(database, write_table(tmp_path / "s.db", "CREATE TABLE t (id, v, a)", rows))
    assert database.execute("SELECT count(DISTINCT v), min(cardinality(a)) FROM t") == [(20, 30_000)]


@pytest.mark.parametrize("type_name", ["int", "boolean", "timestamp"])
def test_fifteen_hundred_columns(type_name: str, database: Database, tmp_path: Path) -> None:
    count = 1500
    names = [f"c{position}" for position in range(count)]
    database.execute(f"CREATE TABLE t ({', '.join(f'{name} {type_name}' for name in names)})")
    ddl = f"CREATE TABLE t ({', '.join(names)})"
    cells: list[object] = ["2024-01-02" if type_name == "timestamp" else 1] * count
    if type_name == "timestamp":  # a row of PostgreSQL's fits in a page: 8160 bytes
        cells[1:700] = [None] * 699
    cells[700] = 0
    path = write_table(tmp_path / "s.db", ddl, [cells, [None] * count])
    migrate(database, path)
    assert database.execute("SELECT count(*), count(c0), count(c700), count(c1499) FROM t") == [(2, 1, 1, 1)]
    cells[1300] = "no"
    if type_name != "boolean":
        write_table(path, ddl, [cells])
        (found,) = find_refusals(database, path)
        assert (found.column, found.count) == ("c1300", 1)


def test_a_column_of_integers_and_nothing(database: Database, tmp_path: Path) -> None:
    database.execute("CREATE TABLE t (v int)")
    migrate(database, write_table(tmp_path / "s.db", "CREATE TABLE t (v)", [(None,), (1,), (None,)]))
    assert database.execute("SELECT v FROM t ORDER BY ctid") == [(None,), (1,), (None,)]


def test_citext_keeps_case_and_finds_without(database: Database, tmp_path: Path) -> None:
    if not database.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'citext'"):
        pytest.skip("this server has no citext")
    database.server.execute("CREATE EXTENSION citext", database=database.name)
    database.execute("CREATE TABLE t (id int PRIMARY KEY, v citext)")
    path = write_table(
        tmp_path / "s.db",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v)",
        [(1, "ÄbC"), (2, b"x"), (3, 5), (4, "")],
    )
    migrate(database, path)
    assert database.execute("SELECT v::text FROM t ORDER BY id") == [("ÄbC",), ("x",), ("5",), ("",)]
    assert database.execute("SELECT id FROM t WHERE v = 'äBc'") == [(1,)]
    refused = write_table(tmp_path / "r.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, v)", [(1, b"\xff")])
    assert [one.reason for one in find_refusals(database, refused)] == [
        "not valid UTF-8 (byte 0xff at position 0)"
    ]


def test_ltree_and_hstore_are_judged_by_their_own_input(database: Database, tmp_path: Path) -> None:
    available = {row[0] for row in database.execute("SELECT name FROM pg_available_extensions")}
    if not {"ltree", "hstore", "cube"} <= available:
        pytest.skip("this server has no ltree, hstore and cube")
    for name in ("ltree", "hstore", "cube"):
        database.server.execute(f"CREATE EXTENSION {name}", database=database.name)
    database.execute("CREATE TABLE t (id int PRIMARY KEY, l ltree, h hstore, c cube)")
    good = (1, "a.b", '"k"=>"v"', "(1,2)")
    rows = [good, (2, "a..b", "k", "(1")]
    ddl = "CREATE TABLE t (id INTEGER PRIMARY KEY, l, h, c)"
    found = find_refusals(database, write_table(tmp_path / "s.db", ddl, rows))
    assert [(one.column, one.keys) for one in found] == [(name, ("id=2",)) for name in "lhc"]
    migrate(database, write_table(tmp_path / "good.db", ddl, [good]))
    assert database.execute("SELECT l::text, h -> 'k', c::text FROM t") == [("a.b", "v", "(1, 2)")]


def test_json_that_only_jsonb_refuses(database: Database, tmp_path: Path) -> None:
    documents = ['"\\u0000"', '"\\ud800"', "[1e131072]", "[1e-16384]", "1" * 131073]
    database.execute("CREATE TABLE t (id int PRIMARY KEY, v json)")
    rows = list(enumerate(documents))
    path = write_table(tmp_path / "s.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, v)", rows)
    migrate(database, path)
    assert [row[0] for row in database.execute("SELECT v::text FROM t ORDER BY id")] == documents
    for document in documents:
        with pytest.raises(Exception, match=r"Unicode|overflows"):
            database.execute(f"SELECT '{document}'::jsonb")
    database.execute("DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY, v jsonb)")
    found = find_refusals(database, path)
    assert sum(one.count for one in found) == len(documents)


@pytest.mark.parametrize("depth", [7, 600, 1500, 100_000])
def test_arrays_nested_too_deeply_are_refused(depth: int, database: Database, tmp_path: Path) -> None:
    database.execute("CREATE TABLE t (id int PRIMARY KEY, a int[])")
    deep = "[" * depth + "1" + "]" * depth
    path = write_table(tmp_path / "s.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, a)", [(1, deep)])
    (refusal,) = find_refusals(database, path)
    assert (refusal.column, refusal.count) == ("a", 1)
    assert len(refusal.reason) <= 200


def test_nesting_beyond_reason_is_refused_not_a_crash(database: Database, tmp_path: Path) -> None:
    database.execute("CREATE TABLE t (id int PRIMARY KEY, v jsonb, a int[])")
    deep = "[" * 100_000 + "]" * 100_000
    path = write_table(tmp_path / "s.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, v, a)", [(1, deep, deep)])
    found = find_refusals(database, path)
    assert [(one.column, one.count) for one in found] == [("v", 1), ("a", 1)]


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("2024-03-31 02:30:00", "2024-03-31 01:30:00"),  # skipped: by the offset before, +01
        ("2024-10-27 02:30:00", "2024-10-27 01:30:00"),  # twice: by the offset after, +01
        ("2024-07-01 12:00:00", "2024-07-01 10:00:00"),
        ("2024-07-01 12:00:00Z", "2024-07-01 12:00:00"),
        ("1890-01-01 00:00:00", "1889-12-31 23:06:32"),  # local mean time, +00:53:28
        ("0001-01-01 00:53:28", "0001-01-01 00:00:00"),
    ],
)
def test_naive_times_are_of_the_sources_zone(
    written: str, stored: str, database: Database, tmp_path: Path
) -> None:
    database.execute("CREATE TABLE t (v timestamptz)")
    path = write_table(tmp_path / "s.db", "CREATE TABLE t (v)", [(written,)])
    migrate(database, path, SOURCE_TIMEZONE="Europe/Berlin")
    assert database.execute("SELECT (v AT TIME ZONE 'UTC')::text FROM t") == [(stored,)]


def test_two_units_are_refused_with_the_line_that_settles_it(database: Database, tmp_path: Path) -> None:
    database.execute("CREATE TABLE t (id int PRIMARY KEY, v timestamptz)")
    path = write_table(
        tmp_path / "s.db",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v)",
        [(1, 1700000000), (2, 1700000000000), (3, "2024-01-02 03:04:05")],
    )
    (found,) = find_refusals(database, path)
    assert (found.column, found.count, found.keys, found.value) == ("v", 2, ("id=1", "id=2"), "1700000000")
    assert "two units" in found.reason
    assert found.reason.endswith("; correct those in seconds first: id=1")
    assert 'unit = "ms"' in found.remedy
    migrate(database, path, mapping='[tables.t.columns]\nv = { unit = "ms" }')
    assert database.execute("SELECT count(*) FROM t") == [(3,)]
