"""The default that a refusal proposes for a column without a source is one that its type takes."""

from __future__ import annotations

import json

import pytest

from tests.places import Place

pytestmark = pytest.mark.newest_server


TYPES = (
    "boolean", "smallint", "bigint", "numeric(4,2)", "real", "text", "varchar(3)", "bytea", "uuid", "json",
    "jsonb", "date", "time", "timestamptz", "interval", "int[]", "text[]", "jsonb[]", "mood", "mood[]",
    "mood2",
)  # fmt: skip


def test_every_proposal_is_taken_as_it_stands(place: Place) -> None:
    columns = ", ".join(f"c{number} {name} NOT NULL" for number, name in enumerate(TYPES))
    place.write_schema(
        "CREATE TYPE mood AS ENUM ('glad', 'sad'); CREATE DOMAIN mood2 AS mood;"
        f"CREATE TABLE t (id int PRIMARY KEY, {columns})"
    )
    place.write_source("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)")
    place.run("schema", "up").succeeded()
    document = json.loads(place.run("migrate", "--dry-run", "--json").stdout)
    entries = {refusal["column"]: refusal["entries"] for refusal in document["refusals"]}
    assert len(entries) == len(TYPES)
    mapping = place.home / "entrypoint.toml"
    mapping.write_text(
        "".join(f"[tables.t.columns.{column}]\n{lines[0]}\n" for column, lines in entries.items())
    )
    place.run(variables={"ENTRYPOINT_CONFIG": str(mapping)}).succeeded()
    assert place.rows("SELECT count(*) FROM t") == [(1,)]
