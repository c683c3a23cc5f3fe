"""Units of numbers that are times, through the real path: what is evidence, what is refused and why."""

from __future__ import annotations

from pathlib import Path

import pytest

from entrypoint.model import Refusal
from entrypoint.transfer.dry_run import plan_source
from tests.loading import find_refusals, make_settings, migrate, write_table
from tests.servers import Database

pytestmark = pytest.mark.newest_server


NOON_S = 1700000000


def test_an_implausible_number_is_refused_as_a_cell(database: Database, tmp_path: Path) -> None:
    database.execute("CREATE TABLE t (id int PRIMARY KEY, v timestamptz)")
    numbers = [NOON_S, 0, -1, 10**11, 2 * 10**11, -62135596800, 253402300799, 32503680000, NOON_S + 0.5]
    ddl = "CREATE TABLE t (id INTEGER PRIMARY KEY, v)"
    path = write_table(tmp_path / "s.db", ddl, list(enumerate(numbers)))
    assert find_refusals(database, path) == (
        Refusal(
            table="t",
            column="v",
            storage_class="integer",
            value="100000000000",
            reason="as seconds in the year 5138, which is implausible",
            remedy="correct it in the source (timestamp with time zone takes ISO 8601 text, or a number of "
            'one unit since an epoch), or say in the mapping file: [tables.t.columns] v = { unit = "s" }',
            keys=("id=3", "id=4"),
            count=2,
            entries=('unit = "s"',),
        ),
    )
    (kept,) = migrate(database, path, ON_REJECT="quarantine", VERIFY="full").result.tables
    assert (kept.inserted, kept.quarantined) == (7, 2)
    mapping = '[tables.t.columns]\nv = { unit = "s" }'
    (all_of_them,) = migrate(database, path, mapping=mapping, VERIFY="full").result.tables
    assert (all_of_them.inserted, all_of_them.unchanged) == (2, 7)
    years = database.execute("SELECT extract(year FROM v AT TIME ZONE 'UTC')::int FROM t ORDER BY id")
    assert [year for (year,) in years] == [2023, 1970, 1969, 5138, 8307, 1, 9999, 3000, 2023]


def test_columns_help_each_other(database: Database, tmp_path: Path) -> None:
    names = "made timestamptz, gone timestamptz, seen timestamp, day date, clock time, never timestamptz"
    database.execute(f"CREATE TABLE t (id int PRIMARY KEY, {names})")
    ddl = "CREATE TABLE t (id INTEGER PRIMARY KEY, made, gone, seen TIMESTAMP_S, day, clock TIME_MS, never)"
    rows = [(1, NOON_S * 1000, 5000, 60, 34560000000, 3723000, 0), (2, None, 0, None, None, None, 0)]
    path = write_table(tmp_path / "s.db", ddl, rows)
    with database.connect() as connection:
        plan, _ = plan_source(connection, path, make_settings(database))
    assert plan.refusals == ()
    evidence = {
        column.target.name: (column.conversion.unit, column.conversion.evidence)
        for column in plan.tables[0].columns
        if column.conversion.evidence
    }
    others = "the table's other times are in it (made); the values, "
    assert evidence == {
        "made": (
            "ms",
            "milliseconds: 1 of 1 value(s) from 1700000000000 to 1700000000000 lie in 1980 to 2100",
        ),
        "gone": ("ms", f"milliseconds: {others}0 to 5000, do not tell it themselves"),
        "seen": ("ms", f"milliseconds: {others}60 to 60, do not tell it themselves"),
        "day": ("ms", f"milliseconds: {others}34560000000 to 34560000000, do not tell it themselves"),
        "clock": (
            "ms",
            "milliseconds: the declared type TIME_MS names it; the values, 3723000 to 3723000, do not tell "
            "it themselves",
        ),
        "never": ("ms", f"milliseconds: {others}0 to 0, do not tell it themselves"),
    }
    migrate(database, path, VERIFY="full")
    assert database.execute(
        "SELECT (gone AT TIME ZONE 'UTC')::text, seen::text, day::text, clock::text FROM t WHERE id = 1"
    ) == [("1970-01-01 00:00:05", "1970-01-01 00:00:00.06", "1971-02-05", "01:02:03")]


def test_a_time_of_day_does_not_follow_other_columns(database: Database, tmp_path: Path) -> None:
    database.execute("CREATE TABLE t (made timestamptz, clock time)")
    path = write_table(tmp_path / "s.db", "CREATE TABLE t (made, clock)", [(NOON_S * 1000, 3723)])
    (found,) = find_refusals(database, path)
    assert (found.column, found.reason) == ("clock", "numbers whose unit cannot be told (3723 to 3723)")


def test_what_stays_ambiguous_is_refused_with_every_line_that_settles_it(
    database: Database, tmp_path: Path
) -> None:
    database.execute("CREATE TABLE t (id int PRIMARY KEY, v timestamptz, w timestamptz)")
    ddl = "CREATE TABLE t (id INTEGER PRIMARY KEY, v, w)"
    rows = [(1, 5, NOON_S), (2, "2024-01-02", NOON_S * 1000), (3, 7.5, None)]
    path = write_table(tmp_path / "s.db", ddl, rows)
    found = find_refusals(database, path, ON_REJECT="quarantine")
    assert [(one.column, one.storage_class, one.count) for one in found] == [
        ("v", "integer", 1),
        ("v", "real", 1),
        ("w", "integer", 2),
    ]
    entries = tuple(f'unit = "{unit}"' for unit in ("s", "ms", "us", "ns", "julian"))
    assert {one.entries for one in found} == {entries}
    for entry in entries[:4]:
        mapping = f'[tables.t.columns]\nv = {{ {entry} }}\nw = {{ unit = "ms" }}'
        assert find_refusals(database, path, mapping=mapping) == ()


def test_infinity_spoils_its_cell_alone(database: Database, tmp_path: Path) -> None:
    database.execute("CREATE TABLE t (id int PRIMARY KEY, v timestamptz, w timestamptz)")
    ddl = "CREATE TABLE t (id INTEGER PRIMARY KEY, v, w)"
    rows = [(1, NOON_S, None), (2, float("inf"), float("-inf"))]
    found = find_refusals(database, write_table(tmp_path / "s.db", ddl, rows))
    assert [(one.column, one.reason, one.keys, one.entries) for one in found] == [
        (name, "infinity is no time here", ("id=2",), ()) for name in "vw"
    ]


def test_midnight_in_the_sources_zone_is_a_date(database: Database, tmp_path: Path) -> None:
    database.execute("CREATE TABLE t (id int PRIMARY KEY, v date, w date)")
    ddl = "CREATE TABLE t (id INTEGER PRIMARY KEY, v, w)"
    rows = [
        (1, "2024-01-02T00:00:00.000Z", 1704150000),
        (2, "2024-01-01T23:00:00Z", 1704153600),
        (3, "2024-07-01T22:00:00+00:00", 1719871200),
        (4, "2024-01-02 00:00:00+09:00", 1704150000.0),
        (5, "2024-01-01T24:00:00Z", None),
    ]
    path = write_table(tmp_path / "s.db", ddl, rows)
    assert [one.count for one in find_refusals(database, path)] == [2, 2, 1]
    migrate(database, path, SOURCE_TIMEZONE="Europe/Berlin", VERIFY="full")
    assert database.execute("SELECT v::text, w::text FROM t ORDER BY id") == [
        ("2024-01-02", "2024-01-02"),
        ("2024-01-02", "2024-01-02"),
        ("2024-07-02", "2024-07-02"),
        ("2024-01-02", "2024-01-02"),
        ("2024-01-02", None),
    ]
