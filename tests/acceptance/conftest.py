"""Images, built once per session, and a Compose project per scenario; both only where Docker answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.containers import (
    BASE_IMAGE,
    CHAT,
    CHAT_IMAGE,
    ROOT,
    STANDALONE_IMAGE,
    Project,
    build_image,
    is_docker_present,
)
from tests.conftest import require

OpenProject = Callable[..., Project]


@pytest.fixture(scope="session")
def engine() -> None:
    """An engine that answers; without one the tests are skipped, or fail where Docker is demanded."""
    require("Docker with Compose v2", is_docker_present())


@pytest.fixture(scope="session")
def base_image(engine: None) -> str:
    return build_image(BASE_IMAGE, ROOT / "docker" / "Dockerfile", ROOT)


@pytest.fixture(scope="session")
def standalone_image(engine: None) -> str:
    return build_image(STANDALONE_IMAGE, ROOT / "docker" / "standalone.Dockerfile", ROOT)


@pytest.fixture(scope="session")
def chat_image(standalone_image: str) -> str:
    return build_image(CHAT_IMAGE, CHAT / "Dockerfile", CHAT)


@pytest.fixture(scope="module")
def open_project(chat_image: str) -> Iterator[OpenProject]:
    """Open Compose projects of the example, and remove them with their volumes afterwards."""
    opened: list[Project] = []

    def open_one(environment: dict[str, str] | None = None, overrides: tuple[Path, ...] = ()) -> Project:
        project = Project(environment=environment or {}, overrides=overrides)
        opened.append(project)
        project.create()
        return project

    yield open_one
    for project in opened:
        project.remove()
