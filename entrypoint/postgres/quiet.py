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


@contextmanager
def hold_reactions(connection: psycopg.Connection[Any], tables: Iterable[TargetTable]) -> Iterator[None]:
    """Disable the user triggers and rules of `tables`, and enable them again as they were."""
    triggers = [trigger for table in tables for trigger in table.triggers]
    rules = [rule for table in tables for rule in table.rules]
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
    by_name = {table.qualified_name: table for table in tables}
    changed = [
        (by_name[table], constraint)
        for table, constraint in deferred
        if not next(key for key in by_name[table].foreign_keys if key.name == constraint).is_deferrable
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
