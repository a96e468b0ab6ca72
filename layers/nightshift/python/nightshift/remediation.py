"""
The contract: what one failure and its cure have to say for themselves.

A remediation is one file in :mod:`nightshift.remediations`, named by the failure. The spine calls its methods in the
order of their definition here; everything that is the same for all of them (guardrails, leases, retries, budgets,
permissions, reports) is not in here. Settings are the class's own pydantic fields, validated where they are written.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from nightshift.errors import Refused
from nightshift.model import (
    Call,
    Diagnosis,
    Finding,
    Incident,
    Json,
    Ledger,
    MetricQuery,
    Mode,
    Observation,
    Outcome,
    Plan,
    Queries,
    Query,
    ResourceRead,
    Step,
    Target,
)

__all__ = [
    "KEPT",
    "Actor",
    "Kept",
    "Memory",
    "Progress",
    "Reader",
    "Readings",
    "Remediation",
    "ReportOnly",
    "Series",
    "Unread",
    "history",
    "kept",
]


# -- readings ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Unread:
    """A query that got no answer, and why. Never a zero, never an empty list."""

    reason: str


@dataclass(frozen=True, slots=True)
class Series:
    """A metric's points, oldest first, whole periods only. No points means that nothing was reported."""

    points: tuple[tuple[datetime, float], ...] = ()

    def last(self, count: int) -> tuple[float, ...]:
        """The values of the newest ``count`` points, oldest first; fewer where fewer were reported."""
        return tuple(value for _, value in self.points[-count:])

    @property
    def total(self) -> float:
        """The sum of all points: 0.0 where none was reported, so use it for counters only."""
        return sum(value for _, value in self.points)


@dataclass(frozen=True, slots=True)
class Readings:
    """
    The answers to queries, taken at one time.

    A resource that was read is a mapping (AWS's own field names); one that does not exist is ``None``; a query that got
    no answer is :class:`Unread`. A query that nobody made is Unread too: it is unknown, not absent.
    """

    at: datetime
    answers: Mapping[Query, Series | Mapping[str, Any] | Unread | None] = field(default_factory=dict)

    def metric(self, query: MetricQuery) -> Series | Unread:
        """The series that answers ``query``, or why there is none."""
        answer = self.answers.get(query, Unread(f"{query.metric} was not read"))
        return answer if isinstance(answer, Series | Unread) else Unread(f"{query.metric} has no series")

    def resource(self, query: ResourceRead) -> Mapping[str, Any] | Unread | None:
        """The resource that answers ``query``; None where it does not exist; Unread where nobody can tell."""
        answer = self.answers.get(query, Unread(f"{query.kind} {query.key} was not read"))
        return Unread(f"{query.kind} has no resource") if isinstance(answer, Series) else answer


@dataclass(frozen=True, slots=True)
class Kept:
    """What a reading was from ``since`` to ``seen``, as sweeps found it and noted it: AWS keeps no history of it."""

    what: Mapping[str, Json]
    since: datetime
    seen: datetime


KEPT = "kept"
"""the kind of a reading that says what another one was: a diagnosis may ask for it as for any other"""


def history(query: ResourceRead) -> ResourceRead:
    """What sweeps have noted of a reading that a remediation :meth:`~Remediation.keeps`."""
    return ResourceRead(KEPT, f"{query.kind}|{query.key}")


def kept(readings: Readings, query: ResourceRead) -> tuple[Kept, ...]:
    """The answer to :func:`history` of a query, the oldest first; empty where nothing was noted."""
    found = readings.resource(history(query))
    return tuple(found[KEPT]) if isinstance(found, Mapping) else ()


# -- the two seams to AWS --------------------------------------------------------------------------------------------


class Reader(Protocol):
    """
    Reads the account.

    Refuses (:class:`~nightshift.errors.Undeclared`) what the remediation's ``reads`` does not name.
    """

    quarantine: str
    """the name of the bucket in which things are stored before they are deleted elsewhere"""

    def __call__(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        """
        Make one read, e.g. ``read("sqs", "GetQueueAttributes", QueueUrl=url, AttributeNames=["All"])``.

        Raises Denied, Missing, Rejected or Unreadable.
        """

    def pages(self, service: str, operation: str, key: str, /, *, limit: int, **params: Any) -> Iterator[Any]:
        """Every item under ``key`` over all pages; Unreadable after more than ``limit``: half an answer is none."""

    def seen(self, *queries: Query) -> Readings:
        """Answer queries as the sweep would, now."""

    def target(self, arn: str) -> Target | None:
        """The registered target of that ARN, if there is one."""

    def targets(self) -> tuple[Target, ...]:
        """Every registered target."""

    def counters(self, target: Target, keys: Sequence[str]) -> Mapping[str, int]:
        """What an :class:`Actor`'s memory holds for that target under these keys: 0 where nothing was counted."""

    def now(self) -> datetime:
        """The time, by the clock that everything here uses."""


class Memory(Protocol):
    """What must survive a crash in the middle of a step: kept in the incident table, written through at once."""

    def get(self, key: str) -> int:
        """The counter's value; 0 where it was never set."""

    def add(self, key: str, amount: int = 1, *, limit: int | None = None) -> bool:
        """Add to the counter, atomically; False, with nothing added, where that would pass ``limit``."""

    def recall(self, keys: Iterable[str]) -> None:
        """Read many counters at once, because :meth:`get` will ask for them. Speed only."""


class Actor(Protocol):
    """
    Makes the calls of one step, and no others, under the plan's own permission.

    Right before every call it reads the kill switch again, consistently and uncached, and checks that the record is
    still ours. It never retries. Every call is recorded, with its outcome.
    """

    incident: Incident
    memory: Memory
    ledger: Ledger
    scratch: dict[str, Any]

    def __call__(self, call: Call, /, **free: Any) -> dict[str, Any]:
        """
        Make ``call`` once, with values for its free parameters.

        Raises Undeclared (not in this step, more often than ``times``), Stopped, Fenced, Denied, Rejected or Ambiguous.
        """

    def now(self) -> datetime:
        """The time, by the clock that everything here uses."""

    def seconds_left(self) -> float:
        """How long this step may still go on in this tick. Stop starting new work below 10."""


class Progress(StrEnum):
    """What to do next while a step settles."""

    WAIT = "wait"
    """not settled: look again later"""
    NEXT = "next"
    """settled well: the next step, or verification after the last one"""
    AGAIN = "again"
    """the same step has more to do (it is bounded per tick)"""
    STOP = "stop"
    """it does harm or no good: make the step's undo calls, count the attempt as ineffective"""


# -- the contract ----------------------------------------------------------------------------------------------------


class Remediation(BaseModel, ABC):
    """
    One failure and its cure.

    Subclasses state, as class variables, who they are and every AWS action they may ever use: a call that is not
    declared cannot be made, and a declared one that is never used fails the build.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    """kebab-case; the key in the configuration and in the write role's name"""
    title: ClassVar[str]
    """what is wrong, in a few words: the report's headline"""
    kinds: ClassVar[tuple[str, ...]]
    """the :attr:`Arn.kind` values it takes care of"""
    needs: ClassVar[tuple[str, ...]] = ()
    """the fields of a :class:`Target` that must be named, or there is nothing to look at"""
    reads: ClassVar[tuple[str, ...]]
    """IAM actions the diagnosis needs beyond what the sweep reads"""
    writes: ClassVar[tuple[str, ...]]
    """IAM actions of the plan's own calls"""
    delegates: ClassVar[tuple[str, ...]] = ()
    """IAM actions that AWS performs in our name while serving those calls"""
    sets: ClassVar[tuple[str, ...]] = ()
    """the attributes of a queue that it may set: IAM lets whoever may set one set all, the queue's policy among them"""
    cures_deployments: ClassVar[bool] = False
    """whether a deployment of the target itself can be the failure, and so does not hold us back"""
    mends_itself: ClassVar[bool] = True
    """whether a first signal that nears its threshold, look by look, means that the target recovers"""
    auto_tag: ClassVar[str] = ""
    """the tag (with the value "enabled") without which a person is asked, whatever the modes allow; none: no tag"""
    asked_for: ClassVar[bool] = False
    """whether people ask for it: then no sweep looks for it, and what it has stopped is left alone until it is over"""
    freeze_safe: ClassVar[bool] = False
    """whether it may act in a change freeze: a cure that leaves neither code nor settings changed"""
    turn: ClassVar[timedelta] = timedelta(minutes=1)
    """how often the sweep looks: what changes in days is not read every minute; an open incident looks as all do"""
    retold: ClassVar[timedelta] = timedelta(hours=24)
    """after how long a target that stays sick is told of afresh"""
    steady: ClassVar[bool] = False
    """whether a symptom reads the same for as long as it is the same: then one that reads otherwise is told at once"""

    mode: Mode = Field(default=Mode.OBSERVE, description="how far it may go: observe < approve < auto")
    max_attempts: PositiveInt = Field(default=3, le=3, description="applications per incident before it escalates")
    cooldown: timedelta = Field(default=timedelta(minutes=15), description="between two applications to one target")
    confirm: PositiveInt = Field(default=2, description="sick looks in a row before anything is planned")
    looks: PositiveInt = Field(default=3, description="healthy looks in a row that prove a cure or a recovery")
    patience: timedelta = Field(default=timedelta(minutes=20), description="how long a cure may take to show")
    deadline: timedelta = Field(default=timedelta(hours=6), description="how long an incident may stay open")
    only_in: tuple[str, ...] = Field(
        default=(),
        description="names of [[calendar.windows]] in which alone it begins anything; any time when not said",
    )

    def takes(self, target: Target) -> bool:
        """
        Whether this remediation cares for that target.

        An explicit list on the target decides; else its kind does. What it needs must be named either way.
        """
        listed = self.name in target.remediations if target.remediations else target.arn.kind in self.kinds
        return listed and all(getattr(target, name) is not None for name in self.needs)

    @abstractmethod
    def watch(self, target: Target) -> Queries:
        """What the sweep should read, as data: thousands are read in one batch, so only what batches well."""

    def examine(self, target: Target) -> Queries:
        """What a look at this one target should read: may be dearer per target than :meth:`watch`."""
        return self.watch(target)

    def keeps(self, target: Target) -> tuple[ResourceRead, ...]:
        """Which of what it watches every sweep is to note down, because AWS keeps no history of it: small ones."""
        del target
        return ()

    @abstractmethod
    def detect(self, target: Target, seen: Readings) -> Observation:
        """
        Healthy, sick or unknown: pure, and total over anything that may be in the readings.

        Must serve both the sweep's readings (:meth:`watch`) and a closer look's (:meth:`examine`).
        """

    @abstractmethod
    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        """
        Find the cause. May read. Raises Refused, with its reason, where this is not ours to fix now or at all.

        A cause that only people can cure is told by a diagnosis with ``advice``: nothing is planned for it.
        """

    def detail(self, read: Reader, target: Target, diagnosis: Diagnosis, notes: dict[str, Json]) -> Diagnosis:
        """
        A diagnosis with advice, with what is too dear to be read at every look: asked right before people are told.

        What takes its time is begun, noted down in ``notes``, and Refused with a delay: the next look finds the notes
        on the record again, and so nothing is begun twice. What cannot be read is left out, and the report says so.
        """
        del read, target, notes
        return diagnosis

    @abstractmethod
    def plan(self, diagnosis: Diagnosis) -> Plan:
        """
        Pure: it can only think. The same diagnosis gives an equal plan.

        An undo is what this plans, when it is due, from the diagnosis on the record: a record's own calls are not
        believed, and where they are others the incident ends as broken.
        """

    def apply(self, act: Actor, plan: Plan, step: Step) -> None:
        """Make the step's calls: by default each one once, in order, as written."""
        del plan
        for call in step.calls:
            act(call)

    def effect(self, call: Call, answer: Mapping[str, Any]) -> Mapping[str, Json]:
        """What a call's answer says is there now, for the report: facts by the names of the call's ``before``."""
        del call, answer
        return {}

    @abstractmethod
    def reconcile(self, read: Reader, call: Call, since: datetime) -> Outcome:
        """Whether ``call``, intended at ``since``, its outcome lost, happened: describe reality, replay nothing."""

    def progress(
        self, read: Reader, plan: Plan, step: Step, scratch: Mapping[str, Any]
    ) -> tuple[Progress, str, Ledger | None]:
        """
        How a step that was made is doing, why, and the ledger if it is known better now.

        Called at every look from when the step's ``settle`` has passed. Default: settled.
        """
        del read, plan, step, scratch
        return Progress.NEXT, "settled", None

    def recovered(self, target: Target, before: Finding, after: Readings) -> Observation:
        """
        What an incident's look sees where nothing of ours is under way: by default, what :meth:`detect` does.

        For where a target that is not sick now may yet be: then it is unknown, and nobody is told that it recovered.
        """
        del before
        return self.detect(target, after)

    def lost(self, read: Reader, target: Target, incident: Incident) -> str:
        """
        What of that which an incident is about was lost, and not cured; empty where nothing was.

        Asked before it ends as recovered or as fixed: what is sick can end by itself and be a loss all the same, and so
        can a part of it, while the rest was cured. The incident's ledger says by then what was moved.
        """
        del read, target, incident
        return ""

    def verify(self, target: Target, before: Finding, after: Readings) -> Observation:
        """Whether the cure shows: by default, whether :meth:`detect` finds the target healthy."""
        del before
        return self.detect(target, after)

    def still_ours(self, read: Reader, plan: Plan) -> bool | None:
        """
        Whether what the plan changed still has the value that the plan gave it: revert is a compare-and-set.

        False: somebody else has changed it since; it is left alone, and said. None: cannot be told; ask again later.
        Raises Refused where it is ours and cannot go back yet, because AWS does not take it back now: it stays out, and
        people are told; the reason says until when.
        Must be answered by every remediation whose plans have a ``lease``.
        """
        del read
        if plan.lease is not None:
            msg = f"{self.name} lends capacity and must say whether it is still ours"
            raise NotImplementedError(msg)
        return True

    def still_needed(self, read: Reader, plan: Plan) -> str:
        """
        Why what was lent must not go back yet, because the target runs on it; empty where it may, which is the default.

        Asked whenever it would be given back. It stays then: at the end of its lease for an hour more, and after that,
        or where the attempt has ended otherwise, people are told to decide.
        """
        del read, plan
        return ""

    def settle_ledger(self, read: Reader, target: Target, incident: Incident) -> Ledger:
        """
        Where the messages are now, for the final report. Default: as last known.

        A step that died half-way has left no notes: what it moved stands in the durable counters alone.
        """
        del read, target
        return incident.ledger


class ReportOnly(Remediation):
    """
    A failure that is only ever told, because its cure is not a machine's to choose.

    It may look as any other; what it finds goes to people with its cause, evidence and advice, whatever the mode.
    """

    writes: ClassVar[tuple[str, ...]] = ()

    def plan(self, diagnosis: Diagnosis) -> Plan:
        """Nothing is ever planned. Raises Refused: its diagnosis came without advice, which is a bug in it."""
        raise Refused("diagnosis", f"only people can cure this, and nothing says how: {diagnosis.cause}")

    def reconcile(self, read: Reader, call: Call, since: datetime) -> Outcome:
        """Nothing was ever called, so nothing is known of a call that a record claims."""
        del read, call, since
        return Outcome.UNKNOWN
