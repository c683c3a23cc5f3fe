"""Help for tests of verification: a load that is never committed, and the verdict on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg

from entrypoint.mapping import Mapping
from entrypoint.model import LoadResult, Plan
from entrypoint.progress import ProgressReporter
from entrypoint.sqlite.source import SourceDatabase, open_source
from entrypoint.transfer.census import Judged
from entrypoint.transfer.examine import examine
from entrypoint.transfer.load import load_rows
from entrypoint.transfer.verify import VerifyMode, verify_load
from tests.loading import make_settings
from tests.servers import Database


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A load between its last row and its commit."""

    connection: psycopg.Connection[Any]
    source: SourceDatabase
    judged: Judged
    result: LoadResult
    mapping: Mapping

    @property
    def plan(self) -> Plan:
        return self.judged.plan

    def verify(self, mode: VerifyMode = "full", *, plan: Plan | None = None) -> dict[str, Any]:
        """Verify it by its own plan, or by another."""
        plan = plan or self.plan
        names = {table.source.name for table in plan.tables}
        tables = tuple(table for table in self.result.tables if table.table in names)
        return verify_load(
            self.connection,
            self.source,
            plan,
            self.judged.faces,
            replace(self.result, tables=tables),
            mode=mode,
            timezone="UTC",
            mapping=self.mapping,
        )


@contextmanager
def loaded(
    database: Database,
    path: Path,
    *,
    mapping: str = "",
    before: Callable[[psycopg.Connection[Any]], None] = lambda _connection: None,
    **variables: str,
) -> Iterator[Loaded]:
    """Load into a transaction that is never committed; `before` is called when it has begun."""
    settings = make_settings(database, mapping=mapping, **variables)
    with (
        database.connect() as connection,
        open_source(path, is_for_migration=True) as source,
        connection.transaction(force_rollback=True),
    ):
        connection.execute("SET LOCAL TimeZone = 'UTC'")
        before(connection)
        judged = examine(connection, source, settings)
        assert judged.plan.refusals == ()
        result = load_rows(
            connection,
            source,
            judged.plan,
            judged.faces,
            on_conflict=settings.on_conflict,
            progress=ProgressReporter(),
        )
        yield Loaded(
            connection=connection, source=source, judged=judged, result=result, mapping=settings.mapping
        )
