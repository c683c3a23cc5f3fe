"""Decide what a start has to do about SQLite files, from the ledger and what lies on the mount paths.

Owns the rules of what is migrated, what is only renamed, and what is only reported. Opens no source and
writes nothing, so that a quiet start can ask without the lock.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from glob import escape
from pathlib import Path

from entrypoint import log
from entrypoint.errors import NotPermittedError, SourceNotFoundError
from entrypoint.settings import Settings
from entrypoint.sqlite import unit
from entrypoint.transfer.discover import (
    NOT_A_DATABASE,
    RETIRED,
    Finds,
    find_candidates,
    find_named,
    parse_sqlite_url,
)
from entrypoint.transfer.ledger import Success


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """What lies there.

    Attributes:
        new: candidates that no success in the ledger knows, grouped by directory, in path order.
        unretired: migrated files that still have their old name, with their success.
        unrecorded: retired files that the ledger does not know under their new name, with their success.
        left_behind: sidecars' databases that were renamed without them.
        changed: retired files that somebody wrote to afterwards.
        skipped: probed files that are no database, each with the reason.
        unreadable: probed files and directories that may hold the source and cannot be looked at.
        has_no_place: SQLITE_PATHS was set, nothing of it exists, and nothing was migrated yet.
        has_success: a data migration was committed before, so that nothing new is merged on its own.
    """

    new: tuple[tuple[Path, ...], ...]
    unretired: tuple[tuple[Path, Success], ...]
    unrecorded: tuple[tuple[Path, Success], ...]
    left_behind: tuple[tuple[Path, Path], ...]
    changed: tuple[Path, ...]
    skipped: tuple[tuple[Path, str], ...]
    unreadable: tuple[Path, ...]
    has_no_place: bool
    has_success: bool

    @property
    def is_settled(self) -> bool:
        """Whether nothing here needs the lock."""
        can_rename = any(is_renamable(path) for path, _ in self.unretired)
        is_half_done = can_rename or self.unrecorded or self.left_behind
        is_due = not self.has_success and (self.new or self.unreadable)
        return not is_due and not is_half_done


def assess(settings: Settings, successes: tuple[Success, ...]) -> Assessment:
    """Compare the mount paths with the ledger.

    Raises:
        SourceNotFoundError, NotPermittedError, ConfigurationError: SQLITE_URL names no readable database.
    """
    new: list[tuple[Path, ...]] = []
    unretired: list[tuple[Path, Success]] = []
    finds = _find(settings, successes)
    for group in finds.groups:
        unknown = []
        for path in group:
            success = recognise(path, successes)
            if success is None:
                unknown.append(path)
            elif success.retired_path is None or not _is_present(success.retired_path):
                unretired.append((path, success))
            else:
                log.get_logger().debug("source_copy_ignored", path=str(path), run=success.id)
        if unknown:
            new.append(tuple(unknown))
    return Assessment(
        new=tuple(new),
        unretired=tuple(unretired),
        unrecorded=tuple(_find_unrecorded(successes)),
        left_behind=tuple(_find_left_behind(successes)),
        changed=tuple(_find_changed(successes)),
        skipped=finds.skipped,
        unreadable=finds.unreadable,
        has_no_place=not successes and settings.is_sqlite_paths_explicit and finds.is_nowhere,
        has_success=bool(successes),
    )


def recognise(path: Path, successes: tuple[Success, ...]) -> Success | None:
    """Return the success that migrated exactly this content, by its stamp or, failing that, by its hash."""
    stamp = unit.read_stamp(path)
    for success in successes:
        if success.path == path and success.retired_path is None and success.stamp == stamp:
            return success
    if not successes:
        return None
    fingerprint = unit.compute_fingerprint(path)
    return next((success for success in successes if success.fingerprint == fingerprint), None)


def find_migrated(sqlite_url: str, successes: tuple[Success, ...]) -> Path:
    """Return the source that SQLITE_URL names, where it lies now that it may have been retired.

    Raises:
        ConfigurationError, SourceNotFoundError, NotPermittedError: as `find_named`.
    """
    named = parse_sqlite_url(sqlite_url)
    if not _is_present(named):
        for success in successes:
            retired = success.retired_path
            if success.path == named.resolve() and retired is not None and _is_present(retired):
                return retired
    return find_named(sqlite_url)


def find_known(settings: Settings, successes: tuple[Success, ...]) -> tuple[Path, int] | None:
    """Return the file that SQLITE_URL names and the run that migrated it; None where there is no such."""
    if settings.sqlite_url is None:
        return None
    try:
        path = find_migrated(settings.sqlite_url, successes)
    except (SourceNotFoundError, NotPermittedError):
        return None
    success = recognise(path, successes)
    return None if success is None else (path, success.id)


def is_retired_name(path: Path) -> bool:
    """Tell whether a file's name says that it was retired before."""
    return RETIRED.search(path.name) is not None


def is_renamable(path: Path) -> bool:
    """Tell whether renaming has a chance: a writable directory, and no file that is a mount of its own."""
    return os.access(path.parent, os.W_OK) and not os.path.ismount(path)


def require_readable(assessment: Assessment) -> None:
    """Refuse to look for the source where a part of the probed paths cannot be looked at.

    Raises:
        NotPermittedError: the first such file or directory.
    """
    for path in assessment.unreadable:
        raise NotPermittedError(
            "cannot be read, and may hold the legacy SQLite database",
            where=str(path),
            remedy="give the container's user read permission, or leave the path out of SQLITE_PATHS",
        )


def report_assessment(assessment: Assessment) -> None:
    """Log what a reader should know and the program leaves alone."""
    for group in assessment.new if assessment.has_success else ():
        for path in group:
            log.get_logger().warning(
                "source_not_merged",
                path=str(path),
                reason="a data migration was committed before, and this file could bring deleted rows back",
                remedy=f"merge it with `entrypoint migrate --sqlite-url {path}`, or remove it",
            )
    if assessment.has_no_place:
        log.get_logger().warning(
            "source_paths_missing",
            reason="none of the paths in SQLITE_PATHS exists",
            remedy="check the volume's mount path, or leave SQLITE_PATHS unset",
        )
    for path, reason in assessment.skipped:
        log.get_logger().warning("source_candidate_skipped", path=str(path), reason=reason)
    for path in assessment.unreadable if assessment.has_success else ():
        log.get_logger().warning("source_candidate_unreadable", path=str(path))
    for path in assessment.changed:
        log.get_logger().warning(
            "retired_source_changed",
            path=str(path),
            reason="something still writes to the migrated file",
            remedy=f"stop it, then merge the file with `entrypoint migrate --sqlite-url {path}`",
        )
    for path, _ in assessment.unretired:
        if not is_renamable(path):
            warn_not_retired(path, "its directory or its mount does not allow renaming it")


def warn_not_retired(path: Path, reason: str) -> None:
    """Log that a migrated source keeps its name."""
    log.get_logger().warning(
        "source_not_retired",
        path=str(path),
        reason=reason,
        consequence="the ledger prevents a second migration",
        remedy="give the container's user write permission on the directory, or leave it as it is",
    )


def _find(settings: Settings, successes: tuple[Success, ...]) -> Finds:
    if settings.sqlite_url is None:
        return find_candidates(settings.sqlite_paths)
    named = parse_sqlite_url(settings.sqlite_url)
    if any(success.path == named.resolve() for success in successes):
        # Once migrated it is expected to be gone, and no start depends on what lies in its place.
        match kind := unit.classify(named):
            case "missing" | "not_regular":
                return Finds(groups=())
            case "unreadable":
                return Finds(groups=(), unreadable=(named,))
            case "empty" | "truncated" | "not_sqlite":
                return Finds(groups=(), skipped=((named, NOT_A_DATABASE[kind]),))
    return Finds(groups=((find_named(settings.sqlite_url),),))


def _is_present(path: Path) -> bool:
    """As `Path.exists`, which raises where a directory on the way may not be entered."""
    try:
        path.stat()
    except OSError:
        return False
    return True


def _find_unrecorded(successes: tuple[Success, ...]) -> list[tuple[Path, Success]]:
    """Find what an earlier start renamed and could not note any more; its sidecars may lag behind."""
    known = {success.retired_path for success in successes}
    found = []
    for success in successes:
        if success.retired_path is not None or _is_present(success.path):
            continue
        for path in sorted(success.path.parent.glob(escape(success.path.name) + ".migrated-*")):
            if path in known or not is_retired_name(path) or unit.classify(path) != "sqlite":
                continue
            has_sidecars = bool(unit.list_unit_files(success.path))
            with path.open("rb") as database:
                fingerprint = unit.compute_fingerprint(
                    success.path if has_sidecars else path, database=database
                )
            if fingerprint == success.fingerprint:
                found.append((path, success))
                break
    return found


def _find_left_behind(successes: tuple[Success, ...]) -> list[tuple[Path, Path]]:
    return [
        (success.path, success.retired_path)
        for success in successes
        if success.retired_path is not None
        and _is_present(success.retired_path)
        and not _is_present(success.path)
        and unit.list_unit_files(success.path)
        and is_renamable(success.path)
    ]


def _find_changed(successes: tuple[Success, ...]) -> list[Path]:
    changed = []
    for success in successes:
        retired = success.retired_path
        if retired is None or unit.classify(retired) != "sqlite" or unit.read_stamp(retired) == success.stamp:
            continue
        fingerprint = unit.compute_fingerprint(retired)
        if all(other.fingerprint != fingerprint for other in successes):
            changed.append(retired)
    return changed
