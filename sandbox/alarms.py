"""
Alarms: moto keeps them, this judges them, once a virtual minute, and puts their state changes on the bus.

Gaps filled: moto never evaluates an alarm, starts new ones as OK (real ones start as INSUFFICIENT_DATA),
resets the state on every PutMetricAlarm, and sends no events. Alarms on metric math are judged as far as
`sandbox.metric_math` understands it. All others, on anomaly bands and on other alarms, keep their state.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from moto.cloudwatch.models import cloudwatch_backends

from sandbox.clock import Agenda, Order
from sandbox.events import Bus
from sandbox.metric_math import Formula, NotUnderstood, formula
from sandbox.metrics import Dimensions, Metrics
from sandbox.seam import Answer, Call, Seam

EXTRA_PERIODS = 3  # CloudWatch looks at more periods than it needs, to bridge data that is late
WHOLE = 1 << 40
_TREATED = {"breaching": "Breaching", "notBreaching": "NonBreaching", "ignore": "Ignore"}
_SAYS = {
    "GreaterThanOrEqualToThreshold": "greater than or equal to",
    "GreaterThanThreshold": "greater than",
    "LessThanThreshold": "less than",
    "LessThanOrEqualToThreshold": "less than or equal to",
}


@dataclass(frozen=True, slots=True)
class Watched:
    """The metric that an alarm judges."""

    namespace: str
    name: str
    dims: Dimensions
    statistic: str
    period: int


@dataclass(frozen=True, slots=True)
class Judged:
    """What an alarm compares with its threshold: metrics by their ids, and what is made of them."""

    metrics: Mapping[str, Watched]
    made: Formula

    @property
    def period(self) -> int:
        """Seconds of one window, which is the same for all metrics of an alarm."""
        return next(iter(self.metrics.values())).period


class Alarms:
    """All alarms of the account."""

    def __init__(self, agenda: Agenda, metrics: Metrics, bus: Bus, seam: Seam, place: tuple[str, str]) -> None:
        self._agenda = agenda
        self._metrics = metrics
        self._bus = bus
        self._place = place
        self._known: dict[str, tuple[str, str, str, datetime]] = {}
        seam.after("cloudwatch", "PutMetricAlarm", lambda call, _: self.put(call.params["AlarmName"]))
        seam.after("cloudwatch", "DeleteAlarms", self._delete)
        seam.after("cloudwatch", "SetAlarmState", self._set)
        agenda.every(timedelta(minutes=1), self._judge_all, order=Order.ALARMS)

    @property
    def backend(self) -> Any:
        """Where moto keeps them."""
        account, region = self._place
        return cloudwatch_backends[account][region]

    @property
    def all(self) -> dict[str, Any]:
        """Every alarm, by its name."""
        return dict(self.backend.alarms)

    def state(self, name: str) -> str:
        """The state of an alarm."""
        return str(self.all[name].state_value)

    def put(self, name: str) -> None:
        """An alarm was made, or set anew: it keeps its state, or has none yet."""
        alarm = self.all[name]
        state = self._known.get(name) or (
            "INSUFFICIENT_DATA",
            "Unchecked: Initial alarm creation",
            "",
            self._agenda.now,
        )
        alarm.state_value, alarm.state_reason, alarm.state_reason_data, alarm.state_updated_timestamp = state
        self._known[name] = state

    def change(self, name: str, state: str, reason: str, reason_data: str) -> None:
        """Change the state of an alarm, and say so on the bus."""
        self._change(self.all[name], state, reason, reason_data)

    def _delete(self, call: Call, _answer: Answer) -> None:
        for name in call.params["AlarmNames"]:
            self._known.pop(name, None)

    def _set(self, call: Call, _answer: Answer) -> None:
        params = call.params
        alarm = self.all[params["AlarmName"]]
        self._change(alarm, params["StateValue"], params["StateReason"], params.get("StateReasonData", ""))

    def _judge_all(self) -> None:
        if not self._known:
            return
        for name in list(self._known):
            alarm = self.all.get(name)
            judged = _judged(alarm) if alarm is not None else None
            if alarm is not None and judged is not None:
                self._judge(alarm, judged)

    def _judge(self, alarm: Any, judged: Judged) -> None:
        periods, minutes = int(alarm.evaluation_periods), max(judged.period // 60, 1)
        needed = int(alarm.datapoints_to_alarm or periods)
        end = self._metrics.horizon(self._agenda.ms)
        points: list[tuple[int, float] | None] = []  # newest first
        for back in range(1, periods + EXTRA_PERIODS + 1):
            start = end - back * minutes
            reported = {name: self._reported(each, start, minutes) for name, each in judged.metrics.items()}
            value = judged.made(reported, start)
            points.append(None if value is None else (start, value))
        state = self._verdict(alarm, points, periods, needed)
        if state and state != alarm.state_value:
            recent = [point for point in points[:periods] if point is not None]
            reason = _reason(alarm, state, recent, needed)
            self._change(alarm, state, reason, self._reason_data(alarm, judged, recent))

    def _reported(self, watched: Watched, start: int, minutes: int) -> float | None:
        """What a metric reported in one window, if anything."""
        series = self._metrics.find(watched.namespace, watched.name, watched.dims)
        found = series.buckets(start, start + minutes, WHOLE) if series else {}
        bucket = next(iter(found.values()), None)
        return float(bucket.statistic(watched.statistic)) if bucket else None

    @staticmethod
    def _verdict(alarm: Any, points: Sequence[tuple[int, float] | None], periods: int, needed: int) -> str | None:
        present = [point for point in points if point is not None]
        if all(point is None for point in points[:periods]):
            considered: list[tuple[int, float] | None] = list(points[:periods])
        elif len(present) >= periods:
            considered = list(present[:periods])
        else:
            considered = list(points[:periods])
        treat = alarm.treat_missing_data or "missing"
        missing = sum(point is None for point in considered)
        breaching = sum(_breaches(alarm, point[1]) for point in considered if point is not None)
        if missing == len(considered) and treat in ("missing", "ignore"):
            return "INSUFFICIENT_DATA" if treat == "missing" else None
        if treat == "breaching":
            breaching += missing
        if breaching >= needed:
            return "ALARM"
        if treat == "ignore" and breaching + missing >= needed:
            return None
        return "OK"

    def _reason_data(self, alarm: Any, judged: Judged, recent: Sequence[tuple[int, float]]) -> str:
        watched = _watched(alarm)  # None for metric math, which has no one statistic
        data: dict[str, Any] = {
            "version": "1.0",
            "queryDate": _stamp(self._agenda.now),
            **({"statistic": watched.statistic} if watched else {}),
            "period": judged.period,
            "recentDatapoints": [value for _, value in reversed(recent)],
            "threshold": float(alarm.threshold),
            "evaluatedDatapoints": [
                {"timestamp": _stamp(datetime.fromtimestamp(minute * 60, UTC)), "sampleCount": 1.0, "value": value}
                for minute, value in recent
            ],
        }
        if recent:
            data["startDate"] = _stamp(datetime.fromtimestamp(recent[-1][0] * 60, UTC))
        return json.dumps(data, separators=(",", ":"))

    def _change(self, alarm: Any, state: str, reason: str, reason_data: str) -> None:
        previous = self._known.get(alarm.name) or (
            alarm.state_value,
            alarm.state_reason,
            alarm.state_reason_data,
            alarm.state_updated_timestamp,
        )
        alarm.update_state(reason, reason_data, state)
        alarm.state_updated_timestamp = self._agenda.now
        self._known[alarm.name] = (state, reason, reason_data, self._agenda.now)
        if previous[0] == state:
            return
        self._bus.publish(
            "aws.cloudwatch",
            "CloudWatch Alarm State Change",
            {
                "alarmName": alarm.name,
                "state": _shown(self._known[alarm.name]),
                "previousState": _shown(previous),
                "configuration": {"description": alarm.description or "", "metrics": _metrics(alarm)},
            },
            [alarm.alarm_arn],
        )


def _watched(alarm: Any) -> Watched | None:
    if alarm.metric_name:
        dims = tuple(sorted((each.name, each.value) for each in alarm.dimensions))
        return Watched(
            alarm.namespace, alarm.metric_name, dims, alarm.extended_statistic or alarm.statistic, int(alarm.period)
        )
    stats = [query for query in alarm.metric_data_queries if query.metric_stat is not None]
    if len(stats) != 1 or len(alarm.metric_data_queries) != 1:
        return None
    return _stat(stats[0])


def _judged(alarm: Any) -> Judged | None:
    """What an alarm judges; None for what we do not judge."""
    watched = _watched(alarm)
    if watched is not None:
        return Judged({"m": watched}, formula("m"))
    stats = {query.id: _stat(query) for query in alarm.metric_data_queries if query.metric_stat is not None}
    made = [query.expression for query in alarm.metric_data_queries if query.metric_stat is None]
    if len(made) != 1 or not stats or len({each.period for each in stats.values()}) != 1:
        return None
    try:
        return Judged(stats, formula(made[0]))
    except NotUnderstood:
        return None


def _stat(query: Any) -> Watched:
    stat = query.metric_stat
    dims = tuple(sorted((each.name, each.value) for each in stat.metric.dimensions))
    return Watched(stat.metric.namespace, stat.metric.metric_name, dims, stat.stat, int(stat.period))


def _metrics(alarm: Any) -> list[dict[str, Any]]:
    """What the event says about the alarm's metrics."""
    watched = _watched(alarm)
    if watched is not None:
        return [_metric(str(uuid.uuid5(uuid.NAMESPACE_URL, alarm.alarm_arn)), watched, returned=True)]
    shown = []
    for query in alarm.metric_data_queries:
        if query.metric_stat is None:
            entry = {"id": query.id, "expression": query.expression, "returnData": query.return_data != "false"}
            shown.append(entry | ({"label": query.label} if query.label else {}))
        else:
            shown.append(_metric(query.id, _stat(query), returned=query.return_data == "true"))
    return shown


def _metric(identity: str, watched: Watched, *, returned: bool) -> dict[str, Any]:
    return {
        "id": identity,
        "metricStat": {
            "metric": {"namespace": watched.namespace, "name": watched.name, "dimensions": dict(watched.dims)},
            "period": watched.period,
            "stat": watched.statistic,
        },
        "returnData": returned,
    }


def _shown(state: tuple[str, str, str, datetime]) -> dict[str, str]:
    value, reason, reason_data, at = state
    shown = {"value": value, "reason": reason, "timestamp": _stamp(at)}
    return shown | ({"reasonData": reason_data} if reason_data else {})


def _stamp(moment: datetime) -> str:
    """A time as alarm events write it: `2026-11-02T03:04:05.678+0000`, without a colon in the zone."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}+0000"


def _breaches(alarm: Any, value: float) -> bool:
    threshold = float(alarm.threshold)
    match alarm.comparison_operator:
        case "GreaterThanThreshold":
            return value > threshold
        case "GreaterThanOrEqualToThreshold":
            return value >= threshold
        case "LessThanThreshold":
            return value < threshold
        case "LessThanOrEqualToThreshold":
            return value <= threshold
    return False


def _reason(alarm: Any, state: str, recent: Sequence[tuple[int, float]], needed: int) -> str:
    if state == "INSUFFICIENT_DATA":
        return f"Insufficient Data: {alarm.evaluation_periods} datapoints were unknown."
    breaching = [(minute, value) for minute, value in recent if _breaches(alarm, value) is (state == "ALARM")]
    says = _SAYS.get(alarm.comparison_operator, "outside of")
    values = ", ".join(
        f"{value} ({datetime.fromtimestamp(minute * 60, UTC):%d/%m/%y %H:%M:%S})" for minute, value in breaching
    )
    total = int(alarm.evaluation_periods)
    if not breaching:
        return (
            f"Threshold Crossed: no datapoints were received for {total} periods and "
            f"{total} missing datapoints were treated as [{_TREATED.get(alarm.treat_missing_data or '', 'Missing')}]."
        )
    verb = ("were" if len(breaching) > 1 else "was") + ("" if state == "ALARM" else " not")
    change = "OK -> ALARM" if state == "ALARM" else "ALARM -> OK"
    how_many = f"{len(breaching)} out of the last {total} datapoints [{values}] {verb} {says}"
    minimum = f"minimum {needed} datapoint{'s' if needed > 1 else ''} for {change} transition"
    return f"Threshold Crossed: {how_many} the threshold ({float(alarm.threshold)}) ({minimum})."
