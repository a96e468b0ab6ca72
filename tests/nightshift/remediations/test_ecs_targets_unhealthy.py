"""Tasks that do not answer their load balancer: seen, told from what ECS or a release does, and one is replaced."""

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
    Target,
    Unknown,
)
from nightshift.remediation import Progress, Readings, Series, Unread
from nightshift.remediations.ecs_targets_unhealthy import EcsTargetsUnhealthy
from nightshift.signals import group_metric
from pydantic import ValidationError

from tests.nightshift.remediations.account import NOW, SERVICE, Account, Eyes, Hand, read, service

CURE = EcsTargetsUnhealthy()
BALANCER = Arn.parse("arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/api/50dc6c495c0c9188")
GROUP = Arn.parse("arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/api/6d0ecf831eec9f09")
API = Target(SERVICE, "orders", load_balancer=BALANCER, target_group=GROUP)
FINDING = Finding(CURE.name, str(SERVICE), "1 of 2 tasks of worker have been unhealthy for 3 minutes")
MINUTE = timedelta(minutes=1)
BAD = group_metric(BALANCER, GROUP, "UnHealthyHostCount", "Minimum", 8)
GOOD = group_metric(BALANCER, GROUP, "HealthyHostCount", "Maximum", 8)
BALANCER_NAME = "app/api/50dc6c495c0c9188"
IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/team/worker:v1"
DIGEST = "sha256:" + "a" * 64
TASKS = "arn:aws:ecs:eu-central-1:123456789012:task/prod"
REASON = "nightshift: unhealthy behind its load balancer"
REFUSES, SLOW, WRONG = "Target.FailedHealthChecks", "Target.Timeout", "Target.ResponseCodeMismatch"


def points(*values: float, ago: int = 2) -> Series:
    """A series of the last minutes; the newest began that long ago."""
    return Series(tuple((NOW - (len(values) - 1 - n + ago) * MINUTE, value) for n, value in enumerate(values)))


def seen(described: Any, bad: Any, good: Any = None) -> Readings:
    """What a look read."""
    answers: dict[Query, Any] = {
        read("ecs.service", SERVICE): described,
        BAD: bad,
        GOOD: points(1, 1, 1, 1, 1) if good is None else good,
    }
    return Readings(NOW, answers)


def task(number: int, *, old: timedelta = timedelta(days=2), **other: Any) -> dict[str, Any]:
    """A running task, by its number."""
    return {
        "taskArn": f"{TASKS}/{number}",
        "lastStatus": "RUNNING",
        "desiredStatus": "RUNNING",
        "taskDefinitionArn": "td:7",
        "startedAt": NOW - old,
        "containers": [{"image": IMAGE, "imageDigest": DIGEST}],
        "attachments": [
            {
                "details": [
                    {"name": "subnetId", "value": "s"},
                    {"name": "privateIPv4Address", "value": f"10.0.0.{number}"},
                ]
            }
        ],
    } | other


def stopped(reason: str = "Essential container in task exited", **other: Any) -> dict[str, Any]:
    """A task that has ended."""
    return {
        "taskArn": f"{TASKS}/9",
        "lastStatus": "STOPPED",
        "desiredStatus": "STOPPED",
        "stoppedReason": reason,
    } | other


def host(number: int | str, reason: str = "", state: str = "") -> dict[str, Any]:
    """What the load balancer says of one target; healthy without a reason."""
    address = f"10.0.0.{number}" if isinstance(number, int) else number
    health = {"State": state or ("unhealthy" if reason else "healthy")} | ({"Reason": reason} if reason else {})
    return {"Target": {"Id": address, "Port": 3000}, "TargetHealth": health}


def account(
    *hosts: dict[str, Any],
    tasks: tuple[dict[str, Any], ...] = (task(1), task(2)),
    ended: tuple[dict[str, Any], ...] = (),
    unhealthy: list[float] | Unread | None = None,
    **other: Any,
) -> Account:
    """An account with these tasks and targets, where as many as these have been unhealthy for ten minutes."""
    every = {each["taskArn"]: each for each in (*tasks, *ended)}

    def listed(**params: Any) -> dict[str, Any]:
        those = ended if params.get("desiredStatus") == "STOPPED" else tasks
        return {"taskArns": [each["taskArn"] for each in those]}

    def described(**params: Any) -> dict[str, Any]:
        return {"tasks": [every[arn] for arn in params["tasks"] if arn in every]}

    bad = sum(each["TargetHealth"]["State"] == "unhealthy" for each in hosts)
    series = [0.0] * 20 + [float(bad)] * 10 if unhealthy is None else unhealthy
    answers = {
        "elasticloadbalancing:DescribeTargetHealth": {"TargetHealthDescriptions": list(hosts)},
        "ecs:ListTasks": listed,
        "ecs:DescribeTasks": described,
        "ecs:ListServiceDeployments": {"serviceDeployments": [{"targetServiceRevisionArn": "r7"}]},
        "ecs:DescribeServiceRevisions": {
            "serviceRevisions": [{"containerImages": [{"image": IMAGE, "imageDigest": DIGEST}]}]
        },
        "ecr:DescribeImages": {"imageDetails": [{"imageDigest": DIGEST}]},
    }
    services = {SERVICE: other.pop("described", service())}
    metrics: dict[tuple[str, str], Any] = {(BALANCER_NAME, "UnHealthyHostCount"): series}
    return Account(answers=answers | other.pop("answers", {}), services=services, metrics=metrics, **other)


def one_bad(**other: Any) -> Account:
    """One task does not answer, the other is well."""
    return account(host(1, SLOW), host(2), **other)


def all_bad(**other: Any) -> Account:
    """No task answers."""
    return account(host(1, SLOW), host(2, SLOW), **other)


def diagnosed(there: Account, cure: EcsTargetsUnhealthy = CURE) -> Diagnosis:
    """The diagnosis."""
    return cure.diagnose(Eyes(there, EcsTargetsUnhealthy), API, FINDING)


def refused(there: Account, cure: EcsTargetsUnhealthy = CURE) -> Refused:
    """What the diagnosis says no to."""
    with pytest.raises(Refused) as caught:
        diagnosed(there, cure)
    return caught.value


def planned(there: Account) -> Plan:
    """Diagnose and plan."""
    return CURE.plan(diagnosed(there))


def call(there: Account) -> Call:
    """The plan's one call."""
    [only] = planned(there).calls
    return only


# -- seeing ----------------------------------------------------------------------------------------------------------


def test_only_what_stands_behind_a_load_balancer_is_taken() -> None:
    """Without one, or named by half, there is nothing to read; a target's own list of remediations still decides."""
    assert CURE.takes(API)
    assert CURE.takes(replace(API, remediations=(CURE.name,)))
    assert not CURE.takes(replace(API, remediations=("ecs-service-stalled",)))
    for half in (replace(API, load_balancer=None), replace(API, target_group=None), Target(SERVICE, "orders")):
        assert not CURE.takes(half)
        assert CURE.watch(half) == ()
        assert isinstance(CURE.detect(half, seen(service(), points(1, 1, 1))), Unknown)
    assert CURE.watch(API) == (BAD, GOOD, read("ecs.service", SERVICE))
    assert CURE.examine(API) == CURE.watch(API)


@pytest.mark.parametrize(
    "bad, sick",
    [
        (points(1, 1, 1), True),
        (points(0, 0, 2, 1, 1), True),
        (points(1, 1, 0), False),
        (points(1, 0, 1), False),
        (points(0, 1, 1), False),
        (points(0, 0, 0), False),
        (points(1, 1, 1, ago=3), True),  # the newest minute is late
    ],
)
def test_a_task_is_bad_that_was_unhealthy_for_three_minutes_without_a_break(bad: Series, sick: bool) -> None:
    """One healthy minute in between begins the count anew."""
    found = CURE.detect(API, seen(service(), bad))
    assert isinstance(found, Sick if sick else Healthy)
    if isinstance(found, Sick):
        assert found.finding.severity is Severity.SEV3
        assert found.finding.symptom == FINDING.symptom
        assert [signal.value for signal in found.finding.signals] == [1.0, 1.0]


@pytest.mark.parametrize(
    "good, severity",
    [((0, 0), Severity.SEV1), ((1, 0), Severity.SEV3), ((0, 1), Severity.SEV3), ((1, 0, 0), Severity.SEV1)],
)
def test_without_a_healthy_task_for_two_minutes_it_is_critical(good: tuple[float, ...], severity: Severity) -> None:
    """Nobody is served, or everybody by tasks that are ill."""
    found = CURE.detect(API, seen(service(), points(2, 2, 2), points(*good)))
    assert isinstance(found, Sick)
    assert found.finding.severity is severity


@pytest.mark.parametrize(
    "readings, reason",
    [
        (seen(Unread("throttled"), points(1, 1, 1)), "throttled"),
        (seen(None, points(1, 1, 1)), "does not exist"),
        (seen(service(status="DRAINING"), points(1, 1, 1)), "DRAINING"),
        (seen({"status": "ACTIVE"}, points(1, 1, 1)), "did not say"),
        (seen(service(), Unread("no metric")), "no metric"),
        (seen(service(), points(1, 1, 1), Unread("no other metric")), "no other metric"),
        (seen(service(), Series()), "not reported"),
        (seen(service(), points(1, 1)), "not reported"),
        (seen(service(), points(0, 0)), "not reported"),
        (seen(service(), points(0, 0, 0, ago=5)), "not reported"),  # and nothing since
        (seen(service(), points(1, 1, 1), points(1)), "not reported"),
        (seen(service(), points(0, 0, 0), points(0, 0)), "the load balancer has none"),
        (Readings(NOW), "was not read"),
    ],
)
def test_what_cannot_be_seen_is_unknown(readings: Readings, reason: str) -> None:
    """A minute that nobody reported is neither healthy nor sick, and a load balancer without tasks is not well."""
    found = CURE.detect(API, readings)
    assert isinstance(found, Unknown)
    assert reason in found.reason


@pytest.mark.parametrize("bad", [Series(), points(2, 2, 2), Unread("no metric")])
def test_what_was_stopped_on_purpose_is_healthy_whatever_the_load_balancer_says(bad: Any) -> None:
    """Desired 0 is somebody's decision."""
    found = CURE.detect(API, seen(service(desiredCount=0, runningCount=0), bad))
    assert isinstance(found, Healthy)
    assert "stopped on purpose" in found.summary


_NUMBERS = st.none() | st.integers(-1, 5)
_POINTS = st.lists(st.tuples(st.integers(0, 12), st.floats(0, 5)), max_size=12).map(
    lambda found: Series(tuple(sorted((NOW - ago * MINUTE, value) for ago, value in found)))
)
_SERVICES = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(["ACTIVE", "DRAINING", None]),
        "desiredCount": _NUMBERS,
        "runningCount": _NUMBERS,
    },
)
_ANY = st.none() | st.builds(Unread, st.text()) | _POINTS | _SERVICES


@given(described=_ANY, bad=_ANY, good=_ANY)
def test_whatever_was_read_there_is_an_answer(described: Any, bad: Any, good: Any) -> None:
    """Total, for looking and for proving; and what looking does not find healthy, proving does not either."""
    readings = Readings(NOW, {read("ecs.service", SERVICE): described, BAD: bad, GOOD: good})
    found, proved = CURE.detect(API, readings), CURE.verify(API, FINDING, readings)
    assert isinstance(found, Healthy | Sick | Unknown)
    assert isinstance(found, Healthy) or proved == found


# -- diagnosis: which task -------------------------------------------------------------------------------------------


def test_one_bad_task_among_healthy_ones_is_found_by_its_address() -> None:
    """The diagnosis says which one it is and why, and which other causes it rejected."""
    found = diagnosed(one_bad())
    assert found.facts == {
        "service": str(SERVICE),
        "deployment": "ecs-svc/1",
        "task_definition": "td:7",
        "task": f"{TASKS}/1",
    }
    assert found.evidence == (
        FINDING.symptom,
        "1 of 2 tasks: Target.Timeout, does not answer in time",
        "deployment ecs-svc/1 is complete since 48 hours",
    )
    assert any("ecs-service-stalled goes first" in each.why_not for each in found.rejected)


def test_the_diagnosis_uses_no_more_than_it_declares_and_declares_no_more_than_it_uses() -> None:
    """A permission that nobody needs is one too many."""
    used = set()
    for there in (one_bad(), all_bad(), all_bad(tasks=(task(1, taskDefinitionArn="td:6"), task(2, containers=[])))):
        eyes = Eyes(there, EcsTargetsUnhealthy)
        CURE.diagnose(eyes, API, FINDING)
        used |= eyes.used
    assert used == set(CURE.reads)
    assert CURE.writes == ("ecs:StopTask", "ecs:UpdateService")


@pytest.mark.parametrize(
    "first, second, ages, worst",
    [
        (SLOW, REFUSES, (2, 1), 2),  # one that nobody reaches is worse than one that is slow
        (WRONG, SLOW, (2, 1), 2),
        (REFUSES, WRONG, (1, 2), 1),
        (SLOW, SLOW, (1, 2), 2),  # else the oldest
        (SLOW, SLOW, (1, 1), 1),
    ],
)
def test_of_several_bad_tasks_the_worst_goes_first(first: str, second: str, ages: tuple[int, int], worst: int) -> None:
    """One at a time, by its reason, then by its age."""
    tasks = (task(1, old=timedelta(days=ages[0])), task(2, old=timedelta(days=ages[1])), task(3))
    there = account(
        host(1, first), host(2, second), host(3), tasks=tasks, described=service(desiredCount=3, runningCount=3)
    )
    assert diagnosed(there).facts["task"] == f"{TASKS}/{worst}"


@pytest.mark.parametrize("reason", [REFUSES, SLOW, WRONG])
def test_the_load_balancers_reasons_are_told_apart(reason: str) -> None:
    """Refused, late, or answered wrongly: the report says which."""
    [line] = [each for each in diagnosed(account(host(1, reason), host(2))).evidence if reason in each]
    assert len(line) > len(f"1 of 2 tasks: {reason}, ")


@pytest.mark.parametrize("passing", [host(7, "Elb.RegistrationInProgress", "initial"), host(7, SLOW, "draining")])
def test_targets_on_their_way_in_or_out_are_nobodys_illness(passing: dict[str, Any]) -> None:
    """They are not counted, and a healthy target that is another service's is not either."""
    found = diagnosed(account(host(1, SLOW), host(2), passing, host(8)))
    assert found.facts["task"] == f"{TASKS}/1"
    assert "1 of 2 tasks: Target.Timeout, does not answer in time" in found.evidence


def test_a_task_that_fails_on_one_of_its_ports_is_bad() -> None:
    """Whichever of the two the load balancer names first."""
    for hosts in ((host(1), host(1, SLOW)), (host(1, SLOW), host(1))):
        assert diagnosed(account(*hosts, host(2))).facts["task"] == f"{TASKS}/1"


@pytest.mark.parametrize(
    "reason, state",
    [
        ("Target.NotInUse", "unused"),
        ("Target.IpUnusable", "unused"),
        ("Target.HealthCheckDisabled", "unavailable"),
        ("Elb.InternalError", "unhealthy"),
        ("Elb.InternalError", "unavailable"),
        ("", "unhealthy"),
    ],
)
def test_what_no_new_task_cures_is_a_persons(reason: str, state: str) -> None:
    """The load balancer, or how it is set up, is what is wrong."""
    said = refused(account(host(1, reason, state), host(2)))
    assert (said.guard, said.retry_after) == ("reason", None)
    assert state in said.reason


@pytest.mark.parametrize(
    "there",
    [
        account(host(1), host(7, SLOW)),  # its task has just stopped, or it is not this service's
        account(host(1, SLOW)),  # the other task is not registered yet
        account(host(1, SLOW), host(2, "Elb.InitialHealthChecking", "initial")),
        account(host(1, SLOW), host(2, "Target.DeregistrationInProgress", "draining")),
    ],
)
def test_while_targets_and_tasks_do_not_fit_together_nothing_is_stopped(there: Account) -> None:
    """ECS is at work: it is looked at again two minutes later."""
    said = refused(there)
    assert (said.guard, said.retry_after) == ("replacing", 2 * MINUTE)


@pytest.mark.parametrize(
    "tasks",
    [
        (task(1), task(2, attachments=[])),
        (task(1), task(2, attachments=[{"details": [{"name": "macAddress", "value": "m"}]}])),
        tuple(task(number) for number in range(1, 101)),
    ],
)
def test_where_no_task_can_be_told_by_its_address_nothing_is_stopped(tasks: tuple[dict[str, Any], ...]) -> None:
    """Tasks that share their host's address, or more than one answer holds: a person must."""
    said = refused(account(host(1, SLOW), host(2), tasks=tasks))
    assert (said.guard, said.retry_after) == ("tasks", None)


def test_a_task_that_is_only_starting_is_no_task_yet() -> None:
    """It is not well, and it is not ill."""
    assert diagnosed(one_bad(tasks=(task(1), task(2), task(3, lastStatus="PENDING")))).facts["task"] == f"{TASKS}/1"


# -- diagnosis: whose it is ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "described, guard, reason, later",
    [
        (service(status="DRAINING"), "state", "DRAINING", False),
        (service(desiredCount=0), "state", "stopped", False),
        (service(deploymentController={"type": "CODE_DEPLOY"}), "controller", "CODE_DEPLOY", False),
        (service(deployment={"rolloutState": "IN_PROGRESS"}), "mid-change", "IN_PROGRESS", True),
        (service(deployment={"rolloutState": "FAILED"}), "mid-change", "start the same again", False),
        (service(runningCount=1), "replacing", "1 of 2 tasks run: .* ecs-service-stalled goes first", True),
    ],
)
def test_what_somebody_stopped_or_changes_is_left_alone(described: Any, guard: str, reason: str, later: bool) -> None:
    """Also where ECS is starting tasks, or the stalled service is another remediation's."""
    for there in (one_bad(described=described), all_bad(described=described)):
        said = refused(there)
        assert said.guard == guard
        assert re.search(reason, said.reason)
        assert said.retry_after == (2 * MINUTE if later else None)


def onset(minutes: int, *, healthy: int = 10) -> list[float]:
    """A series: unhealthy since so many minutes, after some healthy ones."""
    return [0.0] * healthy + [1.0] * minutes


@pytest.mark.parametrize(
    "deployed, sick, reason",
    [
        (30, 10, "the release came first: it fell ill 19 minutes after a deployment"),
        (90, 80, "fell ill 9 minutes after"),
        (61, 10, "fell ill 50 minutes after"),
        (71, 10, ""),
        (70, 10, "fell ill 59 minutes after"),
        (600, 10, ""),
        (600, 550, "fell ill 49 minutes after"),
        (30, 60, "has been deployed since it fell ill"),
        (200, 300, "has been deployed since it fell ill"),
    ],
)
def test_a_failure_that_follows_a_deployment_is_the_deployments(deployed: int, sick: int, reason: str) -> None:
    """Within the hour before it began, or since: held, so that a person or a rollback comes first, however long ago."""
    described = service(deployment={"createdAt": NOW - deployed * MINUTE})
    there = one_bad(described=described, unhealthy=onset(sick))
    if not reason:
        assert diagnosed(there).facts
        return
    said = refused(there)
    assert (said.guard, said.retry_after, said.link) == ("cause", 5 * MINUTE, str(SERVICE))
    assert reason in said.reason


def test_an_earlier_failure_that_was_over_is_another_one() -> None:
    """What counts is when the one that lasts until now began: after an hour and more of health, and of a release."""
    described = service(deployment={"createdAt": NOW - 100 * MINUTE})
    series = [1.0] * 5 + [0.0] * 100 + [1.0] * 10
    assert diagnosed(one_bad(described=described, unhealthy=series)).facts


def test_how_long_a_deployment_is_suspect_is_a_setting() -> None:
    """A quarter of an hour at least."""
    there = one_bad(described=service(deployment={"createdAt": NOW - 40 * MINUTE}))
    assert refused(there).guard == "cause"
    assert diagnosed(there, EcsTargetsUnhealthy(suspect=timedelta(minutes=20))).facts


def test_a_deployment_without_a_date_may_be_the_cause() -> None:
    """What ECS does not say is unknown, and unknown does not act."""
    said = refused(one_bad(described=service(deployment={"createdAt": None})))
    assert (said.guard, said.reason) == ("cause", "ECS does not say when it was deployed")


@pytest.mark.parametrize(
    "there",
    [
        one_bad(unhealthy=onset(4)),
        one_bad(unhealthy=[*onset(9), 0.0]),
        one_bad(unhealthy=[*onset(7), 0.0, 1.0, 1.0]),
        one_bad(unhealthy=[]),
        account(host(1), host(2), unhealthy=onset(10)),  # well again, by the load balancer's last word
        account(host(1, SLOW), host(2, SLOW), host(3), tasks=(task(1), task(2), task(3)), unhealthy=onset(10)),
        one_bad(tasks=(task(1, old=timedelta(minutes=4)), task(2))),
        one_bad(tasks=(task(1, startedAt=None), task(2))),
        all_bad(tasks=(task(1, old=timedelta(minutes=4)), task(2))),
        one_bad(
            tasks=(task(1, old=timedelta(minutes=6)), task(2)), described=service(healthCheckGracePeriodSeconds=120)
        ),
    ],
)
def test_ecs_has_its_time_to_replace_a_task_by_itself(there: Account) -> None:
    """As many as are unhealthy now must have been so for five minutes, and have run for longer than their grace."""
    said = refused(there)
    assert (said.guard, said.retry_after) == ("replacing", MINUTE)


def test_after_five_minutes_and_its_grace_period_a_task_is_ours() -> None:
    """Exactly then."""
    assert diagnosed(one_bad(unhealthy=onset(5), tasks=(task(1, old=timedelta(minutes=5)), task(2)))).facts
    grace = service(healthCheckGracePeriodSeconds=120)
    assert diagnosed(one_bad(tasks=(task(1, old=timedelta(minutes=7)), task(2)), described=grace)).facts


@pytest.mark.parametrize(
    "error", [Denied("a", "AccessDenied"), Missing("a", "TargetGroupNotFound"), Unreadable("a", "Throttling")]
)
def test_what_cannot_be_read_is_no_diagnosis(error: Exception) -> None:
    """The engine tries again, or says what is missing; nothing is guessed."""
    with pytest.raises(type(error)):
        diagnosed(one_bad(fails={"elasticloadbalancing:DescribeTargetHealth": error}))
    with pytest.raises(Unreadable):
        diagnosed(one_bad(unhealthy=Unread("throttled")))


@pytest.mark.parametrize("half", [replace(API, load_balancer=None), replace(API, target_group=None)])
def test_without_its_load_balancer_there_is_no_diagnosis(half: Target) -> None:
    """The configuration may have changed since the incident began."""
    with pytest.raises(Refused, match="names no load balancer"):
        CURE.diagnose(Eyes(one_bad(), EcsTargetsUnhealthy), half, FINDING)


# -- diagnosis: all are bad ------------------------------------------------------------------------------------------


def test_where_all_are_bad_they_may_be_restarted_if_nothing_new_would_run() -> None:
    """No task is named, the images are compared, and the plan is the last one."""
    found = diagnosed(all_bad())
    assert found.facts == {"service": str(SERVICE), "deployment": "ecs-svc/1", "task_definition": "td:7"}
    assert found.evidence[1:] == (
        "2 of 2 tasks: Target.Timeout, does not answer in time",
        "deployment ecs-svc/1 is complete since 48 hours",
        f"{IMAGE} is what runs (aaaaaaaaaaaa)",
    )


def test_the_only_task_of_a_service_is_all_of_them() -> None:
    """It is not stopped: its successor must run first."""
    there = account(host(1, SLOW), tasks=(task(1),), described=service(desiredCount=1, runningCount=1))
    assert "task" not in diagnosed(there).facts


@pytest.mark.parametrize(
    "there, guard",
    [
        (all_bad(described=service(deploymentConfiguration={"minimumHealthyPercent": 0})), "rolling"),
        (all_bad(answers={"ecr:DescribeImages": {"imageDetails": [{"imageDigest": "sha256:b"}]}}), "image"),
    ],
)
def test_a_restart_is_refused_for_the_same_reasons_as_that_of_a_stalled_service(there: Account, guard: str) -> None:
    """It may not stop all tasks at once, nor ship new code. To stop one task asks neither."""
    said = refused(there)
    assert (said.guard, said.retry_after) == (guard, None)


def test_a_sidecar_that_the_configuration_trusts_may_change() -> None:
    """As for a stalled service."""
    there = all_bad(answers={"ecr:DescribeImages": {"imageDetails": [{"imageDigest": "sha256:b"}]}})
    assert diagnosed(there, EcsTargetsUnhealthy(trusted_images=(IMAGE,))).facts


# -- diagnosis: tasks that ended ---------------------------------------------------------------------------------------


EARLY = {"startedAt": NOW - timedelta(minutes=10), "stoppingAt": NOW - timedelta(minutes=8)}
ELB = "Task failed ELB health checks in (target-group arn:x)"


@pytest.mark.parametrize(
    "ended, line",
    [
        (stopped("CannotPullContainerError: denied", stopCode="TaskFailedToStart"), "never started"),
        (stopped("ResourceInitializationError: secrets"), "never started"),
        (stopped("x", containers=[{"reason": "CannotPullContainerError: y"}]), "never started"),
        (stopped(containers=[{"reason": "OutOfMemoryError: killed", "exitCode": 137}]), "out of memory"),
        (stopped(containers=[{"exitCode": 137}], stopCode="ServiceSchedulerInitiated"), "does not mean memory"),
        (stopped("OutOfMemory, says a person", stopCode="UserInitiated"), ""),
        (stopped(stopCode="SpotInterruption"), "taken away by AWS"),
        (stopped(stopCode="TerminationNotice"), "taken away by AWS"),
        (stopped(ELB), "failed the load balancer's health checks"),
        (stopped(ELB, **EARLY), "grace period"),
        (stopped(ELB, **{**EARLY, "stoppingAt": NOW}), "failed the load balancer's health checks"),
        (stopped(ELB, startedAt=NOW), "failed the load balancer's health checks"),
        (stopped(stopCode="EssentialContainerExited", containers=[{"exitCode": 1}]), "ended by itself"),
        (stopped("Scaling activity", stopCode="ServiceSchedulerInitiated", containers=[{"exitCode": 0}]), ""),
    ],
)
def test_why_tasks_ended_is_evidence(ended: dict[str, Any], line: str) -> None:
    """In our words, counted, and none of the texts that others may have written."""
    evidence = diagnosed(one_bad(ended=(ended,))).evidence[3:]
    assert len(evidence) == bool(line)
    assert all(each.startswith("1 stopped task: ") and line in each for each in evidence)


def test_ends_of_one_kind_are_one_line() -> None:
    """With how many there were."""
    ended = tuple(stopped(ELB, taskArn=f"{TASKS}/{number}") for number in (7, 8))
    assert diagnosed(one_bad(ended=ended)).evidence[3].startswith("2 stopped tasks: replaced by ECS")


def test_a_longer_grace_period_explains_a_later_end() -> None:
    """Four minutes after its start, with a grace of three."""
    ended = stopped(ELB, startedAt=NOW - timedelta(minutes=9), stoppingAt=NOW - timedelta(minutes=5))
    assert "grace" not in diagnosed(one_bad(ended=(ended,))).evidence[3]
    there = one_bad(ended=(ended,), described=service(healthCheckGracePeriodSeconds=180))
    assert "grace" in diagnosed(there).evidence[3]


def event(message: str = "(service worker) is unable to consistently start tasks successfully.", **other: Any) -> Any:
    """An event of the service."""
    return {"message": message, "createdAt": NOW - MINUTE} | other


@pytest.mark.parametrize(
    "said, evident",
    [
        (event(), True),
        (event("(service worker) has reached a steady state."), False),
        (event(createdAt=NOW - timedelta(days=3)), False),  # of the deployment before
        (event(createdAt=None), False),
    ],
)
def test_that_ecs_waits_before_it_starts_tasks_is_evidence(said: Any, evident: bool) -> None:
    """Since the deployment that runs: another one clears it."""
    found = diagnosed(one_bad(described=service(events=[said]))).evidence
    assert any("unable to consistently start" in each for each in found) is evident


@pytest.mark.parametrize(
    "there",
    [
        one_bad(described=service(runningCount=1), ended=(stopped("CannotPullContainerError: denied"),)),
        one_bad(described=service(runningCount=1, events=[event()])),
    ],
)
def test_where_tasks_cannot_be_started_none_is_stopped_and_a_person_is_told(there: Account) -> None:
    """One fewer would be worse, and waiting does not help."""
    said = refused(there)
    assert (said.guard, said.retry_after) == ("startup", None)
    assert "1 of 2 tasks run, and more cannot be started" in said.reason


# -- the plans -------------------------------------------------------------------------------------------------------


def test_the_plan_for_one_bad_task_is_to_stop_that_one() -> None:
    """One call on one task; where it does not help, there may be another."""
    plan = planned(one_bad())
    [step] = plan.steps
    assert [(each.action, each.resource, dict(each.params), each.free, each.times) for each in step.calls] == [
        ("ecs:StopTask", f"{TASKS}/1", {"cluster": "prod", "task": f"{TASKS}/1", "reason": REASON}, (), 1)
    ]
    assert (step.undo, plan.final) == ((), False)


def test_the_plan_for_all_bad_is_one_restart_and_nothing_after_it() -> None:
    """The call that a stalled service gets."""
    plan = planned(all_bad())
    [step] = plan.steps
    assert [(each.action, each.resource, dict(each.params), each.free, each.times) for each in step.calls] == [
        (
            "ecs:UpdateService",
            str(SERVICE),
            {"cluster": "prod", "service": "worker", "forceNewDeployment": True},
            (),
            1,
        )
    ]
    assert (step.undo, plan.final) == ((), True)


def test_equal_worlds_give_equal_plans() -> None:
    """Another minute, another reason: the same task. Another task is another plan."""
    later = account(host(1, WRONG), host(2), now=NOW + MINUTE)
    assert planned(later).hash == planned(one_bad()).hash
    assert planned(account(host(1), host(2, SLOW))).hash != planned(one_bad()).hash


def test_each_plan_is_made_once_and_the_report_shows_what_is_there_now() -> None:
    """By default a step's calls are made as they stand."""
    for there, answer, after in (
        (one_bad(), {"task": {"desiredStatus": "STOPPED"}}, {"desired_status": "STOPPED"}),
        (one_bad(), {}, {"desired_status": None}),
        (
            all_bad(),
            {"service": service(deployment={"id": "ecs-svc/2"})},
            {"deployment": "ecs-svc/2", "task_definition": "td:7"},
        ),
    ):
        plan = planned(there)
        CURE.apply(Hand(there, plan.steps[0]), plan, plan.steps[0])
        assert there.calls == [plan.calls[0].operation]
        assert CURE.effect(plan.calls[0], answer) == after
        assert after.keys() == plan.calls[0].before.keys()


OURS = stopped(REASON, taskArn=f"{TASKS}/1")


@pytest.mark.parametrize(
    "described, later, outcome",
    [
        (OURS, 0, Outcome.DONE),
        (OURS | {"lastStatus": "DEACTIVATING"}, 0, Outcome.DONE),
        (OURS | {"lastStatus": "RUNNING"}, 0, Outcome.DONE),
        (OURS | {"stoppedReason": "it hangs, says a colleague"}, 90, Outcome.UNKNOWN),
        (None, 90, Outcome.UNKNOWN),
        (task(1), 59, Outcome.UNKNOWN),
        (task(1), 60, Outcome.NOT_DONE),
    ],
)
def test_what_became_of_a_stop_is_found_by_looking(
    described: dict[str, Any] | None, later: int, outcome: Outcome
) -> None:
    """Stopped for our reason is ours; what runs a minute later was not stopped; anything else nobody can tell."""
    there = account(tasks=(described,) if described else (), now=NOW + timedelta(seconds=later))
    assert CURE.reconcile(Eyes(there, EcsTargetsUnhealthy), call(one_bad()), NOW) is outcome


NEW = {"id": "ecs-svc/2", "createdAt": NOW}


@pytest.mark.parametrize("deployment, outcome", [(NEW, Outcome.DONE), ({}, Outcome.NOT_DONE)])
def test_what_became_of_a_restart_is_found_by_looking(deployment: dict[str, Any], outcome: Outcome) -> None:
    """As for a stalled service."""
    there = all_bad(described=service(deployment=deployment), now=NOW + 2 * MINUTE)
    assert CURE.reconcile(Eyes(there, EcsTargetsUnhealthy), call(all_bad()), NOW) is outcome


# -- how it goes -----------------------------------------------------------------------------------------------------


def went(before: Account, after: Account) -> tuple[Progress, str]:
    """How the step goes that was planned before."""
    plan = planned(before)
    progress, why, ledger = CURE.progress(Eyes(after, EcsTargetsUnhealthy), plan, plan.steps[0], {})
    assert ledger is None
    return progress, why


STOPPING = OURS | {"lastStatus": "DEACTIVATING", "stoppingAt": NOW}


@pytest.mark.parametrize(
    "described, minutes, progress, why",
    [
        (OURS, 1, Progress.NEXT, "has stopped"),
        (None, 1, Progress.NEXT, "has stopped"),
        (task(1), 1, Progress.STOP, "was not stopped"),
        (STOPPING, 19, Progress.WAIT, "DEACTIVATING"),
        (STOPPING, 20, Progress.STOP, "after 20 minutes the task is still DEACTIVATING"),
        (STOPPING | {"stoppingAt": None}, 60, Progress.WAIT, "DEACTIVATING"),
    ],
)
def test_a_stop_is_over_when_the_task_has_stopped(
    described: dict[str, Any] | None, minutes: int, progress: Progress, why: str
) -> None:
    """Draining takes minutes, but not for ever."""
    after = account(tasks=(described,) if described else (), now=NOW + minutes * MINUTE)
    found, said = went(one_bad(), after)
    assert found is progress
    assert why in said


@pytest.mark.parametrize(
    "deployment, progress",
    [
        (NEW, Progress.NEXT),
        ({**NEW, "rolloutState": "IN_PROGRESS"}, Progress.WAIT),
        ({}, Progress.STOP),
        ({**NEW, "rolloutState": "IN_PROGRESS", "createdAt": NOW - timedelta(minutes=20)}, Progress.STOP),
    ],
)
def test_a_restart_is_over_when_the_new_tasks_run(deployment: dict[str, Any], progress: Progress) -> None:
    """As for a stalled service, within the time that a rollout may take."""
    assert went(all_bad(), all_bad(described=service(deployment=deployment)))[0] is progress


WELL = (0.0,) * 5


@pytest.mark.parametrize(
    "readings, kind",
    [
        (seen(service(), points(*WELL)), Healthy),
        (seen(service(), points(1, *WELL)), Healthy),
        (seen(service(), points(1, *WELL[:4])), Unknown),
        (seen(service(), points(0, 0, 1, 0, 0)), Unknown),
        (seen(service(), points(*WELL[:4])), Unknown),
        (seen(service(runningCount=1), points(*WELL)), Unknown),
        (seen(service(deployment={"rolloutState": "IN_PROGRESS"}), points(*WELL)), Unknown),
        (seen(service(deployment={"failedTasks": 1}), points(*WELL)), Unknown),
        (seen(service(), points(*WELL), points(0, 0)), Unknown),
        (seen(service(), points(1, 1, 1, 1, 1)), Sick),
        (seen(service(), Unread("throttled")), Unknown),
        (seen(service(desiredCount=0, runningCount=0), Series()), Healthy),
    ],
)
def test_five_minutes_without_an_unhealthy_task_are_a_cure(readings: Readings, kind: type[Observation]) -> None:
    """Every task, every minute, and no rollout that is unfinished."""
    assert isinstance(CURE.verify(API, FINDING, readings), kind)


# -- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"unhealthy_for": MINUTE},
        {"stuck_for": MINUTE},
        {"well_for": MINUTE},
        {"suspect": timedelta(minutes=14)},
        {"rollout": MINUTE},
        {"max_attempts": 4},
        {"stop_all": True},
    ],
)
def test_a_setting_out_of_bounds_is_refused_where_it_is_written(settings: dict[str, Any]) -> None:
    """Before anything is deployed."""
    with pytest.raises(ValidationError):
        EcsTargetsUnhealthy(**settings)


def test_how_long_is_long_is_a_setting() -> None:
    """What is read covers it, with the minutes that may be late."""
    cure = EcsTargetsUnhealthy(unhealthy_for=timedelta(minutes=10))
    assert {query.minutes for query in cure.watch(API) if isinstance(query, MetricQuery)} == {13}
