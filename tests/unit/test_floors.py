"""The map of the house: imports go down, never sideways or up."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "entrypoint"

# A module or package, and its floor. Within a package modules may import each other, without a cycle.
FLOORS = {
    "errors": 0,
    "log": 0,
    "model": 0,
    "frozen": 0,
    "interrupts": 0,
    "connection_text": 0,
    "dialects": 0,
    "conninfo": 0,
    "setting_values": 0,
    "mapping_lines": 0,
    "mapping": 1,
    "setting_table": 1,
    "settings": 1,
    "progress": 1,
    "postgres": 1,
    "sqlite": 1,
    "handover": 1,
    "schema": 2,
    "transfer": 2,
    "report_text": 3,
    "plan_text": 3,
    "mapping_text": 3,
    "bootstrap": 3,
    "commands": 4,
    "demo": 3,
    "cli": 5,
    "__main__": 6,
}
# Floor by floor, what may be used beside it on the same floor: small steps within one responsibility.
BESIDE = {
    "interrupts": {"errors"},
    "conninfo": {"errors", "connection_text", "dialects"},
    "connection_text": {"errors", "dialects"},
    "dialects": {"errors"},
    "setting_values": {"errors"},
    "setting_table": set(),
    "settings": {"mapping", "setting_table"},
    "plan_text": {"report_text"},
    "mapping_text": {"plan_text"},
    "demo": {"bootstrap", "report_text"},
}


def read_modules() -> dict[str, ast.Module]:
    return {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): ast.parse(path.read_text())
        for path in PACKAGE.rglob("*.py")
    }


def list_imports(name: str, tree: ast.Module) -> Iterator[str]:
    """Yield the dotted names inside the package that a module imports, wherever in it."""
    known = set(MODULES)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("entrypoint"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("entrypoint"):
            assert node.level == 0, f"{name}: relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                is_module = full in known or f"{full}.__init__" in known
                yield full if is_module else str(node.module)


MODULES = read_modules()


def top(name: str) -> str:
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else ""


def test_every_module_has_a_floor() -> None:
    tops = {top(name) for name in MODULES} - {"__init__"}
    assert tops - set(FLOORS) == set()


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_go_down(name: str) -> None:
    here = top(name)
    for imported in list_imports(name, MODULES[name]):
        there = top(imported)
        if there in ("", "__init__", here):
            continue  # the package's version, or a neighbour within one package
        is_lower = FLOORS[there] < FLOORS[here]
        assert is_lower or there in BESIDE.get(here, set()), f"{name} imports {imported}"


def test_there_is_no_cycle() -> None:
    graph = {
        name.removesuffix(".__init__"): {
            imported for imported in list_imports(name, tree) if imported != name.removesuffix(".__init__")
        }
        for name, tree in MODULES.items()
    }
    graph = {
        name: {i for i in imports if i in graph and not name.startswith(f"{i}.")}
        for name, imports in graph.items()
    }
    while graph:
        free = {name for name, imports in graph.items() if not imports & set(graph)}
        assert free, f"import cycle among {sorted(graph)}"
        graph = {name: imports for name, imports in graph.items() if name not in free}


def test_only_settings_reads_the_environment() -> None:
    readers = {
        name
        for name, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv")
    }
    assert readers == {"entrypoint.settings"}
