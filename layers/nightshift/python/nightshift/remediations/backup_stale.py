"""
A table or a bucket could not be put back as it should be: say what there is to put it back from.

Symptom   a table's newest time to which it can be put back is long ago; or it has no continuous backups, and nobody has
          made one for days; a bucket keeps no versions, or is not replicated though it should be
Cause     somebody switched it off, or never on; DynamoDB lags behind
Cure      none of ours: backups, versions and copies cost storage, and what was not kept cannot be kept afterwards
Proof     it can be put back to a time not long ago; the bucket keeps versions, and copies them
Undo      nothing was changed
Source    runbook 1 "Schema rollback" (backup first), runbook 2 "Backups exist" (cross-region replication, the bucket of
          Terraform's state); R16, R21

What it will not do: make a backup, or put anything back. DynamoDB puts a table back as another one, and who goes over
to that is a person's. What AWS Backup keeps in a vault DynamoDB does not list: a table that is kept there alone does
not belong here. A backup that DynamoDB itself made is of a table that was deleted, and counts for nothing.

Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DescribeContinuousBackups.html,
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_ListBackups.html,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/Versioning.html,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/replication.html
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field, PositiveInt

from nightshift.model import Alternative, Arn, Healthy, ResourceRead, Severity, Signal, Target, Unknown
from nightshift.states import minutes
from nightshift.upkeep import READ_ONLY, WRITE, Neglected, Upkeep, moment, time_of

__all__ = ["BackupStale"]

_LISTED = 35  # days of which a table's backups are read
_SHOWN = 5  # of the buckets that one is copied to


class BackupStale(Upkeep):
    """A table or a bucket that is not kept as it should be."""

    name: ClassVar[str] = "backup-stale"
    title: ClassVar[str] = "a table or bucket could not be put back as it should be"
    kinds: ClassVar[tuple[str, ...]] = ("dynamodb:table", "s3:bucket")

    days: PositiveInt = Field(
        default=7, le=_LISTED, description="how old a table's newest backup may be, where it has no continuous ones"
    )
    fresh: timedelta = Field(
        default=timedelta(minutes=30),
        ge=timedelta(minutes=10),
        le=timedelta(days=1),
        description="how long ago the newest time may be to which a table can be put back: usually five minutes",
    )

    def query(self, target: Target) -> ResourceRead:
        kind = "s3.backups" if target.arn.kind == "s3:bucket" else "dynamodb.backups"
        return ResourceRead(kind, str(target.arn))

    def judge(self, target: Target, found: Mapping[str, Any], now: datetime) -> Neglected | Healthy | Unknown:
        if target.arn.kind == "s3:bucket":
            return _of_bucket(target, found)
        status = found.get("PointInTimeRecoveryStatus")
        if status == "ENABLED":
            return self._continuous(target.arn, found, now)
        if status == "DISABLED":
            return self._by_hand(target.arn, found, now)
        return Unknown(f"DynamoDB does not say how {_table(target.arn)} is backed up")

    # -- a table ---------------------------------------------------------------------------------------------------

    def _continuous(self, arn: Arn, found: Mapping[str, Any], now: datetime) -> Neglected | Healthy | Unknown:
        first, last = (time_of(found, f"{which}RestorableDateTime") for which in ("Earliest", "Latest"))
        if first is None or last is None:
            return Unknown(f"DynamoDB does not say to which time {_table(arn)} can be put back")
        window = f"it can be put back to any time from {moment(first)} to {moment(last)}"
        age = now - last
        if age <= self.fresh:
            return Healthy(window)
        look = f"aws dynamodb describe-continuous-backups --table-name {_quoted(arn)} {READ_ONLY}"
        return Neglected(
            symptom=f"the newest time to which {_table(arn)} can be put back is more than {minutes(self.fresh)} minutes"
            " ago",
            cause="its continuous backups are on, and lag behind: that is usually five minutes",
            signals=(Signal("minutes that cannot be put back", minutes(age), minutes(self.fresh), "now", "minutes"),),
            evidence=(window, *_made(_backups(found))),
            advice=(
                f"see whether it goes on: {look}; look at the AWS Health Dashboard, and open a case if it does not",
                f"change nothing that may have to be taken back before that; or back it up first: {_backup(arn)}",
            ),
            severity=Severity.SEV2,
        )

    def _by_hand(self, arn: Arn, found: Mapping[str, Any], now: datetime) -> Neglected | Healthy:
        backups = _backups(found)
        if backups and now - backups[0][0] <= timedelta(days=self.days):
            at, name = backups[0]
            return Healthy(f"it can be put back as it was {moment(at)} ({name}), and to no other time since")
        ages = [Signal("age of its newest backup", (now - at).days, self.days, "now", "days") for at, _ in backups[:1]]
        switch = f"aws dynamodb update-continuous-backups --table-name {_quoted(arn)}"
        switch += f" --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true {WRITE}"
        vault = f"aws backup list-recovery-points-by-resource --resource-arn {shlex.quote(str(arn))} {READ_ONLY}"
        return Neglected(
            symptom=f"{_table(arn)} has no continuous backups, and none of the last {self.days} days",
            cause="point-in-time recovery is off, and nobody has backed it up by hand",
            signals=tuple(ages),
            evidence=_made(backups),
            rejected=(Alternative("AWS Backup keeps it", f"not looked at: DynamoDB lists no vault; see {vault}"),),
            advice=(
                f"have it backed up all the time, from now on: {switch}",
                f"before its schema or its data are changed: {_backup(arn)}",
                "a table is put back as another one, under another name: who goes over to it is decided then",
            ),
        )


def _table(arn: Arn) -> str:
    """A table's name; an index is backed up with its table."""
    return arn.resource.split("/")[1]


def _quoted(arn: Arn) -> str:
    return shlex.quote(_table(arn))


def _backup(arn: Arn) -> str:
    return f"aws dynamodb create-backup --table-name {_quoted(arn)} --backup-name NAME {WRITE}"


def _backups(found: Mapping[str, Any]) -> list[tuple[datetime, str]]:
    """Those that it can be put back from, the newest first. Raises ValueError where one of them says no time."""
    made = []
    for each in found["Backups"]:
        if each.get("BackupStatus") == "AVAILABLE" and each.get("BackupType") != "SYSTEM":
            at = time_of(each, "BackupCreationDateTime")
            if at is None:
                raise ValueError("a backup without a time")
            made.append((at, str(each.get("BackupName"))))
    return sorted(made, reverse=True)


def _made(backups: Sequence[tuple[datetime, str]]) -> tuple[str, ...]:
    if not backups:
        return (f"there is no backup of the last {_LISTED} days that was made by hand",)
    at, name = backups[0]
    return (f"the newest backup that was made by hand is {name}, of {moment(at)}",)


# -- a bucket ----------------------------------------------------------------------------------------------------------


def _of_bucket(target: Target, found: Mapping[str, Any]) -> Neglected | Healthy:
    """Versions first: without them S3 replicates nothing."""
    name, status, copies = target.arn.name, str(found["Versioning"]), [str(each) for each in found["CopiedTo"]]
    one, rules = f"--bucket {shlex.quote(name)}", int(found["Rules"])
    evidence = (
        f"versions: {status.lower() or 'never switched on'}",
        f"replication: {len(copies)} of {rules} rules enabled" if rules else "replication: none",
        *(f"copied to {each}" for each in copies[:_SHOWN]),
    )
    if status != "Enabled":
        return Neglected(
            symptom=f"{name} keeps no versions",
            cause="somebody suspended them: what was kept until then is kept" if status else "nobody switched them on",
            evidence=evidence,
            advice=(
                f"from now on: aws s3api put-bucket-versioning {one} --versioning-configuration Status=Enabled {WRITE}",
                "what is deleted or written over before that is gone",
                "what is kept costs storage: a lifecycle rule for noncurrent versions says for how long",
                "where Terraform or a stack sets it, change it there, or the next apply sets it again",
            ),
        )
    if target.replicated and not copies:
        enable = f"aws s3api put-bucket-replication {one} --replication-configuration file://rules.json {WRITE}"
        return Neglected(
            symptom=f"{name} should be replicated, and is not",
            cause="none of its rules is enabled" if rules else "it has no rule for that, or not any more",
            evidence=evidence,
            advice=(
                f"see its rules, and who changed them: aws s3api get-bucket-replication {one} {READ_ONLY}",
                f"enable one: {enable}",
                "a rule copies what is written from then on: S3 Batch Replication copies what was written before",
            ),
        )
    return Healthy("it keeps versions" + (f", and copies them to {', '.join(copies[:_SHOWN])}" if copies else ""))
