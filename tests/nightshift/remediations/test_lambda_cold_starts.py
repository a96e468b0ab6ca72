"""A function whose calls wait for it to start: what counts as that, what is kept ready, and what is only told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightshift.errors import Missing, Refused
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
    Provisioned,
    Query,
    ResourceRead,
    Severity,
    Sick,
    Target,
    Unknown,
)
from nightshift.remediation import Actor, Progress, Reader, Readings, Series, Unread
from nightshift.remediations.lambda_cold_starts import LambdaColdStarts

from tests.nightshift.remediations.account import NOW

CURE = LambdaColdStarts()
FUNCTION = Arn.parse("arn:aws:lambda:eu-west-1:123456789012:function:api")  # where the price is known
TARGET = Target(FUNCTION, "group", provisioned=Provisioned("live", 20))
FINDING = Finding(CURE.name, str(FUNCTION), "api: 20 % or more of its calls as live have waited for a start")
LOST = Unread("CloudWatch did not answer")
READY, REQUESTED = "ProvisionedConcurrentExecutions", "RequestedProvisionedConcurrentExecutions"


def kept(number: int = 15, label: str = "live", status: str = "READY") -> dict[str, Any]:
    """What Lambda says of instances that are kept ready."""
    return {
        "FunctionArn": f"{FUNCTION}:{label}",
        REQUESTED: number,
        "AvailableProvisionedConcurrentExecutions": 3,
        "Status": status,
    }


@dataclass
class Eyes:
    """What there is to be read: figures of the last parts of five minutes, the alias, and what is kept ready."""

    function: Any = field(default_factory=lambda: {"FunctionName": "api", "ReservedConcurrentExecutions": 50})
    calls: Any = (500.0, 500.0, 500.0)
    seen_by_insights: Any = (500.0, 500.0, 500.0)
    starts: Any = (100.0, 100.0, 100.0)
    shortest: Any = (1200.0, 1200.0, 1200.0)
    of_version: Any = (100.0, 100.0, 100.0)
    served: Any = ()
    past: Any = ()
    at_once: Any = (4.0, 10.0, 6.0)
    throttles: float = 0.0
    errors: float = 0.0
    claimed: Any = (300.0,)
    alias: Any = field(default_factory=lambda: {"Name": "live", "FunctionVersion": "7"})
    memory: Any = 1024
    limits: Any = field(default_factory=lambda: {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 900})
    configs: list[Any] = field(default_factory=list)
    scaled: bool = False
    time: datetime = NOW

    def seen(self, *queries: Query) -> Readings:
        """The answers."""
        return Readings(NOW, {query: self._answer(query) for query in queries})

    def now(self) -> datetime:
        """The time."""
        return self.time

    def __call__(self, service: str, operation: str, **params: Any) -> dict[str, Any]:
        """What AWS says of the alias, the account and autoscaling."""
        if operation == "GetAlias":
            assert params == {"FunctionName": "api", "Name": "live"}
            if isinstance(self.alias, Exception):
                raise self.alias
            return dict(self.alias)
        if operation == "GetAccountSettings":
            return {"AccountLimit": self.limits}
        if operation == "GetFunctionConfiguration":
            assert params == {"FunctionName": "api", "Qualifier": "live"}
            return {"MemorySize": self.memory, "Environment": {"Variables": {"KEY": "secret"}}}
        assert (service, operation) == ("application-autoscaling", "DescribeScalableTargets")
        assert params == {
            "ServiceNamespace": "lambda",
            "ResourceIds": ["function:api:live"],
            "ScalableDimension": "lambda:function:ProvisionedConcurrency",
        }
        return {"ScalableTargets": [{"MinCapacity": 1}] if self.scaled else []}

    def pages(self, service: str, operation: str, key: str, *, limit: int, **params: Any) -> Iterator[Any]:
        """What is kept ready of the function."""
        assert (service, operation) == ("lambda", "ListProvisionedConcurrencyConfigs")
        assert (key, limit, params) == ("ProvisionedConcurrencyConfigs", 100, {"FunctionName": "api"})
        yield from self.configs

    def _answer(self, query: Query) -> Any:
        if isinstance(query, ResourceRead):
            assert (query.kind, query.key) == ("lambda.function", str(FUNCTION))
            return self.function
        values = self._values(query)
        if isinstance(values, Unread):
            return values
        end = int((NOW - timedelta(minutes=1)).timestamp()) // query.period * query.period
        times = [datetime.fromtimestamp(end - query.period * back, NOW.tzinfo) for back in range(len(values), 0, -1)]
        return Series(tuple((at, value) for at, value in zip(times, values, strict=True) if value is not None))

    def _values(self, query: MetricQuery) -> Any:
        dims = dict(query.dimensions)
        if query.namespace == "LambdaInsights":
            assert dims.pop("function_name") == "api"
            if query.metric == "memory_utilization":
                return self.seen_by_insights
            if query.stat == "Minimum":
                return self.shortest
            assert dims in ({}, {"version": "7"})
            return self.of_version if dims else self.starts
        if query.metric == "ClaimedAccountConcurrency":
            assert not dims
            return self.claimed
        if query.metric in {"Throttles", "Errors"} or "Resource" not in dims:
            assert dims == {"FunctionName": "api"}
            return {"Throttles": (self.throttles,), "Errors": (self.errors,), "Invocations": (1500.0,)}[query.metric]
        assert dims == {"FunctionName": "api", "Resource": "api:live"}
        return {
            "Invocations": self.calls,
            "ConcurrentExecutions": self.at_once,
            "ProvisionedConcurrencyInvocations": self.served,
            "ProvisionedConcurrencySpilloverInvocations": self.past,
        }[query.metric]


def detect(on: Eyes, target: Target = TARGET, one: LambdaColdStarts = CURE) -> Observation:
    """What a look finds."""
    return one.detect(target, on.seen(*one.watch(target)))


def diagnose(on: Eyes, target: Target = TARGET) -> Diagnosis:
    """What a diagnosis says."""
    return CURE.diagnose(cast("Reader", on), target, FINDING)


def refused(on: Eyes) -> Refused:
    """Why there is no diagnosis."""
    with pytest.raises(Refused) as caught:
        diagnose(on)
    return caught.value


def planned(on: Eyes | None = None, target: Target = TARGET, one: LambdaColdStarts = CURE) -> Plan:
    """The plan."""
    return one.plan(diagnose(on or Eyes(), target))


def lent(on: Eyes, target: Target = TARGET) -> int:
    """How many would be kept ready."""
    [keep, _] = planned(on, target).calls
    return int(keep.params[READY])


def verified(on: Eyes) -> Observation:
    """What a look finds after a loan."""
    return CURE.verify(TARGET, FINDING, on.seen(*CURE.examine(TARGET)))


# -- seeing ------------------------------------------------------------------------------------------------------------


def test_calls_that_wait_in_each_part_are_a_symptom() -> None:
    """One of five, in each of three parts, and each start takes longer than half a second."""
    seen = detect(Eyes(starts=(150.0, 100.0, 200.0)))
    assert isinstance(seen, Sick)
    assert seen.finding.symptom == "api: 20 % or more of its calls as live have waited for a start"
    assert seen.finding.severity is Severity.SEV3
    assert [(each.value, each.threshold) for each in seen.finding.signals] == [(20.0, 5.0), (1200, 500)]


@pytest.mark.parametrize(
    "has",
    [
        {"starts": (100.0, 100.0, 25.0)},  # five per cent are allowed
        {"starts": (100.0, None, 100.0)},
        {"starts": (25.0, 100.0, 100.0)},
        {"shortest": (1200.0, 1200.0, 500.0)},
        {"shortest": (1200.0, 0.0, 1200.0)},  # were a call that waits for nothing counted as one of no time
        {"calls": (99.0, 500.0, 500.0)},
    ],
)
def test_a_burst_or_quick_starts_are_no_symptom(has: dict[str, Any]) -> None:
    """One part that is well, or has too few calls to tell, is enough."""
    assert isinstance(detect(Eyes(**has)), Healthy)


def test_too_few_calls_say_nothing() -> None:
    """The first calls of a day always wait; nothing of that is a reason to pay by the hour."""
    for calls in ((), (500.0, 500.0, 99.0), (500.0, 500.0, None)):
        seen = detect(Eyes(calls=calls))
        assert isinstance(seen, Healthy)
        assert seen.idle


def test_a_function_that_somebody_has_stopped_is_no_symptom() -> None:
    """Reserved concurrency 0 is somebody's decision."""
    seen = detect(Eyes(function={"ReservedConcurrentExecutions": 0}))
    assert isinstance(seen, Healthy)
    assert "stopped on purpose" in seen.summary


@pytest.mark.parametrize(
    "has, says",
    [
        ({"function": Unread("denied")}, "denied"),
        ({"function": None}, "there is no function api"),
        ({"calls": LOST}, "did not answer"),
        ({"seen_by_insights": LOST}, "did not answer"),
        ({"starts": LOST}, "did not answer"),
        ({"shortest": LOST}, "did not answer"),
        ({"seen_by_insights": ()}, "Lambda Insights is off"),
        ({"seen_by_insights": (500.0, 500.0, 0.0)}, "Lambda Insights is off"),
    ],
)
def test_what_nobody_can_tell_is_unknown(has: dict[str, Any], says: str) -> None:
    """No line of Insights is no zero."""
    seen = detect(Eyes(**has))
    assert isinstance(seen, Unknown)
    assert says in seen.reason


def test_a_look_that_was_made_of_nothing_is_unknown() -> None:
    """Nothing was read, and so nothing is known; a target that says no alias is none of ours."""
    assert isinstance(CURE.detect(TARGET, Readings(NOW, {})), Unknown)
    bare = Target(FUNCTION, "group")
    assert not CURE.takes(bare)
    assert CURE.takes(TARGET)
    assert isinstance(CURE.detect(bare, Readings(NOW, {})), Unknown)


@pytest.mark.parametrize(
    "has, kind",
    [
        ({"starts": (0.0, 0.0, 100.0)}, Unknown),  # it waits again, and has not for long
        ({"starts": (100.0, 100.0, 0.0)}, Healthy),
        ({}, Sick),
        ({"calls": LOST}, Unknown),
    ],
)
def test_it_has_recovered_when_calls_wait_no_more(has: dict[str, Any], kind: type) -> None:
    """What waits in the newest part is not well, however the parts before were."""
    on = Eyes(**has)
    assert isinstance(CURE.recovered(TARGET, FINDING, on.seen(*CURE.watch(TARGET))), kind)


# -- diagnosis ---------------------------------------------------------------------------------------------------------


def test_the_diagnosis_says_how_many_waited_and_whose_they_were() -> None:
    """Version by version: what starts of another one is none of the alias's."""
    found = diagnose(Eyes())
    assert found.cause == "calls of api as live come in steeper than instances are there, and wait for a start"
    assert "live is version 7, of which 100 of them were" in found.evidence
    assert "at most 10 ran at once; 50 more may be kept ready, of the 50 that are reserved for it" in found.evidence
    assert found.facts == {"function": str(FUNCTION), "alias": "live", "version": "7", "to": 15, "memory": 1024}
    assert not found.advice


def test_the_environment_that_is_read_with_the_memory_is_nowhere() -> None:
    """Lambda answers with all of it: nothing of that is kept."""
    assert "secret" not in repr(diagnose(Eyes())) + repr(planned())


@pytest.mark.parametrize(
    "has, guard",
    [
        ({"starts": (0.0, 0.0, 0.0)}, "function"),
        ({"calls": LOST}, "function"),
        ({"throttles": 1.0}, "cause"),
        ({"errors": 76.0}, "cause"),
        ({"alias": {"FunctionVersion": "7", "RoutingConfig": {"AdditionalVersionWeights": {"8": 0.1}}}}, "mid-change"),
        ({"at_once": ()}, "history"),
        ({"memory": None}, "price"),
    ],
)
def test_it_waits_for_what_goes_first(has: dict[str, Any], guard: str) -> None:
    """Calls that are turned away or fail, an alias that is being moved, and what nobody has measured."""
    no = refused(Eyes(**has))
    assert no.guard == guard
    assert no.retry_after is not None
    assert (no.link == str(FUNCTION)) == (guard == "cause")


def test_some_failing_calls_are_not_the_cause() -> None:
    """Five per cent may fail."""
    assert lent(Eyes(errors=75.0)) == 15


def test_an_alias_that_is_not_there_is_refused_for_good() -> None:
    """The configuration says another one than there is."""
    no = refused(Eyes(alias=Missing("lambda:GetAlias", "ResourceNotFoundException")))
    assert (no.guard, no.retry_after) == ("alias", None)
    assert "no alias live" in no.reason


@pytest.mark.parametrize(
    "has, says",
    [
        ({"alias": {"FunctionVersion": "$LATEST"}}, "leads to $LATEST"),
        ({"of_version": (0.0, 0.0, 25.0)}, "not of what live leads to"),
        ({"of_version": ()}, "not of what live leads to"),
        ({"configs": [kept(5)]}, "although some are kept ready"),
        ({"configs": [kept(5, "7")]}, "although some are kept ready"),
        ({"scaled": True}, "autoscaling sets how many"),
        ({"scaled": True, "configs": [kept(5)]}, "autoscaling sets how many"),
        ({"function": {"ReservedConcurrentExecutions": 5}, "configs": [kept(5, "6")]}, "none to spare"),
    ],
)
def test_what_is_somebodys_or_would_not_help_is_told(has: dict[str, Any], says: str) -> None:
    """It is left as it is, and people hear what would help."""
    found = diagnose(Eyes(**has))
    assert says in found.cause
    assert found.advice


def test_a_number_that_is_there_is_shown() -> None:
    """With whose it is."""
    assert "5 are kept ready of 7" in diagnose(Eyes(configs=[kept(5, "7")])).evidence


@pytest.mark.parametrize(
    "has, ceiling, number",
    [
        ({"at_once": (1.0,)}, 20, 2),
        ({"at_once": (4.5,)}, 20, 5),
        ({"at_once": (5.0,)}, 20, 10),
        ({"at_once": (10.0,)}, 20, 15),
        ({"at_once": (20.0, 1.0)}, 100, 25),  # exactly 22: in whole fives
        ({"at_once": (100.0,)}, 20, 20),
        ({"at_once": (10.0,)}, 8, 8),
        ({"function": {"ReservedConcurrentExecutions": 12}}, 20, 12),
        ({"function": {"ReservedConcurrentExecutions": 12}, "configs": [kept(5, "6")]}, 20, 7),
        ({"function": {}}, 20, 15),
        ({"function": {}, "claimed": (300.0, 842.0)}, 20, 8),
        ({"function": {}, "limits": {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 159}}, 20, 9),
    ],
)
def test_how_many_are_kept_ready(has: dict[str, Any], ceiling: int, number: int) -> None:
    """A tenth more than ran at once, within what was said, what is reserved and what the account has left."""
    assert lent(Eyes(**has), replace(TARGET, provisioned=Provisioned("live", ceiling))) == number


def test_an_account_that_has_none_to_spare_is_told() -> None:
    """Never the last hundred, and fifty."""
    found = diagnose(Eyes(function={}, claimed=(850.0,)))
    assert "there is none to spare, of the account's 1000" in found.cause
    assert "get-account-settings" in found.advice[0]


@pytest.mark.parametrize(
    "has",
    [{"claimed": ()}, {"limits": {"ConcurrentExecutions": 1000}}, {"limits": {"UnreservedConcurrentExecutions": 900}}],
)
def test_an_account_that_nobody_can_see_lends_nothing(has: dict[str, Any]) -> None:
    """What is not known to be left is not taken."""
    assert refused(Eyes(function={}, **has)).guard == "account"


# -- the plan ----------------------------------------------------------------------------------------------------------


def test_the_plan_asks_says_what_it_costs_and_takes_it_back() -> None:
    """Nothing is kept ready without a person's yes, and nothing stays."""
    plan = planned()
    [keep, back] = plan.calls
    assert (keep.action, keep.resource) == ("lambda:PutProvisionedConcurrencyConfig", f"{FUNCTION}:live")
    assert keep.params == {"FunctionName": "api", "Qualifier": "live", READY: 15}
    assert keep.before == {READY: "none"}
    assert not keep.stops
    assert (back.action, back.resource) == ("lambda:DeleteProvisionedConcurrencyConfig", f"{FUNCTION}:live")
    assert back.params == {"FunctionName": "api", "Qualifier": "live"}
    assert back.before == {READY: 15}
    assert back.stops
    assert plan.asks
    assert plan.final
    assert plan.lease == timedelta(hours=2)
    assert plan.cost_per_hour == pytest.approx(15 * 0.0166572)
    assert plan.summary == "keep 15 instances of api ready for calls as live, for 120 minutes, each with 1024 MB"
    assert plan.undo_by_hand == (
        "aws lambda delete-provisioned-concurrency-config --function-name api --qualifier live"
    )


def test_it_costs_by_its_memory_and_where_nobody_knows_the_price_that_is_said() -> None:
    """The guardrails refuse what has no price."""
    assert planned(Eyes(memory=256)).cost_per_hour == pytest.approx(15 * 0.0166572 / 4)
    found = diagnose(Eyes())
    elsewhere = str(FUNCTION).replace("eu-west-1", "eu-central-1")
    there = replace(found, facts={**found.facts, "function": elsewhere})
    assert CURE.plan(there).cost_per_hour is None
    assert LambdaColdStarts(gib_dollars_per_hour=0.02).plan(there).cost_per_hour == pytest.approx(0.3)


@pytest.mark.parametrize("facts", [{"to": 0}, {"alias": ""}, {"alias": "$LATEST"}])
def test_a_record_that_says_no_loan_is_none(facts: dict[str, Any]) -> None:
    """Whoever writes a record can lie."""
    found = diagnose(Eyes())
    with pytest.raises(ValueError, match="no loan"):
        CURE.plan(replace(found, facts={**found.facts, **facts}))


def test_what_a_call_did_is_said_as_its_before() -> None:
    """How many are asked for now."""
    [keep, back] = planned().calls
    assert CURE.effect(keep, {REQUESTED: 15}) == {READY: 15}
    assert CURE.effect(back, {}) == {READY: "none"}


@dataclass
class Hand:
    """Makes calls, and notes them."""

    scratch: dict[str, Any] = field(default_factory=dict)
    made: list[Call] = field(default_factory=list)

    def __call__(self, call: Call) -> dict[str, Any]:
        """Make it."""
        self.made.append(call)
        return {}

    def now(self) -> datetime:
        """The time."""
        return NOW


def test_when_it_began_is_noted_before_the_call() -> None:
    """So that it is known how long AWS has taken."""
    hand, plan = Hand(), planned()
    CURE.apply(cast("Actor", hand), plan, plan.steps[0])
    assert hand.made == list(plan.steps[0].calls)
    assert hand.scratch == {"began": NOW.isoformat()}


@pytest.mark.parametrize(
    "which, configs, late, outcome",
    [
        (0, [kept()], False, Outcome.DONE),
        (0, [kept(status="FAILED")], False, Outcome.DONE),
        (0, [kept(9)], True, Outcome.UNKNOWN),
        (0, [kept(15, "7")], False, Outcome.UNKNOWN),
        (0, [], False, Outcome.UNKNOWN),
        (0, [], True, Outcome.NOT_DONE),
        (1, [], False, Outcome.DONE),
        (1, [kept()], True, Outcome.NOT_DONE),
        (1, [kept()], False, Outcome.UNKNOWN),
        (1, [kept(9)], True, Outcome.UNKNOWN),
    ],
)
def test_what_became_of_a_call_is_found_out_by_looking(
    which: int, configs: list[Any], late: bool, outcome: Outcome
) -> None:
    """Another number than ours may have been set over it, and nobody knows; one of a version is not the alias's."""
    on = Eyes(configs=configs, time=NOW + timedelta(seconds=60 if late else 59))
    assert CURE.reconcile(cast("Reader", on), planned().calls[which], NOW) is outcome


# -- how it goes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "configs, minutes, progress, says",
    [
        ([], 1, Progress.STOP, "nothing is kept ready any more"),
        ([kept(9)], 1, Progress.NEXT, "somebody has set 9 since"),
        ([kept()], 1, Progress.NEXT, "15 instances are ready"),
        ([kept(status="FAILED")], 1, Progress.STOP, "could not"),
        ([kept(status="IN_PROGRESS")], 14, Progress.WAIT, "3 of 15 instances are ready"),
        ([kept(status="IN_PROGRESS")], 15, Progress.STOP, "after 15 minutes"),
    ],
)
def test_it_is_waited_for_until_they_are_ready(configs: list[Any], minutes: int, progress: Progress, says: str) -> None:
    """Where AWS cannot have them ready, or not in time, they are given up: they would be paid for."""
    on, plan = Eyes(configs=configs, time=NOW + timedelta(minutes=minutes)), planned()
    told = CURE.progress(cast("Reader", on), plan, plan.steps[0], {"began": NOW.isoformat()})
    assert told[0] is progress
    assert says in told[1]


def test_a_step_that_noted_nothing_waits() -> None:
    """It died before it could."""
    plan = planned()
    told = CURE.progress(cast("Reader", Eyes(configs=[kept(status="IN_PROGRESS")])), plan, plan.steps[0], {})
    assert told[0] is Progress.WAIT


@pytest.mark.parametrize(
    "has, kind",
    [
        ({"served": (475.0,), "past": (25.0,)}, Healthy),
        ({"served": (474.0,), "past": (26.0,)}, Sick),
        ({"served": (500.0,), "past": ()}, Healthy),
        ({"served": (0.0,), "past": (500.0,)}, Sick),
        ({"served": (), "past": ()}, Sick),
        ({"served": (500.0, 0.0), "past": (0.0, 500.0)}, Sick),
        ({"served": LOST}, Unknown),
        ({"past": LOST}, Unknown),
        ({"calls": LOST, "served": (500.0,)}, Unknown),
        ({"calls": (500.0, 500.0, 99.0), "served": (99.0,)}, Unknown),
        ({"starts": (100.0,) * 3, "served": (500.0,)}, Healthy),  # which may be those of what is kept ready
    ],
)
def test_a_cure_is_proven_by_the_calls_that_were_served(has: dict[str, Any], kind: type) -> None:
    """Of the newest five minutes, with calls enough to tell; starts prove nothing any more."""
    seen = verified(Eyes(**has))
    assert isinstance(seen, kind)
    if isinstance(seen, Sick):
        assert seen.finding.symptom.startswith("api: ")


@pytest.mark.parametrize(
    "configs, scaled, ours",
    [
        ([kept()], False, True),
        ([kept(status="IN_PROGRESS")], False, True),
        ([kept(9)], False, False),
        ([], False, False),
        ([kept()], True, False),
    ],
)
def test_what_somebody_has_set_since_is_theirs(configs: list[Any], scaled: bool, ours: bool) -> None:
    """Another number, none, or autoscaling that sets it from now on."""
    assert CURE.still_ours(cast("Reader", Eyes(configs=configs, scaled=scaled)), planned()) is ours


@given(
    st.lists(st.one_of(st.none(), st.floats(0, 1e6)), max_size=3),
    st.lists(st.one_of(st.none(), st.floats(0, 1e6)), max_size=3),
    st.lists(st.one_of(st.none(), st.floats(0, 1e6)), max_size=3),
)
def test_a_look_answers_whatever_it_is_given(calls: list[Any], starts: list[Any], shortest: list[Any]) -> None:
    """One of three values, and never an error."""
    on = Eyes(calls=calls, starts=starts, shortest=shortest)
    assert isinstance(detect(on), Healthy | Sick | Unknown)
    assert isinstance(verified(on), Healthy | Sick | Unknown)
