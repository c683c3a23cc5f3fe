"""Verification takes another path than the load: what it knows of its code, and what it tells apart."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from entrypoint.model import Conversion, TargetType
from entrypoint.transfer.verify import decode
from entrypoint.transfer.verify.multiset import digest_row
from entrypoint.transfer.verify.showing import show_meaning
from tests.unit.test_floors import MODULES, list_imports

COMPARING = (
    "verify.readings",
    "verify.compare",
    "verify.multiset",
    "verify.coverage",
    "verify.__init__",
    "reverify",
)
LOAD = {"conversions", "load", "census", "collisions", "plan"}


def list_neighbours(module: str) -> set[str]:
    """Return the phases, and the modules of verification, that a module imports."""
    name = f"entrypoint.transfer.{module}"
    imported = {full.removeprefix("entrypoint.transfer.") for full in list_imports(name, MODULES[name])}
    imported = {full for full in imported if not full.startswith("entrypoint")}
    return {full.removeprefix("verify.") for full in imported if full.startswith("verify.")} | {
        full.split(".")[0] for full in imported if not full.startswith("verify")
    }


@pytest.mark.parametrize("module", ["verify.decode", "verify.documents", "verify.moments"])
def test_meaning_knows_nothing_of_the_load(module: str) -> None:
    assert list_neighbours(module) <= {"documents", "moments"}


@pytest.mark.parametrize("module", COMPARING)
def test_comparing_knows_of_the_load_how_a_row_is_found(module: str) -> None:
    """`conversions` for the SQL of a key, and nothing that renders, merges or plans."""
    allowed = {"conversions"} if module in ("verify.readings", "verify.__init__") else set()
    assert list_neighbours(module) & LOAD <= allowed


def make_conversion(kind: str, base: str, element: str | None = None) -> Conversion:
    return Conversion(kind=kind, type=TargetType(name=base, base=base, kind="b", element=element))


ALIKE: list[tuple[Any, Any]] = [
    (Decimal("1.50"), Decimal("1.5")),
    (Decimal("100"), Decimal("1e2")),
    (Decimal("-0"), Decimal("0")),
]
DIFFERENT: list[tuple[Any, Any]] = [
    (-1, -2),  # whose hash() is the same
    (1, True),
    (0, False),
    (1, Decimal(1)),
    (1, "1"),
    (None, "None"),
    (None, ""),
    (b"a", "a"),
    (2**61 - 1, 0),
    (Decimal("1" + "0" * 20_000), Decimal("1" + "0" * 19_999 + "1")),
    (UUID(int=1), 1),
]


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_one_digest_for_one_meaning(one: Any, other: Any) -> None:
    assert digest_row(("a", one)) == digest_row(("a", other))


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_another_digest_for_another_meaning(one: Any, other: Any) -> None:
    assert digest_row(("a", one)) != digest_row(("a", other))


JSON_ALIKE = [
    ('{"a": 1.50, "b": [true, null]}', '{"b":[true,null],"a":15e-1}'),
    ('{"a": 1, "a": 2}', '{"a": 2}'),
    ('"\\u00e9"', '"é"'),
    ("-0", "0"),
    ("[-0.0]", "[0]"),
    ("[1e2, 1.0]", "[100, 1]"),
    ("[0e5000]", "[-0]"),
    ("[1e4000]", "[1" + "0" * 4000 + "]"),
    ("[1e5000, 2.50]", "[1" + "0" * 5000 + ", 2.5]"),
    ('{"b": 1e5000, "a": [0, -0, 0.5, -12]}', '{"a": [0.0, 0, 5e-1, -12.0], "b": 1' + "0" * 5000 + "}"),
]
JSON_DIFFERENT = [
    ("[1]", "[true]"),
    ('["1"]', "[1]"),
    ("[[], []]", "[[[]]]"),
    ('{"a": [1, 2]}', '{"a": [2, 1]}'),
    ('["a,b"]', '["a","b"]'),
    ("1.0000000000000000000000001", "1"),
    ("null", '"null"'),
    ("[1.5]", '["1.5"]'),
    ("1" + "0" * 5000, "1" + "0" * 4999 + "1"),
    ('{"a": {}}', '{"a": []}'),
]


@pytest.mark.parametrize(("one", "other"), JSON_ALIKE)
def test_documents_that_mean_the_same(one: str, other: str) -> None:
    jsonb = make_conversion("json", "jsonb")
    assert decode.read(jsonb, one) == decode.read(jsonb, other)


@pytest.mark.parametrize(("one", "other"), JSON_DIFFERENT)
def test_documents_that_do_not(one: str, other: str) -> None:
    jsonb = make_conversion("json", "jsonb")
    assert decode.read(jsonb, one) != decode.read(jsonb, other)


def test_documents_nested_as_deeply_as_sqlite_allows() -> None:
    jsonb = make_conversion("json", "jsonb")
    deep = "[" * 1000 + "1" + "]" * 1000
    assert decode.read(jsonb, deep) == decode.expect(jsonb, deep.replace("1", " 1.0 "), timezone="UTC")


def test_documents_are_shown_as_documents() -> None:
    meaning = decode.read(make_conversion("json", "jsonb"), '{"b": [1.50, "x"], "a": -2}')
    assert show_meaning(make_conversion("json", "jsonb"), meaning) == '{"a":-2,"b":[1.5,"x"]}'


ARRAYS = {
    '[1, 2.50, true, null, "null"]': '{"1","2.50","true",NULL,"null"}',
    '[["a,b", "c\\"d"], ["}", "\\\\"]]': '{{"a,b","c\\"d"},{"}","\\\\"}}',
    '["x", {"n" : [1, "]"]}]': '{"x","{\\"n\\" : [1, \\"]\\"]}"}',
    " [ ] ": "{}",
    "{1,2}": "{1,2}",
    "[0:1]={1,2}": "[0:1]={1,2}",
}


@pytest.mark.parametrize("text", ARRAYS)
def test_arrays_as_literals(text: str) -> None:
    assert decode.expect(make_conversion("array", "_text", "text"), text, timezone="UTC") == ARRAYS[text]


def test_arrays_of_documents_hold_arrays() -> None:
    conversion = make_conversion("array", "_jsonb", "jsonb")
    assert decode.expect(conversion, '[[1], "a"]', timezone="UTC") == '{"[1]","\\"a\\""}'
