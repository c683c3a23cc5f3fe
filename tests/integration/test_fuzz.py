"""Random schema pairs and random rows: refused with nothing written, or equal to what an oracle foretells.

`ENTRYPOINT_FUZZ_EXAMPLES` sets how many; without it there are 500 on the newest server and a tenth of that
on the others. `ENTRYPOINT_FUZZ_SEED` draws others than the same ones each time.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import structlog
from hypothesis import HealthCheck, Phase, event, given, note, seed, settings
from psycopg import sql

from entrypoint.errors import ConfigurationError, EntrypointError, NotPermittedError, SourceRefusedError
from entrypoint.model import Refusal
from entrypoint.postgres.ledger import ensure_ledger
from entrypoint.settings import Settings
from entrypoint.transfer.dry_run import plan_source
from entrypoint.transfer.migrate import Migrated
from entrypoint.transfer.refusals import PlanRefusedError
from tests.fuzz import checks
from tests.fuzz.bench import (
    Bench,
    Rows,
    choose_connection,
    configure,
    count_successes,
    dump,
    lay_out,
    read_files,
    read_sequences,
    read_structure,
    read_target,
    run_child,
    run_here,
)
from tests.fuzz.draw import cases
from tests.fuzz.foretell import foretell
from tests.fuzz.kinds import ICU_PRELUDE
from tests.fuzz.model import Case, Expectation
from tests.fuzz.rows import read_counters
from tests.servers import Database, find_binaries

_EXAMPLES = 500
_SEED = os.environ.get("ENTRYPOINT_FUZZ_SEED")


@pytest.fixture
def bench(database: Database, tmp_path: Path) -> Iterator[Bench]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    guest, password = f"{database.name}_guest", secrets.token_hex(8)
    with psycopg.connect(database.superuser_url, autocommit=True) as superuser:
        superuser.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(guest), sql.Literal(password))
        )
    url = f"postgresql://{guest}:{password}@{database.url.split('@', 1)[1]}"
    (tmp_path / "data").mkdir()
    try:
        with (
            database.connect(prepare_threshold=None) as product,
            psycopg.connect(url, autocommit=True, prepare_threshold=None) as mere_user,
            database.connect() as observer,
        ):
            observer.execute("SET TimeZone = 'UTC'; SET client_min_messages = 'error'")
            ensure_ledger(product, "entrypoint")
            yield Bench(
                database=database,
                product=product,
                guest=mere_user,
                observer=observer,
                path=tmp_path / "data" / "app.db",
                mapping=tmp_path / "map.toml",
            )
    finally:
        with psycopg.connect(database.superuser_url, autocommit=True) as superuser:
            superuser.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(sql.Identifier(guest)))
            superuser.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(guest)))


def test_any_schema_pair_is_refused_untouched_or_equal_to_the_oracle(bench: Bench) -> None:
    version = bench.observer.info.server_version // 10000
    examples = _EXAMPLES if version == max(find_binaries()) else _EXAMPLES // 10

    @settings(
        max_examples=int(os.environ.get("ENTRYPOINT_FUZZ_EXAMPLES", examples)),
        deadline=None,
        derandomize=_SEED is None,
        database=None,
        print_blob=True,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases(has_icu=has_icu(bench)))
    def run(case: Case) -> None:
        check_case(bench, case)

    (seed(int(_SEED))(run) if _SEED else run)()


def has_icu(bench: Bench) -> bool:
    """Tell whether the server has collations that are not deterministic, and citext with them."""
    try:
        with bench.observer.transaction(force_rollback=True):
            bench.observer.execute(ICU_PRELUDE.format(schema="public").encode())
    except psycopg.errors.FeatureNotSupported:
        return False
    return True


def check_case(bench: Bench, case: Case) -> None:
    """Hold the program to its promise on one case."""
    cells = lay_out(bench, case)
    structure, sequences = read_structure(bench), read_sequences(bench)
    before, content = dump(bench, case), read_files(bench.path)
    standing = read_target(bench, case)
    expected = foretell(case, cells, standing)
    note(f"{expected.verdict}: {expected.refusals} late {expected.late} doubts {expected.doubts}")
    configured = configure(bench, case)
    run = run_child if case.is_by_child else run_here
    refusals = foresee(bench, case, configured)
    if isinstance(refusals, NotPermittedError):
        assert case.is_granted, refusals
        assert case.needs_owner, refusals
        assert isinstance(run(bench, case, configured), NotPermittedError), "a dry run asks for more"
        assert (dump(bench, case), read_structure(bench)) == (before, structure)
        return
    assert read_files(bench.path) == content, "a dry run wrote to the source"
    assert dump(bench, case) == before, "a dry run wrote rows"
    ended = run(bench, case, configured)
    event(f"{expected.verdict} and {'refused' if isinstance(ended, EntrypointError) else 'done'}")
    for happened in sorted(expected.events):
        event(happened)
    if isinstance(ended, EntrypointError):
        assert isinstance(ended, SourceRefusedError | ConfigurationError), repr(ended)
        assert expected.verdict != "done", f"{ended} {refusals}"
        assert dump(bench, case) == before, "a refusal wrote rows"
        assert read_sequences(bench) == sequences, "a refusal moved a sequence"
        assert not count_successes(bench), "a refusal is a success in the ledger"
        assert bool(refusals) == bool(expected.refusals) or expected.doubts or expected.late, ended
        if isinstance(ended, PlanRefusedError) and refusals:
            assert set(ended.refusals) <= set(refusals), "a dry run did not list what the run refused"
        checks.check_refusals(case, expected, refusals)
    else:
        assert expected.verdict != "refused", "what cannot be taken was taken"
        assert not refusals, "a dry run refused what then was done"
        assert count_successes(bench) == 1
        check_success(bench, case, expected, ended, standing)
        checks.check_second_run(bench, case, configured)
    assert read_structure(bench) == structure, "the schema was changed"
    if not case.is_by_child or isinstance(ended, EntrypointError):
        assert read_files(bench.path) == content, "the source was changed"


def foresee(bench: Bench, case: Case, configured: Settings) -> tuple[Refusal, ...] | NotPermittedError:
    """Return what a dry run refuses, or the rights that it misses."""
    try:
        plan, _ = plan_source(choose_connection(bench, case), bench.path, configured)
    except NotPermittedError as error:
        return error
    return plan.refusals


def check_success(
    bench: Bench, case: Case, expected: Expectation, ended: Migrated | None, standing: list[Rows]
) -> None:
    """Hold what was written to the laws, and to what was foretold."""
    after = read_target(bench, case)
    checks.check_laws(case, expected, standing, after)
    if expected.verdict == "done":
        checks.check_rows(case, expected, after)
        checks.check_rejects(bench, case, expected)
    if ended is not None:
        checks.check_counts(case, expected, ended, standing, after)
    with contextlib.closing(sqlite3.connect(f"file:{bench.path}?mode=ro", uri=True)) as connection:
        counters = read_counters(connection, case.tables)
    Path(f"{bench.path}-shm").unlink(missing_ok=True)
    checks.check_sequences(bench, case, counters, standing, after)
