"""Migrations on a real server: what is applied, what is left after a failure, and what is said."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from entrypoint.errors import EntrypointError, NotPermittedError, SchemaError
from entrypoint.schema.apply import apply_pending
from entrypoint.schema.layouts import read_migrations
from entrypoint.schema.migration import AppliedMigration
from tests.servers import Database, Server

pytestmark = pytest.mark.newest_server

Up = Callable[[dict[str, str]], tuple[AppliedMigration, ...]]


def read_rows(database: Database) -> list[tuple[Any, ...]]:
    return database.execute("SELECT version::text, state FROM entrypoint.schema_migrations ORDER BY version")


def has_table(database: Database, name: str) -> bool:
    return bool(database.execute(f"SELECT to_regclass('{name}') IS NOT NULL")[0][0])


def fail(up: Up, files: dict[str, str]) -> str:
    with pytest.raises(SchemaError) as caught:
        up(files)
    assert caught.value.exit_code == 70
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_layout_in_one_directory(up: Up, database: Database) -> None:
    applied = up(
        {
            "1_a.sql": "CREATE TABLE a ()",
            "2_b.up.sql": "CREATE TABLE b ()",
            "3_c.sql": "-- migrate:up\nCREATE TABLE c ();\n-- migrate:down\nDROP TABLE c;",
            "4_d.sql": "-- +goose Up\nCREATE TABLE d ();\n-- +goose Down\nDROP TABLE d;",
            "5_e/up.sql": "CREATE TABLE e ();",
            "6_f/migration.sql": "-- CreateTable\nCREATE TABLE f ();",
            "V7__g.sql": "CREATE TABLE g ();",
            "V7.1__h.sql": "CREATE TABLE h ();",
        }
    )
    assert [row.name for row in applied] == ["1_a", "2_b", "3_c", "4_d", "5_e", "6_f", "V7__g", "V7.1__h"]
    assert all(has_table(database, name) for name in "abcdefgh")
    assert {state for _, state in read_rows(database)} == {"applied"}
    assert up({}) == ()


def test_statements_are_sent_as_they_are_written(up: Up, database: Database) -> None:
    text = """\
-- it's a comment; with "quotes" and $$
/* and /* nested; */ ' */
CREATE TABLE notes (id int PRIMARY KEY, body text DEFAULT 'semi;colon', "odd;name" text);
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    NEW.body := NEW.body || ';' || E'\\'';  -- don't stop here;
    RETURN NEW;
END;
$body$;
CREATE TRIGGER touch BEFORE INSERT ON notes FOR EACH ROW EXECUTE FUNCTION touch();
DO $do$
DECLARE n int;
BEGIN
    FOR n IN 1..3 LOOP INSERT INTO notes (id, body) VALUES (n, $q$it's; %s %% $1$q$); END LOOP;
END $do$;
INSERT INTO notes (id) VALUES (4)
"""
    up({"1_a.sql": text})
    rows = database.execute("SELECT body FROM notes ORDER BY id")
    assert rows == [("it's; %s %% $1;'",)] * 3 + [("semi;colon;'",)]


def test_windows_newlines_and_byte_order_mark(database: Database, up: Up, tmp_path: Path) -> None:
    (tmp_path / "1_a.sql").write_bytes(
        "\ufeffCREATE TABLE a (b text);\r\nINSERT INTO a VALUES ('é');\r\n".encode()
    )
    up({})
    assert database.execute("SELECT b FROM a") == [("é",)]
    (tmp_path / "1_a.sql").write_text("CREATE TABLE a (b text);\nINSERT INTO a VALUES ('é');")
    assert up({}) == ()


def test_empty_file_is_recorded_and_refused_when_it_is_filled(up: Up, database: Database) -> None:
    up({"1_a.sql": ""})
    assert read_rows(database) == [("1", "applied")]
    assert "was edited" in fail(up, {"1_a.sql": "SELECT 1"})


def test_failing_third_statement_leaves_nothing(up: Up, database: Database) -> None:
    message = fail(
        up,
        {
            "1_a.sql": "CREATE TABLE a (id int)",
            "2_b.sql": "CREATE TABLE b (id int);\nINSERT INTO b VALUES (1);\nSELECT 1/0;\nCREATE TABLE c ();",
        },
    )
    assert message.startswith("2_b.sql:3: division by zero (22012); ")
    assert message.endswith("nothing of it was applied")
    assert has_table(database, "a")
    assert not has_table(database, "b")
    assert read_rows(database) == [("1", "applied")]
    assert [row.name for row in up({"2_b.sql": "CREATE TABLE b (id int)"})] == ["2_b"]


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("1_a.sql", "SELECT 1;\n\nCREATE TABEL x ();\n", 3),
        ("1_a.sql", "SELECT 'ü𝔘\n';\r\nCREATE TABEL x ();\n", 3),
        ("1_a.up.sql", "SELECT 1;\nCREATE TABEL x ();", 2),
        ("1_a.sql", "-- head\n\n-- migrate:up\nSELECT 1;\nCREATE TABEL x ();\n-- migrate:down\n", 5),
        (
            "1_a.sql",
            "-- +goose Up\n-- +goose StatementBegin\nCREATE TABEL x ();\n-- +goose StatementEnd\n",
            3,
        ),
        ("1_a/up.sql", "\n\nCREATE TABEL x ();", 3),
        ("1_a/migration.sql", "-- CreateTable\nCREATE TABEL x ();", 2),
        ("V1__a.sql", "CREATE TABEL x ();", 1),
        ("1_a.sql", "-- entrypoint:no-transaction\nSELECT 1;\n\nCREATE TABEL x ();", 4),
        ("1_a.sql", "BEGIN;\nSELECT 1;\nCREATE TABEL x ();\nCOMMIT;\n", 3),
    ],
)
def test_syntax_error_names_file_and_line(
    up: Up, database: Database, name: str, text: str, line: int
) -> None:
    message = fail(up, {name: text})
    assert message.startswith(f'{name}:{line}: syntax error at or near "TABEL" (42601); ')
    assert message.endswith("nothing of it was applied")
    assert read_rows(database) == []


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("CREATE TABLE a ();", "42P07"),
        ("INSERT INTO u VALUES (1), (1);", "23505"),
        ("DO $$ BEGIN\n RAISE EXCEPTION 'no;'; END $$;", "P0001"),
        ("ALTER TABLE a DROP COLUMN nothing;", "42703"),
    ],
)
def test_line_is_known_where_postgresql_gives_no_position(up: Up, statement: str, code: str) -> None:
    text = f"CREATE TABLE a ();\nCREATE TABLE u (id int PRIMARY KEY);\n-- three;\n\n{statement}\nSELECT 1;"
    message = fail(up, {"1_a.sql": text})
    assert message.startswith("1_a.sql:5: ")
    assert f"({code})" in message


def test_values_of_rows_stay_out_of_the_message(up: Up) -> None:
    text = (
        "CREATE TABLE u (m text);\nINSERT INTO u VALUES ('a@b.c'), ('a@b.c');\nCREATE UNIQUE INDEX ON u (m);"
    )
    message = fail(up, {"1_a.sql": text})
    assert message.startswith("1_a.sql:3: ")
    assert "a@b.c" not in message


def test_deferred_constraint_that_fails_at_commit(up: Up, database: Database) -> None:
    text = (
        "CREATE TABLE p (id int PRIMARY KEY);\n"
        "CREATE TABLE c (p int REFERENCES p DEFERRABLE INITIALLY DEFERRED);\nINSERT INTO c VALUES (1);\n"
    )
    message = fail(up, {"1_a.sql": text})
    assert message.startswith("1_a.sql: ")
    assert "23503" in message
    assert not has_table(database, "p")
    assert read_rows(database) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT 1;\n\\connect other\n", r"1_a.sql:2: \connect is a command of psql, not SQL"),
        ("\\restrict abc\nSELECT 1;", r"1_a.sql:1: \restrict is a command of psql, not SQL"),
        ("CREATE TABLE a (b int);\nCOPY a (b) FROM stdin;\n1\n2\n\\.\n", "COPY … FROM stdin needs psql"),
        ("CREATE TABLE a (b int);\nCOPY a FROM STDIN;\n\\.\n", "COPY … FROM stdin needs psql"),
        ("CREATE TABLE a (b int);\nCOPY a FROM STDIN;\n", "1_a.sql:2: COPY … FROM stdin needs psql"),
        ("CREATE TABLE a (b int);\nCOPY a TO STDOUT;\n", "COPY … TO STDOUT has nobody to read it"),
    ],
)
def test_files_written_for_psql_are_refused(up: Up, database: Database, text: str, expected: str) -> None:
    assert expected in fail(up, {"1_a.sql": text})
    assert not has_table(database, "a")
    assert read_rows(database) == []


def test_settings_of_a_file_do_not_reach_the_next(database: Database, tmp_path: Path) -> None:
    files = {
        "1_dump.sql": "SELECT pg_catalog.set_config('search_path', '', false); SET statement_timeout = 0;"
        "SET lock_timeout = 0; SET client_encoding = 'LATIN1'; SET datestyle = 'German'; CREATE SCHEMA app;"
        "CREATE TEMP TABLE scratch (); DECLARE c CURSOR WITH HOLD FOR SELECT 1; LISTEN x;"
        "CREATE TABLE public.one ();",
        "2_plain.sql": "CREATE TABLE two (note text DEFAULT 'é'); CREATE TEMP TABLE scratch ();",
        "3_bare.sql": "-- entrypoint:no-transaction\nSET search_path = ''; ",
        "4_plain.sql": "CREATE TABLE four ();",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with database.connect(options="-c search_path=public -c work_mem=1MB") as connection:
        connection.execute("SET search_path TO app, public")
        connection.execute("SET lock_timeout = '7s'")
        apply_pending(
            connection,
            migrations=read_migrations(tmp_path),
            ledger_schema="entrypoint",
            deadline=time.monotonic() + 30,
        )
        shown = [
            connection.execute(f"SHOW {name}".encode()).fetchone()
            for name in ("search_path", "lock_timeout", "work_mem", "statement_timeout", "datestyle")
        ]
        assert shown == [("app, public",), ("7s",), ("1MB",), ("0",), ("ISO, MDY",)]
        assert connection.execute("SELECT count(*) FROM pg_cursors").fetchone() == (0,)
    assert has_table(database, "app.two")
    assert has_table(database, "app.four")
    assert database.execute(
        "SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = 'app.two'::regclass"
    ) == [("'é'::text",)]


def test_role_of_a_file_does_not_write_the_ledger(up: Up, server: Server, database: Database) -> None:
    role = f"{database.name}_app"
    server.execute(f"CREATE ROLE {role} ROLE {database.owner}")
    try:
        database.execute(
            f"GRANT CREATE ON SCHEMA public TO {role}"
        ) if server.version < 15 else server.execute(
            f"GRANT CREATE ON SCHEMA public TO {role}", database.name
        )
        up(
            {
                "1_a.sql": f"SET ROLE {role}; CREATE TABLE a ();",
                "2_b.sql": f"-- entrypoint:no-transaction\nSET ROLE {role};\nVACUUM a;",
                "3_c.sql": "CREATE TABLE c ();",
            }
        )
        owners = database.execute("SELECT tablename, tableowner FROM pg_tables WHERE schemaname = 'public'")
        assert dict(owners) == {"a": role, "c": database.owner}
    finally:
        server.execute(f"DROP OWNED BY {role}; DROP ROLE {role}", database.name)


def test_transaction_of_the_file_s_own_around_everything(up: Up, database: Database) -> None:
    up(
        {
            "1_a.sql": "BEGIN;\nCREATE TABLE a ();\nCOMMIT;\n-- that is all\n",
            "2_b.up.sql": "begin transaction;\nCREATE TABLE b ();\ncommit work",
            "3_c.sql": "CREATE FUNCTION c() RETURNS int BEGIN ATOMIC SELECT 1; END;\n",
        }
    )
    assert read_rows(database) == [("1", "applied"), ("2", "applied"), ("3", "applied")]
    message = fail(up, {"4_d.up.sql": "BEGIN; CREATE TABLE d ();\nSELECT 1/0;\nCOMMIT;"})
    assert message.endswith("nothing of it was applied")
    assert not has_table(database, "d")


def test_commit_within_a_file_is_said(up: Up, database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    up({"1_a.sql": "CREATE TABLE a ();\nCOMMIT;\nCREATE TABLE b ();"})
    assert read_rows(database) == [("1", "applied")]
    assert "migration_committed_by_itself" in capsys.readouterr().out
    message = fail(up, {"2_c.sql": "CREATE TABLE c ();\nCOMMIT;\nSELECT 1/0;"})
    assert message.startswith("2_c.sql:3: division by zero")
    assert "the file's own COMMIT has kept what stands before it" in message
    assert has_table(database, "c")


def test_rollback_within_a_file_is_an_error(up: Up, database: Database) -> None:
    message = fail(up, {"1_a.sql": "CREATE TABLE a ();\nROLLBACK;"})
    assert message.startswith("1_a.sql: was undone by a ROLLBACK of its own")
    assert read_rows(database) == []
    up({"1_a.sql": "SAVEPOINT s; CREATE TABLE a (); ROLLBACK TO s; CREATE TABLE b ();"})
    assert read_rows(database) == [("1", "applied")]
    assert (has_table(database, "a"), has_table(database, "b")) == (False, True)


def test_lost_connection_is_not_blamed_on_the_file(up: Up, database: Database) -> None:
    with pytest.raises(EntrypointError, match="connection") as caught:
        up({"1_a.sql": "CREATE TABLE a ();\nSELECT pg_terminate_backend(pg_backend_pid());"})
    assert caught.value.exit_code == 69
    assert not has_table(database, "a")


def test_ledger_that_may_not_be_created(server: Server, database: Database, tmp_path: Path) -> None:
    (tmp_path / "1_a.sql").write_text("SELECT 1")
    server.execute(f"ALTER DATABASE {database.name} OWNER TO postgres")
    server.execute(f"REVOKE CREATE ON DATABASE {database.name} FROM {database.owner}")
    with (
        database.connect() as connection,
        pytest.raises(NotPermittedError, match="may not create the ledger") as caught,
    ):
        apply_pending(
            connection,
            migrations=read_migrations(tmp_path),
            ledger_schema="entrypoint",
            deadline=time.monotonic() + 30,
        )
    assert caught.value.exit_code == 77


def test_database_of_another_encoding_gets_the_same_text(server: Server, tmp_path: Path) -> None:
    name = "latin1_for_migrations"
    server.execute(f"DROP DATABASE IF EXISTS {name}")
    server.execute(f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    try:
        (tmp_path / "1_a.sql").write_text(
            "CREATE TABLE a AS SELECT 'é'::text AS b;\n\nSELECT 'é'; CREATE TABEL"
        )
        (tmp_path / "1_a.sql").write_text("CREATE TABLE a AS SELECT 'é'::text AS b;")
        url = server.superuser_url.rsplit("/", 1)[0] + f"/{name}"
        with psycopg.connect(url, autocommit=True, client_encoding="LATIN1") as connection:
            apply_pending(
                connection,
                migrations=read_migrations(tmp_path),
                ledger_schema="entrypoint",
                deadline=time.monotonic() + 30,
            )
            assert connection.execute("SELECT b, length(b) FROM a").fetchone() == ("é", 1)
    finally:
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_missing_privilege_names_the_grant(server: Server, database: Database, up: Up) -> None:
    server.execute("CREATE SCHEMA closed; CREATE TABLE closed.t (a int)", database.name)
    with pytest.raises(
        NotPermittedError, match=r"^1_a\.sql:2: permission denied for schema closed"
    ) as caught:
        up({"1_a.sql": "SELECT 1;\nALTER TABLE closed.t ADD COLUMN b int;"})
    assert f"TO {database.owner}" in str(caught.value)


def test_extension_that_only_a_superuser_may_create(server: Server, up: Up) -> None:
    rows = server.execute(
        "SELECT name FROM pg_available_extension_versions WHERE superuser AND NOT trusted "
        "AND NOT installed AND requires IS NULL ORDER BY name"
    )
    if not rows:
        pytest.skip("this PostgreSQL comes without an extension that only a superuser may create")
    name = rows[0][0]
    with pytest.raises(
        NotPermittedError, match=rf'^1_a\.sql:1: .*superuser run CREATE EXTENSION "{name}" once'
    ):
        up({"1_a.sql": f"CREATE EXTENSION {name};"})


def test_search_path_that_leads_nowhere(database: Database, tmp_path: Path) -> None:
    (tmp_path / "1_a.sql").write_text("CREATE TABLE a ()")
    with (
        database.connect(options="-c search_path=app") as connection,
        pytest.raises(SchemaError, match=r"^1_a\.sql:1: no schema .*\(3F000\); create the schema"),
    ):
        apply_pending(
            connection,
            migrations=read_migrations(tmp_path),
            ledger_schema="entrypoint",
            deadline=time.monotonic() + 30,
        )


def test_same_migration_at_the_same_time_is_applied_once(database: Database, tmp_path: Path) -> None:
    """The lock is held elsewhere; should it ever be lost, the ledger's key is the last guard."""
    (tmp_path / "1_a.sql").write_text("CREATE TABLE IF NOT EXISTS a (n int);")
    (tmp_path / "2_b.sql").write_text("SELECT pg_sleep(0.5);\nINSERT INTO a VALUES (1);")
    migrations = read_migrations(tmp_path)
    outcomes: list[object] = []

    def apply() -> None:
        with database.connect() as connection:
            try:
                outcomes.append(
                    apply_pending(
                        connection,
                        migrations=migrations,
                        ledger_schema="entrypoint",
                        deadline=time.monotonic() + 30,
                    )
                )
            except SchemaError as error:
                outcomes.append(str(error))

    with database.connect() as connection:
        apply_pending(
            connection,
            migrations=migrations[:1],
            ledger_schema="entrypoint",
            deadline=time.monotonic() + 30,
        )
    threads = [threading.Thread(target=apply) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert database.execute("SELECT count(*) FROM a") == [(1,)]
    (refused,) = [outcome for outcome in outcomes if isinstance(outcome, str)]
    assert refused.startswith("2_b.sql: was applied by someone else at the same time")
