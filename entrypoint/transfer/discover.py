"""Find the legacy SQLite file: the one that was named, or the first on the known mount paths.

Owns what counts as a candidate. Looks at names, sizes and first bytes only; opens nothing through SQLite.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from entrypoint.errors import ConfigurationError
from entrypoint.sqlite import unit
from entrypoint.sqlite.source import require_database

RETIRED = re.compile(r"\.migrated-\d{8}T\d{6}Z(?:-\d+)?$")
_BACKUP = re.compile(
    r"(?:\.(?:bak|backup|old|orig|save|copy|tmp)|~|[-_.]backup[-_.\d]*)$|\.(?:bak|backup)[-_.]", re.I
)
_DATABASE_SUFFIXES = frozenset({".db", ".db3", ".sqlite", ".sqlite3", ".s3db", ".sl3"})


def find_named(sqlite_url: str) -> Path:
    """Return the source that SQLITE_URL names, as the real file behind any symbolic link.

    Raises:
        ConfigurationError: the URL names no file.
        SourceNotFoundError, NotPermittedError: there is no readable SQLite database.
    """
    path = parse_sqlite_url(sqlite_url)
    require_database(path)
    return path.resolve()


def parse_sqlite_url(text: str) -> Path:
    """Return the path in `PATH`, `file:PATH`, `file:///PATH`, `sqlite:///RELATIVE` or `sqlite:////ABSOLUTE`."""
    scheme, colon, rest = text.partition(":")
    kind = scheme.lower().partition("+")[0]
    if not colon or kind not in ("file", "sqlite", "sqlite3"):
        return Path(text)
    rest = rest.partition("?")[0].partition("#")[0]
    if kind == "file":
        path = urlsplit("file:" + rest).path if rest.startswith("//") else rest
    else:
        path = rest.removeprefix("///") if rest.startswith("///") else rest.removeprefix("//")
    if not path or path == ":memory:":
        raise ConfigurationError(
            f"SQLITE_URL={text} names no file; use a path, file:/path or sqlite:////absolute/path"
        )
    return _settle(Path(unquote(path))) if rest.startswith("///") and kind != "file" else Path(unquote(path))


def _settle(path: Path) -> Path:
    """Decide what sqlite:///a/b means: a/b to SQLAlchemy, /a/b to those who read it as a URL of a file.

    The one that exists is meant; where neither does, the one whose directory exists, SQLAlchemy's first.
    """
    absolute = Path("/") / path
    for candidate in (path, absolute):
        if os.path.lexists(candidate):
            return candidate
    return absolute if absolute.parent.is_dir() and not path.parent.is_dir() else path


@dataclass(frozen=True, slots=True, kw_only=True)
class Finds:
    """What lies on the probed paths.

    Attributes:
        groups: SQLite databases by directory, in the order of the paths.
        skipped: files that look like a database by their name and are none, each with the reason.
        unreadable: files and directories that may hold the source and cannot be looked at.
        is_nowhere: none of the paths exists.
    """

    groups: tuple[tuple[Path, ...], ...]
    skipped: tuple[tuple[Path, str], ...] = ()
    unreadable: tuple[Path, ...] = ()
    is_nowhere: bool = False


NOT_A_DATABASE = {
    "empty": "0 bytes",
    "truncated": "shorter than its header says",
    "not_sqlite": "its first bytes are not SQLite's: encrypted, or another kind of file",
}


def find_candidates(paths: Iterable[str]) -> Finds:
    """Look at every file on the probed paths, each once."""
    paths = tuple(paths)
    groups: dict[Path, list[Path]] = {}
    skipped: list[tuple[Path, str]] = []
    unreadable: list[Path] = []
    seen: set[Path] = set()
    for path in _expand(paths, unreadable):
        real = path.resolve()
        if real in seen or not is_candidate_name(path.name):
            continue
        seen.add(real)
        kind = unit.classify(path)
        if kind == "sqlite" and (sidecar := unit.find_unreadable_sidecar(path)):
            unreadable.append(sidecar)
        elif kind == "sqlite":
            groups.setdefault(path.parent, []).append(real)
        elif path.suffix.lower() in _DATABASE_SUFFIXES:
            if kind == "unreadable":
                unreadable.append(path)
            elif kind in NOT_A_DATABASE:
                skipped.append((path, NOT_A_DATABASE[kind]))
    return Finds(
        groups=tuple(tuple(group) for group in groups.values()),
        skipped=tuple(skipped),
        unreadable=tuple(unreadable),
        is_nowhere=not seen and not unreadable and not any(glob.glob(pattern) for pattern in paths),  # noqa: PTH207
    )


def is_candidate_name(name: str) -> bool:
    """Tell whether a file's name says neither that it is retired nor that it is a backup or a sidecar."""
    return not (RETIRED.search(name) or _BACKUP.search(name) or name.endswith(unit.SIDECAR_SUFFIXES))


def _expand(patterns: Iterable[str], unreadable: list[Path]) -> Iterator[Path]:
    """Yield the files that SQLITE_PATHS stands for: files, directories' files, globs' matches."""
    for pattern in patterns:
        is_glob = glob.has_magic(pattern) and not os.path.lexists(pattern)
        for found in sorted(glob.glob(pattern)) if is_glob else [pattern]:  # noqa: PTH207  (may be absolute)
            path = Path(found)
            try:
                if path.is_dir():
                    yield from sorted(path / entry.name for entry in os.scandir(path) if entry.is_file())
                elif path.exists():
                    yield path
            except PermissionError:
                unreadable.append(path)
