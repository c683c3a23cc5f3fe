"""Ask PostgreSQL which texts its input function for a type takes, writing nothing.

From PostgreSQL 16 on `pg_input_error_info` answers for a whole batch; before that, and for types whose
input function still raises, a batch is cast under a savepoint and halved until the bad ones are alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

_FIRST_WITH_INPUT_ERROR_INFO = 16_00_00


def find_invalid(connection: psycopg.Connection[Any], type_name: str, texts: Sequence[str]) -> dict[str, str]:
    """Return the texts that the type refuses, each with PostgreSQL's reason.

    Args:
        connection: inside a transaction.
        type_name: as `format_type` prints it, with its modifier.
        texts: to be judged; a few thousand at most.
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
        except psycopg.errors.DataError:
            pass  # an input function that does not report softly
    return _bisect(connection, type_name, texts)


def _bisect(connection: psycopg.Connection[Any], type_name: str, texts: Sequence[str]) -> dict[str, str]:
    # The name comes from the catalog through format_type, which quotes it as SQL.
    cast_all = sql.SQL("SELECT count(v::{}::text) FROM unnest(%s::text[]) AS v").format(sql.SQL(type_name))
    try:
        with connection.transaction():
            connection.execute(cast_all, (list(texts),))
    except (psycopg.errors.DataError, psycopg.errors.IntegrityError) as error:
        if len(texts) == 1:
            return {texts[0]: error.diag.message_primary or str(error)}
        middle = len(texts) // 2
        return _bisect(connection, type_name, texts[:middle]) | _bisect(connection, type_name, texts[middle:])
    return {}
