"""Foreign keys that SQLite declares and PostgreSQL does not, said in the target's names.

Owns which of them mean something there. They are followed where another row stands for the one they lead to;
nobody demands that they lead to any.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from string import ascii_lowercase, ascii_uppercase

from entrypoint.model import ForeignKey, TablePlan

_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)


def add_declared(tables: Sequence[TablePlan]) -> tuple[TablePlan, ...]:
    """Return the tables with the source's own foreign keys between them, and where these lead further.

    Left out are those whose columns a foreign key of the target leads somewhere itself, those of which a
    column is not migrated, and those to columns that are no key, which SQLite would not enforce.
    """
    planned = {_fold(table.source.name): table for table in tables}
    declared = [replace(table, declared=tuple(_list_declared(table, planned))) for table in tables]
    stated = {table.target.qualified_name: table.references for table in declared}
    keys = dict(stated)
    while derived := {name: found for name in keys if (found := _derive(name, stated, keys))}:
        keys |= {name: keys[name] + (found,) for name, found in derived.items()}
    return tuple(
        replace(table, declared=keys[table.target.qualified_name][len(table.target.foreign_keys) :])
        for table in declared
    )


def _derive(
    name: str, stated: dict[str, tuple[ForeignKey, ...]], keys: dict[str, tuple[ForeignKey, ...]]
) -> ForeignKey | None:
    """Return a foreign key that follows from two others: what refers to a reference refers to the same."""
    known = {(frozenset(key.columns), key.references) for key in keys[name]}
    for key in keys[name]:
        places = dict(zip(key.referenced_columns, key.columns, strict=True))
        others = {frozenset(other.columns) for other in stated[name] if other != key}
        for further in keys.get(key.references, ()):
            columns = tuple(places.get(column, "") for column in further.columns)
            is_new = (frozenset(columns), further.references) not in known
            if "" not in columns and is_new and frozenset(columns) not in others:
                return replace(further, name=f"{key.name}, {further.name}", columns=columns)
    return None


def _fold(name: str) -> str:
    """Return what SQLite finds a name by: the case of ASCII letters does not count."""
    return name.translate(_LOWER)


def _list_declared(table: TablePlan, planned: dict[str, TablePlan]) -> Iterator[ForeignKey]:
    columns = _name_targets(table)
    told = {frozenset(key.columns) for key in table.target.foreign_keys}
    for key in table.source.foreign_keys:
        parent = planned.get(_fold(key.referenced_table))
        if parent is None:
            continue
        others = _name_targets(parent)
        led_to = [_fold(name) for name in key.referenced_columns or parent.source.key]
        names = tuple(columns[name] for name in map(_fold, key.columns) if name in columns)
        referenced = tuple(others[name] for name in led_to if name in others)
        is_whole = len(names) == len(referenced) == len(key.columns) == len(led_to)
        is_key = any(set(map(_fold, unique)) == set(led_to) for unique in parent.source.unique_keys)
        if not is_whole or not is_key or frozenset(names) in told:
            continue
        yield ForeignKey(
            name=f"{table.source.name} ({', '.join(key.columns)})",
            columns=names,
            referenced_schema=parent.target.schema,
            referenced_table=parent.target.name,
            referenced_columns=referenced,
            is_deferrable=False,
            is_match_full=False,
        )


def _name_targets(table: TablePlan) -> dict[str, str]:
    """Return the target's columns by the source's, folded."""
    return {_fold(column.source.name): column.target.name for column in table.columns if column.source}
