"""The unit of a column's numbers: found where the values tell it, refused where they do not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrypoint.transfer.conversions.base import CellRefusedError
from entrypoint.transfer.conversions.units import (
    WINDOWS,
    NumberFacts,
    Sibling,
    UnitUnknownError,
    infer_unit,
    is_plausible,
    moment_since_epoch,
)

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
    assert evidence.startswith("every number is 0, which is ambiguous")


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


# --- where the values do not tell it -----------------------------------------------------------------


def test_the_tables_other_times_tell_the_unit() -> None:
    siblings = [Sibling(name="made", unit="ms"), Sibling(name="seen", unit="ms")]
    unit, evidence = infer_unit(gather([0, 3600000]), siblings=siblings)
    assert unit == "ms"
    assert evidence == (
        "milliseconds: the table's other times are in it (made, seen); "
        "the values, 0 to 3600000, do not tell it themselves"
    )


def test_siblings_of_two_units_tell_none() -> None:
    siblings = [Sibling(name="made", unit="ms"), Sibling(name="seen", unit="s")]
    with pytest.raises(UnitUnknownError, match="cannot be told"):
        infer_unit(gather([5]), siblings=siblings)
    assert infer_unit(gather([5]), siblings=siblings, declared_type="BIGINT_MICROS")[0] == "us"


def test_a_unit_in_which_the_values_are_implausible_is_not_taken() -> None:
    siblings = [Sibling(name="made", unit="s")]
    with pytest.raises(UnitUnknownError, match=r"seconds, as the table's other times .* implausible"):
        infer_unit(gather([10**11]), siblings=siblings)
    assert infer_unit(gather([10**11]), siblings=siblings, declared_type="TIMESTAMP_MS")[0] == "ms"


@pytest.mark.parametrize("births", [[170000000], [0, 170000000], [-900000000, 100000000]])
def test_years_in_seconds_do_not_become_days_in_the_units_of_others(births: list[float]) -> None:
    """Dates of birth before 1980, beside milliseconds."""
    with pytest.raises(UnitUnknownError, match="would be days from 1970, seconds years"):
        infer_unit(gather(births), siblings=[Sibling(name="made", unit="ms")])
    assert infer_unit(gather(births), siblings=[Sibling(name="made", unit="s")])[0] == "s"
    assert infer_unit(gather(births), declared_type="TIMESTAMP_MS")[0] == "ms"


def test_zeros_beside_julian_days_are_no_moments() -> None:
    with pytest.raises(UnitUnknownError, match="Julian days"):
        infer_unit(gather([0]), siblings=[Sibling(name="made", unit="julian")])


@pytest.mark.parametrize(
    ("declared_type", "unit"),
    [
        ("TIMESTAMP_MS", "ms"),
        ("timestamp_us", "us"),
        ("TIMESTAMP_NS", "ns"),
        ("TIMESTAMP_S", "s"),
        ("EpochMillis", "ms"),
        ("UnixNano", "ns"),
        ("UNIXEPOCH", "s"),
        ("unix_timestamp", "s"),
        ("INTEGER(microseconds)", "us"),
        ("JULIANDAY", "julian"),
    ],
)
def test_a_declared_type_may_name_the_unit(declared_type: str, unit: str) -> None:
    number = 2400000.5 + 10**5 if unit == "julian" else 5
    found, evidence = infer_unit(gather([number]), declared_type=declared_type)
    assert found == unit
    assert f"the declared type {declared_type} names it" in evidence


@pytest.mark.parametrize(
    "declared_type", ["", "TIMESTAMP", "DATETIME", "INTEGER", "BIGINT UNSIGNED", "NUMERIC(10,2)"]
)
def test_most_declared_types_name_none(declared_type: str) -> None:
    with pytest.raises(UnitUnknownError, match="cannot be told"):
        infer_unit(gather([5]), declared_type=declared_type)


def test_values_outweigh_declared_types_and_siblings() -> None:
    assert (
        infer_unit(
            gather([1700000000]), declared_type="TIMESTAMP_MS", siblings=[Sibling(name="made", unit="ms")]
        )[0]
        == "s"
    )


# --- what is plausible in a unit -----------------------------------------------------------------------


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@given(moment=st.datetimes(datetime(1900, 1, 1), datetime(2200, 12, 31)))
def test_years_1900_to_2200_are_plausible(unit: str, moment: datetime) -> None:
    assert is_plausible(moment_since_epoch(unit, write_number(moment.replace(tzinfo=UTC), unit)))


@pytest.mark.parametrize(
    ("unit", "number"),
    [
        ("s", 0),
        ("ms", -1),
        ("us", 1),
        ("s", -62135596800),
        ("ms", -62135596800000),
        ("us", 253402300799999999),
        ("ns", 2**63 - 1),
        ("ns", -(2**63)),
        ("ns", -6795364578871345152),
        ("s", 32503680000),
        ("julian", 1721425.5),
    ],
)
def test_sentinels_are_plausible(unit: str, number: float) -> None:
    assert is_plausible(moment_since_epoch(unit, number))


@pytest.mark.parametrize(
    ("unit", "number"),
    [
        ("s", 10**11),
        ("s", -(10**10)),
        ("ms", 10**13),
        ("ns", 9 * 10**18),
        ("julian", 1800000),
        ("s", 7289654400),
    ],
)
def test_other_far_years_are_not(unit: str, number: float) -> None:
    assert not is_plausible(moment_since_epoch(unit, number))


def test_numbers_beyond_the_calendar_are_refused() -> None:
    with pytest.raises(CellRefusedError, match="outside the years"):
        moment_since_epoch("s", 2**63 - 1)
