"""A table is read once, however many of its indexes are asked for; what is neither is unknown, without a call."""

from __future__ import annotations

from typing import Any

import pytest
from nightshift.model import Arn, ResourceRead
from nightshift.remediation import Unread
from nightshift.signals import gather, split_table_arn, table_metric

from tests.nightshift.signals.cloud import ACCOUNT, NOW, REGION, Cloud

TABLE = Arn("aws", "dynamodb", REGION, ACCOUNT, "table/hot")
INDEX = Arn("aws", "dynamodb", REGION, ACCOUNT, "table/hot/index/place")
OTHER = Arn("aws", "dynamodb", REGION, ACCOUNT, "table/hot/index/gone")
STREAM = Arn("aws", "dynamodb", REGION, ACCOUNT, "table/hot/stream/2026")
OWN = {"IndexName": "place", "IndexStatus": "ACTIVE", "ProvisionedThroughput": {"ReadCapacityUnits": 5}}
SAID: dict[str, Any] = {
    "TableName": "hot",
    "TableStatus": "ACTIVE",
    "ItemCount": 7,
    "KeySchema": [{"AttributeName": "place", "KeyType": "HASH"}],
    "GlobalSecondaryIndexes": [{**OWN, "ItemCount": 7}],
}


def read(arn: Arn) -> ResourceRead:
    """A query for it."""
    return ResourceRead("dynamodb.table", str(arn))


def test_a_table_and_its_indexes_are_one_call(cloud: Cloud) -> None:
    """An index comes with its table; how its items are keyed is left where it is."""
    cloud.answers["DescribeTable"] = lambda _: {"Table": SAID}
    found = gather(cloud.aws(), [read(TABLE), read(INDEX), read(OTHER)], now=NOW)
    whole = {"TableName": "hot", "TableStatus": "ACTIVE", "ItemCount": 7, "GlobalSecondaryIndexes": (OWN,)}
    assert found.resource(read(TABLE)) == whole
    assert found.resource(read(INDEX)) == {**whole, "Index": OWN}
    assert found.resource(read(OTHER)) is None
    assert cloud.count == {"DescribeTable": 1}


def test_a_table_that_does_not_exist_has_no_indexes(cloud: Cloud) -> None:
    """Nothing there is an answer, for each."""
    cloud.fail("DescribeTable", "ResourceNotFoundException")
    found = gather(cloud.aws(), [read(TABLE), read(INDEX)], now=NOW)
    assert [found.resource(read(arn)) for arn in (TABLE, INDEX)] == [None, None]


def test_what_is_neither_a_table_nor_an_index_is_unknown(cloud: Cloud) -> None:
    """A stream has an ARN like an index's."""
    answer = gather(cloud.aws(), [read(STREAM)], now=NOW).resource(read(STREAM))
    assert isinstance(answer, Unread)
    assert "not a table or an index" in answer.reason
    assert not cloud.calls


def test_a_metric_of_an_index_is_not_its_tables() -> None:
    """The table's own are without its indexes."""
    assert table_metric(TABLE, "WriteThrottleEvents", "Sum").dimensions == (("TableName", "hot"),)
    assert table_metric(INDEX, "WriteThrottleEvents", "Sum").dimensions == (
        ("GlobalSecondaryIndexName", "place"),
        ("TableName", "hot"),
    )


@pytest.mark.parametrize("resource", ["table/", "table/hot/index/", "table/hot/backup/1", "global-table/hot"])
def test_names_that_are_none(resource: str) -> None:
    """Said, and not guessed."""
    with pytest.raises(ValueError, match="not a table"):
        split_table_arn(Arn("aws", "dynamodb", REGION, ACCOUNT, resource))
