"""
A queue is slow: lend its consumers more time.

Symptom   messages of the queue are delayed (`DelaySeconds` is not 0)
Cause     the simulation says so
Cure      raise the visibility timeout for a while
Proof     messages are no longer delayed
Undo      put the visibility timeout back, if it still is what we set it to

No runbook asks for this: it stands in for every remediation that lends something, so that the spine's leases are
simulated whatever the registry holds. In the world, :class:`Loans` makes the cure work, or not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from nightshift.model import (
    Arn,
    Call,
    Diagnosis,
    Finding,
    Healthy,
    Json,
    MetricQuery,
    Observation,
    Outcome,
    Plan,
    Queries,
    ResourceRead,
    Sick,
    Step,
    Target,
    Unknown,
)
from nightshift.remediation import Reader, Readings, Remediation, Unread
from nightshift.signals import queue_url
from pydantic import Field, PositiveInt

from sandbox.clock import Order

if TYPE_CHECKING:
    from sandbox.world import World

__all__ = ["LENT", "ORIGINAL", "Loans", "QueueSlow"]

ORIGINAL, LENT = "30", "99"
"""seconds of visibility timeout"""
_LANDS = timedelta(seconds=60)  # how long a request whose answer was lost may still take effect


class QueueSlow(Remediation):
    """A queue whose consumers need more time for a while."""

    name: ClassVar[str] = "queue-slow"
    title: ClassVar[str] = "the queue is slow"
    kinds: ClassVar[tuple[str, ...]] = ("sqs:queue",)
    reads: ClassVar[tuple[str, ...]] = ("sqs:GetQueueAttributes",)
    writes: ClassVar[tuple[str, ...]] = ("sqs:SetQueueAttributes",)
    sets: ClassVar[tuple[str, ...]] = ("VisibilityTimeout",)

    confirm: PositiveInt = Field(default=1, description="sick looks in a row before anything is planned")
    looks: PositiveInt = Field(default=2, description="healthy looks in a row that prove a cure or a recovery")
    patience: timedelta = Field(default=timedelta(minutes=5), description="how long a cure may take to show")
    cooldown: timedelta = Field(default=timedelta(minutes=5), description="between two applications to one queue")
    lease: timedelta = Field(default=timedelta(minutes=10), description="how long the raise may last")

    def watch(self, target: Target) -> Queries:
        return (_delay_of(target),)

    def examine(self, target: Target) -> Queries:
        return (ResourceRead("sqs.queue", str(target.arn)),)

    def detect(self, target: Target, seen: Readings) -> Observation:
        measured = seen.metric(_delay_of(target))
        if not isinstance(measured, Unread):
            if not measured.points:
                return Unknown("nothing was measured")
            return self._judged(target, f"{measured.points[-1][1]:.0f}")
        queue = seen.resource(ResourceRead("sqs.queue", str(target.arn)))
        if isinstance(queue, Unread):
            return Unknown(queue.reason)
        if queue is None:
            return Unknown("the queue is gone")
        delay = str(queue.get("DelaySeconds", ""))
        if not delay.isdecimal():
            return Unknown("SQS did not say how long messages are delayed")
        return self._judged(target, delay)

    def _judged(self, target: Target, delay: str) -> Observation:
        if delay == "0":
            return Healthy("messages are not delayed")
        return Sick(Finding(self.name, str(target.arn), f"messages are delayed by {delay} s"))

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        now = _attributes(read, str(target.arn))["VisibilityTimeout"]
        return Diagnosis(str(target.arn), "consumers are slow", facts={"arn": str(target.arn), "was": now})

    def plan(self, diagnosis: Diagnosis) -> Plan:
        arn, was = diagnosis.facts["arn"], diagnosis.facts["was"]
        there, back = _change(arn, LENT, before=was), _change(arn, was, before=LENT, stops=True)
        return Plan(
            self.name,
            arn,
            f"raise the visibility timeout from {was} to {LENT} s",
            steps=(Step("raise", (there,), settle=timedelta(minutes=1), undo=(back,)),),
            risk="a message whose consumer died comes back later",
            undo_by_hand=f"aws sqs set-queue-attributes --queue-url … --attributes VisibilityTimeout={was}",
            lease=self.lease,
        )

    def effect(self, call: Call, answer: Mapping[str, Any]) -> Mapping[str, Json]:
        return dict(call.params["Attributes"])

    def reconcile(self, read: Reader, call: Call, since: datetime) -> Outcome:
        """Not done only where the old value still stands: a third one may have been written over ours."""
        queue = _attributes(read, call.resource)
        if call.params["Attributes"].items() <= queue.items():
            return Outcome.DONE
        if call.before.items() <= queue.items() and read.now() >= since + _LANDS:
            return Outcome.NOT_DONE
        return Outcome.UNKNOWN

    def still_ours(self, read: Reader, plan: Plan) -> bool | None:
        return _attributes(read, plan.target)["VisibilityTimeout"] == LENT


def _delay_of(target: Target) -> MetricQuery:
    return MetricQuery("Simulation", "Delay", (("QueueName", target.arn.name),), "Maximum", minutes=3)


def _change(arn: str, seconds: str, *, before: str, stops: bool = False) -> Call:
    params = {"QueueUrl": queue_url(Arn.parse(arn)), "Attributes": {"VisibilityTimeout": seconds}}
    return Call("sqs", "SetQueueAttributes", arn, params, before={"VisibilityTimeout": before}, stops=stops)


def _attributes(read: Reader, arn: str) -> Mapping[str, str]:
    found: Mapping[str, str] = read(
        "sqs", "GetQueueAttributes", QueueUrl=queue_url(Arn.parse(arn)), AttributeNames=["All"]
    )["Attributes"]
    return found


class Loans:
    """The slow queues of a world, and their physics: a raise cures within a minute, if the cause is of that kind."""

    def __init__(self, world: World, count: int) -> None:
        self.names = [f"slow-{number}" for number in range(count)]
        self.curable: dict[str, bool] = {}
        self.told: Callable[[str], object] = lambda _name: None  # hears when a queue falls ill, or heals
        self._world = world
        tags = {"auto-remediation": "enabled"}
        for name in self.names:
            world.client("sqs").create_queue(QueueName=name, Attributes={"VisibilityTimeout": ORIGINAL}, tags=tags)
        world.every(timedelta(minutes=1), self._minute, order=Order.METERS)

    def arn(self, name: str) -> str:
        """The ARN of one of them."""
        return self._world.arn("sqs", name)

    def timeout(self, name: str) -> int:
        """A queue's visibility timeout now, in seconds."""
        return int(vars(self._world.queues.find(name))["visibility_timeout"])

    def healthy(self, name: str) -> bool:
        """Whether messages are not delayed."""
        return not vars(self._world.queues.find(name))["delay_seconds"]

    def slow(self, name: str, *, curable: bool) -> None:
        """Messages are delayed from now on."""
        self.curable[name] = curable
        self._set(name, "delay_seconds", 5)
        self.told(name)

    def heal(self, name: str) -> None:
        """The cause is gone by itself."""
        self._set(name, "delay_seconds", 0)
        self.told(name)

    def change(self, name: str, seconds: int) -> None:
        """A person sets the visibility timeout."""
        self._set(name, "visibility_timeout", seconds)

    def _set(self, name: str, what: str, value: int) -> None:
        setattr(self._world.queues.find(name), what, value)

    def _minute(self) -> None:
        minute = self._world.agenda.ms // 60_000 - 1
        for name in self.names:
            delay = float(vars(self._world.queues.find(name))["delay_seconds"])
            self._world.metrics.of("Simulation", "Delay", (("QueueName", name),)).put(minute, delay)
        for name, curable in self.curable.items():
            if curable and self.timeout(name) >= int(LENT):
                self.heal(name)
