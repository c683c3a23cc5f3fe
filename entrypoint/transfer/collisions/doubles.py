"""Find hashes that occur more than once, in memory that has a limit whatever the number of rows.

Owns the table of what was seen. Knows nothing of rows: equal hashes make candidates, not equals.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable

# Four bytes a slot, so 32 MiB at most; it becomes half full, and rows beyond that take further rounds.
_MOST_SLOTS = 2**23
_FEWEST_SLOTS = 2**10
_MARK_BITS = 32
_MARK = 2**_MARK_BITS - 1


def count_rounds(rows: int) -> int:
    """Return in how many rounds, each of them over all rows, so many hashes are looked through."""
    return -(-rows // (_MOST_SLOTS // 2)) or 1


class DoubleFinder:
    """Collects the hashes that come again.

    An open table of 32 bits of each hash, at a slot that further bits of it choose: what stands there twice
    by chance is a candidate more, and none is missed.

    Args:
        rows: how many hashes there will be at most.
        round_number: which share of them is looked at, counted from 0.
        most: stop collecting at so many.
    """

    def __init__(self, rows: int, *, round_number: int, most: int) -> None:
        self._rounds = count_rounds(rows)
        self._round = round_number
        slots = 1 << (2 * rows // self._rounds).bit_length()
        size = min(max(slots, _FEWEST_SLOTS), _MOST_SLOTS)
        self._mask = size - 1
        self._seen = array("I", bytes(4 * size))
        self._most = most
        self.doubled: set[int] = set()
        self.is_full = False

    def add(self, hashes: Iterable[int]) -> None:
        """Take hashes of 64 bits, signed."""
        seen, mask, doubled, rounds = self._seen, self._mask, self.doubled, self._rounds
        for value in hashes:
            if rounds > 1 and (value >> 16) % rounds != self._round:
                continue
            slot = value & mask
            mark = (value >> _MARK_BITS & _MARK) or 1
            while (found := seen[slot]) and found != mark:
                slot = (slot + 1) & mask
            if not found:
                seen[slot] = mark
            elif len(doubled) < self._most:
                doubled.add(value)
            else:
                self.is_full = True
                return
