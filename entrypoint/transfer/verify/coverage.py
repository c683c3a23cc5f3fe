"""Hold the plan against the source's own catalog: that nothing with data in it was left out unsaid.

Owns that question alone, and asks SQLite anew: it shares no code with `matching`, which made the plan. A
column may be absent where the plan says so; it may not go elsewhere than to the column of its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from entrypoint.mapping import ColumnMapping, Mapping, TableMapping
from entrypoint.model import Plan, TablePlan
from entrypoint.sqlite.failures import translate_errors
from entrypoint.sqlite.introspect import quote
from entrypoint.sqlite.source import SourceDatabase


def find_omissions(
    source: SourceDatabase, plan: Plan, mapping: Mapping, *, only: tuple[str, ...] = ()
) -> list[str]:
    """Return what the plan leaves out, or sends astray, without saying so; a clause each.

    Args:
        source: open.
        plan: as it was loaded.
        mapping: of the mapping file: what it moves is not astray.
        only: source tables the plan was restricted to; empty for all.
    """
    planned = {table.source.name: table for table in plan.tables}
    told = {item.name for item in plan.skipped}
    problems: list[str] = []
    with translate_errors(source.path):
        names = source.connection.execute(
            "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table'"
            " AND name NOT GLOB 'sqlite_*' ORDER BY name"
        ).fetchall()
        for (found,) in names:
            name = str(found)
            if name in planned:
                moved = mapping.tables.get(name, TableMapping()).columns
                problems += _check_columns(source, planned[name], told, moved)
            elif name not in told and (name in only or not only) and _has_data(source, name, "1"):
                problems.append(f"table {name} holds rows and was not loaded")
    return [*problems, *_find_doubles(plan)]


def _check_columns(
    source: SourceDatabase, table: TablePlan, told: set[str], moved: dict[str, ColumnMapping]
) -> Iterator[str]:
    name = table.source.name
    targets = {column.source.name: column.target.name for column in table.columns if column.source}
    columns = source.connection.execute(
        "SELECT name FROM pragma_table_xinfo(?) WHERE hidden <> 1", (name,)
    ).fetchall()
    for (found,) in columns:
        column = str(found)
        if column in targets:
            own = _find_own(column, (target.name for target in table.target.columns))
            is_astray = own is not None and own != targets[column]
            if is_astray and moved.get(column, ColumnMapping()).target is None:
                yield f"column {name}.{column} went into {targets[column]}, and there is {own}"
        elif f"{name}.{column}" not in told and _has_data(source, name, quote(column)):
            yield f"column {name}.{column} holds data and was not loaded"


def _find_own(name: str, candidates: Iterable[str]) -> str | None:
    """Return the column of just this name, or the only one that differs from it in case alone."""
    known = list(candidates)
    if name in known:
        return name
    alike = [candidate for candidate in known if candidate.lower() == name.lower()]
    return alike[0] if len(alike) == 1 else None


def _find_doubles(plan: Plan) -> Iterator[str]:
    tables = [table.target.qualified_name for table in plan.tables]
    for name in sorted({name for name in tables if tables.count(name) > 1}):
        yield f"several tables went into {name}"
    for table in plan.tables:
        columns = [column.target.name for column in table.columns]
        for name in sorted({name for name in columns if columns.count(name) > 1}):
            yield f"several columns went into {table.target.qualified_name}.{name}"


def _has_data(source: SourceDatabase, table: str, expression: str) -> bool:
    row = source.connection.execute(
        f"SELECT EXISTS (SELECT 1 FROM {quote(table)} WHERE {expression} IS NOT NULL)"
    ).fetchone()
    return bool(row and row[0])
