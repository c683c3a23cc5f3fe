"""The renaming of a unit: never over a file, sidecars with it, finished later where it was cut short."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from entrypoint.transfer import retire
from entrypoint.transfer.discover import RETIRED


def make_unit(directory: Path, *suffixes: str) -> Path:
    path = directory / "app.db"
    for suffix in ("", *suffixes):
        path.with_name(path.name + suffix).write_text(f"content of {suffix}")
    return path


def read_all(directory: Path) -> dict[str, str]:
    stamp = re.compile(r"\d{8}T\d{6}Z")
    return {stamp.sub("STAMP", path.name): path.read_text() for path in directory.iterdir()}


def test_a_unit_is_renamed_as_a_whole(tmp_path: Path) -> None:
    path = make_unit(tmp_path, "-wal", "-shm", "-journal")
    (tmp_path / "app.db-other").write_text("not ours")
    retired = retire.retire_unit(path)
    assert RETIRED.search(retired.name)
    assert retired.parent == tmp_path
    assert read_all(tmp_path) == {
        "app.db.migrated-STAMP": "content of ",
        "app.db.migrated-STAMP-wal": "content of -wal",
        "app.db.migrated-STAMP-shm": "content of -shm",
        "app.db.migrated-STAMP-journal": "content of -journal",
        "app.db-other": "not ours",
    }


def test_the_time_is_in_the_name(tmp_path: Path) -> None:
    retired = retire.retire_unit(make_unit(tmp_path))
    assert re.fullmatch(r"app\.db\.migrated-\d{8}T\d{6}Z", retired.name)


def test_sidecars_follow_later(tmp_path: Path) -> None:
    path = make_unit(tmp_path, "-wal", "-shm")
    retired = tmp_path / "app.db.migrated-20240102T030405Z"
    path.rename(retired)  # and then the power failed
    retire.finish_retiring(path, retired)
    assert read_all(tmp_path) == {
        "app.db.migrated-STAMP": "content of ",
        "app.db.migrated-STAMP-wal": "content of -wal",
        "app.db.migrated-STAMP-shm": "content of -shm",
    }
    before = read_all(tmp_path)
    retire.finish_retiring(path, retired)
    assert read_all(tmp_path) == before


def test_sidecars_never_replace_a_file(tmp_path: Path) -> None:
    path = make_unit(tmp_path, "-wal")
    retired = tmp_path / "app.db.migrated-20240102T030405Z"
    path.rename(retired)
    (tmp_path / f"{retired.name}-wal").write_text("precious")
    retire.finish_retiring(path, retired)
    assert (tmp_path / f"{retired.name}-wal").read_text() == "precious"
    assert (tmp_path / "app.db-wal").read_text() == "content of -wal"


@pytest.mark.parametrize("suffix", ["", "-wal"])
def test_a_name_that_is_taken_gets_a_number(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import UTC, datetime

    class StandingClock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> StandingClock:
            return cls(2024, 1, 2, 3, 4, 5, tzinfo=UTC)

    monkeypatch.setattr(retire, "datetime", StandingClock)  # two starts within one second cannot be arranged
    taken = tmp_path / f"app.db.migrated-20240102T030405Z{suffix}"
    taken.write_text("precious")
    dangling = tmp_path / "app.db.migrated-20240102T030405Z-1"
    dangling.symlink_to(tmp_path / "nowhere")
    retired = retire.retire_unit(make_unit(tmp_path))
    assert retired.name == "app.db.migrated-20240102T030405Z-2"
    assert taken.read_text() == "precious"
    assert RETIRED.search(retired.name)
