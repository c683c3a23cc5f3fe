"""The exception tree: every way the program ends other than well, each with its exit code.

Errors are raised where the cause is known and turned into one line and an exit code in `cli.py`.
This module knows nothing of where they come from.
"""

from __future__ import annotations


class EntrypointError(Exception):
    """What went wrong, where, and what to do about it.

    Args:
        what: the fact, in one clause, without a trailing full stop.
        where: the file, table, variable or host it concerns.
        remedy: what the reader should do next, as an imperative clause.
    """

    exit_code = 70

    def __init__(self, what: str, *, where: str | None = None, remedy: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        line = self.what if self.where is None else f"{self.where}: {self.what}"
        return line if self.remedy is None else f"{line}; {self.remedy}"


class UsageError(EntrypointError):
    """The command line makes no sense (sysexits.h EX_USAGE)."""

    exit_code = 64


class SourceRefusedError(EntrypointError):
    """The source's data cannot be taken: integrity, rejects, conflicts, verification (EX_DATAERR)."""

    exit_code = 65


class SourceNotFoundError(EntrypointError):
    """A source that was named explicitly is not there or is no SQLite database (EX_NOINPUT)."""

    exit_code = 66


class UnreachableError(EntrypointError):
    """PostgreSQL did not become ready in time (EX_UNAVAILABLE)."""

    exit_code = 69


class SchemaError(EntrypointError):
    """The schema step failed (EX_SOFTWARE)."""

    exit_code = 70


class LockNotObtainedError(EntrypointError):
    """Another bootstrapper held the lock for too long (EX_TEMPFAIL)."""

    exit_code = 75


class NotPermittedError(EntrypointError):
    """Credentials, a privilege or a file permission is missing (EX_NOPERM)."""

    exit_code = 77


class ConfigurationError(EntrypointError):
    """One or more settings are unusable (EX_CONFIG).

    Args:
        problems: one complete sentence each; all of them are reported at once.
    """

    exit_code = 78

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class DeadlineExceededError(EntrypointError):
    """A phase ran past its time-out (the exit code of timeout(1))."""

    exit_code = 124


class CommandNotExecutableError(EntrypointError):
    """CMD was found and cannot be executed (the shell's exit code)."""

    exit_code = 126


class CommandNotFoundError(EntrypointError):
    """CMD was not found (the shell's exit code)."""

    exit_code = 127


class StoppedError(EntrypointError):
    """A signal asked the program to stop.

    Args:
        signal_number: the signal; the exit code is 128 plus it.
    """

    def __init__(self, signal_number: int, name: str) -> None:
        super().__init__(
            f"stopped by {name}", remedy="what was not committed was rolled back; start again to resume"
        )
        self.signal_number = signal_number
        self.exit_code = 128 + signal_number
