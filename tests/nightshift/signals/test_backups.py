"""Which runs of a backup are complete is one listing, of one page, whatever else stands there."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from nightshift.backups import LATELY
from nightshift.model import ResourceRead
from nightshift.remediation import Unread
from nightshift.signals import gather

from tests.nightshift.signals.cloud import NOW, Cloud

READ = ResourceRead("s3.runs", "arn:aws:s3:::safe/changes/")


def seen(cloud: Cloud) -> Any:
    """What a look finds."""
    return gather(cloud.aws(), [READ], now=NOW).resource(READ)


def test_the_complete_runs_are_found_among_all_that_stands_there(cloud: Cloud) -> None:
    """Those of the last weeks, and what is called otherwise is none."""
    days = [NOW - timedelta(days=ago) for ago in (1, 2, LATELY.days + 1)]
    marks = [f"changes/complete/{at:%Y%m%dT%H%M}-0a1b2c3d.{number}.9.json" for number, at in enumerate(days, 5)]
    cloud.bucket("safe", *marks, "changes/complete/notes.txt", "changes/objects/x/archive/a.json", "other/complete/x")
    found = seen(cloud)["Complete"]
    assert sorted(each.objects for each in found) == [5, 6]
    assert cloud.count == {"ListObjectsV2": 1}


def test_where_nothing_stands_none_is_complete(cloud: Cloud) -> None:
    """A bucket that is not there does not exist, and one that is denied is unread."""
    assert seen(cloud) is None
    cloud.bucket("safe")
    assert seen(cloud) == {"Complete": ()}
    cloud.fail("ListObjectsV2", "AccessDenied")
    assert isinstance(seen(cloud), Unread)
