"""Named SQL: statements live in `.sql` files, each under a line `-- name: WHAT`.

Owns reading them, and how names stand beside parameters. Values are passed as parameters and never pasted in.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import LiteralString, cast

from psycopg import sql

from entrypoint.model import TargetColumn

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


@cache
def load_queries(package: str, file_name: str) -> dict[str, LiteralString]:
    """Return the statements of one file by name.

    Args:
        package: the package the file lies in, usually `__package__`.
        file_name: for example `catalog.sql`.
    """
    text = resources.files(package).joinpath(file_name).read_text(encoding="utf-8")
    _, *parts = _NAME.split(text)
    # The files are part of the program, so what they hold is as literal as a string in a module.
    return cast("dict[str, LiteralString]", dict(zip(parts[::2], parts[1::2], strict=True)))


def allow_parameters(statement: sql.Composed) -> sql.Composed:
    """Double the percent signs in a statement's names: with parameters they begin a placeholder."""
    return sql.Composed([_double_percents(part) for part in statement])


def name_type(name: str) -> sql.SQL:
    """Return a type's name, as format_type prints it, for a statement with parameters: it is SQL already."""
    return sql.SQL(name.replace("%", "%%"))


def name_sent(width: int) -> list[sql.Identifier]:
    """Return the names of the columns of rows that are sent: names of ours, whatever theirs are."""
    return [sql.Identifier(f"k{position}") for position in range(width)]


def sent_rows(width: int) -> sql.Composed:
    """Return what to select rows of texts from that are sent as parameters: `k`, numbered by `n`.

    In binary, which takes a quarter of the time: nothing in the texts has to be escaped.
    """
    return sql.SQL("unnest({}) WITH ORDINALITY AS k ({}, n)").format(
        sql.SQL(", ").join([sql.SQL("%b::text[]")] * width), sql.SQL(", ").join(name_sent(width))
    )


def typed_row(columns: Sequence[TargetColumn]) -> sql.Composed:
    """Return a subquery of one row: sent texts by the target's names, types and collations.

    It stands in parentheses, beside `sent_rows`, and takes an alias. An expression of the catalog (of a
    check, a unique index, a partition) finds in it the bare column names it was printed with:

        SELECT k.n, (SELECT <expression> FROM <typed_row> AS r) FROM <sent_rows>

    Args:
        columns: the sent ones in their order. Generated ones come after those they are computed from, are
            computed, and are not counted among the sent.
    """
    sent = [column for column in columns if column.generation is None]
    values = [
        sql.SQL("k.{}::{}{} AS {}").format(
            alias,
            name_type(column.type.name),
            write_expression(f" COLLATE {column.collation}" if column.collation else ""),
            sql.Identifier(column.name),
        )
        for alias, column in zip(name_sent(len(sent)), sent, strict=True)
    ]
    computed = [
        sql.SQL("({})::{} AS {}").format(
            write_expression(column.generation), name_type(column.type.name), sql.Identifier(column.name)
        )
        for column in columns
        if column.generation is not None
    ]
    return sql.SQL("(SELECT {} FROM (SELECT {}) AS sent)").format(
        sql.SQL(", ").join([sql.SQL("sent.*"), *computed]), sql.SQL(", ").join(values)
    )


def write_expression(text: str) -> sql.SQL:
    """Return an expression, as pg_get_expr prints it, for a statement with parameters: it is SQL already."""
    return sql.SQL(text.replace("%", "%%"))


def send_rows(rows: Sequence[Sequence[object]], width: int) -> list[list[object]]:
    """Return the parameters of `sent_rows`: an array for each column."""
    return [[row[position] for row in rows] for position in range(width)]


def _double_percents(part: sql.Composable) -> sql.Composable:
    if isinstance(part, sql.Composed):
        return allow_parameters(part)
    if isinstance(part, sql.Identifier):
        return sql.Identifier(*(name.replace("%", "%%") for name in part._obj))
    return part
