"""
Who finishes a queue's messages, and whether it works: what must be known before anything is put into that queue.

An ECS service works when it is deployed, complete, and has been for a while; a Lambda function when its event source
mapping is enabled, nobody has switched it off, and hardly an invocation fails. What either takes it must finish.
A function that is called itself, by no queue, must be there to be called, and hardly fail.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from nightshift.errors import Missing, Refused
from nightshift.model import Arn, MetricQuery, Target
from nightshift.remediation import Reader
from nightshift.signals import queue_metric
from nightshift.states import began, function, minutes, number, service, sums, unfinished

__all__ = ["READS", "check_flow", "check_function", "check_works", "consumers_of", "short", "unfit"]

READS = ("lambda:ListEventSourceMappings", "lambda:GetFunctionConcurrency")
"""what a remediation that asks these questions must declare"""

_MAPPINGS = 100  # event source mappings of one queue; there is hardly ever more than one
_SLACK = 10  # messages in work at the edge of a window: received, and not finished yet
_AGAIN = 1.5  # receives for each finished message from which on the consumer fails or is too slow (R18)
_LATER = timedelta(minutes=2)


def consumers_of(read: Reader, target: Target, queue: Arn) -> tuple[Arn, ...]:
    """
    Who finishes the queue's messages: as configured, else registered services, else Lambda functions.

    Raises Refused where nobody is known.
    """
    if target.consumer is not None:
        return (target.consumer,)
    found = tuple(each.arn for each in read.targets() if each.arn.kind == "ecs:service" and each.queue == queue)
    if not found:
        found = tuple(sorted({Arn.parse(mapping["FunctionArn"]) for mapping in _mappings(read, queue)}))
    if not found:
        raise Refused("consumer", f"nobody is known to consume {queue.name}: name its `consumer` in the configuration")
    return found


def check_works(read: Reader, consumer: Arn, queue: Arn, *, healthy_for: timedelta, error_percent: int) -> None:
    """Refuse until the consumer has been up and unchanged for a while."""
    if consumer.kind == "ecs:service":
        why = _service_trouble(read, consumer, healthy_for)
    elif consumer.kind == "lambda:function":
        why = _function_trouble(read, consumer, queue, minutes(healthy_for), error_percent)
    else:
        raise Refused("consumer", f"the consumer {consumer} is neither an ECS service nor a Lambda function")
    if why:
        reason = f"the consumer {short(consumer)} does not work yet: {why}"
        raise Refused("consumer", reason, retry_after=_LATER, link=str(consumer))


def check_flow(
    read: Reader, consumer: Arn, queue: Arn, attributes: Mapping[str, Any], *, healthy_for: timedelta, backlog: int
) -> str:
    """Refuse unless what is taken from the queue is finished, and the queue is not behind. Gives the evidence."""
    window = minutes(healthy_for)
    received, finished, peak = sums(
        read,
        queue_metric(queue, "NumberOfMessagesReceived", "Sum", window),
        queue_metric(queue, "NumberOfMessagesDeleted", "Sum", window),
        queue_metric(queue, "ApproximateNumberOfMessagesVisible", "Maximum", window),
    )
    waiting = number(attributes, "ApproximateNumberOfMessages") or 0
    numbers: dict[str, str | int | float] = {
        "received": received,
        "finished": finished,
        "waiting": waiting,
        "minutes": window,
    }
    guard, reason = "consumer", ""
    if finished == 0 and (peak > 0 or waiting > 0):
        reason = f"messages waited in {queue.name}, and none was finished in {window} minutes"
    elif received > _AGAIN * finished + _SLACK:
        reason = (
            f"{received:.0f} messages were received and {finished:.0f} finished in {window} minutes: "
            "the consumer still fails at many, or takes longer than the visibility timeout"
        )
    elif waiting > max(finished, backlog):
        guard = "source-backlog"
        reason = f"{waiting} messages wait in {queue.name}: more than {window} minutes of work"
    if reason:
        raise Refused(guard, reason, numbers=numbers, retry_after=_LATER, link=str(consumer))
    took = f"{received:.0f} messages received from {queue.name} and {finished:.0f} finished in {window} minutes"
    return f"{took}; {waiting} wait"


def check_function(read: Reader, arn: Arn, *, healthy_for: timedelta, error_percent: int) -> Mapping[str, Any]:
    """Refuse until a function that is called itself can be, and hardly fails; what AWS says of it."""
    try:
        described = function(read, arn)
    except Missing:
        described = {}
    if why := unfit(described) or _failing(read, _function_name(arn), minutes(healthy_for), error_percent):
        raise Refused("consumer", f"{short(arn)} does not work yet: {why}", retry_after=_LATER, link=str(arn))
    return described


def unfit(described: Mapping[str, Any]) -> str:
    """Why a function cannot be given anything now; empty where it can."""
    if not described:
        return "it does not exist"
    if described.get("State") != "Active":
        return f"its state is {described.get('State', 'not known')}"
    if described.get("LastUpdateStatus") != "Successful":
        return f"its last update is {described.get('LastUpdateStatus', 'not known')}"
    if described.get("ReservedConcurrentExecutions") == 0:
        return "its reserved concurrency is 0: somebody has switched it off"
    return ""


def short(arn: Arn) -> str:
    """A name for people: ``ecs prod/api``, ``lambda etl``."""
    return f"{arn.service} {'/'.join(arn.resource.replace(':', '/').split('/')[1:])}"


def _service_trouble(read: Reader, arn: Arn, healthy_for: timedelta) -> str:
    """Why an ECS service cannot be said to have worked for a while; empty where it can."""
    try:
        described = service(read, arn)
    except Missing:
        return "it does not exist"
    if described.get("status") != "ACTIVE":
        return f"it is {described.get('status')}"
    if described.get("desiredCount") == 0:
        return "somebody has stopped it (desired count 0)"
    return unfinished(described) or _young(began(described["deployments"][0]), read.now(), healthy_for)


def _young(since: datetime | None, now: datetime, healthy_for: timedelta) -> str:
    if since is None:
        return "since when it runs is not known"
    return f"it was deployed {minutes(now - since)} minutes ago" if now - since < healthy_for else ""


def _function_trouble(read: Reader, arn: Arn, queue: Arn, window: int, error_percent: int) -> str:
    """Why a Lambda function cannot be said to work; empty where it can."""
    name = _function_name(arn)
    found = [each for each in _mappings(read, queue) if _function_name(Arn.parse(each["FunctionArn"])) == name]
    states = [str(mapping.get("State")) for mapping in found]
    if "Enabled" not in states:
        return f"its event source mapping is {' and '.join(states) or 'missing'}"
    reserved = read("lambda", "GetFunctionConcurrency", FunctionName=name).get("ReservedConcurrentExecutions")
    if reserved == 0:
        return "its reserved concurrency is 0: somebody has switched it off"
    return _failing(read, name, window, error_percent)


def _failing(read: Reader, name: str, window: int, error_percent: int) -> str:
    """Why a Lambda function cannot be said to be well; empty where it can."""
    failed, made = sums(
        read,
        *(
            MetricQuery("AWS/Lambda", metric, (("FunctionName", name),), "Sum", 60, window)
            for metric in ("Errors", "Invocations")
        ),
    )
    if failed * 100 > made * error_percent:
        return f"{failed:.0f} of {made:.0f} invocations failed in the last {window} minutes"
    return ""


def _mappings(read: Reader, queue: Arn) -> list[Mapping[str, Any]]:
    """The event source mappings of a queue that name their function."""
    found = read.pages(
        "lambda", "ListEventSourceMappings", "EventSourceMappings", limit=_MAPPINGS, EventSourceArn=str(queue)
    )
    return [mapping for mapping in found if mapping.get("FunctionArn")]


def _function_name(arn: Arn) -> str:
    """Without the version or alias that may follow it."""
    return arn.resource.split(":")[1]
