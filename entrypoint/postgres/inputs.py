"""Ask PostgreSQL which texts its input function for a type takes, writing nothing.

From PostgreSQL 16 on `pg_input_error_info` answers for a whole batch; before that, and for types whose
input function (or a domain's check) still raises, a batch is read under a savepoint and halved until the
bad ones are alone. A cast would not do: an explicit one cuts what is too long instead of refusing it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from entrypoint.postgres.queries import name_type

_FIRST_WITH_INPUT_ERROR_INFO = 16_00_00

# Classes of SQLSTATE (manual, appendix A) that are a verdict on the text: data, constraints, syntax and names
# (tsquery, jsonpath, regclass), what is not supported, limits, and what functions in checks raise. Extensions
# (hstore before 16) raise plain internal errors.
_VERDICT_CLASSES = frozenset({"22", "23", "42", "0A", "54", "P0", "2F", "38", "39"})
_INTERNAL_ERROR = "XX000"


def find_invalid(
    connection: psycopg.Connection[Any], type_name: str, texts: Sequence[str], *, is_document: bool = False
) -> dict[str, str]:
    """Return the texts that the type refuses, each with PostgreSQL's reason.

    Args:
        connection: inside a transaction.
        type_name: as `format_type` prints it, with its modifier.
        texts: to be judged; a few thousand at most.
        is_document: it is a domain over json or jsonb.
    """
    if connection.info.server_version >= _FIRST_WITH_INPUT_ERROR_INFO:
        try:
            with connection.transaction():
                found = connection.execute(
                    "SELECT v, info.message FROM unnest(%s::text[]) AS v,"
                    " LATERAL pg_input_error_info(v, %s) AS info WHERE info.message IS NOT NULL",
                    (list(texts), type_name),
                ).fetchall()
            return dict(found)
        except psycopg.Error as error:
            if not is_verdict(error):
                raise
            # an input function that does not report softly
    # The name comes from the catalog through format_type, which quotes it as SQL. json_to_recordset reads a
    # JSON string by the type's input function, with its modifier; for documents it would be a JSON string.
    query = (
        "SELECT count(v::{}) FROM unnest(%s::text[]) AS v"
        if is_document
        else "SELECT count(r.v) FROM json_to_recordset((SELECT json_agg(json_build_object('v', v))"
        " FROM unnest(%s::text[]) AS v)) AS r (v {})"
    )
    return _bisect(connection, sql.SQL(query).format(name_type(type_name)), texts)


def is_verdict(error: psycopg.Error) -> bool:
    """Tell whether an error is PostgreSQL's answer about a value, no lost connection, lock or limit."""
    is_forbidden = isinstance(error, psycopg.errors.InsufficientPrivilege)
    state = error.sqlstate or ""
    return (state[:2] in _VERDICT_CLASSES or state == _INTERNAL_ERROR) and not is_forbidden


def _bisect(connection: psycopg.Connection[Any], query: sql.Composed, texts: Sequence[str]) -> dict[str, str]:
    try:
        with connection.transaction():
            connection.execute(query, (list(texts),))
    except psycopg.Error as error:
        if not is_verdict(error):
            raise
        if len(texts) == 1:
            return {texts[0]: error.diag.message_primary or str(error)}
        middle = len(texts) // 2
        return _bisect(connection, query, texts[:middle]) | _bisect(connection, query, texts[middle:])
    return {}
