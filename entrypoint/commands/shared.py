"""What the commands have in common: the connection, the lock, and how results are printed.

Owns no command.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import msgspec
import psycopg

from entrypoint import log
from entrypoint.conninfo import Conninfo
from entrypoint.errors import (
    ConfigurationError,
)
from entrypoint.postgres.lock import hold_lock
from entrypoint.postgres.wait import wait_until_ready
from entrypoint.schema.layouts import read_migrations
from entrypoint.schema.migration import Migration
from entrypoint.settings import Settings
from entrypoint.transfer.report import REPORT_VERSION


def require_target(settings: Settings) -> Conninfo:
    """Return where to connect to, or say that nothing is configured."""
    if settings.direct is None:
        raise ConfigurationError(
            "no PostgreSQL is configured: set DATABASE_URL to a postgresql:// URL, or libpq's PGHOST"
        )
    return settings.direct


def connect(settings: Settings, purpose: str) -> psycopg.Connection[Any]:
    """Return a connection as soon as PostgreSQL is ready."""
    return wait_until_ready(require_target(settings), timeout_s=settings.wait_timeout_s, purpose=purpose)


def hold_bootstrap_lock(settings: Settings) -> AbstractContextManager[Any]:
    """Hold the lock that `run` holds."""
    return hold_lock(
        require_target(settings), ledger_schema=settings.ledger_schema, timeout_s=settings.lock_timeout_s
    )


def read_schema_files(settings: Settings) -> tuple[Migration, ...]:
    """Return the schema migrations of MIGRATIONS_DIR."""
    return read_migrations(settings.migrations_dir, is_required=settings.is_migrations_dir_explicit)


def print_text(text: str) -> None:
    """Print text for a reader."""
    print(log.make_presentable(text))  # noqa: T201


def print_document(document: dict[str, Any]) -> None:
    """Print a JSON document with its version."""
    encoded = msgspec.json.encode(log.redact_values({"version": REPORT_VERSION, **document}))
    print(msgspec.json.format(encoded, indent=2).decode())  # noqa: T201
