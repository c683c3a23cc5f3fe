"""The table of settings: their names, defaults and meanings.

Owns the one place that parsing, `--help` and the README are made from, so that they cannot drift. Must not
read anything; `settings` does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from entrypoint import log, setting_values
from entrypoint.conninfo import Conninfo, is_sqlite_url, parse_conninfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One row of the table.

    Attributes:
        variable: its environment variable; `<variable>_FILE` names a file that holds the value.
        field: the attribute of `Settings`.
        metavar: what the value looks like, for the help.
        default: the text that stands for a value not given; "" where there is none.
        help: one line.
        parse: makes the text a value, or raises `RefusedValueError` or `ConfigurationError`.
        described_default: what the help says instead of `default`.
        is_secret: the value never stands in a message.
        is_switch: the flag may stand alone and then means `true`.
    """

    variable: str
    field: str
    metavar: str
    default: str
    help: str
    parse: Callable[[str], object]
    described_default: str = ""
    is_secret: bool = False
    is_switch: bool = False

    @property
    def flag(self) -> str:
        """The command-line option: `--database-url` for `DATABASE_URL`."""
        return "--" + self.variable.lower().replace("_", "-")

    @property
    def shown_default(self) -> str:
        """The default as a reader should see it."""
        return self.described_default or self.default or "none"


def _parse_target(text: str) -> Conninfo | None:
    return None if not text or is_sqlite_url(text) else parse_conninfo(text)


def _parse_direct_target(text: str) -> Conninfo | None:
    return parse_conninfo(text) if text else None


_V = setting_values
SETTINGS: tuple[Setting, ...] = (
    Setting(variable="DATABASE_URL", field="target", metavar="URL", default="", parse=_parse_target,
            described_default="libpq's PG* variables", is_secret=True,
            help="the PostgreSQL to migrate to"),
    Setting(variable="MIGRATION_DATABASE_URL", field="migration_target", metavar="URL", default="",
            parse=_parse_direct_target, described_default="DATABASE_URL", is_secret=True,
            help="a direct connection, where DATABASE_URL is a transaction pooler"),
    Setting(variable="POSTGRES_WAIT_TIMEOUT", field="wait_timeout_s", metavar="DURATION", default="30",
            parse=_V.parse_wait,
            help="how long to wait for PostgreSQL, all attempts, hosts and DNS included; 0 = one attempt"),
    Setting(variable="SKIP_MIGRATION", field="skip_migration", metavar="BOOLEAN", default="false",
            parse=_V.parse_boolean, is_switch=True,
            help="migrate no data; the schema is still applied"),
    Setting(variable="SKIP_SCHEMA", field="skip_schema", metavar="BOOLEAN", default="false",
            parse=_V.parse_boolean, is_switch=True,
            help="apply no schema migrations"),
    Setting(variable="MIGRATION_TIMEOUT", field="migration_timeout_s", metavar="DURATION", default="300",
            parse=_V.parse_duration,
            help="limit of the data migration, from plan to commit"),
    Setting(variable="SCHEMA_TIMEOUT", field="schema_timeout_s", metavar="DURATION", default="300",
            parse=_V.parse_duration,
            help="limit of the schema step"),
    Setting(variable="LOCK_TIMEOUT", field="lock_timeout_s", metavar="DURATION", default="600",
            parse=_V.parse_wait,
            help="how long to wait for another bootstrapper; 0 = one attempt"),
    Setting(variable="MIGRATIONS_DIR", field="migrations_dir", metavar="DIR", default="/app/migrations",
            parse=_V.parse_path,
            help="SQL schema migrations; where it is not set, an absent directory means nothing to do"),
    Setting(variable="SCHEMA_COMMAND", field="schema_command", metavar="COMMAND", default="",
            parse=_V.parse_optional, is_secret=True,
            help="a shell command line that applies the schema instead, with DATABASE_URL set"),
    Setting(variable="SQLITE_URL", field="sqlite_url", metavar="URL", default="", parse=_V.parse_optional,
            help="the source: a path, a file: or a sqlite:/// URL; an error where it does not exist"),
    Setting(variable="SQLITE_PATHS", field="sqlite_paths", metavar="PATHS",
            default="/app/data:/app/sqlite:/app:/data", parse=_V.parse_paths,
            help="files, directories and globs to find a source in, between colons; first match wins"),
    Setting(variable="ON_MIGRATION_FAILURE", field="on_migration_failure", metavar="continue|abort",
            default="continue", parse=_V.one_of("continue", "abort"),
            help="after a failed data migration: start the application with PostgreSQL as it was, or exit"),
    Setting(variable="ON_CONFLICT", field="on_conflict", metavar="preserve|overwrite|fail",
            default="preserve", parse=_V.one_of("preserve", "overwrite", "fail"),
            help="a row whose key exists in PostgreSQL with other values"),
    Setting(variable="ON_REJECT", field="on_reject", metavar="fail|quarantine", default="fail",
            parse=_V.one_of("fail", "quarantine"),
            help="a row that cannot be converted, or whose foreign key leads nowhere"),
    Setting(variable="VERIFY", field="verify", metavar="auto|counts|full", default="auto",
            parse=_V.one_of("auto", "counts", "full"),
            help="before commit: count rows, compare every cell, or every cell while that stays cheap"),
    Setting(variable="SOURCE_TIMEZONE", field="source_timezone", metavar="ZONE", default="UTC",
            parse=_V.parse_timezone,
            help="the zone of timestamps without one that go into timestamptz"),
    Setting(variable="ENTRYPOINT_SCHEMA", field="ledger_schema", metavar="NAME", default="entrypoint",
            parse=_V.parse_schema_name,
            help="the PostgreSQL schema of the ledger"),
    Setting(variable="ENTRYPOINT_CONFIG", field="config_path", metavar="FILE", default="/app/entrypoint.toml",
            parse=_V.parse_path,
            help="the mapping file: renamed and ignored tables and columns, conversions, conflict keys"),
    Setting(variable="RUN_AS", field="run_as", metavar="USER[:GROUP]", default="", parse=_V.parse_user,
            help="who to become before exec, when started as root"),
    Setting(variable="LOG_FORMAT", field="log_format", metavar="auto|json|console", default="auto",
            parse=_V.one_of(*log.FORMATS),
            help="how logs look on stderr; auto = console on a terminal, else json"),
    Setting(variable="LOG_LEVEL", field="log_level", metavar="|".join(log.LEVELS), default="info",
            parse=_V.one_of(*log.LEVELS),
            help="what is logged; debug adds tracebacks"),
)  # fmt: skip
