"""A database at its capacity: told from connections, releases and changes, lent a higher maximum, and no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightshift.errors import Missing, Refused, Unreadable
from nightshift.model import (
    Arn,
    Database,
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
    Unknown,
)
from nightshift.remediation import Progress, Readings, Series, Unread
from nightshift.remediations.aurora_saturated import AuroraSaturated
from nightshift.signals import cluster_metric, instance_metric
from pydantic import ValidationError

from tests.nightshift.remediations.account import FUNCTION, NOW, SERVICE, Account, Eyes, Hand, read, service

CURE = AuroraSaturated(acu_dollars_per_hour=0.2)
CLUSTER = Arn.parse("arn:aws:rds:eu-central-1:123456789012:cluster:dms")
VIRGINIA = replace(CLUSTER, region="us-east-1")
DB = Target(CLUSTER, "documents", database=Database(connections=100))
MINUTE = timedelta(minutes=1)
ACU, CPU, CONNECTIONS, CAPACITY = (
    "ACUUtilization",
    "CPUUtilization",
    "DatabaseConnections",
    "ServerlessDatabaseCapacity",
)
USED = (Signal(ACU, 100, 90, "15 minutes", "%"), Signal(CPU, 95, 80, "15 minutes", "%"))
FINDING = Finding(CURE.name, str(CLUSTER), "dms is full", USED, severity=Severity.SEV2)
CROWD = replace(FINDING, signals=(Signal(CONNECTIONS, 90, 85, "5 minutes"),))
INSTANCES = "rds:DescribeDBInstances"
FULL = [100.0] * 15
DESCRIBED: Mapping[str, Any] = {
    "DBClusterIdentifier": "dms",
    "Engine": "aurora-postgresql",
    "Status": "available",
    "DBClusterMembers": [{"DBInstanceIdentifier": "dms-0", "DBClusterParameterGroupStatus": "in-sync"}],
    "ServerlessV2ScalingConfiguration": {"MinCapacity": 0.5, "MaxCapacity": 2.0},
}


def cluster(**other: Any) -> dict[str, Any]:
    """A cluster, as DescribeDBClusters gives it; None takes a field away."""
    return {name: value for name, value in {**DESCRIBED, **other}.items() if value is not None}


def ranged(least: float, most: float, **more: Any) -> dict[str, Any]:
    """The same with another range."""
    return cluster(ServerlessV2ScalingConfiguration={"MinCapacity": least, "MaxCapacity": most, **more})


def instance(name: str = "dms-0", *, kind: str = "db.serverless", applied: str = "in-sync") -> dict[str, Any]:
    """An instance, as DescribeDBInstances gives it."""
    groups = [{"ParameterApplyStatus": applied}]
    return {"DBInstanceIdentifier": name, "DBInstanceClass": kind, "DBParameterGroups": groups}


def points(values: Sequence[float]) -> Series:
    """A series of the last minutes."""
    return Series(tuple((NOW - (len(values) + 1 - n) * MINUTE, value) for n, value in enumerate(values)))


def seen(described: Any = None, target: Target = DB, **used: Any) -> Readings:
    """What a look read: the cluster and, by name, what it uses."""
    found: dict[Query, Any] = {read("rds.cluster", target.arn): cluster() if described is None else described}
    for name, values in {ACU: [50.0] * 15, CPU: [40.0] * 15, CONNECTIONS: [10.0] * 15, **used}.items():
        answer = values if isinstance(values, Unread) else points(values)
        found[cluster_metric(target.arn, name, "Maximum", 15)] = answer
    return Readings(NOW, found)


def look(described: Any = None, target: Any = DB, **used: Any) -> Observation:
    """What it makes of that."""
    return CURE.detect(target, seen(described, target, **used))


def account(described: Any = None, *, acu: Any = None, cpu: Any = None, instances: Any = None, **other: Any) -> Account:
    """An account in which a loan would be right, unless it is said otherwise."""
    services = {
        CLUSTER: cluster() if described is None else described,
        VIRGINIA: cluster(),
        **other.pop("services", {}),
    }
    metrics = {
        ("dms-0", ACU): FULL if acu is None else acu,
        ("dms-0", CPU): [95.0] * 15 if cpu is None else cpu,
        ("dms", CONNECTIONS): [90.0] * 60,
        **other.pop("metrics", {}),
    }
    return Account(
        services=services,
        metrics=metrics,
        answers={INSTANCES: {"DBInstances": [instance()] if instances is None else instances}},
        **other,
    )


def diagnosed(
    there: Account | None = None, target: Target = DB, finding: Finding = FINDING, cure: AuroraSaturated = CURE
) -> Diagnosis:
    """The diagnosis."""
    return cure.diagnose(Eyes(there or account(), AuroraSaturated), target, finding)


def refused(there: Account, target: Target = DB) -> Refused:
    """What the diagnosis says no to."""
    with pytest.raises(Refused) as caught:
        diagnosed(there, target)
    return caught.value


def used_by(*arns: Arn) -> Target:
    """The cluster, and who uses it."""
    return replace(DB, database=Database(connections=100, used_by=arns))


def planned(there: Account | None = None, cure: AuroraSaturated = CURE) -> Plan:
    """Diagnose and plan."""
    return cure.plan(diagnosed(there, cure=cure))


# -- seeing ----------------------------------------------------------------------------------------------------------


def test_a_cluster_and_what_its_busiest_instance_uses_are_read() -> None:
    """Connections, capacity and CPU of each of the last fifteen minutes."""
    metrics = tuple(cluster_metric(CLUSTER, name, "Maximum", 15) for name in (CONNECTIONS, ACU, CPU))
    assert CURE.watch(DB) == (read("rds.cluster", CLUSTER), *metrics)
    assert CURE.examine(DB) == CURE.watch(DB)


def test_it_takes_clusters_of_which_somebody_has_said_how_many_connections_they_take() -> None:
    """What AWS does not say, and what decides whether capacity would help."""
    assert CURE.takes(DB)
    assert not CURE.takes(replace(DB, database=None))


@pytest.mark.parametrize(
    "acu, cpu",
    [
        (FULL, [80.1] * 15),
        ([90.0] * 15, [95.0] * 15),
        ([10.0] * 5 + FULL, [95.0] * 15),
    ],
)
def test_full_is_at_the_maximum_with_much_cpu_for_a_quarter_of_an_hour(acu: list[float], cpu: list[float]) -> None:
    """In each of its minutes."""
    sick = look(**{ACU: acu, CPU: cpu})
    assert isinstance(sick, Sick)
    assert [(each.name, each.threshold) for each in sick.finding.signals] == [(ACU, 90), (CPU, 80)]
    assert sick.finding.severity is Severity.SEV2


@pytest.mark.parametrize(
    "acu, cpu, says",
    [
        (FULL, [40.0] * 15, "capacity 100 %; CPU 40 %"),  # memory that is well used
        ([75.0] * 15, [95.0] * 15, "capacity 75 %; CPU 95 %"),  # Aurora is still giving it more
        ([89.9, *FULL[1:]], [95.0] * 15, "capacity 100 %; CPU 95 %"),
        (FULL, [80.0, *[95.0] * 14], "capacity 100 %; CPU 95 %"),
        ([], [10.0], "CPU 10 %"),
    ],
)
def test_one_without_the_other_or_not_all_the_time_is_not_full(acu: list[float], cpu: list[float], says: str) -> None:
    """Above both, in each minute, or it is none of ours."""
    assert look(**{ACU: acu, CPU: cpu}) == Healthy(says)


@pytest.mark.parametrize("short", [ACU, CPU])
def test_minutes_that_were_not_reported_may_have_been_anything(short: str) -> None:
    """Unknown where all the others are above."""
    used = {ACU: FULL, CPU: [95.0] * 15} | {short: [95.0] * 14}
    assert look(**used) == Unknown(f"{short} was reported in 14 of 15 minutes")


def test_connections_that_are_used_up_are_seen_within_five_minutes() -> None:
    """Whatever else it uses, or does not."""
    sick = look(**{CONNECTIONS: [10.0] * 10 + [85.0] * 5})
    assert isinstance(sick, Sick)
    assert sick.finding.signals == (Signal(CONNECTIONS, 85, 85, "5 minutes"),)
    assert isinstance(look(**{CONNECTIONS: [84.0] + [100.0] * 4}), Healthy)
    assert look(**{CONNECTIONS: [99.0] * 4}) == Unknown(f"{CONNECTIONS} was reported in 4 of 5 minutes")
    assert look(**{CONNECTIONS: []}) == Unknown(f"{CONNECTIONS} was not reported")


def test_a_provisioned_cluster_is_full_by_its_cpu_alone() -> None:
    """It has no range, and reports none."""
    there = cluster(ServerlessV2ScalingConfiguration=None)
    sick = look(there, **{ACU: [], CPU: [95.0] * 15})
    assert isinstance(sick, Sick)
    assert [each.name for each in sick.finding.signals] == [CPU]
    assert look(there, **{ACU: [], CPU: [50.0] * 15}) == Healthy("CPU 50 %")


@pytest.mark.parametrize(
    "described, says",
    [
        (Unread("no"), "no"),
        (cluster(Engine="docdb"), "dms is no Aurora cluster, but docdb"),
        (cluster(Engine=None), "dms is no Aurora cluster, but None"),
    ],
)
def test_what_cannot_be_told_is_unknown(described: Any, says: str) -> None:
    """Nothing is guessed."""
    assert look(described) == Unknown(says)


def test_a_cluster_that_is_gone_is_unknown() -> None:
    """Somebody should take it out of the configuration."""
    found = seen()
    gone = replace(found, answers={**found.answers, read("rds.cluster", CLUSTER): None})
    assert CURE.detect(DB, gone) == Unknown(f"{CLUSTER} does not exist")


def test_a_metric_that_cannot_be_read_is_unknown() -> None:
    """Whichever it is."""
    for name in (ACU, CPU, CONNECTIONS):
        assert look(**{name: Unread("throttled")}) == Unknown("throttled")


def test_a_cluster_of_which_nobody_has_said_its_connections_is_unknown() -> None:
    """It is not taken; but whatever is asked has an answer."""
    assert isinstance(look(target=replace(DB, database=None)), Unknown)


def test_a_cluster_that_was_stopped_on_purpose_has_nothing_to_carry() -> None:
    """That proves nothing of it, either."""
    assert look(cluster(Status="stopped")) == Healthy("stopped on purpose", idle=True)


@given(
    described=st.dictionaries(st.sampled_from([*DESCRIBED]), st.none() | st.integers() | st.text(max_size=5)),
    values=st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=20),
)
def test_detection_is_total(described: dict[str, Any], values: list[float]) -> None:
    """Whatever AWS may say of a cluster has an answer."""
    found = look({**DESCRIBED, **described}, **dict.fromkeys((ACU, CPU, CONNECTIONS), values))
    assert isinstance(found, Healthy | Sick | Unknown)


# -- diagnosis -------------------------------------------------------------------------------------------------------


def test_the_maximum_is_the_cause_where_one_instance_has_both() -> None:
    """It says which, how many there are, and what was considered."""
    found = diagnosed()
    assert found.cause == "a maximum of 2 ACUs is not enough for the load of dms"
    assert found.facts == {
        "cluster": str(CLUSTER),
        "minimum": 0.5,
        "maximum": 2.0,
        "to": 4.0,
        "instances": 1,
        "dollars": 0.2,
    }
    assert "dms-0 has both; 2 ACUs are the maximum of each of 1 instances" in found.evidence
    assert [each.why_not for each in found.rejected][1] == "nobody has said who uses it"


def test_the_list_price_of_the_region_counts_where_nobody_has_said_one() -> None:
    """A Region without one has no known price."""
    plain = AuroraSaturated()
    assert diagnosed(cure=plain).facts["dollars"] is None
    virginia = replace(DB, arn=VIRGINIA)
    assert diagnosed(target=virginia, cure=plain).facts["dollars"] == pytest.approx(0.16, rel=0.5)


@pytest.mark.parametrize(
    "most, ceiling, own, to",
    [
        (2.0, 8, None, 4.0),
        (2.5, 8, None, 5.0),
        (6.0, 8, None, 8.0),
        (2.0, 8, 3.5, 3.5),
        (2.0, 3, 16.0, 4.0),
        (200.0, 256, None, 256.0),
    ],
)
def test_twice_the_maximum_within_the_ceiling(most: float, ceiling: float, own: float | None, to: float) -> None:
    """In halves; the cluster's own ceiling comes before the remediation's."""
    cure = AuroraSaturated(ceiling=ceiling)
    target = replace(DB, database=Database(connections=100, ceiling=own))
    assert diagnosed(account(ranged(0.5, most)), target, cure=cure).facts["to"] == to


@pytest.mark.parametrize("own, ceiling", [(2.0, 8), (None, 2), (None, 1)])
def test_at_its_ceiling_people_are_told_what_to_look_for(own: float | None, ceiling: float) -> None:
    """More of it may not be lent."""
    target = replace(DB, database=Database(connections=100, ceiling=own))
    found = diagnosed(target=target, cure=AuroraSaturated(ceiling=ceiling))
    assert "may not have more" in found.cause
    assert "pg_stat_activity" in found.advice[0]


def test_provisioned_instances_are_peoples_to_choose() -> None:
    """By the words of its engine."""
    found = diagnosed(account(cluster(ServerlessV2ScalingConfiguration=None, Engine="aurora-mysql")))
    assert "provisioned" in found.cause
    assert "information_schema.processlist WHERE command <> 'Sleep'" in found.advice[0]


@pytest.mark.parametrize(
    "described, says",
    [
        (cluster(Status="modifying"), "the cluster is modifying"),
        (cluster(PendingModifiedValues={"EngineVersion": "16.9"}), "waits for its maintenance window (EngineVersion)"),
    ],
)
def test_what_is_being_changed_or_waits_for_a_change_goes_first(described: Any, says: str) -> None:
    """It is asked again."""
    no = refused(account(described))
    assert no.guard == "state"
    assert says in no.reason
    assert no.retry_after is not None


@pytest.mark.parametrize(
    "there",
    [
        account(acu=[100.0] * 14),
        account(acu=[80.0] * 15),
        account(cpu=[60.0] * 15),
        account(instances=[]),
        account(instances=[instance(kind="db.r6g.large")]),
    ],
)
def test_no_serverless_instance_that_has_both_is_not_lent_to(there: Account) -> None:
    """What one instance has of the one and another of the other is no load of either."""
    no = refused(there)
    assert (no.guard, no.retry_after) == ("instance", timedelta(minutes=5))


def test_every_serverless_instance_is_counted_and_what_awaits_a_reboot_is_said() -> None:
    """The price is that of all of them; provisioned ones beside them have no maximum."""
    instances = [instance("dms-1", applied="pending-reboot"), instance(), instance("dms-2", kind="db.r6g.large")]
    found = diagnosed(account(instances=instances, metrics={("dms-1", ACU): [], ("dms-1", CPU): []}))
    assert found.facts["instances"] == 2
    assert "parameters of dms-1 wait for a reboot, which is a person's to make" in found.evidence


@pytest.mark.parametrize("age, says", [(timedelta(minutes=59), "59 minutes ago"), (None, "at a time that AWS does")])
def test_a_release_of_who_uses_it_goes_first(age: timedelta | None, says: str) -> None:
    """For an hour; one of which AWS does not say when it was may have been now."""
    at = None if age is None else NOW - age
    no = refused(account(services={SERVICE: service(deployment={"createdAt": at})}), used_by(SERVICE))
    assert (no.guard, no.link) == ("cause", str(SERVICE))
    assert says in no.reason


def test_a_function_that_uses_it_is_released_too() -> None:
    """Lambda says when as text; a text that is no time is no time."""

    def changed(text: str) -> Account:
        return account(services={FUNCTION: {"LastModified": text}})

    assert refused(changed("2026-11-19T02:30:00.000+0000"), used_by(FUNCTION)).guard == "cause"
    assert refused(changed("yesterday"), used_by(FUNCTION)).guard == "cause"
    found = diagnosed(changed("2026-11-19T01:30:00.000+0000"), used_by(FUNCTION))
    assert found.rejected[1].why_not == "the last one of etl is over 60 minutes old"


# -- connections -----------------------------------------------------------------------------------------------------


def crowded(there: Account, *arns: Arn) -> Diagnosis:
    """What is told where hardly a connection is left."""
    return diagnosed(there, used_by(*arns), CROWD)


def test_connections_are_told_and_never_lent_to() -> None:
    """With what can be done at once, in the words of its engine."""
    found = crowded(account())
    assert found.cause == "dms has hardly a connection left"
    assert "who uses it is not said in Nightshift's configuration (used_by)" in found.evidence
    assert not any("only ever grow" in each for each in found.advice)
    assert any("pg_stat_activity WHERE state LIKE 'idle%'" in each for each in found.advice)
    mysql = crowded(account(cluster(Engine="aurora-mysql")))
    assert any("command = 'Sleep'" in each for each in mysql.advice)


def test_connections_that_only_grow_are_called_a_leak_perhaps() -> None:
    """In each third of the hour more than in the one before."""
    leaking = crowded(account(metrics={("dms", CONNECTIONS): [float(10 + n) for n in range(60)]}))
    assert any("only ever grow" in each for each in leaking.advice)
    jumped = crowded(account(metrics={("dms", CONNECTIONS): [10.0] * 55 + [90.0] * 5}))
    assert not any("only ever grow" in each for each in jumped.advice)
    assert "its first third saw 10, its second 10, its last 30" in " ".join(jumped.evidence)


def test_too_few_minutes_of_connections_say_nothing_of_a_leak() -> None:
    """Two points have no thirds."""
    found = crowded(account(metrics={("dms", CONNECTIONS): [90.0] * 2}))
    assert "its first third saw 0" in " ".join(found.evidence)


@pytest.mark.parametrize(
    "there, says, suspect",
    [
        (service(deployment={"createdAt": NOW - timedelta(minutes=90)}), "was released 90 minutes ago", True),
        (service(), "its last release is from 2026-11-17 03:00 UTC", False),
        (service(deployment={"createdAt": None}), "AWS does not say when it was released last", False),
        (Unread("throttled"), "when it was released last cannot be read", False),
    ],
)
def test_who_uses_it_is_said_as_far_as_it_is_known(there: Any, says: str, suspect: bool) -> None:
    """A release within two hours is a suspect; what cannot be read does not keep the rest from being told."""
    found = crowded(account(services={SERVICE: there}), SERVICE)
    assert says in " ".join(found.evidence)
    assert any(each.startswith("a suspect: worker was released") for each in found.advice) is suspect


# -- the plan --------------------------------------------------------------------------------------------------------


def test_the_plan_sets_a_range_and_nothing_else_and_sets_the_old_one_again() -> None:
    """The minimum stays; the price is that of every instance, for a day."""
    plan = planned(account(instances=[instance(), instance("dms-1")]))
    [step] = plan.steps
    [there], [back] = step.calls, step.undo
    assert (there.action, there.resource) == ("rds:ModifyDBCluster", str(CLUSTER))
    assert there.params == {
        "DBClusterIdentifier": "dms",
        "ServerlessV2ScalingConfiguration": {"MinCapacity": 0.5, "MaxCapacity": 4.0},
    }
    assert there.before == {"MinCapacity": 0.5, "MaxCapacity": 2.0}
    assert back.params["ServerlessV2ScalingConfiguration"] == {"MinCapacity": 0.5, "MaxCapacity": 2.0}
    assert back.stops
    assert plan.cost_per_hour == pytest.approx(0.8)
    assert plan.dollars == pytest.approx(19.2)
    assert plan.lease == timedelta(hours=24)
    assert "up to 4 ACUs more are paid for" in plan.risk
    assert plan.summary == "let each instance of dms use 4 ACUs instead of 2, for 24 hours"
    assert plan.undo_by_hand.endswith("MinCapacity=0.5,MaxCapacity=2")


def test_how_soon_it_pauses_is_said_again() -> None:
    """It might be set to its default otherwise."""
    plan = planned(account(ranged(0.0, 2.0, SecondsUntilAutoPause=7200)))
    for call in plan.calls:
        assert call.params["ServerlessV2ScalingConfiguration"]["SecondsUntilAutoPause"] == 7200


def test_a_price_that_nobody_knows_is_none() -> None:
    """Which the guardrails refuse."""
    assert planned(cure=AuroraSaturated()).cost_per_hour is None


def test_one_acu_and_minutes_are_written_as_people_write_them() -> None:
    """In the singular, and in minutes below two hours."""
    plan = planned(account(ranged(0.5, 1.0)), AuroraSaturated(lease=timedelta(minutes=90)))
    assert plan.summary == "let each instance of dms use 2 ACUs instead of 1, for 90 minutes"
    assert "up to 1 ACU more are" in plan.risk


@pytest.mark.parametrize("facts", [{"to": 2.0}, {"to": 300.0}, {"minimum": 3.0}, {"minimum": -1.0}])
def test_no_loan_is_planned_that_is_none(facts: dict[str, Any]) -> None:
    """Not from a diagnosis that a broken record holds, either."""
    found = diagnosed()
    with pytest.raises(ValueError, match="is no loan"):
        CURE.plan(replace(found, facts={**found.facts, **facts}))


@pytest.mark.parametrize(
    "settings",
    [
        {"ceiling": 0.5},
        {"ceiling": 300},
        {"ceiling": 4.2},
        {"lease": timedelta(minutes=1)},
        {"acu_dollars_per_hour": 0},
    ],
)
def test_settings_out_of_bounds_are_refused(settings: dict[str, Any]) -> None:
    """Where they are written."""
    with pytest.raises(ValidationError):
        AuroraSaturated(**settings)


# -- doing it --------------------------------------------------------------------------------------------------------


def test_it_is_applied_once_as_planned() -> None:
    """One call."""
    plan, there = planned(), account()
    CURE.apply(Hand(there, plan.steps[0]), plan, plan.steps[0])
    assert there.calls == ["ModifyDBCluster"]


def test_what_the_answer_says_is_what_the_report_shows() -> None:
    """The range as AWS has it now."""
    call = planned().steps[0].calls[0]
    assert CURE.effect(call, {"DBCluster": ranged(0.5, 4.0)}) == {"MinCapacity": 0.5, "MaxCapacity": 4.0}
    assert CURE.effect(call, {}) == {}


@pytest.mark.parametrize(
    "most, waited, outcome",
    [
        (4.0, 0, Outcome.DONE),
        (2.0, 0, Outcome.UNKNOWN),
        (2.0, 60, Outcome.NOT_DONE),
        (6.0, 60, Outcome.UNKNOWN),
    ],
)
def test_a_lost_answer_is_found_out_by_the_range_that_stands(most: float, waited: int, outcome: Outcome) -> None:
    """Not done only where the old one stands, and after a minute."""
    call, since = planned().steps[0].calls[0], NOW - timedelta(seconds=waited)
    assert CURE.reconcile(Eyes(account(ranged(0.5, most)), AuroraSaturated), call, since) is outcome


def progress(described: Any) -> tuple[Progress, str]:
    """How it goes."""
    plan = planned()
    found = CURE.progress(Eyes(account(described), AuroraSaturated), plan, plan.steps[0], {})
    return found[0], found[1]


def test_it_waits_while_the_cluster_is_being_modified_and_says_what_awaits_a_reboot() -> None:
    """A reboot is a person's."""
    assert progress(cluster(Status="modifying")) == (Progress.WAIT, "the cluster is modifying")
    assert progress(cluster()) == (Progress.NEXT, "the new maximum holds")
    members = [{"DBInstanceIdentifier": name, "DBClusterParameterGroupStatus": "pending-reboot"} for name in "ab"]
    assert progress(cluster(DBClusterMembers=members))[1] == (
        "the new maximum holds; parameters of a, b wait for a reboot, which is a person's to make"
    )


# -- proof -----------------------------------------------------------------------------------------------------------


def verified(described: Any = None, **used: Any) -> Observation:
    """What it makes of a look after the loan."""
    return CURE.verify(DB, FINDING, seen(described, **used))


@pytest.mark.parametrize(
    "acu, cpu, says",
    [
        ([89.0] * 15, [74.0] * 15, None),
        (FULL[:10] + [70.0] * 5, [95.0] * 10 + [60.0] * 5, None),  # only what was measured since counts
        ([90.0] * 15, [60.0] * 15, "capacity was at 90 %"),
        ([70.0] * 15, [75.0] * 15, "CPU was at 75 %"),
        ([95.0] * 15, [78.0] * 15, "capacity was at 95 %"),
    ],
)
def test_cured_is_well_below_both(acu: list[float], cpu: list[float], says: str | None) -> None:
    """In each of the last five minutes."""
    found = verified(**{ACU: acu, CPU: cpu})
    if says is None:
        assert isinstance(found, Healthy)
    else:
        assert isinstance(found, Sick)
        assert says in found.finding.symptom
        assert found.finding.signals == FINDING.signals


def test_what_was_not_reported_or_still_is_full_proves_nothing() -> None:
    """Nor does a cluster that was stopped since."""
    assert isinstance(verified(**{ACU: FULL, CPU: [95.0] * 15}), Sick)
    assert verified(**{ACU: [50.0] * 4}) == Unknown(f"{ACU} was reported in 4 of 5 minutes")
    assert verified(cluster(Status="stopped")) == Healthy("stopped on purpose", idle=True)
    assert verified(Unread("no")) == Unknown("no")


# -- giving it back --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("described, ours", [(ranged(0.5, 4.0), True), (ranged(0.5, 6.0), False), (cluster(), False)])
def test_a_range_that_somebody_has_set_since_is_not_ours(described: Any, ours: bool) -> None:
    """Both ends of it count."""
    assert CURE.still_ours(Eyes(account(described), AuroraSaturated), planned()) is ours
    other = ranged(1.0, 4.0)
    assert CURE.still_ours(Eyes(account(other), AuroraSaturated), planned()) is False


def test_a_cluster_that_cannot_be_read_may_be_anybodys() -> None:
    """The spine asks again."""
    there: Mapping[Arn, Any] = {CLUSTER: Unread("throttled")}
    with pytest.raises(Unreadable):
        CURE.still_ours(Eyes(account(services=there), AuroraSaturated), planned())
    gone: Mapping[Arn, Any] = {CLUSTER: None}
    with pytest.raises(Missing):
        CURE.still_ours(Eyes(account(services=gone), AuroraSaturated), planned())


def needed(capacity: Sequence[float] | Unread, **more: Any) -> str:
    """Why it must not go back yet."""
    metrics: dict[tuple[str, str], Any] = {("dms-0", CAPACITY): capacity}
    return CURE.still_needed(Eyes(account(metrics=metrics, **more), AuroraSaturated), planned())


def test_it_goes_back_once_the_cluster_has_been_calm_for_six_hours() -> None:
    """Calm is less than four fifths of the old maximum, in every instance."""
    assert needed([1.5] * 360) == ""
    assert needed([1.5] * 359 + [1.6]) == ("dms-0 has used up to 1.6 ACUs in the last 6 hours, and 2 would be all")
    assert needed([1.9] + [1.5] * 359).startswith("dms-0 has used up to 1.9 ACUs")


def test_what_is_not_known_is_not_calm() -> None:
    """A fifth of it may be missing; provisioned instances have no capacity to be calm with."""
    assert needed([1.0] * 50) == "it is not known what dms-0 has used in the last 6 hours"
    both = [instance(), instance("dms-1", kind="db.r6g.large")]
    assert needed([1.0] * 360, instances=both) == ""
    with pytest.raises(Unreadable):
        needed(Unread("throttled"))


def test_capacity_is_asked_for_each_instance_over_the_whole_span() -> None:
    """In parts of five minutes."""
    asked: list[Query] = []

    class Curious(Eyes):
        def seen(self, *queries: Query) -> Readings:
            asked.extend(queries)
            return super().seen(*queries)

    there = account(metrics={("dms-0", CAPACITY): [1.0] * 360})
    CURE.still_needed(Curious(there, AuroraSaturated), planned())
    assert asked == [instance_metric("dms-0", CAPACITY, "Maximum", 360, period=300)]


def test_instances_are_asked_for_by_their_cluster() -> None:
    """By its whole ARN: a name may be that of another Region's."""
    asked: list[Mapping[str, Any]] = []

    def answer(**params: Any) -> dict[str, Any]:
        asked.append(params)
        return {"DBInstances": [instance()]}

    there = account()
    there.answers[INSTANCES] = answer
    diagnosed(there)
    assert asked == [{"Filters": [{"Name": "db-cluster-id", "Values": [str(CLUSTER)]}], "MaxRecords": 20}]


def test_the_call_is_one_that_the_remediation_has_declared() -> None:
    """Else it could not be made."""
    assert {call.action for call in planned().calls} == set(AuroraSaturated.writes)
