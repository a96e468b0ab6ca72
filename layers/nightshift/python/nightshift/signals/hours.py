"""
Hours in S3: of which of the last hours there are objects, where the hour is part of the key.

``s3.hours`` is ``{"Hours": {"2026-11-26T07": 2, …}}``: how many objects that are not empty stand under each hour's
prefix. Its key is the bucket's ARN and the prefix, with ``%Y``, ``%m``, ``%d`` and ``%H`` in it, in this order: so keys
in the order of their letters are in the order of their hours, and one listing that begins at the oldest hour reads all
of them. An hour that is not in the answer has no object. Where there are more than can be listed, nothing is known.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from nightshift.errors import Missing
from nightshift.model import Arn, ResourceRead
from nightshift.signals.batch import Answer, Piece

if TYPE_CHECKING:
    from nightshift.aws import Aws

__all__ = ["BACK", "HOUR", "hour_pieces", "hours_of", "prefix_of"]

Located: TypeAlias = Mapping[ResourceRead, Arn]

HOUR = "%Y-%m-%dT%H"
"""how an hour is called in the answer"""
BACK = 48
"""hours that are read: those that may be filled in, and before them one that is there"""
LISTED = 20_000
"""objects: twenty pages one after the other take some four seconds"""


def hour_pieces(aws: Aws, reads: Located, now: datetime) -> Iterator[Piece[ResourceRead]]:
    """One piece a bucket's keys."""
    for read, arn in reads.items():
        yield Piece((read,), partial(_hours, aws, read, arn, now))


def hours_of(now: datetime) -> tuple[datetime, ...]:
    """The hours that are read, oldest first; the last one is not over."""
    this = now.replace(minute=0, second=0, microsecond=0)
    return tuple(this - timedelta(hours=back) for back in range(BACK, -1, -1))


def prefix_of(keys: str, hour: datetime) -> str:
    """What the keys of an hour's objects start with."""
    for part, number in (("%Y", hour.year), ("%m", hour.month), ("%d", hour.day), ("%H", hour.hour)):
        keys = keys.replace(part, f"{number:02}")
    return keys


def _hours(aws: Aws, read: ResourceRead, arn: Arn, now: datetime) -> dict[ResourceRead, Answer]:
    bucket, _, keys = arn.resource.partition("/")
    prefixes = {prefix_of(keys, hour): hour for hour in hours_of(now)}
    after = min(prefixes)[:-1]  # a key may be as short as its prefix, and is listed only after what comes before it
    where = {"Bucket": bucket, "Prefix": keys.partition("%Y")[0], "StartAfter": after}
    length = len(next(iter(prefixes)))
    found: Counter[datetime] = Counter()
    try:
        for each in aws.pages("s3", "ListObjectsV2", "Contents", limit=LISTED, **where):
            hour = prefixes.get(each["Key"][:length])
            if hour is not None and each["Size"] > 0:
                found[hour] += 1
    except Missing:
        return {read: None}
    return {read: {"Hours": {hour.strftime(HOUR): count for hour, count in found.items()}}}
