"""Structures of the target, one by one: rows arrive in each, and it stays what it was."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg
import pytest

from entrypoint.transfer import examine
from entrypoint.transfer import migrate as migration
from entrypoint.transfer.load.sequences import advance_sequences
from tests.loading import migrate
from tests.places import Place


def structure(place: Place) -> dict[str, list[Any]]:
    return {key: rows for key, rows in place.describe_target().items() if key.startswith("structure")}


def load(place: Place, schema: str, source: str, **variables: str) -> None:
    """Prepare both sides, and migrate twice: the second time, from another file, changes nothing."""
    place.write_schema(schema)
    place.run("schema", "up").succeeded()
    place.write_source(source)
    before = structure(place)
    place.run(variables=variables).succeeded()
    after = place.describe_target()
    assert {key: after[key] for key in before} == before
    again = place.write_source(source + ";CREATE TABLE another_fingerprint (x)", "again.db")
    place.run("migrate", "--yes", "--sqlite-url", str(again), variables=variables).succeeded()
    assert place.describe_target() == after


def refuse(place: Place, schema: str, source: str, *, code: int = 65) -> str:
    """Prepare both sides, and return the line of a migration that changes nothing on either."""
    place.write_schema(schema)
    place.run("schema", "up").succeeded()
    place.write_source(source)
    before, files = place.describe_target(), place.hash_files()
    line = place.run().failed_with(code)
    assert place.describe_target() == before
    assert place.hash_files() == files
    return line


# --- foreign keys --------------------------------------------------------------------------------

CYCLES = {
    "two tables": ("a", "b"),
    "three tables": ("a", "b", "c"),
}
TIMINGS = ("", "DEFERRABLE", "DEFERRABLE INITIALLY DEFERRED")


@pytest.mark.parametrize("timing", TIMINGS, ids=["not deferrable", "deferrable", "deferred"])
@pytest.mark.parametrize("tables", CYCLES.values(), ids=CYCLES)
def test_cycles_of_composite_keys(place: Place, tables: tuple[str, ...], timing: str) -> None:
    """NOT NULL all round; rows that stand already take part; keys are matched in another order of columns."""
    names = list(zip(tables, (*tables[1:], tables[0]), strict=True))
    schema = "".join(
        f"CREATE TABLE {table} (tenant int, id text, next_id text NOT NULL, next_tenant int NOT NULL,"
        " PRIMARY KEY (tenant, id), UNIQUE (id, tenant));"
        for table in tables
    ) + "".join(
        f"ALTER TABLE {table} ADD CONSTRAINT {table}_next FOREIGN KEY (next_id, next_tenant)"
        f" REFERENCES {other} (id, tenant) MATCH FULL {timing};"
        for table, other in names
    )
    seeds = "BEGIN; SET CONSTRAINTS ALL DEFERRED;" + "".join(
        f"ALTER TABLE {table} ALTER CONSTRAINT {table}_next DEFERRABLE INITIALLY DEFERRED;"
        for table in tables
    )
    seeds += "".join(f"INSERT INTO {table} VALUES (1, 'x', 'x', 1);" for table in tables)
    seeds += "SET CONSTRAINTS ALL IMMEDIATE;" + "".join(
        f"ALTER TABLE {table} ALTER CONSTRAINT {table}_next {timing or 'NOT DEFERRABLE'};" for table in tables
    )
    source = "".join(
        f"CREATE TABLE {table} (tenant INTEGER, id TEXT, next_id TEXT, next_tenant INTEGER);"
        f"INSERT INTO {table} VALUES (1, 'x', 'x', 1), (2, 'x', 'y', 2), (2, 'y', 'x', 2);"
        for table in tables
    )
    load(place, schema + seeds + "COMMIT;", source)
    assert [place.rows(f"SELECT count(*) FROM {table}")[0][0] for table in tables] == [3] * len(tables)


def test_rows_that_refer_forward_to_rows_of_their_own_table(place: Place) -> None:
    """Into an empty table and into one that holds the row referred to; a reference half NULL is none."""
    load(
        place,
        "CREATE TABLE tree (id int PRIMARY KEY, kind text, up int REFERENCES tree, UNIQUE (id, kind));"
        "CREATE TABLE leaves (id int PRIMARY KEY, branch int, k text,"
        " FOREIGN KEY (branch, k) REFERENCES tree (id, kind));"
        "CREATE TABLE seeded (id int PRIMARY KEY, up int REFERENCES seeded);"
        "INSERT INTO seeded VALUES (7, NULL)",
        "CREATE TABLE leaves (id INTEGER, branch INTEGER, k TEXT);"
        "INSERT INTO leaves VALUES (1, 1, 'a'), (2, 99, NULL), (3, NULL, 'zz');"
        "CREATE TABLE tree (id INTEGER PRIMARY KEY, kind TEXT, up INTEGER);"
        "INSERT INTO tree VALUES (1, 'a', 5), (2, 'b', 2), (5, 'c', 1);"
        "CREATE TABLE seeded (id INTEGER PRIMARY KEY, up INTEGER); INSERT INTO seeded VALUES (1, 9), (9, 7);",
    )
    assert place.rows("SELECT * FROM leaves ORDER BY 1") == [(1, 1, "a"), (2, 99, None), (3, None, "zz")]
    assert place.rows("SELECT * FROM seeded ORDER BY 1") == [(1, 9), (7, None), (9, 7)]


# --- triggers ------------------------------------------------------------------------------------


def test_event_triggers_are_the_superuser_s_and_stay_on(place: Place) -> None:
    """An owner cannot hold them: they see the load's ALTER TABLE, and one that forbids it is reported."""
    server, name = place.database.server, place.database.name
    place.write_schema(
        "CREATE TABLE t (id serial PRIMARY KEY); CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE 'fired'; END $$;"
        "CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()"
    )
    place.run("schema", "up").succeeded()
    place.write_source("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)")
    server.execute("CREATE TABLE public.ddl (tag text); GRANT ALL ON public.ddl TO public", name)
    server.execute(
        "CREATE FUNCTION public.note_ddl() RETURNS event_trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO public.ddl VALUES (tg_tag); END $$;"
        "CREATE FUNCTION public.forbid() RETURNS event_trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE 'no DDL in business hours'; END $$",
        name,
    )
    before = structure(place)
    server.execute(
        "CREATE EVENT TRIGGER forbidding ON ddl_command_start WHEN TAG IN ('ALTER TABLE')"
        " EXECUTE FUNCTION public.forbid()",
        name,
    )
    assert "no DDL in business hours" in place.run().failed_with(70)
    assert structure(place) == before
    server.execute("DROP EVENT TRIGGER forbidding", name)
    server.execute("CREATE EVENT TRIGGER noting ON ddl_command_end EXECUTE FUNCTION public.note_ddl()", name)
    place.run().succeeded()
    assert place.rows("SELECT id FROM t") == [(1,)]
    assert ("ALTER TABLE",) in place.rows("SELECT tag FROM ddl")


def test_triggers_are_back_after_the_session_was_killed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after SIGKILL or a lost network: what was not committed was never altered."""
    place.rows(
        "CREATE TABLE t (id int PRIMARY KEY); CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE 'fired'; END $$;"
        "CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f();"
        "CREATE RULE r AS ON INSERT TO t DO ALSO NOTHING"
    )
    before = structure(place)
    path = place.write_source("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)")

    def kill(connection: psycopg.Connection[Any], *_: object) -> None:
        place.database.server.execute(f"SELECT pg_terminate_backend({connection.info.backend_pid})")
        connection.execute("SELECT 1")

    monkeypatch.setattr(migration, "advance_sequences", kill)
    with pytest.raises(Exception, match="connection lost"):
        migrate(place.database, path)
    assert structure(place) == before
    assert place.rows("SELECT * FROM t") == []


# --- columns -------------------------------------------------------------------------------------


def test_columns_that_postgres_fills_or_dropped(place: Place) -> None:
    is_new = place.database.server.version >= 18
    virtual = ", twice int GENERATED ALWAYS AS (a * 2) VIRTUAL CHECK (twice < 100)" if is_new else ""
    load(
        place,
        "CREATE UNLOGGED TABLE t (gone int, id int GENERATED ALWAYS AS IDENTITY, lost text, a int NOT NULL,"
        f" area int GENERATED ALWAYS AS (a * a) STORED{virtual}, PRIMARY KEY (id));"
        "ALTER TABLE t DROP COLUMN gone, DROP COLUMN lost, ADD COLUMN late text DEFAULT 'later';"
        "CREATE TABLE bare (gone int, a int); ALTER TABLE bare DROP COLUMN gone",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER); INSERT INTO t VALUES (3, 4), (8, 5);"
        "CREATE TABLE bare (a INTEGER); INSERT INTO bare VALUES (1), (1)",
    )
    assert place.rows("SELECT id, a, area, late FROM t ORDER BY 1") == [
        (3, 4, 16, "later"),
        (8, 5, 25, "later"),
    ]
    assert place.rows("SELECT a FROM bare") == [(1,), (1,)]
    if is_new:
        assert place.rows("SELECT twice FROM t ORDER BY id") == [(8,), (10,)]


def test_sequences_of_texts_and_with_a_cache(place: Place) -> None:
    load(
        place,
        "CREATE SEQUENCE invoices START 100; CREATE SEQUENCE cached CACHE 50; CREATE SEQUENCE orders;"
        "CREATE TABLE plain (id text PRIMARY KEY DEFAULT 'INV-' || nextval('invoices'), v int);"
        "CREATE TABLE padded (v int,"
        " id varchar(20) PRIMARY KEY DEFAULT 'it''s' || lpad(nextval('orders')::text, 5, '0'));"
        "CREATE TABLE fast (id int PRIMARY KEY DEFAULT nextval('cached'), v int)",
        "CREATE TABLE plain (id TEXT PRIMARY KEY, v INTEGER); INSERT INTO plain VALUES"
        " ('INV-9', 1), ('INV-120', 1), ('INV-x', 1), ('OLD-9999', 1), ('INV-99999999999999999999999', 1);"
        "CREATE TABLE padded (id TEXT PRIMARY KEY, v INTEGER); INSERT INTO padded VALUES ('it''s00041', 1);"
        "CREATE TABLE fast (id INTEGER PRIMARY KEY, v INTEGER); INSERT INTO fast VALUES (77, 1)",
    )
    assert place.rows("INSERT INTO plain (v) VALUES (2) RETURNING id") == [("INV-121",)]
    assert place.rows("INSERT INTO padded (v) VALUES (2) RETURNING id") == [("it's00042",)]
    assert place.rows("INSERT INTO fast (v) VALUES (2) RETURNING id") == [(78,)]


def test_a_sequence_at_its_end_is_as_it_was_after_a_failure(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = place.write_source("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (32767)")
    place.rows("CREATE TABLE t (id smallserial PRIMARY KEY)")

    def fail(*arguments: Any) -> None:
        assert advance_sequences(*arguments) == 1
        raise RuntimeError("the last moment")

    monkeypatch.setattr(migration, "advance_sequences", fail)
    with pytest.raises(RuntimeError, match="the last moment"):
        migrate(place.database, path)
    assert place.rows("SELECT last_value, is_called FROM t_id_seq") == [(1, False)]


# --- constraints that only the load can judge -------------------------------------------------------


def test_an_exclusion_constraint_names_table_and_constraint(place: Place) -> None:
    line = refuse(
        place,
        "CREATE TABLE stays (id int PRIMARY KEY, days int4range,"
        " CONSTRAINT apart EXCLUDE USING gist (days WITH &&))",
        "CREATE TABLE stays (id INTEGER PRIMARY KEY, days TEXT);"
        "INSERT INTO stays VALUES (1, '[1,5)'), (2, '[4,9)')",
    )
    assert line.startswith("stays: ")
    assert 'exclusion constraint "apart"' in line


# --- row-level security --------------------------------------------------------------------------


def test_row_security_of_a_table_that_is_only_referred_to(place: Place) -> None:
    line = refuse(
        place,
        "CREATE TABLE people (id int PRIMARY KEY); INSERT INTO people VALUES (1);"
        "CREATE TABLE notes (id int PRIMARY KEY, person int REFERENCES people);"
        "ALTER TABLE people ENABLE ROW LEVEL SECURITY; ALTER TABLE people FORCE ROW LEVEL SECURITY",
        "CREATE TABLE notes (id INTEGER PRIMARY KEY, person INTEGER); INSERT INTO notes VALUES (1, 1)",
        code=77,
    )
    assert "row-level security" in line
    assert "people" in line


# --- locks ---------------------------------------------------------------------------------------


@contextmanager
def hold_table(place: Place, mode: str) -> Iterator[int]:
    """Hold the table `t` from another session and yield its process."""
    with closing(place.database.connect(application_name="backup job")) as other:
        other.execute(f"BEGIN; LOCK TABLE t IN {mode} MODE".encode())
        yield other.info.backend_pid


def test_who_holds_a_table_is_said(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.rows("CREATE TABLE t (id int PRIMARY KEY)")
    path = place.write_source("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)")
    monkeypatch.setattr(examine, "_LOCK_TIMEOUT_S", 0.2)
    with (
        hold_table(place, "ROW EXCLUSIVE") as pid,
        pytest.raises(Exception, match="holds a table") as refused,
    ):
        migrate(place.database, path)
    assert re.search(rf"process {pid} of {place.database.owner} \(backup job\) holds t;", str(refused.value))
    assert getattr(refused.value, "exit_code", None) == 124
    with hold_table(place, "ACCESS SHARE"):  # readers go on
        migrate(place.database, path)
    assert place.rows("SELECT * FROM t") == [(1,)]


def test_a_sequence_whose_ids_are_used_up_is_said(place: Place) -> None:
    place.write_schema("CREATE TABLE t (id serial PRIMARY KEY)")
    place.write_source(
        "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO t VALUES (3000000000);"
        "DELETE FROM t; INSERT INTO t VALUES (1)"
    )
    ended = place.run()
    ended.succeeded()
    (warning,) = ended.find("sequence_exhausted")
    assert (warning["level"], warning["used"], warning["last"]) == ("warning", 3000000000, 2147483647)
