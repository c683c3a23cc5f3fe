"""The two grammars of connection strings: URLs and libpq's keyword=value pairs, as text alone.

Owns how a string is cut into `(name, value)` pairs and how hosts are joined again. Must not know what a
parameter means beyond who may be the user, the password and the host. Nothing of the text stands in a
message: a misread string may have put half a password anywhere.

Rules: PostgreSQL manual 34.1.1 (keyword/value strings, URIs), RFC 3986; pgjdbc's URLs decode `+` as a space.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote, unquote_to_bytes

from entrypoint.dialects import SECRET_KEYWORDS, is_known
from entrypoint.errors import ConfigurationError

Pairs = list[tuple[str, str]]

_ENCODE = (
    "percent-encode the user and the password (@ as %40, : as %3A, / as %2F, ? as %3F, # as %23, % as %25)"
)

_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_HOST = re.compile(r"(?P<host>(?:[\w.~-]|%[0-9A-Fa-f]{2})*)(?::(?P<port>[^:]*))?")
_IP_LITERAL = re.compile(r"\[(?P<host>[0-9A-Fa-f:.]+(?:%[\w.%~-]+)?)\](?::(?P<port>[^:]*))?")
_HOST_WITH_PORT = re.compile(r"(?P<host>[^/:]+):(?P<port>[0-9]+)")
_IPV6 = re.compile(r"[0-9A-Fa-f.]*:[0-9A-Fa-f:.]+(?:%[\w.~-]+)?", re.ASCII)
_PAIR = re.compile(
    r"""\s*(?P<name>[A-Za-z_]\w*)\s*=\s*
        (?:'(?P<quoted>(?:[^'\\]|\\.)*)' | (?P<bare>(?:(?:[^\s\\']|\\.)(?:[^\s\\]|\\.)*)?))
        (?:\s+|\Z)""",
    re.ASCII | re.DOTALL | re.VERBOSE,  # ASCII: libpq knows no other white space
)


def parse_url(rest: str, *, is_jdbc: bool) -> tuple[Pairs, tuple[str, ...]]:
    """Cut what follows a URL's `//` into pairs, and return passwords as they are spelled in it.

    Raises:
        ConfigurationError: it can be read in two ways, or in none.
    """
    authority, path, query, has_path = _split(rest)
    # An unencoded / or ? in a password would make the rest of it a database or a parameter, and its
    # beginning a host: what gives it away is an @ further on.
    if "@" in path or (query and "@" in query and authority and not has_path):
        raise _refusal("can be read in two ways", _ENCODE)
    if "/" in path:
        raise _refusal(
            "has a / in the name of the database",
            f"write it as %2F, a socket's directory as ?host=/directory, and {_ENCODE}",
        )
    credentials, _at, hosts = authority.rpartition("@")
    user, _, password = credentials.partition(":")
    pairs = _parse_hosts(hosts)
    pairs += [("user", decode(user)), ("password", decode(password)), ("dbname", decode(path))]
    parameters, secrets = _parse_query(query, is_jdbc=is_jdbc) if query else ([], [])
    return pairs + _join_hosts(parameters), tuple(secret for secret in (password, *secrets) if secret)


def _split(rest: str) -> tuple[str, str, str, bool]:
    authority, path, query = re.fullmatch(r"([^/?]*)(/[^?]*)?(?:\?(.*))?", rest, re.DOTALL).groups("")  # type: ignore[union-attr]  # it matches everything
    return authority, path[1:], query, bool(path)


def _parse_hosts(hosts: str) -> Pairs:
    if not hosts:
        return []
    found = []
    for each in hosts.split(","):
        match = _IP_LITERAL.fullmatch(each) or _HOST.fullmatch(each)
        if match is None and _IPV6.fullmatch(each):
            raise _refusal("has an IPv6 address without brackets", "write it as [::1]:5432")
        if match is None:
            raise _refusal("has something else than a host and a port after the user", _ENCODE)
        if not match["host"] and "," in hosts:
            raise _refusal("has an empty name in its list of hosts", "name every host")
        if not is_port(match["port"] or "1"):
            raise _refusal("has a port that is not a number from 1 to 65535", _ENCODE)
        found.append((decode(match["host"]), match["port"] or ""))
    ports = ",".join(port for _, port in found)
    return [("host", ",".join(host for host, _ in found)), ("port", ports.strip(",") and ports)]


def _parse_query(query: str, *, is_jdbc: bool) -> tuple[Pairs, list[str]]:
    pairs: Pairs = []
    secrets = []
    for item in filter(None, query.split("&")):
        raw_name, equals, raw_value = item.partition("=")
        name = decode(raw_name)
        if not equals and not (name == "ssl" or (is_jdbc and is_known(name))):
            raise _refusal("has a parameter without =", f"write & as %26, and {_ENCODE}")
        if "@" in item and not is_known(name):
            raise _refusal("can be read in two ways", _ENCODE)
        if name in SECRET_KEYWORDS:
            secrets.append(raw_value)
        pairs.append((name, decode(raw_value.replace("+", " ") if is_jdbc else raw_value)))
    return pairs, secrets


def _join_hosts(pairs: Pairs) -> Pairs:
    """Make one list of SQLAlchemy's `host=a:1&host=b:2`."""
    given = [host for name, host in pairs if name == "host"]
    if not given:
        return pairs
    cut = [
        match.group("host", "port") if (match := _HOST_WITH_PORT.fullmatch(host)) else (host, "")
        for host in given
    ]
    joined = [pair for pair in pairs if pair[0] != "host"] + [("host", ",".join(host for host, _ in cut))]
    if any(port for _, port in cut):
        joined.append(("port", ",".join(port for _, port in cut)))
    return joined


def decode(text: str) -> str:
    """Undo percent-encoding; text with a `%` that begins no escape was not encoded and stays as it is.

    Raises:
        ConfigurationError: both kinds of `%` stand in it, or the bytes are no text.
    """
    if "%" not in text:
        return text
    if "%" in _ESCAPE.sub("", text):
        if _ESCAPE.search(text):
            raise _refusal("is percent-encoded in one place and not in another", _ENCODE)
        return text
    try:
        decoded = unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError:
        raise _refusal("is not UTF-8 after percent-decoding", _ENCODE) from None
    if "\0" in decoded:
        raise _refusal("has a %00 in it", _ENCODE)
    return decoded


def parse_keywords(text: str) -> Pairs:
    """Cut `host=... password='it''s'` as libpq does: quotes around a value, a backslash before a character.

    Raises:
        ConfigurationError: it is no list of pairs.
    """
    pairs: Pairs = []
    position = 0
    while position < len(text):
        match = _PAIR.match(text, position)
        if match is None:
            raise _refusal(
                "is no list of keyword=value pairs",
                r"put values with spaces into single quotes, and \ before ' and \ in them",
            )
        value = match["bare"] if match["quoted"] is None else match["quoted"]
        pairs.append((match["name"], re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL)))
        position = match.end()
    return pairs


def quote_value(value: str) -> str:
    """Return `value` as it stands after `keyword=`."""
    if value and not re.search(r"[\s'\\;]", value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def join_authority(hosts: str, ports: str) -> str | None:
    """Return libpq's lists of hosts and ports as a URL has them, None where a URL cannot pair them."""
    names, numbers = hosts.split(","), ports.split(",")
    if not ports:
        numbers = [""] * len(names)
    if len(names) != len(numbers):
        return None
    return ",".join(
        (f"[{quote(name, safe=':')}]" if _IPV6.fullmatch(name) else quote(name, safe=""))
        + (number and ":" + number)
        for name, number in zip(names, numbers, strict=True)
    )


def check_hosts(parameters: Iterable[tuple[str, str]]) -> None:
    """Refuse ports that are none and lists of unequal length, as libpq would while connecting.

    Raises:
        ConfigurationError: what does not fit.
    """
    lists = {name: value.split(",") for name, value in parameters if name in ("host", "hostaddr", "port")}
    ports = lists.get("port", [])
    if not all(is_port(port or "1") for port in ports):
        raise ConfigurationError("has a port that is not a number from 1 to 65535")
    hosts = lists.get("hostaddr", lists.get("host", [""]))
    if "host" in lists and len(lists["host"]) != len(hosts):
        raise ConfigurationError("has not as many host names as addresses (host, hostaddr)")
    if len(ports) > 1 and len(ports) != len(hosts):
        raise _refusal("has not as many ports as hosts", "give one port, or one for each host")


def _refusal(what: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(f"{what}; {remedy}")


def is_port(text: str) -> bool:
    """Tell whether `text` is a TCP port."""
    return re.fullmatch(r"[0-9]{1,5}", text) is not None and 0 < int(text) < 65536
