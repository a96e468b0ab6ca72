"""
What wakes us, taken apart: alarm state changes, the schedule, messages of our own work queue.

An event is a hint. Nothing in it is believed but where to look, and that only where the configuration names the place:
an event that is late, doubled, forged or about somebody else's account can at most make us look. Whatever is not what
it should be raises EventRejected with one clear line, in which no text of the event stands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from nightshift.errors import EventRejected
from nightshift.model import Target

__all__ = ["LIMIT", "AlarmEvent", "Work", "alarm_targets", "parse_alarm", "parse_schedule", "parse_work"]

LIMIT = 262_144
"""bytes of an event that is looked at at all (EventBridge's own limit for one entry)"""

_Text = Annotated[str, StringConstraints(max_length=2048)]
_Account = Annotated[str, StringConstraints(pattern=r"^[0-9]{12}$")]
_Region = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,32}$")]
_INCIDENT_ID = re.compile(r"[0-9]{8}T[0-9]{4}-[0-9a-f]{8}")
_ALARM_SERVICE = "cloudwatch"
_WORK_LIMIT = 4096
M = TypeVar("M", bound=BaseModel)


class _Part(BaseModel):
    """A part of an event: fields that we do not use are ignored, because AWS adds some."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class _State(_Part):
    value: Literal["OK", "ALARM", "INSUFFICIENT_DATA"]


class _Metric(_Part):
    name: _Text = ""
    dimensions: dict[_Text, _Text] = Field(default_factory=dict, max_length=30)


class _Stat(_Part):
    metric: _Metric = _Metric()


class _MetricEntry(_Part):
    metric_stat: _Stat | None = Field(default=None, alias="metricStat")


class _Configuration(_Part):
    metrics: list[_MetricEntry] = Field(default_factory=list, max_length=500)


class _Detail(_Part):
    alarm_name: Annotated[str, StringConstraints(min_length=1, max_length=255)] = Field(alias="alarmName")
    state: _State
    configuration: _Configuration = _Configuration()


class AlarmEvent(_Part):
    """
    A "CloudWatch Alarm State Change" event, as far as we look at it.

    Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-and-eventbridge.html
    """

    source: Literal["aws.cloudwatch"]
    detail_type: Literal["CloudWatch Alarm State Change"] = Field(alias="detail-type")
    account: _Account
    region: _Region
    resources: list[_Text] = Field(min_length=1, max_length=10)
    detail: _Detail

    @property
    def dimensions(self) -> Iterator[Mapping[str, str]]:
        """The dimensions of every metric that the alarm watches: metric-math and anomaly alarms have several."""
        for entry in self.detail.configuration.metrics:
            if entry.metric_stat is not None:
                yield entry.metric_stat.metric.dimensions


class _Schedule(_Part):
    source: Literal["aws.events"]
    detail_type: Literal["Scheduled Event"] = Field(alias="detail-type")
    account: _Account
    region: _Region


@dataclass(frozen=True, slots=True)
class Work:
    """A message of our work queue: an incident to tick, or a target to look at. Exactly one is set."""

    incident: str = ""
    look: str = ""


def parse_alarm(event: object, *, account: str, region: str) -> AlarmEvent:
    """Take an alarm's state change apart. Raises EventRejected."""
    parsed = _validated(AlarmEvent, event, "an alarm state change")
    _at_home(parsed.account, parsed.region, account, region)
    for arn in parsed.resources:
        if not arn.startswith("arn:aws") or f":{_ALARM_SERVICE}:{region}:{account}:alarm:" not in arn:
            reason = "the event names an alarm of another account, Region or service"
            raise EventRejected(reason)
    return parsed


def parse_schedule(event: object, *, account: str, region: str) -> None:
    """Check that the schedule woke us, and ours. Raises EventRejected."""
    parsed = _validated(_Schedule, event, "a scheduled event")
    _at_home(parsed.account, parsed.region, account, region)


def parse_work(body: str) -> Work:
    """Take a work message apart. Raises EventRejected."""
    if len(body) > _WORK_LIMIT:
        reason = f"a work message of {len(body)} characters is none of ours"
        raise EventRejected(reason)
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        reason = "a work message that is not JSON"
        raise EventRejected(reason) from error
    match content:
        case {"incident": str(incident), **rest} if not rest and _INCIDENT_ID.fullmatch(incident):
            return Work(incident=incident)
        case {"look": str(arn), **rest} if not rest and arn:
            return Work(look=arn)
    reason = "a work message that names neither an incident nor a target"
    raise EventRejected(reason)


def alarm_targets(event: AlarmEvent, targets: tuple[Target, ...]) -> tuple[Target, ...]:
    """
    The registered targets that an alarm's metrics speak of.

    None, for an alarm whose metrics name no registered target (a composite alarm, say): the next sweep looks at
    everything anyway, so no resource has to be guessed.
    """
    named = [dict(dimensions) for dimensions in event.dimensions]
    return tuple(target for target in targets if any(_speaks_of(target, dimensions) for dimensions in named))


def _speaks_of(target: Target, dimensions: Mapping[str, str]) -> bool:
    match target.arn.kind:
        case "sqs:queue":
            return dimensions.get("QueueName") == target.arn.name
        case "ecs:service":
            cluster, _, service = target.arn.resource.removeprefix("service/").partition("/")
            return dimensions.get("ClusterName") == cluster and dimensions.get("ServiceName") == service
    return False


def _at_home(account: str, region: str, our_account: str, our_region: str) -> None:
    if (account, region) != (our_account, our_region):
        reason = f"the event comes from {account}/{region}, this is {our_account}/{our_region}"
        raise EventRejected(reason)


def _validated(model: type[M], event: object, what: str) -> M:
    if not isinstance(event, dict):
        reason = f"not {what}: not an object"
        raise EventRejected(reason)
    try:
        size = len(json.dumps(event))
    except (ValueError, TypeError, RecursionError) as error:
        reason = f"not {what}: it cannot be written as JSON"
        raise EventRejected(reason) from error
    if size > LIMIT:
        reason = f"not {what}: {size} bytes, more than {LIMIT}"
        raise EventRejected(reason)
    try:
        return model.model_validate(event)
    except ValidationError as error:
        fields = sorted({".".join(str(part)[:40] for part in detail["loc"][:4]) for detail in error.errors()})
        reason = f"not {what}: {', '.join(fields[:5])} missing or wrong"
        raise EventRejected(reason) from error
