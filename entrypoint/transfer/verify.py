"""Compare what stands in PostgreSQL with what was read, before the commit.

Owns the verdict: a difference raises, and the caller's rollback undoes the load.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from entrypoint.errors import SourceRefusedError
from entrypoint.model import LoadResult, Plan


def verify_counts(connection: psycopg.Connection[Any], plan: Plan, result: LoadResult) -> None:
    """Hold every table's row count against what it held before and what was inserted.

    Raises:
        SourceRefusedError: a table holds more or fewer rows than that.
    """
    wrong = []
    for table, outcome in zip(plan.tables, result.tables, strict=True):
        row = connection.execute(
            sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table.target.schema, table.target.name))
        ).fetchone()
        assert row is not None
        accounted = outcome.inserted + outcome.unchanged + outcome.preserved + outcome.overwritten
        if row[0] != outcome.standing + outcome.inserted or accounted != table.rows:
            wrong.append(
                f"{outcome.target} holds {row[0]} rows where {outcome.standing} stood "
                f"and {outcome.inserted} of {table.rows} were inserted"
            )
    if wrong:
        raise SourceRefusedError(
            f"verification found a difference: {'; '.join(wrong)}",
            remedy="nothing was kept; please report this with the log",
        )
