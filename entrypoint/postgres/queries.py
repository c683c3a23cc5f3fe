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
    """Return what to select rows of texts from that are sent as parameters: `k`, numbered by `n`."""
    return sql.SQL("unnest({}) WITH ORDINALITY AS k ({}, n)").format(
        sql.SQL(", ").join([sql.SQL("%s::text[]")] * width), sql.SQL(", ").join(name_sent(width))
    )


def send_rows(rows: Sequence[Sequence[object]], width: int) -> list[list[object]]:
    """Return the parameters of `sent_rows`: an array for each column."""
    return [[row[position] for row in rows] for position in range(width)]


def _double_percents(part: sql.Composable) -> sql.Composable:
    if isinstance(part, sql.Composed):
        return allow_parameters(part)
    if isinstance(part, sql.Identifier):
        return sql.Identifier(*(name.replace("%", "%%") for name in part._obj))
    return part
