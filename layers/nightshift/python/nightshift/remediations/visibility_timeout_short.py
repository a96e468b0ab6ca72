"""
A queue gives its messages too little time: raise its visibility timeout, or how long its letters are kept.

Symptom   in an hour, and in its last quarter, more than 1.5 times as many messages are received as finished; or letters
          wait in a dead-letter queue that forgets them before 14 days are over, or sooner than their own queue would
Cause     work takes longer than a message stays hidden, so that a second consumer begins it while the first is at it
Cure      the visibility timeout is doubled until the slowest hundredth of the work fits into 80 % of it; of a Lambda
          consumer it becomes six times the function's timeout, plus its batch window. Letters are kept for 14 days
Proof     the queue says what was written, and messages are received about as often as they are finished
Undo      by hand, if nobody has set another value since: it is no loan. What makes the queue (a stack, Terraform) sets
          it back at its next run, unless its template says the new value too
Source    runbook 0 "SQS Queue Tuning"; R18

It only ever raises: a retention that is lowered deletes messages, and a visibility timeout that is lowered has work
begun twice. What it will not do: take a consumer that fails for one that is slow. How long work takes must be known: by
the function's timeout, or by a metric of the application's own (`processing_metric`); where nobody measures it, or it
is short enough, people are told instead.

A queue is judged by its metrics, which cost the sweep no call of their own; a dead-letter queue (a target with a
`source`) by its attributes, and those of its source: two calls a minute.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal

from pydantic import Field, PositiveInt

from nightshift import states
from nightshift.errors import Refused
from nightshift.model import (
    Alternative,
    Arn,
    Call,
    Diagnosis,
    Finding,
    Healthy,
    Json,
    Ledger,
    MetricQuery,
    Observation,
    Outcome,
    Plan,
    Queries,
    ResourceRead,
    Sick,
    Signal,
    Step,
    Target,
    Unknown,
)
from nightshift.remediation import Progress, Reader, Readings, Remediation, Series, Unread
from nightshift.signals import function_metric, queue_metric, queue_url

__all__ = ["VisibilityTimeoutShort"]

_TIMEOUT, _RETENTION = "VisibilityTimeout", "MessageRetentionPeriod"
_MOST = {_TIMEOUT: 43_200, _RETENTION: 1_209_600}  # seconds: twelve hours and 14 days, AWS's limits
_HOUR, _LATELY = 60, 15  # minutes
_LEAST_TIMEOUT = 30  # seconds: what SQS gives a queue of which nobody says another; from 0 no doubling leads anywhere
_SHARE = 0.8  # of the visibility timeout that the slowest hundredth of the work may take (R18)
_RUNS = 6  # function timeouts that fit into a visibility timeout: so much AWS asks for
_MAPPINGS = 100  # event source mappings of one queue; there is hardly ever more than one
_LANDS = timedelta(seconds=60)  # how long a request whose answer was lost may still take effect
_SPREADS = {_TIMEOUT: timedelta(minutes=2), _RETENTION: timedelta(minutes=15)}
"""
until a change holds for every message; AWS says 60 seconds, and 15 minutes

Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
"""
_LATER = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class _Flow:
    """What became of a queue's messages in a while."""

    received: float
    finished: float

    @property
    def ratio(self) -> float:
        """Messages received for each one finished."""
        return self.received / max(self.finished, 1.0)


@dataclass(frozen=True, slots=True)
class _Work:
    """For how many seconds messages have to be hidden, why, and why it is not their consumer's failing."""

    needs: int
    how: str
    known: bool = True
    rejected: str = ""


class VisibilityTimeoutShort(Remediation):
    """A queue whose messages come back before they are done, or whose letters are forgotten too early."""

    name: ClassVar[str] = "visibility-timeout-short"
    title: ClassVar[str] = "a queue gives its messages too little time"
    kinds: ClassVar[tuple[str, ...]] = ("sqs:queue",)
    reads: ClassVar[tuple[str, ...]] = ("lambda:ListEventSourceMappings", "sqs:ListQueueTags")
    writes: ClassVar[tuple[str, ...]] = ("sqs:SetQueueAttributes",)
    sets: ClassVar[tuple[str, ...]] = (_TIMEOUT, _RETENTION)
    auto_tag: ClassVar[str] = "auto-raise"

    max_attempts: PositiveInt = Field(default=1, le=3, description="raises per incident before it escalates")
    patience: timedelta = Field(default=timedelta(minutes=30), description="how long a raise may take to show")
    again: float = Field(
        default=1.5, ge=1.1, le=10, description="messages received for each one finished that are too many"
    )
    least: PositiveInt = Field(default=50, description="messages received in an hour that it takes to tell")
    ceiling: timedelta = Field(
        default=timedelta(hours=2),
        ge=timedelta(minutes=1),
        le=timedelta(hours=12),
        description="the longest visibility timeout that a queue may be given",
    )
    error_percent: PositiveInt = Field(
        default=5, le=100, description="calls of a Lambda consumer that may fail before that is taken for the cause"
    )
    processing_metric: str = Field(
        default="",
        max_length=255,
        description="the application's own metric of how long it works on a message, with the dimension QueueName",
    )
    processing_namespace: str = Field(
        default="Application", min_length=1, max_length=255, description="the namespace of that metric"
    )
    processing_unit: Literal["seconds", "milliseconds"] = Field(default="seconds", description="what it counts in")

    # -- seeing ----------------------------------------------------------------------------------------------------

    def watch(self, target: Target) -> Queries:
        if target.source is not None:
            return (_attributes(target.arn), _attributes(target.source))
        return (ResourceRead("sqs.exists", str(target.arn)), *_flow(target.arn))

    def detect(self, target: Target, seen: Readings) -> Observation:
        """A target that names its source is a dead-letter queue; what waits there is in no hurry, but must not go."""
        return self._of_queue(target, seen) if target.source is None else self._of_letters(target, target.source, seen)

    def _of_queue(self, target: Target, seen: Readings) -> Observation:
        """
        Messages come back, before the last quarter of the hour and in it: what is over or has just begun is no symptom.

        What a consumer still has in its hands has been received and cannot be finished yet: it counts as neither.
        """
        exists = seen.resource(ResourceRead("sqs.exists", str(target.arn)))
        if isinstance(exists, Unread):
            return Unknown(exists.reason)
        if exists is None:
            return Unknown(f"{target.arn} does not exist")
        found = [seen.metric(query) for query in _flow(target.arn)]
        for each in found:
            if isinstance(each, Unread):
                return Unknown(each.reason)
        received, finished, lately, finished_lately, held = (each for each in found if isinstance(each, Series))
        late = _Flow(lately.total - sum(held.last(1)), finished_lately.total)
        early = _Flow(received.total - lately.total, finished.total - finished_lately.total)
        text = f"{received.total:.0f} messages were received and {finished.total:.0f} finished in {_HOUR} minutes"
        enough = self.least * _LATELY / _HOUR
        if lately.total < enough or early.received < self.least - enough:
            return Healthy(f"{text}: too few to tell", idle=True)
        if min(early.ratio, late.ratio) <= self.again:
            return Healthy(text)
        ratio = _Flow(received.total - sum(held.last(1)), finished.total).ratio
        signal = Signal("received for each finished", round(ratio, 2), self.again, f"{_HOUR} minutes")
        return Sick(Finding(self.name, str(target.arn), f"{target.arn.name}: {text}", (signal,)))

    def _of_letters(self, target: Target, source: Arn, seen: Readings) -> Observation:
        """Letters keep the age that they had when they died: who keeps them no longer than their queue loses some."""
        kept: dict[Arn, int] = {}
        letters: int | None = None
        for arn in (source, target.arn):
            attributes = seen.resource(_attributes(arn))
            if isinstance(attributes, Unread):
                return Unknown(attributes.reason)
            if attributes is None:
                return Unknown(f"{arn} does not exist")
            span, letters = states.number(attributes, _RETENTION), states.messages(attributes)
            if span is None or letters is None:
                return Unknown(f"SQS did not say how long {arn.name} keeps its messages, or how many it has")
            kept[arn] = span
        own, of_source = kept[target.arn], kept[source]
        if own >= _MOST[_RETENTION] or (not letters and own >= of_source):
            return Healthy(f"letters are kept for {_span(own)}, messages for {_span(of_source)}")
        why = f"messages of {source.name} for {_span(of_source)}" if own < of_source else f"{letters} wait"
        symptom = f"{target.arn.name} keeps its letters for {_span(own)}, and {why}"
        days = Signal("retention", round(own / 86_400, 2), _MOST[_RETENTION] / 86_400, "now", "days")
        return Sick(Finding(self.name, str(target.arn), symptom, (days,)))

    # -- diagnosis -------------------------------------------------------------------------------------------------

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        attributes = states.queue(read, target.arn)
        if target.source is not None:
            now = _said(attributes, _RETENTION)
            if now >= _MOST[_RETENTION]:
                raise Refused("queue", f"it keeps its letters for {_span(now)} by now", retry_after=_LATER)
            facts = _facts(target.arn, _RETENTION, now, _MOST[_RETENTION])
            cause = f"{target.arn.name} forgets its letters after {_span(now)}"
            return self._ours(read, target, cause, (finding.symptom,), facts)
        _check_settled(attributes, read.now())
        now = _said(attributes, _TIMEOUT)
        mappings = _mappings(read, target)
        work = self._of_function(read, target, mappings) if mappings else self._of_work(read, target.arn, now)
        measured = (finding.symptom, f"its visibility timeout is {_span(now)}", work.how)
        if work.needs <= now:
            return _not_ours(target.arn, now, measured, known=work.known)
        facts = self._raise(target.arn, attributes, now, work.needs)
        cause = f"{work.how}, and {target.arn.name} hides them for {_span(now)}"
        return self._ours(read, target, cause, measured, facts, work.rejected)

    def _of_function(self, read: Reader, target: Target, mappings: Sequence[Mapping[str, Any]]) -> _Work:
        """How long AWS asks messages to be hidden whose consumer is a function. Refuses while that fails."""
        function = target.consumer
        others = sorted({str(each["FunctionArn"]) for each in mappings} - {str(function)})
        if others or function is None or function.resource.count(":") != 1:  # of a version another timeout may hold
            named = next(iter(others), str(function))
            reason = f"{named} consumes it: name it, without a version or an alias, as its `consumer`"
            raise Refused("consumer", reason)
        timeout = states.function(read, function).get("Timeout")
        if not isinstance(timeout, int):
            raise Refused("consumer", f"Lambda did not say how long {function.name} may run", retry_after=_LATER)
        failed, made = states.sums(
            read, *(function_metric(function, each, "Sum", _HOUR) for each in ("Errors", "Invocations"))
        )
        if failed * 100 > made * self.error_percent:
            reason = f"{failed:.0f} of {made:.0f} calls of {function.name} failed: that brings messages back"
            numbers: dict[str, Json] = {"failed": failed, "calls": made}
            raise Refused("consumer", reason, numbers=numbers, retry_after=_LATER, link=str(function))
        window = max(each.get("MaximumBatchingWindowInSeconds") or 0 for each in mappings)
        needs = _RUNS * timeout + window
        waits = f" and waits {window} s for a batch" if window else ""
        how = f"{function.name} may run for {timeout} s{waits}, so messages should be hidden for {_span(needs)}"
        return _Work(needs, how, rejected="its calls succeed")

    def _of_work(self, read: Reader, queue: Arn, now: int) -> _Work:
        """
        How long the work takes, by the application's own metric: too long only where it does so most of the time.

        What is needed is doubled, and not fitted: a plan that changed with every slow message would never be approved.
        """
        if not self.processing_metric:
            return _Work(0, "how long the work takes is not known: no `processing_metric` is configured", known=False)
        points = sorted(states.series(read, self._work(queue)).last(_HOUR))
        if not points:
            how = f"how long the work takes is not known: {self.processing_metric} was not reported"
            return _Work(0, how, known=False)
        second = 1000 if self.processing_unit == "milliseconds" else 1
        usual, slowest = points[len(points) // 2] / second, points[-1] / second
        how = f"the slowest hundredth of its messages takes up to {slowest:.0f} s"
        needs = now
        while usual > now * _SHARE and slowest > needs * _SHARE:
            needs = max(2 * needs, _LEAST_TIMEOUT)
        return _Work(needs, how, rejected="its work takes longer than messages are hidden, also where it succeeds")

    def _work(self, queue: Arn) -> MetricQuery:
        return MetricQuery(
            self.processing_namespace, self.processing_metric, (("QueueName", queue.name),), "p99", 300, _HOUR
        )

    def _raise(self, arn: Arn, attributes: Mapping[str, Any], now: int, to: int) -> dict[str, Json]:
        """What a higher visibility timeout comes to. Refuses where it would be too high."""
        most = int(self.ceiling.total_seconds())
        if to > most:
            reason = f"it would have to be {_span(to)}, and the ceiling is {_span(most)}"
            raise Refused("ceiling", reason, numbers={"now": now, "needed": to, "ceiling": most})
        received, kept = states.receives(attributes), _said(attributes, _RETENTION)
        if to * (received or 1) >= kept:
            reason = f"what fails would be forgotten after {_span(kept)}, before it could be a dead letter"
            raise Refused("retention", reason, numbers={"needed": to, "receives": received or 0, "retention": kept})
        return {**_facts(arn, _TIMEOUT, now, to), "receives": received}

    def _ours(
        self,
        read: Reader,
        target: Target,
        cause: str,
        evidence: tuple[str, ...],
        facts: Mapping[str, Json],
        rejected: str = "",
    ) -> Diagnosis:
        tags = read("sqs", "ListQueueTags", QueueUrl=queue_url(target.arn)).get("Tags", {})
        return Diagnosis(
            target=str(target.arn),
            cause=cause,
            evidence=evidence,
            rejected=(Alternative("the consumer fails", rejected),) if rejected else (),
            facts={**facts, "stack": tags.get("aws:cloudformation:stack-name", "")},
        )

    # -- the plan --------------------------------------------------------------------------------------------------

    def plan(self, diagnosis: Diagnosis) -> Plan:
        """Raises ValueError for what is no raise, or one beyond AWS's limit: no other call is ever planned."""
        facts = diagnosis.facts
        arn, name, now, to = Arn.parse(facts["queue"]), str(facts["attribute"]), int(facts["from"]), int(facts["to"])
        if not 0 <= now < to <= _MOST[name]:
            msg = f"from {now} to {to} seconds is no raise of {name}"
            raise ValueError(msg)
        if name == _TIMEOUT:
            step, summary = "raise-visibility-timeout", f"hide messages of {arn.name} for {_span(to)} once received"
            risk = _risk(arn, now, to, facts["receives"])
        else:
            step, summary = "raise-retention", f"keep letters in {arn.name} for {_span(to)}"
            risk = "none: nothing is deleted sooner"
        call = Call(
            "sqs",
            "SetQueueAttributes",
            str(arn),
            params={"QueueUrl": queue_url(arn), "Attributes": {name: str(to)}},
            before={name: str(now)},
            why="one attribute, and raised; no other is touched",
        )
        # what was received before comes back by the old timeout, once more
        settle = _SPREADS[name] + (timedelta(seconds=min(now, 3600)) if name == _TIMEOUT else timedelta(0))
        return Plan(
            remediation=self.name,
            target=str(arn),
            summary=f"{summary} instead of {_span(now)}, for good",
            steps=(Step(step, (call,), settle=settle),),
            risk=f"{risk}; {_drift(str(facts['stack']), to)}",
            undo_by_hand=_by_hand(arn, name, now, to),
        )

    def effect(self, call: Call, answer: Mapping[str, Any]) -> Mapping[str, Json]:
        del answer
        return dict(call.params["Attributes"])

    def reconcile(self, read: Reader, call: Call, since: datetime) -> Outcome:
        """Not done only where the old value still stands: a third one may have been written over ours."""
        attributes = states.queue(read, Arn.parse(call.resource))
        if call.params["Attributes"].items() <= attributes.items():
            return Outcome.DONE
        if call.before.items() <= attributes.items() and read.now() >= since + _LANDS:
            return Outcome.NOT_DONE
        return Outcome.UNKNOWN

    def progress(
        self, read: Reader, plan: Plan, step: Step, scratch: Mapping[str, Any]
    ) -> tuple[Progress, str, Ledger | None]:
        """Whether the queue says what was written, or more: what somebody has set lower since is theirs."""
        [(name, written)] = step.calls[0].params["Attributes"].items()
        found = states.number(states.queue(read, Arn.parse(plan.target)), name)
        if found is None:
            return Progress.WAIT, f"SQS did not say what its {name} is", None
        if found < int(written):
            return Progress.STOP, f"its {name} is {found}, and not the {written} that was written", None
        return Progress.NEXT, f"its {name} is {found}", None


# -- what is read ------------------------------------------------------------------------------------------------------


def _attributes(arn: Arn) -> ResourceRead:
    return ResourceRead("sqs.queue", str(arn))


def _flow(arn: Arn) -> tuple[MetricQuery, ...]:
    """What was received and finished in the hour, the same of its last quarter, and what is in somebody's hands."""
    received, finished = "NumberOfMessagesReceived", "NumberOfMessagesDeleted"
    sums = tuple(queue_metric(arn, name, "Sum", span) for span in (_HOUR, _LATELY) for name in (received, finished))
    return (*sums, queue_metric(arn, "ApproximateNumberOfMessagesNotVisible", "Maximum", _LATELY))


def _said(attributes: Mapping[str, Any], name: str) -> int:
    found = states.number(attributes, name)
    if found is None:
        raise Refused("queue", f"SQS did not say what its {name} is", retry_after=_LATER)
    return found


def _check_settled(attributes: Mapping[str, Any], now: datetime) -> None:
    """What was measured before somebody changed the queue says nothing of how it is since."""
    changed = states.number(attributes, "LastModifiedTimestamp")
    minutes = _LATELY if changed is None else int(now.timestamp() - changed) // 60
    if minutes < _LATELY:
        reason = f"its settings were changed {minutes} minutes ago: what was measured is from before"
        raise Refused("changed", reason, numbers={"minutes": minutes}, retry_after=_LATER)


def _mappings(read: Reader, target: Target) -> list[Mapping[str, Any]]:
    """What gives its messages to functions; nothing where the configuration says that a service takes them."""
    if target.consumer is not None and target.consumer.kind != "lambda:function":
        return []
    found = read.pages(
        "lambda", "ListEventSourceMappings", "EventSourceMappings", limit=_MAPPINGS, EventSourceArn=str(target.arn)
    )
    return [each for each in found if each.get("FunctionArn") and each.get("State") not in {"Disabled", "Deleting"}]


# -- in words ----------------------------------------------------------------------------------------------------------


def _facts(arn: Arn, name: str, now: int, to: int) -> dict[str, Json]:
    return {"queue": str(arn), "attribute": name, "from": now, "to": to}


def _not_ours(arn: Arn, now: int, evidence: tuple[str, ...], *, known: bool) -> Diagnosis:
    """Messages come back, and a longer timeout may not be what helps: said, with what would tell."""
    look = "read what the consumer logs of them: aws sqs receive-message would count as one more receive"
    if known:
        cause = f"messages of {arn.name} come back although they are hidden for long enough: their consumer fails"
        return Diagnosis(str(arn), cause, evidence, advice=(f"find out why it fails at them; {look}",))
    cause = f"messages of {arn.name} come back: their consumer fails, or takes longer than {_span(now)}"
    name = shlex.quote(queue_url(arn))
    command = f"aws sqs set-queue-attributes --queue-url {name} --attributes {_TIMEOUT}="
    return Diagnosis(
        str(arn),
        cause,
        evidence,
        advice=(
            f"find out how long the work takes, and whether it fails; {look}",
            f"where it takes longer than {_span(now)}, raise it: {command}SECONDS (a write; never lower it)",
            "have the application report how long it works on a message, and name that as `processing_metric`",
        ),
    )


def _risk(arn: Arn, now: int, to: int, received: int | None) -> str:
    group = "; a FIFO queue holds up the rest of its group as long" if arn.name.endswith(".fifo") else ""
    died = f"a message whose consumer dies comes back after {_span(to)} instead of {_span(now)}{group}"
    if received is None:
        return f"{died}; one that always fails comes back until it is forgotten"
    return f"{died}; one that always fails is a dead letter after up to {_span(to * received)}"


def _drift(stack: str, to: int) -> str:
    who = f"the next deployment of stack {stack} undoes this" if stack else "whatever makes the queue may undo this"
    return f"{who}, unless its template says {to} too"


def _by_hand(arn: Arn, name: str, now: int, to: int) -> str:
    """Set back what was there, if what was written still stands."""
    url = shlex.quote(queue_url(arn))
    ask = (
        f"aws sqs get-queue-attributes --queue-url {url} --attribute-names {name} "
        f"--query Attributes.{name} --output text"
    )
    return f'[ "$({ask})" = {to} ] && aws sqs set-queue-attributes --queue-url {url} --attributes {name}={now}'


def _span(seconds: int) -> str:
    """A span for people: 45 s, 4 min, 2 h, 14 days."""
    for size, name in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= size and not seconds % size:
            return f"{seconds // size} {name}"
    return f"{seconds} s"
