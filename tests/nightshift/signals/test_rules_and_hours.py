"""A rule is one call, on its own bus; the hours of two days are one listing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from nightshift.model import Arn, ResourceRead
from nightshift.remediation import Unread
from nightshift.signals import gather, rule_metric, split_rule_arn
from nightshift.signals.hours import LISTED, hours_of, prefix_of

from tests.nightshift.signals.cloud import ACCOUNT, NOW, REGION, Cloud

RULE = Arn("aws", "events", REGION, ACCOUNT, "rule/hourly")
ON_BUS = Arn("aws", "events", REGION, ACCOUNT, "rule/orders/hourly")
KEYS = "raw/year=%Y/month=%m/day=%d/hour=%H/"
HOURS = ResourceRead("s3.hours", f"arn:aws:s3:::data/{KEYS}")


def rule(cloud: Cloud, arn: Arn = RULE) -> Any:
    """What a look finds of a rule."""
    read = ResourceRead("events.rule", str(arn))
    return gather(cloud.aws(), [read], now=NOW).resource(read)


def hours(cloud: Cloud) -> Any:
    """What a look finds of the hours."""
    return gather(cloud.aws(), [HOURS], now=NOW).resource(HOURS)


def key(back: int, name: str = "a.json") -> str:
    """The key of an object of an hour so many hours ago."""
    return f"{(NOW - timedelta(hours=back)).strftime(KEYS)}{name}"


def put(cloud: Cloud, *keys: str) -> None:
    """Make a bucket with objects in it that are not empty."""
    cloud.bucket("data")
    for each in keys:
        cloud.session.client("s3").put_object(Bucket="data", Key=each, Body=b"x")
    cloud.calls.clear()


def test_a_rule_is_its_state_and_who_manages_it(cloud: Cloud) -> None:
    """The bus is only named where it is not the default one."""
    cloud.answers["DescribeRule"] = lambda _: {"Name": "hourly", "State": "DISABLED", "ManagedBy": "x", "RoleArn": "y"}
    assert rule(cloud) == {"Name": "hourly", "State": "DISABLED", "ManagedBy": "x"}
    rule(cloud, ON_BUS)
    assert [params for _, params in cloud.calls] == [{"Name": "hourly"}, {"Name": "hourly", "EventBusName": "orders"}]


def test_a_rule_that_is_gone_is_none_and_one_that_is_denied_is_unread(cloud: Cloud) -> None:
    """With what to grant."""
    cloud.fail("DescribeRule", "ResourceNotFoundException")
    assert rule(cloud) is None
    cloud.fail("DescribeRule", "AccessDeniedException")
    found = rule(cloud)
    assert isinstance(found, Unread)
    assert "grant events:DescribeRule" in found.reason


def test_a_rules_figures_name_its_bus_where_it_has_one_of_its_own() -> None:
    """As EventBridge reports them."""
    assert rule_metric(RULE, "Invocations", "Sum").dimensions == (("RuleName", "hourly"),)
    assert rule_metric(ON_BUS, "Invocations", "Sum").dimensions == (("EventBusName", "orders"), ("RuleName", "hourly"))


@pytest.mark.parametrize("resource", ["rule", "rule/", "rule//x", "event-bus/x"])
def test_what_is_no_rule_has_no_name(resource: str) -> None:
    """Raises ValueError."""
    with pytest.raises(ValueError, match="not a rule"):
        split_rule_arn(Arn("aws", "events", REGION, ACCOUNT, resource))


def test_two_days_of_hours_are_one_listing(cloud: Cloud) -> None:
    """What is older, what is empty and what is called otherwise does not count; the hour that is not over does."""
    put(cloud, key(0), key(1), key(1, "b.json"), key(48), key(49), "raw/year=2026/readme", "other")
    cloud.session.client("s3").put_object(Bucket="data", Key=key(2), Body=b"")
    found = hours(cloud)
    assert found == {
        "Hours": {f"{NOW - timedelta(hours=back):%Y-%m-%dT%H}": many for back, many in ((0, 1), (1, 2), (48, 1))}
    }
    [asked] = cloud.asked("ListObjectsV2")
    assert asked["Prefix"] == "raw/year="


def test_a_key_may_be_no_longer_than_its_hour(cloud: Cloud) -> None:
    """Also that of the oldest."""
    keys = "raw/%Y%m%d%H"
    read = ResourceRead("s3.hours", f"arn:aws:s3:::data/{keys}")
    put(cloud, (NOW - timedelta(hours=48)).strftime(keys))
    found: Any = gather(cloud.aws(), [read], now=NOW).resource(read)
    assert list(found["Hours"].values()) == [1]


def test_more_than_can_be_listed_is_unread(cloud: Cloud) -> None:
    """Half an answer would be missing hours."""
    one = {"Contents": [{"Key": key(1), "Size": 1}] * (LISTED + 1), "IsTruncated": False}
    cloud.answers["ListObjectsV2"] = lambda _: one
    assert isinstance(hours(cloud), Unread)


def test_a_bucket_that_is_gone_is_none_and_one_that_is_denied_is_unread(cloud: Cloud) -> None:
    """With what to grant."""
    assert hours(cloud) is None
    cloud.fail("ListObjectsV2", "AccessDenied")
    assert isinstance(hours(cloud), Unread)


def test_hours_are_whole_and_in_order() -> None:
    """From two days ago to the one that is not over; keys in the order of their letters are in that of their hours."""
    every = hours_of(NOW)
    assert (every[0], every[-1]) == (
        NOW.replace(minute=0, second=0) - timedelta(hours=48),
        NOW.replace(minute=0, second=0),
    )
    prefixes = [prefix_of(KEYS, hour) for hour in every]
    assert prefixes == sorted(prefixes)
