"""A database's backups: too few or too old is told, with what there is to restore it from."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightshift.errors import Denied
from nightshift.model import Arn, Diagnosis, Finding, Healthy, Observation, Severity, Sick, Target, Unknown
from nightshift.remediation import Readings, Unread
from nightshift.remediations.database_backup_stale import DatabaseBackupStale

from tests.nightshift.remediations.account import NOW, Account, Eyes, read

TELLS = DatabaseBackupStale()
CLUSTER = Arn.parse("arn:aws:rds:eu-central-1:123456789012:cluster:dms")
DB = Target(CLUSTER, "documents")
FINDING = Finding(TELLS.name, str(CLUSTER), "dms is not backed up")
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
DESCRIBED: Mapping[str, Any] = {
    "Status": "available",
    "BackupRetentionPeriod": 7,
    "EarliestRestorableTime": NOW - 7 * DAY,
    "LatestRestorableTime": NOW - 5 * MINUTE,
}
SNAPSHOTS = "rds:DescribeDBClusterSnapshots"


def cluster(**other: Any) -> dict[str, Any]:
    """A cluster, as DescribeDBClusters gives it."""
    return {**DESCRIBED, **other}


def look(described: Any) -> Observation:
    """What it makes of a cluster."""
    return TELLS.detect(DB, Readings(NOW, {read("rds.cluster", CLUSTER): described}))


def snapshot(name: str, at: Any, status: str = "available") -> dict[str, Any]:
    """A snapshot, as DescribeDBClusterSnapshots gives it."""
    return {"DBClusterSnapshotIdentifier": name, "SnapshotCreateTime": at, "Status": status}


def diagnosed(described: Any, *snapshots: dict[str, Any], denied: Denied | None = None) -> Diagnosis:
    """The diagnosis."""
    there = Account(services={CLUSTER: described}, answers={SNAPSHOTS: {"DBClusterSnapshots": list(snapshots)}})
    there.fails = {} if denied is None else {SNAPSHOTS: denied}
    return TELLS.diagnose(Eyes(there, DatabaseBackupStale), DB, FINDING)


def test_a_cluster_is_read_as_the_sweep_reads_it() -> None:
    """Nothing more."""
    assert TELLS.watch(DB) == (read("rds.cluster", CLUSTER),)


def test_backups_of_a_week_up_to_a_few_minutes_ago_are_well() -> None:
    """As long as they should be, or longer."""
    assert look(cluster()) == Healthy("backups of 7 days, the newest of 5 minutes ago")
    assert isinstance(look(cluster(LatestRestorableTime=NOW - 30 * MINUTE)), Healthy)


@pytest.mark.parametrize(
    "other, says, severity",
    [
        ({"BackupRetentionPeriod": 6}, "are kept for 6 days, and should be for 7", Severity.SEV3),
        ({"LatestRestorableTime": NOW - 31 * MINUTE}, "can be restored to 31 minutes ago", Severity.SEV2),
        (
            {"LatestRestorableTime": NOW - DAY, "BackupRetentionPeriod": 1},
            "can be restored to 1440 minutes ago",
            Severity.SEV2,
        ),
    ],
)
def test_too_few_or_too_old_are_seen(other: dict[str, Any], says: str, severity: Severity) -> None:
    """That they have stopped is worse."""
    found = look(cluster(**other))
    assert isinstance(found, Sick)
    assert says in found.finding.symptom
    assert found.finding.severity is severity


def test_what_is_stopped_stands_still() -> None:
    """That proves nothing, either."""
    found = look(cluster(Status="stopped", LatestRestorableTime=NOW - DAY))
    assert found == Healthy("stopped on purpose", idle=True)


@pytest.mark.parametrize(
    "described",
    [Unread("no"), None, cluster(BackupRetentionPeriod=None), cluster(LatestRestorableTime=None)],
)
def test_what_is_not_said_is_unknown(described: Any) -> None:
    """Nothing is guessed."""
    assert isinstance(look(described), Unknown)


@given(described=st.dictionaries(st.sampled_from([*DESCRIBED]), st.none() | st.integers() | st.text(max_size=3)))
def test_detection_is_total(described: dict[str, Any]) -> None:
    """Whatever AWS may say has an answer."""
    assert isinstance(look(cluster(**described)), Healthy | Sick | Unknown)


def test_a_short_retention_is_told_with_the_command_that_lengthens_it() -> None:
    """And with what there is to restore it from."""
    found = diagnosed(cluster(BackupRetentionPeriod=1))
    assert "kept for too short a time" in found.cause
    assert "it can be restored to any time from 2026-11-12 03:00 to 2026-11-19 02:55 UTC" in found.evidence
    assert "there is no snapshot that was made by hand" in found.evidence
    assert any("--backup-retention-period 7" in each for each in found.advice)
    assert "dms-20261119" in found.advice[1]


def test_backups_that_have_stopped_are_told_with_what_to_look_at() -> None:
    """A longer retention would not help."""
    found = diagnosed(cluster(LatestRestorableTime=NOW - DAY))
    assert "have stopped" in found.cause
    assert "describe-events" in found.advice[0]
    assert not any("retention-period" in each for each in found.advice)


def test_the_newest_snapshot_that_can_be_restored_is_named() -> None:
    """One that is still being made cannot."""
    made = [snapshot("old", NOW - 9 * DAY), snapshot("new", NOW - DAY), snapshot("half", NOW, "creating")]
    found = diagnosed(cluster(), *made, snapshot("odd", "yesterday"))
    assert "the newest snapshot that was made by hand is new, of 2026-11-18 03:00 UTC" in found.evidence


def test_a_report_without_snapshots_or_times_is_better_than_none() -> None:
    """It says what could not be read."""
    found = diagnosed(cluster(EarliestRestorableTime=None), denied=Denied(SNAPSHOTS, "AccessDenied"))
    assert any("could not be read" in each for each in found.evidence)
    assert not any("any time from" in each for each in found.evidence)
