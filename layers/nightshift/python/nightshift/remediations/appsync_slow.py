"""
A GraphQL API answers too slowly: see what it stands on, then ask whether it may be lent a cache.

Symptom   answers took longer than two seconds on average, in each of the last three parts of five minutes
Cause     asked in order: requests that fail, a table or function behind it that is throttled, its cache; what is left
          is that the same things are asked of its tables and functions again and again
Cure      where it has no cache: the smallest one, encrypted, for some hours, once a person has said yes
Proof     three parts in a row well below what it was, and below the threshold, with enough requests to tell
Undo      the cache is deleted when the lease ends, unless somebody has changed it since
Source    runbook 1 "High GraphQL API Latency"; R14

A cache costs money by the hour, gives answers that are as old as its `ttl`, and may show one user what another one
asked for. So none is made where the configuration does not say what it may hold (`cache`) and that whoever asks may see
it (`public`), and none without a person's yes, whatever the modes are. A cache for single resolvers does nothing while
no resolver is set up to use it: that is told, with the fields, and a resolver is never changed.

What it will not do: give a throttled table more, or touch a cache that is there. A table or function that is throttled
goes first, with its own incident; where it is throttled for long, people are told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field, PositiveInt

from nightshift import prices, serving, states
from nightshift.errors import Missing, Refused
from nightshift.model import (
    Alternative,
    Arn,
    Cache,
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
    Severity,
    Sick,
    Signal,
    Step,
    Target,
    Unknown,
)
from nightshift.remediation import Actor, Progress, Reader, Readings, Remediation, Unread
from nightshift.serving import Part
from nightshift.signals import api_metric, function_metric, table_metric
from nightshift.states import minutes

__all__ = ["AppsyncSlow"]

_PARTS = 3  # of five minutes, all of them slow (R14)
_WINDOW = 15
_BETTER = 0.8  # of what it was before, what it may be at most to count as cured: just below the threshold is chance
_FAILING = 5.0  # per cent of the requests: above that it is no matter of speed
_LATELY = 10  # minutes in which what it stands on was throttled
_LANDS = timedelta(seconds=60)  # how long a request whose answer was lost may still take effect
_SOON = timedelta(minutes=2)
_RESOLVERS = 1000  # that are listed at most
_SHOWN = 10  # fields in a report
_BEHAVIORS = {"full-request": "FULL_REQUEST_CACHING", "per-resolver": "PER_RESOLVER_CACHING"}
_KEPT = ("apiCachingBehavior", "atRestEncryptionEnabled", "transitEncryptionEnabled", "ttl", "type")
"""what tells our cache from another one"""
_INDEXED = ("Query", "Scan")
"""the requests that may be to an index, whose own throttles are counted under its name"""


class AppsyncSlow(Remediation):
    """A GraphQL API of AppSync that takes too long to answer."""

    name: ClassVar[str] = "appsync-slow"
    title: ClassVar[str] = "a GraphQL API answers too slowly"
    kinds: ClassVar[tuple[str, ...]] = ("appsync:apis",)
    reads: ClassVar[tuple[str, ...]] = ("appsync:GetApiCache", "appsync:GetGraphqlApi", "appsync:ListResolvers")
    writes: ClassVar[tuple[str, ...]] = ("appsync:CreateApiCache", "appsync:DeleteApiCache")

    max_attempts: PositiveInt = Field(default=1, le=1, description="caches per incident before it escalates")
    cooldown: timedelta = Field(default=timedelta(minutes=60), description="between two caches of one API")
    patience: timedelta = Field(default=timedelta(minutes=45), description="how long a cure may take to show")
    deadline: timedelta = Field(default=timedelta(hours=9), description="how long an incident may stay open")
    milliseconds: PositiveInt = Field(
        default=2000, le=30_000, description="milliseconds that answers may take on average"
    )
    requests: PositiveInt = Field(default=100, description="requests in five minutes that it takes to tell")
    causes_turn: timedelta = Field(
        default=timedelta(minutes=30),
        le=timedelta(hours=3),
        description="what a throttled table or function gets for its own incident before people are told here",
    )
    creating: timedelta = Field(
        default=timedelta(minutes=30),
        ge=timedelta(minutes=5),
        le=timedelta(hours=2),
        description="how long AWS may take to make the cache",
    )
    lease: timedelta = Field(
        default=timedelta(hours=8),
        ge=timedelta(minutes=30),
        le=timedelta(hours=72),
        description="how long the cache may stay",
    )
    cache_dollars_per_hour: float | None = Field(
        default=None, gt=0, le=1000, description="what the cache costs, in US dollars; its list price when not said"
    )

    # -- seeing ----------------------------------------------------------------------------------------------------

    def watch(self, target: Target) -> Queries:
        return _of_answers(target.arn, _WINDOW)

    def detect(self, target: Target, seen: Readings) -> Observation:
        """Slow while each of the last three parts was, and each had enough requests to tell."""
        parts = _parts(target.arn, seen, _WINDOW)
        if isinstance(parts, Unknown):
            return parts
        told = self._told(parts)
        if not told:
            return Healthy(f"too few requests to tell: fewer than {self.requests} in five minutes", idle=True)
        if len(told) == _PARTS and min(told) > self.milliseconds:
            return Sick(self._finding(target, parts, told))
        if told[-1] > self.milliseconds and not self._told(parts[-1:]):
            return Unknown("answers took too long, and too few were given since to tell whether they still do")
        return Healthy(f"answers take {told[-1]:.0f} ms on average")

    def recovered(self, target: Target, before: Finding, after: Readings) -> Observation:
        """What is slow still is not well because it was not for all of a quarter of an hour."""
        del before
        seen, parts = self.detect(target, after), _parts(target.arn, after, _WINDOW)
        told = () if isinstance(parts, Unknown) else self._told(parts)
        if isinstance(seen, Healthy) and told and told[-1] > self.milliseconds:
            return Unknown("answers take too long, and have not done so for a quarter of an hour")
        return seen

    def _told(self, parts: Sequence[Part]) -> list[float]:
        """What the newest parts say that had enough requests."""
        return [part.value for part in parts[-_PARTS:] if part.value is not None and part.requests >= self.requests]

    def _finding(self, target: Target, parts: tuple[Part, ...], told: list[float]) -> Finding:
        return Finding(
            remediation=self.name,
            target=str(target.arn),
            symptom=f"{target.arn.name} has taken {min(told):.0f} ms or longer to answer, on average, for 15 minutes",
            signals=(
                Signal("Latency", round(told[-1]), self.milliseconds, "5 minutes, 3 of 3", "ms"),
                Signal(
                    "requests",
                    sum(part.requests for part in parts[-_PARTS:]),
                    float(self.requests),
                    "15 minutes",
                    "requests",
                ),
            ),
            severity=Severity.SEV2,
        )

    # -- diagnosis -------------------------------------------------------------------------------------------------

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        arn = target.arn
        api = read("appsync", "GetGraphqlApi", apiId=arn.name)["graphqlApi"]
        evidence: tuple[str, ...] = (finding.symptom, f"who asks is known by {_authorized(api)}")
        failing = self._failing(read, target, evidence) or self._throttled(read, target, evidence)
        if failing is not None:
            return failing
        evidence = (
            *evidence,
            *(f"{needed.name}, which it stands on, is not throttled" for needed in target.depends_on),
        )
        there = _cache(read, arn)
        if there is not None:
            return self._cached(read, target, there, evidence)
        return self._uncached(read, target, evidence)

    def _failing(self, read: Reader, target: Target, evidence: tuple[str, ...]) -> Diagnosis | None:
        """Requests that fail are often slow, and no cache keeps what failed."""
        failed, asked = states.sums(read, *_of_errors(target.arn))
        percent = 100 * failed / asked if asked else 0.0
        if percent <= _FAILING:
            return None
        return Diagnosis(
            str(target.arn),
            f"{percent:.0f} % of the requests to {target.arn.name} fail, and what fails is slow",
            (*evidence, f"{failed:.0f} of {asked:.0f} requests were answered with 5xx in {_WINDOW} minutes"),
            advice=(
                "look at what its resolvers call: their errors and time-outs are in the API's own log",
                "a cache would not help: what failed is not kept",
            ),
        )

    def _throttled(self, read: Reader, target: Target, evidence: tuple[str, ...]) -> Diagnosis | None:
        """What it stands on goes first, with its own incident; for how long, then people are told. Raises Refused."""
        for needed in target.depends_on:
            count = sum(states.sums(read, *_throttles(needed)))
            if not count:
                continue
            said = f"{needed.name}, which it stands on, is throttled: {count:.0f} times in {_LATELY} minutes"
            if read.now() < self._since(read, target) + self.causes_turn:
                raise Refused("dependency", said, numbers={"throttles": count}, retry_after=_SOON, link=str(needed))
            what = "capacity" if needed.kind == "dynamodb:table" else "concurrency"
            return Diagnosis(
                str(target.arn),
                f"{needed.name}, which {target.arn.name} stands on, is throttled",
                (*evidence, said),
                advice=(
                    f"give {needed.name} more {what}, or find out who asks so much of it",
                    "a cache would hide that from most, and help none of those who are turned away",
                ),
            )
        return None

    def _since(self, read: Reader, target: Target) -> datetime:
        """When answers began to be slow."""
        parts = _parts(target.arn, read.seen(*_of_answers(target.arn, serving.HISTORY)), serving.HISTORY)
        began = None if isinstance(parts, Unknown) else serving.onset(parts, self.milliseconds, self.requests)
        return began or read.now()

    def _cached(self, read: Reader, target: Target, there: Mapping[str, Any], evidence: tuple[str, ...]) -> Diagnosis:
        """A cache that is there is somebody's: it is told what there is to say of it."""
        name, status, behavior = target.arn.name, there.get("status"), there.get("apiCachingBehavior")
        if status in {"CREATING", "DELETING", "MODIFYING"}:
            raise Refused("mid-change", f"its cache is being changed: {status}", retry_after=_SOON)
        evidence = (*evidence, f"it has a cache: {status}, {there.get('type')}, {behavior}, {there.get('ttl')} seconds")
        if status != "AVAILABLE":
            return Diagnosis(
                str(target.arn),
                f"the cache of {name} is not available: {status}",
                evidence,
                advice=(f"delete it and make it anew: aws appsync delete-api-cache --api-id {name} (a write)",),
            )
        if behavior == _BEHAVIORS["per-resolver"] and (idle := self._idle(read, target, evidence)) is not None:
            return idle
        return Diagnosis(
            str(target.arn),
            f"{name} is slow although it has a cache",
            evidence,
            rejected=(Alternative("what it stands on", "no table or function that is named is throttled"),),
            advice=(
                "look at which resolvers are slow: the API's enhanced metrics and its log at field level say so",
                "see whether what is asked differs each time: then a cache keeps answers that nobody asks for again",
            ),
        )

    def _idle(self, read: Reader, target: Target, evidence: tuple[str, ...]) -> Diagnosis | None:
        """A cache for single resolvers that none uses. None where one does."""
        name = target.arn.name
        fields = {
            str(each.get("fieldName")): bool(each.get("cachingConfig"))
            for each in read.pages(
                "appsync", "ListResolvers", "resolvers", limit=_RESOLVERS, apiId=name, typeName="Query"
            )
        }
        if any(fields.values()):
            return None
        shown = ", ".join(sorted(fields)[:_SHOWN]) or "none"
        return Diagnosis(
            str(target.arn),
            f"no resolver of {name} is set up to use a cache for single resolvers",
            (*evidence, f"{len(fields)} fields of Query have a resolver, none with caching: {shown}"),
            rejected=(Alternative("what it stands on", "no table or function that is named is throttled"),),
            advice=(
                (
                    "in the code that the API is deployed from, set up caching where much is asked and little changes: "
                    "a ttl, and as keys all that an answer depends on, who asks among it where answers differ by that"
                ),
                f"see the resolvers: aws appsync list-resolvers --api-id {name} --type-name Query (read only)",
                "never use update-resolver for it: what names its caching alone may take the rest of a resolver away",
            ),
        )

    def _uncached(self, read: Reader, target: Target, evidence: tuple[str, ...]) -> Diagnosis:
        cache, name = target.cache, target.arn.name
        if cache is None or not cache.public or not target.depends_on:
            return Diagnosis(
                str(target.arn),
                f"{name} is slow and has no cache",
                (*evidence, f"none is made: {_undeclared(target, cache)}"),
                advice=(
                    "look at which resolvers are slow: the API's enhanced metrics and its log at field level say so",
                    (
                        "where much is asked and little changes, let it be kept: say what (`cache`), that whoever asks "
                        "may see it (`public`) and what the API stands on (`depends_on`); then a cache is proposed"
                    ),
                ),
            )
        if cache.behavior == "per-resolver" and (idle := self._idle(read, target, evidence)) is not None:
            return idle
        return Diagnosis(
            target=str(target.arn),
            cause=f"{name} asks its tables and functions anew for every request: it has no cache",
            evidence=evidence,
            rejected=(
                Alternative("requests that fail", f"at most {_FAILING:.0f} % of them do"),
                Alternative("what it stands on", "no table or function that is named is throttled"),
            ),
            facts={
                "api": str(target.arn),
                "behavior": _BEHAVIORS[cache.behavior],
                "holds": cache.holds,
                "ttl": int(cache.ttl.total_seconds()),
            },
        )

    # -- the plan --------------------------------------------------------------------------------------------------

    def plan(self, diagnosis: Diagnosis) -> Plan:
        facts = diagnosis.facts
        arn = Arn.parse(facts["api"])
        ours = {
            "apiCachingBehavior": facts["behavior"],
            "atRestEncryptionEnabled": True,
            "transitEncryptionEnabled": True,
            "ttl": facts["ttl"],
            "type": "SMALL",
        }
        make = Call(
            "appsync",
            "CreateApiCache",
            str(arn),
            params={"apiId": arn.name, **ours},
            before={"cache": "none"},
            why="answers that were given before are given again",
        )
        back = Call("appsync", "DeleteApiCache", str(arn), params={"apiId": arn.name}, before=ours, stops=True)
        dollars = self.cache_dollars_per_hour
        return Plan(
            remediation=self.name,
            target=str(arn),
            summary=f"give {arn.name} a small cache for {minutes(self.lease)} minutes, which holds: {facts['holds']}",
            steps=(Step("cache", (make,), settle=timedelta(minutes=2), undo=(back,), why="let it answer from memory"),),
            risk=(
                f"high: answers may be {facts['ttl']} seconds old; one that depends on more than what is asked and who "
                "asks (a header, say) is given to whoever asks the same; it costs money by the hour, and when it goes "
                "all the load comes back at once"
            ),
            undo_by_hand=f"aws appsync delete-api-cache --api-id {arn.name}",
            cost_per_hour=prices.per_hour(arn.region, "appsync-cache-small") if dollars is None else dollars,
            lease=self.lease,
            final=True,
            asks=True,
        )

    def apply(self, act: Actor, plan: Plan, step: Step) -> None:
        act.scratch["began"] = act.now().isoformat()
        super().apply(act, plan, step)

    def effect(self, call: Call, answer: Mapping[str, Any]) -> Mapping[str, Json]:
        del call
        found = answer.get("apiCache")
        return {"cache": found.get("status") if isinstance(found, Mapping) else "none"}

    def reconcile(self, read: Reader, call: Call, since: datetime) -> Outcome:
        """A cache that is not as ours may have been made in its place: then nobody can tell."""
        there, late = _cache(read, Arn.parse(call.resource)), read.now() >= since + _LANDS
        leaves = there is not None and there.get("status") == "DELETING"
        if call.operation == "CreateApiCache":
            if there is None:
                return Outcome.NOT_DONE if late else Outcome.UNKNOWN
            return Outcome.DONE if not leaves and _same(there, call.params) else Outcome.UNKNOWN
        if there is None or leaves:
            return Outcome.DONE
        return Outcome.NOT_DONE if late and _same(there, call.before) else Outcome.UNKNOWN

    # -- how it goes -----------------------------------------------------------------------------------------------

    def progress(
        self, read: Reader, plan: Plan, step: Step, scratch: Mapping[str, Any]
    ) -> tuple[Progress, str, Ledger | None]:
        """It is made when AWS says that it is available; where that takes too long, it is taken back."""
        there = _cache(read, Arn.parse(plan.target))
        if there is None:
            return Progress.STOP, "the cache is gone", None
        status = str(there.get("status"))
        if status == "AVAILABLE":
            return Progress.NEXT, "the cache is available", None
        if status == "FAILED":
            return Progress.STOP, "AWS could not make the cache", None
        began = str(scratch.get("began", ""))
        if began and read.now() >= datetime.fromisoformat(began) + self.creating:
            return Progress.STOP, f"after {minutes(self.creating)} minutes the cache is still {status}", None
        return Progress.WAIT, f"the cache is {status}", None

    def verify(self, target: Target, before: Finding, after: Readings) -> Observation:
        """Three parts in a row that are well below what it was: a few requests prove nothing."""
        parts = _parts(target.arn, after, _WINDOW)
        if isinstance(parts, Unknown):
            return parts
        told = self._told(parts)
        if len(told) < _PARTS:
            return Unknown("cannot be judged yet: too few requests")
        was = next((signal.value for signal in before.signals), float(self.milliseconds))  # first it could not be seen
        if max(told) > min(self.milliseconds, _BETTER * was):
            symptom = f"{target.arn.name} takes up to {max(told):.0f} ms on average, and took {was:.0f} ms before"
            return Sick(Finding(self.name, str(target.arn), symptom, before.signals, severity=before.severity))
        return Healthy(f"answers take at most {max(told):.0f} ms on average; before it was {was:.0f} ms")

    def still_ours(self, read: Reader, plan: Plan) -> bool | None:
        """Whether the cache is as we made it; while it is being changed, nobody can tell into what."""
        there = _cache(read, Arn.parse(plan.target))
        if there is None or there.get("status") == "DELETING":
            return False
        return None if there.get("status") == "MODIFYING" else _same(there, plan.steps[0].calls[0].params)


# -- figures ---------------------------------------------------------------------------------------------------------


def _of_answers(arn: Arn, span: int) -> tuple[MetricQuery, MetricQuery]:
    """How long answers took, and how many were given: one sample of latency each."""
    return api_metric(arn, "Latency", "Average", span), api_metric(arn, "Latency", "SampleCount", span)


def _of_errors(arn: Arn) -> tuple[MetricQuery, MetricQuery]:
    return api_metric(arn, "5XXError", "Sum", _WINDOW), api_metric(arn, "Latency", "SampleCount", _WINDOW)


def _parts(arn: Arn, seen: Readings, span: int) -> tuple[Part, ...] | Unknown:
    took, given = _of_answers(arn, span)
    average, count = seen.metric(took), seen.metric(given)
    if isinstance(average, Unread):
        return Unknown(average.reason)
    if isinstance(count, Unread):
        return Unknown(count.reason)
    values, counts = dict(average.points), dict(count.points)
    return tuple(Part(at, counts.get(at, 0.0), values.get(at)) for at in serving.bounds(seen.at, took))


def _throttles(arn: Arn) -> Iterator[MetricQuery]:
    """
    How often a table or function turned requests away.

    What an index turns away is counted under its own name, and as a request of a kind that was throttled.
    """
    if arn.kind == "lambda:function":
        yield function_metric(arn, "Throttles", "Sum", _LATELY)
        return
    for metric in ("ReadThrottleEvents", "WriteThrottleEvents"):
        yield table_metric(arn, metric, "Sum", _LATELY)
    for operation in _INDEXED:
        yield table_metric(arn, "ThrottledRequests", "Sum", _LATELY, operation=operation)


# -- what AWS says, in our words -------------------------------------------------------------------------------------


def _cache(read: Reader, arn: Arn) -> Mapping[str, Any] | None:
    """
    The API's cache; None where it has none.

    Source: https://docs.aws.amazon.com/appsync/latest/APIReference/API_GetApiCache.html
    """
    try:
        found: Mapping[str, Any] = read("appsync", "GetApiCache", apiId=arn.name)["apiCache"]
    except Missing:
        return None
    return found


def _same(there: Mapping[str, Any], ours: Mapping[str, Any]) -> bool:
    return all(there.get(name) == ours.get(name) for name in _KEPT)


def _authorized(api: Mapping[str, Any]) -> str:
    """The ways by which an API knows who asks."""
    more = api.get("additionalAuthenticationProviders") or ()
    ways = (api.get("authenticationType"), *(each.get("authenticationType") for each in more))
    return " or ".join(dict.fromkeys(str(way) for way in ways))


def _undeclared(target: Target, cache: Cache | None) -> str:
    """What the configuration would have to say first."""
    if cache is None:
        return "the configuration does not say what it may hold"
    if not cache.public:
        return "the configuration does not say that whoever asks may see what it holds"
    return f"the configuration does not say what {target.arn.name} stands on"
