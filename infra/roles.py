"""
Who may do what: a role for each function, and a role for each remediation.

The functions only look, keep their own records and tell people. Whatever changes a target is done under the
remediation's write role, which nobody but the ticking function may assume, and only in the name of an incident. Every
statement is written out: no AWS managed policy, and none of CDK's ``grant_*``, which give more than is used.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct
from nightshift import health, measures, signals, surroundings
from nightshift.config import Policy, role_name
from nightshift.errors import ConfigError
from nightshift.model import Arn, MetricQuery, Mode, Query, Target
from nightshift.remediation import Remediation

from infra.acknowledge import acknowledge
from infra.permissions import (
    NEVER,
    Grant,
    Place,
    Statement,
    condense,
    granted_reads,
    grants_for,
    keys_of,
    reason,
    statements,
)

__all__ = [
    "INCIDENT",
    "PATH",
    "function_role",
    "reads_of_look",
    "reads_of_reports",
    "reads_of_sweep",
    "writable",
    "write_role",
    "write_role_arns",
    "write_role_prefix",
]

PATH = "/nightshift/"
INCIDENT = "????????T????-????????"
"""what an incident's id looks like to IAM (nightshift/incidents.py, incident_id): the only name to act under"""

_READING = ("BatchGet", "ConditionCheck", "Describe", "Get", "List", "Lookup", "Query", "Receive")
"""how the names of actions begin that change nothing"""

_INLINE = 10_000
"""characters of policy that fit into a role itself; AWS's limit is 10,240 without white space"""
_MANAGED = 6_000
"""characters that fit into one customer managed policy; AWS's limit is 6,144"""
_FILLED_IN = 130
"""characters of the longest ARN of ours, a log group's: in its name are the stack's, its own and what AWS adds"""
_PIECE = 1_500
"""characters of a statement that stay together"""
_ATTACHED = 10
"""customer managed policies that AWS attaches to one role unless asked for more"""


# -- what is read ----------------------------------------------------------------------------------------------------


def reads_of_sweep(policy: Policy, place: Place) -> set[Grant]:
    """What the sweep reads of all targets: made from the queries themselves, so neither more nor less."""
    swept = ((target, each) for target, each in _pairs(policy) if not each.asked_for)
    found = _of_queries([query for target, each in swept for query in each.watch(target)], place)
    return condense(found | keys_of(found, policy.targets, place), place)


def reads_of_look(policy: Policy, place: Place) -> set[Grant]:
    """
    What a look at one target, a diagnosis and the guardrails read: of every target, for any may be next.

    A diagnosis may look at what a target is linked to as the sweep looks at targets, and the guardrails read the tags
    of both. A letter in a queue with a key of its own is readable only with that key.
    """
    found: set[Grant] = set()
    for target, remediation in _pairs(policy):
        found |= _of_queries([*remediation.watch(target), *remediation.examine(target)], place)
        found |= grants_for(remediation.reads, [target], place, who=remediation.name, reading=True)
        dies = target.pipeline.dead_letters if target.pipeline is not None else None
        if dies is not None and "s3:ListBucket" in remediation.reads:  # which letters were set apart
            found.add(Grant("s3:ListBucket", place.quarantine, (("StringLike", "s3:prefix", "letters/*"),)))
        if "sqs:ReceiveMessage" in remediation.reads:  # with the key of the queue that is looked into, and no other's
            found |= grants_for(["kms:Decrypt"], [Target(arn=target.arn, group="")], place, who=remediation.name)
    for arn in {arn for target in policy.targets for arn in (target.arn, *target.linked)}:
        kinds = (kind for kind in signals.KINDS.values() if kind.names == arn.kind and not kind.alone)
        seen = [action for kind in kinds for action in kind.actions]
        for action in (*seen, *surroundings.ACTIONS.get(arn.kind, ()), *surroundings.ACTIONS["*"]):
            found |= granted_reads(action, arn, place)
    return condense(found | keys_of(found, policy.targets, place), place)


def reads_of_reports(policy: Policy, place: Place) -> set[Grant]:
    """
    What reports by the clock read of targets: for digests what was measured of them, where anything is.

    Where the day's health is told, all that the sweep reads, what ``nightshift health`` reads beside that, and alarms.
    """
    those, _ = measures.wanted(policy, timedelta(days=1))
    found = {Grant(action, "*") for action in signals.ACTIONS["metric"]} if those and policy.notify.digests else set()
    if policy.notify.health_at is None:
        return found
    queries = [query for target, each in _pairs(policy) if not each.asked_for for query in each.watch(target)]
    queries += [query for target in policy.targets for query in health.reads(target)]
    found |= {Grant("cloudwatch:DescribeAlarms", "*")} | _of_queries(queries, place)
    for action, name in {need for target in policy.targets for need in health.needs(target)}:
        whole = action == "s3:ListBucket" and "/" not in name  # HeadBucket, which IAM knows by no other name
        found |= {Grant(action, name)} if whole else granted_reads(action, Arn.parse(name), place)
    return condense(found | keys_of(found, policy.targets, place), place)


def _pairs(policy: Policy) -> list[tuple[Target, Remediation]]:
    return [(target, each) for target in policy.targets for each in policy.remediations.values() if each.takes(target)]


def _of_queries(queries: Iterable[Query], place: Place) -> set[Grant]:
    found: set[Grant] = set()
    for query in queries:
        if isinstance(query, MetricQuery):
            found |= {Grant(action, "*") for action in signals.ACTIONS["metric"]}
        else:
            for action in signals.ACTIONS[query.kind]:
                found |= granted_reads(action, Arn.parse(query.key), place)
    return found


# -- the roles -------------------------------------------------------------------------------------------------------


def function_role(
    scope: Construct, id_: str, *, what: str, own: Sequence[iam.PolicyStatement], reads: Iterable[Grant] = ()
) -> iam.Role:
    """
    Make a function's role: ``own`` is for Nightshift's own resources, ``reads`` for everybody else's.

    And a flat no to everything else: to any other action, and to changing, sending to or assuming anything but what is
    named here. A policy that somebody attaches later, by accident or in a hurry, gives it nothing.
    """
    reads = frozenset(reads)
    return _role(
        scope,
        id_,
        own=[*own, *_nothing_else(own, {grant.action for grant in reads})],
        grants=reads,
        description=f"Nightshift, {what}: reads, keeps its own records, tells people. Changes no target.",
        assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
    )


def write_role_prefix(scope: Construct, policy: Policy) -> str:
    """What the ARN of every write role of this deployment starts with; the remediation's name follows."""
    partition = cdk.Stack.of(scope).partition
    return f"arn:{partition}:iam::{policy.account}:role{PATH}{role_name(policy.name, policy.region, '')}"


def write_role_arns(scope: Construct, policy: Policy) -> list[str]:
    """The ARNs of the write roles that there are: those of remediations that may change anything."""
    prefix = write_role_prefix(scope, policy)
    return [f"{prefix}{name}" for name, each in policy.remediations.items() if writable(policy, each)]


def writable(policy: Policy, remediation: Remediation) -> tuple[Target, ...]:
    """
    The targets that a remediation may ever change: its own, not protected, and not only observed.

    What is observed needs no permission to be changed, so none is given: it does not depend on our code. Nor is any
    given to a remediation that only ever tells.
    """
    if not remediation.writes:
        return ()
    return tuple(
        target
        for target in policy.targets
        if remediation.takes(target)
        and not target.protected
        and policy.mode_for(target, remediation) is not Mode.OBSERVE
    )


def write_role(
    scope: Construct, remediation: Remediation, *, policy: Policy, place: Place, trusted: iam.IRole
) -> iam.Role | None:
    """
    Make the role that one remediation acts under, unless there is nothing that it may change.

    Its own actions on its own targets, and a flat no to everything else: a policy that somebody attaches later, by
    accident or in a hurry, gives it nothing.
    """
    targets = writable(policy, remediation)
    if not targets:
        return None
    declared = {*remediation.writes, *remediation.delegates}
    grants = grants_for(declared, targets, place, who=remediation.name)
    tick = iam.ArnPrincipal(trusted.role_arn)
    role = _role(
        scope,
        remediation.name,
        own=[*_nothing_else([], {grant.action for grant in grants}), *_not_of_others(grants)],
        grants=grants,
        role_name=role_name(policy.name, policy.region, remediation.name),
        description=f"Nightshift acts for {remediation.name} with this, under an incident's name.",
        assumed_by=iam.PrincipalWithConditions(
            tick, {"StringLike": {"sts:RoleSessionName": INCIDENT, "sts:SourceIdentity": INCIDENT}}
        ),
        max_session_duration=cdk.Duration.hours(1),
    )
    if role.assume_role_policy is not None:
        role.assume_role_policy.add_statements(
            iam.PolicyStatement(
                principals=[tick],
                actions=["sts:SetSourceIdentity"],
                conditions={"StringLike": {"sts:SourceIdentity": INCIDENT}},
            )
        )
    return role


def _nothing_else(own: Sequence[iam.PolicyStatement], others: Iterable[str]) -> list[iam.PolicyStatement]:
    """
    The flat no: to every action but those of ``own`` and ``others``, and to ``own`` changes of what is not our own.

    Keys are left to the first half: Lambda decrypts a function's variables with a key of AWS's, in the function's name.
    """
    allowed = [each for each in own if each.effect is iam.Effect.ALLOW]
    actions = {action for each in allowed for action in each.actions} | {*others}
    denied = [
        iam.PolicyStatement(sid="NothingElse", effect=iam.Effect.DENY, not_actions=sorted(actions), resources=["*"])
    ]
    changes = [each for each in allowed if any(_changes(action) for action in each.actions)]
    if changes:
        denied.append(
            iam.PolicyStatement(
                sid="NothingOfOthers",
                effect=iam.Effect.DENY,
                actions=sorted({action for each in changes for action in each.actions if _changes(action)}),
                not_resources=list(dict.fromkeys(resource for each in changes for resource in each.resources)),
            )
        )
    return denied


def _not_of_others(grants: Iterable[Grant]) -> list[iam.PolicyStatement]:
    """What must never happen by our hand but to what is named: there it is allowed, and denied everywhere else."""
    named: dict[str, set[str]] = {}
    for grant in grants:
        if grant.action in NEVER:
            named.setdefault(grant.action, set()).add(grant.resource)
    return [
        iam.PolicyStatement(
            sid=f"NeverOfOthers{number}",
            effect=iam.Effect.DENY,
            actions=[action],
            not_resources=sorted(resources),
        )
        for number, (action, resources) in enumerate(sorted(named.items()))
    ]


def _changes(action: str) -> bool:
    service, _, name = action.partition(":")
    return service != "kms" and not name.startswith(_READING)


# -- policies that fit -----------------------------------------------------------------------------------------------


def _role(
    scope: Construct, id_: str, *, own: Sequence[iam.PolicyStatement], grants: Iterable[Grant], **props: Any
) -> iam.Role:
    """Make a role, its statements in the role itself as far as they fit, the rest in policies of this stack."""
    granted = statements(grants)
    inline, more = _packed([each.to_statement_json() for each in own], granted, who=id_)
    role = iam.Role(
        scope,
        id_,
        path=PATH,
        inline_policies={"Nightshift": iam.PolicyDocument(statements=[*own, *map(_statement, inline)])},
        **props,
    )
    for number, part in enumerate(more, start=2):
        iam.ManagedPolicy(role, f"Part{number}", path=PATH, statements=[*map(_statement, part)], roles=[role])
    acknowledge(role, _findings(role, granted))
    return role


def _packed(
    own: Sequence[object], granted: Sequence[Statement], *, who: str
) -> tuple[list[Statement], list[list[Statement]]]:
    """Fill the role first, then policies, each to its limit. Raises ConfigError where that is still not enough."""
    room = [_INLINE - _size(own), *[_MANAGED] * _ATTACHED]
    parts: list[list[Statement]] = [[] for _ in room]
    for statement in granted:
        for piece in _pieces(statement, limit=_PIECE):
            size = _size(_statement(piece).to_statement_json())
            at = next((number for number, free in enumerate(room) if size <= free), None)
            if at is None:
                raise ConfigError(
                    f"the permissions of {who} do not fit into one role: AWS takes {_INLINE:,} characters and "
                    f"{_ATTACHED} policies of {_MANAGED:,}",
                    remedy="Divide the targets between two deployments, each with a configuration of its own",
                )
            parts[at].append(piece)
            room[at] -= size
    return parts[0], [part for part in parts[1:] if part]


def _size(document: object) -> int:
    """Characters as IAM counts them; what CloudFormation fills in later counts as much as it may become."""
    text = json.dumps(document, separators=(",", ":"))
    return len(text) + len(",") + _FILLED_IN * text.count("${Token[")


def _pieces(statement: Statement, *, limit: int) -> list[Statement]:
    """The same statement in pieces, each with at most ``limit`` characters of resources or of a condition's values."""
    for number, (operator, key, values) in enumerate(statement.conditions):
        if len(chunks := _chunks(values, limit)) > 1:
            before, after = statement.conditions[:number], statement.conditions[number + 1 :]
            return [replace(statement, conditions=(*before, (operator, key, chunk), *after)) for chunk in chunks]
    return [replace(statement, resources=chunk) for chunk in _chunks(statement.resources, limit)]


def _chunks(values: Sequence[str], limit: int) -> list[tuple[str, ...]]:
    chunks: list[list[str]] = [[]]
    size = 0
    for value in values:
        if size + len(value) > limit and chunks[-1]:
            chunks.append([])
            size = 0
        chunks[-1].append(value)
        size += len(value) + len('"",')
    return [tuple(chunk) for chunk in chunks]


def _statement(statement: Statement) -> iam.PolicyStatement:
    on: dict[str, dict[str, str | list[str]]] = {}
    for operator, key, values in statement.conditions:
        on.setdefault(operator, {})[key] = values[0] if len(values) == 1 else list(values)
    return iam.PolicyStatement(
        actions=list(statement.actions), resources=list(statement.resources), conditions=on or None
    )


def _findings(scope: Construct, granted: Iterable[Statement]) -> Mapping[str, str]:
    """What cdk-nag will say about patterns, and why each of them is as narrow as it gets."""
    actions: dict[str, set[str]] = {}
    for statement in granted:
        for resource in statement.resources:
            if "*" in resource:
                actions.setdefault(resource, set()).update(statement.actions)
    whys = {resource: reason(resource, those) for resource, those in actions.items()}
    found = {f"AwsSolutions-IAM5[Resource::{_as_nag_says(scope, resource)}]": why for resource, why in whys.items()}
    if "*" in whys:
        found["Serverless-LambdaStarPermissions"] = whys["*"]
    return found


def _as_nag_says(scope: Construct, resource: str) -> str:
    """An ARN as in cdk-nag's findings: an attribute of a resource of the stack is ``<LogicalId.Arn>``."""
    resolved = cdk.Stack.of(scope).resolve(resource)
    if isinstance(resolved, str):
        return resolved
    _, parts = resolved["Fn::Join"]
    return "".join(part if isinstance(part, str) else f"<{'.'.join(part['Fn::GetAtt'])}>" for part in parts)
