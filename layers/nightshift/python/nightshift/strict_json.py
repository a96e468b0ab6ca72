"""
JSON from outside, read in the one way in which everybody reads it, or not at all.

Python's own reader takes what is no JSON (``NaN``), guesses where two readers would differ (a key that stands twice:
the last wins; ``1e999``: infinity), and dies of what is too deep or too long. Whoever decides by what a text says needs
one meaning of it, so each of these is refused. Lone surrogates, which no sink can encode, become U+FFFD.

Nothing of the text is in the error: it may be somebody's data.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final, NoReturn

__all__ = ["DEPTH", "NotStrict", "loads", "within"]

DEPTH: Final = 200
"""levels; far more than any event or letter has, far fewer than Python's stack, however deep we are in it already"""


class NotStrict(ValueError):
    """A text that is no JSON, or JSON that two readers might read in two ways. ``str()`` is one line of ours."""


def loads(text: str | bytes, *, limit: int, depth: int = DEPTH) -> Any:
    """
    What the text says, at most ``limit`` bytes of UTF-8 and ``depth`` levels. Raises NotStrict.

    Integers beyond Python's 4,300 digits are refused too; a string may hold anything that JSON can say.
    """
    if not within(text, limit):
        raise NotStrict(f"more than {limit} bytes")
    try:
        text = text.decode("utf-8") if isinstance(text, bytes) else text
        found = _read(text)
    except NotStrict:
        raise
    except RecursionError:
        raise NotStrict(f"nested more than {depth} levels deep") from None
    except ValueError as error:  # no JSON, no UTF-8, or a number of thousands of digits
        raise NotStrict(_why(error)) from None
    if text.count("[") + text.count("{") > depth and _deeper(found, depth):
        raise NotStrict(f"nested more than {depth} levels deep")
    return _mended(found) if _SURROGATE.search(text) else found


def within(text: str | bytes, limit: int) -> bool:
    """Whether a text has at most so many bytes in UTF-8: asked before it is looked at any closer."""
    if len(text) > limit:
        return False
    return isinstance(text, bytes) or text.isascii() or len(text.encode("utf-8", "surrogatepass")) <= limit


def _read(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_once, parse_constant=_no_number, parse_float=_finite)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotStrict("a key stands twice")
    return found


def _no_number(_: str) -> NoReturn:
    raise NotStrict("NaN and Infinity are no numbers")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise NotStrict("a number is too large to be one")
    return value


def _deeper(found: Any, depth: int) -> bool:
    """Whether anything stands more than ``depth`` levels deep: level by level, so that no stack is needed."""
    level = [found]
    for _ in range(depth):
        level = [
            part
            for each in level
            if isinstance(each, dict | list)
            for part in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return False
    return any(isinstance(each, dict | list) for each in level)


_SURROGATE = re.compile(r"[\ud800-\udfff]|\\u[dD][89a-fA-F]")


def _mended(found: Any) -> Any:
    """The same with lone surrogates replaced; halves of a pair that stand side by side become their letter."""
    text = json.dumps(found, ensure_ascii=False).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return _read(text)


def _why(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON at character {error.pos}"
    return "not UTF-8" if isinstance(error, UnicodeDecodeError) else "a number has thousands of digits"
