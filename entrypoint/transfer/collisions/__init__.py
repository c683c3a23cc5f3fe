"""Rows that cannot be loaded because PostgreSQL holds another row with their value on a unique index.

Owns what becomes of them, before the load. Under `preserve` the row that stands is kept, the arriving one is
left out, and what refers to it is pointed at the one that stands: also where PostgreSQL gave its number to
something else, as when both sides seeded the same names in another order. Else they are refused, with what
refers to them. `standing` finds them, `disputes` refuses those of which one row would become two or two one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import psycopg

from entrypoint.model import ForeignKey, Refusal, TablePlan
from entrypoint.postgres.catalog import has_rows
from entrypoint.sqlite.source import SourceDatabase
from entrypoint.transfer.cells import KEYS_SHOWN
from entrypoint.transfer.collisions.disputes import refuse_disputed
from entrypoint.transfer.collisions.followers import (
    describe_key,
    describe_referring,
    find_referring,
    leave_out,
    redirect,
)
from entrypoint.transfer.collisions.identity import choose_identity, list_other_indexes
from entrypoint.transfer.collisions.standing import Collisions, StandingRows
from entrypoint.transfer.collisions.twins import refuse_twins
from entrypoint.transfer.conversions import FaceMaker
from entrypoint.transfer.load.merge import ConflictPolicy
from entrypoint.transfer.plan.order import sort_tables
from entrypoint.transfer.refusals.findings import Findings

_NOTHING_FOLLOWS = "no foreign key leads here, so that what names the others' keys otherwise still does: "


def settle_collisions(
    source: SourceDatabase,
    tables: Sequence[TablePlan],
    faces: FaceMaker,
    connection: psycopg.Connection[Any],
    findings: Findings,
    *,
    on_conflict: ConflictPolicy,
) -> tuple[TablePlan, ...]:
    """Return the tables with such rows left out and references to them redirected, or refuse them.

    Args:
        source: open.
        tables: of the plan, judged, referenced before referring.
        faces: of the census.
        connection: inside a transaction.
        findings: told of what is refused or noted.
        on_conflict: under `preserve` rows are left out.
    """
    settled = {table.target.qualified_name: table for table in tables}
    search = StandingRows(source, faces, connection, findings, on_conflict=on_conflict)
    for name in [table.target.qualified_name for table in sort_tables(tables, is_declared=True)]:
        table = settled[name]
        is_hidden = table.target.has_row_security  # refused already
        if is_hidden or not table.rows or not list_other_indexes(table):
            continue
        if not has_rows(connection, table.target):
            continue
        referring = find_referring(settled, name)
        found = search.find(table, {key.referenced_columns for _, key in referring})
        if found.pairs and (on_conflict != "preserve" or found.is_too_many):
            _refuse(table, found, referring, findings)
            continue
        if refuse_disputed(table, found, referring, findings):
            continue
        if found.pairs:
            shown = _show_stand_ins(table, found)
            left_out = leave_out(source, table, choose_identity(table), found.keys, faces)
            settled[name] = replace(left_out, stand_ins=shown)
            findings.notes.append(
                f"{table.source.name}: {len(found.keys)} row(s) stand in PostgreSQL under another key "
                f"({'; '.join(found.names)}); those are kept, and "
                + (
                    f"what refers to the others follows them, {describe_referring(referring)}: "
                    if referring
                    else _NOTHING_FOLLOWS
                )
                + "; ".join(shown)
            )
        if found.preserved:
            findings.notes.append(
                f"{table.source.name}: {found.preserved} row(s) stand in PostgreSQL with other values in "
                "columns that foreign keys refer to; those are kept, and what refers to them follows"
            )
        for child, key in referring:
            follow = found.followers[key.referenced_columns]
            settled[child] = redirect(source, settled[child], key, follow, faces)
    redirected = tuple(settled.values())
    if any(column.redirect for table in redirected for column in table.columns):
        # Two references that led to different rows may now lead to one.
        refuse_twins(source, redirected, faces, connection, findings, is_redirected=True)
    return redirected


def _show_stand_ins(table: TablePlan, found: Collisions) -> tuple[str, ...]:
    names = choose_identity(table)
    pairs = islice(
        sorted({(arriving, standing) for arriving, standing, _ in found.pairs}, key=str), KEYS_SHOWN
    )
    return tuple(
        f"{describe_key(names, arriving)} for which {describe_key(names, standing)} stands"
        for arriving, standing in pairs
    )


def _refuse(
    table: TablePlan, found: Collisions, referring: list[tuple[str, ForeignKey]], findings: Findings
) -> None:
    shown = islice(sorted(found.keys, key=str), KEYS_SHOWN)
    findings.refusals.append(
        Refusal(
            table=table.source.name,
            column=None,
            reason="PostgreSQL holds other rows under the same unique key: "
            f"{'; '.join(found.names)}; what refers to these rows: {describe_referring(referring)}",
            remedy="set ON_CONFLICT=preserve to keep PostgreSQL's rows and let the references follow them, "
            "or change the keys on one side",
            keys=tuple(describe_key(choose_identity(table), key) for key in shown),
            count=len(found.keys),
        )
    )
