"""What `--json` prints, held key by key against the README's table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.places import Place
from tests.unit.test_readme import read_table

pytestmark = pytest.mark.newest_server

SCHEMA = """
CREATE TABLE users (id serial PRIMARY KEY, at timestamptz, extra text);
CREATE TABLE notes (id int PRIMARY KEY, user_id int REFERENCES users, n int);
ALTER TABLE users ADD COLUMN note_id int, ADD CONSTRAINT pinned FOREIGN KEY (note_id) REFERENCES notes;
"""
SOURCE = """
CREATE TABLE users (id INTEGER PRIMARY KEY, at INTEGER, note_id INTEGER);
CREATE TABLE notes (id INTEGER PRIMARY KEY, user_id INTEGER, n);
CREATE TABLE schema_migrations (version TEXT);
INSERT INTO users VALUES (1, 1684315800250, 1), (2, NULL, NULL);
INSERT INTO notes VALUES (1, 1, 1), (2, 1, 'many');
"""

# Where a list holds refusals, which the table describes once.
_REFUSALS = ("refusals[]", "quarantined[]")
# What is described elsewhere, or has keys that are names of tables.
_OPAQUE = ("runs[].report", "result.verified.tables")


def walk(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every key of a document with its place, and what it holds; refusals are not entered."""
    if isinstance(value, dict) and path not in _OPAQUE:
        for key, item in value.items():
            here = f"{path}.{key}" if path else key
            yield here, item
            yield from walk(item, here)
    elif isinstance(value, list) and f"{path}[]" not in _REFUSALS:
        for item in value:
            yield from walk(item, f"{path}[]")


def read_documented() -> dict[str, set[str]]:
    documented: dict[str, set[str]] = {}
    for where, keys, _ in read_table("json"):
        for key in keys.split(", "):
            documented.setdefault(where, set()).add(key.strip("`"))
    return documented


def read(place: Place, *words: str, code: int = 0, **variables: str) -> dict[str, Any]:
    ended = place.run(*words, "--json", variables=variables)
    assert ended.code == code, ended.stderr
    document: dict[str, Any] = json.loads(ended.stdout)
    assert document["version"] == 1
    return document


def test_every_key_is_in_the_readme_and_no_other(place: Place) -> None:
    place.write_schema(SCHEMA)
    place.write_schema("SELECT 1", "002_later.sql")
    place.run("schema", "up").succeeded()
    (place.home / "migrations" / "001_all.sql").write_text(SCHEMA + "-- edited")
    place.write_schema("SELECT 2", "003_pending.sql")
    place.write_source(SOURCE)
    dry = ("migrate", "--dry-run")
    found: dict[str, list[dict[str, Any]]] = {"plan": [], "migrate": [], "verify": [], "status": []}
    found["plan"] += [read(place, *dry, code=65), read(place, *dry, ON_REJECT="quarantine")]
    found["status"].append(read(place, "status"))
    found["migrate"].append(read(place, "migrate", "--yes", code=65))
    found["migrate"].append(read(place, "migrate", "--yes", ON_REJECT="quarantine"))
    found["plan"].append(read(place, *dry))
    place.rows("UPDATE notes SET n = 2 WHERE id = 1")
    found["verify"].append(read(place, "verify", code=65))
    place.retired()[0].touch()
    found["status"].append(read(place, "status"))
    found["schema status"] = [read(place, "schema", "status")]

    assert [document["status"] for document in found["plan"]] == ["refused", "planned", "nothing to do"]
    assert [document["status"] for document in found["migrate"]] == ["refused", "migrated"]
    keys: dict[str, set[str]] = {"refusal": set()}
    for name, documents in found.items():
        keys[name] = set()
        for document in documents:
            for key, item in walk(document):
                keys[name].add(key)
                if f"{key}[]" in _REFUSALS:
                    keys["refusal"] |= {inner for refusal in item for inner in refusal}
    keys["migrate"] -= keys["plan"]  # it prints the plan as well
    documented = read_documented()
    assert keys.keys() == documented.keys()
    for name, found_keys in keys.items():
        assert found_keys == documented[name], name
