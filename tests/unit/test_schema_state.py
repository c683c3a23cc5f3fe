"""Files against ledger: the comparison is pure, so every verdict can be had without a server."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from entrypoint.errors import SchemaError
from entrypoint.schema.migration import AppliedMigration, Layout, Migration, Script, parse_version
from entrypoint.schema.state import SchemaState, compare, list_status

AT = datetime(2024, 1, 2, tzinfo=UTC)


def make_file(version: str, *, checksum: str = "c") -> Migration:
    label = f"{version}_x.sql"
    return Migration(
        version=parse_version(version),
        name=f"{version}_x",
        path=Path(label),
        checksum=checksum,
        layout=Layout.PLAIN,
        up=Script(label=label, first_line=1, text="SELECT 1", is_transactional=True),
        down=None,
    )


def make_row(version: str, *, state: str = "applied", checksum: str = "c") -> AppliedMigration:
    return AppliedMigration(
        version=parse_version(version), name=f"{version}_x", checksum=checksum, state=state, applied_at=AT
    )


def judge(files: list[Migration], rows: list[AppliedMigration], *indexes: str) -> SchemaState:
    return compare(files, rows, ledger_schema="Led ger", invalid_indexes=tuple(indexes))


def test_everything_is_pending_on_an_empty_ledger_in_order() -> None:
    state = judge([make_file("10"), make_file("9")], [])
    assert [file.name for file in state.pending] == ["9_x", "10_x"]
    assert not state.is_current
    state.check()


def test_nothing_to_do() -> None:
    state = judge([make_file("1"), make_file("2")], [make_row("2"), make_row("1", state="baseline")])
    assert state.is_current
    assert (state.pending, state.ahead, state.missing) == ((), (), ())
    assert [row.name for row in state.applied] == ["1_x", "2_x"]


def test_database_ahead_is_no_problem() -> None:
    state = judge([make_file("1")], [make_row("1"), make_row("2"), make_row("10")])
    assert [row.name for row in state.ahead] == ["2_x", "10_x"]
    assert state.is_current


def test_database_ahead_of_no_files_at_all_is_no_problem() -> None:
    state = judge([], [make_row("1")])
    assert len(state.ahead) == 1
    assert state.is_current


def test_missing_file_below_others_is_told_apart_from_ahead() -> None:
    state = judge([make_file("1"), make_file("3")], [make_row("1"), make_row("2")])
    assert [row.name for row in state.missing] == ["2_x"]
    assert state.ahead == ()
    assert [file.name for file in state.pending] == ["3_x"]


def test_edited_file_is_refused_with_both_checksums() -> None:
    state = judge([make_file("1", checksum="b" * 64)], [make_row("1", checksum="a" * 64)])
    with pytest.raises(SchemaError, match=r"^1_x\.sql: was edited .*a{12} then, b{12} now\); restore it"):
        state.check()


def test_late_lower_number_is_refused() -> None:
    state = judge([make_file("1"), make_file("2"), make_file("3")], [make_row("1"), make_row("3")])
    with pytest.raises(SchemaError, match=r"^2_x\.sql: is new, but 3_x .* above 3$"):
        state.check()


def test_late_number_compares_the_parts_of_dotted_versions() -> None:
    late = judge([make_file("1.2"), make_file("2")], [make_row("2")])
    assert len(late.problems) == 1
    assert judge([make_file("1"), make_file("1.1")], [make_row("1")]).is_current is False
    assert judge([make_file("1"), make_file("1.1")], [make_row("1")]).problems == ()


def test_interrupted_run_names_indexes_and_both_ways_out() -> None:
    state = judge([make_file("5")], [make_row("5", state="started", checksum="other")], "public.i1")
    with pytest.raises(SchemaError, match=r"half-built indexes: public\.i1; drop") as caught:
        state.check()
    assert "schema up --baseline 5" in str(caught.value)
    assert 'DELETE FROM "Led ger".schema_migrations WHERE version = 5' in str(caught.value)


def test_several_problems_are_said_at_once() -> None:
    state = judge(
        [make_file("1", checksum="new"), make_file("2"), make_file("3", checksum="new")],
        [make_row("1"), make_row("3")],
    )
    with pytest.raises(SchemaError) as caught:
        state.check()
    assert all(name in str(caught.value) for name in ("1_x.sql", "2_x.sql", "3_x.sql"))


def test_status_lists_files_and_rows_together() -> None:
    files = [make_file("1"), make_file("2", checksum="new"), make_file("3"), make_file("6"), make_file("1.5")]
    rows = [
        make_row("1", state="baseline"),
        make_row("2"),
        make_row("3", state="started"),
        make_row("4"),
        make_row("1.5"),
    ]
    listed = [(row.version, row.state, row.applied_at) for row in list_status(files, rows)]
    assert listed == [
        ("1", "baseline", AT),
        ("1.5", "applied", AT),
        ("2", "edited", AT),
        ("3", "started", AT),
        ("4", "missing file", AT),
        ("6", "pending", None),
    ]
