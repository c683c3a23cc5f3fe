"""The mapping file: what its author says about tables and columns whose names or values do not speak.

Owns the file's grammar and refuses what contradicts itself. Whether the tables and columns exist is the
plan's to say. Read by hand rather than decoded into types, so that every mistake is reported, and by its
table's name.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, cast

from entrypoint.errors import ConfigurationError
from entrypoint.mapping_lines import spell_key

Unit = Literal["s", "ms", "us", "ns", "julian"]
UNITS: tuple[Unit, ...] = ("s", "ms", "us", "ns", "julian")

_LARGEST_BYTES = 1 << 20  # a mapping is written by hand; more is another file


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnMapping:
    """What is said about one column.

    Attributes:
        target: the target column's name, None = found by name.
        unit: what an integer or real in it counts since the epoch, None = inferred.
        ignore: the source's column is not migrated.
        empty: `null` makes an empty string NULL, None keeps it a value.
        default: the value, as text, of a target column without a source; it stands under that column's name.
    """

    target: str | None = None
    unit: Unit | None = None
    ignore: bool = False
    empty: Literal["null"] | None = None
    default: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TableMapping:
    """What is said about one source table.

    Attributes:
        target: the target table's name, None = found by name.
        ignore: the table is not migrated.
        key: the columns by which rows are matched instead of the primary key; empty = the primary key.
        columns: by source column; a column with a `default` by target column.
    """

    target: str | None = None
    ignore: bool = False
    key: tuple[str, ...] = ()
    columns: dict[str, ColumnMapping] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """The whole file, by source table; empty where there is none."""

    tables: dict[str, TableMapping] = field(default_factory=dict)


def load_mapping(path: Path) -> Mapping:
    """Read the mapping file at `path`.

    Raises:
        ConfigurationError: it cannot be read or understood; a problem for each mistake, with the file's
            name, the place in it, and what is accepted.
        FileNotFoundError: there is none.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(str(path)) from error
    except IsADirectoryError as error:
        raise ConfigurationError(
            f"{path} is a directory, where the mapping file should be; a bind mount of a file that does not "
            "exist on the host makes one"
        ) from error
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{path} cannot be read: {getattr(error, 'strerror', None) or error}"
        ) from error
    if len(content) > _LARGEST_BYTES:
        raise ConfigurationError(f"{path} is larger than {_LARGEST_BYTES >> 20} MiB: it is no mapping file")
    try:
        return parse_mapping(content.decode("utf-8"), name=str(path))
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8 (byte {error.start})") from error


def parse_mapping(text: str, *, name: str) -> Mapping:
    """Read a mapping from TOML `text`; `name` is the file's, for messages.

    Raises:
        ConfigurationError: a problem for each mistake.
    """
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # ValueError: TOMLDecodeError, which says line and column, or a number of thousands of digits.
        raise ConfigurationError(f"{name} is not valid TOML: {error}") from error
    reader = _Reader(name)
    tables = {
        table: reader.read_table(f"tables.{spell_key(table)}", entry)
        for table, entry in reader.read_tables(document, "", "tables", accepted=("tables",))
    }
    reader.check_targets("tables", {table: mapping.target for table, mapping in tables.items()})
    if reader.problems:
        raise ConfigurationError(*reader.problems)
    return Mapping(tables=tables)


class _Reader:
    """Reads entries, and keeps every problem that it meets instead of stopping at the first."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.problems: list[str] = []

    def read_table(self, place: str, entry: dict[str, object]) -> TableMapping:
        columns = {
            column: self._read_column(f"{place}.columns.{spell_key(column)}", values)
            for column, values in self.read_tables(
                entry, place, "columns", accepted=("target", "ignore", "key", "columns")
            )
        }
        self.check_targets(f"{place}.columns", {name: column.target for name, column in columns.items()})
        mapping = TableMapping(
            target=self._read_text(place, entry, "target"),
            ignore=self._read_flag(place, entry, "ignore"),
            key=self._read_key(place, entry),
            columns=columns,
        )
        # What is said of an ignored table's columns is said for the day when it is not ignored.
        if mapping.ignore and (others := sorted(entry.keys() - {"ignore", "columns"})):
            self._refuse(place, f"is ignored and says {', '.join(others)}: remove one or the other")
        return mapping

    def read_tables(
        self, entry: dict[str, object], place: str, key: str, *, accepted: tuple[str, ...]
    ) -> Iterator[tuple[str, dict[str, object]]]:
        """Yield the tables under `entry[key]`, and refuse keys of `entry` other than `accepted`."""
        self._refuse_unknown(place, entry, accepted)
        within = f"{place}.{key}" if place else key
        found = entry.get(key, {})
        if not isinstance(found, dict):
            self._refuse(within, "is not a table")
            return
        for name, values in found.items():
            if isinstance(values, dict):
                yield name, values
            else:
                self._refuse(f"{within}.{spell_key(name)}", "is not a table: write { key = value, ... }")

    def check_targets(self, place: str, targets: dict[str, str | None]) -> None:
        """Refuse two sources with one target."""
        seen: dict[str, str] = {}
        for source, target in targets.items():
            if target is None:
                continue
            if target in seen:
                both = f"{spell_key(seen[target])} and {spell_key(source)}"
                self._refuse(place, f"sends both {both} to {target!r}: one target takes one source")
            seen[target] = source

    def _read_column(self, place: str, entry: dict[str, object]) -> ColumnMapping:
        self._refuse_unknown(place, entry, ("target", "unit", "ignore", "empty", "default"))
        column = ColumnMapping(
            target=self._read_text(place, entry, "target"),
            unit=cast(Unit | None, self._read_choice(place, entry, "unit", UNITS)),
            ignore=self._read_flag(place, entry, "ignore"),
            empty=cast(Literal["null"] | None, self._read_choice(place, entry, "empty", ("null",))),
            default=self._read_text(place, entry, "default", may_be_empty=True),
        )
        if column.ignore and (others := sorted(entry.keys() - {"ignore", "default"})):
            self._refuse(place, f"is ignored and says {', '.join(others)}: remove one or the other")
        elif column.default is not None and (others := sorted(entry.keys() - {"default", "ignore"})):
            self._refuse(
                place, f"has a default, which is for a target column without a source, and {others[0]}"
            )
        return column

    def _read_text(
        self, place: str, entry: dict[str, object], key: str, *, may_be_empty: bool = False
    ) -> str | None:
        value = entry.get(key)
        if value is None or (isinstance(value, str) and (value or may_be_empty) and "\0" not in value):
            return value
        self._refuse(f"{place}.{key}", f"= {_show(value)} is not text: accepted is a string in quotes")
        return None

    def _read_flag(self, place: str, entry: dict[str, object], key: str) -> bool:
        value = entry.get(key, False)
        if isinstance(value, bool):
            return value
        self._refuse(f"{place}.{key}", f"= {_show(value)}: accepted are true and false, without quotes")
        return False

    def _read_choice(
        self, place: str, entry: dict[str, object], key: str, accepted: tuple[str, ...]
    ) -> str | None:
        value = entry.get(key)
        if value is None or (isinstance(value, str) and value in accepted):
            return value
        self._refuse(f"{place}.{key}", f"= {_show(value)}: accepted are {', '.join(map(repr, accepted))}")
        return None

    def _read_key(self, place: str, entry: dict[str, object]) -> tuple[str, ...]:
        value = entry.get("key")
        if value is None:
            return ()
        names = (
            tuple(name for name in value if isinstance(name, str) and name) if isinstance(value, list) else ()
        )
        if isinstance(value, list) and names and len(set(names)) == len(value):
            return names
        self._refuse(f"{place}.key", f"= {_show(value)}: accepted is a list of different column names")
        return ()

    def _refuse_unknown(self, place: str, entry: dict[str, object], accepted: tuple[str, ...]) -> None:
        for key in entry:
            if key not in accepted:
                near = get_close_matches(key, accepted, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                within = f"{place}.{spell_key(key)}" if place else spell_key(key)
                self._refuse(within, f"is unknown: accepted are {', '.join(accepted)}{hint}")

    def _refuse(self, place: str, what: str) -> None:
        self.problems.append(f"{self._name}: {place} {what}")


def _show(value: object) -> str:
    shown = str(value).lower() if isinstance(value, bool) else repr(value)
    return shown if len(shown) <= 60 else shown[:59] + "…"
