"""Section 5 of the contract as tables: every storage class into every type, with the text or the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from entrypoint.model import TargetType
from entrypoint.sqlite.source import Cell
from tests.cells import RawText, judge, make_type, raw_text

INF = float("inf")
UUID = "f47ac10b-58cc-4372-a567-0e02b2c3d479"

# (type, unit): cell -> text
ACCEPTED: dict[tuple[str, str | None], list[tuple[Cell | RawText, str | None]]] = {
    ("boolean", None): [
        (None, None),
        *((cell, "1") for cell in (1, 1.0, "t", "true", "yes", "on", "1", "TRUE", " On ")),
        *((cell, "0") for cell in (0, 0.0, -0.0, "f", "false", "no", "off", "0", "False")),
    ],
    ("smallint", None): [(32767, "32767"), (-32768, "-32768"), (32767.0, "32767"), ("-32768", "-32768")],
    ("integer", None): [(2**31 - 1, "2147483647"), (-(2**31), "-2147483648")],
    ("bigint", None): [
        (2**63 - 1, "9223372036854775807"),
        (-(2**63), "-9223372036854775808"),
        (-(2.0**63), "-9223372036854775808"),
        ("9223372036854775807", "9223372036854775807"),
        ("-9223372036854775808", "-9223372036854775808"),
        (" +0042 ", "42"),
        ("5.0", "5"),
        ("0", "0"),
        (1e15, "1000000000000000"),
    ],
    ("numeric", None): [
        (2**63 - 1, "9223372036854775807"),
        (0.1, "0.1"),
        (1e-7, "1e-07"),
        (INF, "inf"),
        (-INF, "-inf"),
        ("NaN", "NaN"),
        (" 1.50 ", "1.50"),
        ("1e131071", "1e131071"),
        ("1e-16383", "1e-16383"),
        ("0e99999", "0e99999"),
        ("123456789012345678901234567890.123456789", "123456789012345678901234567890.123456789"),
    ],
    ("numeric(10,2)", None): [
        (12, "12"),
        (99999999, "99999999"),
        (-99999999, "-99999999"),
        (19.99, "19.99"),
        (0.1 + 0.2, "0.30"),
        (1.1 + 2.2, "3.30"),
        (1.005 * 100, "100.50"),
        ("12.340", "12.34"),
        ("-0.5", "-0.50"),
        ("NaN", "NaN"),
    ],
    ("numeric(2,5)", None): [(0.00012, "0.00012"), (0, "0.00000"), ("0.00099", "0.00099")],
    ("numeric(3,-2)", None): [(12300, "12300"), ("99900", "99900"), (0, "0")],
    ("numeric(30,0)", None): [(2**63 - 1, "9223372036854775807"), (1e29, "1" + "0" * 29)],
    ("double precision", None): [
        (2**53, "9007199254740992.0"),
        (2**62, str(2**62)),
        ("1e308", "1e308"),
        (" -Infinity ", "-Infinity"),
        ("nan", "nan"),
        ("4.9e-324", "4.9e-324"),
    ],
    ("real", None): [
        (0.1, "0.1"),
        (0.5, "0.5"),
        (3, "3"),
        (16777216, "16777216"),
        (3.1415927, "3.1415927"),
        (1.00000012, "1.00000012"),
        (INF, "inf"),
        ("nan", "nan"),
        ("1e-40", "1e-40"),
    ],
    ("text", None): [
        ("", ""),
        ("héé\n\\.\\N\",'\r\n\x01\x7f", "héé\n\\.\\N\",'\r\n\x01\x7f"),
        (5, "5"),
        (-(2**63), str(-(2**63))),
        (1e20, "1.0e+20"),
        (5.0, "5.0"),
        (b"blob \xc3\xa9", "blob é"),
        ("\\N", "\\N"),
        ("\U0010ffff\ufeff\ufffe", "\U0010ffff\ufeff\ufffe"),
    ],
    ("character varying(5)", None): [
        ("ééééé", "ééééé"),
        ("😀" * 5, "😀" * 5),
        (12345, "12345"),
        (1.5, "1.5"),
    ],
    ("character(3)", None): [("ab", "ab"), ("a  ", "a  "), (b"abc", "abc")],
    ("citext", None): [("Ab", "Ab")],
    ("bytea", None): [
        (b"", "\\x"),
        (b"\x00\xff", "\\x00FF"),
        ("é\\", "\\xc3a95c"),
        ("a\x00b", "\\x610062"),
        (raw_text(b"\xff\xfe gAAAA"), "\\xfffe206741414141"),
    ],
    ("uuid", None): [
        (UUID, UUID),
        (UUID.upper(), UUID.upper()),
        ("{" + UUID + "}", "{" + UUID + "}"),
        (UUID.replace("-", ""), UUID.replace("-", "")),
        ("f47a-c10b-58cc-4372-a567-0e02-b2c3-d479",) * 2,
        (bytes.fromhex(UUID.replace("-", "")), UUID.replace("-", "").upper()),
        (UUID.encode(), UUID),
    ],
    ("json", None): [
        ('{"a": "\\u0000\\ud800"}', '{"a": "\\u0000\\ud800"}'),
        ("[1e99999]", "[1e99999]"),
        (" null ", " null "),
    ],
    ("jsonb", None): [
        ('{"a": [1, 2.50, "x\\u00e9"]}', '{"a": [1, 2.50, "x\\u00e9"]}'),
        ('"\\ud83d\\ude00"', '"\\ud83d\\ude00"'),
        ('"\\\\u0000"', '"\\\\u0000"'),
        ('"12e99999999"', '"12e99999999"'),
        ("1e131071", "1e131071"),
        (5, "5"),
        (2.5, "2.5"),
        (1e300, "1e+300"),
        (b"[true]", "[true]"),
    ],
    ("mood", None): [("so so", "so so"), ('it\'s "fine"', 'it\'s "fine"'), (b"good", "good"), ("", "")],
    ("integer[]", None): [
        ("[1, null, 12345678901234567890]", '{"1",NULL,"12345678901234567890"}'),
        ("[[1],[2]]", '{{"1"},{"2"}}'),
        ("[]", "{}"),
        ("{1,2}", "{1,2}"),
        ("[0:1]={1,2}", "[0:1]={1,2}"),
    ],
    ("text[]", None): [
        (
            '["a\\"b\\\\c", "NULL", "", null, true, {"k": 1.50}]',
            '{"a\\"b\\\\c","NULL","",NULL,"true","{\\"k\\": 1.50}"}',
        ),
        (b'["x"]', '{"x"}'),
        ('[{"\\udc00": 1}]', '{"{\\"\\\\udc00\\": 1}"}'),
    ],
    ("jsonb[]", None): [
        (
            '["a", 1.50, {"k": 2.0}, null, [1, "x"]]',
            '{"\\"a\\"","1.50","{\\"k\\": 2.0}",NULL,"[1, \\"x\\"]"}',
        ),
        (" [ ] ", "{}"),
    ],
    ("inet", None): [("10.0.0.1", "10.0.0.1")],
    ("timestamp without time zone", None): [
        ("2024-01-02 03:04:05", "2024-01-02 03:04:05"),
        ("2024-01-02T03:04:05.123456789", "2024-01-02 03:04:05.123456"),
        ("2024-01-02T03:04:05.9999999Z", "2024-01-02 03:04:05.999999"),
        ("2024-01-02T03:04:05+02:00", "2024-01-02 01:04:05"),
        ("2024-01-02 03:04:05.1 +0000 UTC m=+0.01", "2024-01-02 03:04:05.100000"),
        ("2024-01-02 03:04:05.1 +0200 CEST", "2024-01-02 01:04:05.100000"),
        ("2024-01-02 03:04:05 -0300 -03 m=-1.5", "2024-01-02 06:04:05"),
        ("2024-01-02", "2024-01-02 00:00:00"),
        ("2024-01-02 03:04", "2024-01-02 03:04:00"),
        ("0001-01-01 00:00:00+00:00", "0001-01-01 00:00:00"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31 23:59:59.999999"),
        (b"2024-01-02", "2024-01-02 00:00:00"),
    ],
    ("timestamp with time zone", None): [
        ("2024-01-02 03:04:05", "2024-01-02 03:04:05"),
        ("2024-01-02 03:04:05Z", "2024-01-02 03:04:05+00:00:00"),
        ("2024-01-02 03:04:05-0330", "2024-01-02 03:04:05-03:30:00"),
        ("2024-01-02 03:04:05+15:59:59", "2024-01-02 03:04:05+15:59:59"),
        ("1883-11-18 12:03:58-04:56:02", "1883-11-18 12:03:58-04:56:02"),
    ],
    ("timestamp with time zone", "ms"): [
        (1700000000123, "2023-11-14 22:13:20.123+00"),
        (-1, "1969-12-31 23:59:59.999+00"),
        (1700000000123.0, "2023-11-14 22:13:20.123000+00:00:00"),
        (-62135596800000, "0001-01-01 00:00:00.000+00"),
        (253402300799999, "9999-12-31 23:59:59.999+00"),
        ("2024-01-02 03:04:05", "2024-01-02 03:04:05"),
    ],
    ("timestamp without time zone", "s"): [
        (0, "1970-01-01 00:00:00"),
        (-62135596800, "0001-01-01 00:00:00"),
        (253402300799, "9999-12-31 23:59:59"),
        (1700000000.123, "2023-11-14 22:13:20.123000"),
        (-0.5, "1969-12-31 23:59:59.500000"),
    ],
    ("timestamp without time zone", "us"): [(-1, "1969-12-31 23:59:59.999999")],
    ("timestamp without time zone", "ns"): [
        (1700000000123456789, "2023-11-14 22:13:20.123456"),
        (-1, "1969-12-31 23:59:59.999999"),
        (-(2**63), "1677-09-21 00:12:43.145224"),
        (2**63 - 1, "2262-04-11 23:47:16.854775"),
    ],
    ("timestamp without time zone", "julian"): [
        (2440587.5, "1970-01-01 00:00:00"),
        (2440588, "1970-01-01 12:00:00"),
        (2460310.6278356, "2024-01-01 03:04:04.996000"),
        (1721425.5, "0001-01-01 00:00:00"),
    ],
    ("timestamp(3) without time zone", "ns"): [(1700000000123999999, "2023-11-14 22:13:20.123")],
    ("timestamp(3) without time zone", None): [("2024-01-02 03:04:05.9999", "2024-01-02 03:04:05.999000")],
    ("timestamp(0) without time zone", "ms"): [(1700000000999, "2023-11-14 22:13:20")],
    ("timestamp(0) without time zone", None): [("2024-12-31 23:59:59.999", "2024-12-31 23:59:59")],
    ("date", "s"): [
        ("2024-02-29", "2024-02-29"),
        ("2024-02-29 00:00:00", "2024-02-29"),
        ("2024-02-29T00:00:00.000Z", "2024-02-29"),
        ("2024-02-29 00:00:00+02:00", "2024-02-29"),
        (1709164800, "2024-02-29"),
        (-86400, "1969-12-31"),
        (1709164800.0, "2024-02-29"),
    ],
    ("time without time zone", "s"): [
        ("03:04", "03:04:00"),
        ("03:04:05.1234567", "03:04:05.123456"),
        ("1970-01-01 03:04:05", "03:04:05"),
        ("2000-01-01 03:04:05.500", "03:04:05.500000"),
        ("0000-01-01T03:04:05Z", "03:04:05"),
        (3661, "01:01:01"),
    ],
    ("time(0) without time zone", None): [("03:04:05.999", "03:04:05")],
}

NUL = "holds a NUL character"
BAD_UTF8 = "not valid UTF-8 (byte 0xff at position 2)"

# (type, unit): cell -> what its reason says
REFUSED: dict[tuple[str, str | None], list[tuple[Cell | RawText, str]]] = {
    ("boolean", None): [
        (2, "neither 0 nor 1"),
        (-1, "neither 0 nor 1"),
        (0.5, "neither 0 nor 1"),
        ("", "not a boolean"),
        ("maybe", "not a boolean"),
        ("t\x00", "not a boolean"),
        (b"\x01", "blob"),
        (b"true", "blob"),
    ],
    ("smallint", None): [(32768, "out of range for smallint (-32768 to 32767)"), (-32769, "out of range")],
    ("integer", None): [
        (2**31, "out of range for integer"),
        (0.5, "has a fraction"),
        (INF, "has a fraction"),
        (2.0**31, "out of range"),
        ("", "does not spell an integer"),
        ("1.5", "does not spell an integer"),
        ("abc", "does not spell an integer"),
        ("١", "does not spell an integer"),
        ("1_000", "does not spell an integer"),
        (b"\xff", "a blob is no number"),
        (raw_text(b"12\xff"), BAD_UTF8),
    ],
    ("bigint", None): [
        (2.0**63, "out of range"),
        ("9223372036854775808", "out of range"),
        ("99999999999999999999", "does not spell an integer that fits"),
    ],
    ("numeric", None): [
        ("", "does not spell a number"),
        ("1,5", "does not spell a number"),
        ("0x10", "does not spell a number"),
        ("1e131072", "numeric"),
        ("1e200000", "numeric"),
        ("1e-16384", "numeric"),
        ("0." + "0" * 16383 + "1", "numeric"),
        (b"\x00", "a blob is no number"),
    ],
    ("numeric(10,2)", None): [
        (100000000, "too large for numeric(10,2)"),
        (-100000000, "too large for numeric(10,2)"),
        (1e300, "too large for numeric(10,2)"),
        ("1e999999", "out of range for numeric"),
        ("1e5000", "too large for numeric(10,2)"),
        (99999999.999, "more than 2 decimal place"),
        (1.005, "more than 2 decimal place"),
        (1e-300, "more than 2 decimal place"),
        ("1e-999999", "out of range for numeric"),
        ("0.30000000000000004", "more than 2 decimal place"),
        (INF, "infinity"),
        ("-Infinity", "infinity"),
    ],
    ("numeric(2,5)", None): [(1, "too large"), (0.001, "too large"), (0.000001, "more than 5 decimal")],
    ("numeric(3,-2)", None): [(12345, "more than -2 decimal"), (100000, "too large")],
    ("double precision", None): [
        (2**53 + 1, "no double precision number equals"),
        ("1e400", "out of range for double precision"),
        ("1e-400", "out of range for double precision"),
        ("", "does not spell a number"),
        (b"\x00" * 8, "a blob is no number"),
    ],
    ("real", None): [
        (1e39, "out of range for real"),
        (1e-50, "more digits than real holds"),
        (16777217, "more digits than real holds"),
        (0.1234567891, "more digits than real holds"),
        (3.141592653589793, "more digits than real holds"),
    ],
    ("text", None): [
        ("a\x00b", NUL),
        (b"a\x00", NUL),
        (b"ab\xff", BAD_UTF8),
        (raw_text(b"ab\xff"), BAD_UTF8),
    ],
    ("character varying(5)", None): [
        ("abcdef", "6 characters, longer than character varying(5)"),
        ("éééééé", "6 characters"),
        (123456, "6 characters"),
        (1e16, "19 characters, longer"),
        ("a\x00", NUL),
    ],
    ("character(3)", None): [("abcd", "4 characters, longer than character(3)")],
    ("bytea", None): [(1, "a number is neither a blob nor text"), (1.5, "a number is neither")],
    ("uuid", None): [
        ("", "not a UUID"),
        (UUID[:-1], "not a UUID"),
        ("{" + UUID, "not a UUID"),
        (UUID + "\n", "not a UUID"),
        (b"a" * 15, "not a UUID"),
        (b"\x00" * 15, NUL),
        (5, "not a UUID"),
        (b"\xff" * 17, "not valid UTF-8"),
    ],
    ("json", None): [
        ("", "not valid JSON"),
        ("{'a': 1}", "not valid JSON"),
        ("[NaN]", "NaN is not JSON"),
        ('"a\nb"', "not valid JSON"),
        ("\ufeff1", "not valid JSON"),
        ('"a"\x00', NUL),
        (INF, "not valid JSON"),
        ("[" * 200000, "JSON"),
        (b"\x80\x04", "not valid UTF-8"),
    ],
    ("jsonb", None): [
        ('"\\u0000"', "holds \\u0000, which jsonb cannot"),
        ('{"\\u0000": 1}', "holds \\u0000"),
        ('"\\ud800"', "half a surrogate pair"),
        ('"\\ud800x\\udc00"', "half a surrogate pair"),
        ('"\\udc00\\ud800"', "half a surrogate pair"),
        ("[1e131072]", "numeric"),
        ('{"a": [-1e-16384]}', "numeric"),
        ("1" * 131073, "numeric"),
        ("0." + "1" * 16384, "numeric"),
    ],
    ("mood", None): [
        ("sad", 'no label of mood (so so, it\'s "fine", good, )'),
        ("GOOD", "no label"),
        ("good ", "no label"),
        (1, "no label"),
        ("good\x00", NUL),
    ],
    ("text[]", None): [('["\\u0000"]', NUL), ('["\\ud800"]', "surrogate")],
    ("jsonb[]", None): [("[NaN]", "NaN is not JSON")],
    ("timestamp with time zone", "s"): [
        ("", "the empty string is no time"),
        ("yesterday", "not a time in ISO 8601"),
        ("now", "not a time in ISO 8601"),
        ("2024-02-30", "no such moment"),
        ("2024-13-01", "no such moment"),
        ("0000-01-01", "no such moment"),
        ("2024-01-01 25:00:00", "no such moment"),
        ("2024-01-01 00:00:00+16:00", "offset"),
        ("2024-01-01 00:00:00+05:75", "offset"),
        ("2024-01-01 00:00:00+99", "offset"),
        ("10000-01-01", "not a time in ISO 8601"),
        ("01/02/2024", "not a time in ISO 8601"),
        (253402300800, "as seconds outside the years 0001 to 9999"),
        (-62135596801, "outside the years"),
        (2**63 - 1, "outside the years"),
        (1e300, "outside the years"),
        (INF, "infinity is no time"),
        (b"\xff\xfe", "not valid UTF-8"),
        ("2024-01-01\x00", "ISO 8601"),
    ],
    ("timestamp without time zone", None): [
        (5, "a number whose unit is not known"),
        ("0001-01-01 00:00:00+01:00", "outside the years 0001 to 9999"),
        ("9999-12-31 23:59:59-01:00", "outside the years 0001 to 9999"),
    ],
    ("timestamp without time zone", "julian"): [
        (1e308, "as Julian days outside the years"),
        (-1e308, "as Julian days outside the years"),
        (0, "outside the years"),
        (INF, "infinity"),
    ],
    ("date", "s"): [
        ("2024-02-29 01:00:00", "has a time of day"),
        (1709164801, "has a time of day"),
        ("03:04", "not a time in ISO 8601"),
    ],
    ("time without time zone", "s"): [
        ("24:00:01", "no such time of day"),
        ("2024-01-02 03:04:05", "has a date, which time would lose"),
        (86400, "has a date, which time would lose"),
        ("noon", "ISO 8601"),
    ],
}

LABELS = ("so so", 'it\'s "fine"', "good", "")
ELEMENTS = {"integer[]": "int4", "text[]": "text", "jsonb[]": "jsonb"}


def describe_type(name: str) -> TargetType:
    return make_type(name, labels=LABELS if name == "mood" else (), element=ELEMENTS.get(name))


@pytest.mark.parametrize(("name", "unit"), ACCEPTED)
def test_cells_that_a_type_takes(name: str, unit: str | None, tmp_path: Path) -> None:
    cells = ACCEPTED[name, unit]
    verdicts = judge(tmp_path / "s.db", describe_type(name), [c for c, _ in cells], unit=unit)
    found = [(cell, verdict.text, verdict.reason) for (cell, _), verdict in zip(cells, verdicts, strict=True)]
    assert found == [(cell, text, None) for cell, text in cells]


@pytest.mark.parametrize(("name", "unit"), REFUSED)
def test_cells_that_a_type_refuses_and_why(name: str, unit: str | None, tmp_path: Path) -> None:
    cells = REFUSED[name, unit]
    verdicts = judge(tmp_path / "s.db", describe_type(name), [c for c, _ in cells], unit=unit)
    wrong = [
        (cell, verdict)
        for (cell, reason), verdict in zip(cells, verdicts, strict=True)
        if verdict.reason is None or reason not in verdict.reason
    ]
    assert wrong == []


@pytest.mark.parametrize("name", ["integer", "boolean", "date", "jsonb", "uuid", "mood", "numeric"])
def test_empty_strings_are_null_where_the_mapping_says_so(name: str, tmp_path: Path) -> None:
    target = make_type(name, labels=("good",) if name == "mood" else ())
    for is_null, reasons in ((False, 1), (True, 0)):
        verdicts = judge(tmp_path / "s.db", target, ["", None], is_empty_null=is_null)
        assert [verdict.text for verdict in verdicts] == [None, None]
        assert sum(verdict.reason is not None for verdict in verdicts) == reasons
