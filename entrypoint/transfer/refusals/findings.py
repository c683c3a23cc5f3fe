"""What the census finds: refusals, or rows to leave aside, and notes.

Owns the choice between the two (ON_REJECT) and nothing of how cells are judged.
"""

from __future__ import annotations

from dataclasses import replace

from entrypoint.model import Plan, Refusal, TablePlan
from entrypoint.transfer.refusals.rejects import Rejects


class Findings:
    """Collects what is found, so that all of it is reported at once.

    Args:
        rejects: marks rows that are left aside.
        plan: what was found before any cell was looked at.
        can_quarantine: leave rows aside where a refusal is about rows.
    """

    def __init__(self, rejects: Rejects, plan: Plan, *, can_quarantine: bool) -> None:
        self.rejects = rejects
        self.refusals = list(plan.refusals)
        self.quarantined: list[Refusal] = []
        self.notes = list(plan.notes)
        self.can_quarantine = can_quarantine

    def watch(self, table: TablePlan) -> TablePlan:
        """Return the table with the condition of the rows that are taken: it follows what is found later."""
        return replace(table, condition=self.rejects.watch(table)) if self.can_quarantine else table

    def refuse(
        self, table: TablePlan, refusal: Refusal, condition: str, *, is_about_rows: bool = True
    ) -> None:
        """Note a refusal; leave the rows for which the SQL `condition` holds aside where that is wanted."""
        if is_about_rows and self.can_leave_aside(table):
            self.rejects.mark(table, refusal, condition)
            self.quarantined.append(refusal)
        else:
            self.refusals.append(refusal)

    def has_refused(self, table: TablePlan) -> bool:
        """Tell whether something of the table is refused and not left aside: its rows are not all sound."""
        return any(refusal.table == table.source.name for refusal in self.refusals)

    def can_leave_aside(self, table: TablePlan) -> bool:
        """Tell whether single rows of the table can be left aside."""
        return self.can_quarantine and table.condition is not None

    def conclude(self, table: TablePlan) -> TablePlan:
        """Return the table with its left-aside rows counted, and no condition where there are none."""
        if table.condition is None:
            return table
        rejected = self.rejects.count(table)
        return replace(table, rejected=rejected, condition=table.condition if rejected else None)
