"""Functions that share an account's concurrency: what is turned away, and what AWS lets nobody reserve."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sandbox.systems.pulse_functions import PulseFunctions
from sandbox.world import World

RESERVED = "ReservedConcurrentExecutions"


@pytest.fixture(params=[True, False], ids=["thin", "full"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Both clouds."""
    with World(datetime(2026, 11, 19, 1, 0, tzinfo=UTC), thin=request.param) as world:
        yield world


def measured(world: World, metric: str, **dims: str) -> float:
    """The newest value of a metric of Lambda."""
    value: Any = world.metrics.of("AWS/Lambda", metric, dims).values[-1]
    return float(value)


def test_more_than_is_reserved_is_turned_away(world: World) -> None:
    """Ten at once do three hundred calls of two seconds a minute; what is turned away is no call."""
    system = PulseFunctions(world, "etl")
    system.etl.asks = 390
    world.run(timedelta(minutes=2))
    dims = {"FunctionName": "etl"}
    assert [measured(world, each, **dims) for each in ("Invocations", "Throttles")] == [300.0, 90.0]
    assert measured(world, "ConcurrentExecutions", **dims) == 10.0
    world.client("lambda").put_function_concurrency(FunctionName="etl", ReservedConcurrentExecutions=13)
    world.run(timedelta(minutes=2))
    assert measured(world, "Throttles", **dims) == 0.0


def test_aws_keeps_a_hundred_for_functions_without_a_reservation(world: World) -> None:
    """Whoever would leave less is refused; 0 stops a function, and always may."""
    system = PulseFunctions(world, "etl", "other", limit=130)
    client = world.client("lambda")
    assert client.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"] == 110
    with pytest.raises(ClientError, match=r"below its minimum value of \[100\]"):
        client.put_function_concurrency(FunctionName="etl", ReservedConcurrentExecutions=21)
    assert client.put_function_concurrency(FunctionName="etl", ReservedConcurrentExecutions=20)[RESERVED] == 20
    assert client.put_function_concurrency(FunctionName="other", ReservedConcurrentExecutions=0)[RESERVED] == 0
    assert system.unreserved == 110


def test_what_is_busy_itself_gets_no_quicker_with_more_at_once(world: World) -> None:
    """Each call waits for the others: as many are done as before, and each takes longer."""
    system = PulseFunctions(world, "etl")
    system.etl.asks, system.etl.shares = 600, 10
    world.run(timedelta(minutes=2))
    before = measured(world, "Invocations", FunctionName="etl")
    system.etl.reserved = 20
    world.run(timedelta(minutes=2))
    assert measured(world, "Invocations", FunctionName="etl") == before == 300.0


def test_a_function_that_there_is_not_is_not_found(world: World) -> None:
    """As of AWS."""
    PulseFunctions(world, "etl")
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        world.client("lambda").get_function_concurrency(FunctionName="other")
