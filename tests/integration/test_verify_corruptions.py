"""Verification finds every corruption of a cell or a row, whatever the table and the way it is compared."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from entrypoint.errors import SourceRefusedError
from entrypoint.transfer import verify
from tests.servers import Database
from tests.verifying import Loaded, loaded

pytestmark = pytest.mark.newest_server

COLUMNS = (
    "id int {key}, flag boolean, n bigint, price numeric, ratio float8, single float4, name text,"
    " code char(4), title varchar(20), blank text, absent text, raw bytea, doc jsonb, plain json,"
    " docs jsonb[], tags text[], nums int[], seen timestamptz,"
    " made timestamp, day date, clock time, token uuid, span interval"
)
ROW: tuple[Any, ...] = (
    *(1, 1, -1, "1.50", 0.1, 0.5, "é", "ab", "title", "", None, b"\x00\x01", '{"b": 1.10, "a": [true, 1]}'),
    *('{"k" : 1}', '[{"x": 1.50}, [1], "y", null]', '["x", {"n" : 1.50}, "z"]', "[1, 2]"),
    *(1700000000123, "2024-02-29T12:00:00.123456", "2024-02-29", "23:59:59.999999"),
    *("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "1 day"),
)
OTHER = (2, *ROW[1:6], "other", *ROW[7:])

# By column: what is done to the cell of row 1, and how the difference has to be shown.
CELLS: dict[str, tuple[str, str]] = {
    "flag": ("NULL", "'true' in the source, NULL in PostgreSQL"),
    "n": ("-2", "'-1' in the source, '-2' in PostgreSQL"),
    "price": ("1.5000000000000000000000000001", "'1.50' in the source"),
    "ratio": ("0.10000000000000002", "'0.1' in the source, '0.10000000000000002' in PostgreSQL"),
    "single": ("0.50000006", "'0.5' in the source, '0.50000006'"),
    "name": ("normalize(name, NFD)", r"'\xe9' in the source, 'e\u0301' in PostgreSQL"),
    "title": ("title || ' '", "'title' in the source, 'title ' in PostgreSQL"),
    "blank": ("NULL", "'' in the source, NULL in PostgreSQL"),
    "absent": ("''", "NULL in the source, '' in PostgreSQL"),
    "raw": ("'\\x0000'", r"'\x0001' in the source, '\x0000' in PostgreSQL"),
    "doc": ("jsonb_set(doc, '{a,1}', 'true')", "[true,1]"),
    "plain": ("'{\"k\":1}'", "'{\"k\" : 1}' in the source"),
    "docs": ("docs[1:3] || '{\"null\"}'::jsonb[]", "NULL"),
    "tags": ("ARRAY['x', '{\"n\": 1.50}', 'z']", ""),
    "nums": ("ARRAY[2, 1]", "'{1,2}' in the source, '{2,1}' in PostgreSQL"),
    "seen": (
        "seen + interval '1 microsecond'",
        "'2023-11-14 22:13:20.123000+00' in the source, '2023-11-14 22:13:20.123001+00' in PostgreSQL",
    ),
    "made": ("'-infinity'", "'2024-02-29 12:00:00.123456' in the source"),
    "day": ("day + 1", "'2024-02-29' in the source, '2024-03-01' in PostgreSQL"),
    "clock": ("'24:00'", "'23:59:59.999999' in the source"),
    "token": ("'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12'", "a11' in the source"),
    "span": ("'24 hours'", "'1 day' in the source, '24:00:00' in PostgreSQL"),
}
ROWS: dict[str, str] = {
    "a lost row": "DELETE FROM t WHERE id = 2",
    "a row too many": "INSERT INTO t SELECT (jsonb_populate_record(t, '{\"id\": 3}')).* FROM t WHERE id = 2",
    "a row that stands for another": "UPDATE t SET id = 3 WHERE id = 2",
    "two rows swapped": "UPDATE t SET name = CASE id WHEN 1 THEN 'other' ELSE 'é' END",
    "two cells swapped": "UPDATE t SET title = name, name = title WHERE id = 1",
}
MEANINGLESS = (
    "UPDATE t SET code = code || ' ', price = 1.5, doc = '{\"a\": [true, 1.0], \"b\": 1.1}',"
    " docs = docs, seen = seen AT TIME ZONE 'UTC' AT TIME ZONE 'UTC'"
)
KEYS = {"keyed": "PRIMARY KEY", "keyless": ""}


def write_source(path: Path, *rows: tuple[Any, ...], more: str = "") -> Path:
    names = [part.split()[0] for part in COLUMNS.replace("{key}", "").split(", ")]
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"CREATE TABLE t ({', '.join(names)})")
        connection.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(names))})", rows)
        connection.executescript(more)
    return path


def find(load: Loaded, statement: str, mode: Any = "full") -> str | None:
    """Corrupt, verify, undo; return what verification says, None where it finds nothing."""
    with load.connection.transaction(force_rollback=True):
        load.connection.execute(statement.encode())
        try:
            load.verify(mode)
        except SourceRefusedError as refused:
            return str(refused)
    return None


@pytest.mark.parametrize("mode", ["full", "auto"])
@pytest.mark.parametrize("kind", KEYS)
def test_every_corruption_is_found_and_named(
    database: Database, tmp_path: Path, kind: str, mode: str
) -> None:
    database.execute(f"CREATE TABLE t ({COLUMNS.format(key=KEYS[kind])})")
    key = "id=1" if kind == "keyed" else "no key; id='1'"
    with loaded(database, write_source(tmp_path / "a.db", ROW, OTHER)) as load:
        assert find(load, MEANINGLESS, mode) is None
        for column, (value, shown) in CELLS.items():
            told = find(load, f"UPDATE t SET {column} = {value} WHERE id = 1", mode)
            assert told is not None, column
            assert f"1 of 2 row(s) of t differ: t.{column} ({key}" in told, told
            assert shown in told
        for name, statement in ROWS.items():
            assert find(load, statement, mode) is not None, name
        assert find(load, "SELECT 1", mode) is None


def test_a_redirected_reference_is_verified(database: Database, tmp_path: Path) -> None:
    """Rows that refer to one that PostgreSQL holds under another key are expected to follow it."""
    database.execute(
        "CREATE TABLE person (id bytea PRIMARY KEY, mail text UNIQUE);"
        "CREATE TABLE note (id int PRIMARY KEY, person bytea REFERENCES person, body text);"
        "INSERT INTO person VALUES ('\\x0a', 'a@x'), ('\\x0c', 'c@x')"
    )
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        connection.executescript(
            "CREATE TABLE person (id PRIMARY KEY, mail); CREATE TABLE note (id PRIMARY KEY, person, body);"
            "INSERT INTO person VALUES (x'01', 'a@x'), (x'02', 'b@x');"
            "INSERT INTO note VALUES (1, x'01', 'follows'), (2, x'02', 'stays')"
        )
    with loaded(database, tmp_path / "a.db") as load:
        rows = load.connection.execute("SELECT encode(person, 'hex') FROM note ORDER BY id").fetchall()
        assert rows == [("0a",), ("02",)]
        assert find(load, "SELECT 1") is None
        told = find(load, "UPDATE note SET person = '\\x0c' WHERE id = 1")
        assert told is not None
        assert r"note.person (id=1): '\x0a' in the source, '\x0c' in PostgreSQL" in told
        assert find(load, "UPDATE note SET person = '\\x0a' WHERE id = 2") is not None


def test_neighbours_of_quarantined_rows_are_verified(database: Database, tmp_path: Path) -> None:
    database.execute(f"CREATE TABLE t ({COLUMNS.format(key='PRIMARY KEY')})")
    bad = (3, "maybe", *ROW[2:])
    path = write_source(tmp_path / "a.db", ROW, bad, OTHER)
    with loaded(database, path, ON_REJECT="quarantine") as load:
        assert [table.rows_taken for table in load.plan.tables] == [2]
        assert find(load, "SELECT 1") is None
        for mode in ("full", "auto", "counts"):
            told = find(load, "INSERT INTO t (id) VALUES (3)", mode)
            assert told is not None, mode
            assert "holds 3 rows where 0 stood and 2 of 2 were inserted" in told
        assert "t.n (id=2)" in (find(load, "UPDATE t SET n = 0 WHERE id = 2") or "")


@pytest.mark.parametrize("policy", ["preserve", "overwrite"])
def test_rows_that_stood_are_verified(database: Database, tmp_path: Path, policy: str) -> None:
    """Preserved rows have to be what they were, overwritten ones what the source says."""
    database.execute(
        f"CREATE TABLE t ({COLUMNS.format(key='PRIMARY KEY')});"
        "INSERT INTO t (id, name) VALUES (1, 'ours'), (7, 'ours too')"
    )
    with loaded(database, write_source(tmp_path / "a.db", ROW, OTHER), ON_CONFLICT=policy) as load:
        (counts,) = load.result.tables
        assert (counts.preserved, counts.overwritten) == ((1, 0) if policy == "preserve" else (0, 1))
        assert find(load, "SELECT 1") is None
        for statement in (
            "UPDATE t SET name = 'bent' WHERE id = 1",
            "UPDATE t SET name = 'bent' WHERE id = 2",
            "UPDATE t SET name = 'bent' WHERE id = 7",
            "DELETE FROM t WHERE id = 1; INSERT INTO t (id, name) VALUES (8, 'instead')",
            "DELETE FROM t WHERE id = 7; INSERT INTO t (id, name) VALUES (8, 'instead')",
        ):
            assert find(load, statement) is not None, statement
        told = find(load, "UPDATE t SET name = 'bent' WHERE id = 7", "counts")
        assert told is not None
        assert "2 rows of public.t were written where 1 were inserted" in told or policy == "overwrite"


def test_rows_that_only_equal_the_source_s_are_conflicts(database: Database, tmp_path: Path) -> None:
    """`=` holds for 0 and -0, for 1 day and 24 hours, and for what a collation takes for the same."""
    collation = 'COLLATE "C"'
    with suppress(psycopg.errors.FeatureNotSupported):  # a server without ICU
        database.execute(
            "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level1', deterministic = false)"
        )
        collation = "COLLATE loose"
    database.execute(
        f"CREATE TABLE t (id int PRIMARY KEY, f float8, i interval, c text {collation}, n numeric, d jsonb);"
        "INSERT INTO t VALUES (1, 0, NULL, NULL, NULL, NULL), (2, NULL, '24:00', NULL, NULL, NULL),"
        " (3, NULL, NULL, 'ada', NULL, NULL), (4, NULL, NULL, NULL, 1.50, '[1.50, true]')"
    )
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection, connection:
        connection.executescript(
            "CREATE TABLE t (id PRIMARY KEY, f, i, c, n, d); INSERT INTO t VALUES (1, -0.0, NULL, NULL, NULL,"
            " NULL), (2, NULL, '1 day', NULL, NULL, NULL), (3, NULL, NULL, 'ADA', NULL, NULL),"
            " (4, NULL, NULL, NULL, 1.5, '[1.5,true]')"
        )
    with loaded(database, tmp_path / "a.db", ON_CONFLICT="overwrite") as load:
        (counts,) = load.result.tables
        assert (counts.overwritten, counts.unchanged) == (3, 1)
        assert find(load, "SELECT 1") is None
    with loaded(database, tmp_path / "a.db") as load:
        assert [table.preserved for table in load.result.tables] == [3]
        assert find(load, "SELECT 1") is None


def test_a_constant_is_verified(database: Database, tmp_path: Path) -> None:
    database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, owner int NOT NULL, kind char(3) NOT NULL);"
        "INSERT INTO t VALUES (1, 2, 'abc')"
    )
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection, connection:
        connection.executescript("CREATE TABLE t (id PRIMARY KEY); INSERT INTO t VALUES (1), (2)")
    mapping = '[tables.t.columns]\nowner = { default = " 1" }\nkind = { default = "x" }'
    with loaded(database, tmp_path / "a.db", mapping=mapping) as load:
        assert [table.preserved for table in load.result.tables] == [1]
        assert find(load, "SELECT 1") is None
        assert "t.owner (id=2): '1' in the source, '3'" in (
            find(load, "UPDATE t SET owner = 3 WHERE id = 2") or ""
        )


# --- the plan ------------------------------------------------------------------------------------


def test_a_plan_that_leaves_something_out_is_found(database: Database, tmp_path: Path) -> None:
    database.execute("CREATE TABLE t (id int PRIMARY KEY, a text, b text, gone text); CREATE TABLE u (x int)")
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection, connection:
        connection.executescript(
            "CREATE TABLE t (id PRIMARY KEY, a, b, gone); CREATE TABLE u (x);"
            "INSERT INTO t VALUES (1, 'a', 'b', NULL); INSERT INTO u VALUES (1)"
        )
    with loaded(database, tmp_path / "a.db") as load:
        tables = {table.source.name: table for table in load.plan.tables}
        identity, a, b, gone = tables["t"].columns
        astray = (identity, replace(a, target=b.target), replace(b, target=a.target), gone)
        for columns, told in {
            (identity, a, gone): "column t.b holds data and was not loaded",
            astray: "column t.a went into b, and there is a",
            (identity, a, replace(b, target=a.target), gone): "several columns went into public.t.a",
        }.items():
            plan = replace(load.plan, tables=(replace(tables["t"], columns=columns), *load.plan.tables[1:]))
            with pytest.raises(SourceRefusedError, match=told):
                load.verify("counts", plan=plan)
        load.verify("full", plan=_leave_out(load, "t", columns=(identity, a, b)))  # only NULL in it
        with pytest.raises(SourceRefusedError, match="table u holds rows and was not loaded"):
            load.verify("counts", plan=_leave_out(load, "u"))


def _leave_out(load: Loaded, name: str, *, columns: Any = None) -> Any:
    kept = (table for table in load.plan.tables if columns or table.source.name != name)
    return replace(
        load.plan,
        tables=tuple(
            replace(table, columns=columns) if columns and table.source.name == name else table
            for table in kept
        ),
    )


# --- samples -------------------------------------------------------------------------------------

SHAPES = {
    "keyed": ("id int PRIMARY KEY", "id INTEGER PRIMARY KEY", ""),
    "without rowid": ("id int PRIMARY KEY", "id INTEGER PRIMARY KEY", "WITHOUT ROWID"),
    "keyless": ("id int", "id", ""),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_sample_finds_a_column_that_is_wrong_throughout(
    database: Database, tmp_path: Path, shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, declared, option = SHAPES[shape]
    database.execute(f"CREATE TABLE t ({target}, at timestamptz, note text, doc json, f float8)")
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection, connection:
        connection.execute(f"CREATE TABLE t ({declared}, at, note, doc, f) {option}")
        connection.execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) INSERT INTO t"
            " SELECT i, 1700000000 + i, iif(i % 3, 'note ' || i, NULL), '{ \"i\":' || i || '}', i / 7.0"
            " FROM n"
        )
    monkeypatch.setattr(verify, "_FREE_SECONDS", 0)
    monkeypatch.setattr(verify, "_SHARE_OF_LOAD", 0)
    with loaded(database, tmp_path / "a.db") as load:
        verified = load.verify("auto")
        assert verified["tables"] == {"t": "sample"}
        assert verified["cells"] == 200 * 5
        for change in ("at = at + interval '1 hour'", "note = note || '.'", "f = f + 1e-9"):
            told = find(load, f"UPDATE t SET {change}", "auto")
            assert told is not None, change
            assert " of 200 row(s) of t differ: t" in told
        told = find(load, "UPDATE t SET at = at + interval '1 hour'", "auto")
        assert told is not None
        assert "t.at (id=" in told or shape == "keyless"


def test_full_gives_way_to_a_sample_once_time_is_up(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The estimate may be wrong; the limit holds all the same, and small tables come first."""
    database.execute(
        "CREATE TABLE big (id int PRIMARY KEY, a int); CREATE TABLE loose (a int); CREATE TABLE small (a int)"
    )
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection, connection:
        connection.executescript(
            "CREATE TABLE big (id INTEGER PRIMARY KEY, a); CREATE TABLE loose (a); CREATE TABLE small (a);"
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)"
            " INSERT INTO big SELECT i, i FROM n; INSERT INTO loose SELECT a FROM big;"
            "INSERT INTO small VALUES (1)"
        )
    monkeypatch.setattr(verify, "_SECONDS_A_CELL", 0)
    monkeypatch.setattr(verify, "_FREE_SECONDS", 0.03)
    monkeypatch.setattr(verify, "_SHARE_OF_LOAD", 0)
    with loaded(database, tmp_path / "a.db") as load:
        assert load.verify("auto")["tables"] == {"big": "sample", "loose": "sample", "small": "full"}
        assert load.verify("full")["tables"] == {"big": "full", "loose": "full", "small": "full"}
        assert load.verify("counts")["tables"] == {"big": "counts", "loose": "counts", "small": "counts"}


def test_rows_that_others_commit_meanwhile_are_not_taken_for_its_own(
    database: Database, tmp_path: Path
) -> None:
    """They have a later number than the transaction that finds them, and were not written by it."""
    database.execute("CREATE TABLE t (id int PRIMARY KEY, a text)")
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection, connection:
        connection.executescript(
            "CREATE TABLE t (id PRIMARY KEY, a); INSERT INTO t VALUES (1, 'x'), (2, 'y')"
        )

    def interfere(connection: psycopg.Connection[Any]) -> None:
        connection.execute("SELECT pg_current_xact_id()")
        database.execute("INSERT INTO t VALUES (2, 'theirs'), (3, 'theirs')")

    with loaded(database, tmp_path / "a.db", before=interfere) as load:
        assert [table.preserved for table in load.result.tables] == [1]
        assert load.verify("full")["cells"] == 4
        assert find(load, "UPDATE t SET a = 'bent' WHERE id = 3") is not None
