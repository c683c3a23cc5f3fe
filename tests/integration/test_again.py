"""`entrypoint migrate --again`: a source that was migrated before is merged once more, when asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.places import Place

pytestmark = pytest.mark.newest_server


@pytest.fixture
def preserved(place: Place) -> Path:
    """A retired source of which a row gave way to PostgreSQL's; return it."""
    place.rows("CREATE TABLE roles (id int PRIMARY KEY, name text); INSERT INTO roles VALUES (1, 'guest')")
    place.rows("CREATE TABLE bag (word text)")
    place.write_source(
        "CREATE TABLE roles (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO roles VALUES (1, 'admin');"
        "CREATE TABLE bag (word TEXT); INSERT INTO bag VALUES ('a'), ('a');"
    )
    ended = place.run().succeeded()
    (warning,) = ended.find("rows_preserved")
    assert "`entrypoint migrate --again --sqlite-url FILE --table roles --on-conflict overwrite`" in str(
        warning["remedy"]
    )
    (retired,) = place.retired()
    return retired


def test_a_source_is_merged_once_more_when_asked_for(place: Place, preserved: Path) -> None:
    place.rows("INSERT INTO roles VALUES (2, 'of the application')")
    again = ("migrate", "--yes", "--again", "--sqlite-url", str(preserved), "--on-conflict", "overwrite")
    files = place.hash_files()
    place.run(*again).succeeded()
    assert place.rows("SELECT * FROM roles ORDER BY 1") == [(1, "admin"), (2, "of the application")]
    assert place.rows("SELECT * FROM bag") == [("a",), ("a",)]
    assert place.hash_files() == files
    assert place.runs() == [("succeeded", 0, str(preserved))] * 2
    # Once more changes nothing, and neither does a start.
    target = place.describe_target()
    result = json.loads(place.run(*again, "--json").succeeded().stdout)["result"]
    assert {table["table"]: table["unchanged"] for table in result["tables"]} == {"bag": 2, "roles": 1}
    assert place.describe_target() == target
    assert place.run().succeeded().events == []
    assert place.hash_files() == files
    place.run("verify").succeeded()


def test_without_the_option_nothing_happens_and_it_is_named(place: Place, preserved: Path) -> None:
    target = place.describe_target()
    for words in (("--yes",), ("--dry-run",)):
        ended = place.run("migrate", *words, "--sqlite-url", str(preserved), "--on-conflict", "overwrite")
        assert ended.succeeded().stdout.splitlines() == [
            "nothing to do: no SQLite source that has not been migrated",
            f"{preserved} was migrated in run 1; --again merges it once more",
        ]
    ended = place.run("migrate", "--yes", "--sqlite-url", str(preserved), "--json").succeeded()
    assert json.loads(ended.stdout) == {"version": 1, "status": "nothing to do"}
    (event,) = ended.find("source_migrated_before")
    assert (event["path"], event["run"]) == (str(preserved), 1)
    assert place.describe_target() == target
    assert len(place.runs()) == 1


def test_one_looks_first_at_what_merging_once_more_would_do(place: Place, preserved: Path) -> None:
    target = place.describe_target()
    dry = ("migrate", "--dry-run", "--again", "--sqlite-url", str(preserved))
    ended = place.run(*dry, "--on-conflict", "overwrite").succeeded()
    assert "roles: 1 row(s) stand in PostgreSQL with other values and would be overwritten" in ended.stdout
    place.run(*dry, "--on-conflict", "fail").failed_with(65)
    assert place.describe_target() == target
    assert len(place.runs()) == 1


def test_the_name_from_before_it_was_retired_will_do(place: Place, preserved: Path) -> None:
    settings = {"SQLITE_URL": str(place.file), "ON_CONFLICT": "overwrite"}
    ended = place.run("migrate", "--yes", variables=settings).succeeded()
    assert f"{preserved} was migrated in run 1; --again merges it once more" in ended.stdout
    place.run("migrate", "--yes", "--again", variables=settings).succeeded()
    assert place.rows("SELECT * FROM roles") == [(1, "admin")]
    assert place.retired() == [preserved]


def test_one_table_alone_is_merged_once_more(place: Place, preserved: Path) -> None:
    place.rows("UPDATE bag SET word = 'b'")
    again = ("migrate", "--yes", "--again", "--sqlite-url", str(preserved), "--table", "roles")
    place.run(*again, "--on-conflict", "overwrite").succeeded()
    assert place.rows("SELECT * FROM roles") == [(1, "admin")]
    assert place.rows("SELECT * FROM bag") == [("b",), ("b",)]


def test_a_file_that_keeps_its_name_is_merged_once_more(place: Place, preserved: Path) -> None:
    """As after a mount that did not allow renaming it: the ledger knows it under its old name."""
    preserved.rename(place.file)
    place.rows("UPDATE entrypoint.runs SET retired_path = NULL")
    again = ("migrate", "--yes", "--again", "--sqlite-url", str(place.file), "--on-conflict", "overwrite")
    place.run(*again).succeeded()
    assert place.rows("SELECT * FROM roles") == [(1, "admin")]
    assert [run[0] for run in place.runs()] == ["succeeded"] * 2
    assert len(place.retired()) == 1
    assert place.run().succeeded().events == []


def test_the_file_has_to_be_named(place: Place, preserved: Path) -> None:
    assert "--sqlite-url" in place.run("migrate", "--yes", "--again").failed_with(64)
    assert preserved.exists()
    missing = str(place.data / "none.db")
    place.run("migrate", "--yes", "--again", "--sqlite-url", missing).failed_with(66)
    assert len(place.runs()) == 1
