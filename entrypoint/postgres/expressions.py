"""Ask PostgreSQL which rows make an expression of its catalog false, writing nothing.

Owns evaluating it over rows that are sent as texts, and what an error means: one that a row causes is a
verdict on that row, as it would be when the row is inserted; any other leaves the question open.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from entrypoint.model import TargetColumn
from entrypoint.postgres.queries import (
    allow_parameters,
    send_rows,
    sent_rows,
    typed_row,
    write_expression,
)

# Classes of SQLSTATE (manual, appendix A) that functions raise about the values they are given.
_VERDICT_CLASSES = frozenset({"22", "23", "P0", "2F", "38", "39"})

Row = tuple[str | None, ...]


class NotEvaluableError(Exception):
    """The expression cannot be evaluated by this role, or in a transaction that only reads."""


def find_false(
    connection: psycopg.Connection[Any], expression: str, columns: Sequence[TargetColumn], rows: Sequence[Row]
) -> dict[Row, str | None]:
    """Return the rows for which `expression` is false, each with PostgreSQL's reason where it raised one.

    Args:
        connection: inside a transaction.
        expression: as pg_get_expr prints it; NULL is not false.
        columns: that it needs, as `typed_row` takes them.
        rows: rendered cells that their types take; a few thousand at most.

    Raises:
        NotEvaluableError: the answer is left to whoever inserts the rows.
    """
    width = sum(column.generation is None for column in columns)
    statement = sql.SQL("SELECT k.n FROM {} WHERE (SELECT {} FROM {} AS r) IS FALSE").format(
        sent_rows(width), write_expression(expression), typed_row(columns)
    )
    return _bisect(connection, allow_parameters(statement), rows, width)


def _bisect(
    connection: psycopg.Connection[Any], statement: sql.Composed, rows: Sequence[Row], width: int
) -> dict[Row, str | None]:
    try:
        with connection.transaction(force_rollback=True):  # whatever functions do beside answering
            found = connection.execute(statement, send_rows(rows, width)).fetchall()
        return {rows[number - 1]: None for (number,) in found}
    except psycopg.Error as error:
        state = error.sqlstate or ""
        if state[:2] not in _VERDICT_CLASSES:
            if isinstance(error, psycopg.errors.ProgrammingError | psycopg.errors.InternalError):
                raise NotEvaluableError(str(error)) from error
            raise
        if len(rows) == 1:
            return {rows[0]: error.diag.message_primary or str(error)}
        middle = len(rows) // 2
        return _bisect(connection, statement, rows[:middle], width) | _bisect(
            connection, statement, rows[middle:], width
        )
