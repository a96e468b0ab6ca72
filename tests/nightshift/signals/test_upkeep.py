"""Secrets, stacks, certificates, backups: what is kept of what AWS says of them, and what is not there."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from nightshift.model import ResourceRead
from nightshift.remediation import Unread
from nightshift.signals import gather

from tests.nightshift.signals.cloud import NOW, REGION, Cloud

SECRET = ResourceRead("secretsmanager.secret", f"arn:aws:secretsmanager:{REGION}:123456789012:secret:dms/db-a1B2c3")
STACK = ResourceRead("cloudformation.stack", f"arn:aws:cloudformation:{REGION}:123456789012:stack/api/1")
CERTIFICATE = ResourceRead("acm.certificate", f"arn:aws:acm:{REGION}:123456789012:certificate/1")
TABLE = ResourceRead("dynamodb.backups", f"arn:aws:dynamodb:{REGION}:123456789012:table/orders")
BUCKET = ResourceRead("s3.backups", "arn:aws:s3:::state")
OLD = NOW - timedelta(days=100)


def read(cloud: Cloud, query: ResourceRead) -> Any:
    """What the reader makes of it."""
    return gather(cloud.aws(), [query], now=NOW).resource(query)


def test_of_a_secret_its_times_are_kept_and_nothing_that_anybody_wrote(cloud: Cloud) -> None:
    """Since when it has its value is the date of its current version; what a rotation left behind has a name."""
    cloud.answers["DescribeSecret"] = lambda _: {
        "RotationEnabled": True,
        "NextRotationDate": NOW,
        "LastChangedDate": NOW,
        "Description": "the password is hunter2",
        "Tags": [],
    }
    cloud.answers["ListSecretVersionIds"] = lambda _: {
        "Versions": [
            {"VersionId": "v1", "VersionStages": ["AWSPREVIOUS"], "CreatedDate": OLD - timedelta(days=9)},
            {"VersionId": "v2", "VersionStages": ["AWSCURRENT"], "CreatedDate": OLD},
            {"VersionId": "v3", "VersionStages": ["AWSPENDING"], "CreatedDate": NOW},
            {"VersionId": "v4", "CreatedDate": NOW},
        ]
    }
    found = read(cloud, SECRET)
    assert found == {
        "RotationEnabled": True,
        "NextRotationDate": NOW,
        "LastChangedDate": NOW,
        "CurrentSince": OLD,
        "Pending": "v3",
    }
    assert {operation for operation, _ in cloud.calls} == {"DescribeSecret", "ListSecretVersionIds"}


def test_a_rotation_that_has_ended_has_left_nothing_behind(cloud: Cloud) -> None:
    """Then the label of what waits may stay at what is current."""
    cloud.answers["DescribeSecret"] = lambda _: {}
    both = {"VersionId": "v2", "VersionStages": ["AWSCURRENT", "AWSPENDING"], "CreatedDate": OLD}
    cloud.answers["ListSecretVersionIds"] = lambda _: {"Versions": [both]}
    assert read(cloud, SECRET) == {"CurrentSince": OLD}


def test_of_a_stack_and_a_certificate_the_fields_are_aws_own(cloud: Cloud) -> None:
    """And only those that a judgement needs: no parameter, no output, no serial number."""
    stack = {"StackName": "api", "StackStatus": "UPDATE_COMPLETE", "CreationTime": OLD}
    cloud.answers["DescribeStacks"] = lambda _: {"Stacks": [stack | {"Parameters": [{"ParameterValue": "hunter2"}]}]}
    assert read(cloud, STACK) == stack
    certificate = {"DomainName": "api.example.com", "Status": "ISSUED", "NotAfter": NOW}
    cloud.answers["DescribeCertificate"] = lambda _: {"Certificate": certificate | {"Serial": "0a"}}
    assert read(cloud, CERTIFICATE) == certificate


@pytest.mark.parametrize(
    "query, operation, code",
    [
        (SECRET, "DescribeSecret", "ResourceNotFoundException"),
        (CERTIFICATE, "DescribeCertificate", "ResourceNotFoundException"),
        (TABLE, "DescribeContinuousBackups", "TableNotFoundException"),
        (BUCKET, "GetBucketVersioning", "NoSuchBucket"),
    ],
)
def test_what_is_not_there_is_none(cloud: Cloud, query: ResourceRead, operation: str, code: str) -> None:
    """Not unknown: AWS has answered."""
    cloud.fail(operation, code)
    assert read(cloud, query) is None


def test_a_stack_that_was_forgotten_is_none_and_a_request_that_is_wrong_is_unknown(cloud: Cloud) -> None:
    """CloudFormation has one code for both."""
    assert read(cloud, STACK) is None  # moto knows no such stack, and says so as CloudFormation does
    cloud.fail("DescribeStacks", "ValidationError")
    assert isinstance(read(cloud, STACK), Unread)
    cloud.fail("DescribeStacks", "Strange")
    assert isinstance(read(cloud, STACK), Unread)


@pytest.mark.parametrize("index", ["", "/index/by-day"])
def test_of_a_table_its_times_and_its_backups_of_five_weeks_are_kept(cloud: Cloud, index: str) -> None:
    """Of all pages, by the table's name, with how large they are and without what they cost."""
    described = {"PointInTimeRecoveryStatus": "ENABLED", "LatestRestorableDateTime": NOW}
    cloud.answers["DescribeContinuousBackups"] = lambda _: {
        "ContinuousBackupsDescription": {
            "ContinuousBackupsStatus": "ENABLED",
            "PointInTimeRecoveryDescription": described | {"RecoveryPeriodInDays": 35},
        }
    }
    backup = {"BackupName": "a", "BackupStatus": "AVAILABLE", "BackupType": "USER", "BackupCreationDateTime": NOW}
    arn = f"{TABLE.key}/backup/01489173575360-b308cd7d"
    cloud.answers["ListBackups"] = lambda asked: (
        {"BackupSummaries": [backup]}
        if "ExclusiveStartBackupArn" in asked
        else {"BackupSummaries": [backup | {"BackupSizeBytes": 9, "TableId": "x"}], "LastEvaluatedBackupArn": arn}
    )
    listed = [backup | {"BackupSizeBytes": 9}, backup]
    assert read(cloud, ResourceRead(TABLE.kind, f"{TABLE.key}{index}")) == described | {"Backups": listed}
    assert [asked["TableName"] for asked in cloud.asked("DescribeContinuousBackups")] == ["orders"]
    for asked in cloud.asked("ListBackups"):
        assert (asked["TableName"], asked["BackupType"]) == ("orders", "ALL")
        assert asked["TimeRangeLowerBound"] == NOW - timedelta(days=35)


@pytest.mark.parametrize("index", ["", "/index/by-day"])
def test_whom_a_table_lets_in_and_by_what_its_items_expire(cloud: Cloud, index: str) -> None:
    """Of an index its table's; a table without a policy is answered with an error of its own, which is no failure."""
    query = ResourceRead("dynamodb.access", f"{TABLE.key}{index}")
    expires = {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires"}
    cloud.answers["DescribeTimeToLive"] = lambda _: {"TimeToLiveDescription": expires}
    cloud.answers["GetResourcePolicy"] = lambda _: {"Policy": "{}", "RevisionId": "1"}
    assert read(cloud, query) == expires | {"Policy": "{}"}
    assert [asked["ResourceArn"] for asked in cloud.asked("GetResourcePolicy")] == [TABLE.key]
    cloud.fail("GetResourcePolicy", "PolicyNotFoundException")
    assert read(cloud, query) == expires
    cloud.fail("GetResourcePolicy", "ValidationException")
    assert isinstance(read(cloud, query), Unread)


def test_more_backups_than_are_listed_are_unknown(cloud: Cloud) -> None:
    """Half a list must not pass for a whole one."""
    cloud.answers["DescribeContinuousBackups"] = lambda _: {"ContinuousBackupsDescription": {}}
    cloud.answers["ListBackups"] = lambda _: {"BackupSummaries": [{"BackupName": "a"}] * 2001}
    found = read(cloud, TABLE)
    assert isinstance(found, Unread)
    assert "more than 2000" in found.reason
    cloud.answers["ListBackups"] = lambda _: {"BackupSummaries": []}
    assert read(cloud, TABLE) == {"Backups": []}


def test_of_a_bucket_its_versions_and_where_it_is_copied_to_are_kept(cloud: Cloud) -> None:
    """By the rules that are enabled; no rule at all is an answer, and a refusal is none."""
    cloud.bucket("state")
    assert read(cloud, BUCKET) == {"Versioning": "", "Rules": 0, "CopiedTo": []}
    cloud.answers["GetBucketVersioning"] = lambda _: {"Status": "Suspended"}
    cloud.answers["GetBucketReplication"] = lambda _: {
        "ReplicationConfiguration": {
            "Role": "role",
            "Rules": [
                {"Status": status, "Destination": {"Bucket": f"arn:aws:s3:::{to}"}}
                for to, status in (("b", "Enabled"), ("a", "Enabled"), ("a", "Enabled"), ("off", "Disabled"))
            ],
        }
    }
    assert read(cloud, BUCKET) == {"Versioning": "Suspended", "Rules": 4, "CopiedTo": ["a", "b"]}
    cloud.fail("GetBucketReplication", "AccessDenied")
    assert isinstance(read(cloud, BUCKET), Unread)
    cloud.fail("GetBucketReplication", "Strange")
    assert isinstance(read(cloud, BUCKET), Unread)
