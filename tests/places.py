"""A place as a container has it: data directory, schema migrations, fresh database; and what stands there."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.programs import Ended, Running, run_program, start_program
from tests.servers import Database

# Everything of the public schemas that a migration must leave as it was, less rows and sequences.
_STRUCTURE = (
    "SELECT conrelid::regclass::text, conname, contype::text, condeferrable, condeferred, convalidated,"
    " pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid <> 0 AND {own}",
    "SELECT tgrelid::regclass::text, tgname, tgenabled::text, tgdeferrable, tginitdeferred FROM pg_trigger"
    " WHERE NOT tgisinternal AND {own_triggers}",
    "SELECT tgrelid::regclass::text, tgfoid::regproc::text, tgenabled::text, tgdeferrable, tginitdeferred"
    " FROM pg_trigger WHERE tgisinternal AND {own_triggers}",
    "SELECT ev_class::regclass::text, rulename, ev_enabled::text FROM pg_rewrite WHERE {own_rules}",
    "SELECT indexrelid::regclass::text, indisvalid, pg_get_indexdef(indexrelid) FROM pg_index"
    " WHERE indrelid IN (SELECT oid FROM pg_class WHERE {own_classes})",
    "SELECT attrelid::regclass::text, attname, attnotnull, atthasdef, attidentity::text, attgenerated::text"
    " FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped"
    " AND attrelid IN (SELECT oid FROM pg_class WHERE {own_classes})",
)
_NOT_OURS = "NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'entrypoint')"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Directories and a database.

    Attributes:
        home: holds `data` and `migrations`; open to every user.
    """

    home: Path
    database: Database

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def file(self) -> Path:
        """The source where there is only one."""
        return self.data / "app.db"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "DATABASE_URL": self.database.url,
            "SQLITE_PATHS": str(self.data),
            "MIGRATIONS_DIR": str(self.home / "migrations"),
            "ON_MIGRATION_FAILURE": "abort",
        }

    def write_schema(self, statements: str, name: str = "001_all.sql") -> None:
        (self.home / "migrations" / name).write_text(statements)

    def write_source(self, statements: str, name: str = "app.db") -> Path:
        """Make or extend a SQLite file by a script."""
        path = self.data / name
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(statements)
        return path

    def start(self, *arguments: str, **options: Any) -> Running:
        arguments, options = self._complete(arguments, options)
        return start_program(*arguments, **options)

    def run(self, *arguments: str, **options: Any) -> Ended:
        """Run `run -- true`, or the command that is given; `variables` go into the environment."""
        arguments, options = self._complete(arguments, options)
        return run_program(*arguments, **options)

    def _complete(
        self, arguments: tuple[str, ...], options: Mapping[str, Any]
    ) -> tuple[tuple[str, ...], dict[str, Any]]:
        options = dict(options)
        variables = options.pop("variables", {})
        environment = {key: value for key, value in (self.environment | variables).items() if value}
        return arguments or ("run", "--", "true"), options | {"environment": environment}

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.database.execute(query)

    def runs(self) -> list[tuple[Any, ...]]:
        """Return the ledger's data migrations: outcome, exit code, retired path."""
        if not self.rows("SELECT to_regclass('entrypoint.runs') IS NOT NULL")[0][0]:
            return []
        return self.rows("SELECT outcome, exit_code, retired_path FROM entrypoint.runs ORDER BY id")

    def retired(self) -> list[Path]:
        return sorted(path for path in self.data.iterdir() if ".migrated-" in path.name)

    def backends(self) -> int:
        """Return how many connections of the owner's are left in the database."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE usename = '{}' AND application_name <> ''"
        return int(self.database.server.execute(query.format(self.database.owner))[0][0])

    def hash_files(self) -> dict[str, str]:
        return hash_files(self.data)

    def describe_target(self) -> dict[str, list[Any]]:
        """Return every row, sequence and piece of structure outside the ledger."""
        return describe_target(self.database)


def hash_files(directory: Path) -> dict[str, str]:
    """Return the SHA-256 of every regular file by name; `-shm` holds no data and is rebuilt by readers."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.iterdir())
        if path.is_file() and not path.name.endswith("-shm")
    }


def describe_target(database: Database) -> dict[str, list[Any]]:
    own = f"(SELECT nspname FROM pg_namespace n WHERE n.oid = {{}}) {_NOT_OURS}"
    own_classes = f"relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname {_NOT_OURS})"
    texts = {
        "own": own.format("connamespace"),
        "own_classes": own_classes,
        "own_triggers": f"tgrelid IN (SELECT oid FROM pg_class WHERE {own_classes})",
        "own_rules": f"ev_class IN (SELECT oid FROM pg_class WHERE {own_classes})",
    }
    with database.connect() as connection:
        found: dict[str, list[Any]] = {
            f"structure {number}": sorted(connection.execute(query.format(**texts).encode()).fetchall())
            for number, query in enumerate(_STRUCTURE)
        }
        relations = connection.execute(
            f"SELECT oid::regclass::text, relkind::text FROM pg_class"
            f" WHERE relkind IN ('r', 'S') AND {own_classes} ORDER BY 1".encode()
        ).fetchall()
        for name, kind in relations:
            what = "t::text" if kind == "r" else "last_value, is_called"
            found[name] = sorted(connection.execute(f"SELECT {what} FROM {name} t".encode()).fetchall())
    return found


def read_source(path: Path, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Return rows of a SQLite file without touching the unit: from a copy."""
    with tempfile.TemporaryDirectory() as directory:
        for suffix in ("", "-wal", "-journal"):
            if (file := path.with_name(path.name + suffix)).exists():
                shutil.copy(file, Path(directory) / ("copy" + suffix))
        with closing(sqlite3.connect(Path(directory) / "copy")) as connection:
            return connection.execute(query, parameters).fetchall()


@contextmanager
def open_writer(path: Path) -> Iterator[sqlite3.Connection]:
    """An application's own connection to the file, in autocommit mode and without patience."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as connection:
        yield connection


def leave_in_wal(path: Path, schema: str, rows: Iterable[str]) -> None:
    """Make a unit as a killed container leaves it: `rows` committed to the write-ahead log alone."""
    with tempfile.TemporaryDirectory() as directory:
        live = Path(directory) / "live.db"
        with closing(sqlite3.connect(live, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(schema)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            for statement in rows:
                connection.execute(statement)
            for suffix in ("", "-wal"):
                shutil.copy(f"{live}{suffix}", f"{path}{suffix}")


def leave_hot_journal(path: Path) -> None:
    """Make a unit as a killed writer leaves it: uncommitted pages in the database, old ones in the journal.

    Committed are 500 rows of `notes (id, body)`, each with the body `old <id>`.
    """
    with tempfile.TemporaryDirectory() as directory:
        live = Path(directory) / "live.db"
        with closing(sqlite3.connect(live, isolation_level=None)) as connection:
            connection.execute("PRAGMA page_size = 1024")
            connection.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT)")
            connection.execute(
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)"
                " INSERT INTO notes SELECT i, 'old ' || i FROM n"
            )
            connection.execute("PRAGMA cache_size = 2")
            connection.execute("PRAGMA cache_spill = 2")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("UPDATE notes SET body = 'uncommitted ' || id")
            for suffix in ("", "-journal"):
                shutil.copy(f"{live}{suffix}", f"{path}{suffix}")
            connection.execute("ROLLBACK")


@contextmanager
def make_place(database: Database) -> Iterator[Place]:
    """A place below /tmp that other users may enter, unlike pytest's directories."""
    with tempfile.TemporaryDirectory(prefix="entrypoint-place-") as name:
        home = Path(name)
        home.chmod(0o755)
        (home / "data").mkdir()
        (home / "migrations").mkdir()
        yield Place(home=home, database=database)
