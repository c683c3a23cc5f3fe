"""What becomes of the cells of the contract's table: the text for PostgreSQL, or the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cells import judge, make_type
from tests.conversion_cells import ACCEPTED, REFUSED, describe_type


@pytest.mark.parametrize(("name", "unit"), ACCEPTED)
def test_cells_that_a_type_takes(name: str, unit: str | None, tmp_path: Path) -> None:
    cells = ACCEPTED[name, unit]
    verdicts = judge(tmp_path / "s.db", describe_type(name), [c for c, _ in cells], unit=unit)
    found = [(cell, verdict.text, verdict.reason) for (cell, _), verdict in zip(cells, verdicts, strict=True)]
    assert found == [(cell, text, None) for cell, text in cells]


@pytest.mark.parametrize(("name", "unit"), REFUSED)
def test_cells_that_a_type_refuses_and_why(name: str, unit: str | None, tmp_path: Path) -> None:
    cells = REFUSED[name, unit]
    verdicts = judge(tmp_path / "s.db", describe_type(name), [c for c, _ in cells], unit=unit)
    wrong = [
        (cell, verdict)
        for (cell, reason), verdict in zip(cells, verdicts, strict=True)
        if verdict.reason is None or reason not in verdict.reason
    ]
    assert wrong == []


@pytest.mark.parametrize("name", ["integer", "boolean", "date", "jsonb", "uuid", "mood", "numeric"])
def test_empty_strings_are_null_where_the_mapping_says_so(name: str, tmp_path: Path) -> None:
    target = make_type(name, labels=("good",) if name == "mood" else ())
    for is_null, reasons in ((False, 1), (True, 0)):
        verdicts = judge(tmp_path / "s.db", target, ["", None], is_empty_null=is_null)
        assert [verdict.text for verdict in verdicts] == [None, None]
        assert sum(verdict.reason is not None for verdict in verdicts) == reasons
