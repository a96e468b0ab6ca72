"""A bucket that keeps versions, on both clouds: what is listed of it, and what a copy asks of what it would replace."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sandbox.world import World

KEY = "archive/a.json"


@pytest.fixture(params=[True, False], ids=["thin", "moto"])
def s3(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A client, and a bucket in which one object was written twice and then deleted."""
    with World(datetime(2026, 11, 2, 3, 0, tzinfo=UTC), thin=request.param) as world:
        client = world.client("s3")
        client.create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": world.region})
        assert "Status" not in client.get_bucket_versioning(Bucket="bucket")
        client.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Enabled"})
        assert client.get_bucket_versioning(Bucket="bucket")["Status"] == "Enabled"
        for operation in ("PutObject", "DeleteObject", "CopyObject"):  # moto tells what is of one moment in any order
            world.seam.before("s3", operation, lambda _: world.run(timedelta(seconds=1)))
        for body in (b"one", b"two"):
            client.put_object(Bucket="bucket", Key=KEY, Body=body)
        client.delete_object(Bucket="bucket", Key=KEY)
        yield client


def bodies(s3: Any) -> list[bytes]:
    """Every version's content, as it is listed."""
    listed = s3.list_object_versions(Bucket="bucket", Prefix="archive/")["Versions"]
    found = [s3.get_object(Bucket="bucket", Key=KEY, VersionId=each["VersionId"])["Body"] for each in listed]
    return [body if isinstance(body, bytes) else body.read() for body in found]


def copied(s3: Any, **only: str) -> str:
    """Copy the oldest version to where it stood: the new version, or the code of the error."""
    oldest = s3.list_object_versions(Bucket="bucket", Prefix="archive/")["Versions"][-1]
    try:
        answer = s3.copy_object(
            Bucket="bucket", Key=KEY, CopySource=f"bucket/{KEY}?versionId={oldest['VersionId']}", **only
        )
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    assert answer["CopyObjectResult"]["ETag"] == oldest["ETag"]
    return str(answer["VersionId"])


def test_the_newest_is_listed_first_and_a_marker_says_that_it_was_deleted(s3: Any) -> None:
    """Nothing of it is gone."""
    found = s3.list_object_versions(Bucket="bucket", Prefix="archive/")
    assert [each["IsLatest"] for each in found["Versions"]] == [False, False]
    [marker] = found["DeleteMarkers"]
    assert (marker["Key"], marker["IsLatest"]) == (KEY, True)
    assert bodies(s3) == [b"two", b"one"]


def test_a_copy_is_made_only_where_nothing_stands_or_what_was_meant(s3: Any) -> None:
    """What was deleted does not stand; what was written meanwhile is not written over."""
    assert copied(s3, IfMatch='"x"') == "NoSuchKey"
    made = copied(s3, IfNoneMatch="*")
    [newest, *_] = s3.list_object_versions(Bucket="bucket", Prefix="archive/")["Versions"]
    assert (newest["VersionId"], newest["IsLatest"]) == (made, True)
    assert copied(s3, IfNoneMatch="*") == "PreconditionFailed"
    assert copied(s3, IfMatch='"x"') == "PreconditionFailed"
    assert bodies(s3) == [b"one", b"two", b"one"]
    copied(s3, IfMatch=newest["ETag"])
    assert len(bodies(s3)) == 4
