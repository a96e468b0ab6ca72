"""
An alarm is raised about what no remediation knows: tell the people whom it concerns.

Symptom   a registered CloudWatch alarm is in state ALARM; or one whose metric is always reported has no data
Cause     what the alarm's own metric, threshold and periods say, or the alarms that a composite one is made of
Cure      none of ours: the report says what is measured, against what, since when, whose it is, and where to look
Proof     the alarm is in state OK again
Undo      nothing was changed
Source    runbook 2 "Security Metrics" and "Infrastructure Metrics"; X1, R21

For failed authentications, odd API use and changes of trails and security groups: a metric filter on the trail's log
group counts them, an alarm judges the count, and this tells of it once, by severity, with escalation. And for whatever
else has a metric: API Gateway, EC2, CloudFront, S3.

What it will not do: believe an event (it reads the alarm itself, twice), call an alarm without data raised, quote the
alarm's description or reason (they are other people's text), or be silenced by whoever switches off an alarm's actions.
The suppressor of a composite alarm silences it: there somebody has said when not to tell.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from nightshift import states, strict_json
from nightshift.errors import Refused
from nightshift.model import (
    Alternative,
    Arn,
    Diagnosis,
    Finding,
    Healthy,
    Observation,
    Queries,
    ResourceRead,
    Severity,
    Sick,
    Signal,
    Target,
    Unknown,
)
from nightshift.remediation import Reader, Readings, ReportOnly, Unread
from nightshift.signals import alarm_name

__all__ = ["AlarmRaised", "Concern"]

_SAYS = {
    "GreaterThanOrEqualToThreshold": "at least",
    "GreaterThanThreshold": "more than",
    "LessThanThreshold": "less than",
    "LessThanOrEqualToThreshold": "at most",
    "LessThanLowerOrGreaterThanUpperThreshold": "outside of its band",
    "LessThanLowerThreshold": "below its band",
    "GreaterThanUpperThreshold": "above its band",
}
_CHILD = re.compile(
    r"""\b(?:ALARM|OK|INSUFFICIENT_DATA)\s*\(\s*(?:"([^"]{1,1024})"|'([^']{1,1024})'|([^\s"'()]{1,1024}))"""
)
_CHILDREN = 10  # of a composite alarm, that a report names
_REASON = 20_000  # characters of what CloudWatch says in JSON about its last judgement
_SOME_PERIOD = 300  # seconds, where an alarm has no period of its own


class Concern(BaseModel):
    """What one alarm means here: how bad it is, where the runbook speaks of it, and whose it is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    severity: Severity = Field(default=Severity.SEV3, description="how fast a person should look")
    row: str = Field(default="", max_length=200, description="where the runbook speaks of it; the report quotes this")
    whom: str = Field(default="", max_length=200, description='whose it is, such as "the security team"; no address')
    always_reports: bool = Field(
        default=False, description="whether its metric is always reported, so that no data is a failure too"
    )


class AlarmRaised(ReportOnly):
    """A CloudWatch alarm that people should see."""

    name: ClassVar[str] = "alarm-raised"
    title: ClassVar[str] = "an alarm is raised"
    kinds: ClassVar[tuple[str, ...]] = ("cloudwatch:alarm",)
    reads: ClassVar[tuple[str, ...]] = ()  # an alarm is read as the sweep reads it

    alarms: dict[str, Concern] = Field(
        default={},
        max_length=1000,
        description="[remediations.alarm-raised.alarms.NAME]: what the alarm of that name means here",
    )
    silent_periods: PositiveInt = Field(
        default=2, le=100, description="periods without data after which an alarm that always has some is told of"
    )

    # -- seeing ----------------------------------------------------------------------------------------------------

    def watch(self, target: Target) -> Queries:
        return (_read(target.arn),)

    def detect(self, target: Target, seen: Readings) -> Observation:
        """
        By the alarm's own state, as it is now.

        One that CloudWatch cannot evaluate is not well because it once said OK; one that is gone watches nothing.
        """
        name, alarm = alarm_name(target.arn), seen.resource(_read(target.arn))
        if isinstance(alarm, Unread):
            return Unknown(alarm.reason)
        if alarm is None:
            return Unknown(f"there is no alarm {name}: it was deleted or renamed, and nobody is told what it watched")
        match alarm.get("StateValue"):
            case "ALARM":
                if suppressor := _suppressed(alarm):
                    return Healthy(f"it is raised, and {suppressor} suppresses it")
                return Sick(self._raised(target, alarm))
            case "OK":
                trouble = alarm.get("EvaluationState")
                return Unknown(f"CloudWatch does not evaluate {name} in full: {trouble}") if trouble else Healthy("OK")
            case "INSUFFICIENT_DATA":
                return self._silent(target, alarm, seen.at)
        return Unknown(f"CloudWatch did not say in which state {name} is")

    def _raised(self, target: Target, alarm: Mapping[str, Any]) -> Finding:
        since = _since(alarm)
        return Finding(
            remediation=self.name,
            target=str(target.arn),
            symptom=f"the alarm {alarm_name(target.arn)} is raised{f' since {_moment(since)}' if since else ''}",
            signals=_signals(alarm),
            severity=self._concern(target).severity,
        )

    def _silent(self, target: Target, alarm: Mapping[str, Any], now: datetime) -> Observation:
        """No data is not "bad": most counters say nothing where nothing happened. It is told where people say so."""
        if not self._concern(target).always_reports:
            return Healthy("it has no data, which is not a failure", idle=True)
        since, patience = _since(alarm), self.silent_periods * timedelta(seconds=_period(alarm))
        if since is None:
            return Unknown("CloudWatch did not say since when it has no data")
        if now - since <= patience:
            return Healthy(f"it has had no data since {_moment(since)}", idle=True)
        return Sick(
            Finding(
                remediation=self.name,
                target=str(target.arn),
                symptom=f"the alarm {alarm_name(target.arn)} has had no data since {_moment(since)}",
                severity=self._concern(target).severity,
            )
        )

    # -- diagnosis -------------------------------------------------------------------------------------------------

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        alarm = states.alarm(read, target.arn)
        state = alarm.get("StateValue")
        if state not in {"ALARM", "INSUFFICIENT_DATA"}:
            raise Refused("alarm", "it is not raised any more", retry_after=timedelta(minutes=1))
        concern = self._concern(target)
        evidence = [*_judged(alarm), *_children(read, target.arn, alarm)]
        if trouble := alarm.get("EvaluationState"):
            evidence.append(f"CloudWatch does not evaluate it in full: {trouble}")
        if alarm.get("ActionsEnabled") is False:
            evidence.append("its own actions are switched off: nothing but this report tells of it")
        if concern.row:
            evidence.append(f"it is in {concern.row}")
        raised = state == "ALARM"
        return Diagnosis(
            target=str(target.arn),
            cause=_cause(alarm) if raised else "what it watches has stopped reporting, so nobody would be told",
            evidence=tuple(evidence),
            rejected=(
                Alternative(
                    "a single look that was wrong", f"it was read {self.confirm} times or more, a minute apart"
                ),
            ),
            advice=_advice(target.arn, alarm, concern, raised=raised),
        )

    def _concern(self, target: Target) -> Concern:
        return self.alarms.get(alarm_name(target.arn)) or Concern()


def _read(arn: Arn) -> ResourceRead:
    return ResourceRead("cloudwatch.alarm", str(arn))


# -- what an alarm says of itself --------------------------------------------------------------------------------------


def _since(alarm: Mapping[str, Any]) -> datetime | None:
    """When its state changed last; where CloudWatch does not say that, when it was last touched."""
    for field in ("StateTransitionedTimestamp", "StateUpdatedTimestamp"):
        if isinstance(at := alarm.get(field), datetime) and at.tzinfo is not None:
            return at
    return None


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _signals(alarm: Mapping[str, Any]) -> tuple[Signal, ...]:
    value, threshold = _last_value(alarm), _number(alarm.get("Threshold"))
    if value is None or threshold is None:
        return ()
    return (Signal(_metric(alarm), value, threshold, _window(alarm)),)


def _last_value(alarm: Mapping[str, Any]) -> float | None:
    """The newest figure that CloudWatch judged: a number out of its own JSON, and nothing else of it."""
    try:
        said = strict_json.loads(str(alarm.get("StateReasonData") or "{}"), limit=_REASON)
    except strict_json.NotStrict:
        return None
    points = said.get("recentDatapoints") if isinstance(said, dict) else None
    return _number(points[-1]) if isinstance(points, list) and points else None


def _stats(alarm: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What a metric-math or anomaly alarm measures: the MetricStat of each of its metrics that has one."""
    found = (each.get("MetricStat") for each in _mappings(alarm.get("Metrics")))
    return [stat for stat in found if isinstance(stat, Mapping)]


def _mappings(value: object) -> list[Mapping[str, Any]]:
    every = value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else ()
    return [each for each in every if isinstance(each, Mapping)]


def _named(metric: object) -> str:
    """``Namespace/Metric (Dimension=value)``."""
    if not isinstance(metric, Mapping) or not metric.get("MetricName"):
        return ""
    pairs = ", ".join(f"{each.get('Name')}={each.get('Value')}" for each in _mappings(metric.get("Dimensions")))
    return f"{metric.get('Namespace')}/{metric['MetricName']}{f' ({pairs})' if pairs else ''}"


def _metrics(alarm: Mapping[str, Any]) -> list[str]:
    return [name for name in (_named(alarm), *(_named(stat.get("Metric")) for stat in _stats(alarm))) if name]


def _metric(alarm: Mapping[str, Any]) -> str:
    """What the figure is of: its one metric, or an expression over several."""
    names = _metrics(alarm)
    return names[0] if len(names) == 1 else f"an expression over {len(names)} metrics"


def _period(alarm: Mapping[str, Any]) -> int:
    """Seconds: the longest period of what it measures."""
    periods = [
        alarm.get("Period"),
        *(each.get("Period") for each in (*_mappings(alarm.get("Metrics")), *_stats(alarm))),
    ]
    return max((each for each in periods if isinstance(each, int)), default=_SOME_PERIOD)


def _window(alarm: Mapping[str, Any]) -> str:
    periods = alarm.get("EvaluationPeriods")
    return f"{alarm.get('DatapointsToAlarm') or periods} of {periods} periods of {_period(alarm)} s"


def _suppressed(alarm: Mapping[str, Any]) -> str:
    """What suppresses a composite alarm now; empty where nothing does."""
    if not alarm.get("ActionsSuppressedBy"):
        return ""
    return f"the alarm {str(alarm.get('ActionsSuppressor')).rpartition(':alarm:')[2]}"


def _rule(alarm: Mapping[str, Any]) -> str:
    return str(alarm.get("AlarmRule") or "")


def _cause(alarm: Mapping[str, Any]) -> str:
    if _rule(alarm):
        return "the alarms that it is made of say so"
    if (limit := _limit(alarm)) is None:
        return f"{_metric(alarm)} is out of its limits"
    return f"{_metric(alarm)} is {limit}"


def _limit(alarm: Mapping[str, Any]) -> str | None:
    says, threshold = _SAYS.get(str(alarm.get("ComparisonOperator"))), _number(alarm.get("Threshold"))
    if says is None:
        return None
    return says if threshold is None else f"{says} {threshold:g}"


def _judged(alarm: Mapping[str, Any]) -> list[str]:
    """What is measured, against what, over how long."""
    if _rule(alarm):
        return []
    measured = [f"it watches {name}" for name in _metrics(alarm)[:_CHILDREN]]
    statistic = next((str(each) for each in _statistics(alarm) if each), "")
    limit = _limit(alarm) or "out of its limits"
    return [*measured, f"raised when the {statistic or 'value'} is {limit} in {_window(alarm)}"]


def _statistics(alarm: Mapping[str, Any]) -> list[object]:
    stats = _stats(alarm)
    return [alarm.get("Statistic"), alarm.get("ExtendedStatistic"), stats[0].get("Stat") if len(stats) == 1 else None]


def _children(read: Reader, arn: Arn, alarm: Mapping[str, Any]) -> list[str]:
    """The alarms that a composite one is made of, and which of them are raised."""
    names = dict.fromkeys(
        next(filter(None, match.groups())).rpartition(":alarm:")[2] for match in _CHILD.finditer(_rule(alarm))
    )
    asked = {_read(Arn(arn.partition, arn.service, arn.region, arn.account, f"alarm:{name}")): name for name in names}
    asked = dict(list(asked.items())[:_CHILDREN])
    seen = read.seen(*asked)
    more = [f"{len(names) - len(asked)} alarms more"] if len(names) > len(asked) else []
    return [*(f"the alarm {name} is {_state(seen, query)}" for query, name in asked.items()), *more]


def _state(seen: Readings, query: ResourceRead) -> str:
    child = seen.resource(query)
    if isinstance(child, Unread):
        return "not readable"
    return "not there" if child is None else str(child.get("StateValue"))


# -- what people should do ---------------------------------------------------------------------------------------------


def _advice(arn: Arn, alarm: Mapping[str, Any], concern: Concern, *, raised: bool) -> tuple[str, ...]:
    name = shlex.quote(alarm_name(arn))
    found = [f"tell {concern.whom}: it is theirs" if concern.whom else "find out whose alarm it is"]
    if not raised:
        found.append("find out why nothing is reported: what it watches is gone, renamed, or has stopped")
    if filters := _filters(alarm):
        found.append(f"find the log lines that it counts: {filters} (read only)")
    history = f"aws cloudwatch describe-alarm-history --alarm-name {name} --history-item-type StateUpdate"
    found.append(f"see when it changed before: {history} (read only)")
    if alarm.get("ActionsEnabled") is False:
        found.append(f"switch its actions on again: aws cloudwatch enable-alarm-actions --alarm-names {name} (a write)")
    return tuple(found)


def _filters(alarm: Mapping[str, Any]) -> str:
    """How to find the log lines behind a metric that is not AWS's own: by the metric filter that counts them."""
    for metric in _mappings([alarm, *(stat.get("Metric") for stat in _stats(alarm))]):
        space, name = str(metric.get("Namespace")), metric.get("MetricName")
        if name and not space.startswith("AWS/"):
            place = f"--metric-namespace {shlex.quote(space)} --metric-name {shlex.quote(str(name))}"
            return f"aws logs describe-metric-filters {place}"
    return ""
