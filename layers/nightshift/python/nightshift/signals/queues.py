"""
Queues: whether many of them exist, by listing; the attributes of one, by asking it.

``sqs.exists`` is ``{"QueueUrl": …}`` for a queue that is listed and None for one that is not. One listing answers for a
thousand queues a page. A listing shows the caller's own account and Region and nothing else, so a queue that is not
listed counts as gone only once a listing has shown a queue of the same account.

``sqs.queue`` is the queue's attributes by AWS's own names, all of them text. AWS has no batch for it: one call a queue.

Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ListQueues.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from os.path import commonprefix
from typing import TYPE_CHECKING, TypeAlias

from nightshift.errors import AwsError, Missing
from nightshift.model import Arn, ResourceRead
from nightshift.remediation import Unread
from nightshift.signals.batch import Answer, Piece, why
from nightshift.signals.names import queue_url

if TYPE_CHECKING:
    from nightshift.aws import Aws

__all__ = ["attribute_pieces", "exists_pieces"]

Located: TypeAlias = Mapping[ResourceRead, Arn]

_PAGE = 1_000  # queues: AWS's limit
_LISTED = 100_000  # queues: a hundred pages one after the other take about as long as a sweep may
_FEW = 2  # names: cheaper to list each by itself than to list what they have in common


def exists_pieces(aws: Aws, reads: Located) -> Iterator[Piece[ResourceRead]]:
    """One piece a listing: one for all, or one each for very few."""
    roots: list[str] = []
    for name in sorted(arn.resource for arn in reads.values()):
        if not (roots and name.startswith(roots[-1])):
            roots.append(name)
    if len(roots) > _FEW:
        roots = [commonprefix((roots[0], roots[-1]))]  # noqa: RUF071 - of names, not of paths; sorted, so of all of them
    for prefix in roots:
        part = {read: arn for read, arn in reads.items() if arn.resource.startswith(prefix)}
        yield Piece(tuple(part), partial(_listing, aws, part, prefix))


def attribute_pieces(aws: Aws, reads: Located) -> Iterator[Piece[ResourceRead]]:
    """One piece a queue."""
    for read, arn in reads.items():
        yield Piece((read,), partial(_attributes, aws, read, arn))


def _listing(aws: Aws, reads: Located, prefix: str) -> dict[ResourceRead, Answer]:
    """List until every queue was seen. A listing that breaks off proves that what it showed exists, nothing else."""
    wanted = {(arn.account, arn.resource) for arn in reads.values()}
    accounts: set[str] = set()
    found: dict[tuple[str, str], str] = {}
    broken_off = ""
    params = {"QueueNamePrefix": prefix} if prefix else {}
    try:
        for url in aws.pages("sqs", "ListQueues", "QueueUrls", limit=_LISTED, MaxResults=_PAGE, **params):
            name = _account_and_name(url)
            accounts.add(name[0])
            if name in wanted:
                found[name] = url
            if len(found) == len(wanted):
                break
        if prefix and not {account for account, _ in wanted - found.keys()} <= accounts:
            accounts |= _own_account(aws)
    except AwsError as error:
        broken_off = why(error)
    return {read: _exists(arn, found, accounts, broken_off) for read, arn in reads.items()}


def _exists(arn: Arn, found: Mapping[tuple[str, str], str], accounts: set[str], broken_off: str) -> Answer:
    if url := found.get((arn.account, arn.resource)):
        return {"QueueUrl": url}
    if broken_off:
        return Unread(broken_off)
    if arn.account not in accounts:
        shown = f"queues of account {', '.join(sorted(accounts))} only" if accounts else "no queue at all"
        return Unread(f"sqs:ListQueues shows {shown}, so it cannot tell whether {arn} exists")
    return None


def _account_and_name(url: str) -> tuple[str, str]:
    """Of any form of queue URL that AWS has ever given out: the host differs, the path does not."""
    _, account, name = url.rsplit("/", 2)
    return account, name


def _own_account(aws: Aws) -> set[str]:
    """The account that a listing shows, by any queue in it; nothing where there is none."""
    urls: Sequence[str] = aws.read("sqs", "ListQueues", MaxResults=1).get("QueueUrls", ())
    return {_account_and_name(url)[0] for url in urls}


def _attributes(aws: Aws, read: ResourceRead, arn: Arn) -> dict[ResourceRead, Answer]:
    try:
        answer = aws.read("sqs", "GetQueueAttributes", QueueUrl=queue_url(arn), AttributeNames=["All"])
    except Missing:
        return {read: None}
    attributes = answer.get("Attributes")
    if not attributes:
        return {read: Unread(f"sqs:GetQueueAttributes gave no attributes of {arn}")}
    return {read: dict(attributes)}
