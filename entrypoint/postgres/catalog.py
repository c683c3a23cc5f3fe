"""Read the target's catalog: tables, columns, types, keys, triggers and rules.

Owns the queries of `catalog.sql` and the meaning of type modifiers. Reads only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import sql

from entrypoint.model import (
    Check,
    ForeignKey,
    IndexPart,
    Rule,
    TargetColumn,
    TargetSequence,
    TargetTable,
    TargetType,
    Trigger,
    UniqueIndex,
)
from entrypoint.postgres.queries import load_queries

_VARHDRSZ = 4  # what a length modifier counts too much (src/include/varatt.h)


def read_tables(connection: psycopg.Connection[Any], *, ledger_schema: str) -> tuple[TargetTable, ...]:
    """Return every table that an unqualified name reaches, but for extensions' and the ledger's own."""
    queries = load_queries(__package__, "catalog.sql")
    rows = connection.execute(queries["tables"], {"ledger_schema": ledger_schema}).fetchall()
    parts: dict[str, dict[int, list[Any]]] = {}
    for name, make in _PARTS.items():
        found = parts[name] = defaultdict(list)
        for oid, *row in connection.execute(queries[name], {"oids": [row[0] for row in rows]}):
            found[oid].append(make(*row))
    return tuple(
        TargetTable(
            oid=oid,
            schema=schema,
            name=name,
            is_partitioned=is_partitioned,
            is_owned=is_owned,
            is_lockable=is_lockable,
            has_row_security=has_row_security,
            columns=tuple(parts["columns"][oid]),
            unique_indexes=tuple(parts["unique_indexes"][oid]),
            foreign_keys=tuple(parts["foreign_keys"][oid]),
            triggers=tuple(parts["triggers"][oid]),
            rules=tuple(parts["rules"][oid]),
            checks=tuple(parts["checks"][oid]),
        )
        for oid, schema, name, is_partitioned, is_owned, is_lockable, has_row_security in rows
    )


def read_unreachable(
    connection: psycopg.Connection[Any], *, ledger_schema: str
) -> tuple[tuple[str, str], ...]:
    """Return (schema, table) of each table that an unqualified name does not reach."""
    query = load_queries(__package__, "catalog.sql")["unreachable"]
    return tuple(connection.execute(query, {"ledger_schema": ledger_schema}).fetchall())


def own_rows(table: TargetTable) -> sql.Composed:
    """Return what to select from, or update, for a table's rows without those of tables that inherit from it.

    The rows of a partitioned table are its partitions' (manual, "Inheritance" and "Table Partitioning").
    """
    name = sql.Identifier(table.schema, table.name)
    return sql.SQL("{}" if table.is_partitioned else "ONLY {}").format(name)


def read_free_sequences(
    connection: psycopg.Connection[Any], *, ledger_schema: str
) -> tuple[tuple[str, str], ...]:
    """Return the schema and name of every sequence in the search path that no column depends on."""
    query = load_queries(__package__, "catalog.sql")["free_sequences"]
    rows = connection.execute(query, {"ledger_schema": ledger_schema}).fetchall()
    return tuple((schema, name) for schema, name in rows)


def count_rows(connection: psycopg.Connection[Any], table: TargetTable) -> int:
    """Return how many rows a table holds, without those of tables that inherit from it."""
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(own_rows(table))).fetchone()
    assert row is not None
    return int(row[0])


def has_rows(connection: psycopg.Connection[Any], table: TargetTable) -> bool:
    """Tell whether a table holds any row, without those of tables that inherit from it."""
    row = connection.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(own_rows(table))).fetchone()
    return bool(row and row[0])


def _make_column(
    name: str,
    type_name: str,
    base: str,
    kind: str,
    typmod: int,
    is_domain: bool,
    element: str | None,
    labels: list[str],
    has_equality: bool,
    is_not_null: bool,
    has_default: bool,
    is_generated: bool,
    identity: str,
    collation: str | None,
    generation: str | None,
    generated_from: list[str],
    is_stored: bool,
    *sequence: Any,
) -> TargetColumn:
    return TargetColumn(
        name=name,
        type=TargetType(
            name=type_name,
            base=base,
            kind=kind,
            modifier=_decode_modifier(element or base, typmod),
            labels=tuple(labels),
            element=element,
            is_domain=is_domain,
            has_equality=has_equality,
        ),
        is_not_null=is_not_null,
        has_default=has_default and not is_generated,
        is_generated=is_generated,
        identity=identity,
        sequence=_make_sequence(*sequence),
        collation=collation,
        generation=generation,
        generated_from=tuple(generated_from),
        is_stored=is_stored,
    )


def _make_sequence(
    schema: str | None,
    name: str,
    increment: int,
    minimum: int,
    maximum: int,
    is_owned: bool,
    prefix: str | None,
) -> TargetSequence | None:
    if schema is None:
        return None
    return TargetSequence(
        schema=schema,
        name=name,
        increment=increment,
        minimum=minimum,
        maximum=maximum,
        is_owned=is_owned,
        prefix=(prefix or "").replace("''", "'"),
    )


def _decode_modifier(base: str, typmod: int) -> tuple[int, ...]:
    """Return what stands in the type's parentheses (src/backend/utils/adt: numeric.c, varchar.c, date.c)."""
    if typmod < 0:
        return ()
    if base == "numeric":
        packed = typmod - _VARHDRSZ
        scale = ((packed & 0x7FF) ^ 1024) - 1024  # eleven bits, signed since PostgreSQL 15
        return (packed >> 16) & 0xFFFF, scale
    if base in ("varchar", "bpchar"):
        return (typmod - _VARHDRSZ,)
    return (typmod,)


def _make_unique_index(
    name: str,
    is_primary: bool,
    is_nulls_not_distinct: bool,
    predicate: str | None,
    parts: list[dict[str, Any]],
    needs: list[str],
) -> UniqueIndex:
    return UniqueIndex(
        name=name,
        parts=tuple(IndexPart(**part) for part in parts),
        predicate=predicate,
        needs=tuple(needs),
        is_primary=is_primary,
        is_nulls_not_distinct=is_nulls_not_distinct,
    )


def _make_foreign_key(
    name: str,
    referenced_schema: str,
    referenced_table: str,
    is_deferrable: bool,
    is_match_full: bool,
    columns: list[str],
    referenced_columns: list[str],
) -> ForeignKey:
    return ForeignKey(
        name=name,
        columns=tuple(columns),
        referenced_schema=referenced_schema,
        referenced_table=referenced_table,
        referenced_columns=tuple(referenced_columns),
        is_deferrable=is_deferrable,
        is_match_full=is_match_full,
    )


def _make_trigger(schema: str, table: str, name: str, state: str, is_on_insert: bool) -> Trigger:
    return Trigger(schema=schema, table=table, name=name, state=state, is_on_insert=is_on_insert)


def _make_rule(schema: str, table: str, name: str, state: str, is_on_insert: bool) -> Rule:
    return Rule(schema=schema, table=table, name=name, state=state, is_on_insert=is_on_insert)


def _make_check(name: str, expression: str, is_validated: bool, columns: list[str]) -> Check:
    return Check(name=name, expression=expression, is_validated=is_validated, columns=tuple(columns))


_PARTS: dict[str, Callable[..., Any]] = {
    "columns": _make_column,
    "unique_indexes": _make_unique_index,
    "foreign_keys": _make_foreign_key,
    "triggers": _make_trigger,
    "rules": _make_rule,
    "checks": _make_check,
}
