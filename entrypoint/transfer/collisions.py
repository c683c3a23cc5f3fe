"""Rows that cannot be inserted because PostgreSQL holds another row under one of their unique keys.

Owns finding them before the load. Under `preserve` the row that stands is kept, the arriving one is left out,
and what refers to it is pointed at the one that stands: also where PostgreSQL gave its number to something
else, as when both sides seeded the same names in another order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Any

import psycopg
from psycopg import sql

from entrypoint.model import ColumnPlan, ForeignKey, Refusal, TablePlan, UniqueKey
from entrypoint.postgres.catalog import has_rows, own_rows
from entrypoint.postgres.queries import allow_parameters, name_sent, name_type, send_rows, sent_rows
from entrypoint.sqlite.source import Cell, SourceDatabase
from entrypoint.transfer.cells import column_faces, show_key, taken_rows
from entrypoint.transfer.conversions import FaceMaker
from entrypoint.transfer.findings import Findings
from entrypoint.transfer.judge import sift_rows

_BATCH_SIZE = 2000
# Each is held in memory; more of them means that the two sides number their rows differently throughout.
_MOST_COLLISIONS = 100_000
_SHOWN = 3

Key = tuple[str | None, ...]


@dataclass(slots=True)
class _Collisions:
    """Of one table: arriving keys, with what refers to them and what is to be referred to instead."""

    keys: set[Key] = field(default_factory=set)
    followers: dict[tuple[str, ...], dict[Key, Key]] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)


def settle_collisions(
    source: SourceDatabase,
    tables: tuple[TablePlan, ...],
    faces: FaceMaker,
    connection: psycopg.Connection[Any],
    findings: Findings,
    *,
    can_preserve: bool,
) -> tuple[TablePlan, ...]:
    """Return the tables with such rows left out and references to them redirected, or refuse them.

    Args:
        source: open.
        tables: of the plan, judged, referenced before referring.
        faces: of the census.
        connection: inside a transaction.
        findings: told of what is refused or noted.
        can_preserve: ON_CONFLICT is `preserve`.
    """
    settled = {table.target.qualified_name: table for table in tables}
    for name in list(settled):
        table = settled[name]
        others = _find_other_keys(table)
        if not others or not table.rows or not has_rows(connection, table.target):
            continue
        referring = _find_referring(settled, name)
        wanted = {key.referenced_columns for _, key in referring} | {table.key}
        found = _find(source, table, others, wanted, faces, connection, can_preserve=can_preserve)
        if not found.keys:
            continue
        if not can_preserve or len(found.keys) > _MOST_COLLISIONS:
            _refuse(table, found, referring, findings)
            continue
        settled[name] = _leave_out(source, table, found, faces)
        for child, key in referring:
            redirected = _redirect(
                source, settled[child], key, found.followers[key.referenced_columns], faces
            )
            settled[child] = redirected
        findings.notes.append(
            f"{table.source.name}: {len(found.keys)} row(s) stand in PostgreSQL under another key "
            f"({', '.join(sorted(found.names))}); those are kept, and what refers to the others follows them"
        )
    return tuple(settled.values())


def _find_other_keys(table: TablePlan) -> list[UniqueKey]:
    """Return the unique keys, all of whose columns are planned, by which rows are not matched."""
    planned = {column.target.name for column in table.columns}
    return [
        key
        for key in table.target.unique_keys
        if table.key and set(key.columns) != set(table.key) and set(key.columns) <= planned
    ]


def _find_referring(tables: dict[str, TablePlan], name: str) -> list[tuple[str, ForeignKey]]:
    """Return the foreign keys of planned tables, itself included, that refer to a table's planned columns."""
    planned = {column.target.name for column in tables[name].columns}
    return [
        (child, key)
        for child, table in tables.items()
        for key in table.target.foreign_keys
        if key.references == name
        and set(key.referenced_columns) <= planned
        and set(key.columns) <= {column.target.name for column in table.columns}
    ]


def _find(
    source: SourceDatabase,
    table: TablePlan,
    others: list[UniqueKey],
    wanted: set[tuple[str, ...]],
    faces: FaceMaker,
    connection: psycopg.Connection[Any],
    *,
    can_preserve: bool,
) -> _Collisions:
    found = _Collisions(followers={columns: {} for columns in wanted})
    by_name = {column.target.name: column for column in table.columns}
    for key in others:
        names = tuple(
            dict.fromkeys(
                [*table.key, *(name for other in others for name in other.columns), *chain(*sorted(wanted))]
            )
        )
        statement = _write_query(table, key, others if can_preserve else [], names)
        planned = [by_name[name] for name in names]
        for arrived in _read_batches(source, table, names, faces):
            batch = sift_rows(connection, planned, arrived)
            answers = connection.execute(statement, send_rows(batch, len(names)))
            for number, *standing in answers:
                arriving = dict(zip(names, batch[number - 1], strict=True))
                kept = dict(zip(names, standing, strict=True))
                found.keys.add(tuple(arriving[name] for name in table.key))
                found.names.add(key.name)
                for columns, follow in found.followers.items():
                    old, new = (tuple(side[name] for name in columns) for side in (arriving, kept))
                    follow.setdefault(old, new)
            if len(found.keys) > _MOST_COLLISIONS:
                return found
    return found


def _write_query(
    table: TablePlan, key: UniqueKey, telling: list[UniqueKey], names: tuple[str, ...]
) -> sql.Composed:
    """Ask for standing rows that share `key` with an arriving row that is not one of those by its own key.

    It is the row under its own key where that shares one of the `telling` keys with it, or none is given.
    """
    types = {column.target.name: column.target for column in table.columns}
    alias = dict(zip(names, name_sent(len(names)), strict=True))

    def match(side: str, columns: tuple[str, ...], *, nulls_alike: bool) -> sql.Composed:
        operator = sql.SQL("IS NOT DISTINCT FROM" if nulls_alike else "=")
        return sql.SQL(" AND ").join(
            sql.SQL("{}.{} {} k.{}::{}").format(
                sql.Identifier(side),
                sql.Identifier(name),
                operator,
                alias[name],
                name_type(types[name].type.name),
            )
            for name in columns
        )

    statement = sql.SQL(
        "SELECT k.n, {output} FROM {sent} JOIN {rows} t ON {same_other}"
        " WHERE NOT EXISTS (SELECT FROM {rows} p WHERE {same_key} AND ({same_any}))"
    ).format(
        output=sql.SQL(", ").join(sql.SQL("t.{}::text").format(sql.Identifier(name)) for name in names),
        sent=sent_rows(len(names)),
        rows=own_rows(table.target),
        same_other=match("t", key.columns, nulls_alike=key.is_nulls_not_distinct),
        same_key=match("p", table.key, nulls_alike=True),
        same_any=sql.SQL(" OR ").join(
            match("p", other.columns, nulls_alike=other.is_nulls_not_distinct) for other in telling
        )
        if telling
        else sql.SQL("true"),
    )
    return allow_parameters(statement)


def _read_batches(
    source: SourceDatabase, table: TablePlan, names: tuple[str, ...], faces: FaceMaker
) -> Iterator[list[tuple[Cell, ...]]]:
    by_name = {column.target.name: column for column in table.columns}
    texts = [column_faces(faces, by_name[name]).text for name in names]
    rows = source.connection.execute(f"SELECT {', '.join(texts)} FROM {taken_rows(table)}")
    while batch := list(islice(rows, _BATCH_SIZE)):
        yield batch


def _refuse(
    table: TablePlan, found: _Collisions, referring: list[tuple[str, ForeignKey]], findings: Findings
) -> None:
    shown = sorted(tuple(str(cell) for cell in key) for key in islice(found.keys, _SHOWN))
    children = ", ".join(f"{child} ({', '.join(key.columns)})" for child, key in referring) or "nothing"
    findings.refusals.append(
        Refusal(
            table=table.source.name,
            column=None,
            reason="PostgreSQL holds other rows under the same unique key "
            f"({', '.join(sorted(found.names))}); what refers to these rows: {children}",
            remedy="set ON_CONFLICT=preserve to keep PostgreSQL's rows and let the references follow them, "
            "or change the keys on one side",
            keys=tuple(show_key(table.key, key) for key in shown),
            count=len(found.keys),
        )
    )


def _leave_out(source: SourceDatabase, table: TablePlan, found: _Collisions, faces: FaceMaker) -> TablePlan:
    name = f"entrypoint_stands_{table.target.oid}"

    def stands(*key: Cell) -> int:
        return int(key in found.keys)

    source.register_function(name, stands, len(table.key))
    by_name = {column.target.name: column for column in table.columns}
    texts = ", ".join(column_faces(faces, by_name[column]).text for column in table.key)
    condition = f"NOT {name}({texts})"
    return replace(
        table,
        condition=f"{table.condition} AND {condition}" if table.condition else condition,
        stood_for=len(found.keys),
    )


def _redirect(
    source: SourceDatabase, table: TablePlan, key: ForeignKey, follow: dict[Key, Key], faces: FaceMaker
) -> TablePlan:
    """Return the referring table with the foreign key's columns rendered as what they are to refer to."""
    if all(old == new for old, new in follow.items()):
        return table
    by_name = {column.target.name: column for column in table.columns}
    texts = ", ".join(column_faces(faces, by_name[name]).text for name in key.columns)
    redirected: dict[str, ColumnPlan] = {}
    for position, name in enumerate(key.columns):
        number = table.target.foreign_keys.index(key)
        function = f"entrypoint_follow_{table.target.oid}_{number}_{position}"

        def point(*cells: Cell, position: int = position) -> Cell:
            return follow.get(cells, cells)[position]  # type: ignore[arg-type]

        source.register_function(function, point, len(key.columns))
        redirected[name] = replace(by_name[name], redirect=f"{function}({texts})")
    columns = tuple(redirected.get(column.target.name, column) for column in table.columns)
    return replace(table, columns=columns)
