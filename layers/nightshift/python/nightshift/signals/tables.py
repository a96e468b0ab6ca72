"""
Tables of DynamoDB: their status, how their capacity is billed, and how much of it they have.

``dynamodb.table`` is DescribeTable's answer by AWS's own field names, less its keys and its items. Of an index it is
its table's, with the index itself as ``Index``. None where there is no such table, or no such index of it. AWS has no
batch for it: a call a table, however many of its indexes are asked for.

Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DescribeTable.html
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

__all__ = ["table_pieces"]

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
