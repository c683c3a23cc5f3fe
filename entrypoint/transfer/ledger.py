"""The ledger of data migrations: what was migrated, from which file, and every attempt that failed.

Owns the rows of `{schema}.runs`. A success is recorded in the transaction that loads the rows, a failure
outside the one that was rolled back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from entrypoint import __version__, log
from entrypoint.postgres.encoding import fit_document, fit_text
from entrypoint.postgres.queries import load_queries
from entrypoint.sqlite.unit import Fingerprint, Stamp, spell


@dataclass(frozen=True, slots=True, kw_only=True)
class Success:
    """A data migration that was committed.

    Attributes:
        path: where the source was.
        stamp: of the source's files, of the retired ones once they are.
        retired_path: None while the file has not been renamed.
    """

    id: int
    path: Path
    fingerprint: Fingerprint
    stamp: Stamp
    retired_path: Path | None
    finished_at: datetime


def read_successes(connection: psycopg.Connection[Any], schema: str) -> tuple[Success, ...]:
    """Return every committed data migration, the newest first; the ledger must exist."""
    return tuple(_make_success(*row) for row in connection.execute(_query("read_successes", schema)))


def _make_success(
    run_id: int,
    path: str,
    sha256: str,
    size_bytes: int,
    change_counter: int,
    stamp: dict[str, list[int]] | None,
    retired_path: str | None,
    finished_at: datetime,
) -> Success:
    return Success(
        id=run_id,
        path=Path(path),
        fingerprint=Fingerprint(sha256=sha256, size_bytes=size_bytes, change_counter=change_counter),
        stamp={suffix: (int(size), int(mtime)) for suffix, (size, mtime) in (stamp or {}).items()},
        retired_path=Path(retired_path) if retired_path else None,
        finished_at=finished_at,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What a committed data migration did about one source's rows.

    Attributes:
        preserved: by source table that it had, the rows for which PostgreSQL's own were kept.
    """

    id: int
    preserved: dict[str, int]


def read_accounts(
    connection: psycopg.Connection[Any], schema: str, *, path: Path, sha256: str
) -> tuple[Account, ...]:
    """Return the committed migrations of a source, by its content or its path, the newest first."""
    rows = connection.execute(_query("read_accounts", schema), {"path": spell(path), "sha256": sha256})
    return tuple(Account(id=run_id, preserved=preserved) for run_id, preserved in rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """A row that was quarantined, as it was stored."""

    key: str
    cells: dict[str, Any]
    long_cells: bytes | None


def read_rejects(
    connection: psycopg.Connection[Any], schema: str, account: Account, table: str
) -> Iterator[Reject]:
    """Yield the rows of a source table that a migration quarantined."""
    with connection.cursor(name="entrypoint_rejects") as cursor:
        found = cursor.execute(
            _query("read_rejects", schema), {"run": account.id, "table": fit_text(connection, table)}
        )
        for key, cells, long_cells in found:
            yield Reject(key=key, cells=cells, long_cells=long_cells)


def read_runs(connection: psycopg.Connection[Any], schema: str, *, limit: int) -> list[dict[str, Any]]:
    """Return the newest attempts for a reader, the newest first; the ledger must exist."""
    cursor = connection.execute(_query("read_runs", schema), {"limit": limit})
    assert cursor.description is not None
    names = [column.name for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def record_success(
    connection: psycopg.Connection[Any],
    schema: str,
    *,
    path: Path,
    fingerprint: Fingerprint | None,
    stamp: Stamp,
    report: Mapping[str, Any],
    seconds: float,
) -> int:
    """Record a success inside the load's transaction and return its id.

    A migration of some tables only has no fingerprint: it does not make its source a migrated one.
    """
    return _record(
        connection,
        schema,
        {"outcome": "succeeded", "path": spell(path), "exit_code": 0, "error": None}
        | _describe_source(fingerprint, stamp)
        | {"report": fit_document(connection, report), "seconds": seconds},
    )


def record_failure(
    connection: psycopg.Connection[Any],
    schema: str,
    *,
    path: Path | None,
    error: str,
    exit_code: int,
    report: Mapping[str, Any],
    seconds: float,
) -> None:
    """Record an attempt that failed, after its transaction has been rolled back."""
    _record(
        connection,
        schema,
        {"outcome": "failed", "path": spell(path) if path else None, "exit_code": exit_code}
        | {"error": fit_text(connection, spell(log.redact(error)))}
        | _describe_source(None, None)
        | {"report": fit_document(connection, report), "seconds": seconds},
    )


def record_retired(
    connection: psycopg.Connection[Any], schema: str, run_id: int, *, retired_path: Path, stamp: Stamp
) -> None:
    """Note where a migrated source now lies."""
    connection.execute(
        _query("record_retired", schema),
        {"id": run_id, "retired_path": spell(retired_path), "stamp": Jsonb(stamp)},
    )


def _describe_source(fingerprint: Fingerprint | None, stamp: Stamp | None) -> dict[str, Any]:
    return {
        "sha256": fingerprint.sha256 if fingerprint else None,
        "size_bytes": fingerprint.size_bytes if fingerprint else None,
        "change_counter": fingerprint.change_counter if fingerprint else None,
        "stamp": Jsonb(stamp) if stamp is not None else None,
    }


def _record(connection: psycopg.Connection[Any], schema: str, values: dict[str, Any]) -> int:
    row = connection.execute(_query("record_run", schema), values | {"version": __version__}).fetchone()
    assert row is not None
    return int(row[0])


def _query(name: str, schema: str) -> sql.Composed:
    return sql.SQL(load_queries(__package__, "ledger.sql")[name]).format(schema=sql.Identifier(schema))
