"""The file that the chat application left in its SQLite days, as a crash leaves it: rows in the log alone."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.acceptance.containers import CHAT

NAME = "chat.db"
START = datetime(2023, 5, 17, 9, 30, 0, 250_000, tzinfo=UTC)
MESSAGES = 500

USERS: list[dict[str, Any]] = [
    {
        "id": "7d9f1a34-2a5e-4c0b-9d55-0c7c0f6f1a01",
        "email": "ada@example.org",
        "displayName": "Ada Lovelace",
        "role": "admin",
        "isActive": True,
        "settings": {"pins": [1, 2], "theme": "dark"},
    },
    {
        "id": "7d9f1a34-2a5e-4c0b-9d55-0c7c0f6f1a02",
        "email": "grace@example.org",
        "displayName": "Grace 🙂 Höpper",
        "role": "member",
        "isActive": True,
        "settings": {},
    },
    {
        "id": "7d9f1a34-2a5e-4c0b-9d55-0c7c0f6f1a03",
        "email": "kurt@example.org",
        "displayName": None,
        "role": "guest",
        "isActive": False,
        "settings": None,
    },
]
LAST_MESSAGE_ID = 9_000  # once used and deleted: a new message must come after it

_PRISMA_BOOKKEEPING = """
CREATE TABLE "_prisma_migrations" (
    "id" TEXT PRIMARY KEY NOT NULL, "checksum" TEXT NOT NULL, "finished_at" DATETIME,
    "migration_name" TEXT NOT NULL, "logs" TEXT, "rolled_back_at" DATETIME,
    "started_at" DATETIME NOT NULL DEFAULT current_timestamp,
    "applied_steps_count" INTEGER UNSIGNED NOT NULL DEFAULT 0);
INSERT INTO "_prisma_migrations" (id, checksum, migration_name) VALUES ('1', 'abc', '20230101000000_init');
"""


def to_epoch_ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def to_iso(moment: datetime) -> str:
    """Return a time as the application writes it."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def make_legacy_files(directory: Path, *, bad_role: bool = False) -> dict[str, bytes]:
    """Write the legacy database and return its files (content by name) while it is still open.

    The tables are in the database itself, the rows only in `chat.db-wal`, as they are after the
    container was killed.

    Args:
        directory: an empty one to write in.
        bad_role: give one user a role that PostgreSQL's enum does not have.
    """
    with closing(sqlite3.connect(directory / NAME, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript((CHAT / "sqlite.sql").read_text() + _PRISMA_BOOKKEEPING)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        _insert_rows(connection, bad_role=bad_role)
        return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


def _insert_rows(connection: sqlite3.Connection, *, bad_role: bool) -> None:
    connection.execute("BEGIN")
    for n, user in enumerate(USERS):
        settings = None if user["settings"] is None else json.dumps(user["settings"])
        role = "emperor" if bad_role and n == 1 else user["role"]
        created = to_epoch_ms(START + timedelta(hours=n))
        connection.execute(
            'INSERT INTO "User" VALUES (?, ?, ?, ?, ?, ?, ?)',
            (user["id"], user["email"], user["displayName"], role, user["isActive"], settings, created),
        )
    for n, title in enumerate(("Analytical Engine", "Compilers")):
        connection.execute(
            'INSERT INTO "Conversation" VALUES (NULL, ?, ?, ?, ?)',
            (USERS[n]["id"], title, n, to_epoch_ms(START)),
        )
    connection.executemany(
        'INSERT INTO "Message" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)',
        [tuple(make_message(n).values()) for n in range(MESSAGES)],
    )
    connection.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'Message'", (LAST_MESSAGE_ID,))
    connection.execute("COMMIT")


def make_message(n: int) -> dict[str, Any]:
    """Return message `n` (from 0) as SQLite holds it, by column in their order."""
    is_from_user = n % 2 == 0
    return {
        "id": n + 1,
        "conversationId": n % 2 + 1,
        "authorId": USERS[n % 3]["id"] if is_from_user else None,
        "role": "user" if is_from_user else "assistant",
        "body": f"Message {n}:\ttabs, \\backslashes\\,\nlines and 日本語 🙂",
        "metadata": json.dumps({"n": n, "tags": ["legacy"]}),
        "attachment": bytes([0, 1, 2, 255, n % 256]) if n % 10 == 0 else None,
        "score": n / 7,
        "createdAt": to_epoch_ms(START + timedelta(seconds=61 * n)),
    }
