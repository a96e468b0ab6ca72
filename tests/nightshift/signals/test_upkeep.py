"""Secrets, stacks and certificates: what is kept of what AWS says of them, and what is not there."""

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
