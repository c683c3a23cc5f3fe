"""Fixtures of tests that run the whole program, or its schema step, on a fresh database."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from entrypoint.schema.apply import apply_pending
from entrypoint.schema.layouts import read_migrations
from entrypoint.schema.migration import AppliedMigration
from tests.places import Place, make_place
from tests.servers import Database


@pytest.fixture
def place(database: Database) -> Iterator[Place]:
    with make_place(database) as made:
        yield made


@pytest.fixture
def up(database: Database, tmp_path: Path) -> Callable[[dict[str, str]], tuple[AppliedMigration, ...]]:
    """Write files and apply what is pending, on a connection of its own."""

    def write_and_apply(files: dict[str, str]) -> tuple[AppliedMigration, ...]:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)
        with database.connect() as connection:
            return apply_pending(
                connection,
                migrations=read_migrations(tmp_path),
                ledger_schema="entrypoint",
                deadline=time.monotonic() + 30,
            )

    return write_and_apply
