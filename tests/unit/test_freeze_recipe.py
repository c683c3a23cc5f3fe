"""What the frozen program leaves out is nothing that the package imports."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "docker" / "freeze" / "entrypoint.spec"


def read_excludes() -> set[str]:
    for statement in ast.parse(RECIPE.read_text()).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "EXCLUDES":
            return set(ast.literal_eval(statement.value))
    raise AssertionError("the recipe has no EXCLUDES")


def find_imports(source: Path) -> set[str]:
    """Return the top-level names of all modules that `source` imports, in functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def test_nothing_that_is_imported_is_left_out() -> None:
    excludes = read_excludes()
    assert "tkinter" in excludes
    imports = {path: find_imports(path) for path in sorted((ROOT / "entrypoint").rglob("*.py"))}
    missing = {str(path): names & excludes for path, names in imports.items() if names & excludes}
    assert not missing
