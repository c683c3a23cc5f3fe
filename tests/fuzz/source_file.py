"""Write the source of a drawn case: a SQLite file, its log, and what stands beside the tables."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from tests.fuzz.model import Case, RawText, Row, Table
from tests.fuzz.postgres_text import quote

# None of it is migrated. The shadow tables of the virtual ones hold rows.
_CLUTTER = (
    "CREATE TABLE alembic_version (version_num TEXT)",
    "INSERT INTO alembic_version VALUES ('1f')",
    "CREATE TABLE _prisma_migrations (id TEXT, checksum TEXT, migration_name TEXT)",
    "INSERT INTO _prisma_migrations VALUES ('1', '2', '3')",
    "CREATE VIEW clutter_view AS SELECT 1 AS a",
    "CREATE VIRTUAL TABLE clutter_text USING fts5(a)",
    "INSERT INTO clutter_text VALUES ('word')",
    "CREATE VIRTUAL TABLE clutter_boxes USING rtree(id, low, high)",
    "INSERT INTO clutter_boxes VALUES (1, 2, 3)",
    "CREATE TRIGGER clutter_trigger INSTEAD OF INSERT ON clutter_view BEGIN SELECT 1; END",
)
_COUNTER_AHEAD = 1000


def describe_source(table: Table) -> str:
    """Return the SQLite DDL of a table."""
    is_strict = table.layout == "strict"
    parts = []
    for position, column in enumerate(table.columns):
        declared = "ANY" if is_strict else column.declared
        if position == 0 and table.is_rowid_key:
            declared = "INTEGER PRIMARY KEY" + (" AUTOINCREMENT" if table.is_autoincrement else "")
        elif position in table.key and table.layout == "without rowid":
            declared += " NOT NULL"
        parts.append(f"{quote(column.source)} {declared}")
    for name, ddl, _ in table.source_extras:
        ddl = ddl if not is_strict or not ddl.startswith("AS") else f"ANY {ddl}"
        parts.append(f"{name} {ddl}")
    if table.key and not table.is_rowid_key and table.layout != "bare" and table.style != "mapped":
        parts.append(f"PRIMARY KEY ({', '.join(quote(table.columns[i].source) for i in table.key)})")
    suffix = {"strict": " STRICT", "without rowid": " WITHOUT ROWID"}.get(table.layout, "")
    return f"CREATE TABLE {quote(table.source)} ({', '.join(parts)}){suffix}"


def write_source(case: Case, path: Path, rows: Sequence[Sequence[Row]]) -> None:
    """Write the case's source with these rows; under WAL the newest rows stand in the log alone."""
    for suffix in ("", "-wal", "-shm", ".made", ".made-wal", ".made-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    making = Path(f"{path}.made")
    is_wal = case.journal != "delete"
    connection = sqlite3.connect(making, isolation_level=None)
    with contextlib.closing(connection):
        connection.execute(f"PRAGMA encoding='{case.encoding}'")
        connection.execute("PRAGMA synchronous=OFF")
        if is_wal:
            connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("BEGIN")
        fill_source(connection, case, rows)
        connection.execute("COMMIT")
        if case.journal == "uncommitted wal":
            _leave_uncommitted(connection, Path(f"{making}-wal"), case)
        shutil.copyfile(making, path)
        if is_wal:
            shutil.copyfile(f"{making}-wal", f"{path}-wal")
    for suffix in ("", "-wal", "-shm"):
        Path(f"{making}{suffix}").unlink(missing_ok=True)


def _leave_uncommitted(connection: sqlite3.Connection, log: Path, case: Case) -> None:
    """Begin what is never committed: too large for the cache, so that its frames stand in the log."""
    before = log.stat().st_size
    connection.execute("PRAGMA cache_size=1")
    connection.execute("BEGIN")
    for table in case.tables:
        connection.execute(f"DELETE FROM {quote(table.source)}")
    connection.execute("CREATE TABLE uncommitted (a)")
    connection.executemany("INSERT INTO uncommitted VALUES (?)", [(b"x" * 4000,)] * 20)
    assert log.stat().st_size > before, "nothing spilled into the log"


def fill_source(connection: sqlite3.Connection, case: Case, rows: Sequence[Sequence[Row]]) -> None:
    """Create the case's tables and insert rows; those that SQLite itself refuses are not in it."""
    for table, inserted in zip(case.tables, rows, strict=True):
        connection.execute(describe_source(table))
        names = ", ".join(quote(column.source) for column in table.columns)
        for row in inserted:
            if case.encoding != "UTF-8":  # what these bytes are as UTF-16 is another question
                row = tuple("a\x00b" if isinstance(cell, RawText) else cell for cell in row)
            marks = ", ".join("CAST(? AS TEXT)" if isinstance(cell, RawText) else "?" for cell in row)
            values = [cell.content if isinstance(cell, RawText) else cell for cell in row]
            with contextlib.suppress(sqlite3.Error):
                connection.execute(f"INSERT INTO {quote(table.source)} ({names}) VALUES ({marks})", values)
        if table.has_counter and table.is_counter_ahead and table.style in ("identity", "always", "serial"):
            connection.execute(
                f"UPDATE sqlite_sequence SET seq = seq + {_COUNTER_AHEAD} WHERE name = ? AND seq < 1000000",
                (table.source,),
            )
    if case.stray == "double":
        connection.execute(f"CREATE TABLE {quote(name_double(case))} (a)")
    elif case.stray != "none":
        connection.execute("CREATE TABLE stray (a)")
        if case.stray != "empty":
            connection.execute("INSERT INTO stray VALUES (1)")
    if case.has_clutter:
        for statement in _CLUTTER:
            connection.execute(statement)


def name_double(case: Case) -> str:
    """Return what a second table is called that folds to the name of the first one's target."""
    return case.tables[0].target + "_"
