"""References that say nothing, whatever rows there are: refused before anybody looks where they lead.

Owns those that are filled in part, and those to what the migration does not take from the source.
"""

from __future__ import annotations

from entrypoint.mapping_lines import IGNORE, write_remedy
from entrypoint.model import ColumnPlan, ForeignKey, Refusal, TablePlan
from entrypoint.sqlite.source import SourceDatabase
from entrypoint.transfer.cells import column_cell, column_faces, count_rows, read_keys
from entrypoint.transfer.conversions import FaceMaker
from entrypoint.transfer.refusals.findings import Findings


def pick_columns(table: TablePlan, names: tuple[str, ...]) -> list[ColumnPlan] | None:
    """Return the planned columns of these names, or None where one has no source and is NULL or a default."""
    by_name = {column.target.name: column for column in table.columns if column.source is not None}
    return [by_name[name] for name in names] if all(name in by_name for name in names) else None


def refuse_parts(source: SourceDatabase, tables: tuple[TablePlan, ...], findings: Findings) -> None:
    """Refuse the rows that fill a part of a foreign key of MATCH FULL (manual, CREATE TABLE)."""
    for table in tables:
        for key in table.target.foreign_keys:
            columns = pick_columns(table, key.columns) if key.is_match_full else None
            if columns is None or not table.rows:
                continue
            empty = " + ".join(f"({column_cell(column)} IS NULL)" for column in columns)
            condition = f"{empty} BETWEEN 1 AND {len(columns) - 1} AND {table.condition or '1'}"
            count = count_rows(source, table, condition)
            if not count:
                continue
            refusal = Refusal(
                table=table.source.name,
                column=", ".join(column.source.name for column in columns if column.source),
                reason=f"NULL in a part of the foreign key {key.name}, which is MATCH FULL: all or nothing",
                remedy="fill the reference in the source, or empty the whole of it",
                keys=read_keys(source, table.source, condition),
                count=count,
            )
            findings.refuse(table, refusal, condition)


def is_meaningless(key: ForeignKey, parent: TablePlan | None) -> bool:
    """Tell whether a foreign key refers to a column that PostgreSQL fills anew for the rows that arrive.

    Args:
        key: of a planned table.
        parent: the plan of the table it leads to.
    """
    return parent is not None and parent.rows > 0 and bool(_list_untaken(key, parent))


def _list_untaken(key: ForeignKey, parent: TablePlan) -> list[str]:
    """Return the referenced columns that no cell or constant fills and that are not computed from any."""
    filled = {column.target.name for column in parent.columns}
    filled |= {column.name for column in parent.target.columns if column.is_generated}
    return [name for name in key.referenced_columns if name not in filled]


def refuse_meaningless(
    source: SourceDatabase, tables: tuple[TablePlan, ...], faces: FaceMaker, findings: Findings
) -> None:
    """Refuse the rows that refer by what the source called a row, where the row has another name by now.

    Args:
        source: open.
        tables: of the plan, judged.
        faces: of the census.
        findings: told of each.
    """
    planned = {table.target.qualified_name: table for table in tables}
    for table in tables:
        for key in table.target.foreign_keys:
            parent = planned.get(key.references)
            columns = pick_columns(table, key.columns)
            if columns is None or not table.rows or parent is None or not is_meaningless(key, parent):
                continue
            condition = " AND ".join(f"{column_faces(faces, column).text} IS NOT NULL" for column in columns)
            condition += f" AND {table.condition or '1'}"
            if not (count := count_rows(source, table, condition)):
                continue
            names = [column.source.name for column in columns if column.source]
            untaken = ", ".join(_list_untaken(key, parent))
            entries = (IGNORE,) if len(names) == 1 else ()
            refusal = Refusal(
                table=table.source.name,
                column=", ".join(names),
                reason=f"refers to {key.references} ({', '.join(key.referenced_columns)}) by the foreign key "
                f"{key.name}, and {untaken} is not taken from the source: the rows of "
                f"{parent.source.name} get others in PostgreSQL, and nothing says which of them is meant",
                remedy=write_remedy(
                    table.source.name,
                    names[0],
                    entries,
                    otherwise=f"let the migration take {untaken} of {parent.source.name}",
                ),
                keys=read_keys(source, table.source, condition),
                count=count,
                entries=entries,
            )
            findings.refuse(table, refusal, condition)
