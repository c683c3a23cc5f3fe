"""Settings: flags, environment, secret files and the mapping file, made into one `Settings`.

Owns where a value comes from and that all problems are reported at once; what the settings are is in
`setting_table`. The only reader of the environment. Must not connect to anything, and lets no value of a
secret setting into a message.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from entrypoint import dialects, log, setting_values
from entrypoint.conninfo import Conninfo
from entrypoint.errors import ConfigurationError
from entrypoint.frozen import restore_environment
from entrypoint.mapping import Mapping as TableMappings
from entrypoint.mapping import load_mapping
from entrypoint.setting_table import SETTINGS, Setting

__all__ = [
    "SECRET_VARIABLES",
    "SETTINGS",
    "Setting",
    "Settings",
    "load_settings",
    "log_dropped_parameters",
    "log_suspicious_names",
    "make_environment",
]

# One letter too many, too few or exchanged in a name of ten; shorter names are alike by chance.
_ALIKE = 0.9
_SHORTEST_SUSPICIOUS = 8

_LARGEST_SECRET_BYTES = 64 << 10  # of a file that X_FILE names: enough for a URL with certificates in it
# With any of these, libpq's environment names a server; PGUSER or PGPASSWORD alone are leftovers.
_NAMES_A_SERVER = ("host", "hostaddr", "service", "dbname")

# Not for the application: it gets the environment without them.
SECRET_VARIABLES = ("MIGRATION_DATABASE_URL", "MIGRATION_DATABASE_URL_FILE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings, checked. Durations are in seconds; see `SETTINGS` for what each means.

    Attributes:
        target: None where no PostgreSQL is configured, or `DATABASE_URL` names SQLite.
        migration_target: from `MIGRATION_DATABASE_URL`; use `direct`.
        is_migrations_dir_explicit: the directory was named, and its absence is an error.
        is_config_explicit: the mapping file was named.
        is_sqlite_paths_explicit: the paths to probe were named.
        mapping: the mapping file's content, empty where there is none.
        secret_variables: to be removed from the environment before exec.
    """

    target: Conninfo | None
    migration_target: Conninfo | None
    wait_timeout_s: float
    skip_migration: bool
    skip_schema: bool
    migration_timeout_s: float
    schema_timeout_s: float
    lock_timeout_s: float
    migrations_dir: Path
    is_migrations_dir_explicit: bool
    schema_command: str | None
    sqlite_url: str | None
    sqlite_paths: tuple[str, ...]
    on_migration_failure: Literal["continue", "abort"]
    on_conflict: Literal["preserve", "overwrite", "fail"]
    on_reject: Literal["fail", "quarantine"]
    verify: Literal["auto", "counts", "full"]
    source_timezone: str
    ledger_schema: str
    config_path: Path
    is_config_explicit: bool
    is_sqlite_paths_explicit: bool
    mapping: TableMappings
    run_as: str | None
    log_format: Literal["auto", "json", "console"]
    log_level: Literal["debug", "info", "warning", "error"]
    secret_variables: tuple[str, ...] = SECRET_VARIABLES

    @property
    def direct(self) -> Conninfo | None:
        """Where sessions of ours connect: past a pooler where `MIGRATION_DATABASE_URL` says how."""
        return self.migration_target or self.target


def load_settings(flags: Mapping[str, str], environment: Mapping[str, str] | None = None) -> Settings:
    """Read every setting: flag over environment (or the file that `<variable>_FILE` names) over default.

    Passwords are registered with the log as they are read.

    Args:
        flags: values given on the command line, by variable name; an empty one counts as not given.
        environment: None = the process's own.

    Raises:
        ConfigurationError: one problem for each unusable setting, all at once.
    """
    environment = os.environ if environment is None else environment
    log.register_secret(environment.get("PGPASSWORD", ""))
    problems: list[str] = []
    values: dict[str, Any] = {}
    given: set[str] = set()
    for setting in SETTINGS:
        try:
            name, text = _look_up(setting, flags, environment)
            if text:
                given.add(setting.variable)
            values[setting.field] = _parse(setting, name, text or setting.default)
        except ConfigurationError as error:
            problems += error.problems
            given.add(setting.variable)
    try:
        _resolve_targets(values, given, environment)
    except ConfigurationError as error:
        problems += error.problems
    is_config_explicit = "ENTRYPOINT_CONFIG" in given
    try:
        values["mapping"] = _read_mapping(values.get("config_path"), is_explicit=is_config_explicit)
    except ConfigurationError as error:
        problems += error.problems
    if problems:
        raise ConfigurationError(*map(log.redact, problems))
    return Settings(
        is_migrations_dir_explicit="MIGRATIONS_DIR" in given,
        is_config_explicit=is_config_explicit,
        is_sqlite_paths_explicit="SQLITE_PATHS" in given,
        **values,
    )


def make_environment(settings: Settings, changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment that another program is to inherit: ours as it was given to us, less secrets.

    Args:
        settings: names the variables that are ours alone.
        changes: variables to set in it.
    """
    environment = dict(os.environ)
    restore_environment(environment)
    for variable in settings.secret_variables:
        environment.pop(variable, None)
    return environment | dict(changes or {})


def log_dropped_parameters(settings: Settings) -> None:
    """Log which parameters of the URLs libpq does not get: other clients' at debug, nobody's as a warning."""
    for variable, conninfo in (
        ("DATABASE_URL", settings.target),
        ("MIGRATION_DATABASE_URL", settings.migration_target),
    ):
        if conninfo is None:
            continue
        if conninfo.dropped:
            log.get_logger().debug("parameters_dropped", setting=variable, names=conninfo.dropped)
        if conninfo.unknown:
            log.get_logger().warning("unknown_parameters_dropped", setting=variable, names=conninfo.unknown)


def log_suspicious_names(environment: Mapping[str, str] | None = None) -> None:
    """Warn of variables that look like a misspelt setting, where the setting itself is not given."""
    names = os.environ if environment is None else environment
    known = {variable for setting in SETTINGS for variable in (setting.variable, f"{setting.variable}_FILE")}
    strangers = [name for name in names if name not in known and len(name) >= _SHORTEST_SUSPICIOUS]
    if not strangers:
        return
    from difflib import get_close_matches

    for name in strangers:
        for meant in get_close_matches(name, known, n=1, cutoff=_ALIKE):
            if meant not in names:
                log.get_logger().warning("unknown_setting_found", name=name, did_you_mean=meant)


def _look_up(setting: Setting, flags: Mapping[str, str], environment: Mapping[str, str]) -> tuple[str, str]:
    """Return how the setting is called where it was given, and its text; "" = not given."""
    if flags.get(setting.variable):
        return f"{setting.flag} ({setting.variable})", flags[setting.variable]
    file_variable = setting.variable + "_FILE"
    text, path = environment.get(setting.variable, ""), environment.get(file_variable, "")
    if text and path:
        raise ConfigurationError(f"{setting.variable} and {file_variable} are both set; unset one of them")
    if path:
        return f"{setting.variable} (from {path})", _read_secret_file(file_variable, path)
    return setting.variable, text


def _read_secret_file(variable: str, path: str) -> str:
    shown = f"{variable}={_shorten(path)}"
    try:
        with Path(path).open("rb") as file:
            content = file.read(_LARGEST_SECRET_BYTES + 1)
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{shown} names a file that is not UTF-8 (byte {error.start})") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no path"
        raise ConfigurationError(f"{shown} names a file that cannot be read: {reason}") from error
    if len(content) > _LARGEST_SECRET_BYTES:
        raise ConfigurationError(f"{shown} names a file larger than {_LARGEST_SECRET_BYTES >> 10} KiB")
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text


def _parse(setting: Setting, name: str, text: str) -> object:
    shown = f"{name}={log.REDACTED if setting.is_secret else _shorten(text)}"
    if "\0" in text or not _is_utf8(text):
        raise ConfigurationError(f"{shown} is not text in UTF-8")
    try:
        value = setting.parse(text)
    except setting_values.RefusedValueError as error:
        raise ConfigurationError(f"{shown} {error}") from None
    except ConfigurationError as error:
        log.register_secret(text)  # it may hold a password that nothing could find in it
        raise ConfigurationError(*(f"{shown} {problem}" for problem in error.problems)) from None
    if isinstance(value, Conninfo):
        _register(value)
    return value


def _register(conninfo: Conninfo) -> None:
    """Have the passwords hidden, but for one that is also the user's or the database's name.

    Hiding that word everywhere would hide nothing and garble every line; where it stands as a password it
    is hidden all the same.
    """
    given = conninfo.as_dict()
    shown = {given.get(name, "").lower() for name in ("user", "dbname", "host")}
    for secret in conninfo.secrets:
        if secret.lower() not in shown:
            log.register_secret(secret)


def _resolve_targets(values: dict[str, Any], given: set[str], environment: Mapping[str, str]) -> None:
    """Complete the connections with libpq's variables, as libpq itself would while connecting.

    Where only `MIGRATION_DATABASE_URL` is set, it is the target: whoever wrote it means PostgreSQL.
    """
    defaults = dialects.read_libpq_variables(environment)
    if not all(_is_utf8(value) for value in defaults.values()):
        raise ConfigurationError("the PG* variables hold what is not text in UTF-8")
    is_named = any(name in defaults for name in _NAMES_A_SERVER)
    if "DATABASE_URL" not in given and is_named:
        values["target"] = Conninfo(parameters=())
        defaults = _complete(defaults)
    for field, variable in (("target", "DATABASE_URL"), ("migration_target", "MIGRATION_DATABASE_URL")):
        conninfo: Conninfo | None = values.get(field)
        if conninfo is None:
            continue
        try:
            values[field] = conninfo.with_defaults(defaults)
        except ConfigurationError as error:
            subject = "the environment of libpq (PG*)" if conninfo.written is None else f"{variable} with PG*"
            raise ConfigurationError(*(f"{subject} {problem}" for problem in error.problems)) from None
    if "DATABASE_URL" not in given and not is_named:
        values["target"] = values.get("migration_target")


def _complete(defaults: Mapping[str, str]) -> dict[str, str]:
    """Return `defaults` with what libpq takes where nothing is said, unless a service file may say it."""
    if "service" in defaults:
        return dict(defaults)
    import pwd  # only who uses PG* pays for it

    try:
        account = {"user": pwd.getpwuid(os.geteuid()).pw_name}
    except KeyError:  # a container's user without a name; libpq will say so
        account = {}
    completed = {"port": "5432", **account, **defaults}
    return {"dbname": completed["user"], **completed} if "user" in completed else completed


def _read_mapping(path: Path | None, *, is_explicit: bool) -> TableMappings:
    try:
        return load_mapping(path) if path is not None else TableMappings()
    except FileNotFoundError:
        if not is_explicit:
            return TableMappings()
        raise ConfigurationError(
            f"ENTRYPOINT_CONFIG={path} does not exist; unset it or mount the file"
        ) from None


def _is_utf8(text: str) -> bool:
    return text == text.encode(errors="replace").decode()


def _shorten(text: str) -> str:
    text = log.redact(text)  # before a secret in it is escaped or cut in two, and no longer found
    shown = text if text.isprintable() else ascii(text)
    return shown if len(shown) <= 80 else shown[:79] + "…"
