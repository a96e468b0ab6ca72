"""
Calls of a function wait until an instance of it has started: ask whether some may be kept ready for a while.

Symptom   in each of the last three parts of five minutes more than 5 % of the calls that name an alias had to wait for
          a start, and the shortest start took more than half a second
Cause     asked in order: calls that are turned away or fail, an alias that is being moved, starts of another version,
          what is kept ready already; what is left is that the load comes in steeper than instances are there
Cure      as many instances kept ready as ran at once, and a tenth more, in whole fives, within the ceiling and what
          the function and the account can spare, for two hours, once a person has said yes
Proof     calls are served by what is kept ready, and no more than the 5 % go past it
Undo      they are given up when the lease ends, unless somebody has changed their number, or had autoscaling set it
Source    runbook 1 "Scale up resources if capacity issue", row 1.23; R10

What is kept ready is paid for by the hour, calls or not. So a target has to say of which alias it may be, and of how
many at most (`provisioned`), and no plan is carried out without a person's yes, whatever the modes are. AWS keeps
nothing ready of $LATEST: callers have to name the alias. What it keeps ready belongs to the alias, and follows it.

What it will not do: change a number that is there, whoever has set it; set one that Application Auto Scaling sets; take
from a function that somebody has stopped; or guess how calls start where nobody measures it, that is where Lambda
Insights is off. Whether Insights counts the starts of what is kept ready is not documented, so the cure is proven by
Lambda's own figures alone.

Source: https://docs.aws.amazon.com/lambda/latest/dg/provisioned-concurrency.html,
https://docs.aws.amazon.com/lambda/latest/dg/monitoring-concurrency.html,
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Lambda-Insights-example-event.html
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field, PositiveInt

from nightshift import prices, serving, states
from nightshift.errors import Missing, Refused
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
from nightshift.remediation import Actor, Progress, Reader, Readings, Remediation, Series, Unread
from nightshift.signals import function_metric
from nightshift.states import minutes

__all__ = ["LambdaColdStarts"]

_READY, _RESERVED = "ProvisionedConcurrentExecutions", "ReservedConcurrentExecutions"
_REQUESTED = "RequestedProvisionedConcurrentExecutions"
_DIMENSION = "lambda:function:ProvisionedConcurrency"
_NONE = "none"  # what a call says of an alias of which nothing is kept ready
_PERIOD, _WINDOW = 300, 15  # seconds of a part, and minutes of the three that are looked at
_HISTORY = 60  # minutes in which is looked how many ran at once
_MORE = 1.1  # times what ran at once: the tenth more that AWS advises
_FIVES = 5  # above it a number is made of whole fives: a question stays the same while the load wavers
_FAILING = 5.0  # per cent of the calls: above that it is no matter of starts
_KEPT = 100 + 50  # what stays for functions without a reservation: AWS's own minimum, and a margin
_CONFIGS = 100  # numbers kept ready of one function; there is hardly ever more than one
_LANDS = timedelta(seconds=60)  # how long a request whose answer was lost may still take effect
_SOON, _LATER = timedelta(minutes=1), timedelta(minutes=5)


class LambdaColdStarts(Remediation):
    """A Lambda function of which calls that name an alias wait for instances to start."""

    name: ClassVar[str] = "lambda-cold-starts"
    title: ClassVar[str] = "a function's calls wait for it to start"
    kinds: ClassVar[tuple[str, ...]] = ("lambda:function",)
    needs: ClassVar[tuple[str, ...]] = ("provisioned",)
    reads: ClassVar[tuple[str, ...]] = (
        "application-autoscaling:DescribeScalableTargets",
        "lambda:GetAccountSettings",
        "lambda:GetAlias",
        "lambda:GetFunctionConfiguration",
        "lambda:ListProvisionedConcurrencyConfigs",
    )
    writes: ClassVar[tuple[str, ...]] = (
        "lambda:DeleteProvisionedConcurrencyConfig",
        "lambda:PutProvisionedConcurrencyConfig",
    )

    max_attempts: PositiveInt = Field(default=1, le=1, description="loans per incident before it escalates")
    cooldown: timedelta = Field(default=timedelta(minutes=60), description="between two loans to one function")
    looks: PositiveInt = Field(default=5, description="healthy looks in a row that prove a cure or a recovery")
    patience: timedelta = Field(default=timedelta(minutes=30), description="how long a cure may take to show")
    deadline: timedelta = Field(default=timedelta(hours=6), description="how long an incident may stay open")
    cold_percent: float = Field(
        default=5.0, gt=0, lt=100, description="per cent of calls that may wait for an instance to start"
    )
    milliseconds: PositiveInt = Field(
        default=500, le=30_000, description="milliseconds that a start may take, the shortest of five minutes"
    )
    calls: PositiveInt = Field(default=100, description="calls in five minutes that it takes to tell")
    allocating: timedelta = Field(
        default=timedelta(minutes=15),
        ge=timedelta(minutes=2),
        le=timedelta(hours=1),
        description="how long AWS may take to have them ready",
    )
    lease: timedelta = Field(
        default=timedelta(hours=2),
        ge=timedelta(minutes=15),
        le=timedelta(hours=24),
        description="how long they may be kept ready",
    )
    gib_dollars_per_hour: float | None = Field(
        default=None, gt=0, le=10, description="what one GiB kept ready costs, in US dollars; its list price if unsaid"
    )

    # -- seeing ----------------------------------------------------------------------------------------------------

    def watch(self, target: Target) -> Queries:
        return (_read(target.arn), *_of_starts(target.arn, _alias(target)))

    def examine(self, target: Target) -> Queries:
        return (*self.watch(target), *_of_ready(target.arn, _alias(target)))

    def detect(self, target: Target, seen: Readings) -> Observation:
        """Cold in each part, and each with calls enough to tell: a burst, or the first calls of a day, are no load."""
        function = seen.resource(_read(target.arn))
        if isinstance(function, Unread):
            return Unknown(function.reason)
        if function is None:
            return Unknown(f"there is no function {target.arn.name}")
        if function.get(_RESERVED) == 0:
            return Healthy("stopped on purpose: reserved concurrency 0")
        parts = _parts(target, seen)
        if isinstance(parts, Unknown):
            return parts
        newest = parts[-1]
        if newest.calls < self.calls:
            return Healthy(f"too few calls to tell: fewer than {self.calls} in five minutes", idle=True)
        if newest.starts is None:
            return Unknown("nobody measures how its calls start: Lambda Insights is off")
        if all(self._cold(part) for part in parts):
            return Sick(self._finding(target, parts))
        return Healthy(newest.text)

    def recovered(self, target: Target, before: Finding, after: Readings) -> Observation:
        """Calls that still wait are not well because they have not waited for all of a quarter of an hour."""
        del before
        seen, parts = self.detect(target, after), _parts(target, after)
        if isinstance(seen, Healthy) and not isinstance(parts, Unknown) and self._cold(parts[-1]):
            return Unknown("calls wait for a start, and have not done so for a quarter of an hour")
        return seen

    def _cold(self, part: _Part) -> bool:
        return part.calls >= self.calls and part.percent > self.cold_percent and part.shortest > self.milliseconds

    def _finding(self, target: Target, parts: tuple[_Part, ...]) -> Finding:
        cold = min(part.percent for part in parts)
        return Finding(
            remediation=self.name,
            target=str(target.arn),
            symptom=f"{target.arn.name}: {cold:.0f} % or more of its calls as {_alias(target)} have waited for a start",
            signals=(
                Signal("calls that wait for a start", round(cold, 1), self.cold_percent, "5 minutes, 3 of 3", "%"),
                Signal("the shortest start", round(parts[-1].shortest), self.milliseconds, "5 minutes", "ms"),
            ),
            severity=Severity.SEV3,
        )

    # -- diagnosis -------------------------------------------------------------------------------------------------

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        """Why calls wait; only what nobody keeps ready yet can be lent."""
        arn, alias, seen = target.arn, _alias(target), read.seen(*self.watch(target))
        parts = _parts(target, seen)
        if isinstance(parts, Unknown) or not isinstance(self.detect(target, seen), Sick):
            raise Refused("function", "its calls do not wait for a start any more", retry_after=_SOON)
        self._check_calls(read, arn)
        version = self._version(read, arn, alias)
        evidence: tuple[str, ...] = (
            finding.symptom,
            f"{parts[-1].text}; the shortest start took {parts[-1].shortest / 1000:.1f} s",
        )
        if version == "$LATEST":
            return _of_latest(arn, alias, evidence)
        waited = self._of_version(read, arn, version, parts)
        evidence = (*evidence, f"{alias} is version {version}, of which {waited.starts or 0:.0f} of them were")
        if waited.percent <= self.cold_percent:
            return _of_others(arn, alias, evidence)
        configs = _configs(read, arn)
        kept = {label: number for label, number in configs.items() if label in {alias, version}}
        owned = _scaled(read, arn, alias)
        if kept or owned:
            return _kept_already(arn, alias, kept, evidence, owned=owned)
        return self._lent(read, target, version, sum(configs.values()), evidence)

    def _check_calls(self, read: Reader, arn: Arn) -> None:
        """What is turned away or fails is another incident's, and goes first. Raises Refused."""
        away, failed, made = states.sums(
            read,
            *(function_metric(arn, each, "Sum", _WINDOW) for each in ("Throttles", "Errors", "Invocations")),
        )
        if away:
            reason = f"{away:.0f} calls of {arn.name} were turned away in {_WINDOW} minutes: that goes first"
            raise Refused("cause", reason, numbers={"throttles": away}, retry_after=_LATER, link=str(arn))
        if 100 * failed > made * _FAILING:
            reason = f"{failed:.0f} of {made:.0f} calls of {arn.name} fail: to have it ready is no cure for that"
            numbers = {"failed": failed, "calls": made}
            raise Refused("cause", reason, numbers=numbers, retry_after=_LATER, link=str(arn))

    def _version(self, read: Reader, arn: Arn, alias: str) -> str:
        """What the alias leads to. Raises Refused while it leads to two: then it is being moved."""
        try:
            found = read("lambda", "GetAlias", FunctionName=arn.name, Name=alias)
        except Missing as missing:
            raise Refused("alias", f"{arn.name} has no alias {alias}: see what provisioned says") from missing
        if (found.get("RoutingConfig") or {}).get("AdditionalVersionWeights"):
            raise Refused("mid-change", f"{alias} is being moved from one version to another", retry_after=_LATER)
        return str(found.get("FunctionVersion"))

    def _of_version(self, read: Reader, arn: Arn, version: str, parts: tuple[_Part, ...]) -> _Part:
        """The newest part, with the starts of that version alone: those of others are none of the alias's."""
        count, shortest = _of_init(arn, version)
        at = parts[-1].at
        starts = dict(states.series(read, count).points).get(at, 0.0)
        return _Part(at, parts[-1].calls, starts, dict(states.series(read, shortest).points).get(at, 0.0))

    def _lent(self, read: Reader, target: Target, version: str, others: int, evidence: tuple[str, ...]) -> Diagnosis:
        arn, alias = target.arn, _alias(target)
        peak = max(states.series(read, _at_once(arn, alias)).last(_HISTORY), default=0.0)
        if peak < 1:
            raise Refused("history", f"nobody has measured how many of {alias} run at once", retry_after=_LATER)
        ceiling = target.provisioned.ceiling if target.provisioned is not None else 0
        wanted = min(_fives(peak * _MORE), ceiling)
        spare, whose = _spare(read, arn, others)
        ran = f"at most {peak:.0f} ran at once; {spare} more may be kept ready, {whose}"
        to = min(wanted, spare)
        if to < 1:
            return Diagnosis(
                str(arn),
                f"calls of {arn.name} as {alias} wait for a start, and there is none to spare, {whose}",
                (*evidence, ran),
                advice=(
                    "see what the account has, and who has how much: aws lambda get-account-settings (read only)",
                    *_quicker(arn),
                ),
            )
        memory = _memory(read, arn, alias)
        return Diagnosis(
            target=str(arn),
            cause=f"calls of {arn.name} as {alias} come in steeper than instances are there, and wait for a start",
            evidence=(*evidence, ran),
            rejected=(
                Alternative("calls that fail, or are turned away", "none is turned away, and hardly any fails"),
                Alternative("a version that is being shifted to", f"{alias} leads to version {version} alone"),
                Alternative("what is kept ready already", f"nothing is, neither of {alias} nor of {version}"),
            ),
            facts={"function": str(arn), "alias": alias, "version": version, "to": to, "memory": memory},
        )

    # -- the plan --------------------------------------------------------------------------------------------------

    def plan(self, diagnosis: Diagnosis) -> Plan:
        """The number is the diagnosis's. Raises ValueError for what is no loan: none, or of $LATEST."""
        facts = diagnosis.facts
        arn, alias, to, memory = Arn.parse(facts["function"]), facts["alias"], int(facts["to"]), int(facts["memory"])
        if to < 1 or not alias or alias == "$LATEST":
            msg = f"{to} of {alias} are no loan"
            raise ValueError(msg)
        about, params = f"{arn}:{alias}", {"FunctionName": arn.name, "Qualifier": alias}
        keep = Call(
            "lambda",
            "PutProvisionedConcurrencyConfig",
            about,
            params={**params, _READY: to},
            before={_READY: _NONE},
            why="so many instances are started before calls come, and neither code nor settings change",
        )
        back = Call(
            "lambda", "DeleteProvisionedConcurrencyConfig", about, params=params, before={_READY: to}, stops=True
        )
        said = self.gib_dollars_per_hour
        gib = prices.per_hour(arn.region, "lambda-provisioned-gib") if said is None else said
        return Plan(
            remediation=self.name,
            target=str(arn),
            summary=(
                f"keep {to} instances of {arn.name} ready for calls as {alias}, for {minutes(self.lease)} minutes, "
                f"each with {memory} MB"
            ),
            steps=(Step("keep-ready", (keep,), settle=timedelta(minutes=2), undo=(back,), why="let calls find them"),),
            risk=(
                "medium: it is paid for by the hour, calls or not, and when it goes calls wait again; other functions, "
                f"or calls of this one that do not name {alias}, have {to} less"
            ),
            undo_by_hand=(
                f"aws lambda delete-provisioned-concurrency-config --function-name {shlex.quote(arn.name)} "
                f"--qualifier {shlex.quote(alias)}"
            ),
            cost_per_hour=None if gib is None else gib * memory / 1024 * to,
            lease=self.lease,
            final=True,
            asks=True,
        )

    def apply(self, act: Actor, plan: Plan, step: Step) -> None:
        act.scratch["began"] = act.now().isoformat()
        super().apply(act, plan, step)

    def effect(self, call: Call, answer: Mapping[str, Any]) -> Mapping[str, Json]:
        return {_READY: answer.get(_REQUESTED) if call.operation.startswith("Put") else _NONE}

    def reconcile(self, read: Reader, call: Call, since: datetime) -> Outcome:
        """Another number than ours may have been set over it: then nobody can tell."""
        there, late = _ready(read, call), read.now() >= since + _LANDS
        if call.operation == "PutProvisionedConcurrencyConfig":
            if there is None:
                return Outcome.NOT_DONE if late else Outcome.UNKNOWN
            return Outcome.DONE if there.get(_REQUESTED) == call.params[_READY] else Outcome.UNKNOWN
        if there is None:
            return Outcome.DONE
        return Outcome.NOT_DONE if late and there.get(_REQUESTED) == call.before[_READY] else Outcome.UNKNOWN

    # -- how it goes -----------------------------------------------------------------------------------------------

    def progress(
        self, read: Reader, plan: Plan, step: Step, scratch: Mapping[str, Any]
    ) -> tuple[Progress, str, Ledger | None]:
        """They are there when AWS says so; where it cannot, or not in time, they are given up."""
        there = _ready(read, step.calls[0])
        if there is None:
            return Progress.STOP, "nothing is kept ready any more", None
        status, wanted = str(there.get("Status")), step.calls[0].params[_READY]
        if there.get(_REQUESTED) != wanted:
            return Progress.NEXT, f"somebody has set {there.get(_REQUESTED)} since", None
        if status == "READY":
            return Progress.NEXT, f"{wanted} instances are ready", None
        if status == "FAILED":
            return Progress.STOP, "AWS could not have them ready", None
        began = str(scratch.get("began", ""))
        if began and read.now() >= datetime.fromisoformat(began) + self.allocating:
            return Progress.STOP, f"after {minutes(self.allocating)} minutes they are still not all ready", None
        have = there.get("AvailableProvisionedConcurrentExecutions")
        return Progress.WAIT, f"{have} of {wanted} instances are ready", None

    def verify(self, target: Target, before: Finding, after: Readings) -> Observation:
        """By Lambda's own count of the calls that what is kept ready has served, and of those that went past it."""
        found = [after.metric(query) for query in _of_ready(target.arn, _alias(target))]
        for each in found:
            if isinstance(each, Unread):
                return Unknown(each.reason)
        query, *_ = _of_ready(target.arn, _alias(target))
        newest = serving.bounds(after.at, query)[-1]
        served, past = (dict(each.points).get(newest, 0.0) for each in found if isinstance(each, Series))
        calls = _parts(target, after)
        if isinstance(calls, Unknown):
            return calls
        if calls[-1].calls < self.calls:
            return Unknown("cannot be judged yet: too few calls")
        if not served:
            return self._still(target, before, "none of its calls was served by what is kept ready")
        percent = 100 * past / (served + past)
        said = f"{past:.0f} of {served + past:.0f} calls in 5 minutes went past what is kept ready"
        return self._still(target, before, said) if percent > self.cold_percent else Healthy(said)

    def _still(self, target: Target, before: Finding, said: str) -> Sick:
        text = f"{target.arn.name}: {said}"
        return Sick(Finding(self.name, str(target.arn), text, before.signals, severity=before.severity))

    def still_ours(self, read: Reader, plan: Plan) -> bool | None:
        """Whether as many are kept ready as we asked for, and nobody has autoscaling set that number since."""
        call = plan.steps[0].calls[0]
        there = _ready(read, call)
        if there is None or there.get(_REQUESTED) != call.params[_READY]:
            return False
        return not _scaled(read, Arn.parse(plan.target), str(call.params["Qualifier"]))


@dataclass(frozen=True, slots=True)
class _Part:
    """Five minutes: calls that name the alias, and how many instances started (None: nobody measures that)."""

    at: datetime
    calls: float
    starts: float | None
    shortest: float = 0.0

    @property
    def percent(self) -> float:
        """How many of the calls waited: each start is one call's."""
        return 100 * (self.starts or 0.0) / self.calls if self.calls else 0.0

    @property
    def text(self) -> str:
        """For people."""
        return f"{self.starts or 0:.0f} of {self.calls:.0f} calls waited for a start in 5 minutes"


# -- what is read ------------------------------------------------------------------------------------------------------


def _alias(target: Target) -> str:
    return target.provisioned.alias if target.provisioned is not None else ""


def _read(arn: Arn) -> ResourceRead:
    return ResourceRead("lambda.function", str(arn))


def _as(arn: Arn, alias: str, metric: str, stat: str, span: int = _WINDOW) -> MetricQuery:
    """A figure of the calls that name an alias."""
    dimensions = (("FunctionName", arn.name), ("Resource", f"{arn.name}:{alias}"))
    return MetricQuery("AWS/Lambda", metric, dimensions, stat, _PERIOD, span)


def _insights(arn: Arn, metric: str, stat: str, version: str = "") -> MetricQuery:
    """A figure of Lambda Insights, of all versions or of one."""
    dimensions: tuple[tuple[str, str], ...] = (("function_name", arn.name),)
    if version:
        dimensions = (*dimensions, ("version", version))
    return MetricQuery("LambdaInsights", metric, dimensions, stat, _PERIOD, _WINDOW)


def _of_init(arn: Arn, version: str = "") -> tuple[MetricQuery, MetricQuery]:
    """How many instances started, and how long the shortest start took: one sample for each start."""
    return (
        _insights(arn, "init_duration", "SampleCount", version),
        _insights(arn, "init_duration", "Minimum", version),
    )


def _of_starts(arn: Arn, alias: str) -> tuple[MetricQuery, ...]:
    """Calls, how many of them Insights has seen, and starts."""
    seen = _insights(arn, "memory_utilization", "SampleCount")
    return (_as(arn, alias, "Invocations", "Sum"), seen, *_of_init(arn))


def _fives(number: float) -> int:
    """A whole number, and above five the next whole five."""
    whole = math.ceil(round(number, 6))
    return whole if whole <= _FIVES else math.ceil(whole / _FIVES) * _FIVES


def _of_ready(arn: Arn, alias: str) -> tuple[MetricQuery, MetricQuery]:
    """Calls that what is kept ready has served, and those that went past it."""
    return (
        _as(arn, alias, "ProvisionedConcurrencyInvocations", "Sum"),
        _as(arn, alias, "ProvisionedConcurrencySpilloverInvocations", "Sum"),
    )


def _at_once(arn: Arn, alias: str) -> MetricQuery:
    return _as(arn, alias, "ConcurrentExecutions", "Maximum", _HISTORY)


def _parts(target: Target, seen: Readings) -> tuple[_Part, ...] | Unknown:
    """The three newest parts; where Insights has seen calls, no start is none."""
    queries = _of_starts(target.arn, _alias(target))
    found = [seen.metric(query) for query in queries]
    for each in found:
        if isinstance(each, Unread):
            return Unknown(each.reason)
    calls, known, starts, shortest = (dict(each.points) for each in found if isinstance(each, Series))
    return tuple(
        _Part(at, calls.get(at, 0.0), starts.get(at, 0.0) if known.get(at) else None, shortest.get(at, 0.0))
        for at in serving.bounds(seen.at, queries[0])
    )


def _configs(read: Reader, arn: Arn) -> dict[str, int]:
    """How many are kept ready of a function, by alias or version."""
    found = _listed(read, arn.name)
    return {label: int(each.get(_REQUESTED) or 0) for label, each in found.items()}


def _listed(read: Reader, name: str) -> dict[str, Mapping[str, Any]]:
    """
    What is kept ready of a function, by alias or version.

    Source: https://docs.aws.amazon.com/lambda/latest/api/API_ListProvisionedConcurrencyConfigs.html
    """
    items = read.pages(
        "lambda",
        "ListProvisionedConcurrencyConfigs",
        "ProvisionedConcurrencyConfigs",
        limit=_CONFIGS,
        FunctionName=name,
    )
    return {str(each.get("FunctionArn")).rpartition(":")[2]: each for each in items}


def _ready(read: Reader, call: Call) -> Mapping[str, Any] | None:
    """What is kept ready of the alias that a call is about; None where nothing is."""
    return _listed(read, str(call.params["FunctionName"])).get(str(call.params["Qualifier"]))


def _scaled(read: Reader, arn: Arn, alias: str) -> bool:
    """
    Whether Application Auto Scaling sets how many are kept ready.

    Source: https://docs.aws.amazon.com/autoscaling/application/userguide/services-that-can-integrate-lambda.html
    """
    found = read(
        "application-autoscaling",
        "DescribeScalableTargets",
        ServiceNamespace="lambda",
        ResourceIds=[f"function:{arn.name}:{alias}"],
        ScalableDimension=_DIMENSION,
    )
    return bool(found.get("ScalableTargets"))


def _memory(read: Reader, arn: Arn, alias: str) -> int:
    """What one instance of what the alias leads to is paid for; $LATEST may have more or less by now."""
    found = read("lambda", "GetFunctionConfiguration", FunctionName=arn.name, Qualifier=alias).get("MemorySize")
    if not isinstance(found, int):
        raise Refused("price", f"Lambda did not say how much memory {alias} has", retry_after=_LATER)
    return found


def _spare(read: Reader, arn: Arn, others: int) -> tuple[int, str]:
    """
    How many may be kept ready: of its own reservation, or of what the account has and nobody has claimed.

    What is reserved, kept ready or runs without either is claimed, says Lambda; AWS leaves a hundred to the others.
    """
    reserved = states.function(read, arn).get(_RESERVED)
    if isinstance(reserved, int):
        return max(reserved - others, 0), f"of the {reserved} that are reserved for it"
    limits = read("lambda", "GetAccountSettings").get("AccountLimit", {})
    limit, unreserved = limits.get("ConcurrentExecutions"), limits.get("UnreservedConcurrentExecutions")
    claimed = states.series(read, MetricQuery("AWS/Lambda", "ClaimedAccountConcurrency", (), "Maximum", 60, _WINDOW))
    if not isinstance(limit, int) or not isinstance(unreserved, int) or not claimed.points:
        reason = "nobody says how much of the account's concurrency is left"
        raise Refused("account", reason, retry_after=_LATER)
    left = min(limit - max(claimed.last(_WINDOW)), unreserved) - _KEPT
    return max(math.floor(left), 0), f"of the account's {limit}"


# -- what only people can cure -----------------------------------------------------------------------------------------


def _of_latest(arn: Arn, alias: str, evidence: tuple[str, ...]) -> Diagnosis:
    return Diagnosis(
        str(arn),
        f"calls of {arn.name} as {alias} wait for a start, and {alias} leads to $LATEST, of which AWS keeps none ready",
        evidence,
        advice=(
            f"have what deploys it publish a version, and point {alias} at that; then some can be kept ready",
            *_quicker(arn),
        ),
    )


def _of_others(arn: Arn, alias: str, evidence: tuple[str, ...]) -> Diagnosis:
    return Diagnosis(
        str(arn),
        f"instances of {arn.name} start again and again, but not of what {alias} leads to",
        evidence,
        rejected=(Alternative(f"the load of {alias}", "its version starts as rarely as it may"),),
        advice=(
            f"look who calls {arn.name} without {alias}, or as an older version",
            f"nothing is kept ready of {alias}: it would help none of them",
        ),
    )


def _kept_already(
    arn: Arn, alias: str, kept: Mapping[str, int], evidence: tuple[str, ...], *, owned: bool
) -> Diagnosis:
    """A number that is there is somebody's, and one that autoscaling sets is autoscaling's."""
    numbers = tuple(f"{number} are kept ready of {label}" for label, number in kept.items())
    if owned:
        cause = f"calls of {arn.name} as {alias} wait for a start, and autoscaling sets how many are kept ready"
        advice = "raise the limits of that scalable target, or begin earlier: it is left as it is set"
    else:
        cause = f"calls of {arn.name} as {alias} wait for a start, although some are kept ready: too few, or elsewhere"
        advice = "set another number where it was set, if that is what is needed: it is left as it is"
    show = (
        f"see them: aws lambda list-provisioned-concurrency-configs --function-name {shlex.quote(arn.name)} (read only)"
    )
    return Diagnosis(str(arn), cause, (*evidence, *numbers), advice=(advice, show))


def _quicker(arn: Arn) -> tuple[str, ...]:
    """What makes each start shorter, whoever waits for it."""
    return (
        f"see what {arn.name} does before its first call: less code, fewer clients and connections start sooner",
        "more memory starts sooner, too: it comes with more CPU",
    )
