"""How far a load is, for a log and for a terminal."""

from __future__ import annotations

import io
import time

import pytest
import structlog

from entrypoint.model import Plan, SourceTable, TablePlan, TargetTable
from entrypoint.progress import ProgressReporter


def make_table(name: str, rows: int) -> TablePlan:
    return TablePlan(
        source=SourceTable(name=name, columns=(), key=(), has_rowid=True, autoincrement=None),
        target=TargetTable(
            oid=1,
            schema="public",
            name=name,
            is_partitioned=False,
            is_owned=True,
            is_lockable=True,
            has_row_security=False,
            columns=(),
            unique_indexes=(),
            foreign_keys=(),
            triggers=(),
            rules=(),
        ),
        columns=(),
        key=(),
        rows=rows,
    )


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands still until it is set."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def make_plan(*tables: TablePlan) -> Plan:
    return Plan(tables=tables, skipped=(), refusals=(), notes=())


def test_a_long_load_is_reported_every_five_seconds(clock: list[float]) -> None:
    first, second = make_table("users", 1000), make_table("messages", 9000)
    reporter = ProgressReporter()
    with structlog.testing.capture_logs() as lines:
        reporter.begin(make_plan(first, second))
        for elapsed, table, rows in (
            (1, first, 500),
            (4, first, 1000),
            (10, second, 1000),
            (11, second, 2000),
        ):
            clock[0] = 100.0 + elapsed
            reporter.advance(table, rows)
        reporter.end()
    assert lines == [
        {
            "event": "rows_loading",
            "log_level": "info",
            "table": "messages",
            "rows": 2000,
            "of": 10000,
            "rows_per_s": 200,
            "left_s": 40.0,
        }
    ]


def test_a_bar_shows_share_rate_and_time_left_and_is_wiped(clock: list[float]) -> None:
    table = make_table("users", 1000)
    terminal = io.StringIO()
    reporter = ProgressReporter(bar=terminal)
    reporter.begin(make_plan(table))
    clock[0] += 1
    reporter.advance(table, 250)
    assert "[########......................]  25% 250/1,000 rows 250/s 3 s left  users" in terminal.getvalue()
    reporter.end()
    assert terminal.getvalue().endswith("\r\x1b[K")
