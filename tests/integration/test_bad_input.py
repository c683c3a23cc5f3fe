"""Bad input: its exit code, its one line on stderr, and nothing changed on either side."""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.places import Place
from tests.programs import Ended
from tests.servers import find_free_port

pytestmark = pytest.mark.newest_server

SCHEMA = "CREATE TABLE notes (id int PRIMARY KEY, body text); INSERT INTO notes VALUES (100, 'seed')"
SOURCE = """
CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT);
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
INSERT INTO notes SELECT i, hex(randomblob(40)) FROM n;
"""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run the child as somebody else")


@pytest.fixture
def prepared(place: Place) -> Place:
    place.write_schema(SCHEMA)
    place.run("schema", "up").succeeded()
    place.write_source(SOURCE)
    return place


def refuse(place: Place, code: int, *arguments: str, **variables: str) -> str:
    """Run it, assert the exit code, the one line and that nothing changed; return the line."""
    files, target = place.hash_files(), place.describe_target()
    ended = place.run(*arguments, variables=variables)
    line = ended.failed_with(code)
    assert place.hash_files() == files
    assert place.describe_target() == target
    assert place.database.password not in ended.stderr
    return line


def damage(path: Path, kind: str) -> None:
    content = path.read_bytes()
    if kind == "encrypted":
        path.write_bytes(random.Random(1).randbytes(len(content)))
    elif kind == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "cut in its header":
        path.write_bytes(content[:50])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "directory":
        path.unlink()
        path.mkdir()
    elif kind == "pipe":
        path.unlink()
        os.mkfifo(path)
    elif kind == "missing":
        path.unlink()


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("missing", "no such file; check SQLITE_URL and the volume's mount path"),
        ("encrypted", "not a SQLite database (its first 16 bytes say so): encrypted"),
        ("truncated", "the file is shorter than its header says"),
        ("cut in its header", "the file is shorter than its header says"),
        ("empty", "the file is empty (0 bytes)"),
        ("directory", "not a regular file"),
        ("pipe", "not a regular file"),
    ],
)
@pytest.mark.parametrize("on_failure", ["abort", "continue"])
def test_a_named_source_that_is_none(prepared: Place, kind: str, says: str, on_failure: str) -> None:
    damage(prepared.file, kind)
    line = refuse(prepared, 66, SQLITE_URL=str(prepared.file), ON_MIGRATION_FAILURE=on_failure)
    assert line.startswith(f"{prepared.file}: {says}")


@pytest.mark.parametrize("kind", ["encrypted", "truncated", "cut in its header", "empty"])
def test_a_probed_file_that_is_no_database_is_passed_over(prepared: Place, kind: str) -> None:
    damage(prepared.file, kind)
    files, target = prepared.hash_files(), prepared.describe_target()
    ended = prepared.run().succeeded()
    assert "source_candidate_skipped" in ended.names
    assert (prepared.hash_files(), prepared.describe_target()) == (files, target)


def corrupt_page(path: Path, number: int) -> None:
    page_size = struct.unpack(">H", path.read_bytes()[16:18])[0]
    with path.open("r+b") as file:
        file.seek((number - 1) * page_size)
        file.write(b"\xde\xad" * (page_size // 2))


def test_a_damaged_page_in_the_middle(prepared: Place) -> None:
    corrupt_page(prepared.file, 4)
    line = refuse(prepared, 65)
    assert line.startswith(f"{prepared.file}: ")
    assert line.endswith("from a backup, or repair a copy of it with `sqlite3 FILE .recover`")
    assert prepared.runs() == [("failed", 65, None)]


def test_a_damaged_catalog(prepared: Place) -> None:
    content = bytearray(prepared.file.read_bytes())
    content[100:400] = b"\xff" * 300
    prepared.file.write_bytes(content)
    assert "SQLite cannot read it" in refuse(prepared, 65)


def test_a_damaged_index_is_damage(prepared: Place) -> None:
    """A row that an index does not know: SQLite answers some queries without it."""
    prepared.write_source("CREATE INDEX by_body ON notes (body)")
    prepared.write_source(
        "PRAGMA writable_schema = ON;"
        "UPDATE sqlite_schema SET sql = 'CREATE INDEX by_body ON notes (id)' WHERE name = 'by_body'"
    )
    assert "integrity check found" in refuse(prepared, 65)


def test_wrong_password(prepared: Place) -> None:
    url = prepared.database.url.replace(prepared.database.password, "wrong-secret")
    line = refuse(prepared, 77, DATABASE_URL=url)
    assert "password" in line
    assert "wrong-secret" not in line


def test_no_such_database(prepared: Place) -> None:
    url = prepared.database.url.rsplit("/", 1)[0] + "/nowhere"
    assert "nowhere" in refuse(prepared, 69, DATABASE_URL=url, POSTGRES_WAIT_TIMEOUT="1")


def test_postgres_that_never_comes_up(prepared: Place) -> None:
    url = f"postgresql://user:never-shown@127.0.0.1:{find_free_port()}/app"
    line = refuse(
        prepared, 69, DATABASE_URL=url, POSTGRES_WAIT_TIMEOUT="0.5", ON_MIGRATION_FAILURE="continue"
    )
    assert "PostgreSQL was not ready within 0.5 s" in line
    assert "never-shown" not in line


def test_a_syntax_error_in_a_schema_migration(prepared: Place) -> None:
    prepared.write_schema("SELECT 1;\n\nCREATE TABEL oops (id int);\n", "002_oops.sql")
    line = refuse(prepared, 70, ON_MIGRATION_FAILURE="continue")
    assert "002_oops.sql:3" in line
    assert 'syntax error at or near "TABEL"' in line


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SKIP_MIGRATION", "ture"),
        ("ON_CONFLICT", "merge"),
        ("MIGRATION_TIMEOUT", "soon"),
        ("SOURCE_TIMEZONE", "Mars/Base"),
        ("LOG_LEVEL", "loud"),
        ("RUN_AS", ":"),
        ("DATABASE_URL", "mysql://u:hidden-word@h/d"),
    ],
)
def test_a_setting_with_an_unknown_value(prepared: Place, variable: str, value: str) -> None:
    line = refuse(prepared, 78, **{variable: value})
    assert line.startswith(variable)
    assert "hidden-word" not in line


def test_every_wrong_setting_is_told_at_once(prepared: Place) -> None:
    ended = prepared.run(variables={"SKIP_MIGRATION": "ture", "VERIFY": "some", "LOCK_TIMEOUT": "x"})
    assert ended.code == 78
    assert [line.split()[1].split("=")[0] for line in ended.lines] == [
        "SKIP_MIGRATION",
        "LOCK_TIMEOUT",
        "VERIFY",
    ]


def test_a_target_without_the_tables(place: Place) -> None:
    place.write_source(SOURCE + "CREATE TABLE others (id INTEGER PRIMARY KEY); INSERT INTO others VALUES (1)")
    line = refuse(place, 65)
    assert line.startswith(f"{place.file}: 2 refusal(s): notes: holds rows and has no table in the target")
    refused = place.run("migrate", "--yes")
    assert [entry["table"] for entry in refused.find("source_refused")] == ["notes", "others"]
    assert refused.code == 65


@needs_root
@pytest.mark.parametrize("named", [True, False])
def test_a_file_that_may_not_be_read(prepared: Place, named: bool) -> None:
    prepared.file.chmod(0o600)
    prepared.data.chmod(0o755)
    files, target = prepared.hash_files(), prepared.describe_target()
    variables = {"SQLITE_URL": str(prepared.file)} if named else {}
    ended = prepared.run(variables=variables, user="nobody")
    line = ended.failed_with(77)
    assert str(prepared.file) in line
    assert "read permission" in line
    assert (prepared.hash_files(), prepared.describe_target()) == (files, target)


@needs_root
@pytest.mark.parametrize("mode", [0o600, 0o711])
def test_a_directory_that_may_not_be_read(prepared: Place, mode: int) -> None:
    prepared.data.chmod(mode)
    files, target = prepared.hash_files(), prepared.describe_target()
    line = prepared.run(user="nobody").failed_with(77)
    assert str(prepared.data) in line
    assert (prepared.hash_files(), prepared.describe_target()) == (files, target)


@needs_root
@pytest.mark.parametrize("suffix", ["-wal", "-journal"])
def test_a_sidecar_that_may_not_be_read(prepared: Place, suffix: str) -> None:
    """Reading on without it would lose rows, or read half of a transaction."""
    sidecar = prepared.file.with_name(prepared.file.name + suffix)
    sidecar.write_bytes(b"\x37\x7f\x06\x82" + bytes(5000) if suffix == "-wal" else bytes(600))
    sidecar.chmod(0o600)
    prepared.file.chmod(0o644)
    files, target = prepared.hash_files(), prepared.describe_target()
    assert str(prepared.file) in prepared.run(user="nobody").failed_with(77)
    assert (prepared.hash_files(), prepared.describe_target()) == (files, target)


def test_two_sources_in_one_directory(prepared: Place) -> None:
    prepared.write_source(SOURCE, "other.sqlite")
    line = refuse(prepared, 78)
    assert str(prepared.file) in line
    assert str(prepared.data / "other.sqlite") in line
    assert "SQLITE_URL" in line
    prepared.run(variables={"SQLITE_URL": str(prepared.file)}).succeeded()
    assert prepared.rows("SELECT count(*) FROM notes") == [(300,)]
    assert (prepared.data / "other.sqlite").exists()


def test_of_several_sources_the_one_that_shares_tables(prepared: Place) -> None:
    prepared.write_source(
        "CREATE TABLE cache (k TEXT, v TEXT); INSERT INTO cache VALUES ('a', 'b')", "aaa.db"
    )
    prepared.run().succeeded()
    assert [path.name.partition(".migrated")[0] for path in prepared.retired()] == ["app.db"]
    assert (prepared.data / "aaa.db").exists()


def test_commands_that_cannot_be_executed(prepared: Place, tmp_path: Path) -> None:
    plain = prepared.home / "plain"
    plain.write_text("text")
    variables = {"SKIP_MIGRATION": "true"}
    for command, code in (("no-such-command", 127), (str(plain), 126), (str(prepared.home), 126)):
        line = prepared.run("run", "--", command, variables=variables).failed_with(code)
        assert line.startswith(command)
    plain.chmod(0o755)
    assert "#! line" in prepared.run("run", "--", str(plain), variables=variables).failed_with(126)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("run",),
        ("run", "--"),
        ("frobnicate",),
        ("run", "--no-such-option", "--", "true"),
        ("migrate", "extra"),
        ("schema",),
        ("schema", "down", "--steps", "0"),
        ("schema", "down", "--steps", "many"),
        ("wait", "--steps", "1"),
    ],
)
def test_a_command_line_that_makes_no_sense(prepared: Place, arguments: tuple[str, ...]) -> None:
    ended: Ended = prepared.run(*(arguments or ("--log-level",)))
    assert ended.failed_with(64)


def test_one_line_whatever_the_names_hold(prepared: Place) -> None:
    line = refuse(prepared, 66, SQLITE_URL="/no\nsuch\nfile")
    assert "no such file" in line


def test_doubled_keys_and_orphans_are_refused_by_the_target(place: Place) -> None:
    place.write_schema(
        "CREATE TABLE owners (id int PRIMARY KEY); CREATE TABLE pets (id int PRIMARY KEY,"
        " owner int REFERENCES owners, tag text UNIQUE)"
    )
    place.run("schema", "up").succeeded()
    tables = (
        "CREATE TABLE owners (id INTEGER PRIMARY KEY);"
        "CREATE TABLE pets (id INTEGER, owner INTEGER, tag TEXT);"
    )
    cases: dict[str, Callable[[str], bool]] = {
        "INSERT INTO owners VALUES (1); INSERT INTO pets VALUES (1, 2, 'a')": lambda line: "owner" in line,
        "INSERT INTO pets VALUES (1, NULL, 'a'), (1, NULL, 'b')": lambda line: "pets.id: 2 rows" in line,
        "INSERT INTO pets VALUES (1, NULL, 'a'), (2, NULL, 'a')": lambda line: "tag" in line,
    }
    for rows, is_expected in cases.items():
        place.write_source(tables + rows)
        line = refuse(place, 65)
        assert is_expected(line), line
        place.file.unlink()
