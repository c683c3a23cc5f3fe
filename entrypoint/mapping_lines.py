"""How lines of the mapping file are spelled: keys, values, and the remedies of refusals that quote them.

Owns TOML's spelling and the words around it. An *entry* is what stands on a line of its own about a table
or a column, such as `unit = "ms"` or `ignore = true`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher

IGNORE = "ignore = true"
EMPTY_AS_NULL = 'empty = "null"'

_NAMES_SHOWN = 8  # in a remedy; a document has all of them
_LEAST_LIKENESS = 0.5  # of two names, for one to be proposed in place of the other


def spell_text(text: str) -> str:
    """Return `text` as a basic string (https://toml.io/en/v1.0.0#string)."""
    spelled = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(_escape(character) for character in spelled) + '"'


def _escape(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"


def spell_key(name: str) -> str:
    """Return `name` as a key: bare where it can be (https://toml.io/en/v1.0.0#keys)."""
    is_bare = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if is_bare else spell_text(name)


def spell_place(table: str, column: str | None = None) -> str:
    """Return the dotted key under which a table's or a column's entries stand."""
    place = f"tables.{spell_key(table)}"
    return place if column is None else f"{place}.columns.{spell_key(column)}"


def say_target(name: str) -> str:
    """Return the entry that names the target."""
    return f"target = {spell_text(name)}"


def say_default(value: str) -> str:
    """Return the entry that gives a target column without a source its value."""
    return f"default = {spell_text(value)}"


def say_unit(unit: str) -> str:
    """Return the entry that states what a number that is a time counts."""
    return f"unit = {spell_text(unit)}"


def sort_by_likeness(name: str, candidates: Iterable[str]) -> tuple[str, ...]:
    """Return the candidates, those most like `name` first."""
    return tuple(sorted(candidates, key=lambda candidate: (-_measure_likeness(name, candidate), candidate)))


def find_like(name: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate most like `name`, or None where none is much like it."""
    likeness, found = max(
        ((_measure_likeness(name, candidate), candidate) for candidate in candidates), default=(0.0, "")
    )
    return found if likeness >= _LEAST_LIKENESS else None


def _measure_likeness(name: str, candidate: str) -> float:
    return SequenceMatcher(None, name.casefold(), candidate.casefold()).ratio()


def list_names(name: str, known: Sequence[str]) -> str:
    """Return what there is instead of `name`, for a reader: the most alike first, and a proposal."""
    if not known:
        return "it has: none"
    near = find_like(name, known)
    listed = ", ".join(sort_by_likeness(name, known))
    return f"it has: {listed}" + (f"; did you mean {near}?" if near else "")


def write_remedy(
    table: str,
    column: str | None,
    entries: Sequence[str],
    *,
    candidates: Sequence[str] = (),
    otherwise: str | None = None,
) -> str:
    """Return the remedy of a refusal that the mapping file can settle.

    Args:
        table: of the source.
        column: the source's, or one of the target that nothing fills; None: it is about the table.
        entries: each of them enough.
        candidates: names of the target that could follow `target =`, the likeliest first.
        otherwise: what else settles it, as an imperative clause.
    """
    if not entries:
        return otherwise or ""
    if column is None:
        lines = " or ".join(entries)
        text = f"say in the mapping file: [{spell_place(table)}] {lines}"
    else:
        lines = " or ".join(f"{{ {entry} }}" for entry in entries)
        text = f"say in the mapping file: [{spell_place(table)}.columns] {spell_key(column)} = {lines}"
    if candidates:
        more = len(candidates) - _NAMES_SHOWN
        shown = ", ".join(candidates[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
        text += f' (target = "…" may be: {shown})'
    return text if otherwise is None else f"{otherwise}, or {text}"
