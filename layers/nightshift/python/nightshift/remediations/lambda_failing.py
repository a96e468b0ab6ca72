"""
A Lambda function fails: say why, and what would help.

Symptom   more than 5 % of its calls fail in each of two times five minutes; or calls are turned away, or take nearly as
          long as they may; or AWS says that the function, or its last update, has failed
Cause     its timeout, its memory, its concurrency, or what was changed last: as far as it can be measured
Cure      none of ours: the report recommends a timeout or memory, as the one command that changes nothing else
Proof     its calls succeed again
Undo      nothing was changed
Source    runbook 1 "Lambda Function Rollback" and "Configuration Rollback", runbook 2 "Managing Lambda Functions" and
          "Application Metrics"; R10, R11, R20

Where an alias is how it is called, and those calls fail, the report says so, with the command that points the alias
elsewhere. Which version that should be it does not say: AWS does not keep what an alias had before, and the number
below may never have run. Where the target names its alias, and sweeps have seen that moved lately, ``lambda-alias-bad``
points it back, or tells people itself. A canary that is under way is left to whoever runs it, and an alias that nobody
calls is none.

What it will not do: call a function failed that is idle (Inactive) or that somebody has stopped (reserved concurrency
0); guess how much memory is used where nobody measures it; or name a command that replaces the environment.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field, PositiveInt

from nightshift import aliases, failing, states, turned_away
from nightshift.errors import Refused
from nightshift.model import (
    Alternative,
    Arn,
    Diagnosis,
    Finding,
    Healthy,
    Json,
    MetricQuery,
    Observation,
    Queries,
    ResourceRead,
    Severity,
    Sick,
    Signal,
    Target,
    Unknown,
)
from nightshift.remediation import Reader, Readings, ReportOnly, Series, Unread
from nightshift.signals import function_metric

__all__ = ["LambdaFailing"]

_MINUTES = failing.MINUTES
_SOME = 20  # calls in five minutes of which a percentile says something
_LONGEST = 900  # seconds that a call may take: AWS's limit
_LARGEST = 10_240  # MB of memory: AWS's limit
_FULL = 90.0  # per cent of its memory
_ALIASES = 100  # of one function; there are hardly ever more than a few
_LENDS = "lambda-throttled"  # which may lend it more, or tells people itself
_POINTS_BACK = "lambda-alias-bad"  # which may point an alias back that was moved lately, or tells people itself


@dataclass(frozen=True, slots=True)
class _Fault:
    """One thing that is wrong with a function."""

    what: str  # "state", "update", "errors", "throttles" or "slow"
    symptom: str
    severity: Severity = Severity.SEV3
    signal: Signal | None = None


class LambdaFailing(ReportOnly):
    """A Lambda function whose calls fail, are turned away, or nearly time out."""

    name: ClassVar[str] = "lambda-failing"
    title: ClassVar[str] = "a function fails"
    kinds: ClassVar[tuple[str, ...]] = ("lambda:function",)
    reads: ClassVar[tuple[str, ...]] = ("lambda:ListAliases",)  # a function itself is read as the sweep reads it

    error_percent: float = Field(default=5.0, gt=0, lt=100, description="per cent of calls that may fail")
    least_errors: PositiveInt = Field(default=5, description="fewer failed calls in ten minutes are no failure")
    throttle_percent: float = Field(default=1.0, gt=0, lt=100, description="per cent of calls that may be turned away")
    near_timeout: float = Field(
        default=0.9, gt=0, le=1, description="share of its timeout that the slowest hundredth of its calls may take"
    )
    suspect: timedelta = Field(
        default=timedelta(hours=2), le=timedelta(days=7), description="how long a change of it is a suspect"
    )

    # -- seeing ----------------------------------------------------------------------------------------------------

    def watch(self, target: Target) -> Queries:
        return (_read(target.arn), *_counters(target.arn), _slowest(target.arn))

    def detect(self, target: Target, seen: Readings) -> Observation:
        if target.arn.resource.count(":") != 1:
            return Unknown("name the function itself, without a version or an alias: its figures are of all of them")
        function = seen.resource(_read(target.arn))
        if isinstance(function, Unread):
            return Unknown(function.reason)
        if function is None:
            return Unknown(f"there is no function {target.arn.name}")
        if function.get("ReservedConcurrentExecutions") == 0:
            return Healthy("stopped on purpose: reserved concurrency 0")
        fault = self._of_state(function) or self._of_figures(target, function, seen)
        if isinstance(fault, Healthy | Unknown):
            return fault
        return Sick(
            Finding(
                remediation=self.name,
                target=str(target.arn),
                symptom=f"{target.arn.name}: {fault.symptom}",
                signals=() if fault.signal is None else (fault.signal,),
                severity=fault.severity,
            )
        )

    def _of_state(self, function: Mapping[str, Any]) -> _Fault | None:
        """Inactive is idle: the next call wakes it."""
        if function.get("State") == "Failed":
            why = _code(function.get("StateReasonCode"))
            return _Fault("state", f"AWS cannot run it ({why})", Severity.SEV2)
        if function.get("LastUpdateStatus") == "Failed":
            why = _code(function.get("LastUpdateStatusReasonCode"))
            return _Fault("update", f"its last update failed ({why}), and what ran before still runs")
        return None

    def _of_figures(self, target: Target, function: Mapping[str, Any], seen: Readings) -> _Fault | Healthy | Unknown:
        found = [seen.metric(query) for query in (*_counters(target.arn), _slowest(target.arn))]
        for each in found:
            if isinstance(each, Unread):
                return Unknown(each.reason)
        calls, errors, throttles, slowest = (each for each in found if isinstance(each, Series))
        if calls.total + throttles.total == 0:
            return Healthy(f"not called in {_MINUTES} minutes{_idle(function)}", idle=True)
        return (
            self._errors(calls, errors, seen.at)
            or self._throttles(calls, throttles, seen.at)
            or self._slow(function, calls, slowest, seen.at)
            or Healthy(f"{errors.total:.0f} of {calls.total:.0f} calls failed in {_MINUTES} minutes")
        )

    def _errors(self, calls: Series, errors: Series, now: datetime) -> _Fault | None:
        lately = failing.since(calls, errors, now)
        if not lately.lasts(self.error_percent, self.least_errors):
            return None
        return _Fault(
            "errors",
            f"{errors.total:.0f} of {calls.total:.0f} calls failed in {_MINUTES} minutes",
            Severity.SEV2,
            Signal("failed calls", round(lately.percent, 1), self.error_percent, f"{_MINUTES} minutes", "%"),
        )

    def _throttles(self, calls: Series, throttles: Series, now: datetime) -> _Fault | None:
        lately = turned_away.since(calls, throttles, now)
        if not lately.lasts(self.throttle_percent):
            return None
        return _Fault(
            "throttles",
            f"{lately.text} in 5 minutes",
            Severity.SEV2,
            Signal("throttled calls", round(lately.percent, 1), self.throttle_percent, "5 minutes", "%"),
        )

    def _slow(self, function: Mapping[str, Any], calls: Series, slowest: Series, now: datetime) -> _Fault | None:
        """The slowest hundredth, in both halves, where there were calls enough to have one."""
        timeout, last = function.get("Timeout"), slowest.last(2)
        if not isinstance(timeout, int) or len(last) < 2 or min(_halves(calls, now)) < _SOME:  # noqa: PLR2004 - halves
            return None
        limit = 1000 * timeout * self.near_timeout
        if min(last) < limit:
            return None
        return _Fault(
            "slow",
            f"its slowest calls take {min(last) / 1000:.1f} of the {timeout} seconds that they may",
            signal=Signal("Duration p99", min(last), limit, f"{_MINUTES} minutes", "ms"),
        )

    # -- diagnosis -------------------------------------------------------------------------------------------------

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        function = states.function(read, target.arn)
        seen = read.seen(*self.watch(target))
        fault = self._of_state(function) or self._of_figures(target, function, seen)
        if not isinstance(fault, _Fault):
            raise Refused("function", "it does not fail any more", retry_after=timedelta(minutes=1))
        longest = states.series(read, function_metric(target.arn, "Duration", "Maximum", _MINUTES))
        at_once = states.series(read, function_metric(target.arn, "ConcurrentExecutions", "Maximum", _MINUTES))
        memory = states.series(read, _memory(target.arn))
        timed_out = _timed_out(function, longest)
        full = memory.points != () and max(memory.last(_MINUTES)) >= _FULL
        cause = _cause(fault, function, timed_out=timed_out, full=full)
        changed = self._changed(function, read.now())
        return Diagnosis(
            target=str(target.arn),
            cause=f"{target.arn.name}: {cause}",
            evidence=(
                fault.symptom,
                *_measured(function, longest, at_once, memory),
                *([f"it was changed at {changed:%Y-%m-%d %H:%M} UTC: a suspect"] if changed else []),
            ),
            rejected=(Alternative("somebody stopped it", "its reserved concurrency is not 0"),),
            advice=_advice(target.arn, function, fault, timed_out=timed_out, full=full, changed=changed),
            whose=self._whose(read, target, fault),
            facts={"by_alias": fault.what == "errors"},
        )

    def _whose(self, read: Reader, target: Target, fault: _Fault) -> str:
        """Who else looks after that: of a version that fails since the target's alias was pointed to it, say."""
        if fault.what != "errors" or target.alias is None:
            return _LENDS if fault.what == "throttles" else ""
        queries = aliases.calls(target.arn, target.alias, _MINUTES)
        calls, errors = (states.series(read, query) for query in queries)
        moved = aliases.lately(aliases.noted(read, target.arn, target.alias), read.now())
        as_it = failing.since(calls, errors, read.now())
        return _POINTS_BACK if moved and as_it.lasts(self.error_percent, self.least_errors) else ""

    def detail(self, read: Reader, target: Target, diagnosis: Diagnosis, notes: dict[str, Json]) -> Diagnosis:
        """Through which aliases the calls came that fail: whoever moved one may want to point it back."""
        del notes
        if not diagnosis.facts.get("by_alias"):
            return diagnosis
        evidence, advice = list(diagnosis.evidence), []
        name = target.arn.name
        for alias in read.pages("lambda", "ListAliases", "Aliases", limit=_ALIASES, FunctionName=name):
            label, version = str(alias.get("Name")), str(alias.get("FunctionVersion"))
            calls, failed = states.sums(read, *aliases.calls(target.arn, label, _MINUTES))
            if not calls:
                evidence.append(f"nobody calls it as {label} (version {version}): to move that alias changes nothing")
                continue
            evidence.append(f"{failed:.0f} of {calls:.0f} calls as {label} (version {version}) failed")
            if 100 * failed > self.error_percent * calls:
                advice.append(_back(name, alias, label, version))
        return replace(diagnosis, evidence=tuple(evidence), advice=(*advice, *diagnosis.advice))

    def _changed(self, function: Mapping[str, Any], now: datetime) -> datetime | None:
        """When it was changed, where that is lately enough to be why."""
        try:
            at = datetime.strptime(str(function.get("LastModified")), "%Y-%m-%dT%H:%M:%S.%f%z").astimezone(UTC)
        except (ValueError, OverflowError):
            return None
        return at if timedelta(0) <= now - at <= self.suspect else None


# -- what is read ------------------------------------------------------------------------------------------------------


def _read(arn: Arn) -> ResourceRead:
    return ResourceRead("lambda.function", str(arn))


def _counters(arn: Arn) -> tuple[MetricQuery, MetricQuery, MetricQuery]:
    """Calls that ran, those of them that failed, and those that were turned away."""
    calls, errors, throttles = (
        function_metric(arn, name, "Sum", _MINUTES) for name in ("Invocations", "Errors", "Throttles")
    )
    return calls, errors, throttles


def _slowest(arn: Arn) -> MetricQuery:
    return function_metric(arn, "Duration", "p99", _MINUTES, period=300)


def _memory(arn: Arn) -> MetricQuery:
    """
    How much of its memory is used, where Lambda Insights is on; no points where it is not.

    Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Lambda-Insights-metrics.html
    """
    return MetricQuery("LambdaInsights", "memory_utilization", (("function_name", arn.name),), "Maximum", 60, _MINUTES)


def _halves(series: Series, now: datetime) -> tuple[float, float]:
    """The sums of the five minutes before the last five, and of the last five."""
    middle = turned_away.end(now) - turned_away.WINDOW
    older = sum(value for at, value in series.points if at < middle)
    return older, series.total - older


def _idle(function: Mapping[str, Any]) -> str:
    return ", idle" if function.get("State") == "Inactive" else ""


def _code(value: object) -> str:
    """AWS's own code for a reason, never its text."""
    return str(value) if value else "AWS gives no reason code"


# -- why, and what would help ------------------------------------------------------------------------------------------


def _timed_out(function: Mapping[str, Any], longest: Series) -> bool:
    timeout = function.get("Timeout")
    return isinstance(timeout, int) and longest.points != () and max(longest.last(_MINUTES)) >= 1000 * timeout


def _cause(fault: _Fault, function: Mapping[str, Any], *, timed_out: bool, full: bool) -> str:
    if fault.what in {"state", "update"}:
        return fault.symptom
    if fault.what == "throttles":
        reserved = function.get("ReservedConcurrentExecutions")
        if reserved is None:
            return "calls are turned away, because the account's concurrency is used up, by it or by others"
        return f"calls are turned away, because its reserved concurrency of {reserved} is used up"
    if full:
        return "its memory is full"
    if timed_out:
        return f"calls run into its timeout of {function.get('Timeout')} seconds"
    if fault.what == "slow":
        return f"calls take nearly as long as its timeout of {function.get('Timeout')} seconds lets them"
    return "its calls fail, and neither its timeout nor its concurrency is why: its code, or what it needs"


def _measured(function: Mapping[str, Any], longest: Series, at_once: Series, memory: Series) -> list[str]:
    found = []
    if longest.points:
        slowest = max(longest.last(_MINUTES)) / 1000
        found.append(f"its slowest call took {slowest:.1f} of at most {function.get('Timeout')} seconds")
    if at_once.points:
        reserved = function.get("ReservedConcurrentExecutions")
        most = f"reserved are {reserved}" if reserved is not None else "none are reserved for it"
        found.append(f"at most {max(at_once.last(_MINUTES)):.0f} ran at once; {most}")
    size = f"{function.get('MemorySize')} MB of memory"
    if memory.points:
        return [*found, f"it used {max(memory.last(_MINUTES)):.0f} % of its {size}"]
    return [*found, f"it has {size}; how much of it is used nobody measures: Lambda Insights is off"]


def _advice(
    arn: Arn, function: Mapping[str, Any], fault: _Fault, *, timed_out: bool, full: bool, changed: datetime | None
) -> tuple[str, ...]:
    name, found = shlex.quote(arn.name), []
    if changed is not None:
        found.append(
            "if it began with that change, take it back; what there was before: "
            f"aws lambda list-versions-by-function --function-name {name} (read only)"
        )
        found.append(
            "if its environment was changed: AWS replaces it whole, so read all of it, correct what is wrong, and "
            "write all of it back, with the revision that was read. Versions keep theirs. What there is, by name: "
            f"aws lambda get-function-configuration --function-name {name} --query 'keys(Environment.Variables)' "
            "(read only)"
        )
    if fault.what in {"errors", "slow"}:
        if full:
            found.append(_more(name, function, "memory-size", "MemorySize", _LARGEST, "MB"))
        elif timed_out or fault.what == "slow":
            found.append(_more(name, function, "timeout", "Timeout", _LONGEST, "seconds"))
    if fault.what == "throttles":
        found.append("see what the account has left: aws lambda get-account-settings (read only)")
    if fault.what in {"state", "update"}:
        found.append(f"see AWS's reason: aws lambda get-function-configuration --function-name {name} (read only)")
    found.append(f"read what it says, REPORT lines too: aws logs tail {_log(arn, function)} --since 30m (read only)")
    return tuple(found)


def _back(name: str, alias: Mapping[str, Any], label: str, version: str) -> str:
    """What to do about an alias whose calls fail. Which version was good only people know."""
    weights = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights")
    if weights:
        others = ", ".join(sorted(map(str, weights)))
        return (
            f"{label} is being moved between version {version} and {others}: leave it to whoever moves it, or ask them"
        )
    revision = f" --revision-id {shlex.quote(str(alias['RevisionId']))}" if alias.get("RevisionId") else ""
    command = (
        f"aws lambda update-alias --function-name {shlex.quote(name)} --name {shlex.quote(label)} "
        f"--function-version VERSION{revision}"
    )
    return (
        f"if it began when {label} was pointed to version {version}, point it back: {command} (a write). AWS does not "
        "keep which version that was, and the number below may never have run: whoever deploys knows"
    )


def _more(name: str, function: Mapping[str, Any], option: str, field: str, most: int, unit: str) -> str:
    """
    Twice as much, as a command that changes this one setting, and nothing where somebody has changed it since.

    The environment is replaced whole by whoever names it, so it is not named.
    """
    now = function.get(field)
    if not isinstance(now, int) or now >= most:
        return f"let a call do less: its {option} is at AWS's limit of {most} {unit} already, or not known"
    revision = f" --revision-id {shlex.quote(str(function['RevisionId']))}" if function.get("RevisionId") else ""
    command = (
        f"aws lambda update-function-configuration --function-name {name} --{option} {min(2 * now, most)}{revision}"
    )
    return f"try {min(2 * now, most)} {unit} instead of {now}: {command} (a write; never add --environment to it)"


def _log(arn: Arn, function: Mapping[str, Any]) -> str:
    config = function.get("LoggingConfig")
    group = config.get("LogGroup") if isinstance(config, Mapping) else None
    return shlex.quote(str(group or f"/aws/lambda/{arn.name}"))
