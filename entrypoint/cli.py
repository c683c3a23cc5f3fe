"""The command line: which command, with which settings; every error becomes one line and an exit code here.

Owns argparse and nothing of what the commands do.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from entrypoint import __version__, handover, log
from entrypoint.errors import ConfigurationError, EntrypointError, UsageError
from entrypoint.interrupts import Interrupted
from entrypoint.settings import (
    SETTINGS,
    Settings,
    load_settings,
    log_dropped_parameters,
    log_suspicious_names,
    make_environment,
)

_CONNECTION = ("DATABASE_URL", "MIGRATION_DATABASE_URL", "POSTGRES_WAIT_TIMEOUT")
_SCHEMA = ("SCHEMA_TIMEOUT", "LOCK_TIMEOUT", "MIGRATIONS_DIR", "ENTRYPOINT_SCHEMA")
_SOURCE = ("SQLITE_URL", "SQLITE_PATHS")
_TRANSFER = (
    "MIGRATION_TIMEOUT",
    "LOCK_TIMEOUT",
    "ON_CONFLICT",
    "ON_REJECT",
    "VERIFY",
    "SOURCE_TIMEZONE",
    "ENTRYPOINT_SCHEMA",
    "ENTRYPOINT_CONFIG",
)
_LOGS = ("LOG_FORMAT", "LOG_LEVEL")
_EVERY = tuple(setting.variable for setting in SETTINGS)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message, remedy=f"see `{self.prog} --help`")


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=34, width=110)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = _Parser(
        prog="entrypoint",
        description="Moves a self-hosted application from SQLite to PostgreSQL when its container starts.",
        allow_abbrev=False,
        formatter_class=_HelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"entrypoint {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    run = _add(commands, "run", "wait, apply the schema, migrate the data, then execute CMD", _EVERY)
    run.usage = "entrypoint run [OPTION …] [--] CMD [ARG …]\n       entrypoint run --migrate-only [OPTION …]"
    run.add_argument("--migrate-only", action="store_true", help="do not execute anything afterwards")

    _add(commands, "wait", "wait until PostgreSQL is ready", (*_CONNECTION, *_LOGS))

    schema = commands.add_parser("schema", help="apply, list or revert schema migrations", allow_abbrev=False)
    actions = schema.add_subparsers(dest="action", metavar="ACTION", required=True)
    names: tuple[str, ...] = (*_CONNECTION, *_SCHEMA, *_LOGS)
    up = _add(actions, "up", "apply every pending schema migration", (*names, "SCHEMA_COMMAND"))
    up.add_argument("--baseline", metavar="VERSION", help="record all up to VERSION without running them")
    status = _add(actions, "status", "list the schema migrations and their state", names)
    status.add_argument("--json", action="store_true", help="print a JSON document")
    down = _add(actions, "down", "revert the newest schema migration", names)
    down.add_argument("--steps", type=int, default=1, metavar="N", help="how many to revert (default: 1)")

    names = (*_CONNECTION, *_SOURCE, *_TRANSFER, *_LOGS)
    migrate = _add(commands, "migrate", "migrate a SQLite file by hand", names)
    migrate.add_argument(
        "--dry-run", action="store_true", help="print the plan and every refusal; write nothing"
    )
    migrate.add_argument(
        "--write-mapping",
        metavar="FILE",
        help="a dry run that writes a mapping file from the refusals, to be edited; - prints it",
    )
    migrate.add_argument(
        "--table", action="append", default=[], metavar="T", help="only this source table; nothing is retired"
    )
    migrate.add_argument(
        "--again",
        action="store_true",
        help="merge the named source (--sqlite-url) once more, though it was migrated before",
    )
    migrate.add_argument("--yes", action="store_true", help="do not ask before writing")
    migrate.add_argument("--json", action="store_true", help="print a JSON document")

    verify = _add(
        commands,
        "verify",
        "compare a migrated source with PostgreSQL, cell by cell",
        (*_CONNECTION, *_SOURCE, "SOURCE_TIMEZONE", "ENTRYPOINT_SCHEMA", "ENTRYPOINT_CONFIG", *_LOGS),
    )
    verify.add_argument("--json", action="store_true", help="print a JSON document")

    status = _add(
        commands,
        "status",
        "say what was migrated, what is pending and which sources lie there",
        (*_CONNECTION, *_SOURCE, "MIGRATIONS_DIR", "ENTRYPOINT_SCHEMA", *_LOGS),
    )
    status.add_argument("--json", action="store_true", help="print a JSON document")

    demo = _add(commands, "demo", "run the main job on an embedded PostgreSQL with a sample file", _LOGS)
    demo.epilog = "needs the [demo] extra: pip install 'pg-entrypoint[demo]'"
    return parser


def _add(
    commands: argparse._SubParsersAction[_Parser], name: str, summary: str, variables: Sequence[str]
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        allow_abbrev=False,
        formatter_class=_HelpFormatter,
        epilog="Each variable may also come as NAME_FILE, naming a file that holds the value.",
    )
    group = parser.add_argument_group("settings (option over environment variable over default)")
    for setting in SETTINGS:
        if setting.variable not in variables:
            continue
        shown = f"{setting.help} [{setting.variable}; default: {setting.shown_default}]".replace("%", "%%")
        if setting.is_switch:
            group.add_argument(
                setting.flag, dest=setting.variable, nargs="?", const="true", metavar="BOOLEAN", help=shown
            )
        else:
            group.add_argument(setting.flag, dest=setting.variable, metavar=setting.metavar, help=shown)
    return parser


def split_command(arguments: Sequence[str], parser: argparse.ArgumentParser) -> tuple[list[str], list[str]]:
    """Cut `run`'s arguments into our options and the application's command line, which is taken as it is.

    The command begins after the first `--`, or with the first word that is no option of ours.
    """
    takes_value = {
        text for action in parser._actions for text in action.option_strings if action.nargs is None
    } - {"--help", "-h", "--migrate-only"}
    position = 0
    while position < len(arguments):
        word = arguments[position]
        if word == "--":
            return list(arguments[:position]), list(arguments[position + 1 :])
        if not word.startswith("-"):
            break
        position += 2 if word in takes_value else 1
    return list(arguments[:position]), list(arguments[position:])


def run_command_line(arguments: Sequence[str]) -> int:
    """Do what the arguments say and return the exit code; `run` with a CMD does not return."""
    try:
        return _flush_output(_dispatch(arguments))
    except Interrupted as interrupted:
        return _conclude(interrupted.error)
    except EntrypointError as error:
        return _conclude(error)
    except BrokenPipeError:
        # What is left to write goes nowhere, or the interpreter would complain at its end
        # (https://docs.python.org/3/library/signal.html#note-on-sigpipe).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except Exception as error:  # noqa: BLE001  (the last resort: still one line and an exit code)
        return _conclude(
            EntrypointError(
                f"unexpected {type(error).__name__}: {error}",
                remedy="nothing uncommitted was kept; please report it with LOG_LEVEL=debug",
            ),
            cause=error,
        )


def _flush_output(code: int) -> int:
    """Return `code` once everything is written: a reader that has gone is noticed here or never."""
    sys.stdout.flush()
    return code


def _dispatch(arguments: Sequence[str]) -> int:
    parser = make_parser()
    words = list(arguments)
    command: list[str] = []
    if words[:1] == ["run"]:
        run_parser = next(
            action for action in parser._actions if isinstance(action, argparse._SubParsersAction)
        ).choices["run"]
        options, command = split_command(words[1:], run_parser)
        words = ["run", *options]
    parsed = parser.parse_args(words)
    if parsed.command == "run" and not command and not parsed.migrate_only:
        raise UsageError("run needs a command to execute", remedy="add CMD, or --migrate-only")
    flags = {variable: value for variable, value in vars(parsed).items() if variable in _EVERY and value}
    settings = _load_settings(flags)
    if parsed.command == "run":
        _run(settings, command, is_migration_only=parsed.migrate_only)
        return 0
    from entrypoint import commands  # psycopg and SQLite: not before the settings are known to be good

    if parsed.command == "schema":
        return commands.SCHEMA_ACTIONS[parsed.action](settings, parsed)
    return commands.COMMANDS[parsed.command](settings, parsed)


def _run(settings: Settings, command: list[str], *, is_migration_only: bool) -> None:
    """Tell the story where there is a PostgreSQL, then become the application."""
    if settings.run_as is not None:
        handover.find_identity(settings.run_as)  # a wrong name is told before anything is done
    if settings.direct is None:
        log.get_logger().info("postgres_not_configured", consequence="nothing to migrate to")
    else:
        from entrypoint import bootstrap  # psycopg and SQLite: only where there is something to do

        bootstrap.run(settings, is_migration_only=is_migration_only)
    if not is_migration_only:
        handover.execute(command, environment=make_environment(settings), run_as=settings.run_as)


def _load_settings(flags: dict[str, str]) -> Settings:
    log.configure()
    if getattr(sys, "frozen", False) and shutil.which("entrypoint") is None:
        log.set_program(sys.executable)
    settings = load_settings(flags)
    log.configure(log_format=settings.log_format, level=settings.log_level)
    log_dropped_parameters(settings)
    log_suspicious_names()
    return settings


def _conclude(error: EntrypointError, cause: BaseException | None = None) -> int:
    """Say in one line what happened, where, and what to do next; return the exit code."""
    problems = error.problems if isinstance(error, ConfigurationError) else (str(error),)
    for problem in problems:
        line = " ".join(log.make_presentable(problem).split("\n"))  # a file's name may hold anything
        print(f"entrypoint: {line}", file=sys.stderr)  # noqa: T201
    if log.is_debug():
        log.get_logger().debug("traceback", exc_info=cause or error)
    sys.stderr.flush()
    return error.exit_code
