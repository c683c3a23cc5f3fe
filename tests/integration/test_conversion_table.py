"""The README's cells of each type: each is taken and printed by PostgreSQL, or refused, as the table says."""

from __future__ import annotations

import re
from contextlib import closing

import apsw
import pytest

from tests.places import Place
from tests.unit.test_readme import read_table

pytestmark = pytest.mark.newest_server

OWN_TYPES = (
    "CREATE TYPE mood AS ENUM ('glad', '7', '1.5'); CREATE DOMAIN positive AS integer CHECK (value > 0);"
)
CLASSES = ("integer", "real", "text", "blob")
NUMBERS_ARE_MILLISECONDS = ("timestamptz, timestamp", "date", "time", "interval")
# Among what the last row of the table of types stands for, numbers and blobs go by what the type reads.
_MIXED = ("everything else", "arrays")


def read_cells() -> list[tuple[str, str, dict[str, str | None]]]:
    """Return each row's target, type and cells: what PostgreSQL prints for a literal, None where refused."""
    rows = []
    for target, spelled, taken, refused in read_table("cells"):
        cells: dict[str, str | None] = {
            literal: printed
            for literal, printed, _ in re.findall(r"`([^`]+)` → (?:`([^`]+)`|(\(empty\)))", taken)
        }
        rows.append((target, spelled.strip("`"), cells | dict.fromkeys(re.findall(r"`([^`]+)`", refused))))
    return rows


CELLS = read_cells()


def test_every_cell_becomes_what_the_table_says(place: Place) -> None:
    place.rows(OWN_TYPES)
    with closing(apsw.Connection(str(place.file))) as connection:
        for number, (_, type_name, cells) in enumerate(CELLS):
            place.rows(f"CREATE TABLE t{number} (id int PRIMARY KEY, v {type_name})")
            connection.execute(f"CREATE TABLE t{number} (id INTEGER PRIMARY KEY, v)")
            for key, literal in enumerate(cells):
                connection.execute(f"INSERT INTO t{number} VALUES ({key}, {literal})")
    mapping = place.home / "map.toml"
    mapping.write_text(
        "".join(
            f'[tables.t{number}.columns]\nv = {{ unit = "ms" }}\n'
            for number, (target, _, _) in enumerate(CELLS)
            if target in NUMBERS_ARE_MILLISECONDS
        )
    )
    variables = {"ENTRYPOINT_CONFIG": str(mapping), "ON_REJECT": "quarantine", "VERIFY": "full"}
    place.run("migrate", "--yes", variables=variables).succeeded()
    rejected = dict(place.rows("SELECT source_table || ' ' || source_key, 1 FROM entrypoint.rejects"))
    for number, (_, type_name, cells) in enumerate(CELLS):
        printed = dict(place.rows(f"SELECT id, v::text FROM t{number}"))
        found = {
            literal: None if f"t{number} id={key}" in rejected else printed[key]
            for key, literal in enumerate(cells)
        }
        assert found == cells, type_name


def test_every_type_has_cells_of_every_class_taken_and_refused() -> None:
    with closing(apsw.Connection(":memory:")) as connection:
        verdicts: dict[str, dict[str, set[bool]]] = {}
        for target, _, cells in CELLS:
            for literal, printed in cells.items():
                ((kind,),) = connection.execute(f"SELECT typeof({literal})")
                verdicts.setdefault(target, {}).setdefault(str(kind), set()).add(printed is not None)
    for target, *told in read_table("conversions"):
        for kind, text in zip(CLASSES, told, strict=True):
            if target not in _MIXED or text == "refused":
                is_taken = True in verdicts[target][kind]
                assert is_taken == (text != "refused"), (target, kind)
        assert any(False in seen for seen in verdicts[target].values()), target
