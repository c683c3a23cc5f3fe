"""Rows whose value on a unique index PostgreSQL holds under another key: kept there, and followed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from entrypoint.errors import NotPermittedError, SourceRefusedError
from tests.loading import find_refusals, migrate, plan_notes, run_on, write_source, write_table
from tests.servers import Database

TARGET = """
CREATE TABLE roles (id serial PRIMARY KEY, name text NOT NULL UNIQUE, label text);
CREATE TABLE users (
    id uuid PRIMARY KEY, email text UNIQUE, role_id int REFERENCES roles, boss uuid REFERENCES users);
CREATE TABLE grants (
    role_id int REFERENCES roles, user_id uuid REFERENCES users, PRIMARY KEY (role_id, user_id));
CREATE TABLE notes (id int PRIMARY KEY, role_name text REFERENCES roles (name), body text);
INSERT INTO roles VALUES (1, 'admin', 'seeded'), (2, 'guest', 'seeded');
INSERT INTO users VALUES ('00000000-0000-0000-0000-0000000000ff', 'root@example.org', 1, NULL);
"""
SOURCE = """
CREATE TABLE roles (id INTEGER PRIMARY KEY, name TEXT UNIQUE, label);
CREATE TABLE users (id TEXT PRIMARY KEY, email TEXT UNIQUE, role_id, boss);
CREATE TABLE grants (role_id, user_id, PRIMARY KEY (role_id, user_id));
CREATE TABLE notes (id INTEGER PRIMARY KEY, role_name, body);
INSERT INTO roles VALUES (3, 'member', 'x'), (2, 'guest', 'seeded'), (7, 'admin', 'mine'), (8, 'new', NULL);
INSERT INTO users VALUES
  ('00000000-0000-0000-0000-000000000001', 'root@example.org', 7, NULL),
  ('00000000-0000-0000-0000-000000000002', 'ada@example.org', 7, '00000000-0000-0000-0000-000000000001'),
  ('00000000-0000-0000-0000-000000000003', NULL, 8, '00000000-0000-0000-0000-000000000002'),
  ('00000000-0000-0000-0000-000000000004', NULL, NULL, NULL);
INSERT INTO grants VALUES
  (7, '00000000-0000-0000-0000-000000000001'), (8, '00000000-0000-0000-0000-000000000003');
INSERT INTO notes VALUES (1, 'admin', 'by name'), (2, 'new', ''), (3, NULL, '');
"""


@pytest.fixture
def source(database: Database, tmp_path: Path) -> Path:
    database.execute(TARGET)
    return write_source(tmp_path / "a.db", SOURCE)


def read(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    return {
        "roles": database.execute("SELECT id, name, label FROM roles ORDER BY 1"),
        "users": database.execute(
            "SELECT right(id::text, 2), email, role_id, right(boss::text, 2) FROM users ORDER BY 1"
        ),
        "grants": database.execute("SELECT role_id, right(user_id::text, 2) FROM grants ORDER BY 1"),
        "notes": database.execute("SELECT id, role_name FROM notes ORDER BY 1"),
    }


EXPECTED = {
    "roles": [(1, "admin", "seeded"), (2, "guest", "seeded"), (3, "member", "x"), (8, "new", None)],
    "users": [
        ("02", "ada@example.org", 1, "ff"),
        ("03", None, 8, "02"),
        ("04", None, None, None),
        ("ff", "root@example.org", 1, None),
    ],
    "grants": [(1, "ff"), (8, "03")],
    "notes": [(1, "admin"), (2, "new"), (3, None)],
}


def test_children_follow_the_row_that_stands(database: Database, source: Path) -> None:
    ended = run_on(database, source, "migrate", "--yes", "--json", VERIFY="full")
    assert ended.code == 0, ended.stderr
    assert read(database) == EXPECTED
    tables = {table["table"]: table for table in json.loads(ended.stdout)["result"]["tables"]}
    counts = {
        name: tuple(table[outcome] for outcome in ("rows", "inserted", "unchanged", "preserved"))
        for name, table in tables.items()
    }
    assert counts == {
        "roles": (4, 2, 1, 1),
        "users": (4, 3, 0, 1),
        "grants": (2, 2, 0, 0),
        "notes": (3, 3, 0, 0),
    }
    assert "follows them" in ended.stdout
    assert "id=7 for which id=1 stands" in ended.stdout


def test_a_second_run_changes_nothing(database: Database, source: Path, tmp_path: Path) -> None:
    content = source.read_bytes()
    run_on(database, source, "migrate", "--yes")
    again = tmp_path / "again.db"
    again.write_bytes(content)
    write_source(again, "PRAGMA user_version = 1")  # another content, so that it is not recognised
    ended = run_on(database, again, "migrate", "--yes", VERIFY="full")
    assert ended.code == 0, ended.stderr
    assert read(database) == EXPECTED


@pytest.mark.parametrize("policy", ["overwrite", "fail"])
def test_other_policies_refuse_and_list_what_refers(database: Database, source: Path, policy: str) -> None:
    before = read(database)
    ended = run_on(database, source, "migrate", "--dry-run", ON_CONFLICT=policy)
    assert ended.code == 65
    assert "same unique key: users_email_key (email)" in ended.stdout
    assert "public.grants (user_id)" in ended.stdout
    assert "public.users (boss)" in ended.stdout
    assert "id=00000000-0000-0000-0000-000000000001" in ended.stdout
    assert "same unique key: roles_name_key (name)" in ended.stdout
    assert "id=7" in ended.stdout
    assert run_on(database, source, "run", "--migrate-only", ON_CONFLICT=policy).code == 65
    assert read(database) == before


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A table and its children, `c`, which refer to its `id`; one row stands, with the id 100."""

    target: str
    standing: str
    source: str = "CREATE TABLE t (id INTEGER PRIMARY KEY, v)"
    rows: Sequence[Sequence[Any]]
    followed: tuple[int, ...]


CASES = {
    "an expression": Case(
        target="CREATE TABLE t (id int PRIMARY KEY, v text); CREATE UNIQUE INDEX i ON t (lower(v))",
        standing="(100, 'Ada')",
        rows=[(1, "ADA"), (2, "bob"), (3, None)],
        followed=(1,),
    ),
    "some rows": Case(
        target="CREATE TABLE t (id int PRIMARY KEY, v text, gone date);"
        "CREATE UNIQUE INDEX i ON t (v) WHERE gone IS NULL",
        standing="(100, 'a', NULL)",
        source="CREATE TABLE t (id INTEGER PRIMARY KEY, v, gone)",
        rows=[(1, "a", "2024-01-01"), (2, "a", None), (3, "b", None)],
        followed=(2,),
    ),
    "an expression over some rows, with names": Case(
        target='CREATE TABLE t (id int PRIMARY KEY, "n 50%" text, "When" int);'
        """CREATE UNIQUE INDEX "i%s" ON t ((lower("n 50%") || '%s')) WHERE "When" % 2 = 1""",
        standing="(100, 'A', 1)",
        source='CREATE TABLE t (id INTEGER PRIMARY KEY, "n 50%", "When")',
        rows=[(1, "a", 2), (2, "a", 3), (3, "B", 3)],
        followed=(2,),
    ),
    "NULLs that are alike": Case(
        target="CREATE TABLE t (id int PRIMARY KEY, v text, w int, UNIQUE NULLS NOT DISTINCT (v, w))",
        standing="(100, 'a', NULL)",
        source="CREATE TABLE t (id INTEGER PRIMARY KEY, v, w)",
        rows=[(1, "a", None), (2, "a", 1), (3, "b", None)],
        followed=(1,),
    ),
    "a generated column": Case(
        target="CREATE TABLE t (id int PRIMARY KEY, v text,"
        " w text GENERATED ALWAYS AS (upper(v)) STORED UNIQUE)",
        standing="(100, 'a')",
        rows=[(1, "A"), (2, "b")],
        followed=(1,),
    ),
    "a partitioned table": Case(
        target="CREATE TABLE t (id int, v text) PARTITION BY LIST (id);"
        "CREATE TABLE p PARTITION OF t DEFAULT;"
        "ALTER TABLE t ADD PRIMARY KEY (id); CREATE UNIQUE INDEX i ON p (lower(v))",
        standing="(100, 'a')",
        rows=[(1, "b"), (2, "c")],
        followed=(),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_unique_index(database: Database, tmp_path: Path, name: str) -> None:
    case = CASES[name]
    database.execute(case.target)
    database.execute("CREATE TABLE c (id int PRIMARY KEY, t_id int REFERENCES t)")
    database.execute(f"INSERT INTO t VALUES {case.standing}")
    ids = [row[0] for row in case.rows]
    children = "CREATE TABLE c (id INTEGER PRIMARY KEY, t_id);" + "".join(
        f"INSERT INTO c VALUES ({number}, {number});" for number in ids
    )
    path = write_source(write_table(tmp_path / "a.db", case.source, case.rows), children)
    expected = tuple(f"id={number}" for number in case.followed)
    for policy in ("fail", "overwrite"):
        refusals, _ = plan_notes(database, path, ON_CONFLICT=policy)
        assert [refusal.keys for refusal in refusals] == [expected] * bool(expected)
        assert all("public.c (t_id)" in refusal.reason for refusal in refusals)
    content = path.read_bytes()
    for name in ("a.db", "b.db"):  # the second time nothing changes
        (tmp_path / name).write_bytes(content)
        write_source(tmp_path / name, f"PRAGMA user_version = {ord(name[0])}")
        ended = run_on(database, tmp_path / name, "migrate", "--yes", VERIFY="full")
        assert ended.code == 0, ended.stderr
        assert database.execute("SELECT id FROM t ORDER BY 1") == [
            *((number,) for number in ids if number not in case.followed),
            (100,),
        ]
        assert database.execute("SELECT id, t_id FROM c ORDER BY 1") == [
            (number, 100 if number in case.followed else number) for number in ids
        ]


def test_an_overwritten_row_that_meets_another_is_listed(database: Database, tmp_path: Path) -> None:
    database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE UNIQUE INDEX i ON t (lower(v));"
        "INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd')"
    )
    ddl = "CREATE TABLE t (id INTEGER PRIMARY KEY, v)"
    # 1 takes the place of 2, which stays; 3 takes that of 4, which becomes another; 5 that of 3.
    path = write_table(tmp_path / "a.db", ddl, [(1, "B"), (3, "x"), (4, "e"), (5, "C")])
    (refusal,) = find_refusals(database, path, ON_CONFLICT="overwrite")
    assert (refusal.keys, refusal.count) == (("id=1",), 1)
    path = write_table(tmp_path / "b.db", ddl, [(1, "f"), (3, "x"), (4, "e"), (5, "C"), (6, "A")])
    result = migrate(database, path, ON_CONFLICT="overwrite", VERIFY="full").result.tables[0]
    assert (result.inserted, result.overwritten) == (2, 3)


def test_rows_that_swap_their_values_are_left_to_postgresql(database: Database, tmp_path: Path) -> None:
    database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v text UNIQUE); INSERT INTO t VALUES (1, 'a'), (2, 'b')"
    )
    path = write_table(tmp_path / "a.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, v)", [(1, "b"), (2, "a")])
    assert plan_notes(database, path, ON_CONFLICT="overwrite")[0] == ()
    with pytest.raises(SourceRefusedError, match="t_v_key"):
        migrate(database, path, ON_CONFLICT="overwrite")
    assert database.execute("SELECT * FROM t ORDER BY 1") == [(1, "a"), (2, "b")]


def test_a_table_without_a_key(database: Database, tmp_path: Path) -> None:
    database.execute(
        "CREATE TABLE t (v text, w json); CREATE UNIQUE INDEX i ON t (lower(v));"
        "INSERT INTO t VALUES ('a', '[1]'), ('b', '[2]'), (NULL, '[3]')"
    )
    rows = [("a", "[1]"), ("B", "[2]"), (None, "[3]"), (None, "[4]"), ("c", None)]
    path = write_table(tmp_path / "a.db", "CREATE TABLE t (v, w)", rows)
    (refusal,) = find_refusals(database, path, ON_CONFLICT="fail")
    assert refusal.keys == ("v=B, w=[2]",)
    for inserted in (2, 0):
        result = migrate(database, path, VERIFY="full").result.tables[0]
        assert (result.inserted, result.preserved) == (inserted, 1)


def test_references_that_come_to_lead_to_one_row_are_refused(database: Database, tmp_path: Path) -> None:
    database.execute(
        "CREATE TABLE roles (id int PRIMARY KEY, name text UNIQUE); INSERT INTO roles VALUES (1, 'admin');"
        "CREATE TABLE t (role int REFERENCES roles, person int, PRIMARY KEY (role, person))"
    )
    path = write_source(
        tmp_path / "a.db",
        "CREATE TABLE roles (id INTEGER PRIMARY KEY, name TEXT UNIQUE);"
        "CREATE TABLE t (role INTEGER, person INTEGER, PRIMARY KEY (role, person));"
        "INSERT INTO roles VALUES (7, 'admin');"  # 1 is PostgreSQL's alone
        "INSERT INTO t VALUES (1, 5), (7, 5), (7, 6)",
    )
    for reject in ("fail", "quarantine"):
        (refusal,) = plan_notes(database, path, ON_REJECT=reject)[0]
        assert (refusal.table, refusal.keys) == ("t", ("role=1, person=5", "role=7, person=5"))


def test_an_index_whose_function_may_not_be_called_is_asked_for(database: Database, tmp_path: Path) -> None:
    database.execute(
        "CREATE FUNCTION f(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT lower($1)';"
        "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE UNIQUE INDEX i ON t (f(v));"
        "INSERT INTO t VALUES (9, 'a');"
        f"REVOKE EXECUTE ON FUNCTION f(text) FROM PUBLIC, {database.owner}"
    )
    path = write_table(tmp_path / "a.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, v)", [(1, "a"), (2, "b")])
    with pytest.raises(NotPermittedError, match=r"GRANT EXECUTE ON FUNCTION public\.f\(text\)"):
        plan_notes(database, path)


def test_an_exclusion_constraint_is_left_to_postgresql(database: Database, tmp_path: Path) -> None:
    database.execute("CREATE TABLE t (id int PRIMARY KEY, v int4range, EXCLUDE USING gist (v WITH &&))")
    rows = [(1, "[1,5)"), (2, "[4,6)")]
    path = write_table(tmp_path / "a.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, v)", rows)
    assert plan_notes(database, path)[0] == ()
    with pytest.raises(SourceRefusedError, match="t_v_excl"):
        migrate(database, path)


def test_a_key_without_overlaps_is_left_to_postgresql(database: Database, tmp_path: Path) -> None:
    if database.server.version < 18:
        pytest.skip("keys WITHOUT OVERLAPS came with PostgreSQL 18")
    database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v int4range, w int4range, UNIQUE (v, w WITHOUT OVERLAPS));"
        "INSERT INTO t VALUES (9, '[1,5)', '[1,3)')"
    )
    ddl = "CREATE TABLE t (id INTEGER PRIMARY KEY, v, w)"
    path = write_table(tmp_path / "a.db", ddl, [(1, "[2,5)", "[1,3)"), (2, "[1,5)", "[3,4)")])
    assert migrate(database, path).result.tables[0].inserted == 2
    path = write_table(tmp_path / "b.db", ddl, [(3, "[1,5)", "[2,3)")])
    with pytest.raises(SourceRefusedError, match="t_v_w_key"):
        migrate(database, path)
