"""Alarms are read a hundred a call, composite ones too; what is not listed is gone only once all was listed."""

from __future__ import annotations

from typing import Any

from nightshift.model import Arn, ResourceRead
from nightshift.remediation import Readings, Unread
from nightshift.signals import gather

from tests.nightshift.signals.cloud import ACCOUNT, NOW, REGION, Cloud, Params


def reads(*names: str) -> list[ResourceRead]:
    """Queries for alarms."""
    return [
        ResourceRead("cloudwatch.alarm", str(Arn("aws", "cloudwatch", REGION, ACCOUNT, f"alarm:{n}"))) for n in names
    ]


def look(cloud: Cloud, *names: str) -> Readings:
    """What is read of them."""
    return gather(cloud.aws(), reads(*names), now=NOW)


def test_metric_and_composite_alarms_are_read_by_name_a_hundred_a_call(cloud: Cloud) -> None:
    """Names with colons and slashes in them are whole names."""

    def answer(params: Params) -> dict[str, Any]:
        shown = [{"AlarmName": name} for name in params["AlarmNames"] if name != "gone"]
        return {"MetricAlarms": shown[1:], "CompositeAlarms": shown[:1]}

    cloud.answers["DescribeAlarms"] = answer
    names = ["gone", "a:b/c", *(f"a{number:03}" for number in range(148))]
    found = look(cloud, *names)
    assert [found.resource(read) for read in reads(*names)] == [None, *({"AlarmName": name} for name in names[1:])]
    asked = cloud.asked("DescribeAlarms")
    assert [len(params["AlarmNames"]) for params in asked] == [100, 50]
    assert {(tuple(params["AlarmTypes"]), params["MaxRecords"]) for params in asked} == {
        (("CompositeAlarm", "MetricAlarm"), 100)
    }


def test_all_pages_are_read_and_a_list_without_end_proves_nothing_gone(cloud: Cloud) -> None:
    """The second page has the alarm; where pages go on, what was not shown is unknown."""

    def two(params: Params) -> dict[str, Any]:
        second = params.get("NextToken") == "2"
        return {"MetricAlarms": [{"AlarmName": "b"}]} if second else {"NextToken": "2"}

    cloud.answers["DescribeAlarms"] = two
    assert look(cloud, "b").resource(*reads("b")) == {"AlarmName": "b"}
    cloud.answers["DescribeAlarms"] = lambda _: {"CompositeAlarms": [{"AlarmName": "a"}], "NextToken": "more"}
    found = look(cloud, "a", "b")
    assert found.resource(*reads("a")) == {"AlarmName": "a"}
    assert isinstance(found.resource(*reads("b")), Unread)


def test_what_is_denied_is_unknown(cloud: Cloud) -> None:
    """And says what to grant; an ARN without a name is no alarm."""
    cloud.fail("DescribeAlarms", "AccessDenied")
    unread = look(cloud, "a").resource(*reads("a"))
    assert isinstance(unread, Unread)
    assert "grant cloudwatch:DescribeAlarms" in unread.reason
    assert isinstance(look(cloud, "").resource(*reads("")), Unread)
