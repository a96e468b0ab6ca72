"""
People are about to do what may have to be taken back: back a table or a database up for them first.

Symptom   none: somebody has asked for it, with "nightshift backup"
Cause     what they are about to do: another schema, a migration, a rollback by hand
Cure      an on-demand backup of the table (CreateBackup), or a snapshot of the cluster (CreateDBClusterSnapshot)
Proof     AWS says that the backup is available: until then nothing can be put back from it
Undo      none is needed: it changes nothing. It stays, and is billed by the GB, until somebody deletes it
Source    runbook 1 "Database Schema Rollback" (backup first), runbook 2 "Maintenance Windows" and "Manual Backup"; R16

Whoever asks has seen the plan and said yes to it. The backup's name is made of the request, so however often it is
tried, one is made: it is looked for by its name before it is made anew. SQL says nothing here: what a transaction has
not committed is in no snapshot.

What it will not do: back up a cluster that RDS is changing, restore anything, or delete a backup. DynamoDB and RDS put
back as another table and another cluster; who goes over to it, and when, is a person's.

Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateBackup.html,
https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBClusterSnapshot.html
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field, PositiveInt

from nightshift import states
from nightshift.errors import Refused
from nightshift.model import (
    Arn,
    Call,
    Diagnosis,
    Finding,
    Healthy,
    Json,
    Ledger,
    Observation,
    Outcome,
    Plan,
    Queries,
    Request,
    ResourceRead,
    Severity,
    Sick,
    Step,
    Target,
    Unknown,
)
from nightshift.remediation import Actor, Progress, Reader, Readings, Remediation, Unread

__all__ = ["BackupOnDemand"]

_LANDS = timedelta(seconds=60)  # how long a request whose answer was lost may still take effect
_LISTED = timedelta(minutes=5)  # by then what was made stands in the list
_FIELDS = {
    "dynamodb:table": ("BackupName", "BackupStatus", "BackupCreationDateTime"),
    "rds:cluster": ("DBClusterSnapshotIdentifier", "Status", "SnapshotCreateTime"),
}


class BackupOnDemand(Remediation):
    """A table or a database that people want backed up now."""

    name: ClassVar[str] = "backup-on-demand"
    title: ClassVar[str] = "somebody wants a backup"
    kinds: ClassVar[tuple[str, ...]] = ("dynamodb:table", "rds:cluster")
    reads: ClassVar[tuple[str, ...]] = ()
    writes: ClassVar[tuple[str, ...]] = ("dynamodb:CreateBackup", "rds:CreateDBClusterSnapshot")
    asked_for: ClassVar[bool] = True
    mends_itself: ClassVar[bool] = False
    freeze_safe: ClassVar[bool] = True

    max_attempts: PositiveInt = Field(default=1, le=3, description="tries to make it before it escalates")
    cooldown: timedelta = Field(default=timedelta(minutes=1), description="between two of one table or cluster")
    confirm: PositiveInt = Field(default=1, description="looks before it is begun")
    looks: PositiveInt = Field(default=1, description="looks in a row at which it is available")

    # -- seeing ----------------------------------------------------------------------------------------------------

    def asked(self, target: Target, request: Request) -> Finding:
        """What a person asks for, as an incident begins with it."""
        because = f": {request.why}" if request.why else ""
        return Finding(
            remediation=self.name,
            target=str(target.arn),
            symptom=f"{request.by} wants {_name(target.arn)} backed up{because}",
            severity=Severity.SEV4,
            request=request,
        )

    def watch(self, target: Target) -> Queries:
        return (_query(target.arn),)

    def detect(self, target: Target, seen: Readings) -> Observation:
        """Nothing that can be seen of a table says that somebody is about to change it."""
        found = _found(seen, target.arn)
        return found if isinstance(found, Unknown) else Healthy("nobody has asked for a backup of it")

    def recovered(self, target: Target, before: Finding, after: Readings) -> Observation:
        """What was asked for is wanted, as long as it can be seen what there is."""
        seen = self.detect(target, after)
        return seen if isinstance(seen, Unknown) else Sick(before)

    def verify(self, target: Target, before: Finding, after: Readings) -> Observation:
        found = _found(after, target.arn)
        if isinstance(found, Unknown) or before.request is None:
            return found if isinstance(found, Unknown) else Unknown("nobody has asked for it")
        name = _called(target.arn, before.request.at)
        if _status(target.arn, found, name) == "AVAILABLE":
            return Healthy(f"{name} is available")
        return Sick(before)

    # -- diagnosis -------------------------------------------------------------------------------------------------

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        request, arn = finding.request, target.arn
        if request is None:
            raise Refused("request", f"nobody has asked for a backup of {_name(arn)}")
        if arn.kind == "rds:cluster":
            status = states.cluster(read, arn).get("Status")
            if status != "available":
                wait = timedelta(minutes=5)
                raise Refused("state", f"RDS makes no snapshot of a cluster that is {status}", retry_after=wait)
        name, status, at = _FIELDS[arn.kind]
        made = [each for each in _listed(read, arn) if _is(each, status, "AVAILABLE") and each.get(at) is not None]
        newest = max(made, key=lambda each: each[at], default=None)
        stands = "none was made by hand of late" if newest is None else f"the newest made by hand is {newest.get(name)}"
        return Diagnosis(
            target=str(arn),
            cause=f"{request.by} is about to change {_name(arn)}{f': {request.why}' if request.why else ''}",
            evidence=(f"asked for at {request.at:%Y-%m-%d %H:%M} UTC", stands),
            facts={"target": str(arn), "name": _called(arn, request.at)},
        )

    # -- the plan --------------------------------------------------------------------------------------------------

    def plan(self, diagnosis: Diagnosis) -> Plan:
        arn, name = Arn.parse(str(diagnosis.facts["target"])), str(diagnosis.facts["name"])
        what = shlex.quote(_name(arn))
        if arn.kind == "rds:cluster":
            call = Call(
                "rds",
                "CreateDBClusterSnapshot",
                str(arn),
                params={"DBClusterIdentifier": _name(arn), "DBClusterSnapshotIdentifier": name},
                grants=(("rds:CreateDBClusterSnapshot", str(replace(arn, resource=f"cluster-snapshot:{name}"))),),
            )
            summary = f"make the snapshot {name} of the cluster {_name(arn)}"
            by_hand = f"aws rds delete-db-cluster-snapshot --db-cluster-snapshot-identifier {name}"
        else:
            table = replace(arn, resource=f"table/{_name(arn)}")
            call = Call("dynamodb", "CreateBackup", str(table), params={"TableName": _name(arn), "BackupName": name})
            summary = f"make the backup {name} of the table {_name(arn)}"
            by_hand = (
                f"aws dynamodb list-backups --table-name {what}  # says the ARN of {name}\n"
                "aws dynamodb delete-backup --backup-arn ARN"
            )
        return Plan(
            remediation=self.name,
            target=str(arn),
            summary=summary,
            steps=(Step("back up", (call,), settle=timedelta(minutes=1), why="people are about to change it"),),
            risk="none to what it is of, which serves as before; it is billed by the GB until somebody deletes it",
            undo_by_hand=by_hand,
            final=True,
            asks=True,
        )

    def apply(self, act: Actor, plan: Plan, step: Step) -> None:
        act.scratch["began"] = act.now().isoformat()
        super().apply(act, plan, step)

    def effect(self, call: Call, answer: Mapping[str, Any]) -> Mapping[str, Json]:
        made = answer.get("BackupDetails", answer.get("DBClusterSnapshot", {}))
        return {"backup": made.get("BackupArn", made.get("DBClusterSnapshotArn"))}

    def reconcile(self, read: Reader, call: Call, since: datetime) -> Outcome:
        """By its name, which no other has: where it does not stand in the list yet, it may still come to."""
        if _made(read, call):
            return Outcome.DONE
        return Outcome.NOT_DONE if read.now() >= since + _LANDS else Outcome.UNKNOWN

    # -- how it goes -----------------------------------------------------------------------------------------------

    def progress(
        self, read: Reader, plan: Plan, step: Step, scratch: Mapping[str, Any]
    ) -> tuple[Progress, str, Ledger | None]:
        """As long as it takes, up to the incident's deadline: a large one takes hours."""
        [call] = step.calls
        status = _made(read, call)
        if status == "AVAILABLE":
            return Progress.NEXT, "it is available", None
        if status == "CREATING":
            return Progress.WAIT, "it is being made", None
        if not status:
            began = str(scratch.get("began", ""))
            # who died before that was written down has looked for it already, and found it or begun anew
            late = not began or read.now() >= datetime.fromisoformat(began) + _LISTED
            return (Progress.STOP, "it was not made", None) if late else (Progress.WAIT, "it is not listed yet", None)
        return Progress.STOP, f"it is {status}", None


# -- what AWS says, in our words -------------------------------------------------------------------------------------


def _query(arn: Arn) -> ResourceRead:
    return ResourceRead("rds.snapshots" if arn.kind == "rds:cluster" else "dynamodb.backups", str(arn))


def _name(arn: Arn) -> str:
    """A table's name, also where an index of it is meant: they are backed up together."""
    return arn.name if arn.kind == "rds:cluster" else arn.resource.split("/")[1]


def _called(arn: Arn, at: datetime) -> str:
    """The same for the same request; two clusters that are backed up at once do not share it: RDS knows it by this."""
    return f"nightshift-{at:%Y%m%d-%H%M%S}-{hashlib.sha256(str(arn).encode()).hexdigest()[:8]}"


def _found(seen: Readings, arn: Arn) -> tuple[Mapping[str, Any], ...] | Unknown:
    """The backups of a table, or the snapshots of a cluster, that were made by hand of late."""
    found = seen.resource(_query(arn))
    if isinstance(found, Unread):
        return Unknown(found.reason)
    return Unknown(f"{arn} does not exist") if found is None else tuple(found["Backups"])


def _listed(read: Reader, arn: Arn) -> tuple[Mapping[str, Any], ...]:
    """The same, as they are now. Raises Unreadable, or Missing where what they are of does not exist."""
    listed = states.snapshots if arn.kind == "rds:cluster" else states.backups
    return tuple(listed(read, arn)["Backups"])


def _made(read: Reader, call: Call) -> str:
    """How what a call makes is, in capitals; empty where there is none of that name."""
    arn = Arn.parse(call.resource)
    return _status(arn, _listed(read, arn), str(call.params[_FIELDS[arn.kind][0]]))


def _status(arn: Arn, found: tuple[Mapping[str, Any], ...], name: str) -> str:
    called, status, _ = _FIELDS[arn.kind]
    return next((str(each.get(status) or "unknown").upper() for each in found if each.get(called) == name), "")


def _is(backup: Mapping[str, Any], status: str, wanted: str) -> bool:
    return str(backup.get(status)).upper() == wanted
