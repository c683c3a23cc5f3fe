"""Ask PostgreSQL which texts a type takes and yet holds as something else, writing nothing.

Owns the types that round or cut in silence and that only PostgreSQL can read. What can be seen in the text
itself is refused before it is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from entrypoint.model import TargetType
from entrypoint.postgres.queries import name_type

# A number of money is one of the locale's (lc_monetary): 12.50 is 1250 where the point groups thousands.
_NUMBER_OF_MONEY: LiteralString = "regexp_replace(v, '[^0-9.-]', '', 'g')"
_MONEY_CHANGED: LiteralString = (
    f"CASE WHEN {_NUMBER_OF_MONEY} ~ '^-?([0-9]+[.]?[0-9]*|[.][0-9]+)$'"
    f" THEN {_NUMBER_OF_MONEY}::numeric <> v::{{type}}::money::numeric ELSE true END"
    " AND translate(v, ' ', '') <> translate(v::{type}::money::text, ' ', '')"
)
# By typname: read without the modifier it would mean something else.
_ROUNDING: dict[str, LiteralString] = {
    "interval": "v::{type}::text <> v::interval::text",
    "timetz": "v::{type}::text <> v::timetz::text",
    "_interval": "v::{type}::text <> v::interval[]::text",
    "_timetz": "v::{type}::text <> v::timetz[]::text",
}
_BUILT_IN_RANGES = frozenset(
    name + kind for name in ("int4", "int8", "num", "ts", "tstz", "date") for kind in ("range", "multirange")
)
_SPELLING_CHANGED: LiteralString = "translate(v, '\" ', '') <> translate(v::{type}::text, '\" ', '')"
_ITEMS_CHANGED: LiteralString = "translate(v, '\"', '') <> translate(v::{type}::text, '\"', '')"


def find_changed(
    connection: psycopg.Connection[Any], target: TargetType, texts: Sequence[str]
) -> dict[str, str]:
    """Return the texts, all valid, that the type would hold as something else, each with what that is.

    Rounding is silent: interval(0), timetz(0) and money round, and so may what a composite type, a range of
    the user's own or an array of domains is made of; of those only PostgreSQL's own spelling is taken.
    """
    if not texts or (test := _find_test(target) or _find_items_test(connection, target)) is None:
        return {}
    changed = sql.SQL(test).format(type=name_type(target.name))
    query = sql.SQL(
        "SELECT v, held FROM (SELECT v, v::{type}::text AS held, {changed} AS is_changed"
        " FROM unnest(%s::text[]) AS v) AS t WHERE is_changed"
    ).format(type=name_type(target.name), changed=changed)
    rows = connection.execute(query, (list(texts),)).fetchall()
    return {text: f"would be held as {held}" for text, held in rows}


def _find_test(target: TargetType) -> LiteralString | None:
    """Return SQL over a text `v`, true where the type would hold something else."""
    if target.base == "money":
        return _MONEY_CHANGED
    if target.modifier and target.base in _ROUNDING:
        return _ROUNDING[target.base]
    if target.kind in "crm" and target.base not in _BUILT_IN_RANGES:
        return _SPELLING_CHANGED
    return None


def _find_items_test(connection: psycopg.Connection[Any], target: TargetType) -> LiteralString | None:
    """Return such SQL for an array whose items are of a domain or a composite type."""
    if target.element is None:
        return None
    found = connection.execute(
        "WITH RECURSIVE chain (oid, typtype, typbasetype) AS ("
        " SELECT oid, typtype, typbasetype FROM pg_type WHERE typname = %s AND typtype IN ('c', 'd')"
        " UNION ALL"
        " SELECT t.oid, t.typtype, t.typbasetype FROM chain JOIN pg_type t ON t.oid = chain.typbasetype)"
        " SELECT typtype = 'c', format_type(oid, NULL) FROM chain WHERE typtype <> 'd' LIMIT 1",
        (target.element,),
    ).fetchone()
    if found is None:
        return None
    is_composite, root = found
    if is_composite:
        return _ITEMS_CHANGED
    # By jsonb, because 1.5 and 1.50 are one number there. The name is SQL that format_type has quoted.
    plain: LiteralString = root.replace("%", "%%").replace("{", "{{").replace("}", "}}") + "[]"
    return f"to_jsonb(v::{plain}) <> to_jsonb(v::{{type}}::{plain})"
