"""
Hours are missing in a bucket: ask the function that fetches them for each, once, the oldest first.

Symptom   of one of the last hours there is no object in the bucket that a schedule fills
Cause     the schedule was disabled, or what its function fetches from was down
Cure      once a regular run has stored something again: start the function for each missing hour, one after the other
Proof     every hour has an object
Undo      none: an hour that was fetched stays
Source    runbook 1 "NSW API Data Ingestion Failure": symptoms, resolution 4, validation; R12

What is missing is what has no object, whatever metrics say: a run that succeeds may have stored nothing. Nothing is
asked for while the rule is disabled (that has an incident of its own), while the newest hours are missing too (what is
fetched from may be down, and is not hammered), for hours before the first that there is, and while calls of the
function were turned away lately, unless a second run changes nothing: Lambda may yet make them.

An hour is noted before the function is started for it: whatever dies in between, it is asked for once, ever. After two
hours that fail it ends, and a person is told.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field

from nightshift import states
from nightshift.errors import Ambiguous, Fenced, NightshiftError, Refused, Undeclared, Unreadable
from nightshift.model import (
    Alternative,
    Arn,
    Call,
    Diagnosis,
    Finding,
    Healthy,
    Hours,
    Json,
    Ledger,
    MetricQuery,
    Observation,
    Outcome,
    Plan,
    Queries,
    ResourceRead,
    Schedule,
    Severity,
    Sick,
    Signal,
    Step,
    Target,
    Unknown,
)
from nightshift.remediation import Actor, Progress, Reader, Readings, Remediation, Unread
from nightshift.signals import function_metric, rule_metric
from nightshift.signals.hours import HOUR, hours_of, prefix_of

__all__ = ["HoursMissing"]

_HOUR = timedelta(hours=1)
_LATE = 4  # hours: data that is later is more than late (runbook 1, Severity 2)
_RAN = timedelta(minutes=10)  # how long a run may take until it has stored something, its retries included
_RUNS = 75  # minutes in which an hourly rule has run at least once
_QUEUED = 6 * 60  # minutes for which Lambda may keep an event whose call was turned away
_FAILURES = 2  # hours that fail, after which nothing more is asked for
_OBJECTS = 10  # of an hour that are looked at
_SPAN, _STARTED_AT = "span", "started at"
"""under what it is noted which hours are being filled in, and when the function was last started"""
_LONGEST = 100  # more than the hours of one plan


@dataclass(frozen=True, slots=True)
class _Seen:
    """The hours as they were read: those with data, and those that should have some and have none."""

    there: frozenset[datetime]
    due: tuple[datetime, ...]
    holes: tuple[datetime, ...]  # there is data of a later hour
    behind: tuple[datetime, ...]  # there is none yet


@dataclass(frozen=True, slots=True)
class _Notes:
    """What was noted about hours: which are being filled in, which the function was started for, and what it said."""

    span: tuple[datetime, ...]
    started_at: datetime
    started: frozenset[datetime]
    failed: frozenset[datetime]

    @classmethod
    def of(cls, read: Reader, target: Target, hours: Sequence[datetime]) -> _Notes:
        """What was noted about these hours, and about those that are being filled in."""
        found = read.counters(target, (_SPAN, _STARTED_AT))
        span = _decoded(found[_SPAN])
        every = sorted({*hours, *span})
        marks = read.counters(target, [mark for hour in every for mark in (_started(hour), _failed(hour))])
        return cls(
            span,
            datetime.fromtimestamp(found[_STARTED_AT], UTC),
            frozenset(hour for hour in every if marks[_started(hour)]),
            frozenset(hour for hour in every if marks[_failed(hour)]),
        )

    def to_do(self, found: _Seen) -> tuple[datetime, ...]:
        """From the first to the last hour that is to be filled in: what is under way is the same until it is done."""
        open_ = [hour for hour in found.holes if hour not in self.started]
        if any(hour in self.span for hour in open_):
            return self.span
        return _span(open_[0], open_[-1]) if open_ else ()


class HoursMissing(Remediation):
    """Hours of which a schedule's function has stored nothing."""

    name: ClassVar[str] = "hours-missing"
    title: ClassVar[str] = "hours are missing"
    kinds: ClassVar[tuple[str, ...]] = ("events:rule",)
    needs: ClassVar[tuple[str, ...]] = ("schedule",)
    reads: ClassVar[tuple[str, ...]] = ()  # rule, function and hours are read as the sweep reads them
    writes: ClassVar[tuple[str, ...]] = (
        "lambda:InvokeFunction",
        "s3:ListBucket",  # the hour, once more, right before the function is started for it
    )

    deadline: timedelta = Field(default=timedelta(hours=24), description="how long an incident may stay open")
    grace: timedelta = Field(
        default=timedelta(minutes=15),
        ge=timedelta(minutes=5),
        le=timedelta(hours=6),
        description="how long after its end an hour may have no object",
    )

    def takes(self, target: Target) -> bool:
        """Only a schedule of which is said what it leaves where."""
        return super().takes(target) and _said(target)[1] is not None

    # -- seeing ----------------------------------------------------------------------------------------------------

    def watch(self, target: Target) -> Queries:
        _, hours = _said(target)
        return () if hours is None else (_listing(hours), _rule(target.arn), _runs(target.arn))

    def examine(self, target: Target) -> Queries:
        schedule, _ = _said(target)
        return self.watch(target) if schedule is None else (*self.watch(target), _function(schedule))

    def detect(self, target: Target, seen: Readings) -> Observation:
        """
        By objects alone, those of the hour that is not over included; but not while the rule does not run at all.

        That the newest hours are missing then is the rule's failure: to us nothing happened.
        """
        _, hours = _said(target)
        if hours is None:
            return Unknown(f"nobody has said what {target.arn.name} leaves where")
        found = self._seen(hours, seen)
        if isinstance(found, Unknown):
            return found
        if found.holes:
            return Sick(self._finding(target, found, f"{_many(len(found.holes))} of {hours.bucket.name} have no data"))
        if not found.behind:
            return Healthy(f"each of the last {_many(len(found.due))} of {hours.bucket.name} has data")
        still = self._stands_still(target, seen)
        if still is not None:
            return still
        return Sick(self._finding(target, found, f"{target.arn.name} runs, and {hours.bucket.name} gets no data"))

    def _stands_still(self, target: Target, seen: Readings) -> Healthy | Unknown | None:
        """Whether the rule does not run; None where it does, and a run has had its time to store something."""
        rule, runs = seen.resource(_rule(target.arn)), seen.metric(_runs(target.arn))
        if isinstance(rule, Unread):
            return Unknown(rule.reason)
        if isinstance(runs, Unread):
            return Unknown(runs.reason)
        if rule is None or rule.get("State") == "DISABLED":
            return Healthy(f"the newest hours have no data, and {target.arn.name} is not enabled", idle=True)
        if not any(value > 0 and at <= seen.at - _RAN for at, value in runs.points):
            return Healthy(f"the newest hours have no data, and {target.arn.name} has not run since", idle=True)
        return None

    def _seen(self, hours: Hours, seen: Readings) -> _Seen | Unknown:
        """The hours as they were read. Before the first that there is none is missing."""
        found = seen.resource(_listing(hours))
        if isinstance(found, Unread):
            return Unknown(found.reason)
        if found is None:
            return Unknown(f"{hours.bucket} does not exist")
        try:
            there = frozenset(datetime.strptime(each, HOUR).replace(tzinfo=UTC) for each in found["Hours"])
        except (KeyError, TypeError, ValueError) as error:
            return Unknown(f"the hours of {hours.bucket.name} cannot be understood: {type(error).__name__}")
        if not there:
            return Unknown(f"{hours.bucket.name} has no data of any hour that is looked at")
        over = [hour for hour in hours_of(seen.at) if hour + _HOUR + self.grace <= seen.at]
        due = tuple(hour for hour in over[-hours.most :] if hour >= min(there))
        missing = [hour for hour in due if hour not in there]
        newest = max(there)
        holes = tuple(hour for hour in missing if hour < newest)
        return _Seen(there, due, holes, tuple(hour for hour in missing if hour > newest))

    def _finding(self, target: Target, found: _Seen, symptom: str) -> Finding:
        missing = (*found.holes, *found.behind)
        return Finding(
            remediation=self.name,
            target=str(target.arn),
            symptom=symptom,
            signals=(Signal("missing hours", len(missing), 0, _many(len(found.due)), "hours"),),
            evidence=tuple(f"{each:{HOUR}}: no data" for each in missing),
            severity=Severity.SEV2 if len(missing) >= _LATE else Severity.SEV3,
        )

    # -- diagnosis -------------------------------------------------------------------------------------------------

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        schedule, hours = _said(target)
        if schedule is None or hours is None:
            raise Refused("schedule", "nobody has said what the schedule leaves where")
        found = self._seen(hours, read.seen(_listing(hours)))
        if isinstance(found, Unknown):
            raise Unreadable("s3:ListBucket", "Unread", found.reason, resource=str(hours.bucket))
        timeout = self._check_works(read, target, schedule, found)
        notes = _Notes.of(read, target, found.due)
        span = notes.to_do(found)
        if not span and found.holes:
            return self._given_up(target, schedule, hours, found)
        if not span:
            raise Refused("hours", "no hour is missing any more", retry_after=timedelta(minutes=1))
        if not hours.idempotent:
            self._check_queued(read, schedule)
        return Diagnosis(
            target=str(target.arn),
            cause=f"{schedule.function.name} stored nothing for {_many(len(found.holes))}, and works again",
            evidence=(*(f"{each:{HOUR}}: no data" for each in found.holes), f"newest data: {max(found.there):{HOUR}}"),
            rejected=(
                Alternative("the schedule is disabled", "EventBridge says that it is enabled"),
                Alternative("what it fetches from is down", "the newest hour that is over has data"),
            ),
            facts={
                "rule": str(target.arn),
                "function": str(schedule.function),
                "timeout": timeout,
                "bucket": str(hours.bucket),
                "account": target.arn.account,
                "keys": hours.keys,
                "field": hours.timestamp,
                "first": span[0].isoformat(),
                "last": span[-1].isoformat(),
            },
        )

    def _check_works(self, read: Reader, target: Target, schedule: Schedule, found: _Seen) -> int:
        """How many seconds the function may take. Raises Refused while regular runs do not work, or are not made."""
        if states.rule(read, target.arn).get("State") == "DISABLED":
            raise Refused(
                "rule",
                f"{target.arn.name} is disabled: hours are filled in once it runs again",
                retry_after=timedelta(minutes=5),
                link=str(target.arn),
            )
        function, later = states.function(read, schedule.function), timedelta(minutes=10)
        if function.get("ReservedConcurrentExecutions") == 0:
            why = f"somebody has stopped {schedule.function.name}: reserved concurrency 0"
            raise Refused("stopped", why, retry_after=later)
        if found.behind:
            calls, errors = states.sums(
                read, *(function_metric(schedule.function, name, "Sum", _RUNS) for name in ("Invocations", "Errors"))
            )
            raise Refused(
                "regular-run",
                f"the newest {_many(len(found.behind))} have no data either, and {errors:.0f} of {calls:.0f} calls of "
                f"{schedule.function.name} failed: what it fetches from may be down",
                numbers={"missing": len(found.behind), "calls": calls, "errors": errors},
                retry_after=later,
            )
        return int(function.get("Timeout", 0))

    def _check_queued(self, read: Reader, schedule: Schedule) -> None:
        """Refuse while Lambda may yet make a call that it has turned away: an hour could be fetched twice."""
        (throttled,) = states.sums(read, function_metric(schedule.function, "Throttles", "Sum", _QUEUED))
        if throttled:
            raise Refused(
                "queued",
                f"{throttled:.0f} calls of {schedule.function.name} were turned away within {_QUEUED // 60} hours, and "
                "may yet be made",
                numbers={"throttled": throttled},
                retry_after=timedelta(minutes=10),
            )

    def _given_up(self, target: Target, schedule: Schedule, hours: Hours, found: _Seen) -> Diagnosis:
        """Every missing hour was asked for: told."""
        name = schedule.function.name
        call = f"aws lambda invoke --function-name {name} --payload '{_payload(hours.timestamp, found.holes[0])}'"
        return Diagnosis(
            target=str(target.arn),
            cause=f"{_many(len(found.holes))} were asked for and have no data: they are not asked for again",
            evidence=tuple(f"{each:{HOUR}}: asked for, no data" for each in found.holes),
            advice=(
                f"read why: aws logs tail /aws/lambda/{name} --since 24h (read only)",
                f"then fill them in by hand: {call} --cli-binary-format raw-in-base64-out answer.json (a write)",
            ),
        )

    # -- the plan --------------------------------------------------------------------------------------------------

    def plan(self, diagnosis: Diagnosis) -> Plan:
        """
        The function, and the first and the last hour: within them each that has no data by then is asked for.

        So it stays the same plan while it goes on, whichever of them are there by now.
        """
        facts = diagnosis.facts
        function, bucket, span = Arn.parse(facts["function"]), Arn.parse(facts["bucket"]), _of_facts(facts)
        within = {name: facts[name] for name in ("rule", "keys", "field", "first", "last", "timeout")}
        listing = Call(
            "s3",
            "ListObjectsV2",
            str(bucket),
            params={"Bucket": bucket.resource, "MaxKeys": _OBJECTS, "ExpectedBucketOwner": facts["account"]},
            free=("Prefix",),
            times=len(span),
        )
        invoke = Call(
            "lambda",
            "Invoke",
            str(function),
            params={"FunctionName": function.name, "InvocationType": "RequestResponse"},
            free=("Payload",),
            before=within,
        )
        step = Step(
            "fill-in",
            (listing, invoke),
            settle=timedelta(minutes=1),
            why="start the function for the oldest hour that has no data, then for the next one",
        )
        return Plan(
            remediation=self.name,
            target=facts["rule"],
            summary=f"start {function.name} for each hour from {span[0]:{HOUR}} to {span[-1]:{HOUR}} without data",
            steps=(step,),
            risk="low: each hour is asked for once, one after the other, and no more after two that fail",
            undo_by_hand="none: what is fetched is the hour's own data",
            final=True,
        )

    # -- acting ----------------------------------------------------------------------------------------------------

    def apply(self, act: Actor, plan: Plan, step: Step) -> None:
        """
        One hour: the oldest that has no object now and was never asked for.

        Which hours are to be filled in is noted first: so the next look plans the same. Raises Refused where none is
        left.
        """
        listing, invoke = step.calls
        span = _of_facts(invoke.before)
        act.memory.recall([_SPAN, _STARTED_AT, *map(_started, span)])
        _set(act, _SPAN, _encoded(span))
        for hour in span:
            if act.memory.get(_started(hour)) or _stands(act(listing, Prefix=prefix_of(invoke.before["keys"], hour))):
                continue
            _set(act, _STARTED_AT, int(act.now().timestamp()))
            if act.memory.add(_started(hour), limit=1):
                self._start(act, invoke, hour)
                return
        raise Refused("same-plan", "every hour has data by now, or was asked for")

    def _start(self, act: Actor, invoke: Call, hour: datetime) -> None:
        """Start the function for an hour. Only where AWS certainly did not take it the note is taken back."""
        try:
            answer = act(invoke, Payload=_payload(invoke.before["field"], hour))
        except NightshiftError as error:
            if not isinstance(error, Ambiguous | Fenced | Undeclared):
                act.memory.add(_started(hour), -1)
            raise
        if "FunctionError" in answer:  # AWS says 200 all the same
            act.memory.add(_failed(hour), limit=1)

    def effect(self, call: Call, answer: Mapping[str, Any]) -> Mapping[str, Json]:
        return {"function_error": "FunctionError" in answer} if call.operation == "Invoke" else {}

    def reconcile(self, read: Reader, call: Call, since: datetime) -> Outcome:
        """Whether the function was started does not show; but it never was before that was noted."""
        if call.operation != "Invoke":
            return Outcome.NOT_DONE  # it changes nothing
        target = read.target(call.before["rule"])
        started = read.counters(target, (_STARTED_AT,))[_STARTED_AT] if target is not None else since.timestamp()
        return Outcome.NOT_DONE if started < int(since.timestamp()) else Outcome.UNKNOWN

    # -- how it goes -----------------------------------------------------------------------------------------------

    def progress(
        self, read: Reader, plan: Plan, step: Step, scratch: Mapping[str, Any]
    ) -> tuple[Progress, str, Ledger | None]:
        """By objects: the next hour once the last one is there, or has had its time; the end after two that failed."""
        within = step.calls[-1].before
        target = read.target(plan.target)
        _, hours = _said(target) if target is not None else (None, None)
        if target is None or hours is None:
            return Progress.STOP, "the configuration does not say any more what the schedule leaves where", None
        found = self._seen(hours, read.seen(_listing(hours)))
        if isinstance(found, Unknown):
            return Progress.WAIT, f"cannot be seen: {found.reason}", None
        span = _of_facts(within)
        notes = _Notes.of(read, target, span)
        unanswered = [hour for hour in span if hour in notes.started - notes.failed - found.there]
        if unanswered and read.now() < notes.started_at + timedelta(seconds=within["timeout"]) + timedelta(minutes=1):
            return Progress.WAIT, f"{unanswered[-1]:{HOUR}} is being fetched", None
        failed = len(unanswered) + sum(hour in notes.failed for hour in span)
        told = f"{sum(hour in found.there for hour in span)} of {_many(len(span))} have data, {failed} failed"
        if failed >= _FAILURES:
            return Progress.STOP, told, None
        left = any(hour not in found.there and hour not in notes.started for hour in span)
        return (Progress.AGAIN if left else Progress.NEXT), told, None


# -- what is read ------------------------------------------------------------------------------------------------------


def _said(target: Target) -> tuple[Schedule | None, Hours | None]:
    schedule = target.schedule
    return schedule, None if schedule is None else schedule.hours


def _listing(hours: Hours) -> ResourceRead:
    return ResourceRead("s3.hours", f"{hours.bucket}/{hours.keys}")


def _rule(arn: Arn) -> ResourceRead:
    return ResourceRead("events.rule", str(arn))


def _function(schedule: Schedule) -> ResourceRead:
    return ResourceRead("lambda.function", str(schedule.function))


def _runs(arn: Arn) -> MetricQuery:
    return rule_metric(arn, "Invocations", "Sum", _RUNS)


def _stands(listed: Mapping[str, Any]) -> bool:
    """Whether an hour has data: an object that is not empty, or more objects than were looked at."""
    return bool(listed.get("IsTruncated")) or any(each["Size"] > 0 for each in listed.get("Contents", ()))


# -- what is noted -----------------------------------------------------------------------------------------------------


def _started(hour: datetime) -> str:
    """Under what it is noted that the function was started for an hour."""
    return f"started {hour:{HOUR}}"


def _failed(hour: datetime) -> str:
    """Under what it is noted that the function said that it has failed at an hour."""
    return f"failed {hour:{HOUR}}"


def _set(act: Actor, key: str, value: int) -> None:
    act.memory.add(key, value - act.memory.get(key))


def _span(first: datetime, last: datetime) -> tuple[datetime, ...]:
    """Every hour from the first to the last."""
    return tuple(first + _HOUR * number for number in range(int((last - first) / _HOUR) + 1))


def _of_facts(facts: Mapping[str, Json]) -> tuple[datetime, ...]:
    return _span(datetime.fromisoformat(facts["first"]), datetime.fromisoformat(facts["last"]))


def _encoded(span: Sequence[datetime]) -> int:
    """A span as one number, so that it is noted at once or not at all."""
    return int(span[0].timestamp()) // 3600 * _LONGEST + len(span)


def _decoded(number: int) -> tuple[datetime, ...]:
    first, length = divmod(number, _LONGEST)
    start = datetime.fromtimestamp(first * 3600, UTC)
    return tuple(start + _HOUR * each for each in range(length))


def _payload(field: str, hour: datetime) -> str:
    return json.dumps({"backfill": True, field: f"{hour:%Y-%m-%dT%H:00:00Z}"})


# -- words -------------------------------------------------------------------------------------------------------------


def _many(count: int) -> str:
    return f"{count} hour{'s' if count != 1 else ''}"
