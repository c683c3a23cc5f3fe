"""Databases of another encoding than UTF8: what they lack is refused in the plan, all else arrives."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.places import Place, make_place
from tests.servers import Server

SCHEMA = """
CREATE TYPE mood AS ENUM ('fine', 'mäßig');
CREATE DOMAIN label AS text CHECK (value <> '');
CREATE TABLE notes (id int PRIMARY KEY, v text, w varchar(5), d jsonb, m mood, a text[], l label);
"""
SOURCE = "CREATE TABLE notes (id INTEGER PRIMARY KEY, v, w, d, m, a, l);"
GOOD = "INSERT INTO notes VALUES (1, 'né ü', 'ÄÖÜäö', '{\"é\": \"\\u00e9\"}', 'mäßig', '[\"é\"]', 'é');"
BAD = (
    "INSERT INTO notes VALUES (2, 'a €', '€', '[\"€\"]', 'fine', '[\"€\"]', '€'),"
    " (3, '漢', NULL, '[\"\\u20ac\"]', NULL, NULL, NULL);"
)


@pytest.fixture
def latin(server: Server) -> Iterator[Place]:
    database = server.create_database(encoding="LATIN1")
    with make_place(database) as place:
        place.write_schema(SCHEMA)
        yield place
    database.drop()


@pytest.fixture
def ascii_place(server: Server) -> Iterator[Place]:
    database = server.create_database(encoding="SQL_ASCII")
    with make_place(database) as place:
        yield place
    database.drop()


def read(place: Place, statement: str) -> object:
    with place.database.connect(client_encoding="UTF8") as connection:
        return connection.execute(statement.encode()).fetchall()


def test_what_the_encoding_lacks_is_refused_in_the_plan(latin: Place) -> None:
    latin.write_source(SOURCE + GOOD + BAD)
    latin.run("schema", "up").succeeded()
    ended = latin.run("migrate", "--dry-run", "--json")
    assert ended.code == 65, ended.stderr
    refusals = json.loads(ended.stdout)["refusals"]
    found = {(one["column"], key) for one in refusals for key in one["keys"]}
    assert found == {(name, "id=2") for name in "vwdal"} | {("v", "id=3"), ("d", "id=3")}
    assert any('encoding "LATIN1"' in one["reason"] for one in refusals)
    assert latin.run().code == 65
    assert read(latin, "SELECT count(*) FROM notes") == [(0,)]
    assert read(latin, "SELECT outcome, report::text LIKE '%20ac%' FROM entrypoint.runs") == [
        ("failed", True)
    ]


def test_rows_that_the_encoding_lacks_are_kept_as_bytes(latin: Place) -> None:
    latin.write_source(SOURCE + GOOD + BAD)
    latin.run(variables={"ON_REJECT": "quarantine", "VERIFY": "full"}).succeeded()
    assert read(latin, "SELECT id, v, w, d ->> 'é', m::text, a[1], l FROM notes") == [
        (1, "né ü", "ÄÖÜäö", "é", "mäßig", "é", "é")
    ]
    kept = read(latin, "SELECT cells -> 'v' ->> 'hex' FROM entrypoint.rejects ORDER BY source_key")
    assert kept == [("a €".encode().hex(),), ("漢".encode().hex(),)]


def test_a_database_without_an_encoding_takes_every_text(ascii_place: Place) -> None:
    ascii_place.write_schema("CREATE TABLE notes (id int PRIMARY KEY, v text, w varchar(5), d jsonb)")
    source = "CREATE TABLE notes (id INTEGER PRIMARY KEY, v, w, d);"
    ascii_place.write_source(source + "INSERT INTO notes VALUES (1, '€ 漢', 'ÄÖ', '[\"€\"]')")
    ascii_place.run(variables={"VERIFY": "full"}).succeeded()
    assert read(ascii_place, "SELECT v, w, d ->> 0 FROM notes") == [("€ 漢", "ÄÖ", "€")]


def test_lengths_are_bytes_without_an_encoding(ascii_place: Place) -> None:
    ascii_place.write_schema("CREATE TABLE notes (id int PRIMARY KEY, w varchar(5), d jsonb)")
    source = "CREATE TABLE notes (id INTEGER PRIMARY KEY, w, d);"
    ascii_place.write_source(source + "INSERT INTO notes VALUES (1, 'ÄÖÜ', '[\"\\u20ac\"]')")
    ascii_place.run("schema", "up").succeeded()
    ended = ascii_place.run("migrate", "--dry-run", "--json")
    assert [one["column"] for one in json.loads(ended.stdout)["refusals"]] == ["w", "d"]


def test_keys_that_the_encoding_lacks_do_not_stop_the_plan(latin: Place) -> None:
    latin.write_schema(
        "CREATE TABLE tags (name text PRIMARY KEY, mail varchar(9) UNIQUE);"
        "CREATE TABLE uses (id int PRIMARY KEY, tag text REFERENCES tags, w text CHECK (w <> 'x'));"
        "INSERT INTO tags VALUES ('seed', 'é');"
    )
    latin.write_source(
        "CREATE TABLE tags (name TEXT PRIMARY KEY, mail);"
        "CREATE TABLE uses (id INTEGER PRIMARY KEY, tag, w);"
        "INSERT INTO tags VALUES ('é', 'ü'), ('€', '€'), ('seed', '漢');"
        "INSERT INTO uses VALUES (1, 'é', 'a'), (2, '€', '€'), (3, '漢', 'b'), (4, 'seed', 'ÿ')"
    )
    latin.run("schema", "up").succeeded()
    ended = latin.run("migrate", "--dry-run", "--json")
    assert ended.code == 65, ended.stderr
    latin.run(variables={"ON_REJECT": "quarantine", "VERIFY": "full"}).succeeded()
    assert read(latin, "SELECT name FROM tags") == [("seed",), ("é",)]
    assert read(latin, "SELECT id FROM uses ORDER BY id") == [(1,), (4,)]
    latin.run("verify", variables={"ON_REJECT": "quarantine"}).succeeded()
