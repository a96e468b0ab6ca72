"""What there is to put a table or a bucket back from: when too little is told, and with what."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightshift.model import Arn, Healthy, ResourceRead, Severity, Sick, Target, Unknown
from nightshift.remediations.backup_stale import BackupStale

from tests.nightshift.remediations.account import NOW
from tests.nightshift.remediations.keeping import Kept

ARN = Arn.parse("arn:aws:dynamodb:eu-central-1:123456789012:table/orders")
TABLE = Kept(BackupStale(), Target(ARN, "group"))
BUCKET = Kept(BackupStale(), Target(Arn.parse("arn:aws:s3:::terraform-state"), "group"))
COPIED = Kept(BackupStale(), Target(BUCKET.target.arn, "group", replicated=True))
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)


def made(age: float, name: str = "before-v2", **other: Any) -> dict[str, Any]:
    """A backup that somebody made so many days ago."""
    plain = {
        "BackupName": name,
        "BackupCreationDateTime": NOW - age * DAY,
        "BackupStatus": "AVAILABLE",
        "BackupType": "USER",
    }
    return plain | other


def off(*backups: dict[str, Any]) -> dict[str, Any]:
    """A table without continuous backups."""
    return {"PointInTimeRecoveryStatus": "DISABLED", "Backups": list(backups)}


def on(behind: float, *backups: dict[str, Any], **other: Any) -> dict[str, Any]:
    """One with them, so many minutes behind."""
    plain = {
        "PointInTimeRecoveryStatus": "ENABLED",
        "EarliestRestorableDateTime": NOW - 35 * DAY,
        "LatestRestorableDateTime": NOW - behind * MINUTE,
        "Backups": list(backups),
    }
    return plain | other


def bucket(versioning: str = "Enabled", *copied: str, rules: int | None = None) -> dict[str, Any]:
    """What is read of one."""
    return {"Versioning": versioning, "Rules": len(copied) if rules is None else rules, "CopiedTo": list(copied)}


def test_it_reads_what_there_is_to_put_back_from_and_writes_nothing() -> None:
    """One reading each, by what it is."""
    assert TABLE.remediation.watch(TABLE.target) == (ResourceRead("dynamodb.backups", str(ARN)),)
    assert BUCKET.remediation.watch(BUCKET.target) == (ResourceRead("s3.backups", str(BUCKET.target.arn)),)
    assert (TABLE.remediation.reads, TABLE.remediation.writes) == ((), ())


# -- a table -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("behind", [5, 30])
def test_a_table_with_continuous_backups_says_to_which_time_it_can_be_put_back(behind: float) -> None:
    """For whoever asks before its schema is changed."""
    summary = TABLE.healthy(on(behind))
    assert summary.startswith("it can be put back to any time from 2026-10-15 03:00 UTC to 2026-11-19 02:")


def test_one_that_lags_behind_is_told_in_the_same_words_however_far() -> None:
    """So that it is told once; how far it is now stands in the report."""
    finding = TABLE.sick(on(31))
    assert finding.symptom == "the newest time to which orders can be put back is more than 30 minutes ago"
    assert (finding.severity, finding.signals[0].value) == (Severity.SEV2, 31)
    assert TABLE.sick(on(500)).symptom == finding.symptom
    told = TABLE.told(on(31, made(40)))
    assert told.evidence == (
        "it can be put back to any time from 2026-10-15 03:00 UTC to 2026-11-19 02:29 UTC",
        "the newest backup that was made by hand is before-v2, of 2026-10-10 03:00 UTC",
    )
    assert "aws dynamodb describe-continuous-backups --table-name orders (read only)" in told.advice[0]
    assert "aws dynamodb create-backup --table-name orders --backup-name NAME (a write)" in told.advice[1]


@pytest.mark.parametrize("age, newest", [(0, made(0)), (7, made(7))])
def test_without_them_a_new_backup_is_enough(age: int, newest: dict[str, Any]) -> None:
    """Up to the age that the setting says, whatever else there is."""
    assert TABLE.healthy(off(made(30, "old"), newest, made(20))) == (
        f"it can be put back as it was 2026-11-{19 - age} 03:00 UTC (before-v2), and to no other time since"
    )


def test_an_old_backup_is_told_with_what_it_is_of() -> None:
    """The newest one, by which the table could be put back, and the command that changes that."""
    found = off(made(20, "older"), made(7.01))
    finding = TABLE.sick(found)
    assert finding.symptom == "orders has no continuous backups, and none of the last 7 days"
    assert (finding.severity, finding.signals[0].value) == (Severity.SEV3, 7)
    told = TABLE.told(found)
    assert told.evidence == ("the newest backup that was made by hand is before-v2, of 2026-11-12 02:45 UTC",)
    switch = "--point-in-time-recovery-specification PointInTimeRecoveryEnabled=true (a write)"
    assert f"aws dynamodb update-continuous-backups --table-name orders {switch}" in told.advice[0]
    assert told.rejected[0].cause == "AWS Backup keeps it"


@pytest.mark.parametrize(
    "backups",
    [
        (),
        (made(1, BackupStatus="CREATING"),),
        (made(1, BackupStatus="DELETED"),),
        (made(1, BackupType="SYSTEM"), made(2, BackupStatus="DELETED", BackupCreationDateTime=None)),
    ],
)
def test_what_it_cannot_be_put_back_from_is_no_backup(backups: tuple[dict[str, Any], ...]) -> None:
    """One that is not finished, one that was deleted, and one of a table that was."""
    finding = TABLE.sick(off(*backups))
    assert finding.signals == ()
    assert TABLE.told(off(*backups)).evidence == ("there is no backup of the last 35 days that was made by hand",)


def test_an_index_is_backed_up_with_its_table() -> None:
    """It is told of by the table's name."""
    index = Kept(BackupStale(), Target(Arn.parse(f"{ARN}/index/by-day"), "group"))
    assert index.sick(off()).symptom.startswith("orders has no")


# -- a bucket ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kept, found, summary",
    [
        (BUCKET, bucket(), "it keeps versions"),
        (BUCKET, bucket(rules=1), "it keeps versions"),  # nobody has said that it should be replicated
        (COPIED, bucket("Enabled", "a", "b", rules=3), "it keeps versions, and copies them to a, b"),
    ],
)
def test_a_bucket_that_keeps_versions_is_well(kept: Kept, found: dict[str, Any], summary: str) -> None:
    """And copies them, where the configuration says so."""
    assert kept.healthy(found) == summary


@pytest.mark.parametrize(
    "status, cause, evidence",
    [
        ("", "nobody switched them on", "versions: never switched on"),
        ("Suspended", "somebody suspended them: what was kept until then is kept", "versions: suspended"),
    ],
)
def test_one_that_keeps_none_is_told_with_how_to_begin(status: str, cause: str, evidence: str) -> None:
    """That comes before any replication: S3 replicates nothing then."""
    finding = COPIED.sick(bucket(status))
    assert (finding.symptom, finding.severity) == ("terraform-state keeps no versions", Severity.SEV3)
    told = COPIED.told(bucket(status))
    assert told.cause == cause
    assert told.evidence == (evidence, "replication: none")
    command = "aws s3api put-bucket-versioning --bucket terraform-state --versioning-configuration Status=Enabled"
    assert told.advice[0] == f"from now on: {command} (a write)"


@pytest.mark.parametrize(
    "rules, cause, evidence",
    [
        (0, "it has no rule for that, or not any more", "replication: none"),
        (2, "none of its rules is enabled", "replication: 0 of 2 rules enabled"),
    ],
)
def test_one_that_should_be_replicated_and_is_not_is_told(rules: int, cause: str, evidence: str) -> None:
    """With the warning that a rule copies nothing that is there already."""
    assert COPIED.sick(bucket(rules=rules)).symptom == "terraform-state should be replicated, and is not"
    told = COPIED.told(bucket(rules=rules))
    assert told.cause == cause
    assert evidence in told.evidence
    assert "S3 Batch Replication copies what was written before" in told.advice[-1]


def test_of_the_buckets_that_one_is_copied_to_five_are_named() -> None:
    """Each once."""
    told = BUCKET.told(bucket("Suspended", *(f"copy-{number}" for number in range(7))))
    assert told.evidence[1:] == ("replication: 7 of 7 rules enabled", *(f"copied to copy-{n}" for n in range(5)))


# -- what cannot be told -----------------------------------------------------------------------------------------------


def test_what_cannot_be_told_is_unknown() -> None:
    """Unread, gone, or not said."""
    for kept in (TABLE, BUCKET):
        for found in kept.blind():
            assert isinstance(kept.seen(found), Unknown)
    assert "to which time" in TABLE.unknown(on(1, LatestRestorableDateTime=None))
    assert "to which time" in TABLE.unknown(on(1, EarliestRestorableDateTime=None))
    assert "how orders is backed up" in TABLE.unknown({"PointInTimeRecoveryStatus": "NEW", "Backups": []})
    assert "cannot be understood" in TABLE.unknown(off(made(1, BackupCreationDateTime=None)))
    assert "cannot be understood" in BUCKET.unknown({"Versioning": "Enabled"})


@given(
    st.dictionaries(
        st.sampled_from([*on(1), *bucket()]),
        st.one_of(
            st.none(),
            st.booleans(),
            st.text(max_size=5),
            st.just(NOW),
            st.sampled_from(["ENABLED", "DISABLED", "Enabled"]),
            st.just([{"BackupStatus": "AVAILABLE"}]),
            st.just([1]),
        ),
    )
)
def test_any_reading_can_be_judged(found: dict[str, Any]) -> None:
    """It is one of the three."""
    for kept in (TABLE, BUCKET, COPIED):
        assert isinstance(kept.seen(found), Healthy | Sick | Unknown)
