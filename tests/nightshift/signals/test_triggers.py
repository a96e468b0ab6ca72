"""Triggers are listed to the end, and only the oldest of them are kept."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from nightshift.model import ResourceRead
from nightshift.remediation import Unread
from nightshift.signals import gather
from nightshift.signals.triggers import LISTED, OLDEST

from tests.nightshift.signals.cloud import NOW, Cloud

READ = ResourceRead("s3.triggers", "arn:aws:s3:::changes/customers/")


def listed(cloud: Cloud) -> Any:
    """What a look finds."""
    return gather(cloud.aws(), [READ], now=NOW).resource(READ)


def pages(count: int) -> Any:
    """A bucket of so many triggers, the last by name the oldest, a thousand a page."""

    def page(params: dict[str, Any]) -> dict[str, Any]:
        start = int(params.get("ContinuationToken", 0))
        part = range(start, min(start + 1000, count))
        more = {"NextContinuationToken": str(start + 1000)} if start + 1000 < count else {}
        contents = [
            {"Key": f"customers/a/{n:06}.json", "ETag": "e", "Size": 2, "LastModified": NOW - timedelta(seconds=n)}
            for n in part
        ]
        return {"Contents": contents, "IsTruncated": bool(more), **more}

    return page


def test_a_bucket_without_triggers_is_one_call(cloud: Cloud) -> None:
    """Nothing stands under the prefix: that is an answer, and cheap."""
    cloud.bucket("changes", "archive/a.json")
    assert listed(cloud) == {"Count": 0, "Oldest": (), "Truncated": False}
    assert cloud.count == {"ListObjectsV2": 1}


def test_only_triggers_are_triggers(cloud: Cloud) -> None:
    """What lies elsewhere, deeper, or is no JSON, is nobody's trigger."""
    odd = ("customers/a.json", "customers/a/b/c.json", "customers/a/b.txt", "customers/a/.json", "customers//b.json")
    cloud.bucket("changes", "customers/hts/CHG-1.json", *odd)
    found = listed(cloud)
    assert [each["Key"] for each in found["Oldest"]] == ["customers/hts/CHG-1.json"]
    assert found["Count"] == 1


def test_a_bucket_that_is_not_there_does_not_exist(cloud: Cloud) -> None:
    """None; and what is not allowed is unknown, and says what to grant."""
    assert listed(cloud) is None
    cloud.fail("ListObjectsV2", "AccessDenied")
    found = listed(cloud)
    assert isinstance(found, Unread)
    assert "s3:ListBucket" in found.reason


def test_all_pages_are_read_and_the_oldest_kept(cloud: Cloud) -> None:
    """The oldest may stand on the last page; memory holds no more than those that are told of."""
    cloud.answers["ListObjectsV2"] = pages(2500)
    found = listed(cloud)
    ages: list[datetime] = [each["LastModified"] for each in found["Oldest"]]
    assert (found["Count"], found["Truncated"], len(ages)) == (2500, False, OLDEST)
    assert ages[0] == NOW - timedelta(seconds=2499)
    assert all(one <= other for one, other in pairwise(ages))


def test_a_listing_has_an_end(cloud: Cloud) -> None:
    """After so many objects it is no longer looked at, and the answer says that there are more."""
    cloud.answers["ListObjectsV2"] = pages(LISTED * 2)
    found = listed(cloud)
    assert (found["Count"], found["Truncated"]) == (LISTED, True)
    assert len(cloud.asked("ListObjectsV2")) <= LISTED // 1000 + 1
