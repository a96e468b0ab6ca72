"""
How events get to their consumers: a function's event source mappings, its policy, and whom a bucket tells.

``lambda.mappings`` is ``{"Mappings": (…)}``, by AWS's own field names: those of the function and of its versions and
aliases. One listing of the whole Region serves all functions: by a function's name AWS leaves out its aliases'.
``lambda.policy`` is ``{"Policy": text}``, and None where the function has none. ``s3.notifications`` is the bucket's
configuration, and None where there is no such bucket. Of the last two one call each.

Source: https://docs.aws.amazon.com/lambda/latest/api/API_ListEventSourceMappings.html,
https://docs.aws.amazon.com/lambda/latest/api/API_GetPolicy.html,
https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketNotificationConfiguration.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from nightshift.errors import Missing
from nightshift.model import Arn, ResourceRead
from nightshift.signals.batch import Answer, Piece

if TYPE_CHECKING:
    from nightshift.aws import Aws

__all__ = ["mapping_pieces", "notification_pieces", "policy_pieces"]

Located: TypeAlias = Mapping[ResourceRead, Arn]

_LISTED = 2_000  # mappings of one Region: twenty pages, one after the other
_KEPT = ("EventSourceArn", "FunctionArn", "LastProcessingResult", "State", "StateTransitionReason", "UUID")


def mapping_pieces(aws: Aws, reads: Located) -> Iterator[Piece[ResourceRead]]:
    """One piece for all functions."""
    yield Piece(tuple(reads), partial(_mappings, aws, reads))


def policy_pieces(aws: Aws, reads: Located) -> Iterator[Piece[ResourceRead]]:
    """One piece a function."""
    for read, arn in reads.items():
        yield Piece((read,), partial(_policy, aws, read, arn))


def notification_pieces(aws: Aws, reads: Located) -> Iterator[Piece[ResourceRead]]:
    """One piece a bucket."""
    for read, arn in reads.items():
        yield Piece((read,), partial(_notifications, aws, read, arn))


def _mappings(aws: Aws, reads: Located) -> dict[ResourceRead, Answer]:
    listed = [
        {name: each[name] for name in _KEPT if name in each}
        for each in aws.pages("lambda", "ListEventSourceMappings", "EventSourceMappings", limit=_LISTED)
    ]
    return {read: {"Mappings": tuple(each for each in listed if _of(arn, each))} for read, arn in reads.items()}


def _of(function: Arn, mapping: Mapping[str, Any]) -> bool:
    arn = str(mapping.get("FunctionArn", ""))
    return arn == str(function) or arn.startswith(f"{function}:")


def _policy(aws: Aws, read: ResourceRead, arn: Arn) -> dict[ResourceRead, Answer]:
    try:
        found = aws.read("lambda", "GetPolicy", FunctionName=arn.resource.removeprefix("function:"))
    except Missing:
        return {read: None}
    return {read: {"Policy": str(found["Policy"])}}


def _notifications(aws: Aws, read: ResourceRead, arn: Arn) -> dict[ResourceRead, Answer]:
    try:
        found = aws.read("s3", "GetBucketNotificationConfiguration", Bucket=arn.resource.partition("/")[0])
    except Missing:
        return {read: None}
    return {read: {name: value for name, value in found.items() if name != "ResponseMetadata"}}
