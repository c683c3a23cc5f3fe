"""Files -> migrations: which tool's layout a file follows, its version, its checksum.

Owns the reading of the migrations directory. Applies nothing and knows no database.

A file that is not SQL is none of ours; an SQL file that fits no layout is an error, because a migration
that is left out without a word is worse than a container that does not start.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from entrypoint.errors import ConfigurationError, NotPermittedError, SchemaError
from entrypoint.schema.migration import Layout, Migration, Script, order_of, parse_version, spell_version
from entrypoint.schema.sections import drop_if_empty, make_script, parse_file

_UP_DOWN = re.compile(r"([0-9]+)(?:[_-](.+?))?\.(up|down)\.sql", re.IGNORECASE)  # golang-migrate
_NUMBERED = re.compile(r"([0-9]+)(?:[_-](.+?))?(_down)?\.sql", re.IGNORECASE)
_FLYWAY = re.compile(r"([VU])([0-9]+(?:[._][0-9]+)*)(?:__(.*))?\.sql")
_FLYWAY_OTHER = re.compile(r"(R__.*|B[0-9._]+__.*)\.sql")
_DIRECTORY = re.compile(r"([0-9][0-9-]*)(?:_.*)?")  # diesel, Prisma
_OTHER_PROVIDER = re.compile(r"""^\s*provider\s*=\s*["'](?!postgres)(\w+)["']""", re.MULTILINE)

_UP_FILES = {"up.sql": Layout.DIESEL, "migration.sql": Layout.PRISMA}

_LAYOUTS = (
    "name it like 001_name.sql, 001_name.up.sql, V1__name.sql, 001_name/up.sql or 001_name/migration.sql, "
    "or move it out of the migrations directory"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """What one file contributes: an up script, a down script, or both."""

    version: int
    name: str
    path: Path
    layout: Layout
    checksum: str
    up: Script | None
    down: Script | None


def read_migrations(directory: Path, *, is_required: bool = False) -> tuple[Migration, ...]:
    """Read every migration in `directory`, in the order in which they are applied.

    Args:
        directory: files of any of the layouts of `Layout`, mixed if need be.
        is_required: whether the directory was named by the user; otherwise its absence means nothing to do.

    Raises:
        SchemaError: a file that fits no layout or cannot be understood, two files of one version, or a
            down part without an up part.
        ConfigurationError: the directory is required and missing, or is no directory.
        NotPermittedError: it, or a file in it, may not be read.
    """
    try:
        if not directory.is_dir():
            if is_required or directory.exists():
                what = "is no directory" if directory.exists() else "does not exist"
                raise ConfigurationError(
                    f"MIGRATIONS_DIR={directory} {what}: name the directory of the SQL files"
                )
            return ()
        parts = tuple(_read_parts(directory))
    except PermissionError as error:
        raise NotPermittedError(
            "may not be read", where=str(error.filename), remedy="make it readable for the container's user"
        ) from error
    return _pair(parts)


def compute_checksum(text: str) -> str:
    """Return the SHA-256, in hex, of a file's text with Windows newlines and final newlines normalised."""
    return hashlib.sha256(text.replace("\r\n", "\n").rstrip("\n").encode()).hexdigest()


def _read_parts(directory: Path) -> Iterator[_Part]:
    for path in sorted(directory.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _read_directory(path)
        elif path.suffix.lower() == ".sql":
            yield _read_numbered(path)
        elif path.name == "migration_lock.toml":
            _check_provider(path)
        else:
            _log_ignored(path)


def _read_numbered(path: Path) -> _Part:
    """Read a file that lies in the migrations directory itself."""
    if match := _FLYWAY.fullmatch(path.name):
        return _read_flyway(path, is_undo=match[1] == "U", version=match[2])
    if match := _UP_DOWN.fullmatch(path.name):
        text, direction = _read_text(path), match[3].lower()
        script = make_script(text, label=path.name)
        stem = path.name[: match.start(3) - 1]
        return _make_part(path, text, match[1], stem, Layout.GOLANG_MIGRATE, **{direction: script})
    if match := _NUMBERED.fullmatch(path.name):
        text = _read_text(path)
        if match[3]:
            down = make_script(text, label=path.name)
            return _make_part(path, text, match[1], path.name[: match.start(3)], Layout.PLAIN, down=down)
        parsed = parse_file(text, label=path.name)
        return _make_part(path, text, match[1], path.stem, parsed.layout, up=parsed.up, down=parsed.down)
    if _FLYWAY_OTHER.fullmatch(path.name):
        raise SchemaError(
            "Flyway's repeatable and baseline migrations are not supported",
            where=path.name,
            remedy="make it a versioned one, or run Flyway itself with SCHEMA_COMMAND",
        )
    raise SchemaError("fits no known layout of migrations", where=path.name, remedy=_LAYOUTS)


def _read_flyway(path: Path, *, is_undo: bool, version: str) -> _Part:
    text = _read_text(path)
    settings = path.with_name(f"{path.name}.conf")
    is_transactional = not (
        settings.is_file()
        and re.search(r"^\s*executeInTransaction\s*=\s*false\s*$", _read_text(settings), re.MULTILINE)
    )
    script = make_script(text, label=path.name, is_transactional=is_transactional)
    direction = "down" if is_undo else "up"
    return _make_part(path, text, version, path.stem, Layout.FLYWAY, **{direction: script})


def _read_directory(directory: Path) -> Iterator[_Part]:
    """Read a migration that is a directory: diesel's `up.sql` and `down.sql`, Prisma's `migration.sql`."""
    files = sorted(path for path in directory.iterdir() if path.suffix.lower() == ".sql")
    match = _DIRECTORY.fullmatch(directory.name)
    if match is None:
        if files:
            raise SchemaError(
                "SQL files in a subdirectory that is named like no migration",
                where=f"{directory.name}/{files[0].name}",
                remedy=f"set MIGRATIONS_DIR={directory} if these are the migrations, else move them out",
            )
        _log_ignored(directory)
        return
    ups = [path for path in files if path.name in _UP_FILES]
    others = [path for path in files if path.name not in (*_UP_FILES, "down.sql")]
    if len(ups) != 1 or others:
        found = ", ".join(path.name for path in files) or "no SQL file"
        raise SchemaError(
            f"holds {found}",
            where=f"{directory.name}/",
            remedy="it needs up.sql (diesel) or migration.sql (Prisma)",
        )
    metadata = directory / "metadata.toml"
    is_transactional = not (metadata.is_file() and _is_run_bare(metadata))
    for path in files:
        text = _read_text(path, label=f"{directory.name}/{path.name}")
        label = f"{directory.name}/{path.name}"
        script = make_script(text, label=label, is_transactional=is_transactional)
        direction, layout = "down" if path.name == "down.sql" else "up", _UP_FILES[ups[0].name]
        yield _make_part(path, text, match[1], directory.name, layout, **{direction: script})


def _is_run_bare(metadata: Path) -> bool:
    import tomllib  # few directories have such a file, and every start would pay for the import

    try:
        return tomllib.loads(_read_text(metadata)).get("run_in_transaction") is False
    except tomllib.TOMLDecodeError as error:
        where = f"{metadata.parent.name}/{metadata.name}"
        raise SchemaError(f"is no TOML ({error})", where=where, remedy="correct the file") from error


def _check_provider(path: Path) -> None:
    """Refuse Prisma's migrations for another database: their SQL is not PostgreSQL's."""
    match = _OTHER_PROVIDER.search(_read_text(path))
    if match:
        raise SchemaError(
            f"the migrations were made for {match[1]}",
            where=path.name,
            remedy="set MIGRATIONS_DIR to those made for postgresql",
        )


def _read_text(path: Path, *, label: str | None = None) -> str:
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = 1 + content.count(b"\n", 0, error.start)
        raise SchemaError(
            "is not UTF-8", where=f"{label or path.name}:{line}", remedy="save the file as UTF-8"
        ) from error
    if "\0" in text:
        line = 1 + text.count("\n", 0, text.index("\0"))
        raise SchemaError("holds a NUL character", where=f"{label or path.name}:{line}", remedy="remove it")
    return text


def _make_part(
    path: Path,
    text: str,
    version: str,
    name: str,
    layout: Layout,
    *,
    up: Script | None = None,
    down: Script | None = None,
) -> _Part:
    return _Part(
        version=parse_version(version),
        name=name,
        path=path,
        layout=layout,
        checksum=compute_checksum(text),
        up=up,
        down=drop_if_empty(down) if up else down,
    )


def _pair(parts: tuple[_Part, ...]) -> tuple[Migration, ...]:
    """Make one migration of the up and the down part of each version."""
    ups: dict[int, _Part] = {}
    downs: dict[int, _Part] = {}
    for part in parts:
        side = ups if part.up else downs
        if part.version in side:
            _refuse_twins(side[part.version], part)
        side[part.version] = part
    for version, part in downs.items():
        up = ups.get(version)
        # golang-migrate pairs by number alone; a plain `_down` belongs to the file it is named after.
        if up is None or (part.layout is Layout.PLAIN and up.name != part.name):
            assert part.down is not None
            raise SchemaError(
                "is the down part of a migration that has no up part",
                where=part.down.label,
                remedy="add the file that it reverts, or rename it if it reverts none",
            )
        if up.down is not None:
            _refuse_twins(up, part)
        ups[version] = replace(up, down=drop_if_empty(part.down))
    return tuple(_make_migration(ups[version]) for version in sorted(ups, key=order_of))


def _make_migration(part: _Part) -> Migration:
    assert part.up is not None
    return Migration(
        version=part.version,
        name=part.name,
        path=part.path,
        checksum=part.checksum,
        layout=part.layout,
        up=part.up,
        down=part.down,
    )


def _refuse_twins(first: _Part, second: _Part) -> None:
    labels = [script.label for part in (first, second) if (script := part.up or part.down)]
    raise SchemaError(
        f"{' and '.join(labels)} are both version {spell_version(first.version)}",
        where=str(first.path.parent),
        remedy="give one of them another number",
    )


def _log_ignored(path: Path) -> None:
    from entrypoint.log import get_logger  # structlog, only where there is something to say

    get_logger().debug("migrations_entry_ignored", path=str(path))
