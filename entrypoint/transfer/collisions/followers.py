"""What refers to a row that another one stands for: found, and pointed at the row that stands.

Owns the redirection of references and the leaving out of the rows they led to. Finds no collision.
"""

from __future__ import annotations

from dataclasses import replace

from entrypoint.model import ColumnPlan, ForeignKey, TablePlan
from entrypoint.sqlite.source import Cell, SourceDatabase
from entrypoint.transfer.cells import (
    VALUE_WIDTH,
    show_key,
    write_texts,
)
from entrypoint.transfer.conversions import FaceMaker

Key = tuple[Cell, ...]


def find_referring(tables: dict[str, TablePlan], name: str) -> list[tuple[str, ForeignKey]]:
    """Return the foreign keys of planned tables, itself included, that refer to a table's planned columns."""
    planned = {column.target.name for column in tables[name].columns}
    return [
        (child, key)
        for child, table in tables.items()
        for key in table.references
        if key.references == name
        and set(key.referenced_columns) <= planned
        and set(key.columns) <= {column.target.name for column in table.columns}
    ]


def describe_referring(referring: list[tuple[str, ForeignKey]]) -> str:
    """Return foreign keys for a reader: `public.users (boss)`."""
    return ", ".join(f"{child} ({', '.join(key.columns)})" for child, key in referring) or "nothing"


def describe_key(names: tuple[str, ...], key: Key) -> str:
    """Return a row's key for the reader; without one it is all its cells, of any length."""
    return show_key(names, ("NULL" if cell is None else str(cell)[:VALUE_WIDTH] for cell in key))


def leave_out(
    source: SourceDatabase, table: TablePlan, names: tuple[str, ...], keys: set[Key], faces: FaceMaker
) -> TablePlan:
    """Return the table without the rows that have one of these keys.

    Args:
        source: open.
        table: planned.
        names: the key's columns.
        keys: as they are rendered.
        faces: of the census.
    """
    name = f"entrypoint_stands_{table.target.oid}"

    def stands(*key: Cell) -> int:
        return int(key in keys)

    source.register_function(name, stands, len(names))
    condition = f"NOT {name}({write_texts(table, names, faces)})"
    return replace(
        table,
        condition=f"{table.condition} AND {condition}" if table.condition else condition,
        stood_for=len(keys),
    )


def redirect(
    source: SourceDatabase, table: TablePlan, key: ForeignKey, follow: dict[Key, Key], faces: FaceMaker
) -> TablePlan:
    """Return the referring table with the foreign key's columns rendered as what they are to refer to."""
    if all(old == new for old, new in follow.items()):
        return table
    by_name = {column.target.name: column for column in table.columns}
    texts = write_texts(table, key.columns, faces)
    redirected: dict[str, ColumnPlan] = {}
    for position, name in enumerate(key.columns):
        number = table.references.index(key)
        function = f"entrypoint_follow_{table.target.oid}_{number}_{position}"

        def point(*cells: Cell, position: int = position) -> Cell:
            return follow.get(cells, cells)[position]

        source.register_function(function, point, len(key.columns))
        redirected[name] = replace(by_name[name], redirect=f"{function}({texts})")
    columns = tuple(redirected.get(column.target.name, column) for column in table.columns)
    return replace(table, columns=columns)
