"""Foreign keys in every shape, sequences, triggers and rules: rows arrive, and all else is as it was."""

from __future__ import annotations

import psycopg
import pytest

from tests.places import Place


def prepare(place: Place, schema: str, source: str) -> dict[str, list[object]]:
    """Apply the schema, write the source, and return the structure that must not change."""
    place.write_schema(schema)
    place.run("schema", "up").succeeded()
    place.write_source(source)
    return structure(place)


def structure(place: Place) -> dict[str, list[object]]:
    return {key: rows for key, rows in place.describe_target().items() if key.startswith("structure")}


CYCLE = """
CREATE TABLE teams (id int PRIMARY KEY, lead int NOT NULL);
CREATE TABLE people (id int PRIMARY KEY, team int NOT NULL, boss int REFERENCES people,
  deputy int CONSTRAINT deputy REFERENCES people DEFERRABLE INITIALLY DEFERRED);
ALTER TABLE teams ADD CONSTRAINT lead FOREIGN KEY (lead) REFERENCES people ON DELETE RESTRICT;
ALTER TABLE people ADD CONSTRAINT team FOREIGN KEY (team) REFERENCES teams ON UPDATE CASCADE DEFERRABLE;
CREATE TABLE a (id int PRIMARY KEY, b int NOT NULL);
CREATE TABLE b (id int PRIMARY KEY, c int NOT NULL);
CREATE TABLE c (id int PRIMARY KEY, a int NOT NULL REFERENCES a);
ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b;
ALTER TABLE b ADD FOREIGN KEY (c) REFERENCES c;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'a trigger fired'; END $$;
CREATE TRIGGER noisy BEFORE INSERT OR UPDATE ON people FOR EACH ROW EXECUTE FUNCTION refuse();
"""
CYCLE_SOURCE = """
CREATE TABLE people (id INTEGER PRIMARY KEY, team INTEGER, boss INTEGER, deputy INTEGER);
CREATE TABLE teams (id INTEGER PRIMARY KEY, lead INTEGER);
CREATE TABLE a (id INTEGER PRIMARY KEY, b INTEGER);
CREATE TABLE b (id INTEGER PRIMARY KEY, c INTEGER);
CREATE TABLE c (id INTEGER PRIMARY KEY, a INTEGER);
INSERT INTO people VALUES (1, 10, 3, 2), (2, 10, 1, NULL), (3, 20, NULL, 1);
INSERT INTO teams VALUES (10, 1), (20, 3);
INSERT INTO a VALUES (1, 1), (2, 2); INSERT INTO b VALUES (1, 2), (2, 1); INSERT INTO c VALUES (1, 1), (2, 2);
"""


def test_cycles_that_are_not_deferrable(place: Place) -> None:
    before = prepare(place, CYCLE, CYCLE_SOURCE)
    place.run().succeeded()
    assert structure(place) == before
    assert place.rows("SELECT * FROM people ORDER BY 1") == [
        (1, 10, 3, 2),
        (2, 10, 1, None),
        (3, 20, None, 1),
    ]
    assert place.rows("SELECT * FROM teams ORDER BY 1") == [(10, 1), (20, 3)]
    assert [place.rows(f"SELECT count(*) FROM {table}")[0][0] for table in "abc"] == [2, 2, 2]


@pytest.mark.parametrize(
    "orphan",
    [
        "UPDATE teams SET lead = 99",
        "UPDATE people SET boss = 99",
        "UPDATE people SET deputy = 99",
        "UPDATE c SET a = 9",
    ],
)
def test_an_orphan_in_a_cycle_leaves_everything_as_it_was(place: Place, orphan: str) -> None:
    before = prepare(place, CYCLE, CYCLE_SOURCE + orphan)
    files = place.hash_files()
    place.run().failed_with(65)
    assert structure(place) == before
    assert place.rows("SELECT count(*) FROM people") == [(0,)]
    assert place.hash_files() == files


def test_cycles_into_tables_that_hold_rows(place: Place) -> None:
    before = prepare(place, CYCLE, CYCLE_SOURCE)
    place.run().succeeded()
    place.write_source(
        CYCLE_SOURCE + "INSERT INTO people VALUES (4, 20, 4, 4); UPDATE teams SET lead = 4", "more.db"
    )
    ended = place.run(
        "migrate",
        "--yes",
        "--sqlite-url",
        str(place.data / "more.db"),
        variables={"ON_CONFLICT": "overwrite"},
    )
    ended.succeeded()
    assert structure(place) == before
    assert place.rows("SELECT * FROM teams ORDER BY 1") == [(10, 4), (20, 4)]
    assert place.rows("SELECT count(*) FROM people") == [(4,)]


REACTIONS = """
CREATE TABLE log (what text);
CREATE TABLE jobs (id int PRIMARY KEY, state text, touched int NOT NULL DEFAULT 0);
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO log VALUES (TG_NAME); NEW.touched := 1; RETURN NEW; END $$;
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO log VALUES (TG_NAME); RETURN NULL; END $$;
CREATE TRIGGER origin BEFORE INSERT OR UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION touch();
CREATE TRIGGER always BEFORE INSERT OR UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION touch();
ALTER TABLE jobs ENABLE ALWAYS TRIGGER always;
CREATE TRIGGER replica BEFORE INSERT OR UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION touch();
ALTER TABLE jobs ENABLE REPLICA TRIGGER replica;
CREATE TRIGGER disabled BEFORE INSERT OR UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION touch();
ALTER TABLE jobs DISABLE TRIGGER disabled;
CREATE TRIGGER whole AFTER INSERT ON jobs REFERENCING NEW TABLE AS added FOR EACH STATEMENT
  EXECUTE FUNCTION note();
CREATE CONSTRAINT TRIGGER later AFTER INSERT ON jobs DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
  EXECUTE FUNCTION note();
CREATE RULE noted AS ON INSERT TO jobs DO ALSO INSERT INTO log VALUES ('rule');
CREATE RULE kept AS ON UPDATE TO jobs DO INSTEAD NOTHING;
CREATE RULE never AS ON DELETE TO jobs DO INSTEAD NOTHING;
ALTER TABLE jobs DISABLE RULE never;
ALTER TABLE jobs ENABLE REPLICA RULE kept;
"""
JOBS = "CREATE TABLE jobs (id INTEGER PRIMARY KEY, state TEXT); INSERT INTO jobs VALUES (1, 'a'), (2, 'b');"


@pytest.mark.parametrize("is_standing", [False, True], ids=["empty", "holding rows"])
def test_triggers_and_rules_stay_quiet_and_keep_their_states(place: Place, is_standing: bool) -> None:
    before = prepare(place, REACTIONS, JOBS)
    if is_standing:
        place.rows(
            "BEGIN; ALTER TABLE jobs DISABLE TRIGGER USER; ALTER TABLE jobs DISABLE RULE noted;"
            "INSERT INTO jobs VALUES (1, 'old', 0); ALTER TABLE jobs ENABLE RULE noted;"
            "ALTER TABLE jobs ENABLE TRIGGER USER; ALTER TABLE jobs ENABLE ALWAYS TRIGGER always;"
            "ALTER TABLE jobs ENABLE REPLICA TRIGGER replica;"
            "ALTER TABLE jobs DISABLE TRIGGER disabled; COMMIT"
        )
        assert structure(place) == before
    place.run(variables={"ON_CONFLICT": "overwrite"}).succeeded()
    assert structure(place) == before
    assert place.rows("SELECT * FROM log") == []
    assert place.rows("SELECT * FROM jobs ORDER BY 1") == [(1, "a", 0), (2, "b", 0)]
    place.rows("INSERT INTO jobs VALUES (3, 'c')")
    assert place.rows("SELECT what FROM log ORDER BY 1") == [
        ("always",),
        ("later",),
        ("origin",),
        ("rule",),
        ("whole",),
    ]


def test_triggers_keep_their_states_after_a_failure(place: Place) -> None:
    before = prepare(place, REACTIONS + "ALTER TABLE jobs ADD CHECK (state <> 'b');", JOBS)
    place.run().failed_with(65)
    assert structure(place) == before


PARTITIONS = """
CREATE TABLE log (what text);
CREATE TABLE events (id int GENERATED BY DEFAULT AS IDENTITY, day date NOT NULL, body text,
  PRIMARY KEY (id, day))
  PARTITION BY RANGE (day);
CREATE TABLE events_2023 PARTITION OF events FOR VALUES FROM ('2023-01-01') TO ('2024-01-01');
CREATE TABLE events_rest PARTITION OF events DEFAULT PARTITION BY RANGE (id);
CREATE TABLE events_rest_all PARTITION OF events_rest DEFAULT;
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO log VALUES (TG_NAME); RETURN NULL; END $$;
CREATE TRIGGER rows AFTER INSERT ON events FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER own AFTER INSERT ON events_2023 FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER statement AFTER INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION note();
ALTER TABLE events_rest_all DISABLE TRIGGER rows;
ALTER TABLE events_2023 ENABLE ALWAYS TRIGGER own;
"""


def test_partitions_with_triggers(place: Place) -> None:
    before = prepare(
        place,
        PARTITIONS,
        "CREATE TABLE events (id INTEGER PRIMARY KEY AUTOINCREMENT, day TEXT, body TEXT);"
        "INSERT INTO events VALUES (1, '2023-05-06', 'x'), (2, '2024-05-06', 'y'), (7, '1999-01-01', NULL)",
    )
    place.run().succeeded()
    assert structure(place) == before
    assert place.rows("SELECT * FROM log") == []
    assert place.rows("SELECT tableoid::regclass::text, id FROM events ORDER BY id") == [
        ("events_2023", 1),
        ("events_rest_all", 2),
        ("events_rest_all", 7),
    ]
    assert place.rows("INSERT INTO events (day) VALUES ('2023-01-01') RETURNING id") == [(8,)]


SEQUENCES = """
CREATE SEQUENCE shared; CREATE SEQUENCE stepping INCREMENT BY 10 START 5;
CREATE SEQUENCE falling INCREMENT BY -1;
CREATE SEQUENCE ahead START 1000; CREATE SCHEMA other; CREATE SEQUENCE other."Odd Name";
CREATE TABLE always (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text);
CREATE TABLE bydefault (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, v text);
CREATE TABLE serials (id bigserial PRIMARY KEY, v text);
CREATE TABLE share1 (id int PRIMARY KEY DEFAULT nextval('shared'), v text);
CREATE TABLE share2 (id int PRIMARY KEY DEFAULT nextval('shared'), v text);
CREATE TABLE steps (id int PRIMARY KEY DEFAULT nextval('stepping'), v text);
CREATE TABLE falls (id int PRIMARY KEY DEFAULT nextval('falling'), v text);
CREATE TABLE aheads (id int PRIMARY KEY DEFAULT nextval('ahead'), v text);
CREATE TABLE numerics (id numeric PRIMARY KEY DEFAULT nextval('other."Odd Name"'), v text);
CREATE SEQUENCE "Late's"; CREATE SEQUENCE later;
CREATE TABLE latetexts (id int PRIMARY KEY DEFAULT nextval('public."Late''s"'::text), v text);
CREATE TABLE latevarchars (id int PRIMARY KEY DEFAULT nextval('later'::varchar), v text);
CREATE TABLE texts (id text PRIMARY KEY DEFAULT 'INV-' || nextval('shared'), v text);
CREATE TABLE empties (id serial PRIMARY KEY, v text);
"""
TABLES = (
    "always",
    "bydefault",
    "serials",
    "share1",
    "share2",
    "steps",
    "falls",
    "aheads",
    "numerics",
    "latetexts",
    "latevarchars",
    "empties",
)
SEQUENCE_SOURCE = (
    "".join(f"CREATE TABLE {t} (id INTEGER PRIMARY KEY AUTOINCREMENT, v TEXT);" for t in TABLES)
    + """
DROP TABLE numerics; CREATE TABLE numerics (id INTEGER PRIMARY KEY, v TEXT);
CREATE TABLE texts (id TEXT PRIMARY KEY, v TEXT); INSERT INTO texts VALUES ('INV-9', 'x');
INSERT INTO always VALUES (5, 'x'), (7, 'deleted'); DELETE FROM always WHERE id = 7;
INSERT INTO bydefault VALUES (3000000000, 'x'); INSERT INTO serials VALUES (-3, 'x'), (12, 'y');
INSERT INTO share1 VALUES (40, 'x'); INSERT INTO share2 VALUES (41, 'x'), (90,
  'gone'); DELETE FROM share2 WHERE id = 90;
INSERT INTO steps VALUES (25, 'x'); INSERT INTO falls VALUES (-8, 'x'); INSERT INTO aheads VALUES (9, 'x');
INSERT INTO latetexts VALUES (61, 'x'); INSERT INTO latevarchars VALUES (62, 'x');
INSERT INTO numerics VALUES (77, 'x'); INSERT INTO empties VALUES (6, 'gone'); DELETE FROM empties;
"""
)
NEXT = {
    "always": 8, "bydefault": 3000000001, "serials": 13, "share1": 91, "share2": 92, "steps": 26, "falls": -9,
    "aheads": 1000, "numerics": 78, "latetexts": 62, "latevarchars": 63, "empties": 7,
}  # fmt: skip


def test_sequences_end_above_every_id_ever_used(place: Place) -> None:
    prepare(place, SEQUENCES, SEQUENCE_SOURCE)
    place.run().succeeded()
    given = {
        table: place.rows(f"INSERT INTO {table} (v) VALUES ('new') RETURNING id")[0][0] for table in TABLES
    }
    assert given == NEXT


def test_sequences_stay_where_they_were_after_a_failure(place: Place) -> None:
    prepare(place, SEQUENCES + "ALTER TABLE texts ADD CHECK (v <> 'x');", SEQUENCE_SOURCE)
    before = place.describe_target()
    place.run().failed_with(65)
    assert place.describe_target() == before


@pytest.mark.parametrize(("options", "end"), [("", "maximum"), ("(INCREMENT -1 MINVALUE -9)", "minimum")])
def test_an_id_at_the_end_of_its_sequence(place: Place, options: str, end: str) -> None:
    """The next one must fail loudly rather than be given out twice."""
    prepare(
        place,
        f"CREATE TABLE t (id smallint GENERATED BY DEFAULT AS IDENTITY {options} PRIMARY KEY, v text)",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (32767, 'last'), (-9, 'x')",
    )
    place.run().succeeded()
    with pytest.raises(psycopg.errors.SequenceGeneratorLimitExceeded, match=f"reached {end} value"):
        place.rows("INSERT INTO t (v) VALUES ('one more')")


def test_generated_columns_on_both_sides(place: Place) -> None:
    prepare(
        place,
        "CREATE TABLE t (id int PRIMARY KEY, a int, double int GENERATED ALWAYS AS (a * 2) STORED, sum int,"
        " extra text DEFAULT 'filled')",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, double INTEGER,"
        " sum INTEGER GENERATED ALWAYS AS (a + id) VIRTUAL,"
        " label TEXT GENERATED ALWAYS AS (a || '!') STORED);"
        "INSERT INTO t (id, a, double) VALUES (1, 4, 999), (2, NULL, 5)",
    )
    place.run().succeeded()
    assert place.rows("SELECT id, a, double, sum, extra FROM t ORDER BY 1") == [
        (1, 4, 8, 5, "filled"),
        (2, None, None, None, "filled"),
    ]
    report = place.rows("SELECT report FROM entrypoint.runs")[0][0]
    assert {item["name"]: item["reason"] for item in report["skipped"]} == {
        "t.double": "PostgreSQL computes it",
        "t.label": "generated, and no column in the target",
    }
