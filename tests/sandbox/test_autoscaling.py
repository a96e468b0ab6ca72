"""Autoscaling acts, clamps and pulls back, as on AWS: the same in both clouds."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sandbox import World
from sandbox.systems.usage_metrics import UsageMetrics
from tests.sandbox.conftest import START

MINUTE = timedelta(minutes=1)
ID = {
    "ServiceNamespace": "ecs",
    "ResourceId": "service/ioanyt-prod/delivery-standard",
    "ScalableDimension": "ecs:service:DesiredCount",
}
CPU = {"PredefinedMetricSpecification": {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"}}


class Scaled:
    """The API, which autoscaling keeps between two and four tasks, and at 60 % of CPU."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.system = UsageMetrics(world)
        self.client: Any = world.client("application-autoscaling")
        self.register(MinCapacity=2, MaxCapacity=4)
        self.put(60.0)

    def register(self, **limits: Any) -> str:
        """Say limits."""
        return str(self.client.register_scalable_target(**ID, **limits)["ScalableTargetARN"])

    def put(self, target: float, **more: Any) -> None:
        """Say a policy."""
        tracking = {"TargetValue": target, **CPU, **more}
        self.client.put_scaling_policy(
            **ID,
            PolicyName="cpu",
            PolicyType="TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration=tracking,
        )

    def minutes(self, count: int) -> int:
        """Let some minutes pass, and say how many tasks there should be."""
        self.world.run(count * MINUTE)
        return self.system.api.desired

    @property
    def shown(self) -> Any:
        """The scalable target as it is described."""
        return self.client.describe_scalable_targets(ServiceNamespace="ecs", ResourceIds=[ID["ResourceId"]])[
            "ScalableTargets"
        ][0]


@pytest.fixture(params=[False, True], ids=["full", "thin"])
def scaled(request: pytest.FixtureRequest) -> Iterator[Scaled]:
    """In both clouds."""
    with World(START, seed=1, thin=request.param) as world:
        yield Scaled(world)


def test_it_starts_tasks_after_three_minutes_above_its_target(scaled: Scaled) -> None:
    """As many as bring CPU back to the target, and never more than the maximum."""
    scaled.system.requests(1100)
    assert scaled.minutes(2) == 2
    assert scaled.minutes(1) == 3
    scaled.minutes(10)
    assert scaled.system.api.completed
    scaled.system.requests(9000)
    assert scaled.minutes(20) == 4


def test_it_stops_tasks_after_a_quarter_of_an_hour_below(scaled: Scaled) -> None:
    """Down to the minimum; not where CPU would be above its target then."""
    scaled.system.api.scale(4)
    scaled.system.requests(1100)
    assert scaled.minutes(40) == 3
    scaled.system.requests(10)
    assert scaled.minutes(13) == 3
    assert scaled.minutes(30) == 2


@pytest.mark.parametrize("desired, back", [(6, 4), (1, 2)])
def test_a_number_outside_its_limits_is_pulled_back_when_it_acts(scaled: Scaled, desired: int, back: int) -> None:
    """Not at once: a person wonders for a while."""
    scaled.system.requests(10 if desired > 4 else 550)
    scaled.system.api.scale(desired)
    assert scaled.minutes(1) == desired
    assert scaled.minutes(25) <= back if desired > 4 else scaled.minutes(5) == back


@pytest.mark.parametrize(
    "limits, desired",
    [({"MaxCapacity": 3}, 3), ({"MinCapacity": 7, "MaxCapacity": 9}, 7), ({}, 4), ({"MinCapacity": 1}, 4)],
)
def test_any_new_limits_clamp_what_there_is(scaled: Scaled, limits: dict[str, int], desired: int) -> None:
    """At once, and even where the call says no limits at all."""
    scaled.system.api.scale(5)
    arn = scaled.register(**limits)
    assert scaled.system.api.desired == desired
    assert (scaled.shown["ScalableTargetARN"], scaled.shown["MaxCapacity"]) == (arn, limits.get("MaxCapacity", 4))


def test_what_is_suspended_does_not_act_and_stays_suspended_until_somebody_says_otherwise(scaled: Scaled) -> None:
    """Other limits do not wake it."""
    scaled.register(SuspendedState={"DynamicScalingOutSuspended": True})
    scaled.register(MinCapacity=1, MaxCapacity=8)
    assert scaled.shown["SuspendedState"]["DynamicScalingOutSuspended"] is True
    scaled.system.requests(9000)
    assert scaled.minutes(20) == 2
    scaled.register(SuspendedState={"DynamicScalingOutSuspended": False})
    assert scaled.minutes(5) > 2


def test_it_stops_no_task_while_the_service_is_being_deployed(scaled: Scaled) -> None:
    """It waits until the deployment has ended."""
    scaled.system.api.scale(4)
    scaled.system.requests(10)
    scaled.minutes(13)
    scaled.system.ship_bad_api()
    assert scaled.minutes(20) == 4


def test_a_policy_may_never_stop_tasks(scaled: Scaled) -> None:
    """DisableScaleIn; the same name is the same policy."""
    scaled.put(60.0, DisableScaleIn=True)
    scaled.system.api.scale(4)
    scaled.system.requests(10)
    assert scaled.minutes(40) == 4
    [policy] = scaled.client.describe_scaling_policies(**ID)["ScalingPolicies"]
    assert policy["TargetTrackingScalingPolicyConfiguration"]["DisableScaleIn"] is True


def test_without_a_policy_nothing_acts(scaled: Scaled) -> None:
    """And what is deregistered is gone, with its policies."""
    scaled.client.deregister_scalable_target(**ID)
    assert scaled.client.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"] == []
    assert scaled.client.describe_scaling_policies(ServiceNamespace="ecs")["ScalingPolicies"] == []
    scaled.system.requests(9000)
    assert scaled.minutes(20) == 2
    scaled.register(MinCapacity=2, MaxCapacity=4)
    assert scaled.minutes(20) == 2


@pytest.mark.parametrize(
    "limits, resource, code",
    [
        ({"MinCapacity": 5, "MaxCapacity": 4}, ID["ResourceId"], "ValidationException"),
        ({"MinCapacity": 1}, "service/ioanyt-prod/usage-aggregator", "ValidationException"),
        ({"MinCapacity": 1, "MaxCapacity": 2}, "service/ioanyt-prod/nobody", "ValidationException"),
        ({"MinCapacity": 1, "MaxCapacity": 2}, "nobody", "ValidationException"),
    ],
)
def test_what_makes_no_sense_is_refused(scaled: Scaled, limits: dict[str, int], resource: str, code: str) -> None:
    """As by AWS."""
    with pytest.raises(ClientError) as error:
        scaled.client.register_scalable_target(**{**ID, "ResourceId": resource}, **limits)
    assert error.value.response["Error"]["Code"] == code


def test_a_policy_needs_a_target(scaled: Scaled) -> None:
    """What is not registered has none."""
    scaled.client.deregister_scalable_target(**ID)
    with pytest.raises(ClientError) as error:
        scaled.put(50.0)
    assert error.value.response["Error"]["Code"] == "ObjectNotFoundException"
