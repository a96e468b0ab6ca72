"""Times, durations, numbers and values as a person reads them, and the page they are written on."""

from __future__ import annotations

import json
import math
import shlex
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from nightshift.model import Arn, Json
from nightshift.report.safe import safe

__all__ = [
    "HIDDEN",
    "Page",
    "arn_of",
    "capped",
    "changes",
    "clock",
    "count",
    "duration",
    "joined",
    "moment",
    "money",
    "name_of",
    "number",
    "shell",
    "shown",
    "utc",
]

WIDTH = 100
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400

T = TypeVar("T")


# -- time ----------------------------------------------------------------------------------------------------------


def utc(when: datetime) -> datetime:
    """The same moment in UTC; a time without a zone is taken for UTC. Total, up to the ends of the calendar."""
    if when.tzinfo is None:
        return when.replace(tzinfo=UTC)
    try:
        return when.astimezone(UTC)
    except OverflowError:
        return when.replace(tzinfo=UTC)


def moment(when: datetime) -> str:
    """2025-03-02 03:14:05 UTC."""
    return utc(when).strftime("%Y-%m-%d %H:%M:%S UTC")


def clock(when: datetime, now: datetime) -> str:
    """The time of day, with the date where it is not today: 05:14 UTC, or 2025-03-03 05:14 UTC."""
    at = utc(when)
    return at.strftime("%H:%M UTC" if at.date() == utc(now).date() else "%Y-%m-%d %H:%M UTC")


def duration(span: timedelta) -> str:
    """23 min, 2 h 5 min, 45 s, 3 d 4 h: the two largest units are enough."""
    seconds = int(abs(span).total_seconds())
    if seconds < _MINUTE:
        return f"{seconds} s"
    if seconds < _HOUR:
        return _two(seconds, _MINUTE, "min", 1, "s")
    if seconds < _DAY:
        return _two(seconds, _HOUR, "h", _MINUTE, "min")
    return _two(seconds, _DAY, "d", _HOUR, "h")


def _two(seconds: int, large: int, large_unit: str, small: int, small_unit: str) -> str:
    whole, rest = divmod(seconds, large)
    return f"{whole} {large_unit} {rest // small} {small_unit}" if rest // small else f"{whole} {large_unit}"


# -- numbers and names ---------------------------------------------------------------------------------------------


def number(value: float) -> str:
    """12, 12.5, 1,250,000: no trailing zeros; four digits behind the point at most."""
    if not math.isfinite(value):
        return str(value)
    if value == int(value):
        return f"{int(value):,}" if abs(value) < 1e15 else f"{value:g}"  # noqa: PLR2004 - beyond it a float has no units
    return f"{value:,.4f}".rstrip("0").rstrip(".") if abs(value) >= 0.001 else f"{value:.2g}"  # noqa: PLR2004


def count(amount: int, one: str, many: str = "") -> str:
    """1 message, 2 messages."""
    return f"{amount:,} {one if amount == 1 else many or one + 's'}"


def money(dollars: float) -> str:
    """$0.12; less than a cent is said, not rounded away."""
    if not math.isfinite(dollars):
        return "an unknown amount"
    if dollars != 0 and abs(dollars) < 0.01:  # noqa: PLR2004 - a cent
        return "less than $0.01"
    return f"${dollars:,.2f}"


def joined(words: Sequence[str]) -> str:
    """One, two and three."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1]))) if words else ""


def arn_of(text: str) -> Arn | None:
    """The ARN, where it is one."""
    try:
        return Arn.parse(text)
    except ValueError:
        return None


def name_of(target: str) -> str:
    """A target's own name: what a person calls it."""
    arn = arn_of(target)
    return safe(arn.name if arn and arn.name else target, 80) or "(no name)"


def shell(word: str) -> str:
    """The word as one word of a shell command, whatever is in it."""
    return shlex.quote(safe(word, 100))


def capped(items: Sequence[T], limit: int) -> tuple[Sequence[T], int]:
    """The first ``limit`` items and how many are left off."""
    return items[:limit], max(0, len(items) - limit)


# -- values --------------------------------------------------------------------------------------------------------

HIDDEN = "[not shown]"
_NEVER_SHOWN = (
    "body", "payload", "messageattributes", "receipthandle", "password", "secret", "token", "environment", "credential",
    "detail", "plaintext", "ciphertext",
)  # fmt: skip
_VALUE_LIMIT = 160


def shown(value: Json, depth: int = 0) -> Json:
    """A value as JSON that may be published: bodies, secrets and environments are named, never shown."""
    if depth > 5:  # noqa: PLR2004 - a parameter that is deeper is not read by a person
        return "…"
    if isinstance(value, Mapping):
        return {
            safe(key, 80): HIDDEN if _never(str(key)) else shown(inner, depth + 1)
            for key, inner in [*value.items()][:40]
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [shown(inner, depth + 1) for inner in [*value][:40]]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**63 else "(a very large number)"
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return safe(value, _VALUE_LIMIT)


def _never(key: str) -> bool:
    name = key.replace("-", "").replace("_", "").lower()
    return not name.endswith("arn") and any(word in name for word in _NEVER_SHOWN)


def _text(value: Json) -> str:
    value = shown(value)
    if isinstance(value, str):
        return value
    return safe(json.dumps(value, ensure_ascii=False, separators=(", ", ": ")), _VALUE_LIMIT)


def changes(before: Mapping[str, Json], after: Mapping[str, Json]) -> list[str]:
    """One line per value: ``desiredCount 2 -> 4``. What is equal on both sides says so."""
    clean_before, clean_after = shown(before), shown(after)
    lines = []
    for key in [*clean_before, *(key for key in clean_after if key not in clean_before)]:
        if key not in clean_after:
            lines.append(f"{key} was {_text(clean_before[key])}")
        elif key not in clean_before:
            lines.append(f"{key} is {_text(clean_after[key])}")
        elif clean_before[key] == clean_after[key]:
            lines.append(f"{key} {_text(clean_before[key])}, unchanged")
        else:
            lines.append(f"{key} {_text(clean_before[key])} -> {_text(clean_after[key])}")
    return lines


# -- the page ------------------------------------------------------------------------------------------------------


class Page:
    """
    Plain text of 100 columns, written from top to bottom.

    Only :meth:`title` and :meth:`section` write in the first column, and both are our own words: whatever a name or an
    error message says, it cannot look like a heading. Only what has no space in it (an ARN) and commands are wider than
    the page, because a person copies them.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []

    def title(self, text: str) -> None:
        """The first line."""
        self._lines.extend(_wrapped(text, "", "  "))

    def section(self, heading: str, note: str = "") -> None:
        """A heading, with a short note beside it."""
        self._lines.extend(("", *_wrapped(f"{heading}  {note}" if note else heading, "", "  ")))

    def blank(self) -> None:
        """An empty line."""
        self._lines.append("")

    def text(self, text: str, indent: int = 2) -> None:
        """A paragraph."""
        self._lines.extend(_wrapped(text, " " * indent, " " * indent))

    def item(self, text: str, indent: int = 2) -> None:
        """A list's item."""
        self._lines.extend(_wrapped(text, " " * indent + "- ", " " * (indent + 2)))

    def items(self, texts: Iterable[str], limit: int) -> None:
        """A list, and how many are left off."""
        few, rest = capped([*texts], limit)
        for text in few:
            self.item(text)
        if rest:
            self.text(f"… and {rest:,} more", 4)

    def pair(self, label: str, text: str, width: int = 9) -> None:
        """A label and what stands beside it."""
        self._lines.extend(_wrapped(text, f"  {label:<{width}} ", " " * (width + 3)))

    def command(self, text: str, indent: int = 4) -> None:
        """Something to copy: never broken."""
        self._lines.append(" " * indent + text)

    def __str__(self) -> str:
        return "\n".join(self._lines) + "\n"


def _wrapped(text: str, first: str, rest: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [first.rstrip()]
