"""What changes rows behind the load's back ends the migration: exit 65, named, rolled back, in the ledger."""

from __future__ import annotations

import json

import pytest

from tests.places import Place

pytestmark = pytest.mark.newest_server

SCHEMA = """
CREATE TABLE authors (id integer PRIMARY KEY, name text NOT NULL, born timestamptz);
CREATE TABLE books (id integer PRIMARY KEY, author_id integer NOT NULL REFERENCES authors, title text);
CREATE TABLE tags (label text);
"""
SOURCE = """
CREATE TABLE authors (id INTEGER PRIMARY KEY, name TEXT, born INTEGER);
CREATE TABLE books (id INTEGER PRIMARY KEY, author_id INTEGER, title TEXT);
CREATE TABLE tags (label TEXT);
INSERT INTO authors VALUES (1, 'Ada', 1700000000000), (2, 'Bob', NULL);
INSERT INTO books VALUES (1, 2, 'x'), (2, 1, 'y');
INSERT INTO tags VALUES ('a'), ('a'), ('b');
"""
TAMPER = """
CREATE FUNCTION tamper(anything text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN {}; RETURN true; END $$;
ALTER TABLE books ADD CHECK (tamper(title));
"""
STATEMENTS = {
    "UPDATE authors SET name = 'Bent' WHERE id = 1": "authors.name (id=1): 'Ada' in the source, 'Bent'",
    "UPDATE authors SET born = born + interval '1 ms'": "authors.born (id=1): '2023-11-14 22:13:20+00' in",
    "DELETE FROM tags WHERE label = 'b'": "public.tags holds 2 rows where 0 stood and 3 of 3 were inserted",
}


def assert_refused(place: Place, files: dict[str, str], line: str, shown: str) -> None:
    assert line.startswith("verification found a difference: ")
    assert shown in line
    for table in ("authors", "books", "tags"):
        assert place.rows(f"SELECT * FROM {table}") == []
    assert place.hash_files() == files
    assert place.runs() == [("failed", 65, None)]
    assert shown in place.rows("SELECT error FROM entrypoint.runs")[0][0]


@pytest.mark.parametrize("mode", ["full", "auto"])
@pytest.mark.parametrize("statement", list(STATEMENTS)[:2])
def test_a_function_in_a_constraint(place: Place, statement: str, mode: str) -> None:
    """It runs while a later table is loaded, and no trigger that could be held has anything to do with it."""
    place.write_schema(SCHEMA)
    place.run("schema", "up").succeeded()
    place.rows(TAMPER.format(statement))
    place.write_source(SOURCE)
    files = place.hash_files()
    line = place.run(variables={"VERIFY": mode}).failed_with(65)
    assert_refused(place, files, line, STATEMENTS[statement])


@pytest.mark.parametrize("statement", STATEMENTS)
def test_an_event_trigger(place: Place, statement: str) -> None:
    """It fires when the load puts a trigger back as it was: between the last row and the verification."""
    place.write_schema(SCHEMA)
    place.run("schema", "up").succeeded()
    place.rows(
        "CREATE FUNCTION quiet() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;"
        "CREATE TRIGGER quiet BEFORE INSERT ON books FOR EACH ROW EXECUTE FUNCTION quiet();"
        "CREATE FUNCTION react() RETURNS event_trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN {statement}; END $$"
    )
    place.database.server.execute(
        "CREATE EVENT TRIGGER react ON ddl_command_end WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION react()",
        place.database.name,
    )
    place.write_source(SOURCE)
    files = place.hash_files()
    assert_refused(place, files, place.run().failed_with(65), STATEMENTS[statement])


def test_preserved_rows_are_shown_afterwards(place: Place) -> None:
    place.write_schema(SCHEMA + "INSERT INTO authors VALUES (1, 'Ours', '2024-01-01T00:00:00Z');")
    place.write_source(SOURCE)
    assert place.run().code == 0
    (retired,) = place.retired()
    ended = place.run("verify", "--json")
    assert ended.code == 65
    document = json.loads(ended.stdout)
    (authors,) = [table for table in document["tables"] if table["table"] == "authors"]
    assert (authors["preserved"], authors["differing"], authors["missing"]) == (1, 1, 0)
    assert authors["differences"] == [
        "authors.name (id=1): 'Ada' in the source, 'Ours' in PostgreSQL",
        "authors.born (id=1): '2023-11-14 22:13:20+00' in the source, '2024-01-01 00:00:00+00' in PostgreSQL",
    ]
    shown = place.run("verify").stdout
    assert "authors: 1 row(s) were preserved by the migration: PostgreSQL's own" in shown
    assert retired.exists()


def test_a_named_source_is_found_where_it_was_retired(place: Place) -> None:
    """SQLITE_URL stays in the container's environment, and names what is called otherwise now."""
    place.write_schema(SCHEMA)
    place.write_source(SOURCE)
    named = {"SQLITE_URL": str(place.file)}
    place.run(variables=named).succeeded()
    assert not place.file.exists()
    place.run("verify", variables=named).succeeded()
