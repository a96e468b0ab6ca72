"""
Telling once more of an object that S3 has told of, or should have: what is asked before, what is sent, once.

A queue is told, or a function itself: whoever hears it sees no difference to S3's own words. That an object was told
of again is noted before it is sent, under its key and ETag: whatever dies in between, it is not sent twice. What SQS or
Lambda have taken they promise to deliver at least once, and may deliver twice: that is theirs, and seldom.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote_plus

from nightshift import states, strict_json
from nightshift.errors import Ambiguous, Fenced, Missing, NightshiftError, Undeclared, Unreadable
from nightshift.model import Arn, Call
from nightshift.remediation import Actor, Reader

__all__ = ["LETTERS", "Standing", "event", "letters_of", "marker", "noted", "send_once", "set_apart", "standing"]

_TAKEN = 202
LETTERS = 1000
"""letters of one queue that were ever set apart: one page of a listing"""


@dataclass(frozen=True, slots=True)
class Standing:
    """A queue now: messages that wait, that are in somebody's hands, and how long one may take to die."""

    waiting: int
    hidden: int
    longest: timedelta
    retention: timedelta
    own_key: bool


def standing(read: Reader, arn: Arn) -> Standing | None:
    """A queue's figures; None where they cannot be read, or not all of them."""
    try:
        attributes = states.queue(read, arn)
    except (Missing, Unreadable):
        return None
    total, waiting, timeout, retention = (
        states.messages(attributes),
        states.number(attributes, "ApproximateNumberOfMessages"),
        states.number(attributes, "VisibilityTimeout"),
        states.number(attributes, "MessageRetentionPeriod"),
    )
    if total is None or waiting is None or timeout is None or retention is None:
        return None
    key = str(attributes.get("KmsMasterKeyId", ""))
    return Standing(
        waiting=waiting,
        hidden=total - waiting,
        longest=timedelta(seconds=timeout * max(1, _receives(attributes))),
        retention=timedelta(seconds=retention),
        own_key=bool(key) and not key.endswith("alias/aws/sqs"),
    )


_RECEIVES = 1000  # the most that SQS takes
_POLICY_LIMIT = 4096  # bytes of a RedrivePolicy: an ARN and a number


def _receives(attributes: Mapping[str, Any]) -> int:
    """How often a message is given out before it is a dead letter: the most there is, where that is not known."""
    try:
        policy = strict_json.loads(attributes.get("RedrivePolicy", "{}"), limit=_POLICY_LIMIT)
        return int(policy.get("maxReceiveCount", _RECEIVES))
    except (ValueError, TypeError, AttributeError):
        return _RECEIVES


def letters_of(dead_letters: Arn) -> str:
    """Where letters of a dead-letter queue are stored, whoever stored them."""
    return f"letters/{dead_letters.name}/"


def set_apart(read: Reader, dead_letters: Arn) -> tuple[datetime, ...] | None:
    """When letters of a dead-letter queue were set apart; None where there are more than one page of them."""
    where = {"Bucket": read.quarantine, "Prefix": letters_of(dead_letters), "ExpectedBucketOwner": dead_letters.account}
    found = read("s3", "ListObjectsV2", MaxKeys=LETTERS, **where)
    return None if found.get("IsTruncated") else tuple(each["LastModified"] for each in found.get("Contents", ()))


def marker(key: str, etag: str) -> str:
    """Under what it is noted that an object was told of again: once, also where the same content is written anew."""
    return f"sent {hashlib.sha256(f'{key} {etag}'.encode()).hexdigest()[:32]}"


def send_once(act: Actor, send: Call, names: Sequence[str], body: str) -> bool:
    """
    Send, unless the first of these names was noted: all are noted first, so that whatever dies, it is not sent twice.

    Only where AWS certainly did not take it the notes are taken back.
    """
    first, *others = names
    if not act.memory.add(first, limit=1):
        return False
    for name in others:
        act.memory.add(name)
    with _taken_back(act, names):
        _send(act, send, body)
    return True


@contextmanager
def noted(act: Actor, name: str) -> Iterator[None]:
    """Note what is about to be done. Only where AWS certainly did not do it the note is taken back."""
    act.memory.add(name)
    with _taken_back(act, (name,)):
        yield


@contextmanager
def _taken_back(act: Actor, names: Sequence[str]) -> Iterator[None]:
    try:
        yield
    except NightshiftError as error:
        if not isinstance(error, Ambiguous | Fenced | Undeclared):
            for name in names:
                act.memory.add(name, -1)
        raise


def _send(act: Actor, send: Call, body: str) -> None:
    """To a queue, or to a function that nobody waits for: 202 says that Lambda has taken it, and nothing else does."""
    if send.operation != "Invoke":
        act(send, MessageBody=body)
    elif act(send, Payload=body.encode()).get("StatusCode") != _TAKEN:
        raise Ambiguous(send.action, "NotAccepted", resource=send.resource)


def event(bucket: Arn, key: str, etag: str, modified: datetime, size: int, *, region: str) -> str:
    """
    What S3 sends to a queue, or to a function, when an object was put.

    Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
    """
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": region,
        "eventTime": modified.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "eventName": "ObjectCreated:Put",
        "s3": {
            "s3SchemaVersion": "1.0",
            "bucket": {"name": bucket.resource, "arn": str(bucket)},
            "object": {
                "key": quote_plus(key, safe="/"),
                "size": size,
                "eTag": etag.strip('"'),
                "sequencer": f"{int(modified.timestamp()):016X}",
            },
        },
    }
    return json.dumps({"Records": [record]}, separators=(",", ":"))
