"""Compare rows that no key tells apart: each distinct row is counted on both sides.

Owns the counting and, where it does not come out even, the pairing of rows to name a cell. How rows are read,
and what they mean, is `readings`' and `decode`'s. For a sample the load's rendering finds a row's like.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import blake2b
from itertools import islice

from psycopg import sql

from entrypoint.model import TablePlan
from entrypoint.postgres.catalog import own_rows
from entrypoint.postgres.queries import allow_parameters, name_sent, name_type, send_rows, sent_rows
from entrypoint.transfer.cells import column_faces
from entrypoint.transfer.verify.documents import Meaning, spell_number
from entrypoint.transfer.verify.readings import (
    Sides,
    compare_rows,
    measure_row,
    read_row,
    show_cells,
    show_row,
)
from entrypoint.transfer.verify.verdict import Difference, Verdict

# A row is 128 bits here. So many are counted in one pass over both sides, to be small in memory.
_DIGEST_BYTES = 16
_DIGESTS_A_PASS = 500_000
_SHOWN = 5
_CANDIDATES = 50  # rows of each side that are read again to tell which cell differs

Meanings = tuple[Meaning, ...]


def digest_row(meanings: Sequence[Meaning]) -> bytes:
    """Return 128 bits that are equal for rows that mean the same, and for no others one would ever meet."""
    spelled = tuple(
        ("number", spell_number(meaning)) if isinstance(meaning, Decimal) else meaning for meaning in meanings
    )
    return blake2b(repr(spelled).encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).digest()


def _choose_part(digest: bytes, passes: int) -> int:
    return int.from_bytes(digest[:4]) % passes


def compare_multiset(sides: Sides, table: TablePlan, *, is_alone: bool) -> Verdict:
    """Compare every row of a table, in either direction.

    Args:
        table: without a key.
        is_alone: the target holds nothing but these rows: one too many is a difference too.
    """
    passes = table.rows_taken // _DIGESTS_A_PASS + 1
    uneven = _Uneven()
    for part in range(passes):
        counts: Counter[bytes] = Counter()
        uneven.row_bytes = _count_source(sides, table, counts, part, passes)
        for row in sides.read_target(table, row_bytes=uneven.row_bytes):
            digest = digest_row(read_row(table, row))
            if _choose_part(digest, passes) == part and (is_alone or digest in counts):
                counts[digest] -= 1
        uneven.add(counts)
    # A changed row is one that is missing and one too many.
    differing = max(uneven.missing, uneven.extra) if is_alone else uneven.missing
    return Verdict(
        rows=table.rows_taken,
        differing=differing,
        missing=uneven.missing,
        differences=tuple(islice(_name(sides, table, uneven), _SHOWN)) if differing else (),
    )


@dataclass(slots=True)
class _Uneven:
    """Rows that stand more often on one side: how many, and the digests of the first of them.

    Attributes:
        row_bytes: what a row takes, in the mean.
    """

    missing: int = 0
    extra: int = 0
    lacked: set[bytes] = field(default_factory=set)
    gained: set[bytes] = field(default_factory=set)
    row_bytes: float = 0

    def add(self, counts: Counter[bytes]) -> None:
        for digest, count in counts.items():
            if count > 0:
                self.missing += count
                if len(self.lacked) < _CANDIDATES:
                    self.lacked.add(digest)
            elif count < 0:
                self.extra -= count
                if len(self.gained) < _CANDIDATES:
                    self.gained.add(digest)


def _count_source(sides: Sides, table: TablePlan, counts: Counter[bytes], part: int, passes: int) -> float:
    """Count the digests of one part and return the mean size of a row in bytes."""
    size = rows = 0
    for batch in sides.read_source(table):
        size += sum(map(measure_row, batch))
        rows += len(batch)
        for meanings in sides.expect(table, batch):
            digest = digest_row(meanings)
            if _choose_part(digest, passes) == part:
                counts[digest] += 1
    return size / max(rows, 1)


def _name(sides: Sides, table: TablePlan, uneven: _Uneven) -> Iterator[Difference]:
    """Yield the cells of rows that are alike but for them, then rows that are like no other."""
    others = list(_find_target(sides, table, uneven))
    for meanings in _find_source(sides, table, uneven.lacked):
        key = f"no key; {show_row(table, meanings)}"
        nearest = min(others, key=lambda row: len(compare_rows(table, key, meanings, row)), default=None)
        differences = compare_rows(table, key, meanings, nearest) if nearest is not None else []
        if nearest is not None and len(differences) < len(table.columns):
            others.remove(nearest)
            yield from differences
        else:
            yield Difference(table=table.source.name, key=key, column=None, expected="a row", found="none")
    for row in others:
        key = f"no key; {show_row(table, read_row(table, row))}"
        yield Difference(table=table.source.name, key=key, column=None, expected="none", found="a row")


def _find_source(sides: Sides, table: TablePlan, wanted: set[bytes]) -> Iterator[Meanings]:
    left = set(wanted)
    for batch in sides.read_source(table) if left else ():
        for meanings in sides.expect(table, batch):
            if (digest := digest_row(meanings)) in left:
                left.remove(digest)
                yield meanings


def _find_target(sides: Sides, table: TablePlan, uneven: _Uneven) -> Iterator[tuple[str | None, ...]]:
    left = set(uneven.gained)
    for row in sides.read_target(table, row_bytes=uneven.row_bytes) if left else ():
        if (digest := digest_row(read_row(table, row))) in left:
            left.remove(digest)
            yield row


# --- a sample ------------------------------------------------------------------------------------


def sample_multiset(sides: Sides, table: TablePlan, *, rows: int) -> Verdict:
    """Look for the like of some random rows: one that means the same has to be among those found."""
    faces = [column_faces(sides.faces, column).text for column in table.columns]
    statement = _select_alike(table)
    count = 0
    differences: list[Difference] = []
    lost = 0
    for batch in sides.read_source(table, *faces, sample=rows):
        found: dict[int, set[bytes]] = {}
        for number, *texts in sides.connection.execute(statement, send_rows(batch, len(faces))):
            found.setdefault(number, set()).add(digest_row(read_row(table, tuple(texts))))
        expected = sides.expect(table, [row[len(faces) :] for row in batch])
        for position, meanings in enumerate(expected, start=1):
            if digest_row(meanings) not in found.get(position, set()):
                lost += 1
                key = f"no key; {show_row(table, meanings)}"
                differences.append(
                    Difference(table=table.source.name, key=key, column=None, expected="a row", found="none")
                )
        count += len(batch)
    return Verdict(rows=count, differing=lost, missing=lost, differences=tuple(differences[:_SHOWN]))


def _select_alike(table: TablePlan) -> sql.Composed:
    """Ask for the rows whose text is that of a row that is sent: found in one pass, whatever its types."""
    names = [column.target.name for column in table.columns]
    sent = sql.SQL(", ").join(
        sql.SQL("k.{}::{}").format(alias, name_type(column.target.type.name))
        for alias, column in zip(name_sent(len(names)), table.columns, strict=True)
    )
    statement = sql.SQL("SELECT k.n, {} FROM {} JOIN {} t ON ROW({})::text = ROW({})::text").format(
        show_cells(table),
        sent_rows(len(names)),
        own_rows(table.target),
        sql.SQL(", ").join(sql.Identifier("t", name) for name in names),
        sent,
    )
    return allow_parameters(statement)
