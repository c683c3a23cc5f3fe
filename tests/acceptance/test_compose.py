"""The main job, as a user of the Compose example meets it: up, look, down, up again, stop."""

from __future__ import annotations

import json
import re
import time
from base64 import b64encode
from datetime import timedelta
from pathlib import Path

import pytest

from tests.acceptance.conftest import OpenProject
from tests.acceptance.containers import PROGRAM, Project, docker, make_timed, read_container_state
from tests.acceptance.legacy import (
    LAST_MESSAGE_ID,
    MESSAGES,
    NAME,
    START,
    USERS,
    make_legacy_files,
    make_message,
    to_iso,
)

SLOWEST_SECOND_START_S = 1.0
SLOWEST_STOP_S = 2.0


@pytest.fixture(scope="module")
def project(open_project: OpenProject, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The example, started once on a legacy volume whose rows are in `-wal` alone."""
    files = make_legacy_files(tmp_path_factory.mktemp("legacy"))
    assert b"ada@example.org" not in files[NAME], "a row is in the database itself"
    assert b"ada@example.org" in files[f"{NAME}-wal"]
    project = open_project()
    project.fill_volume(files)
    project.up()
    return project


def test_the_application_serves_the_migrated_rows(project: Project) -> None:
    summary = {"application": "chat", "store": "postgresql"}
    counts = {"users": len(USERS), "conversations": 2, "messages": MESSAGES}
    assert project.get("/") == summary | counts
    assert project.get("/users") == [
        {**user, "createdAt": to_iso(START + timedelta(hours=n))} for n, user in enumerate(USERS)
    ]
    assert [row["isArchived"] for row in project.get("/conversations")] == [False, True]
    expected = []
    for n in range(0, MESSAGES, 2):
        row = make_message(n)
        attachment = row["attachment"] and b64encode(row["attachment"]).decode()
        created = to_iso(START + timedelta(seconds=61 * n))
        expected.append(
            {**row, "metadata": json.loads(row["metadata"]), "attachment": attachment, "createdAt": created}
        )
    assert project.get("/conversations/1/messages") == expected


def test_the_application_is_the_only_process(project: Project) -> None:
    assert project.get("/health")["pid"] == 1
    assert project.execute("cat", "/proc/1/cmdline").stdout.split("\0")[:2] == ["node", "server.js"]
    processes = project.compose("top", "app").stdout
    assert processes.count("node server.js") == 1
    assert "entrypoint" not in processes.replace("/opt/entrypoint/entrypoint run -- node server.js", "")


def test_the_application_is_set_up_as_by_a_plain_start(project: Project) -> None:
    """Signals, environment and descriptors are compared with the same server started without us."""
    script = (
        "grep -E '^(Sig(Blk|Ign)|Umask|NoNewPrivs|Uid|Gid)' /proc/self/status; pwd; "
        "ls /proc/self/fd | wc -l; env | grep -v -E '^(HOSTNAME|_)=' | sort"
    )
    command = ("sh", "-c", script)
    through = project.run_app(*command).stdout
    plain = project.compose(
        "run", "--rm", "--no-TTY", "--no-deps", "--entrypoint=sh", "app", "-c", script
    ).stdout
    assert through == plain
    status = project.execute("cat", "/proc/1/status").stdout
    assert re.search(r"^SigBlk:\s+0+$", status, re.MULTILINE)
    environment = project.execute("cat", "/proc/1/environ").stdout
    assert not re.search(r"_PYI_|_MEI|LD_LIBRARY_PATH|LC_CTYPE", environment)


def test_the_source_was_retired(project: Project) -> None:
    names = sorted(project.hash_volume())
    assert names
    assert all(re.fullmatch(rf"{NAME}\.migrated-\d{{8}}T\d{{6}}Z(-wal|-shm)?", name) for name in names), names


def test_no_password_is_in_the_logs(project: Project) -> None:
    assert project.password not in project.read_logs()


def test_status_says_what_was_migrated(project: Project) -> None:
    status = project.execute(PROGRAM, "status").stdout
    assert NAME in status
    assert json.loads(project.execute(PROGRAM, "status", "--json").stdout)


def test_a_dry_run_has_nothing_to_do(project: Project) -> None:
    result = project.execute(PROGRAM, "migrate", "--dry-run")
    assert re.search("nothing to do", result.stdout + result.stderr, re.IGNORECASE)


def test_a_second_up_migrates_nothing(project: Project) -> None:
    written = project.post("/messages", {"conversationId": 1, "text": "after the move"})
    assert written["id"] == LAST_MESSAGE_ID + 1
    before = project.hash_volume()
    project.down()
    project.up()
    assert project.get("/")["messages"] == MESSAGES + 1
    assert project.hash_volume() == before
    assert project.query("SELECT outcome, count(*) FROM entrypoint.runs GROUP BY 1") == [["succeeded", "1"]]


def test_a_start_with_nothing_to_do_costs_less_than_a_second(project: Project) -> None:
    elapsed_s = int(project.execute(*make_timed(PROGRAM, "run", "--", "true")).stdout) / 1000
    assert elapsed_s < SLOWEST_SECOND_START_S


def test_the_base_image_finds_nothing_to_do_either(project: Project, base_image: str) -> None:
    """Another interpreter, another user, the same database: `wait` and a start that passes through."""
    options = (
        "run",
        "--rm",
        f"--network={project.name}_default",
        f"--env=DATABASE_URL={project.database_url}",
    )
    assert docker(*options, "--entrypoint=entrypoint", base_image, "wait").returncode == 0
    result = docker(*options, base_image, "id", "-u")
    assert result.stdout == "10001\n"
    assert "migration_started" not in result.stderr


def test_stop_reaches_the_application_at_once(project: Project) -> None:
    """The last of this story: the container is down afterwards."""
    container = project.find_container()
    begun = time.monotonic()
    project.compose("stop", "--timeout=30", "app")
    assert time.monotonic() - begun < SLOWEST_STOP_S
    assert read_container_state(container)["ExitCode"] == 0, "the application's own exit code"
    assert "chat: SIGTERM, closing" in project.read_logs()


def test_skip_migration_leaves_the_file_alone(open_project: OpenProject, tmp_path: Path) -> None:
    project = open_project({"SKIP_MIGRATION": "true"})
    project.fill_volume(make_legacy_files(tmp_path))
    before = project.hash_volume()
    project.up()
    assert project.get("/") == {
        "application": "chat",
        "store": "postgresql",
        "users": 0,
        "conversations": 0,
        "messages": 0,
    }
    assert project.hash_volume() == before


def test_a_new_installation_starts_without_a_source(open_project: OpenProject) -> None:
    project = open_project()
    project.up()
    assert project.get("/")["users"] == 0
    assert project.get("/health") == {"status": "ok", "store": "postgresql", "pid": 1}
