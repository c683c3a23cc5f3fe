"""Rows of the source that the target's unique indexes hold equal: found before the load, with a reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from entrypoint.errors import EntrypointError
from entrypoint.transfer.collisions import doubles, twin_search
from tests.loading import find_refusals, migrate, plan_notes, run_on, write_source, write_table
from tests.servers import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One table: what the target keeps apart, what the source holds, and which keys meet on which value."""

    target: str
    source: str = "CREATE TABLE t (id INTEGER PRIMARY KEY, v)"
    rows: Sequence[Sequence[Any]]
    keys: tuple[str, ...] = ()
    value: str | None = None


UUID = "00000000-0000-0000-0000-00000000000a"
CASES = {
    "lower": Case(
        target="CREATE TABLE t (id int PRIMARY KEY, v text); CREATE UNIQUE INDEX by_mail ON t (lower(v))",
        source="CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT UNIQUE)",
        rows=[(1, "A@x"), (2, "b@x"), (3, None), (4, None), (5, "a@X")],
        keys=("id=1", "id=5"),
        value="a@x",
    ),
    "partial": Case(
        target="CREATE TABLE t (id int PRIMARY KEY, v text, gone timestamptz);"
        "CREATE UNIQUE INDEX living ON t (v) WHERE gone IS NULL",
        source="CREATE TABLE t (id INTEGER PRIMARY KEY, v, gone)",
        rows=[(1, "a", None), (2, "a", "2024-01-01"), (3, "b", "2024-01-01"), (4, "b", None), (5, "b", None)],
        keys=("id=4", "id=5"),
        value="b",
    ),
    "partial, and nothing meets": Case(
        target="CREATE TABLE t (id int PRIMARY KEY, v text, gone timestamptz);"
        "CREATE UNIQUE INDEX living ON t (lower(v)) WHERE gone IS NULL",
        source="CREATE TABLE t (id INTEGER PRIMARY KEY, v, gone)",
        rows=[(1, "a", None), (2, "A", "2024-01-01"), (3, "A", "2024-01-01"), (4, "b", None)],
    ),
    "partial, over a column the source lacks": Case(
        target="CREATE TABLE t (id int PRIMARY KEY, v text, gone timestamptz);"
        "CREATE UNIQUE INDEX living ON t (lower(v)) WHERE gone IS NULL",
        rows=[(1, "a"), (2, "A")],
        keys=("id=1", "id=2"),
        value="a",
    ),
    "an expression that fails where the predicate does not hold": Case(
        target="CREATE TABLE t (id int PRIMARY KEY, v text);"
        "CREATE UNIQUE INDEX numbers ON t ((v::int)) WHERE v ~ '^[0-9]+$'",
        rows=[(1, "7"), (2, "x"), (3, "07"), (4, "x")],
        keys=("id=1", "id=3"),
        value="7",
    ),
    "nulls not distinct": Case(
        target="CREATE TABLE t (id int PRIMARY KEY, v text, w int, UNIQUE NULLS NOT DISTINCT (v, w))",
        source="CREATE TABLE t (id INTEGER PRIMARY KEY, v, w, UNIQUE (v, w))",
        rows=[(1, "a", None), (2, "b", None), (3, "a", None), (4, "a", 1)],
        keys=("id=1", "id=3"),
        value="a, NULL",
    ),
    "two spellings of a key": Case(
        target="CREATE TABLE t (id uuid PRIMARY KEY)",
        source="CREATE TABLE t (id TEXT PRIMARY KEY)",
        rows=[(UUID,), ("{" + UUID.upper() + "}",)],
        keys=(f"id={UUID}", "id={" + UUID.upper() + "}"),
        value=UUID,
    ),
    "numbers with zeros behind": Case(
        target="CREATE TABLE t (id int PRIMARY KEY, v numeric UNIQUE)",
        source="CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB UNIQUE)",
        rows=[(1, "1.50"), (2, 1.5), (3, "2")],
        keys=("id=1", "id=2"),
        value="1.5",
    ),
    "one moment in two zones": Case(
        target="CREATE TABLE t (id int PRIMARY KEY, v timestamptz UNIQUE)",
        source="CREATE TABLE t (id INTEGER PRIMARY KEY, v UNIQUE)",
        rows=[(1, "2024-01-01T00:00:00Z"), (2, "2024-01-01 01:00:00+01:00")],
        keys=("id=1", "id=2"),
        value="2024-01-01 00:00:00+00",
    ),
    "a number and its text": Case(
        target="CREATE TABLE t (id int PRIMARY KEY, v text UNIQUE)",
        source="CREATE TABLE t (id INTEGER PRIMARY KEY, v UNIQUE)",
        rows=[(1, "1"), (2, 1), (3, 2)],
        keys=("id=1", "id=2"),
        value="1",
    ),
    "an index the source does not have": Case(
        target="CREATE TABLE t (id int PRIMARY KEY, v text, UNIQUE (v))",
        rows=[(9, "z"), (1, "a"), (2, "A"), (3, "a"), (4, "z"), (5, "z"), (6, "q"), (7, "q"), (8, None)],
        keys=("id=1", "id=3", "id=4", "id=5"),
        value="a",
    ),
    "a key the source does not have": Case(
        target="CREATE TABLE t (id int PRIMARY KEY, v text)",
        source="CREATE TABLE t (id, v)",
        rows=[(1, "a"), (2, "b"), ("01", "c")],
        keys=("rowid=1", "rowid=3"),
        value="1",
    ),
    "a generated column": Case(
        target="CREATE TABLE t (id int PRIMARY KEY, v text,"
        " w text GENERATED ALWAYS AS (lower(v)) STORED UNIQUE)",
        rows=[(1, "a"), (2, "A")],
        keys=("id=1", "id=2"),
        value="a",
    ),
    "names": Case(
        target='CREATE TABLE t (n int PRIMARY KEY, "k0%s" text, "Select" int);'
        """CREATE UNIQUE INDEX "100%" ON t ((lower("k0%s") || '%'), "Select") WHERE "k0%s" <> '%s'""",
        source='CREATE TABLE t (n INTEGER PRIMARY KEY, "k0%s", "Select")',
        rows=[(1, "a", 1), (2, "A", 1), (3, "A", 2), (4, "%s", 1), (5, "%s", 1)],
        keys=("n=1", "n=2"),
        value="a%, 1",
    ),
    "a domain, and an array": Case(
        target="CREATE DOMAIN name AS text CHECK (value <> ''); CREATE TABLE t (id int PRIMARY KEY,"
        " v public.name, w int[]); CREATE UNIQUE INDEX i ON t (upper(v::text), w)",
        source="CREATE TABLE t (id INTEGER PRIMARY KEY, v, w)",
        rows=[(1, "a", "[1,2]"), (2, "A", "{1,2}"), (3, "a", "[1]")],
        keys=("id=1", "id=2"),
        value="A, {1,2}",
    ),
    "blanks behind": Case(
        target="CREATE TABLE t (id int PRIMARY KEY, v char(3) UNIQUE)",
        source="CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT UNIQUE)",
        rows=[(1, "a"), (2, "a "), (3, "b")],
        keys=("id=1", "id=2"),
        value="a",
    ),
    "a type without a hash function": Case(
        target="CREATE TABLE t (id int PRIMARY KEY, v bit varying UNIQUE)",
        rows=[(1, "101"), (2, "1010"), (3, "101")],
        keys=("id=1", "id=3"),
        value="101",
    ),
    "a partitioned table": Case(
        target="CREATE TABLE t (id int, v text, PRIMARY KEY (id, v)) PARTITION BY LIST (v);"
        "CREATE TABLE t_a PARTITION OF t DEFAULT",
        source="CREATE TABLE t (id, v, PRIMARY KEY (id, v)) WITHOUT ROWID",
        rows=[(1, "a"), ("1", "a"), (2, "a")],
        keys=("id=1, v=a", "id=1, v=a"),
        value="1, a",
    ),
    "a key of bytes": Case(
        target="CREATE TABLE t (id bytea, v int, PRIMARY KEY (id, v), UNIQUE (id))",
        source="CREATE TABLE t (id, v, PRIMARY KEY (id, v)) WITHOUT ROWID",
        rows=[(b"a\xff", 2), (b"a\xff", 1), ("a", 3)],
        keys=("id=x'61ff', v=1", "id=x'61ff', v=2"),
        value="\\x61ff",
    ),
    "a member of a document": Case(
        target="CREATE TABLE t (id int PRIMARY KEY, v jsonb);"
        "CREATE UNIQUE INDEX i ON t ((v ->> 'slug') text_pattern_ops)",
        rows=[(1, '{"slug":"a"}'), (2, '{"slug": "a", "b": 1}'), (3, "{}"), (4, "{}")],
        keys=("id=1", "id=2"),
        value="a",
    ),
    "one row alone": Case(
        target="CREATE TABLE t (id int PRIMARY KEY, v boolean); CREATE UNIQUE INDEX i ON t ((true)) WHERE v",
        rows=[(1, 1), (2, 0), (3, 1), (4, 0)],
        keys=("id=1", "id=3"),
        value="true",
    ),
    "a constraint that is checked at the end": Case(
        target="CREATE TABLE t (id int PRIMARY KEY, v real UNIQUE DEFERRABLE INITIALLY DEFERRED)",
        rows=[(1, 0.0), (2, 1.5), (3, -0.0)],
        keys=("id=1", "id=3"),
        value="-0",
    ),
    "a column that includes another": Case(
        target="CREATE TABLE t (id int PRIMARY KEY, v text, w text);"
        "CREATE UNIQUE INDEX i ON t (v) INCLUDE (w)",
        source="CREATE TABLE t (id INTEGER PRIMARY KEY, v, w)",
        rows=[(1, "a", "x"), (2, "a", "y")],
        keys=("id=1", "id=2"),
        value="a",
    ),
    "exact keys, whatever stands beside": Case(
        target="CREATE TABLE t (id int PRIMARY KEY, v text UNIQUE, w uuid UNIQUE, UNIQUE (v, w))",
        source="CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT UNIQUE, w TEXT UNIQUE)",
        rows=[(1, "a", UUID), (2, "A", None), (3, None, UUID[:-1] + "b")],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_rows_that_meet_are_refused_together(database: Database, tmp_path: Path, name: str) -> None:
    case = CASES[name]
    database.execute(case.target)
    path = write_table(tmp_path / "a.db", case.source, case.rows)
    refusals = find_refusals(database, path)
    if not case.keys:
        assert refusals == ()
        assert migrate(database, path).result.tables[0].inserted == len(case.rows)
        return
    (refusal,) = refusals
    assert (refusal.keys, refusal.value) == (case.keys, case.value)
    _require_that_postgresql_refuses(database, path)


def _require_that_postgresql_refuses(database: Database, path: Path) -> None:
    """Left aside, the rest is what PostgreSQL takes: the first of each set and every other row."""
    result = migrate(database, path, ON_REJECT="quarantine", VERIFY="full").result.tables[0]
    assert result.inserted + result.quarantined == result.rows
    assert result.quarantined > 0


def test_case_that_a_collation_does_not_count(database: Database, tmp_path: Path) -> None:
    try:
        database.execute(
            "CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"
        )
    except psycopg.errors.FeatureNotSupported:
        pytest.skip("this PostgreSQL comes without ICU")
    database.execute(
        "CREATE DOMAIN mail AS text COLLATE ci;"
        "CREATE TABLE t (id int PRIMARY KEY, v text COLLATE ci UNIQUE, w text, x mail UNIQUE);"
        "CREATE UNIQUE INDEX words ON t (w COLLATE ci)"
    )
    ddl = "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT UNIQUE, w TEXT UNIQUE, x TEXT UNIQUE)"
    rows = [(1, "Ä", "a", "x"), (2, "ä", "b", "y"), (3, "b", "A", "z"), (4, "c", "c", "X")]
    path = write_table(tmp_path / "a.db", ddl, rows)
    found = {refusal.column: refusal.keys for refusal in find_refusals(database, path)}
    assert found == {"v": ("id=1", "id=2"), "w": ("id=1", "id=3"), "x": ("id=1", "id=4")}


def test_citext(database: Database, tmp_path: Path) -> None:
    if not database.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'citext'"):
        pytest.skip("this server has no citext")
    database.server.execute("CREATE SCHEMA extensions", database=database.name)
    database.server.execute("CREATE EXTENSION citext SCHEMA extensions", database=database.name)
    database.server.execute("GRANT USAGE ON SCHEMA extensions TO public", database=database.name)
    database.execute("CREATE TABLE t (id int PRIMARY KEY, v extensions.citext UNIQUE)")
    ddl = "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT UNIQUE)"
    path = write_table(tmp_path / "a.db", ddl, [(1, "Ada"), (2, "bob")])
    migrate(database, path)
    path = write_table(tmp_path / "b.db", ddl, [(3, "Carl"), (4, "carl")])
    assert find_refusals(database, path)[0].keys == ("id=3", "id=4")
    path = write_table(tmp_path / "c.db", ddl, [(3, "ADA")])
    assert find_refusals(database, path, ON_CONFLICT="fail")[0].keys == ("id=3",)


def test_what_refers_to_twins_is_told_and_the_first_is_kept(database: Database, tmp_path: Path) -> None:
    database.execute(
        "CREATE TABLE users (id int PRIMARY KEY, mail text);"
        "CREATE UNIQUE INDEX by_mail ON users (lower(mail));"
        "CREATE TABLE posts (id int PRIMARY KEY, author int REFERENCES users)"
    )
    path = write_source(
        tmp_path / "a.db",
        "CREATE TABLE users (id INTEGER PRIMARY KEY, mail TEXT UNIQUE);"
        "CREATE TABLE posts (id INTEGER PRIMARY KEY, author);"
        "INSERT INTO users VALUES (5, 'a@x'), (2, 'A@X'), (3, 'A@x'), (4, 'b@x');"
        "INSERT INTO posts VALUES (1, 2), (2, 3), (3, 4), (4, 5)",
    )
    ended = run_on(database, path, "migrate", "--dry-run")
    assert ended.code == 65
    assert "3 rows in 1 set(s)" in ended.stdout
    assert "by_mail (lower(mail))" in ended.stdout
    assert "public.posts (author)" in ended.stdout
    assert "id=2; id=3; …" in ended.stdout
    ended = run_on(database, path, "run", "--migrate-only", ON_REJECT="quarantine", VERIFY="full")
    assert ended.code == 0, ended.stderr
    assert database.execute("SELECT id FROM users ORDER BY 1") == [(2,), (4,)]
    assert database.execute("SELECT id, author FROM posts ORDER BY 1") == [(1, 2), (3, 4)]
    assert database.execute("SELECT source_table, source_key FROM entrypoint.rejects ORDER BY 1, 2") == [
        ("posts", "id=2"),
        ("posts", "id=4"),
        ("users", "id=3"),
        ("users", "id=5"),
    ]


def test_a_row_left_aside_for_another_reason_is_nobodys_twin(database: Database, tmp_path: Path) -> None:
    database.execute("CREATE TABLE t (id int PRIMARY KEY, v text UNIQUE, n smallint)")
    rows = [(1, "a", 99999), (2, "a", 1), (3, "b", "x"), (4, "b", None)]
    path = write_table(tmp_path / "a.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, v, n)", rows)
    result = migrate(database, path, ON_REJECT="quarantine", VERIFY="full").result.tables[0]
    assert (result.inserted, result.quarantined) == (2, 2)
    assert database.execute("SELECT id FROM t ORDER BY 1") == [(2,), (4,)]


def test_a_refused_cell_is_nobodys_twin(database: Database, tmp_path: Path) -> None:
    database.execute(
        "CREATE DOMAIN d AS text CHECK (value <> 'bad'); CREATE TABLE t (id int PRIMARY KEY, v d, n int,"
        " UNIQUE NULLS NOT DISTINCT (v, n))"
    )
    rows = [(1, "a", "x"), (2, "a", "y"), (3, "bad", 1), (4, "bad", 1), (5, "c", 1)]
    path = write_table(tmp_path / "a.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, v, n)", rows)
    assert sorted(str(refusal.column) for refusal in find_refusals(database, path)) == ["n", "v"]


def test_the_key_of_the_mapping_file(database: Database, tmp_path: Path) -> None:
    database.execute("CREATE TABLE t (id int PRIMARY KEY, v text)")
    mapping = '[tables.t]\nkey = ["v"]\n'
    path = write_table(tmp_path / "a.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, v)", [(1, "a"), (2, "a")])
    (refusal,) = find_refusals(database, path, mapping=mapping)
    assert refusal.keys == ("id=1", "id=2")


def test_an_index_over_a_default_is_left_to_postgresql(database: Database, tmp_path: Path) -> None:
    database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, v text, off boolean NOT NULL DEFAULT false);"
        "CREATE UNIQUE INDEX living ON t (v) WHERE NOT off"
    )
    path = write_table(tmp_path / "a.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, v)", [(1, "a"), (2, "a")])
    assert plan_notes(database, path)[0] == ()
    with pytest.raises(EntrypointError, match="living"):
        migrate(database, path)
    assert database.execute("SELECT count(*) FROM t") == [(0,)]


@pytest.mark.parametrize("body", ["RAISE EXCEPTION USING MESSAGE = v", "RETURN 1 / 0"])
def test_an_index_that_cannot_be_evaluated_is_noted(database: Database, tmp_path: Path, body: str) -> None:
    database.execute(
        f"CREATE FUNCTION f(v text) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN {body}; END';"
        "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE UNIQUE INDEX odd ON t (f(v))"
    )
    path = write_table(tmp_path / "a.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, v)", [(1, "a"), (2, "b")])
    refusals, notes = plan_notes(database, path)
    assert refusals == ()
    assert any("only the load will show" in note and "odd (f(v))" in note for note in notes)


def test_more_twins_than_are_held_at_once(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(twin_search, "_MOST_CANDIDATES", 6)
    monkeypatch.setattr(doubles, "_MOST_SLOTS", 16)
    monkeypatch.setattr(doubles, "_FEWEST_SLOTS", 8)
    database.execute("CREATE TABLE t (id int PRIMARY KEY, v text); CREATE UNIQUE INDEX i ON t (lower(v))")
    rows = [(number, "aAbBcDeEfFaAbBgG"[number % 16]) for number in range(40)]
    path = write_table(tmp_path / "a.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, v)", rows)
    (refusal,) = find_refusals(database, path)
    assert "at least" in refusal.reason
    assert refusal.keys[0] == "id=0"
    result = migrate(database, path, ON_REJECT="quarantine", VERIFY="full").result.tables[0]
    assert (result.inserted, result.quarantined) == (7, 33)
    assert database.execute("SELECT id, v FROM t ORDER BY 1") == [
        (0, "a"), (2, "b"), (4, "c"), (5, "D"), (6, "e"), (8, "f"), (14, "g"),
    ]  # fmt: skip


def test_nothing_is_asked_where_the_source_guarantees_it(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.execute(
        "CREATE TABLE t (id bigint PRIMARY KEY, v text UNIQUE, w uuid UNIQUE, x bytea, y varchar(9), z int,"
        " b boolean, CONSTRAINT xy UNIQUE (x, y), CONSTRAINT zbv UNIQUE NULLS NOT DISTINCT (z, b, v));"
        "CREATE UNIQUE INDEX vy ON t (v, lower(y)); CREATE UNIQUE INDEX wb ON t (w) WHERE b"
    )
    ddl = (
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v UNIQUE COLLATE NOCASE, w TEXT, x BLOB, y TEXT, z INTEGER,"
        " b BOOLEAN, UNIQUE (y, x), UNIQUE (z, b)); CREATE UNIQUE INDEX i ON t (w)"
    )
    rows: list[tuple[Any, ...]] = [
        (1, "a", UUID, b"a", "a", 1, 0),
        (2, "b", None, b"a", "b", 1, 1.0),
        (3, None, None, b"b", "a", 2, 1),
    ]
    last = (4, "c", UUID.replace("a", "c"), b"c", "c", 3, 0)
    cases: dict[tuple[Any, ...], set[str]] = {
        last: set(),
        (4, 1, *last[2:]): {"t_v_key", "vy"},  # beside it, '1' could stand
        (*last[:2], UUID.replace("a", "C"), *last[3:]): {"t_w_key", "wb"},  # another spelling
        (*last[:3], "c", *last[4:]): {"xy"},  # text, beside which its bytes could stand
        (*last[:5], None, 0): {"zbv"},  # the source could hold another NULL
    }
    run = twin_search.TwinSearch.run
    searched: set[str] = set()

    def spy(search: twin_search.TwinSearch) -> twin_search.Twins:
        searched.add(search.rows.index.name)
        return run(search)

    monkeypatch.setattr(twin_search.TwinSearch, "run", spy)
    for row, expected in cases.items():
        searched.clear()
        assert plan_notes(database, write_table(tmp_path / "a.db", ddl, [*rows, row]))[0] == ()
        assert searched == expected
