"""How the text of a setting becomes a value: truth values, durations, choices, names.

Owns what each kind of setting accepts, and says so when it refuses. Must not know which setting it
reads, nor where its text came from.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path

# statement_timeout and setitimer count milliseconds in 31 bits (PostgreSQL manual, 19.11.1): 24 days.
LONGEST_S = 2_147_483
SHORTEST_S = 0.001  # less would be no time-out at all to PostgreSQL

_TRUTH_VALUES = {
    "true": True, "false": False, "1": True, "0": False, "yes": True, "no": False, "on": True, "off": False,
}  # fmt: skip
_SECONDS_BY_UNIT = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_NUMBER = r"[0-9]{1,12}(?:\.[0-9]{1,12})?"
_DURATION = re.compile(rf"(?:{_NUMBER}h)?(?:{_NUMBER}m(?!s))?(?:{_NUMBER}s)?(?:{_NUMBER}ms)?")
_DURATION_IN_WORDS = re.compile(
    rf"({_NUMBER})\s*(?:(h)(?:ours?|rs?)?|(m)(?:in(?:ute)?s?)?|(s)(?:ec(?:ond)?s?)?|(ms)(?:ec)?s?|milli.*(s))"
)


class RefusedValueError(ValueError):
    """The text is none of what the setting accepts; the message begins with a verb and says what is."""


def parse_boolean(text: str) -> bool:
    """Return the truth value that `text` spells.

    Raises:
        RefusedValueError: it spells none.
    """
    word = text.strip().lower()
    if word in _TRUTH_VALUES:
        return _TRUTH_VALUES[word]
    near = suggest(word, _TRUTH_VALUES)
    raise RefusedValueError(f"is no truth value: accepted are {', '.join(_TRUTH_VALUES)} in any case{near}")


def parse_duration(text: str) -> float:
    """Return seconds, more than 0: `90`, `1.5`, `500ms`, `5m`, `1h30m`.

    Raises:
        RefusedValueError: it is no duration, or none that PostgreSQL can count.
    """
    seconds = parse_wait(text)
    if seconds == 0:
        raise RefusedValueError(f"is not more than 0: accepted are {SHORTEST_S} to {LONGEST_S} seconds")
    return seconds


def parse_wait(text: str) -> float:
    """Return seconds like `parse_duration`; 0 is accepted too, and means one attempt without waiting.

    Raises:
        RefusedValueError: it is no duration, or none that PostgreSQL can count.
    """
    word = text.strip().lower()
    if re.fullmatch(_NUMBER, word):
        seconds = float(word)
    elif word and _DURATION.fullmatch(word):
        parts = re.findall(rf"({_NUMBER})(ms|[hms])", word)
        seconds = math.fsum(float(number) * _SECONDS_BY_UNIT[unit] for number, unit in parts)
    else:
        raise RefusedValueError(
            f"is no duration: accepted are seconds (30, 1.5) and 500ms, 30s, 5m, 1h, 1h30m{_respell(word)}"
        )
    if seconds > LONGEST_S or 0 < seconds < SHORTEST_S:
        raise RefusedValueError(f"is out of range: accepted are {SHORTEST_S} to {LONGEST_S} seconds")
    return seconds


def _respell(word: str) -> str:
    if (match := _DURATION_IN_WORDS.fullmatch(word)) is None:
        return ""
    number, hours, minutes, seconds, *_ = match.groups()
    return f"; did you mean {number}{hours or minutes or seconds or 'ms'}?"


def one_of(*accepted: str) -> Callable[[str], str]:
    """Return a parser that takes one of `accepted`, in any case."""

    def parse_choice(text: str) -> str:
        word = text.strip().lower()
        if word in accepted:
            return word
        raise RefusedValueError(
            f"is not accepted: accepted are {', '.join(accepted)}{suggest(word, accepted)}"
        )

    return parse_choice


def parse_optional(text: str) -> str | None:
    """Return the text itself, None where it is empty."""
    return text or None


def parse_path(text: str) -> Path:
    """Return the path that `text` names."""
    return Path(text)


def parse_paths(text: str) -> tuple[str, ...]:
    """Return the paths and globs between the colons of `text`.

    Raises:
        RefusedValueError: there is none.
    """
    paths = tuple(filter(None, text.split(":")))
    if not paths:
        raise RefusedValueError("has no path: accepted are files, directories and globs between colons")
    return paths


def parse_user(text: str) -> str | None:
    """Return `user[:group]`, names or numbers, None where it is empty; whether they exist shows at exec.

    Raises:
        RefusedValueError: it has another shape.
    """
    if text and not re.fullmatch(r"[^\s:]+(?::[^\s:]+)?", text):
        raise RefusedValueError("is not accepted: accepted is user or user:group, names or numbers")
    return text or None


def parse_schema_name(text: str) -> str:
    """Return the name of a PostgreSQL schema, exact (manual, 4.1.1 and 5.10).

    Raises:
        RefusedValueError: PostgreSQL would not take it.
    """
    if not text or len(text.encode()) > 63:
        raise RefusedValueError("is no name of a schema: accepted are 1 to 63 bytes")
    if text.startswith("pg_") or text == "information_schema":
        raise RefusedValueError("is reserved by PostgreSQL: accepted is a name that does not begin with pg_")
    return text


def parse_timezone(text: str) -> str:
    """Return the name of a time zone of the IANA database; UTC is known without one.

    Raises:
        RefusedValueError: the database has no such zone, or there is no database.
    """
    name = text.strip()
    if name in ("UTC", "Etc/UTC"):
        return name
    import zoneinfo  # only who sets another zone pays for it

    try:
        zoneinfo.ZoneInfo(name)
    except (ValueError, KeyError, OSError):
        zones = zoneinfo.available_timezones()
        if not zones:
            raise RefusedValueError(
                "cannot be looked up: this image has no time zones; install tzdata"
            ) from None
        near = suggest(name.lower(), {zone.lower(): zone for zone in zones})
        raise RefusedValueError(
            f"is no time zone: accepted are names such as UTC or Europe/Berlin{near}"
        ) from None
    return name


def suggest(word: str, accepted: Iterable[str] | Mapping[str, object]) -> str:
    """Return "; did you mean X?" where one of `accepted` is near `word`, else nothing.

    A mapping's text values are how its keys are spelled.
    """
    near = get_close_matches(word[:60], list(accepted), n=1)
    if not near:
        return ""
    spelled = accepted.get(near[0]) if isinstance(accepted, Mapping) else None
    return f"; did you mean {spelled if isinstance(spelled, str) else near[0]}?"
