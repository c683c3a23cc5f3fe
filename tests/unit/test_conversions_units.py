"""The unit of a column's numbers: found where the values tell it, refused where they do not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrypoint.transfer.conversions.times import WINDOWS, NumberFacts, UnitUnknownError, infer_unit

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOMENTS = st.datetimes(datetime(1980, 1, 2), datetime(2099, 12, 31)).map(lambda m: m.replace(tzinfo=UTC))


def write_number(moment: datetime, unit: str) -> float:
    """Return a moment as applications store it: integers, but for Julian days."""
    microseconds = (moment - EPOCH) // timedelta(microseconds=1)
    match unit:
        case "s":
            return microseconds // 10**6
        case "ms":
            return microseconds // 1000
        case "us":
            return microseconds
        case "ns":
            return microseconds * 1000
    return microseconds / 86400e6 + 2440587.5


def gather(numbers: list[float]) -> NumberFacts:
    return NumberFacts(
        count=len(numbers),
        zeros=numbers.count(0),
        in_window={unit: sum(low <= n <= high for n in numbers) for unit, (low, high) in WINDOWS.items()},
        lowest=min(numbers),
        highest=max(numbers),
    )


@given(
    moments=st.lists(MOMENTS, min_size=1),
    unit=st.sampled_from(sorted(WINDOWS)),
    zeros=st.integers(0, 3),
    others=st.lists(st.integers(-(10**5), 10**5)),
)
def test_unit_of_a_column_is_found(moments: list[datetime], unit: str, zeros: int, others: list[int]) -> None:
    numbers = [write_number(moment, unit) for moment in moments]
    found, evidence = infer_unit(gather([*numbers, *[0.0] * zeros, *others]))
    assert found == unit
    assert f"{len(numbers)} of {len(numbers) + zeros + len(others)} value(s)" in evidence


@given(first=MOMENTS, second=MOMENTS, units=st.permutations(sorted(WINDOWS)))
def test_two_units_in_one_column_are_refused(first: datetime, second: datetime, units: list[str]) -> None:
    numbers = [write_number(first, units[0]), write_number(second, units[1])]
    with pytest.raises(UnitUnknownError, match="numbers of two units in one column"):
        infer_unit(gather(numbers))


@given(count=st.integers(1, 9))
def test_only_zeros_say_so(count: int) -> None:
    unit, evidence = infer_unit(gather([0.0] * count))
    assert unit == "s"
    assert evidence.startswith("every number is 0")


@pytest.mark.parametrize("number", [1, -1, 10**5, 2**63 - 1, -(2**63), 1e300, 5 * 10**9, float("inf")])
def test_implausible_ranges_are_refused(number: float) -> None:
    with pytest.raises(UnitUnknownError, match="unit cannot be told"):
        infer_unit(gather([number]))


def test_zero_times_of_go_stand_beside_moments() -> None:
    assert infer_unit(gather([-62135596800000, 1700000000000]))[0] == "ms"
    assert infer_unit(gather([-62135596800, 1700000000]))[0] == "s"
    assert infer_unit(gather([253402300799999, 1700000000000]))[0] == "ms"


@pytest.mark.parametrize("unit", WINDOWS)
def test_a_unit_is_told_from_1980_to_2100_alone(unit: str) -> None:
    first = write_number(datetime(1980, 1, 1, tzinfo=UTC), unit)
    last = write_number(datetime(2100, 1, 1, tzinfo=UTC), unit)
    assert infer_unit(gather([first]))[0] == infer_unit(gather([last]))[0] == unit
    for beyond in (first - 1, last + 1):
        with pytest.raises(UnitUnknownError, match="cannot be told"):
            infer_unit(gather([beyond]))


def test_windows_do_not_overlap() -> None:
    bounds = sorted(WINDOWS.values())
    assert all(high < low for (_, high), (low, _) in pairwise(bounds))
