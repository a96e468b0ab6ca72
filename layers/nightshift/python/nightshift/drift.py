"""
Drift: what Nightshift changes of what somebody else declares (a stack, Terraform), and would see undone by them. Pure.

Every action that any remediation may write has its place here, which a test over the registry demands: either with the
properties that are declared elsewhere, or among what nobody declares.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nightshift.model import Call, Json

__all__ = ["DECLARED", "UNDECLARED", "Change", "drift", "flat", "owner"]

DECLARED: Mapping[str, Mapping[str, str]] = {
    "application-autoscaling:RegisterScalableTarget": {
        name: name
        for name in (
            "MinCapacity",
            "MaxCapacity",
            "DynamicScalingInSuspended",
            "DynamicScalingOutSuspended",
            "ScheduledScalingSuspended",
        )
    },
    "application-autoscaling:PutScalingPolicy": {"TargetValue": "TargetValue"},
    "dynamodb:UpdateTable": {name: name for name in ("ReadCapacityUnits", "WriteCapacityUnits")},
    "ecs:StopServiceDeployment": {"task_definition": "taskDefinition"},
    "ecs:UpdateService": {"desiredCount": "desiredCount", "task_definition": "taskDefinition"},
    "events:EnableRule": {"State": "State"},
    "lambda:UpdateAlias": {"FunctionVersion": "FunctionVersion"},
    "lambda:PutFunctionConcurrency": {"ReservedConcurrentExecutions": "ReservedConcurrentExecutions"},
    "lambda:PutProvisionedConcurrencyConfig": {"ProvisionedConcurrentExecutions": "ProvisionedConcurrentExecutions"},
    "rds:ModifyDBCluster": {name: name for name in ("MinCapacity", "MaxCapacity")},
    "sqs:SetQueueAttributes": {
        "VisibilityTimeout": "VisibilityTimeout",
        "MessageRetentionPeriod": "MessageRetentionPeriod",
    },
}
"""by action: the properties that somebody declares, as a call's ``before`` calls them, and as its parameters do"""
UNDECLARED = frozenset(
    {
        "application-autoscaling:DeregisterScalableTarget",
        "appsync:CreateApiCache",
        "appsync:DeleteApiCache",
        "cloudformation:ContinueUpdateRollback",
        "dynamodb:CreateBackup",
        "ecs:StopTask",
        "lambda:DeleteProvisionedConcurrencyConfig",
        "lambda:InvokeFunction",
        "rds:CreateDBClusterSnapshot",
        "s3:DeleteObject",
        "s3:GetObject",
        "s3:ListBucket",
        "s3:PutObject",
        "sqs:CancelMessageMoveTask",
        "sqs:ChangeMessageVisibility",
        "sqs:DeleteMessage",
        "sqs:ListMessageMoveTasks",
        "sqs:ReceiveMessage",
        "sqs:SendMessage",
        "sqs:StartMessageMoveTask",
        "states:DescribeExecution",
        "states:DescribeStateMachineForExecution",
        "states:ListExecutions",
        "states:RedriveExecution",
        "states:StartExecution",
    }
)
"""
Tasks, messages, objects, runs and backups, a cache or ready instances where there were none, limits that we take back,
and what is only read under a write role: nobody declares these.
"""
_ALWAYS: Mapping[str, Mapping[str, str]] = {
    "ecs:StopServiceDeployment": {"taskDefinition": "the one that ran before"},
    "events:EnableRule": {"State": "ENABLED"},
}
"""what a call sets by being made"""
_MANAGED = ("managed-by", "managed_by", "ManagedBy", "terraform", "Terraform")
_NO = frozenset({"", "false", "no"})


@dataclass(frozen=True, slots=True)
class Change:
    """One property of a resource: what it was (None: not known), and what it is set to."""

    resource: str
    name: str
    old: Json
    new: Json


def drift(calls: Iterable[Call]) -> tuple[Change, ...]:
    """What these calls change of what somebody declares; nothing of what they set to what it is."""
    found = []
    for call in calls:
        sets = {**flat(call.params), **_ALWAYS.get(call.action, {})}
        for before, name in DECLARED.get(call.action, {}).items():
            if name in sets and call.before.get(before) != sets[name]:
                found.append(Change(call.resource, name, call.before.get(before), sets[name]))
    return tuple(found)


def flat(params: Mapping[str, Json]) -> dict[str, Json]:
    """What a call sets, by name, however deep it stands."""
    found: dict[str, Json] = {}
    for name, value in params.items():
        if isinstance(value, Mapping):
            found |= flat(value)
        elif isinstance(value, list | tuple) and value and all(isinstance(each, Mapping) for each in value):
            for each in value:
                found |= flat(each)
        else:
            found[name] = value
    return found


def owner(tags: Mapping[str, str]) -> str:
    """Who declares a resource, as far as its tags say; empty where they do not."""
    stack = tags.get("aws:cloudformation:stack-name")
    if stack:
        return f"stack {stack}"
    name = next((each for each in _MANAGED if tags.get(each, "").strip().lower() not in _NO), None)
    if name is None:
        return ""
    return "Terraform" if "terraform" in f"{name} {tags[name]}".lower() else tags[name]
