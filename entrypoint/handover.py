"""Become the application: as if this program had never run.

Owns what execve(2) passes on: signal dispositions and mask, user and groups, standard streams. Same process,
same descriptors, same directory and umask; whatever this program opened is closed on exec.
"""

from __future__ import annotations

import grp
import os
import pwd
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from entrypoint import log
from entrypoint.errors import (
    CommandNotExecutableError,
    CommandNotFoundError,
    ConfigurationError,
    NotPermittedError,
)

# CPython ignores SIGPIPE and SIGXFSZ at start-up; the others have had our handlers.
_CHANGED_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM, signal.SIGINT, signal.SIGALRM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whom to become; `name` and `home` are empty where the user has no passwd entry."""

    uid: int
    gid: int
    name: str
    home: str


def execute(command: Sequence[str], *, environment: Mapping[str, str], run_as: str | None) -> NoReturn:
    """Replace this process by `command`, looked up on the environment's PATH.

    Args:
        command: program and arguments, at least one.
        environment: all of the application's environment.
        run_as: `user[:group]` to become when this process is root's.

    Raises:
        CommandNotFoundError, CommandNotExecutableError: as a shell tells them, 127 and 126.
        ConfigurationError: `run_as` names nobody.
        NotPermittedError: this process may not become `run_as`.
    """
    variables = dict(environment)
    if run_as is not None:
        identity = find_identity(run_as)
        become(identity)
        if identity.home:
            variables["HOME"] = identity.home
    sys.stdout.flush()
    sys.stderr.flush()
    for number in _CHANGED_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        os.execvpe(command[0], list(command), variables)  # noqa: S606  (the purpose of this program)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CommandNotFoundError(
            "command not found", where=command[0], remedy="check CMD and the image's PATH"
        ) from error
    except OSError as error:
        raise CommandNotExecutableError(
            f"cannot be executed: {error.strerror}",
            where=command[0],
            remedy="check its mode bits, its #! line and its architecture",
        ) from error


def find_identity(run_as: str) -> Identity:
    """Return the user and group that `user[:group]` names, by name or number.

    Raises:
        ConfigurationError: no such user or group.
    """
    user, _, group = run_as.partition(":")
    try:
        entry = pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
        uid, gid, name, home = entry.pw_uid, entry.pw_gid, entry.pw_name, entry.pw_dir
    except KeyError:
        if not user.isdecimal():
            raise ConfigurationError(f"RUN_AS={run_as}: no user {user} in the image") from None
        uid, gid, name, home = int(user), 0, "", ""
    if group:
        try:
            gid = int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
        except KeyError:
            raise ConfigurationError(f"RUN_AS={run_as}: no group {group} in the image") from None
    return Identity(uid=uid, gid=gid, name=name, home=home)


def become(identity: Identity) -> None:
    """Take on groups, gid and uid, in the order that still allows the next; nothing to do if it is so.

    Raises:
        NotPermittedError: only root may.
    """
    if os.geteuid() != 0:
        if os.geteuid() != identity.uid:
            log.get_logger().debug("run_as_ignored", reason="not started as root", uid=os.geteuid())
        return
    try:
        if identity.name:
            os.initgroups(identity.name, identity.gid)
        else:
            os.setgroups([identity.gid])
        os.setgid(identity.gid)
        os.setuid(identity.uid)
    except PermissionError as error:
        raise NotPermittedError(
            f"may not become uid {identity.uid}: {error.strerror}",
            where="RUN_AS",
            remedy="give the container the capabilities SETUID and SETGID, or start it as that user",
        ) from error
