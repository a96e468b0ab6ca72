"""A service with too few tasks: told from a leak, a release and a stop, lent tasks for a while, and no more."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightshift.errors import Denied, Missing, Refused, Unreadable
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
    Step,
    Target,
    Unknown,
)
from nightshift.remediation import Progress, Readings, Series, Unread
from nightshift.remediations.ecs_capacity_short import EcsCapacityShort
from nightshift.signals import service_metric
from pydantic import ValidationError

from tests.nightshift.remediations.account import NOW, SERVICE, Account, Eyes, Hand, read, service

CURE = EcsCapacityShort(task_dollars_per_hour=0.05)
API = Target(SERVICE, "orders")
FINDING = Finding(CURE.name, str(SERVICE), "worker has had CPU above 80 % for 5 minutes", severity=Severity.SEV2)
MINUTE = timedelta(minutes=1)
CPU, MEMORY = (service_metric(SERVICE, f"{name}Utilization", "Average", 5) for name in ("CPU", "Memory"))
SCALABLE = "arn:aws:application-autoscaling:eu-central-1:123456789012:scalable-target/0ec5abc"
TARGETS = "application-autoscaling:DescribeScalableTargets"
POLICIES = "application-autoscaling:DescribeScalingPolicies"
FLAT = [35.0] * 60


def points(*values: float) -> Series:
    """A series of the last minutes."""
    return Series(tuple((NOW - (len(values) + 1 - n) * MINUTE, value) for n, value in enumerate(values)))


def seen(described: Any, cpu: Any = None, memory: Any = None) -> Readings:
    """What a look read."""
    answers: dict[Query, Any] = {read("ecs.service", SERVICE): described, CPU: cpu, MEMORY: memory}
    return Readings(
        NOW, {query: answer for query, answer in answers.items() if answer is not None or query not in (CPU, MEMORY)}
    )


def scalable(least: int = 2, most: int = 2, **other: Any) -> dict[str, Any]:
    """A scalable target, as DescribeScalableTargets gives it."""
    return {
        "ScalableTargetARN": SCALABLE,
        "ResourceId": "service/prod/worker",
        "MinCapacity": least,
        "MaxCapacity": most,
        "SuspendedState": {"DynamicScalingInSuspended": False, "DynamicScalingOutSuspended": False},
    } | other


def account(
    described: Any = None,
    *,
    cpu: Any = None,
    memory: Any = None,
    scaling: list[dict[str, Any]] | None = None,
    policies: list[dict[str, Any]] | None = None,
    stopped: list[dict[str, Any]] | None = None,
    **other: Any,
) -> Account:
    """An account in which a loan would be right, unless it is said otherwise."""
    return Account(
        services={SERVICE: service() if described is None else described},
        metrics={
            ("prod", "CPUUtilization"): [*[50.0] * 55, *[90.0] * 5] if cpu is None else cpu,
            ("prod", "MemoryUtilization"): FLAT if memory is None else memory,
        },
        answers={
            TARGETS: {"ScalableTargets": scaling or []},
            POLICIES: {"ScalingPolicies": [{"PolicyName": "cpu"}] if policies is None else policies},
            "ecs:ListTasks": {"taskArns": [f"t{number}" for number, _ in enumerate(stopped or [])]},
            "ecs:DescribeTasks": {"tasks": stopped or []},
        },
        **other,
    )


def diagnosed(there: Account, cure: EcsCapacityShort = CURE) -> Diagnosis:
    """The diagnosis."""
    return cure.diagnose(Eyes(there, EcsCapacityShort), API, FINDING)


def refused(there: Account, cure: EcsCapacityShort = CURE) -> Refused:
    """What the diagnosis says no to."""
    with pytest.raises(Refused) as caught:
        diagnosed(there, cure)
    return caught.value


def planned(there: Account | None = None, cure: EcsCapacityShort = CURE) -> Plan:
    """Diagnose and plan."""
    return cure.plan(diagnosed(there or account(), cure))


def of(plan: Plan) -> tuple[Step, Call, Call]:
    """The plan's one step, its call and its undo."""
    [step] = plan.steps
    [there], [back] = step.calls, step.undo
    return step, there, back


# -- seeing ----------------------------------------------------------------------------------------------------------


def test_a_service_and_what_it_uses_are_read() -> None:
    """CPU and memory, as ECS reports them once a minute."""
    assert CURE.watch(API) == (read("ecs.service", SERVICE), CPU, MEMORY)
    assert CURE.examine(API) == CURE.watch(API)
    assert CURE.takes(API)


@pytest.mark.parametrize(
    "cpu, memory, names",
    [
        ((81.0,) * 5, (35.0,) * 5, ["CPUUtilization"]),
        ((50.0,) * 5, (86.0,) * 5, ["MemoryUtilization"]),
        ((99.0, 81.0, 99.0, 99.0, 99.0), (86.0,) * 5, ["CPUUtilization", "MemoryUtilization"]),
        ((80.0, 99.0, 99.0, 99.0, 99.0), (85.0,) * 5, []),
        ((99.0, 99.0, 99.0, 99.0, 80.0), (35.0,) * 5, []),
        ((0.0,) * 5, (0.0,) * 5, []),
        ((10.0,), (10.0,), []),  # a service that has just started: what was reported says that it is not short
    ],
)
def test_a_service_is_short_when_every_minute_was_above(cpu: Any, memory: Any, names: list[str]) -> None:
    """Five of five: one minute that is not, and it is a peak."""
    found = CURE.detect(API, seen(service(), points(*cpu), points(*memory)))
    if not names:
        assert found == Healthy(f"CPU {cpu[-1]:.0f} %; memory {memory[-1]:.0f} %")
        return
    assert isinstance(found, Sick)
    assert [signal.name for signal in found.finding.signals] == names
    assert [signal.value for signal in found.finding.signals] == [
        min(cpu if each[0] == "C" else memory) for each in names
    ]
    assert found.finding.severity is Severity.SEV2
    assert "above 8" in found.finding.symptom


def test_a_service_that_was_stopped_is_well() -> None:
    """Desired 0 is somebody's decision, whatever it used until then."""
    stopped = seen(service(desiredCount=0, runningCount=0), points(*(99.0,) * 5), points(*(99.0,) * 5))
    assert CURE.detect(API, stopped) == Healthy("stopped on purpose: desired count 0")


HOT, COOL = points(*(99.0,) * 5), points(*(10.0,) * 5)


@pytest.mark.parametrize(
    "readings, reason",
    [
        (seen(Unread("throttled"), HOT, COOL), "throttled"),
        (seen(None, HOT, COOL), "does not exist"),
        (seen(service(status="DRAINING"), HOT, COOL), "DRAINING"),
        (seen(service(), Unread("no metric"), COOL), "no metric"),
        (seen(service(), HOT, Unread("no memory")), "no memory"),
        (seen(service(), points(*(99.0,) * 4), COOL), "CPUUtilization was reported in 4 of 5 minutes"),
        (seen(service(), Series(), COOL), "CPUUtilization was reported in 0 of 5 minutes"),
        (seen(service(), COOL, points(*(99.0,) * 4)), "MemoryUtilization was reported in 4 of 5 minutes"),
        (seen(service(), HOT, Series()), "MemoryUtilization was reported in 0 of 5 minutes"),
        (Readings(NOW), "was not read"),
    ],
)
def test_what_was_not_reported_is_unknown(readings: Readings, reason: str) -> None:
    """Never sick, never healthy: a minute that is missing may have been either."""
    found = CURE.detect(API, readings)
    assert isinstance(found, Unknown)
    assert reason in found.reason


_VALUES = st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=7)
_SERVICES = st.dictionaries(
    st.sampled_from(["status", "desiredCount", "runningCount", "deployments"]),
    st.none() | st.sampled_from(["ACTIVE", "INACTIVE"]) | st.integers(-1, 5) | st.text(),
)


@given(st.none() | _SERVICES, _VALUES, _VALUES)
def test_anything_that_aws_says_gives_an_observation(described: Any, cpu: list[float], memory: list[float]) -> None:
    """Healthy, sick or unknown, and never an error: also where the cure is judged."""
    readings = seen(described, points(*cpu), points(*memory))
    assert isinstance(CURE.detect(API, readings), Observation)
    assert isinstance(CURE.verify(API, FINDING, readings), Observation)


# -- diagnosis -------------------------------------------------------------------------------------------------------


def test_a_service_that_nobody_scales_gets_half_as_many_tasks_again() -> None:
    """The diagnosis says what it saw, and which other causes it rejected."""
    found = diagnosed(account())
    assert found.facts == {"service": str(SERVICE), "desired": 2, "to": 3}
    assert found.evidence == (
        FINDING.symptom,
        "all 2 tasks run",
        "in 60 minutes memory went from 35 to 35 %, CPU from 50 to 63 %",
    )
    assert len(found.rejected) == 4
    assert found.rejected[-1].why_not == "it does not scale this service"


def test_a_service_that_autoscaling_may_not_scale_further_gets_a_higher_maximum() -> None:
    """Both limits are known, because any new limits clamp the number of tasks into them."""
    found = diagnosed(account(scaling=[scalable(1, 2)]))
    assert found.facts == {"service": str(SERVICE), "scalable_target": SCALABLE, "minimum": 1, "maximum": 2, "to": 3}
    assert found.rejected[-1].why_not == "it is at its maximum of 2 tasks"


def test_the_diagnosis_uses_no_more_than_it_declares_and_declares_no_more_than_it_uses() -> None:
    """A permission that nobody needs is one too many."""
    eyes = Eyes(account(scaling=[scalable()], stopped=[{"stoppedReason": "scaled in"}]), EcsCapacityShort)
    CURE.diagnose(eyes, API, FINDING)
    assert eyes.used == set(CURE.reads)


ROLLING = [{"rolloutState": "IN_PROGRESS"}, {"rolloutState": "COMPLETED"}]


@pytest.mark.parametrize(
    "described, guard, reason, later",
    [
        (service(status="DRAINING"), "state", "DRAINING", None),
        (service(desiredCount=0), "state", "stopped", None),
        (service(schedulingStrategy="DAEMON"), "state", "each instance", None),
        (service(deploymentController={"type": "CODE_DEPLOY"}), "controller", "CODE_DEPLOY", None),
        (service(deployment={"rolloutState": "IN_PROGRESS"}), "mid-change", "IN_PROGRESS", 2),
        (service(deployments=ROLLING), "mid-change", "being deployed", 2),
        (service(deployments=[{}]), "mid-change", "unknown", 2),
        (service(deployments=[]), "mid-change", "no deployment", 2),
        (service(deployment={"rolloutState": "FAILED"}), "mid-change", "failed", None),
        (service(deployment={"createdAt": NOW - 59 * MINUTE}), "cause", "59 minutes ago", 5),
        (service(deployment={"createdAt": None}), "cause", "does not say", 5),
        (service(runningCount=1), "tasks", "1 of 2 tasks run", 2),
        (service(runningCount=3), "tasks", "3 of 2 tasks run", 2),
    ],
)
def test_what_somebody_stopped_or_changes_is_not_scaled(
    described: Any, guard: str, reason: str, later: int | None
) -> None:
    """A deployment ends some day, and a release grows old; the other reasons need a person."""
    said = refused(account(described))
    assert said.guard == guard
    assert re.search(reason, said.reason)
    assert said.retry_after == (None if later is None else later * MINUTE)
    assert said.link == (str(SERVICE) if guard in {"cause", "tasks"} else None)


def test_a_release_of_an_hour_ago_is_no_cause_any_more() -> None:
    """To the minute."""
    assert diagnosed(account(service(deployment={"createdAt": NOW - 60 * MINUTE}))).facts


def test_a_controller_that_is_named_may_be_ecs_itself() -> None:
    """As DescribeServices says it of most services."""
    assert diagnosed(account(service(deploymentController={"type": "ECS"}, schedulingStrategy="REPLICA"))).facts


@pytest.mark.parametrize(
    "task, killed",
    [
        ({"stoppedReason": "OutOfMemoryError: Container killed due to memory usage"}, True),
        ({"stoppedReason": "Essential container in task exited", "containers": [{"reason": "OutOfMemoryError"}]}, True),
        ({"stoppedReason": "Scaling activity", "containers": [{"exitCode": 137}]}, False),
        ({"containers": [{"exitCode": 137, "reason": None}]}, False),
        ({}, False),
    ],
)
def test_tasks_that_are_killed_for_their_memory_are_too_small(task: dict[str, Any], killed: bool) -> None:
    """More of their kind are killed, too. Exit code 137 alone is a task that did not stop in time."""
    there = account(stopped=[task, {}])
    if not killed:
        assert diagnosed(there).facts
        return
    said = refused(there)
    assert (said.guard, said.retry_after, said.numbers) == ("size", None, {"killed": 1})


def grown(start: float, end: float) -> list[float]:
    """An hour in which something rose evenly."""
    return [start + (end - start) * minute / 59 for minute in range(60)]


@pytest.mark.parametrize(
    "cpu, memory, leaks",
    [
        ([50.0] * 60, grown(40, 88), True),  # memory rises, and load does not
        ([50.0] * 55 + [95.0] * 5, grown(40, 60), True),  # load rises, too, but only lately
        (grown(90, 40), grown(40, 88), True),
        (grown(50, 95), grown(40, 88), False),  # they rise together: load
        (grown(50, 75), grown(40, 88), False),
        (grown(50, 73), grown(40, 88), True),  # too little load for so much memory
        ([50.0] * 60, [88.0] * 60, False),
        ([50.0] * 60, grown(88, 40), False),
        ([50.0] * 60, [*[40.0] * 30, *[88.0] * 30], False),  # a step, and not a slope
        ([50.0] * 60, grown(40, 41.9), False),  # noise
        ([50.0] * 60, grown(40, 42.1), True),
    ],
)
def test_a_leak_is_told_from_load(cpu: list[float], memory: list[float], leaks: bool) -> None:
    """Memory that rises from quarter to quarter, and load that does not explain it."""
    there = account(cpu=cpu, memory=memory)
    if not leaks:
        assert diagnosed(there).facts
        return
    said = refused(there)
    assert (said.guard, said.retry_after) == ("leak", None)
    assert "restart its tasks" in said.reason
    assert set(said.numbers) == {"memory_before", "memory_now"}


@pytest.mark.parametrize("cpu, memory", [([90.0] * 56, FLAT), (FLAT, [90.0] * 56), ([], FLAT), (FLAT, [])])
def test_without_an_hours_history_a_leak_cannot_be_told(cpu: list[float], memory: list[float]) -> None:
    """A quarter needs four fifths of its minutes; what is missing comes with time."""
    said = refused(account(cpu=cpu, memory=memory))
    assert (said.guard, said.retry_after) == ("history", 5 * MINUTE)
    assert said.numbers == {"reported": min(len(cpu), len(memory)), "minutes": 60}


def test_a_few_minutes_of_the_hour_may_be_missing() -> None:
    """CloudWatch is late sometimes."""
    assert diagnosed(account(cpu=[90.0] * 57, memory=[35.0] * 57)).facts


def test_a_history_that_cannot_be_read_is_no_diagnosis() -> None:
    """The engine tries again; nothing is guessed."""
    with pytest.raises(Unreadable):
        diagnosed(account(cpu=Unread("throttled")))
    with pytest.raises(Unreadable):
        diagnosed(account(Unread("throttled")))


@pytest.mark.parametrize("action", CURE.reads)
@pytest.mark.parametrize("error", [Denied("a", "AccessDenied"), Unreadable("a", "Throttling")])
def test_what_may_not_be_looked_at_is_not_scaled(action: str, error: Exception) -> None:
    """The engine hears why."""
    there = account(scaling=[scalable()], stopped=[{}], fails={action: error})
    with pytest.raises(type(error)):
        diagnosed(there)


@pytest.mark.parametrize(
    "scaling, reason, later",
    [
        (scalable(2, 3), "may still start tasks itself: it has 2 of 3", True),
        (scalable(1, 1), "do not allow", True),
        (scalable(3, 5), "do not allow", True),
        (scalable(SuspendedState={"DynamicScalingOutSuspended": True}), "suspended", False),
        (scalable(SuspendedState={"ScheduledScalingSuspended": True}), "suspended", False),
        ({name: value for name, value in scalable().items() if name != "ScalableTargetARN"}, "by which name", False),
    ],
)
def test_what_is_autoscalings_or_a_persons_is_left_to_them(scaling: dict[str, Any], reason: str, later: bool) -> None:
    """Below its maximum the number is autoscaling's; outside its limits, or suspended, it is a person's."""
    said = refused(account(scaling=[scaling]))
    assert (said.guard, said.retry_after) == ("autoscaling", 10 * MINUTE if later else None)
    assert re.search(reason, said.reason)
    assert said.numbers["maximum"] == scaling["MaxCapacity"]


def test_limits_that_no_policy_uses_are_not_raised() -> None:
    """Nothing would start a task because of them."""
    said = refused(account(scaling=[scalable()], policies=[]))
    assert (said.guard, said.retry_after) == ("autoscaling", None)
    assert "no policy" in said.reason


def test_a_scalable_target_without_a_word_on_suspension_is_not_suspended() -> None:
    """AWS says nothing where there is nothing to say."""
    plain = {name: value for name, value in scalable().items() if name != "SuspendedState"}
    assert diagnosed(account(scaling=[plain])).facts["maximum"] == 2


def test_autoscaling_is_asked_about_this_service_only() -> None:
    """By its resource id; what is said about another one does not count."""
    asked: list[dict[str, Any]] = []

    def describe(**params: Any) -> dict[str, Any]:
        asked.append(params)
        return {"ScalableTargets": [scalable(ResourceId="service/prod/other")]}

    there = account()
    there.answers[TARGETS] = describe
    assert "desired" in diagnosed(there).facts
    assert asked == [
        {
            "ServiceNamespace": "ecs",
            "ResourceIds": ["service/prod/worker"],
            "ScalableDimension": "ecs:service:DesiredCount",
        }
    ]


@pytest.mark.parametrize(
    "desired, ceiling, to",
    [(1, 10, 2), (2, 10, 3), (3, 10, 5), (4, 10, 6), (7, 10, 10), (9, 10, 10), (10, 10, None), (12, 10, None)],
)
@pytest.mark.parametrize("scaled", [False, True])
def test_a_loan_is_half_as_many_again_and_never_above_the_ceiling(
    desired: int, ceiling: int, to: int | None, scaled: bool
) -> None:
    """The same for tasks and for a maximum."""
    there = account(
        service(desiredCount=desired, runningCount=desired), scaling=[scalable(1, desired)] if scaled else None
    )
    cure = EcsCapacityShort(ceiling=ceiling)
    if to is not None:
        assert diagnosed(there, cure).facts["to"] == to
        return
    said = refused(there, cure)
    assert (said.guard, said.retry_after, said.numbers) == ("ceiling", None, {"now": desired, "ceiling": ceiling})


# -- the plan --------------------------------------------------------------------------------------------------------


def test_tasks_are_lent_by_an_absolute_number_and_taken_back_by_one() -> None:
    """Another number of tasks, and not a parameter more: it starts no deployment."""
    plan = planned()
    step, there, back = of(plan)
    assert (step.name, plan.lease, plan.cost_per_hour) == ("more-tasks", timedelta(hours=1), 0.05)
    assert (there.action, there.resource, there.stops, there.grants) == ("ecs:UpdateService", str(SERVICE), False, ())
    assert there.params == {"cluster": "prod", "service": "worker", "desiredCount": 3}
    assert there.before == {"desiredCount": 2}
    assert (back.action, back.resource, back.stops) == ("ecs:UpdateService", str(SERVICE), True)
    assert back.params == {"cluster": "prod", "service": "worker", "desiredCount": 2}
    assert back.before == {"desiredCount": 3}
    assert "--desired-count 2" in plan.undo_by_hand
    assert plan.summary == "run 3 tasks of worker instead of 2, for 60 minutes"


def test_a_maximum_is_lent_with_the_minimum_as_it_is_and_nothing_said_of_what_is_suspended() -> None:
    """Both limits, absolute, both ways; and leave for what AWS checks: that we could set the number ourselves."""
    plan = planned(account(scaling=[scalable(1, 2)]))
    step, there, back = of(plan)
    name = {
        "ServiceNamespace": "ecs",
        "ResourceId": "service/prod/worker",
        "ScalableDimension": "ecs:service:DesiredCount",
    }
    assert step.name == "higher-maximum"
    for call, params, before in (
        (there, {"MinCapacity": 1, "MaxCapacity": 3}, {"MinCapacity": 1, "MaxCapacity": 2}),
        (back, {"MinCapacity": 1, "MaxCapacity": 2}, {"MinCapacity": 1, "MaxCapacity": 3}),
    ):
        assert (call.action, call.resource) == ("application-autoscaling:RegisterScalableTarget", SCALABLE)
        assert call.params == name | params
        assert call.before == before
        assert {action for action, _ in call.grants} == {*CURE.delegates, "ecs:UpdateService"}
        alarms = "arn:aws:cloudwatch:eu-central-1:123456789012:alarm:TargetTracking-service/prod/worker-Alarm*"
        assert {arn for _, arn in call.grants} == {str(SERVICE), alarms, "*"}
        assert {action for action, arn in call.grants if arn == "*"} == {"cloudwatch:DescribeAlarms"}
    assert (there.stops, back.stops) == (False, True)
    assert "--min-capacity 1 --max-capacity 2" in plan.undo_by_hand


def test_what_a_loan_costs_is_what_its_tasks_cost() -> None:
    """For each hour, each task more."""
    there = account(service(desiredCount=4, runningCount=4))
    assert planned(there, EcsCapacityShort(task_dollars_per_hour=0.25)).cost_per_hour == 0.5
    assert planned(there, EcsCapacityShort()).cost_per_hour is None


def test_a_ceiling_that_is_changed_meanwhile_changes_no_undo() -> None:
    """Hours later the undo is planned anew, from the diagnosis on the record."""
    found = diagnosed(account(service(desiredCount=4, runningCount=4)))
    assert EcsCapacityShort(ceiling=1).plan(found).steps == CURE.plan(found).steps


def test_another_number_of_tasks_is_another_plan() -> None:
    """What somebody has set in between was not decided upon; another load is the same plan."""
    assert planned(account(service(desiredCount=3, runningCount=3))).hash != planned().hash
    assert planned(account(cpu=[99.0] * 60)).hash == planned().hash


@pytest.mark.parametrize("desired, to", [(0, 3), (-1, 3), (3, 3), (3, 2)])
def test_no_record_makes_it_plan_an_undo_that_stops_a_service_or_adds_tasks(desired: int, to: int) -> None:
    """Whoever can write a record may write any diagnosis."""
    with pytest.raises(ValueError, match="is no loan"):
        CURE.plan(replace(diagnosed(account()), facts={"service": str(SERVICE), "desired": desired, "to": to}))


def test_a_loan_is_made_once_and_the_report_shows_what_is_there_now() -> None:
    """When it began is noted before, for the progress to know."""
    plan = planned()
    step, there, _ = of(plan)
    hand = Hand(account(), step)
    CURE.apply(hand, plan, step)
    assert hand.account.calls == ["UpdateService"]
    assert hand.scratch == {"began": NOW.isoformat()}
    assert CURE.effect(there, {"service": service(desiredCount=3)}) == {"desiredCount": 3}
    assert CURE.effect(there, {}) == {"desiredCount": None}
    _, limits, _ = of(planned(account(scaling=[scalable(1, 2)])))
    assert CURE.effect(limits, {"ScalableTargetARN": SCALABLE}) == {"MinCapacity": 1, "MaxCapacity": 3}


@pytest.mark.parametrize("returned", [False, True])
@pytest.mark.parametrize(
    "stands, later, outcome",
    [
        ("params", 0, Outcome.DONE),
        ("before", 59, Outcome.UNKNOWN),
        ("before", 60, Outcome.NOT_DONE),
        ("else", 600, Outcome.UNKNOWN),
    ],
)
@pytest.mark.parametrize("scaled", [False, True])
def test_what_became_of_a_call_is_found_by_looking(
    returned: bool, stands: str, later: int, outcome: Outcome, scaled: bool
) -> None:
    """Of the loan and of its return. Where a third value stands, somebody may have written it over ours."""
    _, there, back = of(planned(account(scaling=[scalable(1, 2)] if scaled else None)))
    call = back if returned else there
    values = {"params": call.params, "before": call.before, "else": {"desiredCount": 7, "MaxCapacity": 7}}[stands]
    now = account(
        service(desiredCount=values.get("desiredCount", 2)),
        scaling=[scalable(1, int(str(values.get("MaxCapacity", 2))))],
        now=NOW + timedelta(seconds=later),
    )
    assert CURE.reconcile(Eyes(now, EcsCapacityShort), call, NOW) is outcome


def test_what_became_of_limits_that_are_gone_cannot_be_told() -> None:
    """Somebody has taken the service's autoscaling away."""
    _, call, _ = of(planned(account(scaling=[scalable()])))
    assert CURE.reconcile(Eyes(account(now=NOW + 5 * MINUTE), EcsCapacityShort), call, NOW) is Outcome.UNKNOWN


# -- how it goes -----------------------------------------------------------------------------------------------------


def went(described: dict[str, Any], minutes: float = 3, *, scaled: bool = False, noted: bool = True) -> Any:
    """How a loan of a third task goes."""
    plan = planned(account(scaling=[scalable(1, 2)] if scaled else None))
    there = account(described, now=NOW + minutes * MINUTE)
    scratch = {"began": NOW.isoformat()} if noted else {}
    progress, why, ledger = CURE.progress(Eyes(there, EcsCapacityShort), plan, plan.steps[0], scratch)
    assert ledger is None
    return progress, why


def event(
    ago: float, message: str = "(service worker) was unable to place a task. Reason: Capacity is unavailable."
) -> Any:
    """Something that ECS said."""
    return {"createdAt": NOW + 3 * MINUTE - ago * MINUTE, "message": message}


SHORT = {"desiredCount": 3, "runningCount": 2}


@pytest.mark.parametrize(
    "described, progress, why",
    [
        (service(desiredCount=3, runningCount=3), Progress.NEXT, "3 of 3 tasks run"),
        (service(**SHORT), Progress.WAIT, "2 of 3 tasks run"),
        (service(**SHORT, events=[event(1)]), Progress.STOP, "Capacity is unavailable"),
        (service(**SHORT, events=[event(0, "has started 1 tasks"), event(2)]), Progress.STOP, "unable to place a task"),
        (service(**SHORT, events=[event(11)]), Progress.WAIT, "2 of 3"),  # of another day
        (service(**SHORT, events=[{"message": event(1)["message"]}, {"createdAt": NOW}]), Progress.WAIT, "2 of 3"),
        (service(desiredCount=3, runningCount=3, events=[event(1)]), Progress.NEXT, "3 of 3"),
        (service(desiredCount=5, runningCount=5), Progress.NEXT, "somebody has set 5 tasks"),
        (service(desiredCount=1, runningCount=2), Progress.NEXT, "somebody has set 1 tasks"),
    ],
)
def test_a_loan_is_there_when_its_tasks_run(described: dict[str, Any], progress: Progress, why: str) -> None:
    """Where ECS has no place for a task it is given up at once, with ECS's own reason."""
    found, said = went(described)
    assert found is progress
    assert why in said


def test_tasks_are_waited_for_as_long_as_they_may_take_to_start() -> None:
    """And then it is given up."""
    assert went(service(**SHORT), 9)[0] is Progress.WAIT
    assert went(service(**SHORT), 10) == (Progress.STOP, "after 10 minutes still: 2 of 3 tasks run")


def test_where_a_crash_has_left_no_note_the_verification_waits() -> None:
    """It is bounded, too."""
    assert went(service(**SHORT), noted=False) == (Progress.NEXT, "2 of 3 tasks run")
    assert went(service(), scaled=True, noted=False)[0] is Progress.NEXT


def test_a_higher_maximum_is_waited_for_until_autoscaling_uses_it() -> None:
    """Where it does not, whether the load went by itself is for the verification to say."""
    assert went(service(), 9, scaled=True) == (Progress.WAIT, "autoscaling has not gone beyond 2 tasks")
    assert went(service(), 10, scaled=True) == (Progress.NEXT, "autoscaling has not gone beyond 2 tasks")
    assert went(service(desiredCount=3, runningCount=3), 3, scaled=True) == (Progress.NEXT, "3 of 3 tasks run")
    assert went(service(**SHORT), 3, scaled=True)[0] is Progress.WAIT


CALM = points(*(74.9,) * 5)


@pytest.mark.parametrize(
    "readings, kind, said",
    [
        (seen(service(), CALM, CALM), Healthy, "CPU 75 %"),
        (seen(service(), points(75.0, *(50.0,) * 4), CALM), Sick, "CPU was at 75 %"),
        (seen(service(), CALM, points(*(50.0,) * 4, 80.0)), Sick, "memory was at 80 %"),
        (seen(service(runningCount=1), CALM, CALM), Sick, "1 of 2 tasks run"),
        (seen(service(runningCount=3), CALM, CALM), Sick, "3 of 2 tasks run"),
        (seen(service(), HOT, CALM), Sick, "CPU above 80 %"),
        (seen(service(), points(*(50.0,) * 4), CALM), Unknown, "4 of 5 minutes"),
        (seen(service(), CALM, Series()), Unknown, "0 of 5 minutes"),
        (seen(service(desiredCount=0, runningCount=0), Series(), Series()), Unknown, "0 of 5 minutes"),
        (seen(service(desiredCount=0, runningCount=0), Unread("gone"), CALM), Unknown, "gone"),
        (seen(service(runningCount=None), CALM, CALM), Unknown, "did not say"),
        (seen(service(desiredCount=None), CALM, CALM), Unknown, "did not say"),
        (seen(Unread("throttled"), CALM, CALM), Unknown, "throttled"),
        (seen(None, CALM, CALM), Unknown, "does not exist"),
    ],
)
def test_cured_is_less_than_not_short(readings: Readings, kind: type[Observation], said: str) -> None:
    """Every desired task runs, and every minute is well below: what is stopped, or not reported, proves nothing."""
    found = CURE.verify(API, FINDING, readings)
    assert isinstance(found, kind)
    assert said in str(found)
    if isinstance(found, Sick):
        assert found.finding.severity is Severity.SEV2


@pytest.mark.parametrize(
    "lent, now, ours",
    [
        ([], account(service(desiredCount=3)), True),
        ([], account(service(desiredCount=2)), False),
        ([], account(service(desiredCount=5)), False),
        ([], account(service(desiredCount=0)), False),
        ([], account(service(desiredCount=3), scaling=[scalable(1, 3)]), False),  # somebody has it scaled since
        ([scalable(1, 2)], account(scaling=[scalable(1, 3)]), True),
        ([scalable(1, 2)], account(service(desiredCount=3), scaling=[scalable(1, 3)]), True),
        ([scalable(1, 2)], account(scaling=[scalable(1, 4)]), False),
        ([scalable(1, 2)], account(scaling=[scalable(2, 3)]), False),
        ([scalable(1, 2)], account(scaling=[scalable(1, 2)]), False),
        ([scalable(1, 2)], account(), False),
        ([scalable(1, 2)], account(service(desiredCount=0), scaling=[scalable(1, 3)]), False),
        (
            [scalable(1, 2)],
            account(scaling=[scalable(1, 3, SuspendedState={"DynamicScalingInSuspended": True})]),
            False,
        ),
    ],
)
def test_a_value_that_is_no_longer_ours_is_left_alone(lent: list[dict[str, Any]], now: Account, ours: bool) -> None:
    """And so is a service that somebody has taken into their own hands: new limits would start what they stopped."""
    assert CURE.still_ours(Eyes(now, EcsCapacityShort), planned(account(scaling=lent))) is ours


@pytest.mark.parametrize("error", [{}, {TARGETS: Unreadable("a", "Throttling")}], ids=["service", "autoscaling"])
def test_what_cannot_be_seen_is_neither_ours_nor_somebody_elses(error: dict[str, BaseException]) -> None:
    """The engine asks again later."""
    there = account(service() if error else Unread("throttled"), fails=error)
    with pytest.raises(Unreadable):
        CURE.still_ours(Eyes(there, EcsCapacityShort), planned())


def test_a_service_that_is_gone_is_missing() -> None:
    """Nothing is put back where nothing is."""
    there = account()
    there.services[SERVICE] = None
    with pytest.raises(Missing):
        CURE.still_ours(Eyes(there, EcsCapacityShort), planned())


# -- settings --------------------------------------------------------------------------------------------------------


def test_a_loan_is_rare_and_short_by_default() -> None:
    """One an incident, an hour apart, for an hour; proven by a quarter of an hour of calm (R4)."""
    assert (CURE.max_attempts, CURE.cooldown, CURE.lease) == (1, timedelta(hours=1), timedelta(hours=1))
    assert CURE.looks + CURE.short_for == 15
    assert CURE.patience >= timedelta(minutes=CURE.looks + CURE.short_for)


@pytest.mark.parametrize(
    "settings",
    [
        {"cpu": 0},
        {"cpu": 101},
        {"memory": 101},
        {"cured": 0},
        {"short_for": 0},
        {"short_for": 61},
        {"ceiling": 0},
        {"lease": MINUTE},
        {"lease": timedelta(hours=25)},
        {"starting": MINUTE},
        {"history": timedelta(minutes=19)},
        {"task_dollars_per_hour": -0.01},
        {"max_attempts": 4},
        {"scale_in": True},
    ],
)
def test_a_setting_out_of_bounds_is_refused_where_it_is_written(settings: dict[str, Any]) -> None:
    """Before anything is deployed."""
    with pytest.raises(ValidationError):
        EcsCapacityShort(**settings)


def test_the_window_is_a_setting() -> None:
    """For services whose load has peaks."""
    cure = EcsCapacityShort(short_for=15)
    assert {query.minutes for query in cure.watch(API) if isinstance(query, MetricQuery)} == {15}


def test_a_service_whose_cluster_is_not_said_is_unknown() -> None:
    """The short ARN names no metric: nothing is made up, and nothing breaks off for the others."""
    short = Target(Arn.parse("arn:aws:ecs:eu-central-1:123456789012:service/worker"), "orders")
    assert CURE.watch(short) == (read("ecs.service", short.arn),)
    found = CURE.detect(short, Readings(NOW, {read("ecs.service", short.arn): service()}))
    assert isinstance(found, Unknown)
    assert "which cluster" in found.reason
