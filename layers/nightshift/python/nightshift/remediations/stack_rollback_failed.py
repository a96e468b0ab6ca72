"""
The rollback of a stack's update has failed: ask a person whether to continue it, once what failed was mended.

Symptom   a CloudFormation stack is UPDATE_ROLLBACK_FAILED: it takes no update any more, and is half old, half new
Cause     what the update had changed could not be changed back; its events say which resource, and why
Cure      continue the rollback (ContinueUpdateRollback), skipping no resource, once a person has said yes
Proof     the stack is UPDATE_ROLLBACK_COMPLETE
Undo      none: what was rolled back is deployed anew
Source    runbook 1 "Rollback Procedures": CDK/CloudFormation stack, continue; R21

Only a person knows whether what failed was mended, so one is asked, whatever the modes say. CloudFormation acts with
the role that the stack was given; where it was given none it would act with whoever calls, so that Nightshift would
need leave for whatever is in the stack: then, and for a stack that is part of another, it is only told. The token of
the call is made of the failure, so CloudFormation continues once after each, however often it is sent, and the stack's
events say by that token whether it began.

The tag `auto-remediation=enabled` of a stack is given by CloudFormation to all that is in it.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field

from nightshift.errors import Missing, Refused, Unreadable
from nightshift.model import (
    Alternative,
    Arn,
    Call,
    Diagnosis,
    Finding,
    Healthy,
    Ledger,
    Observation,
    Outcome,
    Plan,
    Queries,
    ResourceRead,
    Severity,
    Sick,
    Step,
    Target,
    Unknown,
)
from nightshift.remediation import Progress, Reader, Readings, Remediation, Unread
from nightshift.stacks import ROLLBACK_FAILED, Events, failures, name_of, newest, own
from nightshift.upkeep import WRITE, moment, time_of

__all__ = ["StackRollbackFailed"]


class StackRollbackFailed(Remediation):
    """A stack whose update could not be rolled back."""

    name: ClassVar[str] = "stack-rollback-failed"
    title: ClassVar[str] = "the rollback of a stack's update has failed"
    kinds: ClassVar[tuple[str, ...]] = ("cloudformation:stack",)
    reads: ClassVar[tuple[str, ...]] = ("cloudformation:DescribeStackEvents",)
    writes: ClassVar[tuple[str, ...]] = ("cloudformation:ContinueUpdateRollback",)
    turn: ClassVar[timedelta] = timedelta(minutes=5)
    steady: ClassVar[bool] = True

    deadline: timedelta = Field(default=timedelta(hours=12), description="how long an incident may stay open")

    # -- seeing ----------------------------------------------------------------------------------------------------

    def watch(self, target: Target) -> Queries:
        return (_read(target.arn),)

    def detect(self, target: Target, seen: Readings) -> Observation:
        """While a rollback is under way nobody knows yet: that opens no incident, and ends none."""
        found, name = seen.resource(_read(target.arn)), name_of(target.arn)
        if isinstance(found, Unread):
            return Unknown(found.reason)
        if found is None:
            return Unknown(f"{target.arn} does not exist")
        status = str(found.get("StackStatus", ""))
        if status == ROLLBACK_FAILED:
            symptom = f"the stack {name} is {status}, and takes no update"
            return Sick(Finding(self.name, str(target.arn), symptom, severity=Severity.SEV2))
        if status.startswith("UPDATE_ROLLBACK") and status.endswith("_IN_PROGRESS"):
            return Healthy(f"{name} is {status}", idle=True)
        return Healthy(f"{name} is {status}") if status else Unknown(f"CloudFormation did not say how {name} is")

    # -- diagnosis -------------------------------------------------------------------------------------------------

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        del finding
        found = _stack(read, target.arn)
        if found.get("StackStatus") != ROLLBACK_FAILED:
            raise Refused("stack", f"it is {found.get('StackStatus')} now", retry_after=timedelta(minutes=1))
        events = newest(read, target.arn)
        failed = _last_failure(events, target.arn)
        role, root = str(found.get("RoleARN") or ""), str(found.get("RootId") or found.get("ParentId") or "")
        if failed is None:
            raise Refused("events", "its events do not say yet when it failed", retry_after=timedelta(minutes=2))
        identity, at = failed
        stack = shlex.quote(root or str(target.arn))
        by_hand = f"aws cloudformation continue-update-rollback --stack-name {stack} {WRITE}"
        advice: tuple[str, ...] = ()
        if root:
            advice = ("mend what failed", f"it is part of another stack, and only that can be continued: {by_hand}")
        elif not role:
            advice = (
                "mend what failed",
                f"whoever calls acts in it, because it has no role of its own, and needs leave for that: {by_hand}",
            )
        return Diagnosis(
            target=str(target.arn),
            cause=f"what an update had changed could not be changed back, at {moment(at)}",
            evidence=(
                *failures(events, target.arn),
                f"CloudFormation acts in it with {role}" if role else "it has no role of its own",
            ),
            rejected=(Alternative("it goes on by itself", "CloudFormation tries no rollback twice"),),
            facts={"stack": str(target.arn), "role": role, "failed": identity, "token": _token(identity)},
            advice=advice,
        )

    # -- the plan --------------------------------------------------------------------------------------------------

    def plan(self, diagnosis: Diagnosis) -> Plan:
        facts = diagnosis.facts
        name = name_of(Arn.parse(facts["stack"]))
        call = Call(
            "cloudformation",
            "ContinueUpdateRollback",
            facts["stack"],
            params={"StackName": facts["stack"], "ClientRequestToken": facts["token"]},
            before={"StackStatus": ROLLBACK_FAILED, "RoleARN": facts["role"], "failed": facts["failed"]},
        )
        why = "bring the stack back to what it was before its update"
        return Plan(
            remediation=self.name,
            target=facts["stack"],
            summary=f"continue the rollback of the stack {name}, skipping nothing",
            steps=(Step("continue", (call,), settle=timedelta(minutes=1), why=why),),
            risk=f"high: CloudFormation changes what is in the stack, with {facts['role']}; it fails again unless what "
            "failed was mended before. Back up first what is in it and must not be lost",
            undo_by_hand="nothing takes a rollback back: deploy the stack anew",
            final=True,
            asks=True,
        )

    def reconcile(self, read: Reader, call: Call, since: datetime) -> Outcome:
        """By the token, which all events of an operation carry: done, or it still stands at the very same failure."""
        del since
        stack = Arn.parse(call.resource)
        found, events = _stack(read, stack), newest(read, stack)
        if any(each.get("ClientRequestToken") == call.params["ClientRequestToken"] for each in events):
            return Outcome.DONE
        failed = _last_failure(events, stack)
        same = failed is not None and failed[0] == call.before["failed"]
        return Outcome.NOT_DONE if same and found.get("StackStatus") == ROLLBACK_FAILED else Outcome.UNKNOWN

    def progress(
        self, read: Reader, plan: Plan, step: Step, scratch: Mapping[str, Any]
    ) -> tuple[Progress, str, Ledger | None]:
        """As long as it is under way, up to the incident's deadline; a rollback that fails again is not continued."""
        del scratch
        stack = Arn.parse(plan.target)
        status = str(_stack(read, stack).get("StackStatus"))
        if status.endswith("_IN_PROGRESS"):
            return Progress.WAIT, f"it is {status}", None
        if status != ROLLBACK_FAILED:
            return Progress.NEXT, f"it is {status}", None
        failed, before = _last_failure(newest(read, stack), stack), step.calls[0].before["failed"]
        if failed is None or failed[0] == before:
            return Progress.WAIT, "CloudFormation has not begun", None
        return Progress.STOP, f"the rollback failed again, at {moment(failed[1])}", None


# -- what is read ------------------------------------------------------------------------------------------------------


def _read(arn: Arn) -> ResourceRead:
    return ResourceRead("cloudformation.stack", str(arn))


def _stack(read: Reader, arn: Arn) -> Mapping[str, Any]:
    """The stack. Raises Unreadable, or Missing where it does not exist."""
    found = read.seen(_read(arn)).resource(_read(arn))
    if isinstance(found, Unread):
        raise Unreadable("cloudformation:DescribeStacks", "Unread", found.reason, resource=str(arn))
    if found is None:
        raise Missing("cloudformation:DescribeStacks", "NotFound", "it does not exist", resource=str(arn))
    return found


def _last_failure(events: Events, arn: Arn) -> tuple[str, datetime] | None:
    """Which event says that the rollback failed, and when; None where none of them does, or it is not the last one."""
    for each in own(events, arn):
        at, identity = time_of(each, "Timestamp"), each.get("EventId")
        if each.get("ResourceStatus") != ROLLBACK_FAILED or at is None or not isinstance(identity, str):
            return None
        return identity, at
    return None


def _token(identity: str) -> str:
    """At most 128 letters, digits and hyphens: the same for the same failure."""
    return f"nightshift-{hashlib.sha256(identity.encode()).hexdigest()[:32]}"
