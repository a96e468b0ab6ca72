"""Logs Insights answers from what the world has answered, after a while, and what it does not know it refuses."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from nightshift.paths import QUERY

from sandbox import World
from sandbox.fakes.log_insights import NotUnderstood, answer
from sandbox.systems.usage_metrics import PATHS, UsageMetrics
from tests.sandbox.conftest import START

NAME = "/ecs/delivery-standard-prod"


@pytest.fixture(params=[False, True], ids=["full", "thin"])
def system(request: pytest.FixtureRequest) -> Iterator[UsageMetrics]:
    """The API under load for a quarter of an hour, in both clouds."""
    with World(START, thin=request.param) as world:
        system = UsageMetrics(world)
        system.requests(400)
        system.fail_path("/v1/export", 0.5)
        system.slow_path("/v1/usage", 2.0)
        world.run(timedelta(minutes=15))
        yield system


def begin(world: World, **other: Any) -> str:
    """Begin the query over the last ten minutes."""
    now = int(world.now.timestamp())
    asked = {"logGroupName": NAME, "startTime": now - 600, "endTime": now, "queryString": QUERY, **other}
    return str(world.client("logs").start_query(**asked)["queryId"])


def test_requests_are_counted_by_path_once_the_query_is_complete(system: UsageMetrics) -> None:
    """Half of one path's went wrong, another one was slow; and at first it still runs."""
    world = system.world
    number = begin(world)
    assert world.client("logs").get_query_results(queryId=number)["status"] == "Running"
    world.run(timedelta(seconds=10))
    found = world.client("logs").get_query_results(queryId=number)
    assert found["status"] == "Complete"
    rows = {row[0]["value"]: {each["field"]: each["value"] for each in row} for row in found["results"]}
    assert set(rows) == set(PATHS)
    assert {path: int(row["failed"]) * 2 == int(row["requests"]) for path, row in rows.items()}["/v1/export"]
    assert [path for path, row in rows.items() if int(row["failed"])] == ["/v1/export"]
    assert [path for path, row in rows.items() if float(row["slow"]) > 2000] == ["/v1/usage"]


def test_what_is_not_there_is_an_error(system: UsageMetrics) -> None:
    """A log group, a query, and a span that ends before it begins."""
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        begin(system.world, logGroupName="/ecs/other")
    with pytest.raises(ClientError, match="InvalidParameterException"):
        begin(system.world, endTime=0)
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        system.world.client("logs").get_query_results(queryId="other")


@pytest.mark.parametrize("query", ["dedup path", "stats avg(duration) as x by path", "filter duration > 1"])
def test_what_it_does_not_know_is_refused_loudly(query: str) -> None:
    """An answer of no line would be believed."""
    with pytest.raises(NotUnderstood):
        answer(query, [{"path": "/", "duration": "1", "@message": ""}])


@pytest.mark.corrects("grep-error")
@pytest.mark.parametrize(
    "message, wrong",
    [
        ("level=error path=/", True),
        ('{"level": "ERROR"}', True),
        ("2026-11-19 ERROR boom", True),
        ('{"statusCode":503}', True),
        ('{"statusCode":200, "errors": 0}', False),
        ("level=info no errors", False),
    ],
)
def test_the_query_knows_a_line_that_went_wrong_however_it_says_so(message: str, wrong: bool) -> None:
    """Also `level=error`, which a search for ERROR misses."""
    [row] = answer(QUERY, [{"path": "/", "duration": "1", "@message": message}])
    assert row["failed"] == str(int(wrong))
