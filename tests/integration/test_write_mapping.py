"""`entrypoint migrate --write-mapping`: from refusals to a file that settles them, and no trace elsewhere."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import apsw
import pytest

from tests.places import Place

pytestmark = pytest.mark.newest_server

SCHEMA = """
CREATE TABLE users (id int PRIMARY KEY, last_seen text, "when" timestamptz, must text NOT NULL, n int);
CREATE TABLE notes (id int PRIMARY KEY, first_name text, "firstName" text, seen timestamptz);
"""
SOURCE = """
CREATE TABLE users (id INTEGER PRIMARY KEY, "last seen at" TEXT, "when" INTEGER, n);
INSERT INTO users VALUES (1, 'x', 1684315800, 5), (2, NULL, NULL, 6);
CREATE TABLE notes (id INTEGER PRIMARY KEY, "First Name" TEXT, seen INTEGER);
INSERT INTO notes VALUES (1, 'a', 17);
CREATE TABLE "odd ""things"" here" (id INTEGER PRIMARY KEY);
INSERT INTO "odd ""things"" here" VALUES (1);
"""
CHOICES = (
    ('users.columns."last seen at"', 'target = "last_seen"'),
    ("notes.columns.seen", 'unit = "s"'),
    ("users.columns.must", 'default = ""'),
    ('notes.columns."First Name"', 'target = "first_name"'),
)
ODD = ('"odd \\"things\\" here"', "ignore = true")


@pytest.fixture
def prepared(place: Place) -> Place:
    place.write_schema(SCHEMA)
    place.run("schema", "up").succeeded()
    with closing(apsw.Connection(str(place.file))) as connection:
        connection.execute(SOURCE)
    return place


def uncomment(path: Path, *choices: tuple[str, str]) -> None:
    """Take choices, each the head of a section and the beginning of a line in it."""
    text = path.read_text()
    for place, choice in choices:
        before, head, section = text.partition(f"\n[tables.{place}]\n")
        assert f"\n# {choice}" in section.partition("\n[")[0], (place, choice, text)
        text = before + head + section.replace(f"# {choice}", choice, 1)
    path.write_text(text)


def test_a_file_that_is_written_settles_what_is_refused(prepared: Place) -> None:
    path = prepared.home / "map.toml"
    files, target = prepared.hash_files(), prepared.describe_target()
    ended = prepared.run("migrate", "--write-mapping", str(path))
    line = ended.failed_with(65)
    assert "5 refusal(s)" in line
    assert line.endswith("or the mapping file (--write-mapping FILE writes one)")
    assert "refused:" in ended.stdout
    assert (prepared.hash_files(), prepared.describe_target()) == (files, target)
    assert prepared.runs() == []
    assert path.stat().st_mode & 0o777 == 0o644
    # As it is, it changes nothing.
    variables = {"ENTRYPOINT_CONFIG": str(path)}
    assert "5 refusal(s)" in prepared.run("migrate", "--dry-run", variables=variables).failed_with(65)
    uncomment(path, *CHOICES, ODD)
    prepared.run("migrate", "--dry-run", variables=variables).succeeded()
    prepared.run(variables=variables).succeeded()
    assert prepared.rows('SELECT id, last_seen, "when"::text, must, n FROM users ORDER BY 1') == [
        (1, "x", "2023-05-17 09:30:00+00", "", 5),
        (2, None, None, "", 6),
    ]
    assert prepared.rows('SELECT first_name, "firstName", seen::text FROM notes') == [
        ("a", None, "1970-01-01 00:00:17+00")
    ]


def test_what_was_said_before_is_carried_over(prepared: Place) -> None:
    old, new = prepared.home / "old.toml", prepared.home / "new.toml"
    old.write_text(
        '[tables."odd \\"things\\" here"]\nignore = true\n[tables.users.columns]\nwhen = { unit = "s" }\n'
    )
    variables = {"ENTRYPOINT_CONFIG": str(old)}
    assert "4 refusal(s)" in prepared.run(
        "migrate", "--write-mapping", str(new), "--json", variables=variables
    ).failed_with(65)
    uncomment(new, *CHOICES)
    prepared.run(variables={"ENTRYPOINT_CONFIG": str(new)}).succeeded()


def test_what_only_the_source_can_settle_is_told_in_a_comment(prepared: Place) -> None:
    with closing(apsw.Connection(str(prepared.file))) as connection:
        connection.execute("UPDATE users SET n = 'many' WHERE id = 2")
    ended = prepared.run("migrate", "--write-mapping", "-")
    ended.failed_with(65)
    assert "## users.n, text many, 1 row(s), id=2: " in ended.stdout
    assert "refused:" not in ended.stdout
    assert [path.name for path in prepared.data.iterdir()] == ["app.db"]


@pytest.mark.parametrize("type_name", ["int", "inet"])
def test_the_empty_string_has_a_line_and_a_choice_of_its_own(place: Place, type_name: str) -> None:
    place.rows(f"CREATE TABLE t (id int PRIMARY KEY, may {type_name}, must {type_name} NOT NULL)")
    place.write_source(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, may TEXT, must TEXT);"
        "INSERT INTO t VALUES (1, 'x', ''), (2, '', ''), (3, '', '')"
    )
    path = place.home / "map.toml"
    assert "3 refusal(s)" in place.run("migrate", "--write-mapping", str(path)).failed_with(65)
    assert "## t.may, text , 2 row(s), id=2; id=3: the empty string: " in path.read_text()
    assert "## t.must, text , 3 row(s), id=1; id=2; id=3: the empty string: " in path.read_text()
    uncomment(path, ("t.columns.may", 'empty = "null"'))
    assert "2 refusal(s)" in place.run(
        "migrate", "--dry-run", variables={"ENTRYPOINT_CONFIG": str(path)}
    ).failed_with(65)


def test_nothing_is_overwritten(prepared: Place) -> None:
    path = prepared.home / "map.toml"
    path.write_text("# mine\n")
    line = prepared.run("migrate", "--write-mapping", str(path)).failed_with(78)
    assert line.startswith(f"{path} is there already")
    assert path.read_text() == "# mine\n"
    assert "--json" in prepared.run("migrate", "--write-mapping", "-", "--json").failed_with(64)


def test_nothing_refused_is_a_file_that_says_nothing(place: Place) -> None:
    place.write_schema("CREATE TABLE t (id int PRIMARY KEY)")
    place.run("schema", "up").succeeded()
    place.write_source("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)")
    path = place.home / "map.toml"
    place.run("migrate", "--write-mapping", str(path)).succeeded()
    assert all(line.startswith("##") for line in path.read_text().splitlines())
    place.run(variables={"ENTRYPOINT_CONFIG": str(path)}).succeeded()
    unwritten = place.home / "none.toml"
    place.run("migrate", "--write-mapping", str(unwritten)).succeeded()  # nothing is due any more
    assert not unwritten.exists()


def test_a_default_that_its_column_does_not_take_is_a_mistake(prepared: Place) -> None:
    prepared.rows("ALTER TABLE users ADD COLUMN born date NOT NULL, ADD COLUMN doc jsonb NOT NULL")
    path = prepared.home / "map.toml"
    path.write_text(
        '[tables.users.columns]\nborn = { default = "soon" }\ndoc = { default = "{" }\n'
        'must = { default = "{" }\n'
    )
    ended = prepared.run("migrate", "--dry-run", variables={"ENTRYPOINT_CONFIG": str(path)})
    assert ended.code == 78
    assert [line.split(": ")[2:4] for line in ended.lines] == [
        ["tables.users.columns.born", "default 'soon' is no date"],
        ["tables.users.columns.doc", "default '{' is no jsonb"],
    ]


def take_every_choice(path: Path) -> None:
    """Do what the file says: take a choice, the first, of each run of choices."""
    lines = path.read_text().splitlines(keepends=True)
    is_choice = [line.startswith("# ") for line in lines]
    path.write_text(
        "".join(
            line.removeprefix("# ") if is_choice[number] and not is_choice[number - 1] else line
            for number, line in enumerate(lines)
        )
    )


def migrate_as_written(place: Place) -> str:
    """Follow the written file until nothing is refused, migrate, and return the first one's text."""
    settings: dict[str, str] = {}
    first = ""
    for attempt in range(3):
        path = place.home / f"map{attempt}.toml"
        ended = place.run("migrate", "--write-mapping", str(path), variables=settings)
        first = first or path.read_text()
        if not ended.code:
            break
        ended.failed_with(65)
        take_every_choice(path)
        settings = {"ENTRYPOINT_CONFIG": str(path)}
    place.run(variables=settings).succeeded()
    return first


def test_of_two_tables_for_one_target_the_written_file_ignores_one(place: Place) -> None:
    place.rows("CREATE TABLE user_name (id int); CREATE TABLE hollow (id int)")
    place.write_source(
        'CREATE TABLE "UserName" (id INTEGER); INSERT INTO "UserName" VALUES (1);'
        "CREATE TABLE user_name (id INTEGER); INSERT INTO user_name VALUES (2);"
        "CREATE TABLE hollow (id INTEGER); CREATE TABLE hol_low (id INTEGER); INSERT INTO hol_low VALUES (3);"
    )
    text = migrate_as_written(place)
    # The closer name stays, and what holds rows stays beside what holds none.
    assert place.rows("SELECT id FROM user_name") == [(2,)]
    assert place.rows("SELECT id FROM hollow") == [(3,)]
    assert "for 2 of which" in text
    assert (
        "## user_name: UserName and user_name both fit the target table public.user_name: "
        "one of them can go there\n"
        "## -> say in the mapping file: [tables.UserName] ignore = true, or instead, not as well: "
        "[tables.user_name] ignore = true\n"
    ) in text


def test_of_two_columns_for_one_target_the_written_file_ignores_one(place: Place) -> None:
    place.rows("CREATE TABLE foo (id int, a_b int NOT NULL)")
    place.write_source(
        'CREATE TABLE foo (id INTEGER, "aB" INTEGER, "A B" INTEGER, a_b INTEGER);'
        "INSERT INTO foo VALUES (1, 2, 3, 4);"
    )
    migrate_as_written(place)
    assert place.rows("SELECT id, a_b FROM foo") == [(1, 4)]


def test_either_of_two_can_be_ignored_instead(place: Place) -> None:
    place.rows("CREATE TABLE user_name (id int)")
    place.write_source(
        'CREATE TABLE "UserName" (id INTEGER); INSERT INTO "UserName" VALUES (1);'
        "CREATE TABLE user_name (id INTEGER); INSERT INTO user_name VALUES (2);"
    )
    (place.home / "map.toml").write_text("[tables.user_name]\nignore = true\n")
    place.run(variables={"ENTRYPOINT_CONFIG": str(place.home / "map.toml")}).succeeded()
    assert place.rows("SELECT id FROM user_name") == [(1,)]


def test_a_renamed_column_that_has_to_be_filled_is_one_choice(place: Place) -> None:
    place.rows("CREATE TABLE users (id int PRIMARY KEY, display_name text NOT NULL)")
    place.write_source("CREATE TABLE users (id INTEGER, display TEXT); INSERT INTO users VALUES (1, 'a');")
    text = migrate_as_written(place)
    assert place.rows("SELECT * FROM users") == [(1, "a")]
    assert "\n# default" not in text
    assert (
        '## -> settle users.display first: with target = "display_name" it goes here; '
        "otherwise give the column a default in the target, or "
        'say in the mapping file: [tables.users.columns] display_name = { default = "" }\n'
    ) in text


def test_a_column_that_may_go_to_several_fills_the_one_that_is_chosen(place: Place) -> None:
    place.rows('CREATE TABLE users (id int PRIMARY KEY, a_b text NOT NULL, "aB" text NOT NULL)')
    place.write_source("CREATE TABLE users (id INTEGER, \"A B\" TEXT); INSERT INTO users VALUES (1, 'a');")
    migrate_as_written(place)
    assert place.rows('SELECT id, a_b, "aB" FROM users') == [(1, "a", "")]


def test_two_names_that_fit_the_same_two_targets_go_to_one_each(place: Place) -> None:
    place.rows('CREATE TABLE user_name (id int); CREATE TABLE "userName" (id int)')
    place.write_source(
        "".join(
            f'CREATE TABLE "{name}" (id INTEGER); INSERT INTO "{name}" VALUES ({number});'
            for number, name in enumerate(("User Name", "User-Name"))
        )
    )
    migrate_as_written(place)
    both = 'SELECT id FROM user_name UNION ALL SELECT id FROM "userName" ORDER BY 1'
    assert place.rows(both) == [(0,), (1,)]
