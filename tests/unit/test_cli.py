"""The command line: where the application's command begins, what help says, how errors end."""

from __future__ import annotations

import subprocess
import sys

import pytest

from entrypoint import __version__
from entrypoint.cli import make_parser, run_command_line, split_command
from entrypoint.settings import SETTINGS
from tests.programs import ROOT, clean_environment, run_program


def split(*words: str) -> tuple[list[str], list[str]]:
    parser = make_parser()
    (subparsers,) = (action for action in parser._actions if hasattr(action, "choices") and action.choices)
    assert isinstance(subparsers.choices, dict)
    return split_command(words, subparsers.choices["run"])


@pytest.mark.parametrize(
    ("words", "options", "command"),
    [
        (["--", "node", "server.js"], [], ["node", "server.js"]),
        (["node", "--inspect", "--", "x"], [], ["node", "--inspect", "--", "x"]),
        (["--log-level", "debug", "node"], ["--log-level", "debug"], ["node"]),
        (["--log-level=debug", "node", "-v"], ["--log-level=debug"], ["node", "-v"]),
        (["--log-level", "debug", "--", "-odd"], ["--log-level", "debug"], ["-odd"]),
        (["--skip-schema", "node"], ["--skip-schema"], ["node"]),
        (["--skip-schema=no", "node"], ["--skip-schema=no"], ["node"]),
        (["--migrate-only"], ["--migrate-only"], []),
        (["--migrate-only", "--"], ["--migrate-only"], []),
        (["--database-url", "--", "x"], ["--database-url", "--"], ["x"]),
        (["--no-such", "node"], ["--no-such"], ["node"]),
        ([""], [], [""]),
        (["--", "--", "x"], [], ["--", "x"]),
        ([], [], []),
    ],
)
def test_where_the_application_s_command_begins(
    words: list[str], options: list[str], command: list[str]
) -> None:
    assert split(*words) == (options, command)


def test_help_works_everywhere_without_a_database(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        [],
        ["run"],
        ["wait"],
        ["schema"],
        ["schema", "up"],
        ["schema", "status"],
        ["schema", "down"],
        ["migrate"],
        ["verify"],
        ["status"],
        ["demo"],
    ):
        with pytest.raises(SystemExit) as caught:
            run_command_line([*words, "--help"])
        assert caught.value.code == 0
        assert "usage: entrypoint" in capsys.readouterr().out


def test_help_shows_each_setting_with_its_variable_and_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run_command_line(["run", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for setting in SETTINGS:
        assert setting.flag in text
        assert f"[{setting.variable}; default: {setting.shown_default}]" in text


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run_command_line(["--version"])
    assert capsys.readouterr().out == f"entrypoint {__version__}\n"


@pytest.mark.parametrize(
    "words", [["run"], ["run", "--"], [], ["nothing"], ["schema"], ["migrate", "--dry-ru"]]
)
def test_a_command_line_that_makes_no_sense(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(words) == 64
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("entrypoint: ")


@pytest.mark.parametrize("words", [["migrate"], ["status"], ["wait"], ["schema", "up"], ["schema", "status"]])
def test_commands_that_need_postgres_say_so(words: list[str]) -> None:
    ended = run_program(*words, environment={})
    assert ended.failed_with(78).startswith("no PostgreSQL is configured: set DATABASE_URL")


def test_an_unexpected_error_is_one_line_and_its_traceback_only_wanted() -> None:
    script = (
        "import sys; from entrypoint import cli, handover\n"
        "def fail(*a, **k): raise ZeroDivisionError('postgresql://u:secret-word@h/d')\n"
        "handover.execute = fail\n"
        "sys.exit(cli.run_command_line(['run', '--', 'true']))\n"
    )
    for level, has_traceback in (("info", False), ("debug", True)):
        result = subprocess.run(
            [sys.executable, "-c", script],
            env=clean_environment({"LOG_LEVEL": level, "PYTHONPATH": str(ROOT)}),
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 70
        assert "entrypoint: unexpected ZeroDivisionError" in result.stderr
        assert ("Traceback" in result.stderr) is has_traceback
        assert "secret-word" not in result.stderr


def test_the_console_script_is_the_module() -> None:
    ended = run_program("--version", environment={})
    assert (ended.code, ended.stdout) == (0, f"entrypoint {__version__}\n")
