"""Logs and redaction: one snake_case fact a line, values as keys, to stderr.

Owns how a line looks and that no secret stands in it. Knows nothing of what is logged.
Secrets are registered by whoever reads them (`settings`); from then on no rendering of one of them,
as it stands or percent-encoded, passes through here.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import datetime
from typing import TextIO, cast
from urllib.parse import quote, quote_plus

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
FORMATS = ("auto", "json", "console")

REDACTED = "***"

# A password that is an ordinary word of this trade cannot be replaced everywhere without making every
# line unreadable ("*** did not answer"); such a word is hidden only where it stands as a password.
_PUBLIC_WORDS = frozenset({"postgres", "postgresql", "password", "entrypoint", "sqlite"})
_SHORTEST_UNIQUE = 6

_URL_PASSWORD = re.compile(r"(\b[a-z][a-z0-9+.:-]*://[^\s:/@]*):[^\s/]*@", re.IGNORECASE)
_KEYWORD_PASSWORD = re.compile(
    r"(\b(?:password|passwd|pwd|sslpassword)\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&'\"]+)", re.I
)

# What this program writes itself: no password stands in it, though one may be spelled like it.
_OURS = ("timestamp", "time", "level", "event", "exc_info")

_NOWHERE = logging.NullHandler()

_secrets: set[str] = set()
_level = LEVELS["info"]
_program = "entrypoint"


def register_secret(secret: str) -> None:
    """Never let `secret` appear in a log line or an error: as it is, percent-encoded or JSON-escaped."""
    if len(secret) < _SHORTEST_UNIQUE or secret.lower() in _PUBLIC_WORDS:
        return
    _secrets.update(
        {secret, quote(secret, safe=""), quote(secret), quote_plus(secret), json.dumps(secret)[1:-1]}
        | {json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]}
    )


def redact(text: str) -> str:
    """Return `text` without passwords: registered ones anywhere, any other where it stands as one."""
    for secret in sorted(_secrets, key=len, reverse=True):  # the longest first, so that none is cut in two
        if secret in text:
            text = text.replace(secret, REDACTED)
    text = _URL_PASSWORD.sub(rf"\1:{REDACTED}@", text)
    return _KEYWORD_PASSWORD.sub(rf"\1{REDACTED}", text)


def make_presentable(text: str) -> str:
    """Return text for a reader: without passwords, and with commands as this image has them."""
    return redact(text).replace("`entrypoint ", f"`{_program} ")


def set_program(program: str) -> None:
    """Say how this program is called where it is not on the PATH as `entrypoint`."""
    global _program
    _program = program


def redact_values(value: object) -> object:
    """Return a document without passwords in its texts; keys are ours and stay as they are."""
    if isinstance(value, dict):
        return {key: redact_values(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [redact_values(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, datetime)):
        return value
    return make_presentable(str(value))


def _redact_event(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    kept = {key: event[key] for key in _OURS if key in event}
    return {
        **kept,
        **{key: redact_values(value) for key, value in event.items() if key not in kept},
    }


class _Redacting:
    """The last step where a traceback is rendered: nothing leaves with a secret in it."""

    def __init__(self, renderer: Processor) -> None:
        self._renderer = renderer

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> str:
        has_traceback = bool(event.get("exc_info"))
        rendered = str(self._renderer(logger, method, event))
        return redact(rendered) if has_traceback else rendered


def _put_first(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    first = {key: event.pop(key) for key in ("time", "level", "event") if key in event}
    return {**first, **event}


def configure(*, log_format: str = "auto", level: str = "info", stream: TextIO | None = None) -> None:
    """Send logs to `stream` (stderr) as `json` or `console`; `auto` is console on a terminal, else JSON.

    Args:
        log_format: one of `FORMATS`.
        level: one of `LEVELS`; facts below it are dropped.
        stream: where lines go.
    """
    global _level
    _level = LEVELS[level]
    out = stream or sys.stderr
    as_console = log_format == "console" or (log_format == "auto" and out.isatty())
    renderer: Processor
    if as_console:
        renderer = structlog.dev.ConsoleRenderer(
            colors=out.isatty(),
            exception_formatter=structlog.dev.plain_traceback,
            pad_event_to=24,
            sort_keys=False,
        )
    else:
        renderer = structlog.processors.JSONRenderer(default=str, ensure_ascii=False)
    timestamps = structlog.processors.TimeStamper(
        fmt="%H:%M:%S" if as_console else "iso",
        utc=not as_console,
        key="timestamp" if as_console else "time",
    )
    processors: list[Processor] = [structlog.processors.add_log_level, timestamps]
    if not as_console:
        processors += [structlog.processors.format_exc_info, _put_first]
    processors += [_redact_event, _Redacting(renderer)]
    # psycopg's own words about a connection would stand raw on stderr; what matters comes as an exception.
    logging.getLogger("psycopg").addHandler(_NOWHERE)
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=False,
    )


def is_debug() -> bool:
    """Tell whether tracebacks are wanted."""
    return _level <= LEVELS["debug"]


def get_logger() -> FilteringBoundLogger:
    """Return the logger. Events are past-tense facts: `log.info("table_loaded", table="users", rows=3)`."""
    return cast(FilteringBoundLogger, structlog.get_logger())
