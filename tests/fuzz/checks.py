"""What must hold of a migration that ended, whatever was drawn: the laws, and what the oracle foretold."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from entrypoint.model import Refusal
from entrypoint.settings import Settings
from entrypoint.transfer.migrate import Migrated
from tests.fuzz.bench import Bench, Rows, dump, read_sequences, run_here
from tests.fuzz.model import Case, Expectation, RawText, Row, Table
from tests.fuzz.postgres_text import quote
from tests.fuzz.rows import compare_key, find_entry, list_uniques


def check_refusals(case: Case, expected: Expectation, refusals: tuple[Refusal, ...]) -> None:
    """Hold the list to be complete about cells, and to accuse nobody whom the oracle does not suspect."""
    accused: defaultdict[str, int] = defaultdict(int)
    for refusal in refusals:
        accused[f"{refusal.table}.{refusal.column}"] += refusal.count
    for culprit in expected.refusals:
        if culprit.why == "bad cells" and case.stray != "double":
            found = accused[f"{culprit.table}.{culprit.column}"]
            assert found >= culprit.rows, f"{culprit} is not listed: {refusals}"
    suspects = {culprit.table for culprit in [*expected.refusals, *expected.late, *expected.doubts]}
    if case.stray == "double":
        return  # what refers to the first table's rows is refused with them
    innocent = {refusal.table for refusal in refusals} - suspects
    assert not innocent, f"refused without a fault: {innocent} {refusals}"


def check_rows(case: Case, expected: Expectation, after: list[Rows]) -> None:
    """Hold the rows to be those foretold."""
    for table, outcome, rows in zip(case.tables, expected.tables, after, strict=True):
        found = Counter(rows)
        assert found == outcome.final, f"{table.target}: {found - outcome.final} for {outcome.final - found}"


def check_laws(case: Case, expected: Expectation, before: list[Rows], after: list[Rows]) -> None:
    """Hold what is true also where the oracle does not foretell: nothing lost, nothing made up."""
    for table, rows, standing, found in zip(case.tables, expected.rows, before, after, strict=True):
        gone = Counter(standing) - Counter(found)
        if case.setting.on_conflict != "overwrite" or not table.key:
            assert not gone, f"{table.target}: standing rows are gone: {gone}"
        followed = {position for key in table.foreign_keys for position in key.columns}
        own = [position for position in range(len(table.columns)) if position not in followed]
        images = Counter(compare_exact(row, own) for row in rows)
        made = Counter(compare_exact(row, own) for row, _ in (Counter(found) - Counter(standing)).elements())
        assert not made - images, f"{table.target}: rows of nobody: {made - images}"
        check_presence(case, table, rows, [row for row, _ in found])


def compare_exact(row: Row, positions: list[int]) -> Row:
    return tuple(row[position] for position in positions)


def check_presence(case: Case, table: Table, rows: list[Row], after: list[Row]) -> None:
    """Hold every row that can be taken to stand by its key, or another to stand in its place."""
    if not table.key or case.setting.on_reject == "quarantine":
        return
    followed = {position for key in table.foreign_keys for position in key.columns}
    if followed & {position for unique in list_uniques(table) for position in unique.columns}:
        return
    keys = {compare_key(table.columns, row, table.key) for row in after}
    entries = [
        (unique, {find_entry(table, unique, row) for row in after} - {None}) for unique in list_uniques(table)
    ]
    for row in rows:
        is_there = compare_key(table.columns, row, table.key) in keys
        stands_for = any(find_entry(table, unique, row) in found for unique, found in entries)
        assert is_there or stands_for, f"{table.source}: {row} was lost"


# --- the report ----------------------------------------------------------------------------------


def check_counts(
    case: Case, expected: Expectation, ended: Migrated, before: list[Rows], after: list[Rows]
) -> None:
    """Hold the report to add up, and to be what was foretold where there are no doubts."""
    by_name = {result.table: result for result in ended.result.tables}
    for position, (table, outcome) in enumerate(zip(case.tables, expected.tables, strict=True)):
        result = by_name[table.source]
        found = (
            result.inserted,
            result.unchanged,
            result.preserved,
            result.overwritten,
            result.quarantined,
        )
        assert result.rows == sum(found) == len(expected.rows[position]), table.source
        assert result.inserted == len(after[position]) - len(before[position]), table.source
        assert result.standing == len(before[position]), table.source
        if expected.verdict == "done":
            assert found == outcome.counts, f"{table.source}: {found} for {outcome.counts}"


def check_rejects(bench: Bench, case: Case, expected: Expectation) -> None:
    """Hold the ledger to keep exactly the rows left out, every cell with its class and content."""
    for table, outcome in zip(case.tables, expected.tables, strict=True):
        kept = bench.observer.execute(
            "SELECT cells FROM entrypoint.rejects WHERE source_table = %s", (table.source,)
        ).fetchall()
        found = Counter(
            tuple(read_kept(cells[column.source], case.encoding) for column in table.columns)
            for (cells,) in kept
        )
        wanted = Counter(tuple(describe_cell(cell) for cell in row) for row in outcome.rejects)
        assert found == wanted, table.source


def read_kept(cell: dict[str, Any], encoding: str) -> tuple[str, bytes]:
    """Return the class and content of a cell in the ledger, as `describe_cell` gives them."""
    if "hex" in cell:
        content = bytes.fromhex(cell["hex"])
        is_wide = cell["class"] == "text" and encoding != "UTF-8"
        return cell["class"], content.decode(encoding).encode() if is_wide else content
    value = float(cell["value"]) if cell["class"] == "real" else cell["value"]
    return cell["class"], str(value).encode()


def describe_cell(cell: Any) -> tuple[str, bytes]:
    match cell:
        case RawText():
            return "text", cell.content
        case bytes():
            return "blob", cell
        case str():
            return "text", cell.encode()
        case None:
            return "null", b"None"
    return ("real" if isinstance(cell, float) else "integer"), str(cell).encode()


# --- afterwards ----------------------------------------------------------------------------------


def check_sequences(
    bench: Bench, case: Case, counters: list[int], standing: list[Rows], after: list[Rows]
) -> None:
    """Hold the sequences of tables that took rows to give out ids that no row has, nor had in SQLite."""
    upcoming: dict[str, int] = {}
    for table, counter, before, rows in zip(case.tables, counters, standing, after, strict=True):
        if table.style not in ("identity", "always", "serial", "shared"):
            continue
        if not counter and len(rows) == len(before):
            continue
        column = table.columns[0]
        highest = 2 ** (63 if column.type == "bigint" or table.style == "shared" else 31) - 1
        sequence = "free_sequence"
        if table.style != "shared":
            ((sequence,),) = bench.observer.execute(
                "SELECT pg_get_serial_sequence(%s, %s)", (quote(table.target), column.target)
            ).fetchall()
        row = bench.observer.execute(f"SELECT last_value, is_called FROM {sequence}".encode()).fetchone()
        assert row is not None
        upcoming[sequence] = row[0] + (1 if row[1] else 0)
        used = max([counter, *(cells[0] for cells, _ in rows)])
        assert upcoming[sequence] > min(used, highest), f"{table.target}: {upcoming} after {used}"


def check_second_run(bench: Bench, case: Case, configured: Settings) -> None:
    """Hold a second run to change nothing."""
    before, sequences = dump(bench, case), read_sequences(bench)
    again = run_here(bench, case, configured)
    is_doubtful = any(not check.is_valid for table in case.tables for check in table.checks)
    assert isinstance(again, Migrated) or is_doubtful, again
    assert dump(bench, case) == before, "a second run changed rows"
    assert read_sequences(bench) == sequences, "a second run moved a sequence"
    if isinstance(again, Migrated):
        assert not any(table.inserted or table.overwritten for table in again.result.tables)
