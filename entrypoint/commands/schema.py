"""`entrypoint schema up`, `status` and `down`.

Owns what they print; what they do is the `schema` package's.
"""

from __future__ import annotations

import argparse
import time

from entrypoint import bootstrap, report_text
from entrypoint.commands.shared import (
    connect,
    hold_bootstrap_lock,
    print_document,
    print_text,
    read_schema_files,
)
from entrypoint.errors import (
    UsageError,
)
from entrypoint.schema.apply import baseline, revert
from entrypoint.schema.ledger import read_applied
from entrypoint.schema.migration import parse_version
from entrypoint.schema.state import list_status
from entrypoint.settings import Settings


def schema_up(settings: Settings, arguments: argparse.Namespace) -> int:
    """Apply every pending schema migration, or record those a database already contains."""
    with connect(settings, "schema") as connection, hold_bootstrap_lock(settings):
        if arguments.baseline is None:
            bootstrap.apply_schema(connection, settings)
            return 0
        written = baseline(
            connection,
            migrations=read_schema_files(settings),
            ledger_schema=settings.ledger_schema,
            version=parse_version(arguments.baseline),
        )
    print_text(f"recorded {len(written)} schema migration(s) as applied")
    return 0


def schema_down(settings: Settings, arguments: argparse.Namespace) -> int:
    """Revert the newest schema migrations."""
    if arguments.steps < 1:
        raise UsageError("--steps must be at least 1")
    with connect(settings, "schema") as connection, hold_bootstrap_lock(settings):
        reverted = revert(
            connection,
            migrations=read_schema_files(settings),
            ledger_schema=settings.ledger_schema,
            steps=arguments.steps,
            deadline=time.monotonic() + settings.schema_timeout_s,
        )
    for migration in reverted:
        print_text(f"reverted {migration.name}")
    return 0


def schema_status(settings: Settings, arguments: argparse.Namespace) -> int:
    """List the schema migrations of files and ledger."""
    with connect(settings, "status") as connection:
        rows = list_status(read_schema_files(settings), read_applied(connection, settings.ledger_schema))
    if arguments.json:
        migrations = [
            {"version": row.version, "name": row.name, "state": row.state, "applied_at": row.applied_at}
            for row in rows
        ]
        print_document({"migrations": migrations})
    else:
        print_text(report_text.write_schema_status(rows))
    return 0
