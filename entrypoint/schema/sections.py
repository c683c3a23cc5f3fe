"""The comments with a meaning: dbmate's and goose's sections, and the directives that opt out.

Owns how one file's text becomes an up and a down script. Does not know where files come from.

The formats are those of the tools' own manuals: dbmate's README ("Writing Migrations", "Migration
Options") and pressly/goose's documentation ("SQL annotations").
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from entrypoint.errors import SchemaError
from entrypoint.schema.migration import Layout, Script
from entrypoint.schema.statements import find_first_statement

_DIRECTIVE = re.compile(r"^[ \t]*--[ \t]*entrypoint:(\S*)[ \t\r]*$", re.MULTILINE)
_DBMATE = re.compile(r"^--[ \t]*migrate:[ \t]*(\S+)[ \t]*(.*?)[ \t\r]*$", re.MULTILINE)
_GOOSE = re.compile(r"^[ \t]*--[ \t]*\+goose[ \t]+(.+?)[ \t\r]*$", re.MULTILINE | re.IGNORECASE)

# Files in which what undoes a migration stands below it, in tools that are not supported: sent whole they
# would make tables and drop them again.
_OTHER_TOOLS = re.compile(
    r"^[ \t]*--[ \t]*(?:\+(?:migrate|micrate)[ \t]+[Dd]own|[Dd]own [Mm]igration|!Downs)\b.*$",
    re.MULTILINE,  # rubenv/sql-migrate, micrate, node-pg-migrate, Play's evolutions
)

NO_TRANSACTION = "no-transaction"
_GOOSE_HARMLESS = frozenset({"statementbegin", "statementend", "envsub off"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """A file's text taken apart."""

    layout: Layout
    up: Script
    down: Script | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mark:
    """A comment line that opens a section."""

    direction: str
    begin: int
    end: int
    is_transactional: bool


def parse_file(text: str, *, label: str) -> Parsed:
    """Take a file apart that may have sections in it; without any, all of it is the up script.

    Args:
        text: the file without a byte order mark.
        label: the file's name in messages.

    Raises:
        SchemaError: sections that are doubled, in the wrong order or preceded by SQL, or an annotation
            that is not understood, or is another tool's; each names file and line.
    """
    # The plain words first: a pattern anchored at lines costs 30 ms a megabyte, at every start.
    if "+goose" in text and _GOOSE.search(text):
        return _cut(text, label=label, layout=Layout.GOOSE, marks=_find_goose_marks(text, label))
    if "migrate:" in text and _DBMATE.search(text):
        return _cut(text, label=label, layout=Layout.DBMATE, marks=_find_dbmate_marks(text, label))
    if "own" in text and (foreign := _OTHER_TOOLS.search(text)):
        raise SchemaError(
            f"has the sections of a tool that is not supported ({foreign.group().strip()!r})",
            where=_line_at(text, label, foreign.start()),
            remedy="run that tool with SCHEMA_COMMAND, or mark the parts -- migrate:up and -- migrate:down",
        )
    return Parsed(layout=Layout.PLAIN, up=make_script(text, label=label), down=None)


def make_script(
    text: str, *, label: str, first_line: int = 1, is_transactional: bool = True, preamble: str = ""
) -> Script:
    """Make a script of `text`, honouring `-- entrypoint:no-transaction` before its first statement.

    Args:
        text: SQL.
        label: the file it stands in.
        first_line: the line it begins on.
        is_transactional: what the file's own tool says.
        preamble: comments of the file that stand before the section and count for it too.

    Raises:
        SchemaError: a directive that is unknown, or stands after a statement and would have no effect.
    """
    script = Script(label=label, first_line=first_line, text=text, is_transactional=is_transactional)
    _check_directives(script)
    has_opted_out = _has_directive(text) or _has_directive(preamble)
    return Script(
        label=label,
        first_line=first_line,
        text=text,
        is_transactional=is_transactional and not has_opted_out,
    )


def _check_directives(script: Script) -> None:
    if not _has_directive(script.text):
        return
    first = find_first_statement(script.text)
    for match in _DIRECTIVE.finditer(script.text):
        where = script.locate(match.start())
        if match.group(1) != NO_TRANSACTION:
            raise SchemaError(
                f"unknown directive {match.group().strip()!r}",
                where=where,
                remedy=f"the only one is -- entrypoint:{NO_TRANSACTION}",
            )
        if first is not None and match.start() > first:
            raise SchemaError(
                f"-- entrypoint:{NO_TRANSACTION} stands after a statement and would have no effect",
                where=where,
                remedy="move it above the first statement",
            )


def _has_directive(text: str) -> bool:
    return "entrypoint:" in text and bool(_DIRECTIVE.search(text))


def drop_if_empty(script: Script | None) -> Script | None:
    """Return the script, or None where it holds nothing but comments: a down part nobody wrote."""
    return None if script is None or find_first_statement(script.text) is None else script


def _find_dbmate_marks(text: str, label: str) -> list[_Mark]:
    marks = []
    for match in _DBMATE.finditer(text):
        direction, options = match.group(1), match.group(2).split()
        where = _line_at(text, label, match.start())
        if direction not in ("up", "down"):
            raise SchemaError(
                f"unknown section {match.group()!r}",
                where=where,
                remedy="dbmate has migrate:up and migrate:down",
            )
        unknown = [word for word in options if word not in ("transaction:false", "transaction:true")]
        if unknown:
            raise SchemaError(
                f"unknown option {unknown[0]!r}", where=where, remedy="write transaction:false or nothing"
            )
        marks.append(
            _Mark(
                direction=direction,
                begin=match.start(),
                end=match.end(),
                is_transactional="transaction:false" not in options,
            )
        )
    return marks


def _find_goose_marks(text: str, label: str) -> list[_Mark]:
    found = [(" ".join(match.group(1).lower().split()), match) for match in _GOOSE.finditer(text)]
    is_transactional = all(words != "no transaction" for words, _ in found)
    marks = []
    for words, match in found:
        where = _line_at(text, label, match.start())
        if words in ("up", "down"):
            marks.append(
                _Mark(
                    direction=words, begin=match.start(), end=match.end(), is_transactional=is_transactional
                )
            )
        elif words.startswith("envsub on"):
            raise SchemaError(
                "goose's substitution of environment variables is not supported",
                where=where,
                remedy="write the values into the file, or run goose itself with SCHEMA_COMMAND",
            )
        elif words not in _GOOSE_HARMLESS and words != "no transaction":
            raise SchemaError(
                f"unknown annotation {match.group().strip()!r}",
                where=where,
                remedy="correct it: Up, Down, StatementBegin, StatementEnd and NO TRANSACTION are understood",
            )
    return marks


def _cut(text: str, *, label: str, layout: Layout, marks: list[_Mark]) -> Parsed:
    directions = [mark.direction for mark in marks]
    if directions not in (["up"], ["up", "down"]):
        raise SchemaError(
            f"its {layout} sections are {', '.join(directions) or 'neither up nor down'}",
            where=label,
            remedy="write one up section, and after it at most one down section",
        )
    before = find_first_statement(text[: marks[0].begin])
    if before is not None:
        raise SchemaError(
            f"SQL stands before the {layout} up section and would never run",
            where=_line_at(text, label, before),
            remedy="move it into the section",
        )
    preamble = make_script(text[: marks[0].begin], label=label)
    scripts = [
        make_script(
            text[mark.end : end],
            label=label,
            first_line=1 + text.count("\n", 0, mark.end),
            is_transactional=mark.is_transactional,
            preamble=preamble.text,
        )
        for mark, end in zip(marks, [*(mark.begin for mark in marks[1:]), len(text)], strict=True)
    ]
    down = scripts[1] if len(scripts) > 1 else None
    return Parsed(layout=layout, up=scripts[0], down=drop_if_empty(down))


def _line_at(text: str, label: str, offset: int) -> str:
    return f"{label}:{1 + text.count(chr(10), 0, offset)}"
