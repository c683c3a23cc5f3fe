"""The fixture of tests that run the whole program: a place with a data directory and a fresh database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.places import Place, make_place
from tests.servers import Database


@pytest.fixture
def place(database: Database) -> Iterator[Place]:
    with make_place(database) as made:
        yield made
