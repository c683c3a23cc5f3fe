"""The application is executed as if this program had not been there: compared with a plain start."""

from __future__ import annotations

import grp
import json
import os
import pwd
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from entrypoint.errors import ConfigurationError
from entrypoint.handover import find_identity
from tests.places import Place
from tests.programs import PROGRAM, clean_environment, wait_until

pytestmark = pytest.mark.newest_server

# What a process can know of how it was started. No Python: that would change dispositions of its own.
_SHOW = r"""
exec 9>&1 >/dev/null
grep -E '^(Uid|Gid|Groups|NoNewPrivs|Umask|PPid)' /proc/$$/status >&9
printf 'cwd %s\n' "$(pwd -P)" >&9
for f in /proc/$$/fd/*; do case "${f##*/}" in 9|255) ;; *) printf 'fd %s\n' "${f##*/}" >&9;; esac; done
tr '\0' '\n' < /proc/$$/environ | sed 's/^/env /' | sort >&9
cat /proc/$$/limits >&9
for a in "$0" "$@"; do printf 'arg <%s>\n' "$a" >&9; done
"""
ARGUMENTS = ["a b", "", "-x", "--", "--help", "new\nline", "$HOME", "*", "é\udcff"]

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def show(prefix: tuple[str, ...], environment: dict[str, str], **options: Any) -> str:
    result: subprocess.CompletedProcess[str] = subprocess.run(
        [*prefix, "bash", "-c", _SHOW, "show", *ARGUMENTS],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        errors="surrogateescape",
        **options,
    )
    return result.stdout


_OF_THE_C_LIBRARY = 0b11 << 31


def show_signals(prefix: tuple[str, ...], environment: dict[str, str], **options: Any) -> dict[str, int]:
    """Return cat's own masks: unlike a shell it changes none of them.

    Signals 32 and 33 are the C library's own: its posix_spawn(), which Python 3.13 uses, leaves them ignored.
    """
    result = subprocess.run(
        [*prefix, "cat", "/proc/self/status"],
        env=environment,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        **options,
    )
    pairs = (line.split(":\t") for line in result.stdout.splitlines() if line.startswith("Sig"))
    return {name: int(mask, 16) & ~_OF_THE_C_LIBRARY for name, mask in pairs if name != "SigQ"}


@pytest.fixture
def migrated(place: Place) -> Place:
    """A start that has everything to do, so that everything has been opened by the time of the hand-over."""
    place.write_schema("CREATE TABLE t (id int PRIMARY KEY)")
    place.write_source("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)")
    return place


def variables_of(place: Place) -> dict[str, str]:
    return clean_environment(place.environment) | {
        "ODD": "two\nlines and = signs",
        "EMPTY": "",
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
    }


def test_the_application_sees_what_a_plain_start_shows(migrated: Place, tmp_path: Path) -> None:
    environment = variables_of(migrated)
    run = (*PROGRAM, "run", "--")
    plain = show((), environment, cwd=tmp_path, umask=0o027)
    handed = show(run, environment, cwd=tmp_path, umask=0o027)
    assert len(migrated.retired()) == 1
    assert handed == plain
    assert handed.count("arg <") == len(ARGUMENTS) + 1
    quiet = show(run, environment, cwd=tmp_path, umask=0o027)
    assert quiet == plain


def test_a_start_that_passes_through(migrated: Place, tmp_path: Path) -> None:
    environment = variables_of(migrated)
    del environment["DATABASE_URL"]
    assert show((*PROGRAM, "run"), environment) == show((), environment)


def test_secrets_that_are_ours_alone_are_taken_away(migrated: Place) -> None:
    environment = variables_of(migrated)
    secret = migrated.home / "secret"
    secret.write_text(migrated.database.url)
    for variables in (
        {"MIGRATION_DATABASE_URL": migrated.database.url},
        {"MIGRATION_DATABASE_URL_FILE": str(secret)},
    ):
        handed = show((*PROGRAM, "run", "--"), environment | variables)
        assert handed == show((), environment)


def test_signals_that_were_blocked_or_ignored(migrated: Place) -> None:
    """The mask is emptied and SIGPIPE is as the system has it; what the container ignores stays ignored."""

    def disturb() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGTERM})
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    environment = variables_of(migrated)
    plain = {"SigPnd": 0, "SigBlk": 0, "SigIgn": 0, "SigCgt": 0}
    assert show_signals(("env", "--default-signal"), environment) == plain
    # subprocess restores SIGPIPE and SIGXFSZ in the child, which Python then ignores again for itself.
    assert show_signals((*PROGRAM, "run", "--"), environment) == plain
    handed = show_signals((*PROGRAM, "run", "--"), environment, preexec_fn=disturb)
    assert handed == plain | {"SigIgn": 1 << (signal.SIGHUP - 1)}


def test_descriptors_that_the_container_passes_on(migrated: Place) -> None:
    """Such as the sockets of a supervisor: they are not ours to close."""
    reading, writing = os.pipe()
    try:
        environment = variables_of(migrated)
        handed = show((*PROGRAM, "run", "--"), environment, pass_fds=(reading,))
        assert handed == show((), environment, pass_fds=(reading,))
        assert f"fd {reading}\n" in handed
    finally:
        os.close(reading)
        os.close(writing)


def test_the_process_stays_the_same(migrated: Place) -> None:
    with migrated.start("run", "--", "sh", "-c", "echo $$; exec sleep 60") as running:
        running.wait_for("source_retired")
        pid = running.process.pid
        wait_until(lambda: b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0])
        assert Path(f"/proc/{pid}/task/{pid}/children").read_text() == ""
        ended, seconds = running.stop()
    assert ended.stdout == f"{pid}\n"
    assert ended.code == -signal.SIGTERM
    assert seconds < 1


def test_standard_input_is_the_application_s(migrated: Place) -> None:
    result = subprocess.run(
        [*PROGRAM, "run", "--", "cat"],
        env=variables_of(migrated),
        input="typed\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == "typed\n"


def test_options_end_where_the_command_begins(migrated: Place) -> None:
    migrated.run().succeeded()
    for arguments in (
        ("run", "--", "echo", "--log-level", "x"),
        ("run", "echo", "--log-level", "x"),
        ("run", "--log-level", "info", "echo", "--log-level", "x"),
        ("run", "--log-level=info", "--", "echo", "--log-level", "x"),
        ("run", "--skip-schema", "--", "echo", "--log-level", "x"),
    ):
        assert migrated.run(*arguments).succeeded().stdout == "--log-level x\n"
    assert migrated.run("run", "--", "echo", "--", "x").succeeded().stdout == "-- x\n"


# --- RUN_AS --------------------------------------------------------------------------------------

_WHO = (
    "import json, os;"
    "print(json.dumps([os.getresuid(), os.getresgid(), sorted(os.getgroups()), os.environ.get('HOME')]))"
)


def ask_who(place: Place, run_as: str) -> Any:
    interpreter = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable
    ended = place.run("run", "--", interpreter, "-c", _WHO, variables={"RUN_AS": run_as, "HOME": "/root"})
    return json.loads(ended.succeeded().stdout)


@needs_root
def test_run_as_a_user_by_name(migrated: Place) -> None:
    entry = pwd.getpwnam("nobody")
    groups = sorted(os.getgrouplist("nobody", entry.pw_gid))
    expected = [[entry.pw_uid] * 3, [entry.pw_gid] * 3, groups, entry.pw_dir]
    assert ask_who(migrated, "nobody") == expected
    assert ask_who(migrated, str(entry.pw_uid)) == expected


@needs_root
def test_run_as_another_group(migrated: Place) -> None:
    gid = grp.getgrnam("daemon").gr_gid
    assert ask_who(migrated, "nobody:daemon")[1] == [gid] * 3
    assert gid in ask_who(migrated, "nobody:daemon")[2]


@needs_root
def test_run_as_a_number_without_a_name(migrated: Place) -> None:
    assert ask_who(migrated, "54321:54322") == [[54321] * 3, [54322] * 3, [54322], "/root"]


@needs_root
def test_run_as_nobody_known(migrated: Place) -> None:
    line = migrated.run(variables={"RUN_AS": "no-such-user"}).failed_with(78)
    assert line == "RUN_AS=no-such-user: no user no-such-user in the image"


@pytest.mark.parametrize(
    ("run_as", "problem"),
    [("no-such-user", "no user no-such-user"), ("0:no-such-group", "no group no-such-group")],
)
def test_identities_that_do_not_exist(run_as: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        find_identity(run_as)


def test_identities() -> None:
    root = find_identity("root")
    assert (root.uid, root.gid, root.name, root.home) == (0, 0, "root", pwd.getpwnam("root").pw_dir)
    assert find_identity("0") == root
    assert find_identity("54321").gid == 0
    assert find_identity("54321:7") == find_identity("054321:07")
