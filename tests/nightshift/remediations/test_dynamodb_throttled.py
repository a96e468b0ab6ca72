"""A table that throttles: told from a hot key, a quota and autoscaling at work, lent capacity for a while, no more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

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
    Observation,
    Outcome,
    Plan,
    Query,
    Severity,
    Sick,
    Step,
    Target,
    Throughput,
    Unknown,
)
from nightshift.remediation import Progress, Readings, Series, Unread
from nightshift.remediations.dynamodb_throttled import DynamodbThrottled
from nightshift.signals import table_metric
from pydantic import ValidationError

from tests.nightshift.remediations.account import NOW, Account, Eyes, Hand, read

CURE = DynamodbThrottled(write_dollars_per_hour=0.001, read_dollars_per_hour=0.0001)
TABLE = Arn.parse("arn:aws:dynamodb:eu-central-1:123456789012:table/hot")
INDEX = Arn.parse(f"{TABLE}/index/place")
HOT, PLACE = Target(TABLE, "pulse"), Target(INDEX, "pulse")
FINDING = Finding(CURE.name, str(TABLE), "more than 10 writes a minute of hot were throttled for 5 minutes")
MINUTE = timedelta(minutes=1)
SCALABLE = "arn:aws:application-autoscaling:eu-central-1:123456789012:scalable-target/0dd5abc"
TARGETS = "application-autoscaling:DescribeScalableTargets"
POLICIES = "application-autoscaling:DescribeScalingPolicies"
MANY = [60.0] * 5
"""throttled requests, by minute"""


def capacity(read_: int = 50, write: int = 20, **other: Any) -> dict[str, Any]:
    """Provisioned throughput, as AWS describes it."""
    return {"ReadCapacityUnits": read_, "WriteCapacityUnits": write, "NumberOfDecreasesToday": 0} | other


def table(*, index: bool = False, **other: Any) -> dict[str, Any]:
    """A table with an index, or that index with its table, as it is read."""
    own = {"IndexName": "place", "IndexStatus": "ACTIVE", "ProvisionedThroughput": capacity(10, 10)}
    own |= other.pop("own", {})
    found = {
        "TableName": "hot",
        "TableStatus": "ACTIVE",
        "ProvisionedThroughput": capacity(),
        "GlobalSecondaryIndexes": (own,),
        **({"Index": own} if index else {}),
    }
    return found | other


def scalable(way: str = "Write", least: int = 5, most: int = 20, **other: Any) -> dict[str, Any]:
    """A scalable target, as DescribeScalableTargets gives it."""
    return {
        "ScalableTargetARN": SCALABLE,
        "ResourceId": "table/hot",
        "ScalableDimension": f"dynamodb:table:{way}CapacityUnits",
        "MinCapacity": least,
        "MaxCapacity": most,
        "SuspendedState": {"DynamicScalingInSuspended": False, "DynamicScalingOutSuspended": False},
    } | other


def account(
    described: Any = None,
    *,
    scaling: list[dict[str, Any]] | None = None,
    policies: list[str] | None = None,
    limits: Mapping[str, int] | None = None,
    metrics: Mapping[tuple[str, str], Any] | None = None,
    **other: Any,
) -> Account:
    """An account in which more writes would be right, unless it is said otherwise: 20 are there, and all are used."""
    dimensions = ["dynamodb:table:WriteCapacityUnits"] if policies is None else policies
    most = dict.fromkeys(
        ("AccountMaxReadCapacityUnits", "AccountMaxWriteCapacityUnits", "TableMaxReadCapacityUnits"), 1000
    )
    return Account(
        services={TABLE: table() if described is None else described, INDEX: table(index=True)},
        metrics={
            ("hot", "WriteThrottleEvents"): MANY,
            ("hot", "ConsumedWriteCapacityUnits"): [20.0 * 60] * 5,
            **(metrics or {}),
        },
        answers={
            TARGETS: {"ScalableTargets": scaling or []},
            POLICIES: {"ScalingPolicies": [{"ScalableDimension": each} for each in dimensions]},
            "dynamodb:DescribeLimits": {**most, "TableMaxWriteCapacityUnits": 500, **(limits or {})},
        },
        **other,
    )


def eyes(there: Account) -> Eyes:
    """Who reads it."""
    return Eyes(there, DynamodbThrottled)


def diagnosed(there: Account, target: Target = HOT, cure: DynamodbThrottled = CURE) -> Diagnosis:
    """The diagnosis."""
    return cure.diagnose(eyes(there), target, FINDING)


def refused(there: Account, target: Target = HOT, cure: DynamodbThrottled = CURE) -> Refused:
    """What the diagnosis says no to."""
    with pytest.raises(Refused) as caught:
        diagnosed(there, target, cure)
    return caught.value


def planned(there: Account | None = None, target: Target = HOT, cure: DynamodbThrottled = CURE) -> Plan:
    """Diagnose and plan."""
    return cure.plan(diagnosed(there or account(), target, cure))


def of(plan: Plan) -> tuple[Step, Call, Call]:
    """The plan's one step, its call and its undo."""
    [step] = plan.steps
    [there], [back] = step.calls, step.undo
    return step, there, back


def metric(name: str, minutes: int = 10, arn: Arn = TABLE) -> Query:
    """A metric of the table."""
    return table_metric(arn, name, "Sum", minutes)


def points(*values: float, ago: int = 2) -> Series:
    """What was reported minute by minute; the newest is of ``ago`` minutes before."""
    end = NOW - ago * MINUTE
    return Series(tuple((end - (len(values) - 1 - n) * MINUTE, value) for n, value in enumerate(values)))


def seen(described: Any = None, *, arn: Arn = TABLE, **metrics: Any) -> Readings:
    """What a look read; nothing was throttled unless it is said."""
    answers: dict[Query, Any] = {read("dynamodb.table", arn): table() if described is None else described}
    for way in ("Read", "Write"):
        answers[metric(f"{way}ThrottleEvents", arn=arn)] = metrics.get(way.lower(), Series())
        answers[metric(f"Consumed{way}CapacityUnits", arn=arn)] = metrics.get(f"used_{way.lower()}", Series())
    return Readings(NOW, answers)


# -- seeing ----------------------------------------------------------------------------------------------------------


def test_a_table_and_what_it_throttles_are_read() -> None:
    """Both ways, for as long as proves a cure; a closer look also reads what was used. An index is a target itself."""
    assert CURE.watch(HOT) == (
        read("dynamodb.table", TABLE),
        metric("WriteThrottleEvents"),
        metric("ReadThrottleEvents"),
    )
    assert CURE.examine(HOT) == (
        *CURE.watch(HOT),
        metric("ConsumedWriteCapacityUnits"),
        metric("ConsumedReadCapacityUnits"),
    )
    assert metric("WriteThrottleEvents", arn=INDEX) in CURE.watch(PLACE)
    assert CURE.takes(HOT)


@pytest.mark.parametrize(
    "write, read_, ways",
    [
        ((11.0,) * 5, (), ["WriteThrottleEvents"]),
        ((11.0,) * 9, (), ["WriteThrottleEvents"]),
        ((11.0,) * 5, (99.0, 12.0, 13.0, 14.0, 15.0), ["WriteThrottleEvents", "ReadThrottleEvents"]),
        ((10.0, 99.0, 99.0, 99.0, 99.0), (), []),
        ((99.0,) * 4, (), []),
        ((99.0,) * 5 + (1.0,), (), []),
        ((), (), []),
    ],
)
def test_it_is_sick_while_too_many_are_throttled_in_each_of_the_last_minutes(
    write: tuple[float, ...], read_: tuple[float, ...], ways: list[str]
) -> None:
    """A minute of which nothing was reported is one without any."""
    found = CURE.detect(HOT, seen(write=points(*write), read=points(*read_)))
    assert [each.name for each in found.finding.signals] == ways if isinstance(found, Sick) else ways == []
    if isinstance(found, Sick):
        assert found.finding.severity is Severity.SEV2
        assert "writes" in found.finding.symptom


@pytest.mark.parametrize(
    "write, ago, kind",
    [
        ((99.0,) * 4, 3, Unknown),  # the fifth minute is not there yet
        ((99.0,) * 4, 4, Unknown),
        ((99.0,) * 4, 5, Healthy),
        ((99.0,) * 4 + (10.0,), 2, Unknown),
        ((99.0, 10.0, 10.0, 10.0), 2, Healthy),
        ((99.0,) * 5, 2, Sick),
    ],
)
def test_a_minute_that_is_not_reported_yet_makes_no_table_well(write: tuple[float, ...], ago: int, kind: type) -> None:
    """CloudWatch may be late, and only tells of minutes in which some were throttled: calm is what is calm for long."""
    readings = seen(write=points(*write, ago=ago))
    found = CURE.recovered(HOT, FINDING, readings)
    assert type(found) is kind
    if kind is Unknown:
        assert type(CURE.detect(HOT, readings)) is Healthy


def test_what_was_throttled_before_the_last_minutes_does_not_count() -> None:
    """Five minutes of it, and five quiet ones since."""
    found = CURE.detect(HOT, seen(write=points(*MANY, ago=8)))
    assert found == Healthy("nothing throttled in 5 minutes")
    assert CURE.detect(HOT, seen(write=points(3.0))) == Healthy("3 writes throttled in 5 minutes")


@pytest.mark.parametrize(
    "readings, why",
    [
        (seen(Unread("no"), write=points(*MANY)), "no"),
        (Readings(NOW, {read("dynamodb.table", TABLE): None}), "does not exist"),
        (seen(table(TableStatus="DELETING")), "hot is DELETING"),
        (seen(write=Unread("throttled")), "throttled"),
        (seen(read=Unread("throttled"), write=points(*MANY)), "throttled"),
        (Readings(NOW), "was not read"),
    ],
)
def test_what_cannot_be_read_is_unknown(readings: Readings, why: str) -> None:
    """Neither sick nor healthy."""
    found = CURE.detect(HOT, readings)
    assert isinstance(found, Unknown)
    assert why in found.reason


def test_an_index_that_is_being_made_is_unknown() -> None:
    """Its table takes requests, and it does not yet."""
    found = CURE.detect(PLACE, seen(table(index=True, own={"IndexStatus": "CREATING"}), arn=INDEX))
    assert found == Unknown("index place of hot is ACTIVE and CREATING")


def test_what_is_neither_a_table_nor_an_index_is_unknown() -> None:
    """A stream has an ARN like an index's."""
    stream = Target(Arn.parse(f"{TABLE}/stream/2026"), "pulse")
    assert CURE.watch(stream) == (read("dynamodb.table", stream.arn),)
    assert CURE.examine(stream) == CURE.watch(stream)
    found = CURE.detect(stream, Readings(NOW, {read("dynamodb.table", stream.arn): table()}))
    assert isinstance(found, Unknown)
    assert "not a table" in found.reason


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda deeper: st.dictionaries(st.sampled_from(["TableStatus", "Index", "IndexStatus"]), deeper, max_size=3),
    ).filter(lambda found: found is None or isinstance(found, dict))
)
def test_detection_is_total(described: Any) -> None:
    """Whatever AWS says of a table, there is an answer."""
    answers: dict[Query, Any] = {read("dynamodb.table", TABLE): described}
    assert isinstance(CURE.detect(HOT, Readings(NOW, answers)), Healthy | Sick | Unknown)


# -- the cause -------------------------------------------------------------------------------------------------------


def test_a_table_that_uses_all_it_has_gets_half_as_much_again() -> None:
    """The other number as it stands, because AWS takes both or none."""
    found = diagnosed(account())
    assert found.facts == {
        "arn": str(TABLE),
        "standard": True,
        "units": {"Write": [20, 30], "Read": [50, 50]},
    }
    assert found.cause == "hot has less capacity than it is asked for"
    assert "300 writes throttled in 5 minutes, 20 of 20 writes a second used" in found.evidence
    assert not found.advice


@pytest.mark.parametrize(
    "peak, to",
    [(20.0, 30), (22.0, 32), (35.0, 40)],
    ids=["half as much again", "what its peak needs", "never more than twice"],
)
def test_it_gets_what_its_peak_needs(peak: float, to: int) -> None:
    """Of the busiest minute in an hour, seventy per cent of which is to be used."""
    there = account(metrics={("hot", "ConsumedWriteCapacityUnits"): [*[peak * 60] * 3, *[600.0] * 40, *[1200.0] * 5]})
    assert diagnosed(there).facts["units"]["Write"] == [20, to]


@pytest.mark.parametrize(
    "cure, target, to",
    [
        (CURE.model_copy(update={"write_ceiling": 25}), HOT, 25),
        (CURE, replace(HOT, throughput=Throughput(write=24)), 24),
        (CURE.model_copy(update={"write_ceiling": 25}), replace(HOT, throughput=Throughput(read=60)), 25),
    ],
)
def test_a_loan_stays_within_the_ceiling(cure: DynamodbThrottled, target: Target, to: int) -> None:
    """The target's own, where it says one."""
    assert diagnosed(account(), target, cure).facts["units"]["Write"] == [20, to]


def test_reads_have_a_ceiling_of_their_own() -> None:
    """The target's, or the remediation's."""
    metrics = {
        ("hot", "WriteThrottleEvents"): [],
        ("hot", "ReadThrottleEvents"): MANY,
        ("hot", "ConsumedReadCapacityUnits"): [50.0 * 60] * 5,
    }
    assert diagnosed(account(metrics=metrics)).facts["units"]["Read"] == [50, 75]
    own = replace(HOT, throughput=Throughput(read=60))
    assert diagnosed(account(metrics=metrics), own).facts["units"]["Read"] == [50, 60]


def test_at_the_ceiling_nothing_is_lent() -> None:
    """And it is said once what it is."""
    found = refused(account(), cure=CURE.model_copy(update={"write_ceiling": 20}))
    assert (found.guard, found.retry_after) == ("ceiling", None)
    assert found.numbers == {"now": 20, "ceiling": 20}


@pytest.mark.parametrize("whose", ["Account", "Table"])
def test_a_quota_bounds_what_a_table_and_its_indexes_have_together(whose: str) -> None:
    """The account's or the table's, whichever is less."""
    there = account(limits={f"{whose}MaxWriteCapacityUnits": 34})
    assert diagnosed(there).facts["units"]["Write"] == [20, 24]
    found = refused(account(limits={f"{whose}MaxWriteCapacityUnits": 30}))
    assert (found.guard, found.numbers) == ("quota", {"quota": 30})


def test_what_does_not_throttle_any_more_is_left_alone() -> None:
    """It is looked at again."""
    found = refused(account(metrics={("hot", "WriteThrottleEvents"): [60.0] * 4}))
    assert (found.guard, found.retry_after) == ("signal", timedelta(minutes=2))


@pytest.mark.parametrize(
    "described", [table(TableStatus="UPDATING"), table(index=True, own={"IndexStatus": "UPDATING"})]
)
def test_what_is_being_changed_is_waited_for(described: dict[str, Any]) -> None:
    """AWS takes one change at a time."""
    found = refused(account(described))
    assert (found.guard, found.retry_after) == ("state", timedelta(minutes=2))


@pytest.mark.parametrize("name", ["LastIncreaseDateTime", "LastDecreaseDateTime"])
def test_what_was_measured_before_a_change_proves_nothing(name: str) -> None:
    """Ten minutes after it, it does."""
    at = NOW - timedelta(minutes=9)
    found = refused(account(table(ProvisionedThroughput=capacity() | {name: at})))
    assert (found.guard, found.numbers) == ("changed", {"minutes": 9})
    assert diagnosed(account(table(ProvisionedThroughput=capacity() | {name: at - MINUTE}))).facts


def test_a_table_that_does_not_exist_any_more_is_missing() -> None:
    """Nothing is guessed."""
    there = account()
    there.services[TABLE] = None
    with pytest.raises(Missing):
        diagnosed(there)
    there.services[TABLE] = Unread("denied")
    with pytest.raises(Unreadable):
        diagnosed(there)


@pytest.mark.parametrize(
    "metrics, cause",
    [
        ({"WriteKeyRangeThroughputThrottleEvents": [30.0] * 5}, "150 of 300 by the limit of a partition"),
        ({"ConsumedWriteCapacityUnits": [15.9 * 60] * 5}, "80 % of its capacity is used while it throttles"),
        ({"ConsumedWriteCapacityUnits": [6.0 * 60] * 5}, "30 % of its capacity is used while it throttles"),
    ],
)
def test_a_hot_key_is_told(metrics: dict[str, list[float]], cause: str) -> None:
    """Where DynamoDB says it of half of them, or capacity is left while it throttles."""
    found = diagnosed(account(metrics={("hot", name): values for name, values in metrics.items()}))
    assert "one key, or one partition" in found.cause
    assert found.evidence[1] == cause
    assert "--table-name hot --contributor-insights-action ENABLE" in found.advice[0]


def test_a_few_that_a_partition_turned_away_are_no_hot_key() -> None:
    """Less than half: more capacity helps the rest."""
    metrics = {("hot", "WriteKeyRangeThroughputThrottleEvents"): [29.0] * 5}
    assert diagnosed(account(metrics=metrics)).facts["units"]["Write"] == [20, 30]
    just = {("hot", "ConsumedWriteCapacityUnits"): [16.0 * 60] * 5}
    assert diagnosed(account(metrics=just)).facts["units"]["Write"] == [20, 30]


def test_how_much_is_used_must_be_known() -> None:
    """What was not reported is not taken for nothing."""
    found = refused(account(metrics={("hot", "ConsumedWriteCapacityUnits"): []}))
    assert (found.guard, found.retry_after) == ("evidence", timedelta(minutes=2))


def test_a_quota_of_the_account_is_told() -> None:
    """More capacity would not be had."""
    found = diagnosed(account(metrics={("hot", "WriteAccountLimitThrottleEvents"): [1.0]}))
    assert "quota of this account" in found.cause
    assert found.advice


def test_what_can_be_helped_is_helped_and_the_rest_said() -> None:
    """Writes are short of capacity, reads have a hot key."""
    metrics = {("hot", "ReadThrottleEvents"): MANY, ("hot", "ConsumedReadCapacityUnits"): [60.0] * 5}
    found = diagnosed(account(metrics=metrics))
    assert found.facts["units"] == {"Write": [20, 30], "Read": [50, 50]}
    assert any("reads of hot are throttled though it has capacity left" in each for each in found.evidence)


ON_DEMAND: dict[str, Any] = {
    "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"},
    "ProvisionedThroughput": capacity(0, 0),
}


@pytest.mark.parametrize(
    "metrics, cause",
    [
        ({"WriteAccountLimitThrottleEvents": [1.0]}, "by a quota of this account and Region"),
        ({"WriteMaxOnDemandThroughputThrottleEvents": [1.0]}, "by the most that it may use on demand"),
        ({"WriteKeyRangeThroughputThrottleEvents": [60.0] * 5}, "one key, or one partition"),
        ({}, "more than twice its last peak"),
    ],
)
def test_a_table_on_demand_is_told_and_never_given_a_capacity(metrics: dict[str, list[float]], cause: str) -> None:
    """Each reason with what would help."""
    found = diagnosed(account(table(**ON_DEMAND), metrics={("hot", name): each for name, each in metrics.items()}))
    assert cause in found.cause
    assert found.advice
    assert not found.facts


def test_a_global_table_is_left_alone() -> None:
    """Its capacity is that of all its Regions."""
    found = refused(account(table(Replicas=[{"RegionName": "us-east-1"}])))
    assert (found.guard, found.retry_after) == ("replicas", None)


# -- its indexes -----------------------------------------------------------------------------------------------------


def test_an_index_that_throttles_writes_comes_first() -> None:
    """The table waits for it where it is looked after; where it is not, that is told."""
    metrics = {("place", "WriteThrottleEvents"): [1.0]}
    found = refused(account(metrics=metrics, registered=(PLACE,)))
    assert (found.guard, found.link, found.retry_after) == ("index", str(INDEX), timedelta(minutes=2))
    told = diagnosed(account(metrics=metrics))
    assert told.advice == (f"raise the index's write capacity, or register {INDEX}",)


def test_reads_of_a_table_do_not_wait_for_its_indexes() -> None:
    """An index holds up writes alone."""
    metrics = {
        ("place", "WriteThrottleEvents"): MANY,
        ("hot", "WriteThrottleEvents"): [],
        ("hot", "ReadThrottleEvents"): MANY,
        ("hot", "ConsumedReadCapacityUnits"): [50.0 * 60] * 5,
    }
    assert diagnosed(account(metrics=metrics)).facts["units"] == {"Write": [20, 20], "Read": [50, 75]}


def index_account(**other: Any) -> Account:
    """An account in which the index throttles writes."""
    metrics = {("place", "WriteThrottleEvents"): MANY, ("place", "ConsumedWriteCapacityUnits"): [600.0] * 5}
    return account(metrics=metrics, **other)


def test_an_index_is_raised_by_its_table() -> None:
    """By its name, and nothing of the table is said."""
    plan = planned(index_account(), PLACE)
    _, there, back = of(plan)
    assert plan.target == str(INDEX)
    assert (there.resource, there.action) == (str(TABLE), "dynamodb:UpdateTable")
    update = {"IndexName": "place", "ProvisionedThroughput": {"ReadCapacityUnits": 10, "WriteCapacityUnits": 15}}
    assert there.params == {"TableName": "hot", "GlobalSecondaryIndexUpdates": [{"Update": update}]}
    assert back.before == update["ProvisionedThroughput"]
    assert "index place of hot" in plan.summary
    assert plan.undo_by_hand == (
        "aws dynamodb update-table --table-name hot --global-secondary-index-updates "
        "'Update={IndexName=place,ProvisionedThroughput={ReadCapacityUnits=10,WriteCapacityUnits=10}}'"
    )


# -- autoscaling -----------------------------------------------------------------------------------------------------


def test_at_its_maximum_autoscaling_gets_a_higher_one() -> None:
    """Its minimum stays, and so does what is suspended."""
    plan = planned(account(scaling=[scalable()]))
    _, there, back = of(plan)
    assert there.resource == SCALABLE
    assert there.params == {
        "ServiceNamespace": "dynamodb",
        "ResourceId": "table/hot",
        "ScalableDimension": "dynamodb:table:WriteCapacityUnits",
        "MinCapacity": 5,
        "MaxCapacity": 30,
    }
    assert (back.params["MaxCapacity"], back.before, back.stops) == (20, {"MinCapacity": 5, "MaxCapacity": 30}, True)
    base = "arn:aws:cloudwatch:eu-central-1:123456789012:alarm:TargetTracking-table/hot"
    alarms = {f"{base}-{kind}*" for kind in ("Alarm", "ProvisionedCapacity")}
    assert {action for action, arn in there.grants if arn == str(TABLE)} == {
        "dynamodb:DescribeTable",
        "dynamodb:UpdateTable",
    }
    assert {action for action, arn in there.grants if arn in alarms} == {
        "cloudwatch:DeleteAlarms",
        "cloudwatch:PutMetricAlarm",
    }
    assert [action for action, arn in there.grants if arn not in {*alarms, str(TABLE)}] == ["cloudwatch:DescribeAlarms"]
    assert "let autoscaling provision at most 30 writes instead of 20" in plan.summary
    assert plan.cost_per_hour == 0.01
    assert plan.undo_by_hand.endswith("--min-capacity 5 --max-capacity 20")


def test_below_its_maximum_autoscaling_is_waited_for_and_then_gets_a_higher_minimum() -> None:
    """After ten minutes in which it did nothing while requests were throttled."""
    found = refused(account(scaling=[scalable(most=25)]))
    assert (found.guard, found.retry_after) == ("autoscaling", timedelta(minutes=2))
    waited = {("hot", "WriteThrottleEvents"): [60.0] * 10}
    plan = planned(account(scaling=[scalable(most=25)], metrics=waited))
    _, there, back = of(plan)
    assert (there.params["MinCapacity"], there.params["MaxCapacity"]) == (25, 25)
    assert (back.params["MinCapacity"], back.params["MaxCapacity"]) == (5, 25)
    assert "let autoscaling provision at least 25 writes instead of 5" in plan.summary
    assert plan.cost_per_hour == 0.005


@pytest.mark.parametrize(
    "scaling, policies, reason, later",
    [
        (scalable(SuspendedState={"DynamicScalingOutSuspended": True}), None, "suspended", False),
        (scalable(), ["dynamodb:table:ReadCapacityUnits"], "no policy", False),
        (scalable(least=30, most=40), None, "somebody has set 20", True),
        (scalable(most=10), None, "somebody has set 20", True),
        ({key: value for key, value in scalable().items() if key != "ScalableTargetARN"}, None, "by which name", False),
    ],
)
def test_autoscaling_that_is_a_persons_is_left_alone(
    scaling: dict[str, Any], policies: list[str] | None, reason: str, later: bool
) -> None:
    """New limits would not help, or take away what somebody has set."""
    found = refused(account(scaling=[scaling], policies=policies))
    assert found.guard == "autoscaling"
    assert reason in found.reason
    assert (found.retry_after is not None) is later


def test_limits_of_something_else_are_none() -> None:
    """A dimension that nobody knows, or another table's."""
    others = [scalable(ScalableDimension="dynamodb:table:Colour"), scalable(ResourceId="table/other")]
    assert "units" in diagnosed(account(scaling=others)).facts


BOTH = {
    ("hot", "ReadThrottleEvents"): MANY,
    ("hot", "ConsumedReadCapacityUnits"): [50.0 * 60] * 5,
}
BOTH_WAYS = ["dynamodb:table:WriteCapacityUnits", "dynamodb:table:ReadCapacityUnits"]


def test_where_both_are_at_their_maximum_both_are_raised() -> None:
    """Each by its own call, and each is undone."""
    there = account(scaling=[scalable(), scalable("Read", 5, 50)], metrics=BOTH, policies=BOTH_WAYS)
    plan = planned(there)
    assert [call.params["MaxCapacity"] for call in plan.steps[0].calls] == [30, 75]
    assert [call.params["MaxCapacity"] for call in plan.steps[0].undo] == [20, 50]
    assert plan.cost_per_hour == pytest.approx(0.0125)


def test_where_one_of_two_can_be_raised_it_is() -> None:
    """The other is autoscaling's for now."""
    there = account(scaling=[scalable(), scalable("Read", 5, 90)], metrics=BOTH, policies=BOTH_WAYS)
    [limit] = diagnosed(there).facts["limits"]
    assert limit["way"] == "Write"


@pytest.mark.parametrize("way, theirs", [("Read", "reads"), ("Write", "writes")])
def test_half_of_a_table_is_not_set_while_autoscaling_sets_the_other(way: str, theirs: str) -> None:
    """UpdateTable says both numbers."""
    found = diagnosed(account(scaling=[scalable(way, 5, 50)], metrics=BOTH))
    assert found.advice
    assert f"autoscaling sets its {theirs}, and not these" in found.cause


def test_who_has_no_autoscaling_is_told_both_calls_that_it_takes() -> None:
    """Limits alone scale nothing; of an index they name the index."""
    limits, policy = diagnosed(account()).evidence[-2:]
    name = "--service-namespace dynamodb --resource-id table/hot --scalable-dimension dynamodb:table:WriteCapacityUnits"
    assert limits.endswith(f"register-scalable-target {name} --min-capacity 20 --max-capacity 1000")
    assert "put-scaling-policy" in policy
    assert policy.endswith("DynamoDBWriteCapacityUtilization at 70 %")
    own = replace(PLACE, throughput=Throughput(write=40))
    of_index = diagnosed(index_account(), own).evidence[-2]
    assert "table/hot/index/place --scalable-dimension dynamodb:index:WriteCapacityUnits" in of_index
    assert of_index.endswith("--min-capacity 10 --max-capacity 40")


# -- the plan --------------------------------------------------------------------------------------------------------


def test_what_is_lent_is_planned_with_its_way_back() -> None:
    """One call, for an hour; what stood before is set again."""
    plan = planned()
    step, there, back = of(plan)
    assert there.params == {
        "TableName": "hot",
        "ProvisionedThroughput": {"ReadCapacityUnits": 50, "WriteCapacityUnits": 30},
    }
    assert there.before == {"ReadCapacityUnits": 50, "WriteCapacityUnits": 20}
    assert (back.params["ProvisionedThroughput"], back.before) == (there.before, CURE.effect(there, {}))
    assert (there.stops, back.stops, step.settle) == (False, True, timedelta(minutes=2))
    assert plan.lease == timedelta(hours=1)
    assert plan.summary == "provision 30 writes instead of 20 a second for hot, for 60 minutes"
    assert plan.undo_by_hand == (
        "aws dynamodb update-table --table-name hot --provisioned-throughput ReadCapacityUnits=50,WriteCapacityUnits=20"
    )


def test_the_same_diagnosis_gives_the_same_plan_whatever_is_set_meanwhile() -> None:
    """A ceiling that is lowered while something is out changes no undo."""
    found = diagnosed(account())
    assert CURE.model_copy(update={"write_ceiling": 1}).plan(found).steps == CURE.plan(found).steps


@pytest.mark.parametrize("units", [{"Write": [20, 20], "Read": [50, 50]}, {"Write": [20, 10], "Read": [50, 50]}])
def test_what_is_no_loan_is_never_planned(units: dict[str, list[int]]) -> None:
    """No more than there was, or less."""
    with pytest.raises(ValueError, match="no loan"):
        CURE.plan(Diagnosis(str(TABLE), "x", facts={"arn": str(TABLE), "standard": True, "units": units}))


SYDNEY = Arn.parse("arn:aws:dynamodb:ap-southeast-2:123456789012:table/hot")


@pytest.mark.parametrize(
    "arn, cure, standard, dollars",
    [
        (SYDNEY, DynamodbThrottled(), True, 0.0074),
        (SYDNEY, DynamodbThrottled(), False, None),
        (SYDNEY, DynamodbThrottled(write_dollars_per_hour=0.01), False, 0.1),
        (SYDNEY, DynamodbThrottled(read_dollars_per_hour=0.01), False, None),
        (TABLE, DynamodbThrottled(), True, None),
        (TABLE, CURE, True, 0.01),
    ],
    ids=["list price", "another class", "said", "said of reads", "no list price here", "said here"],
)
def test_what_it_costs_is_the_list_price_or_what_was_said(
    arn: Arn, cure: DynamodbThrottled, standard: bool, dollars: float | None
) -> None:
    """None where nobody knows, which refuses."""
    facts = {"arn": str(arn), "standard": standard, "units": {"Write": [20, 30], "Read": [50, 50]}}
    assert cure.plan(Diagnosis(str(arn), "x", facts=facts)).cost_per_hour == dollars


def test_the_price_of_another_class_is_not_the_standard_ones() -> None:
    """It is known from the table."""
    cheap = table(TableClassSummary={"TableClass": "STANDARD_INFREQUENT_ACCESS"})
    assert planned(account(cheap), cure=DynamodbThrottled()).cost_per_hour is None


def test_every_declared_read_is_used() -> None:
    """And no other."""
    looking = eyes(account(scaling=[scalable()]))
    CURE.diagnose(looking, HOT, FINDING)
    assert looking.used == set(DynamodbThrottled.reads)


def test_the_calls_of_a_plan_are_made_as_written() -> None:
    """Once each."""
    plan = planned()
    there = account()
    CURE.apply(Hand(there, plan.steps[0]), plan, plan.steps[0])
    assert there.calls == ["UpdateTable"]


# -- afterwards ------------------------------------------------------------------------------------------------------


def with_units(read_: int, write: int, **other: Any) -> dict[str, Any]:
    """A table that has these."""
    return table(ProvisionedThroughput=capacity(read_, write), **other)


@pytest.mark.parametrize(
    "described, later, outcome",
    [
        (with_units(50, 30), MINUTE, Outcome.DONE),
        (with_units(50, 20), MINUTE, Outcome.NOT_DONE),
        (with_units(50, 20), MINUTE - timedelta(seconds=1), Outcome.UNKNOWN),
        (with_units(50, 20, TableStatus="UPDATING"), 5 * MINUTE, Outcome.UNKNOWN),
        (with_units(50, 99), 5 * MINUTE, Outcome.UNKNOWN),
    ],
)
def test_a_lost_answer_is_found_out_by_looking(described: dict[str, Any], later: timedelta, outcome: Outcome) -> None:
    """Not done only where the old numbers stand and nothing is being changed: until then they would stand anyway."""
    _, call, _ = of(planned())
    assert CURE.reconcile(eyes(account(described, now=NOW + later)), call, NOW) is outcome


def test_a_lost_answer_about_an_index_is_looked_for_at_the_index() -> None:
    """Its table has other numbers."""
    _, call, _ = of(planned(index_account(), PLACE))
    there = account(now=NOW + 5 * MINUTE)
    assert CURE.reconcile(eyes(there), call, NOW) is Outcome.NOT_DONE
    there.services[INDEX] = table(index=True, own={"ProvisionedThroughput": capacity(10, 15)})
    assert CURE.reconcile(eyes(there), call, NOW) is Outcome.DONE


@pytest.mark.parametrize(
    "scaling, outcome",
    [
        ([scalable(most=30)], Outcome.DONE),
        ([scalable()], Outcome.NOT_DONE),
        ([scalable(most=99)], Outcome.UNKNOWN),
        ([], Outcome.UNKNOWN),
    ],
)
def test_a_lost_answer_about_limits_is_looked_for_at_autoscaling(
    scaling: list[dict[str, Any]], outcome: Outcome
) -> None:
    """Whatever the table is doing."""
    _, call, _ = of(planned(account(scaling=[scalable()])))
    there = account(table(TableStatus="UPDATING"), scaling=scaling, now=NOW + 5 * MINUTE)
    assert CURE.reconcile(eyes(there), call, NOW) is outcome


@pytest.mark.parametrize(
    "described, progress, why",
    [
        (with_units(50, 20, TableStatus="UPDATING"), Progress.WAIT, "it is UPDATING"),
        (with_units(50, 30), Progress.NEXT, "as it was set"),
        (with_units(50, 20), Progress.STOP, "nothing has changed"),
        (with_units(50, 99), Progress.NEXT, "somebody has set"),
    ],
)
def test_a_change_is_waited_for(described: dict[str, Any], progress: Progress, why: str) -> None:
    """AWS takes minutes for it."""
    plan = planned()
    found, said, ledger = CURE.progress(eyes(account(described)), plan, plan.steps[0], {})
    assert (found, ledger) == (progress, None)
    assert why in said


@pytest.mark.parametrize(
    "readings, healthy, why",
    [
        (seen(), True, "nothing was throttled for 10 minutes"),
        (seen(table(TableStatus="UPDATING")), False, "it is UPDATING"),
        (seen(write=points(1.0, ago=11)), False, "1 writes throttled in 10 minutes"),
        (seen(write=points(*MANY), used_write=points(20.0 * 60)), False, "with 100 % of its capacity used"),
        (seen(write=points(*MANY), used_write=points(6.0 * 60)), False, "30 % of its capacity used; that is a hot key"),
        (seen(read=points(2.0), used_read=Unread("no")), False, "2 reads throttled in 10 minutes"),
        (seen(table(**ON_DEMAND), read=points(2.0), used_read=points(60.0)), False, "2 reads throttled in 10 minutes"),
    ],
)
def test_a_cure_is_proven_by_ten_minutes_without_any(readings: Readings, healthy: bool, why: str) -> None:
    """And where it is not, what is used says whether more could have helped."""
    found: Observation = CURE.verify(HOT, FINDING, readings)
    if healthy:
        assert found == Healthy(why)
    else:
        assert isinstance(found, Sick)
        assert why in found.finding.symptom


@pytest.mark.parametrize("readings", [seen(Unread("no")), seen(write=Unread("no")), seen(read=Unread("no"))])
def test_a_cure_that_cannot_be_seen_is_not_proven(readings: Readings) -> None:
    """Unknown is neither."""
    assert isinstance(CURE.verify(HOT, FINDING, readings), Unknown)


# -- giving back -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "described, scaling, ours",
    [
        (with_units(50, 30), [], True),
        (with_units(50, 20), [], False),
        (with_units(60, 30), [], False),
        (with_units(50, 30), [scalable(most=40)], False),
        (table(**ON_DEMAND), [], False),
    ],
    ids=["as lent", "back already", "the other number", "autoscaled since", "on demand since"],
)
def test_what_is_not_as_it_was_lent_is_not_ours(
    described: dict[str, Any], scaling: list[dict[str, Any]], ours: bool
) -> None:
    """Whoever has set it since owns it."""
    assert CURE.still_ours(eyes(account(described, scaling=scaling)), planned()) is ours


@pytest.mark.parametrize(
    "lowered, last, until",
    [
        (0, None, ""),
        (3, NOW, ""),
        (4, NOW - timedelta(minutes=61), ""),
        (26, NOW - timedelta(minutes=60), ""),
        (4, NOW - timedelta(minutes=59), "an hour after the last one, of 02:01 UTC"),
        (5, None, "later"),
        (27, NOW - timedelta(hours=5), "tomorrow (UTC)"),
    ],
)
def test_a_loan_goes_back_when_aws_takes_a_decrease(lowered: int, last: datetime | None, until: str) -> None:
    """Four at any time of a day, and one more in an hour without any; until then it stays out, and that is said."""
    more = {"NumberOfDecreasesToday": lowered} | ({} if last is None else {"LastDecreaseDateTime": last})
    there = account(table(ProvisionedThroughput=capacity(50, 30, **more)))
    if not until:
        assert CURE.still_ours(eyes(there), planned()) is True
        return
    with pytest.raises(Refused) as caught:
        CURE.still_ours(eyes(there), planned())
    assert f"takes the next decrease {until}" in caught.value.reason


def test_nothing_goes_back_while_it_is_being_changed() -> None:
    """AWS takes one change at a time."""
    with pytest.raises(Refused, match="it is UPDATING"):
        CURE.still_ours(eyes(account(with_units(50, 30, TableStatus="UPDATING"))), planned())


@pytest.mark.parametrize(
    "scaling, ours",
    [
        ([scalable(most=30)], True),
        ([scalable()], True),
        ([scalable(most=31)], False),
        ([], False),
        ([scalable(most=30, SuspendedState={"DynamicScalingInSuspended": True})], False),
    ],
    ids=["as lent", "back already", "somebody else's", "not scaled any more", "suspended"],
)
def test_limits_go_back_unless_somebody_else_has_set_others(scaling: list[dict[str, Any]], ours: bool) -> None:
    """One that is back already may be set again."""
    plan = planned(account(scaling=[scalable()]))
    assert CURE.still_ours(eyes(account(scaling=scaling)), plan) is ours


def test_a_lower_maximum_takes_a_decrease_where_more_is_provisioned() -> None:
    """Limits clamp the capacity, and that counts as a decrease."""
    plan = planned(account(scaling=[scalable()]))
    used_up = {"NumberOfDecreasesToday": 27, "LastDecreaseDateTime": NOW}
    above = table(ProvisionedThroughput=capacity(50, 28, **used_up))
    with pytest.raises(Refused, match="lowered 27 times"):
        CURE.still_ours(eyes(account(above, scaling=[scalable(most=30)])), plan)
    within = table(ProvisionedThroughput=capacity(50, 20, **used_up))
    assert CURE.still_ours(eyes(account(within, scaling=[scalable(most=30)])), plan) is True


@pytest.mark.parametrize(
    "settings",
    [{"throttles": 0}, {"throttled_for": 11}, {"used_up": 0}, {"lease": timedelta(minutes=1)}, {"write_ceiling": 0}],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    """Where they are written."""
    with pytest.raises(ValidationError):
        DynamodbThrottled(**settings)
