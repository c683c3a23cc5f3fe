"""Connection strings: every spelling of where PostgreSQL is, made into libpq's parameters.

Owns `Conninfo` and the door to it, `parse_conninfo`. Pure text: must not read the environment, resolve a
name, or import a driver. No message contains any part of the text it is about.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import quote

from entrypoint import connection_text, dialects
from entrypoint.errors import ConfigurationError

ACCEPTED = (
    "postgres://, postgresql://, postgresql+driver:// and jdbc:postgresql:// URLs"
    " and keyword=value pairs (host=... dbname=...)"
)

_URL = re.compile(r"(?P<jdbc>jdbc:)?postgres(?:ql)?(?:\+[a-z0-9_.-]+)?:(?P<slashes>//)?", re.IGNORECASE)
_ADO_NET = re.compile(
    r"(?:host|server|data source|username|user id|port|database)\s*=[^;\s']*;", re.IGNORECASE
)
_PLAIN_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]*")
_SQLITE_URL = re.compile(r"(?:jdbc:)?(?:sqlite3?(?:\+[a-z0-9_]+)?|file):", re.IGNORECASE)
_SQLITE_PATH = re.compile(r"(?:\.{0,2}/|~/)|[^:]*\.(?:db3?|sqlite3?|s3db|sl3)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Conninfo:
    """Where PostgreSQL is and who we are to it.

    Attributes:
        parameters: libpq keywords with their values, none empty; `host` and `port` may be comma lists.
        search_path: schema names, exact, from `schema` or `currentSchema`; empty = the server's default.
        dropped: names of other clients' parameters that mean nothing to libpq.
        unknown: names of parameters that belong to nobody: most likely misspelt, and dropped too.
        written: the string as it was read, None where there was none; see `command_url`.
        secrets: every spelling of a password in it, to be registered with `log.register_secret`.
    """

    parameters: tuple[tuple[str, str], ...]
    search_path: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    written: str | None = field(default=None, compare=False)
    secrets: tuple[str, ...] = field(default=(), compare=False)

    def __repr__(self) -> str:
        return f"Conninfo({self.display()!r})"

    @property
    def password(self) -> str | None:
        """The password, decoded; None where the string has none."""
        return self.as_dict().get("password")

    def as_dict(self) -> dict[str, str]:
        """Return libpq's parameters, without the search path."""
        return dict(self.parameters)

    def dsn(self) -> str:
        """Return libpq's keyword form, password included, without the search path."""
        return " ".join(f"{name}={connection_text.quote_value(value)}" for name, value in self.parameters)

    def url(self) -> str:
        """Return a `postgresql://` URL that libpq reads as these parameters, password included.

        The search path goes into `options` as `-c search_path=...`, which every client of libpq's,
        SQLAlchemy and node-postgres honour. A Unix socket is written as `localhost` with
        `?host=/directory`, the one spelling that libpq, Prisma and node-postgres share.
        """
        rest = self.as_dict()
        if self.search_path:
            setting = "-c search_path=" + ",".join(_quote_for_options(name) for name in self.search_path)
            rest["options"] = f"{rest['options']} {setting}" if "options" in rest else setting
        user, password, dbname = (rest.pop(name, None) for name in ("user", "password", "dbname"))
        credentials = quote(user or "", safe="")
        if password is not None:
            credentials += ":" + quote(password, safe="")
        authority = (credentials and credentials + "@") + _take_authority(rest)
        return f"postgresql://{authority}/{quote(dbname or '', safe='')}{_join_query(rest)}"

    def command_url(self) -> str:
        """Return what a schema command is to find in `DATABASE_URL`: the URL as written, else `url()`.

        The command is the application's own tool, so the URL's dialect is its own too: Prisma needs
        its `schema`, Alembic its `+driver`, Flyway its `jdbc:`.
        """
        return self.written if self.written is not None and _URL.match(self.written) else self.url()

    def display(self) -> str:
        """Return `postgresql://user@host:port/dbname` for a reader: no password, no other parameter."""
        given = self.as_dict()
        shown = {name: value for name, value in self.parameters if name in ("host", "port", "service")}
        if "host" not in given and "hostaddr" in given:
            shown["host"] = given["hostaddr"]
        user = quote(given["user"], safe="") + "@" if "user" in given else ""
        path = quote(given.get("dbname", ""), safe="")
        return f"postgresql://{user}{_take_authority(shown)}/{path}{_join_query(shown)}"

    def with_defaults(self, defaults: Mapping[str, str]) -> Conninfo:
        """Return these parameters, with the libpq keywords of `defaults` where they have none.

        Raises:
            ConfigurationError: together they make no sense to libpq.
        """
        merged = dialects.translate({**defaults, **self.as_dict()}.items()).parameters
        connection_text.check_hosts(merged.items())
        return replace(self, parameters=_in_order(merged), secrets=_list_secrets(merged, self.secrets))


def is_sqlite_url(text: str) -> bool:
    """Tell whether `text` names a SQLite database: a `sqlite:` or `file:` URL, or a path to a file."""
    text = text.strip()
    if _SQLITE_URL.match(text) or text == ":memory:":
        return True
    return "=" not in text and "://" not in text and _SQLITE_PATH.match(text) is not None


def parse_conninfo(text: str) -> Conninfo:
    """Read a connection string in any of the spellings of `ACCEPTED`.

    A password that is not percent-encoded is taken as it stands where there is one way to read it: what
    precedes the last `@` before the first `/` or `?`, and a `%` that begins no escape. Anything that
    could also be read as another host is refused. Parameters of other clients are translated or
    dropped (`dialects`); nothing but libpq's own keywords is left in the result.

    Raises:
        ConfigurationError: with nothing of `text` in its message, nor the name of a setting.
    """
    text = text.strip(" \t\r\n")
    if "\0" in text or not _is_utf8(text):
        raise ConfigurationError("is not text in UTF-8")
    if text[:1] in ("'", '"'):
        raise ConfigurationError("begins with a quotation mark, which Compose and env files keep: remove it")
    url = _URL.match(text)
    secrets: tuple[str, ...] = ()
    if url is not None and (url["slashes"] or url["jdbc"]):
        # pgjdbc also takes jdbc:postgresql:database
        rest = text[url.end() :] if url["slashes"] else "/" + text[url.end() :].removeprefix("/")
        pairs, secrets = connection_text.parse_url(rest, is_jdbc=url["jdbc"] is not None)
        if url["jdbc"] and not dict(pairs).get("host"):
            pairs.append(("host", "localhost"))  # where pgjdbc connects by default; libpq would take a socket
    elif _ADO_NET.match(text) is None and re.match(r"[A-Za-z_]\w*\s*=", text):
        pairs = connection_text.parse_keywords(text)
    else:
        raise ConfigurationError(f"names no PostgreSQL: accepted are {ACCEPTED}")
    found = dialects.translate(pairs)
    connection_text.check_hosts(found.parameters.items())
    return Conninfo(
        parameters=_in_order(found.parameters),
        search_path=found.search_path,
        dropped=found.dropped,
        unknown=found.unknown,
        written=text,
        secrets=_list_secrets(found.parameters, secrets),
    )


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # bytes that the environment had and UTF-8 has not
        return False
    return True


def _in_order(parameters: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    first = ("host", "port", "user", "password", "dbname")
    rest = sorted(parameters.keys() - set(first))
    return tuple((name, parameters[name]) for name in (*first, *rest) if name in parameters)


def _list_secrets(parameters: Mapping[str, str], others: tuple[str, ...]) -> tuple[str, ...]:
    decoded = (parameters[name] for name in dialects.SECRET_KEYWORDS if name in parameters)
    return tuple(dict.fromkeys((*others, *decoded)))


def _take_authority(parameters: dict[str, str]) -> str:
    """Return the hosts and ports as they stand in a URL; what cannot stand there stays in `parameters`."""
    hosts, ports = parameters.get("host", ""), parameters.get("port", "")
    if hosts.startswith(("/", "@")) and "," not in hosts and "," not in ports:
        parameters.pop("port", None)
        return "localhost" + (ports and ":" + ports)
    authority = connection_text.join_authority(hosts, ports)
    if authority is None:
        return connection_text.join_authority(parameters.pop("host", ""), "") or ""
    parameters.pop("host", None)
    parameters.pop("port", None)
    return authority


def _join_query(parameters: Mapping[str, str]) -> str:
    query = "&".join(f"{name}={quote(value, safe='/,')}" for name, value in parameters.items())
    return query and "?" + query


def _quote_for_options(name: str) -> str:
    r"""Return `name` for `-c search_path=`: quoted for SQL, then spaces and `\` escaped (manual, 34.1.2)."""
    if _PLAIN_IDENTIFIER.fullmatch(name):
        return name
    quoted = '"' + name.replace('"', '""') + '"'
    return re.sub(r"([\s\\])", r"\\\1", quoted)
