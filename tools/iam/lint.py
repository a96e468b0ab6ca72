"""
What no template may say, read from the template alone: foreign ARNs, patterns of actions, permissions for anybody.

It reads every policy of every resource: of roles, of the key, of queues, topics and the bucket, and who may invoke a
function. A policy in a place that nobody has taught it raises :class:`~tools.iam.policy.NotUnderstood`, so that a new
kind of resource cannot bring one in unseen. CloudFormation's own validation, cfn-lint and cdk-nag find none of the
foreign ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nightshift.errors import ConfigError

from infra.permissions import ANYWHERE, WILDCARDS, reason
from tools.iam.policy import NotUnderstood, Statement, parse
from tools.iam.stack import Stack

__all__ = ["Complaint", "lint"]

_IDENTITY = "identity"
_TRUST = "trust"
_RESOURCE = "resource"
_BOUNDARY = "boundary"

_PLACES: Mapping[tuple[str, str], str] = {
    ("AWS::IAM::ManagedPolicy", "PolicyDocument"): _IDENTITY,
    ("AWS::IAM::Policy", "PolicyDocument"): _IDENTITY,
    ("AWS::IAM::Role", "AssumeRolePolicyDocument"): _TRUST,
    ("AWS::IAM::Role", "Policies/PolicyDocument"): _IDENTITY,
    ("AWS::KMS::Key", "KeyPolicy"): _RESOURCE,
    ("AWS::S3::BucketPolicy", "PolicyDocument"): _RESOURCE,
    ("AWS::SNS::TopicPolicy", "PolicyDocument"): _RESOURCE,
    ("AWS::SQS::QueuePolicy", "PolicyDocument"): _RESOURCE,
}
"""where policies stand, by the resource's type and the properties that lead to them, and what kind they are"""
_ARN_PARTS = 6
_ANYBODY = {"*", "AWS:*", "Service:*", "Federated:*"}


@dataclass(frozen=True, slots=True, order=True)
class Complaint:
    """One thing that a template may not say: the rule, where, and what stands there."""

    rule: str
    where: str
    what: str


def lint(stack: Stack) -> tuple[Complaint, ...]:
    """Everything that is wrong with a template's policies. Raises NotUnderstood."""
    found: set[Complaint] = set()
    boundaries = {
        role["PermissionsBoundary"]["Ref"]
        for role in stack.of_type("AWS::IAM::Role").values()
        if isinstance(role.get("PermissionsBoundary"), dict)
    }
    for name, resource in stack.template["Resources"].items():
        for path, document in _documents(resource.get("Properties", {})):
            place = (resource["Type"], "/".join(path))
            if place not in _PLACES:
                raise NotUnderstood(f"a policy at {place[1]} of {name}, which is of type {place[0]}")
            kind = _BOUNDARY if name in boundaries else _PLACES[place]
            for statement in parse(stack.resolved(document), principals=kind in {_TRUST, _RESOURCE}):
                found |= {Complaint(rule, name, what) for rule, what in _wrong(statement, kind, stack)}
    for name, permission in stack.of_type("AWS::Lambda::Permission").items():
        found |= {Complaint(rule, name, what) for rule, what in _invoking(stack.resolved(permission), stack)}
    for name, role in stack.of_type("AWS::IAM::Role").items():
        found |= {Complaint("attached", name, str(arn)) for arn in role.get("ManagedPolicyArns", ())}
    return tuple(sorted(found))


def _documents(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Every policy document in a resource's properties, and where it stands; positions in lists are left out."""
    if isinstance(value, list):
        for each in value:
            yield from _documents(each, path)
    elif isinstance(value, dict):
        if "Statement" in value:
            yield path, value
            return
        for key, each in value.items():
            yield from _documents(each, (*path, key))


# -- the rules -------------------------------------------------------------------------------------------------------


def _wrong(statement: Statement, kind: str, stack: Stack) -> Iterator[tuple[str, str]]:
    """Each rule that a statement breaks, and by what."""
    for text in _texts(statement):
        if foreign(text, stack):
            yield "foreign", text
    if statement.effect != "Allow":
        return
    if statement.not_actions or statement.not_resources:
        yield "all-but", ", ".join((*statement.not_actions, *statement.not_resources))
    for action in statement.actions:
        if ("*" in action or "?" in action) and not (kind == _RESOURCE and action in WILDCARDS):
            yield "action-pattern", action
    if kind == _IDENTITY:
        yield from _everywhere(statement)
    if kind in {_TRUST, _RESOURCE}:
        yield from _for_anybody(statement, kind)


def _texts(statement: Statement) -> Iterator[str]:
    yield from (*statement.resources, *statement.not_resources)
    yield from (principal.partition(":")[2] for principal in statement.principals)
    yield from (value for condition in statement.conditions for value in condition.values)


def foreign(text: str, stack: Stack) -> bool:
    """Whether a text is an ARN that is not of this partition, account and Region, or not only of them."""
    if not text.startswith("arn:"):
        return False
    _, partition, service, region, account, *_ = text.split(":", _ARN_PARTS - 1)
    if service == "s3" and not region and not account:
        return partition != stack.partition
    if service == "iam":
        return (partition, region, account) != (stack.partition, "", stack.account)
    return (partition, region, account) != (stack.partition, stack.region, stack.account)


def _everywhere(statement: Statement) -> Iterator[tuple[str, str]]:
    """A resource that is a pattern needs a reason, in infra/permissions.py, for each action."""
    for resource in statement.resources:
        if resource == "*":
            yield from (("everywhere", action) for action in statement.actions if action not in ANYWHERE)
        elif "*" in resource or "?" in resource:
            try:
                reason(resource, statement.actions)
            except ConfigError:
                yield "unexplained", resource


def _for_anybody(statement: Statement, kind: str) -> Iterator[tuple[str, str]]:
    """Nobody may be everybody; and a service acts for others too, unless a condition says for whom it may."""
    for principal in statement.principals:
        if principal in _ANYBODY and not statement.conditions:
            yield "anybody", ", ".join(statement.actions)
        if kind == _RESOURCE and principal.startswith("Service:") and not statement.conditions:
            yield "deputy", principal
    if not statement.principals:
        yield "anybody", "nobody is named"


def _invoking(permission: Mapping[str, Any], stack: Stack) -> Iterator[tuple[str, str]]:
    """Who may invoke a function must say for which of its resources; else anybody's rule or topic could."""
    source = permission.get("SourceArn")
    if not source:
        yield "no-source", str(permission.get("Principal"))
    elif foreign(source, stack) or "*" in source:
        yield "foreign", source
    if permission.get("Principal") == "*":
        yield "anybody", str(permission.get("Action"))
    if "*" in permission.get("Action", ""):
        yield "action-pattern", permission["Action"]
