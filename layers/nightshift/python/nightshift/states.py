"""
The state of one resource, now, for diagnoses: a value, or an error that says why there is none.

Detection is total and answers Unknown; a diagnosis that cannot read has nothing to say, and raises.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from nightshift import strict_json
from nightshift.errors import Missing, Unreadable
from nightshift.model import Arn, Healthy, MetricQuery, ResourceRead, Target, Unknown
from nightshift.remediation import Reader, Readings, Series, Unread

__all__ = [
    "alarm",
    "began",
    "cluster",
    "domain",
    "function",
    "machine",
    "messages",
    "minutes",
    "number",
    "primary",
    "queue",
    "receives",
    "rule",
    "seen_service",
    "series",
    "service",
    "sums",
    "table",
    "unfinished",
]

_DIGITS = 12  # no count and no span of SQS has more
_POLICY_LIMIT = 4096  # bytes of a RedrivePolicy: an ARN and a number


def queue(read: Reader, arn: Arn) -> Mapping[str, Any]:
    """A queue's attributes. Raises Unreadable, or Missing where it does not exist."""
    return _resource(read, ResourceRead("sqs.queue", str(arn)), "sqs:GetQueueAttributes")


def service(read: Reader, arn: Arn) -> Mapping[str, Any]:
    """An ECS service. Raises Unreadable, or Missing where it does not exist."""
    return _resource(read, ResourceRead("ecs.service", str(arn)), "ecs:DescribeServices")


def alarm(read: Reader, arn: Arn) -> Mapping[str, Any]:
    """An alarm, metric or composite. Raises Unreadable, or Missing where it does not exist."""
    return _resource(read, ResourceRead("cloudwatch.alarm", str(arn)), "cloudwatch:DescribeAlarms")


def function(read: Reader, arn: Arn) -> Mapping[str, Any]:
    """A Lambda function, without its environment. Raises Unreadable, or Missing where it does not exist."""
    return _resource(read, ResourceRead("lambda.function", str(arn)), "lambda:GetFunctionConfiguration")


def cluster(read: Reader, arn: Arn) -> Mapping[str, Any]:
    """An Aurora cluster. Raises Unreadable, or Missing where it does not exist."""
    return _resource(read, ResourceRead("rds.cluster", str(arn)), "rds:DescribeDBClusters")


def snapshots(read: Reader, arn: Arn) -> Mapping[str, Any]:
    """The snapshots of an Aurora cluster. Raises Unreadable, or Missing where it does not exist."""
    return _resource(read, ResourceRead("rds.snapshots", str(arn)), "rds:DescribeDBClusterSnapshots")


def backups(read: Reader, arn: Arn) -> Mapping[str, Any]:
    """The backups of a table. Raises Unreadable, or Missing where it does not exist."""
    return _resource(read, ResourceRead("dynamodb.backups", str(arn)), "dynamodb:ListBackups")


def domain(read: Reader, arn: Arn) -> Mapping[str, Any]:
    """A domain of OpenSearch. Raises Unreadable, or Missing where it does not exist."""
    return _resource(read, ResourceRead("es.domain", str(arn)), "es:DescribeDomain")


def machine(read: Reader, arn: Arn) -> Mapping[str, Any]:
    """A state machine with its newest executions. Raises Unreadable, or Missing where it does not exist."""
    return _resource(read, ResourceRead("states.machine", str(arn)), "states:DescribeStateMachine")


def seen_service(target: Target, seen: Readings) -> Mapping[str, Any] | Healthy | Unknown:
    """
    An ECS service as a look found it: one that should run something, and says how much.

    Healthy where somebody has stopped it (desired count 0), Unknown where it cannot be told.
    """
    service = seen.resource(ResourceRead("ecs.service", str(target.arn)))
    if isinstance(service, Unread):
        return Unknown(service.reason)
    if service is None:
        return Unknown(f"{target.arn} does not exist")
    if service.get("status") != "ACTIVE":
        return Unknown(f"{target.arn.name} is {service.get('status')}")
    desired = service.get("desiredCount")
    if not isinstance(desired, int):
        return Unknown(f"ECS did not say how many tasks of {target.arn.name} should run")
    return Healthy("stopped on purpose: desired count 0") if desired == 0 else service


def rule(read: Reader, arn: Arn) -> Mapping[str, Any]:
    """A rule of EventBridge. Raises Unreadable, or Missing where it does not exist."""
    return _resource(read, ResourceRead("events.rule", str(arn)), "events:DescribeRule")


def table(read: Reader, arn: Arn) -> Mapping[str, Any]:
    """A table of DynamoDB, or an index with its table. Raises Unreadable, or Missing where it does not exist."""
    return _resource(read, ResourceRead("dynamodb.table", str(arn)), "dynamodb:DescribeTable")


def _resource(read: Reader, query: ResourceRead, action: str) -> Mapping[str, Any]:
    found = read.seen(query).resource(query)
    if isinstance(found, Unread):
        raise Unreadable(action, "Unread", found.reason, resource=query.key)
    if found is None:
        raise Missing(action, "NotFound", "it does not exist", resource=query.key)
    return found


def series(read: Reader, query: MetricQuery) -> Series:
    """A metric. Raises Unreadable."""
    found = read.seen(query).metric(query)
    if isinstance(found, Unread):
        raise Unreadable("cloudwatch:GetMetricData", "Unread", found.reason, resource=query.metric)
    return found


def sums(read: Reader, *queries: MetricQuery) -> tuple[float, ...]:
    """The total of each metric: of counters, for which no points are a zero."""
    return tuple(series(read, query).total for query in queries)


def number(attributes: Mapping[str, Any], name: str) -> int | None:
    """A queue's attribute that is a number, which SQS gives as text; None where it did not say one that can be."""
    text = str(attributes.get(name, ""))
    return int(text) if text.isdecimal() and len(text) <= _DIGITS else None


def messages(attributes: Mapping[str, Any]) -> int | None:
    """All messages of a queue: visible, in somebody's hands, delayed. None where SQS did not say how many there are."""
    visible, hidden, delayed = (
        number(attributes, f"ApproximateNumberOfMessages{which}") for which in ("", "NotVisible", "Delayed")
    )
    return None if visible is None else visible + (hidden or 0) + (delayed or 0)


def receives(attributes: Mapping[str, Any]) -> int | None:
    """How often a queue gives a message out before it is a dead letter; None where none of its messages becomes one."""
    try:
        policy = strict_json.loads(attributes.get("RedrivePolicy", ""), limit=_POLICY_LIMIT)
        return int(policy["maxReceiveCount"])
    except (AttributeError, LookupError, TypeError, ValueError):
        return None


def primary(service: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The deployment that an ECS service is at, or on its way to."""
    return next((each for each in service.get("deployments", ()) if each.get("status") == "PRIMARY"), None)


def unfinished(service: Mapping[str, Any]) -> str:
    """Why an ECS service is not as it should be: deployed, complete, with every task. Empty where it is."""
    deployments = service.get("deployments", ())
    desired, running = service.get("desiredCount"), service.get("runningCount")
    if len(deployments) != 1:
        return f"{len(deployments)} deployments are under way"
    if deployments[0].get("rolloutState") != "COMPLETED":
        return f"its deployment is {deployments[0].get('rolloutState', 'in an unknown state')}"
    if deployments[0].get("failedTasks", 0):
        return f"{deployments[0]['failedTasks']} tasks of its deployment failed"
    return "" if desired == running else f"{running} of {desired} tasks run"


def began(deployment: Mapping[str, Any] | None) -> datetime | None:
    """When a deployment began; None where ECS does not say."""
    at = (deployment or {}).get("createdAt")
    return at if isinstance(at, datetime) else None


def minutes(span: timedelta) -> int:
    """A duration in whole minutes."""
    return int(span / timedelta(minutes=1))
