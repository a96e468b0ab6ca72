"""
Pipelines: raw objects in S3 of which no curated one was made, by listing both sides.

``s3.pipeline`` is what :func:`~nightshift.pipelines.unprocessed` finds. What lies before the window is not listed where
keys are dated, and what is processed is forgotten as it is listed: neither calls nor memory grow with what a bucket
holds, but with what came in lately, up to a bound.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from nightshift.errors import Missing
from nightshift.model import Arn, ResourceRead
from nightshift.pipelines import LISTED, Route, Side, unprocessed
from nightshift.signals.batch import Answer, Piece

if TYPE_CHECKING:
    from nightshift.aws import Aws

__all__ = ["pipeline_pieces"]

Located: TypeAlias = Mapping[ResourceRead, Arn]


def pipeline_pieces(aws: Aws, reads: Located, now: datetime) -> Iterator[Piece[ResourceRead]]:
    """One piece a pipeline."""
    for read in reads:
        yield Piece((read,), partial(_found, aws, read, now))


def _found(aws: Aws, read: ResourceRead, now: datetime) -> dict[ResourceRead, Answer]:
    try:
        return {read: unprocessed(Route.parse(read.key), partial(_listed, aws), now)}
    except Missing:
        return {read: None}


def _listed(aws: Aws, side: Side, start: str) -> Iterator[Mapping[str, Any]]:
    after = {"StartAfter": start} if start else {}
    limit = 3 * LISTED  # whoever asks stops before
    return aws.pages("s3", "ListObjectsV2", "Contents", limit=limit, Bucket=side.bucket, Prefix=side.prefix, **after)
