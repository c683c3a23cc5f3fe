"""The sample: what a chat application of the SQLite days left behind, with all that makes such files hard.

Owns the file and what there is to say about it. Everything in it is fixed, so that two runs show the same.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import apsw

TABLES = ("ChatUser", "Conversation", "Message")

_START_MS = 1_684_315_800_250  # 2023-05-17 09:30:00.250 UTC
_MINUTE_MS = 60_000
_MESSAGES = 1_000
_LATE_MESSAGES = 5
_DELETED_CONVERSATIONS = 38

_ADA = "7d9f1a34-2a5e-4c0b-9d55-0c7c0f6f1a01"
_GRACE = "7d9f1a34-2a5e-4c0b-9d55-0c7c0f6f1a02"
_KURT = "7d9f1a34-2a5e-4c0b-9d55-0c7c0f6f1a03"
_USERS = (
    (_ADA, "ada@example.org", "Ada Lovelace", 1, '{"theme": "light"}', None),
    (_GRACE, "grace@example.org", "Grace Hopper", 1, "{}", None),
    (
        _KURT,
        "kurt@example.org",
        "Kurt Gödel",
        0,
        '{"theme": "dark", "pins": [1, 2]}',
        bytes(range(0, 256, 17)),
    ),
)
_CONVERSATIONS = ((_ADA, "Analytical Engine", 0), (_GRACE, "Compilers", 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One column of a row: its name, what SQLite stores it as, and how SQLite prints it."""

    column: str
    storage: str
    shown: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What stands in the file.

    Attributes:
        rows: by table.
        wal_rows: how many of them stand in the -wal alone, by table.
        examples: rows that only the -wal holds, by table and key, each a tuple of cells.
        counter: SQLite's own counter of conversations, beyond the highest id.
        highest_id: of the conversations.
    """

    rows: dict[str, int]
    wal_rows: dict[str, int]
    examples: dict[tuple[str, str | int], tuple[Cell, ...]]
    counter: int
    highest_id: int


def make_sample(path: Path) -> Sample:
    """Write the legacy database to `path` and its newest rows to `path`-wal alone; say what they hold."""
    connection = apsw.Connection(str(path))
    try:
        # As a container leaves the file that was stopped without asking.
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        _write_old_rows(connection)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        _write_late_rows(connection)
        in_file = _count_without_wal(path)
        rows = {table: _count(connection, table) for table in TABLES}
        newest = _fetch_one(connection, "SELECT max(id) FROM Message")
        return Sample(
            rows=rows,
            wal_rows={table: rows[table] - in_file[table] for table in TABLES},
            examples={
                ("ChatUser", _KURT): _read_row(connection, "ChatUser", _KURT),
                ("Message", newest): _read_row(connection, "Message", newest),
            },
            counter=_fetch_one(connection, "SELECT seq FROM sqlite_sequence WHERE name = 'Conversation'"),
            highest_id=_fetch_one(connection, "SELECT max(id) FROM Conversation"),
        )
    finally:
        connection.close()


def _write_old_rows(connection: apsw.Connection) -> None:
    with connection:
        connection.execute(resources.files(__package__).joinpath("sample.sql").read_text(encoding="utf-8"))
        for number, user in enumerate(_USERS[:2]):
            connection.execute(
                "INSERT INTO ChatUser VALUES (?, ?, ?, ?, ?, ?, ?)", (*user, _START_MS + number * _MINUTE_MS)
            )
        for number, conversation in enumerate(_CONVERSATIONS):
            connection.execute(
                "INSERT INTO Conversation VALUES (NULL, ?, ?, ?, ?)",
                (*conversation, _START_MS + number * _MINUTE_MS),
            )
        for _ in range(_DELETED_CONVERSATIONS):
            connection.execute("INSERT INTO Conversation (ownerId, title) VALUES (?, 'deleted')", (_ADA,))
        connection.execute("DELETE FROM Conversation WHERE title = 'deleted'")
        _write_messages(connection, range(1, _MESSAGES + 1))


def _write_late_rows(connection: apsw.Connection) -> None:
    """Write what happened last: a user whose date is SQLite's own text, and messages."""
    with connection:
        connection.execute(
            "INSERT INTO ChatUser VALUES (?, ?, ?, ?, ?, ?, ?)", (*_USERS[2], "2023-05-18 02:11:30")
        )
        _write_messages(connection, range(_MESSAGES + 1, _MESSAGES + _LATE_MESSAGES + 1))


def _write_messages(connection: apsw.Connection, numbers: Sequence[int]) -> None:
    connection.executemany(
        "INSERT INTO Message VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (
                number,
                number % 2 + 1,
                (None, _ADA, _GRACE)[number % 3],
                "user" if number % 3 else "assistant",
                f"Message {number}: naïve café, 日本語, 🙂",
                json.dumps({"number": number, "tags": ["legacy"]}),
                number / 7,
                _START_MS + number * _MINUTE_MS,
            )
            for number in numbers
        ),
    )


def _count(connection: apsw.Connection, table: str) -> int:
    return _fetch_one(connection, f'SELECT count(*) FROM "{table}"')  # noqa: S608  (our own names)


def _count_without_wal(path: Path) -> dict[str, int]:
    """Return the rows of the database file by itself: an immutable one has no -wal (sqlite.org/uri.html)."""
    alone = apsw.Connection(
        f"file:{path}?immutable=1", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    )
    try:
        return {table: _count(alone, table) for table in TABLES}
    finally:
        alone.close()


def _fetch_one(connection: apsw.Connection, statement: str) -> int:
    row = connection.execute(statement).fetchone()
    assert row is not None
    assert isinstance(row[0], int)
    return row[0]


def _read_row(connection: apsw.Connection, table: str, key: str | int) -> tuple[Cell, ...]:
    names = [str(row[1]) for row in connection.execute(f'PRAGMA table_info("{table}")')]
    cells = []
    for name in names:
        row = connection.execute(
            f'SELECT typeof("{name}"), CASE typeof("{name}") WHEN \'blob\' THEN \'0x\' || hex("{name}") '  # noqa: S608
            f'ELSE "{name}" END FROM "{table}" WHERE id = ?',
            (key,),
        ).fetchone()
        assert row is not None
        cells.append(Cell(column=name, storage=str(row[0]), shown="" if row[1] is None else str(row[1])))
    return tuple(cells)
