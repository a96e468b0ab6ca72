"""
One alarm in every shape in which it can reach us, as AWS documents them, and what else comes by on the same bus.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-and-eventbridge.html,
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-actions-Lambda.html,
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-tags-in-notifications.html,
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_cwe_events.html,
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.Lambda.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Event: TypeAlias = dict[str, Any]
REGION = "eu-west-1"
ACCOUNT = "123456789012"
AT = "2026-03-01T03:00:00.123+0000"
SUBJECT = 'ALARM: "everything" in US East (N. Virginia)'
"""what SNS says above an alarm: a display name of some Region, whatever the alarm's own is"""


@dataclass(frozen=True)
class Metric:
    """One entry of an alarm: a metric with its dimensions, or an expression over others."""

    dimensions: Mapping[str, str] = field(default_factory=dict)
    expression: str = ""


@dataclass(frozen=True)
class Told:
    """What happened: an alarm of ours changed its state. Without metrics it is a composite one."""

    name: str = "letters"
    state: str = "ALARM"
    metrics: tuple[Metric, ...] = (Metric({"QueueName": "orders-dlq"}),)
    suppressed: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    account: str = ACCOUNT
    region: str = REGION
    reason: str = "Threshold Crossed: 1 out of the last 1 datapoints [3.0 (01/03/26 02:59:00)] was greater than 0.0."

    @property
    def arn(self) -> str:
        """The alarm's ARN."""
        return f"arn:aws:cloudwatch:{self.region}:{self.account}:alarm:{self.name}"

    @property
    def detail(self) -> Event:
        """What EventBridge and the Lambda action say of it."""
        state: Event = {"value": self.state, "reason": self.reason, "reasonData": "{}", "timestamp": AT}
        if self.suppressed:
            state |= {
                "actionsSuppressedBy": "WaitPeriod",
                "actionsSuppressedReason": "Actions suppressed by WaitPeriod",
            }
        configuration: Event = {
            "description": "letters have died",
            "metrics": [_entry(n, x) for n, x in self._numbered],
        }
        if not self.metrics:
            configuration = {
                "alarmRule": f"ALARM({self.name}-a) OR ALARM({self.name}-b)",
                "actionsSuppressor": "maintenance",
                "actionsSuppressorWaitPeriod": 120,
                "actionsSuppressorExtensionPeriod": 180,
            }
        detail: Event = {
            "alarmName": self.name,
            "configuration": configuration,
            "previousState": {"value": "OK", "reason": "Unchecked: Initial alarm creation", "timestamp": AT},
            "state": state,
        }
        if self.tags:
            detail |= {"alarmTags": dict(self.tags), "alarmTagsStatus": "SUCCESS"}
        return detail

    @property
    def _numbered(self) -> list[tuple[int, Metric]]:
        return list(enumerate(self.metrics, 1))

    @property
    def notification(self) -> Event:
        """What an SNS action says of it."""
        said: Event = {
            "AlarmName": self.name,
            "AlarmDescription": "letters have died",
            "AWSAccountId": self.account,
            "AlarmConfigurationUpdatedTimestamp": AT,
            "NewStateValue": self.state,
            "NewStateReason": self.reason,
            "StateChangeTime": AT,
            "Region": "EU (Ireland)",
            "AlarmArn": self.arn,
            "OldStateValue": "OK",
            "OKActions": [],
            "AlarmActions": [f"arn:aws:sns:{self.region}:{self.account}:alarms"],
            "InsufficientDataActions": [],
        }
        if self.tags:
            said |= {"AlarmTags": [{"Key": key, "Value": value} for key, value in self.tags.items()]}
        if not self.metrics:
            return {**said, "AlarmRule": f"ALARM({self.name}-a)", "TriggeringChildren": [{"Arn": self.arn + "-a"}]}
        trigger: Event = {"Period": 60, "EvaluationPeriods": 1, "ComparisonOperator": "GreaterThanThreshold"}
        if len(self.metrics) == 1 and not self.metrics[0].expression:
            trigger |= {"MetricName": "Visible", "Namespace": "AWS/SQS", "Dimensions": _listed(self.metrics[0])}
        else:
            trigger |= {"Metrics": [_sns_entry(n, x) for n, x in self._numbered]}
        return {**said, "Trigger": trigger}


def _listed(metric: Metric) -> list[dict[str, str]]:
    return [{"value": value, "name": name} for name, value in metric.dimensions.items()]


def _entry(number: int, metric: Metric) -> Event:
    if metric.expression:
        return {"id": f"e{number}", "expression": metric.expression, "label": "…", "returnData": True}
    of = {"namespace": "AWS/SQS", "name": "Visible", "dimensions": dict(metric.dimensions)}
    return {"id": f"m{number}", "metricStat": {"metric": of, "period": 60, "stat": "Maximum"}, "returnData": False}


def _sns_entry(number: int, metric: Metric) -> Event:
    if metric.expression:
        return {"Id": f"e{number}", "Expression": metric.expression, "Label": "…", "ReturnData": True}
    of = {"Namespace": "AWS/SQS", "MetricName": "Visible", "Dimensions": _listed(metric)}
    return {"Id": f"m{number}", "MetricStat": {"Metric": of, "Period": 60, "Stat": "Maximum"}, "ReturnData": False}


# -- the ways ----------------------------------------------------------------------------------------------------------


def eventbridge(told: Told) -> Event:
    """By a rule on the default bus: how it is deployed."""
    return envelope("aws.cloudwatch", "CloudWatch Alarm State Change", told.detail, [told.arn], told)


def action(told: Told) -> Event:
    """By the alarm's own Lambda action."""
    return {
        "source": "aws.cloudwatch",
        "alarmArn": told.arn,
        "accountId": told.account,
        "time": AT,
        "region": told.region,
        "alarmData": told.detail,
    }


def sns(told: Told) -> Event:
    """By the alarm's SNS action, and a topic that calls us."""
    return sns_records(json.dumps(told.notification))


def sns_sqs(told: Told) -> Event:
    """By the alarm's SNS action, a topic, and a queue that calls us."""
    return sqs_records(json.dumps(sns_envelope(json.dumps(told.notification))))


def sns_raw_sqs(told: Told) -> Event:
    """The same, with raw message delivery."""
    return sqs_records(json.dumps(told.notification))


def eventbridge_sqs(told: Told) -> Event:
    """By a rule whose target is a queue that calls us."""
    return sqs_records(json.dumps(eventbridge(told)))


def eventbridge_sns(told: Told) -> Event:
    """By a rule whose target is a topic that calls us."""
    return sns_records(json.dumps(eventbridge(told)))


WAYS: tuple[Callable[[Told], Event], ...] = (
    eventbridge,
    action,
    sns,
    sns_sqs,
    sns_raw_sqs,
    eventbridge_sqs,
    eventbridge_sns,
)


def envelope(source: str, kind: str, detail: Event, resources: list[str], told: Told | None = None) -> Event:
    """What EventBridge puts around whatever is on a bus."""
    told = told or Told()
    return {
        "version": "0",
        "id": "c4c1c1c9-6542-e61b-6ef0-8c4d36933a92",
        "detail-type": kind,
        "source": source,
        "account": told.account,
        "time": "2026-03-01T03:00:00Z",
        "region": told.region,
        "resources": resources,
        "detail": detail,
    }


def sns_envelope(message: str) -> Event:
    """What SNS puts around a message."""
    return {
        "Type": "Notification",
        "MessageId": "95df01b4-ee98-5cb9-9903-4c221d41eb5e",
        "TopicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:alarms",
        "Subject": SUBJECT,
        "Message": message,
        "Timestamp": "2026-03-01T03:00:00.123Z",
        "SignatureVersion": "1",
        "Signature": "…",
        "MessageAttributes": {},
    }


def sns_records(*messages: str) -> Event:
    """What Lambda makes of messages of a topic."""
    return {
        "Records": [
            {
                "EventSource": "aws:sns",
                "EventVersion": "1.0",
                "EventSubscriptionArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:alarms:21be56ed",
                "Sns": sns_envelope(message),
            }
            for message in messages
        ]
    }


def sqs_records(*bodies: str) -> Event:
    """What Lambda makes of messages of a queue."""
    return {
        "Records": [
            {
                "messageId": f"message-{number}",
                "receiptHandle": "handle",
                "body": body,
                "attributes": {"ApproximateReceiveCount": "1"},
                "messageAttributes": {},
                "md5OfBody": "",
                "eventSource": "aws:sqs",
                "eventSourceARN": f"arn:aws:sqs:{REGION}:{ACCOUNT}:alarms",
                "awsRegion": REGION,
            }
            for number, body in enumerate(bodies)
        ]
    }


# -- what else comes by ------------------------------------------------------------------------------------------------

_ECS = f"arn:aws:ecs:{REGION}:{ACCOUNT}"

OTHERS: Mapping[str, Event] = {
    "ECS deployment": envelope(
        "aws.ecs",
        "ECS Deployment State Change",
        {"eventType": "ERROR", "eventName": "SERVICE_DEPLOYMENT_FAILED", "reason": "ECS deployment circuit breaker"},
        [f"{_ECS}:service/prod/worker"],
    ),
    "ECS task": envelope(
        "aws.ecs",
        "ECS Task State Change",
        {"lastStatus": "STOPPED", "stoppedReason": "Essential container in task exited", "group": "service:worker"},
        [f"{_ECS}:task/prod/0b69d5c0"],
    ),
    "schedule": envelope("aws.events", "Scheduled Event", {}, [f"arn:aws:events:{REGION}:{ACCOUNT}:rule/sweep"]),
    "scheduler": envelope("aws.scheduler", "Scheduled Event", {}, [f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/a"]),
    "alarm's configuration": envelope(
        "aws.cloudwatch", "CloudWatch Alarm Configuration Change", {"operation": "update"}, [Told().arn]
    ),
    "alarm's contributor": envelope(
        "aws.cloudwatch", "CloudWatch Alarm Contributor State Change", Told().detail, [Told().arn]
    ),
    "API call": envelope("aws.sqs", "AWS API Call via CloudTrail", {"eventName": "SetQueueAttributes"}, []),
    "S3 object": envelope("aws.s3", "Object Created", {"object": {"key": "a b/ü.pdf", "sequencer": "61"}}, []),
    "somebody's own": envelope("my.app", "CloudWatch Alarm State Change", Told().detail, [Told().arn]),
    "DynamoDB stream": {
        "Records": [
            {
                "eventID": "1",
                "eventName": "MODIFY",
                "eventSource": "aws:dynamodb",
                "awsRegion": REGION,
                "dynamodb": {"Keys": {"pk": {"S": "a"}}, "SequenceNumber": "111", "StreamViewType": "NEW_IMAGE"},
                "eventSourceARN": f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/t/stream/2026-03-01T00:00:00.000",
            }
        ]
    },
    "S3 notification": {
        "Records": [
            {
                "eventVersion": "2.1",
                "eventSource": "aws:s3",
                "eventName": "ObjectCreated:Put",
                "s3": {"bucket": {"name": "b"}, "object": {"key": "a+b/%C3%BC.pdf", "sequencer": "0055AED6DCD90281E5"}},
            }
        ]
    },
    "S3 test": {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b", "RequestId": "5582815E1AEA5ADF"},
    "subscription": sqs_records(json.dumps({"Type": "SubscriptionConfirmation", "SubscribeURL": "https://x"})),
    "a letter that is no alarm": sqs_records("hello", "{}", "[1]", "null"),
    "an alarm in an alarm": sqs_records(json.dumps(sns_records(json.dumps(Told().notification)))),
    "an envelope in an envelope": sqs_records(
        json.dumps(sns_envelope(json.dumps(sns_envelope(json.dumps(Told().notification)))))
    ),
}
