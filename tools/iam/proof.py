"""
The permission proof: what the nights' calls needed, against what the deployed roles allow. Exactly, in both directions.

- *missing*: a call of a night that its role, its boundary or its session policy does not allow.
- *unused*: what a role allows, and no call of any night needed.
- *broader*: what a role allows more widely than AWS makes anybody allow it, without a reason in infra/permissions.py;
  what a session was allowed beyond the calls of its step, or beyond its role; and what a role does not deny outright,
  so that a policy which is attached later could allow it.

A grant is one action on one resource under one value of each condition. To compare nights whose accounts have other
names, what is called differently is replaced by a word for what it is: the dead-letter queue is ``DLQ`` in all of them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import TypeAlias

from nightshift.errors import ConfigError
from nightshift.model import Step

from infra.options import GENERATE, Options
from infra.permissions import ANYWHERE, NEVER, UNDIVIDED, reason
from sandbox.trail import Event
from tools.iam.definitions import action as definition
from tools.iam.needs import Need, checked, encrypted, needs, runtime
from tools.iam.nights import Night, nights
from tools.iam.policy import (
    Condition,
    Decision,
    Grant,
    NotUnderstood,
    Statement,
    decide,
    glob,
    grants,
    holds,
    parse,
    permitted,
)
from tools.iam.stack import Role, Stack, Template
from tools.iam.synth import deployed, template_of

__all__ = [
    "FUNCTIONS",
    "Finding",
    "Proof",
    "Session",
    "conditions_of",
    "judge",
    "layers_of",
    "missing",
    "needs_of",
    "proof",
    "roles_of",
    "stack_of",
    "together",
]

FUNCTIONS = {"sweep": "SweepRole", "alarm": "AlarmRole", "tick": "TickRole", "digest": "DigestRole"}
"""the functions, by what is in the logical id of their roles"""


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing that is wrong with a role. ``kind`` is ``missing``, ``unused`` or ``broader``."""

    kind: str
    role: str
    action: str
    resource: str
    why: str


@dataclass(frozen=True, slots=True)
class Session:
    """One session under a write role: the step it was made for, what its policy allowed, what was used of that."""

    remediation: str
    step: str
    allowed: frozenset[tuple[str, str]]
    expected: frozenset[tuple[str, str]]
    used: frozenset[tuple[str, str]]


Uses: TypeAlias = Mapping[str, Mapping[Grant, frozenset[str]]]
"""by role, what it allows in general words, and which operations needed it"""


@dataclass(frozen=True)
class Proof:
    """What came of judging: nothing is wrong where ``missing``, ``unused`` and ``broader`` are empty."""

    uses: Uses
    missing: tuple[Finding, ...]
    broader: tuple[Finding, ...]
    sessions: tuple[Session, ...]

    @property
    def unused(self) -> tuple[Finding, ...]:
        """What is allowed, and no call needed."""
        return tuple(
            Finding("unused", role, grant.action, grant.resource, conditions_of(grant) or "always")
            for role, those in sorted(self.uses.items())
            for grant, by in sorted(those.items())
            if not by
        )


def conditions_of(grant: Grant) -> str:
    """A grant's conditions as text."""
    return "; ".join(f"{each.key} {each.operator} {', '.join(each.values)}" for each in grant.conditions)


# -- one night -------------------------------------------------------------------------------------------------------


def judge(night: Night, stack: Stack) -> Proof:
    """Judge a night by the stack that is deployed in it. Raises NotUnderstood."""
    asked = needs_of(night, stack)
    needed: dict[str, set[Need]] = defaultdict(set)
    for (who, _), those in asked.items():
        checked(those, anywhere=ANYWHERE)
        needed[who] |= those
    words = _words(night, stack)
    uses: dict[str, dict[Grant, frozenset[str]]] = {}
    wide: list[Finding] = []
    for who, role in roles_of(stack).items():
        found: dict[Grant, frozenset[str]] = {}
        for grant in grants(role.statements):
            general = _general(grant, words)
            found[general] = found.get(general, frozenset()) | _used_by(grant, needed[who])
        uses[who] = found
        wide += (*_broader(who, role, stack), *_undenied(who, role))
    sessions = tuple(_sessions(night, asked, words))
    wide += [finding for session in sessions for finding in _wider(session, uses[session.remediation])]
    return Proof(uses, tuple(_missing(asked, stack, night.key)), tuple(wide), sessions)


def roles_of(stack: Stack) -> dict[str, Role]:
    """Every role of a stack by what it is for: a function's name, or a remediation's."""
    found = {}
    for role in stack.roles.values():
        function = [name for name, part in FUNCTIONS.items() if part in role.logical_id]
        found[function[0] if function else who_acts(role.arn)] = role
    return found


def who_acts(role_arn: str) -> str:
    """The remediation that a write role is for: what stands after the Region in its name."""
    return re.sub(r".*/[a-z0-9-]+-[a-z]{2}(?:-[a-z]+)+-\d-", "", role_arn)


def _who(event: Event) -> str:
    if event.principal.role_arn is not None:
        return who_acts(event.principal.role_arn)
    return str(event.function).removeprefix("nightshift-")


Asked: TypeAlias = Mapping[tuple[str, tuple[str, str] | None], set[Need]]
"""what was needed, by role and by session: its incident and its policy"""


def needs_of(night: Night, stack: Stack) -> Asked:
    """What was needed of each role and session in a night, by functions' calls and by Lambda. Raises NotUnderstood."""
    account = replace(night.account, keys={**night.account.keys, **encrypted(stack)})
    found: dict[tuple[str, tuple[str, str] | None], set[Need]] = defaultdict(set)
    for event in night.calls:
        policy = event.principal.policy
        found[_who(event), None if policy is None else (event.principal.name, policy)] |= needs(event, account)
    by_role = {role.logical_id: who for who, role in roles_of(stack).items()}
    for role, need in runtime(stack, account):
        found[by_role[role], None].add(need)
    return found


def _used_by(grant: Grant, needed: Iterable[Need]) -> frozenset[str]:
    return frozenset(
        need.by
        for need in needed
        if need.action.lower() == grant.action.lower()
        and glob(grant.resource, need.resource)
        and all([holds(condition, dict(need.context)) for condition in grant.conditions])  # noqa: C419 - as in decide()
    )


def missing(night: Night, stack: Stack) -> tuple[Finding, ...]:
    """What a night's calls needed and did not get: of the role, its boundary, and the session policy together."""
    return tuple(_missing(needs_of(night, stack), stack, night.key))


def _missing(asked: Asked, stack: Stack, night: str) -> Iterator[Finding]:
    roles = roles_of(stack)
    for (who, session), those in asked.items():
        if who not in roles:
            yield from (Finding("missing", who, need.action, need.resource, "there is no such role") for need in those)
            continue
        layers = layers_of(roles[who], session[1] if session else None)
        for need in those:
            if not permitted(layers, need.action, need.resource, dict(need.context)):
                yield Finding("missing", who, need.action, need.resource, f"{need.by} in the night {night}")
            if need.action.startswith("sts:"):
                yield from _untrusted(need, who, roles)


def layers_of(role: Role, session: str | None = None) -> list[tuple[Statement, ...]]:
    """All that must allow what is done under a role: its policies, its boundary, the session policy."""
    layers = [role.statements]
    if role.boundary is not None:
        layers.append(role.boundary)
    if session is not None:
        layers.append(parse(session))
    return layers


def _untrusted(need: Need, who: str, roles: Mapping[str, Role]) -> Iterator[Finding]:
    """The other side of assuming a role: the role's own trust must name who asks, and like how it asks."""
    for role in roles.values():
        if role.arn != need.resource:
            continue
        trusting = [each for each in role.trust if f"AWS:{roles[who].arn}" in each.principals]
        if decide(trusting, need.action, "*", dict(need.context)) is not Decision.ALLOWED:
            yield Finding("missing", who, need.action, need.resource, "the role does not trust it")


# -- sessions --------------------------------------------------------------------------------------------------------


def _sessions(night: Night, asked: Asked, words: tuple[tuple[str, str], ...]) -> Iterator[Session]:
    """Every session of a night, with the step that it was made for. Raises NotUnderstood."""
    assumed = [event for event in night.calls if event.name == "sts.AssumeRole" and event.error is None]
    for event, (incident, step) in zip(assumed, night.steps, strict=True):
        params = event.params
        who = who_acts(params["RoleArn"])
        if params["RoleSessionName"] != incident:
            raise NotUnderstood(f"a session of {params['RoleSessionName']} for a step of {incident}")
        allowed = {(grant.action, grant.resource) for grant in grants(parse(params["Policy"]))}
        needed = {(need.action, need.resource) for need in asked.get((who, (incident, params["Policy"])), ())}
        used = {
            (action, pattern)
            for action, pattern in allowed
            if any(action == name and glob(pattern, resource) for name, resource in needed)
        }
        yield Session(who, step.name, *(_pairs_in_words(pairs, words) for pairs in (allowed, _expected(step), used)))


def _wider(session: Session, role: Mapping[Grant, frozenset[str]]) -> Iterator[Finding]:
    """What a session was allowed beyond the calls of its step, or beyond its role; and what it was not, of its step."""
    for action, resource in sorted(session.allowed ^ session.expected):
        more = (action, resource) in session.allowed
        kind, why = ("broader", "allows it, no call asks for it") if more else ("missing", "does not allow it")
        yield Finding(kind, session.remediation, action, resource, f"the session of step {session.step} {why}")
    for action, resource in sorted(session.allowed):
        if not any(grant.action == action and glob(grant.resource, resource) for grant in role):
            why = f"the session of step {session.step} allows more than its role"
            yield Finding("broader", session.remediation, action, resource, why)


def _pairs_in_words(pairs: Iterable[tuple[str, str]], words: tuple[tuple[str, str], ...]) -> frozenset[tuple[str, str]]:
    return frozenset((action, _word(resource, words)) for action, resource in pairs)


def _expected(step: Step) -> set[tuple[str, str]]:
    return {pair for call in step.calls for pair in ((call.action, call.resource), *call.grants)}


# -- broader ---------------------------------------------------------------------------------------------------------

_READS_DESPITE_ITS_LEVEL = {
    "kms:Decrypt": "AWS calls it a write; it changes nothing, and is allowed for one queue's messages only",
}


def _broader(who: str, role: Role, stack: Stack) -> Iterator[Finding]:
    """What a role allows more widely than AWS makes anybody allow it, and infra/permissions.py gives no reason for."""
    for grant in grants(role.statements):
        why = _too_wide(grant) or (_writes(grant, stack) if who in FUNCTIONS else "")
        if why:
            yield Finding("broader", who, grant.action, grant.resource, why)


_SOMEBODY_ELSES = "arn:aws:any:::thing"


def _undenied(who: str, role: Role) -> Iterator[Finding]:
    """What a role does not deny outright: what must never be, changes of what is not our own, the kill switch."""

    def denied(action: str, resource: str, item: str | None = None) -> bool:
        return decide(role.statements, action, resource, {"dynamodb:LeadingKeys": item}) is Decision.DENIED

    for action in NEVER:
        if not denied(action.replace("*", "Anything"), _SOMEBODY_ELSES):
            yield Finding("broader", who, action, "*", "it is not denied outright")
    if who not in FUNCTIONS:
        return
    for grant in grants(role.statements):
        service, _, _ = grant.action.partition(":")
        if "*" in grant.action or definition(grant.action).reads or grant.resource == "*" or service == "kms":
            continue  # a key is bound by its conditions, and Lambda uses one of AWS's in the function's name
        if not denied(grant.action, _SOMEBODY_ELSES):
            yield Finding("broader", who, grant.action, "*", "it is not denied outright on what is somebody else's")
        if service == "dynamodb" and not denied(grant.action, grant.resource, "SWITCH"):
            yield Finding("broader", who, grant.action, grant.resource, "the kill switch can be written")


def _too_wide(grant: Grant) -> str:
    if "*" in grant.action or "?" in grant.action:
        return "a pattern of actions"
    known = definition(grant.action)
    for condition in grant.conditions:
        if not known.knows(condition.key):
            return f"AWS does not know {condition.key} for this action: the condition never holds"
    if grant.resource == "*":
        if grant.action not in ANYWHERE:
            return "everywhere, and nobody said why"
        if known.resources and not grant.conditions and grant.action not in UNDIVIDED:
            return f"everywhere, though it is for {', '.join(sorted(known.resources))}"
        return ""
    if not known.kinds_of(grant.resource):
        return f"it is not for such a resource but for {', '.join(sorted(known.resources)) or 'none'}"
    return _unexplained(grant) if "*" in grant.resource or "?" in grant.resource else ""


def _unexplained(grant: Grant) -> str:
    try:
        reason(grant.resource, [grant.action])
    except ConfigError as error:
        return str(error)
    return ""


def _writes(grant: Grant, stack: Stack) -> str:
    """A function may change nothing but what is the stack's own, and take no role but the stack's."""
    if definition(grant.action).reads or grant.action in _READS_DESPITE_ITS_LEVEL or grant.resource == "*":
        return ""
    own = (stack.arn(name) for kind in _OWNED for name in stack.of_type(kind))
    if any(grant.resource == arn or grant.resource.startswith(f"{arn}/") for arn in own):
        return ""
    return "a function may change nothing that is not Nightshift's own"


_OWNED = (
    "AWS::DynamoDB::Table",
    "AWS::IAM::Role",
    "AWS::KMS::Key",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::SNS::Topic",
    "AWS::SQS::Queue",
)


# -- general words ---------------------------------------------------------------------------------------------------

_OWN_WORDS = {
    "AWS::DynamoDB::Table": "TABLE",
    "AWS::KMS::Key": "KEY",
    "AWS::S3::Bucket": "QUARANTINE",
    "AWS::Logs::LogGroup": "LOG",
    "AWS::SNS::Topic Reports": "REPORTS",
    "AWS::SQS::Queue Missed": "MISSED",
    "AWS::SQS::Queue Work": "WORK",
}


def _words(night: Night, stack: Stack) -> tuple[tuple[str, str], ...]:
    found = list(night.words)
    for which, word in _OWN_WORDS.items():
        kind, _, part = which.partition(" ")
        found += [(stack.name(name), word) for name in stack.of_type(kind) if part in name]
    found += [(f"{night.policy.name}-{stack.region}-", "DEPLOYMENT-REGION-"), (f".{stack.region}.", ".REGION.")]
    return tuple(sorted(found, key=lambda item: -len(item[0])))


def _word(text: str, words: tuple[tuple[str, str], ...]) -> str:
    for name, word in words:
        text = text.replace(name, word)
    return re.sub(r"arn:aws:([a-z0-9-]+):[a-z0-9-]*:\d*:", r"\1:", text)


def _general(grant: Grant, words: tuple[tuple[str, str], ...]) -> Grant:
    conditions = tuple(
        Condition(each.operator, each.key, tuple(_word(value, words) for value in each.values))
        for each in grant.conditions
    )
    return Grant(grant.action, _word(grant.resource, words), conditions)


# -- all nights ------------------------------------------------------------------------------------------------------


def together(judged: Iterable[Proof]) -> Proof:
    """What several nights come to: a grant that one of them used is used."""
    judged = tuple(judged)
    uses: dict[str, dict[Grant, frozenset[str]]] = defaultdict(dict)
    for each in judged:
        for who, those in each.uses.items():
            for grant, by in those.items():
                uses[who][grant] = uses[who].get(grant, frozenset()) | by
    return Proof(
        uses=uses,
        missing=tuple(sorted({finding for each in judged for finding in each.missing})),
        broader=tuple(sorted({finding for each in judged for finding in each.broader})),
        sessions=tuple(session for each in judged for session in each.sessions),
    )


@cache
def proof() -> Proof:
    """Judge all nights together, once in a process."""
    return together(judge(night, stack_of(night)) for night in nights())


def stack_of(night: Night, *, bounded: bool = False) -> Stack:
    """The stack that is deployed in a night; ``bounded`` with a permissions boundary that it makes itself."""
    return deployed(_template(night.policy.hash, bounded), night.policy, night.names)


@cache
def _template(policy_hash: str, bounded: bool) -> Template:  # noqa: FBT001 - a key of the cache
    (policy, *_) = (night.policy for night in nights() if night.policy.hash == policy_hash)
    return template_of(policy, Options(boundary=GENERATE) if bounded else None)
