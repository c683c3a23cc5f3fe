"""The mapping file: what it says, and that each mistake in it is named with its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrypoint.errors import ConfigurationError
from entrypoint.mapping import ColumnMapping, Mapping, TableMapping, load_mapping, parse_mapping

EXAMPLE = """
[tables.Recipe]                 # a source table
target = "recipes"
key = ["slug"]

[tables.Recipe.columns]
created = { target = "created_at", unit = "ms" }
legacy  = { ignore = true }
rating  = { empty = "null" }
owner   = { default = "1" }

[tables."old things"]
ignore = true
"""


def refusals(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as refused:
        parse_mapping(text, name="map.toml")
    assert all(problem.startswith("map.toml") for problem in refused.value.problems)
    return refused.value.problems


def test_example_of_the_manual_is_read() -> None:
    assert parse_mapping(EXAMPLE, name="map.toml") == Mapping(
        tables={
            "Recipe": TableMapping(
                target="recipes",
                key=("slug",),
                columns={
                    "created": ColumnMapping(target="created_at", unit="ms"),
                    "legacy": ColumnMapping(ignore=True),
                    "rating": ColumnMapping(empty="null"),
                    "owner": ColumnMapping(default="1"),
                },
            ),
            "old things": TableMapping(ignore=True),
        }
    )


@pytest.mark.parametrize("text", ["", "# nothing\n", "[tables]", "[tables.a]", "[tables.a.columns]"])
def test_saying_nothing_is_allowed(text: str) -> None:
    assert all(table == TableMapping() for table in parse_mapping(text, name="map.toml").tables.values())


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("[tabels.a]", "tabels", "did you mean tables?"),
        ("tables = 1", "tables", "not a table"),
        ("[tables]\na = 1", "tables.a", "not a table"),
        ("[tables.a]\ntraget = 'x'", "tables.a.traget", "did you mean target?"),
        ("[tables.a]\ntarget = 1", "tables.a.target", "string"),
        ("[tables.a]\ntarget = ''", "tables.a.target", "string"),
        ("[tables.a]\nignore = 'true'", "tables.a.ignore", "true and false"),
        ("[tables.a]\nignore = 1", "tables.a.ignore", "true and false"),
        ("[tables.a]\nkey = 'id'", "tables.a.key", "list"),
        ("[tables.a]\nkey = []", "tables.a.key", "list"),
        ("[tables.a]\nkey = ['a', 'a']", "tables.a.key", "different"),
        ("[tables.a]\nkey = ['a', 1]", "tables.a.key", "list"),
        ("[tables.a]\nignore = true\ntarget = 'b'", "tables.a", "ignored and says target"),
        ("[tables.a.columns]\nb = 'c'", "tables.a.columns.b", "not a table"),
        ("[tables.a.columns]\nb = { unit = 'sec' }", "tables.a.columns.b.unit", "'julian'"),
        ("[tables.a.columns]\nb = { empty = true }", "tables.a.columns.b.empty", "'null'"),
        ("[tables.a.columns]\nb = { default = 1 }", "tables.a.columns.b.default", "quotes"),
        ("[tables.a.columns]\nb = { ignore = true, unit = 's' }", "tables.a.columns.b", "says unit"),
        ("[tables.a.columns]\nb = { default = '1', target = 'c' }", "tables.a.columns.b", "default"),
        ("[tables.a.columns]\nb = { conversion = 'x' }", "tables.a.columns.b.conversion", "accepted are"),
        ("[tables.'a b'.columns]\n'c.d' = { unit = 1 }", 'tables."a b".columns."c.d".unit', "'ms'"),
        ("[tables.a.columns]\nb={target='x'}\nc={target='x'}", "tables.a.columns", "both b and c to 'x'"),
        ("[tables.a]\ntarget='x'\n[tables.b]\ntarget='x'", "tables", "both a and b to 'x'"),
    ],
)
def test_mistake_is_named_with_its_place(text: str, place: str, said: str) -> None:
    (problem,) = refusals(text)
    assert problem.startswith(f"map.toml: {place} ")
    assert said in problem


def test_all_mistakes_are_named_at_once() -> None:
    assert len(refusals("[tables.a]\nkey = 1\ntarget = 2\n[tables.b]\nx = 1\n[table]")) == 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tables.a]\nkey = ]", "line 2"),
        ("[tables.a]\n[tables.a]", "line 2"),
        ("a = " + "[" * 5000, "valid TOML"),
        ("a = " + "9" * 5000, "valid TOML"),
    ],
)
def test_broken_toml_is_refused(text: str, said: str) -> None:
    assert said in refusals(text)[0]


def test_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "map.toml"
    path.write_text(EXAMPLE)
    assert load_mapping(path) == parse_mapping(EXAMPLE, name="map.toml")


def test_absent_file_is_not_a_broken_one(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "none.toml", tmp_path / "file" / "map.toml"):
        with pytest.raises(FileNotFoundError):
            load_mapping(path)


def test_directory_bytes_and_size_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="bind mount"):
        load_mapping(tmp_path)
    path = tmp_path / "map.toml"
    path.write_bytes(b"# \xff")
    with pytest.raises(ConfigurationError, match="UTF-8"):
        load_mapping(path)
    path.write_bytes(b"#" * (1 << 20) + b"\n")
    with pytest.raises(ConfigurationError, match="1 MiB"):
        load_mapping(path)


VALUES = st.recursive(
    st.sampled_from(["1", "true", "'x'", "'ms'", "'null'", "1979-05-27", "nan"]),
    lambda inner: (
        st.lists(inner, max_size=2).map(lambda items: f"[{', '.join(items)}]")
        | st.dictionaries(
            st.sampled_from(["target", "ignore", "key", "columns", "unit", "empty", "default", "x"]),
            inner,
            max_size=3,
        ).map(lambda items: "{ " + ", ".join(f"{name} = {value}" for name, value in items.items()) + " }")
    ),
    max_leaves=8,
)


@given(table=VALUES, noise=st.text(max_size=10))
def test_any_file_is_understood_or_refused(table: str, noise: str) -> None:
    for text in (f"tables = {{ a = {table} }}", f"tables = {table}", f"tables = {table} {noise}"):
        try:
            assert isinstance(parse_mapping(text, name="map.toml"), Mapping)
        except ConfigurationError as error:
            assert all(problem.startswith("map.toml") for problem in error.problems)  # noqa: PT017
