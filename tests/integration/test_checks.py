"""CHECK constraints and partition bounds: what they refuse is listed before the load, all of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.places import Place

SCHEMA = """
CREATE FUNCTION is_even(n int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN IF n < 0 THEN RAISE 'negative: %', n; END IF; RETURN n % 2 = 0; END $$;
CREATE TABLE parcels (
  id int PRIMARY KEY,
  state text NOT NULL CONSTRAINT known_state CHECK (state IN ('new', '100%', 'gone')),
  "Height cm" smallint CHECK ("Height cm" > 0), width numeric(5,2),
  area numeric GENERATED ALWAYS AS ("Height cm" * width) STORED CONSTRAINT big CHECK (area < 1000),
  sent timestamptz, received timestamptz, CONSTRAINT in_order CHECK (received >= sent),
  pair int CONSTRAINT even CHECK (is_even(pair)),
  extra text CONSTRAINT has_extra CHECK (extra IS NULL OR extra <> ''),
  stamp text DEFAULT 'x' CONSTRAINT stamped CHECK (stamp <> state),
  CONSTRAINT whole CHECK (parcels IS NOT NULL));
"""
SOURCE = """
CREATE TABLE parcels (id INTEGER PRIMARY KEY, state TEXT, "Height cm" INTEGER, width REAL,
  sent INTEGER, received TEXT, pair INTEGER);
INSERT INTO parcels VALUES
  (1, 'new', 5, 2.5, 1700000000, '2024-01-01', 2), (2, 'lost', 5, 2.5, NULL, NULL, NULL),
  (3, 'lost', -1, 2.5, NULL, NULL, 4), (4, '100%', 100, 10.0, NULL, NULL, 8),
  (5, 'gone', NULL, NULL, 1700000000, '2001-01-01 10:00', 3), (6, 'odd', NULL, NULL, NULL, NULL, -2);
"""


def refusals(place: Place) -> dict[str, dict[str, Any]]:
    ended = place.run("migrate", "--dry-run", "--json")
    assert ended.code == 65, ended.stderr
    return {item["reason"]: item for item in json.loads(ended.stdout)["refusals"]}


def prepare(place: Place, schema: str, source: str) -> None:
    place.write_schema(schema)
    place.run("schema", "up").succeeded()
    place.write_source(source)


def test_every_check_is_listed_with_count_and_keys(place: Place) -> None:
    prepare(place, SCHEMA, SOURCE)
    found = refusals(place)
    assert {reason.removeprefix("breaks the check "): item["keys"] for reason, item in found.items()} == {
        "known_state of public.parcels: (state = ANY (ARRAY['new'::text, '100%'::text, 'gone'::text]))": [
            "id=2",
            "id=3",
            "id=6",
        ],
        'parcels_Height cm_check of public.parcels: ("Height cm" > 0)': ["id=3"],
        "big of public.parcels: (area < (1000)::numeric)": ["id=4"],
        "in_order of public.parcels: (received >= sent)": ["id=5"],
        "even of public.parcels: is_even(pair)": ["id=5", "id=6"],
    }
    assert (
        found["breaks the check in_order of public.parcels: (received >= sent)"]["column"] == "sent, received"
    )
    before = place.describe_target()
    assert "5 refusal(s)" in place.run().failed_with(65)
    assert place.describe_target() == before


def test_rows_that_break_checks_are_quarantined(place: Place) -> None:
    prepare(place, SCHEMA.replace("parcels IS NOT NULL", "true"), SOURCE)
    place.run(variables={"ON_REJECT": "quarantine"}).succeeded()
    assert place.rows("SELECT id FROM parcels") == [(1,)]
    assert place.rows("SELECT source_key FROM entrypoint.rejects ORDER BY 1") == [
        (f"id={number}",) for number in range(2, 7)
    ]


@pytest.mark.parametrize("has_standing", [False, True])
def test_a_check_that_is_not_validated(place: Place, has_standing: bool) -> None:
    """Standing rows may break it, and be the ones that arrive; others may not."""
    prepare(
        place,
        "CREATE TABLE t (id int PRIMARY KEY, v int);"
        + ("INSERT INTO t VALUES (1, -1);" if has_standing else "")
        + "ALTER TABLE t ADD CONSTRAINT positive CHECK (v > 0) NOT VALID",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER); INSERT INTO t VALUES (1, -1), (2, 5)",
    )
    if has_standing:
        place.run().succeeded()
        assert place.rows("SELECT * FROM t ORDER BY 1") == [(1, -1), (2, 5)]
    else:
        assert [item["keys"] for item in refusals(place).values()] == [["id=1"]]
    assert place.rows("SELECT convalidated FROM pg_constraint WHERE conname = 'positive'") == [(False,)]


PARTITIONS = {
    "list": "PARTITION BY LIST (part); CREATE TABLE p1 PARTITION OF t FOR VALUES IN (1, 2)",
    "range": "PARTITION BY RANGE (part, id); CREATE TABLE p1 PARTITION OF t FOR VALUES FROM (1, 0) TO (3, 0)",
    "expression": "PARTITION BY RANGE (abs(part)); CREATE TABLE p1 PARTITION OF t FOR VALUES FROM (1) TO (3)",
    "sub-partitions": "PARTITION BY LIST (part); CREATE TABLE p PARTITION OF t FOR VALUES IN (1, 2)"
    " PARTITION BY HASH (id); CREATE TABLE p1 PARTITION OF p FOR VALUES WITH (MODULUS 2, REMAINDER 0);"
    "CREATE TABLE p2 PARTITION OF p FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
}


@pytest.mark.parametrize("bounds", PARTITIONS.values(), ids=PARTITIONS)
def test_rows_that_no_partition_takes(place: Place, bounds: str) -> None:
    prepare(
        place,
        f"CREATE TABLE t (id int, part int, v text) {bounds}",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, part INTEGER, v TEXT);"
        "INSERT INTO t VALUES (1, 1, 'x'), (2, 2, 'y'), (3, 9, 'z'), (4, NULL, '')",
    )
    (refusal,) = refusals(place).values()
    assert (refusal["reason"], refusal["keys"], refusal["count"]) == (
        "no partition of public.t takes these rows",
        ["id=3", "id=4"],
        2,
    )
    place.run(variables={"ON_REJECT": "quarantine"}).succeeded()
    assert place.rows("SELECT id FROM t ORDER BY 1") == [(1,), (2,)]


def test_partitions_by_hash_and_by_default_take_every_row(place: Place) -> None:
    prepare(
        place,
        "CREATE TABLE t (id int, v text) PARTITION BY HASH (id);"
        "CREATE TABLE t1 PARTITION OF t FOR VALUES WITH (MODULUS 2, REMAINDER 0);"
        "CREATE TABLE t2 PARTITION OF t FOR VALUES WITH (MODULUS 2, REMAINDER 1);"
        "CREATE TABLE d (id int, v text) PARTITION BY LIST (v);"
        "CREATE TABLE d1 PARTITION OF d FOR VALUES IN ('a'); CREATE TABLE d2 PARTITION OF d DEFAULT;"
        "CREATE TABLE e (id int, v text) PARTITION BY LIST (v); CREATE TABLE e1 PARTITION OF e DEFAULT;"
        "ALTER TABLE d2 ADD CONSTRAINT short CHECK (length(v) < 3)",
        "".join(
            f"CREATE TABLE {name} (id INTEGER, v TEXT);"
            f"INSERT INTO {name} VALUES (1, 'a'), (2, 'bb'), (3, NULL), (4, 'cc');"
            for name in "tde"
        )
        + "INSERT INTO d VALUES (5, 'long')",
    )
    (refusal,) = refusals(place).values()
    assert (refusal["keys"], refusal["count"]) == (["rowid=5"], 1)
    assert "breaks the check short of public.d" in refusal["reason"]
    place.run(variables={"ON_REJECT": "quarantine"}).succeeded()
    assert [place.rows(f"SELECT count(*) FROM {name}")[0][0] for name in "tde"] == [4, 4, 4]


def test_what_cannot_be_evaluated_is_left_to_the_load(place: Place) -> None:
    """Such as a function that writes, in a dry run; and where it can be, what it writes is not kept."""
    prepare(
        place,
        "CREATE TABLE log (n int);"
        "CREATE FUNCTION noting(n int) RETURNS boolean LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO log VALUES (n); RETURN n > 1; END $$;"
        "CREATE TABLE t (id int CONSTRAINT noted CHECK (noting(id)))",
        "CREATE TABLE t (id INTEGER); INSERT INTO t VALUES (2), (3)",
    )
    place.run("migrate", "--dry-run").succeeded()
    place.run().succeeded()
    assert place.rows("SELECT count(*) FROM t") == [(2,)]
    assert place.rows("SELECT n FROM log ORDER BY 1") == [(2,), (3,)]


def test_rows_of_which_a_generated_column_cannot_be_computed(place: Place) -> None:
    prepare(
        place,
        "CREATE TABLE t (id int PRIMARY KEY, doc jsonb,"
        " number bigint GENERATED ALWAYS AS ((doc -> 'number')::bigint) STORED,"
        " \"The name\" text NOT NULL GENERATED ALWAYS AS (doc ->> 'name') STORED,"
        " fine int GENERATED ALWAYS AS (id + 1) STORED)",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, doc TEXT);"
        """INSERT INTO t VALUES (1, '{"name": "x"}'), (2, '{"name": "x", "number": "two"}'),"""
        """ (3, '{"name": "x", "number": 3}'), (4, '{"name": null}'), (5, '{"name": "x", "number": []}')""",
    )
    found = {reason: item["keys"] for reason, item in refusals(place).items()}
    number = "public.t.number cannot be computed from them: cannot cast jsonb string to type bigint"
    name = "public.t.The name cannot be computed from them: NULL, and it is NOT NULL"
    assert found == {number: ["id=2", "id=5"], name: ["id=4"]}
    assert "2 refusal(s)" in place.run().failed_with(65)
    place.run(variables={"ON_REJECT": "quarantine"}).succeeded()
    assert place.rows('SELECT id, number, "The name", fine FROM t ORDER BY id') == [
        (1, None, "x", 2),
        (3, 3, "x", 4),
    ]


def test_a_start_that_is_refused_lists_what_breaks_checks_too(place: Place) -> None:
    """Or the reader corrects the file twice."""
    prepare(
        place,
        "CREATE TABLE t (id int PRIMARY KEY, n int CONSTRAINT low CHECK (n < 5), flag boolean)",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, flag);"
        "INSERT INTO t VALUES (1, 9, 1), (2, 3, 'maybe')",
    )
    assert len(refusals(place)) == 2
    assert "2 refusal(s)" in place.run().failed_with(65)
