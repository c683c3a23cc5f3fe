"""Find the sets of rows that a unique index of PostgreSQL's would hold equal, among rows not loaded yet.

Owns the search for one index. One pass finds hashes that occur twice, in bounded memory; only where there are
any, a second one brings the rows behind them, which PostgreSQL itself groups by the index's values.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import psycopg
from psycopg import sql
from psycopg.errors import UndefinedFunction

from entrypoint.model import TablePlan
from entrypoint.postgres.queries import allow_parameters, send_rows
from entrypoint.sqlite.source import Cell, SourceDatabase
from entrypoint.transfer.cells import find_row_identity, key_cells, show_key, show_value
from entrypoint.transfer.collisions.doubles import DoubleFinder, count_rounds
from entrypoint.transfer.collisions.indexed import IndexedRows, name_values, read_batches, write_arriving
from entrypoint.transfer.conversions import FaceMaker, raw_cell
from entrypoint.transfer.refusals.findings import Findings

# Rows held in memory at once; more than these are told of as "at least", or left aside in several turns.
_MOST_CANDIDATES = 100_000
_CONFIRMED_AT_ONCE = 4000
_CLASSES = {"null": 0, "integer": 1, "real": 1, "text": 2, "blob": 3}  # in SQLite's order of values


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinRow:
    """A row whose hash occurs more than once.

    Attributes:
        hash: of the index's values.
        texts: as they are sent.
        token: tells the row apart in SQL; None where nothing does.
        key: for the reader.
        place: by which the first row of a set is chosen.
    """

    hash: int
    texts: tuple[Cell, ...]
    token: Cell
    key: str
    place: tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Twins:
    """Sets of rows that an index holds equal, each in the order of its keys, with the value they share."""

    sets: tuple[tuple[str, tuple[TwinRow, ...]], ...]
    is_complete: bool


class TwinSearch:
    """The search for one index.

    Args:
        is_local: equal texts are equal values, so that PostgreSQL need not be asked for hashes.
    """

    def __init__(
        self,
        source: SourceDatabase,
        rows: IndexedRows,
        faces: FaceMaker,
        connection: psycopg.Connection[Any],
        findings: Findings,
        *,
        is_local: bool,
    ) -> None:
        self._source = source
        self.rows = rows
        self._faces = faces
        self._connection = connection
        self._findings = findings
        self._is_local = is_local
        self._hash = sql.SQL("hash_record_extended(ROW({}), 0)")

    def run(self) -> Twins:
        """Return the twins among the rows that are taken now."""
        sets: list[tuple[str, tuple[TwinRow, ...]]] = []
        is_complete = True
        count = self.rows.table.rows
        for number in range(count_rounds(count)):
            finder = DoubleFinder(count, round_number=number, most=_MOST_CANDIDATES // 2)
            for _, hashes, _ in self._read_hashes(()):
                finder.add(hashes)
            if finder.doubled:
                candidates = self._read_candidates(finder.doubled)
                is_complete &= not finder.is_full and len(candidates) < _MOST_CANDIDATES
                sets += self._confirm(candidates)
        sets.sort(key=lambda found: found[1][0].place)
        return Twins(sets=tuple(sets), is_complete=is_complete)

    def _read_hashes(
        self, extra: Sequence[str]
    ) -> Iterator[tuple[Sequence[int], Sequence[int], list[tuple[Cell, ...]]]]:
        """Yield for each batch: positions of the rows the index is about, their hashes, and the batch."""
        batches = read_batches(self._source, self.rows, self._faces, self._connection, self._findings, extra)
        for batch in batches:
            positions, hashes = self._hash_locally(batch) if self._is_local else self._ask_hashes(batch)
            yield positions, hashes, batch

    def _hash_locally(self, batch: list[tuple[Cell, ...]]) -> tuple[Sequence[int], Sequence[int]]:
        width = self.rows.width
        texts = [row[:width] for row in batch]
        if self.rows.index.is_nulls_not_distinct:
            return range(len(batch)), [hash(row) for row in texts]
        positions = [position for position, row in enumerate(texts) if None not in row]
        return positions, [hash(texts[position]) for position in positions]

    def _ask_hashes(self, batch: list[tuple[Cell, ...]]) -> tuple[Sequence[int], Sequence[int]]:
        values = sql.SQL(", ").join(name_values(self.rows))
        template = "SELECT string_agg(int8send(a.n) || int8send({}), '') FROM ({}) AS a"
        statement = sql.SQL(template).format(self._hash.format(values), write_arriving(self.rows))
        parameters = send_rows(batch, self.rows.width)
        try:
            with self._connection.transaction():
                row = self._connection.execute(
                    allow_parameters(statement), parameters, binary=True
                ).fetchone()
        except UndefinedFunction:
            text = sql.SQL("hashtextextended(ROW({})::text, 0)")
            if self._hash == text:
                raise
            self._hash = text  # a type without a hash function, which most equal values spell alike
            return self._ask_hashes(batch)
        numbers = array("q", row[0] or b"" if row else b"")
        if sys.byteorder == "little":
            numbers.byteswap()
        return [number - 1 for number in numbers[::2]], numbers[1::2]

    def _read_candidates(self, doubled: set[int]) -> list[TwinRow]:
        table = self.rows.table
        width = self.rows.width
        cells = key_cells(table.source)
        extra = [
            write_token(table),
            *(part for cell in cells.values() for part in (f"typeof({cell})", raw_cell(cell))),
        ]
        candidates: list[TwinRow] = []
        for positions, hashes, batch in self._read_hashes(extra):
            for position, value in zip(positions, hashes, strict=True):
                if value not in doubled:
                    continue
                token, *pairs = batch[position][width:]
                classes, raws = [str(name) for name in pairs[::2]], pairs[1::2]
                shown = [
                    show_value(raw, is_text=name == "text", encoding=self._source.encoding)
                    for name, raw in zip(classes, raws, strict=True)
                ]
                place = [(_CLASSES[name], raw) for name, raw in zip(classes, raws, strict=True)]
                candidates.append(
                    TwinRow(
                        hash=value,
                        texts=batch[position][:width],
                        token=token,
                        key=show_key(cells, shown),
                        place=(*place, len(candidates)),
                    )
                )
            if len(candidates) >= _MOST_CANDIDATES:
                break
        return candidates

    def _confirm(self, candidates: list[TwinRow]) -> list[tuple[str, tuple[TwinRow, ...]]]:
        """Have PostgreSQL group the candidates by what the index holds equal."""
        values = name_values(self.rows)
        statement = sql.SQL(
            "SELECT min(concat_ws(', ', {shown})), array_agg(a.n) FROM ({arriving}) AS a"
            " GROUP BY {values} HAVING count(*) > 1"
        ).format(
            shown=sql.SQL(", ").join(sql.SQL("coalesce(a.{}::text, 'NULL')").format(name) for name in values),
            arriving=write_arriving(self.rows),
            values=sql.SQL(", ").join(sql.SQL("a.{}").format(name) for name in values),
        )
        confirmed = []
        for chunk in _cut_between_hashes(candidates):
            parameters = send_rows([row.texts for row in chunk], self.rows.width)
            for value, numbers in self._connection.execute(allow_parameters(statement), parameters):
                members = sorted((chunk[number - 1] for number in numbers), key=lambda row: row.place)
                confirmed.append((value, tuple(members)))
        return confirmed


def _cut_between_hashes(candidates: list[TwinRow]) -> Iterator[list[TwinRow]]:
    """Yield the candidates in chunks; those of one hash stay together."""
    chunk: list[TwinRow] = []
    for _, alike in groupby(sorted(candidates, key=lambda row: row.hash), key=lambda row: row.hash):
        chunk += alike
        if len(chunk) >= _CONFIRMED_AT_ONCE:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def write_token(table: TablePlan) -> str:
    """Return SQL for one value that tells a row of the source table apart, whatever bytes its key has."""
    identity = find_row_identity(table.source)
    if not identity:
        return "NULL"
    if table.source.has_rowid:
        return identity[0]
    return " || ',' || ".join(f"typeof({cell}) || hex({cell})" for cell in identity)
