"""Find rows whose foreign key, as the target has it, leads nowhere: before PostgreSQL does, and all of them.

Owns that question alone. Equal cells of the two source tables settle nearly every row inside SQLite; what
is left is compared as PostgreSQL would read it, with the source's rows and with those PostgreSQL holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import psycopg
from psycopg import sql

from entrypoint.model import ColumnPlan, ForeignKey, Refusal, TablePlan
from entrypoint.postgres.queries import (
    allow_parameters,
    name_sent,
    name_type,
    send_rows,
    sent_rows,
    write_expression,
)
from entrypoint.sqlite.introspect import quote
from entrypoint.sqlite.source import Cell, SourceDatabase
from entrypoint.transfer.cells import column_cell, column_faces, count_rows, read_keys, taken_rows
from entrypoint.transfer.census.references import (
    is_meaningless,
    pick_columns,
    refuse_meaningless,
    refuse_parts,
)
from entrypoint.transfer.conversions import FaceMaker
from entrypoint.transfer.refusals.findings import Findings
from entrypoint.transfer.refusals.judge import sift_rows

_BATCH_SIZE = 2000

Key = tuple[str, ...]


def refuse_orphans(
    source: SourceDatabase,
    tables: tuple[TablePlan, ...],
    faces: FaceMaker,
    connection: psycopg.Connection[Any],
    findings: Findings,
) -> None:
    """Refuse the rows of every foreign key that refer to nothing.

    Rows that are left aside count as nothing: what refers to them is left aside too, until no row does.

    Args:
        source: open.
        tables: of the plan, judged.
        faces: of the census.
        connection: inside a transaction.
        findings: told of each.
    """
    planned = {table.target.qualified_name: table for table in tables}
    refuse_parts(source, tables, findings)
    refuse_meaningless(source, tables, faces, findings)
    is_changed = True
    while is_changed:
        is_changed = False
        for table in tables:
            for key in table.target.foreign_keys:
                columns = pick_columns(table, key.columns)
                parent = planned.get(key.references)
                if columns is None or not table.rows or is_meaningless(key, parent):
                    continue
                found = _check(source, table, key, columns, parent, faces, connection, findings)
                is_changed |= found and findings.can_quarantine


def _check(
    source: SourceDatabase,
    table: TablePlan,
    key: ForeignKey,
    columns: list[ColumnPlan],
    parent: TablePlan | None,
    faces: FaceMaker,
    connection: psycopg.Connection[Any],
    findings: Findings,
) -> bool:
    parent_columns = pick_columns(parent, key.referenced_columns) if parent is not None else None
    unmatched = " AND ".join(f"{column_cell(column)} IS NOT NULL" for column in columns)
    if table.condition:
        unmatched += f" AND {table.condition}"
    if parent is not None and parent_columns is not None:
        unmatched += f" AND {_write_unmatched(source, columns, parent, parent_columns)}"
    texts = [column_faces(faces, column).text for column in columns]
    candidates = sift_rows(connection, columns, _read_keys(source, table, texts, unmatched))
    meanings = dict(zip(candidates, _normalise(connection, columns, candidates), strict=True))
    if parent is not None and parent_columns is not None and candidates:
        present = _read_present(source, parent, parent_columns, faces, connection, set(meanings.values()))
        meanings = {text: meaning for text, meaning in meanings.items() if meaning not in present}
        if meanings and any(_is_loose(column) for column in (*columns, *parent_columns)):
            followed = _find_equal(source, columns, parent, parent_columns, faces, connection, list(meanings))
            meanings = {text: meaning for text, meaning in meanings.items() if text not in followed}
    orphans = set(meanings) - _find_standing(connection, key, columns, list(meanings))
    if not orphans:
        return False

    def is_orphan(*rendered: Cell) -> int:
        return int(rendered in orphans)

    source.register_function("entrypoint_is_orphan", is_orphan, len(texts))
    condition = f"{unmatched} AND entrypoint_is_orphan({', '.join(texts)})"
    names = ", ".join(column.source.name for column in columns if column.source)
    refusal = Refusal(
        table=table.source.name,
        column=names,
        value=", ".join(min(orphans)),
        reason=f"refers to no row of {key.references} ({', '.join(key.referenced_columns)}), "
        f"which the foreign key {key.name} demands",
        remedy="delete these rows or correct the reference in the source"
        if parent is not None
        else f"migrate what fills {key.references} as well (--table names it too), or correct the reference",
        keys=read_keys(source, table.source, condition),
        count=count_rows(source, table, condition),
    )
    findings.refuse(table, refusal, condition)
    return table.condition is not None


def _write_unmatched(
    source: SourceDatabase, columns: list[ColumnPlan], parent: TablePlan, parent_columns: list[ColumnPlan]
) -> str:
    """Return SQL for rows that no row of the parent equals, cell by cell as they stand in the source.

    Written as NOT IN over the bare table, which SQLite answers from the parent's own index; a NULL among
    the parent's keys would make it answer nothing, so those are left out where there are any.
    """
    names = [quote(column.source.name) for column in parent_columns if column.source]
    table = quote(parent.source.name)
    is_null = " OR ".join(f"{name} IS NULL" for name in names)
    row = source.connection.execute(f"SELECT EXISTS (SELECT 1 FROM {table} WHERE {is_null})").fetchone()
    conditions = [f"NOT ({is_null})"] if row and row[0] else []
    conditions += [parent.condition] if parent.condition else []
    condition = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    own = ", ".join(f"{quote(column.source.name)} COLLATE BINARY" for column in columns if column.source)
    return f"({own}) NOT IN (SELECT {', '.join(names)} FROM {table}{condition})"


def _read_keys(source: SourceDatabase, table: TablePlan, texts: list[str], condition: str) -> list[Key]:
    """Return the distinct keys as PostgreSQL will read them; refused and empty cells are not keys."""
    rows = source.connection.execute(
        f"SELECT DISTINCT {', '.join(texts)} FROM {quote(table.source.name)} WHERE {condition}"
    )
    return [tuple(str(cell) for cell in row) for row in rows if None not in row]


def _normalise(
    connection: psycopg.Connection[Any], columns: list[ColumnPlan], keys: list[Key]
) -> Iterator[Key]:
    """Yield each key as PostgreSQL spells it, so that two spellings of one uuid or number are one key."""
    width = len(columns)
    statement = sql.SQL("SELECT {} FROM {} ORDER BY k.n").format(
        sql.SQL(", ").join(
            sql.SQL("k.{}::{}::text").format(name, name_type(column.target.type.name))
            for name, column in zip(name_sent(width), columns, strict=True)
        ),
        sent_rows(width),
    )
    for start in range(0, len(keys), _BATCH_SIZE):
        yield from connection.execute(statement, send_rows(keys[start : start + _BATCH_SIZE], width))


def _read_present(
    source: SourceDatabase,
    parent: TablePlan,
    columns: list[ColumnPlan],
    faces: FaceMaker,
    connection: psycopg.Connection[Any],
    wanted: set[Key],
) -> set[Key]:
    """Return those of the wanted keys that some row of the parent will have once it is loaded."""
    present: set[Key] = set()
    for keys in _read_coming(source, parent, columns, faces, connection):
        present.update(key for key in _normalise(connection, columns, keys) if key in wanted)
    return present


def _read_coming(
    source: SourceDatabase,
    parent: TablePlan,
    columns: list[ColumnPlan],
    faces: FaceMaker,
    connection: psycopg.Connection[Any],
) -> Iterator[list[Key]]:
    """Yield, as they are rendered, the keys that the parent's rows will have once they are loaded."""
    texts = [column_faces(faces, column).text for column in columns]
    rows = source.connection.execute(f"SELECT {', '.join(texts)} FROM {taken_rows(parent)}")
    while batch := list(islice(rows, _BATCH_SIZE)):
        keys = [tuple(str(cell) for cell in row) for row in batch if None not in row]
        yield sift_rows(connection, columns, keys)


def _is_loose(column: ColumnPlan) -> bool:
    """Tell whether texts that differ may be equal in a column."""
    return column.target.type.base == "citext" or column.target.collation is not None


def _find_equal(
    source: SourceDatabase,
    columns: list[ColumnPlan],
    parent: TablePlan,
    parent_columns: list[ColumnPlan],
    faces: FaceMaker,
    connection: psycopg.Connection[Any],
    candidates: list[Key],
) -> set[Key]:
    """Return the candidates that PostgreSQL's `=` finds among the keys the parent will have."""
    width = len(columns)
    aliases = name_sent(width)
    statement = sql.SQL("SELECT k.n FROM {} JOIN unnest({}) AS p ({}) ON {}").format(
        sent_rows(width),
        sql.SQL(", ").join([sql.SQL("%s::text[]")] * width),
        sql.SQL(", ").join(aliases),
        sql.SQL(" AND ").join(
            sql.SQL("k.{}::{} = p.{}::{}{}").format(
                alias,
                name_type(own.target.type.name),
                alias,
                name_type(other.target.type.name),
                write_expression(f" COLLATE {other.target.collation}" if other.target.collation else ""),
            )
            for alias, own, other in zip(aliases, columns, parent_columns, strict=True)
        ),
    )
    found: set[Key] = set()
    for present in _read_coming(source, parent, parent_columns, faces, connection):
        for start in range(0, len(candidates), _BATCH_SIZE):
            some = candidates[start : start + _BATCH_SIZE]
            answers = connection.execute(statement, [*send_rows(some, width), *send_rows(present, width)])
            found |= {some[number - 1] for (number,) in answers}
    return found


def _find_standing(
    connection: psycopg.Connection[Any], key: ForeignKey, columns: list[ColumnPlan], candidates: list[Key]
) -> set[Key]:
    """Return the candidates to which a row in PostgreSQL already answers."""
    aliases = name_sent(len(columns))
    statement = sql.SQL("SELECT {} FROM {} JOIN {} t ON {}").format(
        sql.SQL(", ").join(sql.SQL("k.{}").format(alias) for alias in aliases),
        sent_rows(len(columns)),
        sql.Identifier(key.referenced_schema, key.referenced_table),
        sql.SQL(" AND ").join(
            sql.SQL("t.{} = k.{}::{}").format(
                sql.Identifier(name),
                alias,
                name_type(column.target.type.name),
            )
            for name, alias, column in zip(key.referenced_columns, aliases, columns, strict=True)
        ),
    )
    standing: set[Key] = set()
    for start in range(0, len(candidates), _BATCH_SIZE):
        parameters = send_rows(candidates[start : start + _BATCH_SIZE], len(columns))
        standing |= {tuple(row) for row in connection.execute(allow_parameters(statement), parameters)}
    return standing
