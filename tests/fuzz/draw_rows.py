"""Hypothesis strategies of rows: of a source, and of those that stand in PostgreSQL before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.model import Column, Row, Seed, Table

Draw = Callable[[st.SearchStrategy[Any]], Any]

_CHANCE = st.integers(0, 19)


def draw_rows(draw: Draw, table: Table, is_damaged: bool, count: int) -> tuple[Row, ...]:
    """Draw rows of cells that fit, and of some that do not where the source `is_damaged`."""
    return tuple(
        tuple(_draw_cell(draw, column, is_damaged=is_damaged) for column in table.columns)
        for _ in range(count)
    )


def draw_references(draw: Draw, tables: list[Table], drawn: list[list[Row]], position: int) -> None:
    """Have most rows refer to one that is there."""
    for number, row in enumerate(drawn[position]):
        for key in tables[position].foreign_keys:
            parents = drawn[key.parent]
            if parents and draw(_CHANCE) > 4:
                parent = parents[draw(st.integers(0, len(parents) - 1))]
                cells = dict(enumerate(row))
                cells |= {own: parent[there] for own, there in zip(key.columns, key.referenced, strict=True)}
                row = tuple(cells[i] for i in range(len(row)))
        drawn[position][number] = row


def _draw_cell(draw: Draw, column: Column, *, is_damaged: bool) -> Any:
    chance = draw(st.integers(0, 59))
    if chance < (2 if column.is_not_null else 8):
        return None if is_damaged or not column.is_not_null else column.good[0]
    if is_damaged and chance > 57 and column.bad:
        return column.bad[chance % len(column.bad)]
    if column.is_empty_null and chance > 50:
        return ""
    return column.good[chance % len(column.good)]


def draw_seeds(draw: Draw, table: Table, rows: int, is_meeting: bool) -> tuple[Seed, ...]:
    """Draw rows that stand in PostgreSQL before, most of them like one of the source's `rows`."""
    seeds = []
    for _ in range(draw(st.sampled_from([1, 2, 4] if is_meeting else [0, 0, 1, 2, 4]))):
        model = draw(st.integers(0, rows - 1)) if rows and draw(_CHANCE) < 15 else None
        likeness = draw(st.sampled_from(["unique", "unique", "key", "equal"]))
        seeds.append(Seed(model, likeness, draw_rows(draw, table, False, 1)[0]))
    return tuple(seeds)
