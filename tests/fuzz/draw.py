"""Hypothesis strategies of random pairs of schemas with rows for both sides."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.fuzz import kinds
from tests.fuzz.draw_rows import Draw, draw_references, draw_rows, draw_seeds
from tests.fuzz.kinds import COLUMN_NAMES, KEY_KINDS, LOOSE_KINDS, PLAIN_KINDS, TABLE_NAMES, Kind
from tests.fuzz.meanings import REFUSED, read_meaning
from tests.fuzz.model import Case, Check, Column, ForeignKey, Setting, Table, Unique

_NAMES = st.permutations(range(len(TABLE_NAMES)))
_COLUMN_ORDER = st.permutations(range(len(COLUMN_NAMES)))
_CHANCE = st.integers(0, 19)
_COIN = st.booleans()
_KEYED = ("identity", "always", "serial", "shared", "plain", "plain", "composite", "unique", "alike")
_KEY_STYLES = st.sampled_from([*_KEYED, "none", "surrogate"])
_MAPPED_KEY_STYLES = st.sampled_from([*_KEYED, "none", "surrogate", "mapped"])
_COUNTING = ("identity", "always", "serial", "shared")  # whose keys a sequence fills
_TIMINGS = st.sampled_from(["", "", "DEFERRABLE", "DEFERRABLE INITIALLY DEFERRED"])
_LAYOUTS = st.sampled_from(["rowid", "rowid", "bare", "strict", "without rowid"])
_REACTIONS = st.sampled_from(
    ["forbid", "swallow", "always", "replica", "statement", "constraint", "rule", "disabled"]
)
_LOWERED = frozenset({"text", "varchar(5)", "loose text", "citext"})
_ABSOLUTE = frozenset({"integer", "smallint", "numeric(8,2)"})
_COMPARED = frozenset(kind.type for kind in (*KEY_KINDS, *LOOSE_KINDS))
_LISTED = frozenset({"integer", "smallint", "bigint"})

# A referring column may be of another width, which PostgreSQL compares as well.
_WIDTHS = {
    "smallint": ["integer", "bigint"],
    "integer": ["bigint", "smallint"],
    "bigint": ["integer"],
    "text": ["varchar(5)", "char(4)"],
    "varchar(5)": ["text"],
    "positive": ["integer"],
}


@st.composite
def cases(draw: Draw, *, has_icu: bool) -> Case:
    """Draw a case; `has_icu`: the server has types and collations whose equality is wider than bytes'."""
    key_kinds = (*KEY_KINDS, *LOOSE_KINDS, *LOOSE_KINDS) if has_icu else KEY_KINDS
    is_mapped, is_meeting = draw(_CHANCE) > 14, draw(_COIN)
    names = draw(_NAMES)[: draw(st.integers(1, 5))]
    tables = [
        _draw_table(draw, TABLE_NAMES[name], key_kinds, is_mapped, is_meeting, nth)
        for nth, name in enumerate(names)
    ]
    for position in range(len(tables)):
        _draw_foreign_keys(draw, tables, position)
    care = draw(st.sampled_from(["clean", "clean", "clean", "damaged"]))
    drawn = [
        list(draw_rows(draw, table, care == "damaged", draw(st.integers(3 if is_meeting else 0, 6))))
        for table in tables
    ]
    for position in range(len(tables)):
        draw_references(draw, tables, drawn, position)
    cells = tuple(tuple(rows) for rows in drawn)
    setting = Setting(
        on_conflict=draw(st.sampled_from(["preserve", "preserve", "overwrite", "fail"])),
        on_reject=draw(st.sampled_from(["fail", "quarantine"])),
        verify=draw(st.sampled_from(["full", "auto", "counts"])),
        timezone=draw(st.sampled_from(["UTC", "Europe/Berlin"])),
    )
    return Case(
        tables=tuple(tables),
        cells=cells,
        seeds=tuple(
            draw_seeds(draw, table, len(rows), is_meeting) for table, rows in zip(tables, cells, strict=True)
        ),
        care=care,
        setting=setting,
        encoding=draw(st.sampled_from(["UTF-8", "UTF-8", "UTF-16le", "UTF-16be"])),
        journal=draw(st.sampled_from(["delete", "wal", "wal", "uncommitted wal"])),
        stray=draw(st.sampled_from(["none"] * 16 + ["empty", "empty", "rows", "double"]))
        if not is_mapped
        else draw(st.sampled_from(["none", "ignored"])),
        schema=draw(st.sampled_from(["public", "public", 'App "1" %s'])),
        has_clutter=draw(_CHANCE) > 16,
        is_mapped=is_mapped,
        is_granted=draw(_CHANCE) == 19,
        is_by_child=draw(st.integers(0, 39)) == 39,
    )


# --- tables --------------------------------------------------------------------------------------


def _draw_table(
    draw: Draw,
    names: tuple[str, str],
    key_kinds: tuple[Kind, ...],
    is_mapped: bool,
    is_meeting: bool,
    position: int,
) -> Table:
    style = draw(_MAPPED_KEY_STYLES if is_mapped else _KEY_STYLES)
    order = [COLUMN_NAMES[i] for i in draw(_COLUMN_ORDER)]
    columns: list[Column] = []
    for kind in _draw_key_kinds(draw, style, key_kinds):
        columns.append(_draw_column(draw, order.pop(), kind, is_mapped, is_not_null=style != "alike"))
    key = tuple(range(len(columns)))
    plain_kinds = [
        kind
        for kind in (*PLAIN_KINDS, *(key_kinds if key_kinds != KEY_KINDS else ()))
        if is_mapped or not kind.unit
    ]
    for _ in range(draw(st.integers(0 if columns else 1, 4))):
        kind = draw(st.sampled_from(plain_kinds))
        columns.append(_draw_column(draw, order.pop(), kind, is_mapped, is_not_null=draw(_CHANCE) < 4))
        if is_mapped and draw(_CHANCE) < 3:
            columns[-1] = _replace(columns[-1], is_empty_null=True)
    partitions = _draw_partitions(draw, style, columns)
    extras = [extra for extra in kinds.TARGET_EXTRAS if draw(_CHANCE) < 3]
    source_extras = [extra for extra in kinds.SOURCE_EXTRAS if draw(_CHANCE) < 3]
    if draw(_CHANCE) == 0:
        extras += [kinds.REQUIRED_EXTRA] if draw(_COIN) else []
        source_extras += [kinds.HOMELESS_EXTRA] if not extras or extras[-1] != kinds.REQUIRED_EXTRA else []
    layout = draw(_LAYOUTS)
    if layout == "without rowid" and (not key or style in ("alike", "mapped")):
        layout = "rowid"
    is_renamed = is_mapped and draw(_COIN)
    return Table(
        source=f"Legacy {position}" if is_renamed else names[0],
        target=names[1],
        columns=tuple(columns),
        key=key,
        style=style,
        uniques=() if partitions else _draw_uniques(draw, style, columns, is_meeting),
        checks=_draw_checks(draw, columns),
        foreign_keys=(),
        extras=tuple(extras),
        source_extras=tuple(source_extras),
        layout=layout,
        is_autoincrement=draw(_COIN),
        is_counter_ahead=draw(_COIN),
        is_renamed=is_renamed,
        reaction=draw(_REACTIONS) if draw(_CHANCE) < 6 else "",
        partitions=partitions,
    )


def _draw_key_kinds(draw: Draw, style: str, key_kinds: tuple[Kind, ...]) -> list[Kind]:
    if style in _COUNTING:
        return [KEY_KINDS[draw(st.integers(0, 1))]]
    if style in ("plain", "unique", "alike", "mapped"):
        return [draw(st.sampled_from(key_kinds))]
    if style == "composite":
        return [draw(st.sampled_from(key_kinds)) for _ in range(2)]
    return []


def _draw_column(
    draw: Draw, names: tuple[str, str], kind: Kind, is_mapped: bool, *, is_not_null: bool
) -> Column:
    is_renamed = is_mapped and draw(_CHANCE) < 4
    return Column(
        source=f"old {names[0][:20]}" if is_renamed else names[0],
        target=names[1],
        type=kind.type,
        declared=draw(st.sampled_from(kind.declared)),
        is_not_null=is_not_null,
        good=tuple(kind.good),
        bad=tuple(kind.bad),
        unit=kind.unit,
        is_renamed=is_renamed,
    )


def _replace(column: Column, **changes: Any) -> Column:
    return Column(**{name: getattr(column, name) for name in Column.__slots__} | changes)


def _draw_partitions(draw: Draw, style: str, columns: list[Column]) -> str:
    is_possible = style in ("plain", "composite", "none") and columns[0].type in _COMPARED
    if not is_possible or columns[0].type in ("loose text", "citext") or draw(_CHANCE) > 2:
        return ""
    choices = ["hash", "list", "list default"] if columns[0].type in _LISTED else ["hash"]
    return str(draw(st.sampled_from(choices)))


def _draw_uniques(draw: Draw, style: str, columns: list[Column], is_meeting: bool) -> tuple[Unique, ...]:
    """Draw unique indexes beside the key; none of them is one that rows could be matched by instead."""
    is_keyed = style in (*_COUNTING, "plain", "composite", "mapped")
    candidates = [
        position
        for position, column in enumerate(columns)
        if column.type in _COMPARED
        and not (style in (*_COUNTING, "plain", "unique", "alike", "mapped") and position == 0)
    ]
    found: list[Unique] = []
    while candidates and len(found) < 2 and draw(_CHANCE) < (15 if is_meeting else 6):
        used = draw(st.lists(st.sampled_from(candidates), min_size=1, max_size=2, unique=True))
        functions = [
            draw(st.sampled_from(["", "lower"]))
            if columns[i].type in _LOWERED
            else draw(st.sampled_from(["", "abs"]))
            if columns[i].type in _ABSOLUTE
            else ""
            for i in used
        ]
        unique = Unique(
            parts=tuple(zip(used, functions, strict=True)),
            predicate=(draw(st.integers(0, len(columns) - 1)), draw(_COIN)) if draw(_CHANCE) < 6 else None,
            is_nulls_not_distinct=draw(_CHANCE) < 4,
        )
        if unique.is_referable and draw(_CHANCE) < 3:
            unique = Unique(parts=unique.parts, is_deferrable=True)
        is_total = unique.is_nulls_not_distinct or all(columns[i].is_not_null for i in used)
        if is_keyed or not is_total or not unique.is_referable:
            found.append(unique)
        else:
            break
    return tuple(found)


def _draw_checks(draw: Draw, columns: list[Column]) -> tuple[Check, ...]:
    if draw(_CHANCE) > 2:
        return ()
    position = draw(st.integers(0, len(columns) - 1))
    column, is_valid = columns[position], draw(_COIN)
    if len(columns) > 1 and draw(_COIN):
        other = draw(st.integers(0, len(columns) - 1))
        return (Check(column=position, other=other, is_valid=is_valid),) if other != position else ()
    literal = read_meaning(column, column.good[0], "UTC")
    if column.type not in _COMPARED or literal in (REFUSED, None) or column.unit:
        return ()
    return (Check(column=position, literal=literal, is_valid=is_valid),)


def _draw_foreign_keys(draw: Draw, tables: list[Table], position: int) -> None:
    """Give a table up to two foreign keys, to any table with a key, itself and later ones included."""
    table = tables[position]
    columns = list(table.columns)
    keys: list[ForeignKey] = []
    for number in range(draw(st.sampled_from([0, 1, 1, 2, 2]))):
        parent_position = draw(st.integers(0, len(tables) - 1))
        parent = tables[parent_position]
        if not parent.key or parent.style in ("alike", "mapped"):
            continue
        referenced = parent.key
        others = [unique.columns for unique in parent.uniques if unique.is_referable]
        if others and draw(_COIN):
            referenced = others[0]
        is_own = draw(_CHANCE) < 4 and len(referenced) == 1 and table.key and parent_position != position
        if is_own and columns[0].type == parent.columns[referenced[0]].type:
            used: tuple[int, ...] = (0,)
        else:
            is_not_null = draw(_CHANCE) < 5
            used = tuple(range(len(columns), len(columns) + len(referenced)))
            columns += [
                _replace(
                    parent.columns[index],
                    source=f"Ref{number}Of{nth}",
                    target=f"ref{number}_of{nth}",
                    type=_vary(draw, parent.columns[index].type),
                    is_not_null=is_not_null,
                    is_empty_null=False,
                    is_renamed=False,
                )
                for nth, index in enumerate(referenced)
            ]
        keys.append(
            ForeignKey(
                columns=used,
                parent=parent_position,
                referenced=referenced,
                timing=draw(_TIMINGS),
                is_match_full=draw(_CHANCE) < 6,
            )
        )
    tables[position] = table.replace(columns=tuple(columns), foreign_keys=tuple(keys))


def _vary(draw: Draw, type_name: str) -> str:
    if type_name in _WIDTHS and draw(_CHANCE) < 4:
        return str(draw(st.sampled_from(_WIDTHS[type_name])))
    return type_name
