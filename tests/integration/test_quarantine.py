"""ON_REJECT=quarantine: what cannot be taken is kept beside the rest, raw, and nothing refers to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.loading import run_on, write_source, write_table
from tests.servers import Database

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
