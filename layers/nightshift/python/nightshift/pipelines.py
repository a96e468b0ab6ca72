"""
Which raw objects of a pipeline have not become curated ones: by their names alone, whoever lists them.

>>> orders = Side("raw-data", "orders/raw/", ".json")
>>> orders.middle("orders/raw/2026/11/26/07.json")
'2026/11/26/07'
>>> Side("curated-data", "orders/", ".parquet").key("2026/11/26/07")
'orders/2026/11/26/07.parquet'
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import nsmallest
from itertools import islice
from typing import Any, Protocol

from nightshift.model import Arn, Json, Pipeline

__all__ = ["LISTED", "OLDEST", "PAGES", "Lister", "RawObject", "Route", "Side", "unprocessed"]

LISTED = 10_000
"""raw objects that one look lists: ten pages one after the other take about two seconds"""
OLDEST = 100
"""of those without a curated one, as many are told of: more than anybody works on at once"""
PAGES = 21
"""pages of either side: twice as many objects may be curated as raw ones are listed, and one more shows that"""
_CURATED = 2 * LISTED
_KEY = re.compile(
    r"(?P<bucket>arn:[a-z-]+:s3:::[^/]+)/(?P<prefix>[^*>#]*)\*(?P<suffix>[^*>#]*)"
    r">(?P<curated>[^/]+)/(?P<curated_prefix>[^*>#]*)\*(?P<curated_suffix>[^*>#]*)#(?P<window>[0-9]{1,7})(?P<dated>d?)"
)


@dataclass(frozen=True, slots=True)
class Side:
    """Either end of a pipeline: objects of one bucket, by how their names begin and end."""

    bucket: str
    prefix: str
    suffix: str

    def middle(self, key: str) -> str | None:
        """What a key has in between; None where it is another one's."""
        fits = key.startswith(self.prefix) and key.endswith(self.suffix)
        return key[len(self.prefix) : -len(self.suffix)] if fits and len(key) > len(self.prefix + self.suffix) else None

    def key(self, middle: str) -> str:
        """The key that has this in between."""
        return f"{self.prefix}{middle}{self.suffix}"


@dataclass(frozen=True, slots=True)
class Route:
    """What is made of what, and how far back is looked. As text it is the key of a reading (``s3.pipeline``)."""

    partition: str
    raw: Side
    curated: Side
    window: timedelta
    dated: bool

    @classmethod
    def of(cls, bucket: Arn, pipeline: Pipeline) -> Route:
        """As it is configured."""
        return cls(
            bucket.partition,
            Side(bucket.resource, pipeline.raw, pipeline.raw_suffix),
            Side(pipeline.curated.resource, pipeline.curated_prefix, pipeline.curated_suffix),
            pipeline.window,
            pipeline.dated,
        )

    @classmethod
    def parse(cls, text: str) -> Route:
        """Out of its text. Raises ValueError on anything else."""
        match = _KEY.fullmatch(text)
        if match is None:
            raise ValueError(f"not a pipeline: {text[:200]!r}")
        bucket = Arn.parse(match["bucket"])
        return cls(
            bucket.partition,
            Side(bucket.resource, match["prefix"], match["suffix"]),
            Side(match["curated"], match["curated_prefix"], match["curated_suffix"]),
            timedelta(seconds=int(match["window"])),
            bool(match["dated"]),
        )

    def __str__(self) -> str:
        raw, curated, dated = self.raw, self.curated, "d" if self.dated else ""
        return (
            f"arn:{self.partition}:s3:::{raw.bucket}/{raw.prefix}*{raw.suffix}"
            f">{curated.bucket}/{curated.prefix}*{curated.suffix}#{self.window // timedelta(seconds=1)}{dated}"
        )

    def arn(self, side: Side) -> str:
        """The ARN of either side's bucket."""
        return f"arn:{self.partition}:s3:::{side.bucket}"

    def start(self, side: Side, now: datetime) -> str:
        """After which key it is listed: what is dated lies in the order of its days, and older days are left out."""
        return f"{side.prefix}{now - self.window:%Y/%m/%d/}" if self.dated else ""


@dataclass(frozen=True, slots=True)
class RawObject:
    """A raw object, as it was listed."""

    key: str
    etag: str
    modified: datetime
    size: int

    @classmethod
    def listed(cls, entry: Mapping[str, Any]) -> RawObject:
        """An entry of ListObjectsV2. Raises KeyError, TypeError or ValueError."""
        return cls(str(entry["Key"]), str(entry["ETag"]), entry["LastModified"], int(entry["Size"]))


class Lister(Protocol):
    """Lists the objects of one side in S3's order, a page at a time, as they are asked for."""

    def __call__(self, side: Side, start: str, /) -> Iterator[Mapping[str, Any]]:
        """Entries of ListObjectsV2 under the side's prefix, after the key ``start``."""


def unprocessed(route: Route, listed: Lister, now: datetime) -> dict[str, Json]:
    """
    Raw objects of the window, and those of them that have no curated one.

    ``{"Count": …, "Missing": …, "Oldest": (…), "Truncated": …}``: how many raw objects were listed, how many of them
    have no curated one, the oldest of those, and whether there are more objects than were listed.

    What is raw is listed first: what is processed meanwhile is seen to be. Where there is more curated than is listed,
    nothing is said of what would stand behind it.
    """
    since = now - route.window
    raw = listed(route.raw, route.start(route.raw, now))
    missing: dict[str, Mapping[str, Any]] = {}
    for each in islice(raw, LISTED):
        middle = route.raw.middle(each["Key"])
        if middle is not None and each["LastModified"] >= since:
            missing[middle] = {name: each[name] for name in ("Key", "ETag", "LastModified", "Size")}
    count, truncated = len(missing), next(raw, None) is not None
    if missing:
        curated, last = listed(route.curated, route.start(route.curated, now)), ""
        for each in islice(curated, _CURATED):
            last = each["Key"]
            missing.pop(route.curated.middle(last) or "", None)
        if next(curated, None) is not None:
            truncated = True
            missing = {name: each for name, each in missing.items() if _before(route.curated.key(name), last)}
    oldest = tuple(nsmallest(OLDEST, missing.values(), key=_age))
    return {"Count": count, "Missing": len(missing), "Oldest": oldest, "Truncated": truncated}


def _before(one: str, other: str) -> bool:
    """S3 lists in the order of the bytes."""
    return one.encode() < other.encode()


def _age(each: Mapping[str, Any]) -> tuple[datetime, str]:
    return each["LastModified"], each["Key"]
