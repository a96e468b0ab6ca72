"""
An archive in S3: what stands under one prefix of a bucket, what was lately written there, and what was deleted.

``s3.archive`` is a mapping:

===============  ===================================================================================================
``Keys``         every key that stands
``Recent``       those that were written in the last week, the newest first, by AWS's own field names
``Bodies``       key to content, of the newest of these
``Unread``       key to reason, of those of them whose content could not be read
``Deleted``      keys that were deleted in the last week, the newest first, with when they were written (``Written``):
                 of a bucket with versions only
``Truncated``    whether there are more versions than were listed
===============  ===================================================================================================

S3 lists by name and not by age, so all of it has to be seen; a bucket without versions is listed in the same way, and
what was deleted from it is not known. Only what was written within the week is ever opened, and only so much of it.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from heapq import nlargest
from typing import TYPE_CHECKING, Any, TypeAlias

from nightshift.errors import AwsError, Missing
from nightshift.model import Arn, ResourceRead
from nightshift.signals.batch import Answer, Piece, why

if TYPE_CHECKING:
    from nightshift.aws import Aws

__all__ = ["BODIES", "DELETED", "LARGEST", "LATELY", "PAGES", "archive_pieces"]

Located: TypeAlias = Mapping[ResourceRead, Arn]

LATELY = timedelta(days=7)
"""what is older was looked at when it was young"""
PAGES = 10
"""of a thousand versions: one after the other they take about two seconds"""
BODIES = 100
"""objects that are opened at one look: more changes than anybody submits while a fault takes to show"""
DELETED = 1000
"""deleted keys that are told of: far more than are ever restored one by one"""
LARGEST = 256 * 1024
"""bytes of an object that is opened; a change and what was done about it takes a few thousand"""
_KEPT = ("Key", "ETag", "LastModified", "Size", "VersionId")


def archive_pieces(aws: Aws, reads: Located, now: datetime) -> Iterator[Piece[ResourceRead]]:
    """One piece an archive."""
    for read, arn in reads.items():
        yield Piece((read,), partial(_archive, aws, read, arn, now - LATELY))


def _archive(aws: Aws, read: ResourceRead, arn: Arn, since: datetime) -> dict[ResourceRead, Answer]:
    bucket, _, prefix = arn.resource.partition("/")
    try:
        current, deleted, truncated = _listed(aws, bucket, prefix)
    except Missing:
        return {read: None}
    recent = [each for each in current.values() if each["LastModified"] >= since]
    newest = nlargest(BODIES, recent, key=_age)
    opened = aws.run(partial(_opened, aws, bucket, each) for each in newest)
    told = zip((each["Key"] for each in newest), opened, strict=True)
    found = dict(told)
    return {
        read: {
            "Keys": frozenset(current),
            "Recent": tuple(sorted(recent, key=_age, reverse=True)),
            "Bodies": {key: body for key, body in found.items() if isinstance(body, bytes)},
            "Unread": {key: reason for key, reason in found.items() if isinstance(reason, str)},
            "Deleted": tuple(nlargest(DELETED, (each for each in deleted if each["LastModified"] >= since), key=_age)),
            "Truncated": truncated,
        }
    }


def _listed(aws: Aws, bucket: str, prefix: str) -> tuple[dict[str, Mapping[str, Any]], list[Mapping[str, Any]], bool]:
    """What stands, the markers of what stood once and was deleted, and whether there is more than was listed."""
    current: dict[str, Mapping[str, Any]] = {}
    markers: dict[str, Mapping[str, Any]] = {}
    written: dict[str, datetime] = {}
    where: dict[str, str] = {}
    truncated = True
    for _ in range(PAGES):
        page = aws.read("s3", "ListObjectVersions", Bucket=bucket, Prefix=prefix, **where)
        for each in page.get("Versions", ()):
            written.setdefault(each["Key"], each["LastModified"])  # the newest comes first
            if each["IsLatest"]:
                current[each["Key"]] = {name: each[name] for name in _KEPT}
        for each in page.get("DeleteMarkers", ()):
            if each["IsLatest"]:
                markers[each["Key"]] = {name: each[name] for name in ("Key", "LastModified", "VersionId")}
        if truncated := bool(page.get("IsTruncated")):
            where = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}
        else:
            break
    stood: list[Mapping[str, Any]] = [
        {**each, "Written": written[key]} for key, each in markers.items() if key in written
    ]
    return current, stood, truncated


def _opened(aws: Aws, bucket: str, listed: Mapping[str, Any]) -> bytes | str:
    """An object's content as it was listed; the reason, where it cannot be read, or was written anew since."""
    if listed["Size"] > LARGEST:
        return f"it has {listed['Size']} bytes, and more than {LARGEST} are not read"
    try:
        body: bytes = aws.read("s3", "GetObject", Bucket=bucket, Key=listed["Key"], IfMatch=listed["ETag"])["Body"]
    except AwsError as error:
        return why(error)
    return body


def _age(each: Mapping[str, Any]) -> tuple[datetime, str]:
    return each["LastModified"], each["Key"]
