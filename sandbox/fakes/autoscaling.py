"""
Gap filled: moto's scalable targets clamp nothing, and its policies never act.

As on AWS, autoscaling fights back. Any RegisterScalableTarget of a target that is there brings the number of tasks
into its limits, even one that says no limits. Target tracking on CPU starts tasks after three minutes above its target,
stops some after fifteen minutes well below it, and whatever it sets is within the limits: a number that somebody has
set outside them is pulled back the next time it acts. While a service is being deployed it stops none.
"""

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sandbox.clock import Agenda, Order
from sandbox.fakes.ecs_services import EcsServices
from sandbox.metrics import MINUTE_MS, Metrics
from sandbox.seam import Answer, AwsError, Call, Seam, new_id
from sandbox.services import Service

DIMENSION = "ecs:service:DesiredCount"
OUT_AFTER, IN_AFTER = 3, 15  # minutes above, and below: the alarms that target tracking makes
BELOW = 0.9  # of the target: where it begins to scale in
COOLDOWN = timedelta(minutes=5)  # the default for ECS, both ways
_SUSPENDED = ("DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended")


@dataclass(eq=False)
class Policy:
    """A target tracking policy on the service's CPU."""

    name: str
    arn: str
    target: float
    created_at: datetime
    scales_in: bool = True
    acted_at: datetime | None = None


@dataclass(eq=False)
class Scalable:
    """A service whose number of tasks autoscaling may set."""

    arn: str
    resource: str
    service: Service
    least: int
    most: int
    created_at: datetime
    suspended: dict[str, bool] = field(default_factory=lambda: dict.fromkeys(_SUSPENDED, False))
    policies: dict[str, Policy] = field(default_factory=dict)

    def clamp(self) -> None:
        """Bring the number of tasks into the limits."""
        self.set(self.service.desired)

    def set(self, desired: int) -> None:
        """Set a number of tasks, or the nearest that the limits allow."""
        wanted = min(max(desired, self.least), self.most)
        if wanted != self.service.desired:
            self.service.scale(wanted)


class Autoscaling:
    """Application Auto Scaling, for ECS services."""

    def __init__(
        self, agenda: Agenda, services: EcsServices, metrics: Metrics, seam: Seam, place: tuple[str, str]
    ) -> None:
        self.all: dict[str, Scalable] = {}  # by resource id
        self._agenda = agenda
        self._services = services
        self._metrics = metrics
        self._account, self._region = place
        seam.fake(
            "application-autoscaling",
            DescribeScalableTargets=self._describe,
            RegisterScalableTarget=self._register,
            DeregisterScalableTarget=self._deregister,
            DescribeScalingPolicies=self._describe_policies,
            PutScalingPolicy=self._put_policy,
        )
        agenda.every(timedelta(minutes=1), self._act, order=Order.ALARMS)

    # -- how it acts

    def _act(self) -> None:
        for scalable in self.all.values():
            for policy in scalable.policies.values():
                self._track(scalable, policy)

    def _track(self, scalable: Scalable, policy: Policy) -> None:
        if policy.acted_at is not None and self._agenda.now < policy.acted_at + COOLDOWN:
            return
        service, used = scalable.service, self._used(scalable.service, IN_AFTER)
        high, suspended = used[-OUT_AFTER:], scalable.suspended
        out = len(high) == OUT_AFTER and min(high) > policy.target and not suspended["DynamicScalingOutSuspended"]
        paused = suspended["DynamicScalingInSuspended"] or not policy.scales_in or not service.completed
        back = len(used) == IN_AFTER and max(used) < policy.target * BELOW and not paused
        before = service.desired
        if out or back:
            scalable.set(math.ceil(before * used[-1] / policy.target))  # as many as would bring it to its target
        if service.desired != before:
            policy.acted_at = self._agenda.now

    def _used(self, service: Service, minutes: int) -> list[float]:
        """CPU of the last minutes; none of a minute that was not measured."""
        dims = (("ClusterName", service.cluster), ("ServiceName", service.name))
        series = self._metrics.find("AWS/ECS", "CPUUtilization", dims)
        end = self._agenda.ms // MINUTE_MS
        points = None if series is None else series.plain(end - minutes, end)
        return [value for _, value in points or ()]

    # -- operations

    def _describe(self, call: Call) -> Answer:
        _check(call)
        asked = call.params.get("ResourceIds")
        found = self.all.values() if asked is None else [self.all[each] for each in asked if each in self.all]
        return {"ScalableTargets": [self._shown(each) for each in found]}

    def _register(self, call: Call) -> Answer:
        _check(call)
        params = call.params
        resource = params["ResourceId"]
        scalable = self.all.get(resource)
        least = params.get("MinCapacity", scalable.least if scalable else None)
        most = params.get("MaxCapacity", scalable.most if scalable else None)
        if least is None or most is None:
            raise AwsError("ValidationException", "MinCapacity and MaxCapacity are required for a new scalable target.")
        if least > most:
            raise AwsError("ValidationException", "Maximum capacity cannot be less than minimum capacity")
        if scalable is None:
            arn = f"arn:aws:application-autoscaling:{self._region}:{self._account}:scalable-target/{_id()}"
            service = self._service(resource)
            scalable = self.all[resource] = Scalable(arn, resource, service, least, most, self._agenda.now)
            scalable.suspended |= params.get("SuspendedState", {})
        else:
            scalable.least, scalable.most = least, most
            scalable.suspended |= params.get("SuspendedState", {})
            scalable.clamp()
        return {"ScalableTargetARN": scalable.arn}

    def _service(self, resource: str) -> Service:
        try:
            _, cluster, name = resource.split("/")
            return self._services.find(cluster, name)
        except (KeyError, ValueError) as error:
            raise AwsError("ValidationException", f"ECS service doesn't exist: {resource}") from error

    def _known(self, call: Call) -> Scalable:
        _check(call)
        found = self.all.get(call.params["ResourceId"])
        if found is None:
            raise AwsError("ObjectNotFoundException", "No scalable target registered for it.")
        return found

    def _deregister(self, call: Call) -> Answer:
        del self.all[self._known(call).resource]
        return {}

    def _put_policy(self, call: Call) -> Answer:
        scalable, params = self._known(call), call.params
        tracking = params.get("TargetTrackingScalingPolicyConfiguration", {})
        metric = tracking.get("PredefinedMetricSpecification", {}).get("PredefinedMetricType")
        if metric != "ECSServiceAverageCPUUtilization":  # refused loudly: a policy that never acts would be believed
            raise NotImplementedError("of policies the sandbox knows target tracking on a service's CPU")
        name = params["PolicyName"]
        arn = f"arn:aws:autoscaling:{self._region}:{self._account}:scalingPolicy:{new_id()}:policyName/{name}"
        arn = scalable.policies[name].arn if name in scalable.policies else arn
        scalable.policies[name] = Policy(
            name, arn, tracking["TargetValue"], self._agenda.now, scales_in=not tracking.get("DisableScaleIn", False)
        )
        return {"PolicyARN": arn, "Alarms": []}

    def _describe_policies(self, call: Call) -> Answer:
        _check(call)
        asked = call.params.get("ResourceId")
        shown = [
            self._shown_policy(scalable, policy)
            for scalable in self.all.values()
            if asked in (None, scalable.resource)
            for policy in scalable.policies.values()
        ]
        return {"ScalingPolicies": shown}

    @staticmethod
    def _shown(scalable: Scalable) -> dict[str, Any]:
        return {
            "ServiceNamespace": "ecs",
            "ResourceId": scalable.resource,
            "ScalableDimension": DIMENSION,
            "MinCapacity": scalable.least,
            "MaxCapacity": scalable.most,
            "RoleARN": "arn:aws:iam::aws:role/aws-service-role/ecs.application-autoscaling.amazonaws.com/x",
            "CreationTime": scalable.created_at,
            "SuspendedState": dict(scalable.suspended),
            "ScalableTargetARN": scalable.arn,
        }

    @staticmethod
    def _shown_policy(scalable: Scalable, policy: Policy) -> dict[str, Any]:
        return {
            "PolicyARN": policy.arn,
            "PolicyName": policy.name,
            "ServiceNamespace": "ecs",
            "ResourceId": scalable.resource,
            "ScalableDimension": DIMENSION,
            "PolicyType": "TargetTrackingScaling",
            "TargetTrackingScalingPolicyConfiguration": {
                "TargetValue": policy.target,
                "PredefinedMetricSpecification": {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"},
                "DisableScaleIn": not policy.scales_in,
            },
            "Alarms": [],
            "CreationTime": policy.created_at,
        }


def _check(call: Call) -> None:
    """Only ECS is scaled here; anything else is refused loudly, because an answer without effect would be believed."""
    if call.params["ServiceNamespace"] != "ecs" or call.params.get("ScalableDimension", DIMENSION) != DIMENSION:
        raise NotImplementedError("the sandbox scales ECS services only")


def _id() -> str:
    return f"0ec5{new_id().replace('-', '')}"
