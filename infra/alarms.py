"""Who watches Nightshift: alarms that tell people without needing anything of Nightshift to work."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from constructs import Construct
from nightshift.config import Policy

from infra.functions import VISIBILITY, Functions, service_name
from infra.messaging import Messaging

__all__ = ["Alarms"]

_MINUTE = cdk.Duration.minutes(1)
_BREACHING = cloudwatch.TreatMissingData.BREACHING
_FINE = cloudwatch.TreatMissingData.NOT_BREACHING


class Alarms(Construct):
    """One alarm for each way in which Nightshift can stop doing its work unnoticed."""

    def __init__(
        self, scope: Construct, id_: str, *, policy: Policy, functions: Functions, messaging: Messaging
    ) -> None:
        super().__init__(scope, id_)
        self._action = actions.SnsAction(messaging.alarms)
        self._dead_man(policy)
        for name, function in functions.all.items():
            self._alarm(
                f"{name.capitalize()}Fails",
                function.metric_errors(period=_MINUTE, statistic="Sum"),
                what=f"Nightshift's {name} function failed in 3 of 5 minutes. Look into its log group",
                threshold=1,
                periods=(3, 5),
            )
            self._alarm(
                f"{name.capitalize()}Throttled",
                function.metric_throttles(period=_MINUTE, statistic="Sum"),
                what=f"Nightshift's {name} function was throttled in 3 of 5 minutes: work comes in faster than it goes",
                threshold=1,
                periods=(3, 5),
            )
        self._alarm(
            "WorkUnfinished",
            messaging.dead_letters.metric_approximate_number_of_messages_visible(period=_MINUTE, statistic="Maximum"),
            what="No tick could finish some work in 5 attempts. The message names it; its record says what was",
            threshold=1,
        )
        self._alarm(
            "EventsMissed",
            messaging.missed.metric_approximate_number_of_messages_visible(period=_MINUTE, statistic="Maximum"),
            what="An event reached none of Nightshift's functions. The next sweep sees what it was about; find out why",
            threshold=1,
        )
        self._alarm(
            "WorkWaits",
            messaging.work.metric_approximate_age_of_oldest_message(period=_MINUTE, statistic="Maximum"),
            what="Work has waited longer than it may: ticks are too slow, too few, or do not run",
            threshold=VISIBILITY.to_seconds(),
            periods=(5, 5),
        )
        self._alarm(
            "WorkFails",
            _ours(policy, "TicksFailed"),
            what="Ticks failed in 3 of 5 minutes: the table cannot be used, or no report can be published. Look into "
            "the tick function's log group",
            threshold=1,
            periods=(3, 5),
        )
        self._alarm(
            "ReportsNotDelivered",
            messaging.reports.metric_number_of_notifications_failed(period=_MINUTE, statistic="Sum"),
            what="Somebody did not get a report. Check the report topic's subscriptions",
            threshold=1,
        )
        for name, topic in messaging.others.items():
            self._alarm(
                f"ReportsNotDelivered{name}",
                topic.metric_number_of_notifications_failed(period=_MINUTE, statistic="Sum"),
                what=f"Somebody did not get a report. Check the subscriptions of the topic for {name}",
                threshold=1,
            )
        self._alarm(
            "AlarmsNotDelivered",  # told to those that it still reaches
            messaging.alarms.metric_number_of_notifications_failed(period=_MINUTE, statistic="Sum"),
            what="Somebody did not get an alarm about Nightshift. Check the alarm topic's subscriptions",
            threshold=1,
        )

    def _dead_man(self, policy: Policy) -> None:
        """No sweep has said for five minutes that it is done: silence is the alarm."""
        self._alarm(
            "SweepSilent",
            _ours(policy, "SweepCompleted"),
            what=f"Nightshift ({policy.name}) has not looked at anything for 5 minutes: nobody watches but you",
            threshold=1,
            below=True,
            periods=(5, 5),
            missing=_BREACHING,
        )

    def _alarm(
        self,
        id_: str,
        metric: cloudwatch.IMetric,
        *,
        what: str,
        threshold: float,
        below: bool = False,
        periods: tuple[int, int] = (1, 1),
        missing: cloudwatch.TreatMissingData = _FINE,
    ) -> None:
        """Tell people when it begins, and again when it is over."""
        below_or_at = (
            cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD
            if below
            else cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD
        )
        alarm = cloudwatch.Alarm(
            self,
            id_,
            alarm_description=f"{what}. See docs/how-to/deploy.md",
            metric=metric,
            threshold=threshold,
            comparison_operator=below_or_at,
            datapoints_to_alarm=periods[0],
            evaluation_periods=periods[1],
            treat_missing_data=missing,
        )
        alarm.add_alarm_action(self._action)
        alarm.add_ok_action(self._action)


def _ours(policy: Policy, name: str) -> cloudwatch.Metric:
    """A metric of this deployment's functions (nightshift/edge.py): what they counted in a minute."""
    return cloudwatch.Metric(
        namespace="Nightshift",
        metric_name=name,
        dimensions_map={"service": service_name(policy)},
        period=_MINUTE,
        statistic="Sum",
    )
