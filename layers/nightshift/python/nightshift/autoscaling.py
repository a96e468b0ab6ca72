"""
How many tasks an ECS service runs, and what Application Auto Scaling has been told about that.

For every remediation that sets the one or looks at the other; and what AWS asks of whoever tells it anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nightshift.model import Arn, Call
from nightshift.remediation import Reader
from nightshift.signals import split_service_arn

__all__ = ["DIMENSION", "alarms", "alarms_gone", "alarms_made", "found", "named", "scale", "service_of", "suspended"]

DIMENSION = "ecs:service:DesiredCount"
"""what Application Auto Scaling calls the number of a service's tasks"""


def named(arn: Arn) -> dict[str, str]:
    """By what Application Auto Scaling knows a service's number of tasks."""
    return {"ResourceId": arn.resource, "ScalableDimension": DIMENSION}


def found(read: Reader, arn: Arn) -> Mapping[str, Any] | None:
    """What autoscaling has been told about a service; None where it does not scale it."""
    targets = read(
        "application-autoscaling",
        "DescribeScalableTargets",
        ServiceNamespace="ecs",
        ResourceIds=[arn.resource],
        ScalableDimension=DIMENSION,
    ).get("ScalableTargets", ())
    return next((each for each in targets if each.get("ResourceId") == arn.resource), None)


def alarms(arn: Arn) -> tuple[str, ...]:
    """
    The alarms by which AWS follows the use of a service, a table or an index. AWS makes and deletes them itself.

    Of a table or an index it also follows what is provisioned. Those of the others whose names begin alike are not
    among them.
    """
    kinds = ("Alarm*", "ProvisionedCapacity*") if arn.service == "dynamodb" else ("Alarm*",)
    names = (f"alarm:TargetTracking-{arn.resource}-{kind}" for kind in kinds)
    return tuple(str(Arn(arn.partition, "cloudwatch", arn.region, arn.account, name)) for name in names)


def alarms_gone(arn: Arn) -> tuple[tuple[str, str], ...]:
    """What whoever has nothing scaled any more must be allowed to do with them, as grants of a call."""
    return (*(("cloudwatch:DeleteAlarms", each) for each in alarms(arn)), ("cloudwatch:DescribeAlarms", "*"))


def alarms_made(arn: Arn) -> tuple[tuple[str, str], ...]:
    """
    What whoever sets limits, or has them followed, must be allowed to do with them, as grants of a call.

    AWS tries it out with empty requests under the caller's name, and refuses the call where one is not allowed.

    Source: https://docs.aws.amazon.com/autoscaling/application/userguide/security_iam_permission_validation.html
    """
    return (*(("cloudwatch:PutMetricAlarm", each) for each in alarms(arn)), *alarms_gone(arn))


def suspended(scaling: Mapping[str, Any]) -> bool:
    """Whether any part of autoscaling is suspended."""
    return any(scaling.get("SuspendedState", {}).values())


def service_of(call: Call) -> Arn:
    """The service that a call is about: a scalable target's own ARN does not say it."""
    arn = Arn.parse(call.resource)
    if call.operation == "UpdateService":
        return arn
    return Arn(arn.partition, "ecs", arn.region, arn.account, str(call.params["ResourceId"]))


def scale(arn: Arn, count: int, *, before: int, stops: bool = False) -> Call:
    """Set the number of tasks."""
    cluster, service = split_service_arn(arn)
    return Call(
        "ecs",
        "UpdateService",
        str(arn),
        params={"cluster": cluster, "service": service, "desiredCount": count},
        before={"desiredCount": before},
        why="another number of tasks, and nothing else: it starts no deployment",
        stops=stops,
    )
