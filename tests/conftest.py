"""Fixtures that every kind of test shares: real servers, and a fresh database for each test.

`ENTRYPOINT_TEST_POSTGRES` names the major versions to test on (`18,16`); without it, the newest and the
oldest that are found take part. `ENTRYPOINT_REQUIRE_DOCKER=1` turns a skip for a missing tool into a failure.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import structlog

from tests.servers import Database, Server, find_binaries, launch_server, remove_server


def _choose_versions() -> list[int]:
    found = find_binaries()
    chosen = os.environ.get("ENTRYPOINT_TEST_POSTGRES")
    if not chosen:
        return sorted({max(found), min(found)}, reverse=True)
    versions = sorted((int(version) for version in chosen.split(",")), reverse=True)
    if missing := [version for version in versions if version not in found]:
        raise pytest.UsageError(f"PostgreSQL {missing} is not here; found: {sorted(found)}")
    return versions


def require(tool: str, is_present: bool) -> None:
    """Skip the test when `tool` is absent, or fail it where the environment demands every tool."""
    if is_present:
        return
    if os.environ.get("ENTRYPOINT_REQUIRE_DOCKER") == "1":
        pytest.fail(f"{tool} is required (ENTRYPOINT_REQUIRE_DOCKER=1) and was not found")
    pytest.skip(f"{tool} was not found")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "server" not in metafunc.fixturenames:
        return
    versions = _choose_versions()
    if metafunc.definition.get_closest_marker("newest_server"):
        versions = versions[:1]
    metafunc.parametrize("server", versions, indirect=True, scope="session", ids=lambda v: f"pg{v}")


@pytest.fixture(autouse=True)
def unconfigured_logs() -> Iterator[None]:
    """Undo what a test configured: the next one sees logs as if it were the first."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A running PostgreSQL of each version in turn."""
    launched = launch_server(request.param)
    yield launched
    remove_server(launched)


@pytest.fixture
def database(server: Server) -> Iterator[Database]:
    """An empty database owned by a role without superuser rights."""
    created = server.create_database()
    yield created
    created.drop()
