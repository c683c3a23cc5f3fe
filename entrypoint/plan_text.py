"""A plan and its refusals as text for a reader on a terminal: what happens to each table, and what cannot.

Owns layout, and what of a large plan a reader is spared: the JSON document has all of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from entrypoint.model import ColumnPlan, Plan, Refusal, TablePlan
from entrypoint.report_text import write_table
from entrypoint.transfer.report import list_held, list_sequences, list_unfilled

# Beyond this many columns, those that keep their name and their kind of value are only counted.
_MOST_COLUMNS = 60
_MOST_NAMES = 12
_MATCHES = {
    "exact": "same name",
    "cut": "name cut to 63 bytes",
    "case": "another case",
    "snake": "snake_case",
    "mapping": "mapping file",
    "constant": "mapping file",
}
_SAME_KINDS = frozenset({"integer", "double", "text", "bytea"})


def write_plan(plan: Plan, *, source: str) -> str:
    """Return a plan: tables in order, columns, what is left out or stands aside, what is refused."""
    parts = [f"source: {source}"]
    if plan.tables:
        parts += [_write_tables(plan.tables), *_write_columns(plan.tables)]
    lists = (
        ("not in the source, filled by PostgreSQL", _list_unfilled(plan.tables)),
        (
            "sequences that go on above every id",
            _fold(name for table in plan.tables for name in list_sequences(table)),
        ),
        ("held while rows are loaded", _fold(name for table in plan.tables for name in list_held(table))),
        ("checked at the end (cycles)", _fold(f"{key} of {table}" for table, key in plan.deferred)),
        ("left out", (f"{item.name}: {item.reason}" for item in plan.skipped)),
        ("notes", plan.notes),
    )
    parts += [text for heading, lines in lists if (text := _write_list(heading, lines))]
    if plan.quarantined:
        parts.append("quarantined:\n" + "\n".join(write_refusal(refusal) for refusal in plan.quarantined))
    if plan.refusals:
        parts.append("refused:\n" + "\n".join(write_refusal(refusal) for refusal in plan.refusals))
    else:
        taken = sum(table.rows_taken for table in plan.tables)
        aside = (
            (sum(table.rejected for table in plan.tables), "quarantined"),
            (sum(table.stood_for for table in plan.tables), "stood for by rows of PostgreSQL"),
        )
        rest = "".join(f", {rows:,} {what}" for rows, what in aside if rows)
        parts.append(
            f"{taken:,} rows of {len(plan.tables)} tables would be migrated{rest}; nothing is refused"
        )
    return "\n\n".join(parts)


def _write_tables(tables: Iterable[TablePlan]) -> str:
    return write_table(
        ("table", "target", "found by", "rows", "rows matched by"),
        (
            (
                table.source.name,
                table.target.qualified_name,
                _MATCHES[table.match],
                table.rows,
                _show_key(table),
            )
            for table in tables
        ),
    )


def _show_key(table: TablePlan) -> str:
    names = ", ".join(table.key)
    if not table.key:
        return "whole rows"
    return names if table.key_name.startswith("primary key") else f"{names} ({table.key_name})"


def _write_columns(tables: Iterable[TablePlan]) -> Iterator[str]:
    columns = [(table.source.name, column) for table in tables for column in table.columns]
    shown = columns
    if len(columns) > _MOST_COLUMNS:
        shown = [(table, column) for table, column in columns if not _is_plain(column)]
    if shown:
        yield write_table(
            ("table", "column", "becomes", "of type", "conversion"),
            (
                (
                    table,
                    column.source.name if column.source else "",
                    column.target.name,
                    column.target.type.name,
                    _show_conversion(column),
                )
                for table, column in shown
            ),
        )
    if len(shown) < len(columns):
        yield (
            f"{len(columns) - len(shown):,} more columns keep their name and their kind of value "
            "(--json lists all)"
        )


def _is_plain(column: ColumnPlan) -> bool:
    return (
        column.match == "exact"
        and column.conversion.kind in _SAME_KINDS
        and not column.conversion.is_empty_null
    )


def _show_conversion(column: ColumnPlan) -> str:
    if column.constant is not None:
        return f"always {column.constant!r}"
    words = [column.conversion.kind]
    if column.conversion.unit:
        words.append(f"from {column.conversion.unit}")
    if column.conversion.is_empty_null:
        words.append("empty text as NULL")
    return ", ".join(words)


def _list_unfilled(tables: Iterable[TablePlan]) -> Iterator[str]:
    for table in tables:
        columns = [
            f"{column.name} ({'NULL' if filled_by == 'null' else filled_by})"
            for column, filled_by in list_unfilled(table)
        ]
        if columns:
            yield f"{table.target.qualified_name}: {', '.join(columns)}"


def _fold(names: Iterable[str]) -> Iterator[str]:
    """Yield one line of different names, as many as a reader takes in."""
    found = list(dict.fromkeys(names))
    more = len(found) - _MOST_NAMES
    if found:
        yield ", ".join(found[:_MOST_NAMES]) + (f" and {more:,} more (--json lists all)" if more > 0 else "")


def _write_list(heading: str, lines: Iterable[str]) -> str:
    text = "".join(f"\n  {line}" for line in lines)
    return f"{heading}:{text}" if text else ""


def write_refusal(refusal: Refusal) -> str:
    """Return one refusal in two lines."""
    return f"  {describe_refusal(refusal)}\n    -> {refusal.remedy}"


def describe_refusal(refusal: Refusal) -> str:
    """Return in one line where a refusal's cells stand, what they hold, and why they are refused."""
    place = refusal.table + (f".{refusal.column}" if refusal.column else "")
    parts = [place]
    if refusal.storage_class:
        parts.append(f"{refusal.storage_class} {refusal.value}")
    if refusal.count:
        parts.append(f"{refusal.count:,} row(s)")
    if refusal.keys:
        parts.append("; ".join([*refusal.keys, *(["…"] if refusal.count > len(refusal.keys) else [])]))
    return f"{', '.join(parts)}: {refusal.reason}"
