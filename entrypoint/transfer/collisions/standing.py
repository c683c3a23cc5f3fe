"""Find rows that cannot be loaded because PostgreSQL holds another row with their value on a unique index.

Owns the search: the index is evaluated over batches of sent rows and joined with what stands. What becomes of
the rows it finds is `collisions`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql

from entrypoint.model import TablePlan
from entrypoint.postgres.catalog import own_rows
from entrypoint.postgres.queries import allow_parameters, send_rows
from entrypoint.sqlite.source import Cell, SourceDatabase
from entrypoint.transfer.cells import column_faces
from entrypoint.transfer.collisions.followers import Key
from entrypoint.transfer.collisions.identity import choose_identity, list_other_indexes, make_empty_index
from entrypoint.transfer.collisions.indexed import (
    IndexedRows,
    describe_index,
    name_columns,
    name_values,
    note_left,
    plan_rows,
    read_batches,
    suppress_verdicts,
    write_arriving,
    write_standing,
)
from entrypoint.transfer.conversions import FaceMaker
from entrypoint.transfer.load.merge import ConflictPolicy
from entrypoint.transfer.refusals.findings import Findings

# Each is held in memory; more of them means that the two sides number their rows differently throughout.
MOST_COLLISIONS = 100_000


@dataclass(slots=True)
class Collisions:
    """Of one table: arriving keys, with what refers to them and what is to be referred to instead.

    Attributes:
        pairs: arriving key, standing key, index they meet on.
        links: arriving key, columns that foreign keys refer to, what it holds there and what stands instead.
        followers: the same for the rows that count: by columns, what stands for each value.
        own: arriving keys that stand under the key of a pair's standing row, and are of no pair themselves.
        preserved: rows that stand under their own key with other values in such columns.
    """

    pairs: list[tuple[Key, Key, str]] = field(default_factory=list)
    links: list[tuple[Key, tuple[str, ...], Key, Key]] = field(default_factory=list)
    followers: dict[tuple[str, ...], dict[Key, Key]] = field(default_factory=dict)
    own: list[tuple[Key, Key]] = field(default_factory=list)
    preserved: int = 0

    @property
    def keys(self) -> set[Key]:
        return {arriving for arriving, _, _ in self.pairs}

    @property
    def names(self) -> list[str]:
        return sorted({name for _, _, name in self.pairs})

    @property
    def is_too_many(self) -> bool:
        return len(self.pairs) > MOST_COLLISIONS


class StandingRows:
    """Searches what stands for one source and one policy.

    Args:
        source: open.
        faces: of the census.
        connection: inside a transaction.
        findings: told of an index that cannot be evaluated.
        on_conflict: what becomes of a row whose own key stands.
    """

    def __init__(
        self,
        source: SourceDatabase,
        faces: FaceMaker,
        connection: psycopg.Connection[Any],
        findings: Findings,
        *,
        on_conflict: ConflictPolicy,
    ) -> None:
        self._source = source
        self._faces = faces
        self._connection = connection
        self._findings = findings
        self._on_conflict = on_conflict

    def find(self, table: TablePlan, wanted: Iterable[tuple[str, ...]]) -> Collisions:
        """Return the rows of a table that meet a standing one which the load would not make them.

        Args:
            table: planned.
            wanted: the groups of columns that foreign keys refer to.
        """
        found = Collisions(followers={columns: {} for columns in wanted})
        identity = choose_identity(table)
        names = tuple(dict.fromkeys([*identity, *(name for columns in found.followers for name in columns)]))
        for index in list_other_indexes(table):
            rows = plan_rows(table, index, names)
            if rows is None:
                continue
            try:
                with self._connection.transaction():
                    self._collect(rows, identity, found)
            except psycopg.Error as error:
                note_left(table, index, error, self._findings)
            if found.is_too_many:
                break
        if self._on_conflict == "overwrite" and table.key and found.pairs:
            self._drop_vacated(table, found)
        if self._on_conflict == "preserve" and table.key and found.pairs:
            self._drop_recognised(table, found)
            met, standing = found.keys, {standing for _, standing, _ in found.pairs}
            found.own = [pair for pair in self._read_own(table, standing) if pair[0] not in met]
        met = found.keys
        for arriving, columns, old, new in found.links:
            if arriving in met and None not in old:
                found.followers[columns].setdefault(old, new)
        if self._on_conflict == "preserve" and table.key:
            self._follow_preserved(table, found)
        return found

    def _collect(self, rows: IndexedRows, identity: tuple[str, ...], found: Collisions) -> None:
        statement = allow_parameters(self._write_query(rows, len(identity)))
        columns = {names: rows.find_positions(names) for names in (identity, *found.followers)}
        batches = read_batches(self._source, rows, self._faces, self._connection, self._findings)
        for batch in batches:
            for number, *standing in self._connection.execute(statement, send_rows(batch, rows.width)):
                arriving = batch[number - 1]
                keys = {
                    names: tuple(tuple(side[place] for place in places) for side in (arriving, standing))
                    for names, places in columns.items()
                }
                found.pairs.append((*keys[identity], describe_index(rows.index)))  # type: ignore[arg-type]
                for names in found.followers:
                    old, new = keys[names]
                    found.links.append((keys[identity][0], names, old, new))
            if found.is_too_many:
                return

    def _write_query(self, rows: IndexedRows, key_width: int) -> sql.Composed:
        """Ask for the standing rows that sent ones meet, in the order of the sent columns.

        It meets every row but the one that has its key; without a key, every row that it does not equal.
        """
        table = rows.table
        columns = name_columns(rows)
        key = columns[:key_width]
        if not table.key:
            is_met = sql.SQL("ROW({})::text IS DISTINCT FROM ROW({})::text").format(
                _list("s", key), _list("t", key)
            )
        else:
            is_met = sql.SQL("NOT ({})").format(_match(table, "t", key, key))
        return self._join(rows, is_met)

    def _join(self, rows: IndexedRows, condition: sql.Composed) -> sql.Composed:
        """Join sent rows `s` and standing rows `t` that have one value for the index."""
        columns = name_columns(rows)
        template = "{0} {1} {2}"
        if rows.index.is_nulls_not_distinct:
            template = "({0} {1} {2} OR {0} IS NULL AND {2} IS NULL)"
        same_value = sql.SQL(" AND ").join(
            sql.SQL(template).format(
                sql.SQL("t.{}").format(name),
                sql.SQL(part.operator.replace("%", "%%")),
                sql.SQL("s.{}").format(name),
            )
            for part, name in zip(rows.index.parts, name_values(rows), strict=True)
        )
        return sql.SQL(
            "SELECT s.n, {output} FROM ({arriving}) AS s JOIN ({standing}) AS t ON {same_value}"
            " WHERE {condition}"
        ).format(
            output=sql.SQL(", ").join(sql.SQL("t.{}::text").format(name) for name in columns),
            arriving=write_arriving(rows),
            standing=write_standing(rows),
            same_value=same_value,
            condition=condition,
        )

    def _drop_vacated(self, table: TablePlan, found: Collisions) -> None:
        """Forget the standing rows that are themselves overwritten: what they become is among the arriving.

        Whether arriving rows meet each other was asked before.
        """
        vacated = {key for _, key in self._read_own(table, {key for _, key, _ in found.pairs})}
        found.pairs = [pair for pair in found.pairs if pair[1] not in vacated]

    def _read_own(self, table: TablePlan, standing: set[Key]) -> Iterator[tuple[Key, Key]]:
        """Yield the arriving rows that have the key of one of these standing rows, and its key."""
        rows = plan_rows(table, make_empty_index(table), table.key)
        assert rows is not None
        columns = name_columns(rows)
        names = [sql.Identifier(name) for name in table.key]
        statement = sql.SQL("SELECT s.n, {} FROM ({}) AS s JOIN {} AS p ON {}").format(
            sql.SQL(", ").join(sql.SQL("p.{}::text").format(name) for name in names),
            write_arriving(rows),
            own_rows(table.target),
            _match(table, "p", names, columns),
        )
        for batch in read_batches(self._source, rows, self._faces, self._connection, self._findings):
            answers = self._connection.execute(allow_parameters(statement), send_rows(batch, rows.width))
            for number, *key in answers:
                if tuple(key) in standing:
                    yield batch[number - 1][: len(names)], tuple(key)

    def _follow_preserved(self, table: TablePlan, found: Collisions) -> None:
        """Let what refers to a row by other columns than its key follow it: other values stand there."""
        groups = [names for names in found.followers if set(names) != set(table.key)]
        width = len(table.key)
        wanted = tuple(dict.fromkeys([*table.key, *(name for names in groups for name in names)]))
        rows = plan_rows(table, make_empty_index(table), wanted) if groups else None
        if rows is None:
            return
        names = [sql.Identifier(name) for name in wanted]
        statement = sql.SQL("SELECT s.n, {} FROM ({}) AS s JOIN {} AS t ON {}").format(
            sql.SQL(", ").join(sql.SQL("t.{}::text").format(name) for name in names),
            write_arriving(rows),
            own_rows(table.target),
            _match(table, "t", names[:width], name_columns(rows)[:width]),
        )
        places = {names: rows.find_positions(names) for names in groups}
        left_out = found.keys
        for batch in read_batches(self._source, rows, self._faces, self._connection, self._findings):
            answers = self._connection.execute(allow_parameters(statement), send_rows(batch, rows.width))
            for number, *standing in answers:
                if batch[number - 1][:width] in left_out:
                    continue
                is_other = False
                for group, positions in places.items():
                    old, new = (tuple(row[at] for at in positions) for row in (batch[number - 1], standing))
                    if old != new and None not in old:
                        found.followers[group].setdefault(old, new)
                        is_other = True
                found.preserved += is_other

    def _drop_recognised(self, table: TablePlan, found: Collisions) -> None:
        """Forget the arriving rows that are those under their own keys after all: both meet on another index.

        What else has the key of an arriving row is another thing, which PostgreSQL gave that number to.
        """
        keys = found.keys

        def is_met(*key: Cell) -> int:
            return int(key in keys)

        self._source.register_function("entrypoint_is_met", is_met, len(table.key))
        recognised: set[Key] = set()
        for index in list_other_indexes(table):
            rows = plan_rows(table, index, table.key)
            if rows is None:
                continue
            key = name_columns(rows)[: len(table.key)]
            statement = allow_parameters(self._join(rows, _match(table, "t", key, key)))
            texts = [column_faces(self._faces, column).text for column in rows.sent[: len(key)]]
            only = f"entrypoint_is_met({', '.join(texts)})"
            with suppress_verdicts(), self._connection.transaction():
                for batch in read_batches(
                    self._source, rows, self._faces, self._connection, self._findings, only=only
                ):
                    answers = self._connection.execute(statement, send_rows(batch, rows.width))
                    recognised |= {batch[number - 1][: len(key)] for number, *_ in answers}
        found.pairs = [pair for pair in found.pairs if pair[0] not in recognised]


def _list(alias: str, names: list[sql.Identifier]) -> sql.Composed:
    return sql.SQL(", ").join(sql.SQL("{}.{}").format(sql.Identifier(alias), name) for name in names)


def _match(
    table: TablePlan, alias: str, names: list[sql.Identifier], sent: list[sql.Identifier]
) -> sql.Composed:
    """Match a row by the table's key as `merge` does: NULLs alike where there can be any."""
    nullable = {column.target.name for column in table.columns if not column.target.is_not_null}
    return sql.SQL(" AND ").join(
        sql.SQL("{}.{} IS NOT DISTINCT FROM s.{}" if key in nullable else "{}.{} = s.{}").format(
            sql.Identifier(alias), name, column
        )
        for key, name, column in zip(table.key, names, sent, strict=False)
    )
