"""Reverting, adopting, and a ledger that does not agree with the files."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from entrypoint.errors import SchemaError
from entrypoint.schema.apply import apply_pending, baseline, revert
from entrypoint.schema.layouts import read_migrations
from entrypoint.schema.ledger import applied_query, read_applied, rows_to_applied
from entrypoint.schema.migration import AppliedMigration, Migration, parse_version
from entrypoint.schema.state import compare, list_status, read_state
from tests.servers import Database, Server

pytestmark = pytest.mark.newest_server


LEDGER = "entry point"  # a name that has to be quoted


def write(directory: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (directory / name).write_text(text)


def up(database: Database, directory: Path) -> tuple[AppliedMigration, ...]:
    with database.connect() as connection:
        return apply_pending(
            connection,
            migrations=read_migrations(directory),
            ledger_schema=LEDGER,
            deadline=time.monotonic() + 30,
        )


def down(database: Database, directory: Path, *, steps: int = 1) -> tuple[Migration, ...]:
    with database.connect() as connection:
        return revert(
            connection,
            migrations=read_migrations(directory),
            ledger_schema=LEDGER,
            steps=steps,
            deadline=time.monotonic() + 30,
        )


def adopt(database: Database, directory: Path, version: str) -> tuple[AppliedMigration, ...]:
    with database.connect() as connection:
        return baseline(
            connection,
            migrations=read_migrations(directory),
            ledger_schema=LEDGER,
            version=parse_version(version),
        )


def read_rows(database: Database) -> list[tuple[Any, ...]]:
    return database.execute(f'SELECT version::text, state FROM "{LEDGER}".schema_migrations ORDER BY version')


THREE = {
    "1_a.sql": "CREATE TABLE a ()",
    "1_a_down.sql": "DROP TABLE a",
    "2_b.sql": "-- migrate:up\nCREATE TABLE b ();\n-- migrate:down\nDROP TABLE b;",
    "3_c.up.sql": "CREATE TABLE c ()",
    "3_c.down.sql": "DROP TABLE c",
}


def test_newest_is_reverted_first_with_its_row(database: Database, tmp_path: Path) -> None:
    write(tmp_path, THREE)
    up(database, tmp_path)
    assert [migration.name for migration in down(database, tmp_path)] == ["3_c"]
    assert read_rows(database) == [("1", "applied"), ("2", "applied")]
    assert [migration.name for migration in down(database, tmp_path, steps=2)] == ["2_b", "1_a"]
    assert read_rows(database) == []
    assert database.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]
    assert len(up(database, tmp_path)) == 3


def test_nothing_applied_is_said(database: Database, tmp_path: Path) -> None:
    write(tmp_path, THREE)
    with pytest.raises(SchemaError, match=r"^no migration is applied; there is nothing to revert$"):
        down(database, tmp_path)
    up(database, tmp_path)
    with pytest.raises(SchemaError, match=r"^only 3 migrations are applied"):
        down(database, tmp_path, steps=4)
    with pytest.raises(SchemaError, match="--steps"):
        down(database, tmp_path, steps=0)


def test_irreversible_migration_refuses_before_anything_is_reverted(
    database: Database, tmp_path: Path
) -> None:
    write(tmp_path, THREE)
    (tmp_path / "1_a_down.sql").unlink()
    up(database, tmp_path)
    with pytest.raises(
        SchemaError, match=r"^1_a\.sql: cannot be reverted.*; restore a backup from before it$"
    ):
        down(database, tmp_path, steps=3)
    assert len(read_rows(database)) == 3


def test_failing_down_part_leaves_row_and_tables(database: Database, tmp_path: Path) -> None:
    write(tmp_path, THREE | {"3_c.down.sql": "DROP TABLE c;\n\nDROP TABLE nothing;"})
    up(database, tmp_path)
    with pytest.raises(SchemaError, match=r"^3_c\.down\.sql:3: .*\(42P01\); .*nothing of it was applied$"):
        down(database, tmp_path)
    assert len(read_rows(database)) == 3
    assert database.execute("SELECT to_regclass('c') IS NOT NULL") == [(True,)]


def test_migration_without_its_file_is_not_reverted(database: Database, tmp_path: Path) -> None:
    write(tmp_path, THREE)
    up(database, tmp_path)
    (tmp_path / "3_c.up.sql").unlink()
    (tmp_path / "3_c.down.sql").unlink()
    with pytest.raises(
        SchemaError, match=r"^3_c: is applied, but its file is not here; revert it with the image"
    ):
        down(database, tmp_path)


def test_edited_file_is_neither_applied_over_nor_reverted(database: Database, tmp_path: Path) -> None:
    write(tmp_path, THREE)
    up(database, tmp_path)
    write(tmp_path, {"3_c.up.sql": "CREATE TABLE c (id int)", "4_d.sql": "CREATE TABLE d ()"})
    with pytest.raises(SchemaError, match=r"^3_c\.up\.sql: was edited after it was applied"):
        up(database, tmp_path)
    with pytest.raises(SchemaError, match=r"^3_c\.up\.sql: was edited"):
        down(database, tmp_path)
    assert len(read_rows(database)) == 3
    assert adopt(database, tmp_path, "3") == ()
    assert [row.name for row in up(database, tmp_path)] == ["4_d"]


def test_late_lower_number_is_an_error_and_can_be_adopted(database: Database, tmp_path: Path) -> None:
    write(tmp_path, {"1_a.sql": "CREATE TABLE a ()", "3_c.sql": "CREATE TABLE c ()"})
    up(database, tmp_path)
    write(tmp_path, {"2_b.sql": "CREATE TABLE b ()"})
    with pytest.raises(SchemaError, match=r"^2_b\.sql: is new, but 3_c .*; give it a number above 3$"):
        up(database, tmp_path)
    assert database.execute("SELECT to_regclass('b')") == [(None,)]
    (tmp_path / "2_b.sql").rename(tmp_path / "4_b.sql")
    assert [row.name for row in up(database, tmp_path)] == ["4_b"]


def test_database_ahead_of_the_files_only_warns(
    database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, {"1_a.sql": "CREATE TABLE a ()", "2_b.sql": "CREATE TABLE b ()"})
    up(database, tmp_path)
    (tmp_path / "2_b.sql").unlink()
    capsys.readouterr()
    assert up(database, tmp_path) == ()
    printed = capsys.readouterr().out
    assert "database_found_ahead" in printed
    assert "2_b" in printed


def test_tables_without_a_ledger_are_not_guessed_at(database: Database, tmp_path: Path) -> None:
    write(tmp_path, THREE)
    database.execute("CREATE TABLE a (); CREATE TABLE b ();")
    with pytest.raises(
        SchemaError, match=r"has tables \(public\.a, public\.b\).*schema up --baseline VERSION"
    ):
        up(database, tmp_path)
    assert [row.state for row in adopt(database, tmp_path, "002")] == ["baseline", "baseline"]
    assert [row.name for row in up(database, tmp_path)] == ["3_c"]
    assert read_rows(database) == [("1", "baseline"), ("2", "baseline"), ("3", "applied")]
    assert [migration.name for migration in down(database, tmp_path, steps=2)] == ["3_c", "2_b"]


def test_baseline_needs_a_version_that_is_there(database: Database, tmp_path: Path) -> None:
    write(tmp_path, THREE)
    with pytest.raises(SchemaError, match=r"^no migration has version 7; .*versions: 1, 2, 3$"):
        adopt(database, tmp_path, "7")


def test_tables_elsewhere_or_of_extensions_are_no_obstacle(
    server: Server, database: Database, tmp_path: Path
) -> None:
    write(tmp_path, THREE)
    database.execute("CREATE SCHEMA other; CREATE TABLE other.x (); CREATE VIEW v AS SELECT 1")
    # Ownership by an extension is one row in pg_depend; no extension with tables is at hand everywhere.
    server.execute("CREATE TABLE public.owned ()", database.name)
    server.execute(
        "INSERT INTO pg_depend SELECT 'pg_class'::regclass, 'public.owned'::regclass, 0, "
        "'pg_extension'::regclass, oid, 0, 'e' FROM pg_extension WHERE extname = 'plpgsql'",
        database.name,
    )
    assert len(up(database, tmp_path)) == 3


def test_ledger_of_another_run_without_migrations_does_not_count_as_tables(
    database: Database, tmp_path: Path
) -> None:
    up(database, tmp_path)
    write(tmp_path, THREE)
    assert len(up(database, tmp_path)) == 3


def test_state_and_status_need_one_query_and_create_nothing(database: Database, tmp_path: Path) -> None:
    write(tmp_path, THREE)
    migrations = read_migrations(tmp_path)
    with database.connect() as connection:
        state = read_state(connection, ledger_schema=LEDGER, migrations=migrations)
        assert [migration.name for migration in state.pending] == ["1_a", "2_b", "3_c"]
        assert read_applied(connection, LEDGER) == ()
        assert connection.execute("SELECT to_regnamespace(%s)", (f'"{LEDGER}"',)).fetchone() == (None,)
    up(database, tmp_path)
    with database.connect() as connection:
        connection.execute("SET datestyle = German; SET timezone = 'Asia/Tokyo'")
        rows = rows_to_applied(connection.execute(applied_query(LEDGER)).fetchall())
        assert compare(migrations, rows, ledger_schema=LEDGER).is_current
        assert all(row.applied_at and abs(row.applied_at.timestamp() - time.time()) < 60 for row in rows)
    assert [row.state for row in list_status(migrations, rows)] == ["applied"] * 3


BOOKS = [
    (
        "CREATE TABLE _prisma_migrations "
        "(migration_name text, finished_at timestamptz, rolled_back_at timestamptz);"
        "INSERT INTO _prisma_migrations VALUES ('1_a', now()), ('2_b', now()), ('3_c', NULL);",
        "_prisma_migrations (Prisma) that is 2",
    ),
    (
        "CREATE TABLE schema_migrations (version bigint, dirty boolean);"
        "INSERT INTO schema_migrations VALUES (2);",
        "schema_migrations (golang-migrate or dbmate) that is 2",
    ),
    (
        "CREATE TABLE schema_migrations (version varchar);"
        "INSERT INTO schema_migrations VALUES ('001'), ('0002');",
        "schema_migrations (golang-migrate or dbmate) that is 2",
    ),
    (
        "CREATE TABLE goose_db_version (version_id bigint, is_applied boolean);"
        "INSERT INTO goose_db_version VALUES (0, true), (1, true), (2, true);",
        "goose_db_version (goose) that is 2",
    ),
    (
        "CREATE TABLE __diesel_schema_migrations (version varchar); "
        "INSERT INTO __diesel_schema_migrations VALUES ('1'), ('2');",
        "__diesel_schema_migrations (diesel) that is 2",
    ),
    (
        "CREATE TABLE flyway_schema_history (installed_rank int, version text, success boolean); "
        "INSERT INTO flyway_schema_history VALUES "
        "(1, '1', true), (2, '2.0', true), (3, NULL, true), (4, '3', false);",
        "flyway_schema_history (Flyway) that is 2",
    ),
    ("CREATE TABLE schema_migrations (title text);", ", 3 if it contains all of them"),
    (
        "CREATE TABLE schema_migrations (version text); INSERT INTO schema_migrations VALUES ('99');",
        ", 3 if it contains all of them",
    ),
]


@pytest.mark.parametrize(("books", "hint"), BOOKS, ids=[hint[:26] for _, hint in BOOKS])
def test_error_says_how_far_another_tool_got(
    database: Database, tmp_path: Path, books: str, hint: str
) -> None:
    write(tmp_path, THREE)
    database.execute(books)
    with pytest.raises(SchemaError, match="schema up --baseline VERSION") as caught:
        up(database, tmp_path)
    assert str(caught.value).endswith(hint)
