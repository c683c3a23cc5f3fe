"""Scripts outside a transaction: one statement and several, failures, and runs that were cut off."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from entrypoint.errors import EntrypointError, SchemaError
from entrypoint.schema.apply import baseline, revert
from entrypoint.schema.layouts import read_migrations
from entrypoint.schema.migration import AppliedMigration
from tests.servers import Database

pytestmark = pytest.mark.newest_server

Up = Callable[[dict[str, str]], tuple[AppliedMigration, ...]]

TABLE = {"1_t.sql": "CREATE TABLE t (a int, b int); INSERT INTO t VALUES (1, 1), (1, 2);"}


def list_indexes(database: Database) -> list[tuple[Any, ...]]:
    return database.execute(
        "SELECT indexrelid::regclass::text, indisvalid FROM pg_index "
        "WHERE indrelid = 't'::regclass ORDER BY 1"
    )


def read_rows(database: Database) -> list[tuple[Any, ...]]:
    return database.execute("SELECT version::text, state FROM entrypoint.schema_migrations ORDER BY version")


ONE = "CREATE INDEX CONCURRENTLY i1 ON t (a);\n"
TWO = "CREATE INDEX CONCURRENTLY i1 ON t (a); -- it's one\nCREATE INDEX CONCURRENTLY i2 ON t (b);\n"


@pytest.mark.parametrize(
    ("name", "text", "indexes"),
    [
        ("2_i.sql", f"-- entrypoint:no-transaction\n{ONE}", 1),
        ("2_i.sql", f"-- entrypoint:no-transaction\n{TWO}", 2),
        ("2_i.sql", f"-- migrate:up transaction:false\n{TWO}-- migrate:down\n", 2),
        ("2_i.sql", f"-- +goose NO TRANSACTION\n-- +goose Up\n{TWO}-- +goose Down\nDROP INDEX i1;", 2),
        ("2_i.up.sql", ONE, 1),
        ("2_i.up.sql", TWO, 2),
        ("2_i/migration.sql", TWO, 2),
    ],
)
def test_indexes_are_built_concurrently(
    up: Up, database: Database, name: str, text: str, indexes: int
) -> None:
    up({**TABLE, name: text})
    assert list_indexes(database) == [("i1", True), ("i2", True)][:indexes]
    assert read_rows(database) == [("1", "applied"), ("2", "applied")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("2_x.up.sql", "CREATE TYPE mood AS ENUM ('a');\nALTER TYPE mood ADD VALUE 'b';\nSELECT 'b'::mood;"),
        ("2_x.up.sql", "DO $$ BEGIN INSERT INTO t VALUES (2, 2); COMMIT; END $$;"),
        ("2_x/migration.sql", "DO $$ BEGIN INSERT INTO t VALUES (2, 2); COMMIT; END $$;\nSELECT 1;"),
        ("2_x.up.sql", "BEGIN ISOLATION LEVEL SERIALIZABLE;\nINSERT INTO t VALUES (2, 2);\nCOMMIT;"),
        ("2_x.sql", "-- entrypoint:no-transaction\nBEGIN;\nINSERT INTO t VALUES (2, 2);\nCOMMIT;\nVACUUM t;"),
    ],
)
def test_whatever_needs_transactions_of_its_own_gets_them(
    up: Up, database: Database, name: str, text: str
) -> None:
    up({**TABLE, name: text})
    assert read_rows(database)[-1] == ("2", "applied")


@pytest.mark.parametrize("name", ["2_i.sql", "V2__i.sql", "2_i/up.sql"])
def test_wrapping_layouts_say_how_to_opt_out(up: Up, database: Database, name: str) -> None:
    with pytest.raises(SchemaError, match=r"\(25001\); put the line -- entrypoint:no-transaction") as caught:
        up({**TABLE, name: f"SELECT 1;\n{ONE}"})
    assert f"{name}:2: CREATE INDEX CONCURRENTLY cannot run" in str(caught.value)
    assert read_rows(database) == [("1", "applied")]


def test_failure_that_left_nothing_is_forgotten(up: Up, database: Database) -> None:
    with pytest.raises(SchemaError, match=r"^2_i\.sql:3: .*\(42703\).*nothing of it was applied$"):
        up({**TABLE, "2_i.sql": "-- entrypoint:no-transaction\nSELECT 1;\nSELECT nothing FROM t;"})
    assert read_rows(database) == [("1", "applied")]
    up({"2_i.sql": f"-- entrypoint:no-transaction\n{ONE}"})
    assert read_rows(database) == [("1", "applied"), ("2", "applied")]


def test_half_built_index_is_detected_and_named_at_the_next_start(up: Up, database: Database) -> None:
    text = "-- entrypoint:no-transaction\nCREATE UNIQUE INDEX CONCURRENTLY i1 ON t (a);"
    with pytest.raises(SchemaError, match=r"^2_i\.sql:2: .*\(23505\); some of it may be applied"):
        up({**TABLE, "2_i.sql": text})
    assert list_indexes(database) == [("i1", False)]
    assert read_rows(database) == [("1", "applied"), ("2", "started")]
    with pytest.raises(
        SchemaError, match=r"^2_i\.sql: an earlier run.*half-built indexes: public\.i1;"
    ) as caught:
        up({})
    remedy = str(caught.value)
    assert "schema up --baseline 2" in remedy
    database.execute("DROP INDEX i1; DELETE FROM t WHERE b = 2")
    database.execute(remedy[remedy.index("DELETE FROM") :])
    up({})
    assert list_indexes(database) == [("i1", True)]
    assert read_rows(database) == [("1", "applied"), ("2", "applied")]


def test_interrupted_run_can_be_finished_by_hand(up: Up, database: Database, tmp_path: Path) -> None:
    text = "-- entrypoint:no-transaction\nVACUUM t;\nCREATE TABLE kept ();\nSELECT 1/0;\n"
    with pytest.raises(SchemaError, match=r"^2_i\.sql:4: division by zero .*some of it may be applied"):
        up({**TABLE, "2_i.sql": text})
    assert read_rows(database) == [("1", "applied"), ("2", "started")]
    with database.connect() as connection:
        assert (
            baseline(connection, migrations=read_migrations(tmp_path), ledger_schema="entrypoint", version=2)
            == ()
        )
    assert read_rows(database) == [("1", "applied"), ("2", "baseline")]
    assert up({}) == ()


def test_first_of_several_statements_that_fails_left_nothing(up: Up, database: Database) -> None:
    with pytest.raises(SchemaError, match=r"^2_i\.sql:2: .*nothing of it was applied$"):
        up({**TABLE, "2_i.sql": "-- entrypoint:no-transaction\nVACUUM nothing;\nVACUUM t;"})
    assert read_rows(database) == [("1", "applied")]


def test_transaction_left_open_is_an_error(up: Up, database: Database) -> None:
    with pytest.raises(SchemaError, match=r"^2_i\.sql: begins a transaction that it does not commit"):
        up({**TABLE, "2_i.sql": "-- entrypoint:no-transaction\nBEGIN;\nDELETE FROM t;"})
    assert database.execute("SELECT count(*) FROM t") == [(2,)]


def test_server_that_dies_leaves_the_run_marked(up: Up, database: Database) -> None:
    text = "-- entrypoint:no-transaction\nSELECT pg_terminate_backend(pg_backend_pid());"
    with pytest.raises(EntrypointError, match="connection") as caught:
        up({**TABLE, "2_i.sql": text})
    assert caught.value.exit_code == 69
    assert read_rows(database) == [("1", "applied"), ("2", "started")]


def test_interrupt_cancels_the_query_and_is_noticed_later(database: Database, up: Up, tmp_path: Path) -> None:
    up(TABLE)
    (tmp_path / "2_i.sql").write_text("-- entrypoint:no-transaction\nSELECT pg_sleep(60);")
    interrupt_when_running(database, "%pg_sleep(60)%")
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        up({})
    assert time.monotonic() - started < 10
    assert read_rows(database) == [("1", "applied"), ("2", "started")]
    with pytest.raises(SchemaError, match=r"^2_i\.sql: an earlier run"):
        up({})


def test_interrupt_rolls_a_transaction_back(database: Database, up: Up) -> None:
    interrupt_when_running(database, "%pg_sleep(60)%")
    with pytest.raises(KeyboardInterrupt):
        up({"1_a.sql": "CREATE TABLE a ();\nSELECT pg_sleep(60);"})
    assert database.execute("SELECT to_regclass('a')") == [(None,)]
    assert read_rows(database) == []
    running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND state = 'active'"
    assert database.execute(f"{running} AND pid <> pg_backend_pid()") == [(0,)]


def test_down_part_outside_a_transaction(up: Up, database: Database, tmp_path: Path) -> None:
    up(
        {
            **TABLE,
            "2_i.sql": f"-- migrate:up transaction:false\n{TWO}"
            "-- migrate:down transaction:false\nDROP INDEX CONCURRENTLY i1;\nDROP INDEX CONCURRENTLY i2;\n",
            "3_i.up.sql": "CREATE INDEX i3 ON t (b)",
            "3_i.down.sql": "DROP INDEX CONCURRENTLY i3",
        }
    )
    with database.connect() as connection:
        revert(
            connection,
            migrations=read_migrations(tmp_path),
            ledger_schema="entrypoint",
            steps=2,
            deadline=time.monotonic() + 30,
        )
    assert list_indexes(database) == []
    assert read_rows(database) == [("1", "applied")]


def test_down_part_that_fails_cleanly_leaves_the_row_as_it_was(
    up: Up, database: Database, tmp_path: Path
) -> None:
    up({**TABLE, "2_i.sql": "-- migrate:up\nSELECT 1;\n-- migrate:down transaction:false\nVACUUM nothing;\n"})
    with database.connect() as connection, pytest.raises(SchemaError, match=r"^2_i\.sql:4: .*nothing of it"):
        revert(
            connection,
            migrations=read_migrations(tmp_path),
            ledger_schema="entrypoint",
            steps=1,
            deadline=time.monotonic() + 30,
        )
    assert read_rows(database) == [("1", "applied"), ("2", "applied")]


def interrupt_when_running(database: Database, pattern: str) -> None:
    """Send this process SIGINT as soon as a query like `pattern` runs."""
    import signal

    main_thread = threading.main_thread().ident
    assert main_thread is not None

    def watch() -> None:
        with psycopg.connect(database.superuser_url, autocommit=True) as connection:
            for _ in range(1000):
                found = connection.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND state = 'active' "
                    "AND query LIKE %s AND pid <> pg_backend_pid()",
                    (database.name, pattern),
                ).fetchone()
                if found and found[0]:
                    signal.pthread_kill(main_thread, signal.SIGINT)
                    return
                time.sleep(0.02)

    threading.Thread(target=watch, daemon=True).start()
