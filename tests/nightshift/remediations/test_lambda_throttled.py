"""A function whose calls are turned away: what counts as that, what is lent and how much, and what is only told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightshift.errors import Missing, Refused, Unreadable
from nightshift.model import (
    Arn,
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
from nightshift.remediation import Progress, Reader, Readings, Series, Unread
from nightshift.remediations.lambda_throttled import LambdaThrottled

from tests.nightshift.remediations.account import FUNCTION, NOW

CURE = LambdaThrottled()
TARGET = Target(FUNCTION, "group")
FINDING = Finding(CURE.name, str(FUNCTION), "etl: 50 of 350 calls were turned away in 5 minutes")
RESERVED = "ReservedConcurrentExecutions"
LOST = Unread("CloudWatch did not answer")


@dataclass
class Eyes:
    """What there is to be read: the function, its figures of the last ten whole minutes, and the account's limits."""

    function: Any = field(default_factory=lambda: {"FunctionName": "etl", RESERVED: 10})
    calls: Any = field(default_factory=lambda: [60.0] * 10)
    errors: Any = field(default_factory=lambda: [0.0] * 10)
    throttles: Any = field(default_factory=lambda: [10.0] * 10)
    at_once: Any = field(default_factory=lambda: [10.0] * 10)
    took: Any = field(default_factory=lambda: [2000.0] * 10)  # milliseconds, each minute
    before: Any = field(default_factory=lambda: [2000.0] * 12)  # the same, each five minutes
    used: Any = field(default_factory=lambda: [20.0] * 10)
    settings: Any = field(default_factory=lambda: {"AccountLimit": {"UnreservedConcurrentExecutions": 900}})
    mappings: list[Any] = field(default_factory=list)
    time: datetime = NOW

    def seen(self, *queries: Query) -> Readings:
        """The answers."""
        return Readings(NOW, {query: self._answer(query) for query in queries})

    def now(self) -> datetime:
        """The time."""
        return self.time

    def __call__(self, service: str, operation: str, **params: Any) -> dict[str, Any]:
        """What Lambda says of the account."""
        assert (service, operation, params) == ("lambda", "GetAccountSettings", {})
        return dict(self.settings)

    def pages(self, service: str, operation: str, key: str, *, limit: int, **params: Any) -> Iterator[Any]:
        """What reads for the function."""
        assert (service, operation, key) == ("lambda", "ListEventSourceMappings", "EventSourceMappings")
        assert (limit, params) == (100, {"FunctionName": "etl"})
        yield from self.mappings

    def _answer(self, query: Query) -> Any:
        if not isinstance(query, MetricQuery):
            assert (query.kind, query.key.rpartition(":")[2]) == ("lambda.function", "etl")
            return self.function
        values = {
            "Invocations": self.calls,
            "Errors": self.errors,
            "Throttles": self.throttles,
            "ConcurrentExecutions": self.at_once,
            "UnreservedConcurrentExecutions": self.used,
            "Duration": self.took if query.period == 60 else self.before,
        }[query.metric]
        assert query.dimensions == (() if query.metric.startswith("Unreserved") else (("FunctionName", "etl"),))
        if isinstance(values, Unread):
            return values
        end = NOW - timedelta(minutes=1)
        times = [end - timedelta(seconds=query.period * back) for back in range(len(values), 0, -1)]
        return Series(tuple((at, value) for at, value in zip(times, values, strict=True) if value is not None))


def eyes(reserved: int | None = 10, **other: Any) -> Eyes:
    """A function whose reservation is used up, but for this."""
    return Eyes(**{"function": {"FunctionName": "etl"} | ({} if reserved is None else {RESERVED: reserved}), **other})


def detect(on: Eyes, target: Target = TARGET, one: LambdaThrottled = CURE) -> Observation:
    """What a look finds."""
    return one.detect(target, on.seen(*one.watch(target)))


def diagnose(on: Eyes, one: LambdaThrottled = CURE) -> Diagnosis:
    """What a diagnosis says."""
    return one.diagnose(cast("Reader", on), TARGET, FINDING)


def refused(on: Eyes, one: LambdaThrottled = CURE) -> Refused:
    """Why there is no diagnosis."""
    with pytest.raises(Refused) as caught:
        diagnose(on, one)
    return caught.value


def planned(on: Eyes | None = None, one: LambdaThrottled = CURE) -> Plan:
    """The plan."""
    return one.plan(diagnose(on or eyes(), one))


def lent(on: Eyes, one: LambdaThrottled = CURE) -> int:
    """How much would be reserved."""
    [there, _] = planned(on, one).calls
    return int(there.params[RESERVED])


def verified(on: Eyes) -> Observation:
    """What a look finds after a loan."""
    return CURE.verify(TARGET, FINDING, on.seen(*CURE.examine(TARGET)))


# -- seeing ------------------------------------------------------------------------------------------------------------


def test_calls_that_are_turned_away_are_a_symptom() -> None:
    """In each of five minutes, one of seven that were asked for."""
    seen = detect(eyes())
    assert isinstance(seen, Sick)
    assert seen.finding.symptom == "etl: 50 of 350 calls were turned away in 5 minutes"
    [share] = seen.finding.signals
    assert (share.value, share.threshold, share.unit) == (14.3, 1.0, "%")
    assert seen.finding.severity is Severity.SEV2


@pytest.mark.parametrize(
    "other, sick",
    [
        ({"throttles": [0.0] * 5 + [10.0, 0.0, 10.0, 0.0, 10.0]}, True),
        ({"throttles": [0.0] * 5 + [10.0, 0.0, 10.0, 0.0, 0.0]}, False),  # two minutes
        ({"throttles": [10.0] * 5 + [0.0] * 5}, False),  # over
        ({"throttles": [0.6] * 10}, False),  # less than one in a hundred
        ({"calls": [99.0] * 10, "throttles": [1.0] * 10}, False),  # one in a hundred
        ({"calls": [None] * 10, "throttles": [1.0] * 10}, True),  # all of them
        ({"throttles": []}, False),
    ],
)
def test_a_few_or_a_burst_are_none(other: dict[str, Any], sick: bool) -> None:
    """Three of the last five minutes, and more than one per cent."""
    assert isinstance(detect(eyes(**other)), Sick if sick else Healthy)


def test_a_few_are_said() -> None:
    """With the figures."""
    assert detect(eyes(throttles=[0.0] * 10)) == Healthy("0 of 300 calls were turned away in 5 minutes")


@pytest.mark.parametrize(
    "last, kind",
    [
        ((9.0, 9.0, None, None), Unknown),  # two minutes that are not there yet
        ((9.0, None, None, None), Healthy),
        ((9.0, 9.0, 0.0, None), Healthy),
        ((0.0, 0.0, 0.0, 9.0), Unknown),
        ((9.0, 9.0, 9.0, 9.0), Sick),
    ],
)
def test_a_minute_that_is_not_reported_yet_makes_nobody_well(last: tuple[float | None, ...], kind: type) -> None:
    """CloudWatch may be late: what was turned away last must be a while ago, or have been followed by a calm minute."""
    on = eyes(throttles=[0.0] * 6 + list(last))
    seen = CURE.recovered(TARGET, FINDING, on.seen(*CURE.examine(TARGET)))
    assert type(seen) is kind
    if kind is Unknown:
        assert type(detect(on)) is Healthy
    stopped = eyes(0, throttles=on.throttles)
    assert isinstance(CURE.recovered(TARGET, FINDING, stopped.seen(*CURE.examine(TARGET))), Healthy)


def test_a_function_that_nobody_calls_is_idle() -> None:
    """That says nothing of its concurrency."""
    assert detect(eyes(calls=[], throttles=[])) == Healthy("not called in 10 minutes", idle=True)


def test_a_function_that_somebody_has_stopped_is_no_symptom() -> None:
    """However many calls are turned away."""
    assert detect(eyes(0)) == Healthy("stopped on purpose: reserved concurrency 0")


@pytest.mark.parametrize("part", ["function", "calls", "throttles"])
def test_what_cannot_be_read_is_unknown(part: str) -> None:
    """Never a zero."""
    other: dict[str, Any] = {part: LOST}
    assert detect(eyes(**other)) == Unknown(LOST.reason)


def test_a_function_that_does_not_exist_is_unknown() -> None:
    """And so is a version or an alias: its concurrency is the function's."""
    assert detect(eyes(function=None)) == Unknown("there is no function etl")
    alias = Target(Arn.parse(f"{FUNCTION}:live"), "group")
    seen = CURE.detect(alias, Readings(NOW))
    assert isinstance(seen, Unknown)
    assert "without a version or an alias" in seen.reason


@given(st.dictionaries(st.text(max_size=3) | st.just(RESERVED), st.none() | st.integers() | st.text(max_size=3)))
def test_any_function_can_be_judged(function: Mapping[str, Any]) -> None:
    """Total over whatever is read."""
    assert isinstance(detect(eyes(function=function)), Healthy | Sick | Unknown)


# -- how much is lent --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reserved, unreserved, used, ceiling, to",
    [
        (1, 900, 20.0, 100, 2),
        (10, 900, 20.0, 100, 15),
        (11, 900, 20.0, 100, 17),  # half of eleven, upwards
        (90, 900, 20.0, 100, 100),  # the ceiling
        (400, 900, 20.0, 1000, 450),  # fifty at most
        (10, 153, 20.0, 100, 13),  # AWS's hundred, and fifty more, stay
        (10, 151, 20.0, 100, 11),
        (10, 500, 447.0, 100, 13),  # what others use, and fifty more, stay
        (10, 900, None, 100, 15),  # no other runs at all
    ],
)
def test_half_as_much_again_within_what_the_others_can_spare(
    reserved: int, unreserved: int, used: float | None, ceiling: int, to: int
) -> None:
    """min(1.5 N, N + 50, ceiling, N + what is left above 150, and above what is used of it and 50)."""
    settings = {"AccountLimit": {"UnreservedConcurrentExecutions": unreserved}}
    on = eyes(reserved, at_once=[float(reserved)] * 10, settings=settings, used=[used] * 10)
    assert lent(on, LambdaThrottled(ceiling=ceiling)) == to


def test_a_loan_sets_the_reservation_alone_and_is_taken_back() -> None:
    """Absolute values, what was there before, free of charge, and for two hours."""
    plan = planned()
    [step] = plan.steps
    [there], [back] = step.calls, step.undo
    assert (there.action, there.resource) == ("lambda:PutFunctionConcurrency", str(FUNCTION))
    assert (there.params, there.before) == ({"FunctionName": "etl", RESERVED: 15}, {RESERVED: 10})
    assert (back.params, back.before) == ({"FunctionName": "etl", RESERVED: 10}, {RESERVED: 15})
    assert (there.stops, back.stops) == (False, True)
    assert (plan.dollars, plan.lease, plan.asks) == (0.0, timedelta(hours=2), False)
    assert plan.summary == "let 15 calls of etl run at once instead of 10, for 120 minutes"
    assert plan.undo_by_hand.endswith("--function-name etl --reserved-concurrent-executions 10")
    assert "functions without a reservation have 5 less" in plan.risk
    assert CURE.effect(there, {RESERVED: 15}) == {RESERVED: 15}


@pytest.mark.parametrize("now, to", [(0, 5), (10, 10), (10, 9), (-1, 5)])
def test_what_is_no_loan_is_never_planned(now: int, to: int) -> None:
    """Nothing is raised from 0, and nothing lowered."""
    facts = {"function": str(FUNCTION), "from": now, "to": to}
    with pytest.raises(ValueError, match="no loan"):
        CURE.plan(Diagnosis(str(FUNCTION), "x", facts=facts))


def test_the_diagnosis_says_what_it_rests_on() -> None:
    """And what it is not."""
    found = diagnose(eyes())
    assert found.cause == "all 10 that are reserved for etl run at once, and more calls come in"
    assert found.evidence == (
        "etl: 50 of 350 calls were turned away in 5 minutes",
        "at most 10 ran at once; reserved are 10",
        "its calls take 2.00 s on average, and took 2.00 s before",
        "900 of the account's are not reserved, of which 20 ran at once",
    )
    assert len(found.rejected) == 4
    assert found.advice == ()


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other, guard, again",
    [
        ({"throttles": [0.0] * 10}, "function", timedelta(minutes=1)),
        ({"reserved": 0}, "function", timedelta(minutes=1)),  # it is well then, and the incident ends
        ({"function": None}, "function", timedelta(minutes=1)),
        ({"at_once": []}, "history", timedelta(minutes=1)),
        ({"errors": [4.0] * 10}, "cause", timedelta(minutes=1)),
        ({"before": [2000.0] * 4}, "history", timedelta(minutes=5)),  # two of them are of the last quarter of an hour
        ({"took": []}, "history", timedelta(minutes=5)),
        ({"reserved": 100, "at_once": [100.0] * 10}, "ceiling", None),
        ({"settings": {}}, "account", timedelta(minutes=5)),
        ({"settings": {"AccountLimit": {"UnreservedConcurrentExecutions": None}}}, "account", timedelta(minutes=5)),
    ],
)
def test_what_is_not_known_or_not_its_own_is_not_lent_to(
    other: dict[str, Any], guard: str, again: timedelta | None
) -> None:
    """With when to ask again, where that may change."""
    said = refused(eyes(**other))
    assert (said.guard, said.retry_after) == (guard, again)


def test_five_in_a_hundred_that_fail_are_not_the_cause() -> None:
    """And who is linked where it is: what else is wrong with the same function."""
    assert diagnose(eyes(errors=[3.0] * 10)).advice == ()
    assert refused(eyes(errors=[3.1] * 10)).link == str(FUNCTION)


def test_three_parts_with_calls_are_enough_to_know_how_long_they_took() -> None:
    """Those that were over ten minutes ago."""
    assert diagnose(eyes(before=[2000.0] * 5)).advice == ()


@pytest.mark.parametrize("part", ["at_once", "errors", "before", "took", "used"])
def test_what_cannot_be_read_is_not_lent_to(part: str) -> None:
    """Unreadable: it is asked again."""
    other: dict[str, Any] = {part: LOST}
    with pytest.raises(Unreadable):
        diagnose(eyes(**other))


# -- what is told ------------------------------------------------------------------------------------------------------


def test_calls_that_take_longer_are_told() -> None:
    """Half as long again is not longer; one slow minute of the last five is."""
    assert diagnose(eyes(took=[3000.0] * 10)).advice == ()
    found = diagnose(eyes(took=[2000.0] * 9 + [3001.0]))
    assert "take longer than before" in found.cause
    assert "more calls at once would load it more" in found.advice[1]
    assert "its calls take 3.00 s on average, and took 2.00 s before" in found.evidence


@pytest.mark.parametrize(
    "unreserved, used", [(150, 0.0), (149, 0.0), (900, 850.0), (900, 849.5)], ids=["150", "149", "used", "rounded up"]
)
def test_where_nothing_can_be_spared_the_quota_is_told(unreserved: int, used: float) -> None:
    """Nobody else's calls are turned away for a loan."""
    found = diagnose(eyes(settings={"AccountLimit": {"UnreservedConcurrentExecutions": unreserved}}, used=[used] * 10))
    assert found.cause == "all 10 that are reserved for etl run at once, and the account has none to spare"
    assert any("L-B99A9384" in line for line in found.advice)


@pytest.mark.parametrize("used, text", [(810.0, "is used up, by it or by others"), (809.0, "neither a reservation")])
def test_a_function_without_a_reservation_is_only_told(used: float, text: str) -> None:
    """Whether the account's own is used up, or its calls come too fast."""
    found = diagnose(eyes(None, used=[used] * 10))
    assert text in found.cause
    assert any("L-B99A9384" in line for line in found.advice)
    assert "at most 10 ran at once; none are reserved for it" in found.evidence


@pytest.mark.parametrize(
    "region, memory, price",
    [
        ("eu-west-1", 512, "about $0.0083 an hour for each"),
        ("eu-central-1", 512, "at AWS's price"),
        ("eu-west-1", None, "at AWS's price"),
    ],
)
def test_provisioned_concurrency_is_told_with_its_price_where_that_is_known(
    region: str, memory: int | None, price: str
) -> None:
    """By the size of the function, and for each call that it would be ready for."""
    arn = Arn.parse(str(FUNCTION).replace("eu-central-1", region))
    function = {"FunctionName": "etl"} | ({} if memory is None else {"MemorySize": memory})
    on = eyes(function=function)
    found = CURE.diagnose(cast("Reader", on), Target(arn, "group"), FINDING)
    assert f"provisioned concurrency, {price} for as long as it stands" in found.advice[1]
    assert "never to $LATEST" in found.advice[1]


@pytest.mark.parametrize(
    "mapping, named",
    [
        ({"EventSourceArn": "arn:aws:sqs:eu:1:jobs", "ScalingConfig": {"MaximumConcurrency": 5}}, True),
        ({"EventSourceArn": "arn:aws:sqs:eu:1:jobs", "ScalingConfig": {"MaximumConcurrency": 10}}, False),
        ({"EventSourceArn": "arn:aws:sqs:eu:1:jobs", "ScalingConfig": {}}, False),
        ({"EventSourceArn": "arn:aws:sqs:eu:1:jobs"}, False),
    ],
)
def test_a_reservation_that_is_not_used_up_is_not_the_limit(mapping: dict[str, Any], named: bool) -> None:
    """Told by what it is: an event source's own limit, or bursts."""
    found = diagnose(eyes(at_once=[8.9] * 10, mappings=[mapping]))
    assert "some of the 10 that are reserved for it are free" in found.cause
    assert ("jobs may have at most 5 of its calls run at once" in found.cause) is named
    assert found.advice[0].startswith("raise MaximumConcurrency" if named else "look whether calls come in bursts")
    assert diagnose(eyes(at_once=[9.0] * 10)).advice == ()


# -- how it goes -------------------------------------------------------------------------------------------------------


def progress(on: Eyes) -> tuple[Progress, str]:
    """How a loan does."""
    plan = planned()
    went, why, _ = CURE.progress(cast("Reader", on), plan, plan.steps[0], {})
    return went, why


def test_a_loan_that_leaves_the_others_too_little_is_given_back() -> None:
    """Who reserved at the same moment could not know of us."""

    def left(unreserved: int) -> Eyes:
        return eyes(15, settings={"AccountLimit": {"UnreservedConcurrentExecutions": unreserved}})

    assert progress(left(150)) == (Progress.NEXT, "150 of the account's are left without a reservation")
    assert progress(left(149))[0] is Progress.STOP
    assert progress(eyes(30)) == (Progress.NEXT, "somebody has set 30 since")


def calm(reserved: int | None = 15, **other: Any) -> Eyes:
    """Nothing is turned away any more, but for this."""
    return eyes(reserved, **{"throttles": [10.0] * 7 + [0.0] * 3, **other})


def test_cured_is_nothing_turned_away_and_room_again() -> None:
    """For three minutes, at each of ten looks."""
    before = [10.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert isinstance(verified(calm(throttles=[*before, 0.0, 0.0, 0.0])), Healthy)
    assert isinstance(verified(calm(throttles=[*before, 1.0, 0.0, 0.0])), Sick)
    assert isinstance(verified(calm(throttles=[10.0] * 10)), Sick)
    assert isinstance(verified(calm(throttles=[0.0] * 10, at_once=[13.4] * 10)), Healthy)
    crowded = verified(calm(throttles=[0.0] * 10, at_once=[13.5] * 10))
    assert isinstance(crowded, Sick)
    assert crowded.finding.symptom == "etl: 14 of 15 that may ran at once"
    assert CURE.looks == 10


@pytest.mark.parametrize(
    "other, kind",
    [
        ({"at_once": LOST}, Unknown),
        ({"throttles": LOST}, Unknown),
        ({"at_once": []}, Healthy),
        ({"reserved": None, "at_once": [99.0] * 10}, Healthy),  # somebody has taken the reservation away: no limit
        ({"reserved": 0, "at_once": [0.0] * 10}, Healthy),
        ({"calls": [], "throttles": []}, Healthy),
    ],
)
def test_what_cannot_be_told_is_not_proven(other: dict[str, Any], kind: type[Observation]) -> None:
    """And where somebody has stopped it meanwhile, or nobody calls it, that is what is said."""
    seen = verified(calm(**{"throttles": [0.0] * 10, **other}))
    assert isinstance(seen, kind)
    assert not isinstance(seen, Healthy) or seen.idle is (other.get("calls") == [])


@pytest.mark.parametrize("found, ours", [(15, True), (10, False), (30, False), (0, False), (None, False)])
def test_only_what_we_reserved_is_ours_to_take_back(found: int | None, ours: bool) -> None:
    """A function that somebody has stopped stays stopped."""
    assert CURE.still_ours(cast("Reader", eyes(found)), planned()) is ours


@pytest.mark.parametrize(
    "found, seconds, outcome",
    [
        (15, 0, Outcome.DONE),
        (10, 59, Outcome.UNKNOWN),  # it may still take effect
        (10, 60, Outcome.NOT_DONE),
        (30, 600, Outcome.UNKNOWN),
        (None, 600, Outcome.UNKNOWN),
    ],
)
def test_a_lost_answer_is_found_by_looking(found: int | None, seconds: int, outcome: Outcome) -> None:
    """Not done only where the old value still stands, and a request cannot land any more."""
    call: Call = planned().steps[0].calls[0]
    on = eyes(found, time=NOW + timedelta(seconds=seconds))
    assert CURE.reconcile(cast("Reader", on), call, NOW) is outcome


def test_a_function_that_is_gone_is_not_ours() -> None:
    """Nothing can be said of it."""
    with pytest.raises(Missing):
        CURE.still_ours(cast("Reader", eyes(function=None)), planned())
