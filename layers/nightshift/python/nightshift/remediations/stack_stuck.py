"""
A CloudFormation stack does not go on: tell people where it stands, what failed first, and what takes it out of there.

Symptom   the stack is in a state in which it takes no update (…_FAILED, or its creation was rolled back), or one of its
          operations has been IN_PROGRESS for hours
Cause     a resource could not be made, changed or deleted: what its events say
Cure      none of ours: what failed is people's to mend, and each way out changes or deletes what is in the stack
Proof     the stack is …_COMPLETE again
Undo      nothing was changed
Source    runbook 1 "Rollback Procedures": CDK/CloudFormation stack; R21

For an update rollback that failed, `stack-rollback-failed` can ask a person whether it is to be continued. Where that
is enabled for the same stacks, say `rollbacks = false` here, or it is told twice.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field

from nightshift.model import Alternative, Diagnosis, Healthy, Json, ResourceRead, Severity, Signal, Target, Unknown
from nightshift.remediation import Reader
from nightshift.stacks import FAILED, ROLLBACK_FAILED, failures, name_of, newest, since
from nightshift.upkeep import READ_ONLY, WRITE, Neglected, Upkeep, moment

__all__ = ["StackStuck"]

_HOUR = timedelta(hours=1)


class StackStuck(Upkeep):
    """A stack that has failed, or does not end."""

    name: ClassVar[str] = "stack-stuck"
    title: ClassVar[str] = "a CloudFormation stack does not go on"
    kinds: ClassVar[tuple[str, ...]] = ("cloudformation:stack",)
    reads: ClassVar[tuple[str, ...]] = ("cloudformation:DescribeStackEvents",)
    turn: ClassVar[timedelta] = timedelta(minutes=5)
    retold: ClassVar[timedelta] = timedelta(days=1)

    longest: timedelta = Field(
        default=timedelta(hours=3), gt=timedelta(0), description="how long an operation on a stack may take"
    )
    rollbacks: bool = Field(
        default=True,
        description="whether an update rollback that failed is told here, too: not where stack-rollback-failed is "
        "enabled for the same stacks",
    )

    def query(self, target: Target) -> ResourceRead:
        return ResourceRead("cloudformation.stack", str(target.arn))

    def judge(self, target: Target, found: Mapping[str, Any], now: datetime) -> Neglected | Healthy | Unknown:
        status, name, began = str(found.get("StackStatus", "")), name_of(target.arn), since(found)
        if status == "DELETE_COMPLETE":
            return Unknown(f"the stack {name} was deleted")
        if status in FAILED and (self.rollbacks or status != ROLLBACK_FAILED):
            return Neglected(
                symptom=f"the stack {name} is {status}{f': its last operation began {moment(began)}' if began else ''}",
                cause=_CAUSES[status],
                evidence=_owner(found),
                advice=(_look(target), *_way_out(target, found, status)),
                severity=Severity.SEV2 if status == ROLLBACK_FAILED else Severity.SEV3,
            )
        if status == "REVIEW_IN_PROGRESS" or not status.endswith("_IN_PROGRESS"):
            known = status in FAILED or status.endswith(("_COMPLETE", "_IN_PROGRESS"))
            return Healthy(status) if known else Unknown(f"CloudFormation did not say how {name} is")
        if began is None:
            return Unknown(f"CloudFormation does not say since when {name} is {status}")
        if now - began <= self.longest:
            return Healthy(f"{status} since {moment(began)}")
        return Neglected(
            symptom=f"the stack {name} is {status} since {moment(began)}",
            cause="CloudFormation waits for a resource that does not become ready, or for somebody",
            signals=(Signal("hours", (now - began) / _HOUR, self.longest / _HOUR, "now", "hours"),),
            evidence=_owner(found),
            rejected=(Alternative("it is only slow", f"an operation may take {self.longest} here"),),
            advice=(_look(target), *_way_out(target, found, status)),
        )

    def detail(self, read: Reader, target: Target, diagnosis: Diagnosis, notes: dict[str, Json]) -> Diagnosis:
        """What failed first, by the stack's events."""
        del notes
        evidence = (*diagnosis.evidence, *failures(newest(read, target.arn), target.arn))
        return replace(diagnosis, evidence=evidence)


_CAUSES: Mapping[str, str] = {
    "CREATE_FAILED": "a resource could not be made, and nobody wanted it rolled back",
    "DELETE_FAILED": "a resource could not be deleted",
    "IMPORT_ROLLBACK_FAILED": "resources could not be imported, nor that be rolled back",
    "ROLLBACK_COMPLETE": "its creation failed and was rolled back: it can only be deleted",
    "ROLLBACK_FAILED": "its creation failed, and could not be rolled back",
    "UPDATE_FAILED": "a resource could not be changed, and nobody wanted it rolled back",
    ROLLBACK_FAILED: "an update failed, and what it had changed could not be changed back",
}


def _look(target: Target) -> str:
    failed = "StackEvents[?contains(ResourceStatus, 'FAILED')]"
    stack = shlex.quote(str(target.arn))
    return (
        f"see what failed: aws cloudformation describe-stack-events --stack-name {stack} "
        f"--query {shlex.quote(failed)} {READ_ONLY}"
    )


def _way_out(target: Target, found: Mapping[str, Any], status: str) -> tuple[str, ...]:
    """The one command that takes a stack out of a state, where there is one that destroys nothing by surprise."""
    stack = f"--stack-name {shlex.quote(str(target.arn))} {WRITE}"
    if root := str(found.get("RootId") or found.get("ParentId") or ""):
        return (f"it is part of the stack {root}: whatever is done is done to that one",)
    if status == ROLLBACK_FAILED:
        return (
            f"once that is mended, and skipping nothing: aws cloudformation continue-update-rollback {stack}",
            "it acts with the stack's own role, or, where it has none, with the permissions of whoever calls",
        )
    if status == "UPDATE_FAILED":
        return (f"deploy what works, or go back: aws cloudformation rollback-stack {stack}",)
    if status in {"CREATE_FAILED", "ROLLBACK_FAILED", "ROLLBACK_COMPLETE", "DELETE_FAILED"}:
        return (f"once nobody needs what is in it: aws cloudformation delete-stack {stack}; then deploy it anew",)
    if status == "UPDATE_IN_PROGRESS":
        return (
            f"if nobody waits for it, cancel it, which rolls it back: aws cloudformation cancel-update-stack {stack}",
        )
    return ("wait for AWS to give up, or ask its support",)


def _owner(found: Mapping[str, Any]) -> tuple[str, ...]:
    role = found.get("RoleARN")
    return (f"CloudFormation acts in it with {role}" if role else "it has no role of its own",)
