"""What of the target stays as it is although the application may rely on it, and is named in the plan."""

from __future__ import annotations

import pytest

from tests.integration.test_transfer_names import plan, prepare
from tests.places import Place

pytestmark = pytest.mark.newest_server


def test_tables_that_only_a_view_or_a_virtual_table_fits(place: Place) -> None:
    prepare(
        place,
        "CREATE TABLE notes (id int PRIMARY KEY, body text); CREATE TABLE notes_search (body text);"
        "CREATE TABLE recent (id int); CREATE VIEW other AS SELECT 1",
        "CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT); INSERT INTO notes VALUES (1, 'x');"
        "CREATE VIRTUAL TABLE notes_search USING fts5(body); INSERT INTO notes_search VALUES ('x');"
        "CREATE VIEW recent AS SELECT 1 AS id; CREATE VIEW other AS SELECT 1;",
    )
    named = [note.split(";")[0] for note in plan(place)["notes"]]
    assert named == [
        "notes_search: a virtual table, which is not migrated: public.notes_search stays as it is",
        "recent: a view, which is not migrated: public.recent stays as it is",
    ]


def test_sequences_that_fill_no_column(place: Place) -> None:
    prepare(
        place,
        "CREATE SEQUENCE free; CREATE SEQUENCE used; CREATE SEQUENCE named; CREATE SEQUENCE owned;"
        "CREATE TABLE t (id serial PRIMARY KEY, a int GENERATED ALWAYS AS IDENTITY,"
        " b int DEFAULT nextval('used'), c int DEFAULT nextval('named'::text), d int);"
        "ALTER SEQUENCE owned OWNED BY t.d",
        "CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)",
    )
    (note,) = plan(place)["notes"]
    assert note.startswith("sequences that fill no column stay where they are: public.free; if")


@pytest.mark.parametrize(
    "damage",
    [
        "CREATE VIRTUAL TABLE v USING fts4(body); INSERT INTO v VALUES ('word');"
        "UPDATE v_content SET c0body = 'another'",
        "CREATE VIRTUAL TABLE v USING fts5(body); INSERT INTO v VALUES ('word');"
        "UPDATE v_content SET c0 = 'another'",
        "CREATE VIRTUAL TABLE v USING rtree(id, x0, x1); INSERT INTO v VALUES (1, 2, 3);DELETE FROM v_rowid",
    ],
)
def test_an_index_of_a_virtual_table_is_no_damage(place: Place, damage: str) -> None:
    prepare(
        place,
        "CREATE TABLE t (id int PRIMARY KEY)",
        f"CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1); {damage}",
    )
    ended = place.run()
    ended.succeeded()
    assert "virtual_table_inconsistent" in ended.stderr
    assert place.rows("SELECT id FROM t") == [(1,)]
