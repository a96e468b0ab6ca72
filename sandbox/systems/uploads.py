"""
What reports are about, of runbook 2: a trail whose events are counted, and the alarms that people have set on it.

Nothing here is cured by Nightshift. What goes wrong is measured as AWS measures it, so that whoever looks finds it.
"""

from datetime import timedelta
from typing import Any

from sandbox.clock import Order
from sandbox.world import World

TRAIL = "CloudTrailMetrics"
"""the namespace into which the trail's metric filters count"""
SIGN_INS = "failed-sign-ins"
GROUPS = "security-group-changes"
AT_NIGHT = "somebody-at-the-door"
"""a composite alarm: either of the two before, but for when a penetration test is announced"""
TEST = "penetration-test"


class Uploads:
    """A customer's content: who tries to get in, and what is counted of it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.failed_sign_ins = 0  # a minute; no event, no data: as a metric filter without a default value counts
        self.group_changes = 0
        self.test_announced: bool | None = False  # None: whoever reports it has stopped
        world.every(timedelta(minutes=1), self._count, order=Order.METERS)
        for name, metric in ((SIGN_INS, "ConsoleSignInFailures"), (GROUPS, "SecurityGroupChanges")):
            self.alarm(name, Namespace=TRAIL, MetricName=metric, TreatMissingData="notBreaching")
        self.alarm(TEST, Namespace="Custom/Calendar", MetricName="PenetrationTest", Threshold=1)
        world.client("cloudwatch").put_composite_alarm(
            AlarmName=AT_NIGHT,
            AlarmRule=f'ALARM("{SIGN_INS}") OR ALARM("{GROUPS}")',
            ActionsSuppressor=TEST,
            ActionsSuppressorWaitPeriod=60,
            ActionsSuppressorExtensionPeriod=60,
        )

    def alarm(self, name: str, **more: Any) -> None:
        """Set an alarm: five of something in five minutes."""
        settings: dict[str, Any] = {
            "Statistic": "Sum",
            "Period": 300,
            "EvaluationPeriods": 1,
            "Threshold": 5,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        } | more
        self.world.client("cloudwatch").put_metric_alarm(AlarmName=name, **settings)

    def alarm_arn(self, name: str) -> str:
        """An alarm's ARN."""
        return self.world.arn("cloudwatch", f"alarm:{name}")

    def _count(self) -> None:
        minute = self.world.agenda.ms // 60_000 - 1
        test = None if self.test_announced is None else float(self.test_announced)
        for namespace, metric, value in (
            (TRAIL, "ConsoleSignInFailures", float(self.failed_sign_ins) or None),
            (TRAIL, "SecurityGroupChanges", float(self.group_changes) or None),
            ("Custom/Calendar", "PenetrationTest", test),
        ):
            if value is not None:
                self.world.metrics.of(namespace, metric).put(minute, value)
