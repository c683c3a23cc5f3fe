"""Signals and deadlines: both end the work at hand by raising `Interrupted` in the main thread.

Owns the process's handlers for SIGTERM, SIGINT and SIGALRM and nothing else. `Interrupted` is a
KeyboardInterrupt, which psycopg answers by cancelling the running query before it lets it pass
(`psycopg.Connection.wait`), and which SQLite's progress handler turns into an interrupted statement.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from entrypoint.errors import DeadlineExceededError, EntrypointError, StoppedError

# After the first signal everything is unwound; what has not ended by then is cut off, so that the
# promise of 5 s holds even where a network no longer answers.
_UNWINDING_LIMIT_S = 4.0

_stopping = False


class Interrupted(KeyboardInterrupt):
    """The work must end now.

    Args:
        error: what the reader is told, and the exit code.
    """

    def __init__(self, error: EntrypointError) -> None:
        super().__init__(str(error))
        self.error = error


def _cut_off(error: StoppedError) -> None:
    time.sleep(_UNWINDING_LIMIT_S)
    os.write(2, f"entrypoint: {error}\n".encode())  # the main thread will not come to say it
    os._exit(error.exit_code)


def _stop(signal_number: int, _frame: FrameType | None) -> None:
    global _stopping
    if _stopping:
        return
    _stopping = True
    signal.setitimer(signal.ITIMER_REAL, 0)
    error = StoppedError(signal_number, signal.Signals(signal_number).name)
    threading.Thread(target=_cut_off, args=(error,), daemon=True).start()
    raise Interrupted(error)


def install_handlers() -> None:
    """Let SIGTERM and SIGINT end the work. PID 1 has no default dispositions: without this they are lost."""
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)


@contextmanager
def deadline(timeout_s: float, *, what: str, variable: str) -> Iterator[None]:
    """Raise `Interrupted` in the block when it has not ended after `timeout_s` seconds.

    Args:
        timeout_s: seconds from now; deadlines do not nest.
        what: the phase, for the message.
        variable: the setting that moves the limit.
    """

    def expire(_signal_number: int, _frame: FrameType | None) -> None:
        raise Interrupted(
            DeadlineExceededError(
                f"{what} did not end within {timeout_s:g} s and was rolled back", remedy=f"raise {variable}"
            )
        )

    previous = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, timeout_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
