"""Instances that are kept ready: which calls find them, and what AWS lets nobody ask for."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sandbox.systems.ready_instances import ALIAS, API, ReadyInstances
from sandbox.world import World

ASKED = {"FunctionName": API, "Qualifier": ALIAS}


@pytest.fixture(params=[True, False], ids=["thin", "full"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Both clouds."""
    with World(datetime(2026, 11, 19, 1, 0, tzinfo=UTC), thin=request.param) as world:
        yield world


def measured(world: World, metric: str, space: str = "AWS/Lambda", **dims: str) -> Any:
    """The newest value of a metric of the alias, or of Insights."""
    dims = dims or {"FunctionName": API, "Resource": f"{API}:{ALIAS}"}
    return world.metrics.of(space, metric, dims).values[-1]


def keep(world: World, number: int, **other: str) -> Any:
    """Ask for so many."""
    client = world.client("lambda")
    return client.put_provisioned_concurrency_config(**{**ASKED, **other}, ProvisionedConcurrentExecutions=number)


def test_calls_wait_for_a_start_until_enough_are_ready(world: World) -> None:
    """It takes AWS a while; what goes past what is ready may wait."""
    system = ReadyInstances(world)
    system.steep(0.5)
    world.run(timedelta(minutes=2))
    assert measured(world, "init_duration", "LambdaInsights", function_name=API).count == 150
    assert keep(world, 5)["Status"] == "IN_PROGRESS"
    world.run(timedelta(minutes=4))
    assert measured(world, "ProvisionedConcurrencyInvocations") == 150.0
    assert measured(world, "ProvisionedConcurrencySpilloverInvocations") == 150.0
    assert measured(world, "init_duration", "LambdaInsights", function_name=API).count == 75
    keep(world, 10)
    world.run(timedelta(minutes=4))
    assert measured(world, "ProvisionedConcurrencySpilloverInvocations") == 0.0
    assert not system.waits(API)
    [config] = world.client("lambda").list_provisioned_concurrency_configs(FunctionName=API)[
        "ProvisionedConcurrencyConfigs"
    ]
    assert (config["Status"], config["RequestedProvisionedConcurrentExecutions"]) == ("READY", 10)
    world.client("lambda").delete_provisioned_concurrency_config(**ASKED)
    assert system.kept() is None


@pytest.mark.parametrize(
    "number, has, other, code",
    [
        (41, {}, {}, "InvalidParameterValueException"),
        (61, {"reserved": None, "limit": 160}, {}, "InvalidParameterValueException"),
        (1, {"version": "$LATEST"}, {}, "InvalidParameterValueException"),
        (1, {}, {"Qualifier": "$LATEST"}, "ResourceNotFoundException"),
        (1, {}, {"FunctionName": "nobody"}, "ResourceNotFoundException"),
    ],
)
def test_what_aws_refuses(world: World, number: int, has: dict[str, Any], other: dict[str, str], code: str) -> None:
    """More than is reserved or than the account can spare, and anything of $LATEST."""
    system = ReadyInstances(world)
    for name, value in has.items():
        for part in (system, system.etl, system.api):
            if name in vars(part):
                setattr(part, name, value)
    with pytest.raises(ClientError, match=code):
        keep(world, number, **other)
    assert system.kept() is None


def test_nothing_else_is_taken_while_aws_is_at_it(world: World) -> None:
    """Neither another number nor an end."""
    system = ReadyInstances(world)
    keep(world, 5)
    with pytest.raises(ClientError, match="ResourceConflictException"):
        keep(world, 6)
    with pytest.raises(ClientError, match="ResourceConflictException"):
        world.client("lambda").delete_provisioned_concurrency_config(**ASKED)
    assert system.kept() == 5


def test_what_is_kept_ready_is_paid_for_until_it_is_given_up(world: World) -> None:
    """Ten of a quarter of a GiB for an hour."""
    system = ReadyInstances(world)
    keep(world, 10)
    world.run(timedelta(hours=1))
    world.client("lambda").delete_provisioned_concurrency_config(**ASKED)
    world.run(timedelta(hours=1))
    assert system.world.bill.dollars(lambda _: 1.0) == pytest.approx(2.5)


def test_an_alias_that_there_is_not_is_not_found(world: World) -> None:
    """As of AWS."""
    ReadyInstances(world)
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        world.client("lambda").get_alias(FunctionName=API, Name="other")


def test_who_scales_it_is_said(world: World) -> None:
    """And services of ECS are asked about as before."""
    system = ReadyInstances(world)
    client = world.client("application-autoscaling")
    asked = {"ResourceIds": [f"function:{API}:{ALIAS}"], "ScalableDimension": "lambda:function:ProvisionedConcurrency"}
    assert client.describe_scalable_targets(ServiceNamespace="lambda", **asked)["ScalableTargets"] == []
    system.api.scaled = True
    assert len(client.describe_scalable_targets(ServiceNamespace="lambda", **asked)["ScalableTargets"]) == 1
    assert client.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"] == []
