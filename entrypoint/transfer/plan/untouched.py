"""Say which parts of the target no source table will fill, though the application may rely on them.

Owns these notes. Judges nothing: what is named here stays as it is.
"""

from __future__ import annotations

from typing import Any

import psycopg

from entrypoint.model import Plan, TargetTable
from entrypoint.postgres import catalog
from entrypoint.transfer.plan.matching import find_matches

_SHOWN = 12
_NEVER_READ = ("a view", "a virtual table")


def note_untouched(
    connection: psycopg.Connection[Any], plan: Plan, targets: tuple[TargetTable, ...], *, ledger_schema: str
) -> tuple[str, ...]:
    """Return a note on each table that only a view or virtual table fits, and one on free sequences."""
    filled = {table.target.oid for table in plan.tables}
    notes = []
    for skipped in plan.skipped:
        found = find_matches(skipped.name, targets) if skipped.reason in _NEVER_READ else ()
        notes += [
            f"{skipped.name}: {skipped.reason}, which is not migrated: {target.qualified_name} stays "
            "as it is; have the application fill it (rebuild its search index, say)"
            for target in found
            if target.oid not in filled
        ]
    sequences = _find_free_sequences(connection, targets, ledger_schema)
    if sequences:
        rest = f" and {len(sequences) - _SHOWN} more" if len(sequences) > _SHOWN else ""
        notes.append(
            f"sequences that fill no column stay where they are: {', '.join(sequences[:_SHOWN])}{rest}; "
            "if the application draws numbers from one, set it above those in use (SELECT setval(…))"
        )
    return tuple(notes)


def _find_free_sequences(
    connection: psycopg.Connection[Any], targets: tuple[TargetTable, ...], ledger_schema: str
) -> tuple[str, ...]:
    used = {
        (column.sequence.schema, column.sequence.name)
        for target in targets
        for column in target.columns
        if column.sequence
    }
    free = catalog.read_free_sequences(connection, ledger_schema=ledger_schema)
    return tuple(".".join(sequence) for sequence in free if sequence not in used)
