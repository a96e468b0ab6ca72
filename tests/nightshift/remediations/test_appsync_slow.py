"""A slow GraphQL API: told from one that fails or waits for its table, lent a cache where that is declared safe."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightshift import serving
from nightshift.errors import Missing, Refused, Undeclared, Unreadable
from nightshift.model import (
    Arn,
    Cache,
    Call,
    Diagnosis,
    Finding,
    Healthy,
    MetricQuery,
    Observation,
    Outcome,
    Plan,
    Query,
    Severity,
    Sick,
    Target,
    Unknown,
)
from nightshift.remediation import Actor, Progress, Reader, Readings, Series, Unread
from nightshift.remediations.appsync_slow import AppsyncSlow

from tests.nightshift.remediations.account import NOW, Account, Hand

PULSE = Arn.parse("arn:aws:appsync:ap-southeast-2:123456789012:apis/a1")
TABLE = Arn.parse("arn:aws:dynamodb:ap-southeast-2:123456789012:table/hot")
FUNCTION = Arn.parse("arn:aws:lambda:ap-southeast-2:123456789012:function:api:live")
SAFE = Cache("air quality", timedelta(minutes=5), public=True)
TARGET = Target(PULSE, "group", depends_on=(TABLE, FUNCTION), cache=SAFE)
CURE = AppsyncSlow()
SLOW, QUICK = 3000.0, 100.0
OURS = {
    "apiCachingBehavior": "FULL_REQUEST_CACHING",
    "atRestEncryptionEnabled": True,
    "transitEncryptionEnabled": True,
    "ttl": 300,
    "type": "SMALL",
}


def there(status: str = "AVAILABLE", **other: Any) -> dict[str, Any]:
    """A cache, as GetApiCache gives it."""
    return {**OURS, "status": status, **other}


@dataclass
class Eyes:
    """What there is to be read. Latency and requests are those of parts of five minutes, the newest last."""

    latency: Any = field(default_factory=lambda: [SLOW] * 3)
    requests: Any = field(default_factory=lambda: [500.0] * 3)
    errors: float = 0.0
    throttles: dict[tuple[str, ...], float] = field(default_factory=dict)
    cache: dict[str, Any] | None = None
    resolvers: list[dict[str, Any]] = field(default_factory=list)
    api: dict[str, Any] = field(default_factory=lambda: {"authenticationType": "API_KEY"})
    at: datetime = NOW
    used: set[str] = field(default_factory=set)

    def __call__(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        """A read that is no batch's."""
        self._check(service, operation)
        assert params == {"apiId": "a1"}
        if operation == "GetGraphqlApi":
            return {"graphqlApi": self.api}
        if self.cache is None:
            raise Missing("appsync:GetApiCache", "NotFoundException")
        return {"apiCache": self.cache}

    def pages(self, service: str, operation: str, key: str, /, *, limit: int, **params: Any) -> Iterator[Any]:
        """The resolvers."""
        self._check(service, operation)
        assert (key, params) == ("resolvers", {"apiId": "a1", "typeName": "Query"})
        return iter(self.resolvers[:limit])

    def seen(self, *queries: Query) -> Readings:
        """The answers."""
        return Readings(self.at, {query: self._answer(cast("MetricQuery", query)) for query in queries})

    def now(self) -> datetime:
        """The time."""
        return self.at

    def _check(self, service: str, operation: str) -> None:
        action = Call(service, operation, "").action
        if action not in AppsyncSlow.reads:
            raise Undeclared(action)
        self.used.add(action)

    def _answer(self, query: MetricQuery) -> Any:
        if query.namespace != "AWS/AppSync":
            named = (query.metric, *(value for _, value in query.dimensions))
            count = self.throttles.get(named)
            return Series(((self.at - timedelta(minutes=3), count),) if count else ())
        assert query.dimensions == (("GraphQLAPIId", "a1"),)
        if query.metric == "5XXError":
            return Series(((self.at, self.errors),) if self.errors else ())
        values = self.latency if query.stat == "Average" else self.requests
        if isinstance(values, Unread):
            return values
        bounds = serving.bounds(self.at, query)
        lately = values[-len(bounds) :]
        return Series(tuple(zip(bounds[-len(lately) :], lately, strict=True)) if lately else ())


def detect(on: Eyes) -> Observation:
    """What a look finds."""
    return CURE.detect(TARGET, on.seen(*CURE.watch(TARGET)))


def found(on: Eyes) -> Finding:
    """The finding of a look."""
    seen = detect(on)
    assert isinstance(seen, Sick), seen
    return seen.finding


def diagnose(on: Eyes, target: Target = TARGET, cure: AppsyncSlow = CURE) -> Diagnosis:
    """What a diagnosis says."""
    return cure.diagnose(cast("Reader", on), target, Finding(CURE.name, str(PULSE), "it is slow"))


def refused(on: Eyes, target: Target = TARGET) -> Refused:
    """What refuses a diagnosis."""
    with pytest.raises(Refused) as caught:
        diagnose(on, target)
    return caught.value


def planned(on: Eyes | None = None, target: Target = TARGET, cure: AppsyncSlow = CURE) -> Plan:
    """Diagnose and plan."""
    diagnosis = diagnose(on or Eyes(), target)
    assert not diagnosis.advice
    return cure.plan(diagnosis)


# -- seeing ------------------------------------------------------------------------------------------------------------


def test_three_slow_parts_in_a_row_are_sick() -> None:
    """With what the newest one took, against the threshold."""
    finding = found(Eyes(latency=[SLOW, 2500.0, 4000.0]))
    assert finding.symptom == "a1 has taken 2500 ms or longer to answer, on average, for 15 minutes"
    assert (finding.signals[0].value, finding.signals[0].threshold, finding.signals[0].unit) == (4000, 2000, "ms")
    assert finding.signals[1].value == 1500
    assert finding.severity is Severity.SEV2


@pytest.mark.parametrize("latency", [[QUICK] * 3, [SLOW, SLOW, QUICK], [QUICK, SLOW, SLOW], [2000.0] * 3])
def test_fewer_are_not(latency: list[float]) -> None:
    """What is slow for ten minutes may be over in five."""
    assert isinstance(detect(Eyes(latency=latency)), Healthy)


def test_too_few_requests_tell_nothing() -> None:
    """Where it was slow before, it is not known whether it still is; where nobody asked at all, nothing happened."""
    assert isinstance(detect(Eyes(requests=[500.0, 500.0, 99.0])), Unknown)
    assert isinstance(detect(Eyes(requests=[99.0, 500.0, 99.0])), Unknown)
    assert isinstance(detect(Eyes(requests=[99.0, 99.0, 500.0])), Healthy)  # it is not yet slow for long
    assert isinstance(detect(Eyes(requests=[500.0, 99.0, 99.0], latency=[QUICK] * 3)), Healthy)
    quiet = detect(Eyes(requests=[99.0] * 3))
    assert isinstance(quiet, Healthy)
    assert quiet.idle
    assert isinstance(detect(Eyes(latency=[], requests=[])), Healthy)
    assert isinstance(detect(Eyes(requests=[100.0] * 3)), Sick)
    busy = detect(Eyes(latency=[QUICK] * 3))
    assert isinstance(busy, Healthy)
    assert not busy.idle


def test_what_is_slow_again_has_not_recovered() -> None:
    """It is not sick before it was slow for a quarter of an hour, and not well either."""

    def recovered(on: Eyes) -> Observation:
        return CURE.recovered(TARGET, found(Eyes()), on.seen(*CURE.watch(TARGET)))

    assert isinstance(recovered(Eyes(latency=[SLOW, QUICK, SLOW])), Unknown)
    assert isinstance(recovered(Eyes(requests=[99.0, 99.0, 500.0])), Unknown)
    assert isinstance(recovered(Eyes(latency=[SLOW, SLOW, QUICK])), Healthy)
    assert isinstance(recovered(Eyes()), Sick)
    assert isinstance(recovered(Eyes(requests=[99.0] * 3)), Healthy)
    assert recovered(Eyes(latency=Unread("no"))) == Unknown("no")


@pytest.mark.parametrize("on", [Eyes(latency=Unread("throttled")), Eyes(requests=Unread("throttled"))])
def test_what_cannot_be_seen_is_unknown(on: Eyes) -> None:
    """And neither sick nor well."""
    assert detect(on) == Unknown("throttled")


@given(
    latency=st.lists(st.floats(0, 60_000), max_size=3),
    requests=st.lists(st.floats(0, 10_000), max_size=3),
)
def test_any_figures_have_an_answer(latency: list[float], requests: list[float]) -> None:
    """Detection is total."""
    assert isinstance(detect(Eyes(latency=latency, requests=requests)), Healthy | Sick | Unknown)


# -- causes ------------------------------------------------------------------------------------------------------------


def test_every_declared_read_is_used() -> None:
    """And none beside them."""
    on = Eyes(cache=there(apiCachingBehavior="PER_RESOLVER_CACHING"))
    diagnose(on)
    assert on.used == set(AppsyncSlow.reads)


def test_an_api_that_fails_is_told() -> None:
    """More than one request in twenty: no cache keeps what failed."""
    told = diagnose(Eyes(errors=76.0))
    assert "5 % of the requests to a1 fail" in told.cause
    assert told.advice
    assert not diagnose(Eyes(errors=75.0)).advice
    assert not diagnose(Eyes(errors=75.0, requests=[])).advice


@pytest.mark.parametrize(
    "throttles, who",
    [
        (("ReadThrottleEvents", "hot"), TABLE),
        (("WriteThrottleEvents", "hot"), TABLE),
        (("ThrottledRequests", "Query", "hot"), TABLE),
        (("ThrottledRequests", "Scan", "hot"), TABLE),
        (("Throttles", "api"), FUNCTION),
    ],
)
def test_what_it_stands_on_goes_first(throttles: tuple[str, ...], who: Arn) -> None:
    """With its own incident; where it is throttled for half an hour all the same, people are told here."""
    on = Eyes(throttles={throttles: 7.0})
    said = refused(on)
    assert (said.guard, said.link, said.retry_after) == ("dependency", str(who), timedelta(minutes=2))
    assert f"{who.name}, which it stands on, is throttled: 7 times" in said.reason
    long = replace(on, latency=[SLOW] * 7, requests=[500.0] * 7)
    told = diagnose(long)
    assert told.cause == f"{who.name}, which a1 stands on, is throttled"
    assert ("concurrency" if who is FUNCTION else "capacity") in told.advice[0]


def test_where_nobody_can_say_since_when_it_is_now() -> None:
    """Then what it stands on has its turn."""
    on = Eyes(throttles={("ReadThrottleEvents", "hot"): 7.0}, latency=Unread("no"))
    assert refused(on).guard == "dependency"


@pytest.mark.parametrize("status", ["CREATING", "DELETING", "MODIFYING"])
def test_a_cache_that_is_being_changed_is_waited_for(status: str) -> None:
    """By whoever that is."""
    said = refused(Eyes(cache=there(status)))
    assert (said.guard, said.retry_after) == ("mid-change", timedelta(minutes=2))


def test_a_cache_that_is_there_is_told() -> None:
    """Whether it works, has failed, or no resolver uses it."""
    assert "although it has a cache" in diagnose(Eyes(cache=there())).cause
    failed = diagnose(Eyes(cache=there("FAILED")))
    assert failed.cause == "the cache of a1 is not available: FAILED"
    assert "delete-api-cache" in failed.advice[0]
    single = there(apiCachingBehavior="PER_RESOLVER_CACHING")
    plain, cached = {"fieldName": "suburbs"}, {"fieldName": "air", "cachingConfig": {"ttl": 60}}
    idle = diagnose(Eyes(cache=single, resolvers=[plain]))
    assert "no resolver of a1 is set up" in idle.cause
    assert "suburbs" in idle.evidence[-1]
    assert "although it has a cache" in diagnose(Eyes(cache=single, resolvers=[plain, cached])).cause


@pytest.mark.parametrize(
    "target, why",
    [
        (replace(TARGET, cache=None), "what it may hold"),
        (replace(TARGET, cache=replace(SAFE, public=False)), "whoever asks may see"),
        (replace(TARGET, depends_on=()), "what a1 stands on"),
    ],
)
def test_what_nobody_has_declared_safe_is_told(target: Target, why: str) -> None:
    """With what would have to be said before a cache is proposed."""
    told = diagnose(Eyes(), target)
    assert told.cause == "a1 is slow and has no cache"
    assert why in told.evidence[-1]
    assert "`depends_on`" in told.advice[-1]


def test_a_cache_for_single_resolvers_is_made_where_one_uses_it() -> None:
    """Else it would do nothing, and be paid for."""
    target = replace(TARGET, cache=replace(SAFE, behavior="per-resolver"))
    assert "no resolver of a1" in diagnose(Eyes(resolvers=[]), target).cause
    cached = [{"fieldName": "air", "cachingConfig": {"ttl": 60}}]
    plan = planned(Eyes(resolvers=cached), target)
    assert plan.calls[0].params["apiCachingBehavior"] == "PER_RESOLVER_CACHING"


def test_the_ways_to_know_who_asks_are_shown_to_whoever_is_asked() -> None:
    """A cache tells apart what AppSync knows of who asks, and nothing else."""
    api = {"authenticationType": "AWS_LAMBDA", "additionalAuthenticationProviders": [{"authenticationType": "API_KEY"}]}
    assert "who asks is known by AWS_LAMBDA or API_KEY" in diagnose(Eyes(api=api)).evidence


# -- the plan ----------------------------------------------------------------------------------------------------------


def test_a_cache_is_small_encrypted_lent_and_asked_for() -> None:
    """It is the API's own, costs what the table says, and is nothing after which anything else is tried."""
    plan = planned()
    [make], [back] = plan.steps[0].calls, plan.steps[0].undo
    assert make.params == {"apiId": "a1", **OURS}
    assert (make.resource, make.checked, back.checked) == (str(PULSE), "*", "*")
    assert (back.params, back.before, back.stops) == ({"apiId": "a1"}, OURS, True)
    assert plan.asks
    assert plan.final
    assert plan.lease == timedelta(hours=8)
    assert plan.cost_per_hour == 0.058
    assert "air quality" in plan.summary
    for risk in ("300 seconds old", "header", "money", "comes back at once"):
        assert risk in plan.risk
    assert {call.action for call in plan.calls} == set(AppsyncSlow.writes)


def test_the_configurations_price_comes_before_the_tables_and_no_price_is_none() -> None:
    """What nobody knows the price of is refused by a guardrail."""
    assert planned(cure=AppsyncSlow(cache_dollars_per_hour=0.1)).cost_per_hour == 0.1
    diagnosis = diagnose(Eyes())
    there_ = str(PULSE).replace("ap-southeast-2", "eu-south-2")
    elsewhere = replace(diagnosis, facts={**diagnosis.facts, "api": there_})
    assert CURE.plan(elsewhere).cost_per_hour is None


def test_the_same_diagnosis_gives_an_equal_plan() -> None:
    """Whatever was measured meanwhile."""
    assert planned(Eyes(latency=[9000.0] * 3)).hash == planned().hash


def test_when_it_was_asked_for_is_noted_before_it_is() -> None:
    """So that a cache which is never made is found out."""
    plan = planned()
    hand = Hand(Account(), plan.steps[0])
    CURE.apply(cast("Actor", hand), plan, plan.steps[0])
    assert hand.scratch == {"began": NOW.isoformat()}
    assert hand.account.calls == ["CreateApiCache"]


def test_what_an_answer_says_is_there_now() -> None:
    """Of a cache that is gone there is nothing to say."""
    make, back = planned().calls
    assert CURE.effect(make, {"apiCache": {"status": "CREATING"}}) == {"cache": "CREATING"}
    assert CURE.effect(back, {}) == {"cache": "none"}


SOON, LATE = NOW - timedelta(seconds=30), NOW - timedelta(seconds=60)


@pytest.mark.parametrize(
    "cache, since, made, gone",
    [
        (None, SOON, Outcome.UNKNOWN, Outcome.DONE),
        (None, LATE, Outcome.NOT_DONE, Outcome.DONE),
        (there("CREATING"), SOON, Outcome.DONE, Outcome.UNKNOWN),
        (there("AVAILABLE"), LATE, Outcome.DONE, Outcome.NOT_DONE),
        (there("DELETING"), LATE, Outcome.UNKNOWN, Outcome.DONE),
        (there(ttl=60), LATE, Outcome.UNKNOWN, Outcome.UNKNOWN),
        (there(type="LARGE"), LATE, Outcome.UNKNOWN, Outcome.UNKNOWN),
    ],
)
def test_a_lost_answer_is_found_by_looking(
    cache: dict[str, Any] | None, since: datetime, made: Outcome, gone: Outcome
) -> None:
    """A cache that is not as ours may have been made in its place: then nobody can tell."""
    make, back = planned().calls
    read = cast("Reader", Eyes(cache=cache))
    assert CURE.reconcile(read, make, since) is made
    assert CURE.reconcile(read, back, since) is gone


# -- how it goes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cache, minutes, progress",
    [
        (there("CREATING"), 29, Progress.WAIT),
        (there("CREATING"), 30, Progress.STOP),
        (there("CREATING"), None, Progress.WAIT),
        (there("MODIFYING"), 3, Progress.WAIT),
        (there("AVAILABLE"), 40, Progress.NEXT),
        (there("FAILED"), 3, Progress.STOP),
        (None, 3, Progress.STOP),
    ],
)
def test_it_is_waited_for_until_it_is_available(
    cache: dict[str, Any] | None, minutes: int | None, progress: Progress
) -> None:
    """But not for ever; what AWS cannot make, or somebody took away, is over at once."""
    scratch = {} if minutes is None else {"began": (NOW - timedelta(minutes=minutes)).isoformat()}
    plan = planned()
    assert CURE.progress(cast("Reader", Eyes(cache=cache)), plan, plan.steps[0], scratch)[0] is progress


def verified(on: Eyes) -> Observation:
    """What is seen after the cache was made, where it was slow before."""
    return CURE.verify(TARGET, found(Eyes()), on.seen(*CURE.watch(TARGET)))


def test_three_quick_parts_prove_it() -> None:
    """One slow one of them does not, nor do a few requests, nor answers that are hardly quicker."""
    assert isinstance(verified(Eyes(latency=[QUICK] * 3)), Healthy)
    slow = verified(Eyes(latency=[SLOW, QUICK, QUICK]))
    assert isinstance(slow, Sick)
    assert "takes up to 3000 ms on average, and took 3000 ms before" in slow.finding.symptom
    assert isinstance(verified(Eyes(latency=[QUICK] * 3, requests=[500.0, 500.0, 50.0])), Unknown)
    assert verified(Eyes(latency=Unread("no"))) == Unknown("no")
    unseen = Finding(CURE.name, str(PULSE), "cannot be seen")  # nothing was measured when it was opened
    assert isinstance(CURE.verify(TARGET, unseen, Eyes(latency=[QUICK] * 3).seen(*CURE.watch(TARGET))), Healthy)
    barely = found(Eyes(latency=[2100.0] * 3))
    seen = Eyes(latency=[1700.0] * 3).seen(*CURE.watch(TARGET))
    assert isinstance(CURE.verify(TARGET, barely, seen), Sick)


@pytest.mark.parametrize(
    "cache, ours",
    [
        (there(), True),
        (there("CREATING"), True),
        (there("FAILED"), True),
        (there("MODIFYING"), None),
        (there("DELETING"), False),
        (None, False),
        (there(ttl=60), False),
        (there(type="LARGE"), False),
        (there(apiCachingBehavior="PER_RESOLVER_CACHING"), False),
        (there(atRestEncryptionEnabled=False), False),
        (there(transitEncryptionEnabled=False), False),
    ],
)
def test_a_cache_is_ours_while_it_is_as_we_made_it(cache: dict[str, Any] | None, ours: bool | None) -> None:
    """While somebody changes it, nobody can tell."""
    assert CURE.still_ours(cast("Reader", Eyes(cache=cache)), planned()) is ours


def test_what_cannot_be_read_is_not_taken_for_none() -> None:
    """Only NotFound says that there is no cache."""

    class Blind(Eyes):
        def __call__(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
            raise Unreadable("appsync:GetApiCache", "InternalFailureException")

    with pytest.raises(Unreadable):
        CURE.still_ours(cast("Reader", Blind()), planned())
