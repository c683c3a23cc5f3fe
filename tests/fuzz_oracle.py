"""What must become of a random source in a random target: the oracle of the fuzz test.

Owns its own reading of both sides (the standard library's sqlite3; PostgreSQL's text output) and its own
rules, straight from the contract, for the cells that `fuzz_schemas` draws. Must not import the product.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import re
import sqlite3
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

Row = tuple[Any, ...]


class RawText(NamedTuple):
    """A cell of storage class text with these bytes, whatever they are."""

    content: bytes


class RefusedError(Exception):
    """The contract does not take this cell."""


REFUSED = "<refused>"  # in place of a meaning; no cell that is drawn means it


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column that stands on both sides."""

    source: str
    target: str
    type: str
    declared: str
    is_not_null: bool
    good: Row
    bad: Row


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignKey:
    """Positions of columns, and of the parent among the tables."""

    columns: tuple[int, ...]
    parent: int
    referenced: tuple[int, ...]
    timing: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table that stands on both sides; `key` and `uniques` are positions of columns."""

    source: str
    target: str
    columns: tuple[Column, ...]
    key: tuple[int, ...]
    style: str
    uniques: tuple[tuple[int, ...], ...]
    foreign_keys: tuple[ForeignKey, ...]
    extras: tuple[tuple[str, str, str | None], ...]
    source_extras: tuple[tuple[str, str, bool], ...]
    layout: str
    is_autoincrement: bool
    is_guarded: bool

    def replace(self, **changes: Any) -> Table:
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Of a run."""

    on_conflict: str
    on_reject: str
    verify: str
    timezone: str


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What became of one table's rows."""

    final: Counter[Row] = field(default_factory=Counter)
    inserted: int = 0
    unchanged: int = 0
    preserved: int = 0
    overwritten: int = 0
    rejects: list[Row] = field(default_factory=list)

    @property
    def rejected(self) -> int:
        return len(self.rejects)


@dataclass(slots=True, kw_only=True)
class Expectation:
    """What must happen.

    Attributes:
        refusals: why nothing may be written; empty: it must succeed.
        late: reasons that only the load finds.
        doubts: why either is right.
    """

    refusals: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    tables: list[Outcome] = field(default_factory=list)

    @property
    def verdict(self) -> Literal["refused", "done", "either"]:
        if self.refusals or (self.late and not self.doubts):
            return "refused"
        return "either" if self.doubts else "done"


# --- cells ---------------------------------------------------------------------------------------

_INTEGER_BITS = {"smallint": 16, "integer": 32, "bigint": 64, "positive": 32}
_TRUE = ("t", "true", "yes", "on", "1")
_FALSE = ("f", "false", "no", "off", "0")
_EPOCH = datetime(1970, 1, 1)
_UNITS = {10**9: 10**6, 10**12: 10**3, 10**15: 1}  # the least number of a unit, and its microseconds


def find_unit(number: float) -> int:
    """Return the microseconds that a number of this size counts; the cells drawn lie in 2001 to 2033."""
    return next((unit for least, unit in _UNITS.items() if least <= number < 2 * least), 0)


def read_meaning(type_name: str, cell: Any, timezone: str) -> Any:
    """Return the value that a cell must have in a column of this type, None for NULL, or REFUSED."""
    if cell is None:
        return None
    try:
        return _MEANINGS[type_name](cell, timezone)
    except (RefusedError, ValueError, InvalidOperation, OverflowError):
        return REFUSED


def _require(condition: bool) -> None:
    if not condition:
        raise RefusedError


def _text(cell: Any) -> str:
    _require(not isinstance(cell, RawText))
    text = cell.decode() if isinstance(cell, bytes) else str(cell)
    _require("\x00" not in text)
    return text


def _words(cell: Any) -> str:
    _require(isinstance(cell, str))
    return _text(cell)


def _boolean(cell: Any, _timezone: str) -> bool:
    if isinstance(cell, (int, float)):
        _require(cell in (0, 1))
        return bool(cell)
    word = _words(cell).lower()
    _require(word in _TRUE or word in _FALSE)
    return word in _TRUE


def _integer(bits: int) -> Callable[[Any, str], int]:
    def read(cell: Any, _timezone: str) -> int:
        if isinstance(cell, float):
            _require(cell.is_integer())
        elif not isinstance(cell, int):
            found = re.fullmatch(r"([+-]?\d+)(\.0*)?", _words(cell))
            _require(found is not None)
            assert found is not None
            cell = found[1]
        value = int(cell)
        _require(-(2 ** (bits - 1)) <= value < 2 ** (bits - 1))
        return value

    return read


def _positive(cell: Any, timezone: str) -> int:
    value = _integer(32)(cell, timezone)
    _require(value > 0)
    return value


def _numeric(cell: Any, _timezone: str) -> Decimal:
    return Decimal(repr(cell) if isinstance(cell, (int, float)) else _words(cell))


def _money(cell: Any, timezone: str) -> Decimal:
    value = _numeric(cell, timezone)
    _require(abs(value) < 10**6)
    rounded = value.quantize(Decimal("0.01"))
    is_noise = isinstance(cell, float) and abs(rounded - value) < Decimal("1e-9")
    _require(rounded == value or is_noise)
    return rounded


def _double(cell: Any, _timezone: str) -> bytes:
    value = float(cell) if isinstance(cell, (int, float)) else float(_words(cell))
    _require(not isinstance(cell, int) or int(value) == cell)
    return struct.pack(">d", value)


def _real(cell: Any, _timezone: str) -> bytes:
    value = float(cell) if isinstance(cell, (int, float)) else float(_words(cell))
    packed = struct.pack(">f", value)
    digits = Decimal(repr(value)).normalize().as_tuple().digits
    _require(struct.unpack(">f", packed)[0] == value or len(digits) <= 6)  # FLT_DIG
    return packed


def _limited(length: int) -> Callable[[Any, str], str]:
    def read(cell: Any, _timezone: str) -> str:
        text = _text(cell)
        _require(len(text) <= length)
        return text

    return read


def _label(cell: Any, timezone: str) -> str:
    text = _limited(4)(cell, timezone)
    _require(text != "no")
    return text


def _mood(cell: Any, _timezone: str) -> str:
    text = _text(cell)
    _require(text in ("sad", "so so", 'it\'s "ok"', "é"))
    return text


def _bytea(cell: Any, _timezone: str) -> bytes:
    _require(isinstance(cell, (str, bytes)))
    return cell.encode() if isinstance(cell, str) else bytes(cell)


def _uuid(cell: Any, _timezone: str) -> UUID:
    return UUID(bytes=cell) if isinstance(cell, bytes) else UUID(_words(cell))


def _json(cell: Any, _timezone: str) -> str:
    text = _text(cell)
    json.loads(text)
    return text


def _jsonb(cell: Any, timezone: str) -> str:
    text = _json(cell, timezone)
    _require("\\u0000" not in text)
    return json.dumps(json.loads(text), sort_keys=True)


def _moment(cell: Any) -> tuple[datetime, bool]:
    """Return a wall clock and whether it is UTC's."""
    if isinstance(cell, (int, float)):
        _require(bool(find_unit(cell)))
        return _EPOCH + int(cell) * find_unit(cell) * timedelta(microseconds=1), True
    text = _words(cell)
    _require(re.match(r"\d{4}-\d\d-\d\d", text) is not None)
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        return moment, False
    return moment.astimezone(UTC).replace(tzinfo=None), True


def _cut(digits: int, moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond - moment.microsecond % 10 ** (6 - digits))


def _timestamptz(digits: int) -> Callable[[Any, str], datetime]:
    def read(cell: Any, timezone: str) -> datetime:
        moment, is_utc = _moment(cell)
        if not is_utc:
            offset = moment.replace(tzinfo=ZoneInfo(timezone)).utcoffset()
            assert offset is not None
            moment -= offset
        return _cut(digits, moment)

    return read


def _timestamp(digits: int) -> Callable[[Any, str], datetime]:
    return lambda cell, _timezone: _cut(digits, _moment(cell)[0])


def _date(cell: Any, _timezone: str) -> date:
    moment, _ = _moment(cell)
    _require(moment.time() == time())
    return moment.date()


def _array(type_name: str, kind: type) -> Callable[[Any, str], Row]:
    def read(cell: Any, timezone: str) -> Row:
        text = _words(cell)
        if text.startswith("{"):
            _require(text.endswith("}"))
            items = [None if item == "NULL" else kind(item) for item in text[1:-1].split(",") if item]
        else:
            items = json.loads(text)
            _require(isinstance(items, list))
        _require(all(item is None or isinstance(item, kind) for item in items))
        return tuple(items)

    return read


_MEANINGS: dict[str, Callable[[Any, str], Any]] = {
    "boolean": _boolean,
    **{name: _integer(bits) for name, bits in _INTEGER_BITS.items()},
    "positive": _positive,
    "numeric": _numeric,
    "numeric(8,2)": _money,
    "double precision": _double,
    "real": _real,
    "text": lambda cell, _timezone: _text(cell),
    "varchar(5)": _limited(5),
    "char(4)": lambda cell, timezone: _limited(4)(cell, timezone).rstrip(" "),
    '"la""bel%"': _label,
    '"mood %s"': _mood,
    "bytea": _bytea,
    "uuid": _uuid,
    "json": _json,
    "jsonb": _jsonb,
    "timestamptz": _timestamptz(6),
    "timestamptz(3)": _timestamptz(3),
    "timestamp": _timestamp(6),
    "timestamp(0)": _timestamp(0),
    "date": _date,
    "time": lambda cell, _timezone: time.fromisoformat(_words(cell)),
    "integer[]": _array("integer[]", int),
    "text[]": _array("text[]", str),
    "inet": lambda cell, _timezone: ipaddress.ip_interface(_words(cell)),
}


# --- PostgreSQL's text ---------------------------------------------------------------------------


def select_cell(type_name: str, name: str) -> str:
    """Return the SQL of a cell as text that `read_cell` reads, under TimeZone UTC."""
    return f"to_json({name})::text" if type_name.endswith("[]") else f"{name}::text"


def read_cell(type_name: str, text: str | None) -> Any:
    """Return the meaning of what PostgreSQL prints."""
    if text is None:
        return None
    match type_name:
        case "boolean":
            return text == "true"
        case "smallint" | "integer" | "bigint" | "positive":
            return int(text)
        case "numeric" | "numeric(8,2)":
            return Decimal(text)
        case "double precision":
            return struct.pack(">d", float(text))
        case "real":
            return struct.pack(">f", float(text))
        case "bytea":
            return bytes.fromhex(text.removeprefix("\\x"))
        case "uuid":
            return UUID(text)
        case "jsonb":
            return json.dumps(json.loads(text), sort_keys=True)
        case "timestamptz" | "timestamptz(3)" | "timestamp" | "timestamp(0)":
            return datetime.fromisoformat(text).replace(tzinfo=None)
        case "date":
            return date.fromisoformat(text)
        case "time":
            return time.fromisoformat(text)
        case "inet":
            return ipaddress.ip_interface(text)
    return tuple(json.loads(text)) if type_name.endswith("[]") else text


def write_literal(type_name: str, meaning: Any) -> str:
    """Return an SQL literal of a meaning."""
    if meaning is None:
        return "NULL"
    match meaning:
        case bytes() if type_name in ("double precision", "real"):
            text = repr(struct.unpack(">d" if type_name == "double precision" else ">f", meaning)[0])
        case bytes():
            text = "\\x" + meaning.hex()
        case tuple():
            items = [
                "NULL" if item is None else '"' + re.sub(r'(["\\])', r"\\\1", str(item)) + '"'
                for item in meaning
            ]
            text = "{" + ",".join(items) + "}"
        case datetime():
            text = meaning.isoformat(sep=" ") + ("+00" if type_name.startswith("timestamptz") else "")
        case _:
            text = str(meaning)
    return "'" + text.replace("'", "''") + f"'::{type_name}"


# --- SQLite --------------------------------------------------------------------------------------


def _decode(content: bytes) -> str | RawText:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return RawText(content)


def read_rows(connection: sqlite3.Connection, tables: Sequence[Table]) -> list[list[Row]]:
    """Return every table's cells as SQLite stores them."""
    connection.text_factory = _decode
    found = []
    for table in tables:
        names = ", ".join('"' + column.source.replace('"', '""') + '"' for column in table.columns)
        name = table.source.replace('"', '""')
        found.append([tuple(row) for row in connection.execute(f'SELECT {names} FROM "{name}"')])
    return found


# --- rows ----------------------------------------------------------------------------------------


def pick(row: Row, positions: Iterable[int]) -> Row:
    return tuple(row[position] for position in positions)


def read_meanings(tables: Sequence[Table], rows: Sequence[Sequence[Row]], timezone: str) -> list[list[Row]]:
    """Return the meanings of all cells."""
    return [
        [
            tuple(
                read_meaning(column.type, cell, timezone)
                for column, cell in zip(table.columns, row, strict=True)
            )
            for row in found
        ]
        for table, found in zip(tables, rows, strict=True)
    ]


def is_bad(table: Table, row: Row) -> bool:
    """Tell whether a row holds a cell that cannot be taken, or lacks one that must not be NULL."""
    return any(
        cell == REFUSED
        or (cell is None and (column.is_not_null or (position in table.key and table.style != "alike")))
        for position, (column, cell) in enumerate(zip(table.columns, row, strict=True))
    )


def find_orphans(
    tables: Sequence[Table],
    rows: Sequence[Sequence[Row]],
    standing: Sequence[Sequence[Row]],
    lost: list[set[int]],
) -> None:
    """Add to `lost` the rows that refer to no row that is not lost, until there are no more."""
    is_changed = True
    while is_changed:
        is_changed = False
        for position, table in enumerate(tables):
            for key in table.foreign_keys:
                present = {pick(row, key.referenced) for row in standing[key.parent]}
                present |= {
                    pick(row, key.referenced)
                    for number, row in enumerate(rows[key.parent])
                    if number not in lost[key.parent]
                }
                for number, row in enumerate(rows[position]):
                    referring = pick(row, key.columns)
                    if number not in lost[position] and None not in referring and referring not in present:
                        lost[position].add(number)
                        is_changed = True


def find_doubles(table: Table, rows: Sequence[Row], lost: set[int]) -> set[int]:
    """Return the rows whose key, or another unique key, an earlier row has."""
    doubles: set[int] = set()
    for key in (table.key, *table.uniques):
        seen: set[Row] = set()
        for number, row in enumerate(rows):
            value = pick(row, key)
            is_apart = None in value and table.style != "alike"  # NULLs that are never equal
            if not key or is_apart or number in lost or number in doubles:
                continue
            if value in seen:
                doubles.add(number)
            seen.add(value)
    return doubles


def purge(tables: Sequence[Table], rows: Sequence[Sequence[Row]]) -> list[set[int]]:
    """Return the rows (of meanings) that must go for the rest to be sound by itself."""
    nothing: list[list[Row]] = [[] for _ in tables]
    lost = [
        {number for number, row in enumerate(found) if is_bad(table, row)}
        for table, found in zip(tables, rows, strict=True)
    ]
    for table, found, gone in zip(tables, rows, lost, strict=True):
        gone |= find_doubles(table, found, gone)
    find_orphans(tables, rows, nothing, lost)
    return lost


# --- the whole -----------------------------------------------------------------------------------


def foretell(
    tables: Sequence[Table],
    cells: Sequence[Sequence[Row]],
    standing: Sequence[Sequence[tuple[Row, Row]]],
    setting: Setting,
    *,
    has_stray_rows: bool,
) -> Expectation:
    """Return what a migration of these cells into these standing rows (meanings, extras) must do."""
    expected = Expectation()
    rows = read_meanings(tables, cells, setting.timezone)
    _foretell_structure(tables, cells, expected)
    if has_stray_rows:
        expected.refusals.append("a table without a home")
    lost = [
        {number for number, row in enumerate(found) if is_bad(table, row)}
        for table, found in zip(tables, rows, strict=True)
    ]
    bad = [set(numbers) for numbers in lost]
    planned = [[row for row, _ in found] for found in standing]
    find_orphans(tables, rows, planned, lost)
    for table, gone, hurt in zip(tables, lost, bad, strict=True):
        if gone and setting.on_reject == "fail":
            expected.refusals.append(
                f"{table.source}: bad rows {sorted(hurt)}, orphans {sorted(gone - hurt)}"
            )
    for position, table in enumerate(tables):
        taken = [row for number, row in enumerate(rows[position]) if number not in lost[position]]
        outcome = _merge(table, taken, standing[position], setting, expected)
        outcome.rejects = [cells[position][number] for number in sorted(lost[position])]
        expected.tables.append(outcome)
    _doubt_constraints(tables, expected)
    return expected


def _foretell_structure(
    tables: Sequence[Table], cells: Sequence[Sequence[Row]], expected: Expectation
) -> None:
    for table, found in zip(tables, cells, strict=True):
        if found and any(is_data for _, _, is_data in table.source_extras):
            expected.refusals.append(f"{table.source}: a column without a home")
        if any(default == "?" for _, _, default in table.extras):
            (expected.refusals if found else expected.doubts).append(
                f"{table.source}: nothing fills a column"
            )
        for position, column in enumerate(table.columns):
            if column.type.startswith(("timestamp", "date")):
                numbers = [row[position] for row in found if isinstance(row[position], (int, float))]
                if len({find_unit(number) for number in numbers}) > 1:
                    expected.refusals.append(f"{table.source}.{column.source}: two units")


def _merge(
    table: Table,
    taken: list[Row],
    standing: Sequence[tuple[Row, Row]],
    setting: Setting,
    expected: Expectation,
) -> Outcome:
    outcome = Outcome()
    defaults = tuple(default for _, _, default in table.extras)
    if not table.key:
        present = Counter(row for row, _ in standing)
        added = Counter(taken) - present
        outcome.inserted = added.total()
        outcome.unchanged = len(taken) - outcome.inserted
        outcome.final = Counter((row, extras) for row, extras in standing)
        for row, count in added.items():
            outcome.final[(row, defaults)] += count
        return outcome
    by_key = {pick(row, table.key): (row, extras) for row, extras in standing}
    if find_doubles(table, taken, set()):
        expected.late.append(f"{table.source}: doubled keys")
        if setting.on_reject == "quarantine" or setting.on_conflict == "preserve":
            expected.doubts.append(f"{table.source}: doubled keys may be resolved")
    for row in taken:
        key = pick(row, table.key)
        if key not in by_key:
            outcome.inserted += 1
            by_key[key] = (row, defaults)
        elif by_key[key][0] == row:
            outcome.unchanged += 1
        elif setting.on_conflict == "overwrite":
            outcome.overwritten += 1
            by_key[key] = (row, by_key[key][1])
        else:
            outcome.preserved += 1
    if outcome.preserved and setting.on_conflict == "fail":
        expected.late.append(f"{table.source}: conflicts")
    if outcome.overwritten and table.uniques:
        expected.doubts.append(f"{table.source}: unique keys change row by row")
    outcome.final = Counter(by_key.values())
    return outcome


def _doubt_constraints(tables: Sequence[Table], expected: Expectation) -> None:
    """Doubt what collides on second unique keys, or loses a parent by them, only in the end."""
    for table, outcome in zip(tables, expected.tables, strict=True):
        final = [row for row, _ in outcome.final.elements()]
        if find_doubles(table, final, set()):
            expected.doubts.append(f"{table.source}: collides on another unique key")
        for key in table.foreign_keys:
            present = {pick(row, key.referenced) for row, _ in expected.tables[key.parent].final}
            if any(
                None not in pick(row, key.columns) and pick(row, key.columns) not in present for row in final
            ):
                expected.doubts.append(f"{table.source}: a parent is not what it was")
