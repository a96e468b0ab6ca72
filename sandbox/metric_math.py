"""
Metric math, as far as alarms need it: what an expression makes of one window.

Arithmetic, comparisons, AND, OR, IF, FILL with a number, and HOUR. A metric that reported nothing in the window is
missing, and so is what is made of it, unless FILL says otherwise; a division by nothing is missing too. Anything else
is refused (`NotUnderstood`), because a guess would be believed.
"""

import operator
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache

Value = float | None
Formula = Callable[[Mapping[str, Value], int], Value]
"""takes what each metric reported in the window, and the window's first minute since the epoch"""


class NotUnderstood(ValueError):
    """An expression that the sandbox cannot judge."""


_TOKEN = re.compile(r"\s*(?:(\d+(?:\.\d+)?)|([A-Za-z]\w*)|(>=|<=|==|!=|&&|\|\||[-+*/(),<>]))")
_WORDS = {"AND": "&&", "OR": "||"}
_LEVELS: tuple[dict[str, Callable[[float, float], float]], ...] = (
    {"||": lambda one, other: float(bool(one) or bool(other))},
    {"&&": lambda one, other: float(bool(one) and bool(other))},
    {
        ">=": operator.ge,
        "<=": operator.le,
        "==": operator.eq,
        "!=": operator.ne,
        ">": operator.gt,
        "<": operator.lt,
    },
    {"+": operator.add, "-": operator.sub},
    {"*": operator.mul, "/": operator.truediv},
)
"""what binds least stands first"""


@cache
def formula(expression: str) -> Formula:
    """An expression, ready for any window. Raises NotUnderstood."""
    return _Reader(expression).read()


class _Reader:
    def __init__(self, expression: str) -> None:
        self._all = expression
        self._tokens: list[str] = []
        at, text = 0, expression.rstrip()
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None:
                raise NotUnderstood(expression)
            self._tokens.append(_WORDS.get(found[0].strip(), found[0].strip()))
            at = found.end()

    def read(self) -> Formula:
        made = self._level(0)
        if self._tokens:
            raise NotUnderstood(self._all)
        return made

    def _level(self, level: int) -> Formula:
        if level == len(_LEVELS):
            return self._part()
        made = self._level(level + 1)
        while self._tokens and self._tokens[0] in _LEVELS[level]:
            made = _both(_LEVELS[level][self._tokens.pop(0)], made, self._level(level + 1))
        return made

    def _part(self) -> Formula:
        word = self._next()
        if word == "(":
            made = self._level(0)
            self._expect(")")
            return made
        if word[0].isdecimal():
            return _number(float(word))
        if self._tokens[:1] == ["("]:
            return self._function(word)
        if not word[0].islower():
            raise NotUnderstood(self._all)
        return lambda values, _minute: values[word]

    def _function(self, name: str) -> Formula:
        self._expect("(")
        given = [self._level(0)]
        while self._tokens[:1] == [","]:
            self._next()
            given.append(self._level(0))
        self._expect(")")
        match name, given:
            case "FILL", [what, instead]:
                return _filled(what, instead)
            case "IF", [condition, so, otherwise]:
                return _chosen(condition, so, otherwise)
            case "HOUR", [_]:
                return lambda _values, minute: float(datetime.fromtimestamp(minute * 60, UTC).hour)
        raise NotUnderstood(self._all)

    def _next(self) -> str:
        if not self._tokens:
            raise NotUnderstood(self._all)
        return self._tokens.pop(0)

    def _expect(self, mark: str) -> None:
        if self._next() != mark:
            raise NotUnderstood(self._all)


def _number(number: float) -> Formula:
    return lambda _values, _minute: number


def _both(do: Callable[[float, float], float], left: Formula, right: Formula) -> Formula:
    def made(values: Mapping[str, Value], minute: int) -> Value:
        one, other = left(values, minute), right(values, minute)
        if one is None or other is None or (do is operator.truediv and not other):
            return None
        return float(do(one, other))

    return made


def _filled(what: Formula, instead: Formula) -> Formula:
    def made(values: Mapping[str, Value], minute: int) -> Value:
        found = what(values, minute)
        return instead(values, minute) if found is None else found

    return made


def _chosen(condition: Formula, so: Formula, otherwise: Formula) -> Formula:
    def made(values: Mapping[str, Value], minute: int) -> Value:
        found = condition(values, minute)
        if found is None:
            return None
        return so(values, minute) if found else otherwise(values, minute)

    return made
