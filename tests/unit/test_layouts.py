"""Files -> migrations: every layout, order, checksums, and what is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from entrypoint.errors import ConfigurationError, EntrypointError, SchemaError
from entrypoint.schema.layouts import compute_checksum, read_migrations
from entrypoint.schema.migration import Layout, Migration, order_of, parse_version, spell_version

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write files, given as `{relative name: text}`, and return their directory."""

    def write_files(files: dict[str, str | bytes]) -> Path:
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return tmp_path

    return write_files


def read_one(directory: Path) -> Migration:
    (migration,) = read_migrations(directory)
    return migration


LAYOUTS: list[tuple[Layout, str, dict[str, str]]] = [
    (Layout.PLAIN, "7", {"007_users.sql": "SELECT 'up'", "007_users_down.sql": "SELECT 'down'"}),
    (Layout.GOLANG_MIGRATE, "7", {"7_u.up.sql": "SELECT 'up'", "7_u.down.sql": "SELECT 'down'"}),
    (
        Layout.DBMATE,
        "20240102030405",
        {"20240102030405_u.sql": "-- migrate:up\nSELECT 'up'\n-- migrate:down\nSELECT 'down'"},
    ),
    (Layout.GOOSE, "7", {"00007_u.sql": "-- +goose Up\nSELECT 'up'\n-- +goose Down\nSELECT 'down'"}),
    (
        Layout.DIESEL,
        "20240102030405",
        {"2024-01-02-030405_u/up.sql": "SELECT 'up'", "2024-01-02-030405_u/down.sql": "SELECT 'down'"},
    ),
    (
        Layout.DIESEL,
        "0",
        {
            "00000000000000_diesel_initial_setup/up.sql": "SELECT 'up'",
            "00000000000000_diesel_initial_setup/down.sql": "SELECT 'down'",
        },
    ),
    (Layout.PRISMA, "0", {"0_init/migration.sql": "SELECT 'up'", "0_init/down.sql": "SELECT 'down'"}),
    (Layout.FLYWAY, "7", {"V7__u.sql": "SELECT 'up'", "U7__u.sql": "SELECT 'down'"}),
    (Layout.FLYWAY, "1.2", {"V1.2__u.sql": "SELECT 'up'", "U1_2__u.sql": "SELECT 'down'"}),
]


@pytest.mark.parametrize(("layout", "version", "files"), LAYOUTS, ids=lambda value: str(value)[:24])
def test_layout_gives_version_and_both_parts(
    write: Write, layout: Layout, version: str, files: dict[str, str]
) -> None:
    migration = read_one(write(files))
    assert migration.layout == layout
    assert spell_version(migration.version) == version
    assert migration.up.text.strip() == "SELECT 'up'"
    assert migration.down is not None
    assert migration.down.text.strip() == "SELECT 'down'"
    assert migration.is_transactional


def test_down_part_is_optional_in_every_layout(write: Write) -> None:
    directory = write(
        {
            "1_a.sql": "SELECT 1",
            "2_b.up.sql": "SELECT 1",
            "3_c.sql": "-- migrate:up\nSELECT 1",
            "4_d.sql": "-- +goose Up\nSELECT 1",
            "5_e/up.sql": "SELECT 1",
            "6_f/migration.sql": "SELECT 1",
            "V7__g.sql": "SELECT 1",
        }
    )
    assert [(one.version, one.down) for one in read_migrations(directory)] == [(n, None) for n in range(1, 8)]


@pytest.mark.parametrize(
    "files",
    [
        {"1_a.sql": "-- migrate:up\nSELECT 1;\n-- migrate:down\n\n"},
        {"1_a.sql": "-- +goose Up\nSELECT 1;\n-- +goose Down\n-- nothing yet\n"},
        {"1_a.up.sql": "SELECT 1", "1_a.down.sql": "\n"},
        {"1_a/up.sql": "SELECT 1", "1_a/down.sql": "-- This file should undo anything in `up.sql`\n"},
        {"1_a.sql": "SELECT 1", "1_a_down.sql": "/* -- */ ;"},
    ],
)
def test_down_part_without_a_statement_is_none(write: Write, files: dict[str, str]) -> None:
    assert read_one(write(files)).down is None


def test_numbers_of_any_width_sort_numerically(write: Write) -> None:
    names = ["10_j.sql", "9_i.sql", "0002_b.sql", "20240101000000_z.sql", "100000000000000000000000_zz.sql"]
    versions = [one.version for one in read_migrations(write(dict.fromkeys(names, "SELECT 1")))]
    assert versions == [2, 9, 10, 20240101000000, 10**23]


def test_flyway_versions_sort_by_their_parts(write: Write) -> None:
    names = ["V1.10__a.sql", "V1.9__b.sql", "V2__c.sql", "V1__d.sql", "V1_9_1__e.sql", "V20240101.1__f.sql"]
    found = read_migrations(write(dict.fromkeys(names, "SELECT 1")))
    assert [spell_version(one.version) for one in found] == ["1", "1.9", "1.9.1", "1.10", "2", "20240101.1"]
    assert found[0].version == 1
    assert all(isinstance(one.version, int) for one in found)


def test_flyway_trailing_zero_is_the_same_version(write: Write) -> None:
    with pytest.raises(SchemaError, match=r"V1\.0__b\.sql and V1__a\.sql are both version 1"):
        read_migrations(write({"V1__a.sql": "SELECT 1", "V1.0__b.sql": "SELECT 1"}))


@pytest.mark.parametrize(
    ("text", "parts"), [("007", (7,)), ("1.2", (1, 2)), ("2024-01-02-030405", (20240102030405,))]
)
def test_version_is_read_as_people_write_it(text: str, parts: tuple[int, ...]) -> None:
    assert order_of(parse_version(text)) == parts


@pytest.mark.parametrize("text", ["", "x", "1.", "-1", "1.2.3.4.5", "1." + "9" * 7, "9" * 41])
def test_version_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SchemaError):
        parse_version(text)


@pytest.mark.parametrize(
    ("files", "is_transactional"),
    [
        ({"1_a.sql": "-- entrypoint:no-transaction\nVACUUM"}, False),
        ({"1_a.sql": "/* licence\n */\n\n--entrypoint:no-transaction\r\nVACUUM\r\n"}, False),
        ({"1_a.sql": "-- migrate:up transaction:false\nVACUUM"}, False),
        ({"1_a.sql": "-- migrate:up transaction:false\r\nVACUUM\r\n-- migrate:down\r\nVACUUM"}, False),
        ({"1_a.sql": "-- migrate:up\n-- entrypoint:no-transaction\nVACUUM"}, False),
        ({"1_a.sql": "-- migrate:up\nVACUUM\n-- migrate:down transaction:false\nVACUUM"}, True),
        ({"1_a.sql": "-- +goose NO TRANSACTION\n-- +goose Up\nVACUUM"}, False),
        ({"1_a.sql": "-- +goose Up\n-- +goose NO TRANSACTION\nVACUUM"}, False),
        ({"1_a/up.sql": "VACUUM", "1_a/metadata.toml": "run_in_transaction = false"}, False),
        ({"1_a/up.sql": "VACUUM", "1_a/metadata.toml": "run_in_transaction = true"}, True),
        ({"V1__a.sql": "VACUUM", "V1__a.sql.conf": "executeInTransaction=false\n"}, False),
        ({"V1__a.sql": "VACUUM", "V1__a.sql.conf": "encoding=UTF-8\n"}, True),
        ({"1_a/migration.sql": "-- entrypoint:no-transaction\nVACUUM"}, False),
    ],
)
def test_directives_opt_out_of_the_transaction(
    write: Write, files: dict[str, str], is_transactional: bool
) -> None:
    assert read_one(write(files)).is_transactional is is_transactional


def test_directive_of_one_dbmate_section_leaves_the_other_alone(write: Write) -> None:
    migration = read_one(
        write({"1_a.sql": "-- migrate:up\nSELECT 1\n-- migrate:down transaction:false\nVACUUM"})
    )
    assert migration.down is not None
    assert (migration.up.is_transactional, migration.down.is_transactional) == (True, False)


def test_section_knows_its_line_in_the_file(write: Write) -> None:
    text = "-- what for\n\n-- migrate:up\nSELECT 1;\nSELECT 2;\n-- migrate:down\nSELECT 3;\n"
    migration = read_one(write({"1_a.sql": text}))
    assert migration.up.locate(migration.up.text.index("SELECT 2")) == "1_a.sql:5"
    assert migration.down is not None
    assert migration.down.locate(migration.down.text.index("SELECT 3")) == "1_a.sql:7"


def test_goose_statement_markers_stay_in_the_text(write: Write) -> None:
    text = "-- +goose Up\n-- +goose StatementBegin\nDO $$ BEGIN NULL; END $$;\n-- +goose StatementEnd\n"
    assert "DO $$ BEGIN NULL; END $$;" in read_one(write({"1_a.sql": text})).up.text


OTHER_TOOLS = [
    "-- +migrate Up\nSELECT 1;\n-- +migrate Down\nSELECT 2;",
    "-- Up Migration\nSELECT 1;\n\n-- Down Migration\nSELECT 2;",
    "# --- x\n-- !Ups\nSELECT 1;\n-- !Downs\n",
]


@pytest.mark.parametrize("text", OTHER_TOOLS)
def test_sections_of_other_tools_are_not_sent_whole(write: Write, text: str) -> None:
    with pytest.raises(
        SchemaError, match=r"^1_a\.sql:[34]: has the sections of a tool that is not supported"
    ):
        read_migrations(write({"1_a.sql": text}))


def test_comment_that_only_looks_like_a_section_is_a_comment(write: Write) -> None:
    text = "-- Up migration of the users\n-- rollback: restore a backup\nSELECT 1; -- Down we go"
    assert read_one(write({"1_a.sql": text})).layout is Layout.PLAIN


REFUSED: list[tuple[dict[str, str | bytes], str]] = [
    ({"users.sql": ""}, r"^users\.sql: fits no known layout"),
    ({"R__views.sql": ""}, r"^R__views\.sql: Flyway's repeatable"),
    ({"B5__base.sql": ""}, r"^B5__base\.sql: Flyway's repeatable"),
    ({"afterMigrate.sql": ""}, r"^afterMigrate\.sql: fits no known layout"),
    ({"1_a.sql": "", "001_b.sql": ""}, r"001_b\.sql and 1_a\.sql are both version 1"),
    ({"1_a.sql": "", "1_a/up.sql": ""}, r"1_a/up\.sql and 1_a\.sql are both version 1"),
    ({"1_a.up.sql": "", "1_b.up.sql": ""}, r"1_a\.up\.sql and 1_b\.up\.sql are both version 1"),
    ({"1_a_down.sql": "SELECT 1"}, r"^1_a_down\.sql: is the down part of a migration that has no up"),
    ({"1_a.down.sql": ""}, r"^1_a\.down\.sql: is the down part"),
    ({"1_other.sql": "", "1_a_down.sql": ""}, r"^1_a_down\.sql: is the down part"),
    ({"U1__a.sql": ""}, r"^U1__a\.sql: is the down part"),
    ({"1_a/down.sql": ""}, r"^1_a/: holds down\.sql; it needs up\.sql"),
    ({"1_a/notes.txt": ""}, r"^1_a/: holds no SQL file"),
    ({"1_a/up.sql": "", "1_a/migration.sql": ""}, r"^1_a/: holds migration\.sql, up\.sql"),
    ({"1_a/up.sql": "", "1_a/extra.sql": ""}, r"^1_a/: holds extra\.sql, up\.sql"),
    (
        {"postgres/1_a.sql": ""},
        r"^postgres/1_a\.sql: SQL files in a subdirectory.*MIGRATIONS_DIR=.*/postgres",
    ),
    ({"1_a.sql": b"SELECT 1;\n-- caf\xe9\n"}, r"^1_a\.sql:2: is not UTF-8"),
    ({"1_a.sql": "SELECT 1;\n\n\0"}, r"^1_a\.sql:3: holds a NUL"),
    ({"1_a/up.sql": b"\xff"}, r"^1_a/up\.sql:1: is not UTF-8"),
    ({"1_a/up.sql": "", "1_a/metadata.toml": "="}, r"^1_a/metadata\.toml: is no TOML"),
    (
        {"migration_lock.toml": 'provider = "sqlite"'},
        r"^migration_lock\.toml: the migrations were made for sqlite",
    ),
    ({"1_a.sql": "-- entrypoint:no-tx\n"}, r"^1_a\.sql:1: unknown directive '-- entrypoint:no-tx'"),
    ({"1_a.sql": "SELECT 1;\n-- entrypoint:no-transaction\n"}, r"^1_a\.sql:2: .* stands after a statement"),
    ({"1_a.sql": "-- migrate:down\n"}, r"^1_a\.sql: its dbmate sections are down;"),
    ({"1_a.sql": "-- migrate:up\n-- migrate:up\n"}, r"^1_a\.sql: its dbmate sections are up, up"),
    ({"1_a.sql": "\n-- migrate:upp\n"}, r"^1_a\.sql:2: unknown section '-- migrate:upp'"),
    ({"1_a.sql": "-- migrate:up transaction:no\n"}, r"^1_a\.sql:1: unknown option 'transaction:no'"),
    (
        {"1_a.sql": "-- c\nSELECT 1;\n-- migrate:up\n"},
        r"^1_a\.sql:2: SQL stands before the dbmate up section",
    ),
    ({"1_a.sql": "-- +goose Down\n-- +goose Up\n"}, r"^1_a\.sql: its goose sections are down, up"),
    ({"1_a.sql": "-- +goose StatementBegin\n"}, r"^1_a\.sql: its goose sections are neither"),
    ({"1_a.sql": "-- +goose ENVSUB ON\n-- +goose Up\n"}, r"^1_a\.sql:1: goose's substitution"),
    ({"1_a.sql": "-- +goose Up\n-- +goose Sideways\n"}, r"^1_a\.sql:2: unknown annotation"),
    (
        {"1_a.sql": "-- migrate:up\n-- migrate:down\nSELECT 1", "1_a_down.sql": "SELECT 1"},
        r"are both version 1",
    ),
]


@pytest.mark.parametrize(("files", "message"), REFUSED, ids=[message[:32] for _, message in REFUSED])
def test_what_cannot_be_understood_is_refused(
    write: Write, files: dict[str, str | bytes], message: str
) -> None:
    with pytest.raises(SchemaError, match=message) as caught:
        read_migrations(write(files))
    assert caught.value.exit_code == 70
    assert caught.value.remedy
    assert "\n" not in str(caught.value)


def test_files_that_are_not_ours_are_ignored(write: Write) -> None:
    directory = write(
        {
            "README.md": "SELECT",
            ".hidden.sql": "SELECT",
            "..data/1_a.sql": "SELECT",
            "migration_lock.toml": 'provider = "postgresql"',
            "meta/_journal.json": "{}",
            "1_a.sql": "SELECT 1",
        }
    )
    assert read_one(directory).name == "1_a"


def test_absent_directory_is_nothing_to_do_unless_required(tmp_path: Path) -> None:
    assert read_migrations(tmp_path / "none") == ()
    with pytest.raises(ConfigurationError, match="none does not exist"):
        read_migrations(tmp_path / "none", is_required=True)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="file is no directory"):
        read_migrations(tmp_path / "file")


def test_checksum_is_that_of_the_normalised_text(write: Write) -> None:
    expected = hashlib.sha256(b"SELECT 1;\n\nSELECT 2;").hexdigest()
    for content in (
        b"SELECT 1;\n\nSELECT 2;",
        b"\xef\xbb\xbfSELECT 1;\r\n\r\nSELECT 2;\r\n",
        b"SELECT 1;\n\nSELECT 2;\n\n",
    ):
        migration = read_one(write({"1_a.sql": content}))
        assert migration.checksum == expected
        assert not migration.up.text.startswith("\ufeff")
    assert compute_checksum("SELECT 1;\n\n SELECT 2;") != expected


def test_down_file_may_change_without_changing_the_checksum(write: Write) -> None:
    before = read_one(write({"1_a.sql": "SELECT 1", "1_a_down.sql": "SELECT 2"}))
    after = read_one(write({"1_a_down.sql": "SELECT 3"}))
    assert before.checksum == after.checksum


def test_unreadable_file_is_not_permitted(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = write({"1_a.sql": "SELECT 1"})

    def refuse(path: Path) -> bytes:  # root reads every file, so the refusal has to be played
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(EntrypointError, match=r"1_a\.sql: may not be read") as caught:
        read_migrations(directory)
    assert caught.value.exit_code == 77
