"""Find the legacy SQLite file: the one that was named, or the first on the known mount paths.

Owns what counts as a candidate. Looks at names, sizes and first bytes only; opens nothing through SQLite.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from entrypoint import log
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
        # SQLAlchemy's rule: after sqlite:/// comes the path, so that an absolute one has four slashes.
        path = rest.removeprefix("///") if rest.startswith("///") else rest.removeprefix("//")
    if not path or path == ":memory:":
        raise ConfigurationError(
            f"SQLITE_URL={text} names no file; use a path, file:/path or sqlite:////absolute/path"
        )
    return Path(unquote(path))


def find_candidates(paths: Iterable[str]) -> tuple[tuple[Path, ...], ...]:
    """Return the candidates on the probed paths, grouped by directory, in the order of the paths.

    A file that looks like a database by its name and is none is skipped with a warning.
    """
    groups: dict[Path, list[Path]] = {}
    seen: set[Path] = set()
    for pattern in paths:
        for path in _expand(pattern):
            real = path.resolve()
            if real in seen or not is_candidate_name(path.name):
                continue
            kind = unit.classify(path)
            if kind == "sqlite":
                seen.add(real)
                groups.setdefault(path.parent, []).append(real)
            elif path.suffix.lower() in _DATABASE_SUFFIXES and kind not in ("missing", "not_regular"):
                seen.add(real)
                log.get_logger().warning("source_candidate_skipped", path=str(path), reason=_REASONS[kind])
    return tuple(tuple(group) for group in groups.values())


_REASONS = {
    "empty": "0 bytes",
    "truncated": "shorter than its header says",
    "not_sqlite": "its first bytes are not SQLite's: encrypted, or another kind of file",
    "unreadable": "cannot be read: give the container's user read permission",
}


def is_candidate_name(name: str) -> bool:
    """Tell whether a file's name says neither that it is retired nor that it is a backup or a sidecar."""
    return not (RETIRED.search(name) or _BACKUP.search(name) or name.endswith(unit.SIDECAR_SUFFIXES))


def _expand(pattern: str) -> Iterator[Path]:
    """Yield the files a part of SQLITE_PATHS stands for: a file, a directory's files, or a glob's."""
    is_glob = glob.has_magic(pattern) and not os.path.lexists(pattern)
    for found in sorted(glob.glob(pattern)) if is_glob else [pattern]:  # noqa: PTH207  (absolute patterns)
        path = Path(found)
        if path.is_dir():
            try:
                yield from sorted(path / entry.name for entry in os.scandir(path) if entry.is_file())
            except PermissionError:
                log.get_logger().warning(
                    "source_directory_skipped",
                    path=str(path),
                    reason="cannot be listed: give the container's user read permission",
                )
        elif path.exists():
            yield path
