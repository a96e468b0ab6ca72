"""The command `health`: how a system is now, by everything that can be read of it."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer
from rich.text import Text

from nightshift.aws import Aws
from nightshift.cli import pages
from nightshift.cli.context import Context, Declined, here
from nightshift.cli.deployment import Deployment, Looking, Where, find, identify
from nightshift.cli.looking import policy_for, suggestion
from nightshift.cli.options import AsJson, Config, Profile, Stack, Table
from nightshift.cli.standing import standing
from nightshift.cli.telling import open_now, row_document
from nightshift.config import Policy
from nightshift.errors import AwsError, StoreUnavailable
from nightshift.incidents import Incidents
from nightshift.model import Arn, Customer, Healthy, Incident, Queries, ResourceRead, Target, Triggers, Unknown
from nightshift.remediation import Readings, Unread
from nightshift.report import safe
from nightshift.report.words import count, moment
from nightshift.service import Service, connect
from nightshift.signals import gather
from nightshift.states import messages, seen_service

__all__ = ["Check", "health", "hosts", "line", "logged", "queued", "tasks", "worst"]

_MOST = 1000
"""open incidents that are looked through"""
_ARCHIVED = 10_000
"""objects of an archive that are looked through: ten calls, one after the other"""
_LATELY = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: healthy, sick or unknown; a figure that nobody judges is none of them."""

    what: str
    health: str
    seen: str
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Target:
    """A target, and what was looked at of it."""

    target: Target
    checks: tuple[Check, ...]

    @property
    def health(self) -> str:
        return worst(check.health for check in self.checks)


@dataclass(frozen=True, slots=True)
class _System:
    """A system, and how its targets are."""

    name: str
    targets: tuple[_Target, ...]

    @property
    def health(self) -> str:
        return worst(each.health for each in self.targets)


def worst(found: Iterable[str]) -> str:
    """
    Sick if anything is; else unknown if anything is, or if nothing was judged; else healthy.

    >>> worst(["healthy", "", "unknown"]), worst(["unknown", "sick"]), worst(["healthy", ""]), worst([""])
    ('unknown', 'sick', 'healthy', 'unknown')
    """
    words = set(found)
    return next((word for word in ("sick", "unknown", "healthy") if word in words), "unknown")


def health(
    ctx: typer.Context,
    system: Annotated[
        str | None, typer.Argument(help="The system's name, as in the configuration; all of them when not said.")
    ] = None,
    *,
    config: Config = None,
    stack: Stack = None,
    table: Table = None,
    profile: Profile = None,
    json: AsJson = False,
) -> None:
    """
    Say how a system is now: healthy, sick or unknown, target by target.

    Looks with your own credentials and writes nothing: what every remediation sees, how many tasks run of those that
    should, what the load balancer says of them, what AWS says of functions, tables, buckets, APIs and databases, how
    much waits in queues, which incidents are open; of a bucket of triggers also each customer's queues and consumer,
    and what the archive got lately. Nothing has to be deployed. What could not be read is unknown, with the reason.

    Exit code 0 only when everything was read and is healthy, 1 when anything is sick or unknown.
    """
    context = here(ctx, json=json)
    policy = policy_for(context, config)
    chosen = _chosen(policy, system)
    where = Where(config, stack, table, profile)
    aws, caller = identify(context, where, policy, kind=Looking)
    service = connect(policy, aws, Deployment(aws, caller, Incidents(aws, ""), policy).environment, clock=context.clock)
    targets = [target for group in chosen.values() for target in group]
    with context.err.status(f"looking at {count(len(targets), 'target')} …"):
        checks = _checks(context, service, targets)
        incidents, why_not = _incidents(context, where, targets)
    systems = [
        _System(name, tuple(_Target(target, tuple(checks[target.arn])) for target in group))
        for name, group in chosen.items()
    ]
    overall = worst(each.health for each in systems)
    document = {
        "schema": "nightshift.health/1",
        "deployment": policy.name,
        "account": policy.account,
        "region": policy.region,
        "config_hash": policy.hash,
        "at": pages.time_document(context.clock()),
        "health": overall,
        "systems": [_document(each) for each in systems],
        "incidents": None if incidents is None else [row_document(context, each) for each in incidents],
        "incidents_not_read": why_not or None,
    }
    context.tell(document, *_page(systems, incidents, why_not))
    if overall != "healthy":
        raise typer.Exit(1)


def _chosen(policy: Policy, system: str | None) -> Mapping[str, tuple[Target, ...]]:
    if system is None:
        return policy.groups
    if system not in policy.groups:
        raise Declined(
            f"there is no system {safe(system, 80)} in this configuration",
            suggestion(system, policy.groups, "There are"),
        )
    return {system: policy.groups[system]}


# -- what is read ----------------------------------------------------------------------------------------------------


def _checks(context: Context, service: Service, targets: Sequence[Target]) -> Mapping[Arn, Sequence[Check]]:
    """What the remediations see of each target, and the figures beside it."""
    checks: dict[Arn, list[Check]] = {target.arn: [] for target in targets}
    for look in service.sweep.look(targets):
        said = pages.seen_document(look.seen)
        check = Check(look.remediation.name, said.pop("health"), said.pop("seen"), said)
        checks[look.target.arn].append(check)
    reads = [query for target in targets for query in _reads(target)]
    readings = gather(service.aws, reads, now=context.clock())
    for target in targets:
        checks[target.arn] += _figures(service.aws, target, readings, context.clock())
    return checks


def _reads(target: Target) -> Queries:
    service = [ResourceRead("ecs.service", str(target.arn))] if target.arn.kind == "ecs:service" else []
    customers = target.triggers.customers if target.triggers is not None else ()
    queues = [*_queues(target), *(arn for each in customers for arn in (each.queue, each.dead_letters))]
    consumers = [ResourceRead("ecs.service", str(each.consumer)) for each in customers]
    return (*service, *consumers, *(ResourceRead("sqs.queue", str(arn)) for arn in queues))


def _queues(target: Target) -> list[Arn]:
    return [arn for arn in (target.arn, target.source, target.queue) if arn is not None and arn.kind == "sqs:queue"]


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
    return Check(f"customer {customer.name}", worst(each.health for each in parts), "; ".join(p.seen for p in parts))


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


def _incidents(context: Context, where: Where, targets: Sequence[Target]) -> tuple[list[Incident] | None, str]:
    """What is open on these targets; None, and why, where nobody can tell. It judges nothing: what is seen now does."""
    arns = {str(target.arn) for target in targets}
    try:
        store = find(context, where, kind=Looking).incidents
        return [each for each in open_now(store, _MOST) if each.target in arns], ""
    except (AwsError, Declined, StoreUnavailable) as error:
        return None, safe(error.problem if isinstance(error, Declined) else str(error), 400, people=False)


# -- what is said ----------------------------------------------------------------------------------------------------


def _document(system: _System) -> dict[str, Any]:
    return {
        "system": system.name,
        "health": system.health,
        "targets": [
            {
                "target": str(each.target.arn),
                "health": each.health,
                "checks": [
                    {"check": check.what, "health": check.health or None, "seen": check.seen, **check.more}
                    for check in each.checks
                ],
            }
            for each in system.targets
        ],
    }


def _page(systems: Sequence[_System], incidents: Sequence[Incident] | None, why_not: str) -> Iterator[Any]:
    rows = [
        (
            system.name,
            safe(each.target.arn.name, 80),
            check.what,
            Text(check.health, pages.HEALTH.get(check.health, "")),
            check.seen,
        )
        for system in systems
        for each in system.targets
        for check in each.checks
    ]
    yield pages.table("SYSTEM", "TARGET", "CHECK", "HEALTH", "SEEN", rows=rows)
    if incidents is None:
        yield f"Which incidents are open is not known: {why_not}."
    elif not incidents:
        yield "No incident is open."
    else:
        open_ones = [
            (each.id, moment(each.opened_at), safe(each.group, 80), safe(each.remediation, 60), each.phase.value)
            for each in incidents
        ]
        yield pages.table("OPEN INCIDENT", "SINCE", "SYSTEM", "REMEDIATION", "PHASE", rows=open_ones)
    yield ""
    for system in systems:
        found = Counter(each.health for each in system.targets)
        sums = ", ".join(f"{found[word]} {word}" for word in pages.HEALTH if found[word])
        said = f"{system.name}: {system.health} ({count(len(system.targets), 'target')}: {sums})"
        yield Text(said, pages.HEALTH[system.health])
    if len(systems) > 1 and all(system.health == "sick" for system in systems):
        yield Text("Every system is sick at once: look for what they share first.", "bold red")
    yield "Nothing was written."
