"""
Raw objects never became curated ones: have those processed again that are missing, a few first.

Symptom   raw objects are older than twice their function's timeout, and no curated object was made of them
Cause     nobody was ever told of them, or what was told was lost while the function failed
Cure      tell the function's queue of them once more, or where it has none the function itself: three first, then as
          many at once as half of the function can do
Proof     each that was told of again has a curated object, which it had not before
Undo      none: what is made is what should have been made
Source    runbook 1 "ETL Processing Backlog", "Reprocess failed files"; R13

What it will not do: process again whatever came in today, as the runbook's loop does; tell of an object that has its
curated one, whose message may still be on its way or may have been set apart, or that it has told of before; or tell of
any while the function fails, is turned away or is stopped, messages wait or have died, S3 does not tell the queue (or
the function) any more, or nobody has said that an object which is processed twice is the same as one that is processed
once.

A function without a queue is given an event of one object each, as S3 would have, and nobody waits for what it answers
(InvocationType Event). Lambda keeps such events where nobody can count them, tries each three times, and may deliver
one twice: so its figures say whether any are tried again, and each wave is the last while a call is turned away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar

from pydantic import Field

from nightshift import retelling, states
from nightshift.consumers import READS as CONSUMER_READS
from nightshift.consumers import check_function, check_works, short, unfit
from nightshift.errors import Missing, Refused, Unreadable
from nightshift.model import (
    Alternative,
    Arn,
    Call,
    Diagnosis,
    Finding,
    Healthy,
    Json,
    Ledger,
    Observation,
    Outcome,
    Pipeline,
    Plan,
    Queries,
    ResourceRead,
    Severity,
    Sick,
    Signal,
    Step,
    Target,
    Unknown,
)
from nightshift.pipelines import PAGES, RawObject, Route, Side, unprocessed
from nightshift.remediation import Actor, Progress, Reader, Readings, Remediation, Unread
from nightshift.retelling import Standing, marker
from nightshift.signals import function_metric, queue_metric, queue_url
from nightshift.states import minutes, series, sums
from nightshift.wiring import Share, tells

__all__ = ["PipelineBacklog"]

_LEAST = timedelta(minutes=5)  # S3 may take more than a minute to tell, however quick the function is (R1)
_SEVERE = timedelta(hours=4)  # "data processing delays > 4 hours" (runbook 1, severity 2)
_TOLD = 10  # objects that a finding names
_TIRED = 10.0  # seconds that must be left to begin another one
_LATER = timedelta(minutes=2)
_SHOWN = 5  # minutes after which CloudWatch certainly shows what was so
_LONGEST = 180  # minutes for which a letter that was sent home is waited for
_TRIES = 3  # of an event that nobody waits for: Lambda's default, and its most
_BETWEEN = timedelta(minutes=3)  # one minute after the first try, two after the second
_BACK_OFF = timedelta(minutes=5)  # the longest that an event waits which was turned away
_AGED = 60_000  # milliseconds before its call from which on an event has waited, or is tried again
_YOUNG = "the message may still be on its way"
_APART = "the message may be a letter that was set apart since"
_LEAVING = "too old to be seen processed"
_SENT = "told of before, which is done once"


@dataclass(frozen=True, slots=True)
class _Terms:
    """Which of those that are missing may be told of, as far as the time says at which they were written."""

    age: timedelta
    until: timedelta
    after: datetime | None

    @classmethod
    def of(cls, call: Call) -> _Terms:
        """As a plan has them."""
        age, until, after = (call.before[name] for name in ("age", "until", "after"))
        return cls(timedelta(seconds=age), timedelta(seconds=until), datetime.fromisoformat(after) if after else None)

    @property
    def json(self) -> dict[str, Json]:
        """As a plan has them."""
        second = timedelta(seconds=1)
        return {
            "age": self.age // second,
            "until": self.until // second,
            "after": self.after.isoformat() if self.after else "",
        }

    def against(self, found: RawObject, now: datetime) -> str:
        """Why it may not be told of; empty where it may."""
        if now - found.modified <= self.age:
            return _YOUNG
        if self.after is not None and found.modified <= self.after:
            return _APART
        return _LEAVING if now - found.modified >= self.until else ""


@dataclass(frozen=True, slots=True)
class _Doubt:
    """Why only a person can judge, and what that person should do."""

    why: str
    advice: str


@dataclass(frozen=True, slots=True)
class _Way:
    """
    How the function comes to know of objects, and what that is like now.

    Whatever was said of one is done with, or dead, after the ``longest``. ``doubt`` is why nothing may be said.
    """

    longest: timedelta
    flow: str
    doubt: _Doubt | None = None


class PipelineBacklog(Remediation):
    """Raw objects in an S3 bucket of which no curated ones were made."""

    name: ClassVar[str] = "pipeline-backlog"
    title: ClassVar[str] = "raw data was not processed"
    kinds: ClassVar[tuple[str, ...]] = ("s3:bucket",)
    needs: ClassVar[tuple[str, ...]] = ("pipeline",)
    reads: ClassVar[tuple[str, ...]] = (
        "cloudwatch:GetMetricData",
        "s3:GetBucketNotification",
        "s3:ListBucket",  # of the quarantine: a message that was set apart is in no queue, and was not lost
        *CONSUMER_READS,
    )
    writes: ClassVar[tuple[str, ...]] = (
        "s3:ListBucket",  # which are missing is seen once more, right before any is told of
        "sqs:SendMessage",
        "lambda:InvokeFunction",  # where S3 tells the function itself
    )
    freeze_safe: ClassVar[bool] = True  # what should have been made is made: no code and no setting is changed

    canary: int = Field(default=3, ge=1, le=10, description="objects that are told of first")
    batch: int = Field(
        default=25,
        ge=1,
        le=50,
        description="objects that are told of at once, then waited for; fewer where half of the function's reserved "
        "concurrency is less",
    )
    most: int = Field(default=500, ge=1, le=500, description="objects that one incident tells of")
    error_percent: int = Field(
        default=20,
        ge=1,
        le=50,
        description="share of objects told of that may not be processed in time",
    )
    reprocess: timedelta = Field(
        default=timedelta(minutes=20),
        ge=timedelta(minutes=5),
        le=timedelta(hours=2),
        description="how long an object that was told of again may take to be processed",
    )
    healthy_for: timedelta = Field(
        default=timedelta(minutes=10),
        ge=timedelta(minutes=5),
        le=timedelta(hours=1),
        description="how long the function must not have failed, nor been turned away, before any is told of",
    )
    failing_percent: int = Field(
        default=1, ge=1, le=50, description="share of the function's calls that may fail in that time"
    )
    waiting: int = Field(default=10, ge=0, le=1000, description="messages that may be in the queue besides")

    # -- seeing ----------------------------------------------------------------------------------------------------

    def watch(self, target: Target) -> Queries:
        return () if target.pipeline is None else (_reading(target.arn, target.pipeline),)

    def detect(self, target: Target, seen: Readings) -> Observation:
        """By age alone. S3 dates an object by its last writing: one that was old at two looks was the same at both."""
        pipeline = target.pipeline
        if pipeline is None:
            return Unknown(f"nobody has said what is made of {target.arn.name}")
        found = seen.resource(_reading(target.arn, pipeline))
        if isinstance(found, Unread):
            return Unknown(found.reason)
        if found is None:
            return Unknown(f"{target.arn} or {pipeline.curated} does not exist")
        try:
            late = [each for each in _oldest(found) if seen.at - each.modified > _late(pipeline)]
            count, truncated = int(found["Count"]), bool(found["Truncated"])
        except (KeyError, TypeError, ValueError) as error:
            return Unknown(f"the listing of {target.arn.name} cannot be understood: {type(error).__name__}")
        if late:
            return Sick(self._finding(target, pipeline, late, seen.at))
        if truncated:
            return Unknown(
                f"more came into {target.arn.name} in {_hours(pipeline.window)} than is listed: name a shorter window"
            )
        return Healthy(f"{_many(count)} in {_hours(pipeline.window)}, none of them late", idle=not count)

    def _finding(self, target: Target, pipeline: Pipeline, late: Sequence[RawObject], now: datetime) -> Finding:
        age, limit = now - late[0].modified, _late(pipeline)
        return Finding(
            remediation=self.name,
            target=str(target.arn),
            symptom=f"{_many(len(late))} in {target.arn.name} not processed for more than {minutes(limit)} minutes",
            signals=(Signal("age of the oldest raw object", minutes(age), minutes(limit), "now", "minutes"),),
            evidence=tuple(f"{each.modified.isoformat()} {each.key}" for each in late[:_TOLD]),
            severity=Severity.SEV2 if age > _SEVERE else Severity.SEV3,
            newest=max(each.modified for each in late) + limit,
        )

    def recovered(self, target: Target, before: Finding, after: Readings) -> Observation:
        """Healthy is not who has nothing late any more because what was late is too old to be looked at."""
        seen = self.detect(target, after)
        if not isinstance(seen, Healthy) or target.pipeline is None:
            return seen
        since = after.at - target.pipeline.window
        gone = sum(_written(line, since) < since for line in before.evidence)
        return Unknown(f"{_many(gone)} left the window, and nobody saw them processed") if gone else seen

    def verify(self, target: Target, before: Finding, after: Readings) -> Observation:
        return self.recovered(target, before, after)

    # -- diagnosis -------------------------------------------------------------------------------------------------

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        pipeline = target.pipeline
        if pipeline is None:
            raise Refused("pipeline", "nobody has said what is made of the bucket")
        late = self._missing(read, target.arn, pipeline)
        if not late:
            raise Refused("objects", "every raw object has its curated one", retry_after=timedelta(minutes=1))
        way, dead = self._way(read, pipeline), pipeline.dead_letters
        apart, now = () if dead is None else retelling.set_apart(read, dead), read.now()
        age, until = max(_late(pipeline), way.longest), pipeline.window - self.reprocess
        terms = _Terms(age, until, max(apart or (), default=None))
        known = read.counters(target, tuple(marker(each.key, each.etag) for each in late))
        against = {each: _SENT if known[marker(each.key, each.etag)] else terms.against(each, now) for each in late}
        good = [each for each, why in against.items() if not why]
        why_not = Counter(why for why in against.values() if why)
        if not good and why_not[_YOUNG]:
            count = why_not[_YOUNG]
            raise Refused("in-flight", f"{_many(count)}: {_YOUNG}", numbers={"objects": count}, retry_after=_LATER)
        log = "the function's log"
        stored = log if dead is None else f"s3://{read.quarantine}/{retelling.letters_of(dead)}"
        if apart is None:
            why = f"more than {retelling.LETTERS} letters were set apart: any may be theirs"
            doubt: _Doubt | None = _Doubt(why, f"see in {stored} why they died; then {_BY_HAND}")
        elif not good:
            why = "; ".join(f"{count} {why}" for why, count in sorted(why_not.items()))
            where = log if dead is None else f"{log}, and in {stored},"
            doubt = _Doubt(why, f"see in {where} why they fail; then {_BY_HAND}")
        else:
            doubt = way.doubt or self._doubt(read, target.arn, pipeline, good)
        if doubt is not None:
            return self._told(target, late, doubt)
        hears, empty = _hears(pipeline), "its queue is all but empty" if pipeline.queue else "no event is tried again"
        return Diagnosis(
            target=str(target.arn),
            cause=f"{hears.name} was never told of them, or has lost it; {short(pipeline.function)} works",
            evidence=(way.flow, *(each.key for each in good[:_TOLD])),
            rejected=(
                Alternative("the function fails", f"hardly a call of it has in {minutes(self.healthy_for)} minutes"),
                Alternative("their messages wait or have died", f"{empty}, and nothing is dead"),
                *(
                    Alternative(why, f"of {count} others, which stay as they are")
                    for why, count in sorted(why_not.items())
                ),
            ),
            facts={
                "route": str(Route.of(target.arn, pipeline)),
                "bucket": str(target.arn),
                "curated": str(pipeline.curated),
                "queue" if pipeline.queue else "function": str(hears),
                "pace": self._pace(read, pipeline),
                **terms.json,
            },
        )

    def _missing(self, read: Reader, bucket: Arn, pipeline: Pipeline) -> list[RawObject]:
        """The oldest that are late, now. Raises Unreadable."""
        found, now = _seen(read, _reading(bucket, pipeline)), read.now()
        return [each for each in found if now - each.modified > _late(pipeline)]

    def _way(self, read: Reader, pipeline: Pipeline) -> _Way:
        """Refuse until what the function is told it finishes, and none of it has died; how it is told."""
        if pipeline.queue is None:
            return self._by_itself(read, pipeline)
        return self._by_queue(read, pipeline, pipeline.queue)

    def _by_queue(self, read: Reader, pipeline: Pipeline, arn: Arn) -> _Way:
        """Of a function that takes messages from a queue."""
        queue, function = _standing(read, arn), pipeline.function
        self._check_dead(read, pipeline.dead_letters, queue.longest)
        check_works(read, function, arn, healthy_for=self.healthy_for, error_percent=self.failing_percent)
        calls = self._check_room(read, function)
        if (waiting := queue.waiting + queue.hidden) > self.waiting:
            raise Refused(
                "source-backlog",
                f"{waiting} messages are in {arn.name}, and theirs may be among them",
                numbers={"waiting": waiting, "limit": self.waiting},
                retry_after=_LATER,
                link=str(function),
            )
        doubt = None
        if queue.own_key:
            doubt = _Doubt(f"{arn.name} is encrypted with a key of its own, with which nothing is sent", _BY_HAND)
        return _Way(queue.longest, f"{calls}; {waiting} wait", doubt)

    def _by_itself(self, read: Reader, pipeline: Pipeline) -> _Way:
        """
        Of a function that S3 calls: what waits for it nobody can count, but how long an event had waited is measured.

        Source: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
        """
        function, window = pipeline.function, minutes(self.healthy_for)
        longest = _TRIES * pipeline.timeout + _BETWEEN + _BACK_OFF
        self._check_dead(read, pipeline.dead_letters, longest)
        said = check_function(read, function, healthy_for=self.healthy_for, error_percent=self.failing_percent)
        calls = self._check_room(read, function)
        ages = series(read, function_metric(function, "AsyncEventAge", "Maximum", window)).last(window)
        if max(ages, default=0.0) > _AGED:
            raise Refused(
                "source-backlog",
                f"events had waited for up to {max(ages) / 1000:.0f} seconds for {short(function)} within the last "
                f"{window} minutes: theirs may be among those that wait still",
                numbers={"seconds": max(ages) / 1000, "limit": _AGED / 1000},
                retry_after=_LATER,
                link=str(function),
            )
        dies, doubt = _dies(said), None
        if dies and dies != str(pipeline.dead_letters):
            name = dies.rpartition(":")[2]
            why = f"what the function fails at for good goes to {name}, which the pipeline does not name"
            doubt = _Doubt(why, f"name {name} as its dead_letters, if that is a queue; or {_BY_HAND}")
        return _Way(longest, f"{calls}; no event is tried again", doubt)

    def _check_dead(self, read: Reader, arn: Arn | None, longest: timedelta) -> None:
        """Refuse while what died, or was sent home since and may die once more, may be theirs."""
        if arn is None:
            return
        dead = _standing(read, arn)
        if letters := dead.waiting + dead.hidden:
            raise Refused(
                "dead-letters",
                f"{letters} letters are in {arn.name}, and their messages may be among them",
                numbers={"letters": letters},
                retry_after=_LATER,
                link=str(arn),
            )
        window = min(minutes(longest) + _SHOWN, _LONGEST)
        for which in ("Visible", "NotVisible"):
            query = queue_metric(arn, f"ApproximateNumberOfMessages{which}", "Maximum", window)
            if any(value > 0 for value in series(read, query).last(window)):
                raise Refused(
                    "dead-letters",
                    f"{arn.name} was not empty within the last {window} minutes: what was in it may be at work again",
                    numbers={"minutes": window},
                    retry_after=_LATER,
                    link=str(arn),
                )

    def _check_room(self, read: Reader, function: Arn) -> str:
        """Refuse while calls are turned away; the evidence that none is."""
        window = minutes(self.healthy_for)
        throttled, made = self._turned_away(read, function)
        if throttled:
            raise Refused(
                "consumer",
                f"{throttled:.0f} calls of {short(function)} were turned away in {window} minutes: more would be, too",
                numbers={"throttled": throttled, "calls": made},
                retry_after=_LATER,
                link=str(function),
            )
        return f"{made:.0f} calls of {short(function)} in {window} minutes, none turned away"

    def _turned_away(self, read: Reader, function: Arn) -> Sequence[float]:
        """How many calls were turned away lately, and how many were made."""
        window = minutes(self.healthy_for)
        return sums(read, *(function_metric(function, name, "Sum", window) for name in ("Throttles", "Invocations")))

    def _doubt(self, read: Reader, bucket: Arn, pipeline: Pipeline, good: Sequence[RawObject]) -> _Doubt | None:
        """
        Why nothing must be told of, though nothing else is in the way; None where it may.

        Whom S3 does not tell itself might not understand its words either: EventBridge and SNS have others.
        """
        hears, kind = _hears(pipeline), "Queue" if pipeline.queue else "LambdaFunction"
        where = {"Bucket": bucket.resource, "ExpectedBucketOwner": hears.account}
        told = read("s3", "GetBucketNotificationConfiguration", **where)
        if any(tells(told, kind, hears, start=each.key, end=each.key) is not Share.ALL for each in good):
            return _Doubt(f"the bucket does not tell {hears.name} of such keys (any more)", f"{_MEND}; then {_BY_HAND}")
        if not pipeline.idempotent:
            return _Doubt("nobody has said that an object may be processed twice", f"{_DECLARE}; or {_BY_HAND}")
        return None

    def _told(self, target: Target, late: Sequence[RawObject], doubt: _Doubt) -> Diagnosis:
        return Diagnosis(
            target=str(target.arn),
            cause=f"{_many(len(late))}: {doubt.why}",
            evidence=tuple(f"{each.key}, written {each.modified:%Y-%m-%d %H:%M}" for each in late[:_TOLD]),
            advice=(doubt.advice[:1].upper() + doubt.advice[1:], _UNTIL),
        )

    def _pace(self, read: Reader, pipeline: Pipeline) -> int:
        """Half of what the function may do at once: the other half is for what comes in."""
        name = pipeline.function.resource.split(":")[1]
        reserved = read("lambda", "GetFunctionConcurrency", FunctionName=name).get("ReservedConcurrentExecutions")
        return self.batch if reserved is None else min(self.batch, max(1, int(reserved) // 2))

    # -- the plan --------------------------------------------------------------------------------------------------

    def plan(self, diagnosis: Diagnosis) -> Plan:
        """
        Always the same two steps, and no object by its name: more may come in late while a person is asked.

        Each step tells of what it finds missing then; the plan says which of it may be told of, and how many.
        """
        facts = diagnosis.facts
        send, hears = _send(facts)
        terms = {name: facts[name] for name in ("route", "age", "until", "after")}
        lists = tuple(
            Call(
                "s3",
                "ListObjectsV2",
                facts[side],
                params={
                    "Bucket": Arn.parse(facts[side]).resource,
                    "Prefix": prefix,
                    "ExpectedBucketOwner": hears.account,
                },
                free=("StartAfter", "ContinuationToken"),
                times=PAGES,
                before=terms,
            )
            for side, prefix in _prefixes(Route.parse(facts["route"]))
        )
        canary = Step(
            "canary",
            calls=(*lists, send(times=self.canary)),
            settle=timedelta(minutes=1),
            why=f"tell {hears.name} of {self.canary} objects and see whether they are processed",
        )
        rest = Step(
            "rest",
            calls=(*lists, send(times=facts["pace"])),
            settle=timedelta(minutes=1),
            why=f"tell it of the others, {facts['pace']} at once",
        )
        return Plan(
            remediation=self.name,
            target=facts["bucket"],
            summary=(
                f"have raw objects processed again that have no curated one: {self.canary} first, then "
                f"{facts['pace']} at once, at most {self.most}"
            ),
            steps=(canary, rest),
            risk="an object that is processed twice after all must be the same as one that was once",
            undo_by_hand="none: what was sent cannot be called back; what is made can be made again",
        )

    # -- acting ----------------------------------------------------------------------------------------------------

    def apply(self, act: Actor, plan: Plan, step: Step) -> None:
        """
        Look once more what is missing, and tell of the oldest of it.

        Where an earlier try at this step died, what it told of may be under way: then nothing more is told of first.
        Raises Refused where the first step finds nothing.
        """
        *lists, send = step.calls
        route, terms, now = Route.parse(lists[0].before["route"]), _Terms.of(lists[0]), act.now()
        found = unprocessed(route, partial(_listed, act, lists), now)
        missing = [each for each in _oldest(found) if not terms.against(each, now)]
        names = {each: _names(act.incident.id, each) for each in missing}
        total = _total(act.incident.id)
        act.memory.recall([total, *(name for each in names.values() for name in each)])
        lost = act.memory.get(total) != act.scratch.get("told", {}).get("sent", 0)
        fresh = [] if lost else [each for each in missing if not act.memory.get(names[each][0])]
        if step.name == "canary" and not fresh and not lost:
            raise Refused("same-plan", "every object that was to be told of is processed, or was written anew")
        for each in fresh[: send.times]:
            if act.seconds_left() < _TIRED or act.memory.get(total) >= self.most:
                break
            retelling.send_once(act, send, (*names[each], total), _event(lists[0], send, each))
        act.scratch["told"] = {"incident": act.incident.id, "sent": act.memory.get(total), "at": now.isoformat()}

    def reconcile(self, read: Reader, call: Call, since: datetime) -> Outcome:
        """What was told of is known from the memory around each call."""
        return Outcome.NOT_DONE if call.operation == "ListObjectsV2" else Outcome.UNKNOWN

    # -- how it goes -----------------------------------------------------------------------------------------------

    def progress(
        self, read: Reader, plan: Plan, step: Step, scratch: Mapping[str, Any]
    ) -> tuple[Progress, str, Ledger | None]:
        """By what is missing still of what was told of: none of it had a curated object when it was."""
        notes, target = scratch.get("told"), read.target(plan.target)
        if target is None:
            return Progress.STOP, "the bucket is not registered any more", None
        if notes is None:
            return Progress.AGAIN, _LOST, None
        terms, now, total = _Terms.of(step.calls[0]), read.now(), _total(notes["incident"])
        names = {
            each: _names(notes["incident"], each)
            for each in _seen(read, ResourceRead("s3.pipeline", step.calls[0].before["route"]))
        }
        counts = read.counters(target, (total, *(name for each in names.values() for name in each)))
        sent = counts[total]
        if sent != notes["sent"]:
            return Progress.AGAIN, _LOST, None
        open_ = sum(bool(counts[ours]) for _, ours in names.values())
        fresh = sum(not counts[ever] and not terms.against(each, now) for each, (ever, _) in names.items())
        how = f"{sent - open_} of {sent} objects were processed"
        if open_ and now < datetime.fromisoformat(notes["at"]) + self.reprocess:
            return Progress.WAIT, how, None
        if open_ * 100 > sent * self.error_percent:
            return Progress.STOP, f"{how}, {minutes(self.reprocess)} minutes after the last were told of", None
        if fresh and sent >= self.most:
            return Progress.STOP, f"{how}: one incident tells of no more, and {fresh} others are missing", None
        if fresh and (why := self._closed(read, step.calls[-1])):
            return Progress.STOP, f"{how}, and {why}", None
        if step.name == "canary":
            return Progress.NEXT, how, None
        if fresh:
            return Progress.AGAIN, f"{how}, {fresh} to go", None
        return (Progress.STOP if open_ else Progress.NEXT), how, None

    def _closed(self, read: Reader, send: Call) -> str:
        """Why the function is given no more; empty where it may be, or where a queue keeps what it cannot take."""
        if send.operation != "Invoke":
            return ""
        function = Arn.parse(send.resource)
        try:
            why = unfit(states.function(read, function))
        except Missing:
            why = unfit({})
        throttled, _ = self._turned_away(read, function)
        if not why and throttled:
            why = f"{throttled:.0f} calls were turned away in {minutes(self.healthy_for)} minutes"
        return f"{short(function)} is given no more: {why}" if why else ""


_LOST = "the notes of this step were lost: again, which tells of nothing twice"


# -- what is read ------------------------------------------------------------------------------------------------------


def _reading(bucket: Arn, pipeline: Pipeline) -> ResourceRead:
    return ResourceRead("s3.pipeline", str(Route.of(bucket, pipeline)))


def _oldest(found: Mapping[str, Any]) -> list[RawObject]:
    return [RawObject.listed(each) for each in found["Oldest"]]


def _seen(read: Reader, query: ResourceRead) -> list[RawObject]:
    """The oldest raw objects that have no curated one, now. Raises Unreadable."""
    found = read.seen(query).resource(query)
    if not isinstance(found, Mapping):
        reason = found.reason if isinstance(found, Unread) else "one of its buckets does not exist"
        raise Unreadable("s3:ListBucket", "Unread", reason, resource=query.key.partition(">")[0])
    return _oldest(found)


def _standing(read: Reader, arn: Arn) -> Standing:
    """A queue's figures. Raises Refused where they cannot be read."""
    found = retelling.standing(read, arn)
    if found is None:
        raise Refused("queue", f"{arn.name} cannot be read", retry_after=_LATER)
    return found


def _hears(pipeline: Pipeline) -> Arn:
    """Whom S3 tells of an object: the queue, or the function itself."""
    return pipeline.queue or pipeline.function


def _dies(function: Mapping[str, Any]) -> str:
    """Where a function's failed events go as it says itself; a destination on failure is not part of that."""
    config = function.get("DeadLetterConfig")
    return str(config.get("TargetArn", "")) if isinstance(config, Mapping) else ""


def _late(pipeline: Pipeline) -> timedelta:
    return max(2 * pipeline.timeout, _LEAST)


def _written(line: str, otherwise: datetime) -> datetime:
    """When an object was written that a finding names."""
    try:
        return datetime.fromisoformat(line.partition(" ")[0])
    except ValueError:
        return otherwise


def _names(incident: str, found: RawObject) -> tuple[str, str]:
    """Under what it is noted that an object was told of: ever, and in this incident."""
    ever = marker(found.key, found.etag)
    return ever, f"{incident} {ever}"


def _total(incident: str) -> str:
    """Under what it is counted how many an incident told of."""
    return f"{incident} sent"


# -- the calls of a plan -----------------------------------------------------------------------------------------------


def _send(facts: Mapping[str, Any]) -> tuple[Callable[..., Call], Arn]:
    """What tells of an object, but for how often; and whom."""
    if "queue" in facts:
        queue = Arn.parse(facts["queue"])
        params: dict[str, Json] = {"QueueUrl": queue_url(queue)}
        return partial(Call, "sqs", "SendMessage", str(queue), params=params, free=("MessageBody",)), queue
    function = Arn.parse(facts["function"])
    params = {"FunctionName": str(function), "InvocationType": "Event"}
    return partial(Call, "lambda", "Invoke", str(function), params=params, free=("Payload",)), function


def _prefixes(route: Route) -> tuple[tuple[str, str], ...]:
    return ("bucket", route.raw.prefix), ("curated", route.curated.prefix)


def _event(listing: Call, send: Call, found: RawObject) -> str:
    bucket, region = Arn.parse(listing.resource), Arn.parse(send.resource).region
    return retelling.event(bucket, found.key, found.etag, found.modified, found.size, region=region)


def _listed(act: Actor, lists: Sequence[Call], side: Side, start: str) -> Iterator[Mapping[str, Any]]:
    """The objects of one side, by the plan's own call, a page at a time."""
    call = next(each for each in lists if (each.params["Bucket"], each.params["Prefix"]) == (side.bucket, side.prefix))
    where = {"StartAfter": start} if start else {}
    while True:
        answer = act(call, **where)
        yield from answer.get("Contents", ())
        if "NextContinuationToken" not in answer:
            return
        where = {"ContinuationToken": answer["NextContinuationToken"]}


# -- words -------------------------------------------------------------------------------------------------------------

_MEND = "mend the bucket's notifications"
_BY_HAND = "process them by hand, an object at a time"
_UNTIL = (
    "Until each of them has its curated object, or was moved away, no other that gets lost is noticed: it counts "
    "as sick until then, at most for as long as the window is"
)
_DECLARE = "set idempotent = true, if an object that is processed twice is the same as one that is processed once"


def _many(count: int) -> str:
    return f"{count} raw object{'s' if count != 1 else ''}"


def _hours(span: timedelta) -> str:
    return f"the last {span / timedelta(hours=1):g} hours"
