"""The real program as a child process, in an environment of its own, watched from outside."""

from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

# Another user may not be able to enter the interpreter's directory: everything is imported first.
_AS_USER = """
import encodings.idna, encodings.latin_1, encodings.utf_8_sig, importlib.readers, importlib.resources
import os, pkgutil, sys, tempfile, traceback, psycopg, tenacity, structlog.dev, entrypoint
for module in pkgutil.walk_packages(entrypoint.__path__, "entrypoint."):
    if ".demo" not in module.name and "__main__" not in module.name:
        importlib.import_module(module.name)
from entrypoint.__main__ import main
uid, gid = int(sys.argv[1]), int(sys.argv[2])
os.setgroups([])
os.setgid(gid)
os.setuid(uid)
del sys.argv[1:3]
sys.exit(main())
"""

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = (sys.executable, "-m", "entrypoint")
_PREFIX = "entrypoint: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What a child left: its exit code (negative: the signal it died of) and what it wrote."""

    code: int
    stdout: str
    stderr: str

    @property
    def lines(self) -> list[str]:
        """The lines on stderr that are no log events."""
        return [line for line in self.stderr.splitlines() if not line.startswith("{")]

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stderr.splitlines() if line.startswith("{")]

    def find(self, event: str) -> list[dict[str, Any]]:
        """Return the logged events of this name."""
        return [entry for entry in self.events if entry["event"] == event]

    @property
    def names(self) -> list[str]:
        return [entry["event"] for entry in self.events]

    def failed_with(self, code: int) -> str:
        """Assert that it ended with `code` and said so in exactly one line; return that line."""
        assert self.code == code, (self.code, self.stderr)
        assert len(self.lines) == 1, self.stderr
        assert self.lines[0].startswith(_PREFIX)
        return self.lines[0].removeprefix(_PREFIX)

    def succeeded(self) -> Self:
        assert self.code == 0, self.stderr
        assert self.lines == [], self.stderr
        return self


class Running:
    """A child under way; killed, with nothing left of it, when the block ends."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._stdout: list[str] = []
        self._stderr: list[str] = []
        self._readers = [
            threading.Thread(target=self._read, args=(stream, into), daemon=True)
            for stream, into in ((process.stdout, self._stdout), (process.stderr, self._stderr))
        ]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(stream: Any, into: list[str]) -> None:
        for line in stream:
            into.append(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.finish()

    def wait_for(self, event: str, timeout_s: float = 20) -> None:
        """Wait until the child has logged `event`."""
        marker = f'"event": "{event}"'
        wait_until(lambda: any(marker in line for line in list(self._stderr)), timeout_s=timeout_s)

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def finish(self, timeout_s: float = 30) -> Ended:
        """Wait for its end and return what it left."""
        code = self.process.wait(timeout_s)
        for reader in self._readers:
            reader.join(5)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        return Ended(code=code, stdout="".join(self._stdout), stderr="".join(self._stderr))

    def stop(self, number: int = signal.SIGTERM) -> tuple[Ended, float]:
        """Send a signal; return what was left and the seconds that took."""
        sent = time.monotonic()
        self.send(number)
        ended = self.finish()
        return ended, time.monotonic() - sent


def wait_until(is_so: Callable[[], bool], *, timeout_s: float = 20, what: str = "it") -> None:
    """Poll until a condition holds; fail where it does not in time."""
    limit = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < limit, f"{what} did not happen within {timeout_s} s"
        time.sleep(0.01)


def clean_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return an environment as an image would have it, with `variables` in it."""
    return {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": "/tmp", **variables}


def start_program(
    *arguments: str,
    environment: Mapping[str, str],
    user: str | None = None,
    program: tuple[str, ...] = PROGRAM,
    **options: Any,
) -> Running:
    """Start `python -m entrypoint ARGUMENTS…`, as another user where one is named and we are root."""
    if user is not None:
        entry = pwd.getpwnam(user)
        program = (sys.executable, "-c", _AS_USER, str(entry.pw_uid), str(entry.pw_gid))
    options.setdefault("cwd", ROOT)
    return Running(
        subprocess.Popen(
            [*program, *arguments],
            env=clean_environment({"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **environment}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
            **options,
        )
    )


def run_program(*arguments: str, environment: Mapping[str, str], **options: Any) -> Ended:
    """Run the program to its end."""
    with start_program(*arguments, environment=environment, **options) as running:
        return running.finish(60)
