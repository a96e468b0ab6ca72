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


# -- what scales it ----------------------------------------------------------------------------------------------------


def scaling(arn: Arn) -> ResourceRead:
    """A query for what autoscaling has been told."""
    return ResourceRead("dynamodb.scaling", str(arn))


def limits(arn: Arn, way: str, kind: str = "table") -> dict[str, Any]:
    """A scalable target, as AWS tells it."""
    said = {"ResourceId": arn.resource, "ScalableDimension": f"dynamodb:{kind}:{way}CapacityUnits", "RoleARN": "r"}
    return {**said, "MinCapacity": 5, "MaxCapacity": 50}


def test_what_scales_many_tables_is_one_call_for_twenty(cloud: Cloud) -> None:
    """Each gets its own; nothing where nobody scales it."""
    tables = [Arn("aws", "dynamodb", REGION, ACCOUNT, f"table/t{number:02}") for number in range(21)]
    index = Arn("aws", "dynamodb", REGION, ACCOUNT, "table/t00/index/place")
    there = [limits(tables[0], "Read"), limits(index, "Write", "index")]
    cloud.answers["DescribeScalableTargets"] = lambda params: {
        "ScalableTargets": [each for each in there if each["ResourceId"] in params["ResourceIds"]]
    }
    found = gather(cloud.aws(), [scaling(each) for each in (*tables, index)], now=NOW)
    own = {"MinCapacity": 5, "MaxCapacity": 50}
    assert found.resource(scaling(tables[0])) == {"dynamodb:table:ReadCapacityUnits": own}
    assert found.resource(scaling(index)) == {"dynamodb:index:WriteCapacityUnits": own}
    assert found.resource(scaling(tables[20])) == {}
    assert cloud.count == {"DescribeScalableTargets": 2}


def test_half_an_answer_about_what_scales_it_is_none(cloud: Cloud) -> None:
    """That nothing scales it must not be said of a page that is missing; nor of what is no table."""
    cloud.answers["DescribeScalableTargets"] = lambda _: {"ScalableTargets": [], "NextToken": "more"}
    found = gather(cloud.aws(), [scaling(TABLE), scaling(STREAM)], now=NOW)
    assert [isinstance(found.resource(scaling(arn)), Unread) for arn in (TABLE, STREAM)] == [True, True]
