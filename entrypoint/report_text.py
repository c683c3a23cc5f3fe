"""Results and states as text for a reader on a terminal.

Owns layout alone: what is in it comes from `model` and the commands.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from entrypoint.model import LoadResult
from entrypoint.schema.state import StatusRow

_ERROR_WIDTH = 70  # the whole text is in the JSON document


def write_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return rows in columns; numbers to the right."""
    cells = [[_show(cell) for cell in row] for row in rows]
    widths = [max(len(line[i]) for line in [list(headings), *cells]) for i in range(len(headings))]
    lines = [_join(headings, widths), _join(["-" * width for width in widths], widths)]
    return "\n".join([*lines, *(_join(line, widths) for line in cells)])


def _show(cell: object) -> str:
    if cell is None:
        return ""
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


def _shorten(text: str | None) -> str:
    text = " ".join((text or "").split())
    return text if len(text) <= _ERROR_WIDTH else text[: _ERROR_WIDTH - 1] + "…"


def _join(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cell.rjust(width) if cell.replace(",", "").isdecimal() else cell.ljust(width)
        for cell, width in zip(cells, widths, strict=True)
    ]
    return "  ".join(padded).rstrip()


def write_result(result: LoadResult) -> str:
    """Return what became of every table's rows."""
    table = write_table(
        (
            "table",
            "target",
            "rows",
            "inserted",
            "unchanged",
            "preserved",
            "overwritten",
            "quarantined",
            "seconds",
        ),
        (
            (
                item.table,
                item.target,
                item.rows,
                item.inserted,
                item.unchanged,
                item.preserved,
                item.overwritten,
                item.quarantined,
                f"{item.seconds:.2f}",
            )
            for item in result.tables
        ),
    )
    return f"{table}\n\n{result.rows:,} rows in {result.seconds:.2f} s"


def write_verification(document: dict[str, Any]) -> str:
    """Return what `verify` found; `document` as its JSON form has it."""
    tables = write_table(
        ("table", "rows", "differing", "missing", "quarantined"),
        (
            tuple(table[heading] for heading in ("table", "rows", "differing", "missing", "quarantined"))
            for table in document["tables"]
        ),
    )
    notes = [
        f"{table['table']}: {table['preserved']:,} row(s) were preserved by the migration: PostgreSQL's own, "
        "which may differ from the source's"
        for table in document["tables"]
        if table["preserved"]
    ]
    if quarantined := sum(table["quarantined"] for table in document["tables"]):
        notes.append(
            f"{quarantined:,} row(s) were quarantined by the migration: they are in the ledger, "
            "and not among those compared"
        )
    differences = [line for table in document["tables"] for line in table["differences"]]
    refusals = [f"{item['table']}.{item['column']}: {item['reason']}" for item in document["refusals"]]
    return "\n".join(
        [
            f"source: {document['source']}",
            "",
            tables,
            *(f"  {line}" for line in differences + refusals + notes),
        ]
    )


def write_schema_status(rows: Sequence[StatusRow]) -> str:
    """Return the schema migrations, one a line."""
    if not rows:
        return "no schema migrations"
    return write_table(
        ("version", "name", "state", "applied at"),
        (
            (
                row.version,
                row.name,
                row.state,
                f"{row.applied_at:%Y-%m-%d %H:%M:%S%z}" if row.applied_at else "",
            )
            for row in rows
        ),
    )


def write_status(document: dict[str, Any]) -> str:
    """Return what `status` found; `document` as its JSON form has it."""
    schema, found = document["schema"], document["sources"]
    lines = [
        f"target: {document['target']}",
        f"schema: {schema['applied']} applied, {len(schema['pending'])} pending"
        + (f" ({', '.join(schema['pending'])})" if schema["pending"] else ""),
        *(f"schema problem: {item['name']} is {item['state']}" for item in schema["problems"]),
        *(f"new source: {path}" for path in found["new"]),
        *(f"migrated, not renamed: {path}" for path in found["migrated_not_renamed"]),
        *(
            f"written to after its migration: {path} (merge: entrypoint migrate --sqlite-url {path})"
            for path in found["changed_after_migration"]
        ),
    ]
    if not any(found.values()):
        lines.append("sources: none waiting")
    if not document["runs"]:
        return "\n".join([*lines, "data migrations: none"])
    runs = write_table(
        ("run", "outcome", "finished", "source", "rows", "retired as, or error"),
        (
            (
                str(run["id"]),
                run["outcome"],
                f"{run['finished_at']:%Y-%m-%d %H:%M:%S%z}",
                run["source_path"],
                run["report"].get("result", {}).get("rows"),
                run["retired_path"] or _shorten(run["error"]),
            )
            for run in document["runs"]
        ),
    )
    return "\n".join([*lines, "", runs])
