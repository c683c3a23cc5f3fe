"""Target types with cells that fit them and cells that may not, and names on both sides, to draw from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tests.fuzz.model import RawText

# Every table of the target may use these.
PRELUDE = """
CREATE TYPE "mood %s" AS ENUM ('sad', 'so so', 'it''s "ok"', 'é');
CREATE DOMAIN "la""bel%" AS varchar(4) CHECK (value <> 'no');
CREATE DOMAIN positive AS integer CHECK (value > 0);
CREATE SEQUENCE free_sequence;
CREATE FUNCTION forbid() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION 'a trigger fired'; END $$;
CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
"""
ICU_PRELUDE = (
    "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);"
    "CREATE EXTENSION IF NOT EXISTS citext SCHEMA {schema};"
)
# What DDL says where the name of a type does not.
DDL = {"loose text": "text COLLATE loose"}


class Kind(NamedTuple):
    """A target type with cells that fit it, cells that may not, and how SQLite may declare its column."""

    type: str
    good: Sequence[Any]
    bad: Sequence[Any]
    declared: Sequence[str] = ("",)
    unit: str | None = None


_UUIDS = [f"0000000{n}-aaaa-4bbb-8ccc-dddddddddddd" for n in range(1, 6)]
_INTEGERS = ("INTEGER", "INT", "BIGINT", "", "TEXT")
_TEXTS = ("TEXT", "VARCHAR(5)", "", "text collate nocase")
_TIMES = ("DATETIME", "TEXT", "")
_NUMBERS = ("INTEGER", "", "TIMESTAMP", "REAL")
_ODD = [
    "",
    "a",
    "\\.",
    "\\N",
    "NULL",
    "a\r\nb",
    '"q"',
    "é\U0001f600",
    ",;\t",
    " b ",
    "%s",
    "\ufeff",
    "\x01\x7f",
]
_MOMENTS = [
    "2024-02-29 12:30:45",
    "2024-02-29T12:30:45.123456",
    "2024-07-01 00:00:00Z",
    "2024-01-02 03:04:05.678+02:00",
    "0001-01-03 00:00:00",
    "9999-12-30 23:59:59.999999",
    "1969-12-31 23:59:59.5",
    "2024-03-31 02:30:00",  # in Berlin there was no such time
    "2024-10-27 02:30:00",  # and this one was twice
]
_NOT_MOMENTS = ["", "soon", "2024-13-01 00:00:00", b"\x00", "2023-02-29"]
_NOT_TEXT = ["a\x00b", b"\xff\xfe", RawText(b"a\xffb")]
_WORDS = ["a", "A", "b", " b", "é", "", "x'y\"z", "1"]

KEY_KINDS = (
    Kind("integer", [1, 2, 3, 4, 5, "3", 4.0, -7], ["x", 2**31], _INTEGERS),
    Kind("bigint", [1, 2, 3, 2**53 + 1, 2**63 - 1, "2", -(2**63)], ["", 1.5], _INTEGERS),
    Kind("text", _WORDS, _NOT_TEXT, _TEXTS),
    Kind(
        "uuid",
        [*_UUIDS, _UUIDS[0].upper(), "{" + _UUIDS[1] + "}", bytes.fromhex(_UUIDS[2].replace("-", ""))],
        ["1234", b"123"],
        ("TEXT", "", "BLOB", "uuid"),
    ),
    Kind("varchar(5)", ["a", "bb", "é" * 5, "B", "b"], ["toolong", *_NOT_TEXT], _TEXTS),
    Kind("date", ["2024-01-01", "2024-01-02", "2024-01-03T00:00:00"], ["2024-02-30"], ("DATE", "TEXT", "")),
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
        _TIMES,
    ),
    Kind("positive", [1, 2, "3"], [0, -1], _INTEGERS),
    Kind("int4range", ["[1,3)", "[1,2]", "empty", "[4,)"], ["[3,1)", "x"], ("TEXT", "")),
)
# Types whose equality is wider than that of bytes, which not every server has.
LOOSE_KINDS = (
    Kind("loose text", [*_WORDS, "É", "e\u0301", "B"], _NOT_TEXT, _TEXTS),
    Kind("citext", [*_WORDS, "É", "B"], _NOT_TEXT, _TEXTS),
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
    Kind("numeric(4,-2)", [1200, -500, "300"], [10**6, "x", "1234"], ("", "TEXT")),
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
        Kind(type_name, _MOMENTS, _NOT_MOMENTS, _TIMES)
        for type_name in ("timestamptz", "timestamp", "timestamp(0)", "timestamptz(3)")
    ),
    *(
        Kind(type_name, cells, bad, _NUMBERS)
        for type_name in ("timestamptz", "timestamp")
        for cells, bad in (
            ([1_700_000_000, 1_600_000_001, 1_234_567_890, 0, 1_700_000_000.25], ["soon", 1_700_000_000_000]),
            ([1_700_000_000_123, 1_600_000_000_000, "2024-02-29 12:30:45", 0], [b"\x00", 1_700_000_000]),
            ([1_700_000_000_123_456, 1_600_000_000_000_000], [""]),
            ([1_700_000_000_123_456_789, 1_600_000_000_000_000_000], ["x", 1_700_000_000_000]),
            ([2_460_310.5, 2_455_000.25, "2024-02-29 12:30:45"], ["x", 1_700_000_000]),
        )
    ),
    Kind("timestamptz", [5, 0, -86_400, 1_700_000_000_000], ["x"], ("INTEGER", ""), "ms"),
    Kind("timestamp", [5, 0, 10**11], ["soon", b"\x00"], ("INTEGER", ""), "s"),
    Kind("timestamp", [0.5, 2_440_587.5, 1_721_500], [], ("REAL", ""), "julian"),
    Kind(
        "date", ["0001-01-01", "9999-12-31", "2024-02-29 00:00:00"], ["2024-02-29 12:00:00", ""], ("DATE", "")
    ),
    Kind("time", ["12:30:45", "00:00:00.5", "23:59:59.999999"], ["24:00:01", "noon"], ("TIME", "TEXT", "")),
    Kind('"la""bel%"', ["", "abcd", "é"], ["no", "abcde"], _TEXTS),
    Kind("integer[]", ["[1, 2]", "{3,NULL}", "[]", "[null]"], ["[1", '["x"]', "{1,", ""], ("TEXT", "")),
    Kind("text[]", ['["a", "b c"]', "{x,y}", "[]", '["\\"", null, ""]'], ["[1", "{a,"], ("TEXT", "")),
    Kind("inet", ["10.0.0.1", "::1", "10.0.0.0/8"], ["nowhere", ""], ("TEXT", "")),
    Kind("interval", ["1 day", "01:02:03", "-2 mons", "P1Y"], ["a while", ""], ("TEXT", "")),
    Kind("bit(3)", ["101", "000"], ["10", "1011", "x", ""], ("TEXT",)),
    Kind("macaddr", ["08:00:2b:01:02:03", "08002b010203"], ["08:00", ""], ("TEXT", "")),
    Kind("point", ["(1,2)", "3,4"], ["here", ""], ("TEXT", "")),
    Kind("tsvector", ["a b", "'a':1"], ["'", "a:x:"], ("TEXT", "")),
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
    ("a" * 70, "a" * 63),
    ("é" * 40, "é" * 31),
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
    ("b" * 80, "b" * 63),
    ("a.b[c]", "a.b[c]"),
    ("\U0001f600", "\U0001f600"),
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
REQUIRED_VALUE = "5"  # what the mapping file says of it
# Columns of the source alone: DDL and whether they hold what has no home.
SOURCE_EXTRAS = (
    ("leftover", "TEXT", False),
    ("computed", "AS (1 + 1)", False),
    ("extraComputed", "AS (9)", False),
)
HOMELESS_EXTRA = ("homeless", "TEXT DEFAULT 'x'", True)
