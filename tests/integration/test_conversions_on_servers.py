"""The contract's table on real servers: what we take PostgreSQL takes, what it must not see is listed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cells import write_source
from tests.conversion_cells import ACCEPTED, LABELS, REFUSED
from tests.loading import find_refusals, migrate
from tests.servers import Database


@pytest.fixture
def ready(database: Database) -> Database:
    labels = ", ".join("'" + label.replace("'", "''") + "'" for label in LABELS)
    database.execute(f"CREATE TYPE mood AS ENUM ({labels}); CREATE DOMAIN citext AS text")
    return database


def state_unit(unit: str | None) -> str:
    return f'[tables.t.columns]\nv = {{ unit = "{unit}" }}' if unit else ""


@pytest.mark.parametrize(("name", "unit"), ACCEPTED)
def test_postgresql_takes_what_is_taken(name: str, unit: str | None, ready: Database, tmp_path: Path) -> None:
    ready.execute(f"CREATE TABLE t (id int PRIMARY KEY, v {name})")
    # PostgreSQL judges the items of arrays.
    cells = [cell for cell, _ in ACCEPTED[name, unit] if name != "integer[]" or "12345" not in str(cell)]
    migrate(ready, write_source(tmp_path / "s.db", cells), mapping=state_unit(unit))
    expected = sum(cell is not None for cell in cells)
    assert ready.execute("SELECT count(*), count(v) FROM t") == [(len(cells), expected)]


@pytest.mark.parametrize(("name", "unit"), REFUSED)
def test_every_refused_cell_is_counted(name: str, unit: str | None, ready: Database, tmp_path: Path) -> None:
    ready.execute(f"CREATE TABLE t (id int PRIMARY KEY, v {name})")
    cells = [cell for cell, _ in REFUSED[name, unit]]
    refusals = find_refusals(ready, write_source(tmp_path / "s.db", cells), mapping=state_unit(unit))
    assert sum(refusal.count for refusal in refusals) == len(cells)
    assert all(len(refusal.value or "") <= 40 for refusal in refusals)
