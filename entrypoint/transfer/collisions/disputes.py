"""Rows that stand for several of the source's, and rows of the source for which several stand: refused.

Owns the judgement on what `standing` found: one row is one thing, so that of two that would become it, or of
two that it would become, one would be lost without a word. Finds no collision.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import islice

from entrypoint.model import ForeignKey, Refusal, TablePlan
from entrypoint.transfer.cells import KEYS_SHOWN
from entrypoint.transfer.collisions.followers import Key, describe_key, describe_referring
from entrypoint.transfer.collisions.identity import choose_identity
from entrypoint.transfer.collisions.standing import Collisions
from entrypoint.transfer.refusals.findings import Findings

Claims = dict[Key, dict[Key, str]]

_STANDS_FOR = "PostgreSQL's {} for {}"
_STOOD_FOR = "{}, for which PostgreSQL holds {}"


def refuse_disputed(
    table: TablePlan, found: Collisions, referring: list[tuple[str, ForeignKey]], findings: Findings
) -> bool:
    """Refuse what stands for several rows, or has several stand for it, and tell whether there is any.

    Args:
        table: planned.
        found: under `preserve`.
        referring: the foreign keys that lead to the table, for the reader.
        findings: told of each.
    """
    by_standing: Claims = defaultdict(dict)
    by_arriving: Claims = defaultdict(dict)
    for arriving, standing, index in found.pairs:
        by_standing[standing].setdefault(arriving, f"by {index}")
        by_arriving[arriving].setdefault(standing, f"by {index}")
    for arriving, standing in found.own:
        by_standing[standing].setdefault(arriving, "by its key")
    shared = {standing: claims for standing, claims in by_standing.items() if len(claims) > 1}
    torn = {arriving: claims for arriving, claims in by_arriving.items() if len(claims) > 1}
    names = choose_identity(table)
    if shared:
        arriving_keys = list(dict.fromkeys(key for claims in shared.values() for key in claims))
        _refuse(
            table,
            "one row of PostgreSQL would stand for several of the source's, of which all but one would be "
            f"lost: {_show(names, shared, _STANDS_FOR)}",
            arriving_keys,
            referring,
            findings,
        )
    if torn:
        _refuse(
            table,
            "several rows of PostgreSQL stand for one of the source's, and nothing says which it is: "
            f"{_show(names, torn, _STOOD_FOR)}",
            list(torn),
            referring,
            findings,
        )
    return bool(shared or torn)


def _show(names: tuple[str, ...], claims: Claims, form: str) -> str:
    """Return the first few: `PostgreSQL's id=1 for id=2 by i (slug) and id=1 by its key`."""
    return "; ".join(
        form.format(
            describe_key(names, one),
            " and ".join(
                f"{describe_key(names, other)} {how}"
                for other, how in islice(sorted(others.items(), key=str), KEYS_SHOWN)
            ),
        )
        for one, others in islice(sorted(claims.items(), key=str), KEYS_SHOWN)
    )


def _refuse(
    table: TablePlan,
    reason: str,
    keys: list[Key],
    referring: list[tuple[str, ForeignKey]],
    findings: Findings,
) -> None:
    findings.refusals.append(
        Refusal(
            table=table.source.name,
            column=None,
            reason=f"{reason}; what refers to these rows: {describe_referring(referring)}",
            remedy="say which row is which: give rows that are different things keys and unique values that "
            "differ from the other's, on either side, and those of one thing the same",
            keys=tuple(
                describe_key(choose_identity(table), key) for key in islice(sorted(keys, key=str), KEYS_SHOWN)
            ),
            count=len(keys),
        )
    )
