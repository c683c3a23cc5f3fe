"""Keep the target's own reactions quiet while rows are loaded: triggers, rules, foreign keys in a cycle.

Everything here happens inside the load's transaction with owner rights alone, and is put back to exactly
what stood before it commits; a rollback undoes it as well. Constraint triggers that enforce foreign keys
stay on throughout.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from entrypoint.model import Rule, TargetTable, Trigger

# pg_trigger.tgenabled and pg_rewrite.ev_enabled, as ALTER TABLE spells them.
_STATES: dict[str, LiteralString] = {"O": "ENABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}


def find_reactions(table: TargetTable, *, is_updating: bool) -> tuple[list[Trigger], list[Rule]]:
    """Return a table's user triggers and rules that would answer to what the load does.

    Args:
        table: into which rows are inserted; its partitions' triggers are among its own.
        is_updating: standing rows are overwritten as well.
    """
    return (
        [trigger for trigger in table.triggers if is_updating or trigger.is_on_insert],
        [rule for rule in table.rules if is_updating or rule.is_on_insert],
    )


def find_undeferrable(table: TargetTable, names: Iterable[str]) -> list[str]:
    """Return those of a table's foreign keys that have to be altered to be checked later."""
    return [key.name for key in table.foreign_keys if key.name in names and not key.is_deferrable]


@contextmanager
def hold_reactions(
    connection: psycopg.Connection[Any], tables: Iterable[TargetTable], *, is_updating: bool
) -> Iterator[None]:
    """Disable what `find_reactions` finds, and enable it again as it was."""
    found = [find_reactions(table, is_updating=is_updating) for table in tables]
    triggers = [trigger for triggers, _ in found for trigger in triggers]
    rules = [rule for _, rules in found for rule in rules]
    for trigger in triggers:
        _alter(connection, trigger, "DISABLE TRIGGER")
    for rule in rules:
        _alter(connection, rule, "DISABLE RULE")
    yield  # after a failure the rollback puts everything back; the transaction takes no more commands
    for trigger in triggers:
        _alter(connection, trigger, f"{_STATES[trigger.state]} TRIGGER")
    for rule in rules:
        _alter(connection, rule, f"{_STATES[rule.state]} RULE")


def _alter(connection: psycopg.Connection[Any], reaction: Trigger | Rule, action: LiteralString) -> None:
    connection.execute(
        sql.SQL("ALTER TABLE ONLY {} {} {}").format(
            sql.Identifier(reaction.schema, reaction.table), sql.SQL(action), sql.Identifier(reaction.name)
        )
    )


@contextmanager
def defer_foreign_keys(
    connection: psycopg.Connection[Any],
    tables: Iterable[TargetTable],
    deferred: Iterable[tuple[str, str]],
) -> Iterator[None]:
    """Have the foreign keys of a cycle checked when the block ends instead of row by row.

    Args:
        connection: inside the load's transaction.
        tables: of the plan.
        deferred: (`schema.table`, constraint) of each foreign key in a cycle.
    """
    wanted = set(deferred)
    changed = [
        (table, constraint)
        for table in tables
        for constraint in find_undeferrable(
            table, [name for owner, name in wanted if owner == table.qualified_name]
        )
    ]
    for table, constraint in changed:
        _alter_constraint(connection, table, constraint, "DEFERRABLE")
    connection.execute("SET CONSTRAINTS ALL DEFERRED")
    yield
    connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    for table, constraint in changed:
        _alter_constraint(connection, table, constraint, "NOT DEFERRABLE")


def _alter_constraint(
    connection: psycopg.Connection[Any], table: TargetTable, constraint: str, attributes: LiteralString
) -> None:
    connection.execute(
        sql.SQL("ALTER TABLE {} ALTER CONSTRAINT {} {}").format(
            sql.Identifier(table.schema, table.name), sql.Identifier(constraint), sql.SQL(attributes)
        )
    )
