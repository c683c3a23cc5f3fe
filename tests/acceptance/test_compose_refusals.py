"""What cannot be migrated, on Compose: the application starts on the database as it was, or not at all."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.acceptance.conftest import OpenProject
from tests.acceptance.containers import Project, read_container_state
from tests.acceptance.legacy import MESSAGES, NAME, USERS, make_legacy_files

COUNT_ROWS = 'SELECT (SELECT count(*) FROM "User") + (SELECT count(*) FROM "Message")'
SLOWEST_STOP_S = 5.0
WAIT_TIMEOUT_S = 30  # POSTGRES_WAIT_TIMEOUT's default
ABORT = {"ON_MIGRATION_FAILURE": "abort"}


def find_error_line(stderr: str) -> str:
    """Return the one line that says why the program ended."""
    assert "Traceback" not in stderr
    lines = [line for line in stderr.splitlines() if line.strip()]
    assert lines, "nothing was said"
    return lines[-1]


@pytest.fixture(scope="module")
def refused(open_project: OpenProject, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The example with a cell that PostgreSQL's enum refuses; only the database is up."""
    project = open_project()
    project.fill_volume(make_legacy_files(tmp_path_factory.mktemp("legacy"), bad_role=True))
    project.up("db")
    return project


def test_abort_does_not_start_the_application(refused: Project) -> None:
    before = refused.hash_volume()
    result = refused.run_app("echo", "the application runs", environment=ABORT)
    assert result.returncode == 65, result.stderr
    assert "the application runs" not in result.stdout
    assert "emperor" in result.stderr
    assert "Traceback" not in result.stderr
    assert refused.hash_volume() == before
    assert refused.query(COUNT_ROWS) == [["0"]]


def test_continue_starts_the_application_on_the_database_as_it_was(refused: Project) -> None:
    before = refused.hash_volume()
    refused.up()
    assert refused.get("/health")["pid"] == 1
    assert refused.get("/")["users"] == 0
    logs = refused.read_logs()
    assert "emperor" in logs
    assert "Traceback" not in logs
    assert refused.hash_volume() == before
    outcomes = refused.query("SELECT DISTINCT outcome, exit_code FROM entrypoint.runs")
    assert outcomes == [["failed", "65"]]


@pytest.mark.parametrize(
    "variables", [{}, {"SQLITE_URL": f"/app/data/{NAME}"}], ids=["found by probing", "named"]
)
def test_an_unreadable_file_is_not_permitted(
    open_project: OpenProject, tmp_path: Path, variables: dict[str, str]
) -> None:
    """A start without the data that lies there would look to its users as if it were lost."""
    project = open_project()
    project.fill_volume(make_legacy_files(tmp_path), uid=0, mode=0o600)
    before = project.hash_volume()
    project.up("db")
    result = project.run_app("echo", "the application runs", environment=ABORT | variables)
    assert result.returncode == 77, result.stderr
    assert "the application runs" not in result.stdout
    line = find_error_line(result.stderr)
    assert f"/app/data/{NAME}" in line
    assert "permi" in line.lower()
    assert project.hash_volume() == before
    assert project.query(COUNT_ROWS) == [["0"]]


def test_a_mount_that_may_not_be_entered_is_not_permitted(open_project: OpenProject, tmp_path: Path) -> None:
    project = open_project()
    project.fill_volume(make_legacy_files(tmp_path))
    project.change_mode_of_volume(uid=0, mode=0o700)
    before = project.hash_volume()
    project.up("db")
    result = project.run_app("echo", "the application runs", environment=ABORT)
    assert result.returncode == 77, result.stderr
    assert "the application runs" not in result.stdout
    line = find_error_line(result.stderr)
    assert "/app/data" in line
    assert "permi" in line.lower()
    assert project.hash_volume() == before
    assert project.query(COUNT_ROWS) == [["0"]]


def test_a_read_only_volume_is_migrated_once_and_warned_about(
    open_project: OpenProject, tmp_path: Path
) -> None:
    override = tmp_path / "read-only.yaml"
    override.write_text("services: {app: {volumes: ['data:/app/data:ro']}}\n")
    source = tmp_path / "source"
    source.mkdir()
    project = open_project(overrides=(override,))
    project.fill_volume(make_legacy_files(source))
    before = project.hash_volume()
    project.up()
    assert project.get("/")["users"] == len(USERS)
    assert project.hash_volume() == before
    warnings = [event for event in project.read_events() if event.get("level") == "warning"]
    assert any("/app/data" in str(event) for event in warnings), project.read_logs()

    project.down()
    project.up()
    assert project.get("/")["messages"] == MESSAGES
    assert project.query("SELECT outcome, count(*) FROM entrypoint.runs GROUP BY 1") == [["succeeded", "1"]]


def test_without_postgresql_the_application_does_not_start(open_project: OpenProject, tmp_path: Path) -> None:
    project = open_project()
    project.fill_volume(make_legacy_files(tmp_path))
    before = project.hash_volume()
    result = project.run_app("echo", "the application runs", environment={"POSTGRES_WAIT_TIMEOUT": "2"})
    assert result.returncode == 69, result.stderr
    assert "the application runs" not in result.stdout
    assert "db" in find_error_line(result.stderr)
    assert project.hash_volume() == before


def test_a_wrong_password_is_refused_at_once(refused: Project) -> None:
    """It takes the frozen folder's own libpq to tell a refusal from a server that is still starting."""
    wrong = "not-the-password"
    variables = {"DATABASE_URL_FILE": "", "DATABASE_URL": f"postgresql://chat:{wrong}@db:5432/chat"}
    begun = time.monotonic()
    result = refused.run_app("echo", "the application runs", environment=variables)
    assert result.returncode == 77, result.stderr
    assert time.monotonic() - begun < WAIT_TIMEOUT_S / 2, "it was retried"
    assert "the application runs" not in result.stdout
    assert wrong not in result.stderr
    assert "chat" in find_error_line(result.stderr)


def test_stop_while_waiting_for_postgresql_ends_at_once(open_project: OpenProject) -> None:
    """PID 1 has no default dispositions: without a handler of our own Docker would have to kill it."""
    project = open_project()
    project.compose("up", "--detach", "--no-build", "--no-deps", "app")
    deadline = time.monotonic() + WAIT_TIMEOUT_S / 2
    while "postgres_wait_started" not in (logs := project.read_logs()):
        assert time.monotonic() < deadline, logs
        time.sleep(0.1)
    container = project.find_container()
    begun = time.monotonic()
    project.compose("stop", "--timeout=30", "app")
    assert time.monotonic() - begun < SLOWEST_STOP_S
    assert read_container_state(container)["ExitCode"] == 128 + signal.SIGTERM
    assert "chat: listening" not in project.read_logs()
