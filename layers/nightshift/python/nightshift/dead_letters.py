"""
What is the same for every dead-letter queue: how it is seen, what its letters mean, and how they are worked through.

Where letters belong differs: to the queue they came from, or to the function that failed at them. Each of these is a
remediation of its own, with a write role of its own; what they must do alike stands here once.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field, TypeAdapter

from nightshift import states
from nightshift.carrying import Carrier
from nightshift.errors import Refused
from nightshift.letters import BUILT_IN_RULES, Letter, Meaning, Rule, meaning
from nightshift.model import (
    Arn,
    Finding,
    Healthy,
    Incident,
    Json,
    Observation,
    Queries,
    ResourceRead,
    Severity,
    Sick,
    Signal,
    Step,
    Target,
    Unknown,
)
from nightshift.remediation import Actor, Progress, Reader, Readings, Remediation, Series, Unread
from nightshift.signals import queue_metric, queue_url
from nightshift.states import minutes

__all__ = [
    "AGE",
    "LATE",
    "LOST",
    "SETTLE",
    "VISIBLE",
    "DeadLetters",
    "Percent",
    "check_queue",
    "first_loss",
    "key_arn",
    "own_rules",
    "quarantine_went",
    "sources",
    "told",
    "when",
]

VISIBLE: Final = "ApproximateNumberOfMessagesVisible"
AGE: Final = "ApproximateAgeOfOldestMessage"
LATE: Final = timedelta(minutes=2)
"""CloudWatch shows a minute one to two minutes after it ended"""
SETTLE: Final = timedelta(minutes=1)
"""for queue attributes to be right about what we did"""
LOST: Final = "the notes of this step were lost: again, which sends nothing twice"

_POINTS = 3  # of which two must show letters: one could be somebody's test (R2)
_SICK_POINTS = 2
_BEFORE = timedelta(minutes=10)  # what opens an incident was measured by then
_LONGEST = 24 * 60  # minutes of metrics that tell what became of letters: longer than an incident is open
_SOON = timedelta(hours=48)  # a letter that is lost this soon is a page (R2)
_NOW = timedelta(hours=4)  # and one that nobody may sleep through
_AGAIN = timedelta(minutes=2)
_RULES: Final = TypeAdapter(tuple[Rule, ...])

Percent = Annotated[int, Field(ge=1, le=50)]


@dataclass(frozen=True, slots=True)
class _Work:
    """What a step works with: who carries, where letters go, and by which rules they are read."""

    carrier: Carrier
    home: str
    rules: tuple[Rule, ...]


class DeadLetters(Remediation):
    """Letters in a dead-letter queue that can be given another chance."""

    mends_itself: ClassVar[bool] = False  # letters that grow fewer may be letters that expire
    kinds: ClassVar[tuple[str, ...]] = ("sqs:queue",)
    freeze_safe: ClassVar[bool] = True  # letters go where they came from: no code and no setting is changed

    threshold: int = Field(default=1, ge=1, le=1_000_000, description="dead letters that make a backlog")
    healthy_for: timedelta = Field(
        default=timedelta(minutes=10),
        ge=timedelta(minutes=5),
        le=timedelta(hours=1),
        description="how long the consumer must have worked, and no letter have died, before any is sent home",
    )
    canary: int = Field(default=3, ge=1, le=10, description="letters that are sent home first")
    canary_patience: timedelta = Field(
        default=timedelta(minutes=20),
        ge=timedelta(minutes=5),
        le=timedelta(hours=2),
        description="the longest wait for the first letters, where all that is tried with them may take longer",
    )
    bounce_percent: Percent = Field(default=10, description="share of letters that may come back before all is stopped")
    sample: int = Field(default=30, ge=10, le=30, description="letters that are looked at before anything is planned")
    batch: int = Field(default=100, ge=10, le=300, description="letters that are moved one by one in one tick")
    one_by_one: int = Field(
        default=1000, ge=10, le=100_000, description="letters that are moved one by one in one incident"
    )
    quarantine_limit: int = Field(
        default=20,
        ge=1,
        le=1000,
        description="letters that are stored apart in one incident; more are a wrong rule or a broken producer",
    )
    redrives_ever: int = Field(
        default=2, ge=1, le=5, description="incidents in which the same content may be sent home"
    )
    error_percent: Percent = Field(default=1, description="share of a Lambda consumer's invocations that may fail")
    rules: tuple[Rule, ...] = Field(
        default=BUILT_IN_RULES,
        max_length=50,
        description="what letters mean, after what the queue's own `letters` say; the first rule that holds decides",
    )
    otherwise: Meaning = Field(default=Meaning.TRANSIENT, description="what a letter means that no rule knows")

    # -- seeing ----------------------------------------------------------------------------------------------------

    def watch(self, target: Target) -> Queries:
        return (ResourceRead("sqs.exists", str(target.arn)), queue_metric(target.arn, VISIBLE, "Maximum"))

    def examine(self, target: Target) -> Queries:
        return (ResourceRead("sqs.queue", str(target.arn)), queue_metric(target.arn, AGE, "Maximum"))

    def detect(self, target: Target, seen: Readings) -> Observation:
        """
        By the queue's own attributes where they were read, else by its metric.

        A listed queue without points is asleep: SQS reports a queue that holds messages or was used in the last six
        hours, and resumes within 15 minutes. Asking ten thousand idle queues for their attributes instead would cost
        ten thousand calls a minute, to learn of a first letter a quarter of an hour sooner.
        """
        if ResourceRead("sqs.queue", str(target.arn)) in seen.answers:
            return self._by_attributes(target, seen)
        exists = seen.resource(ResourceRead("sqs.exists", str(target.arn)))
        if isinstance(exists, Unread):
            return Unknown(exists.reason)
        if exists is None:
            return Unknown(f"{target.arn} does not exist")
        series = seen.metric(queue_metric(target.arn, VISIBLE, "Maximum"))
        if isinstance(series, Unread):
            return Unknown(series.reason)
        points = series.last(_POINTS)
        if not points:
            return Healthy("no dead letters: the queue is asleep and reports nothing")
        over = sum(value >= self.threshold for value in points)
        if over < _SICK_POINTS:
            return Healthy(f"no dead letters in {len(points) - over} of the last {len(points)} minutes")
        return Sick(self._finding(target, points[-1], f"{over} of the last {len(points)} minutes"))

    def _by_attributes(self, target: Target, seen: Readings) -> Observation:
        attributes = seen.resource(ResourceRead("sqs.queue", str(target.arn)))
        if isinstance(attributes, Unread):
            return Unknown(attributes.reason)
        if attributes is None:
            return Unknown(f"{target.arn} does not exist")
        visible, total = states.number(attributes, "ApproximateNumberOfMessages"), states.messages(attributes)
        if visible is None or total is None:
            return Unknown(f"SQS did not say how many messages {target.arn.name} holds")
        if visible >= self.threshold:
            lost = _lost_by(attributes, seen.metric(queue_metric(target.arn, AGE, "Maximum")))
            return Sick(self._finding(target, float(visible), "now", lost=lost, at=seen.at))
        if total >= self.threshold:
            return Unknown(f"{total - visible} dead letters are in somebody's hands and may come back")
        return Healthy(f"{total} dead letters")

    def _finding(
        self, target: Target, count: float, window: str, *, lost: datetime | None = None, at: datetime | None = None
    ) -> Finding:
        return Finding(
            remediation=self.name,
            target=str(target.arn),
            symptom=f"{int(count)} dead letter{'s' if count != 1 else ''} in {target.arn.name}",
            signals=(Signal(VISIBLE, count, self.threshold, window, "messages"),),
            evidence=() if lost is None else (f"the first message is lost at {when(lost)} at the latest",),
            severity=Severity.SEV3 if lost is None or at is None else _urgency(lost - at),
        )

    # -- what a diagnosis asks ---------------------------------------------------------------------------------------

    def check_calm(self, read: Reader, dlq: Arn, attributes: Mapping[str, Any]) -> None:
        """Refuse while there are more and more letters: what is sent home now would die too."""
        window = minutes(self.healthy_for)
        query = queue_metric(dlq, VISIBLE, "Maximum", window + 5)
        start = read.now() - self.healthy_for
        series = states.series(read, query)
        before = [value for at, value in series.points if at <= start]
        after = [value for at, value in series.points if at > start]
        newest = max((*after, float(states.messages(attributes) or 0)))
        if not before:
            raise Refused(
                "calm",
                f"the dead-letter queue was seen for less than {window} minutes: whether it still grows is not known",
                numbers={"points": len(series.points)},
                retry_after=_AGAIN,
            )
        if newest > before[-1]:
            raise Refused(
                "calm",
                f"letters still die: {before[-1]:.0f} {window} minutes ago, {newest:.0f} since",
                numbers={"before": before[-1], "since": newest},
                retry_after=_AGAIN,
            )

    def check_letters(self, letters: Sequence[Letter], total: int, target: Target) -> Counter[Meaning]:
        """What the sample means; refuse where nothing of it is ours to move."""
        meant = [self._meaning(letter, target.letters) for letter in letters]
        means, reasons = Counter(what for what, _ in meant), Counter(reason for _, reason in meant)
        if not letters:
            raise Refused(
                "letters",
                f"none of about {total} letters could be seen just now",
                retry_after=timedelta(minutes=1),
            )
        bad = sum(count for what, count in means.items() if what.stored)
        told = ", ".join(f"{count} x {reason}" for reason, count in sorted(reasons.items()))
        if bad > self.quarantine_limit:
            raise Refused(
                "letters",
                f"{bad} of {len(letters)} letters look as if nobody could ever process them ({told}): so many are a "
                "wrong rule or a broken producer, and a person must look",
                numbers={"bad": bad, "limit": self.quarantine_limit},
            )
        if not bad and not means[Meaning.TRANSIENT]:
            raise Refused(
                "letters",
                f"what is left needs a person: {told}",
                numbers={str(what): count for what, count in sorted(means.items())},
            )
        return means

    def _meaning(self, letter: Letter, own: Iterable[Rule]) -> tuple[Meaning, str]:
        """What a letter means: by what its queue's rules say first, then by those for all."""
        return meaning(letter, (*own, *self.rules), self.otherwise)

    # -- what became of them -----------------------------------------------------------------------------------------

    def lost(self, read: Reader, target: Target, incident: Incident) -> str:
        """
        How many letters are gone because SQS has deleted them, in words: none that anybody has moved or deleted.

        SQS has no metric of what expires. So it is told by what is missing at the time at which it would: of a standard
        queue SQS counts from when a letter was first sent, its metric from when it died. A queue that somebody has
        purged long before is nobody's loss but theirs. What we have moved ourselves the ledger knows before CloudWatch.
        """
        dlq, since = target.arn, incident.opened_at - _BEFORE
        window = min(minutes(read.now() - since), _LONGEST)
        held, deleted, ages = (
            states.series(read, queue_metric(dlq, metric, stat, window))
            for metric, stat in ((VISIBLE, "Maximum"), ("NumberOfMessagesDeleted", "Sum"), (AGE, "Maximum"))
        )
        attributes = states.queue(read, dlq)
        retention, left = states.number(attributes, "MessageRetentionPeriod"), states.messages(attributes) or 0
        most = max((value for _, value in held.points), default=0.0)
        ours = incident.ledger.moved + incident.ledger.uncertain
        gone = int(most) - left - max(int(deleted.total) + self.moved_since(read, dlq, since), ours)
        if gone <= 0 or retention is None:
            return ""
        stood = max(at for at, value in held.points if value > 0)
        due = min((lost for point in ages.points if (lost := _lost_at(point, retention)) is not None), default=None)
        if due is None or due - self.dies_within(read, target) > stood + LATE:
            return ""
        hours = timedelta(seconds=retention) / timedelta(hours=1)
        return (
            f"{gone} letter{'s are' if gone != 1 else ' is'} gone that nobody has moved or deleted, as far as SQS says:"
            f" it keeps them for {hours:g} hours, and then they are lost. What they asked for was not done"
        )

    def moved_since(self, read: Reader, dlq: Arn, since: datetime) -> int:
        """How many letters were moved as a whole, by whomever."""
        del read, dlq, since
        return 0

    def dies_within(self, read: Reader, target: Target) -> timedelta:
        """How long after it was first sent a letter may have died."""
        del read, target
        return timedelta(0)

    # -- working through letters -------------------------------------------------------------------------------------

    @abstractmethod
    def not_for(self, letter: Letter, home: str) -> str:
        """Why a letter does not belong to ``home``; empty where it does."""

    def carry(
        self,
        act: Actor,
        step: Step,
        carrier: Carrier,
        home: str,
        *,
        at_once: Callable[[Callable[[Letter], bool], dict[str, Json]], bool] | None = None,
    ) -> None:
        """
        Make a step: "quarantine", "canary", or the rest, one by one in batches.

        ``at_once`` may make the rest in another way: it is given who says whether a letter may go home, and the notes.
        """
        work = _Work(carrier, home, _rules_of(act.incident))
        act.scratch["since"] = carrier.since.isoformat()
        _open_attempt(act, carrier)
        notes: dict[str, Json] = {"at": act.now().isoformat(), "mode": "letters"}
        if step.name == "quarantine":
            stay = self._work(work, carrier.take(self.sample), lambda: False)
        elif step.name == "canary":
            stay = self._first(act, work, notes)
        elif at_once is not None and at_once(lambda letter: self._goes_home(work, letter), notes):
            stay = []
        else:  # what stays is held until the end, so that it is not received again and again
            stay = self._work(work, carrier.take(self.batch), lambda: carrier.sent_in_all < self.one_by_one)
        carrier.give_back(stay)
        notes = {
            "sent": carrier.sent,
            "stored": carrier.stored,
            "more": not carrier.dry,
            "left": dict(carrier.left),
        } | notes
        if carrier.sent:
            act.scratch["last_sent"] = act.now().isoformat()
        act.scratch["account"] = carrier.account()
        act.scratch[step.name] = notes

    def _first(self, act: Actor, work: _Work, notes: dict[str, Json]) -> list[Letter]:
        """The canary: so many letters an attempt, also where a crash made it begin again."""
        key = f"{act.incident.id} canary {len(act.incident.attempts)}"
        if act.memory.get(key):
            notes["at"] = act.scratch["attempt"]["at"]
        stay = self._work(work, work.carrier.take(self.sample), lambda: act.memory.add(key, limit=self.canary))
        notes["sent"] = act.memory.get(key)
        return stay

    def _goes_home(self, work: _Work, letter: Letter) -> bool:
        return self._meaning(letter, work.rules)[0] is Meaning.TRANSIENT and not work.carrier.may_send(letter)

    def _work(self, work: _Work, letters: Iterable[Letter], may_send: Callable[[], bool]) -> list[Letter]:
        """Store what must be stored, send home what may be; give what stays."""
        return [letter for letter in letters if work.carrier.tired or not self._move(work, letter, may_send)]

    def _move(self, work: _Work, letter: Letter, may_send: Callable[[], bool]) -> bool:
        """Move one letter where it belongs: whether it was moved."""
        carrier = work.carrier
        if not_ours := self.not_for(letter, work.home):
            carrier.leave(not_ours)
            return False
        means, reason = self._meaning(letter, work.rules)
        if carrier.came_back(letter):
            means, reason = Meaning.POISON, "it came back after it was sent home to a consumer that works"
        if means.stored:
            if carrier.stored_in_all >= self.quarantine_limit:
                carrier.leave(f"more than {self.quarantine_limit} letters to store")
                return False
            return carrier.store(letter, means, reason)
        why_not = f"{means}: {reason}" if means is not Meaning.TRANSIENT else carrier.may_send(letter)
        if why_not:
            carrier.leave(why_not)
            return False
        return may_send() and carrier.send(letter)

    def too_many(self, back: int, sent: int) -> bool:
        """One is no share; from two on the percentage counts."""
        return back > 1 and back * 100 > sent * self.bounce_percent


# -- what a queue says -----------------------------------------------------------------------------------------------


def check_queue(arn: Arn, attributes: Mapping[str, Any], *, unseen: bool = False) -> None:
    """Refuse a queue into which nobody may even look; one whose letters have an order, unless they stay ``unseen``."""
    if arn.name.endswith(".fifo") and not unseen:
        raise Refused(
            "fifo",
            "letters of a FIFO queue have an order that a move would not keep, and looking at one holds up its group: "
            "a person decides what comes first",
        )
    if attributes.get("RedrivePolicy"):
        raise Refused(
            "dead-letter-queue",
            f"{arn.name} has a dead-letter queue of its own: looking at its letters would count as failing at them",
        )


def sources(read: Reader, dlq: Arn) -> tuple[Arn, ...]:
    """The queues that name this one as their dead-letter queue: of the same account and Region, as SQS requires."""
    urls = read.pages("sqs", "ListDeadLetterSourceQueues", "queueUrls", limit=1000, QueueUrl=queue_url(dlq))
    return tuple(replace(dlq, resource=name) for name in sorted(str(url).rsplit("/", 1)[-1] for url in urls))


def key_arn(read: Reader, attributes: Mapping[str, Any]) -> str:
    """The ARN of the customer's own key, if the queue has one: IAM knows keys by nothing else."""
    key = str(attributes.get("KmsMasterKeyId", ""))
    if not key or key.endswith("alias/aws/sqs"):
        return ""
    return str(read("kms", "DescribeKey", KeyId=key)["KeyMetadata"]["Arn"])


def first_loss(letters: Sequence[Letter], attributes: Mapping[str, Any], now: datetime) -> tuple[str, ...]:
    """
    When the first letter expires: of a standard queue SQS counts from when it was first sent, not from when it died.

    Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/setting-up-dead-letter-queue-retention.html
    """
    retention = states.number(attributes, "MessageRetentionPeriod")
    sent = [letter.sent_at for letter in letters if letter.sent_at is not None]
    if retention is None or not sent:
        return ()
    lost = min(sent) + timedelta(seconds=retention)
    hours = max(0, (lost - now) // timedelta(hours=1))
    return (f"the first message of those looked at is lost at {when(lost)}, in {hours} hours",)


def _lost_by(attributes: Mapping[str, Any], age: Series | Unread) -> datetime | None:
    """
    When the first letter is lost at the latest; None where that cannot be told.

    The metric counts from when a letter died, expiry from when it was sent: so this says it late, never early.
    """
    retention = states.number(attributes, "MessageRetentionPeriod")
    if retention is None or isinstance(age, Unread) or not age.points:
        return None
    return _lost_at(age.points[-1], retention)


def _lost_at(age: tuple[datetime, float], retention: int) -> datetime | None:
    """When what was so old is lost; None for a figure that no calendar has."""
    at, old = age
    try:
        return at + timedelta(seconds=retention - old)
    except (OverflowError, ValueError):
        return None


def _urgency(left: timedelta) -> Severity:
    """How fast a person should look, by the time that the first letter has left."""
    return Severity.SEV1 if left < _NOW else Severity.SEV2 if left < _SOON else Severity.SEV3


# -- notes between steps ---------------------------------------------------------------------------------------------


def quarantine_went(notes: Mapping[str, Any] | None) -> tuple[Progress, str]:
    """How the step that stores letters is doing."""
    if notes is None:
        return Progress.AGAIN, LOST
    if notes["stored"] and notes["more"]:
        return Progress.AGAIN, f"{notes['stored']} letters stored; there may be more"
    return Progress.NEXT, f"{notes['stored']} letters stored"


def _open_attempt(act: Actor, carrier: Carrier) -> None:
    """Note, once an attempt, when it began and how much had been sent by then: what comes back is measured by that."""
    number = len(act.incident.attempts)
    if act.scratch.get("attempt", {}).get("number") != number:
        began = act.incident.attempts[-1].started_at if number else act.now()
        act.scratch["attempt"] = {"number": number, "at": began.isoformat(), "sent_before": carrier.sent_in_all}
        for name in ("quarantine", "canary", "redrive"):
            act.scratch.pop(name, None)


def own_rules(target: Target) -> dict[str, Json]:
    """A queue's own rules as facts of a diagnosis: they bind what is done with its letters, to the end."""
    return {"rules": [rule.model_dump(mode="json") for rule in target.letters]} if target.letters else {}


def _rules_of(incident: Incident) -> tuple[Rule, ...]:
    """The queue's own rules, as the diagnosis found them: the plan that was approved was made by them."""
    facts = incident.diagnosis.facts if incident.diagnosis is not None else {}
    return _RULES.validate_python(facts.get("rules", ()))


# -- words -----------------------------------------------------------------------------------------------------------


def told(left: Mapping[str, int]) -> str:
    """What was left, and why."""
    return ", ".join(f"{count} x {why}" for why, count in sorted(left.items()))


def when(moment: datetime) -> str:
    """A moment for people."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"
