"""Settings: where each value comes from, what it may be, and that every problem is reported at once."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from entrypoint import log
from entrypoint.errors import ConfigurationError
from entrypoint.mapping import Mapping, TableMapping
from entrypoint.settings import (
    SETTINGS,
    Settings,
    load_settings,
    log_dropped_parameters,
    log_suspicious_names,
)

URL = "postgresql://app@db.example:5432/app"


def refusals(environment: dict[str, str], flags: dict[str, str] | None = None) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as refused:
        load_settings(flags or {}, environment)
    assert refused.value.exit_code == 78
    return refused.value.problems


def read(field: str, environment: dict[str, str], flags: dict[str, str] | None = None) -> Any:
    return getattr(load_settings(flags or {}, environment), field)


def test_defaults_are_those_of_the_contract() -> None:
    assert load_settings({}, {}) == Settings(
        target=None,
        migration_target=None,
        wait_timeout_s=30.0,
        skip_migration=False,
        skip_schema=False,
        migration_timeout_s=300.0,
        schema_timeout_s=300.0,
        lock_timeout_s=600.0,
        migrations_dir=Path("/app/migrations"),
        is_migrations_dir_explicit=False,
        schema_command=None,
        sqlite_url=None,
        sqlite_paths=("/app/data", "/app/sqlite", "/app", "/data"),
        on_migration_failure="continue",
        on_conflict="preserve",
        on_reject="fail",
        verify="auto",
        source_timezone="UTC",
        ledger_schema="entrypoint",
        config_path=Path("/app/entrypoint.toml"),
        is_config_explicit=False,
        is_sqlite_paths_explicit=False,
        mapping=Mapping(),
        run_as=None,
        log_format="auto",
        log_level="info",
        secret_variables=("MIGRATION_DATABASE_URL", "MIGRATION_DATABASE_URL_FILE"),
    )


def test_table_and_settings_name_each_other() -> None:
    derived = {"mapping", "secret_variables"}
    derived |= {f"is_{name}_explicit" for name in ("migrations_dir", "config", "sqlite_paths")}
    assert {setting.field for setting in SETTINGS} == set(Settings.__dataclass_fields__) - derived
    assert (
        len({setting.variable for setting in SETTINGS}) == len({setting.flag for setting in SETTINGS}) == 22
    )
    assert all(setting.help and setting.metavar and setting.shown_default for setting in SETTINGS)


@pytest.mark.parametrize(
    ("variable", "text", "field", "expected"),
    [
        *[
            ("SKIP_MIGRATION", text, "skip_migration", True)
            for text in ("true", "TRUE", "1", "yes", "On", " true ")
        ],
        *[("SKIP_SCHEMA", text, "skip_schema", False) for text in ("false", "0", "No", "OFF", "")],
        ("POSTGRES_WAIT_TIMEOUT", "0", "wait_timeout_s", 0.0),
        ("POSTGRES_WAIT_TIMEOUT", "1.5", "wait_timeout_s", 1.5),
        ("LOCK_TIMEOUT", "500ms", "lock_timeout_s", 0.5),
        ("LOCK_TIMEOUT", "0", "lock_timeout_s", 0.0),
        ("MIGRATION_TIMEOUT", "5m", "migration_timeout_s", 300.0),
        ("MIGRATION_TIMEOUT", "1h30m", "migration_timeout_s", 5400.0),
        ("SCHEMA_TIMEOUT", "1H", "schema_timeout_s", 3600.0),
        ("SCHEMA_TIMEOUT", "1m1s1ms", "schema_timeout_s", 61.001),
        ("MIGRATIONS_DIR", "sql", "migrations_dir", Path("sql")),
        ("MIGRATIONS_DIR", "sql", "is_migrations_dir_explicit", True),
        ("MIGRATIONS_DIR", "/app/migrations", "is_migrations_dir_explicit", True),
        ("MIGRATIONS_DIR", "", "is_migrations_dir_explicit", False),
        ("SCHEMA_COMMAND", "npx prisma migrate deploy", "schema_command", "npx prisma migrate deploy"),
        ("SQLITE_URL", "file:/x?mode=ro", "sqlite_url", "file:/x?mode=ro"),
        ("SQLITE_PATHS", "/a::/b/*.db:", "sqlite_paths", ("/a", "/b/*.db")),
        ("ON_MIGRATION_FAILURE", "Abort", "on_migration_failure", "abort"),
        ("ON_CONFLICT", "overwrite", "on_conflict", "overwrite"),
        ("ON_REJECT", "quarantine", "on_reject", "quarantine"),
        ("VERIFY", "full", "verify", "full"),
        ("SOURCE_TIMEZONE", "Europe/Berlin", "source_timezone", "Europe/Berlin"),
        ("ENTRYPOINT_SCHEMA", "Größe", "ledger_schema", "Größe"),
        ("RUN_AS", "1000:1000", "run_as", "1000:1000"),
        ("RUN_AS", "node", "run_as", "node"),
        ("LOG_FORMAT", "JSON", "log_format", "json"),
        ("LOG_LEVEL", "DEBUG", "log_level", "debug"),
    ],
)
def test_value_is_understood(variable: str, text: str, field: str, expected: object) -> None:
    assert read(field, {variable: text}) == expected
    assert read(field, {}, {variable: text}) == expected


@pytest.mark.parametrize(
    ("variable", "text", "said"),
    [
        ("SKIP_MIGRATION", "ture", "did you mean true?"),
        ("SKIP_MIGRATION", "ture", "true, false, 1, 0, yes, no, on, off"),
        ("SKIP_SCHEMA", "2", "true, false"),
        *[
            ("MIGRATION_TIMEOUT", text, "accepted are")
            for text in ("0", "0s", "-1", "inf", "nan", "1e3", "1 m 2")
        ],
        *[
            ("SCHEMA_TIMEOUT", text, "accepted are")
            for text in ("0.0001", "2147484", "9" * 400, "1s1m", "٣", "ms")
        ],
        ("POSTGRES_WAIT_TIMEOUT", "5min", "did you mean 5m?"),
        ("POSTGRES_WAIT_TIMEOUT", "30 seconds", "did you mean 30s?"),
        ("POSTGRES_WAIT_TIMEOUT", "10 millis", "did you mean 10ms?"),
        ("POSTGRES_WAIT_TIMEOUT", "-1", "seconds"),
        ("ON_MIGRATION_FAILURE", "contine", "did you mean continue?"),
        ("ON_CONFLICT", "replace", "preserve, overwrite, fail"),
        ("ON_REJECT", "skip", "fail, quarantine"),
        ("VERIFY", "none", "auto, counts, full"),
        ("SQLITE_PATHS", "::", "directories"),
        ("SOURCE_TIMEZONE", "europe/berln", "did you mean Europe/Berlin?"),
        ("SOURCE_TIMEZONE", "/etc/passwd", "UTC"),
        ("SOURCE_TIMEZONE", "Europe", "UTC"),
        ("ENTRYPOINT_SCHEMA", "pg_x", "pg_"),
        ("ENTRYPOINT_SCHEMA", "ä" * 32, "63 bytes"),
        ("RUN_AS", "a:b:c", "user:group"),
        ("LOG_FORMAT", "text", "auto, json, console"),
        ("LOG_LEVEL", "warn", "did you mean warning?"),
        ("LOG_LEVEL", "a\0b", "UTF-8"),
        ("MIGRATIONS_DIR", "a\udcff", "UTF-8"),
    ],
)
def test_refusal_names_variable_value_and_what_is_accepted(variable: str, text: str, said: str) -> None:
    (problem,) = refusals({variable: text})
    assert problem.startswith(f"{variable}={text if text.isprintable() else ascii(text)}"[:80])
    assert said in problem
    (problem,) = refusals({}, {variable: text})
    assert problem.startswith(f"--{variable.lower().replace('_', '-')} ({variable})=")


def test_all_problems_are_reported_at_once() -> None:
    problems = refusals(
        {
            "DATABASE_URL": "mysql://x",
            "SKIP_MIGRATION": "ture",
            "VERIFY_FILE": "/nowhere/verify",
            "LOG_LEVEL": "info",
            "LOG_LEVEL_FILE": "/x",
            "ENTRYPOINT_CONFIG": "/nowhere/map.toml",
        },
        {"ON_REJECT": "x"},
    )
    named = ("DATABASE_URL", "SKIP_MIGRATION", "VERIFY_FILE", "LOG_LEVEL", "ENTRYPOINT_CONFIG", "ON_REJECT")
    assert len(problems) == 6
    assert all(any(name in problem for problem in problems) for name in named)


def test_flag_goes_over_environment_over_default(tmp_path: Path) -> None:
    (tmp_path / "verify").write_text("counts")
    environment = {"VERIFY_FILE": str(tmp_path / "verify")}
    assert read("verify", {}) == "auto"
    assert read("verify", environment) == "counts"
    assert read("verify", environment, {"VERIFY": "full"}) == "full"
    assert read("verify", environment, {"VERIFY": ""}) == "counts"


@pytest.mark.parametrize("variable", [setting.variable for setting in SETTINGS])
def test_every_variable_may_come_from_a_file(variable: str, tmp_path: Path) -> None:
    path = tmp_path / "value"
    path.write_text("\n")  # an empty value, which means unset, as everywhere
    assert load_settings({}, {variable + "_FILE": str(path)}) == load_settings({}, {})
    (problem,) = refusals({variable: "x", variable + "_FILE": str(path)})
    assert problem == f"{variable} and {variable}_FILE are both set; unset one of them"
    assert load_settings({}, {variable: "", variable + "_FILE": str(path)}) == load_settings({}, {})


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"cmd", "cmd"), (b"cmd\n", "cmd"), (b"cmd\r\n", "cmd"), (b"cmd\n\n", "cmd\n"), (b" cmd \r", " cmd \r")],
)
def test_one_newline_is_stripped_from_a_file(content: bytes, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    assert read("schema_command", {"SCHEMA_COMMAND_FILE": str(path)}) == expected


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff")
    (tmp_path / "large").write_bytes(b"x" * 70_000)
    for path, said in (
        ("none", "No such file"),
        ("bytes", "UTF-8"),
        ("large", "64 KiB"),
        (".", "directory"),
        ("\0", ""),
    ):
        (problem,) = refusals({"DATABASE_URL_FILE": str(tmp_path / path)})
        assert problem.startswith("DATABASE_URL_FILE=")
        assert said in problem


def test_url_from_a_file_is_a_secret(tmp_path: Path) -> None:
    path = tmp_path / "url"
    path.write_text("postgresql://app:filehunter2@db.example/app\n")
    target = read("target", {"DATABASE_URL_FILE": str(path)})
    assert target.password == "filehunter2"
    assert "filehunter2" not in log.redact("said filehunter2")
    path.write_text("postgresql://app:filehunter3@db:x/app\n")
    (problem,) = refusals({"DATABASE_URL_FILE": str(path)})
    assert problem.startswith(f"DATABASE_URL (from {path})=***")
    assert "filehunter3" not in problem


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"DATABASE_URL": ""},
        {"PGUSER": "app", "PGPASSWORD": "x", "PGPORT": "1", "PGSSLMODE": "require"},
        {"PGHOST": ""},
        {"DATABASE_URL": "file:./dev.db"},
        {"DATABASE_URL": "sqlite:///app.db", "PGHOST": "db"},
    ],
)
def test_no_postgresql_is_configured(environment: dict[str, str]) -> None:
    assert read("target", environment) is None


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"DATABASE_URL": URL}, URL),
        ({"DATABASE_URL": URL, "PGHOST": "other", "PGUSER": "other"}, URL),
        ({"DATABASE_URL": "postgresql://db.example/app", "PGUSER": "app", "PGPORT": "5432"}, URL),
        ({"PGHOST": "db", "PGUSER": "app"}, "postgresql://app@db:5432/app"),
        ({"PGHOST": "db", "PGUSER": "app", "PGDATABASE": "x", "PGPORT": "6"}, "postgresql://app@db:6/x"),
        ({"PGHOSTADDR": "10.0.0.1", "PGUSER": "app"}, "postgresql://app@10.0.0.1:5432/app"),
        ({"PGSERVICE": "prod", "PGPASSWORD": "x"}, "postgresql:///?service=prod"),
        ({"MIGRATION_DATABASE_URL": URL}, URL),
    ],
)
def test_target_is_resolved(environment: dict[str, str], expected: str) -> None:
    assert read("target", environment).display() == expected


def test_libpqs_defaults_complete_its_environment() -> None:
    account = pwd.getpwuid(os.geteuid()).pw_name
    assert read("target", {"PGDATABASE": "x"}).as_dict() == {"port": "5432", "user": account, "dbname": "x"}
    target = read("target", {"PGHOST": "/run", "PGPASSWORD": "envhunter2", "PGSSLROOTCERT": "/ca"})
    assert (
        target.url()
        == f"postgresql://{account}:envhunter2@localhost:5432/{account}?host=/run&sslrootcert=/ca"
    )
    assert "envhunter2" not in log.redact("said envhunter2")


def test_direct_connection_goes_past_the_pooler() -> None:
    settings = load_settings({}, {"DATABASE_URL": "postgresql://pooler/app", "MIGRATION_DATABASE_URL": URL})
    assert settings.target is not None
    assert settings.target.display() == "postgresql://pooler/app"
    assert settings.direct is settings.migration_target is not None
    settings = load_settings({}, {"DATABASE_URL": URL})
    assert settings.direct is settings.target


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"MIGRATION_DATABASE_URL": "sqlite:///x"}, "MIGRATION_DATABASE_URL=*** names no PostgreSQL"),
        ({"PGHOST": "a", "PGPORT": "x"}, "the environment of libpq (PG*) has a port"),
        (
            {"DATABASE_URL": "postgresql://a/b", "PGPORT": "1,2"},
            "DATABASE_URL with PG* has not as many ports",
        ),
        ({"PGHOST": "a", "PGUSER": "\udcff"}, "PG* variables hold what is not text"),
    ],
)
def test_unusable_connections_are_refused(environment: dict[str, str], said: str) -> None:
    (problem,) = refusals(environment)
    assert said in problem


def test_secrets_stay_out_of_errors_and_representations() -> None:
    environment = {
        "DATABASE_URL": "postgresql://u:first%40hunter@h:x/db",
        "MIGRATION_DATABASE_URL": "postgresql://u:second%40hunter@h/db",
        "SCHEMA_COMMAND": "alembic --token third-hunter \0",
        "PGPASSWORD": "fourth-hunter",
        "LOG_LEVEL": "second@hunter fourth-hunter postgres://u:fifth@h",
    }
    said = " ".join(refusals(environment))
    assert not any(word in said for word in ("hunter", "fifth"))
    assert "LOG_LEVEL=*** *** postgres://u:***@h" in said
    environment = {"DATABASE_URL": "postgresql://u:sixth%2Fhunter@h/db"}
    assert "hunter" not in repr(load_settings({}, environment))
    assert log.redact("sixth/hunter sixth%2Fhunter sixth%2fhunter".replace("%2f", "%2F")) == "*** *** ***"


def test_mapping_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "map.toml"
    path.write_text("[tables.a]\nignore = true")
    settings = load_settings({}, {"ENTRYPOINT_CONFIG": str(path)})
    assert settings.mapping == Mapping(tables={"a": TableMapping(ignore=True)})
    assert settings.is_config_explicit
    path.write_text("[tables.a]\nignore = 1\ntarget = 1")
    assert len(refusals({"ENTRYPOINT_CONFIG": str(path), "VERIFY": "x"})) == 3
    (problem,) = refusals({"ENTRYPOINT_CONFIG": str(tmp_path / "none")})
    assert problem == f"ENTRYPOINT_CONFIG={tmp_path / 'none'} does not exist; unset it or mount the file"


def test_dropped_parameters_are_logged_by_who_knows_them() -> None:
    settings = load_settings({}, {"DATABASE_URL": URL + "?pgbouncer=true&conect_timeout=1"})
    with structlog.testing.capture_logs() as logged:
        log_dropped_parameters(settings)
    assert logged == [
        {
            "event": "parameters_dropped",
            "log_level": "debug",
            "setting": "DATABASE_URL",
            "names": ("pgbouncer",),
        },
        {
            "event": "unknown_parameters_dropped",
            "log_level": "warning",
            "setting": "DATABASE_URL",
            "names": ("conect_timeout",),
        },
    ]


def test_the_process_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in SETTINGS:
        monkeypatch.delenv(setting.variable, raising=False)
        monkeypatch.delenv(setting.variable + "_FILE", raising=False)
    monkeypatch.setenv("LOG_LEVEL", "debug")
    assert load_settings({}).log_level == "debug"


NAMES = st.sampled_from(
    [name for setting in SETTINGS for name in (setting.variable, setting.variable + "_FILE")]
    + ["PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGSERVICE", "PGDATABASE", "PGCONNECT_TIMEOUT"]
)
FLAGS = st.sampled_from([setting.variable for setting in SETTINGS])
VALUES = st.text(max_size=30) | st.from_regex(
    r"(postgres|jdbc:postgresql)://[a-z0-9:@/?=&%,\[\]]*", fullmatch=True
)


@given(
    environment=st.dictionaries(NAMES, VALUES, max_size=6), flags=st.dictionaries(FLAGS, VALUES, max_size=3)
)
def test_any_text_gives_settings_or_a_configuration_error(
    environment: dict[str, str], flags: dict[str, str]
) -> None:
    try:
        settings = load_settings(flags, environment)
    except ConfigurationError as error:
        assert error.problems  # noqa: PT017
        return
    assert settings.target is None or settings.target.url().startswith("postgresql://")


@given(
    password=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=8, max_size=20),
    template=st.sampled_from(
        ["postgresql://u:{}@h:x/db", "postgresql://u:{}@h/db?sslmode={}", "jdbc:postgresql://h/d?password={}&ssl={}",
         "host=h password='{}' port=x", "{}"]
    ),
)  # fmt: skip
def test_no_password_is_said_in_an_error(password: str, template: str) -> None:
    secret = f"hunter{password}"
    with pytest.raises(ConfigurationError) as refused:
        load_settings(
            {},
            {
                "DATABASE_URL": template.replace("{}", secret),
                "PGPASSWORD": secret,
                "VERIFY": "x" * 70 + secret,
            },
        )
    assert "hunter" not in str(refused.value)


def test_a_misspelt_name_is_warned_of_unless_the_setting_is_given() -> None:
    environment = {
        "SKIP_MIGRATON": "true",
        "DATABSE_URL": "x",
        "DATABASE_URL": "",
        "HOME": "/",
        "NODE_ENV": "x",
    }
    with structlog.testing.capture_logs() as lines:
        log_suspicious_names(environment)
    assert [(line["name"], line["did_you_mean"]) for line in lines] == [("SKIP_MIGRATON", "SKIP_MIGRATION")]
