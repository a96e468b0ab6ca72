"""
What wakes us, taken apart: alarms that changed their state, the schedule, messages of our own work queue.

An event is a hint. Nothing in it is believed but where to look, and that only where the configuration names the place:
an event that is late, doubled, forged or about somebody else's account can at most make us look. Whatever is not what
it should be is rejected in one clear line, in which no text of the event stands.

An alarm may reach us by several ways, and means the same by each of them (:class:`Alarm`):

==========================================  =========================================================================
shape                                       where it says what
==========================================  =========================================================================
EventBridge, "CloudWatch Alarm State …"     ``resources``, ``detail.state``, ``detail.configuration.metrics``
an alarm's own Lambda action                ``alarmArn``, ``alarmData.state``, ``alarmData.configuration.metrics``
an alarm's SNS action                       ``AlarmArn``, ``NewStateValue``, ``Trigger``
any of these through SNS                    ``Records[].Sns.Message``, JSON in JSON; the Subject is never read
any of these through SQS                    ``Records[].body``, JSON in JSON, with or without SNS's own envelope
==========================================  =========================================================================

Account and Region are those of the alarm's ARN: what else says them is a display name, or whatever the sender liked.
A composite alarm, an alarm over a Metrics Insights query and one whose metrics we do not know name no target: none is
guessed, and the next sweep looks at everything anyway. That an alarm's actions are suppressed changes nothing: who
looks has not acted.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-and-eventbridge.html,
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-actions-Lambda.html,
https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html, https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from nightshift import strict_json
from nightshift.errors import EventRejected
from nightshift.model import Target
from nightshift.signals.names import split_rule_arn

__all__ = [
    "BATCH_LIMIT",
    "LIMIT",
    "Alarm",
    "Heard",
    "Work",
    "alarm_targets",
    "check_batch",
    "parse_alarms",
    "parse_schedule",
    "parse_work",
]

LIMIT = 262_144
"""bytes of one event that is looked at at all; AWS's own alarm events have a few thousand"""
BATCH_LIMIT = 6 * 1024 * 1024
"""bytes of all that one invocation brings: Lambda's own limit"""

_RECORDS = 10_000  # what an event source mapping puts into a batch at most
_WORK_LIMIT = 4096
_INCIDENT_ID = re.compile(r"[0-9]{8}T[0-9]{4}-[0-9a-f]{8}")
_ALARM_ARN = re.compile(r"arn:aws[a-z-]*:cloudwatch:([a-z0-9-]{1,32}):([0-9]{12}):alarm:(.{1,255})", re.DOTALL)

State: TypeAlias = Literal["OK", "ALARM", "INSUFFICIENT_DATA"]
_Text = Annotated[str, StringConstraints(max_length=2048)]
_Account = Annotated[str, StringConstraints(pattern=r"^[0-9]{12}$")]
_Region = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,32}$")]
_METRICS = 500  # what one alarm may watch, by far
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Alarm:
    """
    An alarm that changed its state, whichever way it came.

    ``dimensions`` are those of every metric that it watches: metric-math and anomaly alarms have several, composite
    ones none. ``name`` is other people's text.
    """

    arn: str
    name: str
    state: State
    dimensions: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Heard:
    """What one invocation brought: the alarms, and for each part that is none of ours a line that says why."""

    alarms: tuple[Alarm, ...] = ()
    rejected: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Work:
    """A message of our work queue: an incident to tick, or a target to look at. Exactly one is set."""

    incident: str = ""
    look: str = ""


# -- the shapes, as far as we look at them -----------------------------------------------------------------------------


class _Part(BaseModel):
    """A part of an event: fields that we do not use are ignored, because AWS adds some."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class _State(_Part):
    value: State


class _Metric(_Part):
    dimensions: dict[_Text, _Text] = Field(default_factory=dict, max_length=30)


class _Stat(_Part):
    metric: _Metric = _Metric()


class _MetricEntry(_Part):
    metric_stat: _Stat | None = Field(default=None, alias="metricStat")


class _Configuration(_Part):
    metrics: list[_MetricEntry] = Field(default_factory=list, max_length=_METRICS)


class _Detail(_Part):
    state: _State
    configuration: _Configuration = _Configuration()

    def alarm(self, arn: str, name: str) -> Alarm:
        """The alarm that this is the detail of."""
        stats = (entry.metric_stat for entry in self.configuration.metrics)
        return Alarm(arn, name, self.state.value, tuple(stat.metric.dimensions for stat in stats if stat is not None))


class _FromEventBridge(_Part):
    source: Literal["aws.cloudwatch"]
    detail_type: Literal["CloudWatch Alarm State Change"] = Field(alias="detail-type")
    account: _Account
    region: _Region
    resources: list[_Text] = Field(min_length=1, max_length=10)
    detail: _Detail


class _FromAction(_Part):
    source: Literal["aws.cloudwatch"]
    alarm_arn: _Text = Field(alias="alarmArn")
    alarm_data: _Detail = Field(alias="alarmData")


class _Dimension(_Part):
    name: _Text
    value: _Text


class _SnsMetric(_Part):
    dimensions: list[_Dimension] = Field(default_factory=list, alias="Dimensions", max_length=30)


class _SnsStat(_Part):
    metric: _SnsMetric = Field(default=_SnsMetric(), alias="Metric")


class _SnsEntry(_Part):
    metric_stat: _SnsStat | None = Field(default=None, alias="MetricStat")


class _Trigger(_Part):
    metrics: list[_SnsEntry] = Field(default_factory=list, alias="Metrics", max_length=_METRICS)
    dimensions: list[_Dimension] | None = Field(default=None, alias="Dimensions", max_length=30)


class _FromSns(_Part):
    alarm_arn: _Text = Field(alias="AlarmArn")
    state: State = Field(alias="NewStateValue")
    trigger: _Trigger = Field(default=_Trigger(), alias="Trigger")

    def alarm(self, name: str) -> Alarm:
        """The alarm that this tells of: one metric stands in the trigger itself, several in its list."""
        own = [] if self.trigger.dimensions is None else [self.trigger.dimensions]
        listed = [each.metric_stat.metric.dimensions for each in self.trigger.metrics if each.metric_stat is not None]
        named = tuple({each.name: each.value for each in dimensions} for dimensions in (*own, *listed))
        return Alarm(self.alarm_arn, name, self.state, named)


class _Schedule(_Part):
    source: Literal["aws.events"]
    detail_type: Literal["Scheduled Event"] = Field(alias="detail-type")
    account: _Account
    region: _Region


class _Record(_Part):
    message_id: Annotated[str, StringConstraints(min_length=1, max_length=200)] = Field(alias="messageId")
    body: str
    event_source: Literal["aws:sqs"] = Field(alias="eventSource")


# -- taking apart ------------------------------------------------------------------------------------------------------


def parse_alarms(event: object, *, account: str, region: str) -> Heard:
    """Take apart whatever the alarm function was called with. Raises nothing: what is none of ours is in the answer."""
    alarms: list[Alarm] = []
    rejected: list[str] = []
    try:
        for part in _parts(event):
            try:
                alarms.append(_alarm(part, account, region))
            except EventRejected as error:
                rejected.append(error.reason)
    except EventRejected as error:
        rejected.append(error.reason)
    return Heard(tuple(alarms), tuple(rejected))


def parse_schedule(event: object, *, account: str, region: str) -> None:
    """Check that the schedule woke us, and ours. Raises EventRejected."""
    parsed = _validated(_Schedule, _whole(event, LIMIT, "a scheduled event"), "a scheduled event")
    if (parsed.account, parsed.region) != (account, region):
        raise EventRejected(f"the event comes from {parsed.account}/{parsed.region}, this is {account}/{region}")


def check_batch(event: object) -> None:
    """Check that this is a batch of messages of a queue, as Lambda makes one. Raises EventRejected."""
    what = "a batch of SQS messages"
    for record in _records(_whole(event, BATCH_LIMIT, what), what):
        _validated(_Record, record, what)


def parse_work(body: str) -> Work:
    """Take a work message apart. Raises EventRejected."""
    try:
        content = strict_json.loads(body, limit=_WORK_LIMIT)
    except strict_json.NotStrict as error:
        raise EventRejected(f"a work message that cannot be read: {error}") from None
    match content:
        case {"incident": str(incident), **rest} if not rest and _INCIDENT_ID.fullmatch(incident):
            return Work(incident=incident)
        case {"look": str(arn), **rest} if not rest and arn:
            return Work(look=arn)
    raise EventRejected("a work message that names neither an incident nor a target")


_OF_NAME: Mapping[str, str] = {
    "appsync:apis": "GraphQLAPIId",
    "es:domain": "DomainName",
    "lambda:function": "FunctionName",
    "rds:cluster": "DBClusterIdentifier",
    "s3:bucket": "BucketName",
    "sqs:queue": "QueueName",
}
"""the dimension by which metrics name a thing, by its kind"""
_OF_ARN: Mapping[str, str] = {"acm:certificate": "CertificateArn", "states:stateMachine": "StateMachineArn"}
"""the same of those that they name by the whole ARN"""


def alarm_targets(alarms: Iterable[Alarm], targets: Iterable[Target]) -> tuple[Target, ...]:
    """
    The registered targets that the metrics of these alarms speak of, if they are in state ALARM.

    An alarm that is a target itself is spoken of by its name. A service is also spoken of by its target group, and by
    its load balancer where an alarm names no target group: what a load balancer answers itself is counted for it as a
    whole, and may be about any service behind it.

    None, where they name no registered target: the next sweep looks at everything anyway, so no resource has to be
    guessed.
    """
    loud = [alarm for alarm in alarms if alarm.state == "ALARM"]
    raised = [alarm.dimensions for alarm in loud]
    named = [dimensions for each in raised for dimensions in each]
    said = {pair for each in named for pair in each.items()}
    arns = {alarm.arn for alarm in loud}
    rules = {(each.get("EventBusName", ""), each.get("RuleName")) for each in named}
    tables = {(each.get("TableName"), each.get("GlobalSecondaryIndexName", "")) for each in named}
    services = {(each.get("ClusterName"), each.get("ServiceName")) for each in named}
    groups = {each["TargetGroup"] for each in named if "TargetGroup" in each}
    whole = [each for each in raised if not any("TargetGroup" in dimensions for dimensions in each)]
    balancers = {f"loadbalancer/{each['LoadBalancer']}" for found in whole for each in found if "LoadBalancer" in each}

    def spoken_of(target: Target) -> bool:
        kind = target.arn.kind
        if kind in _OF_NAME:
            return (_OF_NAME[kind], target.arn.name) in said
        if kind in _OF_ARN:
            return (_OF_ARN[kind], str(target.arn)) in said
        match kind:
            case "ecs:service":
                cluster, _, service = target.arn.resource.removeprefix("service/").partition("/")
                return (
                    (cluster, service) in services
                    or (target.target_group is not None and target.target_group.resource in groups)
                    or (target.load_balancer is not None and target.load_balancer.resource in balancers)
                )
            case "events:rule":
                return split_rule_arn(target.arn) in rules
            case "cognito-idp:userpool":
                opens = target.api is not None and ("GraphQLAPIId", target.api.name) in said
                return opens or ("UserPool", target.arn.name) in said
            case "dynamodb:table":
                _, table, *index = target.arn.resource.split("/", 3)
                return (table, "".join(index[1:])) in tables
            case "cloudwatch:alarm":
                return str(target.arn) in arns
        return False

    return tuple(target for target in targets if spoken_of(target))


# -- alarms, unwrapped -------------------------------------------------------------------------------------------------

_ALARM = "an alarm's change of state"


def _parts(event: object) -> Iterator[object]:
    """The alarms of an event, each still in its own shape; an EventRejected in the place of one that cannot be read."""
    whole = _whole(event, BATCH_LIMIT, _ALARM)
    if "Records" not in whole:
        yield whole
        return
    for record in _records(whole, _ALARM):
        try:
            yield _opened(_carried(record))
        except EventRejected as error:
            yield error


def _carried(record: object) -> object:
    """The text that a record of SNS or SQS carries."""
    if isinstance(record, dict) and record.get("EventSource") == "aws:sns" and isinstance(record.get("Sns"), dict):
        return record["Sns"].get("Message")
    if isinstance(record, dict) and record.get("eventSource") == "aws:sqs":
        return record.get("body")
    raise EventRejected(f"not {_ALARM}: a record of another service")


def _opened(text: object, *, sealed: bool = True) -> object:
    """What stands in a message: JSON, which may be the envelope in which SNS puts a message into a queue, once."""
    if not isinstance(text, str):
        raise EventRejected(f"not {_ALARM}: a record without a message")
    try:
        found = strict_json.loads(text, limit=LIMIT)
    except strict_json.NotStrict as error:
        raise EventRejected(f"not {_ALARM}: a message that cannot be read: {error}") from None
    if sealed and isinstance(found, dict) and found.get("Type") == "Notification":
        return _opened(found.get("Message"), sealed=False)
    return found


def _alarm(part: object, account: str, region: str) -> Alarm:
    """One alarm, by its shape."""
    if isinstance(part, EventRejected):
        raise part
    event = _whole(part, LIMIT, _ALARM)
    if "detail-type" in event:
        return _from_eventbridge(event, account, region)
    if "alarmArn" in event:
        action = _validated(_FromAction, event, _ALARM)
        return action.alarm_data.alarm(action.alarm_arn, _name(action.alarm_arn, account, region))
    if "AlarmArn" in event:
        told = _validated(_FromSns, event, _ALARM)
        return told.alarm(_name(told.alarm_arn, account, region))
    raise EventRejected(f"not {_ALARM}: it has none of the shapes in which one comes")


def _from_eventbridge(event: Mapping[str, object], account: str, region: str) -> Alarm:
    if (event.get("source"), event["detail-type"]) != ("aws.cloudwatch", "CloudWatch Alarm State Change"):
        raise EventRejected(f"not {_ALARM}: an event of another service, or of another kind")
    parsed = _validated(_FromEventBridge, event, _ALARM)
    if (parsed.account, parsed.region) != (account, region):
        raise EventRejected(f"the event comes from {parsed.account}/{parsed.region}, this is {account}/{region}")
    names = [_name(arn, account, region) for arn in parsed.resources]
    return parsed.detail.alarm(parsed.resources[0], names[0])


def _name(arn: str, account: str, region: str) -> str:
    """The alarm's name, by its ARN, which must be one of our account and Region."""
    found = _ALARM_ARN.fullmatch(arn)
    if found is None or (found[1], found[2]) != (region, account):
        raise EventRejected("the event names an alarm of another account, Region or service")
    return found[3]


# -- the plumbing ------------------------------------------------------------------------------------------------------


def _whole(event: object, limit: int, what: str) -> Mapping[str, object]:
    """The event as an object of bounded size: Lambda has read its JSON already, and less strictly than we do."""
    if not isinstance(event, dict):
        raise EventRejected(f"not {what}: not an object")
    try:
        size = len(json.dumps(event, allow_nan=False))
    except (ValueError, TypeError, RecursionError):
        raise EventRejected(f"not {what}: it cannot be written as JSON") from None
    if size > limit:
        raise EventRejected(f"not {what}: {size} bytes, more than {limit}")
    return event


def _records(event: Mapping[str, object], what: str) -> list[object]:
    records = event.get("Records")
    if not isinstance(records, list) or not 0 < len(records) <= _RECORDS:
        raise EventRejected(f"not {what}: no list of records, or one that is empty or endless")
    return records


def _validated(model: type[M], event: object, what: str) -> M:
    try:
        return model.model_validate(event)
    except ValidationError as error:
        fields = sorted({".".join(str(part)[:40] for part in detail["loc"][:4]) for detail in error.errors()})
        raise EventRejected(f"not {what}: {', '.join(fields[:5]) or 'all of it'} missing or wrong") from None
