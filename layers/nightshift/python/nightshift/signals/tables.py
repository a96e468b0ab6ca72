"""
Tables of DynamoDB: their status, how their capacity is billed, and how much of it they have.

``dynamodb.table`` is DescribeTable's answer by AWS's own field names, less its keys and its items. Of an index it is
its table's, with the index itself as ``Index``. None where there is no such table, or no such index of it. AWS has no
batch for it: a call a table, however many of its indexes are asked for.

``dynamodb.scaling`` is what Application Auto Scaling has been told about a table's or an index's capacity: its limits
by scalable dimension; nothing where nobody has it scaled.

Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DescribeTable.html,
https://docs.aws.amazon.com/autoscaling/application/APIReference/API_DescribeScalableTargets.html
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from nightshift.errors import Missing
from nightshift.model import Arn, ResourceRead
from nightshift.remediation import Unread
from nightshift.signals.batch import Answer, Piece
from nightshift.signals.names import split_table_arn

if TYPE_CHECKING:
    from nightshift.aws import Aws

__all__ = ["scaling_pieces", "table_pieces"]

Located: TypeAlias = Mapping[ResourceRead, Arn]

_KEPT = (
    "TableName",
    "TableStatus",
    "BillingModeSummary",
    "DeletionProtectionEnabled",
    "ItemCount",
    "ProvisionedThroughput",
    "SSEDescription",
    "StreamSpecification",
    "TableSizeBytes",
    "TableClassSummary",
    "Replicas",
)
_OF_INDEX = ("IndexName", "IndexStatus", "ProvisionedThroughput")
_OF_LIMITS = ("MinCapacity", "MaxCapacity")
_TOGETHER = 20  # of which each has two limits at most: together fewer than the fifty that an answer holds


def table_pieces(aws: Aws, reads: Located) -> Iterator[Piece[ResourceRead]]:
    """One piece a table, with all of its indexes that are asked for."""
    tables: dict[str, dict[ResourceRead, str]] = defaultdict(dict)
    for read, arn in reads.items():
        try:
            table, index = split_table_arn(arn)
        except ValueError as error:
            yield Piece((read,), partial(_unread, read, str(error)))
        else:
            tables[table][read] = index
    for table, indexes in tables.items():
        yield Piece(tuple(indexes), partial(_table, aws, table, indexes))


def scaling_pieces(aws: Aws, reads: Located) -> Iterator[Piece[ResourceRead]]:
    """One piece for every twenty tables and indexes."""
    asked: list[tuple[ResourceRead, Arn]] = []
    for read, arn in reads.items():
        try:
            split_table_arn(arn)
        except ValueError as error:
            yield Piece((read,), partial(_unread, read, str(error)))
        else:
            asked.append((read, arn))
    for start in range(0, len(asked), _TOGETHER):
        part = dict(asked[start : start + _TOGETHER])
        yield Piece(tuple(part), partial(_scaling, aws, part))


def _scaling(aws: Aws, reads: Located) -> dict[ResourceRead, Answer]:
    """Nothing is said of an answer that is not whole."""
    found = aws.read(
        "application-autoscaling",
        "DescribeScalableTargets",
        ServiceNamespace="dynamodb",
        ResourceIds=sorted({arn.resource for arn in reads.values()}),
    )
    if found.get("NextToken"):
        return {}
    limits: dict[str, dict[str, Any]] = defaultdict(dict)
    for each in found["ScalableTargets"]:
        limits[each["ResourceId"]][each["ScalableDimension"]] = _cut(each, _OF_LIMITS)
    return {read: limits[arn.resource] for read, arn in reads.items()}


def _unread(read: ResourceRead, reason: str) -> dict[ResourceRead, Answer]:
    return {read: Unread(reason)}


def _table(aws: Aws, table: str, reads: Mapping[ResourceRead, str]) -> dict[ResourceRead, Answer]:
    try:
        found = aws.read("dynamodb", "DescribeTable", TableName=table)["Table"]
    except Missing:
        return dict.fromkeys(reads)
    indexes = tuple(_cut(each, _OF_INDEX) for each in found.get("GlobalSecondaryIndexes") or ())
    told = {**_cut(found, _KEPT), "GlobalSecondaryIndexes": indexes}
    return {read: _answer(told, index) for read, index in reads.items()}


def _cut(found: Mapping[str, Any], kept: tuple[str, ...]) -> dict[str, Any]:
    return {name: found[name] for name in kept if name in found}


def _answer(table: Mapping[str, Any], index: str) -> Answer:
    if not index:
        return table
    own = next((each for each in table["GlobalSecondaryIndexes"] if each.get("IndexName") == index), None)
    return None if own is None else {**table, "Index": own}
