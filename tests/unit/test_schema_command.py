"""SCHEMA_COMMAND: real child processes, their signals, and that none of them is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from entrypoint.errors import DeadlineExceededError, SchemaError, StoppedError
from entrypoint.interrupts import Interrupted
from entrypoint.schema.command import run_schema_command

ENVIRONMENT = {"PATH": os.environ["PATH"], "DATABASE_URL": "postgresql://u@h/d"}


def run(command: str, *, timeout_s: float = 20.0) -> None:
    run_schema_command(command, environment=ENVIRONMENT, timeout_s=timeout_s)


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie that nobody has reaped yet does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(path: Path) -> str:
    for _ in range(1000):
        if path.exists() and (text := path.read_text()).endswith("\n"):
            return text
        time.sleep(0.01)
    raise AssertionError(f"{path} was not written")


def test_shell_line_runs_with_the_given_environment_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    os.environ["ENTRYPOINT_TEST_LEAK"] = "x"
    try:
        run(f'for i in 1 2; do echo "$i $DATABASE_URL$ENTRYPOINT_TEST_LEAK"; done > "{out}"')
    finally:
        del os.environ["ENTRYPOINT_TEST_LEAK"]
    assert out.read_text() == "1 postgresql://u@h/d\n2 postgresql://u@h/d\n"


def test_output_of_both_streams_goes_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    subprocess.run(
        [
            sys.executable,
            "-c",
            "from entrypoint.schema.command import run_schema_command as run\n"
            "import structlog; structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))\n"
            "run('echo one; echo two >&2; cat', environment={}, timeout_s=9)",
        ],
        check=True,
        stdin=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == ["one", "two"]


def test_child_gets_default_dispositions_empty_mask_and_no_descriptors(tmp_path: Path) -> None:
    out = tmp_path / "out"
    reader, writer = os.pipe()
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGTERM})
    try:
        run(f'exec > "{out}"; grep -E "^Sig(Blk|Ign)" /proc/self/status; ls -l /proc/$$/fd')
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)
        os.close(reader)
        os.close(writer)
    blocked, ignored, *descriptors = out.read_text().splitlines()
    ours = sum(1 << (number - 1) for number in signal.valid_signals())  # the C library keeps a few to itself
    assert (int(blocked.split()[1], 16) & ours, int(ignored.split()[1], 16) & ours) == (0, 0)
    assert not any("pipe:" in line and f" {writer} ->" in line for line in descriptors)
    assert any(line.endswith(" 0 -> /dev/null") for line in descriptors)


def test_own_signal_mask_is_as_before() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, set())
    run("true")
    assert signal.pthread_sigmask(signal.SIG_BLOCK, set()) == before


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("exit 3", r"^SCHEMA_COMMAND 'exit 3': exited with status 3; see its output"),
        ("no-such-program-xyz", r"exited with status 127; install the program"),
        ("/tmp", r"exited with status 126; make the program executable"),
        ("kill -KILL $$", r"was killed by SIGKILL; .* memory ran out"),
        ("kill -SEGV $$", r"was killed by SIGSEGV"),
    ],
)
def test_failure_says_how_it_ended(command: str, message: str) -> None:
    with pytest.raises(SchemaError, match=message) as caught:
        run(command)
    assert caught.value.exit_code == 70


def test_password_in_the_command_stays_out_of_the_error() -> None:
    with pytest.raises(SchemaError) as caught:
        run("exit 1 # postgresql://u:hunter2@h/d")
    assert "hunter2" not in str(caught.value)


def test_time_out_ends_the_whole_group(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(DeadlineExceededError, match=r"did not end within 0\.5 s") as caught:
        run(f'sleep 60 & echo $! > "{tmp_path}/pid"; wait', timeout_s=0.5)
    assert caught.value.exit_code == 124
    assert time.monotonic() - started < 2
    assert not is_alive(int(wait_for(tmp_path / "pid")))


def test_child_that_ignores_the_signal_is_killed_in_time(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(DeadlineExceededError):
        run(f'trap "" TERM; echo $$ > "{tmp_path}/pid"; while :; do sleep 1; done', timeout_s=0.5)
    assert 2 < time.monotonic() - started < 4.5
    assert not is_alive(int(wait_for(tmp_path / "pid")))


def test_what_a_successful_command_leaves_running_is_ended(tmp_path: Path) -> None:
    run(f'sleep 60 & echo $! > "{tmp_path}/pid"')
    assert not is_alive(int(wait_for(tmp_path / "pid")))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_is_passed_on_and_the_command_may_clean_up(tmp_path: Path, number: signal.Signals) -> None:
    name = number.name.removeprefix("SIG")
    command = (
        f'trap \'echo {name} > "{tmp_path}/got"; exit 0\' {name}; echo $$ > "{tmp_path}/pid"; '
        "while :; do sleep 0.05; done"
    )

    def stop(_number: int, _frame: object) -> None:
        raise Interrupted(StoppedError(number, number.name))

    previous = signal.signal(signal.SIGUSR2, stop)
    try:
        signaller = subprocess.Popen(
            ["sh", "-c", f'while [ ! -s "{tmp_path}/pid" ]; do sleep 0.05; done; kill -USR2 {os.getpid()}']
        )
        with pytest.raises(Interrupted):
            run(command)
        signaller.wait()
    finally:
        signal.signal(signal.SIGUSR2, previous)
    assert wait_for(tmp_path / "got") == f"{name}\n"
    assert not is_alive(int(wait_for(tmp_path / "pid")))


def test_process_one_reaps_the_group_s_orphans_and_no_other_child(tmp_path: Path) -> None:
    """A subreaper stands in for PID 1: orphans become its children."""
    program = textwrap.dedent(
        f"""
        import ctypes, os, subprocess, time
        import structlog; structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
        from entrypoint.schema.command import run_schema_command
        assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0  # PR_SET_CHILD_SUBREAPER
        other = subprocess.Popen(["sh", "-c", "exit 7"])
        line = "(sleep 60 & echo $! > {tmp_path}/pid) & wait"
        run_schema_command(line, environment=dict(os.environ), timeout_s=9)
        assert other.wait() == 7
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            print("no child left")
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert (done.stdout, done.stderr) == ("no child left\n", "")
    assert not is_alive(int(wait_for(tmp_path / "pid")))


def test_image_without_a_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("entrypoint.schema.command._SHELL", "/nowhere/sh")
    with pytest.raises(SchemaError, match=r"could not be started .*the image needs /nowhere/sh"):
        run("true")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_real_signal_to_a_process_with_our_handlers(tmp_path: Path, number: signal.Signals) -> None:
    program = textwrap.dedent(
        f"""
        import os, sys
        import structlog; structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
        from entrypoint.interrupts import Interrupted, install_handlers
        from entrypoint.schema.command import run_schema_command
        install_handlers()
        try:
            run_schema_command(
                "sleep 60 & echo $! $$ > {tmp_path}/pid; wait", environment=dict(os.environ), timeout_s=30
            )
        except Interrupted as stop:
            sys.exit(stop.error.exit_code)
        """
    )
    process = subprocess.Popen([sys.executable, "-c", program], cwd=Path(__file__).parents[2])
    pids = [int(pid) for pid in wait_for(tmp_path / "pid").split()]
    started = time.monotonic()
    process.send_signal(number)
    assert process.wait(timeout=10) == 128 + number
    assert time.monotonic() - started < 5
    time.sleep(0.1)
    assert not any(is_alive(pid) for pid in pids)
