"""Write a mapping file from what a plan refuses, ready to edit: each choice is a line to uncomment.

Owns the file's layout and how it comes to lie on disk. `# ` stands before a choice, `##` before what explains
it; what the mapping file said before is carried over. Whatever the names are, the file is understood by
`mapping.parse_mapping`, as it is and with a choice taken for each refusal.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from entrypoint.errors import ConfigurationError, NotPermittedError
from entrypoint.log import make_presentable
from entrypoint.mapping import ColumnMapping, Mapping, TableMapping
from entrypoint.mapping_lines import (
    EMPTY_AS_NULL,
    IGNORE,
    say_default,
    say_target,
    say_unit,
    spell_place,
    spell_text,
)
from entrypoint.model import Refusal
from entrypoint.plan_text import describe_refusal

_HEAD = """\
## A mapping file for entrypoint, written from what the plan of {source}
## refuses: {refusals} refusal(s), for {settled} of which a choice stands here.
## Take a choice for each of these by removing the `# ` before it, edit what stands between quotes, and name
## this file in ENTRYPOINT_CONFIG. `entrypoint migrate --dry-run` says what is refused then.
"""


def write_mapping(mapping: Mapping, refusals: Iterable[Refusal], *, source: str) -> str:
    """Return the text of a mapping file.

    Args:
        mapping: what the present one says.
        refusals: of the plan; those without entries are told in comments.
        source: the file the plan is of, for the reader.
    """
    refusals = tuple(refusals)
    settled = sum(bool(refusal.entries) for refusal in refusals)
    head = _HEAD.format(source=_show(source), refusals=len(refusals), settled=settled)
    parts = [make_presentable(head)]
    tables = dict.fromkeys([*mapping.tables, *(refusal.table for refusal in refusals)])
    for table in tables:
        own = [refusal for refusal in refusals if refusal.table == table]
        parts += _write_table(table, mapping.tables.get(table, TableMapping()), own)
    return "\n".join(part for part in parts if part)


def _write_table(table: str, mapping: TableMapping, refusals: list[Refusal]) -> Iterator[str]:
    about_table = [refusal for refusal in refusals if refusal.column is None]
    yield _write_section(spell_place(table), _list_table_entries(mapping), about_table)
    columns = [*mapping.columns, *(refusal.column for refusal in refusals if refusal.column is not None)]
    for column in dict.fromkeys(columns):
        own = [refusal for refusal in refusals if refusal.column == column]
        entries = _list_column_entries(mapping.columns.get(column, ColumnMapping()))
        yield _write_section(spell_place(table, column), entries, own)


def _write_section(place: str, entries: list[str], refusals: list[Refusal]) -> str:
    """Return one TOML table: what is said of it, and what could be."""
    lines = [f"[{place}]", *entries] if entries or any(refusal.entries for refusal in refusals) else []
    taken = {_key_of(entry) for entry in entries}
    offered: set[str] = set()
    for refusal in refusals:
        lines.append(f"## {_show(describe_refusal(refusal))}")
        if not refusal.entries:
            lines.append(f"## -> {_show(refusal.remedy)}")
        for entry in refusal.entries:
            if entry in offered:
                continue
            if _is_contradicted(_key_of(entry), taken):
                lines.append(f"## or, instead of what stands above: {_show(entry)}")
                continue
            offered.add(entry)
            lines.append(f"# {entry}" + _annotate(_key_of(entry), refusal))
        if refusal.candidates and not any(_key_of(entry) == "target" for entry in refusal.entries):
            lines.append(f'## or target = "…", and PostgreSQL has: {_show(", ".join(refusal.candidates))}')
    return "".join(f"{line}\n" for line in lines)


def _annotate(key: str, refusal: Refusal) -> str:
    if key == "target" and refusal.candidates:
        return f"   # PostgreSQL has: {_show(', '.join(refusal.candidates))}"
    return "   # where no column of the source goes there" if key == "default" else ""


def _is_contradicted(key: str, taken: set[str]) -> bool:
    """Tell whether the strict reader would take `key` for a contradiction of what is said already."""
    if key in taken:
        return True
    if key in ("ignore", "default"):
        return bool(taken - {"ignore", "default"})
    return bool(taken & {"ignore", "default"})


def _key_of(entry: str) -> str:
    return entry.partition("=")[0].strip()


def _list_table_entries(mapping: TableMapping) -> list[str]:
    entries = [say_target(mapping.target)] if mapping.target is not None else []
    if mapping.ignore:
        entries.append(IGNORE)
    if mapping.key:
        entries.append(f"key = [{', '.join(map(spell_text, mapping.key))}]")
    return entries


def _list_column_entries(mapping: ColumnMapping) -> list[str]:
    entries = [say_target(mapping.target)] if mapping.target is not None else []
    if mapping.unit is not None:
        entries.append(say_unit(mapping.unit))
    if mapping.ignore:
        entries.append(IGNORE)
    if mapping.empty is not None:
        entries.append(EMPTY_AS_NULL)
    if mapping.default is not None:
        entries.append(say_default(mapping.default))
    return entries


def _show(text: str) -> str:
    """Return text as one line that a comment of TOML may hold."""
    text = make_presentable(text)
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


# --- on disk -------------------------------------------------------------------------------------


def require_new_file(path: Path) -> None:
    """Refuse a path at which something lies, or at which nothing can."""
    if os.path.lexists(path):
        raise ConfigurationError(
            f"{path} is there already and is not overwritten: name another file for --write-mapping"
        )
    if not path.parent.is_dir():
        raise ConfigurationError(f"{path.parent} is no directory to write a mapping file into")


def write_new_file(path: Path, text: str) -> None:
    """Write `text` to a file that appears whole or not at all, and never over another one."""
    require_new_file(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with unfinished.open("x", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(unfinished, path)  # unlike a rename it fails where something appeared meanwhile
        except FileExistsError:
            require_new_file(path)
            raise
        except OSError:  # a file system without links
            unfinished.rename(path)
    except OSError as error:
        raise NotPermittedError(
            f"the mapping file cannot be written: {error.strerror}",
            where=str(path),
            remedy="name a directory that this user can write to, or - for the standard output",
        ) from error
    finally:
        with suppress(OSError):
            unfinished.unlink()
