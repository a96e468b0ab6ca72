"""A table that nothing scales and that lacks capacity again and again: asked about, and scaled whole or not at all."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightshift.errors import Missing, Refused, Rejected
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
    Signal,
    Target,
    Throughput,
    Unknown,
)
from nightshift.remediation import Progress, Readings, Series, Unread
from nightshift.remediations.dynamodb_autoscaling_missing import DynamodbAutoscalingMissing
from nightshift.signals import table_metric
from pydantic import ValidationError

from tests.nightshift.remediations.account import NOW, Account, Eyes, Hand, read

CURE = DynamodbAutoscalingMissing(write_dollars_per_hour=0.001, read_dollars_per_hour=0.0001)
TABLE = Arn.parse("arn:aws:dynamodb:eu-central-1:123456789012:table/hot")
INDEX = Arn.parse(f"{TABLE}/index/place")
HOT, PLACE = Target(TABLE, "pulse"), Target(INDEX, "pulse")
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
TARGETS = "application-autoscaling:DescribeScalableTargets"
POLICIES = "application-autoscaling:DescribeScalingPolicies"
WRITES, READS = "dynamodb:table:WriteCapacityUnits", "dynamodb:table:ReadCapacityUnits"
END = "application-autoscaling:DeregisterScalableTarget"
OURS = "nightshift-target-tracking"
ON_DEMAND: dict[str, Any] = {"BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"}}


def finding(*ways: str) -> Finding:
    """What a sweep found."""
    signals = tuple(Signal(f"{way}ThrottleEvents", 3, 2, "7 days") for way in ways or ("Write",))
    return Finding(CURE.name, str(TABLE), "hot had too little capacity", signals)


def capacity(read_: int = 50, write: int = 20, **other: Any) -> dict[str, Any]:
    """Provisioned throughput, as AWS describes it."""
    return {"ReadCapacityUnits": read_, "WriteCapacityUnits": write} | other


def table(*, index: bool = False, **other: Any) -> dict[str, Any]:
    """A table with an index, or that index with its table, as it is read."""
    own = {"IndexName": "place", "IndexStatus": "ACTIVE", "ProvisionedThroughput": capacity(10, 15)}
    own |= other.pop("own", {})
    found = {
        "TableName": "hot",
        "TableStatus": "ACTIVE",
        "ProvisionedThroughput": capacity(),
        "GlobalSecondaryIndexes": (own,),
        **({"Index": own} if index else {}),
    }
    return found | other


def limits(way: str = "Write", least: int = 20, most: int = 80, resource: str = "table/hot") -> dict[str, Any]:
    """A scalable target, as DescribeScalableTargets gives it."""
    kind = "index" if "/index/" in resource else "table"
    dimension = f"dynamodb:{kind}:{way}CapacityUnits"
    return {"ResourceId": resource, "ScalableDimension": dimension, "MinCapacity": least, "MaxCapacity": most}


def policy(way: str = "Write", name: str = OURS, **other: Any) -> dict[str, Any]:
    """A scaling policy, as DescribeScalingPolicies gives it."""
    follows = {"TargetTrackingScalingPolicyConfiguration": {"TargetValue": 70.0}}
    return {"ScalableDimension": f"dynamodb:table:{way}CapacityUnits", "PolicyName": name, **follows} | other


def account(
    described: Any = None,
    *,
    scaling: list[dict[str, Any]] | None = None,
    policies: list[dict[str, Any]] | None = None,
    **other: Any,
) -> Account:
    """An account in which nothing is scaled, and nothing is throttled."""
    return Account(
        services={TABLE: table() if described is None else described, INDEX: table(index=True)},
        answers={TARGETS: {"ScalableTargets": scaling or []}, POLICIES: {"ScalingPolicies": policies or []}},
        **other,
    )


WHOLE = [limits(), limits("Read", 50, 200)]
"""the limits that the plan sets"""
FOLLOWED = [policy(), policy("Read")]


def eyes(there: Account) -> Eyes:
    """Who reads it."""
    return Eyes(there, DynamodbAutoscalingMissing)


def diagnosed(there: Account, target: Target = HOT, cure: DynamodbAutoscalingMissing = CURE) -> Diagnosis:
    """The diagnosis."""
    return cure.diagnose(eyes(there), target, finding())


def refused(there: Account, target: Target = HOT, cure: DynamodbAutoscalingMissing = CURE) -> Refused:
    """What the diagnosis says no to."""
    with pytest.raises(Refused) as caught:
        diagnosed(there, target, cure)
    return caught.value


def planned(there: Account | None = None, target: Target = HOT, cure: DynamodbAutoscalingMissing = CURE) -> Plan:
    """Diagnose and plan."""
    return cure.plan(diagnosed(there or account(), target, cure))


def metric(name: str, arn: Arn = TABLE) -> Query:
    """A metric of the week, by the hour."""
    return table_metric(arn, name, "Sum", 7 * 24 * 60, period=3600)


def hours(*ago: int, value: float = 60.0) -> Series:
    """What was reported of the hours so long ago."""
    return Series(tuple((NOW - each * HOUR, value) for each in sorted(ago, reverse=True)))


def seen(described: Any = None, scaling: Any = None, *, arn: Arn = TABLE, **metrics: Any) -> Readings:
    """What a look read; nothing was throttled, and nothing is scaled, unless it is said."""
    answers: dict[Query, Any] = {
        read("dynamodb.table", arn): table() if described is None else described,
        read("dynamodb.scaling", arn): {} if scaling is None else scaling,
    }
    for way in ("Read", "Write"):
        for reason in ("", "KeyRangeThroughput", "AccountLimit"):
            name = f"{way}{reason}ThrottleEvents"
            answers[metric(name, arn)] = metrics.get(name, Series())
    return Readings(NOW, answers)


def detected(readings: Readings, target: Target = HOT) -> Observation:
    """What it sees."""
    return CURE.detect(target, readings)


# -- seeing ------------------------------------------------------------------------------------------------------------


def test_a_week_is_read_by_the_hour() -> None:
    """With what of it more capacity would not have helped; of what is neither table nor index its state alone."""
    queries = CURE.watch(HOT)
    assert {each.metric for each in queries[2:] if hasattr(each, "metric")} == {
        f"{way}{reason}ThrottleEvents"
        for way in ("Read", "Write")
        for reason in ("", "KeyRangeThroughput", "AccountLimit")
    }
    assert queries[:2] == (read("dynamodb.table", TABLE), read("dynamodb.scaling", TABLE))
    stream = Target(Arn.parse(f"{TABLE}/stream/2026"), "pulse")
    assert len(CURE.watch(stream)) == 2


@pytest.mark.parametrize(
    "lacked, times",
    [
        ((30,), 1),
        ((30, 29, 28), 1),
        ((30, 27), 1),
        ((30, 26), 2),
        ((30, 26, 25, 21), 3),
        ((), 0),
    ],
)
def test_times_are_hours_apart(lacked: tuple[int, ...], times: int) -> None:
    """One evening is one time, however many of its hours were short."""
    found = detected(seen(WriteThrottleEvents=hours(*lacked)))
    if times < 2:
        assert found == Healthy(f"it lacked capacity {times} times in 7 days")
        return
    assert isinstance(found, Sick)
    assert found.finding.severity is Severity.SEV3
    assert found.finding.signals == (Signal("WriteThrottleEvents", times, 2, "7 days"),)
    assert "too little capacity for its writes at least 2 times in 7 days" in found.finding.symptom


def test_a_few_throttled_requests_are_not_lack() -> None:
    """Not more than so many an hour."""
    assert isinstance(detected(seen(WriteThrottleEvents=hours(30, 20, value=50.0))), Healthy)
    assert isinstance(detected(seen(WriteThrottleEvents=hours(30, 20, value=50.1))), Sick)


@pytest.mark.parametrize("reason", ["KeyRangeThroughput", "AccountLimit"])
def test_what_capacity_would_not_have_helped_does_not_count(reason: str) -> None:
    """A hot key and a quota are told by others, while they last."""
    name = f"Write{reason}ThrottleEvents"
    whole: dict[str, Any] = {name: hours(30)}
    assert isinstance(detected(seen(WriteThrottleEvents=hours(30, 20), **whole)), Healthy)
    some: dict[str, Any] = {name: hours(30, value=5.0)}
    assert isinstance(detected(seen(WriteThrottleEvents=hours(30, 20), **some)), Sick)


def test_both_reasons_together_count_together() -> None:
    """Of the same hour."""
    both: dict[str, Any] = {
        f"Write{reason}ThrottleEvents": hours(30, value=6.0) for reason in ("KeyRangeThroughput", "AccountLimit")
    }
    assert isinstance(detected(seen(WriteThrottleEvents=hours(30, 20), **both)), Healthy)


def test_reads_and_writes_are_said_each() -> None:
    """Writes first."""
    found = detected(seen(WriteThrottleEvents=hours(30, 20), ReadThrottleEvents=hours(30, 20)))
    assert isinstance(found, Sick)
    assert "for its writes and reads" in found.finding.symptom


@pytest.mark.parametrize(
    "described, scaling, why",
    [
        (table(**ON_DEMAND), {}, "on demand"),
        (table(), {WRITES: {}, READS: {}}, "autoscaling sets its capacity"),
        (table(), {WRITES: {}}, "it lacked capacity 0 times"),
    ],
)
def test_what_grows_by_itself_is_well(described: Any, scaling: Any, why: str) -> None:
    """Limits that are there are somebody's, even those that scale nothing."""
    found = detected(seen(described, scaling, WriteThrottleEvents=hours(30, 20)))
    assert isinstance(found, Healthy)
    assert why in found.summary


@pytest.mark.parametrize(
    "readings, why",
    [
        (seen(Unread("no table")), "no table"),
        (seen(None, Unread("no scaling")), "no scaling"),
        (Readings(NOW, {read("dynamodb.table", TABLE): None, read("dynamodb.scaling", TABLE): {}}), "does not exist"),
        (seen(WriteThrottleEvents=Unread("no writes")), "no writes"),
        (seen(WriteAccountLimitThrottleEvents=Unread("no limits")), "no limits"),
    ],
)
def test_what_cannot_be_read_is_unknown(readings: Readings, why: str) -> None:
    """Nobody knows what is not measured."""
    found = detected(readings)
    assert isinstance(found, Unknown)
    assert why in found.reason


def test_what_is_neither_a_table_nor_an_index_is_unknown() -> None:
    """Whatever is said of it."""
    arn = Arn.parse(f"{TABLE}/stream/2026")
    answers: dict[Query, Any] = {read("dynamodb.table", arn): table(), read("dynamodb.scaling", arn): {}}
    assert isinstance(detected(Readings(NOW, answers), Target(arn, "pulse")), Unknown)


@given(
    described=st.dictionaries(st.sampled_from(["TableStatus", "BillingModeSummary"]), st.none() | st.text()),
    scaling=st.dictionaries(st.text(), st.none() | st.text()),
)
def test_detection_is_total(described: dict[str, Any], scaling: dict[str, Any]) -> None:
    """Whatever AWS may answer."""
    detected(seen(described, scaling, WriteThrottleEvents=hours(30, 20)))


# -- diagnosis ---------------------------------------------------------------------------------------------------------


def test_both_ways_get_four_times_what_there_is() -> None:
    """The least is what it has: limits alone change nothing."""
    found = diagnosed(account())
    assert found.facts["ways"] == [
        {"way": "Write", "least": 20, "most": 80},
        {"way": "Read", "least": 50, "most": 200},
    ]
    assert found.evidence == ("hot had too little capacity", "its writes lacked capacity 3 times; 2 times are enough")


@pytest.mark.parametrize(
    "cure, target",
    [
        (DynamodbAutoscalingMissing(write_ceiling=30, read_ceiling=60), HOT),
        (CURE, replace(HOT, throughput=Throughput(read=60, write=30))),
    ],
)
def test_the_ceiling_bounds_it(cure: DynamodbAutoscalingMissing, target: Target) -> None:
    """The target's own before the setting."""
    assert [each["most"] for each in diagnosed(account(), target, cure).facts["ways"]] == [30, 60]


@pytest.mark.parametrize(
    "cure", [DynamodbAutoscalingMissing(write_ceiling=20), DynamodbAutoscalingMissing(read_ceiling=49)]
)
def test_at_the_ceiling_nothing_is_scaled(cure: DynamodbAutoscalingMissing) -> None:
    """Autoscaling would have nothing to do."""
    found = refused(account(), cure=cure)
    assert (found.guard, found.retry_after) == ("ceiling", None)


def test_what_somebody_has_had_scaled_stays_as_it_is() -> None:
    """The other way alone is planned; of what is not this table's nothing is believed."""
    there = account(scaling=[limits(), limits("Read", resource="table/other")])
    assert [each["way"] for each in diagnosed(there).facts["ways"]] == ["Read"]
    assert refused(account(scaling=WHOLE)).guard == "autoscaling"


@pytest.mark.parametrize("way", ["Write", "Read"])
def test_what_throttles_just_now_is_waited_for(way: str) -> None:
    """First the failure, then what keeps it from coming back."""
    found = refused(account(metrics={("hot", f"{way}ThrottleEvents"): [1.0] + [0.0] * 14}))
    assert (found.guard, found.retry_after) == ("throttled", 10 * MINUTE)


@pytest.mark.parametrize(
    "described, guard, later",
    [
        (table(TableStatus="UPDATING"), "state", True),
        (table(**ON_DEMAND), "on-demand", False),
        (table(Replicas=[{"RegionName": "eu-west-1"}]), "replicas", False),
        (table(ProvisionedThroughput=capacity(LastIncreaseDateTime=NOW - 9 * MINUTE)), "changed", True),
        (table(ProvisionedThroughput=capacity(LastDecreaseDateTime=NOW - 9 * MINUTE)), "changed", True),
    ],
)
def test_what_is_not_as_it_was_for_a_while_is_left_alone(described: Any, guard: str, later: bool) -> None:
    """What is lent just now must not become the least."""
    found = refused(account(described))
    assert (found.guard, found.retry_after is not None) == (guard, later)


def test_what_was_changed_long_ago_is_settled() -> None:
    """A while is ten minutes."""
    old = capacity(LastIncreaseDateTime=NOW - 10 * MINUTE, LastDecreaseDateTime="never")
    assert len(diagnosed(account(table(ProvisionedThroughput=old))).facts["ways"]) == 2


def test_an_index_is_looked_at_itself() -> None:
    """Its own capacity, and its own state."""
    there = account()
    assert [each["most"] for each in diagnosed(there, PLACE).facts["ways"]] == [60, 40]
    there.services[INDEX] = table(index=True, own={"IndexStatus": "UPDATING"})
    assert refused(there, PLACE).guard == "state"


def test_a_table_whose_index_throttled_writes_did_not_lack_them_itself() -> None:
    """It is told which index; reads are no index's."""
    there = account()
    there.metrics["place", "WriteThrottleEvents"] = [0.0] * 30 + [60.0] + [0.0] * 30
    found = refused(there)
    assert (found.guard, found.link, found.retry_after) == ("index", str(INDEX), None)
    assert len(CURE.diagnose(eyes(there), HOT, finding("Read")).facts["ways"]) == 2


# -- the plan ----------------------------------------------------------------------------------------------------------


def test_the_plan_is_limits_and_a_policy_for_each_way_and_the_way_back() -> None:
    """One step, asked about, for good, and its price that of the highest limit."""
    plan = planned()
    [step] = plan.steps
    assert [(call.operation, call.params["ScalableDimension"]) for call in step.calls] == [
        ("RegisterScalableTarget", WRITES),
        ("PutScalingPolicy", WRITES),
        ("RegisterScalableTarget", READS),
        ("PutScalingPolicy", READS),
    ]
    assert [(call.operation, call.params["ScalableDimension"], call.stops) for call in step.undo] == [
        ("DeregisterScalableTarget", READS, True),
        ("DeregisterScalableTarget", WRITES, True),
    ]
    assert (plan.asks, plan.final, plan.lease) == (True, True, None)
    assert plan.cost_per_hour == pytest.approx(60 * 0.001 + 150 * 0.0001)
    assert plan.summary == "have hot scaled by its use: 20 to 80 writes and 50 to 200 reads a second, for good"
    assert plan.undo_by_hand.count("deregister-scalable-target") == 2
    for call in plan.calls:
        assert call.resource == "arn:aws:application-autoscaling:eu-central-1:123456789012:scalable-target/*"
        assert (call.params["ServiceNamespace"], call.params["ResourceId"]) == ("dynamodb", "table/hot")


def test_a_policy_follows_the_use_of_its_own_way() -> None:
    """At seventy per cent of what is provisioned; its alarms are the table's, and no others."""
    follow = planned().steps[0].calls[3]
    tracking = follow.params["TargetTrackingScalingPolicyConfiguration"]
    assert tracking["TargetValue"] == 70.0
    assert tracking["PredefinedMetricSpecification"]["PredefinedMetricType"] == "DynamoDBReadCapacityUtilization"
    base = "arn:aws:cloudwatch:eu-central-1:123456789012:alarm:TargetTracking-table/hot"
    alarms = {f"{base}-{kind}*" for kind in ("Alarm", "ProvisionedCapacity")}
    assert {arn for _, arn in follow.grants} == {*alarms, "*"}
    assert [action for action, arn in follow.grants if arn == "*"] == ["cloudwatch:DescribeAlarms"]


def test_an_index_is_scaled_by_its_own_name() -> None:
    """IAM knows its capacity by the table."""
    plan = planned(target=PLACE)
    register = plan.steps[0].calls[0]
    assert register.params["ResourceId"] == "table/hot/index/place"
    assert register.params["ScalableDimension"] == "dynamodb:index:WriteCapacityUnits"
    base = "arn:aws:cloudwatch:eu-central-1:123456789012:alarm:TargetTracking-table/hot/index/place"
    alarms = {f"{base}-{kind}*" for kind in ("Alarm", "ProvisionedCapacity")}
    assert {arn for _, arn in register.grants} == {str(TABLE), *alarms, "*"}
    assert {action for action, arn in register.grants if arn == "*"} == {"cloudwatch:DescribeAlarms"}
    assert "index place of hot" in plan.summary


@pytest.mark.parametrize(
    "ways",
    [
        [],
        [{"way": "Write", "least": 20, "most": 20}],
        [{"way": "Write", "least": 0, "most": 20}],
        [{"way": "Write", "least": 20, "most": 80}, {"way": "Read", "least": 50, "most": 10}],
    ],
)
def test_what_scales_nothing_is_never_planned(ways: list[dict[str, Any]]) -> None:
    """Whatever a record says."""
    found = diagnosed(account())
    with pytest.raises(ValueError, match="nothing to do"):
        CURE.plan(replace(found, facts={**found.facts, "ways": ways}))


def test_the_price_is_the_list_price_of_the_region_or_nobodys() -> None:
    """Of the standard class; the Region of this table is not listed."""
    assert planned(cure=DynamodbAutoscalingMissing()).cost_per_hour is None
    here = Arn.parse(str(TABLE).replace("eu-central-1", "us-east-1"))
    there = account()
    there.services[here] = table()
    cost = planned(there, Target(here, "pulse"), DynamodbAutoscalingMissing()).cost_per_hour
    assert cost == pytest.approx(60 * 0.00065 + 150 * 0.00013)
    there.services[here] = table(TableClassSummary={"TableClass": "STANDARD_INFREQUENT_ACCESS"})
    assert planned(there, Target(here, "pulse"), DynamodbAutoscalingMissing()).cost_per_hour is None


def test_every_declared_action_is_used_and_no_other() -> None:
    """Reads by looking, writes by the plan's calls, what AWS asks of whoever makes them by their grants."""
    looking = eyes(account(scaling=WHOLE, policies=FOLLOWED))
    plan = planned()
    CURE.progress(looking, plan, plan.steps[0], {})
    assert looking.used == set(DynamodbAutoscalingMissing.reads)
    assert {call.action for call in plan.calls} == set(DynamodbAutoscalingMissing.writes)
    assert {action for call in plan.calls for action, _ in call.grants} == set(DynamodbAutoscalingMissing.delegates)


# -- made, and looked for ----------------------------------------------------------------------------------------------


def test_the_calls_are_made_in_order() -> None:
    """Limits before what follows them."""
    plan, there = planned(), account()
    CURE.apply(Hand(there, plan.steps[0]), plan, plan.steps[0])
    assert there.calls == ["RegisterScalableTarget", "PutScalingPolicy"] * 2


def test_what_is_taken_back_may_be_gone_already() -> None:
    """The other one is taken back all the same; anything else that is missing is an error."""
    plan = planned()
    [step] = plan.steps
    gone = Missing(END, "ObjectNotFoundException")
    there = account(fails={END: gone})
    CURE.apply(Hand(there, replace(step, calls=step.undo)), plan, replace(step, calls=step.undo))
    assert there.calls == ["DeregisterScalableTarget"] * 2
    there.fails = {"application-autoscaling:PutScalingPolicy": gone}
    with pytest.raises(Missing):
        CURE.apply(Hand(there, step), plan, step)
    there.fails = {END: Rejected(END, "ConcurrentUpdateException")}
    with pytest.raises(Rejected):
        CURE.apply(Hand(there, replace(step, calls=step.undo)), plan, replace(step, calls=step.undo))


def call_of(operation: str) -> Call:
    """A call of the plan, of writes."""
    return next(call for call in planned().calls if call.operation == operation and "Write" in str(call.params))


@pytest.mark.parametrize(
    "operation, scaling, policies, outcome",
    [
        ("RegisterScalableTarget", [limits()], [], Outcome.DONE),
        ("RegisterScalableTarget", [], [], Outcome.NOT_DONE),
        ("RegisterScalableTarget", [limits(most=70)], [], Outcome.UNKNOWN),
        ("PutScalingPolicy", [limits()], [policy()], Outcome.DONE),
        ("PutScalingPolicy", [limits()], [policy(name="theirs")], Outcome.NOT_DONE),
        ("PutScalingPolicy", [limits()], [policy(TargetTrackingScalingPolicyConfiguration=None)], Outcome.NOT_DONE),
        ("DeregisterScalableTarget", [], [], Outcome.DONE),
        ("DeregisterScalableTarget", [limits()], [], Outcome.NOT_DONE),
    ],
)
def test_a_lost_answer_is_found_out_by_looking(
    operation: str, scaling: list[dict[str, Any]], policies: list[dict[str, Any]], outcome: Outcome
) -> None:
    """Not done only where what was there still is, and the request had time to land."""
    call = call_of(operation)
    at = NOW + MINUTE
    assert CURE.reconcile(eyes(account(scaling=scaling, policies=policies, now=at)), call, NOW) is outcome
    early: datetime = at - timedelta(seconds=1)
    found = CURE.reconcile(eyes(account(scaling=scaling, policies=policies, now=early)), call, NOW)
    assert found is (Outcome.DONE if outcome is Outcome.DONE else Outcome.UNKNOWN)


def test_what_a_call_sets_is_told() -> None:
    """By the names of what was there before."""
    for call in planned().calls:
        assert set(CURE.effect(call, {})) == set(call.before)


@pytest.mark.parametrize(
    "scaling, policies, progress",
    [
        (WHOLE, FOLLOWED, Progress.NEXT),
        (WHOLE, FOLLOWED[:1], Progress.STOP),
        (WHOLE[:1], FOLLOWED[:1], Progress.STOP),
        ([], [], Progress.STOP),
    ],
)
def test_all_of_it_is_there_or_it_is_taken_back(
    scaling: list[dict[str, Any]], policies: list[dict[str, Any]], progress: Progress
) -> None:
    """Limits alone scale nothing."""
    plan = planned()
    found, why, ledger = CURE.progress(eyes(account(scaling=scaling, policies=policies)), plan, plan.steps[0], {})
    assert (found, ledger) == (progress, None)
    assert why


@pytest.mark.parametrize(
    "scaling, policies, ours",
    [
        (WHOLE, FOLLOWED, True),
        (WHOLE[:1], [], True),
        ([], [], True),
        ([limits(most=70)], [], False),
        (WHOLE, [policy(name="theirs")], False),
        (WHOLE, [*FOLLOWED, policy("Read", name="theirs")], False),
    ],
)
def test_what_somebody_has_made_theirs_is_not_ours_to_take_back(
    scaling: list[dict[str, Any]], policies: list[dict[str, Any]], ours: bool
) -> None:
    """Other limits, or a policy of another's: it would go with ours."""
    assert CURE.still_ours(eyes(account(scaling=scaling, policies=policies)), planned()) is ours


def test_a_table_that_is_scaled_is_cured() -> None:
    """What was throttled in the week before does not count any more."""
    after = seen(None, {WRITES: {}, READS: {}}, WriteThrottleEvents=hours(30, 20))
    assert isinstance(CURE.verify(HOT, finding(), after), Healthy)


@pytest.mark.parametrize(
    "settings",
    [
        {"throttles": 0},
        {"times": 0},
        {"apart": "PT1M"},
        {"most": 1},
        {"write_ceiling": 0},
        {"read_dollars_per_hour": -1},
    ],
)
def test_settings_have_bounds(settings: dict[str, Any]) -> None:
    """What makes no sense is refused where it is written."""
    with pytest.raises(ValidationError):
        DynamodbAutoscalingMissing(**settings)
