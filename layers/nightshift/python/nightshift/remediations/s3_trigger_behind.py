"""
Triggers come faster than they go: tell whose, before one of them is stuck.

Symptom   many triggers stand at once, the oldest for minutes; where the system counts what it makes and deletes, it
          deleted less than it made in the last hour
Cause     a customer's consumer is slower than its changes come, has stopped, or was never told
Cure      none of ours: what hangs, died or was lost has a remediation of its own; more tasks are for people to grant
Proof     fewer stand
Undo      nothing was changed
Source    runbook 0 "Monitor Key Metrics" and task 5; R1

What it will not do: take the system's own counters for the truth. They are asked only whether what stands is going away
as fast as it comes; where nobody counts, what stands in the bucket says it alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

from pydantic import Field, PositiveInt

from nightshift import states
from nightshift.errors import Missing, Refused, Unreadable
from nightshift.model import (
    Arn,
    Customer,
    Diagnosis,
    Finding,
    Healthy,
    MetricQuery,
    Observation,
    Queries,
    ResourceRead,
    Severity,
    Sick,
    Signal,
    Target,
    Triggers,
    Unknown,
)
from nightshift.remediation import Reader, Readings, ReportOnly, Unread
from nightshift.states import minutes

__all__ = ["S3TriggerBehind"]

_HOUR = 60  # minutes
_PERIOD = 300  # seconds, as the runbook asks for them


@dataclass(frozen=True, slots=True)
class _Line:
    """How a customer's line is: what waits, what has died, what runs of what should. None: it cannot be read."""

    waiting: int | None
    dead: int | None
    running: int | None
    desired: int | None


class S3TriggerBehind(ReportOnly):
    """A bucket in which more triggers appear than are processed."""

    name: ClassVar[str] = "s3-trigger-behind"
    title: ClassVar[str] = "triggers come faster than they go"
    kinds: ClassVar[tuple[str, ...]] = ("s3:bucket",)
    needs: ClassVar[tuple[str, ...]] = ("triggers",)
    reads: ClassVar[tuple[str, ...]] = ()  # queues and services are read as the sweep reads them

    confirm: PositiveInt = Field(default=3, description="sick looks in a row before anybody is told")
    standing: PositiveInt = Field(default=50, description="fewer triggers that stand at once are no failure")
    age: timedelta = Field(
        default=timedelta(minutes=5),
        ge=timedelta(minutes=1),
        le=timedelta(hours=24),
        description="how long the oldest may stand; longer than a change takes to be processed",
    )
    deleted_percent: float = Field(
        default=90.0, gt=0, le=100, description="per cent of what was made in an hour that must have been deleted"
    )
    namespace: str = Field(
        default="CustomMetrics", max_length=255, description="where the system counts TriggerCreationRate and the other"
    )

    # -- seeing ----------------------------------------------------------------------------------------------------

    def watch(self, target: Target) -> Queries:
        return () if target.triggers is None else (_listing(target, target.triggers), *self._rates())

    def _rates(self) -> tuple[MetricQuery, MetricQuery]:
        """What was made and what was deleted, as the system itself counts it."""
        made, deleted = (
            MetricQuery(self.namespace, f"Trigger{what}Rate", (), "Sum", _PERIOD, _HOUR)
            for what in ("Creation", "Deletion")
        )
        return made, deleted

    def detect(self, target: Target, seen: Readings) -> Observation:
        """Sick where many stand and the oldest is old, unless the counters say that as many go as come."""
        if target.triggers is None:
            return Unknown(f"nobody has said what stands in {target.arn.name}")
        found = seen.resource(_listing(target, target.triggers))
        if not isinstance(found, Mapping):
            return Unknown(found.reason if isinstance(found, Unread) else f"{target.arn} does not exist")
        try:
            total, oldest = int(found["Count"]), [each["LastModified"] for each in found["Oldest"]]
            age = seen.at - min(oldest, default=seen.at)
        except (KeyError, TypeError, ValueError) as error:
            return Unknown(f"the listing of {target.arn.name} cannot be understood: {type(error).__name__}")
        symptom = f"{total} triggers stand in {target.arn.name}, the oldest for {minutes(age)} minutes"
        if total < self.standing or age <= self.age:
            return Healthy(symptom)
        share = self._deleted(seen)
        if isinstance(share, Unread):
            return Unknown(share.reason)
        if share is not None and share >= self.deleted_percent:
            return Healthy(f"{symptom}; {share:.0f} % of what was made in an hour was deleted")
        signals = [Signal("triggers that stand", total, self.standing, "now")]
        if share is not None:
            signals.append(Signal("deleted of what was made", round(share, 1), self.deleted_percent, "1 hour", "%"))
        return Sick(Finding(self.name, str(target.arn), symptom, tuple(signals), severity=Severity.SEV3))

    def _deleted(self, seen: Readings) -> float | Unread | None:
        """How many per cent of what was made in an hour were deleted; None where nobody counts, or none was made."""
        made, deleted = (seen.metric(query) for query in self._rates())
        if isinstance(made, Unread):
            return made
        if isinstance(deleted, Unread):
            return deleted
        return 100 * deleted.total / made.total if deleted.points and made.total else None

    # -- diagnosis -------------------------------------------------------------------------------------------------

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        triggers = target.triggers
        found = None if triggers is None else read.seen(_listing(target, triggers)).resource(_listing(target, triggers))
        if triggers is None or not isinstance(found, Mapping) or not found["Oldest"]:
            raise Refused("triggers", "no trigger stands any more that could be looked at", retry_after=_SOON)
        whose = Counter(_customer(each, triggers) for each in found["Oldest"])
        lines = {each.name: _line(read, each) for each in triggers.customers}
        worst, most = whose.most_common(1)[0]
        shown = len(found["Oldest"])
        return Diagnosis(
            target=str(target.arn),
            cause=f"{most} of the {shown} oldest are {worst or 'nobody'}'s: {_why(lines.get(worst))}",
            evidence=tuple(
                f"{name}: {whose[name]} of the {shown} oldest; {_said(line)}" for name, line in sorted(lines.items())
            ),
            advice=tuple(_advice(triggers.customer(worst), lines.get(worst))),
        )


_SOON = timedelta(minutes=1)


# -- what is read ------------------------------------------------------------------------------------------------------


def _listing(target: Target, triggers: Triggers) -> ResourceRead:
    return ResourceRead("s3.triggers", f"{target.arn}/{triggers.prefix}")


def _customer(entry: Mapping[str, Any], triggers: Triggers) -> str:
    """Whose trigger it is, if of one who is configured."""
    name = str(entry.get("Key", "")).removeprefix(triggers.prefix).partition("/")[0]
    return name if triggers.customer(name) is not None else ""


def _line(read: Reader, customer: Customer) -> _Line:
    waiting, dead = _held(read, customer.queue), _held(read, customer.dead_letters)
    try:
        service: Mapping[str, Any] = states.service(read, customer.consumer)
    except (Missing, Unreadable):
        service = {}
    return _Line(waiting, dead, service.get("runningCount"), service.get("desiredCount"))


def _held(read: Reader, queue: Arn) -> int | None:
    try:
        return states.messages(states.queue(read, queue))
    except (Missing, Unreadable):
        return None


# -- why, and what would help ------------------------------------------------------------------------------------------


def _why(line: _Line | None) -> str:
    if line is None:
        return "its triggers are told to no queue that is known"
    if line.running is not None and line.desired is not None and line.running < line.desired:
        return f"{line.running} of its {line.desired} tasks run"
    if line.waiting:
        return "its consumer finishes less than it is told"
    if line.dead:
        return "its messages die"
    return "nobody tells its consumer, or that cannot finish" if line.waiting == 0 else "its queue cannot be read"


def _said(line: _Line) -> str:
    def shown(number: int | None) -> str:
        return "?" if number is None else str(number)

    return (
        f"{shown(line.waiting)} messages in its queue, {shown(line.dead)} dead, "
        f"{shown(line.running)} of {shown(line.desired)} tasks run"
    )


def _advice(customer: Customer | None, line: _Line | None) -> list[str]:
    found = []
    if customer is None:
        return ["name its customer in the configuration, with its queues; or delete what nobody needs"]
    if line is not None and line.waiting and line.desired:
        cluster, service = customer.consumer.resource.split("/")[1:3]
        found.append(
            f"give it more tasks for a while, if what it needs bears that: aws ecs update-service --cluster {cluster} "
            f"--service {service} --desired-count {line.desired + max(1, line.desired // 2)} (a write)"
        )
    found.append(
        f"see what it does: aws ecs describe-services --cluster {customer.consumer.resource.split('/')[1]} "
        f"--services {customer.consumer.name} (read only)"
    )
    found.append("look whether many changes were submitted at once: then it may only take its time")
    return found
