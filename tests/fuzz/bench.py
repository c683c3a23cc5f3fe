"""Lay a drawn case out on a real server, run the program on it, and read both sides back."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from entrypoint.errors import EntrypointError, NotPermittedError, SourceRefusedError
from entrypoint.progress import ProgressReporter
from entrypoint.settings import Settings
from entrypoint.sqlite.source import open_source
from entrypoint.transfer.migrate import Migrated, migrate_source
from tests.fuzz import rows as oracle
from tests.fuzz.model import Case, Row
from tests.fuzz.postgres_text import quote, read_cell, select_cell
from tests.fuzz.source_file import fill_source, write_source
from tests.fuzz.target_ddl import (
    describe_constraints,
    describe_prelude,
    describe_seeds,
    describe_tables,
    write_mapping,
    write_path,
)
from tests.loading import make_settings
from tests.programs import PROGRAM, ROOT
from tests.servers import Database

# All that a migration must leave as it was, beside the rows.
_STRUCTURE = """
WITH own AS (
    SELECT c.* FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname IN ('public', 'App "1" %s'))
SELECT 'relation', oid::text, relname, relkind::text, ROW(relowner, relacl, relpersistence, relrowsecurity,
       relforcerowsecurity, relreplident, relispartition, reloptions)::text FROM own
UNION ALL
SELECT 'constraint', conrelid::text, conname, pg_get_constraintdef(oid),
       ROW(condeferrable, condeferred, convalidated)::text
FROM pg_constraint WHERE conrelid IN (SELECT oid FROM own)
UNION ALL
SELECT 'index', indrelid::text, indexrelid::text, pg_get_indexdef(indexrelid),
       ROW(indisvalid, indisready, indimmediate, indisclustered)::text
FROM pg_index WHERE indrelid IN (SELECT oid FROM own)
UNION ALL
SELECT 'trigger', tgrelid::text, oid::text, tgenabled::text, ROW(tgdeferrable, tginitdeferred)::text
FROM pg_trigger WHERE tgrelid IN (SELECT oid FROM own)
UNION ALL
SELECT 'rule', ev_class::text, rulename, ev_enabled::text, pg_get_ruledef(oid)
FROM pg_rewrite WHERE ev_class IN (SELECT oid FROM own)
UNION ALL
SELECT 'column', a.attrelid::text, attname, attnotnull::text,
       ROW(attidentity, attgenerated, atttypid, atttypmod, attcollation, attacl, attoptions, attisdropped,
           pg_get_expr(d.adbin, d.adrelid))::text
FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid IN (SELECT oid FROM own) AND attnum > 0
UNION ALL
SELECT 'sequence', seqrelid::text, seqtypid::text, '', ROW(seqstart, seqincrement, seqmax, seqmin, seqcache,
       seqcycle)::text
FROM pg_sequence WHERE seqrelid IN (SELECT oid FROM own)
UNION ALL
SELECT 'leftover', n.nspname, c.relname, '', ''
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname LIKE 'pg_temp%'
ORDER BY 1, 2, 3, 4, 5
"""
# But those that fill a surrogate key: what nextval() gave out is not taken back, whoever rolls back.
_SEQUENCES = """
SELECT sequencename, last_value FROM pg_sequences
WHERE schemaname IN ('public', 'App "1" %s') AND sequencename NOT LIKE '%surrogate_seq' ORDER BY 1
"""
_GRANTS = """
GRANT USAGE ON SCHEMA public, {schema}, entrypoint TO {role};
GRANT ALL ON ALL TABLES IN SCHEMA public, {schema}, entrypoint TO {role};
GRANT ALL ON ALL SEQUENCES IN SCHEMA public, {schema}, entrypoint TO {role};
"""


Rows = list[tuple[Row, Row]]  # of a target: what both sides have, and the text of the rest


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Connections that outlive an example: the product's as owner and as mere user, and the oracle's own."""

    database: Database
    product: psycopg.Connection[Any]
    guest: psycopg.Connection[Any]
    observer: psycopg.Connection[Any]
    path: Path
    mapping: Path


def lay_out(bench: Bench, case: Case) -> list[list[Row]]:
    """Write the source and the target of a case and return the source's cells."""
    for item in bench.path.parent.iterdir():
        item.unlink()
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as memory:
        fill_source(memory, case, case.cells)
        cells = oracle.read_source(memory, case.tables)
    meanings = oracle.read_meanings(case.tables, cells, case.setting.timezone)
    if case.care == "clean":
        lost = oracle.purge(case.tables, meanings)
        cells = [
            [row for number, row in enumerate(rows) if number not in gone]
            for rows, gone in zip(cells, lost, strict=True)
        ]
        meanings = oracle.read_meanings(case.tables, cells, case.setting.timezone)
    write_source(case, bench.path, cells)
    path = write_path(case)
    statements = [
        "TRUNCATE entrypoint.runs CASCADE;",
        describe_prelude(case),
        describe_tables(case),
        describe_seeds(case, meanings),
        describe_constraints(case),
    ]
    if case.is_granted:
        statements.append(_GRANTS.format(schema=quote(case.schema), role=bench.guest.info.user))
    bench.observer.execute("".join(statements).encode())
    bench.product.execute(f"SET search_path = {path}".encode())
    bench.guest.execute(f"SET search_path = {path}".encode())
    bench.mapping.write_text(write_mapping(case))
    with contextlib.closing(sqlite3.connect(f"file:{bench.path}?mode=ro", uri=True)) as connection:
        found = oracle.read_source(connection, case.tables)
    Path(f"{bench.path}-shm").unlink(missing_ok=True)
    assert case.care == "damaged" or [len(rows) for rows in found] == [len(rows) for rows in cells]
    return found


# --- both sides ----------------------------------------------------------------------------------


def read_target(bench: Bench, case: Case) -> list[Rows]:
    """Return each target's rows: meanings of the columns both sides have, and the extras' text."""
    queries = []
    for number, table in enumerate(case.tables):
        parts = [select_cell(column.type, quote(column.target)) for column in table.columns]
        parts += [f"{name}::text" for name, _, _ in table.extras]
        queries.append(f"SELECT {number}, ARRAY[{', '.join(parts)}]::text[] FROM {quote(table.target)}")
    found: list[Rows] = [[] for _ in case.tables]
    for number, texts in bench.observer.execute(" UNION ALL ".join(queries).encode()):
        columns = case.tables[number].columns
        cells = tuple(read_cell(column.type, text) for column, text in zip(columns, texts, strict=False))
        found[number].append((cells, tuple(texts[len(columns) :])))
    return found


def dump(bench: Bench, case: Case) -> list[Row]:
    """Return the rows of all tables as text, the decoy's included."""
    names = [quote(table.target) for table in case.tables]
    names += [f"public.{names[0]}"] if case.schema != "public" else []
    queries = [f"SELECT {number}, r::text FROM {name} r" for number, name in enumerate(names)]
    return bench.observer.execute((" UNION ALL ".join(queries) + " ORDER BY 1, 2").encode()).fetchall()


def read_structure(bench: Bench) -> list[Row]:
    return bench.observer.execute(_STRUCTURE.encode()).fetchall()


def read_sequences(bench: Bench) -> list[Row]:
    return bench.observer.execute(_SEQUENCES.encode()).fetchall()


def read_files(path: Path) -> dict[str, bytes]:
    """Return the unit's bytes; the shared memory of a log is no data."""
    return {
        item.name: item.read_bytes()
        for item in sorted(path.parent.iterdir())
        if item.is_file() and not item.name.endswith("-shm")
    }


def count_successes(bench: Bench) -> int:
    """Return how many migrations the ledger holds for done."""
    rows = bench.observer.execute("SELECT 1 FROM entrypoint.runs WHERE outcome = 'succeeded'").fetchall()
    return len(rows)


# --- the program ---------------------------------------------------------------------------------


def choose_connection(bench: Bench, case: Case) -> psycopg.Connection[Any]:
    return bench.guest if case.is_granted else bench.product


def configure(bench: Bench, case: Case) -> Settings:
    return make_settings(bench.database, mapping=write_mapping(case), **_variables(case))


def _variables(case: Case) -> dict[str, str]:
    return {
        "ON_CONFLICT": case.setting.on_conflict,
        "ON_REJECT": case.setting.on_reject,
        "VERIFY": case.setting.verify,
        "SOURCE_TIMEZONE": case.setting.timezone,
    }


def run_here(bench: Bench, case: Case, configured: Settings) -> Migrated | EntrypointError:
    try:
        with open_source(bench.path, is_for_migration=True) as source:
            return migrate_source(
                choose_connection(bench, case),
                source,
                configured,
                before_commit=lambda: None,
                progress=ProgressReporter(),
            )
    except EntrypointError as error:
        return error


def run_child(bench: Bench, case: Case, configured: Settings) -> EntrypointError | None:
    """Run the command line's `migrate`, dry first and then once more; the file is put back where it was."""
    saved = read_files(bench.path)
    with _search_path(bench, case):
        dry = _start(bench, case, "--dry-run")
        assert read_files(bench.path) == saved, "a dry run wrote to the source"
        ended = _start(bench, case, "--yes")
        assert "Traceback" not in dry.stderr + ended.stderr
        if ended.returncode:
            assert ended.returncode in (65, 77, 78), (ended.returncode, ended.stderr)
            is_forbidden = ended.returncode == 77
            return NotPermittedError(ended.stderr) if is_forbidden else SourceRefusedError(ended.stderr)
        assert dry.returncode == 0, dry.stderr
        after = dump(bench, case)
        _put_back(bench, saved)
        again = _start(bench, case, "--yes")
        assert again.returncode == 0, again.stderr
        assert dump(bench, case) == after, "the same file once more changed rows"
    _put_back(bench, saved)
    return None


def _put_back(bench: Bench, saved: dict[str, bytes]) -> None:
    for item in bench.path.parent.iterdir():
        item.unlink()
    for name, content in saved.items():
        (bench.path.parent / name).write_bytes(content)


@contextlib.contextmanager
def _search_path(bench: Bench, case: Case) -> Iterator[None]:
    database = quote(bench.database.name)
    bench.observer.execute(f"ALTER DATABASE {database} SET search_path = {write_path(case)}".encode())
    yield
    bench.observer.execute(f"ALTER DATABASE {database} RESET search_path".encode())


def _start(bench: Bench, case: Case, option: str) -> subprocess.CompletedProcess[str]:
    user, password = bench.guest.info.user, bench.guest.info.password
    url = bench.database.url
    if case.is_granted:
        url = f"postgresql://{user}:{password}@{url.split('@', 1)[1]}"
    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": url, **_variables(case)}
    if case.is_mapped:
        environment["ENTRYPOINT_CONFIG"] = str(bench.mapping)
    return subprocess.run(
        [*PROGRAM, "migrate", option, "--sqlite-url", str(bench.path)],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        env=environment,
    )
