"""Processes of the demo's: none is started without being ended, whatever signal comes at whatever moment.

Owns starting, ending, and what a signal must not come between. Knows nothing of what they run.
"""

from __future__ import annotations

import ctypes
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypedDict

_STOPPING = {signal.SIGINT, signal.SIGTERM}
_END_LIMIT_S = 1.5
_PR_SET_PDEATHSIG = 1  # prctl(2)


class Identity(TypedDict, total=False):
    """What `subprocess` needs to start a process as another user; empty where that is not needed."""

    user: int
    group: int
    extra_groups: list[int]


@contextmanager
def hold_signals() -> Iterator[set[signal.Signals]]:
    """Let a stopping signal wait until the block has ended; give the mask there was before."""
    held = {signal.Signals(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)}
    try:
        yield held
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


@contextmanager
def run_process(
    arguments: Sequence[str | Path],
    *,
    environment: Mapping[str, str],
    folder: Path,
    output: IO[bytes] | None,
    end_with: signal.Signals,
    identity: Identity | None = None,
    is_apart: bool = False,
) -> Iterator[subprocess.Popen[bytes]]:
    """Give a running process; end it on leaving, if it has not ended.

    A stopping signal waits until the process is known: between fork and the return of `Popen` nobody else
    would end it. The process itself starts without that mask, and is ended by the kernel should we end
    without a chance to (SIGKILL, SIGHUP).

    Args:
        arguments: program and arguments.
        environment: all of it.
        folder: its working directory.
        output: where stdout and stderr go; None is our stdout.
        end_with: the signal that ends it.
        identity: whose it is to be; None = ours.
        is_apart: in a session of its own, so that Ctrl-C on a terminal does not reach it.

    Raises:
        OSError: it cannot be started.
    """
    libc = ctypes.CDLL(None)  # before the fork
    process = None
    try:
        with hold_signals() as held:

            def prepare() -> None:
                libc.prctl(_PR_SET_PDEATHSIG, end_with)
                signal.pthread_sigmask(signal.SIG_SETMASK, held)

            process = subprocess.Popen(
                arguments,
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=is_apart,
                preexec_fn=prepare,
                **(identity or {}),
            )
        yield process
    finally:
        if process is not None:
            with hold_signals():
                _end(process, end_with)


def _end(process: subprocess.Popen[bytes], end_with: signal.Signals) -> None:
    if process.poll() is not None:
        return
    process.send_signal(end_with)
    try:
        process.wait(_END_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
