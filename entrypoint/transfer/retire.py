"""Mark a migrated source by renaming it, with its sidecars, so that no later start takes it for new.

Owns the name a retired file gets. Runs after the commit: whatever goes wrong here, the ledger already
prevents a second migration.
"""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime
from pathlib import Path

from entrypoint.sqlite import unit

# A read-only mount, a file bind-mounted by itself, a directory of somebody else's.
_EXPECTED = frozenset({errno.EROFS, errno.EBUSY, errno.EACCES, errno.EPERM, errno.EXDEV})


class NotRetiredError(OSError):
    """The source could not be renamed; the ledger alone tells that it was migrated."""


def retire_unit(path: Path) -> Path:
    """Rename the unit at `path` to `NAME.migrated-YYYYmmddTHHMMSSZ`, sidecars with it; return the new path.

    The database goes first: from then on nothing finds it under its old name. Sidecars that a crash leaves
    behind follow at the next start (`finish_retiring`).

    Raises:
        NotRetiredError: the mount or its permissions do not allow it.
    """
    retired = _choose_name(path)
    try:
        path.rename(retired)
        finish_retiring(path, retired)
    except OSError as error:
        if error.errno in _EXPECTED or error.errno == errno.ENOSPC:
            raise NotRetiredError(error.errno, error.strerror or str(error), str(path)) from error
        raise
    return retired


def finish_retiring(path: Path, retired: Path) -> None:
    """Let the sidecars follow a database that has been renamed, and make the renaming durable."""
    for suffix in unit.SIDECAR_SUFFIXES:
        sidecar = path.with_name(path.name + suffix)
        destination = retired.with_name(retired.name + suffix)
        if sidecar.exists() and not os.path.lexists(destination):
            sidecar.rename(destination)
    _sync_directory(path.parent)


def _choose_name(path: Path) -> Path:
    """Return a name that nothing has; starts are alone here, the lock sees to that."""
    base = f"{path.name}.migrated-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    attempt = 0
    while True:
        name = base if attempt == 0 else f"{base}-{attempt}"
        if not any(os.path.lexists(path.with_name(name + suffix)) for suffix in ("", *unit.SIDECAR_SUFFIXES)):
            return path.with_name(name)
        attempt += 1


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that cannot sync a directory
            raise
    finally:
        os.close(descriptor)
