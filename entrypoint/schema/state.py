"""Files against ledger: what is applied, what is pending, what is wrong.

Owns the comparison, which is pure, so that a start with nothing to do costs one query; and the
questions to the database that a verdict may need. Applies nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from entrypoint.errors import SchemaError
from entrypoint.schema.ledger import read_applied
from entrypoint.schema.migration import AppliedMigration, Migration, order_of, spell_version

_INVALID_INDEXES = """
    SELECT format('%I.%I', n.nspname, c.relname)
    FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE NOT i.indisvalid AND c.relkind = 'i' AND c.relpersistence <> 't'
      AND n.nspname NOT IN ('pg_catalog', 'pg_toast')
    ORDER BY 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaState:
    """What the comparison of files and ledger found, each in the order of versions.

    Attributes:
        applied: the ledger's rows.
        pending: migrations without a row.
        ahead: rows without a file, above every file: an older image on a newer database.
        missing: rows without a file, below some file.
        problems: what must be put right by hand before anything is applied.
    """

    applied: tuple[AppliedMigration, ...]
    pending: tuple[Migration, ...]
    ahead: tuple[AppliedMigration, ...]
    missing: tuple[AppliedMigration, ...]
    problems: tuple[SchemaError, ...]

    @property
    def is_current(self) -> bool:
        """Whether there is nothing to apply and nothing wrong."""
        return not self.pending and not self.problems

    def check(self) -> None:
        """Raise what is wrong, all of it in one error.

        Raises:
            SchemaError: there is a problem.
        """
        if len(self.problems) == 1:
            raise self.problems[0]
        if self.problems:
            raise SchemaError("; ".join(str(problem) for problem in self.problems))


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRow:
    """A line of `entrypoint schema status`.

    Attributes:
        state: `applied`, `baseline`, `pending`, `started` (interrupted), `edited` or `missing file`.
    """

    version: str
    name: str
    state: str
    applied_at: datetime | None


def compare(
    migrations: Iterable[Migration],
    applied: Iterable[AppliedMigration],
    *,
    ledger_schema: str,
    invalid_indexes: tuple[str, ...] = (),
) -> SchemaState:
    """Compare the files with the ledger's rows; asks no database.

    Args:
        migrations: what `read_migrations` returned.
        applied: what `rows_to_applied` or `read_applied` returned.
        ledger_schema: the ledger's schema, for the remedies.
        invalid_indexes: what an interrupted CREATE INDEX CONCURRENTLY may have left.
    """
    files = {migration.version: migration for migration in migrations}
    rows = sorted(applied, key=lambda row: order_of(row.version))
    known = {row.version for row in rows}
    pending = tuple(file for version, file in sorted(files.items(), key=_by_order) if version not in known)
    last_file = max((order_of(version) for version in files), default=())
    last_row = rows[-1] if rows else None
    without_file = [row for row in rows if row.version not in files]
    problems = [
        _describe_interrupted(row, files.get(row.version), ledger_schema, invalid_indexes)
        for row in rows
        if row.state == "started"
    ]
    problems += [
        _describe_edited(row, files[row.version])
        for row in rows
        if row.state != "started" and row.version in files and row.checksum != files[row.version].checksum
    ]
    problems += [
        _describe_late(file, last_row)
        for file in pending
        if last_row is not None and order_of(file.version) < order_of(last_row.version)
    ]
    return SchemaState(
        applied=tuple(rows),
        pending=pending,
        ahead=tuple(row for row in without_file if order_of(row.version) > last_file),
        missing=tuple(row for row in without_file if order_of(row.version) <= last_file),
        problems=tuple(problems),
    )


def read_state(
    connection: psycopg.Connection[Any], *, ledger_schema: str, migrations: Iterable[Migration]
) -> SchemaState:
    """Compare the files with what the ledger in the database says; one that does not exist is empty."""
    rows = read_applied(connection, ledger_schema)
    has_interrupted = any(row.state == "started" for row in rows)
    indexes = find_invalid_indexes(connection) if has_interrupted else ()
    return compare(migrations, rows, ledger_schema=ledger_schema, invalid_indexes=indexes)


def list_status(
    migrations: Iterable[Migration], applied: Iterable[AppliedMigration]
) -> tuple[StatusRow, ...]:
    """Return a row for every version that files or ledger know, in order."""
    files = {migration.version: migration for migration in migrations}
    rows = {row.version: row for row in applied}
    listed = []
    for version in sorted({*files, *rows}, key=order_of):
        file, row = files.get(version), rows.get(version)
        name = file.name if file else rows[version].name
        listed.append(
            StatusRow(
                version=spell_version(version),
                name=name,
                state=_judge(file, row),
                applied_at=row.applied_at if row else None,
            )
        )
    return tuple(listed)


def find_invalid_indexes(connection: psycopg.Connection[Any]) -> tuple[str, ...]:
    """Return the indexes, qualified and quoted, that PostgreSQL does not use because they are half built."""
    return tuple(row[0] for row in connection.execute(_INVALID_INDEXES).fetchall())


def _by_order(item: tuple[int, Migration]) -> tuple[int, ...]:
    return order_of(item[0])


def _judge(file: Migration | None, row: AppliedMigration | None) -> str:
    if row is None:
        return "pending"
    if row.state == "started":
        return "started"
    if file is None:
        return "missing file"
    return row.state if row.checksum == file.checksum else "edited"


def _describe_interrupted(
    row: AppliedMigration, file: Migration | None, ledger_schema: str, invalid_indexes: tuple[str, ...]
) -> SchemaError:
    version = spell_version(row.version)
    what = "an earlier run of it outside a transaction was interrupted, some of it may be applied"
    remedy = "finish it by hand and count it as applied with "
    if invalid_indexes:
        what += f"; half-built indexes: {', '.join(invalid_indexes)}"
        remedy = "drop the half-built index; then finish it by hand and count it as applied with "
    delete = f"DELETE FROM {_quote(ledger_schema)}.schema_migrations WHERE version = {row.version}"  # noqa: S608
    return SchemaError(
        what,
        where=file.label if file else row.name,
        remedy=f"{remedy}`entrypoint schema up --baseline {version}`, "
        f"or undo it and let it run again with {delete}",
    )


def _describe_edited(row: AppliedMigration, file: Migration) -> SchemaError:
    return SchemaError(
        f"was edited after it was applied (checksum {row.checksum[:12]} then, {file.checksum[:12]} now)",
        where=file.label,
        remedy="restore it and put the change into a new migration, or, if the database already is what it "
        f"says, accept it with `entrypoint schema up --baseline {spell_version(row.version)}`",
    )


def _describe_late(file: Migration, last: AppliedMigration) -> SchemaError:
    return SchemaError(
        f"is new, but {last.name} with a higher number is already applied",
        where=file.label,
        remedy=f"give it a number above {spell_version(last.version)}",
    )


def _quote(identifier: str) -> str:
    escaped = identifier.replace('"', '""')
    return f'"{escaped}"'
