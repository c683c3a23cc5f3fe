"""Targets of unusual shape: partitions in cycles, inheritance, row security, domains, odd roles."""

from __future__ import annotations

import random

import pytest

from tests.places import Place
from tests.programs import wait_until

pytestmark = pytest.mark.newest_server


def migrate(place: Place, schema: str, source: str, **variables: str) -> None:
    place.write_schema(schema)
    place.run("schema", "up").succeeded()
    place.write_source(source)
    structure = {key: rows for key, rows in place.describe_target().items() if key.startswith("structure")}
    place.run(variables=variables).succeeded()
    after = place.describe_target()
    assert {key: after[key] for key in structure} == structure


def test_a_cycle_through_a_partitioned_table(place: Place) -> None:
    migrate(
        place,
        "CREATE TABLE a (id int, part int, b int NOT NULL, PRIMARY KEY (id, part)) PARTITION BY LIST (part);"
        "CREATE TABLE a1 PARTITION OF a FOR VALUES IN (1); CREATE TABLE a2 PARTITION OF a DEFAULT;"
        "CREATE TABLE b (id int PRIMARY KEY, a int NOT NULL, part int NOT NULL,"
        " FOREIGN KEY (a, part) REFERENCES a);"
        "ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b;",
        "CREATE TABLE a (id INTEGER, part INTEGER, b INTEGER);"
        "CREATE TABLE b (id INTEGER, a INTEGER, part INTEGER);"
        "INSERT INTO a VALUES (1, 1, 2), (1, 2, 1); INSERT INTO b VALUES (1, 1, 1), (2, 1, 2)",
    )
    assert place.rows("SELECT tableoid::regclass::text, b FROM a ORDER BY 1") == [("a1", 2), ("a2", 1)]
    assert place.rows("SELECT count(*) FROM b") == [(2,)]


def test_tables_that_inherit(place: Place) -> None:
    """A row of the child's counts as the parent's in every SELECT, and is none of its rows."""
    migrate(
        place,
        "CREATE TABLE parent (id int PRIMARY KEY, v text); CREATE TABLE child (extra int) INHERITS (parent);"
        "INSERT INTO child VALUES (1, 'x', 5)",
        "CREATE TABLE parent (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO parent VALUES (1, 'x'), (2, 'y');"
        "CREATE TABLE child (id INTEGER, v TEXT, extra INTEGER); INSERT INTO child VALUES (7, 'z', 8)",
    )
    assert place.rows("SELECT * FROM ONLY parent ORDER BY 1") == [(1, "x"), (2, "y")]
    assert place.rows("SELECT * FROM child ORDER BY 1") == [(1, "x", 5), (7, "z", 8)]


def test_row_security_that_would_hide_rows_is_refused(place: Place) -> None:
    place.write_schema(
        "CREATE TABLE t (id int PRIMARY KEY, v text UNIQUE); ALTER TABLE t ENABLE ROW LEVEL SECURITY;"
        "CREATE POLICY p ON t USING (id < 0); ALTER TABLE t FORCE ROW LEVEL SECURITY"
    )
    place.run("schema", "up").succeeded()
    place.write_source("CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 'a')")
    assert "row-level security on public.t" in place.run().failed_with(65)
    place.rows("ALTER TABLE t NO FORCE ROW LEVEL SECURITY")
    place.run().succeeded()
    assert place.rows("SELECT * FROM t") == [(1, "a")]


def test_a_domain_with_a_default_fills_a_column(place: Place) -> None:
    migrate(
        place,
        "CREATE DOMAIN state AS text NOT NULL DEFAULT 'new' CHECK (VALUE <> '');"
        "CREATE TABLE t (id int PRIMARY KEY, s state)",
        "CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)",
    )
    assert place.rows("SELECT * FROM t") == [(1, "new")]


def test_a_foreign_key_that_is_not_enforced(place: Place) -> None:
    if place.database.server.version < 18:
        pytest.skip("NOT ENFORCED came with PostgreSQL 18")
    migrate(
        place,
        "CREATE TABLE a (id int PRIMARY KEY, b int); CREATE TABLE b (id int PRIMARY KEY REFERENCES a);"
        "ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b NOT ENFORCED",
        "CREATE TABLE a (id INTEGER PRIMARY KEY, b INTEGER); CREATE TABLE b (id INTEGER PRIMARY KEY);"
        "INSERT INTO a VALUES (1, 99), (2, 1); INSERT INTO b VALUES (1)",
    )
    assert place.rows("SELECT * FROM a ORDER BY 1") == [(1, 99), (2, 1)]


def test_a_key_that_is_not_validated_yet(place: Place) -> None:
    """It is checked for the rows that arrive, and stays as it was."""
    migrate(
        place,
        "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY, a int);"
        "INSERT INTO b VALUES (9, 99);"
        "ALTER TABLE b ADD FOREIGN KEY (a) REFERENCES a NOT VALID;"
        "ALTER TABLE a ADD b int, ADD FOREIGN KEY (b) REFERENCES b NOT VALID",
        "CREATE TABLE a (id INTEGER PRIMARY KEY, b INTEGER);"
        "CREATE TABLE b (id INTEGER PRIMARY KEY, a INTEGER);"
        "INSERT INTO a VALUES (1, 1); INSERT INTO b VALUES (1, 1)",
    )
    assert place.rows("SELECT * FROM b ORDER BY 1") == [(1, 1), (9, 99)]


def test_settings_of_the_role_change_nothing(place: Place) -> None:
    settings = {
        "datestyle": "'SQL, DMY'",
        "timezone": "'Asia/Tokyo'",
        "intervalstyle": "'sql_standard'",
        "bytea_output": "'escape'",
        "extra_float_digits": "-3",
        "default_transaction_isolation": "'serializable'",
        "idle_in_transaction_session_timeout": "'200ms'",
        "lc_monetary": "'C'",
        "search_path": "'public'",
        "statement_timeout": "'20s'",
    }
    for name, value in settings.items():
        place.database.server.execute(f'ALTER ROLE "{place.database.owner}" SET {name} = {value}')
    migrate(
        place,
        "CREATE TABLE t (id int PRIMARY KEY, at timestamptz, day date, raw bytea, f float8)",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, at TEXT, day TEXT, raw BLOB, f REAL);"
        "INSERT INTO t VALUES (1, '2024-02-03 04:05:06', '2024-02-03', x'00ff5c', 0.1234567890123456)",
    )
    assert place.rows(
        "SELECT extract(epoch FROM at)::bigint, to_char(day, 'YYYY-MM-DD'), encode(raw, 'hex'),"
        " f = 0.1234567890123456 FROM t"
    ) == [(1706933106, "2024-02-03", "00ff5c", True)]


def test_a_session_that_may_not_be_idle_for_long(place: Place) -> None:
    """Waiting for the lock, or for SCHEMA_COMMAND, is no idleness that a server should end."""
    place.database.server.execute(f"ALTER ROLE \"{place.database.owner}\" SET idle_session_timeout = '300ms'")
    place.write_source("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)")
    place.rows("CREATE TABLE t (id int PRIMARY KEY)")
    place.run(variables={"SCHEMA_COMMAND": "sleep 1"}).succeeded()
    assert place.rows("SELECT * FROM t") == [(1,)]


def test_a_time_out_that_is_continued_after(place: Place) -> None:
    place.write_schema("CREATE TABLE t (id int PRIMARY KEY)")
    place.run("schema", "up").succeeded()
    place.write_source("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)")
    variables = {"MIGRATION_TIMEOUT": "1", "ON_MIGRATION_FAILURE": "continue"}
    with place.database.connect() as other:
        other.execute("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        ended = place.run("run", "--", "echo", "up", variables=variables).succeeded()
        other.execute("ROLLBACK")
    assert ended.stdout == "up\n"
    assert ended.find("migration_failed")[0]["exit_code"] == 124
    wait_until(lambda: place.backends() == 0, timeout_s=5, what="the end of backends")
    assert place.runs() == [("failed", 124, None)]


def test_a_role_that_only_has_privileges(place: Place) -> None:
    """Not the owner: rows can be loaded where nothing has to be altered, and else the remedy is named."""
    server, database = place.database.server, place.database
    server.execute(
        f'CREATE TABLE t (id int PRIMARY KEY); GRANT ALL ON t TO "{database.owner}"', database.name
    )
    place.write_source("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)")
    server.execute(
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'", database.name
    )
    server.execute("CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()", database.name)
    line = place.run().failed_with(77)
    assert f"role {database.owner} lacks what the migration needs" in line
    assert f"ALTER TABLE public.t OWNER TO {database.owner}" in line
    server.execute("DROP TRIGGER x ON t", database.name)
    place.run().succeeded()
    assert place.rows("SELECT * FROM t") == [(1,)]


@pytest.mark.parametrize(
    "limit",
    [
        "CREATE INDEX by_v ON t (v)",
        "ALTER TABLE t ADD words tsvector GENERATED ALWAYS AS (v::tsvector) STORED",
    ],
)
def test_a_value_that_is_too_large_for_what_the_target_makes_of_it(place: Place, limit: str) -> None:
    """It is the data's fault, and the reader learns which row of which table."""
    large = random.Random(1).randbytes(2_000_000).hex()
    place.write_schema(f"CREATE TABLE t (id int PRIMARY KEY, v text); {limit}")
    place.run("schema", "up").succeeded()
    place.write_source(
        f"CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'x'), (2, '{large}')"
    )
    said = place.run().failed_with(65)
    assert said.startswith("t: ")
    assert "(54000), row 2 of those that were sent" in said
