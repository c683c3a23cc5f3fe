"""Hashes that come again are found, all of them, however small the table and however many the rounds."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from entrypoint.transfer.collisions import doubles
from entrypoint.transfer.collisions.doubles import DoubleFinder, count_rounds


def make_hashes(count: int) -> list[int]:
    """Return hashes of which one in eight comes again, some with the same slot or mark and another value."""
    drawn = random.Random(7)
    hashes = [drawn.getrandbits(64) - 2**63 for _ in range(count)]
    hashes += drawn.sample(hashes, count // 8)
    hashes += [value ^ (1 << 31) for value in hashes[:20]] + [
        value ^ (1 << 63) for value in hashes[20:40] if value < 0
    ]
    hashes += [0, -1, 2**63 - 1, -(2**63), 0]
    drawn.shuffle(hashes)
    return hashes


@pytest.mark.parametrize("most_slots", [2**10, 2**23])
def test_every_hash_that_comes_again_is_found(monkeypatch: pytest.MonkeyPatch, most_slots: int) -> None:
    monkeypatch.setattr(doubles, "_MOST_SLOTS", most_slots)
    hashes = make_hashes(4000)
    rounds = count_rounds(len(hashes))
    assert (rounds > 1) == (most_slots == 2**10)
    found: set[int] = set()
    for number in range(rounds):
        finder = DoubleFinder(len(hashes), round_number=number, most=10_000)
        for start in range(0, len(hashes), 500):
            finder.add(hashes[start : start + 500])
        assert not finder.is_full
        assert not found & finder.doubled
        found |= finder.doubled
    doubled = {value for value, count in Counter(hashes).items() if count > 1}
    assert doubled <= found
    # What only looks alike is asked about in vain, and must be rare.
    assert len(found - doubled) <= 40


def test_it_stops_collecting_and_says_so() -> None:
    finder = DoubleFinder(100, round_number=0, most=3)
    finder.add([*range(50), *range(50)])
    assert finder.is_full
    assert finder.doubled == {0, 1, 2}
