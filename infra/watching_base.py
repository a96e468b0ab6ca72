"""What the alarms of services, queues, functions, tables and APIs have in common. Needs nothing but the CDK."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from constructs import Construct

MINUTE: Final = cdk.Duration.minutes(1)
FIVE_MINUTES: Final = cdk.Duration.minutes(5)
DAY: Final = cdk.Duration.days(1)

FINE: Final = cloudwatch.TreatMissingData.NOT_BREACHING
BAD: Final = cloudwatch.TreatMissingData.BREACHING
UNKNOWN: Final = cloudwatch.TreatMissingData.MISSING
ABOVE: Final = cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD
AT_LEAST: Final = cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD
BELOW: Final = cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD


_SHAPES: Mapping[str, tuple[str, str]] = {
    "cluster_name": (r"[\w-]{1,255}", "the cluster's name, not its ARN"),
    "service_name": (r"[\w-]{1,255}", "the service's name, not its ARN"),
    "load_balancer_full_name": (
        r"app/[A-Za-z0-9-]{1,32}/[0-9a-f]{16}",
        "app/NAME/ID: CloudWatch knows a load balancer by all three, and only application load balancers have answers",
    ),
    "target_group_full_name": (
        r"targetgroup/[A-Za-z0-9-]{1,32}/[0-9a-f]{16}",
        "targetgroup/NAME/ID: CloudWatch knows a target group by all three, not by its name",
    ),
    "function_name": (r"[\w-]{1,64}", "the function's name, not its ARN, and no version or alias"),
    "table_name": (r"[\w.-]{3,255}", "the table's name, not its ARN"),
    "indexes": (r"[\w.-]{3,255}", "the index's name, not its ARN"),
    "api_id": (r"[a-z0-9]{26}", "the API's id (26 letters and digits), not its name or ARN"),
    "cluster_id": (r"[a-z][a-z0-9-]{0,62}", "the cluster's identifier, not its ARN, and none of its instances'"),
    "bucket_name": (r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "the bucket's name, not its ARN"),
    "queue_name": (r"[\w-]{1,80}|[\w-]{1,75}\.fifo", "the queue's name, not its URL or ARN"),
}


def checked(what: str, value: str) -> str:
    """``value``, if CloudWatch calls such a thing so; what the CDK only knows later is taken. Raises ValueError."""
    shape, remedy = _SHAPES[what]
    if not cdk.Token.is_unresolved(value) and not re.fullmatch(shape, value, re.ASCII):
        raise ValueError(f"{what}: {value!r} names nothing in CloudWatch. Write {remedy}")
    return value


def computed(expression: str, label: str, **metrics: cloudwatch.IMetric) -> cloudwatch.MathExpression:
    """What an expression makes of five-minute windows: with FILL, because what did not happen is not reported."""
    return cloudwatch.MathExpression(expression=expression, label=label, using_metrics=metrics, period=FIVE_MINUTES)


class Alarms(Construct):
    """Alarms about one thing, each called ``<what it is about>/<what is wrong>``: no name of AWS has a slash in it."""

    def __init__(self, scope: Construct, id_: str, *, about: str, called: str, tell: sns.ITopic | None) -> None:
        super().__init__(scope, id_)
        self.all: list[cloudwatch.Alarm] = []
        """as they were made"""
        self._about = about
        self._called = called
        self._action = actions.SnsAction(tell) if tell is not None else None

    def alarm(
        self,
        suffix: str,
        metric: cloudwatch.IMetric,
        comparison: cloudwatch.ComparisonOperator,
        threshold: float,
        *,
        of: tuple[int, int],
        missing: cloudwatch.TreatMissingData,
        says: str,
    ) -> None:
        """Go off when ``of[0]`` of the last ``of[1]`` windows are bad; people are told when it begins and ends."""
        alarm = cloudwatch.Alarm(
            self,
            "".join(part.capitalize() for part in suffix.split("-")),
            alarm_name=f"{self._called}/{suffix}",
            alarm_description=f"{self._about} {says}",
            metric=metric,
            comparison_operator=comparison,
            threshold=threshold,
            datapoints_to_alarm=of[0],
            evaluation_periods=of[1],
            treat_missing_data=missing,
        )
        if self._action is not None:
            alarm.add_alarm_action(self._action)
            alarm.add_ok_action(self._action)
        self.all.append(alarm)
