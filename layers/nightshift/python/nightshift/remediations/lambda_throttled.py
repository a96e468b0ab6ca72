"""
A function's calls are turned away: lend it more concurrency for two hours.

Symptom   in three of the last five minutes calls were turned away, and more than 1 % of all that were asked for
Cause     as many run at once as are reserved for it: more calls come in, and none of them takes longer than before
Cure      half as many again, at most 50 more, within the ceiling and what the account can spare
Proof     nothing is turned away any more, and less than 90 % of what is reserved runs at once, for ten minutes
Undo      what was reserved before is reserved again when the lease ends, unless somebody has set another value since
Source    runbook 1 "Increase Lambda concurrency temporarily"; R10

What it will not do: touch a function that somebody has stopped (reserved concurrency 0), or reserve some for one that
has none. Calls that fail, or take longer than they did, wait for something that is busy itself: more of them at once
would load it more. There people are told, as they are where the account has no more to give, where something else than
the reservation is the limit, and where an event source has a limit of its own.

What is reserved for one function the others of the account cannot have. So much is left to them as they use, and never
less than AWS's 100 and 50 more; that is read in the tick that reserves, and once more afterwards: where two took at
the same time, it is given back. AWS itself refuses whoever would leave less than its 100. A reservation costs nothing.

Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from datetime import datetime, timedelta
from statistics import median
from typing import Any, ClassVar

from pydantic import Field, PositiveInt

from nightshift import prices, states, turned_away
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
    Severity,
    Sick,
    Signal,
    Step,
    Target,
    Unknown,
)
from nightshift.remediation import Progress, Reader, Readings, Remediation, Series, Unread
from nightshift.signals import function_metric
from nightshift.states import minutes

__all__ = ["LambdaThrottled"]

_RESERVED, _AT_ONCE = "ReservedConcurrentExecutions", "ConcurrentExecutions"
_MINUTES = 10  # that are looked at
_LATE = timedelta(minutes=3)  # how late a minute may be reported
_CALM = timedelta(minutes=3)  # in which a look that proves a cure sees nothing turned away
_REACHED = 0.9  # of what is reserved: so much of it has to run at once to be the limit, and less once it is cured
_STEP = 50  # concurrency that one loan adds at most (R10)
_UNRESERVED = 100 + 50  # what stays for functions without a reservation: AWS's own minimum, and a margin
_SPARE = 50  # the same margin, above what those functions use
_PARTS = 3  # times five minutes with calls that it takes to say how long they took before
_MAPPINGS = 100  # event source mappings of one function; there is hardly ever more than one
_LANDS = timedelta(seconds=60)  # how long a request whose answer was lost may still take effect
_SOON, _LATER = timedelta(minutes=1), timedelta(minutes=5)
_QUOTA = (
    "ask AWS for more concurrent executions in this Region: aws service-quotas request-service-quota-increase "
    "--service-code lambda --quota-code L-B99A9384 --desired-value VALUE (a write)"
)


class LambdaThrottled(Remediation):
    """A Lambda function of which as many calls run at once as are reserved for it."""

    name: ClassVar[str] = "lambda-throttled"
    title: ClassVar[str] = "a function's calls are turned away"
    kinds: ClassVar[tuple[str, ...]] = ("lambda:function",)
    reads: ClassVar[tuple[str, ...]] = ("lambda:GetAccountSettings", "lambda:ListEventSourceMappings")
    writes: ClassVar[tuple[str, ...]] = ("lambda:PutFunctionConcurrency",)

    max_attempts: PositiveInt = Field(default=1, le=3, description="loans per incident before it escalates")
    cooldown: timedelta = Field(default=timedelta(minutes=60), description="between two loans to one function")
    looks: PositiveInt = Field(default=10, description="healthy looks in a row that prove a cure or a recovery")
    patience: timedelta = Field(default=timedelta(minutes=30), description="how long a cure may take to show")
    deadline: timedelta = Field(default=timedelta(hours=2), description="how long an incident may stay open")
    throttle_percent: float = Field(default=1.0, gt=0, lt=100, description="per cent of calls that may be turned away")
    error_percent: float = Field(
        default=5.0, gt=0, lt=100, description="per cent of calls that may fail before that is taken for the cause"
    )
    slower: float = Field(
        default=1.5, ge=1.1, le=10, description="times as long as before that calls may take, and load be the cause"
    )
    history: timedelta = Field(
        default=timedelta(hours=6),
        ge=timedelta(hours=1),
        le=timedelta(hours=24),
        description="how far back is looked for how long calls take",
    )
    ceiling: PositiveInt = Field(
        default=100, le=10_000, description="concurrency that a loan may never bring the function above"
    )
    lease: timedelta = Field(
        default=timedelta(hours=2),
        ge=timedelta(minutes=5),
        le=timedelta(hours=24),
        description="how long what was lent may stay",
    )

    # -- seeing ----------------------------------------------------------------------------------------------------

    def watch(self, target: Target) -> Queries:
        return (_read(target.arn), *_counters(target.arn))

    def examine(self, target: Target) -> Queries:
        return (*self.watch(target), _at_once(target.arn))

    def detect(self, target: Target, seen: Readings) -> Observation:
        """In minutes, not in one burst; why is for the diagnosis to say. What somebody has stopped is no symptom."""
        if target.arn.resource.count(":") != 1:
            return Unknown("name the function itself, without a version or an alias: its concurrency is all of theirs")
        function = seen.resource(_read(target.arn))
        if isinstance(function, Unread):
            return Unknown(function.reason)
        if function is None:
            return Unknown(f"there is no function {target.arn.name}")
        if function.get(_RESERVED) == 0:
            return Healthy("stopped on purpose: reserved concurrency 0")
        found = [seen.metric(query) for query in _counters(target.arn)]
        for each in found:
            if isinstance(each, Unread):
                return Unknown(each.reason)
        calls, throttles = (each for each in found if isinstance(each, Series))
        if calls.total + throttles.total == 0:
            return Healthy(f"not called in {_MINUTES} minutes", idle=True)
        lately = turned_away.since(calls, throttles, seen.at)
        if not lately.lasts(self.throttle_percent):
            return Healthy(f"{lately.text} in 5 minutes")
        share = Signal("throttled calls", round(lately.percent, 1), self.throttle_percent, "5 minutes", "%")
        return self._sick(target, f"{lately.text} in 5 minutes", (share,))

    def recovered(self, target: Target, before: Finding, after: Readings) -> Observation:
        """A minute that CloudWatch has not got yet makes nobody well: what was turned away last must be a while ago."""
        del before
        seen, throttles = self.detect(target, after), after.metric(_counters(target.arn)[1])
        function = after.resource(_read(target.arn))
        stopped = isinstance(function, Mapping) and function.get(_RESERVED) == 0
        if not isinstance(seen, Healthy) or stopped or not isinstance(throttles, Series) or not throttles.points:
            return seen
        at, value = throttles.points[-1]
        if value and at >= turned_away.end(after.at) - _LATE:
            return Unknown("calls were turned away a moment ago, and it is too early to tell whether they are")
        return seen

    def _sick(self, target: Target, symptom: str, signals: tuple[Signal, ...]) -> Sick:
        text = f"{target.arn.name}: {symptom}"
        return Sick(Finding(self.name, str(target.arn), text, signals, severity=Severity.SEV2))

    # -- diagnosis -------------------------------------------------------------------------------------------------

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        """Why calls are turned away; the reservation alone can be lent to."""
        arn, seen = target.arn, read.seen(*self.watch(target))
        function = seen.resource(_read(arn))
        if not isinstance(self.detect(target, seen), Sick) or not isinstance(function, Mapping):
            raise Refused("function", "its calls are not turned away any more", retry_after=_SOON)
        peak = _most(read, _at_once(arn))
        if peak is None:
            raise Refused("history", "nobody has measured how many of it run at once", retry_after=_SOON)
        self._check_errors(read, arn)
        reserved = function.get(_RESERVED)
        ran = f"at most {peak:.0f} ran at once"
        if not isinstance(reserved, int):
            return _of_account(read, arn, function, (finding.symptom, f"{ran}; none are reserved for it"))
        evidence = (finding.symptom, f"{ran}; reserved are {reserved}")
        if peak < reserved * _REACHED:
            return _of_something_else(read, arn, reserved, evidence)
        took = self._took(read, arn)
        if took.slower(self.slower):
            return _of_what_it_calls(arn, (*evidence, took.text))
        if reserved >= self.ceiling:
            reason = f"{reserved} are reserved for it already; the ceiling is {self.ceiling}"
            raise Refused("ceiling", reason, numbers={"reserved": reserved, "ceiling": self.ceiling})
        unreserved, used = _pool(read)
        spare = unreserved - max(_UNRESERVED, math.ceil(used) + _SPARE)
        pool = f"{unreserved} of the account's are not reserved, of which {used:.0f} ran at once"
        to = min(reserved + min(math.ceil(reserved / 2), _STEP), self.ceiling, reserved + spare)
        if to <= reserved:
            cause = f"all {reserved} that are reserved for {arn.name} run at once, and the account has none to spare"
            return Diagnosis(str(arn), cause, (*evidence, took.text, pool), advice=_no_more(arn))
        return Diagnosis(
            target=str(arn),
            cause=f"all {reserved} that are reserved for {arn.name} run at once, and more calls come in",
            evidence=(*evidence, took.text, pool),
            rejected=(
                Alternative("somebody stopped it", "its reserved concurrency is not 0"),
                Alternative("its calls fail", f"at most {self.error_percent:g} % of them do"),
                Alternative("what it calls is busy", "its calls take no longer than before"),
                Alternative("the account's own limit", "others could give some away, and have enough"),
            ),
            facts={"function": str(arn), "from": reserved, "to": to},
        )

    def _check_errors(self, read: Reader, arn: Arn) -> None:
        """What fails is not to be had more of; why it fails is another incident's."""
        failed, made = states.sums(
            read, *(function_metric(arn, each, "Sum", _MINUTES) for each in ("Errors", "Invocations"))
        )
        if 100 * failed > made * self.error_percent:
            raise Refused(
                "cause",
                f"{failed:.0f} of {made:.0f} calls of {arn.name} fail: more of them at once are no cure for that",
                numbers={"failed": failed, "calls": made},
                retry_after=_SOON,
                link=str(arn),
            )

    def _took(self, read: Reader, arn: Arn) -> _Took:
        """How long calls take, and took before: what slows down fills any reservation. Refuses where nobody knows."""
        span, newest = minutes(self.history), turned_away.end(read.now()) - 2 * turned_away.WINDOW
        parts = states.series(read, function_metric(arn, "Duration", "Average", span, period=300)).points
        before = [value for at, value in parts if at + turned_away.WINDOW <= newest]
        query = function_metric(arn, "Duration", "Average", _MINUTES)
        lately = states.series(read, query).last(minutes(turned_away.WINDOW))
        if len(before) < _PARTS or not lately:
            reason = f"it was called too little in {span} minutes to tell load from slow calls"
            raise Refused("history", reason, numbers={"parts": len(before), "needed": _PARTS}, retry_after=_LATER)
        return _Took(median(before), max(lately))

    # -- the plan --------------------------------------------------------------------------------------------------

    def plan(self, diagnosis: Diagnosis) -> Plan:
        """The number to go to is the diagnosis's. Raises ValueError for what is no loan: from 0, or not to more."""
        facts = diagnosis.facts
        arn, now, to = Arn.parse(facts["function"]), int(facts["from"]), int(facts["to"])
        if not 0 < now < to:
            msg = f"from {now} to {to} is no loan of concurrency"
            raise ValueError(msg)
        there, back = _reserve(arn, to, before=now), _reserve(arn, now, before=to, stops=True)
        why = "more of its calls run at once"
        name = shlex.quote(arn.name)
        return Plan(
            remediation=self.name,
            target=str(arn),
            summary=f"let {to} calls of {arn.name} run at once instead of {now}, for {minutes(self.lease)} minutes",
            steps=(Step("more-concurrency", (there,), settle=timedelta(minutes=1), undo=(back,), why=why),),
            risk=f"what it calls gets up to {to} calls at once; functions without a reservation have {to - now} less",
            undo_by_hand=(
                f"aws lambda put-function-concurrency --function-name {name} --reserved-concurrent-executions {now}"
            ),
            cost_per_hour=0.0,
            lease=self.lease,
        )

    def effect(self, call: Call, answer: Mapping[str, Any]) -> Mapping[str, Json]:
        return {_RESERVED: answer.get(_RESERVED)}

    def reconcile(self, read: Reader, call: Call, since: datetime) -> Outcome:
        """Not done only where the old value still stands: a third one may have been written over ours."""
        found = states.function(read, Arn.parse(call.resource)).get(_RESERVED)
        if found == call.params[_RESERVED]:
            return Outcome.DONE
        if found == call.before[_RESERVED] and read.now() >= since + _LANDS:
            return Outcome.NOT_DONE
        return Outcome.UNKNOWN

    # -- how it goes -----------------------------------------------------------------------------------------------

    def progress(
        self, read: Reader, plan: Plan, step: Step, scratch: Mapping[str, Any]
    ) -> tuple[Progress, str, Ledger | None]:
        """Whether the others still have enough: who reserved at the same moment could not know of us."""
        wanted = step.calls[0].params[_RESERVED]
        found = states.function(read, Arn.parse(plan.target)).get(_RESERVED)
        if found != wanted:
            return Progress.NEXT, f"somebody has set {found} since", None
        unreserved, _ = _pool(read)
        left = f"{unreserved} of the account's are left without a reservation"
        if unreserved < _UNRESERVED:
            return Progress.STOP, f"{left}, fewer than {_UNRESERVED}: somebody else took some, too", None
        return Progress.NEXT, left, None

    def verify(self, target: Target, before: Finding, after: Readings) -> Observation:
        """Cured is less than not sick: nothing is turned away any more, and there is room again."""
        seen = self.detect(target, after)
        function, at_once = after.resource(_read(target.arn)), after.metric(_at_once(target.arn))
        found = [after.metric(query) for query in _counters(target.arn)]
        if not isinstance(seen, Healthy) or seen.idle or not isinstance(function, Mapping):
            return seen
        if isinstance(at_once, Unread):
            return Unknown(at_once.reason)
        calls, throttles = (each for each in found if isinstance(each, Series))
        lately = turned_away.since(calls, throttles, after.at, _CALM)
        if lately.throttled:
            return self._sick(target, f"{lately.text} in {minutes(_CALM)} minutes", before.signals)
        reserved, peak = function.get(_RESERVED), max(at_once.last(minutes(_CALM)), default=0.0)
        if isinstance(reserved, int) and peak >= reserved * _REACHED > 0:
            return self._sick(target, f"{peak:.0f} of {reserved} that may ran at once", before.signals)
        return Healthy(f"nothing was turned away in {minutes(_CALM)} minutes, and at most {peak:.0f} ran at once")

    def still_ours(self, read: Reader, plan: Plan) -> bool | None:
        """Whether what we reserved is still reserved: also 0 is somebody's value, and stays."""
        found = states.function(read, Arn.parse(plan.target)).get(_RESERVED)
        return bool(found == plan.steps[0].calls[0].params[_RESERVED])


class _Took:
    """How long calls took before, and take now, in milliseconds."""

    def __init__(self, before: float, now: float) -> None:
        self.before, self.now = before, now

    def slower(self, times: float) -> bool:
        """Whether that is why so many run at once."""
        return self.now > self.before * times

    @property
    def text(self) -> str:
        """For people."""
        return f"its calls take {self.now / 1000:.2f} s on average, and took {self.before / 1000:.2f} s before"


# -- what is read ------------------------------------------------------------------------------------------------------


def _read(arn: Arn) -> ResourceRead:
    return ResourceRead("lambda.function", str(arn))


def _counters(arn: Arn) -> tuple[MetricQuery, MetricQuery]:
    """Calls that ran, and those that were turned away."""
    return (
        function_metric(arn, "Invocations", "Sum", _MINUTES),
        function_metric(arn, "Throttles", "Sum", _MINUTES),
    )


def _at_once(arn: Arn) -> MetricQuery:
    return function_metric(arn, _AT_ONCE, "Maximum", _MINUTES)


def _most(read: Reader, query: MetricQuery) -> float | None:
    return max(states.series(read, query).last(minutes(turned_away.WINDOW)), default=None)


def _pool(read: Reader) -> tuple[int, float]:
    """
    What of the account's concurrency is not reserved, and how much of that ran at once.

    Lambda measures the latter where any function without a reservation runs: no figure is a zero.
    """
    limits = read("lambda", "GetAccountSettings").get("AccountLimit", {})
    unreserved = limits.get("UnreservedConcurrentExecutions")
    if not isinstance(unreserved, int):
        raise Refused("account", "Lambda did not say how much of the account's is not reserved", retry_after=_LATER)
    used = _most(read, MetricQuery("AWS/Lambda", "UnreservedConcurrentExecutions", (), "Maximum", 60, _MINUTES))
    return unreserved, used or 0.0


def _reserve(arn: Arn, value: int, *, before: int, stops: bool = False) -> Call:
    """Source: https://docs.aws.amazon.com/lambda/latest/api/API_PutFunctionConcurrency.html."""
    return Call(
        "lambda",
        "PutFunctionConcurrency",
        str(arn),
        params={"FunctionName": arn.name, _RESERVED: value},
        before={_RESERVED: before},
        why="another reservation, and nothing else: neither its code nor its settings",
        stops=stops,
    )


# -- what only people can cure -----------------------------------------------------------------------------------------


def _of_account(read: Reader, arn: Arn, function: Mapping[str, Any], evidence: tuple[str, ...]) -> Diagnosis:
    """It shares what is left of the account's with others, and there is none for it alone to be lent."""
    unreserved, used = _pool(read)
    pool = f"{unreserved} of the account's are not reserved, of which {used:.0f} ran at once"
    if used >= unreserved * _REACHED:
        cause = f"calls of {arn.name} are turned away, because the account's concurrency is used up, by it or by others"
        return Diagnosis(str(arn), cause, (*evidence, pool), advice=_no_more(arn))
    cause = f"calls of {arn.name} are turned away, and neither a reservation nor the account's concurrency is used up"
    advice = ("look whether more come in at once than Lambda starts: 1,000 more each ten seconds, for each function",)
    return Diagnosis(str(arn), cause, (*evidence, pool), advice=(*advice, _provisioned(arn, function), *_no_more(arn)))


def _provisioned(arn: Arn, function: Mapping[str, Any]) -> str:
    """
    What is started before calls come, and is paid for as long as it stands: for a person to decide.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/provisioned-concurrency.html
    """
    memory, gib = function.get("MemorySize"), prices.per_hour(arn.region, "lambda-provisioned-gib")
    price = (
        f"about ${gib * memory / 1024:.4f} an hour for each" if gib and isinstance(memory, int) else "at AWS's price"
    )
    return (
        f"where it is known when they come: provisioned concurrency, {price} for as long as it stands, calls or not. "
        f"It is given to a version or an alias of {arn.name} that its callers name, never to $LATEST: by hand"
    )


def _of_something_else(read: Reader, arn: Arn, reserved: int, evidence: tuple[str, ...]) -> Diagnosis:
    """Some of the reservation is free: a higher one changes nothing. An event source may have a limit of its own."""
    found = read.pages(
        "lambda", "ListEventSourceMappings", "EventSourceMappings", limit=_MAPPINGS, FunctionName=arn.name
    )
    limits = [
        f"{str(each.get('EventSourceArn')).rpartition(':')[2]} may have at most {most} of its calls run at once"
        for each in found
        if isinstance(most := (each.get("ScalingConfig") or {}).get("MaximumConcurrency"), int) and most < reserved
    ]
    free = f"calls of {arn.name} are turned away, and some of the {reserved} that are reserved for it are free"
    if limits:
        advice = "raise MaximumConcurrency of its event source mapping, if what it calls can take more: by hand"
        return Diagnosis(str(arn), f"{free}: {'; '.join(limits)}", evidence, advice=(advice,))
    advice = "look whether calls come in bursts of seconds, or more than ten a second for each that may run at once"
    return Diagnosis(str(arn), free, evidence, advice=(advice, "spread them, with a queue before the function say"))


def _of_what_it_calls(arn: Arn, evidence: tuple[str, ...]) -> Diagnosis:
    cause = f"calls of {arn.name} take longer than before, and so fill what is reserved for it: what they wait for"
    return Diagnosis(
        target=str(arn),
        cause=cause,
        evidence=evidence,
        rejected=(Alternative("load", "as many calls as before would take longer, too"),),
        advice=(
            "look at what its calls wait for: a database, another service, a limit there",
            "reserve no more until that is quick again: more calls at once would load it more",
        ),
    )


def _no_more(arn: Arn) -> tuple[str, ...]:
    return (
        "see what the account has, and who has reserved how much: aws lambda get-account-settings (read only)",
        _QUOTA,
        f"where others can do with less, take it from them, and only then reserve more for {arn.name}: by hand",
    )
