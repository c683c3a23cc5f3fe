"""Where one SQL statement ends and the next begins, as psql's scanner sees it.

Used for two things only: to send the statements of a file one by one where the file opts out of a
transaction *and* PostgreSQL has refused it as one message, and to name the line of a failure that
PostgreSQL reports without a position. Everything else is sent as it is written. Knows no grammar.

The rules are those of PostgreSQL's `src/fe_utils/psqlscan.l`: quotes of all kinds, dollar quotes,
nested comments, parentheses (CREATE RULE … DO (…; …)) and the BEGIN ATOMIC … END of SQL-standard
function bodies.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

# Letters are ASCII's and everything beyond ASCII, as in scan.l; spelt by what they are not, because a class
# of a million characters takes 7 ms to compile at every start.
_LETTER = r"[^\x00-\x40\x5b-\x5e\x60\x7b-\x7f]"
_LETTER_DIGIT = r"[^\x00-\x2f\x3a-\x40\x5b-\x5e\x60\x7b-\x7f]"
_TOKEN = re.compile(
    rf"""
      (?P<space>\s+)
    | (?P<line_comment>--[^\n\r]*)
    | (?P<block_comment>/\*)
    | (?P<escape_string>[eE]')
    | (?P<string>(?:[bBxXnN]|[uU]&)?')
    | (?P<quoted>(?:[uU]&)?"[^"]*(?:"|\Z))
    | (?P<word>{_LETTER}(?:{_LETTER_DIGIT}|\$)*)
    | (?P<dollar>\$(?:{_LETTER}{_LETTER_DIGIT}*)?\$)
    | (?P<other>[0-9]+|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_PLAIN_REST = re.compile(r"[^']*(?:'|\Z)")
_ESCAPE_REST = re.compile(r"(?:[^'\\]|\\(?:.|\Z)|'')*(?:'|\Z)", re.DOTALL)
# A literal goes on after white space with a newline in it, in the mode in which it began (manual 4.1.2.1).
_CONTINUATION = re.compile(r"[ \t\f\v]*(?:--[^\n\r]*)?[\n\r](?:\s+|--[^\n\r]*[\n\r])*'")

_TRANSACTION_WORDS = frozenset({"begin", "start", "commit", "end", "rollback", "abort", "prepare"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement without its semicolon.

    Attributes:
        offset: where in the text its first word stands, in characters from 0.
        first_word: that word in lower case; empty where it begins with something else.
    """

    offset: int
    text: str
    first_word: str

    @property
    def is_transaction_control(self) -> bool:
        """Whether it looks like BEGIN, COMMIT, ROLLBACK or one of their kin."""
        return self.first_word in _TRANSACTION_WORDS


@dataclass(slots=True)
class _Nesting:
    """Whether a semicolon is inside something: parentheses, or the body of an SQL-standard function."""

    parentheses: int = 0
    blocks: int = 0
    words: list[str] = field(default_factory=list)

    def is_open(self) -> bool:
        return self.parentheses > 0 or self.blocks > 0

    def see_word(self, word: str) -> None:
        if len(self.words) < 4:
            self.words.append(word)
        if self.parentheses or not self._is_routine():
            return
        if word == "begin" or (word == "case" and self.blocks):
            self.blocks += 1
        elif word == "end" and self.blocks:
            self.blocks -= 1

    def see_symbol(self, symbol: str) -> None:
        if symbol == "(":
            self.parentheses += 1
        elif symbol == ")" and self.parentheses:
            self.parentheses -= 1

    def _is_routine(self) -> bool:
        words = self.words
        if words[:3] == ["create", "or", "replace"]:
            words = [words[0], *words[3:]]
        return len(words) > 1 and words[0] == "create" and words[1] in ("function", "procedure")


def split_statements(text: str, *, is_standard_conforming: bool = True) -> tuple[Statement, ...]:
    """Return the statements of `text` in order; empty ones and comments between them are left out.

    Args:
        text: SQL as psql would take it from a file, without meta-commands.
        is_standard_conforming: the session's `standard_conforming_strings`; where it is off, a backslash
            escapes in ordinary literals too.
    """
    found: list[Statement] = []
    nesting, start, first_word = _Nesting(), -1, ""
    for kind, begin, word in _read_tokens(text, is_standard_conforming):
        if kind == "other" and word == ";" and not nesting.is_open():
            if start >= 0:
                found.append(Statement(offset=start, text=text[start:begin], first_word=first_word))
            nesting, start, first_word = _Nesting(), -1, ""
            continue
        if start < 0:
            start, first_word = begin, word.lower() if kind == "word" else ""
        if kind == "word":
            nesting.see_word(word.lower())
        elif kind == "other":
            nesting.see_symbol(word)
    if start >= 0:
        found.append(Statement(offset=start, text=text[start:].rstrip(), first_word=first_word))
    return tuple(found)


def find_first_statement(text: str) -> int | None:
    """Return the offset of the first character that is neither white space nor comment; None without one."""
    return next((begin for _, begin, word in _read_tokens(text, True) if word != ";"), None)


def _read_tokens(text: str, is_standard_conforming: bool) -> Iterator[tuple[str, int, str]]:
    """Yield kind, offset and text of every token that is neither white space nor comment."""
    position = 0
    while match := _TOKEN.match(text, position):
        kind, begin, position = str(match.lastgroup), match.start(), match.end()
        if kind in ("space", "line_comment"):
            continue
        if kind == "block_comment":
            position = _skip_block_comment(text, position)
            continue
        if kind == "dollar":
            end = text.find(match.group(), position)
            position = len(text) if end < 0 else end + len(match.group())
        elif kind == "escape_string" or (kind == "string" and not is_standard_conforming):
            position = _skip_escape_string(text, position)
        elif kind == "string":
            position = _end_of(_PLAIN_REST, text, position)
        yield kind, begin, text[begin:position]


def _skip_block_comment(text: str, position: int) -> int:
    depth = 1
    while depth:
        edge = _COMMENT_EDGE.search(text, position)
        if edge is None:
            return len(text)
        depth += 1 if edge.group() == "/*" else -1
        position = edge.end()
    return position


def _skip_escape_string(text: str, position: int) -> int:
    position = _end_of(_ESCAPE_REST, text, position)
    while continuation := _CONTINUATION.match(text, position):
        position = _end_of(_ESCAPE_REST, text, continuation.end())
    return position


def _end_of(pattern: re.Pattern[str], text: str, position: int) -> int:
    match = pattern.match(text, position)
    assert match is not None
    return match.end()
