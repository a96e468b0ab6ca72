"""
DynamoDB in memory, without HTTP: as strict as the service, and quick enough to be called some million times.

A simulation spends most of its calls on the incident table, and moto spends most of a call on serializing, routing and
parsing. Here an operation is a function from the parameters of a boto3 client to the answer.

A fake that forgives hides bugs, so it refuses what DynamoDB refuses: a name that no expression uses, a reserved word,
two paths that overlap, a key in an update. There are three kinds of refusal: what DynamoDB would answer
(`ValidationException` and its like), what the SDK would say before it sent anything (`ParamValidation`), and what is
missing here (`NotImplementedError`).

It is quick because expressions are parsed and checked once for each table, set of names and set of value names: the
plan that comes of it is kept. What depends on values (their types, their sizes) is checked at every call. Items are
replaced, never changed, so that only what goes in and what comes out is copied.

Left out: list indexes in paths, legacy parameters (`Expected`, `AttributeUpdates`, `KeyConditions`, …), local secondary
indexes, `Select`, scans of an index or in segments, consumed capacity, provisioned throughput, time to live, streams.
An index is never late here: what must bear a late one has to be tested elsewhere.
"""

import operator
import re
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Context, Decimal, InvalidOperation
from functools import cache, lru_cache
from importlib.resources import files
from itertools import islice
from typing import Any, Final, NoReturn
from zlib import crc32

from sandbox.seam import AwsError

__all__ = ["DynamoDb"]

Params = dict[str, Any]
Answer = dict[str, Any]
Value = dict[str, Any]  # an attribute value as boto3 writes it: {"S": "text"}
Item = dict[str, Value]
Values = dict[str, Value]  # the expression attribute values of one call
Key = tuple[Any, Any]  # partition key and sort key as Python compares them; "" where the table has no sort key
Entry = tuple[Any, Key]  # a place within a partition of an index: its sort key, then the item's own key
Place = tuple[Any, Entry]  # partition of an index, and the place within it
Test = Callable[[Item, Values], bool]
Read = Callable[[Item, Values], Value | None]
Check = Callable[[Values], None]
Change = Callable[[Item, Item, Values], None]  # of the item before, into the item after
Project = Callable[[Item], Item]
Span = Callable[[list[Entry], Values], tuple[int, int]]  # where in a partition to begin and to end

_ITEM_LIMIT = 400 * 1024
_PAGE_LIMIT = 1024 * 1024
_BATCH_LIMIT = 16 * 1024 * 1024
_TRANSACTION_LIMIT = 4 * 1024 * 1024
_EXPRESSION_LIMIT = 4096
_OPERATORS_LIMIT = 300
_IN_LIMIT = 100
_AT_ONCE = 100
_DEPTH = 32
_PLANS = 4096
_REMEMBERED = timedelta(minutes=10)

_KEY_KINDS = frozenset({"S", "N", "B"})
_SETS = frozenset({"SS", "NS", "BS"})
_DEEP = _SETS | {"L", "M"}
_KINDS = _DEEP | _KEY_KINDS | {"BOOL", "NULL"}
_WORDS = {
    "S": "STRING",
    "N": "NUMBER",
    "B": "BINARY",
    "SS": "STRING_SET",
    "NS": "NUMBER_SET",
    "BS": "BINARY_SET",
    "L": "LIST",
    "M": "MAP",
    "NULL": "NULL",
    "BOOL": "BOOLEAN",
}


def _invalid(message: str) -> AwsError:
    return AwsError("ValidationException", message)


def _malformed(message: str) -> AwsError:
    """What the SDK says before it sends anything."""
    return AwsError("ParamValidation", f"Parameter validation failed:\n{message}")


def _no_such_table(more: str = "") -> AwsError:
    return AwsError("ResourceNotFoundException", f"Requested resource not found{more}")


# -- values ------------------------------------------------------------------------------------------------------------

_decimal = lru_cache(maxsize=1 << 16)(Decimal)
_EXACT = Context(prec=400)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


@lru_cache(maxsize=1 << 16)
def _number(text: str) -> str:
    """A number as DynamoDB gives it back: no leading or trailing zeros, no exponent."""
    if _NUMBER.fullmatch(text) is None:
        raise _invalid(f"The parameter cannot be converted to a numeric value: {text}")
    try:
        number = Decimal(text)
    except InvalidOperation:  # an exponent that even Python does not hold
        number = Decimal("1E+126")
    if not number:
        return "0"
    if len("".join(map(str, number.as_tuple().digits)).strip("0")) > 38:
        raise _invalid("Attempting to store more than 38 significant digits in a Number")
    if number.adjusted() > 125:
        raise _invalid("Number overflow. Attempting to store a number with magnitude larger than supported range")
    if number.adjusted() < -130:
        raise _invalid("Number underflow. Attempting to store a number with magnitude smaller than supported range")
    return format(number.normalize(_EXACT), "f")


def _length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _take(value: Any, depth: int = 0) -> tuple[Value, int]:
    """One attribute value, checked and made our own, and its size in bytes."""
    try:
        [(kind, content)] = value.items()
    except (AttributeError, ValueError):
        raise _no_value(value) from None
    if kind == "S" and type(content) is str:
        return {"S": content}, _length(content)
    taker = _TAKERS.get(kind)
    if taker is None:
        raise _malformed(f'Unknown parameter in an attribute value: "{kind}", must be one of: {", ".join(_WORDS)}')
    taken, size = taker(content, depth)
    return {kind: taken}, size


def _no_value(value: Any) -> AwsError:
    if not isinstance(value, dict):
        return _malformed(f"Invalid type for an attribute value: {value!r}, valid types: <class 'dict'>")
    if not value:
        return _invalid("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
    return _invalid(
        "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes"
    )


def _of_type(content: Any, kind: type) -> None:
    if not isinstance(content, kind):
        raise _malformed(f"Invalid type in an attribute value: {content!r}, valid types: {kind}")


def _take_string(content: Any, _depth: int) -> tuple[str, int]:
    _of_type(content, str)
    return str(content), _length(content)


def _take_number(content: Any, _depth: int) -> tuple[str, int]:
    _of_type(content, str)
    text = _number(content)
    return text, (len(text) + 1) // 2 + 1


def _take_binary(content: Any, _depth: int) -> tuple[bytes, int]:
    _of_type(content, bytes)
    return bytes(content), len(content)


def _take_bool(content: Any, _depth: int) -> tuple[bool, int]:
    _of_type(content, bool)
    return content, 1


def _take_null(content: Any, _depth: int) -> tuple[bool, int]:
    _of_type(content, bool)
    if not content:
        raise _invalid(
            "One or more parameter values were invalid: Null attribute value types must have the value of true"
        )
    return True, 1


def _take_list(content: Any, depth: int) -> tuple[list[Value], int]:
    _of_type(content, list)
    _not_too_deep(depth)
    taken = [_take(each, depth + 1) for each in content]
    return [each for each, _ in taken], 3 + sum(size + 1 for _, size in taken)


def _take_map(content: Any, depth: int) -> tuple[Item, int]:
    _of_type(content, dict)
    _not_too_deep(depth)
    taken = {name: _take(each, depth + 1) for name, each in content.items()}
    return (
        {name: each for name, (each, _) in taken.items()},
        3 + sum(_length(name) + size + 1 for name, (_, size) in taken.items()),
    )


def _not_too_deep(depth: int) -> None:
    if depth >= _DEPTH:
        raise _invalid("Nesting Levels have exceeded supported limits")


def _take_set(kind: str) -> Callable[[Any, int], tuple[list[Any], int]]:
    """Sorted, so that two sets are equal where their lists are; the service promises no order."""
    take = {"S": _take_string, "N": _take_number, "B": _take_binary}[kind]
    word = {"S": "string", "N": "number", "B": "binary"}[kind]

    def taker(content: Any, depth: int) -> tuple[list[Any], int]:
        _of_type(content, list)
        if not content:
            raise _invalid(f"One or more parameter values were invalid: An {word} set may not be empty")
        taken = [take(each, depth) for each in content]
        members = {each for each, _ in taken}
        if len(members) != len(taken):
            raise _invalid(
                f"One or more parameter values were invalid: Input collection {content} contains duplicates."
            )
        if "" in members or b"" in members:
            raise _invalid(
                f"One or more parameter values were invalid: An {word} set may not have a empty {word} as a member"
            )
        return _in_order(f"{kind}S", members), sum(size for _, size in taken)

    return taker


def _in_order(kind: str, members: Iterable[Any]) -> list[Any]:
    return sorted(members, key=_decimal if kind == "NS" else None)


_TAKERS: Final[dict[str, Callable[[Any, int], tuple[Any, int]]]] = {
    "S": _take_string,
    "N": _take_number,
    "B": _take_binary,
    "BOOL": _take_bool,
    "NULL": _take_null,
    "L": _take_list,
    "M": _take_map,
    "SS": _take_set("S"),
    "NS": _take_set("N"),
    "BS": _take_set("B"),
}


def _take_item(given: Mapping[str, Any]) -> tuple[Item, int, bool]:
    """A whole item, its size, and whether it is deeper than two levels."""
    item, size, deep = _take_values(given)
    return item, size + _length("".join(item)), deep


def _take_values(given: Mapping[str, Any]) -> tuple[Values, int, bool]:
    """Values by name, their size without the names, and whether they are deeper than two levels."""
    values: Values = {}
    total, deep = 0, False
    for name, value in given.items():
        if type(value) is dict and len(value) == 1 and type(content := value.get("S")) is str:  # what most values are
            values[name] = {"S": content}
            total += len(content) if content.isascii() else len(content.encode())
        else:
            taken, size = _take(value)
            values[name] = taken
            total += size
            deep = deep or not _DEEP.isdisjoint(taken)
    return values, total, deep


def _kind(value: Value) -> str:
    return next(iter(value))


def _copied(value: Value) -> Value:
    for kind, content in value.items():
        if kind == "L":
            return {"L": [_copied(each) for each in content]}
        if kind == "M":
            return {"M": {name: _copied(each) for name, each in content.items()}}
        if kind in _SETS:
            return {kind: [*content]}
    return {**value}


def _given(item: Item) -> Item:
    """An item to give away: whoever gets it may change it."""
    return {name: _copied(value) for name, value in item.items()}


def _native(kind: str, content: Any) -> Any:
    """A key as Python compares it: text by code point, which is UTF-8's byte order too."""
    return _decimal(content) if kind == "N" else content


# -- expressions: what they are made of --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Path:
    parts: tuple[str, ...]

    def __str__(self) -> str:
        return f"[{', '.join(self.parts)}]"


@dataclass(frozen=True, slots=True)
class _Ref:
    """A value's placeholder."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class _Size:
    path: _Path


_Operand = _Path | _Ref | _Size


@dataclass(frozen=True, slots=True)
class _Compare:
    operator: str
    left: _Operand
    right: _Operand


@dataclass(frozen=True, slots=True)
class _Between:
    operand: _Operand
    low: _Operand
    high: _Operand


@dataclass(frozen=True, slots=True)
class _In:
    operand: _Operand
    choices: tuple[_Operand, ...]


@dataclass(frozen=True, slots=True)
class _Function:
    name: str
    operands: tuple[_Operand, ...]


@dataclass(frozen=True, slots=True)
class _Not:
    part: "_Condition"


@dataclass(frozen=True, slots=True)
class _Join:
    word: str  # AND, OR
    left: "_Condition"
    right: "_Condition"


_Condition = _Compare | _Between | _In | _Function | _Not | _Join


@dataclass(frozen=True, slots=True)
class _IfNotExists:
    path: _Path
    otherwise: "_Source"


@dataclass(frozen=True, slots=True)
class _Append:
    left: "_Source"
    right: "_Source"


@dataclass(frozen=True, slots=True)
class _Arithmetic:
    operator: str
    left: "_Source"
    right: "_Source"


_Source = _Path | _Ref | _IfNotExists | _Append | _Arithmetic


@dataclass(frozen=True, slots=True)
class _Action:
    section: str  # SET, REMOVE, ADD, DELETE
    path: _Path
    source: _Source | None = None


# -- expressions: reading them -----------------------------------------------------------------------------------------

_TOKEN = re.compile(
    r"\s*(?:(?P<name>[A-Za-z][A-Za-z0-9_]*)|(?P<alias>\#[A-Za-z0-9_]+)|(?P<ref>:[A-Za-z0-9_]+)|(?P<index>[0-9]+)"
    r"|(?P<sign><>|<=|>=|[<>=+\-(),.\[\]]))"
)
_ALIAS = re.compile(r"#[A-Za-z0-9_]+")
_REF = re.compile(r":[A-Za-z0-9_]+")
_COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_FUNCTIONS = {"attribute_exists": 1, "attribute_not_exists": 1, "attribute_type": 2, "begins_with": 2, "contains": 2}
_SECTIONS = ("SET", "REMOVE", "ADD", "DELETE")


@cache
def _reserved() -> frozenset[str]:
    """The words that only a placeholder may name: moto's list, which is AWS's."""
    text = files("moto").joinpath("dynamodb", "parsing", "reserved_keywords.txt").read_text(encoding="utf-8")
    return frozenset(text.upper().split())


class _Scope:
    """The placeholders of one request: every one must be defined, and every one must be used."""

    def __init__(self, names: Sequence[tuple[str, str]] | None, values: Sequence[str] | None) -> None:
        self.names = dict(names or ())
        if not all(isinstance(name, str) for name in self.names.values()):
            raise _malformed(f"Invalid type in ExpressionAttributeNames: {self.names}, valid types: <class 'str'>")
        self.values = frozenset(values or ())
        self.used: set[str] = set()
        for what, given, pattern in (("Names", names, _ALIAS), ("Values", values, _REF)):
            if given is not None and not given:
                raise _invalid(f"ExpressionAttribute{what} must not be empty")
            for each in given or ():
                key = each if isinstance(each, str) else each[0]
                if not pattern.fullmatch(key):
                    raise _invalid(f'ExpressionAttribute{what} contains invalid key: Syntax error; key: "{key}"')

    def nothing_unused(self, expressions: Mapping[str, str | None]) -> None:
        """Raise where a placeholder was given in vain."""
        for what, given in (("Names", self.names.keys()), ("Values", self.values)):
            if given and all(expression is None for expression in expressions.values()):
                raise _invalid(
                    f"ExpressionAttribute{what} can only be specified when using expressions:"
                    f" {' and '.join(expressions)} is null"
                )
            if unused := sorted(given - self.used):
                raise _invalid(
                    f"Value provided in ExpressionAttribute{what} unused in expressions: keys: {{{', '.join(unused)}}}"
                )


class _Parser:
    """Reads one expression. What it finds wrong, it says in DynamoDB's words where these are known."""

    def __init__(self, label: str, text: str, scope: _Scope) -> None:
        self.label = label
        self._scope = scope
        self._at = 0
        self._operators = 0
        self._closing: dict[int, int] = {}
        if not text.strip():
            raise self.error("The expression can not be empty;")
        if len(text.encode()) > _EXPRESSION_LIMIT:
            raise self.error(
                f"Expression size has exceeded the maximum allowed size; expression size: {len(text.encode())}"
            )
        self._tokens = self._split(text)

    def error(self, message: str) -> AwsError:
        """What is wrong with this expression."""
        return _invalid(f"Invalid {self.label}: {message}")

    def _split(self, text: str) -> list[tuple[str, str]]:
        tokens: list[tuple[str, str]] = []
        at, end = 0, len(text.rstrip())
        while at < end:
            found = _TOKEN.match(text, at)
            if found is None:
                odd = text[at:].lstrip()[0]
                raise self.error(f'Syntax error; token: "{odd}", near: "{text[max(0, at - 5) : at + 5].strip()}"')
            kind = str(found.lastgroup)
            tokens.append((kind, found.group(kind)))
            at = found.end()
        return [*tokens, ("end", "<EOF>")]

    def _unexpected(self) -> AwsError:
        near = " ".join(text for _, text in self._tokens[max(0, self._at - 1) : self._at + 2])
        return self.error(f'Syntax error; token: "{self._tokens[self._at][1]}", near: "{near}"')

    def _next(self) -> tuple[str, str]:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _see(self, sign: str) -> bool:
        kind, text = self._tokens[self._at]
        return kind == "sign" and text == sign

    def _word(self, *words: str) -> str | None:
        """Take one of these words (in any case of letters), if it is the next token."""
        kind, text = self._tokens[self._at]
        if kind == "name" and text.upper() in words:
            self._at += 1
            return text.upper()
        return None

    def _sign(self, *signs: str) -> str | None:
        kind, text = self._tokens[self._at]
        if kind == "sign" and text in signs:
            self._at += 1
            return text
        return None

    def _must(self, sign: str) -> None:
        if self._sign(sign) is None:
            raise self._unexpected()

    def _count(self) -> None:
        self._operators += 1
        if self._operators > _OPERATORS_LIMIT:
            raise self.error("The expression contains more operators than the maximum allowed number of 300")

    def _calls(self) -> bool:
        """Whether a function begins here."""
        return self._tokens[self._at][0] == "name" and self._tokens[self._at + 1] == ("sign", "(")

    # conditions

    def condition(self) -> _Condition:
        """The whole expression as a condition."""
        found = self._either()
        if self._tokens[self._at][0] != "end":
            raise self._unexpected()
        return found

    def _either(self) -> _Condition:
        found = self._both()
        while self._word("OR"):
            self._count()
            found = _Join("OR", found, self._both())
        return found

    def _both(self) -> _Condition:
        found = self._negated()
        while self._word("AND"):
            self._count()
            found = _Join("AND", found, self._negated())
        return found

    def _negated(self) -> _Condition:
        if self._word("NOT"):
            self._count()
            return _Not(self._negated())
        opened = self._at
        if self._sign("("):
            found = self._either()
            if self._see(")") and self._closing.get(opened + 1) == self._at - 1:
                raise self.error("The expression has redundant parentheses;")
            self._closing[opened] = self._at
            self._must(")")
            return found
        if self._calls() and self._tokens[self._at][1] != "size":
            return self._function()
        return self._comparison()

    def _function(self) -> _Condition:
        name = self._next()[1]
        if name in {"if_not_exists", "list_append"}:
            raise self.error(f"The function is not allowed in a condition expression; function: {name}")
        if name not in _FUNCTIONS:
            raise self.error(f"Invalid function name; function: {name}")
        self._count()
        self._must("(")
        operands = [self._operand()]
        while self._sign(","):
            operands.append(self._operand())
        self._must(")")
        if len(operands) != _FUNCTIONS[name]:
            raise self.error(
                "Incorrect number of operands for operator or function;"
                f" operator or function: {name}, number of operands: {len(operands)}"
            )
        if name.startswith("attribute_") and not isinstance(operands[0], _Path):
            raise self.error(f"Operator or function requires a document path; operator or function: {name}")
        self._distinct(name, operands[0], operands[1:])
        return _Function(name, tuple(operands))

    def _comparison(self) -> _Condition:
        left = self._operand()
        self._count()
        if sign := self._sign(*_COMPARISONS):
            right = self._operand()
            self._distinct(sign, left, [right])
            return _Compare(sign, left, right)
        if self._word("BETWEEN"):
            low = self._operand()
            if not self._word("AND"):
                raise self._unexpected()
            high = self._operand()
            self._distinct("BETWEEN", left, [low, high])
            return _Between(left, low, high)
        if self._word("IN"):
            self._must("(")
            choices = [self._operand()]
            while self._sign(","):
                choices.append(self._operand())
            self._must(")")
            if len(choices) > _IN_LIMIT:
                raise self.error(
                    "The IN operator is provided with too many operands;"
                    f" number of operands: {len(choices)}, maximum: {_IN_LIMIT}"
                )
            self._distinct("IN", left, choices)
            return _In(left, tuple(choices))
        raise self._unexpected()

    def _distinct(self, name: str, first: _Operand, others: Sequence[_Operand]) -> None:
        if first in others:
            raise self.error(
                "The first operand must be distinct from the remaining operands for this operator or function;"
                f" operator: {name}, first operand: {first}"
            )

    def _operand(self) -> _Operand:
        if self._tokens[self._at][0] == "ref":
            return self._ref()
        if self._calls():
            name = self._next()[1]
            if name != "size":
                raise self.error(f"The function is not allowed to be used this way in an expression; function: {name}")
            self._count()
            self._must("(")
            path = self.path()
            self._must(")")
            return _Size(path)
        return self.path()

    def _ref(self) -> _Ref:
        name = self._next()[1]
        if name not in self._scope.values:
            raise self.error(
                f"An expression attribute value used in expression is not defined; attribute value: {name}"
            )
        self._scope.used.add(name)
        return _Ref(name)

    # paths

    def path(self) -> _Path:
        """A document path, with its placeholders resolved."""
        parts = [self._part()]
        while self._sign("."):
            parts.append(self._part())
        if self._see("["):
            raise NotImplementedError(f"DynamoDb: a list index in a path ({self.label})")
        return _Path(tuple(parts))

    def _part(self) -> str:
        kind, text = self._tokens[self._at]
        if kind == "name":
            if text.upper() in _reserved():
                raise self.error(f"Attribute name is a reserved keyword; reserved keyword: {text}")
            self._at += 1
            return text
        if kind == "alias":
            if text not in self._scope.names:
                raise self.error(
                    f"An expression attribute name used in the document path is not defined; attribute name: {text}"
                )
            self._scope.used.add(text)
            self._at += 1
            return self._scope.names[text]
        raise self._unexpected()

    def paths(self) -> list[_Path]:
        """The whole expression as a projection."""
        found = [self.path()]
        while self._sign(","):
            found.append(self.path())
        if self._tokens[self._at][0] != "end":
            raise self._unexpected()
        self._no_overlap(found)
        return found

    def _no_overlap(self, paths: Sequence[_Path]) -> None:
        seen: dict[tuple[str, ...], _Path] = {}
        for path in sorted(paths, key=lambda path: len(path.parts)):
            for depth in range(1, len(path.parts) + 1):
                if other := seen.get(path.parts[:depth]):
                    raise self.error(
                        "Two document paths overlap with each other; must remove or rewrite one of these paths;"
                        f" path one: {other}, path two: {path}"
                    )
            seen[path.parts] = path

    # updates

    def update(self) -> list[_Action]:
        """The whole expression as an update."""
        actions: list[_Action] = []
        seen: set[str] = set()
        while self._tokens[self._at][0] != "end":
            section = self._word(*_SECTIONS)
            if section is None:
                raise self._unexpected()
            if section in seen:
                raise self.error(f'The "{section}" section can only be used once in an update expression;')
            seen.add(section)
            actions.append(self._action(section))
            while self._sign(","):
                actions.append(self._action(section))
        self._no_overlap([action.path for action in actions])
        return actions

    def _action(self, section: str) -> _Action:
        self._count()
        path = self.path()
        if section == "REMOVE":
            return _Action(section, path)
        if section == "SET":
            self._must("=")
            left = self._source()
            if sign := self._sign("+", "-"):
                self._count()
                return _Action(section, path, _Arithmetic(sign, left, self._source()))
            return _Action(section, path, left)
        if self._tokens[self._at][0] != "ref":
            raise self._unexpected()
        return _Action(section, path, self._ref())

    def _source(self) -> _Source:
        if self._tokens[self._at][0] == "ref":
            return self._ref()
        if not self._calls():
            return self.path()
        name = self._next()[1]
        self._count()
        self._must("(")
        if name == "if_not_exists":
            path = self.path()
            self._must(",")
            otherwise = self._source()
            self._must(")")
            return _IfNotExists(path, otherwise)
        if name == "list_append":
            left = self._source()
            self._must(",")
            right = self._source()
            self._must(")")
            return _Append(left, right)
        if name in _FUNCTIONS or name == "size":
            raise self.error(f"The function is not allowed in an update expression; function: {name}")
        raise self.error(f"Invalid function name; function: {name}")


# -- expressions: what they do -----------------------------------------------------------------------------------------


def _walk(item: Item, parts: tuple[str, ...]) -> Value | None:
    value = item.get(parts[0])
    for part in parts[1:]:
        if value is None or "M" not in value:
            return None
        value = value["M"].get(part)
    return value


def _reader(operand: _Operand) -> Read:
    if isinstance(operand, _Ref):
        name = operand.name
        return lambda _item, values: values[name]
    if isinstance(operand, _Size):
        parts = operand.path.parts
        return lambda item, _values: _measured(_walk(item, parts))
    if len(operand.parts) == 1:
        [top] = operand.parts
        return lambda item, _values: item.get(top)
    path = operand.parts
    return lambda item, _values: _walk(item, path)


def _measured(value: Value | None) -> Value | None:
    """What size() says: characters, bytes or members; nothing of what has no size."""
    if value is None:
        return None
    [(kind, content)] = value.items()
    if kind == "S":
        return {"N": str(_length(content))}
    return {"N": str(len(content))} if kind == "B" or kind in _DEEP else None


def _comparable(left: Value, right: Value) -> tuple[Any, Any] | None:
    """Both contents, where they can be put in order."""
    kind = _kind(left)
    if kind not in right or kind not in _KEY_KINDS:
        return None
    return _native(kind, left[kind]), _native(kind, right[kind])


class _Conditions:
    """Makes functions of conditions, and collects what has to be checked of the values at every call."""

    def __init__(self, label: str) -> None:
        self.checks: list[Check] = []
        self.tops: set[str] = set()  # the attributes of which the condition speaks
        self._label = label

    def test(self, condition: _Condition) -> Test:
        """The function of a condition."""
        if isinstance(condition, _Join):
            left, right = self.test(condition.left), self.test(condition.right)
            if condition.word == "AND":
                return lambda item, values: left(item, values) and right(item, values)
            return lambda item, values: left(item, values) or right(item, values)
        if isinstance(condition, _Not):
            part = self.test(condition.part)
            return lambda item, values: not part(item, values)
        if isinstance(condition, _Compare):
            return self._compare(condition)
        if isinstance(condition, _Between):
            return self._between(condition)
        if isinstance(condition, _In):
            return self._in(condition)
        return self._function(condition)

    def _reader(self, operand: _Operand) -> Read:
        if isinstance(operand, _Size):
            self.tops.add(operand.path.parts[0])
        elif isinstance(operand, _Path):
            self.tops.add(operand.parts[0])
        return _reader(operand)

    def _must_be(self, operand: _Operand, kinds: frozenset[str], function: str) -> None:
        if not isinstance(operand, _Ref):
            return
        name, label = operand.name, self._label

        def check(values: Values) -> None:
            kind = _kind(values[name])
            if kind not in kinds:
                raise _invalid(
                    f"Invalid {label}: Incorrect operand type for operator or function;"
                    f" operator or function: {function}, operand type: {kind}"
                )

        self.checks.append(check)

    def _compare(self, condition: _Compare) -> Test:
        left, right = self._reader(condition.left), self._reader(condition.right)
        compare = _COMPARISONS[condition.operator]
        if condition.operator == "=":
            return lambda item, values: (found := left(item, values)) is not None and found == right(item, values)
        if condition.operator == "<>":  # what is not there differs from everything, also from what else is not there
            return lambda item, values: (found := left(item, values)) is None or found != right(item, values)
        for operand in (condition.left, condition.right):
            self._must_be(operand, _KEY_KINDS, condition.operator)

        def ordered(item: Item, values: Values) -> bool:
            one, other = left(item, values), right(item, values)
            if one is None or other is None:
                return False
            if "S" in one and "S" in other:
                return compare(one["S"], other["S"])
            pair = _comparable(one, other)
            return pair is not None and compare(*pair)

        return ordered

    def _between(self, condition: _Between) -> Test:
        operand, low, high = map(self._reader, (condition.operand, condition.low, condition.high))
        for each in (condition.operand, condition.low, condition.high):
            self._must_be(each, _KEY_KINDS, "BETWEEN")
        if isinstance(condition.low, _Ref) and isinstance(condition.high, _Ref):
            self.checks.append(_bounds(condition.low.name, condition.high.name, self._label))

        def between(item: Item, values: Values) -> bool:
            found, least, most = operand(item, values), low(item, values), high(item, values)
            if found is None or least is None or most is None:
                return False
            under, over = _comparable(least, found), _comparable(found, most)
            return under is not None and over is not None and under[0] <= under[1] and over[0] <= over[1]

        return between

    def _in(self, condition: _In) -> Test:
        operand = self._reader(condition.operand)
        choices = [self._reader(choice) for choice in condition.choices]

        def within(item: Item, values: Values) -> bool:
            found = operand(item, values)
            return found is not None and any(found == choice(item, values) for choice in choices)

        return within

    def _function(self, condition: _Function) -> Test:
        first = self._reader(condition.operands[0])
        if condition.name == "attribute_exists":
            return lambda item, values: first(item, values) is not None
        if condition.name == "attribute_not_exists":
            return lambda item, values: first(item, values) is None
        second = self._reader(condition.operands[1])
        if condition.name == "attribute_type":
            self._must_name_a_type(condition.operands[1])
            return lambda item, values: (
                (found := first(item, values)) is not None and (second(item, values) or {}).get("S") in found
            )
        if condition.name == "begins_with":
            for operand in condition.operands:
                self._must_be(operand, frozenset({"S", "B"}), "begins_with")
            return lambda item, values: _begins(first(item, values), second(item, values))
        return lambda item, values: _contains(first(item, values), second(item, values))

    def _must_name_a_type(self, operand: _Operand) -> None:
        if not isinstance(operand, _Ref):
            raise NotImplementedError("DynamoDb: attribute_type with a type that is no expression attribute value")
        name, label = operand.name, self._label
        self._must_be(operand, frozenset({"S"}), "attribute_type")

        def check(values: Values) -> None:
            if values[name]["S"] not in _KINDS:
                raise _invalid(f"Invalid {label}: Invalid attribute type name found; type: {values[name]['S']}")

        self.checks.append(check)


def _bounds(low: str, high: str, label: str) -> Check:
    def check(values: Values) -> None:
        pair = _comparable(values[low], values[high])
        wrong = None
        if pair is None:
            wrong = "same data type for lower and upper bounds"
        elif pair[0] > pair[1]:
            wrong = "upper bound to be greater than or equal to lower bound"
        if wrong:
            raise _invalid(
                f"Invalid {label}: The BETWEEN operator requires {wrong};"
                f" lower bound operand: AttributeValue: {values[low]},"
                f" upper bound operand: AttributeValue: {values[high]}"
            )

    return check


def _begins(value: Value | None, prefix: Value | None) -> bool:
    if value is None or prefix is None:
        return False
    return any(kind in value and kind in prefix and value[kind].startswith(prefix[kind]) for kind in ("S", "B"))


def _contains(value: Value | None, part: Value | None) -> bool:
    if value is None or part is None:
        return False
    kind = _kind(value)
    if kind in {"S", "B"}:
        return kind in part and part[kind] in value[kind]
    if kind in _SETS:
        return kind[0] in part and part[kind[0]] in value[kind]
    return kind == "L" and part in value["L"]


_WRONG_TYPE = "An operand in the update expression has an incorrect data type"
_WRONG_PATH = "The document path provided in the update expression is invalid for update"
_NO_ATTRIBUTE = "The provided expression refers to an attribute that does not exist in the item"


class _AtRunTime(Exception):
    """What is wrong with an update, seen from the item: alone a ValidationException, in a transaction a reason."""


class _Updates:
    """Makes functions of an update's actions. They read the item as it was, whatever the others do."""

    def __init__(self) -> None:
        self.checks: list[Check] = []

    def change(self, action: _Action) -> Change:
        """The function of one action."""
        parts = action.path.parts
        if action.section == "SET" and action.source is not None:
            read = self._source(action.source)
            if len(parts) == 1:
                [name] = parts

                def set_(before: Item, after: Item, values: Values) -> None:
                    after[name] = read(before, values)

                return set_
            return lambda before, after, values: _put(after, parts, read(before, values))
        if action.section == "REMOVE":
            return lambda _before, after, _values: _put(after, parts, None)
        if not isinstance(action.source, _Ref):
            raise TypeError(action)
        ref = action.source.name
        self._must_be(ref, _SETS | {"N"} if action.section == "ADD" else _SETS, f"operator: {action.section}", _WORDS)
        combine = _added if action.section == "ADD" else _deleted
        return lambda before, after, values: _put(after, parts, combine(_walk(before, parts), values[ref]))

    def _must_be(self, ref: str, kinds: frozenset[str], function: str, words: Mapping[str, str] | None = None) -> None:
        def check(values: Values) -> None:
            kind = _kind(values[ref])
            if kind not in kinds:
                raise _invalid(
                    "Invalid UpdateExpression: Incorrect operand type for operator or function;"
                    f" {function}, operand type: {words[kind] if words else kind}"
                )

        self.checks.append(check)

    def _source(self, source: _Source) -> Callable[[Item, Values], Value]:
        if isinstance(source, _Ref):
            name = source.name
            return lambda _before, values: values[name]
        if isinstance(source, _Path):
            parts = source.parts
            return lambda before, _values: _existing(_walk(before, parts))
        if isinstance(source, _IfNotExists):
            path, otherwise = source.path.parts, self._source(source.otherwise)

            def kept(before: Item, values: Values) -> Value:
                found = _walk(before, path)
                return otherwise(before, values) if found is None else found

            return kept
        left, right = self._source(source.left), self._source(source.right)
        sign, kind = (source.operator, "N") if isinstance(source, _Arithmetic) else ("list_append", "L")
        for each in (source.left, source.right):
            if isinstance(each, _Ref):
                self._must_be(each.name, frozenset({kind}), f"operator or function: {sign}")
        combine = {"+": _plus, "-": _minus, "list_append": _appended}[sign]
        return lambda before, values: combine(left(before, values), right(before, values))


def _existing(value: Value | None) -> Value:
    if value is None:
        raise _AtRunTime(_NO_ATTRIBUTE)
    return value


def _plus(left: Value, right: Value) -> Value:
    return _calculated(operator.add, _EXACT.add, left, right)


def _minus(left: Value, right: Value) -> Value:
    return _calculated(operator.sub, _EXACT.subtract, left, right)


def _calculated(
    of_integers: Callable[[int, int], int],
    of_decimals: Callable[[Decimal, Decimal], Decimal],
    left: Value,
    right: Value,
) -> Value:
    try:
        one, other = left["N"], right["N"]
    except KeyError:
        raise _AtRunTime(_WRONG_TYPE) from None
    try:
        if "." not in one and "." not in other:
            text = str(of_integers(int(one), int(other)))
            return {"N": text if len(text) <= 38 else _number(text)}
        return {"N": _number(str(of_decimals(Decimal(one), Decimal(other))))}
    except AwsError as error:  # too large, too small, too many digits
        raise _AtRunTime(error.message) from None


def _appended(left: Value, right: Value) -> Value:
    if "L" not in left or "L" not in right:
        raise _AtRunTime(_WRONG_TYPE)
    return {"L": [*left["L"], *right["L"]]}


def _added(before: Value | None, more: Value) -> Value:
    if before is None:
        return more
    kind = _kind(more)
    if kind not in before:
        raise _AtRunTime(_WRONG_TYPE)
    return _plus(before, more) if kind == "N" else {kind: _in_order(kind, {*before[kind], *more[kind]})}


def _deleted(before: Value | None, less: Value) -> Value | None:
    if before is None:
        return None
    kind = _kind(less)
    if kind not in before:
        raise _AtRunTime(_WRONG_TYPE)
    left = _in_order(kind, {*before[kind]} - {*less[kind]})
    return {kind: left} if left else None


def _put(after: Item, parts: tuple[str, ...], value: Value | None) -> None:
    """Set what is at a path, or remove it where there is no value. Maps on the way are replaced, not changed."""
    place = after
    for part in parts[:-1]:
        holder = place.get(part)
        if holder is None or "M" not in holder:
            raise _AtRunTime(_WRONG_PATH)
        inner: Item = {**holder["M"]}
        place[part] = {"M": inner}
        place = inner
    if value is None:
        place.pop(parts[-1], None)
    else:
        place[parts[-1]] = value


def _projector(paths: Sequence[_Path]) -> Project:
    if all(len(path.parts) == 1 for path in paths):
        names = [path.parts[0] for path in paths]
        return lambda item: {name: _copied(item[name]) for name in names if name in item}

    def project(item: Item) -> Item:
        answer: Item = {}
        for path in paths:
            found = _walk(item, path.parts)
            if found is None:
                continue
            place = answer
            for part in path.parts[:-1]:
                place = place.setdefault(part, {"M": {}})["M"]
            place[path.parts[-1]] = _copied(found)
        return answer

    return project


# -- tables ------------------------------------------------------------------------------------------------------------


class _Row:
    """
    An item as it is stored: never changed, only replaced.

    ``bound`` is what its size is at most. An update adds what it brings without measuring what it replaces; who must
    know the size asks :meth:`size`.
    """

    __slots__ = ("bound", "deep", "item", "places", "views")

    def __init__(self, item: Item, bound: int, places: tuple[Place | None, ...], *, deep: bool) -> None:
        self.item = item
        self.bound = bound
        self.places = places  # one for each secondary index
        self.deep = deep
        self.views: dict[str, Item] = {}

    def size(self) -> int:
        """How large it is."""
        self.bound = _take_item(self.item)[1]
        return self.bound

    def given(self) -> Item:
        """The item to give away."""
        return self.copied(self.item)

    def copied(self, item: Item) -> Item:
        """A copy of what was made of this item's attributes."""
        return _given(item) if self.deep else {name: {**value} for name, value in item.items()}


@dataclass(frozen=True, slots=True)
class _KeyPart:
    name: str
    kind: str
    limit: int


class _Index:
    """The table's own order, or a secondary index: keys in order within each partition."""

    def __init__(self, name: str, parts: Sequence[_KeyPart], projected: frozenset[str] | None) -> None:
        self.name = name  # empty for the table itself
        self.parts = parts
        self.projected = projected  # None: everything
        self.entries: dict[Any, list[Entry]] = {}

    def add(self, place: Place) -> None:
        """Put an item in its place."""
        insort(self.entries.setdefault(place[0], []), place[1])

    def remove(self, place: Place) -> None:
        """Take an item away."""
        partition = self.entries[place[0]]
        del partition[bisect_left(partition, place[1])]
        if not partition:
            del self.entries[place[0]]

    def place(self, item: Item, key: Key) -> Place | None:
        """Where an item stands; None where it lacks a key of the index. Raises _AtRunTime for a key of another type."""
        found: list[Any] = []
        for part in self.parts:
            value = item.get(part.name)
            if value is None:
                continue
            content = value.get(part.kind)
            if not content:
                raise _AtRunTime(self._refusal(part, value))
            if part.kind != "N" and len(content) > part.limit // 4:
                self._measure(part, content)
            found.append(_native(part.kind, content))
        if len(found) < len(self.parts):
            return None
        return found[0], ((found[1] if len(found) > 1 else ""), key)

    def _refusal(self, part: _KeyPart, value: Value) -> str:
        if part.kind in value:
            return (
                "One or more parameter values are not valid."
                " A value specified for a secondary index key is not supported."
                " The AttributeValue for a key attribute cannot contain an empty string value."
                f" IndexName: {self.name}, IndexKey: {part.name}"
            )
        return (
            f"One or more parameter values were invalid: Type mismatch for Index Key {part.name}"
            f" Expected: {part.kind} Actual: {_kind(value)} IndexName: {self.name}"
        )

    def _measure(self, part: _KeyPart, content: str | bytes) -> None:
        if (_length(content) if isinstance(content, str) else len(content)) > part.limit:
            raise _AtRunTime(
                "One or more parameter values were invalid: A value specified for a secondary index key"
                f" exceeds {part.limit} bytes. IndexName: {self.name}, IndexKey: {part.name}"
            )

    def view(self, row: _Row) -> Item:
        """What the index holds of an item."""
        if self.projected is None:
            return row.item
        seen = row.views.get(self.name)
        if seen is None:
            seen = {name: value for name, value in row.item.items() if name in self.projected}
            row.views[self.name] = seen
        return seen


class _Table:
    """One table with its indexes and the plans of the expressions that were used on it."""

    def __init__(self, name: str, parts: Sequence[_KeyPart], indexes: Sequence[_Index], description: Answer) -> None:
        self.name = name
        self.parts = parts
        self.names = frozenset(part.name for part in parts)
        self.base = _Index("", parts, None)
        self.indexes = indexes
        self.index_names = frozenset(part.name for index in indexes for part in index.parts)
        self.description = description
        self.rows: dict[Key, _Row] = {}
        self.plans: dict[Any, Any] = {}

    def key(self, given: Params) -> Key:
        """The key that a request names. Raises where it is not exactly the table's."""
        if len(given) != len(self.parts):
            raise _invalid("The provided key element does not match the schema")
        return self._key(given, _no_key)

    def key_of(self, item: Item) -> Key:
        """The key of an item to be put."""
        return self._key(item, _no_key_in_item)

    def _key(self, given: Params, refuse: Callable[[_KeyPart, Value | None], NoReturn]) -> Key:
        found: list[Any] = []
        for part in self.parts:
            value = given.get(part.name)
            kind = part.kind
            if type(value) is not dict or len(value) != 1 or kind not in value:
                refuse(part, value)
            content = value[kind]
            if kind == "N":
                found.append(_decimal(_take_number(content, 0)[0]))
                continue
            if type(content) is not (str if kind == "S" else bytes):
                _take(value)
            if not content:
                raise _empty_key(part)
            if len(content) > part.limit // 4 and (_length(content) if kind == "S" else len(content)) > part.limit:
                raise _invalid(
                    "One or more parameter values were invalid: Size of key"
                    f" {part.name} has exceeded the maximum size limit of {part.limit} bytes"
                )
            found.append(content)
        return found[0], (found[1] if len(found) > 1 else "")

    def places(self, item: Item, key: Key) -> tuple[Place | None, ...]:
        """Where an item stands in each index. Raises _AtRunTime where one does not take it."""
        return tuple([index.place(item, key) for index in self.indexes])

    def write(self, key: Key, new: _Row | None) -> None:
        """Replace, add or remove an item, in the table and in its indexes."""
        old = self.rows.get(key)
        if new is None:
            if old is None:
                return
            del self.rows[key]
            self.base.remove((key[0], (key[1], key)))
        else:
            self.rows[key] = new
            if old is None:
                self.base.add((key[0], (key[1], key)))
        for number, index in enumerate(self.indexes):
            was = old.places[number] if old else None
            is_ = new.places[number] if new else None
            if was != is_:
                if was:
                    index.remove(was)
                if is_:
                    index.add(is_)

    def index(self, name: str | None) -> _Index:
        """The index of that name; the table's own order without one."""
        if name is None:
            return self.base
        for index in self.indexes:
            if index.name == name:
                return index
        raise _invalid(f"The table does not have the specified index: {name}")

    def plan(self, key: Any, make: Callable[[], Any]) -> Any:
        """What was made of these expressions before, or is made of them now."""
        try:
            plan = self.plans.get(key)
        except TypeError:
            raise _malformed(f"Invalid type in an expression or its attribute names: {key}") from None
        if plan is None:
            if len(self.plans) >= _PLANS:
                self.plans.clear()
            plan = self.plans[key] = make()
        return plan


def _empty_key(part: _KeyPart) -> AwsError:
    return _invalid(
        "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty"
        f" {_WORDS[part.kind].lower()} value. Key: {part.name}"
    )


def _no_key(part: _KeyPart, value: Value | None) -> NoReturn:
    if value is not None:
        _take(value)
    raise _invalid("The provided key element does not match the schema")


def _no_key_in_item(part: _KeyPart, value: Value | None) -> NoReturn:
    if value is None:
        raise _invalid(f"One or more parameter values were invalid: Missing the key {part.name} in the item")
    raise _invalid(
        f"One or more parameter values were invalid: Type mismatch for key {part.name}"
        f" expected: {part.kind} actual: {_kind(value)}"
    )


# -- plans -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _WritePlan:
    """What the expressions of one write come to."""

    test: Test | None
    changes: tuple[Change, ...]
    touched: tuple[str, ...]
    names_size: int  # of all names that may be new to the item
    nested: bool
    creates: bool  # the item, where there is none
    moves: bool  # the item, in an index
    copies: bool  # what the item has: then it may grow by more than the values that are given
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class _ReadPlan:
    """What the expressions of one read come to."""

    index: _Index
    hash: str
    span: Span
    filter: Test | None
    project: Project | None
    checks: tuple[Check, ...]


def _write_plan(table: _Table, source: tuple[Any, ...]) -> _WritePlan:
    update, condition, names, values = source
    scope = _Scope(names, values)
    checks: list[Check] = []
    actions: list[_Action] = []
    if update is not None:
        actions = _Parser("UpdateExpression", update, scope).update()
    changes = _Updates()
    for action in actions:
        if action.path.parts[0] in table.names:
            raise _invalid(
                "One or more parameter values were invalid:"
                f" Cannot update attribute {action.path.parts[0]}. This attribute is part of the key"
            )
    made = tuple([changes.change(action) for action in actions])
    checks += changes.checks
    test: Test | None = None
    if condition is not None:
        conditions = _Conditions("ConditionExpression")
        test = conditions.test(_Parser("ConditionExpression", condition, scope).condition())
        checks += conditions.checks
    scope.nothing_unused({"UpdateExpression": update, "ConditionExpression": condition})
    return _WritePlan(
        test=test,
        changes=made,
        names_size=sum(_length(name) for action in actions for name in action.path.parts) + 22 * len(actions),
        touched=tuple(dict.fromkeys(action.path.parts[0] for action in actions)),
        nested=any(len(action.path.parts) > 1 for action in actions),
        moves=not table.index_names.isdisjoint(action.path.parts[0] for action in actions),
        copies=any(not isinstance(action.source, _Ref | _Arithmetic | None) for action in actions),
        creates=not actions or any(action.section in {"SET", "ADD"} for action in actions),
        checks=tuple(checks),
    )


def _read_plan(table: _Table, source: tuple[Any, ...]) -> _ReadPlan:
    """Of a query (with a key condition) or a scan (without)."""
    index_name, key_condition, filter_, projection, names, values = source
    index = table.index(index_name)
    scope = _Scope(names, values)
    checks: list[Check] = []
    hash_ = ""
    span: Span = _everything
    if key_condition is not None:
        parser = _Parser("KeyConditionExpression", key_condition, scope)
        hash_, span = _key_conditions(index, parser, checks)
    test: Test | None = None
    if filter_ is not None:
        conditions = _Conditions("FilterExpression")
        test = conditions.test(_Parser("FilterExpression", filter_, scope).condition())
        checks += conditions.checks
        keys = conditions.tops & {part.name for part in index.parts}
        if keys and key_condition is not None:
            raise _invalid(
                f"Filter Expression can only contain non-primary key attributes: Primary key attribute: {min(keys)}"
            )
        if index.projected is not None and not conditions.tops <= index.projected:
            raise NotImplementedError("DynamoDb: a filter on attributes that the index does not hold")
    project: Project | None = None
    if projection is not None:
        paths = _Parser("ProjectionExpression", projection, scope).paths()
        missing = {path.parts[0] for path in paths} - (index.projected or {path.parts[0] for path in paths})
        if missing:
            raise _invalid(
                "One or more parameter values were invalid:"
                f" Global secondary index {index.name} does not project {sorted(missing)}"
            )
        project = _projector(paths)
    scope.nothing_unused(
        {
            "KeyConditionExpression": key_condition,
            "FilterExpression": filter_,
            "ProjectionExpression": projection,
        }
    )
    return _ReadPlan(index, hash_, span, test, project, tuple(checks))


def _everything(entries: list[Entry], _values: Values) -> tuple[int, int]:
    return 0, len(entries)


_KeyCondition = _Compare | _Between | _Function


def _key_conditions(index: _Index, parser: _Parser, checks: list[Check]) -> tuple[str, Span]:
    """The placeholder of the partition key, and where in the partition to look."""
    by_name: dict[str, _KeyCondition] = {}
    for term in _terms(parser.condition(), parser):
        path = term.operands[0] if isinstance(term, _Function) else None
        path = term.left if isinstance(term, _Compare) else term.operand if isinstance(term, _Between) else path
        if not isinstance(path, _Path) or len(path.parts) > 1:
            raise NotImplementedError("DynamoDb: a key condition that does not begin with a key's name")
        if path.parts[0] in by_name:
            raise parser.error("KeyConditionExpressions must only contain one condition per key")
        by_name[path.parts[0]] = term
    for part in index.parts:
        if part.name in by_name:
            checks.extend(_key_checks(part, by_name[part.name]))
    first = by_name.pop(index.parts[0].name, None)
    if first is None:
        raise _invalid(f"Query condition missed key schema element: {index.parts[0].name}")
    if not isinstance(first, _Compare) or first.operator != "=":
        raise _invalid("Query key condition not supported")
    second = by_name.pop(index.parts[1].name, None) if len(index.parts) > 1 else None
    if by_name:
        wanted = index.parts[-1].name
        raise _invalid(f"Query condition missed key schema element: {wanted}")
    return str(first.right), _everything if second is None else _span(index.parts[1].kind, second)


def _terms(condition: _Condition, parser: _Parser) -> list[_KeyCondition]:
    if isinstance(condition, _Join) and condition.word == "AND":
        return [*_terms(condition.left, parser), *_terms(condition.right, parser)]
    word = condition.word if isinstance(condition, _Join) else "NOT" if isinstance(condition, _Not) else ""
    word = word or ("IN" if isinstance(condition, _In) else "")
    if isinstance(condition, _Compare) and condition.operator == "<>":
        word = "<>"
    if isinstance(condition, _Function) and condition.name != "begins_with":
        word = condition.name
    if word or isinstance(condition, _Join | _Not | _In):
        raise parser.error(f"Invalid operator used in KeyConditionExpression: {word}")
    return [condition]


def _key_refs(term: _KeyCondition) -> list[str]:
    operands: Sequence[_Operand] = (
        [term.right]
        if isinstance(term, _Compare)
        else [term.low, term.high]
        if isinstance(term, _Between)
        else term.operands[1:]
    )
    if not all(isinstance(operand, _Ref) for operand in operands):
        raise _invalid("Invalid KeyConditionExpression: a key is compared with expression attribute values only")
    return [str(operand) for operand in operands]


def _key_checks(part: _KeyPart, term: _KeyCondition) -> list[Check]:
    def check(values: Values) -> None:
        for ref in refs:
            content = values[ref].get(part.kind)
            if content is None or (isinstance(term, _Function) and part.kind == "N"):
                raise _invalid(
                    "One or more parameter values were invalid: Condition parameter type does not match schema type"
                )
            if not content:
                raise _empty_key(part)

    refs = _key_refs(term)
    more = [_bounds(refs[0], refs[1], "KeyConditionExpression")] if isinstance(term, _Between) else []
    return [check, *more]


def _first(entry: Entry) -> Any:
    return entry[0]


def _span(kind: str, term: _KeyCondition) -> Span:
    refs = _key_refs(term)

    def of(values: Values, number: int = 0) -> Any:
        return _native(kind, values[refs[number]][kind])

    if isinstance(term, _Between):
        return lambda entries, values: (
            bisect_left(entries, of(values), key=_first),
            bisect_right(entries, of(values, 1), key=_first),
        )
    if isinstance(term, _Function):

        def beginning(entries: list[Entry], values: Values) -> tuple[int, int]:
            prefix = of(values)
            low = bisect_left(entries, prefix, key=_first)
            return low, bisect_left(entries, True, lo=low, key=lambda entry: not entry[0].startswith(prefix))  # noqa: FBT003 - what the key function gives for the first that does not begin so

        return beginning
    sides: dict[str, Callable[[list[Entry], Any], tuple[int, int]]] = {
        "=": lambda all_, at: (bisect_left(all_, at, key=_first), bisect_right(all_, at, key=_first)),
        "<": lambda all_, at: (0, bisect_left(all_, at, key=_first)),
        "<=": lambda all_, at: (0, bisect_right(all_, at, key=_first)),
        ">": lambda all_, at: (bisect_right(all_, at, key=_first), len(all_)),
        ">=": lambda all_, at: (bisect_left(all_, at, key=_first), len(all_)),
    }
    side = sides[term.operator]
    return lambda entries, values: side(entries, of(values))


# -- what is asked -----------------------------------------------------------------------------------------------------


class _Shape:
    """The parameters that an operation (or a part of one) takes, those that it must have, and those missing here."""

    __slots__ = ("accepted", "missing", "name", "required")

    def __init__(self, name: str, required: str, accepted: Mapping[str, type], missing: str = "") -> None:
        self.name = name
        self.required = frozenset(required.split())
        self.accepted = accepted
        self.missing = frozenset(missing.split())

    def check(self, params: Any) -> None:
        """Raise for what is unknown, not supported, absent or of the wrong type."""
        if not isinstance(params, dict):
            raise _malformed(f"Invalid type for {self.name}: {params!r}, valid types: <class 'dict'>")
        accepted = self.accepted
        for name, value in params.items():
            if accepted.get(name) is not type(value):
                self._refuse(name, value)
        if not self.required <= params.keys():
            absent = sorted(self.required - params.keys())
            raise _malformed(f'Missing required parameter in {self.name}: "{absent[0]}"')

    def _refuse(self, name: str, value: Any) -> None:
        kind = self.accepted.get(name)
        if kind is None:
            if name in self.missing:
                raise NotImplementedError(f"DynamoDb.{self.name}: {name}")
            raise _malformed(f'Unknown parameter in {self.name}: "{name}"')
        wrong_bool = isinstance(value, bool) and kind is not bool
        if wrong_bool or not isinstance(value, (kind, tuple) if kind is list else kind):
            raise _malformed(f"Invalid type for {self.name}.{name}: {value!r}, valid types: {kind}")


_NAMES: Final[dict[str, type]] = {"ExpressionAttributeNames": dict}
_VALUES: Final[dict[str, type]] = {**_NAMES, "ExpressionAttributeValues": dict}
_CONDITION: Final[dict[str, type]] = {
    "TableName": str,
    "ConditionExpression": str,
    "ReturnValuesOnConditionCheckFailure": str,
    **_VALUES,
}
_CONSUMED: Final[dict[str, type]] = {"ReturnConsumedCapacity": str}
_METRICS: Final[dict[str, type]] = {**_CONSUMED, "ReturnItemCollectionMetrics": str}
_WRITE: Final[dict[str, type]] = {**_CONDITION, **_METRICS, "ReturnValues": str}
_PAGES: Final[dict[str, type]] = {
    "TableName": str,
    "FilterExpression": str,
    "ProjectionExpression": str,
    "Limit": int,
    "ExclusiveStartKey": dict,
    "ConsistentRead": bool,
    **_VALUES,
    **_CONSUMED,
}
_GET_ITEM = _Shape(
    "GetItem",
    "TableName Key",
    {"TableName": str, "Key": dict, "ConsistentRead": bool, "ProjectionExpression": str, **_NAMES, **_CONSUMED},
    "AttributesToGet",
)
_PUT_ITEM = _Shape("PutItem", "TableName Item", {"Item": dict, **_WRITE}, "Expected ConditionalOperator")
_UPDATE_ITEM = _Shape(
    "UpdateItem",
    "TableName Key",
    {"Key": dict, "UpdateExpression": str, **_WRITE},
    "AttributeUpdates Expected ConditionalOperator",
)
_DELETE_ITEM = _Shape("DeleteItem", "TableName Key", {"Key": dict, **_WRITE}, "Expected ConditionalOperator")
_QUERY = _Shape(
    "Query",
    "TableName",
    {"IndexName": str, "KeyConditionExpression": str, "ScanIndexForward": bool, **_PAGES},
    "Select AttributesToGet KeyConditions QueryFilter ConditionalOperator",
)
_SCAN = _Shape(
    "Scan",
    "TableName",
    _PAGES,
    "IndexName AttributesToGet Select ScanFilter ConditionalOperator TotalSegments Segment",
)
_BATCH_GET_ITEM = _Shape("BatchGetItem", "RequestItems", {"RequestItems": dict, **_CONSUMED})
_KEYS_AND_ATTRIBUTES = _Shape(
    "BatchGetItem.RequestItems",
    "Keys",
    {"Keys": list, "ConsistentRead": bool, "ProjectionExpression": str, **_NAMES},
    "AttributesToGet",
)
_TRANSACT_WRITE_ITEMS = _Shape(
    "TransactWriteItems", "TransactItems", {"TransactItems": list, "ClientRequestToken": str, **_METRICS}
)
_ITEMS_OF_A_TRANSACTION: Final[dict[str, _Shape]] = {
    shape.name: shape
    for shape in (
        _Shape("Put", "TableName Item", {"Item": dict, **_CONDITION}),
        _Shape("Update", "TableName Key UpdateExpression", {"Key": dict, "UpdateExpression": str, **_CONDITION}),
        _Shape("Delete", "TableName Key", {"Key": dict, **_CONDITION}),
        _Shape("ConditionCheck", "TableName Key ConditionExpression", {"Key": dict, **_CONDITION}),
    )
}
_CREATE_TABLE = _Shape(
    "CreateTable",
    "TableName AttributeDefinitions KeySchema",
    {
        "TableName": str,
        "AttributeDefinitions": list,
        "KeySchema": list,
        "GlobalSecondaryIndexes": list,
        "BillingMode": str,
    },
    "LocalSecondaryIndexes ProvisionedThroughput StreamSpecification SSESpecification Tags TableClass"
    " DeletionProtectionEnabled WarmThroughput ResourcePolicy OnDemandThroughput GlobalTableSourceArn"
    " GlobalTableSettingsReplicationMode VectorIndexes",
)
_GLOBAL_SECONDARY_INDEX = _Shape(
    "CreateTable.GlobalSecondaryIndexes",
    "IndexName KeySchema Projection",
    {"IndexName": str, "KeySchema": list, "Projection": dict},
    "ProvisionedThroughput OnDemandThroughput WarmThroughput",
)
_KEY_SCHEMA = _Shape("CreateTable.KeySchema", "AttributeName KeyType", {"AttributeName": str, "KeyType": str})
_ATTRIBUTE_DEFINITION = _Shape(
    "CreateTable.AttributeDefinitions", "AttributeName AttributeType", {"AttributeName": str, "AttributeType": str}
)
_PROJECTION = _Shape("CreateTable.Projection", "", {"ProjectionType": str, "NonKeyAttributes": list})
_DESCRIBE_TABLE = _Shape("DescribeTable", "TableName", {"TableName": str})


def _only(params: Params, name: str, *allowed: str) -> str:
    """A parameter with a few values, of which the first is the default."""
    if name not in params:
        return allowed[0]
    value: str = params[name]
    if value not in allowed:
        raise _invalid(
            f"1 validation error detected: Value '{value}' at '{name[0].lower()}{name[1:]}' failed to satisfy"
            f" constraint: Member must satisfy enum value set: [{', '.join(allowed)}]"
        )
    return value


def _nothing_measured(operation: str, params: Params) -> None:
    for name in _METRICS:
        if name in params and params[name] != "NONE":
            raise NotImplementedError(f"DynamoDb.{operation}: {name}={params[name]}")


class _Write:
    """One write (or one condition to be checked), checked as far as it can be without the item."""

    __slots__ = ("brings", "content", "deep", "item", "key", "keys", "kind", "plan", "put", "table", "tell", "values")

    def __init__(self, kind: str, table: _Table, params: Params) -> None:
        self.kind = kind
        self.table = table
        self.item: Item | None = None
        self.put: _Row | None = None
        names, values = params.get("ExpressionAttributeNames"), params.get("ExpressionAttributeValues")
        source = (
            params.get("UpdateExpression"),
            params.get("ConditionExpression"),
            None if names is None else tuple(names.items()),
            None if values is None else tuple(values),
        )
        self.plan: _WritePlan = table.plan(source, lambda: _write_plan(table, source))
        self.values, self.brings, self.deep = _take_values(values or {})
        for check in self.plan.checks:
            check(self.values)
        if kind == "Put":
            item, size, deep = _take_item(params["Item"])
            self.key = table.key_of(item)
            if size > _ITEM_LIMIT:
                raise _invalid("Item size has exceeded the maximum allowed size")
            try:
                self.put = _Row(item, size, table.places(item, self.key), deep=deep)
            except _AtRunTime as error:
                raise _invalid(str(error)) from None
            self.item = item
        else:
            self.key = table.key(params["Key"])
            self.keys: Params = params["Key"]
        self.tell = _only(params, "ReturnValuesOnConditionCheckFailure", "NONE", "ALL_OLD") == "ALL_OLD"
        self.content = (kind, table.name, self.key, source, self.values, self.item)

    def holds(self, old: _Row | None) -> bool:
        """Whether the condition does."""
        test = self.plan.test
        return test is None or test(old.item if old else {}, self.values)

    def new(self, old: _Row | None) -> _Row | None:
        """What will be in the table. Raises _AtRunTime where the item does not bear the update."""
        if self.kind == "Put":
            return self.put
        if self.kind == "Delete":
            return None
        plan = self.plan
        if self.kind == "ConditionCheck" or (old is None and not plan.creates):
            return old
        before, bound, deep = _take_item(self.keys) if old is None else (old.item, old.bound, old.deep)
        after = {**before}
        for change in plan.changes:
            change({} if old is None else before, after, self.values)
        places = self.table.places(after, self.key) if plan.moves or old is None else old.places
        bound += self.brings + plan.names_size
        new = _Row(after, bound, places, deep=deep or self.deep)
        if (bound > _ITEM_LIMIT or plan.copies) and new.size() > _ITEM_LIMIT:
            raise _AtRunTime("Item size to update has exceeded the maximum allowed size")
        return new


class DynamoDb:
    """The tables of one account and Region, and the operations on them."""

    def __init__(
        self, now: Callable[[], datetime], *, account: str = "123456789012", region: str = "eu-central-1"
    ) -> None:
        self.operations: Mapping[str, Callable[[Params], Answer]] = {
            "BatchGetItem": self._batch_get_item,
            "CreateTable": self._create_table,
            "DeleteItem": self._delete_item,
            "DescribeTable": self._describe_table,
            "GetItem": self._get_item,
            "PutItem": self._put_item,
            "Query": self._query,
            "Scan": self._scan,
            "TransactWriteItems": self._transact_write_items,
            "UpdateItem": self._update_item,
        }
        self._now = now
        self._arn = f"arn:aws:dynamodb:{region}:{account}:table/"
        self._tables: dict[str, _Table] = {}
        self._done: dict[str, tuple[datetime, list[Any]]] = {}  # by token, in order of time

    # -- tables

    def _table(self, name: str) -> _Table:
        table = self._tables.get(name)
        if table is None:
            if name.startswith("arn:"):
                raise NotImplementedError("DynamoDb: a table named by its ARN")
            raise _no_such_table()
        return table

    def _create_table(self, params: Params) -> Answer:
        _CREATE_TABLE.check(params)
        name = params["TableName"]
        if not re.fullmatch(r"[A-Za-z0-9_.-]{3,255}", name):
            raise _invalid(
                "TableName must be at least 3 characters long and at most 255 characters long, of a-zA-Z0-9_.-"
            )
        if params.get("BillingMode") != "PAY_PER_REQUEST":
            raise NotImplementedError("DynamoDb.CreateTable: BillingMode other than PAY_PER_REQUEST")
        if name in self._tables:
            raise AwsError("ResourceInUseException", f"Table already exists: {name}")
        kinds: dict[str, str] = {}
        for definition in params["AttributeDefinitions"]:
            _ATTRIBUTE_DEFINITION.check(definition)
            kinds[definition["AttributeName"]] = definition["AttributeType"]
        if not _KEY_KINDS.issuperset(kinds.values()):
            raise _invalid("1 validation error detected: AttributeType must satisfy enum value set: [B, N, S]")
        parts = _key_parts(params["KeySchema"], kinds)
        indexes = _indexes(params.get("GlobalSecondaryIndexes"), parts, kinds)
        used = {part.name for part in parts} | {part.name for index in indexes for part in index.parts}
        if used != kinds.keys():
            raise _invalid(
                "One or more parameter values were invalid: Some AttributeDefinitions are not used."
                f" AttributeDefinitions: {sorted(kinds)}, keys used: {sorted(used)}"
            )
        nothing = {"NumberOfDecreasesToday": 0, "ReadCapacityUnits": 0, "WriteCapacityUnits": 0}
        description: Answer = {
            "AttributeDefinitions": [{**each} for each in params["AttributeDefinitions"]],
            "TableName": name,
            "KeySchema": [{**each} for each in params["KeySchema"]],
            "TableStatus": "ACTIVE",
            "CreationDateTime": self._now(),
            "ProvisionedThroughput": nothing,
            "TableArn": self._arn + name,
            "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"},
            "DeletionProtectionEnabled": False,
        }
        if indexes:
            description["GlobalSecondaryIndexes"] = [
                {
                    "IndexName": each["IndexName"],
                    "KeySchema": [{**part} for part in each["KeySchema"]],
                    "Projection": {**each["Projection"]},
                    "IndexStatus": "ACTIVE",
                    "ProvisionedThroughput": nothing,
                    "IndexArn": f"{self._arn}{name}/index/{each['IndexName']}",
                }
                for each in params["GlobalSecondaryIndexes"]
            ]
        self._tables[name] = table = _Table(name, parts, indexes, description)
        return {"TableDescription": self._described(table)}

    def _described(self, table: _Table) -> Answer:
        size = sum(row.size() for row in table.rows.values())
        return {**table.description, "ItemCount": len(table.rows), "TableSizeBytes": size}

    def _describe_table(self, params: Params) -> Answer:
        _DESCRIBE_TABLE.check(params)
        name = params["TableName"]
        if name not in self._tables:
            raise _no_such_table(f": Table: {name} not found")
        return {"Table": self._described(self._tables[name])}

    # -- one item

    def _get_item(self, params: Params) -> Answer:
        _GET_ITEM.check(params)
        _nothing_measured("GetItem", params)
        table = self._table(params["TableName"])
        project = _projection(table, params)
        row = table.rows.get(table.key(params["Key"]))
        if row is None:
            return {}
        return {"Item": project(row.item) if project else row.given()}

    def _put_item(self, params: Params) -> Answer:
        _PUT_ITEM.check(params)
        return self._write("Put", params, _old_only("PutItem", params))

    def _delete_item(self, params: Params) -> Answer:
        _DELETE_ITEM.check(params)
        return self._write("Delete", params, _old_only("DeleteItem", params))

    def _update_item(self, params: Params) -> Answer:
        _UPDATE_ITEM.check(params)
        wanted = _only(params, "ReturnValues", "NONE", "ALL_OLD", "UPDATED_OLD", "ALL_NEW", "UPDATED_NEW")
        return self._write("Update", params, wanted)

    def _write(self, kind: str, params: Params, wanted: str) -> Answer:
        _nothing_measured(f"{kind}Item", params)
        table = self._table(params["TableName"])
        write = _Write(kind, table, params)
        if wanted.startswith("UPDATED") and write.plan.nested:
            raise NotImplementedError(f"DynamoDb.UpdateItem: ReturnValues={wanted} with a nested path")
        old = table.rows.get(write.key)
        if not write.holds(old):
            details = {"Item": old.given()} if old and write.tell else None
            raise AwsError("ConditionalCheckFailedException", "The conditional request failed", details=details)
        try:
            new = write.new(old)
        except _AtRunTime as error:
            raise _invalid(str(error)) from None
        table.write(write.key, new)
        if wanted == "NONE":
            return {}
        row = old if wanted.endswith("OLD") else new
        if row is None:
            return {}
        if wanted.startswith("ALL"):
            return {"Attributes": row.given()}
        updated = {name: _copied(row.item[name]) for name in write.plan.touched if name in row.item}
        return {"Attributes": updated} if updated else {}

    # -- many items

    def _query(self, params: Params) -> Answer:
        _QUERY.check(params)
        _nothing_measured("Query", params)
        table = self._table(params["TableName"])
        if "KeyConditionExpression" not in params:
            raise _invalid(
                "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request."
            )
        plan = _reading(table, params)
        index = plan.index
        if index.name and params.get("ConsistentRead"):
            raise _invalid("Consistent reads are not supported on global secondary indexes")
        values, _, _ = _take_values(params.get("ExpressionAttributeValues", {}))
        for check in plan.checks:
            check(values)
        kind = index.parts[0].kind
        hash_ = _native(kind, values[plan.hash][kind])
        entries = index.entries.get(hash_, [])
        low, high = plan.span(entries, values)
        forward = params.get("ScanIndexForward", True)
        if "ExclusiveStartKey" in params:
            place = _start(table, index, params["ExclusiveStartKey"])
            if place[0] != hash_:
                raise _invalid("The provided starting key is outside query boundaries based on provided conditions")
            if forward:
                low = max(low, bisect_right(entries, place[1]))
            else:
                high = min(high, bisect_left(entries, place[1]))
        found = entries[low:high]
        return _page(table, plan, params, values, found if forward else reversed(found))

    def _scan(self, params: Params) -> Answer:
        """In an order that is no order of keys, as the service has it: nobody shall come to rely on one."""
        _SCAN.check(params)
        _nothing_measured("Scan", params)
        table = self._table(params["TableName"])
        plan = _reading(table, params)
        values, _, _ = _take_values(params.get("ExpressionAttributeValues", {}))
        for check in plan.checks:
            check(values)
        base = table.base
        hashes = sorted(base.entries, key=_spread)
        found = [entry for hash_ in hashes for entry in base.entries[hash_]]
        if "ExclusiveStartKey" in params:
            hash_, entry = _start(table, base, params["ExclusiveStartKey"])
            found = found[bisect_right(found, (_spread(hash_), entry), key=lambda each: (_spread(each[1][0]), each)) :]
        return _page(table, plan, params, values, found)

    def _batch_get_item(self, params: Params) -> Answer:
        _BATCH_GET_ITEM.check(params)
        _nothing_measured("BatchGetItem", params)
        if not params["RequestItems"]:
            raise _malformed("Invalid length for parameter RequestItems, value: 0, valid min length: 1")
        answers: dict[str, list[Item]] = {}
        unprocessed: dict[str, Params] = {}
        asked, size = 0, 0
        for name, request in params["RequestItems"].items():
            _KEYS_AND_ATTRIBUTES.check(request)
            table = self._table(name)
            project = _projection(table, request)
            keys = [table.key(key) for key in request["Keys"]]
            if not keys:
                raise _malformed("Invalid length for parameter Keys, value: 0, valid min length: 1")
            asked += len(keys)
            if asked > _AT_ONCE:
                raise _invalid("Too many items requested for the BatchGetItem call")
            if len(set(keys)) != len(keys):
                raise _invalid("Provided list of item keys contains duplicates")
            answer = answers[name] = []
            for number, key in enumerate(keys):
                row = table.rows.get(key)
                if row is None:
                    continue
                size += row.size()
                if size > _BATCH_LIMIT:
                    unprocessed[name] = {**request, "Keys": [{**each} for each in request["Keys"][number:]]}
                    break
                answer.append(project(row.item) if project else row.given())
        return {"Responses": answers, "UnprocessedKeys": unprocessed}

    # -- transactions

    def _transact_write_items(self, params: Params) -> Answer:
        _TRANSACT_WRITE_ITEMS.check(params)
        _nothing_measured("TransactWriteItems", params)
        writes = self._writes(params["TransactItems"])
        token = params.get("ClientRequestToken")
        if token is not None and self._done_before(token, writes):
            return {}
        rows: list[_Row | None] = []
        reasons: list[Answer] = []
        failed = False
        for write in writes:
            old = write.table.rows.get(write.key)
            new: _Row | None = None
            reason: Answer = {"Code": "None"}
            if not write.holds(old):
                failed = True
                reason = {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"}
                if old and write.tell:
                    reason["Item"] = old.given()
            else:
                try:
                    new = write.new(old)
                except _AtRunTime as error:
                    failed = True
                    reason = {"Code": "ValidationError", "Message": str(error)}
            rows.append(new)
            reasons.append(reason)
        if failed:
            codes = ", ".join(reason["Code"] for reason in reasons)
            message = f"Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]"
            raise AwsError(
                "TransactionCanceledException", message, details={"Message": message, "CancellationReasons": reasons}
            )
        if sum(row.bound for row in rows if row) > _TRANSACTION_LIMIT < sum(row.size() for row in rows if row):
            raise _invalid("Transaction request cannot exceed an aggregate size of 4 MB")
        for write, row in zip(writes, rows, strict=True):
            if write.kind != "ConditionCheck":
                write.table.write(write.key, row)
        if token is not None:
            self._done[token] = (self._now(), [write.content for write in writes])
        return {}

    def _writes(self, items: Sequence[Any]) -> list[_Write]:
        if not items:
            raise _malformed("Invalid length for parameter TransactItems, value: 0, valid min length: 1")
        if len(items) > _AT_ONCE:
            raise _invalid(
                "1 validation error detected: Value at 'transactItems' failed to satisfy constraint:"
                " Member must have length less than or equal to 100"
            )
        writes: list[_Write] = []
        for entry in items:
            try:
                [(kind, part)] = entry.items()
            except (AttributeError, ValueError):
                raise _invalid("TransactItems can only contain one of Check, Put, Update or Delete") from None
            if kind not in _ITEMS_OF_A_TRANSACTION:
                raise _malformed(f'Unknown parameter in TransactItems: "{kind}"')
            _ITEMS_OF_A_TRANSACTION[kind].check(part)
            writes.append(_Write(kind, self._table(part["TableName"]), part))
        if len(writes) > 1 and len({(write.table.name, write.key) for write in writes}) != len(writes):
            raise _invalid("Transaction request cannot include multiple operations on one item")
        return writes

    def _done_before(self, token: str, writes: list[_Write]) -> bool:
        """Whether this very request was carried out in the last ten minutes: then it is not carried out again."""
        if not 1 <= len(token) <= 36:
            raise _invalid(
                "1 validation error detected: Value at 'clientRequestToken' failed to satisfy constraint:"
                " Member must have length less than or equal to 36"
            )
        done, oldest = self._done, self._now() - _REMEMBERED
        while done:
            first = next(iter(done))
            if done[first][0] >= oldest:
                break
            del done[first]
        if token not in done:
            return False
        if done[token][1] != [write.content for write in writes]:
            raise AwsError(
                "IdempotentParameterMismatchException",
                "The request uses the same client token as a previous, but non-identical request.",
            )
        return True


def _old_only(operation: str, params: Params) -> str:
    wanted: str = params.get("ReturnValues", "NONE")
    if wanted not in {"NONE", "ALL_OLD"}:
        raise _invalid(f"{operation}: ReturnValues can only be ALL_OLD or NONE")
    return wanted


def _key_parts(schema: Sequence[Any], kinds: Mapping[str, str]) -> list[_KeyPart]:
    for each in schema:
        _KEY_SCHEMA.check(each)
    if [each["KeyType"] for each in schema] not in (["HASH"], ["HASH", "RANGE"]):
        raise _invalid("Invalid KeySchema: the first key must be of type HASH, the second, if there is one, RANGE")
    names = [each["AttributeName"] for each in schema]
    if len({*names}) != len(names):
        raise _invalid("Both the Hash Key and the Range Key element in the KeySchema have the same name")
    if undefined := [name for name in names if name not in kinds]:
        raise _invalid(
            "One or more parameter values were invalid: Some index key attributes are not defined in"
            f" AttributeDefinitions. Keys: {undefined}, AttributeDefinitions: {sorted(kinds)}"
        )
    return [_KeyPart(name, kinds[name], limit) for name, limit in zip(names, (2048, 1024), strict=False)]


def _indexes(given: Sequence[Any] | None, parts: Sequence[_KeyPart], kinds: Mapping[str, str]) -> list[_Index]:
    if given is not None and not given:
        raise _invalid("One or more parameter values were invalid: List of GlobalSecondaryIndexes is empty")
    indexes: list[_Index] = []
    for each in given or ():
        _GLOBAL_SECONDARY_INDEX.check(each)
        _PROJECTION.check(each["Projection"])
        own = _key_parts(each["KeySchema"], kinds)
        type_ = each["Projection"].get("ProjectionType")
        more = each["Projection"].get("NonKeyAttributes")
        if type_ not in {"ALL", "KEYS_ONLY", "INCLUDE"} or (type_ == "INCLUDE") != bool(more):
            raise _invalid(
                "One or more parameter values were invalid: Projection: ProjectionType must be ALL or KEYS_ONLY"
                " without NonKeyAttributes, or INCLUDE with them"
            )
        keys = frozenset(part.name for part in (*own, *parts))
        indexes.append(_Index(each["IndexName"], own, None if type_ == "ALL" else keys | {*(more or ())}))
    if len({index.name for index in indexes}) != len(indexes):
        raise _invalid("One or more parameter values were invalid: Duplicate index name")
    return indexes


def _projection(table: _Table, params: Params) -> Project | None:
    """The projection of a read by key."""
    expression, names = params.get("ProjectionExpression"), params.get("ExpressionAttributeNames")
    if expression is None and names is None:
        return None
    source = (None, None, None, expression, None if names is None else tuple(names.items()), None)
    plan: _ReadPlan = table.plan(source, lambda: _read_plan(table, source))
    return plan.project


def _reading(table: _Table, params: Params) -> _ReadPlan:
    names, values = params.get("ExpressionAttributeNames"), params.get("ExpressionAttributeValues")
    source = (
        params.get("IndexName"),
        params.get("KeyConditionExpression"),
        params.get("FilterExpression"),
        params.get("ProjectionExpression"),
        None if names is None else tuple(names.items()),
        None if values is None else tuple(values),
    )
    plan: _ReadPlan = table.plan(source, lambda: _read_plan(table, source))
    return plan


def _start(table: _Table, index: _Index, given: Params) -> Place:
    """The place that an ExclusiveStartKey names; the item need not be there any more."""
    names = {part.name for part in (*index.parts, *table.parts)}
    if given.keys() != names:
        raise _invalid("The provided starting key is invalid")
    item, _, _ = _take_item(given)
    try:
        key = table.key({name: item[name] for name in table.names})
        place = (key[0], (key[1], key)) if index is table.base else index.place(item, key)
    except (AwsError, _AtRunTime):
        raise _invalid("The provided starting key is invalid") from None
    if place is None:
        raise _invalid("The provided starting key is invalid")
    return place


def _spread(hash_: Any) -> tuple[int, Any]:
    """Where a partition stands in a scan."""
    return crc32(hash_ if isinstance(hash_, bytes) else str(hash_).encode()), hash_


def _page(table: _Table, plan: _ReadPlan, params: Params, values: Values, entries: Iterable[Entry]) -> Answer:
    """
    As many entries as a page holds, filtered and projected.

    A page that ends at its limit names a last key even where nothing comes after it: DynamoDB does not look ahead.
    """
    limit: int = params.get("Limit", 0)
    if "Limit" in params and limit < 1:
        raise _malformed(f"Invalid value for parameter Limit, value: {limit}, valid min value: 1")
    index, test, project = plan.index, plan.filter, plan.project
    rows = [table.rows[key] for _, key in (islice(entries, limit) if limit else entries)]
    cut = limit > 0 and len(rows) == limit
    if sum([row.bound for row in rows]) > _PAGE_LIMIT:
        fit = _that_fit(index, rows)
        cut = cut or fit < len(rows)
        del rows[fit:]
    items: list[Item] = []
    for row in rows:
        item = index.view(row)
        if test is None or test(item, values):
            items.append(project(item) if project else row.copied(item))
    answer: Answer = {"Items": items, "Count": len(items), "ScannedCount": len(rows)}
    if cut:
        answer["LastEvaluatedKey"] = {part.name: {**rows[-1].item[part.name]} for part in (*index.parts, *table.parts)}
    return answer


def _that_fit(index: _Index, rows: Sequence[_Row]) -> int:
    """How many of these a page holds: one at least."""
    size = 0
    for number, row in enumerate(rows):
        size += _take_item(index.view(row))[1]
        if size > _PAGE_LIMIT:
            return max(1, number)
    return len(rows)
