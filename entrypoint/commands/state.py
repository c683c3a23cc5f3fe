"""`entrypoint wait` and `status`: how things stand.

Owns what they print; changes nothing.
"""

from __future__ import annotations

import argparse

from entrypoint import bootstrap, report_text
from entrypoint.commands.shared import (
    connect,
    print_document,
    print_text,
    read_schema_files,
    require_target,
)
from entrypoint.errors import (
    NotPermittedError,
    UnreachableError,
)
from entrypoint.postgres.failures import translate_errors
from entrypoint.postgres.ledger import is_ledger_present
from entrypoint.schema.ledger import read_applied
from entrypoint.schema.state import list_status
from entrypoint.settings import Settings
from entrypoint.sqlite import unit
from entrypoint.transfer import ledger, sources

_RUNS_SHOWN = 10


def wait(settings: Settings, _arguments: argparse.Namespace) -> int:
    """Wait until PostgreSQL is ready. The contract knows two outcomes, 0 and 69."""
    try:
        connect(settings, "wait").close()
    except NotPermittedError as error:
        raise UnreachableError(error.what, where=error.where, remedy=error.remedy) from error
    return 0


def status(settings: Settings, arguments: argparse.Namespace) -> int:
    """Say what was migrated, when and from where, which schema is pending, which sources lie there."""
    with (
        connect(settings, "status") as connection,
        translate_errors("reading the ledger", role=connection.info.user),
    ):
        migrations = list_status(
            read_schema_files(settings), read_applied(connection, settings.ledger_schema)
        )
        has_ledger = is_ledger_present(connection, settings.ledger_schema)
        runs = ledger.read_runs(connection, settings.ledger_schema, limit=_RUNS_SHOWN) if has_ledger else []
        assessment = sources.assess(settings, bootstrap.read_successes(connection, settings))
    document = {
        "target": require_target(settings).display(),
        "schema": {
            "applied": sum(row.state in ("applied", "baseline") for row in migrations),
            "pending": [row.name for row in migrations if row.state == "pending"],
            "problems": [
                {"name": row.name, "state": row.state}
                for row in migrations
                if row.state not in ("applied", "baseline", "pending")
            ],
        },
        "runs": runs,
        "sources": {
            "new": [unit.spell(path) for group in assessment.new for path in group],
            "migrated_not_renamed": [unit.spell(path) for path, _ in assessment.unretired],
            "changed_after_migration": [unit.spell(path) for path in assessment.changed],
        },
    }
    if arguments.json:
        print_document(document)
    else:
        print_text(report_text.write_status(document))
    return 0
