"""
Gap filled: moto has no composite alarms, and its DescribeAlarms leaves too much out.

Here it says since when an alarm is in its state and what suppresses it, and only of the types that were asked for.

A composite alarm is judged once a minute, after those that it is made of. Its rule may be `ALARM("a") OR ALARM("b")`,
all with OR or all with AND; whatever else a rule may say is refused, so that nothing is judged wrongly.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sandbox.alarms import Alarms
from sandbox.clock import Agenda, Order
from sandbox.seam import Answer, AwsError, Call, Seam

_PART = re.compile(r'ALARM\("?([^"()]+)"?\)')
_PLAIN = {
    "AlarmDescription": "description",
    "StateValue": "state_value",
    "StateReason": "state_reason",
    "StateReasonData": "state_reason_data",
    "ActionsEnabled": "actions_enabled",
    "StateUpdatedTimestamp": "state_updated_timestamp",
    "StateTransitionedTimestamp": "state_updated_timestamp",
}
_OF_METRIC = {
    "MetricName": "metric_name",
    "Namespace": "namespace",
    "Statistic": "statistic",
    "ExtendedStatistic": "extended_statistic",
    "Period": "period",
    "EvaluationPeriods": "evaluation_periods",
    "DatapointsToAlarm": "datapoints_to_alarm",
    "Threshold": "threshold",
    "ComparisonOperator": "comparison_operator",
    "TreatMissingData": "treat_missing_data",
}


class CompositeAlarms:
    """The composite alarms of the account, and what DescribeAlarms says of all alarms."""

    def __init__(self, agenda: Agenda, alarms: Alarms, seam: Seam) -> None:
        self._alarms = alarms
        self._suppressors: dict[str, str] = {}
        seam.fake("cloudwatch", PutCompositeAlarm=self._put, DescribeAlarms=self._describe)
        agenda.every(timedelta(minutes=1), self._judge_all, order=Order.ALARMS)

    def _put(self, call: Call) -> Answer:
        params = call.params
        _parts(params["AlarmRule"])
        self._alarms.backend.put_metric_alarm(
            name=params["AlarmName"],
            rule=params["AlarmRule"],
            actions_enabled=params.get("ActionsEnabled", True),
            description=params.get("AlarmDescription"),
            alarm_actions=[],
            dimensions=[],
            **dict.fromkeys(("namespace", "metric_name", "comparison_operator", "evaluation_periods", "period"), None),
            threshold=None,
            statistic=None,
        )
        self._suppressors[params["AlarmName"]] = params.get("ActionsSuppressor", "")
        self._alarms.put(params["AlarmName"])
        return {}

    def _judge_all(self) -> None:
        for name, alarm in self._alarms.all.items():
            if alarm.rule is not None:
                every, children = _parts(alarm.rule)
                raised = [self._raised(child) for child in children]
                state = "ALARM" if (all(raised) if every else any(raised)) else "OK"
                if state != alarm.state_value:
                    self._alarms.change(name, state, f"{name} transitioned to {state}", "")

    def _raised(self, name: str) -> bool:
        return name in self._alarms.all and self._alarms.state(name) == "ALARM"

    # -- what is said of them

    def _describe(self, call: Call) -> Answer | None:
        wanted, state = call.params.get("AlarmNames"), call.params.get("StateValue")
        if not wanted and not state:
            return None
        types = call.params.get("AlarmTypes") or ["MetricAlarm"]
        named = [alarm for name, alarm in sorted(self._alarms.all.items()) if not wanted or name in wanted]
        found = [alarm for alarm in named if not state or alarm.state_value == state]
        metric = [self._shown(alarm) for alarm in found if alarm.rule is None and "MetricAlarm" in types]
        composite = [self._shown(alarm) for alarm in found if alarm.rule is not None and "CompositeAlarm" in types]
        return {"MetricAlarms": metric, "CompositeAlarms": composite}

    def _shown(self, alarm: Any) -> dict[str, Any]:
        shown = _there(alarm, _PLAIN) | {"AlarmName": alarm.name, "AlarmArn": alarm.alarm_arn}
        if alarm.rule is None:
            dims = [{"Name": each.name, "Value": each.value} for each in alarm.dimensions]
            return shown | _there(alarm, _OF_METRIC) | {"Dimensions": dims}
        suppressor = self._suppressors[alarm.name]
        quiet = self._raised(suppressor) and alarm.state_value == "ALARM"
        suppressed = {"ActionsSuppressor": suppressor} if suppressor else {}
        return shown | {"AlarmRule": alarm.rule} | suppressed | ({"ActionsSuppressedBy": "Alarm"} if quiet else {})


def _there(alarm: Any, fields: Mapping[str, str]) -> dict[str, Any]:
    """AWS leaves out what an alarm does not say."""
    return {name: value for name, field in fields.items() if (value := getattr(alarm, field)) not in (None, "")}


def _parts(rule: str) -> tuple[bool, list[str]]:
    """Whether all of them must be raised, and the alarms of a rule."""
    words = set(_PART.sub(" ", rule).split())
    if not words <= {"AND"} and not words <= {"OR"}:
        raise AwsError("ValidationError", f"the sandbox does not judge the rule {rule}")
    return words == {"AND"}, _PART.findall(rule)
