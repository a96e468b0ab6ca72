"""
The locks of Terraform's states in a DynamoDB table: one consistent GetItem for each state that the key names.

``dynamodb.locks`` is ``{"Held": {"bucket/path.tfstate": {"ID": …, "Created": …}}}``: a state whose item is there is
locked, and of its ``Info``, which is whatever its holder wrote, only texts by Terraform's own names are kept, and its
date. A lock of which nothing can be understood is held nevertheless. None: there is no such table.

Beside a lock lies the digest of its state, under the same name with ``-md5``: that is no lock, and is never read.

Source: https://developer.hashicorp.com/terraform/language/backend/s3 (state locking), and Terraform's own
internal/backend/remote-state/s3/client.go and internal/states/statemgr/locker.go
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from nightshift import strict_json
from nightshift.errors import Missing
from nightshift.model import Arn, ResourceRead
from nightshift.signals.batch import Answer, Piece

if TYPE_CHECKING:
    from nightshift.aws import Aws

__all__ = ["lock_pieces", "locked", "split"]

Located: TypeAlias = Mapping[ResourceRead, Arn]

_BETWEEN = ","
"""what stands between a table and its locks in a key: no name of either has it"""
_LONGEST = 65_536  # of what a holder says of itself: bytes
_KEPT = 200  # characters of each of its texts
_TEXTS = ("ID", "Operation", "Version", "Who")


def locked(table: Arn, locks: Sequence[str]) -> ResourceRead:
    """The reading of these locks in that table."""
    return ResourceRead("dynamodb.locks", _BETWEEN.join((str(table), *locks)))


def split(arn: Arn) -> tuple[str, tuple[str, ...]]:
    """The name of a table, and its locks: what the key of a reading says."""
    table, *locks = arn.resource.partition("/")[2].split(_BETWEEN)
    return table, tuple(locks)


def lock_pieces(aws: Aws, reads: Located) -> Iterator[Piece[ResourceRead]]:
    """One piece a table."""
    for read, arn in reads.items():
        yield Piece((read,), partial(_table, aws, read, arn))


def _table(aws: Aws, read: ResourceRead, arn: Arn) -> dict[ResourceRead, Answer]:
    table, locks = split(arn)
    held = {}
    try:
        for lock in locks:
            answer = aws.read(
                "dynamodb",
                "GetItem",
                TableName=table,
                Key={"LockID": {"S": lock}},
                ProjectionExpression="LockID, Info",
                ConsistentRead=True,
            )
            if answer.get("Item"):
                held[lock] = _holder(answer["Item"])
    except Missing:
        return {read: None}
    return {read: {"Held": held}}


def _holder(item: Mapping[str, Any]) -> dict[str, Any]:
    """What the holder of a lock says of itself, as far as it can be understood."""
    try:
        said = strict_json.loads(str(item.get("Info", {}).get("S", "")), limit=_LONGEST)
    except strict_json.NotStrict:
        return {}
    if not isinstance(said, dict):
        return {}
    kept: dict[str, Any] = {name: said[name][:_KEPT] for name in _TEXTS if isinstance(said.get(name), str)}
    created = _time(said.get("Created"))
    return {**kept, **({"Created": created} if created is not None else {})}


def _time(said: object) -> datetime | None:
    """A time as Go writes it; None for what is none, or says no time zone."""
    try:
        at = datetime.fromisoformat(str(said))
    except ValueError:
        return None
    return at if at.tzinfo is not None else None
