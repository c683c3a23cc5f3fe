"""Upsert rows into a table that already holds some, through a staging table, and count what became of them.

Owns the comparison of arriving and standing rows. By key: absent rows are inserted, equal ones are
unchanged, others are conflicts. Without a key rows are a multiset: one that arrives n times stands at
least n times afterwards, however often it is run.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any, Literal

import psycopg
from psycopg import sql

from entrypoint import log
from entrypoint.errors import SourceRefusedError
from entrypoint.model import ColumnPlan, TablePlan
from entrypoint.postgres.catalog import own_rows
from entrypoint.transfer.cells import show_key

ConflictPolicy = Literal["preserve", "overwrite", "fail"]

CONFLICT_REMEDY = (
    "set ON_CONFLICT=preserve to keep PostgreSQL's rows or ON_CONFLICT=overwrite to replace them"
)

_KEYS_SHOWN = 3
_STAGING = sql.Identifier("pg_temp", "entrypoint_staging")

# Types whose `=` holds for nothing but the same value: not for 0 and -0, 1 day and 24 hours, blanks at the
# end, or texts that a collation takes for the same. The others are compared by their text.
_EXACTLY_EQUAL = frozenset(
    {
        *("bool", "int2", "int4", "int8", "numeric", "uuid", "bytea", "jsonb"),
        *("date", "time", "timestamp", "timestamptz"),
    }
)


def merge_rows(
    connection: psycopg.Connection[Any],
    table: TablePlan,
    copy_into: Callable[[sql.Identifier], None],
    *,
    on_conflict: ConflictPolicy,
    referring: tuple[str, ...],
) -> tuple[int, int, int, int]:
    """Merge one table's rows and return (inserted, unchanged, preserved, overwritten).

    Args:
        connection: inside the load's transaction, the table locked against other writers.
        table: its plan.
        copy_into: copies the source's rows into the table it is given.
        on_conflict: what to do about a row whose key stands with other values.
        referring: the foreign keys that lead to the table, for the reader.
    """
    connection.execute(
        sql.SQL(
            "CREATE TEMPORARY TABLE entrypoint_staging ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA"
        ).format(_list(column.target.name for column in table.columns), _target(table))
    )
    copy_into(_STAGING)
    connection.execute("ANALYZE pg_temp.entrypoint_staging")
    if table.key:
        counts = _merge_by_key(connection, table, on_conflict, referring)
    else:
        counts = _merge_multiset(connection, table)
    connection.execute("DROP TABLE pg_temp.entrypoint_staging")
    return counts


def _merge_by_key(
    connection: psycopg.Connection[Any],
    table: TablePlan,
    on_conflict: ConflictPolicy,
    referring: tuple[str, ...],
) -> tuple[int, int, int, int]:
    _refuse_doubled_keys(connection, table)
    differing = _count_differing(connection, table)
    if differing and on_conflict == "fail":
        _refuse_conflicts(connection, table, differing)
    if differing and on_conflict == "preserve":
        _warn_of_preserved(connection, table, differing, referring)
    overwritten = _overwrite(connection, table) if differing and on_conflict == "overwrite" else 0
    inserted = connection.execute(
        sql.SQL(
            "INSERT INTO {target} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM {staging} s"
            " WHERE NOT EXISTS (SELECT FROM {standing} t WHERE {same_key})"
        ).format(
            target=_target(table),
            standing=own_rows(table.target),
            columns=_list(column.target.name for column in table.columns),
            staging=_STAGING,
            same_key=_same_key(table),
        )
    ).rowcount
    preserved = differing - overwritten
    return inserted, table.rows_taken - inserted - differing, preserved, overwritten


def _refuse_doubled_keys(connection: psycopg.Connection[Any], table: TablePlan) -> None:
    rows = connection.execute(
        sql.SQL(
            "SELECT {key}, count(*) FROM {staging} GROUP BY {key} HAVING count(*) > 1 LIMIT {limit}"
        ).format(key=_list(table.key), staging=_STAGING, limit=sql.Literal(_KEYS_SHOWN))
    ).fetchall()
    if rows:
        raise SourceRefusedError(
            f"several rows have one key in the target: {_show_keys(table, rows)}",
            where=f"table {table.source.name}",
            remedy="remove or correct the doubled rows in the source",
        )


def _warn_of_preserved(
    connection: psycopg.Connection[Any], table: TablePlan, count: int, referring: tuple[str, ...]
) -> None:
    """Say which rows of the source give way: whoever expects them has to know, and what refers to them."""
    log.get_logger().warning(
        "rows_preserved",
        table=table.source.name,
        rows=count,
        other_things=_count_other_things(connection, table),
        keys=_show_keys(table, _read_differing_keys(connection, table)),
        meaning="PostgreSQL holds other rows under these keys; they were kept, the source's were left; "
        "other_things counts those that differ in another unique key too, so that they hardly are the same",
        referring=list(referring),
        remedy="compare them with `entrypoint verify`; to take the source's instead, merge it once more with "
        f"`entrypoint migrate --again --sqlite-url FILE --table {shlex.quote(table.source.name)} "
        "--on-conflict overwrite`",
    )


def _count_other_things(connection: psycopg.Connection[Any], table: TablePlan) -> int:
    """Count the standing rows that share the key with an arriving one and no other unique key."""
    planned = {column.target.name: column for column in table.columns}
    others = [
        key.columns
        for key in table.target.unique_keys
        if set(key.columns) != set(table.key) and set(key.columns) <= planned.keys()
    ]
    if not others:
        return 0
    same_others = sql.SQL(" OR ").join(
        sql.SQL("({})").format(_same_row(tuple(planned[name] for name in names))) for names in others
    )
    row = connection.execute(
        sql.SQL("SELECT count(*) FROM {} s JOIN {} t ON {} WHERE NOT ({})").format(
            _STAGING, own_rows(table.target), _same_key(table), same_others
        )
    ).fetchone()
    assert row is not None
    return int(row[0])


def _refuse_conflicts(connection: psycopg.Connection[Any], table: TablePlan, count: int) -> None:
    rows = _read_differing_keys(connection, table)
    raise SourceRefusedError(
        f"{count} row(s) stand in PostgreSQL with other values: {_show_keys(table, rows)}",
        where=f"table {table.source.name}",
        remedy=CONFLICT_REMEDY,
    )


def _read_differing_keys(connection: psycopg.Connection[Any], table: TablePlan) -> list[tuple[Any, ...]]:
    return connection.execute(
        sql.SQL(
            "SELECT {key} FROM {staging} s JOIN {target} t ON {same_key} WHERE NOT ({same_row}) LIMIT {limit}"
        ).format(
            key=sql.SQL(", ").join(sql.Identifier("s", name) for name in table.key),
            staging=_STAGING,
            target=own_rows(table.target),
            same_key=_same_key(table),
            same_row=_same_row(table.columns),
            limit=sql.Literal(_KEYS_SHOWN),
        )
    ).fetchall()


def _count_differing(connection: psycopg.Connection[Any], table: TablePlan) -> int:
    row = connection.execute(
        sql.SQL("SELECT count(*) FROM {} s JOIN {} t ON {} WHERE NOT ({})").format(
            _STAGING, own_rows(table.target), _same_key(table), _same_row(table.columns)
        )
    ).fetchone()
    assert row is not None
    return int(row[0])


def _overwrite(connection: psycopg.Connection[Any], table: TablePlan) -> int:
    changeable = [
        column
        for column in table.columns
        if (column.target.name not in table.key or column.target.type.base not in _EXACTLY_EQUAL)
        and column.target.identity != "a"
    ]
    return connection.execute(
        sql.SQL("UPDATE {} t SET {} FROM {} s WHERE {} AND NOT ({})").format(
            own_rows(table.target),
            sql.SQL(", ").join(
                sql.SQL("{} = {}").format(
                    sql.Identifier(column.target.name), sql.Identifier("s", column.target.name)
                )
                for column in changeable
            ),
            _STAGING,
            _same_key(table),
            _same_row(table.columns),
        )
    ).rowcount


def _merge_multiset(connection: psycopg.Connection[Any], table: TablePlan) -> tuple[int, int, int, int]:
    names = [column.target.name for column in table.columns]
    # Names of ours inside, which none of theirs can meet.
    aliases = [f"c{position}" for position in range(len(names))]
    inserted = connection.execute(
        sql.SQL(
            "INSERT INTO {target} ({columns}) OVERRIDING SYSTEM VALUE"
            " SELECT {aliases} FROM (SELECT {aliased}, {row_s} AS line,"
            " row_number() OVER (PARTITION BY {row_s}) AS nth FROM {staging} s) arriving"
            " LEFT JOIN (SELECT {row_t} AS line, count(*) AS standing"
            " FROM {standing} t GROUP BY 1) present USING (line)"
            " WHERE nth > coalesce(standing, 0)"
        ).format(
            target=_target(table),
            standing=own_rows(table.target),
            columns=_list(names),
            aliases=_list(aliases),
            aliased=sql.SQL(", ").join(
                sql.SQL("{} AS {}").format(sql.Identifier("s", name), sql.Identifier(alias))
                for name, alias in zip(names, aliases, strict=True)
            ),
            staging=_STAGING,
            row_s=_row_text("s", names),
            row_t=_row_text("t", names),
        )
    ).rowcount
    return inserted, table.rows_taken - inserted, 0, 0


def _row_text(alias: str, names: list[str]) -> sql.Composed:
    """Return a row as text: comparable whatever its types, NULL and the empty string apart."""
    return sql.SQL("ROW({})::text").format(sql.SQL(", ").join(sql.Identifier(alias, name) for name in names))


def _target(table: TablePlan) -> sql.Identifier:
    return sql.Identifier(table.target.schema, table.target.name)


def _list(names: Any) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(name) for name in names)


def _same_key(table: TablePlan) -> sql.Composed:
    """Match by `=`, or with NULLs alike where the key has NULLS NOT DISTINCT."""
    nullable = {column.target.name for column in table.columns if not column.target.is_not_null}
    return sql.SQL(" AND ").join(
        sql.SQL("{} IS NOT DISTINCT FROM {}" if name in nullable else "{} = {}").format(
            sql.Identifier("t", name), sql.Identifier("s", name)
        )
        for name in table.key
    )


def _same_row(columns: tuple[ColumnPlan, ...]) -> sql.Composed:
    return sql.SQL(" AND ").join(_same_cell(column) for column in columns)


def _same_cell(column: ColumnPlan) -> sql.Composed:
    name = column.target.name
    template = (
        "{} IS NOT DISTINCT FROM {}"
        if column.target.type.base in _EXACTLY_EQUAL
        else '{}::text COLLATE "C" IS NOT DISTINCT FROM {}::text'
    )
    return sql.SQL(template).format(sql.Identifier("t", name), sql.Identifier("s", name))


def _show_keys(table: TablePlan, rows: list[tuple[Any, ...]]) -> str:
    return "; ".join(show_key(table.key, row) for row in rows)
