"""What cannot be taken: judged, told in lines, left aside where that is wanted.

Owns here the error that ends in a list of refusals, and no more: every start imports it.
"""

from __future__ import annotations

from typing import Any

from entrypoint.errors import SourceRefusedError
from entrypoint.model import Refusal


class PlanRefusedError(SourceRefusedError):
    """The plan found what cannot be taken.

    Args:
        refusals: all of it.
        where: the source.
        document: the whole plan.
        is_listed: the reader has them all before his eyes.
    """

    def __init__(
        self,
        refusals: tuple[Refusal, ...],
        *,
        where: str,
        document: dict[str, Any],
        is_listed: bool = False,
    ) -> None:
        first = refusals[0]
        place = first.table + (f".{first.column}" if first.column else "")
        rest = f" (and {len(refusals) - 1} more)" if len(refusals) > 1 else ""
        hint = " (--write-mapping FILE writes one)" if any(refusal.entries for refusal in refusals) else ""
        super().__init__(
            f"{len(refusals)} refusal(s): {place}: {first.reason}{rest}",
            where=where,
            remedy=("" if is_listed else "see them all with `entrypoint migrate --dry-run`, ")
            + "correct the source or the mapping file"
            + hint,
        )
        self.refusals = refusals
        self.document = document
