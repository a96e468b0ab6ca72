"""What every batched reader is made of: pieces of work whose failure is the failure of exactly their own queries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from nightshift.errors import AwsError, Denied, Rejected
from nightshift.model import Query
from nightshift.remediation import Series, Unread

__all__ = ["Answer", "Piece", "chunks", "halving", "invalid", "why"]

Answer: TypeAlias = Series | Mapping[str, Any] | Unread | None

T = TypeVar("T")
Q = TypeVar("Q", bound=Query)

_INVALID = frozenset(
    {
        "InvalidParameterCombination",
        "InvalidParameterException",
        "InvalidParameterValue",
        "MissingParameter",
        "ParamValidation",
        "ValidationError",
        "ValidationException",
    }
)
"""Codes that blame what one item of the request says, not the whole request or who makes it."""


@dataclass(frozen=True, slots=True)
class Piece(Generic[Q]):
    """One independent piece of reading: the queries that it answers, and how to ask."""

    queries: tuple[Q, ...]
    ask: Callable[[], Mapping[Q, Answer]]

    def answers(self) -> dict[Query, Answer]:
        """An answer for each of its queries, and for no other: what was not answered is Unread, with the reason."""
        reason = "AWS gave no answer for it"
        given: Mapping[Q, Answer] = {}
        try:
            given = self.ask()
        except AwsError as error:
            reason = why(error)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            reason = f"the answer cannot be understood: {type(error).__name__}: {str(error)[:200]}"
        return {query: given.get(query, Unread(reason)) for query in self.queries}


def why(error: AwsError) -> str:
    """The reason as a person should read it: a denial names the action that is to be granted."""
    if isinstance(error, Denied):
        return f"not allowed to {error}; grant {error.action}"
    return str(error)


def invalid(error: AwsError) -> bool:
    """Whether AWS refused the request for something that one of its items says."""
    return isinstance(error, Rejected) and error.code in _INVALID


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The items in order, at most ``size`` at a time."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def halving(
    ask: Callable[[Sequence[Q]], Mapping[Q, Answer]], items: Sequence[Q], *, one_spoils_all: Callable[[AwsError], bool]
) -> dict[Q, Answer]:
    """
    Ask for all at once; where one bad item spoils the whole request, ask for each half by itself.

    At most 1 + 4·log2(n) calls, which is what two bad items need at worst; what more than two leave over stays Unread.
    """
    calls_left = 4 * (len(items) - 1).bit_length()
    answers: dict[Q, Answer] = {}
    waiting = [items]
    while waiting:
        part = waiting.pop()
        try:
            answers.update(ask(part))
        except AwsError as error:
            others = len(part) - 1
            if others and calls_left and one_spoils_all(error):
                calls_left -= 2
                half = len(part) // 2
                waiting += [part[half:], part[:half]]
            else:
                perhaps = f" (of this or of {others} asked with it)" if others and one_spoils_all(error) else ""
                answers.update(dict.fromkeys(part, Unread(why(error) + perhaps)))
    return answers
