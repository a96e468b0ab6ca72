"""
Triggers in S3: the oldest objects under one prefix of a bucket.

``s3.triggers`` is ``{"Count": …, "Oldest": (…), "Truncated": …}``: how many triggers were listed, the oldest of them by
AWS's own field names, and whether there are more than were listed. A trigger is gone once it was processed, so the
prefix is all but empty and one call lists it. S3 lists by name and not by age: all of it has to be seen, a page at a
time, and of what was seen only the oldest stay in memory.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import partial
from heapq import nsmallest
from itertools import count, islice
from typing import TYPE_CHECKING, Any, TypeAlias

from nightshift.errors import Missing
from nightshift.model import Arn, ResourceRead
from nightshift.signals.batch import Answer, Piece

if TYPE_CHECKING:
    from nightshift.aws import Aws

__all__ = ["LISTED", "OLDEST", "trigger_pieces"]

Located: TypeAlias = Mapping[ResourceRead, Arn]

LISTED = 10_000
"""objects: ten pages one after the other take about two seconds"""
OLDEST = 100
"""triggers that are told of: more than anybody works on at once"""
_DEPTH = 2  # below the prefix: <customer>/<change>.json


def trigger_pieces(aws: Aws, reads: Located) -> Iterator[Piece[ResourceRead]]:
    """One piece a prefix."""
    for read, arn in reads.items():
        yield Piece((read,), partial(_listing, aws, read, arn))


def _listing(aws: Aws, read: ResourceRead, arn: Arn) -> dict[ResourceRead, Answer]:
    bucket, _, prefix = arn.resource.partition("/")
    listed = aws.pages("s3", "ListObjectsV2", "Contents", limit=LISTED + 1, Bucket=bucket, Prefix=prefix)
    seen = count()
    try:
        oldest = nsmallest(OLDEST, _triggers(islice(listed, LISTED), prefix, seen), key=_age)
        truncated = next(listed, None) is not None
    except Missing:
        return {read: None}
    return {read: {"Count": next(seen), "Oldest": tuple(oldest), "Truncated": truncated}}


def _triggers(listed: Iterable[Any], prefix: str, seen: Iterator[int]) -> Iterator[Mapping[str, Any]]:
    for each in listed:
        if each["Key"].startswith(prefix) and _shaped(each["Key"][len(prefix) :]):
            next(seen)
            yield {name: each[name] for name in ("Key", "ETag", "LastModified", "Size")}


def _shaped(rest: str) -> bool:
    """Whether it is ``<customer>/<change>.json``: whatever else lies there is nobody's trigger."""
    parts = rest.split("/")
    return len(parts) == _DEPTH and all(parts) and parts[1].endswith(".json") and parts[1] != ".json"


def _age(each: Mapping[str, Any]) -> tuple[datetime, str]:
    return each["LastModified"], each["Key"]
