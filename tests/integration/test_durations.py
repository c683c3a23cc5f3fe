"""Durations: text as PostgreSQL reads it, numbers in a unit that somebody has to say."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.places import Place

pytestmark = pytest.mark.newest_server


TARGET = "CREATE TABLE jobs (id int PRIMARY KEY, took interval)"
DJANGO = (
    "CREATE TABLE django_migrations (id INTEGER PRIMARY KEY, app TEXT, name TEXT, applied TEXT);"
    "INSERT INTO django_migrations VALUES (1, 'jobs', '0001_initial', '2024-01-02 03:04:05');"
)
NUMBERS = "CREATE TABLE jobs (id INTEGER PRIMARY KEY, took bigint);"


def test_a_number_without_a_unit_is_refused(place: Place) -> None:
    """PostgreSQL would read 90000000 as so many seconds, which here would be microseconds or anything."""
    place.write_schema(TARGET)
    place.write_source(NUMBERS + "INSERT INTO jobs VALUES (1, 90000000), (2, 0), (3, 1.5), (4, NULL)")
    place.run("schema", "up")
    ended = place.run("migrate", "--dry-run")
    assert ended.code == 65
    assert "jobs.took" in ended.stdout
    assert "a number says no unit of a duration" in ended.stdout
    assert 'unit = "us"' in ended.stdout
    assert place.run().code == 65
    assert place.rows("SELECT * FROM jobs") == []


@pytest.mark.parametrize(
    ("unit", "number", "meant"),
    [
        ("s", "90", timedelta(seconds=90)),
        ("s", "-1.25", timedelta(seconds=-1.25)),
        ("ms", "90001", timedelta(seconds=90, milliseconds=1)),
        ("us", "-86399999993", timedelta(days=-1, microseconds=7)),
        ("ns", "90000001999", timedelta(seconds=90, microseconds=1)),
        ("julian", "1.5", timedelta(days=1.5)),
    ],
)
def test_the_mapping_file_says_it(place: Place, unit: str, number: str, meant: timedelta) -> None:
    place.write_schema(TARGET)
    place.write_source(NUMBERS + f"INSERT INTO jobs VALUES (1, {number}), (2, '00:00:07'), (3, NULL)")
    mapping = place.home / "entrypoint.toml"
    mapping.write_text(f'[tables.jobs.columns]\ntook = {{ unit = "{unit}" }}\n')
    place.run(variables={"VERIFY": "full", "ENTRYPOINT_CONFIG": str(mapping)}).succeeded()
    assert place.rows("SELECT took FROM jobs ORDER BY id") == [(meant,), (timedelta(seconds=7),), (None,)]


def test_django_s_are_microseconds(place: Place) -> None:
    """https://docs.djangoproject.com/en/5.2/ref/models/fields/#durationfield"""
    place.write_schema(TARGET)
    place.write_source(DJANGO + NUMBERS + "INSERT INTO jobs VALUES (1, 90000000), (2, 34560001000005)")
    place.run("schema", "up")
    ended = place.run("migrate", "--dry-run")
    assert "jobs.took: microseconds: Django keeps durations so" in ended.stdout
    place.run(variables={"VERIFY": "full"}).succeeded()
    assert place.rows("SELECT took FROM jobs ORDER BY id") == [
        (timedelta(seconds=90),),
        (timedelta(days=400, seconds=1, microseconds=5),),
    ]
