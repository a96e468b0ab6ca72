"""
A database could not be restored as it should be: say what there is to restore it from.

Symptom   automated backups are kept for fewer days than they should be, or the newest time to which it could be
          restored is more than half an hour ago
Cause     its retention was shortened, or its backups have stopped: as far as the cluster says it
Cure      none of ours: a longer retention costs storage, and what was not backed up cannot be backed up afterwards
Proof     backups are kept as long as they should be, up to a few minutes ago
Undo      nothing was changed
Source    runbook 3 "Database backups" and "Database restore", runbook 2 "Automated Backups" and "Manual Backup"; R16

What it will not do: call a cluster unwell that somebody has stopped, whose newest time to restore stands still with
it; take a snapshot; or restore anything. A restore makes another cluster, and who goes over to it when is a person's.

Source: https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/Aurora.Managing.Backups.html
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field, PositiveInt

from nightshift import states
from nightshift.errors import AwsError
from nightshift.model import (
    Arn,
    Diagnosis,
    Finding,
    Healthy,
    Observation,
    Queries,
    ResourceRead,
    Severity,
    Sick,
    Signal,
    Target,
    Unknown,
)
from nightshift.remediation import Reader, Readings, ReportOnly, Unread
from nightshift.states import minutes

__all__ = ["DatabaseBackupStale"]

_LONGEST = 35  # days that AWS keeps automated backups at most


class DatabaseBackupStale(ReportOnly):
    """An Aurora cluster whose automated backups are too few or too old."""

    name: ClassVar[str] = "database-backup-stale"
    title: ClassVar[str] = "a database could not be restored as it should be"
    kinds: ClassVar[tuple[str, ...]] = ("rds:cluster",)
    reads: ClassVar[tuple[str, ...]] = ("rds:DescribeDBClusterSnapshots",)

    days: PositiveInt = Field(default=7, le=_LONGEST, description="days that automated backups must be kept")
    fresh: timedelta = Field(
        default=timedelta(minutes=30),
        ge=timedelta(minutes=10),
        le=timedelta(days=1),
        description="how long ago the newest time may be to which it can be restored",
    )

    # -- seeing ----------------------------------------------------------------------------------------------------

    def watch(self, target: Target) -> Queries:
        return (ResourceRead("rds.cluster", str(target.arn)),)

    def detect(self, target: Target, seen: Readings) -> Observation:
        cluster = seen.resource(ResourceRead("rds.cluster", str(target.arn)))
        if isinstance(cluster, Unread):
            return Unknown(cluster.reason)
        if cluster is None:
            return Unknown(f"{target.arn} does not exist")
        if cluster.get("Status") == "stopped":
            return Healthy("stopped on purpose", idle=True)
        days, newest = cluster.get("BackupRetentionPeriod"), cluster.get("LatestRestorableTime")
        if not isinstance(days, int) or not isinstance(newest, datetime):
            return Unknown(f"RDS does not say how {target.arn.name} is backed up")
        age = seen.at - newest
        if age > self.fresh:
            symptom = f"{target.arn.name} can be restored to {minutes(age)} minutes ago, and to nothing since"
            signal = Signal("minutes that cannot be restored", minutes(age), minutes(self.fresh), "now")
            return Sick(Finding(self.name, str(target.arn), symptom, (signal,), severity=Severity.SEV2))
        if days < self.days:
            symptom = f"backups of {target.arn.name} are kept for {days} days, and should be for {self.days}"
            signal = Signal("days that backups are kept", days, self.days, "now")
            return Sick(Finding(self.name, str(target.arn), symptom, (signal,), severity=Severity.SEV3))
        return Healthy(f"backups of {days} days, the newest of {minutes(age)} minutes ago")

    # -- diagnosis -------------------------------------------------------------------------------------------------

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        arn, cluster = target.arn, states.cluster(read, target.arn)
        newest = cluster.get("LatestRestorableTime")
        stale = isinstance(newest, datetime) and read.now() - newest > self.fresh
        cause = "its automated backups have stopped" if stale else "its automated backups are kept for too short a time"
        of_cluster = f"--db-cluster-identifier {arn.name}"
        longer = f"aws rds modify-db-cluster {of_cluster} --backup-retention-period {self.days}"
        called = f"--db-cluster-snapshot-identifier {arn.name}-{read.now():%Y%m%d}"
        snapshot = f"aws rds create-db-cluster-snapshot {of_cluster} {called}"
        return Diagnosis(
            target=str(arn),
            cause=f"{arn.name}: {cause}",
            evidence=(finding.symptom, *_window(cluster), self._snapshots(read, arn)),
            advice=(
                *(_STALE if stale else (f"{longer}: from now on; what is gone already does not come back",)),
                f"{snapshot}: a snapshot now, which stays until somebody deletes it",
                "where it is set by Terraform or a stack, change it there too, or the next apply sets it again",
            ),
        )

    def _snapshots(self, read: Reader, arn: Arn) -> str:
        """What somebody has made by hand, which no retention deletes; a report without it is better than none."""
        try:
            found = read(
                "rds", "DescribeDBClusterSnapshots", DBClusterIdentifier=arn.name, SnapshotType="manual", MaxRecords=100
            )
        except AwsError as error:
            return f"which snapshots were made by hand could not be read: {error}"
        made = [
            (each["SnapshotCreateTime"], str(each.get("DBClusterSnapshotIdentifier")))
            for each in found.get("DBClusterSnapshots", ())
            if each.get("Status") == "available" and isinstance(each.get("SnapshotCreateTime"), datetime)
        ]
        if not made:
            return "there is no snapshot that was made by hand"
        at, name = max(made)
        return f"the newest snapshot that was made by hand is {name}, of {at:%Y-%m-%d %H:%M} UTC"


_STALE = (
    "see what RDS says of it: aws rds describe-events --source-type db-cluster --duration 1440",
    "a cluster whose storage or key is gone cannot be backed up: look whether its KMS key is enabled",
)


def _window(cluster: Mapping[str, Any]) -> list[str]:
    """From when to when it can be restored."""
    first, last = cluster.get("EarliestRestorableTime"), cluster.get("LatestRestorableTime")
    if not isinstance(first, datetime) or not isinstance(last, datetime):
        return []
    return [f"it can be restored to any time from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"]
