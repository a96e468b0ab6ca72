"""
A function's failed events pile up: give them to it again once it works.

Symptom   a function's dead-letter queue, or the queue that is its on-failure destination, holds messages
Cause     the function failed at events that nobody waited for, three times each, and works again; or the event is bad
Cure      store events that can never be processed, give the function a few others, and the rest when those went well
Proof     moved = processed + returned + quarantined + remaining, no event comes back, and the queue stays empty
Undo      none: an event that the function was given is worked on; what was stored stays stored
Source    runbook 1 "ETL backlog", runbook 3 "Messages in Dead Letter Queue"; R2

SQS cannot send such letters home, for they never were in a queue of the account's. So each event is given to the
function as it was written (Invoke, without waiting for it), and its letter is deleted when Lambda has taken it.

What it will not do: give an event to a function that the configuration does not name, or to another one, another
version or alias than the record names that failed at it; act while the function fails, is turned away, was changed
lately, is switched off, or has not been seen to work since it failed last (within three hours); or where Lambda cannot
write what fails into this queue: then an event would be lost for good, and people are told at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from nightshift import dead_letters, states
from nightshift.carrying import Routes, account_of, balance, counted_in
from nightshift.consumers import short, unfit
from nightshift.dead_letters import (
    LATE,
    LOST,
    SETTLE,
    DeadLetters,
    check_queue,
    first_loss,
    key_arn,
    own_rules,
    quarantine_went,
    told,
)
from nightshift.errors import AwsError, Missing, Refused
from nightshift.failed_events import FailedEvent, Recaller, unqualified
from nightshift.letters import SKEW, Letter, Meaning, look_at
from nightshift.model import (
    Alternative,
    Arn,
    Call,
    Diagnosis,
    Finding,
    Incident,
    Ledger,
    Outcome,
    Plan,
    Step,
    Target,
)
from nightshift.origins import of_others
from nightshift.remediation import Actor, Progress, Reader, Series
from nightshift.signals import function_metric
from nightshift.states import minutes

__all__ = ["LambdaDlqBacklog"]

_TRIES = 3  # of an event that nobody waits for: Lambda's default, and its most
_BETWEEN = timedelta(minutes=3)  # one minute after the first try, two after the second
_LONGEST = 900  # seconds that a call may take: AWS's limit
_HOURS = 180  # minutes of metrics that cover a step, whatever its patience; and how long a failure is remembered
_LATER = timedelta(minutes=2)


class LambdaDlqBacklog(DeadLetters):
    """Failed events of a Lambda function that works again."""

    name: ClassVar[str] = "lambda-dlq-backlog"
    title: ClassVar[str] = "a function's failed events pile up"
    needs: ClassVar[tuple[str, ...]] = ("function",)
    reads: ClassVar[tuple[str, ...]] = (
        "sqs:ListDeadLetterSourceQueues",
        "sqs:ReceiveMessage",  # with VisibilityTimeout=0: nothing is hidden from anybody
        "kms:DescribeKey",
    )
    writes: ClassVar[tuple[str, ...]] = (
        "sqs:ReceiveMessage",
        "sqs:ChangeMessageVisibility",
        "sqs:DeleteMessage",
        "lambda:InvokeFunction",
        "s3:PutObject",
    )
    delegates: ClassVar[tuple[str, ...]] = ("kms:Decrypt",)

    # -- diagnosis -------------------------------------------------------------------------------------------------

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        function = _function(target)
        dlq = states.queue(read, target.arn)
        check_queue(target.arn, dlq)
        _check_no_source(read, target.arn)
        if lost := sum(states.sums(read, *(function_metric(function, each, "Sum", _HOURS) for each in _LOSSES))):
            return _losing(target.arn, function, lost)
        described, worked = self._check_works(read, function)
        self.check_calm(read, target.arn, dlq)
        letters = look_at(FailedEvent, read, target.arn, self.sample)
        loss = first_loss(letters, dlq, read.now())
        ours = [letter for letter in letters if not self.not_for(letter, str(function))]
        if letters and not ours:
            return self._of_others(target, function, letters, loss)
        _check_its_queue(target.arn, function, described, ours)
        means = self.check_letters(ours, states.messages(dlq) or 0, target)
        return Diagnosis(
            target=str(target.arn),
            cause=(
                f"{short(function)} failed at these events, and works now: {worked}; "
                "the dead letters have become no more"
            ),
            evidence=(
                f"{len(ours)} of about {states.messages(dlq)} letters looked at are its events: "
                + ", ".join(f"{count} {what}" for what, count in sorted(means.items())),
                *loss,
            ),
            rejected=(
                Alternative("the function still fails", worked),
                Alternative("the events are all bad", f"{means[Meaning.TRANSIENT]} of those looked at are well formed"),
            ),
            facts={
                "dlq": str(target.arn),
                "function": str(function),
                "bucket": read.quarantine,
                "dlq_key": key_arn(read, dlq),
                "timeout": _timeout(described),
                **own_rules(target),
            },
        )

    def _of_others(
        self, target: Target, function: Arn, letters: Sequence[FailedEvent], loss: Sequence[str]
    ) -> Diagnosis:
        """What is in the queue and none of the function's: told, where it says whose it is."""
        if any(letter.payload is not None for letter in letters):
            why = told(Counter(self.not_for(letter, str(function)) for letter in letters))
            raise Refused("source", f"no letter looked at is an event for {short(function)}: {why}")
        return of_others(target.arn, letters, loss)

    def _check_works(self, read: Reader, function: Arn) -> tuple[Mapping[str, Any], str]:
        """Refuse until the function has been up, unchanged and well for a while. Gives it, and the evidence."""
        window, itself = minutes(self.healthy_for), unqualified(function)
        try:
            described = states.function(read, itself)
        except Missing:
            described = {}
        errors, calls = (
            states.series(read, function_metric(itself, metric, "Sum", _HOURS)) for metric in ("Errors", "Invocations")
        )
        [turned_away] = states.sums(read, function_metric(itself, "Throttles", "Sum", window))
        start = read.now() - self.healthy_for - SKEW
        failed, made = (sum(value for at, value in each.points if at >= start) for each in (errors, calls))
        why = unfit(described) or _young(described, read.now(), self.healthy_for)
        if not why and turned_away:
            why = f"{turned_away:.0f} calls were turned away in the last {window} minutes"
        if not why and failed * 100 > made * self.error_percent:
            why = f"{failed:.0f} of {made:.0f} calls failed in the last {window} minutes"
        if not why and not _went_well_since(errors, calls):
            why = "no call has gone well since the last one that failed"
        if why:
            reason = f"the function {short(function)} does not work yet: {why}"
            raise Refused("consumer", reason, retry_after=_LATER, link=str(itself))
        return described, f"{failed:.0f} of {made:.0f} calls failed in {window} minutes, none was turned away"

    # -- the plan --------------------------------------------------------------------------------------------------

    def plan(self, diagnosis: Diagnosis) -> Plan:
        """
        Always the same three steps: what is in the queue changes by our own hand, and the plan must not.

        Each step decides by the letters that it holds; the plan says what it may do with them, and how often.
        """
        facts = diagnosis.facts
        dlq, function = Arn.parse(facts["dlq"]), Arn.parse(facts["function"])
        routes = Routes(dlq, function, facts["bucket"], facts["dlq_key"])
        before = {"timeout": facts["timeout"]}
        quarantine = Step(
            "quarantine",
            calls=routes.store(self.batch),
            settle=SETTLE,
            why="store events that nobody can ever process, then delete them from the queue",
        )
        canary = Step(
            "canary",
            calls=(*routes.store(self.batch), routes.recall(self.canary, before)),
            settle=SETTLE,
            why=f"give {self.canary} events to the function again and see whether they come back",
        )
        redrive = Step(
            "redrive",
            calls=(*routes.store(self.batch), routes.recall(self.batch, before)),
            settle=SETTLE,
            why=f"give it the rest, {self.batch} a tick",
        )
        return Plan(
            remediation=self.name,
            target=str(dlq),
            summary=(
                f"give the failed events in {dlq.name} to {short(function)} again: {self.canary} first, then "
                f"{self.batch} a tick"
            ),
            steps=(quarantine, canary, redrive),
            risk=(
                "events are processed again, in no order: a function that is not idempotent repeats what it did before "
                "it failed"
            ),
            undo_by_hand=(
                f"none: what {short(function)} was given it works on; "
                f"stored letters are in s3://{facts['bucket']}/{routes.prefix}"
            ),
        )

    # -- acting ----------------------------------------------------------------------------------------------------

    def apply(self, act: Actor, plan: Plan, step: Step) -> None:
        self.carry(act, step, Recaller(act, step, ever=self.redrives_ever), _recall(plan).resource)

    def not_for(self, letter: Letter, home: str) -> str:
        return letter.not_of(Arn.parse(home)) if isinstance(letter, FailedEvent) else "it was not read as an event"

    def reconcile(self, read: Reader, call: Call, since: datetime) -> Outcome:
        """An event cannot be looked up: what became of it is known from the memory around each call."""
        del read, since
        if call.operation in {"ReceiveMessage", "ChangeMessageVisibility"}:
            return Outcome.NOT_DONE  # whatever was hidden shows itself again: nothing lasts
        return Outcome.UNKNOWN

    # -- how it goes -----------------------------------------------------------------------------------------------

    def progress(
        self, read: Reader, plan: Plan, step: Step, scratch: Mapping[str, Any]
    ) -> tuple[Progress, str, Ledger | None]:
        notes = scratch.get(step.name)
        if step.name == "quarantine":
            return (*quarantine_went(notes), None)
        state = self._state(read, plan, scratch)
        ledger = state.ledger(scratch["account"]) if "account" in scratch else None
        if notes is None:
            return Progress.AGAIN, LOST, ledger
        if state.lost:
            why = f"{state.lost:.0f} events could not be written into their queue when they failed, and are lost"
            return Progress.STOP, why, ledger
        if step.name == "canary":
            return (*self._canary_went(state, notes), ledger)
        return (*self._rest_goes(state, notes, scratch), ledger)

    def _state(self, read: Reader, plan: Plan, scratch: Mapping[str, Any]) -> _State:
        """What the queue and the function's figures say now."""
        recall, now = _recall(plan), read.now()
        dlq, function = Arn.parse(plan.target), unqualified(Arn.parse(recall.resource))
        since = _time(scratch.get("since"), now)
        dead = states.messages(states.queue(read, dlq)) or 0
        longest = _TRIES * timedelta(seconds=recall.before["timeout"]) + _BETWEEN
        figures = {
            metric: tuple(
                point
                for point in states.series(read, function_metric(function, metric, "Sum", _HOURS)).points
                if point[0] >= since - SKEW
            )
            for metric in ("Invocations", "Errors", *_LOSSES)
        }
        return _State(
            now=now,
            dead=dead,
            letters=look_at(FailedEvent, read, dlq, self.sample) if dead else (),
            since=since,
            last_sent=_time(scratch.get("last_sent"), since),
            longest=longest,
            window=min(longest, self.canary_patience) + LATE,
            figures=figures,
        )

    def _canary_went(self, state: _State, notes: Mapping[str, Any]) -> tuple[Progress, str]:
        sent = int(notes["sent"])
        if not sent:
            if notes["left"]:
                return Progress.STOP, f"none of the events may be given to it: {told(notes['left'])}"
            return Progress.NEXT, "there was no event to try it with"
        began = _time(notes["at"], state.now)
        back, done = state.came_back(began), state.finished(began)
        if back * 2 > sent:
            return Progress.STOP, f"{min(back, sent)} of {sent} events came back: the function still fails at them"
        if state.now < began + state.window:
            return Progress.WAIT, f"{done:.0f} calls went well since {sent} events were given to it; do any come back?"
        if done + back < sent:
            return Progress.STOP, f"{sent} events were given to it, and {done:.0f} calls went well since"
        return Progress.NEXT, f"{sent} events given to it, {done:.0f} calls went well since, {back} came back"

    def _rest_goes(self, state: _State, notes: Mapping[str, Any], scratch: Mapping[str, Any]) -> tuple[Progress, str]:
        attempt = scratch["attempt"]
        sent = int(scratch["account"]["sent"]) - int(attempt["sent_before"])
        began, last = _time(attempt["at"], state.now), _time(notes["at"], state.now)
        back, failed = state.came_back(began), state.total("Errors", last)
        if self.too_many(back, sent):
            return Progress.STOP, f"{back} of {sent} events came back"
        tried = state.now >= last + state.window
        handled = int(notes["sent"]) + int(notes["stored"])
        if notes["more"] and state.dead:
            if handled and not tried and self.too_many(round(failed), int(notes["sent"])):
                return Progress.WAIT, f"{failed:.0f} calls failed since: waiting whether events come back"
            if handled:
                return Progress.AGAIN, f"{handled} events moved, {state.dead} to go"
            return Progress.STOP, f"no more events may be moved: {told(notes['left']) or 'the limit is reached'}"
        if sent and not tried:
            return Progress.WAIT, "waiting whether events come back"
        how = f"{sent} events given to it, {back} came back"
        if state.letters:
            return Progress.STOP, f"{how}; {state.dead} are still there{_why(notes['left'])}"
        return (Progress.WAIT, f"{how}; {state.dead} cannot be seen") if state.dead else (Progress.NEXT, how)

    def settle_ledger(self, read: Reader, target: Target, incident: Incident) -> Ledger:
        """From the durable counters, which are true wherever a step died, and from what the queue says now."""
        plan, scratch, known = incident.plan, incident.scratch, incident.ledger
        if plan is None:
            return known
        names = counted_in(incident.id)
        found = read.counters(target, tuple(names.values()))
        if not any(found.values()) and "account" not in scratch:
            return known
        left = int(scratch.get("account", {}).get("left", 0))
        account = account_of({name: found[key] for name, key in names.items()}, by_tasks=0, left=left)
        began = incident.attempts[0].started_at if incident.attempts else incident.opened_at
        try:
            state = self._state(read, plan, {"since": began.isoformat(), **scratch})
        except AwsError:  # what the queue holds cannot be told; what left it was counted all the same
            return balance(account, returned=known.returned, waiting=None, processed=known.processed)
        return state.ledger(account)


# -- what was read, in our words -------------------------------------------------------------------------------------

_LOSSES = ("DeadLetterErrors", "DestinationDeliveryFailures")
"""
events that Lambda could put nowhere when they had failed

Source: https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
"""


@dataclass(frozen=True, slots=True)
class _State:
    """
    The queue and the function now: ``dead`` letters, some of which are ``letters``; ``figures`` by the minute.

    ``since`` is when this incident began to move events; it has last given one at ``last_sent``. An event comes back
    after at most ``longest`` once the function has begun with it; nobody waits longer than ``window`` for that.
    """

    now: datetime
    dead: int
    letters: tuple[Letter, ...]
    since: datetime
    last_sent: datetime
    longest: timedelta
    window: timedelta
    figures: Mapping[str, tuple[tuple[datetime, float], ...]]

    def total(self, metric: str, since: datetime) -> float:
        """A figure's sum from a moment on; it begins with the minute that the moment is in."""
        return sum(value for at, value in self.figures[metric] if at >= since - SKEW)

    def finished(self, since: datetime) -> float:
        """How many calls went well."""
        return self.total("Invocations", since) - self.total("Errors", since)

    @property
    def lost(self) -> float:
        """How many events could be put nowhere since this incident began."""
        return sum(self.total(metric, self.since) for metric in _LOSSES)

    def came_back(self, since: datetime) -> int:
        """About how many events failed for good since: counted where all could be seen, else estimated."""
        fresh = sum(letter.sent_since(since) for letter in self.letters)
        return fresh if self.dead <= len(self.letters) else round(fresh / max(1, len(self.letters)) * self.dead)

    def ledger(self, account: Mapping[str, int]) -> Ledger:
        """Where the events are now: none is on its way once all that Lambda tries with it is over."""
        waiting = account["moved"] if self.now < self.last_sent + self.longest + LATE else 0
        return balance(account, returned=self.came_back(self.since), waiting=waiting)


def _function(target: Target) -> Arn:
    if target.function is None:
        raise Refused("source", "the configuration names no function whose events these are")
    return target.function


def _check_no_source(read: Reader, dlq: Arn) -> None:
    """Refuse a queue that a queue's letters die in: those belong home, and SQS cannot tell them apart for us."""
    if homes := dead_letters.sources(read, dlq):
        names = ", ".join(queue.name for queue in homes)
        raise Refused(
            "source",
            f"{names} names {dlq.name} as its dead-letter queue: a queue for a function's events must be theirs alone; "
            "remove `function` from the configuration, or give the function a queue of its own",
            numbers={"sources": len(homes)},
        )


def _check_its_queue(dlq: Arn, function: Arn, described: Mapping[str, Any], letters: Sequence[FailedEvent]) -> None:
    """Refuse letters that do not name their function, unless this is the queue that the function puts them into."""
    config = described.get("DeadLetterConfig")
    queue = str(config.get("TargetArn", "")) if isinstance(config, Mapping) else ""
    if queue != str(dlq) and any(letter.of_queue for letter in letters):
        there = "has no dead-letter queue" if not queue else "has another dead-letter queue"
        raise Refused(
            "source",
            f"the letters do not say which function failed at them, and {short(function)}, which the configuration "
            f"names, {there}",
        )


def _losing(dlq: Arn, function: Arn, lost: float) -> Diagnosis:
    """What it would fail at would be gone for good: nothing is given to it, and people are told at once."""
    mend = (
        f"see that the role of {short(function)} may send to its queue: sqs:SendMessage, and for a queue with a key of "
        "your own kms:GenerateDataKey and kms:Decrypt"
    )
    return Diagnosis(
        target=str(dlq),
        cause=f"what {short(function)} fails at is lost: Lambda cannot write it into its queue",
        evidence=(f"{lost:.0f} failed events could not be written in the last {_HOURS // 60} hours, and are gone",),
        advice=(
            mend,
            f"it is given its events again here when no loss was measured for {_HOURS // 60} hours",
        ),
    )


def _went_well_since(errors: Series, calls: Series) -> bool:
    """
    Whether a call went well after the newest minute with one that failed; so, too, where none failed.

    A function that is called by nobody but the events that it fails at looks well as soon as it has given them up.
    """
    bad = {at: value for at, value in errors.points if value}
    if not bad:
        return True
    return any(at > max(bad) and value > 0 for at, value in calls.points)


def _young(described: Mapping[str, Any], now: datetime, healthy_for: timedelta) -> str:
    """Why it has not been what it is for long enough; empty where it has."""
    try:
        at = datetime.strptime(str(described.get("LastModified")), "%Y-%m-%dT%H:%M:%S.%f%z").astimezone(UTC)
    except (ValueError, OverflowError):
        return "since when it is as it is, is not known"
    return f"it was changed {minutes(now - at)} minutes ago" if now - at < healthy_for else ""


def _timeout(described: Mapping[str, Any]) -> int:
    """How many seconds a call may take: the most that AWS allows where it does not say."""
    timeout = described.get("Timeout")
    return timeout if isinstance(timeout, int) and 0 < timeout <= _LONGEST else _LONGEST


def _recall(plan: Plan) -> Call:
    """The call that gives events to the function, which names it."""
    return next(call for call in plan.calls if call.operation == "Invoke")


# -- words -----------------------------------------------------------------------------------------------------------


def _why(left: Mapping[str, int]) -> str:
    return f": {told(left)}" if left else ""


def _time(text: str | None, otherwise: datetime) -> datetime:
    return datetime.fromisoformat(text) if text else otherwise
