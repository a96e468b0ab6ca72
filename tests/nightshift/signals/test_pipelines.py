"""A pipeline is listed at both its ends, as far back as its window, and only what is missing is kept."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from nightshift.model import Arn, Pipeline, ResourceRead
from nightshift.pipelines import LISTED, OLDEST, Route
from nightshift.remediation import Unread
from nightshift.signals import gather

from tests.nightshift.signals.cloud import NOW, Cloud

HOUR = timedelta(hours=1)
SQS = "arn:aws:sqs:eu-central-1:123456789012"
PIPELINE = Pipeline(
    "raw/",
    ".json",
    Arn.parse("arn:aws:s3:::curated"),
    "made/",
    ".parquet",
    Arn.parse(f"{SQS}:etl"),
    Arn.parse(f"{SQS}:etl-dlq"),
    Arn.parse("arn:aws:lambda:eu-central-1:123456789012:function:etl"),
    timedelta(minutes=1),
    timedelta(hours=24),
)
ROUTE = Route.of(Arn.parse("arn:aws:s3:::raw-data"), PIPELINE)
TODAY, YESTERDAY = f"{NOW:%Y/%m/%d}", f"{NOW - timedelta(days=1):%Y/%m/%d}"


def listed(cloud: Cloud, route: Route = ROUTE) -> Any:
    """What a look finds."""
    read = ResourceRead("s3.pipeline", str(route))
    return gather(cloud.aws(), [read], now=NOW).resource(read)


def many(raw: int, curated: int, *, apart: int = 0) -> Any:
    """So many objects at either end, a thousand a page; and one in ``apart`` raw ones without a curated one."""

    def page(params: dict[str, Any]) -> dict[str, Any]:
        start, end = int(params.get("ContinuationToken", 0)), raw if params["Bucket"] == "raw-data" else curated
        part = range(start, min(start + 1000, end))
        if params["Bucket"] == "curated":
            part_ = [n for n in part if not apart or n % apart]
            contents = [{"Key": f"made/{n:06}.parquet", "ETag": "e", "Size": 1, "LastModified": NOW} for n in part_]
        else:
            written = NOW - timedelta(hours=1)
            contents = [{"Key": f"raw/{n:06}.json", "ETag": "e", "Size": 2, "LastModified": written} for n in part]
        more = {"NextContinuationToken": str(start + 1000)} if start + 1000 < end else {}
        return {"Contents": contents, "IsTruncated": bool(more), **more}

    return page


def stands(cloud: Cloud, *keys: str) -> None:
    """These objects, an hour old."""

    def page(params: dict[str, Any]) -> dict[str, Any]:
        found = [key for key in sorted(keys) if key.startswith(params["Prefix"]) and key > params.get("StartAfter", "")]
        return {"Contents": [{"Key": key, "ETag": "e", "Size": 1, "LastModified": NOW - HOUR} for key in found]}

    cloud.answers["ListObjectsV2"] = page


def test_a_route_is_the_key_of_its_reading() -> None:
    """As text and back; and nothing else is one."""
    assert Route.parse(str(ROUTE)) == ROUTE
    flat = replace(ROUTE, dated=False)
    assert Route.parse(str(flat)) == flat
    with pytest.raises(ValueError, match="not a pipeline"):
        Route.parse("arn:aws:s3:::raw-data/raw/")
    assert [ROUTE.arn(side) for side in (ROUTE.raw, ROUTE.curated)] == ["arn:aws:s3:::raw-data", "arn:aws:s3:::curated"]


def test_what_is_raw_and_not_curated_is_missing(cloud: Cloud) -> None:
    """By what their names have in between; other objects are nobody's."""
    odd = (f"raw/{TODAY}/_SUCCESS", "raw/.json", f"made/{TODAY}/1.txt")
    stands(cloud, f"raw/{TODAY}/1.json", f"raw/{TODAY}/2.json", f"made/{TODAY}/2.parquet", *odd)
    found = listed(cloud)
    assert [each["Key"] for each in found["Oldest"]] == [f"raw/{TODAY}/1.json"]
    assert (found["Count"], found["Missing"], found["Truncated"]) == (2, 1, False)


def test_days_before_the_window_are_not_listed(cloud: Cloud) -> None:
    """Where keys are dated they lie in the order of their days."""
    stands(cloud, "raw/2020/01/01/1.json", f"raw/{YESTERDAY}/1.json")
    assert listed(cloud)["Count"] == 1
    assert listed(cloud, replace(ROUTE, dated=False))["Count"] == 2


def test_where_nothing_came_in_nothing_is_looked_for(cloud: Cloud) -> None:
    """One call."""
    cloud.bucket("raw-data")
    assert listed(cloud) == {"Count": 0, "Missing": 0, "Oldest": (), "Truncated": False}
    assert cloud.count == {"ListObjectsV2": 1}


def test_a_bucket_that_is_not_there_does_not_exist(cloud: Cloud) -> None:
    """None; and what is not allowed is unknown."""
    assert listed(cloud) is None
    cloud.fail("ListObjectsV2", "AccessDenied")
    assert isinstance(listed(cloud), Unread)


def test_more_than_is_listed_is_said_to_be_more(cloud: Cloud) -> None:
    """Of what was listed the oldest that are missing are kept."""
    cloud.answers["ListObjectsV2"] = many(LISTED + 1, LISTED + 1, apart=10)
    found = listed(cloud, replace(ROUTE, dated=False))
    assert (found["Count"], found["Missing"], found["Truncated"]) == (LISTED, LISTED // 10, True)
    assert len(found["Oldest"]) == OLDEST


def test_what_would_stand_behind_the_last_that_is_listed_is_not_missing(cloud: Cloud) -> None:
    """There is more curated than is listed: nothing is known of the rest."""
    route = replace(ROUTE, dated=False, raw=replace(ROUTE.raw, prefix="raw/"))

    def page(params: dict[str, Any]) -> dict[str, Any]:
        if params["Bucket"] == "raw-data":
            keys = ("raw/000000x.json", "raw/zzz.json")
            return {"Contents": [{"Key": key, "ETag": "e", "Size": 1, "LastModified": NOW} for key in keys]}
        answer: dict[str, Any] = many(0, 2 * LISTED + 1)(params)
        return answer

    cloud.answers["ListObjectsV2"] = page
    found = listed(cloud, route)
    assert [each["Key"] for each in found["Oldest"]] == ["raw/000000x.json"]
    assert found["Truncated"]
