"""The README says what the code does: settings, exit codes, commands, conversions, floors, files to copy."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from entrypoint import errors
from entrypoint.cli import make_parser
from entrypoint.mapping import load_mapping
from entrypoint.model import TargetType
from entrypoint.schema.layouts import read_migrations
from entrypoint.setting_table import SETTINGS
from entrypoint.sqlite.source import Cell
from entrypoint.transfer.conversions import CONVERTERS, choose_conversion
from entrypoint.transfer.conversions.base import CellRefusedError
from tests.unit.test_floors import FLOORS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def read_table(marker: str) -> list[list[str]]:
    """Return the cells of the table below `<!-- marker -->`, without its head."""
    lines = README.split(f"<!-- {marker} -->\n", 1)[1].splitlines()
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        cells = re.split(r"(?<!\\)\|", line)[1:-1]
        rows.append([cell.strip().replace("\\|", "|") for cell in cells])
    return rows[2:]


def read_block(marker: str) -> str:
    """Return the code block below `<!-- marker -->`."""
    block = README.split(f"<!-- {marker} -->\n", 1)[1]
    return re.split(r"^```\w*\n", block, maxsplit=2, flags=re.MULTILINE)[1]


def list_parsers() -> dict[str, argparse.ArgumentParser]:
    """Return every command's parser, by its words: `migrate`, `schema up`."""
    found: dict[str, argparse.ArgumentParser] = {}

    def descend(parser: argparse.ArgumentParser, words: tuple[str, ...]) -> None:
        nested = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
        for action in nested:
            for name, child in action.choices.items():
                descend(child, (*words, name))
        if not nested:
            found[" ".join(words)] = parser

    descend(make_parser(), ())
    return found


PARSERS = list_parsers()


def test_every_setting_stands_there_as_the_help_has_it() -> None:
    expected = [[f"`{s.variable}`", s.metavar, s.shown_default, s.help] for s in SETTINGS]
    assert read_table("settings") == expected


def test_every_exit_code_stands_there() -> None:
    def list_classes(cls: type[errors.EntrypointError]) -> set[type[errors.EntrypointError]]:
        return {cls}.union(*(list_classes(child) for child in cls.__subclasses__()))

    fixed = {cls.exit_code for cls in list_classes(errors.EntrypointError)}
    assert {row[0] for row in read_table("exit codes")} == {"0", "128+N", *map(str, fixed)}


@pytest.mark.parametrize("words", sorted(PARSERS))
def test_every_command_is_in_the_table(words: str) -> None:
    table = README.split("\n## Commands\n", 1)[1].split("\n## ", 1)[0]
    assert re.search(rf"^\| `entrypoint {words}\b", table, re.MULTILINE)


def test_every_command_that_is_named_exists() -> None:
    inline = re.findall(r"`(?:/\S+/)?entrypoint ((?:[a-z]+|--[a-z-]+)[^`]*)`", README)
    shown = re.findall(r"^(?:    |\$ |# +)?.*?\bentrypoint/entrypoint ((?:[a-z]+) ?[^\n\"`]*)$", README, re.M)
    assert len(inline) > 12
    assert len(shown) >= 2
    for line in inline + shown:
        line = line.split(" -- ")[0]
        words = re.findall(r"^([a-z]+)(?: ([a-z]+))?", line)
        name = " ".join(part for part in words[0] if part)
        known = name if name in PARSERS else name.split()[0]
        assert known in PARSERS, line
        options = {text for action in PARSERS[known]._actions for text in action.option_strings}
        assert set(re.findall(r"--[a-z][a-z-]*", line)) <= options, line


@pytest.mark.parametrize("words", sorted(set(PARSERS)))
def test_json_is_told_of_the_commands_that_have_it(words: str) -> None:
    options = {text for action in PARSERS[words]._actions for text in action.option_strings}
    (told,) = re.findall(r"^(.*) print a JSON document with `--json`", README, re.MULTILINE)
    assert (f"`{words}`" in told) == ("--json" in options)


@pytest.mark.parametrize("path", ["compose-examples/chat/Dockerfile", "compose-examples/chat/compose.yaml"])
def test_files_to_copy_are_the_ones_that_are_tested(path: str) -> None:
    assert read_block(f"file: {path}") == (ROOT / path).read_text(encoding="utf-8")


def test_every_floor_is_drawn() -> None:
    drawn = {
        match[1]: int(floor)
        for floor, place, _ in read_table("floors")
        if (match := re.fullmatch(r"`(\w+)(?:\.py|/)`", place))
    }
    assert drawn == FLOORS


def test_the_mapping_file_that_is_shown_is_one(tmp_path: Path) -> None:
    path = tmp_path / "entrypoint.toml"
    path.write_text(read_block("mapping"), encoding="utf-8")
    recipe = load_mapping(path).tables["Recipe"]
    assert (recipe.target, recipe.key) == ("recipes", ("slug",))
    assert recipe.columns["created"].unit == "ms"
    assert recipe.columns["legacy"].ignore
    assert recipe.columns["rating"].empty == "null"
    assert recipe.columns["owner"].default == "1"


def test_layouts_are_read_as_they_are_named(tmp_path: Path) -> None:
    table = README.split("| layout | files |", 1)[1].split("\n\n", 1)[0]
    names = [name for name in re.findall(r"`([^`]+)`", table) if not name.startswith("--")]
    assert len(names) == 9
    for number, name in enumerate(names):
        folder = tmp_path / str(number)
        file = folder / name
        file.parent.mkdir(parents=True)
        file.write_text("SELECT 1;")
        is_down = "down" in name or name.startswith("U")
        if is_down:  # belongs to the one before it
            up = tmp_path / str(number - 1) / names[number - 1]
            target = folder / names[number - 1]
            target.write_text(up.read_text())
        (migration,) = read_migrations(folder)
        assert (migration.down is not None) == is_down, name


# --- conversions ---------------------------------------------------------------------------------

# Of each row of the table: a type of the target, and cells that are taken, by storage class.
SAMPLES: dict[str, tuple[TargetType, tuple[Cell, Cell, Cell, Cell]]] = {
    "boolean": (TargetType(name="boolean", base="bool", kind="b"), (1, 0.0, "yes", b"1")),
    "smallint, integer, bigint": (
        TargetType(name="smallint", base="int2", kind="b"),
        (32767, -3.0, " 12", b"1"),
    ),
    "numeric(p,s)": (
        TargetType(name="numeric(5,2)", base="numeric", kind="b", modifier=(5, 2)),
        (999, 0.1 + 0.2, "1.25", b"1"),
    ),
    "double precision": (
        TargetType(name="double precision", base="float8", kind="b"),
        (2**53, float("-inf"), "1e3", b"1"),
    ),
    "real": (TargetType(name="real", base="float4", kind="b"), (2, 0.1, "0.5", b"1")),
    "text, varchar(n), char(n), citext": (
        TargetType(name="character varying(9)", base="varchar", kind="b", modifier=(9,)),
        (12, 1e20, "日本語日本語日本語", "naïve".encode()),
    ),
    "bytea": (TargetType(name="bytea", base="bytea", kind="b"), (1, 1.0, "a\0b", b"\0\xff")),
    "uuid": (
        TargetType(name="uuid", base="uuid", kind="b"),
        (1, 1.0, "{7D9F1A342A5E4C0B9D550C7C0F6F1A01}", b"0123456789abcdef"),
    ),
    "json, jsonb": (TargetType(name="jsonb", base="jsonb", kind="b"), (1, 1.5, '{"a": [1]}', b"[]")),
    "timestamptz, timestamp": (
        TargetType(name="timestamp with time zone", base="timestamptz", kind="b"),
        (1_684_315_800_250, 1_684_315_800_250.0, "2024-01-02 03:04:05.1 +0000 UTC m=+0.01", b"2024-01-02"),
    ),
    "date": (
        TargetType(name="date", base="date", kind="b"),
        (1_684_281_600_000, 1_684_281_600_000.0, "2024-01-02T00:00:00Z", b"2024-01-02"),
    ),
    "time": (
        TargetType(name="time without time zone", base="time", kind="b"),
        (3_600_000, 3_600_000.0, "2000-01-01 01:02:03", b"01:02"),
    ),
    "interval": (
        TargetType(name="interval", base="interval", kind="b"),
        (5, 1.5, "1 day", b"1 day"),
    ),
    "enum": (
        TargetType(name="mood", base="mood", kind="e", labels=("glad", "7", "1.5")),
        (7, 1.5, "glad", b"glad"),
    ),
}
# Their texts are judged by PostgreSQL itself; integration tests show what it takes.
JUDGED_BY_POSTGRES = ("arrays", "everything else")


def is_taken(target: TargetType, cell: Cell) -> bool:
    conversion = choose_conversion(target, unit="ms")
    try:
        CONVERTERS[conversion.kind].convert(conversion, cell)
    except CellRefusedError:
        return False
    return True


def test_every_conversion_stands_in_the_table() -> None:
    assert [row[0] for row in read_table("conversions")] == [*SAMPLES, *JUDGED_BY_POSTGRES]
    kinds = {choose_conversion(target).kind for target, _ in SAMPLES.values()}
    assert set(CONVERTERS) - kinds == {"timestamp", "array", "other"}


@pytest.mark.parametrize("name", SAMPLES)
def test_a_cell_is_refused_where_the_table_says_so(name: str) -> None:
    (told,) = [row[1:] for row in read_table("conversions") if row[0] == name]
    target, cells = SAMPLES[name]
    taken = [is_taken(target, cell) for cell in cells]
    assert taken == [text != "refused" for text in told]


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("boolean", 2),
        ("smallint, integer, bigint", 32768),
        ("smallint, integer, bigint", 1.5),
        ("numeric(p,s)", 1000),
        ("numeric(p,s)", 1.234),
        ("double precision", 2**53 + 1),
        ("real", 0.1234567890123),
        ("text, varchar(n), char(n), citext", "a\0b"),
        ("text, varchar(n), char(n), citext", "ten digits"),
        ("text, varchar(n), char(n), citext", b"\xff"),
        ("json, jsonb", '"\\u0000"'),
        ("date", "2024-01-02 03:04"),
        ("time", "2024-01-02 03:04"),
        ("enum", "sad"),
        ("timestamptz, timestamp", ""),
    ],
)
def test_what_the_table_leaves_out_is_refused(name: str, cell: Cell) -> None:
    assert not is_taken(SAMPLES[name][0], cell)
