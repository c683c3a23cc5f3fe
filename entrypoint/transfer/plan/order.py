"""The order in which tables are loaded: referenced before referring, and what to do about cycles.

Owns the graph of foreign keys between planned tables. A foreign key inside a cycle cannot be satisfied
row by row in any order; it is checked at the end instead.
"""

from __future__ import annotations

from collections.abc import Iterable

from entrypoint.model import TablePlan


def sort_tables(tables: Iterable[TablePlan], *, is_declared: bool = False) -> tuple[TablePlan, ...]:
    """Return the tables so that each follows those it refers to; within a cycle, as they came.

    Args:
        tables: to be loaded.
        is_declared: count references too that the source alone declares.
    """
    plans = {table.target.qualified_name: table for table in tables}
    components = _find_components(plans, is_declared=is_declared)
    return tuple(plans[name] for component in components for name in component)


def find_deferred(tables: Iterable[TablePlan]) -> tuple[tuple[str, str], ...]:
    """Return (table, constraint) of every foreign key between two different tables of one cycle."""
    plans = {table.target.qualified_name: table for table in tables}
    deferred = []
    for component in _find_components(plans):
        for name in component:
            deferred += [
                (name, key.name)
                for key in plans[name].target.foreign_keys
                if key.references in component and key.references != name
            ]
    return tuple(deferred)


def find_own_references(tables: Iterable[TablePlan]) -> tuple[tuple[str, str], ...]:
    """Return (table, constraint) of every foreign key of a table to itself."""
    return tuple(
        (table.target.qualified_name, key.name)
        for table in tables
        for key in table.target.foreign_keys
        if key.references == table.target.qualified_name
    )


def _find_components(plans: dict[str, TablePlan], *, is_declared: bool = False) -> list[list[str]]:
    """Return the strongly connected components, referenced ones first (Tarjan 1972, without recursion)."""
    edges = {
        name: [
            key.references
            for key in (plan.references if is_declared else plan.target.foreign_keys)
            if key.references in plans
        ]
        for name, plan in plans.items()
    }
    index: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    components: list[list[str]] = []
    for root in plans:
        if root in index:
            continue
        work = [(root, iter(edges[root]))]
        index[root] = lowest[root] = len(index)
        stack.append(root)
        while work:
            name, following = work[-1]
            for successor in following:
                if successor not in index:
                    index[successor] = lowest[successor] = len(index)
                    stack.append(successor)
                    work.append((successor, iter(edges[successor])))
                    break
                if successor in stack:
                    lowest[name] = min(lowest[name], index[successor])
            else:
                work.pop()
                if work:
                    lowest[work[-1][0]] = min(lowest[work[-1][0]], lowest[name])
                if lowest[name] == index[name]:
                    position = stack.index(name)
                    members = set(stack[position:])
                    del stack[position:]
                    components.append([member for member in plans if member in members])
    return components
