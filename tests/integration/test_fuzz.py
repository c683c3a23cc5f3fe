"""Random schema pairs and random rows: refused with nothing written, or equal to what an oracle foretells.

`ENTRYPOINT_FUZZ_EXAMPLES` sets how many (150); `ENTRYPOINT_FUZZ_SEED` draws others than the same ones each
time.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import structlog
from hypothesis import HealthCheck, Phase, event, given, note, seed, settings

from entrypoint.errors import ConfigurationError, EntrypointError, SourceRefusedError
from entrypoint.postgres.ledger import ensure_ledger
from entrypoint.progress import ProgressReporter
from entrypoint.settings import Settings
from entrypoint.sqlite.source import open_source
from entrypoint.transfer.migrate import Migrated, PlanRefusedError, migrate_source, plan_source
from tests import fuzz_oracle as oracle
from tests.fuzz_oracle import Expectation, Row, Table
from tests.fuzz_schemas import (
    PRELUDE,
    Case,
    cases,
    describe_constraints,
    describe_tables,
    fill_source,
    quote,
    write_source,
)
from tests.loading import make_settings
from tests.programs import PROGRAM, ROOT
from tests.servers import Database

_EXAMPLES = int(os.environ.get("ENTRYPOINT_FUZZ_EXAMPLES", "150"))
_SEED = os.environ.get("ENTRYPOINT_FUZZ_SEED")

# What a refusal must leave as it was, beside the rows.
_STRUCTURE = """
SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated::text
FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL
SELECT 'trigger', tgrelid::regclass::text, tgname, tgenabled::text, tgdeferrable::text
FROM pg_trigger JOIN pg_class c ON c.oid = tgrelid
WHERE c.relnamespace = 'public'::regnamespace AND NOT tgisinternal
UNION ALL
SELECT 'column', attrelid::regclass::text, attname, attnotnull::text, attidentity::text
FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
WHERE c.relnamespace = 'public'::regnamespace AND attnum > 0
ORDER BY 1, 2, 3
"""
# But those that fill a surrogate key: what nextval() gave out is not taken back, whoever rolls back.
_SEQUENCES = """
SELECT sequencename, last_value FROM pg_sequences
WHERE schemaname = 'public' AND sequencename NOT LIKE '%surrogate_seq' ORDER BY 1
"""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Connections that outlive an example: the product's, and the oracle's own."""

    database: Database
    product: psycopg.Connection[Any]
    observer: psycopg.Connection[Any]
    path: Path


@pytest.fixture
def bench(database: Database, tmp_path: Path) -> Iterator[Bench]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    with database.connect(prepare_threshold=None) as product, database.connect() as observer:
        observer.execute("SET TimeZone = 'UTC'; SET client_min_messages = 'error'")
        ensure_ledger(product, "entrypoint")
        yield Bench(database=database, product=product, observer=observer, path=tmp_path / "app.db")


@pytest.mark.newest_server
def test_any_schema_pair_is_refused_untouched_or_equal_to_the_oracle(bench: Bench) -> None:
    @settings(
        max_examples=_EXAMPLES,
        deadline=None,
        derandomize=_SEED is None,
        database=None,
        print_blob=True,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases())
    def run(case: Case) -> None:
        check_case(bench, case)

    (seed(int(_SEED))(run) if _SEED else run)()


def check_case(bench: Bench, case: Case) -> None:
    """Hold the program to its promise on one case."""
    cells = lay_out(bench, case)
    structure, sequences = bench.observer.execute(_STRUCTURE).fetchall(), read_sequences(bench)
    before, content = dump(bench, case), read_files(bench.path)
    expected = oracle.foretell(
        case.tables,
        cells,
        [read_target(bench, table) for table in case.tables],
        case.setting,
        has_stray_rows=case.stray == "rows",
    )
    note(f"{expected.verdict}: {expected.refusals} {expected.late} {expected.doubts}")
    runner: Callable[[Bench, Case, Settings], Migrated | EntrypointError | None]
    runner = run_child if case.is_by_child else run_here
    configured = configure(bench, case)
    plan, _ = plan_source(bench.product, bench.path, configured)
    assert read_files(bench.path) == content, "a dry run wrote to the source"
    ended = runner(bench, case, configured)
    event(f"{expected.verdict} and {'refused' if isinstance(ended, EntrypointError) else 'done'}")
    if isinstance(ended, EntrypointError):
        assert isinstance(ended, SourceRefusedError | ConfigurationError), repr(ended)
        assert expected.verdict != "done", ended
        assert dump(bench, case) == before, "a refusal wrote rows"
        assert read_sequences(bench) == sequences, "a refusal moved a sequence"
        is_foreseen = bool(plan.refusals)
        assert is_foreseen == bool(expected.refusals) or expected.doubts or expected.late, (
            ended,
            plan.refusals,
        )
        assert not is_foreseen or not isinstance(ended, PlanRefusedError) or ended.refusals == plan.refusals
    else:
        assert expected.verdict != "refused", "what cannot be taken was taken"
        assert not plan.refusals, "a dry run refused what then was done"
        if expected.verdict == "done":
            check_rows(bench, case, expected)
            check_rejects(bench, case, expected)
            if ended is not None:
                check_counts(case, expected, ended)
        check_sequences(bench, case)
        check_second_run(bench, case, configured)
    assert bench.observer.execute(_STRUCTURE).fetchall() == structure
    if not case.is_by_child or isinstance(ended, EntrypointError):
        assert read_files(bench.path) == content, "the source was changed"


# --- both sides ----------------------------------------------------------------------------------


def lay_out(bench: Bench, case: Case) -> list[list[Row]]:
    """Write the source and the target of a case and return the source's cells."""
    for item in bench.path.parent.iterdir():
        item.unlink()
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as memory:
        fill_source(memory, case, case.cells)
        cells = oracle.read_rows(memory, case.tables)
    meanings = oracle.read_meanings(case.tables, cells, case.setting.timezone)
    if case.care == "clean":
        lost = oracle.purge(case.tables, meanings)
        cells = [
            [row for number, row in enumerate(rows) if number not in gone]
            for rows, gone in zip(cells, lost, strict=True)
        ]
        meanings = oracle.read_meanings(case.tables, cells, case.setting.timezone)
    write_source(case, bench.path, cells)
    seeds = write_seeds(case, meanings)
    bench.observer.execute(
        (
            "TRUNCATE entrypoint.runs CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public;"
            + PRELUDE
            + describe_tables(case)
            + seeds
            + describe_constraints(case)
        ).encode()
    )
    with contextlib.closing(sqlite3.connect(f"file:{bench.path}?mode=ro", uri=True)) as connection:
        found = oracle.read_rows(connection, case.tables)
    Path(f"{bench.path}-shm").unlink(missing_ok=True)
    return found


def write_seeds(case: Case, meanings: list[list[Row]]) -> str:
    """Return INSERTs of rows that stand in PostgreSQL before, sound by themselves."""
    seeds: list[list[Row]] = []
    for table, drawn, found in zip(case.tables, case.seeds, meanings, strict=True):
        rows = []
        for model, is_equal, cells in drawn:
            (own,) = oracle.read_meanings([table], [[cells]], case.setting.timezone)[0]
            if model is not None and found:
                like = found[model % len(found)]
                own = like if is_equal else (*oracle.pick(like, table.key), *own[len(table.key) :])
            rows.append(own)
        seeds.append(rows)
    lost = oracle.purge(case.tables, seeds)
    statements = []
    for table, rows, gone in zip(case.tables, seeds, lost, strict=True):
        names = [quote(column.target) for column in table.columns]
        filled = ["1"] if any(default == "?" for _, _, default in table.extras) else []
        names += ["extra_required"] if filled else []
        for number, row in enumerate(rows):
            if number not in gone:
                literals = [
                    oracle.write_literal(column.type, cell)
                    for column, cell in zip(table.columns, row, strict=True)
                ]
                statements.append(
                    f"INSERT INTO {quote(table.target)} ({', '.join(names)})"
                    f" OVERRIDING SYSTEM VALUE VALUES ({', '.join(literals + filled)});"
                )
    return "".join(statements)


def read_target(bench: Bench, table: Table) -> list[tuple[Row, Row]]:
    """Return a target's rows: meanings of the columns both sides have, and the extras' text."""
    parts = [oracle.select_cell(column.type, quote(column.target)) for column in table.columns]
    parts += [f"{name}::text" for name, _, _ in table.extras]
    rows = bench.observer.execute(f"SELECT {', '.join(parts)} FROM {quote(table.target)}".encode()).fetchall()
    width = len(table.columns)
    return [
        (
            tuple(
                oracle.read_cell(column.type, text) for column, text in zip(table.columns, row, strict=False)
            ),
            tuple(row[width:]),
        )
        for row in rows
    ]


def dump(bench: Bench, case: Case) -> dict[str, list[Row]]:
    names = [table.target for table in case.tables]
    return {
        name: bench.observer.execute(f"SELECT r::text FROM {quote(name)} r ORDER BY 1".encode()).fetchall()
        for name in names
    }


def read_sequences(bench: Bench) -> list[Row]:
    return bench.observer.execute(_SEQUENCES).fetchall()


def read_files(path: Path) -> dict[str, bytes]:
    """Return the unit's bytes; the shared memory of a log is no data."""
    return {
        item.name: item.read_bytes()
        for item in sorted(path.parent.iterdir())
        if item.is_file() and not item.name.endswith("-shm")
    }


# --- the program ---------------------------------------------------------------------------------


def configure(bench: Bench, case: Case) -> Settings:
    return make_settings(bench.database, **_variables(case))


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
                bench.product, source, configured, before_commit=lambda: None, progress=ProgressReporter()
            )
    except EntrypointError as error:
        return error


def run_child(bench: Bench, case: Case, configured: Settings) -> EntrypointError | None:
    """Run the command line's `migrate`; the file is put back where it was renamed."""
    saved = read_files(bench.path)
    ended = subprocess.run(
        [*PROGRAM, "migrate", "--yes", "--sqlite-url", str(bench.path)],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "DATABASE_URL": bench.database.url, **_variables(case)},
    )
    assert "Traceback" not in ended.stderr
    if ended.returncode == 0:
        for item in bench.path.parent.iterdir():
            item.unlink()
        for name, content in saved.items():
            (bench.path.parent / name).write_bytes(content)
        return None
    assert ended.returncode in (65, 78), (ended.returncode, ended.stderr)
    return SourceRefusedError(ended.stderr)


# --- what must hold ------------------------------------------------------------------------------


def check_rows(bench: Bench, case: Case, expected: Expectation) -> None:
    for table, outcome in zip(case.tables, expected.tables, strict=True):
        found = Counter(read_target(bench, table))
        assert found == outcome.final, f"{table.target}: {found - outcome.final} for {outcome.final - found}"


def check_rejects(bench: Bench, case: Case, expected: Expectation) -> None:
    """The ledger keeps exactly the rows that were left out, every cell with its class and content."""
    for table, outcome in zip(case.tables, expected.tables, strict=True):
        kept = bench.observer.execute(
            "SELECT cells FROM entrypoint.rejects WHERE source_table = %s", (table.source,)
        ).fetchall()
        found = Counter(
            tuple(read_kept(cells[column.source], case.encoding) for column in table.columns)
            for (cells,) in kept
        )
        wanted = Counter(tuple(describe_cell(cell) for cell in row) for row in outcome.rejects)
        assert found == wanted, table.source


def read_kept(cell: dict[str, Any], encoding: str) -> tuple[str, bytes]:
    """Return the class and content of a cell in the ledger, as `describe_cell` gives them."""
    if "hex" in cell:
        content = bytes.fromhex(cell["hex"])
        is_wide = cell["class"] == "text" and encoding != "UTF-8"
        return cell["class"], content.decode(encoding).encode() if is_wide else content
    value = float(cell["value"]) if cell["class"] == "real" else cell["value"]
    return cell["class"], str(value).encode()


def describe_cell(cell: Any) -> tuple[str, bytes]:
    match cell:
        case bytes():
            return "blob", cell
        case oracle.RawText():
            return "text", cell.content
        case str():
            return "text", cell.encode()
        case None:
            return "null", b"None"
    return ("real" if isinstance(cell, float) else "integer"), str(cell).encode()


def check_counts(case: Case, expected: Expectation, ended: Migrated) -> None:
    by_name = {result.table: result for result in ended.result.tables}
    for table, outcome in zip(case.tables, expected.tables, strict=True):
        result = by_name[table.source]
        found = (
            result.inserted,
            result.unchanged,
            result.preserved,
            result.overwritten,
            result.quarantined,
        )
        wanted = (
            outcome.inserted,
            outcome.unchanged,
            outcome.preserved,
            outcome.overwritten,
            outcome.rejected,
        )
        assert found == wanted, table.source
        assert result.rows == sum(found)


def check_sequences(bench: Bench, case: Case) -> None:
    """Every identity and serial gives out an id that no row has."""
    for table in case.tables:
        if table.style not in ("identity", "always", "serial"):
            continue
        column = table.columns[0]
        highest = 2 ** (63 if column.type == "bigint" else 31) - 1
        query = f"SELECT max({quote(column.target)}) FROM {quote(table.target)}"
        ((largest,),) = bench.observer.execute(query.encode()).fetchall()
        ((sequence,),) = bench.observer.execute(
            "SELECT pg_get_serial_sequence(%s, %s)", (quote(table.target), column.target)
        ).fetchall()
        row = bench.observer.execute(f"SELECT last_value, is_called FROM {sequence}".encode()).fetchone()
        assert row is not None
        upcoming = row[0] + (1 if row[1] else 0)
        assert largest is None or upcoming > largest or largest == highest, table.target


def check_second_run(bench: Bench, case: Case, configured: Settings) -> None:
    before, sequences = dump(bench, case), read_sequences(bench)
    again = run_here(bench, case, configured)
    assert isinstance(again, Migrated), again
    assert dump(bench, case) == before, "a second run changed rows"
    assert read_sequences(bench) == sequences, "a second run moved a sequence"
    assert not any(table.inserted or table.overwritten for table in again.result.tables)
