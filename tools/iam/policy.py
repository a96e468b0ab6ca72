"""
What an IAM policy decides, as AWS would: an explicit deny wins, then an allow is needed from every layer.

A layer is what a role's policies say together, its permissions boundary, or the session policy it was assumed with.
Whatever this evaluator was never taught (a key of a statement, an operator of a condition, a policy variable, a
condition about something that the request is not known to say) raises :class:`NotUnderstood`: a proof that guesses is
none.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from itertools import product
from typing import Any, TypeAlias

__all__ = [
    "Condition",
    "Context",
    "Decision",
    "Grant",
    "NotUnderstood",
    "Statement",
    "decide",
    "glob",
    "grants",
    "holds",
    "overlap",
    "parse",
    "permitted",
]

Context: TypeAlias = Mapping[str, str | None]
"""what a request says of itself, by condition key; None where it is known to say nothing"""

_KEYS = {"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"}
_ARN_PARTS = 6


class NotUnderstood(ValueError):
    """Something that nobody has taught the permission proof: it refuses to guess."""


class Decision(StrEnum):
    """What one layer says."""

    ALLOWED = "allowed"
    DENIED = "denied"
    SILENT = "not mentioned"


@dataclass(frozen=True, slots=True, order=True)
class Condition:
    """One line of a statement's conditions: any of ``values`` will do."""

    operator: str
    key: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement. ``principals`` is what a resource's policy says of who is meant, as ``kind:name``."""

    effect: str
    actions: tuple[str, ...] = ()
    not_actions: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    not_resources: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()
    principals: tuple[str, ...] = ()
    sid: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """One action on one resource, under conditions with one value each: what a statement allows, taken apart."""

    action: str
    resource: str
    conditions: tuple[Condition, ...] = ()


# -- reading ---------------------------------------------------------------------------------------------------------


def parse(document: str | Mapping[str, Any], *, principals: bool = False) -> tuple[Statement, ...]:
    """
    The statements of a policy: JSON, or the same as a mapping with every intrinsic resolved.

    ``principals`` is for the policies of resources, which say who is meant. Raises NotUnderstood.
    """
    raw: Mapping[str, Any] = json.loads(document) if isinstance(document, str) else document
    if raw.keys() != {"Version", "Statement"} or raw["Version"] != "2012-10-17":
        raise NotUnderstood(f"a policy that is not of Version 2012-10-17: {sorted(raw)}")
    return tuple(_statement(each, principals=principals) for each in _many(raw["Statement"]))


def _statement(raw: Mapping[str, Any], *, principals: bool) -> Statement:
    if unknown := raw.keys() - (_KEYS | {"Principal"} if principals else _KEYS):
        raise NotUnderstood(f"a statement with {', '.join(sorted(unknown))}")
    if raw.get("Effect") not in {"Allow", "Deny"}:
        raise NotUnderstood(f"the effect {raw.get('Effect')!r}")
    if ("Action" in raw) is ("NotAction" in raw):
        raise NotUnderstood("a statement with both Action and NotAction, or with neither")
    named = ("Resource" in raw) + ("NotResource" in raw)
    if named != 1 and not (principals and named == 0):  # a trust policy has no resource: it is the role itself
        raise NotUnderstood("a statement with both Resource and NotResource, or with neither")
    return Statement(
        effect=raw["Effect"],
        actions=_texts(raw.get("Action", ())),
        not_actions=_texts(raw.get("NotAction", ())),
        resources=_texts(raw.get("Resource", () if named else "*")),
        not_resources=_texts(raw.get("NotResource", ())),
        conditions=tuple(_conditions(raw.get("Condition", {}))),
        principals=tuple(_principals(raw.get("Principal", {}))),
        sid=raw.get("Sid", ""),
    )


def _conditions(raw: Mapping[str, Mapping[str, Any]]) -> Iterator[Condition]:
    for operator, keys in raw.items():
        for key, values in keys.items():
            yield Condition(operator, key, _texts(values))


def _principals(raw: str | Mapping[str, Any]) -> Iterator[str]:
    if isinstance(raw, str):
        yield raw
        return
    for kind, names in raw.items():
        yield from (f"{kind}:{name}" for name in _texts(names))


def _many(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else (value,)


def _texts(values: Any) -> tuple[str, ...]:
    found = []
    for value in _many(values):
        if isinstance(value, bool):
            found.append(str(value).lower())
        elif isinstance(value, str | int | float):
            found.append(str(value))
        else:
            raise NotUnderstood(f"a value that is no text: {value}")
        if "${" in found[-1]:
            raise NotUnderstood(f"a policy variable: {found[-1]}")
    return tuple(found)


# -- patterns --------------------------------------------------------------------------------------------------------


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    text = "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in pattern)
    return re.compile(text, re.DOTALL)


@cache
def glob(pattern: str, text: str) -> bool:
    """Whether IAM's wildcards match: ``*`` any number of characters, ``?`` exactly one, nothing else is special."""
    return _compiled(pattern).fullmatch(text) is not None


@cache
def overlap(one: str, other: str) -> bool:
    """Whether any text is matched by both patterns."""
    if not one or not other:
        return not (one or other).strip("*")
    if one[0] == "*":
        return overlap(one[1:], other) or overlap(one, other[1:])
    if other[0] == "*":
        return overlap(other, one)
    return (one[0] == other[0] or "?" in {one[0], other[0]}) and overlap(one[1:], other[1:])


def _arn_like(pattern: str, text: str) -> bool:
    """As :func:`glob`, but each of an ARN's six parts by itself."""
    patterns, parts = pattern.split(":", _ARN_PARTS - 1), text.split(":", _ARN_PARTS - 1)
    return len(patterns) == len(parts) == _ARN_PARTS and all(map(glob, patterns, parts))


_OPERATORS: Mapping[str, Callable[[str, str], bool]] = {
    "ArnEquals": _arn_like,  # AWS: ArnEquals and ArnLike behave identically
    "ArnLike": _arn_like,
    "Bool": lambda wanted, said: wanted.lower() == said.lower(),
    "StringEquals": lambda wanted, said: wanted == said,
    "StringLike": glob,
}
"""(what the policy says, what the request says) → whether it holds: the operators that our policies use"""
_ANY = "ForAnyValue:"
_IF_EXISTS = "IfExists"
"""what makes a condition hold where the request says nothing under its key"""
_NULL = "Null"
"""whether a request says nothing under a key: the one operator that asks for that"""


def holds(condition: Condition, context: Context) -> bool:
    """
    Whether a condition is met. A key that the request is known not to say never matches, but where it need not exist.

    Raises NotUnderstood for an operator that is not used here, and for a key of which nobody has said whether the
    request has it.
    """
    compare = _OPERATORS.get(condition.operator.removeprefix(_ANY).removesuffix(_IF_EXISTS))
    if compare is None and condition.operator != _NULL:
        raise NotUnderstood(f"the operator {condition.operator}")
    if condition.key not in context:
        raise NotUnderstood(f"a condition on {condition.key}, of which the request is not known to say anything")
    said = context[condition.key]
    if compare is None:
        return str(said is None).lower() in condition.values
    if said is None and condition.operator.endswith(_IF_EXISTS):
        return True
    return said is not None and any(compare(wanted, said) for wanted in condition.values)


# -- deciding --------------------------------------------------------------------------------------------------------


def decide(statements: Iterable[Statement], action: str, resource: str, context: Context) -> Decision:
    """What one layer says about a request. Raises NotUnderstood."""
    found = Decision.SILENT
    for statement in statements:
        if not _speaks_of(statement, action, resource):
            continue
        if not all([holds(condition, context) for condition in statement.conditions]):  # noqa: C419 - all are looked at, so that none stays unknown behind one that fails
            continue
        if statement.effect == "Deny":
            return Decision.DENIED
        found = Decision.ALLOWED
    return found


def permitted(layers: Iterable[Iterable[Statement]], action: str, resource: str, context: Context) -> bool:
    """Whether every layer allows a request. Raises NotUnderstood."""
    return all(decide(layer, action, resource, context) is Decision.ALLOWED for layer in layers)


def _speaks_of(statement: Statement, action: str, resource: str) -> bool:
    if statement.not_actions:
        if _any_action(statement.not_actions, action):
            return False
    elif not _any_action(statement.actions, action):
        return False
    if statement.not_resources:
        return not any(glob(pattern, resource) for pattern in statement.not_resources)
    return any(glob(pattern, resource) for pattern in statement.resources)


def _any_action(patterns: Iterable[str], action: str) -> bool:
    return any(glob(pattern.lower(), action.lower()) for pattern in patterns)


def grants(statements: Iterable[Statement]) -> Iterator[Grant]:
    """
    Everything that a layer allows, one action on one resource under single-valued conditions at a time.

    Raises NotUnderstood for an allow that says what it does *not* allow: nobody can list that.
    """
    for statement in statements:
        if statement.effect != "Allow":
            continue
        if statement.not_actions or statement.not_resources:
            raise NotUnderstood("an allow of everything but something")
        single = [
            [Condition(each.operator, each.key, (value,)) for value in each.values] for each in statement.conditions
        ]
        for action, resource, conditions in product(statement.actions, statement.resources, product(*single)):
            yield Grant(action, resource, tuple(sorted(conditions)))
