"""The two ways of every conversion, SQL and Python, on the same cells of a file: one verdict, one value."""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrypoint.model import TargetType
from entrypoint.sqlite.source import Cell
from entrypoint.transfer.conversions import CONVERTERS, FaceMaker, choose_conversion, raw_cell
from entrypoint.transfer.conversions.base import CellRefusedError
from entrypoint.transfer.verify.decode import expect
from tests.cells import ENCODINGS, RawText, float_bits, judge, make_type, raw_text, source_of

LABELS = ("good", "so so", 'say "hi"', "é", "")

UUIDS: st.SearchStrategy[Cell] = st.uuids().flatmap(
    lambda u: st.sampled_from([str(u), u.hex, str(u).upper(), "{" + str(u) + "}", u.bytes, str(u)[1:]])
)
JSON = st.sampled_from(
    [
        "{}",
        "[1.50, 1e400]",
        "[1e9999]",
        "[1e99999999]",
        '"\\u0041"',
        '"\\\\u0000"',
        "[1,]",
        "nul",
        '"\x7f"',
        '"é"',
    ]
) | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(json.dumps)
INTEGERS = st.integers(-(2**63), 2**63 - 1) | st.sampled_from(
    [
        base + off
        for base in (0, 2**15, -(2**15), 2**31, -(2**31), 10**8, 2**53, -(2**53))
        for off in (-1, 0, 1)
    ]
    + [2**63 - 1, -(2**63), 99999, -99999, 999, 10**17, 253402300799999, -62135596800001]
)
REALS = st.floats(allow_nan=False) | st.sampled_from([0.0, -0.0, 1.0, 0.5, 1e16, 19.99, float("inf"), 5e-324])
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
TEXTS = (
    ANY_TEXT
    | st.text("\\.N\"',;\t\r\n\x00\x01\x7f x0", max_size=6)
    | st.sampled_from(
        ["", "\\.", "\\N", "t", "1", "0", "12.5", "-7", "1e3", "nan", "2024-01-02 03:04:05", *LABELS]
    )
)
MOMENTS: st.SearchStrategy[Cell] = st.builds(
    "{:04d}-{:02d}-{:02d}{}{:02d}:{:02d}:{:02d}{}{}".format,
    st.integers(0, 9999) | st.sampled_from([0, 1, 1900, 2000, 2023, 2024]),
    st.integers(0, 13),
    st.integers(0, 32) | st.integers(28, 31),
    st.sampled_from([" ", "T", "t", "  "]),
    st.integers(0, 25),
    st.integers(0, 60),
    st.integers(0, 60),
    st.sampled_from(["", ".", ".1", ".123", ".999999", ".123456789", ",5", ".1x", ".\x00", ".é"]),
    st.sampled_from(["", "Z", "z", "ZZ", "+02:00", " +0000 UTC", "\x00", "Z ", " "]),
)
CELLS: st.SearchStrategy[Cell] = st.none() | INTEGERS | REALS | TEXTS | st.binary(max_size=20) | UUIDS | JSON


def parse_time(text: str) -> datetime:
    assert "T" not in text
    if text.endswith("+00"):
        text += ":00"
    return datetime.fromisoformat(text)


# name, unit -> what a text means to PostgreSQL
MEANINGS: dict[tuple[str, str | None], Callable[[str], object]] = {
    ("boolean", None): int,
    ("smallint", None): int,
    ("integer", None): int,
    ("bigint", None): int,
    ("numeric", None): Decimal,
    ("numeric(5,2)", None): Decimal,
    ("numeric(2,5)", None): Decimal,
    ("numeric(3,-2)", None): Decimal,
    ("numeric(30,0)", None): Decimal,
    ("double precision", None): lambda text: float_bits(float(text)),
    ("text", None): str,
    ("character varying(5)", None): str,
    ("character(3)", None): str,
    ("bytea", None): lambda text: bytes.fromhex(text.removeprefix("\\x")),
    ("uuid", None): UUID,
    ("json", None): str,
    ("jsonb", None): str,
    ("mood", None): str,
    ("timestamp without time zone", "s"): parse_time,
    ("timestamp with time zone", "ms"): parse_time,
    ("timestamp(3) without time zone", "us"): parse_time,
    ("timestamp with time zone", "ns"): parse_time,
    ("timestamp(0) without time zone", "ns"): parse_time,
    ("timestamp(3) with time zone", "julian"): parse_time,
}


def describe_type(name: str) -> TargetType:
    return make_type(name, labels=LABELS if name == "mood" else ())


@pytest.mark.parametrize(("name", "unit"), MEANINGS)
@given(cells=st.lists(CELLS | MOMENTS, max_size=30), encoding=st.sampled_from(ENCODINGS))
@settings(max_examples=25, deadline=None)
def test_both_ways_agree(name: str, unit: str | None, cells: list[Cell], encoding: str) -> None:
    conversion = choose_conversion(describe_type(name), unit=unit)
    mean = MEANINGS[name, unit]
    fast = CONVERTERS[conversion.kind].fast(conversion, "(+v)")
    with (
        tempfile.TemporaryDirectory() as home,
        source_of(Path(home) / "s", cells, encoding=encoding) as source,
    ):
        faces = FaceMaker(source)
        made = faces.make(conversion, "(+v)")
        when, render = (fast.when, fast.render) if fast else ("0", "NULL")
        for covered, rendered, refuses, text, is_text, raw in source.connection.execute(
            f"SELECT {when}, CASE WHEN {when} THEN {render} END, {made.refuses}, {made.text},"
            f" typeof(v) = 'text', {raw_cell('v')} FROM t WHERE v IS NOT NULL"
        ):
            complete = faces.convert(conversion, is_text, raw)
            assert (complete is None) == bool(refuses)
            assert (text is None) == bool(refuses)
            if covered:
                assert complete is not None, "the fast way takes what the complete way refuses"
                assert mean(str(rendered)) == mean(complete)


@pytest.mark.parametrize(("name", "unit"), MEANINGS)
@given(data=st.data())
@settings(max_examples=8, deadline=None)
def test_fields_are_whole_and_refusals_have_reasons(name: str, unit: str | None, data: st.DataObject) -> None:
    raw = st.binary(max_size=8).map(raw_text)
    cells = data.draw(st.lists(st.one_of(CELLS, raw), max_size=20))
    with tempfile.TemporaryDirectory() as home:
        for encoding in ENCODINGS[:2]:
            judge(Path(home) / "s", describe_type(name), cells, unit=unit, encoding=encoding)


@given(texts=st.lists(ANY_TEXT, min_size=1), encoding=st.sampled_from(ENCODINGS))
@settings(max_examples=60, deadline=None)
def test_text_passes_unchanged_or_holds_a_nul(texts: list[str], encoding: str) -> None:
    with tempfile.TemporaryDirectory() as home:
        verdicts = judge(Path(home) / "s", make_type("text"), texts, encoding=encoding)
    assert [verdict.text for verdict in verdicts] == [None if "\x00" in text else text for text in texts]


@given(contents=st.lists(st.binary(max_size=12), min_size=1))
@settings(max_examples=60, deadline=None)
def test_bytes_in_a_text_are_utf8_or_refused(contents: list[bytes]) -> None:
    texts: list[Cell | RawText] = [raw_text(content) for content in contents]
    with tempfile.TemporaryDirectory() as home:
        path = Path(home) / "s"
        from_text = judge(path, make_type("text"), texts)
        from_blob = judge(path, make_type("text"), contents)
        as_bytea = judge(path, make_type("bytea"), texts)
    expected = [decode(content) for content in contents]
    assert [verdict.text for verdict in from_text] == expected
    assert [verdict.text for verdict in from_blob] == expected
    assert [bytes.fromhex((verdict.text or "")[2:]) for verdict in as_bytea] == contents


def test_verification_reads_every_spelling_of_a_moment_alike() -> None:
    days = ["2024-01-02", "20240102", "2024-1-2"]
    clocks = ["03:04", "0304", "03:04:05", "030405", "3:04", "24:00", "240000"]
    zones = ["", "Z", " UTC", " GMT", "+01", "+0100", "+01:00", " +0100", " -03:30", "-033015", "+01:00:15"]
    tails = ["", " CET", " -03", " m=+1.5", " CET m=-0.1"]
    conversion = choose_conversion(make_type("timestamp without time zone"))
    taken = 0
    for parts in itertools.product(days, "T ", clocks, ["", ".5", ",123456789"], zones, tails):
        text = "".join(parts)
        try:
            written = CONVERTERS["timestamp"].convert(conversion, text)
        except CellRefusedError:
            continue
        ticks = (datetime.fromisoformat(written) - datetime(1970, 1, 1)) // timedelta(microseconds=1)
        assert expect(conversion, text, timezone="UTC") == ticks, text
        taken += 1
    assert taken > 2000


def decode(content: bytes) -> str | None:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    return None if "\x00" in text else text


def test_half_a_pair_in_utf16_is_refused(tmp_path: Path) -> None:
    (verdict,) = judge(tmp_path / "s", make_type("text"), [raw_text(b"a\x00\x00\xd8")], encoding="UTF-16le")
    assert verdict.reason == "not valid UTF-16 (byte 0x00 at position 2)"


@given(values=st.lists(st.floats(allow_nan=False), min_size=1))
@settings(max_examples=100, deadline=None)
def test_doubles_pass_bit_for_bit(values: list[float]) -> None:
    with tempfile.TemporaryDirectory() as home:
        verdicts = judge(Path(home) / "s", make_type("double precision"), values)
    assert [float_bits(float(verdict.text or "nan")) for verdict in verdicts] == list(map(float_bits, values))
