"""What leaves through the log: facts, in order, without a password in any spelling."""

from __future__ import annotations

import io
import json

import pytest

from entrypoint import log
from entrypoint.settings import load_settings

AWKWARD = "p:a@s%s/w?d#"


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_secrets", set())
    monkeypatch.setattr(log, "_program", "entrypoint")


def write(log_format: str, **values: object) -> str:
    stream = io.StringIO()
    log.configure(log_format=log_format, stream=stream)
    log.get_logger().info("fact_stated", **values)
    return stream.getvalue()


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize(
    "text",
    [
        AWKWARD,
        "postgresql://u:p%3Aa%40s%25s%2Fw%3Fd%23@db/app",
        f"host=db password='{AWKWARD}' dbname=app",
        f"could not connect: {AWKWARD!r}",
    ],
)
def test_no_spelling_of_a_registered_password_leaves(log_format: str, text: str) -> None:
    log.register_secret(AWKWARD)
    written = write(log_format, error=text, nested={"list": [text, ValueError(text)]})
    for spelling in (AWKWARD, "p%3Aa%40s", "p:a@s"):
        assert spelling not in written


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_traceback_is_redacted_too(log_format: str) -> None:
    log.register_secret(AWKWARD)
    stream = io.StringIO()
    log.configure(log_format=log_format, stream=stream)
    try:
        int(AWKWARD)
    except ValueError:
        log.get_logger().error("failed", exc_info=True)
    assert "Traceback" in stream.getvalue()
    assert AWKWARD not in stream.getvalue()


def test_a_password_spelled_like_a_key_leaves_the_keys_alone() -> None:
    log.register_secret("version")
    line = json.loads(write("json", version="one version"))
    assert line["event"] == "fact_stated"
    assert line["version"] == "one ***"


def test_a_password_that_is_the_databases_name_garbles_nothing() -> None:
    settings = load_settings({"DATABASE_URL": "postgresql://nextcloud:nextcloud@db/nextcloud"}, {})
    assert settings.target is not None
    line = json.loads(write("json", path="/app/data/nextcloud.db", target=settings.target.display()))
    assert line["path"] == "/app/data/nextcloud.db"
    assert line["target"] == "postgresql://nextcloud@db/nextcloud"
    assert "nextcloud@" not in log.redact("postgresql://nextcloud:nextcloud@db/x").partition(":***")[2][1:]


@pytest.mark.parametrize(
    "text", ["users.password: holds data and has no column", "/etc/passwd: cannot be executed"]
)
def test_words_about_passwords_stay(text: str) -> None:
    assert log.redact(text) == text


def test_a_password_is_hidden_where_it_stands_as_one() -> None:
    assert log.redact("password=abc host=x") == "password=*** host=x"
    assert log.redact("postgres://u:abc@h/d") == "postgres://u:***@h/d"


def test_commands_are_shown_as_the_image_has_them() -> None:
    log.set_program("/opt/entrypoint/entrypoint")
    line = json.loads(write("json", remedy="merge it with `entrypoint migrate --sqlite-url /a.db`"))
    assert line["remedy"] == "merge it with `/opt/entrypoint/entrypoint migrate --sqlite-url /a.db`"
