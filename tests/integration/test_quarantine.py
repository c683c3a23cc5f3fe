"""ON_REJECT=quarantine: what cannot be taken is kept beside the rest, raw, and nothing refers to it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.loading import run_on, write_source, write_table
from tests.places import Place
from tests.programs import run_program
from tests.servers import Database
from tests.unit.test_readme import read_block

TARGET = """
CREATE TABLE users (id int PRIMARY KEY, name varchar(10) NOT NULL, born date, boss int REFERENCES users);
CREATE TABLE posts (id int PRIMARY KEY, user_id int NOT NULL REFERENCES users, size smallint);
CREATE TABLE replies (post_id int REFERENCES posts, place int, body text, PRIMARY KEY (post_id, place));
CREATE TABLE loose (line inet, note text);
"""
SOURCE = """
CREATE TABLE users (id INTEGER PRIMARY KEY, name, born, boss);
CREATE TABLE posts (id INTEGER PRIMARY KEY, user_id, size);
CREATE TABLE replies (post_id, place, body, PRIMARY KEY (post_id, place)) WITHOUT ROWID;
CREATE TABLE loose (line, note);
INSERT INTO users VALUES
  (1, 'ada', '1815-12-10', NULL), (2, NULL, '1906-12-09', 1), (3, 'far too long a name', NULL, 1),
  (4, 'alan', 'soon', 2), (5, 'kurt', NULL, 3), (6, 'emmy', NULL, 5), (7, 'ok', NULL, 1);
INSERT INTO posts VALUES (1, 1, 10), (2, 2, 10), (3, 1, 99999), (4, 77, 1), (5, 7, x'00ff');
INSERT INTO replies VALUES (1, 1, 'fine'), (2, 1, 'of a lost post'), (3, 1, CAST(x'61ff62' AS TEXT)),
  (9, 9, '');
INSERT INTO loose VALUES ('10.0.0.1', 'a'), ('nowhere', 'b'), ('nowhere', CAST(x'610062' AS TEXT));
"""
KEPT = {
    "SELECT id, name FROM users ORDER BY 1": [(1, "ada"), (7, "ok")],
    "SELECT id, user_id FROM posts": [(1, 1)],
    "SELECT post_id, place FROM replies": [(1, 1)],
    "SELECT host(line), note FROM loose": [("10.0.0.1", "a")],
}


@pytest.fixture
def source(database: Database, tmp_path: Path) -> Path:
    database.execute(TARGET)
    return write_source(tmp_path / "a.db", SOURCE)


def test_the_rest_is_migrated_and_what_refers_to_rejected_rows_is_rejected_too(
    database: Database, source: Path
) -> None:
    ended = run_on(database, source, "run", "--migrate-only", ON_REJECT="quarantine", VERIFY="full")
    assert ended.code == 0, ended.stderr
    for query, rows in KEPT.items():
        assert database.execute(query) == rows
    assert '"event": "rows_quarantined", "rows": 14' in ended.stderr
    assert not source.exists()


def test_rejected_rows_are_kept_with_their_class_and_bytes(database: Database, source: Path) -> None:
    run_on(database, source, "run", "--migrate-only", ON_REJECT="quarantine")
    rejects = database.execute(
        "SELECT source_table, source_key, source_column, reason, cells FROM entrypoint.rejects ORDER BY 1, 2"
    )
    counts = database.execute("SELECT source_table, count(*) FROM entrypoint.rejects GROUP BY 1 ORDER BY 1")
    assert counts == [("loose", 2), ("posts", 4), ("replies", 3), ("users", 5)]
    by_key = {(table, key): (column, reason, cells) for table, key, column, reason, cells in rejects}
    column, reason, cells = by_key["users", "id=3"]
    assert (column, cells["name"]) == ("name", {"class": "text", "value": "far too long a name"})
    assert "longer than character varying(10)" in reason
    assert by_key["users", "id=4"][0] == "born"
    assert by_key["users", "id=6"][0] == "boss"  # refers to 5, which refers to 3
    assert by_key["posts", "id=5"][2]["size"] == {"class": "blob", "hex": "00ff"}
    assert by_key["replies", "post_id=3, place=1"][2]["body"] == {"class": "text", "hex": "61ff62"}
    assert by_key["loose", "rowid=3"][2]["note"] == {"class": "text", "hex": "610062"}


def test_a_dry_run_lists_them_and_writes_nothing(database: Database, source: Path) -> None:
    before = source.read_bytes()
    ended = run_on(database, source, "migrate", "--dry-run", ON_REJECT="quarantine")
    assert ended.code == 0
    assert "5 rows of 4 tables would be migrated, 14 quarantined; nothing is refused" in ended.stdout
    assert source.read_bytes() == before
    assert [item.name for item in source.parent.iterdir()] == ["a.db"]
    assert database.execute("SELECT to_regnamespace('entrypoint')") == [(None,)]


def test_fail_refuses_the_same_rows(database: Database, source: Path) -> None:
    ended = run_on(database, source, "run", "--migrate-only")
    assert ended.code == 65
    assert database.execute("SELECT count(*) FROM users") == [(0,)]
    assert source.exists()


def test_a_unit_that_is_not_known_is_refused_all_the_same(database: Database, tmp_path: Path) -> None:
    database.execute("CREATE TABLE t (id int PRIMARY KEY, at timestamptz)")
    rows = [(1, 1700000000), (2, 1700000000000)]
    path = write_table(tmp_path / "a.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, at)", rows)
    ended = run_on(database, path, "run", "--migrate-only", ON_REJECT="quarantine")
    assert ended.code == 65
    assert "numbers of two units in one column" in ended.stderr


HUGE = 140_000_000  # as hex more than jsonb can hold
AWKWARD_TARGET = """
CREATE TABLE t (id int PRIMARY KEY, size smallint, a text, b text, c text, d text, e bytea, f float8, g text);
CREATE TABLE u (k text PRIMARY KEY, n int);
CREATE TABLE named (rowid int, _rowid_ int, oid int);
"""
AWKWARD_SOURCE = """
CREATE TABLE t (id INTEGER PRIMARY KEY, size, a, b, c, d, e, f, g AS (a || '!') STORED);
CREATE TABLE u (k PRIMARY KEY, n) WITHOUT ROWID;
INSERT INTO t (id, size, a, b, c, d, e, f) VALUES
  (1, 'x', 'plain', CAST(x'61ff62' AS TEXT), CAST(x'610062' AS TEXT), '', x'00ff', -0.0),
  (2, 'x', NULL, 9007199254740993, 1e999, -1e999, x'', 0.1),
  (3, 1, 'fine', 'b', 'c', 'd', x'01', 1.5);
INSERT INTO u VALUES (CAST(x'ff' AS TEXT), 1), ('a' || char(10) || 'b', 'x'), ('ok', 2);
"""


def read_rejects(database: Database) -> dict[tuple[str, str, str], tuple[str, bytes | None]]:
    """Return what the README's query gives: storage class and bytes by table, key and column."""
    return {
        (table, key, column): (kind, bytes(raw) if raw is not None else None)
        for _, table, key, column, kind, raw, *_ in database.execute(read_block("rejects"))
    }


@pytest.mark.newest_server
def test_every_cell_comes_back_as_it_was(database: Database, tmp_path: Path) -> None:
    database.execute(AWKWARD_TARGET)
    path = write_source(tmp_path / "a.db", AWKWARD_SOURCE)
    run_on(database, path, "run", "--migrate-only", ON_REJECT="quarantine", VERIFY="full").succeeded()
    assert database.execute("SELECT id, g FROM t") == [(3, "fine!")]
    found = read_rejects(database)
    expected = {
        ("t", "id=1", "id"): ("integer", b"1"),
        ("t", "id=1", "b"): ("text", b"a\xffb"),
        ("t", "id=1", "c"): ("text", b"a\x00b"),
        ("t", "id=1", "d"): ("text", b""),
        ("t", "id=1", "e"): ("blob", b"\x00\xff"),
        ("t", "id=1", "f"): ("real", b"-0.0"),
        ("t", "id=1", "g"): ("text", b"plain!"),
        ("t", "id=2", "a"): ("null", None),
        ("t", "id=2", "b"): ("integer", b"9007199254740993"),
        ("t", "id=2", "c"): ("real", b"inf"),
        ("t", "id=2", "d"): ("real", b"-inf"),
        ("t", "id=2", "e"): ("blob", b""),
    }
    assert {place: found[place] for place in expected} == expected
    keys = {raw for (table, _, column), (_, raw) in found.items() if (table, column) == ("u", "k")}
    assert keys == {b"a\nb", b"\xff"}


@pytest.mark.newest_server
def test_a_cell_larger_than_json_holds_is_kept(database: Database, tmp_path: Path) -> None:
    database.execute("CREATE TABLE t (id int PRIMARY KEY, size smallint, raw bytea, note text, more bytea)")
    path = write_source(
        tmp_path / "a.db",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, size, raw, note, more);"
        f"INSERT INTO t VALUES (1, 'x', zeroblob({HUGE}), CAST(x'ff' || zeroblob(40000) AS TEXT), x'01')",
    )
    run_on(database, path, "run", "--migrate-only", ON_REJECT="quarantine").succeeded()
    query = read_block("rejects").split("ORDER BY")[0]
    lengths = database.execute(
        f"SELECT source_column, storage_class, octet_length(raw), md5(raw) FROM ({query}) q ORDER BY 1"
    )
    text = b"\xff" + bytes(40000)
    assert [row[:3] for row in lengths] == [
        ("id", "integer", 1),
        ("more", "blob", 1),
        ("note", "text", 40001),
        ("raw", "blob", HUGE),
        ("size", "text", 1),
    ]
    assert lengths[2][3] == hashlib.md5(text).hexdigest()
    assert lengths[3][3] == hashlib.md5(bytes(HUGE)).hexdigest()


def test_rows_that_nothing_tells_apart_are_refused(database: Database, tmp_path: Path) -> None:
    database.execute(AWKWARD_TARGET)
    path = write_source(
        tmp_path / "a.db",
        "CREATE TABLE named (rowid, _rowid_, oid); INSERT INTO named VALUES (1, 1, 1), ('x', 2, 2)",
    )
    ended = run_on(database, path, "run", "--migrate-only", ON_REJECT="quarantine")
    assert ended.code == 65
    assert "named.rowid" in ended.stderr
    assert database.execute("SELECT count(*) FROM named") == [(0,)]


def test_a_second_start_keeps_them_once(database: Database, source: Path) -> None:
    copy = source.read_bytes()
    run_on(database, source, "run", "--migrate-only", ON_REJECT="quarantine").succeeded()
    source.write_bytes(copy)  # the same file again, as from a backup
    for arguments in (("run", "--migrate-only"), ("migrate", "--yes")):
        run_on(database, source, *arguments, ON_REJECT="quarantine").succeeded()
    assert database.execute("SELECT count(*) FROM entrypoint.rejects") == [(14,)]
    for query, rows in KEPT.items():
        assert database.execute(query) == rows


def test_verify_counts_them_afterwards(database: Database, source: Path) -> None:
    """Neither missing nor refused: they are in the ledger. What is not there still is."""
    run_on(database, source, "run", "--migrate-only", ON_REJECT="quarantine").succeeded()
    (retired,) = source.parent.glob("a.db.migrated-*")
    before = retired.read_bytes()
    database.execute("INSERT INTO users (id, name) VALUES (99, 'gained')")
    environment = {"DATABASE_URL": database.url}
    ended = run_program("verify", "--json", "--sqlite-url", str(retired), environment=environment)
    document = json.loads(ended.succeeded().stdout)
    assert (document["status"], document["rows"], document["differing"]) == ("equal", 5, 0)
    assert sum(table["quarantined"] for table in document["tables"]) == 14
    assert document["refusals"] == []
    ended = run_program("verify", "--sqlite-url", str(retired), environment=environment).succeeded()
    assert "14 row(s) were quarantined by the migration: they are in the ledger" in ended.stdout
    database.execute("DELETE FROM replies; DELETE FROM entrypoint.rejects WHERE source_key = 'id=4'")
    document = json.loads(
        run_program("verify", "--json", "--sqlite-url", str(retired), environment=environment).stdout
    )
    tables = {table["table"]: table for table in document["tables"]}
    assert (document["status"], document["differing"]) == ("different", 1)
    assert (tables["replies"]["missing"], tables["users"]["quarantined"]) == (1, 4)
    assert {refusal["table"] for refusal in document["refusals"]} == {"users", "posts"}
    assert retired.read_bytes() == before


def test_verify_leaves_out_what_the_newest_run_kept_and_nothing_else(place: Place) -> None:
    """Rows that were repaired and merged since are rows like any other."""
    place.rows("CREATE TABLE m (id int PRIMARY KEY, i bigint); CREATE TABLE n (i bigint)")
    place.write_source(
        "CREATE TABLE m (id INTEGER PRIMARY KEY, i); INSERT INTO m VALUES (1, 1), (2, 'x'), (3, 'y');"
        "CREATE TABLE n (i); INSERT INTO n VALUES (1), ('x' || hex(zeroblob(20000)))"
    )
    place.run(variables={"ON_REJECT": "quarantine"}).succeeded()
    (retired,) = place.retired()
    arguments = ("--sqlite-url", str(retired))

    def verify() -> dict[str, tuple[int, int, int]]:
        tables = json.loads(place.run("verify", "--json", *arguments).stdout)["tables"]
        return {
            table["table"]: (table["differing"], table["missing"], table["quarantined"]) for table in tables
        }

    assert verify() == {"m": (0, 0, 2), "n": (0, 0, 1)}
    place.write_source(
        "UPDATE m SET i = 20 WHERE id = 2; UPDATE n SET i = i || '0' WHERE i <> 1", retired.name
    )
    assert verify() == {"m": (1, 1, 1), "n": (0, 0, 0)}  # n's is refused, and not as it was kept
    assert place.run("verify", *arguments).code == 65
    place.write_source("UPDATE m SET i = 30 WHERE id = 3", retired.name)
    place.run("migrate", "--yes", "--table", "m", *arguments).succeeded()
    assert verify()["m"] == (0, 0, 0)
    place.rows("UPDATE m SET i = 999 WHERE id = 2; DELETE FROM m WHERE id = 3")
    assert verify()["m"] == (2, 1, 0)
    assert place.run("verify", *arguments).code == 65
    place.write_source("UPDATE n SET i = 'x' || hex(zeroblob(20000)) WHERE i <> 1", retired.name)
    assert verify()["n"] == (0, 0, 1)


def test_ids_of_rows_that_are_left_aside_are_not_given_out(place: Place) -> None:
    """They come back under their ids once they are corrected."""
    place.write_schema(
        "CREATE TABLE u (id serial PRIMARY KEY, n int);"
        "CREATE TABLE k (id serial PRIMARY KEY, u int REFERENCES u)"
    )
    place.write_source(
        "CREATE TABLE u (id INTEGER PRIMARY KEY, n INT); INSERT INTO u VALUES (1, 1), (7, 'bad');"
        "CREATE TABLE k (id INTEGER PRIMARY KEY, u INT); INSERT INTO k VALUES (1, 1), (9, 7)"
    )
    place.run(variables={"ON_REJECT": "quarantine"}).succeeded()
    assert place.rows("INSERT INTO u (n) VALUES (5) RETURNING id") == [(8,)]
    assert place.rows("INSERT INTO k (u) VALUES (1) RETURNING id") == [(10,)]
