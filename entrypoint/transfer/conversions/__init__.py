"""The table of conversions: from a cell, by its storage class, into the target's type.

Owns which conversion a target type gets and the SQL that judges and renders its cells. A new type is
one entry in `CONVERTERS` and `_KINDS`; how it works stands in the module of its family.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from entrypoint.model import Conversion, TargetType
from entrypoint.sqlite.source import Cell, SourceDatabase
from entrypoint.transfer.conversions import arrays, durations, numbers, others, texts, times
from entrypoint.transfer.conversions.base import CellRefusedError, Converter, blank_numbers

CONVERTERS: dict[str, Converter] = {
    "boolean": numbers.BOOLEAN,
    "integer": numbers.INTEGER,
    "numeric": numbers.NUMERIC,
    "double": numbers.DOUBLE,
    "real": numbers.REAL,
    "text": texts.TEXT,
    "bytea": texts.BYTEA,
    "uuid": texts.UUID,
    "json": texts.JSON,
    "enum": texts.ENUM,
    "array": arrays.ARRAY,
    "timestamptz": times.TIMESTAMPTZ,
    "timestamp": times.TIMESTAMP,
    "date": times.DATE,
    "time": times.TIME,
    "interval": durations.INTERVAL,
    "other": others.OTHER,
}

# By pg_type.typname. What is not here is text that the type's own input function judges.
_KINDS = {
    "bool": "boolean",
    "int2": "integer",
    "int4": "integer",
    "int8": "integer",
    "oid": "integer",
    "xid": "integer",
    "cid": "integer",
    "xid8": "integer",
    "numeric": "numeric",
    "float8": "double",
    "float4": "real",
    "text": "text",
    "varchar": "text",
    "bpchar": "text",
    "citext": "text",
    "name": "other",
    "bytea": "bytea",
    "uuid": "uuid",
    "json": "json",
    "jsonb": "json",
    "timestamptz": "timestamptz",
    "timestamp": "timestamp",
    "date": "date",
    "time": "time",
    "interval": "interval",
}

TEMPORAL_KINDS = frozenset({"timestamptz", "timestamp", "date", "time"})
UNIT_KINDS = TEMPORAL_KINDS | {"interval"}  # of which the mapping file may state the unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Faces:
    """A conversion's SQL over one column, registered with one source connection.

    Attributes:
        refuses: true (1) for the cells that cannot be taken; never NULL.
        text: what PostgreSQL's input function is to read; NULL for NULL and for a refused cell.
        field: the same as a CSV field: empty for NULL; NULL for a refused cell.
    """

    refuses: str
    text: str
    field: str


def choose_conversion(
    target: TargetType, *, is_empty_null: bool = False, unit: str | None = None
) -> Conversion:
    """Return the conversion for a target type; numbers that are times still lack their unit."""
    if target.kind == "e":
        kind = "enum"
    elif target.element is not None:
        kind = "array"
    else:
        kind = _KINDS.get(target.base, "other")
    return Conversion(
        kind=kind,
        type=target,
        unit=unit,
        evidence="the mapping file says so" if unit else None,
        is_empty_null=is_empty_null,
    )


def is_judged_by_target(conversion: Conversion) -> bool:
    """Tell whether PostgreSQL's own input function has the last word on a rendered cell."""
    return conversion.type.is_domain or CONVERTERS[conversion.kind].is_judged


def quote_field(expression: str) -> str:
    """Return SQL that quotes text as a CSV field, so that no character in it means anything."""
    return f"""'"' || replace({expression}, '"', '""') || '"'"""


def raw_cell(cell: str) -> str:
    """Return SQL that gives a cell with its text as bytes, so that no encoding can be lost on the way."""
    return f"CASE typeof({cell}) WHEN 'text' THEN CAST({cell} AS BLOB) ELSE {cell} END"


class FaceMaker:
    """Makes the faces of conversions for one source, registering the Python side of each."""

    def __init__(self, source: SourceDatabase) -> None:
        self._source = source
        self._functions: dict[tuple[Conversion, str], str] = {}

    def make(self, conversion: Conversion, cell: str) -> Faces:
        """Return the SQL over `cell`, an SQLite expression without affinity."""
        converter = CONVERTERS[conversion.kind]
        call = self._call("convert", self.convert, conversion, cell)
        fast = converter.fast(conversion, cell)
        slow_field = quote_field(call)
        if fast is None:
            refuses, text, field = f"{call} IS NULL", call, slow_field
        else:
            refuses = f"CASE WHEN {fast.when} THEN 0 ELSE {call} IS NULL END"
            render = quote_field(fast.render) if fast.needs_quotes else f"({fast.render})"
            field = f"CASE WHEN {fast.when} THEN {render} ELSE {slow_field} END"
            rendered = fast.render if fast.needs_quotes else f"CAST({fast.render} AS TEXT)"
            text = f"CASE WHEN {fast.when} THEN {rendered} ELSE {call} END"
        is_null = f"{cell} IS NULL OR {cell} = ''" if conversion.is_empty_null else f"{cell} IS NULL"
        return Faces(
            refuses=f"CASE WHEN {is_null} THEN 0 ELSE {refuses} END",
            text=f"CASE WHEN NOT ({is_null}) THEN {text} END",
            field=f"CASE WHEN {is_null} THEN '' ELSE {field} END",
        )

    def convert(self, conversion: Conversion, is_text: object, raw: Cell) -> str | None:
        """Return one raw cell's text for PostgreSQL, or None where it is refused."""
        try:
            return self._convert(conversion, bool(is_text), raw)
        except CellRefusedError:
            return None

    def _convert(self, conversion: Conversion, is_text: bool, raw: Cell) -> str:
        return CONVERTERS[conversion.kind].convert(conversion, self._decode(conversion, is_text, raw))

    def _decode(self, conversion: Conversion, is_text: bool, raw: Cell) -> Cell:
        """Return a raw cell as Python holds it; text that is no valid text raises CellRefusedError."""
        encoding = self._source.encoding
        if not is_text or not isinstance(raw, bytes):
            return raw
        if conversion.kind == "bytea" and encoding == "utf-8":
            return raw  # bytes are bytes, whether or not they are valid text
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError as error:
            raise CellRefusedError(
                f"not valid {encoding.upper()[:6].rstrip('-')}"
                f" (byte 0x{raw[error.start]:02x} at position {error.start})"
            ) from error

    def explain(self, conversion: Conversion, is_text: object, raw: Cell) -> CellRefusedError | None:
        """Return why a raw cell is refused, or None if it is not."""
        try:
            self._convert(conversion, bool(is_text), raw)
        except CellRefusedError as error:
            return error
        return None

    def make_kind(self, conversion: Conversion, cell: str) -> str:
        """Return the SQL of the kind of reason for which `cell` is refused; '' where it is not."""
        return self._call("kind", self._find_kind, conversion, cell)

    def _find_kind(self, conversion: Conversion, is_text: object, raw: Cell) -> str:
        error = self.explain(conversion, is_text, raw)
        return "" if error is None else blank_numbers(str(error))

    def _call(
        self,
        name: str,
        function: Callable[[Conversion, object, Cell], Cell],
        conversion: Conversion,
        cell: str,
    ) -> str:
        """Return the SQL that calls a function of a conversion and a cell, registered once."""
        if (conversion, name) not in self._functions:
            unique = f"entrypoint_{name}_{len(self._functions)}"
            self._functions[conversion, name] = unique
            self._source.register_function(unique, lambda is_text, raw: function(conversion, is_text, raw), 2)
        return f"{self._functions[conversion, name]}(typeof({cell}) = 'text', {raw_cell(cell)})"
