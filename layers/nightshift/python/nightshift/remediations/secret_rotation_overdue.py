"""
A secret should have another value by now: tell people, with what is known of why, and what to do first.

Symptom   the date by which Secrets Manager was to rotate it has passed; or it has had one value for too many days; or
          somebody has marked it to be deleted, and nobody can read it any more
Cause     the rotation fails (its function, or what that may do); nobody rotates it; somebody deleted it
Cure      none of ours: what must change first, the secret or whoever checks it, and who reads it, people know
Proof     it has a new value, and the next date lies ahead
Undo      nothing was changed
Source    runbook 2 "Monthly" (rotate access keys and secrets), runbook 3 "Rotate secrets"; R21

It never rotates, and never reads a value: it has no permission to. The age is that of the version which is current, not
of the last change of any kind: a secret that was given a tag yesterday is as old as it was. The runbook's own order
(first Secrets Manager, then the database) locks everybody out in between, and its password may hold a `/`, which RDS
does not take: the advice does not repeat it.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field, PositiveInt

from nightshift.model import Alternative, Arn, Healthy, ResourceRead, Severity, Signal, Target, Unknown
from nightshift.upkeep import READ_ONLY, WRITE, Neglected, Upkeep, day, moment, time_of

__all__ = ["SecretRotationOverdue"]

_FUNCTION = ":function:"
_LONGEST = 1000  # days between two rotations: Secrets Manager takes no more


class SecretRotationOverdue(Upkeep):
    """A secret that is not rotated."""

    name: ClassVar[str] = "secret-rotation-overdue"
    title: ClassVar[str] = "a secret should have another value by now"
    kinds: ClassVar[tuple[str, ...]] = ("secretsmanager:secret",)

    days: PositiveInt = Field(
        default=90, le=3650, description="after how many days a secret should have another value, if it does not say so"
    )
    grace: timedelta = Field(
        default=timedelta(days=1),
        ge=timedelta(0),
        description="how long after its date a rotation may come: Secrets Manager tries a failed one again",
    )

    def query(self, target: Target) -> ResourceRead:
        return ResourceRead("secretsmanager.secret", str(target.arn))

    def judge(self, target: Target, found: Mapping[str, Any], now: datetime) -> Neglected | Healthy | Unknown:
        """By what is worst: it cannot be read, its rotation failed, it is old. Unknown where its age is not known."""
        name = _name(target.arn)
        if "DeletedDate" in found:
            return self._deleted(target, found)
        due, since = time_of(found, "NextRotationDate"), time_of(found, "CurrentSince")
        rotates = found.get("RotationEnabled") is True
        if rotates and due is not None and now > due + self.grace:
            return self._failed(target, found, due)
        if since is None:
            return Unknown(f"Secrets Manager does not say since when {name} has its value")
        days = target.rotate_within or self.days
        if now - since > timedelta(days=days):
            return self._old(target, found, since, now, days)
        return Healthy(
            f"it has had its value since {day(since)}" + (f", and is due by {day(due)}" if rotates and due else "")
        )

    def _deleted(self, target: Target, found: Mapping[str, Any]) -> Neglected:
        on, secret = time_of(found, "DeletedDate"), shlex.quote(str(target.arn))
        return Neglected(
            symptom=f"{_name(target.arn)} is marked to be deleted, and nobody can read it",
            cause="somebody deleted it; Secrets Manager keeps it for a while, and reads it out to nobody",
            evidence=(f"its date of deletion is {moment(on) if on else 'not said'}", *_known(found)),
            advice=(
                f"see who deleted it: {_lookup(target.arn)} {READ_ONLY}",
                f"if it is still needed: aws secretsmanager restore-secret --secret-id {secret} {WRITE}",
            ),
            severity=Severity.SEV2,
        )

    def _failed(self, target: Target, found: Mapping[str, Any], due: datetime) -> Neglected:
        function, secret, pending = _function(found), shlex.quote(str(target.arn)), found.get("Pending")
        who, look = str(found.get("OwningService") or "the service that owns it"), _lookup(target.arn)
        if function:
            who = f"the function {function}"
            look = f"aws logs tail /aws/lambda/{shlex.quote(function)} --since 2d --filter-pattern '?ERROR ?Error'"
        left, advice = list[str](), [f"see why it failed: {look} {READ_ONLY}"]
        if pending:
            left.append("a rotation was begun and not finished: it has left a version that waits")
            take = f"aws secretsmanager update-secret-version-stage --secret-id {secret} --version-stage AWSPENDING"
            take += f" --remove-from-version-id {shlex.quote(str(pending))} {WRITE}"
            advice.append(f"what it has left keeps the next one from beginning; once nobody uses that: {take}")
        rotate = f"aws secretsmanager rotate-secret --secret-id {secret} {WRITE}"
        advice.append(f"once the cause is mended, have it rotated, here and where it is checked: {rotate}")
        late = Alternative("it is only late", f"that date is the latest there is, and more than {self.grace} ago")
        return Neglected(
            symptom=f"the rotation of {_name(target.arn)} that was due by {moment(due)} has not happened",
            cause=f"Secrets Manager has tried, and {who} did not finish it, or could not be called",
            evidence=(*_known(found), *left),
            rejected=(late,),
            advice=tuple(advice),
        )

    def _old(self, target: Target, found: Mapping[str, Any], since: datetime, now: datetime, days: int) -> Neglected:
        rotates = found.get("RotationEnabled") is True
        rotate = f"aws secretsmanager rotate-secret --secret-id {shlex.quote(str(target.arn))}"
        rotate += "" if rotates else " --rotation-lambda-arn FUNCTION"
        rotate += f" --rotation-rules AutomaticallyAfterDays={min(days, _LONGEST)} {WRITE}"
        other = Alternative("it was changed since", "what was changed since then, if anything was, is not its value")
        return Neglected(
            symptom=f"{_name(target.arn)} has had the same value since {day(since)}, longer than {days} days",
            cause="it is rotated less often than it should be" if rotates else "nothing rotates it, and nobody did",
            signals=(Signal("age of its value", (now - since).days, days, "now", "days"),),
            evidence=_known(found),
            rejected=(other,),
            advice=(
                f"find out who reads it before anything is changed: {_lookup(target.arn)} {READ_ONLY}",
                "never change the secret alone: until whoever checks it has the new value too, nobody gets in",
                f"have it rotated from now on, for the first time at once: {rotate}",
            ),
            severity=Severity.SEV4,
        )


def _name(arn: Arn) -> str:
    """A secret's own name: what ends its ARN is six characters of AWS's making."""
    return arn.resource.partition(":")[2].rpartition("-")[0]


def _function(found: Mapping[str, Any]) -> str:
    arn = str(found.get("RotationLambdaARN") or "")
    return arn.partition(_FUNCTION)[2].partition(":")[0]


def _lookup(arn: Arn) -> str:
    """CloudTrail knows who reads a secret; by which of its names they do so differs."""
    return (
        "aws cloudtrail lookup-events --lookup-attributes "
        f"AttributeKey=ResourceName,AttributeValue={shlex.quote(str(arn))}"
    )


def _known(found: Mapping[str, Any]) -> tuple[str, ...]:
    """What Secrets Manager says of its times: none of them is a value."""
    rotated, changed, read = (time_of(found, f"Last{what}Date") for what in ("Rotated", "Changed", "Accessed"))
    return (
        f"last rotated: {moment(rotated) if rotated else 'never'}",
        f"last changed in any way: {moment(changed) if changed else 'not said'}",
        f"last read: {day(read) if read else 'never, in this Region'}",
        f"rotation: {'on' if found.get('RotationEnabled') is True else 'off'}",
    )
