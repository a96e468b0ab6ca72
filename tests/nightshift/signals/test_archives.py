"""An archive is listed to the end; only what was lately written is opened; what was deleted is known by versions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from nightshift.model import ResourceRead
from nightshift.remediation import Unread
from nightshift.signals import gather
from nightshift.signals.archives import BODIES, LARGEST, LATELY, PAGES

from tests.nightshift.signals.cloud import NOW, REGION, Cloud

READ = ResourceRead("s3.archive", "arn:aws:s3:::changes/archive/")


def read(cloud: Cloud, now: datetime | None = None) -> Any:
    """What a look finds."""
    return gather(cloud.aws(), [READ], now=now or datetime.now(UTC)).resource(READ)


def versioned(cloud: Cloud) -> Any:
    """A bucket that keeps versions, and the client that writes to it."""
    s3 = cloud.session.client("s3")
    s3.create_bucket(Bucket="changes", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_versioning(Bucket="changes", VersioningConfiguration={"Status": "Enabled"})
    return s3


def version(number: int, **more: Any) -> dict[str, Any]:
    """An entry of a listing: one minute older than the one before."""
    at = NOW - timedelta(minutes=number)
    said = {"Key": f"archive/{number:04}.json", "IsLatest": True, "LastModified": at, "VersionId": f"v{number}"}
    return {**said, "ETag": "e", "Size": 2, **more}


def test_what_stands_is_opened_and_what_was_deleted_is_named(cloud: Cloud) -> None:
    """Each with when it was written; what was put back is not deleted any more."""
    s3 = versioned(cloud)
    for key in ("archive/a.json", "archive/b.json", "archive/c.json", "elsewhere/d.json"):
        s3.put_object(Bucket="changes", Key=key, Body=key.encode())
    for key in ("archive/b.json", "archive/c.json", "elsewhere/d.json", "archive/never.json"):
        s3.delete_object(Bucket="changes", Key=key)
    s3.put_object(Bucket="changes", Key="archive/c.json", Body=b"again")
    found = read(cloud)
    assert found["Keys"] == {"archive/a.json", "archive/c.json"}
    assert found["Bodies"] == {"archive/a.json": b"archive/a.json", "archive/c.json": b"again"}
    assert (found["Unread"], found["Truncated"]) == ({}, False)
    [gone] = found["Deleted"]
    assert gone["Key"] == "archive/b.json"
    assert gone["Written"] <= gone["LastModified"]
    assert {each["Key"] for each in found["Recent"]} == found["Keys"]


def test_a_bucket_without_versions_is_read_all_the_same(cloud: Cloud) -> None:
    """What was deleted from it is not known."""
    cloud.bucket("changes", "archive/a.json", "archive/b.json")
    cloud.session.client("s3").delete_object(Bucket="changes", Key="archive/b.json")
    found = read(cloud)
    assert (found["Keys"], found["Deleted"]) == ({"archive/a.json"}, ())


def test_only_what_was_written_or_deleted_lately_is_told(cloud: Cloud) -> None:
    """What is older was looked at when it was young: it is not opened."""
    s3 = versioned(cloud)
    for key in ("archive/a.json", "archive/b.json"):
        s3.put_object(Bucket="changes", Key=key)
    s3.delete_object(Bucket="changes", Key="archive/b.json")
    cloud.calls.clear()
    found = read(cloud, datetime.now(UTC) + LATELY + timedelta(minutes=1))
    assert (found["Keys"], found["Recent"], found["Bodies"], found["Deleted"]) == ({"archive/a.json"}, (), {}, ())
    assert cloud.count == {"ListObjectVersions": 1}


def test_a_few_are_opened_the_newest_first(cloud: Cloud) -> None:
    """The others are told of, and not opened."""
    every = [version(number) for number in range(BODIES + 5)]
    cloud.answers["ListObjectVersions"] = lambda _: {"Versions": every, "IsTruncated": False}
    cloud.answers["GetObject"] = lambda params: {"Body": params["Key"].encode()}
    found = read(cloud, NOW)
    assert [each["Key"] for each in found["Recent"]] == [each["Key"] for each in every]
    assert list(found["Bodies"]) == [each["Key"] for each in every[:BODIES]]
    assert {params["IfMatch"] for params in cloud.asked("GetObject")} == {"e"}


def test_what_is_too_large_or_changed_since_is_not_read(cloud: Cloud) -> None:
    """And why is told, for each by itself."""
    every = [version(0, Size=LARGEST + 1), version(1), version(2, Size=LARGEST)]
    cloud.answers["ListObjectVersions"] = lambda _: {"Versions": every, "IsTruncated": False}
    cloud.answers["GetObject"] = lambda _: {"Body": b"{}"}
    cloud.fail("GetObject", "PreconditionFailed", when=lambda params: params["Key"] == "archive/0001.json")
    found = read(cloud, NOW)
    assert found["Bodies"] == {"archive/0002.json": b"{}"}
    assert "PreconditionFailed" in found["Unread"]["archive/0001.json"]
    assert "bytes, and more than" in found["Unread"]["archive/0000.json"]


def test_pages_are_followed_and_an_endless_listing_ends(cloud: Cloud) -> None:
    """It says that there is more."""
    cloud.answers["GetObject"] = lambda _: {"Body": b"{}"}

    def page(params: dict[str, Any]) -> dict[str, Any]:
        number = int(params.get("VersionIdMarker", "v0")[1:]) + 1
        if number > 1:
            assert params["KeyMarker"] == f"k{number - 1}"
        more = {"NextKeyMarker": f"k{number}", "NextVersionIdMarker": f"v{number}"}
        return {"Versions": [version(number)], "IsTruncated": number != last, **more}

    cloud.answers["ListObjectVersions"] = page
    last = 3
    found = read(cloud, NOW)
    assert (len(found["Keys"]), found["Truncated"]) == (3, False)
    last = 0
    found = read(cloud, NOW)
    assert (len(found["Keys"]), found["Truncated"]) == (PAGES, True)


def test_a_bucket_that_is_not_there_does_not_exist(cloud: Cloud) -> None:
    """None; and what is not allowed is unknown, and says what to grant."""
    assert read(cloud) is None
    cloud.fail("ListObjectVersions", "AccessDenied")
    found = read(cloud)
    assert isinstance(found, Unread)
    assert "grant s3:ListBucketVersions" in found.reason
