"""Random values of every type, spelled as applications spell them, through the real path and back.

The oracle shares nothing with the product: a value is drawn first, its spellings in SQLite are made from it
by Python's own datetime, decimal, json, uuid and struct, and PostgreSQL must hold that very value.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cells import ENCODINGS
from tests.loading import migrate, write_table
from tests.servers import Database

Spelled = st.SearchStrategy[tuple[Any, Any]]
BERLIN = ZoneInfo("Europe/Berlin")
EPOCH = datetime(1970, 1, 1)
TICK = timedelta(microseconds=1)

SCALARS = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")
TEXTS = st.text(SCALARS, max_size=20) | st.text("\\.N\"',;\t\r\n\x01\x7f x", max_size=6)
ODD_TEXTS = st.sampled_from(["", "\\.", "\\N", "NULL", "\r\n", "a\n\\.\nb", '"', "\ufeff", "\U0010ffff", " "])


def spell(values: st.SearchStrategy[Any], *spellings: Callable[[Any], Any]) -> Spelled:
    """Pair each value with one of its spellings; a spelling that does not fit a value gives None."""
    return values.flatmap(
        lambda value: st.sampled_from(
            [(cell, value) for cell in (way(value) for way in spellings) if cell is not None]
        )
    )


def integers(bits: int) -> Spelled:
    lowest, highest = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    values = st.integers(lowest, highest) | st.sampled_from([lowest, highest, 0])
    return spell(
        values,
        int,
        str,
        lambda v: float(v) if abs(v) <= 2**53 else None,
        lambda v: f" {v:+d} ",
        lambda v: f"{v}.0",
        lambda v: f"{v}e0",
        lambda v: f"{v / 1000:.3f}e3" if abs(v) < 10**12 else None,
    )


def spell_exactly(value: Decimal) -> float | None:
    return float(value) if Decimal(repr(float(value))) == value else None


def as_single(value: float) -> float:
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def add_noise(value: Decimal) -> float:
    """Return the double one step beside a decimal: what binary arithmetic makes of money."""
    return math.nextafter(float(value), math.inf)


def spell_json(value: object) -> Iterator[str]:
    yield json.dumps(value)
    yield json.dumps(value, ensure_ascii=False, indent=1)


DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)
MOMENTS = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999)) | st.sampled_from(
    [datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999), EPOCH, datetime(2000, 2, 29, 23, 59, 59)]
)
OFFSETS = st.integers(-15 * 60, 15 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
ANCHORS = st.datetimes(datetime(1980, 1, 2), datetime(2099, 12, 31))


def to_utc(moment: datetime) -> int:
    """Return the microseconds since 1970 of an aware moment."""
    offset = moment.utcoffset()
    assert offset is not None
    return (moment.replace(tzinfo=None) - EPOCH) // TICK - offset // TICK


def in_berlin(moment: datetime) -> int:
    """Place a naive moment as PostgreSQL does: skipped hours by the old offset, doubled ones by the new."""
    first, second = moment.replace(tzinfo=BERLIN, fold=0), moment.replace(tzinfo=BERLIN, fold=1)
    is_doubled = (first.utcoffset() or EPOCH - EPOCH) > (second.utcoffset() or EPOCH - EPOCH)
    return to_utc(second if is_doubled else first)


def spell_moment(moment: datetime) -> list[str]:
    fraction = f"{moment.microsecond:06d}"
    base = moment.replace(microsecond=0).isoformat(sep=" ")
    return [
        moment.isoformat(),
        f"{base}.{fraction}",
        f"{base}.{fraction}789",
        f"{base},{fraction}" if moment.microsecond else base.replace(" ", "t"),
        f"{base.replace('-', '').replace(':', '').replace(' ', 'T')}.{fraction}",
    ]


def spell_aware(moment: datetime) -> list[str]:
    naive = moment.replace(tzinfo=None)
    zone = moment.strftime("%z")
    texts = spell_moment(naive)
    spelled = [text + zone for text in texts] + [text + f" {zone[:3]}:{zone[3:]}" for text in texts]
    spelled.append(f"{texts[1]} {zone} CEST m=+0.000000001")
    if zone == "+0000":
        spelled += [text + "Z" for text in texts] + [texts[1] + " +0000 UTC", texts[0] + " UTC"]
    return spelled


NAIVE = MOMENTS.flatmap(lambda m: st.sampled_from(spell_moment(m)).map(lambda text: (text, m)))
AWARE = st.tuples(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)), OFFSETS | st.just(UTC)).flatmap(
    lambda pair: st.sampled_from(spell_aware(pair[0].replace(tzinfo=pair[1]))).map(
        lambda text: (text, to_utc(pair[0].replace(tzinfo=pair[1])))
    )
)
# The hours around both changes of the clocks, every year of this century's rule.
EDGES = st.sampled_from(
    [datetime(2024, 3, 31, 0), datetime(2024, 10, 27, 0), datetime(1945, 5, 24, 0)]
).flatmap(lambda day: st.integers(0, 4 * 3600).map(lambda seconds: day + timedelta(seconds=seconds)))
ZONELESS = (ANCHORS | EDGES).flatmap(
    lambda m: st.sampled_from(spell_moment(m)).map(lambda text: (text, in_berlin(m)))
)


@dataclass(frozen=True, kw_only=True)
class Column:
    """A target column: its type, spelled values, how it is read back and how that compares."""

    type: str
    values: Spelled
    output: str = "{}"
    read: Callable[[Any], Any] = lambda found: found
    expect: Callable[[Any], Any] = lambda value: value


EPOCH_US = "(extract(epoch FROM {}) * 1000000)::numeric"
CENTS = st.integers(-(10**10) + 1, 10**10 - 1).map(lambda cents: Decimal(cents).scaleb(-2))
COLUMNS: dict[str, Column] = {
    "truth": Column(
        type="boolean",
        values=spell(
            st.booleans(),
            int,
            float,
            str,
            lambda v: "t" if v else "f",
            lambda v: "YES" if v else "No",
            lambda v: "on" if v else "off",
            lambda v: str(int(v)),
        ),
    ),
    "small": Column(type="smallint", values=integers(16)),
    "whole": Column(type="integer", values=integers(32)),
    "large": Column(type="bigint", values=integers(64)),
    "free": Column(
        type="numeric",
        values=spell(
            st.decimals(allow_nan=False, allow_infinity=False, places=8)
            | st.integers(-(2**63), 2**63 - 1).map(Decimal),
            str,
            spell_exactly,
            lambda v: int(v) if v == int(v) and abs(v) < 2**63 else None,
        ),
    ),
    "money": Column(type="numeric(12,2)", values=spell(CENTS, str, add_noise, lambda v: f"{v}00")),
    "double": Column(
        type="double precision",
        values=spell(st.floats(allow_nan=False), float, repr),
        read=lambda found: struct.pack(">d", found),
        expect=lambda value: struct.pack(">d", value),
    ),
    "single": Column(
        type="real",
        values=spell(
            st.floats(allow_nan=False, width=32),
            float,
            lambda v: f"{v:.9g}" if as_single(float(f"{v:.9g}")) == v else None,
        ),
        output="float4send({})",
        expect=lambda value: struct.pack(">f", value),
    ),
    "words": Column(type="text", values=spell(TEXTS | ODD_TEXTS, str, str.encode)),
    "brief": Column(type="varchar(5)", values=spell(st.text(SCALARS, max_size=5), str, str.encode)),
    "padded": Column(
        type="char(3)", values=spell(st.text(SCALARS, max_size=3), str), expect=lambda value: value.ljust(3)
    ),
    "bytes": Column(
        type="bytea",
        values=spell(st.binary(max_size=40), bytes) | TEXTS.map(lambda text: (text, text.encode())),
    ),
    "ident": Column(
        type="uuid",
        values=spell(st.uuids(), str, lambda v: v.hex.upper(), lambda v: v.bytes, lambda v: f"{{{v}}}"),
    ),
    "doc": Column(
        type="json",
        values=DOCUMENTS.flatmap(
            lambda d: st.sampled_from(
                [(t, t) for t in spell_json(d)] + [(json.dumps(d).encode(), json.dumps(d))]
            )
        ),
        output="{}::text",
    ),
    "docb": Column(
        type="jsonb",
        values=DOCUMENTS.flatmap(lambda d: st.sampled_from([(t, d) for t in spell_json(d)])),
        output="{}::text",
        read=lambda found: json.loads(found, parse_int=Decimal, parse_float=Decimal),
        expect=lambda value: json.loads(json.dumps(value), parse_int=Decimal, parse_float=Decimal),
    ),
    "mood": Column(
        type="mood", values=spell(st.sampled_from(["so so", 'it\'s "fine"', "é", "", "\\."]), str, str.encode)
    ),
    "naive": Column(type="timestamp", values=NAIVE),
    "coarse": Column(
        type="timestamp(3)",
        values=NAIVE,
        expect=lambda m: m.replace(microsecond=m.microsecond // 1000 * 1000),
    ),
    "whole_s": Column(type="timestamp(0)", values=NAIVE, expect=lambda m: m.replace(microsecond=0)),
    "aware": Column(type="timestamptz", values=AWARE, output=EPOCH_US, read=int),
    "berlin": Column(type="timestamptz", values=ZONELESS, output=EPOCH_US, read=int),
    "moved": Column(type="timestamp", values=AWARE, expect=lambda us: EPOCH + timedelta(microseconds=us)),
    "day": Column(
        type="date",
        values=spell(st.dates(), date.isoformat, lambda d: f"{d}T00:00:00Z", lambda d: f"{d} 00:00:00.000"),
    ),
    "clock": Column(
        type="time",
        values=spell(
            st.times(),
            time.isoformat,
            lambda t: f"1970-01-01T{t.isoformat()}",
            lambda t: f"2000-01-01 {t.isoformat()}Z",
        ),
    ),
    "numbers": Column(
        type="int[]",
        values=spell(st.lists(st.none() | st.integers(-(2**31), 2**31 - 1), max_size=4), json.dumps),
    ),
    "tags": Column(
        type="text[]",
        values=spell(
            st.lists(st.none() | TEXTS | ODD_TEXTS, max_size=4),
            json.dumps,
            lambda v: json.dumps(v, ensure_ascii=False),
        ),
    ),
    "labelled": Column(type="label", values=spell(st.text("abc", min_size=1, max_size=4), str, str.encode)),
    "net": Column(type="inet", values=spell(st.ip_addresses(), str), output="host({})", read=ip_address),
    "span": Column(
        type="interval",
        values=spell(
            st.integers(-(10**9), 10**9).map(lambda s: timedelta(seconds=s)),
            lambda d: f"{int(d.total_seconds())} s",
        ),
    ),
    "range": Column(
        type="int4range", values=spell(st.integers(-100, 100), lambda v: f"[{v},{v + 5}]"), output="lower({})"
    ),
}


def far_numbers(per_second: int) -> Spelled:
    """Numbers of one unit, as far off as the years 0001 and 9999."""
    lowest, highest = -62135596800 * per_second, 253402300800 * per_second - 1
    ends = [max(lowest, -(2**63)), min(highest, 2**63 - 1)]
    numbers = st.integers(*ends) | st.integers(-10, 10) | st.sampled_from(ends)
    return numbers.map(lambda n: (n, n * 10**6 // per_second))


def near_numbers(per_second: int) -> Spelled:
    """Numbers of one unit in the years that tell it."""
    numbers = ANCHORS.map(lambda m: (m - EPOCH) // TICK * per_second // 10**6)
    return numbers.map(lambda n: (n, n * 10**6 // per_second))


UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
DAYS = st.datetimes(datetime(1980, 1, 2), datetime(2099, 12, 31)).map(lambda m: m.replace(microsecond=0))


@pytest.fixture
def ready(database: Database) -> Database:
    database.execute(
        "CREATE TYPE mood AS ENUM ('so so', 'it''s \"fine\"', 'é', '', '\\.');"
        "CREATE DOMAIN label AS varchar(4) CHECK (value ~ '^[abc]+$')"
    )
    return database


def reload(
    database: Database,
    path: Path,
    columns: dict[str, Column],
    rows: list[dict[str, Any]],
    encoding: str = "UTF-8",
    **variables: str,
) -> None:
    """Load rows of (cell, value) pairs into a new table and compare what PostgreSQL then holds."""
    database.execute(
        "DROP TABLE IF EXISTS t; CREATE TABLE t (id int PRIMARY KEY, "
        + ", ".join(f"{name} {column.type}" for name, column in columns.items())
        + ")"
    )
    cells = [[key, *(row[name] and row[name][0] for name in columns)] for key, row in enumerate(rows)]
    ddl = f"CREATE TABLE t (id INTEGER PRIMARY KEY, {', '.join(columns)})"
    write_table(path, ddl, cells, pragmas=f"PRAGMA encoding='{encoding}'")
    migrate(database, path, SOURCE_TIMEZONE="Europe/Berlin", **variables)
    outputs = ", ".join(column.output.format(name) for name, column in columns.items())
    with database.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        found = connection.execute(f"SELECT {outputs} FROM t ORDER BY id".encode()).fetchall()
    assert len(found) == len(rows)
    for row, values in zip(rows, found, strict=True):
        for (name, column), value in zip(columns.items(), values, strict=True):
            if row[name] is None:
                assert value is None, name
            else:
                cell, expected = row[name]
                assert value is not None, (name, cell)
                assert column.read(value) == column.expect(expected), (name, cell)
    (again,) = migrate(database, path, SOURCE_TIMEZONE="Europe/Berlin", **variables).result.tables
    assert again.unchanged == len(rows), "a second run changed something"


def pick(columns: dict[str, Column]) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(
        st.fixed_dictionaries({name: st.none() | column.values for name, column in columns.items()}),
        min_size=1,
        max_size=6,
    )


RELAXED = settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)


@given(rows=pick(COLUMNS), encoding=st.sampled_from(ENCODINGS))
@RELAXED
def test_every_type_holds_what_was_spelled(
    ready: Database, tmp_path: Path, rows: list[dict[str, Any]], encoding: str
) -> None:
    reload(ready, tmp_path / "s.db", COLUMNS, rows, encoding=encoding)


def make_unit_columns(numbers: Callable[[int], Spelled]) -> dict[str, Column]:
    kinds = (("tz", "timestamptz", 1), ("ts", "timestamp", 1), ("ms", "timestamptz(3)", 1000))
    return {
        f"{kind}_{unit}": Column(
            type=type_name, values=numbers(per_second), output=EPOCH_US, read=int, expect=cut_to(step)
        )
        for unit, per_second in UNITS.items()
        for kind, type_name, step in kinds
    }


def cut_to(step: int) -> Callable[[int], int]:
    return lambda microseconds: microseconds // step * step


FAR = make_unit_columns(far_numbers)
NEAR = make_unit_columns(near_numbers) | {
    "julian": Column(
        type="timestamp", values=DAYS.map(lambda m: ((m - EPOCH) / timedelta(days=1) + 2440587.5, m))
    ),
    "real_s": Column(
        type="timestamp",
        values=ANCHORS.map(lambda m: m.replace(microsecond=m.microsecond // 1000 * 1000)).map(
            lambda m: ((m - EPOCH) // timedelta(milliseconds=1) / 1000, m)
        ),
    ),
    "day": Column(
        type="date",
        values=st.dates(date(1980, 1, 2), date(2099, 12, 31)).map(
            lambda d: ((datetime(d.year, d.month, d.day) - EPOCH) // timedelta(milliseconds=1), d)
        ),
    ),
}
STATED = "[tables.t.columns]\n" + "".join(f'{name} = {{ unit = "{name[3:]}" }}\n' for name in FAR)


@given(rows=pick(NEAR))
@RELAXED
def test_the_unit_of_numbers_is_found(ready: Database, tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    reload(ready, tmp_path / "s.db", NEAR, rows)


@given(rows=pick(FAR))
@RELAXED
def test_numbers_of_a_stated_unit_are_moments(
    ready: Database, tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    reload(ready, tmp_path / "s.db", FAR, rows, mapping=STATED)


@given(
    values=st.lists(st.none() | TEXTS | ODD_TEXTS, max_size=12),
    encoding=st.sampled_from(ENCODINGS),
)
@RELAXED
def test_a_table_of_one_text_column(
    ready: Database, tmp_path: Path, values: list[str | None], encoding: str
) -> None:
    ready.execute("DROP TABLE IF EXISTS t; CREATE TABLE t (v text)")
    path = write_table(
        tmp_path / "s.db",
        "CREATE TABLE t (v)",
        [[value] for value in values],
        pragmas=f"PRAGMA encoding='{encoding}'",
    )
    migrate(ready, path)
    found = [row[0] for row in ready.execute("SELECT v FROM t ORDER BY ctid")]
    assert found == values
    assert migrate(ready, path).result.tables[0].inserted == 0
