"""Types that PostgreSQL judges by their input functions: a cell means the same afterwards, or is refused.

The oracle draws a value, knows by Python's own arithmetic whether the type holds it, and reads what stands.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.loading import migrate, write_table
from tests.servers import Database

# A cell and the value that PostgreSQL must hold for it; None where no value of the type is the same.
Drawn = tuple[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A target type, cells with what they mean, and how a held value is read for comparison."""

    type: str
    cells: st.SearchStrategy[Drawn]
    output: str = "v"
    read: Callable[[Any], Any] = lambda found: found


def draw(values: st.SearchStrategy[Any], write: Callable[[Any], Any], hold: Callable[[Any], Any]) -> Any:
    return values.map(lambda value: (write(value), hold(value)))


SCALARS = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")
WORDS = st.text(SCALARS, max_size=4) | st.sampled_from(
    ["", " ", "abc ", "NULL", "null", '"', "\\", "{}", ","]
)
LONG = st.integers(58, 66).flatmap(lambda size: st.text("aé漢", min_size=size - 40, max_size=size))
DECIMALS = st.decimals(-(10**5), 10**5, places=4).flatmap(
    lambda value: st.sampled_from([value, value.quantize(Decimal("0.01")), value.quantize(Decimal(1))])
)
FRACTIONS = st.integers(0, 9).flatmap(
    lambda digits: st.integers(0, 10**digits - 1).map(lambda n: Decimal(n).scaleb(-digits))
)
SECONDS = st.tuples(st.integers(0, 10**6), FRACTIONS).map(lambda pair: pair[0] + pair[1])
CLOCKS = st.tuples(st.times().map(lambda t: t.replace(microsecond=0)), FRACTIONS)
DAYS = st.dates(date(1900, 1, 1), date(2200, 1, 1))
MOMENTS = st.tuples(DAYS, CLOCKS, st.sampled_from(["", "", "", "Z", "+02", "-03:30", " UTC"]))


MIDNIGHT = (time(), Decimal(0))
SINGLES = st.floats(width=32, allow_nan=False, allow_infinity=False)
BESIDE_SINGLES = SINGLES.map(lambda value: math.nextafter(value, math.inf))


def is_held(value: Decimal, places: int) -> bool:
    return value == round(value, places)


def hold_number(value: Decimal) -> Decimal | None:
    return value if is_held(value, 2) and abs(value) < 10**4 else None


def hold_single(value: float) -> float | None:
    (single,) = struct.unpack("<f", struct.pack("<f", value))
    return value if single == value else None


def hold_all(items: list[Any], hold: Callable[[Any], Any]) -> list[Any] | None:
    held = [None if item is None else hold(item) for item in items]
    return (
        held if all((one is None) == (item is None) for one, item in zip(held, items, strict=True)) else None
    )


def lists(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.none() | values, max_size=3)


def write_literal(items: list[Any]) -> str:
    return "{" + ",".join("NULL" if item is None else json.dumps(str(item)) for item in items) + "}"


def write_numbers(items: list[Any]) -> str:
    return "[" + ", ".join("null" if item is None else str(item) for item in items) + "]"


def write_clock(clock: tuple[time, Decimal]) -> str:
    whole, fraction = clock
    return whole.isoformat() + (f"{fraction:f}"[1:] if fraction else "")


def count_microseconds(clock: tuple[time, Decimal]) -> int | None:
    whole, fraction = clock
    seconds = (whole.hour * 60 + whole.minute) * 60 + whole.second
    return int((seconds + fraction) * 10**6) if is_held(fraction, 6) else None


def write_moment(moment: tuple[date, tuple[time, Decimal], str]) -> str:
    day, clock, zone = moment
    return f"{day} {write_clock(clock)}{zone}"


def hold_moment(moment: tuple[date, tuple[time, Decimal], str]) -> datetime | None:
    day, clock, zone = moment
    microseconds = count_microseconds(clock)
    if zone or microseconds is None:
        return None
    return datetime(day.year, day.month, day.day) + timedelta(microseconds=microseconds)


def hold_day(moment: tuple[date, tuple[time, Decimal], str]) -> date | None:
    day, clock, zone = moment
    return day if clock == MIDNIGHT and zone in ("", "Z") else None


MIDNIGHTS = st.tuples(DAYS, st.just(MIDNIGHT), st.sampled_from(["", "Z"])) | MOMENTS
TYPES: dict[str, Kept] = {
    "interval(3)": Kept(
        type="interval(3)",
        cells=draw(SECONDS, lambda v: f"{v:f} s", lambda v: v if is_held(v, 3) else None),
        output="extract(epoch FROM v)::numeric",
    ),
    "interval": Kept(
        type="interval",
        cells=draw(SECONDS, lambda v: f"PT{v:f}S", lambda v: v if is_held(v, 6) else None),
        output="extract(epoch FROM v)::numeric",
    ),
    "domain over interval": Kept(
        type="whole_s",
        cells=draw(SECONDS, lambda v: f"{v:f} s", lambda v: v if is_held(v, 0) else None),
        output="extract(epoch FROM v)::numeric",
    ),
    "timetz(2)": Kept(
        type="timetz(2)",
        cells=draw(
            CLOCKS,
            lambda c: write_clock(c) + "+00",
            lambda c: count_microseconds(c) if is_held(c[1], 2) else None,
        ),
        output="(extract(epoch FROM v) * 1000000)::bigint",
    ),
    "money": Kept(
        type="money",
        cells=draw(DECIMALS, str, lambda v: v if is_held(v, 2) else None),
        output="v::numeric",
    ),
    "name": Kept(type="name", cells=draw(WORDS | LONG, str, lambda v: v if len(v.encode()) <= 63 else None)),
    "char": Kept(
        type='"char"',
        cells=draw(
            st.text(st.characters(codec="ascii", exclude_characters="\x00\\"), max_size=2) | st.just("é"),
            str,
            lambda v: v if len(v.encode()) <= 1 else None,
        ),
        output="v::text",
    ),
    "oid": Kept(
        type="oid",
        cells=draw(
            st.integers(-3, 2**33), lambda v: v if v % 2 else str(v), lambda v: v if 0 <= v < 2**32 else None
        ),
        output="v::bigint",
    ),
    "domain over varchar": Kept(
        type="brief", cells=draw(WORDS, str, lambda v: v if len(v) <= 3 else None), output="v::text"
    ),
    "numeric[]": Kept(
        type="numeric(6,2)[]",
        cells=draw(lists(DECIMALS), write_numbers, lambda v: hold_all(v, hold_number))
        | draw(lists(DECIMALS), write_literal, lambda v: hold_all(v, hold_number)),
    ),
    "real[]": Kept(
        type="real[]",
        cells=draw(
            lists(SINGLES | SINGLES | BESIDE_SINGLES),
            json.dumps,
            lambda v: hold_all(v, hold_single),
        ),
        output="v::double precision[]",
    ),
    "varchar[]": Kept(
        type="varchar(3)[]",
        cells=draw(lists(WORDS), json.dumps, lambda v: hold_all(v, lambda s: s if len(s) <= 3 else None)),
    ),
    "date[]": Kept(
        type="date[]",
        cells=draw(
            lists(MIDNIGHTS),
            lambda v: json.dumps([m and write_moment(m) for m in v]),
            lambda v: hold_all(v, hold_day),
        ),
    ),
    "timestamp[]": Kept(
        type="timestamp[]",
        cells=draw(
            lists(MOMENTS),
            lambda v: write_literal([m and write_moment(m) for m in v]),
            lambda v: hold_all(v, hold_moment),
        ),
    ),
    "tsrange": Kept(
        type="tsrange",
        cells=draw(MOMENTS, lambda m: f"[{write_moment(m)},)", hold_moment),
        output="lower(v)",
    ),
    "daterange": Kept(
        type="daterange",
        cells=draw(MIDNIGHTS, lambda m: f'["{write_moment(m)}",)', hold_day),
        output="lower(v)",
    ),
}


@pytest.fixture
def ready(database: Database) -> Database:
    database.execute("CREATE DOMAIN whole_s AS interval(0); CREATE DOMAIN brief AS varchar(3)")
    return database


@pytest.mark.parametrize("name", TYPES)
@given(data=st.data())
@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_cell_means_the_same_or_is_refused(
    ready: Database, tmp_path: Path, name: str, data: st.DataObject
) -> None:
    kept = TYPES[name]
    drawn = data.draw(st.lists(kept.cells, min_size=1, max_size=25))
    ready.execute(f"DROP TABLE IF EXISTS t; CREATE TABLE t (id int PRIMARY KEY, v {kept.type})")
    rows = [(key, cell) for key, (cell, _) in enumerate(drawn)]
    path = write_table(tmp_path / "s.db", "CREATE TABLE t (id INTEGER PRIMARY KEY, v)", rows)
    migrate(ready, path, ON_REJECT="quarantine", VERIFY="full")
    found = dict(ready.execute(f"SELECT id, {kept.output} FROM t"))
    expected = {key: held for key, (_, held) in enumerate(drawn) if held is not None}
    assert found == expected
