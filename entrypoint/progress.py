"""How far a long load is: log lines every few seconds, or a bar on a terminal.

Owns rates and estimates. Told by the load, in rows; never asks.
"""

from __future__ import annotations

import sys
import time
from typing import TextIO

from entrypoint import log
from entrypoint.model import Plan, TablePlan

_SECONDS_BETWEEN_LINES = 5.0
_SECONDS_BETWEEN_DRAWS = 0.1
_BAR_WIDTH = 30


class ProgressReporter:
    """Says how a load goes on.

    Args:
        bar: the terminal to draw on; None: log lines instead.
    """

    def __init__(self, *, bar: TextIO | None = None) -> None:
        self._bar = bar
        self._plan_rows = 0
        self._finished_rows = 0
        self._table: TablePlan | None = None
        self._started = self._reported = time.monotonic()

    def begin(self, plan: Plan) -> None:
        """A load of `plan` begins."""
        self._plan_rows = sum(table.rows_taken for table in plan.tables)
        self._started = self._reported = time.monotonic()

    def advance(self, table: TablePlan, rows: int) -> None:
        """`rows` rows of `table` have been sent; tables come one after the other."""
        if self._table is not None and self._table is not table:
            self._finished_rows += self._table.rows_taken
        self._table = table
        now = time.monotonic()
        interval = _SECONDS_BETWEEN_DRAWS if self._bar else _SECONDS_BETWEEN_LINES
        if now - self._reported < interval:
            return
        self._reported = now
        done = self._finished_rows + rows
        rate = done / max(now - self._started, 1e-6)
        left_s = (self._plan_rows - done) / rate if rate else 0.0
        if self._bar:
            self._draw(table, done, rate, left_s)
        else:
            log.get_logger().info(
                "rows_loading",
                table=table.source.name,
                rows=done,
                of=self._plan_rows,
                rows_per_s=round(rate),
                left_s=round(left_s, 1),
            )

    def end(self) -> None:
        """The load is over, well or not."""
        if self._bar:
            self._bar.write("\r\x1b[K")
            self._bar.flush()

    def _draw(self, table: TablePlan, done: int, rate: float, left_s: float) -> None:
        assert self._bar is not None
        share = min(done / self._plan_rows, 1.0) if self._plan_rows else 1.0
        filled = round(share * _BAR_WIDTH)
        self._bar.write(
            f"\r\x1b[K[{'#' * filled:.<{_BAR_WIDTH}}] {share:4.0%} {done:,}/{self._plan_rows:,} rows"
            f" {rate:,.0f}/s {left_s:.0f} s left  {table.source.name}"
        )
        self._bar.flush()


def choose_reporter(*, wants_bar: bool) -> ProgressReporter:
    """Return a bar on stderr where that is wanted and a terminal, else log lines."""
    return ProgressReporter(bar=sys.stderr if wants_bar and sys.stderr.isatty() else None)
