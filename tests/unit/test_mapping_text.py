"""The mapping file that is written from refusals: it is understood, whatever the names and the choices."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrypoint.errors import ConfigurationError, NotPermittedError
from entrypoint.mapping import UNITS, ColumnMapping, Mapping, TableMapping, parse_mapping
from entrypoint.mapping_lines import (
    IGNORE,
    list_names,
    say_default,
    say_target,
    say_unit,
    spell_key,
    write_remedy,
)
from entrypoint.mapping_text import write_mapping, write_new_file
from entrypoint.model import Refusal
from tests.unit.test_readme import read_block

ODD = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)
NAMES = ODD | st.sampled_from(
    [
        "User",
        "user id",
        'say "hi"',
        "it's",
        "a.b",
        "日本",
        "new\nline",
        "\r",
        "\t",
        "#",
        "\\",
        "[x]",
        "= 1",
        "\x7f",
    ]
)
CELLS = ODD | st.sampled_from(["x\n[tables]", "\u2028", '"""', "# ignore = true", "\x1b[31m"])


def make(table: str, column: str | None, entries: tuple[str, ...], **more: object) -> Refusal:
    return Refusal(
        table=table,
        column=column,
        reason="is refused",
        remedy="do something",
        entries=entries,
        **more,  # type: ignore[arg-type]
    )


COLUMN_ENTRIES = st.one_of(
    st.just(()),
    st.just(tuple(say_unit(unit) for unit in UNITS)),
    NAMES.map(lambda name: (say_target(name), IGNORE)),
    st.just((IGNORE,)),
    NAMES.map(lambda name: (say_default(name),)),
    st.just(('empty = "null"',)),
)
TABLE_ENTRIES = st.one_of(st.just(()), st.just((IGNORE,)), NAMES.map(lambda name: (say_target(name), IGNORE)))
REFUSALS = st.builds(
    make,
    NAMES,
    st.none(),
    TABLE_ENTRIES,
    candidates=st.lists(NAMES, max_size=3).map(tuple),
) | st.builds(
    make,
    NAMES,
    NAMES,
    COLUMN_ENTRIES,
    storage_class=st.just("text"),
    value=CELLS,
    keys=st.lists(CELLS, max_size=2).map(tuple),
    count=st.integers(1, 5000),
    candidates=st.lists(NAMES, max_size=3).map(tuple),
)
COLUMNS = st.builds(
    ColumnMapping,
    target=st.none() | NAMES,
    unit=st.none() | st.sampled_from(UNITS),
    empty=st.none() | st.just("null"),
) | st.builds(ColumnMapping, ignore=st.booleans(), default=st.none() | ODD)
TABLES = st.builds(
    TableMapping,
    target=st.none() | NAMES,
    key=st.lists(NAMES, unique=True, max_size=2).map(tuple),
    columns=st.dictionaries(NAMES, COLUMNS, max_size=3),
) | st.just(TableMapping(ignore=True))
MAPPINGS = st.dictionaries(NAMES, TABLES, max_size=3)


def without_shared_targets(tables: dict[str, TableMapping]) -> bool:
    """The parser refuses two sources of one target."""
    for found in (tables, *(table.columns for table in tables.values())):
        targets = [entry.target for entry in found.values() if entry.target is not None]  # type: ignore[attr-defined]
        if len(targets) != len(set(targets)):
            return False
    return True


def take(text: str, pick: int) -> str:
    """Uncomment one choice of every run of choices: the `pick`-th, or the last where there are fewer."""
    lines = text.splitlines(keepends=True)
    runs: list[list[int]] = []
    for number, line in enumerate(lines):
        if line.startswith("# "):
            if number and lines[number - 1].startswith("# "):
                runs[-1].append(number)
            else:
                runs.append([number])
    for run in runs:
        chosen = run[min(pick, len(run) - 1)]
        lines[chosen] = lines[chosen].removeprefix("# ")
    return "".join(lines)


@given(
    tables=MAPPINGS.filter(without_shared_targets),
    refusals=st.lists(REFUSALS, max_size=5, unique_by=lambda refusal: (refusal.table, refusal.column)),
    source=CELLS,
)
def test_what_is_written_is_understood_and_says_what_was_said(
    tables: dict[str, TableMapping], refusals: list[Refusal], source: str
) -> None:
    text = write_mapping(Mapping(tables=tables), refusals, source=source)
    parsed = parse_mapping(text, name="written.toml")
    said = {name: entry for name, entry in tables.items() if entry != TableMapping()}
    for name, table in said.items():
        columns = {key: entry for key, entry in table.columns.items() if entry != ColumnMapping()}
        found = (
            parsed.tables[name] if table != TableMapping(columns=table.columns) or columns else TableMapping()
        )
        kept = {key: entry for key, entry in found.columns.items() if entry != ColumnMapping()}
        assert (found.target, found.ignore, found.key, kept) == (
            table.target,
            table.ignore,
            table.key,
            columns,
        )


@given(
    refusals=st.lists(REFUSALS, max_size=5, unique_by=lambda refusal: (refusal.table, refusal.column)),
    tables=MAPPINGS.filter(without_shared_targets),
    pick=st.integers(0, 5),
)
def test_it_is_understood_with_a_choice_taken_for_each(
    refusals: list[Refusal], tables: dict[str, TableMapping], pick: int
) -> None:
    """But for what two choices say together: one target for two sources."""
    taken = take(write_mapping(Mapping(tables=tables), refusals, source="app.db"), pick)
    try:
        parsed = parse_mapping(taken, name="taken.toml")
    except ConfigurationError as error:
        assert all("one target takes one source" in problem for problem in error.problems)  # noqa: PT017
        return
    for refusal in refusals:
        if not refusal.entries:
            continue
        table = parsed.tables[refusal.table]
        entry = table if refusal.column is None else table.columns[refusal.column]
        assert entry != type(entry)()


def test_the_file_reads_as_the_readme_shows_it() -> None:
    refusals = [
        Refusal(
            table="Recipe",
            column=None,
            reason="holds rows and has no table in the target",
            remedy="",
            entries=(say_target("recipes"), IGNORE),
            candidates=("recipes", "tags"),
        ),
        Refusal(
            table="Visit",
            column="at",
            reason="a number whose unit is not known",
            remedy="",
            storage_class="integer",
            value="17",
            keys=("id=1",),
            count=2,
            entries=(say_unit("s"), say_unit("ms")),
        ),
        Refusal(
            table="Visit",
            column="owner",
            reason="nothing fills public.visit.owner, which is NOT NULL without a default",
            remedy="",
            entries=(say_default(""),),
        ),
        Refusal(
            table="Visit",
            column="rating",
            reason="not an integer",
            remedy="correct it in the source (integer takes an integer)",
            storage_class="text",
            value="good",
            keys=("id=2",),
            count=1,
        ),
    ]
    mapping = Mapping(tables={"Visit": TableMapping(columns={"at": ColumnMapping(target="seen_at")})})
    assert write_mapping(mapping, refusals, source="/app/data/app.db") == read_block("written mapping")


def test_names_that_nothing_is_like_are_told_as_well() -> None:
    refusals = [make("Note", None, (IGNORE,), candidates=("x", "y")), make("Note", "a", (IGNORE,))]
    _, _, body = write_mapping(Mapping(), refusals, source="app.db").partition("is refused then.\n\n")
    assert body == (
        """[tables.Note]
## Note: is refused
# ignore = true
## or target = "…", and PostgreSQL has: x, y

[tables.Note.columns.a]
## Note.a: is refused
# ignore = true
"""
    )


def test_a_choice_that_contradicts_what_is_said_is_no_line_to_uncomment() -> None:
    mapping = Mapping(tables={"a": TableMapping(target="b", key=("id",))})
    text = write_mapping(mapping, [make("a", None, (say_target("c"), IGNORE))], source="app.db")
    assert [line for line in text.splitlines() if line.startswith("# ")] == []
    assert '## or, instead of what stands above: target = "c"' in text
    assert "## or, instead of what stands above: ignore = true" in text
    assert parse_mapping(text, name="x") == mapping


def test_remedies_quote_the_lines_that_the_file_has() -> None:
    entries = (say_target("last_seen"), IGNORE)
    remedy = write_remedy("User", "last seen", entries, candidates=tuple(f"c{i}" for i in range(12)))
    place, _, lines = remedy.partition('"last seen" = ')
    assert place == "say in the mapping file: [tables.User.columns] "
    assert lines == (
        '{ target = "last_seen" } or { ignore = true }'
        ' (target = "…" may be: c0, c1, c2, c3, c4, c5, c6, c7 and 4 more)'
    )
    for entry in re.findall(r"\{.*?\}", lines):
        parse_mapping(f'[tables.User.columns]\n"last seen" = {entry}', name="quoted")
    assert write_remedy("a b", None, (IGNORE,), otherwise="create it") == (
        'create it, or say in the mapping file: [tables."a b"] ignore = true'
    )
    assert write_remedy("t", None, (), otherwise="create it") == "create it"


@given(name=ODD)
def test_any_name_is_a_key(name: str) -> None:
    assert parse_mapping(f"[tables.{spell_key(name)}]", name="x").tables == {name: TableMapping()}


def test_what_there_is_comes_with_the_likeliest_first() -> None:
    assert list_names("recipies", ["users", "recipes"]) == "it has: recipes, users; did you mean recipes?"
    assert list_names("zzz", ["users"]) == "it has: users"
    assert list_names("zzz", []) == "it has: none"


def test_a_file_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "map.toml"
    write_new_file(path, "one")
    with pytest.raises(ConfigurationError, match=r"map\.toml is there already"):
        write_new_file(path, "two")
    assert path.read_text() == "one"
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(ConfigurationError, match="is there already"):
        write_new_file(tmp_path / "link", "two")
    with pytest.raises(ConfigurationError, match="no directory"):
        write_new_file(tmp_path / "none" / "map.toml", "two")
    assert sorted(found.name for found in tmp_path.iterdir()) == ["link", "map.toml"]


def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "map.toml"
    monkeypatch.setattr("entrypoint.mapping_text.os.fsync", lambda _: path.write_text("theirs"))
    with pytest.raises(ConfigurationError, match="is there already"):
        write_new_file(path, "ours")
    assert path.read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_that_cannot_be_written_to_is_named() -> None:
    with pytest.raises(NotPermittedError, match=r"/proc/map\.toml: the mapping file cannot be written"):
        write_new_file(Path("/proc/map.toml"), "text")
