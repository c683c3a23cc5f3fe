"""Random pairs of schemas, and the source and the target they describe, for the fuzz test of the migration.

Owns what is drawn and how it is written down: SQLite files, PostgreSQL DDL. What must become of it is
`fuzz_oracle`'s to say.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import strategies as st

from tests.fuzz_oracle import Column, ForeignKey, RawText, Row, Setting, Table

# Every table of the target may use these.
PRELUDE = """
CREATE TYPE "mood %s" AS ENUM ('sad', 'so so', 'it''s "ok"', 'é');
CREATE DOMAIN "la""bel%" AS varchar(4) CHECK (value <> 'no');
CREATE DOMAIN positive AS integer CHECK (value > 0);
CREATE FUNCTION forbid() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION 'a trigger fired'; END $$;
"""


class Kind(NamedTuple):
    """A target type with cells that fit it, cells that may not, and how SQLite may declare its column."""

    type: str
    good: Sequence[Any]
    bad: Sequence[Any]
    declared: Sequence[str] = ("",)


_UUIDS = [f"0000000{n}-aaaa-4bbb-8ccc-dddddddddddd" for n in range(1, 6)]
_INTEGERS = ("INTEGER", "INT", "BIGINT", "", "TEXT")
_TEXTS = ("TEXT", "VARCHAR(5)", "", "text collate nocase")
_ODD = ["", "a", "\\.", "\\N", "NULL", "a\r\nb", '"q"', "é\U0001f600", ",;\t", " b ", "%s", "\ufeff"]
_MOMENTS = [
    "2024-02-29 12:30:45",
    "2024-02-29T12:30:45.123456",
    "2024-07-01 00:00:00Z",
    "2024-01-02 03:04:05.678+02:00",
    "0001-01-03 00:00:00",
    "9999-12-30 23:59:59.999999",
    "1969-12-31 23:59:59.5",
]
_NOT_MOMENTS = ["", "soon", "2024-13-01 00:00:00", b"\x00", "2023-02-29"]
_NOT_TEXT = ["a\x00b", b"\xff\xfe", RawText(b"a\xffb")]

KEY_KINDS = (
    Kind("integer", [1, 2, 3, 4, 5, "3", 4.0, -7], ["x", 2**31], _INTEGERS),
    Kind("bigint", [1, 2, 3, 2**53 + 1, 2**63 - 1, "2", -(2**63)], ["", 1.5], _INTEGERS),
    Kind("text", ["a", "A", "b", " b", "é", "", "x'y\"z", "1"], _NOT_TEXT, _TEXTS),
    Kind(
        "uuid",
        [*_UUIDS, _UUIDS[0].upper(), "{" + _UUIDS[1] + "}", bytes.fromhex(_UUIDS[2].replace("-", ""))],
        ["1234", b"123"],
        ("TEXT", "", "BLOB", "uuid"),
    ),
    Kind("varchar(5)", ["a", "bb", "é" * 5, "B", "b"], ["toolong", *_NOT_TEXT], _TEXTS),
    Kind("date", ["2024-01-01", "2024-01-02", "2024-01-03T00:00:00Z"], ["2024-02-30"], ("DATE", "TEXT", "")),
    Kind('"mood %s"', ["sad", "so so", "é"], ["glad"], _TEXTS),
    Kind("smallint", [1, 2, 3, "1", 2.0], [40000], _INTEGERS),
    Kind(
        "numeric(8,2)", [1, 1.5, "1.50", "2", 2.25], [0.005, 10**6], ("", "NUMERIC", "DECIMAL(8,2)", "TEXT")
    ),
    Kind("inet", ["10.0.0.1", "::1", "10.0.0.1/32"], ["nowhere"], ("TEXT", "")),
    Kind("char(4)", ["a", "ab", "B", "a  "], ["abcde"], _TEXTS),
    Kind("bytea", [b"a", "a", b"\x00", "é"], [], ("BLOB", "")),
    Kind("boolean", [0, 1, "t", "false"], [2], ("BOOLEAN", "")),
    Kind("double precision", [1, 1.5, "1.50", 2.0], ["x"], ("REAL", "", "TEXT")),
    Kind(
        "timestamptz",
        ["2024-01-01 00:00:00", "2024-01-01T00:00:00Z", "2024-01-01 01:00:00+01:00"],
        ["soon"],
        ("DATETIME", "TEXT", ""),
    ),
    Kind("positive", [1, 2, "3"], [0, -1], _INTEGERS),
)
PLAIN_KINDS = (
    *KEY_KINDS,
    Kind(
        "boolean",
        [0, 1, "t", "false", "YES", "off", 1.0, "0"],
        [2, 0.5, "maybe", "", b"\x01"],
        ("BOOLEAN", "INTEGER", "", "TEXT"),
    ),
    Kind(
        "numeric(8,2)",
        [0.1 + 0.2, 12, "12.5", -999999.99, "1e3", 0, "0.10"],
        [1.005, "1.005", 1e6, "x"],
        ("NUMERIC", "REAL", "", "TEXT"),
    ),
    Kind(
        "numeric",
        [0.1, 10**18, "123456789012345678901234567890.5", "-1e-3", -2.5],
        ["", "1.2.3", b"1"],
        ("NUMERIC", "", "TEXT"),
    ),
    Kind("real", [0.5, 0.1, -2, "1.25", 16777216], [1e300, "x", 16777217], ("REAL", "FLOAT", "")),
    Kind(
        "double precision",
        [0.1, 1e300, -2.5e-308, 7, "0.30000000000000004", 2**53],
        ["", "x", 2**53 + 1],
        ("REAL", "DOUBLE", "", "TEXT"),
    ),
    Kind("text", [*_ODD, 5, -3, b"blob text"], _NOT_TEXT, _TEXTS),
    Kind("varchar(5)", ["", "12345", "é" * 5, 12], ["123456", b"123456", *_NOT_TEXT], _TEXTS),
    Kind("char(4)", ["", "ab", "abcd", "é"], ["abcde"], _TEXTS),
    Kind("bytea", [b"", b"\x00\xff", "text", "é", "a\x00b"], [], ("BLOB", "")),
    Kind(
        "json",
        ["{}", '{"a": [1, 2.5, null]}', b'"x"', "true", '"\\u00e9"'],
        ["{", "", "{'a': 1}", b"\xff"],
        ("TEXT", "JSON", ""),
    ),
    Kind(
        "jsonb",
        ["{}", '{"b": 1, "a": "é"}', b"[1]", 5, "null"],
        ["{", '"\\u0000"', "nope"],
        ("TEXT", "JSON", ""),
    ),
    *(
        Kind(type_name, _MOMENTS, _NOT_MOMENTS, ("DATETIME", "TEXT", ""))
        for type_name in ("timestamptz", "timestamp", "timestamp(0)", "timestamptz(3)")
    ),
    *(
        Kind(type_name, cells, bad, ("INTEGER", "", "TIMESTAMP"))
        for type_name in ("timestamptz", "timestamp")
        for cells, bad in (
            ([1_700_000_000, 1_600_000_001, 1_234_567_890], ["soon", 1_700_000_000_000]),
            ([1_700_000_000_123, 1_600_000_000_000, "2024-02-29 12:30:45"], [b"\x00", 1_700_000_000]),
            ([1_700_000_000_123_456, 1_600_000_000_000_000], [""]),
        )
    ),
    Kind(
        "date", ["0001-01-01", "9999-12-31", "2024-02-29 00:00:00"], ["2024-02-29 12:00:00", ""], ("DATE", "")
    ),
    Kind("time", ["12:30:45", "00:00:00.5", "23:59:59.999999"], ["24:00:01", "noon"], ("TIME", "TEXT", "")),
    Kind('"la""bel%"', ["", "abcd", "é"], ["no", "abcde"], _TEXTS),
    Kind("integer[]", ["[1, 2]", "{3,NULL}", "[]", "[null]"], ["[1", '["x"]', "{1,", ""], ("TEXT", "")),
    Kind("text[]", ['["a", "b c"]', "{x,y}", "[]", '["\\"", null, ""]'], ["[1", "{a,"], ("TEXT", "")),
    Kind("inet", ["10.0.0.1", "::1", "10.0.0.0/8"], ["nowhere", ""], ("TEXT", "")),
)

# What one name may be called on either side; no two of them fold to the same.
TABLE_NAMES = (
    ("UserAccount", "user_account"),
    ("order", "order"),
    ("Select", "select"),
    ("weird name", "weird name"),
    ('quo"te', 'quo"te'),
    ("Größe", "größe"),
    ("LINE_ITEMS", "line_items"),
    ("audit-log", "audit_log"),
    ("%s", "%s"),
    ("t", "t"),
    ("s", "S"),
    ("a" * 60, "a" * 60),
    ("entrypoint_staging", "entrypoint_staging"),
)
COLUMN_NAMES = (
    ("userId", "user_id"),
    ("group", "group"),
    ("Created At", "created_at"),
    ('a"b', 'a"b'),
    ("naïve", "naïve"),
    ("UPPER", "upper"),
    ("rowid", "rowid"),
    ("k0", "k0"),
    ("s", "s"),
    ("t", "T"),
    ("n", "n"),
    ("%d", "%d"),
    ("it's", "it's"),
    ("entrypoint_nth", "entrypoint_nth"),
    ("name", "name"),
    ("value", "value"),
    ("_rowid_", "_rowid_"),
    ("xmax2", "xmax2"),
    ("refusal", "refusal"),
    ("b" * 60, "b" * 60),
)
# Columns of the target alone: DDL, and what a new row gets (as text; "?" for what nobody foretells).
TARGET_EXTRAS = (
    ("extra_null", "text", None),
    ("extra_default", "integer DEFAULT 7", "7"),
    ("extra_filled", "text NOT NULL DEFAULT 'it''s'", "it's"),
    ("extra_array", "text[] DEFAULT '{}'", "{}"),
    ("extra_computed", "integer GENERATED ALWAYS AS (1 + 1) STORED", "2"),
)
REQUIRED_EXTRA = ("extra_required", "integer NOT NULL", "?")
# Columns of the source alone: DDL and whether they hold what has no home.
SOURCE_EXTRAS = (("leftover", "TEXT", False), ("computed", "AS (1 + 1)", False))
HOMELESS_EXTRA = ("homeless", "TEXT DEFAULT 'x'", True)

_NAMES = st.permutations(range(len(TABLE_NAMES)))
_COLUMN_ORDER = st.permutations(range(len(COLUMN_NAMES)))
_CHANCE = st.integers(0, 19)
_KEY_STYLES = st.sampled_from(
    ["identity", "always", "serial", "plain", "plain", "composite", "unique", "alike", "none", "surrogate"]
)
_TIMINGS = st.sampled_from(["", "", "DEFERRABLE", "DEFERRABLE INITIALLY DEFERRED"])

_WIDTHS = {
    "smallint": ["integer", "bigint"],
    "integer": ["bigint", "smallint"],
    "bigint": ["integer"],
    "text": ["varchar(5)", "char(4)"],
    "varchar(5)": ["text"],
    "positive": ["integer"],
}

Draw = Callable[[st.SearchStrategy[Any]], Any]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One pair of schemas with rows for both, and the settings of the run.

    Attributes:
        care: `clean`: rows that cannot be taken are left out of the source; `damaged`: they stand in it.
        cells: rows of each table as they are inserted.
        seeds: per table, (source row to copy the key of or None, whether the rest is equal, cells).
    """

    tables: tuple[Table, ...]
    cells: tuple[tuple[Row, ...], ...]
    seeds: tuple[tuple[tuple[int | None, bool, Row], ...], ...]
    care: str
    setting: Setting
    encoding: str
    is_wal: bool
    stray: str
    is_by_child: bool


@st.composite
def cases(draw: Draw) -> Case:
    """Draw a case."""
    care = draw(st.sampled_from(["clean", "clean", "clean", "damaged"]))
    names = draw(_NAMES)[: draw(st.integers(1, 6))]
    tables: list[Table] = []
    for position, name in enumerate(names):
        tables.append(_draw_table(draw, TABLE_NAMES[name], is_skewed=draw(_CHANCE) == 0, position=position))
    for position in range(len(tables)):
        _draw_foreign_keys(draw, tables, position)
    setting = Setting(
        on_conflict=draw(st.sampled_from(["preserve", "preserve", "overwrite", "fail"])),
        on_reject=draw(st.sampled_from(["fail", "quarantine"])),
        verify=draw(st.sampled_from(["full", "auto", "counts"])),
        timezone=draw(st.sampled_from(["UTC", "Europe/Berlin"])),
    )
    is_damaged = care == "damaged"
    cells = tuple(_draw_rows(draw, table, is_damaged, draw(st.integers(0, 6))) for table in tables)
    return Case(
        tables=tuple(tables),
        cells=cells,
        seeds=tuple(_draw_seeds(draw, table, len(rows)) for table, rows in zip(tables, cells, strict=True)),
        care=care,
        setting=setting,
        encoding=draw(st.sampled_from(["UTF-8", "UTF-8", "UTF-16le", "UTF-16be"])),
        is_wal=draw(st.booleans()),
        stray=draw(st.sampled_from(["none"] * 8 + ["empty", "empty", "rows"])),
        is_by_child=draw(st.integers(0, 29)) == 29,
    )


def _draw_table(draw: Draw, names: tuple[str, str], *, is_skewed: bool, position: int) -> Table:
    style = draw(_KEY_STYLES)
    order = [COLUMN_NAMES[i] for i in draw(_COLUMN_ORDER)]
    key_kinds: list[Kind] = []
    if style in ("identity", "always", "serial"):
        key_kinds = [KEY_KINDS[draw(st.integers(0, 1))]]
    elif style in ("plain", "unique", "alike"):
        key_kinds = [draw(st.sampled_from(KEY_KINDS))]
    elif style == "composite":
        key_kinds = [draw(st.sampled_from(KEY_KINDS)) for _ in range(2)]
    columns = [_draw_column(draw, order.pop(), kind, is_not_null=style != "alike") for kind in key_kinds]
    for _ in range(draw(st.integers(0 if columns else 1, 4))):
        kind = draw(st.sampled_from(PLAIN_KINDS))
        columns.append(_draw_column(draw, order.pop(), kind, is_not_null=draw(_CHANCE) < 4))
    key = tuple(range(len(key_kinds)))
    uniques: tuple[tuple[int, ...], ...] = ()
    if key and style not in ("unique", "alike") and len(columns) > len(key) and draw(_CHANCE) < 8:
        last = columns[-1]
        if any(kind.type == last.type for kind in KEY_KINDS):
            uniques = ((len(columns) - 1,),)
    extras = [extra for extra in TARGET_EXTRAS if draw(_CHANCE) < 3]
    source_extras = [extra for extra in SOURCE_EXTRAS if draw(_CHANCE) < 3]
    if is_skewed:
        if draw(st.booleans()):
            extras.append(REQUIRED_EXTRA)
        else:
            source_extras.append(HOMELESS_EXTRA)
    layout = draw(st.sampled_from(["rowid", "rowid", "bare", "strict", "without rowid"]))
    if layout == "without rowid" and (not key or style == "alike"):
        layout = "rowid"
    return Table(
        source=names[0],
        target=names[1],
        columns=tuple(columns),
        key=key,
        style=style,
        uniques=uniques,
        foreign_keys=(),
        extras=tuple(extras),
        source_extras=tuple(source_extras),
        layout=layout,
        is_autoincrement=draw(st.booleans()),
        is_guarded=draw(_CHANCE) < 6,
    )


def _draw_column(draw: Draw, names: tuple[str, str], kind: Kind, *, is_not_null: bool) -> Column:
    return Column(
        source=names[0],
        target=names[1],
        type=kind.type,
        declared=draw(st.sampled_from(kind.declared)),
        is_not_null=is_not_null,
        good=tuple(kind.good),
        bad=tuple(kind.bad),
    )


def _draw_foreign_keys(draw: Draw, tables: list[Table], position: int) -> None:
    """Give a table up to two foreign keys, to any table with a key, itself and later ones included."""
    table = tables[position]
    columns = list(table.columns)
    keys: list[ForeignKey] = []
    for number in range(draw(st.sampled_from([0, 1, 1, 2]))):
        parent_position = draw(st.integers(0, len(tables) - 1))
        parent = tables[parent_position]
        if not parent.key or parent.style == "alike":
            continue
        referenced = parent.key
        if parent.uniques and draw(st.booleans()):
            referenced = parent.uniques[0]
        is_own = draw(_CHANCE) < 4 and len(referenced) == 1 and table.key and parent_position != position
        if is_own and columns[0].type == parent.columns[referenced[0]].type:
            used: tuple[int, ...] = (0,)
        else:
            is_not_null = draw(_CHANCE) < 5
            used = tuple(range(len(columns), len(columns) + len(referenced)))
            for nth, index in enumerate(referenced):
                model = parent.columns[index]
                columns.append(
                    Column(
                        source=f"Ref{number}Of{nth}",
                        target=f"ref{number}_of{nth}",
                        type=_vary(draw, model.type),
                        declared=model.declared,
                        is_not_null=is_not_null,
                        good=model.good,
                        bad=model.bad,
                    )
                )
        keys.append(
            ForeignKey(columns=used, parent=parent_position, referenced=referenced, timing=draw(_TIMINGS))
        )
    tables[position] = table.replace(columns=tuple(columns), foreign_keys=tuple(keys))


def _vary(draw: Draw, type_name: str) -> str:
    """Return a referring column's type: now and then another width, which PostgreSQL compares as well."""
    if type_name in _WIDTHS and draw(_CHANCE) < 4:
        return str(draw(st.sampled_from(_WIDTHS[type_name])))
    return type_name


def _draw_rows(draw: Draw, table: Table, is_damaged: bool, count: int) -> tuple[Row, ...]:
    return tuple(
        tuple(_draw_cell(draw, column, is_damaged=is_damaged) for column in table.columns)
        for _ in range(count)
    )


def _draw_cell(draw: Draw, column: Column, *, is_damaged: bool) -> Any:
    chance = draw(st.integers(0, 59))
    if chance < (2 if column.is_not_null else 8):
        return None if is_damaged or not column.is_not_null else column.good[0]
    if is_damaged and chance > 57 and column.bad:
        return column.bad[chance % len(column.bad)]
    return column.good[chance % len(column.good)]


def _draw_seeds(draw: Draw, table: Table, rows: int) -> tuple[tuple[int | None, bool, Row], ...]:
    """Draw rows that stand in PostgreSQL before: equal to a source's row, of its key alone, or others."""
    seeds = []
    for _ in range(draw(st.sampled_from([0, 0, 1, 2, 4]))):
        model = draw(st.integers(0, rows - 1)) if rows and draw(_CHANCE) < 15 else None
        is_equal = draw(st.booleans())
        seeds.append((model, is_equal, _draw_rows(draw, table, False, 1)[0]))
    return tuple(seeds)


# --- the source ----------------------------------------------------------------------------------


def quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def describe_source(table: Table) -> str:
    """Return the SQLite DDL of a table."""
    is_strict = table.layout == "strict"
    is_rowid_key = len(table.key) == 1 and table.columns[0].type in ("integer", "bigint")
    is_rowid_key = is_rowid_key and table.layout in ("rowid", "strict")
    parts = []
    for position, column in enumerate(table.columns):
        declared = "ANY" if is_strict else column.declared
        if position == 0 and is_rowid_key:
            declared = "INTEGER PRIMARY KEY" + (" AUTOINCREMENT" if table.is_autoincrement else "")
        elif position in table.key and table.layout == "without rowid":
            declared += " NOT NULL"
        parts.append(f"{quote(column.source)} {declared}")
    for name, ddl, _ in table.source_extras:
        ddl = ddl if not is_strict or not ddl.startswith("AS") else f"ANY {ddl}"
        parts.append(f"{name} {ddl}")
    if table.key and not is_rowid_key and table.layout != "bare":
        parts.append(f"PRIMARY KEY ({', '.join(quote(table.columns[i].source) for i in table.key)})")
    suffix = {"strict": " STRICT", "without rowid": " WITHOUT ROWID"}.get(table.layout, "")
    return f"CREATE TABLE {quote(table.source)} ({', '.join(parts)}){suffix}"


def write_source(case: Case, path: Path, rows: Sequence[Sequence[Row]]) -> None:
    """Write the case's source with these rows; under WAL the newest rows stand in the log alone."""
    for suffix in ("", "-wal", "-shm", ".made", ".made-wal", ".made-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    making = Path(f"{path}.made")
    connection = sqlite3.connect(making, isolation_level=None)
    with contextlib.closing(connection):
        connection.execute(f"PRAGMA encoding='{case.encoding}'")
        connection.execute("PRAGMA synchronous=OFF")
        if case.is_wal:
            connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("BEGIN")
        fill_source(connection, case, rows)
        connection.execute("COMMIT")
        shutil.copyfile(making, path)
        if case.is_wal:
            shutil.copyfile(f"{making}-wal", f"{path}-wal")
    for suffix in ("", "-wal", "-shm"):
        Path(f"{making}{suffix}").unlink(missing_ok=True)


def fill_source(connection: sqlite3.Connection, case: Case, rows: Sequence[Sequence[Row]]) -> None:
    """Create the case's tables and insert rows; those that SQLite itself refuses are not in it."""
    for table, inserted in zip(case.tables, rows, strict=True):
        connection.execute(describe_source(table))
        names = ", ".join(quote(column.source) for column in table.columns)
        for row in inserted:
            if case.encoding != "UTF-8":  # what these bytes are as UTF-16 is another question
                row = tuple("a\x00b" if isinstance(cell, RawText) else cell for cell in row)
            marks = ", ".join("CAST(? AS TEXT)" if isinstance(cell, RawText) else "?" for cell in row)
            values = [cell.content if isinstance(cell, RawText) else cell for cell in row]
            with contextlib.suppress(sqlite3.Error):
                connection.execute(f"INSERT INTO {quote(table.source)} ({names}) VALUES ({marks})", values)
    if case.stray != "none":
        connection.execute("CREATE TABLE stray (a)")
        if case.stray == "rows":
            connection.execute("INSERT INTO stray VALUES (1)")


# --- the target ----------------------------------------------------------------------------------


def describe_tables(case: Case) -> str:
    """Return the PostgreSQL DDL of all tables, without what would stand in the way of the seeds."""
    return "".join(_describe_target(table) for table in case.tables)


def _describe_target(table: Table) -> str:
    key = ", ".join(quote(table.columns[i].target) for i in table.key)
    parts = []
    for position, column in enumerate(table.columns):
        ddl = f"{quote(column.target)} {column.type}"
        if position == 0 and table.style == "serial":
            ddl = f"{quote(column.target)} {'bigserial' if column.type == 'bigint' else 'serial'}"
        elif position == 0 and table.style in ("identity", "always"):
            ddl += f" GENERATED {'ALWAYS' if table.style == 'always' else 'BY DEFAULT'} AS IDENTITY"
        parts.append(ddl + (" NOT NULL" if column.is_not_null else ""))
    if table.style == "surrogate":
        parts.insert(0, "surrogate bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY")
    parts += [f"{name} {ddl}" for name, ddl, _ in table.extras]
    if key:
        kinds = {"unique": "UNIQUE", "alike": "UNIQUE NULLS NOT DISTINCT"}
        parts.append(f"{kinds.get(table.style, 'PRIMARY KEY')} ({key})")
    parts += [f"UNIQUE ({', '.join(quote(table.columns[i].target) for i in key)})" for key in table.uniques]
    return f"CREATE TABLE {quote(table.target)} ({', '.join(parts)});"


def describe_constraints(case: Case) -> str:
    """Return what is added after the seeds: foreign keys, and triggers that must not fire."""
    statements = []
    for table in case.tables:
        for number, key in enumerate(table.foreign_keys):
            parent = case.tables[key.parent]
            columns = ", ".join(quote(table.columns[i].target) for i in key.columns)
            referenced = ", ".join(quote(parent.columns[i].target) for i in key.referenced)
            statements.append(
                f"ALTER TABLE {quote(table.target)} ADD CONSTRAINT fk_{number} FOREIGN KEY ({columns})"
                f" REFERENCES {quote(parent.target)} ({referenced}) {key.timing};"
            )
        if table.is_guarded:
            statements.append(
                f"CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE ON {quote(table.target)}"
                " FOR EACH ROW EXECUTE FUNCTION forbid();"
            )
    return "".join(statements)
