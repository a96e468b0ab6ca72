"""
How systems are now, by everything that can be read of them: healthy, sick or unknown, target by target.

What every remediation sees of a target, how many tasks run of those that should, what the load balancer says of them,
what AWS says of functions, tables, buckets, APIs and databases, how much waits in queues; of a bucket of triggers also
each customer's queues and consumer. It judges nothing by an event or by yesterday, and writes nothing. What could not
be read is unknown, with the reason, and never healthy; what one target says keeps no other from being looked at.

Source: runbooks 1 (health-check.sh), 2 ("Customer status"), 3 ("Daily")
"""

from __future__ import annotations

import logging
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from nightshift.errors import AwsError
from nightshift.model import (
    Arn,
    Customer,
    Healthy,
    Observation,
    Queries,
    ResourceRead,
    Sick,
    Target,
    Triggers,
    Unknown,
)
from nightshift.remediation import Readings, Unread
from nightshift.report import safe
from nightshift.report.words import count, moment, shown
from nightshift.signals import gather
from nightshift.standing import ACTIONS, standing
from nightshift.states import messages, seen_service

if TYPE_CHECKING:
    from nightshift.aws import Aws
    from nightshift.sweep import Sweep

__all__ = [
    "CUSTOMER",
    "Check",
    "SystemHealth",
    "TargetHealth",
    "hosts",
    "how",
    "line",
    "logged",
    "look",
    "needs",
    "queued",
    "reads",
    "seen",
    "seen_document",
    "tasks",
    "worst",
]

_LOG = logging.getLogger(__name__)

_WORST_FIRST = ("sick", "unknown", "healthy")
"""the worst first: one unknown thing is enough not to be healthy"""
_ARCHIVED = 10_000
"""objects of an archive that are looked through: ten calls, one after the other"""
_LATELY = timedelta(hours=1)
CUSTOMER = "customer "
"""how the name of what is said of a customer of a bucket of triggers begins"""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: healthy, sick or unknown; a figure that nobody judges is none of them."""

    what: str
    health: str
    seen: str
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TargetHealth:
    """A target, and what was looked at of it."""

    target: Target
    checks: tuple[Check, ...]

    @property
    def health(self) -> str:
        """The worst of what was judged of it."""
        return worst(check.health for check in self.checks)


@dataclass(frozen=True, slots=True)
class SystemHealth:
    """A system, and how its targets are."""

    name: str
    targets: tuple[TargetHealth, ...]

    @property
    def health(self) -> str:
        """The worst of its targets."""
        return worst(each.health for each in self.targets)


def worst(found: Iterable[str]) -> str:
    """
    Sick if anything is; else unknown if anything is, or if nothing was judged; else healthy.

    >>> worst(["healthy", "", "unknown"]), worst(["unknown", "sick"]), worst(["healthy", ""]), worst([""])
    ('unknown', 'sick', 'healthy', 'unknown')
    """
    words = set(found)
    return next((word for word in _WORST_FIRST if word in words), "unknown")


# -- what a remediation saw ------------------------------------------------------------------------------------------


def how(observation: Observation) -> str:
    """Healthy, sick or unknown."""
    return "sick" if isinstance(observation, Sick) else "healthy" if isinstance(observation, Healthy) else "unknown"


def seen(observation: Observation) -> str:
    """What was seen, in a line."""
    match observation:
        case Healthy(summary=summary):
            return safe(summary, 400)
        case Sick(finding=finding):
            return safe(finding.symptom, 400)
        case _:
            return safe(observation.reason, 400)


def seen_document(observation: Observation) -> dict[str, Any]:
    """What was seen, for machines."""
    said: dict[str, Any] = {"health": how(observation), "seen": seen(observation)}
    if isinstance(observation, Sick):
        finding = observation.finding
        said["severity"] = finding.severity.value
        said["signals"] = [
            {
                "name": safe(signal.name, 100),
                "value": shown(signal.value),
                "threshold": shown(signal.threshold),
                "window": safe(signal.window, 60),
                "unit": safe(signal.unit, 30),
            }
            for signal in finding.signals
        ]
        said["evidence"] = [safe(text, 300) for text in finding.evidence]
    return said


# -- what is read ----------------------------------------------------------------------------------------------------


def look(aws: Aws, sweep: Sweep, systems: Mapping[str, Sequence[Target]], *, now: datetime) -> tuple[SystemHealth, ...]:
    """Look at every target of these systems: what the remediations see of each, and what is read beside it."""
    targets = [target for group in systems.values() for target in group]
    checks: dict[Arn, list[Check]] = {target.arn: [] for target in targets}
    for each in sweep.look(targets):
        said = seen_document(each.seen)
        check = Check(each.remediation.name, said.pop("health"), said.pop("seen"), said)
        checks[each.target.arn].append(check)
    readings = gather(aws, [query for target in targets for query in reads(target)], now=now)
    figures = aws.run(partial(_looked_at, aws, target, readings, now) for target in targets)
    for target, found in zip(targets, figures, strict=True):
        checks[target.arn] += found
    return tuple(
        SystemHealth(name, tuple(TargetHealth(target, tuple(checks[target.arn])) for target in group))
        for name, group in systems.items()
    )


def reads(target: Target) -> Queries:
    """What is read in batches of a target, beside what remediations watch."""
    service = [ResourceRead("ecs.service", str(target.arn))] if target.arn.kind == "ecs:service" else []
    customers = target.triggers.customers if target.triggers is not None else ()
    queues = [*_queues(target), *(arn for each in customers for arn in (each.queue, each.dead_letters))]
    consumers = [ResourceRead("ecs.service", str(each.consumer)) for each in customers]
    return (*service, *consumers, *(ResourceRead("sqs.queue", str(arn)) for arn in queues))


def needs(target: Target) -> Iterator[tuple[str, str]]:
    """The IAM actions that reading the rest of a target takes, and of what each is asked."""
    if target.arn.kind in ACTIONS:
        yield ACTIONS[target.arn.kind], str(target.arn)
    if target.target_group is not None:
        yield "elasticloadbalancing:DescribeTargetHealth", str(target.target_group)
    if target.triggers is not None:
        yield "s3:ListBucket", f"{target.arn}/{target.triggers.archive}"


def _queues(target: Target) -> list[Arn]:
    return [arn for arn in (target.arn, target.source, target.queue) if arn is not None and arn.kind == "sqs:queue"]


def _looked_at(aws: Aws, target: Target, readings: Readings, now: datetime) -> list[Check]:
    """All that is read of a target: a defect of ours makes that target unknown, and leaves the others alone."""
    found: list[Check] = []
    try:
        for check in _figures(aws, target, readings, now):
            found.append(check)  # noqa: PERF402 - what was found before it fails is kept
    except Exception as error:  # noqa: BLE001 - the bulkhead: whatever one of them raises, the others are looked at
        _LOG.exception("a target could not be looked at", extra={"target": str(target.arn)})
        found.append(Check("look", "unknown", f"looking at it failed: {type(error).__name__}"))
    return found


def _figures(aws: Aws, target: Target, readings: Readings, now: datetime) -> Iterator[Check]:
    if target.arn.kind == "ecs:service":
        yield tasks(target, readings)
    said = standing(aws, target.arn)
    if said is not None:
        yield Check("state", *said)
    if target.target_group is not None:
        stopped = isinstance(seen_service(target, readings), Healthy)
        try:
            answer = aws.read("elbv2", "DescribeTargetHealth", TargetGroupArn=str(target.target_group))
        except AwsError as error:
            yield Check("load balancer", "unknown", safe(str(error), 400))
        else:
            yield hosts(answer, stopped=stopped)
    for arn in _queues(target):
        yield queued(arn, readings)
    if target.triggers is not None:
        for customer in target.triggers.customers:
            yield line(customer, readings)
        yield _archive(aws, target, target.triggers, now)
    if target.log_group is not None:
        yield logged(target.log_group, now)


def tasks(target: Target, readings: Readings) -> Check:
    """Whether as many tasks run as should. More are no failure: a deployment is under way."""
    service = seen_service(target, readings)
    if isinstance(service, Healthy):
        return Check("tasks", "healthy", service.summary)
    if isinstance(service, Unknown):
        return Check("tasks", "unknown", safe(service.reason, 400))
    running, desired = service.get("runningCount"), service["desiredCount"]
    if not isinstance(running, int):
        return Check("tasks", "unknown", f"ECS did not say how many tasks of {safe(target.arn.name, 80)} run")
    deployed = "; a deployment is under way" if len(service.get("deployments") or ()) > 1 else ""
    return Check(
        "tasks", "healthy" if running >= desired else "sick", f"{running} of {count(desired, 'task')} run{deployed}"
    )


def hosts(answer: Mapping[str, Any], *, stopped: bool = False) -> Check:
    """
    What a load balancer says of the tasks behind it.

    Sick where one is unhealthy, or none healthy, unless the service was ``stopped`` on purpose. Those that come and go
    count for nothing.
    """
    found = Counter(
        str((each.get("TargetHealth") or {}).get("State") or "not told")
        for each in answer.get("TargetHealthDescriptions") or ()
    )
    seen = (
        ", ".join(f"{number} {safe(state, 40)}" for state, number in sorted(found.items())) or "no task is registered"
    )
    if found["unhealthy"]:
        return Check("load balancer", "sick", seen)
    if found["healthy"] or stopped:
        return Check("load balancer", "healthy", seen)
    return Check("load balancer", "unknown" if found["unavailable"] or found["not told"] else "sick", seen)


def queued(arn: Arn, readings: Readings) -> Check:
    """How much a queue holds. How much is too much is for a remediation to say."""
    queue, name = readings.resource(ResourceRead("sqs.queue", str(arn))), safe(arn.name, 80)
    if queue is None:
        return Check("queue", "unknown", f"{name} does not exist")
    if isinstance(queue, Unread):
        return Check("queue", "unknown", f"{name}: {safe(queue.reason, 400)}")
    held = messages(queue)
    if held is None:
        return Check("queue", "unknown", f"SQS did not say how many messages {name} holds")
    return Check("queue", "", f"{count(held, 'message')} in {name}")


def line(customer: Customer, readings: Readings) -> Check:
    """What waits for a customer of a bucket of triggers, what has died, and whether as much runs as should."""
    parts = [
        queued(customer.queue, readings),
        queued(customer.dead_letters, readings),
        tasks(Target(customer.consumer, group=""), readings),
    ]
    return Check(f"{CUSTOMER}{customer.name}", worst(each.health for each in parts), "; ".join(p.seen for p in parts))


def _archive(aws: Aws, target: Target, triggers: Triggers, now: datetime) -> Check:
    """What was changed in an archive lately. S3 lists by name and not by age, so a large one is not looked through."""
    listed = aws.pages(
        "s3", "ListObjectsV2", "Contents", limit=_ARCHIVED, Bucket=target.arn.name, Prefix=triggers.archive
    )
    try:
        times = [each["LastModified"] for each in listed]
    except AwsError as error:
        if error.code == "TooMany":
            return Check("archive", "", f"more than {_ARCHIVED:,} changes, which are not looked through")
        return Check("archive", "unknown", safe(str(error), 400))
    lately = sum(now - at <= _LATELY for at in times)
    newest = f", the newest at {moment(max(times))}" if times else ""
    return Check("archive", "", f"{count(lately, 'change')} in the last hour{newest}")


def logged(log_group: Arn, now: datetime) -> Check:
    """How a person finds the errors of the last hour: a log holds what nobody meant to be shown, so it is not read."""
    name = shlex.quote(log_group.resource.removeprefix("log-group:"))
    since = int((now - _LATELY).timestamp() * 1000)
    # any of them: patterns tell ERROR from error, and a line that says level=error has no ERROR in it (runbook 3)
    pattern = shlex.quote("?ERROR ?Error ?error")
    command = f"aws logs filter-log-events --log-group-name {name} --filter-pattern {pattern} --start-time {since}"
    return Check("log", "", f"errors of the last hour: {command}")
