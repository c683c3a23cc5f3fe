"""Refusals of cells: one a kind of reason, with its count, three keys, a short value and the reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from entrypoint.model import Refusal
from tests.loading import find_refusals, migrate, write_table
from tests.servers import Database


def refuse(
    database: Database, tmp_path: Path, target: str, source: str, rows: list[tuple[object, ...]]
) -> tuple[Refusal, ...]:
    database.execute(f"CREATE TABLE t ({target})")
    return find_refusals(database, write_table(tmp_path / "s.db", f"CREATE TABLE t {source}", rows))


def test_a_thousand_bad_cells_are_one_refusal(database: Database, tmp_path: Path) -> None:
    rows: list[tuple[object, ...]] = [(key, "bad" if key % 2 else key) for key in range(2000)]
    (found,) = refuse(database, tmp_path, "id int PRIMARY KEY, v int", "(id INTEGER PRIMARY KEY, v)", rows)
    assert found == Refusal(
        table="t",
        column="v",
        storage_class="text",
        value="bad",
        reason="does not spell an integer that fits",
        remedy="correct it in the source (integer takes a whole number in range)",
        keys=("id=1", "id=3", "id=5"),
        count=1000,
    )


def test_each_storage_class_is_a_refusal_of_its_own(database: Database, tmp_path: Path) -> None:
    rows: list[tuple[object, ...]] = [(1, "x"), (2, 0.5), (3, b"\x00\xff"), (4, 2**40), (5, None), (6, 1)]
    found = refuse(
        database, tmp_path, "id int PRIMARY KEY, v int NOT NULL", "(id INTEGER PRIMARY KEY, v)", rows
    )
    assert {(one.storage_class, one.value, one.keys, one.count) for one in found} == {
        ("text", "x", ("id=1",), 1),
        ("real", "0.5", ("id=2",), 1),
        ("blob", "x'00ff'", ("id=3",), 1),
        ("integer", str(2**40), ("id=4",), 1),
        ("null", "NULL", ("id=5",), 1),
    }


def test_each_kind_of_reason_is_a_refusal_of_its_own(database: Database, tmp_path: Path) -> None:
    rows: list[tuple[object, ...]] = [(1, 5), (2, "2024-02-30"), (3, "soon"), (4, ""), (5, "2023-02-31")]
    found = refuse(database, tmp_path, "id int PRIMARY KEY, v date", "(id INTEGER PRIMARY KEY, v)", rows[1:])
    assert [(one.value, one.keys, one.count, one.reason[:14]) for one in found] == [
        ("2024-02-30", ("id=2", "id=5"), 2, "no such moment"),
        ("soon", ("id=3",), 1, "not a time in "),
        ("", ("id=4",), 1, "the empty stri"),
    ]


def test_numbers_in_reasons_make_no_kinds(database: Database, tmp_path: Path) -> None:
    rows: list[tuple[object, ...]] = [(key, "x" * key) for key in range(4, 104)] + [(200, b"ab\xff")]
    found = refuse(
        database, tmp_path, "id int PRIMARY KEY, v varchar(3)", "(id INTEGER PRIMARY KEY, v)", rows
    )
    assert [(one.reason, one.count) for one in found] == [
        ("4 characters, longer than character varying(3)", 100),
        ("not valid UTF-8 (byte 0xff at position 2)", 1),
    ]


def test_no_column_has_more_than_a_handful_of_refusals(database: Database, tmp_path: Path) -> None:
    bad = ["", "soon", "2024-02-30", "2024-13-01", "2024-01-01 25:00", "0000-01-01", b"\xff", "a", ""]
    rows: list[tuple[object, ...]] = [*enumerate(bad), (10, float("inf")), (11, "2024-01-01 00:61")]
    found = refuse(database, tmp_path, "id int PRIMARY KEY, v timestamp", "(id INTEGER PRIMARY KEY, v)", rows)
    assert len(found) == 6
    assert sum(one.count for one in found) == len(rows)
    assert found[-1].reason.startswith("4 more kinds of reasons; of the first: ")
    assert (found[-1].count, len(found[-1].keys)) == (4, 3)
    kept = migrate(database, tmp_path / "s.db", ON_REJECT="quarantine").result.tables
    assert [(one.rows, one.quarantined, one.inserted) for one in kept] == [(len(rows), len(rows), 0)]


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("x" * 40 + " ", "x" * 39 + "…"),
        ("😀" * 41, "😀" * 39 + "…"),
        ("😀" * 40, "😀" * 40),
        ("a" + "😀" * 60, "a" + "😀" * 38 + "…"),
        ("a\nb\x00c\u202e", "a\\nb\\x00c\\u202e"),
        (b"\xab" * 100, "x'" + "ab" * 18 + "a…"),
    ],
)
@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le"])
def test_values_are_cut_to_forty_characters(
    cell: str | bytes, shown: str, encoding: str, database: Database, tmp_path: Path
) -> None:
    database.execute("CREATE TABLE t (id int PRIMARY KEY, v int)")
    path = write_table(
        tmp_path / "s.db",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v)",
        [(1, cell)],
        pragmas=f"PRAGMA encoding='{encoding}'",
    )
    (found,) = find_refusals(database, path)
    assert found.value == shown


@pytest.mark.parametrize(
    ("source", "rows", "keys"),
    [
        (
            "(a, b, v, PRIMARY KEY (b, a))",
            [("x", 1, "?"), (b"\x01", 2.5, "?")],
            {"b=1, a=x", "b=2.5, a=x'01'"},
        ),
        ("(a TEXT PRIMARY KEY, b, v) WITHOUT ROWID", [("ключ\n", 0, "?")], {"a=ключ\\n"}),
        ("(a, b, v)", [("x", 0, 1), ("x", 0, "?")], {"rowid=2"}),
        ("(rowid, b, v)", [("x", 0, 1), ("x", 0, "?")], {"rowid=2"}),
        ("(rowid, oid, v)", [("x", 0, 1), ("x", 0, "?")], {"rowid=2"}),
        ("(a COLLATE NOCASE PRIMARY KEY, b, v)", [("K" * 50, 0, "?")], {"a=" + "K" * 39 + "…"}),
    ],
)
def test_rows_are_named_by_their_key(
    source: str, rows: list[tuple[object, ...]], keys: set[str], database: Database, tmp_path: Path
) -> None:
    (found,) = refuse(database, tmp_path, "a bytea, b text, v int, rowid text, oid text", source, rows)
    assert set(found.keys) == keys


# --- what only PostgreSQL can judge ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_name", "good", "bad"),
    [
        ("inet", ["10.0.0.1", "::1/64"], ["10.0.0.256", "x", ""]),
        ("interval", ["1 day 02:03:04", "P1DT2H"], ["1 dya", "1.0000001 s"]),
        ("int4range", ["[1,5)", "empty"], ["[5,1)", "1-5"]),
        ("int4multirange", ["{[1,2),[5,6)}"], ["{1}"]),
        ("bit(3)", ["101"], ["1010", "10", "abc"]),
        ("bit varying(3)", ["10", ""], ["1010"]),
        ("varchar(3)[]", ['["abc", "é"]', "{ab,c}"], ['["abcd"]', '["abc "]', '{"abc "}']),
        ("char(3)[]", ['["abc  ", "é"]'], ['["abcd"]']),
        ("int[]", ["[1, -2]", "{}", "[[1,2],[3,4]]"], ["[1.5]", "[[1],[2,3]]", "[1"]),
        ("numeric(4,1)[]", ["[1.50, 100, null]", "{1.5,NULL}"], ["[1000.5]", "[1.55]", '{{"1.55"}}']),
        ("real[]", ["[0.1, 3.1415927]", "{16777216}"], ["[16777217]", "{0.1234567891}"]),
        ("oid[]", ["[1, 2]"], ["[-1]"]),
        ("date[]", ['["2024-01-02", "2024-01-02T00:00:00Z"]'], ['["2024-01-02 10:00"]', "{now}"]),
        ("timestamp[]", ['["2024-01-02 10:00"]'], ['["2024-01-02T10:00:00Z"]', "{2024-01-02 10:00-03}"]),
        ("time[]", ["{10:00}"], ["{2024-01-02 10:00}", "{10:00:00.1234567}"]),
        ("timestamptz[]", ['["2024-01-02T10:00:00Z"]'], ['["2024-01-02 10:00:00.1234567Z"]']),
        ("interval(0)[]", ['["1 day"]'], ['["1.5 s"]']),
        ("name[]", ['["x"]'], [json.dumps(["x" * 64])]),
        ("name", ["x" * 63, "é" * 31, 5], ["x" * 64, "é" * 32]),
        ('"char"', ["a", "", 7], ["ab", "é"]),
        ("oid", [0, "4294967295", "1e3", 5.0], [-1, "-1", 2**32]),
        ("xid", ["7"], ["0x10", -1]),
        ("xid8", ["18446744073709551615", 7], ["18446744073709551616"]),
        ("pg_lsn", ["16/B374D848"], ["16"]),
        ("interval(0)", ["1 day 02:03:04", "1.5 hours", "P1DT2H"], ["00:00:01.5"]),
        ("interval day to hour", ["1 day 02:00"], ["1 day 02:03"]),
        ("whole_s", ["5 s"], ["5.5 s"]),
        ("timetz(0)", ["03:04:05+02", "03:04:05.000+02"], ["03:04:05.5+02"]),
        ("daterange", ["[2024-01-01,2024-01-05]", "empty"], ["[2024-01-01 10:00,2024-01-05]"]),
        ("datemultirange", ["{[2024-01-01,2024-01-05)}"], ["{[today,)}"]),
        ("tsrange", ['["2024-01-01 10:00 AM",)'], ["[2024-01-01 10:00+02,)", "[2024-01-01 10:00 UTC,)"]),
        ("tstzrange", ["[2024-01-01 10:00+02,)"], ["[2024-01-01 10:00:00.1234567+02,)", "[now,)"]),
        ("priced", ["(1.5,2024-01-02)"], ["(1.55,2024-01-02)", '(1.5,"2024-01-02 10:00")']),
        ("jsonb[]", ['[{"a": 1.10}, "x", [1, 2]]'], ["x"]),
        ("point", ["(1,2)", "1.5,2"], ["(1)"]),
        ("tsvector", ["'a':1 'b'"], ["'a"]),
        ("tsquery", ["a & b"], ["a &"]),
        ("jsonpath", ["$.a[*]"], ["$$$"]),
        ("money", ["12.50", 3, "$12.50", "-$1,234.5", 0.1], ["twelve", "12.505", 0.001]),
        ("macaddr", ["08:00:2b:01:02:03"], ["08:00"]),
        ("timetz", ["03:04:05+02", "040506-08"], ["25:00", "2024-01-02 03:04+02", "now"]),
        ("posint", [1, "2", 3.0], [0, -5]),
        ("short", ["ab"], ["ab ", "a1"]),
        ("document", ['{"a": 1}'], ["[1]"]),
        ("stamp", ["2024-01-02 03:04:05"], ["1999-12-31"]),
        ("pair", ["(1,x)"], ["(a,x)", "(1)"]),
        ("glad", ["good"], ["so so", "sad"]),
        ("price", [1, 2.5, "3.10"], [0, 1000, 1.005]),
        ("regclass", ["pg_class"], ["no_such_table"]),
        ("price[]", ["[1.5, null]", "{2.25}"], ["[1.005]", "[0]"]),
        ("priced[]", ['["(1.5,2024-01-02)"]'], ['["(1.55,2024-01-02)"]']),
        ("bytea[]", [json.dumps(["a", "\\x00ff"])], [json.dumps(["a\\\\b"])]),
        ("moods", ['["so so"]', "{good}"], ['["bad"]']),
    ],
)
def test_postgresql_judges_the_types_that_only_it_knows(
    type_name: str, good: list[object], bad: list[object], database: Database, tmp_path: Path
) -> None:
    database.execute(
        "CREATE DOMAIN posint AS integer CHECK (value > 0);"
        "CREATE DOMAIN word AS varchar(2); CREATE DOMAIN short AS word CHECK (value ~ '^[a-z]+$');"
        "CREATE DOMAIN document AS jsonb CHECK (jsonb_typeof(value) = 'object');"
        "CREATE DOMAIN stamp AS timestamptz CHECK (value > '2000-01-01');"
        "CREATE TYPE pair AS (a int, b text); CREATE TYPE mood AS ENUM ('so so', 'good');"
        "CREATE DOMAIN moods AS mood[]; CREATE DOMAIN glad AS mood CHECK (value = 'good');"
        "CREATE DOMAIN whole_s AS interval(0); CREATE TYPE priced AS (n numeric(4,1), d date);"
        "CREATE DOMAIN price AS numeric(5,2) CHECK (value > 0)"
    )
    cells = [*good, *bad]
    rows: list[tuple[object, ...]] = list(enumerate(cells))
    found = refuse(
        database, tmp_path, f"id int PRIMARY KEY, v {type_name}", "(id INTEGER PRIMARY KEY, v)", rows
    )
    assert sum(one.count for one in found) == len(bad)
    assert {key for one in found for key in one.keys} == {f"id={key}" for key in range(len(good), len(cells))}
    assert all(one.reason for one in found)
    migrate(
        database,
        write_table(tmp_path / "good.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, v)", rows[: len(good)]),
        VERIFY="full",
    )
    assert database.execute("SELECT count(v) FROM t") == [(len(good),)]


def test_a_domains_check_names_its_cells_among_many(database: Database, tmp_path: Path) -> None:
    database.execute("CREATE DOMAIN posint AS integer CHECK (value > 0)")
    rows: list[tuple[object, ...]] = [(key, -1 if key % 50 == 0 else key) for key in range(1, 5001)]
    (found,) = refuse(database, tmp_path, "id int PRIMARY KEY, v posint", "(id INTEGER PRIMARY KEY, v)", rows)
    assert (found.count, found.value, found.storage_class) == (100, "-1", "integer")
    assert found.keys == ("id=50", "id=100", "id=150")
    assert "posint" in found.reason


def test_a_domain_judged_by_a_function_that_raises(database: Database, tmp_path: Path) -> None:
    database.execute(
        "CREATE FUNCTION is_fine(text) RETURNS boolean LANGUAGE plpgsql AS"
        " $$ BEGIN IF $1 = 'bad' THEN RAISE 'not fine'; END IF; RETURN true; END $$;"
        "CREATE DOMAIN fine AS text CHECK (is_fine(value))"
    )
    (found,) = refuse(
        database,
        tmp_path,
        "id int PRIMARY KEY, v fine",
        "(id INTEGER PRIMARY KEY, v)",
        [(1, "good"), (2, "bad"), (3, "better")],
    )
    assert (found.keys, found.reason) == (("id=2",), "not fine")


# --- collations and mappings -----------------------------------------------------------------------


def test_a_column_without_case_has_labels_with_case(database: Database, tmp_path: Path) -> None:
    database.execute("CREATE TYPE role AS ENUM ('admin')")
    (found,) = refuse(
        database,
        tmp_path,
        "id int PRIMARY KEY, v role",
        "(id INTEGER PRIMARY KEY, v TEXT COLLATE NOCASE)",
        [(1, "admin"), (2, "ADMIN")],
    )
    assert (found.keys, found.value) == (("id=2",), "ADMIN")


def test_blanks_are_not_empty_whatever_the_collation(database: Database, tmp_path: Path) -> None:
    database.execute("CREATE TABLE t (id int PRIMARY KEY, v int, w text)")
    path = write_table(
        tmp_path / "s.db",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v COLLATE RTRIM, w COLLATE RTRIM)",
        [(1, "", ""), (2, None, "  "), (3, "7", None)],
    )
    mapping = '[tables.t.columns]\nv = { empty = "null" }\nw = { empty = "null" }\n'
    migrate(database, path, mapping=mapping)
    assert database.execute("SELECT * FROM t ORDER BY id") == [(1, None, None), (2, None, "  "), (3, 7, None)]


def test_a_row_without_a_key_is_named_by_its_rowid(database: Database, tmp_path: Path) -> None:
    """SQLite allows NULL in a primary key that is no rowid."""
    database.execute("CREATE TABLE t (id text PRIMARY KEY, n int)")
    path = write_table(
        tmp_path / "s.db", "CREATE TABLE t (id TEXT PRIMARY KEY, n)", [("a", 1), (None, 2), (None, "x")]
    )
    nulls, words = sorted(find_refusals(database, path), key=lambda refusal: str(refusal.column))
    assert nulls.keys == ("id=NULL (rowid 2)", "id=NULL (rowid 3)")
    assert words.keys == ("id=NULL (rowid 3)",)
