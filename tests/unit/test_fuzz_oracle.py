"""The fuzz test's oracle shares no code with the product, and knows what PostgreSQL is known to do."""

from __future__ import annotations

import ast
from datetime import datetime
from pathlib import Path

import pytest

from tests.fuzz.meanings import REFUSED, read_meaning
from tests.fuzz.model import Column

FOLDER = Path(__file__).parents[1] / "fuzz"
# Those that run the product and hold its answers against the oracle's.
RUNNERS = {"bench.py", "checks.py"}


def _list_imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def test_the_oracle_imports_nothing_of_the_product() -> None:
    modules = [path for path in FOLDER.glob("*.py") if path.name not in RUNNERS]
    assert len(modules) > len(RUNNERS)
    for path in modules:
        imports = _list_imports(path)
        assert not any(name.split(".")[0] == "entrypoint" for name in imports), path
        assert not imports & {f"tests.fuzz.{runner.removesuffix('.py')}" for runner in RUNNERS}, path


@pytest.mark.parametrize(
    ("type_name", "cell", "unit", "meaning"),
    [
        ("timestamptz", "2024-03-31 02:30:00", "s", datetime(2024, 3, 31, 1, 30)),
        ("timestamptz", "2024-10-27 02:30:00", "s", datetime(2024, 10, 27, 1, 30)),
        ("timestamptz", "2024-07-01 02:30:00", "s", datetime(2024, 7, 1, 0, 30)),
        ("timestamp", 2_440_588, "julian", datetime(1970, 1, 1, 12)),
        ("timestamp", 1_700_000_000_123_456_789, "ns", datetime(2023, 11, 14, 22, 13, 20, 123_456)),
        ("numeric(4,-2)", "1234", "s", REFUSED),
        ("int4range", "[1,2]", "s", "[1,3)"),
    ],
)
def test_meanings_that_postgresql_gives(type_name: str, cell: object, unit: str, meaning: object) -> None:
    column = Column(source="a", target="a", type=type_name, declared="", is_not_null=False, good=(), bad=())
    assert read_meaning(column, cell, "Europe/Berlin", unit) == meaning
