"""
Backups: which runs under one prefix of a bucket are complete.

``s3.runs`` is ``{"Complete": (…)}``: the complete runs of the last weeks, the newest first, by what their marks are
called. These stand before everything else under the prefix and are named by time, so one page has them all.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from nightshift.backups import LATELY, completed
from nightshift.errors import Missing
from nightshift.model import Arn, ResourceRead
from nightshift.signals.batch import Answer, Piece

if TYPE_CHECKING:
    from nightshift.aws import Aws

__all__ = ["backup_pieces"]

Located: TypeAlias = Mapping[ResourceRead, Arn]


def backup_pieces(aws: Aws, reads: Located, now: datetime) -> Iterator[Piece[ResourceRead]]:
    """One piece a backup."""
    for read, arn in reads.items():
        yield Piece((read,), partial(_complete, aws, read, arn, now))


def _complete(aws: Aws, read: ResourceRead, arn: Arn, now: datetime) -> dict[ResourceRead, Answer]:
    bucket, _, prefix = arn.resource.partition("/")
    after = f"{prefix}complete/{now - LATELY:%Y%m%d}"
    try:
        page = aws.read("s3", "ListObjectsV2", Bucket=bucket, Prefix=prefix, StartAfter=after)
    except Missing:
        return {read: None}
    return {read: {"Complete": completed(prefix, page.get("Contents", ()))}}
