"""Maintenance: only what a person has asked for, only as it was, and nothing of it over somebody else's value."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from nightshift.errors import Refused
from nightshift.model import Call, Diagnosis, Finding, Healthy, Outcome, Plan, Request, Severity, Sick, Target, Unknown
from nightshift.remediation import Progress, Readings, Unread
from nightshift.remediations.ecs_maintenance import EcsMaintenance

from tests.nightshift.remediations.account import NOW, SERVICE, Account, Eyes, Hand, read, service

CURE = EcsMaintenance()
API = Target(SERVICE, "orders")
MINUTE = timedelta(minutes=1)
ME = "arn:aws:iam::123456789012:user/me"
REQUEST = Request(ME, NOW, NOW + timedelta(hours=2), "new schema")
FINDING = CURE.asked(API, REQUEST)
SCALABLE = "arn:aws:application-autoscaling:eu-central-1:123456789012:scalable-target/0ec5abc"
TARGETS = "application-autoscaling:DescribeScalableTargets"
PARTS = ("DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended")
ALL, NONE = dict.fromkeys(PARTS, True), dict.fromkeys(PARTS, False)


def scalable(least: int = 2, most: int = 4, **other: Any) -> dict[str, Any]:
    """A scalable target, as DescribeScalableTargets gives it."""
    return {
        "ScalableTargetARN": SCALABLE,
        "ResourceId": "service/prod/worker",
        "MinCapacity": least,
        "MaxCapacity": most,
        "SuspendedState": dict(NONE),
    } | other


def account(described: Any = None, *scaling: dict[str, Any], **other: Any) -> Account:
    """An account in which the service may be stopped, unless it is said otherwise."""
    there = Account(services={SERVICE: service() if described is None else described}, **other)
    there.answers[TARGETS] = {"ScalableTargets": list(scaling)}
    return there


def eyes(there: Account) -> Eyes:
    """What is read."""
    return Eyes(there, EcsMaintenance)


def diagnosed(there: Account, finding: Finding = FINDING, cure: EcsMaintenance = CURE) -> Diagnosis:
    """The diagnosis."""
    return cure.diagnose(eyes(there), API, finding)


def refused(there: Account, finding: Finding = FINDING, cure: EcsMaintenance = CURE) -> Refused:
    """What the diagnosis says no to."""
    with pytest.raises(Refused) as caught:
        diagnosed(there, finding, cure)
    return caught.value


def planned(*scaling: dict[str, Any]) -> Plan:
    """Diagnose and plan."""
    return CURE.plan(diagnosed(account(None, *scaling)))


def seen(described: Any) -> Readings:
    """What a look read."""
    return Readings(NOW, {read("ecs.service", SERVICE): described})


# -- what is asked for -----------------------------------------------------------------------------------------------


def test_what_is_asked_for_says_who_until_when_and_why() -> None:
    """The incident begins with it; nothing is wrong, so it wakes nobody."""
    assert FINDING.symptom == f"{ME} wants worker stopped until 2026-11-19 05:00 UTC: new schema"
    assert (FINDING.request, FINDING.severity) == (REQUEST, Severity.SEV4)
    assert CURE.asked(API, replace(REQUEST, why="")).symptom.endswith("05:00 UTC")


def test_no_look_finds_that_somebody_wants_to_work() -> None:
    """A sweep that looked would see a healthy service, or none."""
    assert CURE.asked_for
    assert CURE.watch(API) == CURE.examine(API) == (read("ecs.service", SERVICE),)
    assert isinstance(CURE.detect(API, seen(service())), Healthy)
    assert isinstance(CURE.detect(API, seen(service(desiredCount=0))), Healthy)
    assert CURE.detect(API, seen(Unread("throttled"))) == Unknown("throttled")


def test_what_was_asked_for_is_wanted_while_the_service_can_be_seen() -> None:
    """It does not heal by itself, and what cannot be seen is not stopped."""
    assert CURE.recovered(API, FINDING, seen(service())) == Sick(FINDING)
    assert CURE.recovered(API, FINDING, seen(service(desiredCount=0, runningCount=0))) == Sick(FINDING)
    assert isinstance(CURE.recovered(API, FINDING, seen(None)), Unknown)


@pytest.mark.parametrize(
    "described, stopped",
    [
        (service(desiredCount=0, runningCount=0), True),
        (service(desiredCount=0, runningCount=0, pendingCount=0), True),
        (service(desiredCount=0, runningCount=1), False),
        (service(desiredCount=0, runningCount=0, pendingCount=1), False),
        (service(desiredCount=1, runningCount=0), False),
        (service(desiredCount=0, runningCount=None), None),
        (Unread("throttled"), None),
        (None, None),
    ],
)
def test_it_is_stopped_when_no_task_runs_or_is_about_to(described: Any, stopped: bool | None) -> None:
    """Not when it was told to: when it is."""
    found = CURE.verify(API, FINDING, seen(described))
    assert {True: Healthy, False: Sick, None: Unknown}[stopped] is type(found)


# -- what speaks against it ------------------------------------------------------------------------------------------


def test_nobody_is_stopped_whom_nobody_asked_to_be() -> None:
    """A finding without a request is none of ours."""
    assert refused(account(), replace(FINDING, request=None)).guard == "request"


@pytest.mark.parametrize("left, fine", [(5, True), (4.9, False), (-60, False)])
def test_what_is_over_or_nearly_is_not_begun(left: float, *, fine: bool) -> None:
    """It may have waited for so long: tasks that have hardly stopped would start again."""
    there = account(now=REQUEST.until - left * MINUTE)
    if fine:
        assert diagnosed(there).facts["until"] == "2026-11-19T05:00:00+00:00"
    else:
        assert "less than 5 minutes away" in refused(there).reason


def test_nothing_is_stopped_for_longer_than_the_settings_allow() -> None:
    """Somebody may have meant another day."""
    cure = EcsMaintenance(longest=timedelta(hours=1))
    assert "for 1 hours at most" in refused(account(), cure=cure).reason
    shorter = CURE.asked(API, replace(REQUEST, until=NOW + timedelta(hours=1)))
    assert diagnosed(account(), shorter, cure).facts["until"] == "2026-11-19T04:00:00+00:00"


@pytest.mark.parametrize(
    "described, guard",
    [
        (service(status="DRAINING"), "state"),
        (service(desiredCount=0), "state"),
        (service(schedulingStrategy="DAEMON"), "state"),
        (service(deploymentController={"type": "CODE_DEPLOY"}), "controller"),
        (service(deployment={"rolloutState": "IN_PROGRESS"}), "mid-change"),
        (service(deployment={"rolloutState": "FAILED"}), "mid-change"),
    ],
)
def test_what_is_not_whole_or_not_ours_to_stop_is_refused(described: Any, guard: str) -> None:
    """What is stopped is started as it was, so it has to be something."""
    assert refused(account(described)).guard == guard


@pytest.mark.parametrize("least, most", [(3, 4), (1, 1)])
def test_what_suspending_would_change_is_refused(least: int, most: int) -> None:
    """Any call of the kind brings the number of tasks within the limits: the number that stood would be lost."""
    said = refused(account(None, scalable(least, most)))
    assert (said.guard, said.retry_after) == ("autoscaling", None)
    assert said.numbers == {"desired": 2, "minimum": least, "maximum": most}


def test_autoscaling_without_a_name_for_iam_is_refused() -> None:
    """No permission could be made for the call."""
    nameless = {name: value for name, value in scalable().items() if name != "ScalableTargetARN"}
    assert refused(account(None, nameless)).guard == "autoscaling"


def test_somebody_elses_autoscaling_is_none_of_it() -> None:
    """AWS is asked for one, and another one that it gives does not count."""
    assert diagnosed(account(None, scalable(ResourceId="service/prod/other"))).facts["scaling"] is None


# -- the plan --------------------------------------------------------------------------------------------------------


def test_autoscaling_is_suspended_before_and_goes_on_after() -> None:
    """Else it would start what is to be stopped; and any call of its kind would bring 0 tasks within its limits."""
    plan = planned(scalable(SuspendedState={"DynamicScalingInSuspended": True}))
    [step] = plan.steps
    was = {**NONE, "DynamicScalingInSuspended": True}
    assert [call.params.get("desiredCount", call.params.get("SuspendedState")) for call in step.calls] == [ALL, 0]
    assert [call.params.get("desiredCount", call.params.get("SuspendedState")) for call in step.undo] == [2, was]
    assert [call.before for call in step.calls] == [was, {"desiredCount": 2}]
    assert [call.before for call in step.undo] == [{"desiredCount": 0}, ALL]
    assert [call.stops for call in (*step.calls, *step.undo)] == [False, False, True, True]
    for call in (step.calls[0], step.undo[1]):
        assert (call.resource, call.params["ResourceId"]) == (SCALABLE, "service/prod/worker")
        assert not {"MinCapacity", "MaxCapacity"} & set(call.params)  # so it makes no new one where it was removed
        assert {action for action, _ in call.grants} == {*CURE.delegates, "ecs:UpdateService"}


def test_without_autoscaling_one_call_stops_it() -> None:
    """And one starts it."""
    plan = planned()
    assert [call.operation for call in plan.calls] == ["UpdateService", "UpdateService"]
    assert plan.undo_by_hand == "aws ecs update-service --cluster prod --service worker --desired-count 2"


def test_it_lasts_until_the_time_that_was_said_and_a_person_has_to_say_yes() -> None:
    """However late it is begun; it costs nothing."""
    plan = planned(scalable())
    assert (plan.until, plan.lease) == (REQUEST.until, timedelta(hours=2))
    assert plan.asks
    assert plan.dollars == 0
    assert plan.summary == "stop worker until 2026-11-19 05:00 UTC, then run 2 tasks again"
    assert plan.undo_by_hand.splitlines()[1].endswith(
        "--suspended-state DynamicScalingInSuspended=false,DynamicScalingOutSuspended=false,"
        "ScheduledScalingSuspended=false"
    )


def test_another_state_or_end_is_another_plan() -> None:
    """So a yes does not count for it."""
    others = [
        planned(),
        planned(scalable()),
        planned(scalable(SuspendedState=ALL)),
        CURE.plan(diagnosed(account(service(desiredCount=3, runningCount=3)))),
        CURE.plan(diagnosed(account(), CURE.asked(API, replace(REQUEST, until=NOW + timedelta(hours=3))))),
    ]
    assert len({plan.hash for plan in others}) == len(others)


def test_one_task_is_one_task() -> None:
    """In words."""
    diagnosis = diagnosed(account(service(desiredCount=1, runningCount=1)))
    assert diagnosis.evidence[1] == "1 task should run; autoscaling does not scale it"
    assert CURE.plan(diagnosis).summary.endswith("then run 1 task again")


def test_the_cause_is_whoever_asked() -> None:
    """With their reason, where they gave one."""
    assert diagnosed(account(None, scalable())).cause == f"{ME} works on worker: new schema"
    quiet = CURE.asked(API, replace(REQUEST, why=""))
    diagnosis = diagnosed(account(None, scalable()), quiet)
    assert diagnosis.cause == f"{ME} works on worker"
    assert diagnosis.evidence[1] == "2 tasks should run; autoscaling may run 2 to 4"


@pytest.mark.parametrize("change", [{"desired": 0}, {"until": "2026-11-19T03:00:00+00:00"}])
def test_a_diagnosis_that_makes_no_sense_makes_no_plan(change: dict[str, Any]) -> None:
    """It may be anybody's."""
    diagnosis = diagnosed(account())
    with pytest.raises(ValueError, match="is no maintenance"):
        CURE.plan(replace(diagnosis, facts={**diagnosis.facts, **change}))


# -- making it -------------------------------------------------------------------------------------------------------


def test_the_calls_are_made_in_order_and_say_what_is_there_now() -> None:
    """The report shows before and after."""
    there = account(None, scalable())
    plan = planned(scalable())
    hand = Hand(there, plan.steps[0])
    CURE.apply(hand, plan, plan.steps[0])
    assert there.calls == ["RegisterScalableTarget", "UpdateService"]
    suspend, stop = plan.steps[0].calls
    assert CURE.effect(stop, {"service": {"desiredCount": 0}}) == {"desiredCount": 0}
    assert CURE.effect(stop, {}) == {"desiredCount": None}
    assert CURE.effect(suspend, {}) == ALL


def test_whether_a_call_was_made_is_told_by_what_stands() -> None:
    """The new value: done. The old one, once it cannot land any more: not done. A third: unknown."""
    suspend, stop = planned(scalable()).steps[0].calls
    before = NOW - 2 * MINUTE

    def found(call: Call, there: Account, since: Any = before) -> Outcome:
        return CURE.reconcile(eyes(there), call, since)

    assert found(stop, account(service(desiredCount=0))) is Outcome.DONE
    assert found(stop, account()) is Outcome.NOT_DONE
    assert found(stop, account(), NOW) is Outcome.UNKNOWN
    assert found(stop, account(service(desiredCount=3))) is Outcome.UNKNOWN
    assert found(suspend, account(None, scalable(SuspendedState=ALL))) is Outcome.DONE
    assert found(suspend, account(None, scalable())) is Outcome.NOT_DONE
    assert found(suspend, account()) is Outcome.UNKNOWN


@pytest.mark.parametrize(
    "described, progress",
    [
        (service(desiredCount=0, runningCount=0), Progress.NEXT),
        (service(desiredCount=0, runningCount=2), Progress.WAIT),
        (service(), Progress.STOP),
    ],
)
def test_tasks_get_time_to_stop_and_what_was_half_done_is_taken_back(described: Any, progress: Progress) -> None:
    """Where tasks should run, the call that stops them was never made, or somebody started them."""
    plan = planned()
    assert CURE.progress(eyes(account(described)), plan, plan.steps[0], {})[0] is progress


# -- whose it is -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "desired, scaling, ours",
    [
        (0, scalable(SuspendedState=ALL), True),
        (2, scalable(SuspendedState=ALL), True),  # half taken back, by us or by hand
        (0, scalable(), True),
        (2, scalable(), False),  # nothing is left to take back
        (1, scalable(SuspendedState=ALL), False),
        (0, scalable(SuspendedState={PARTS[0]: True}), False),
        (0, scalable(3, 4, SuspendedState=ALL), False),  # limits that would not take the old number
        (0, scalable(1, 1, SuspendedState=ALL), False),
        (0, scalable(0, 9, SuspendedState=ALL), True),  # other limits, that would
        (0, None, False),  # somebody has removed it
    ],
)
def test_what_stands_as_we_set_it_or_as_it_was_is_ours(desired: int, scaling: Any, *, ours: bool) -> None:
    """A single value that is neither is somebody's, and then nothing is written over anything."""
    there = account(service(desiredCount=desired, runningCount=0), *([scaling] if scaling else []))
    assert CURE.still_ours(eyes(there), planned(scalable())) is ours


@pytest.mark.parametrize(
    "desired, scaling, ours", [(0, None, True), (2, None, False), (1, None, False), (0, scalable(), False)]
)
def test_without_autoscaling_the_number_alone_tells(desired: int, scaling: Any, *, ours: bool) -> None:
    """And autoscaling that somebody has set up since owns the number."""
    there = account(service(desiredCount=desired, runningCount=0), *([scaling] if scaling else []))
    assert CURE.still_ours(eyes(there), planned()) is ours
