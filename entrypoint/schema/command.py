"""SCHEMA_COMMAND: the application's own migration tool as a child process, and nothing left of it.

Owns the child's life: its process group, the signals it gets, its end. Does not know what it does to
the database; the lock around it is the caller's.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from entrypoint.errors import DeadlineExceededError, EntrypointError, SchemaError, StoppedError
from entrypoint.interrupts import Interrupted

_SHELL = "/bin/sh"

# Together well below the 4 s after which `interrupts` cuts everything off.
_GRACE_S = 2.5
_KILL_WAIT_S = 0.5
_SHORTEST_POLL_S = 0.005
_LONGEST_POLL_S = 0.05

_OUR_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGALRM})
_REMEDIES = {
    126: "make the program executable, or correct SCHEMA_COMMAND",
    127: "install the program into the image, or correct SCHEMA_COMMAND",
}


def run_schema_command(command_line: str, *, environment: Mapping[str, str], timeout_s: float) -> None:
    """Run `command_line` through `/bin/sh -c` in a session of its own and wait for its end.

    Its output, both streams, goes to stderr: stdout belongs to the application and to `--json`. It reads
    nothing from stdin, gets default signal dispositions, an empty mask and none of our connections. Whatever
    of its process group is still there when it ends, or when this program is told to stop, gets the
    signal, a moment of grace, and SIGKILL.

    Args:
        command_line: as the shell understands it.
        environment: all of the child's environment, with the `DATABASE_URL` it is to use.
        timeout_s: seconds until it is ended.

    Raises:
        SchemaError: it could not be started, exited with another status than 0, or died of a signal.
        DeadlineExceededError: it did not end in time.
        Interrupted: this program was told to stop; the signal has been passed on.
    """
    from entrypoint.log import get_logger, redact  # structlog, only when there is a command to run

    shown = f"SCHEMA_COMMAND {redact(command_line)!r}"
    log, started = get_logger(), time.monotonic()
    group: int | None = None
    try:
        with _signals_held_back():
            group = _spawn(command_line, environment, shown)
        log.info("schema_command_started", command=command_line, pid=group)
        exit_code = _wait(group, deadline=started + timeout_s)
    except BaseException as stop:
        if group is not None:
            _end_group(group, _choose_signal(stop))
        raise
    if exit_code is None:
        _end_group(group, signal.SIGTERM)
        raise DeadlineExceededError(
            f"did not end within {timeout_s:g} s and was terminated",
            where=shown,
            remedy="raise SCHEMA_TIMEOUT",
        )
    if _end_group(group, signal.SIGTERM):
        log.warning("schema_command_leftovers_terminated", command=command_line)
    if exit_code != 0:
        raise _explain_exit(exit_code, shown)
    log.info("schema_command_finished", duration_s=round(time.monotonic() - started, 3))


def _spawn(command_line: str, environment: Mapping[str, str], shown: str) -> int:
    """Start the shell as the leader of a new session; Python has made our descriptors close at exec."""
    try:
        return os.posix_spawn(
            _SHELL,
            [_SHELL, "-c", command_line],
            dict(environment),
            file_actions=[(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), (os.POSIX_SPAWN_DUP2, 2, 1)],
            setsid=True,
            setsigmask=(),
            setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
        )
    except OSError as error:
        raise SchemaError(
            f"could not be started ({error.strerror})", where=shown, remedy=f"the image needs {_SHELL}"
        ) from error


def _wait(child: int, *, deadline: float) -> int | None:
    """Return the child's exit code, negative for a signal; None when the deadline passed first."""
    poll_s = _SHORTEST_POLL_S
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        remaining_s = deadline - time.monotonic()
        if remaining_s <= 0:
            return None
        time.sleep(min(poll_s, remaining_s))
        poll_s = min(poll_s * 2, _LONGEST_POLL_S)


def _end_group(group: int, signal_number: int) -> bool:
    """End what is left of the process group and reap what is ours to reap; tell whether there was anything.

    As PID 1 we inherit the group's orphans; children outside of it are left alone.
    """
    with _signals_held_back():
        if _is_gone(group, within_s=0):
            return False
        _signal_group(group, signal_number)
        _signal_group(group, signal.SIGCONT)  # a stopped process would not notice
        if not _is_gone(group, within_s=_GRACE_S):
            _signal_group(group, signal.SIGKILL)
            _is_gone(group, within_s=_KILL_WAIT_S)
    return True


def _is_gone(group: int, *, within_s: float) -> bool:
    deadline, poll_s = time.monotonic() + within_s, _SHORTEST_POLL_S
    while True:
        is_alive = _has_living_member(group)
        _reap(group)
        if not is_alive:
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(poll_s)
        poll_s = min(poll_s * 2, _LONGEST_POLL_S)


def _reap(group: int) -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-group, os.WNOHANG)[0]:
            pass


def _signal_group(group: int, signal_number: int) -> bool:
    """Tell whether the group still has a member, dead ones that nobody has reaped included."""
    try:
        os.killpg(group, signal_number)
    except ProcessLookupError:
        return False
    except PermissionError:  # it changed its user
        return True
    return True


def _has_living_member(group: int) -> bool:
    """Tell whether a process of the group still runs.

    Beside an application that is PID 1 and reaps nobody (`docker exec`), the dead stay in the group.
    """
    if not _signal_group(group, 0):
        return False
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _parent, its_group = entry.read_text().rpartition(")")[2].split()[:3]
        except OSError:  # it has just ended
            continue
        if int(its_group) == group and state not in ("Z", "X"):
            return True
    return False


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """Let no handler raise in the block: between a fork and the note of its pid, or while cleaning up."""
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, _OUR_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


def _choose_signal(stop: BaseException) -> int:
    if isinstance(stop, Interrupted):
        return stop.error.signal_number if isinstance(stop.error, StoppedError) else signal.SIGTERM
    return signal.SIGINT if isinstance(stop, KeyboardInterrupt) else signal.SIGTERM


def _explain_exit(exit_code: int, shown: str) -> EntrypointError:
    if exit_code < 0:
        return SchemaError(
            f"was killed by {signal.Signals(-exit_code).name}",
            where=shown,
            remedy="see its output above; SIGKILL often means that memory ran out",
        )
    return SchemaError(
        f"exited with status {exit_code}",
        where=shown,
        remedy=_REMEDIES.get(exit_code, "see its output above, correct the cause and start again"),
    )
