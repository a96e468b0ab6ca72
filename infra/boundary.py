"""
The outer limit: a permissions boundary for every role of a deployment, made from the same grants as the roles.

A boundary allows nothing. It says what a role can never exceed, whatever is attached to it later, administrator access
included. So it may be wider than any one role, and has to be: AWS takes one policy of 6,144 characters. It names each
action; targets one by one as long as they fit, else by this account and Region; what is Nightshift's own by the
beginning of its name. And it denies outright what must never happen by Nightshift's hand: a queue's own policy could
allow a role what its boundary merely does not mention.

The document holds no reference to the stack: who is responsible for an account's boundaries can make it before anything
is deployed, and give its ARN.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct
from nightshift.config import Policy, role_name
from nightshift.errors import ConfigError

from infra.acknowledge import acknowledge
from infra.permissions import ANYWHERE, MANY, NEVER, Conditions, Grant, Place, condense, grants_for, statements
from infra.roles import PATH, reads_of_look, reads_of_reports, reads_of_sweep, writable

__all__ = ["LIMIT", "boundary", "document"]

LIMIT: Final = 6_144
"""characters of a managed policy, white space not counted"""

_OURS: Mapping[str, tuple[str, ...]] = {
    "dynamodb:table/nightshift-*": (
        "dynamodb:BatchGetItem",
        "dynamodb:ConditionCheckItem",
        "dynamodb:DeleteItem",
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:Query",
        "dynamodb:UpdateItem",
    ),
    "logs:log-group:nightshift-*": ("logs:CreateLogStream", "logs:PutLogEvents"),
    "sns:nightshift-*": ("sns:Publish",),
    "sqs:nightshift-*": ("sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage", "sqs:SendMessage"),
}
"""what the functions do with what is Nightshift's own, whose names begin with those of its stacks"""
_KEYS = {
    "dynamodb": ("Decrypt", "DescribeKey", "Encrypt", "GenerateDataKey", "ReEncryptFrom", "ReEncryptTo"),
    "sns": ("Decrypt", "GenerateDataKey"),
    "sqs": ("Decrypt", "GenerateDataKey"),
}
"""through which service the functions use the deployment's key, and how"""
_VIA = "kms:ViaService"
_ON_ROLES = ["iam:PassRole", "sts:AssumeRole", "sts:SetSourceIdentity", "sts:TagSession"]
"""all that is ever done with a role"""


def boundary(scope: Construct, policy: Policy) -> iam.ManagedPolicy:
    """Make the boundary in the stack. Raises ConfigError where it does not fit."""
    made = iam.ManagedPolicy(
        scope,
        "Boundary",
        managed_policy_name=role_name(policy.name, policy.region, "boundary"),
        path=PATH,
        description=f"What no role of Nightshift ({policy.name}) can exceed, whatever is attached to it",
        document=iam.PolicyDocument.from_json(document(policy, partition=cdk.Stack.of(scope).partition)),
    )
    patterns = {resource for each in _allowed(policy, cdk.Stack.of(scope).partition) for resource in each.resources}
    why = "A boundary allows nothing by itself; it names no action that no role has, and each role names its resources"
    acknowledge(made, {f"AwsSolutions-IAM5[Resource::{each}]": why for each in patterns if "*" in each})
    return made


def document(policy: Policy, *, partition: str) -> dict[str, Any]:
    """The boundary as a policy document, without any reference. Raises ConfigError where it does not fit."""
    return _document(_allowed(policy, partition), policy, partition)


def _document(allowed: Iterable[Any], policy: Policy, partition: str) -> dict[str, Any]:
    statements_ = [{"Effect": "Allow", **_json(each)} for each in allowed]
    return {"Version": "2012-10-17", "Statement": [*statements_, *_never(policy, partition)]}


def _never(policy: Policy, partition: str) -> list[dict[str, Any]]:
    """
    What is denied by name.

    Where a target names roles, these may be passed on: all else of IAM stays denied. Where a bucket has triggers, these
    may be deleted: all other objects stay denied, what was set apart among them. Where a queue's attributes may be set,
    those of other queues stay denied, or, where there are many such queues, those of other accounts and Regions. Where
    a table's autoscaling may be taken back that was just made, what is not autoscaling's stays denied.
    """
    rest: dict[str, dict[str, Any]] = {}
    if any(target.roles for target in policy.targets):
        on_roles = {"NotAction": _ON_ROLES, "Resource": f"arn:{partition}:iam::*:*"}
        rest["iam:*"] = {"Sid": "NeverIam", "Effect": "Deny", **on_roles}
    triggers = [f"{each.arn}/{each.triggers.prefix}*" for each in policy.targets if each.triggers is not None]
    if triggers:
        but = {"Action": [_DELETE], "NotResource": triggers}
        rest[_DELETE] = {"Sid": "NeverObjects", "Effect": "Deny", **but}
    queues = _set(policy, Place(partition, policy.account, policy.region))
    if queues:
        rest[_SET] = {"Sid": "NeverQueues", "Effect": "Deny", "Action": [_SET], "NotResource": queues}
    place = Place(partition, policy.account, policy.region)
    if any(_ENDS in each.writes for each in policy.remediations.values()):
        but = {"Action": [_ENDS], "NotResource": [place.arn("application-autoscaling", "scalable-target/*")]}
        rest[_ENDS] = {"Sid": "NeverScaled", "Effect": "Deny", **but}
    all_over = {"Action": sorted({*NEVER} - rest.keys()), "Resource": "*"}
    return [{"Sid": "Never", "Effect": "Deny", **all_over}, *rest.values()]


def _allowed(policy: Policy, partition: str) -> list[Any]:
    """What is allowed, with targets one by one if that fits, else by this account and Region."""
    place = Place(partition, policy.account, policy.region, quarantine=f"arn:{partition}:s3:::nightshift-*")
    grants = {*_own(place), *_of_targets(policy, place)}
    for many in (MANY, 0):
        found = list(statements(condense(grants, place, many=many)))
        if len(json.dumps(_document(found, policy, partition), separators=(",", ":"))) <= LIMIT:
            return found
    raise ConfigError(
        f"the permissions boundary of {policy.name} does not fit into one policy of {LIMIT:,} characters",
        remedy="Divide the targets between two deployments, each with a configuration of its own",
    )


_DELETE, _SET = "s3:DeleteObject", "sqs:SetQueueAttributes"
_ENDS = "application-autoscaling:DeregisterScalableTarget"
_FEW = 10
"""queues whose attributes may be set that are named one by one"""


def _set(policy: Policy, place: Place) -> list[str]:
    """The queues whose attributes may be set."""
    those = [each for each in policy.remediations.values() if _SET in each.writes]
    found = {grant for each in those for grant in grants_for([_SET], writable(policy, each), place, who=each.name)}
    return sorted(grant.resource for grant in condense(found, place, many=_FEW))


def _own(place: Place) -> Iterable[Grant]:
    for which, actions in _OURS.items():
        service, _, name = which.partition(":")
        yield from (Grant(action, place.arn(service, name)) for action in actions)
    for service, uses in _KEYS.items():
        via: Conditions = (("StringEquals", _VIA, f"{service}.{place.region}.amazonaws.com"),)
        yield from (Grant(f"kms:{use}", place.arn("kms", "key/*"), via) for use in uses)
    yield Grant("s3:ListBucket", place.quarantine)
    for action in ("sts:AssumeRole", "sts:SetSourceIdentity"):
        yield Grant(action, f"arn:{place.partition}:iam::{place.account}:role{PATH}*")
    yield from (Grant(action, "*") for action in ANYWHERE if action.startswith("xray:"))


def _of_targets(policy: Policy, place: Place) -> Iterable[Grant]:
    """What the roles may do to targets. Of conditions only the service stays through which a key is used."""
    found = {*reads_of_sweep(policy, place), *reads_of_look(policy, place), *reads_of_reports(policy, place)}
    for remediation in policy.remediations.values():
        declared = {*remediation.writes, *remediation.delegates}
        found |= grants_for(declared, writable(policy, remediation), place, who=remediation.name)
    for grant in found:
        yield Grant(grant.action, grant.resource, tuple(each for each in grant.conditions if each[1] == _VIA))


def _json(statement: Any) -> dict[str, Any]:
    on: dict[str, dict[str, Any]] = {}
    for operator, key, values in statement.conditions:
        on.setdefault(operator, {})[key] = list(values)
    found = {"Action": list(statement.actions), "Resource": list(statement.resources)}
    return {**found, "Condition": on} if on else found
