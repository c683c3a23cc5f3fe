"""Compare the cells of the source with their counterparts in PostgreSQL, by another path than the load's.

Owns the comparison: SQLite's cells come through its row interface, PostgreSQL's through the text of its
output functions, and `decode` tells whether they mean the same. The load's rendering finds a row's
counterpart by its key, no more. Judges nothing by what it finds.
"""

from __future__ import annotations

from psycopg import sql

from entrypoint.model import TablePlan
from entrypoint.postgres.catalog import own_rows
from entrypoint.postgres.queries import allow_parameters, name_sent, name_type, send_rows, sent_rows
from entrypoint.sqlite.failures import translate_errors
from entrypoint.transfer.cells import column_faces, show_key
from entrypoint.transfer.verify.multiset import compare_multiset, sample_multiset
from entrypoint.transfer.verify.readings import WRITTEN_HERE, Sides, compare_rows, show_cells
from entrypoint.transfer.verify.verdict import Difference, Verdict, show

_DIFFERENCES_SHOWN = 5


def compare_table(
    sides: Sides, table: TablePlan, *, sample: int | None = None, is_alone: bool = False
) -> Verdict:
    """Compare the cells of one table's rows with their counterparts in PostgreSQL.

    Args:
        sides: what is compared, and how far.
        table: its plan, with units.
        sample: compare so many random rows only.
        is_alone: the target holds nothing but these rows.

    Raises:
        OutOfTimeError: the deadline of `sides` has passed.
    """
    with translate_errors(sides.source.path):
        if not table.columns:
            return Verdict(rows=table.rows_taken, differing=0, differences=())
        if table.key:
            return _compare_by_key(sides, table, sample)
        if sample is not None:
            return sample_multiset(sides, table, rows=sample)
        return compare_multiset(sides, table, is_alone=is_alone)


def _compare_by_key(sides: Sides, table: TablePlan, sample: int | None) -> Verdict:
    by_target = {column.target.name: column for column in table.columns}
    keys = [column_faces(sides.faces, by_target[name]).text for name in table.key]
    statement = _select_counterparts(table)
    count = differing = missing = kept = 0
    differences: list[Difference] = []
    for batch in sides.read_source(table, *keys, sample=sample):
        answers = sides.connection.execute(statement, send_rows(batch, len(keys)))
        found = {number: (is_ours, texts) for number, is_ours, *texts in answers}
        expected = sides.expect(table, [row[len(keys) :] for row in batch])
        for position, meanings in enumerate(expected, start=1):
            key = show_key(table.key, map(show, batch[position - 1]))
            if position not in found:
                missing += 1
                wrong = [
                    Difference(table=table.source.name, key=key, column=None, expected="a row", found="none")
                ]
            else:
                is_ours, texts = found[position]
                wrong = compare_rows(table, key, meanings, tuple(texts))
                kept += bool(wrong) and not is_ours
            differing += bool(wrong)
            differences += wrong[: _DIFFERENCES_SHOWN - len(differences)]
        count += len(batch)
    return Verdict(
        rows=count, differing=differing, missing=missing, kept=kept, differences=tuple(differences)
    )


def _select_counterparts(table: TablePlan) -> sql.Composed:
    """Ask for the rows with the keys that are sent, and whether this transaction wrote them."""
    types = {column.target.name: column.target for column in table.columns}
    matches = [
        sql.SQL("t.{} {} k.{}::{}").format(
            sql.Identifier(name),
            sql.SQL("=" if types[name].is_not_null else "IS NOT DISTINCT FROM"),
            alias,
            name_type(types[name].type.name),
        )
        for name, alias in zip(table.key, name_sent(len(table.key)), strict=True)
    ]
    statement = sql.SQL("SELECT k.n, {}, {} FROM {} JOIN {} t ON {}").format(
        WRITTEN_HERE,
        show_cells(table),
        sent_rows(len(table.key)),
        own_rows(table.target),
        sql.SQL(" AND ").join(matches),
    )
    return allow_parameters(statement)
