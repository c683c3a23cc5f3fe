"""Verification: another path than the load's finds what the load's own path could not."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from entrypoint.errors import SourceRefusedError
from entrypoint.model import Plan
from entrypoint.transfer.reverify import verify_source
from entrypoint.transfer.verify import VerifyMode
from tests.loading import make_settings
from tests.servers import Database
from tests.verifying import loaded

TARGET = """
CREATE TYPE mood AS ENUM ('calm', 'it''s "odd"');
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE TABLE things (
    id integer PRIMARY KEY, flag boolean, big bigint, price numeric(10,2), ratio double precision,
    single real, name varchar(20), code char(4), raw bytea, token uuid, doc jsonb, plain json, feeling mood,
    seen timestamptz, made timestamp(3), day date, clock time, tags text[], address inet, size positive);
CREATE TABLE log (line text, at timestamptz);
CREATE TABLE pairs (a integer, b text, note text, PRIMARY KEY (a, b));
"""
SOURCE = """
CREATE TABLE things (
    id INTEGER PRIMARY KEY, flag, big, price, ratio, single, name, code, raw, token, doc, plain, feeling,
    seen, made, day, clock, tags, address, size);
CREATE TABLE log (line TEXT, at INTEGER);
CREATE TABLE pairs (a INTEGER, b TEXT, note TEXT, PRIMARY KEY (a, b));
"""
ROWS: list[tuple[Any, ...]] = [
    (
        (
            1,
            1,
            2**63 - 1,
            19.99,
            0.1,
            0.5,
            "tab\there",
            "ab",
            b"\x00\xff",
            "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
            '{"b": [1.10, true], "a": "é"}',
            '{"k" : 1}',
            'it\'s "odd"',
            1700000000123,
            "2024-02-29T12:00:00.5Z",
            "2024-02-29",
            "23:59:59.999999",
            '["x", null, "a,b"]',
            "10.0.0.1",
            7,
        )
    ),
    (
        (
            2,
            "false",
            -5,
            "1e2",
            5e-324,
            2,
            "",
            "abcd",
            "text",
            b"\x00" * 16,
            "[]",
            "1.50",
            "calm",
            -1500,
            "0001-01-01 00:00:00",
            "9999-12-31",
            "00:00",
            "{}",
            "::1",
            1,
        )
    ),
    (3, *[None] * 19),
]


def make_source(path: Path, *, more: int = 0) -> None:
    with sqlite3.connect(path) as connection:
        connection.executescript(SOURCE)
        connection.executemany(f"INSERT INTO things VALUES ({','.join('?' * 20)})", ROWS)
        connection.executemany(
            "INSERT INTO log VALUES (?, ?)", [("again", 1_700_000_000)] * 3 + [("once", None)]
        )
        pairs = [(i, f"b{i}", "note") for i in range(5 + more)]
        connection.executemany("INSERT INTO pairs VALUES (?, ?, ?)", pairs)
    connection.close()


def count_cells(plan: Plan) -> int:
    return sum(table.rows * len(table.columns) for table in plan.tables)


@pytest.mark.parametrize("mode", ["full", "auto"])
def test_a_faithful_load_is_found_equal(database: Database, tmp_path: Path, mode: VerifyMode) -> None:
    database.execute(TARGET)
    make_source(tmp_path / "a.db")
    with loaded(database, tmp_path / "a.db") as load:
        verified = load.verify(mode)
        assert verified["cells"] == count_cells(load.plan)
        assert set(verified["tables"].values()) == {"full"}


CORRUPTIONS = {
    "flag": "NOT flag",
    "big": "big - 1",
    "price": "price + 0.01",
    "ratio": "ratio + 1e-17",
    "single": "single + 0.25",
    "name": "upper(name)",
    "code": "'xx'",
    "raw": "raw || '\\x00'",
    "token": "gen_random_uuid()",
    "doc": "'{}'",
    "plain": "'{\"k\":1}'",
    "feeling": "'calm'",
    "seen": "seen + interval '1 microsecond'",
    "made": "made - interval '1 millisecond'",
    "day": "day + 1",
    "clock": "clock - interval '1 microsecond'",
    "tags": "array_append(tags, 'y')",
    "address": "'10.0.0.2'",
    "size": "size + 1",
}


@pytest.mark.parametrize("column", CORRUPTIONS)
def test_one_changed_cell_is_named(database: Database, tmp_path: Path, column: str) -> None:
    database.execute(TARGET)
    make_source(tmp_path / "a.db")
    with loaded(database, tmp_path / "a.db") as load:
        load.connection.execute(f"UPDATE things SET {column} = {CORRUPTIONS[column]} WHERE id = 1".encode())
        with pytest.raises(SourceRefusedError, match=rf"things\.{column} \(id=1\)") as refused:
            load.verify("full")
        assert refused.value.exit_code == 65


CHANGES: dict[str, str] = {
    "a null for a value": "UPDATE things SET name = NULL WHERE id = 1",
    "a value for a null": "UPDATE things SET name = '' WHERE id = 3",
    "a lost row": "DELETE FROM pairs WHERE a = 3",
    "a row too many": "INSERT INTO pairs VALUES (99, 'x', 'y')",
    "a moved row": "UPDATE pairs SET a = 98 WHERE a = 3",
    "a lost row without a key": "DELETE FROM log WHERE line = 'once'",
    "a changed row without a key": "UPDATE log SET line = 'twice' WHERE line = 'once'",
    "a null in a row without a key": "UPDATE log SET at = now() WHERE line = 'once'",
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_kind_of_change_is_found(database: Database, tmp_path: Path, change: str) -> None:
    database.execute(TARGET)
    make_source(tmp_path / "a.db")
    with loaded(database, tmp_path / "a.db") as load:
        load.connection.execute(CHANGES[change].encode())
        with pytest.raises(SourceRefusedError, match="verification found a difference"):
            load.verify("full")


def test_preserved_rows_are_no_difference_and_others_are(database: Database, tmp_path: Path) -> None:
    database.execute(
        TARGET + "INSERT INTO pairs VALUES (1, 'b1', 'ours'), (2, 'b2', 'note'), (77, 'x', 'ours')"
    )
    make_source(tmp_path / "a.db")
    with loaded(database, tmp_path / "a.db") as load:
        counts = {
            table.table: (table.inserted, table.unchanged, table.preserved) for table in load.result.tables
        }
        assert counts["pairs"] == (3, 1, 1)
        load.verify("full")
        load.connection.execute("UPDATE pairs SET note = 'bent' WHERE a = 4")
        with pytest.raises(SourceRefusedError, match=r"pairs"):
            load.verify("full")


def test_batches_lose_no_row(database: Database, tmp_path: Path) -> None:
    database.execute(TARGET)
    make_source(tmp_path / "a.db", more=5000)
    with loaded(database, tmp_path / "a.db") as load:
        verified = load.verify("full")
        assert verified["cells"] == count_cells(load.plan)
        load.connection.execute("UPDATE pairs SET note = 'bent' WHERE a = 5004")
        with pytest.raises(SourceRefusedError, match="a=5004"):
            load.verify("full")


def test_verify_compares_a_source_afterwards_and_writes_nothing(database: Database, tmp_path: Path) -> None:
    database.execute(TARGET)
    path = tmp_path / "a.db"
    make_source(path)
    before = path.read_bytes()
    with database.connect() as connection:
        document = verify_source(connection, path, make_settings(database))
    assert document["differing"] == 3 + 4 + 5
    assert json.loads(json.dumps(document))["rows"] == 12
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["a.db"]
    assert database.execute("SELECT count(*) FROM things") == [(0,)]


def test_cells_of_awkward_classes_are_found_equal(database: Database, tmp_path: Path) -> None:
    database.execute(
        "CREATE TABLE odd (id int PRIMARY KEY, raw bytea, docs jsonb[], texts text[]);"
        "CREATE TABLE keyless (docs jsonb[], line text)"
    )
    with sqlite3.connect(tmp_path / "a.db") as writing:
        writing.execute("CREATE TABLE odd (id INTEGER PRIMARY KEY, raw, docs, texts)")
        writing.execute("CREATE TABLE keyless (docs, line)")
        writing.execute(
            "INSERT INTO odd VALUES (1, CAST(x'ff00fe' AS TEXT), ?, ?)",
            ('[{"a": 1.50}, [1], "x"]', '["x", {"n": 1.50}]'),
        )
        writing.execute("INSERT INTO keyless VALUES ('[{}]', 'a'), (NULL, 'b')")
    writing.close()
    with loaded(database, tmp_path / "a.db") as load:
        load.verify("full")
        load.connection.execute("UPDATE odd SET raw = raw || 'x'")
        with pytest.raises(SourceRefusedError, match=r"odd\.raw"):
            load.verify("full")
