"""A bad release: told from what was sick before, rolled back only to what had proved itself, and never twice."""

from __future__ import annotations

from collections.abc import Mapping
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
from nightshift.remediations.ecs_deployment_bad import EcsDeploymentBad
from nightshift.signals import group_metric, queue_metric
from pydantic import ValidationError

from tests.nightshift.remediations.account import NOW, SERVICE, SOURCE, Account, Eyes, read, service

CURE = EcsDeploymentBad()
BALANCER = Arn.parse("arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/api/50dc")
GROUP = Arn.parse("arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/api/6d0e")
ROLE = Arn.parse("arn:aws:iam::123456789012:role/api-execution")
PLAIN = Target(SERVICE, "shop", roles=(ROLE,))
API = replace(PLAIN, load_balancer=BALANCER, target_group=GROUP)
WORKER = replace(PLAIN, queue=SOURCE)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
FINDING = Finding(CURE.name, str(SERVICE), "40 % of 900 requests failed")
BEGAN = NOW - 20 * MINUTE
DEPLOYMENT = "arn:aws:ecs:eu-central-1:123456789012:service-deployment/prod/worker/"
GOOD_TD, BAD_TD = (f"arn:aws:ecs:eu-central-1:123456789012:task-definition/worker:{number}" for number in (7, 9))
IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/team/worker"
GOOD, BAD = "sha256:" + "a" * 64, "sha256:" + "b" * 64
WINDOW = 90


def metric(target: Target, name: str) -> MetricQuery:
    """One of the metrics that it watches."""
    if target.queue is not None:
        return queue_metric(target.queue, name, "Minimum" if "Visible" in name else "Sum", WINDOW)
    return group_metric(BALANCER, GROUP, name, "Minimum" if name == "UnHealthyHostCount" else "Sum", WINDOW)


def deployed(began: datetime | None = BEGAN, **other: Any) -> dict[str, Any]:
    """A service with one deployment, of twenty minutes ago."""
    deployment = {"createdAt": began, "taskDefinition": BAD_TD} | other.pop("deployment", {})
    return service(deployment=deployment, taskDefinition=BAD_TD, **other)


def series(before: float | None, after: float | None, *, began: datetime = BEGAN) -> Series:
    """A metric that is one value in every minute before a moment, and another one since. None: not reported."""
    start = NOW - WINDOW * MINUTE
    points = [(start + n * MINUTE, before if start + n * MINUTE < began else after) for n in range(WINDOW - 1)]
    return Series(tuple((at, value) for at, value in points if value is not None))


def seen(target: Target, described: Any, **metrics: Any) -> Readings:
    """What a look read: everything is quiet that is not said to be otherwise."""
    quiet = {"RequestCount": (60.0, 60.0), "HTTPCode_Target_5XX_Count": (None, None), "UnHealthyHostCount": (0.0, 0.0)}
    flow = {"ApproximateNumberOfMessagesVisible": (3.0, 3.0), "NumberOfMessagesDeleted": (9.0, 9.0)}
    names = quiet if target.load_balancer else flow if target.queue else {}
    answers: dict[Query, Any] = {read("ecs.service", SERVICE): described}
    for name, usual in names.items():
        value = metrics.get(name, usual)
        answers[metric(target, name)] = series(*value) if isinstance(value, tuple) else value
    return Readings(NOW, answers)


def sick(target: Target, described: Any, **metrics: Any) -> Finding:
    """The finding of a look."""
    found = CURE.detect(target, seen(target, described, **metrics))
    assert isinstance(found, Sick), found
    return found.finding


# -- seeing ----------------------------------------------------------------------------------------------------------


def test_what_is_read_depends_on_how_the_service_serves() -> None:
    """Requests of its target group, the flow of its queue, and nothing of what it does not have."""
    assert CURE.watch(PLAIN) == (read("ecs.service", SERVICE),)
    assert [query.metric for query in CURE.watch(API)[1:] if isinstance(query, MetricQuery)] == [
        "RequestCount",
        "HTTPCode_Target_5XX_Count",
        "UnHealthyHostCount",
    ]
    assert [query.metric for query in CURE.watch(WORKER)[1:] if isinstance(query, MetricQuery)] == [
        "ApproximateNumberOfMessagesVisible",
        "NumberOfMessagesDeleted",
    ]
    assert CURE.takes(API)


@pytest.mark.parametrize(
    "deployment, says, severity",
    [
        ({"rolloutState": "FAILED"}, "has failed, and ECS has left it so", Severity.SEV2),
        (
            {"rolloutState": "IN_PROGRESS", "failedTasks": 3},
            "3 tasks of the deployment of 02:40 UTC failed",
            Severity.SEV2,
        ),
        (
            {"rolloutState": "IN_PROGRESS", "createdAt": NOW - 21 * MINUTE},
            "not complete after 21 minutes",
            Severity.SEV2,
        ),
    ],
)
def test_what_ecs_says_of_a_deployment_is_enough(deployment: dict[str, Any], says: str, severity: Severity) -> None:
    """However it serves: a deployment that failed, fails, or does not get on."""
    for target in (PLAIN, API, WORKER):
        found = sick(target, deployed(deployment=deployment))
        assert says in found.symptom
        assert found.severity is severity


def test_nothing_running_is_worse() -> None:
    """SEV1 where not one task runs."""
    found = sick(PLAIN, deployed(deployment={"rolloutState": "FAILED"}, runningCount=0))
    assert found.severity is Severity.SEV1


@pytest.mark.parametrize(
    "target, metrics, says",
    [
        (API, {"HTTPCode_Target_5XX_Count": (None, 24.0)}, "40 % of 600 requests failed (0 % before)"),
        (API, {"UnHealthyHostCount": (0.0, 1.0)}, "1 target unhealthy"),
        (API, {"UnHealthyHostCount": (0.0, 2.0)}, "2 targets unhealthy"),
        (WORKER, {"NumberOfMessagesDeleted": (9.0, 0.0)}, "nothing is finished while messages wait, for 15 minutes"),
    ],
)
def test_what_became_worse_since_a_deployment_is_blamed_on_it(
    target: Target, metrics: dict[str, Any], says: str
) -> None:
    """Well before, sick since: with the numbers of both."""
    found = sick(target, deployed(), **metrics)
    assert found.symptom.startswith("since the deployment of 02:40 UTC ")
    assert says in found.symptom
    assert found.signals


AT_FIRST = Series(tuple((BEGAN + n * MINUTE, 60.0) for n in range(2, 14)))
JUST_NOW = Series(tuple((NOW - n * MINUTE, 60.0) for n in (4, 3, 2)))


@pytest.mark.parametrize(
    "target, metrics",
    [
        (API, {}),
        (API, {"HTTPCode_Target_5XX_Count": (24.0, 24.0)}),  # it failed before
        (API, {"HTTPCode_Target_5XX_Count": (None, 2.0)}),  # 3 per cent
        (API, {"RequestCount": (2.0, 2.0), "HTTPCode_Target_5XX_Count": (None, 2.0)}),  # too few to tell
        (API, {"RequestCount": (None, None)}),
        (API, {"UnHealthyHostCount": (1.0, 1.0)}),
        (API, {"UnHealthyHostCount": (None, 1.0)}),  # nobody knows how it was before
        (API, {"RequestCount": (None, 60.0), "HTTPCode_Target_5XX_Count": (None, 24.0)}),
        (API, {"RequestCount": (0.5, 60.0), "HTTPCode_Target_5XX_Count": (None, 24.0)}),  # too few before to tell
        (API, {"HTTPCode_Target_5XX_Count": AT_FIRST}),  # it failed at first, and is well by now
        (API, {"HTTPCode_Target_5XX_Count": JUST_NOW}),  # it has just begun to fail
        (WORKER, {}),
        (WORKER, {"NumberOfMessagesDeleted": (0.0, 0.0)}),  # it finished nothing before either
        (WORKER, {"NumberOfMessagesDeleted": (9.0, 0.0), "ApproximateNumberOfMessagesVisible": (3.0, 0.0)}),
        (PLAIN, {}),
    ],
)
def test_what_is_well_or_was_sick_before_is_not_the_releases_doing(target: Target, metrics: dict[str, Any]) -> None:
    """Another cause, or none."""
    found = CURE.detect(target, seen(target, deployed(), **metrics))
    assert isinstance(found, Healthy)
    assert "nothing has become worse" in found.summary


@pytest.mark.parametrize("minutes_after", [16, 30, 59])
def test_how_it_was_before_does_not_depend_on_when_it_is_asked(minutes_after: int) -> None:
    """The half hour before a deployment says how it was then, and does not slide out of sight with time."""

    def finished(first: int, last: int) -> Series:
        began = NOW - minutes_after * MINUTE
        points = [(NOW - n * MINUTE, 0.0) for n in range(WINDOW, 0, -1)]
        return Series(
            tuple((at, 9.0 if began - first * MINUTE <= at < began - last * MINUTE else value) for at, value in points)
        )

    def found(**metrics: Any) -> Observation:
        return CURE.detect(WORKER, seen(WORKER, deployed(NOW - minutes_after * MINUTE), **metrics))

    assert isinstance(found(NumberOfMessagesDeleted=finished(30, 29)), Sick)
    assert isinstance(found(NumberOfMessagesDeleted=finished(45, 31)), Healthy)


def test_what_is_sick_does_not_recover_by_the_hour() -> None:
    """An hour after a deployment that is no longer suspected; but nobody is told that what is still sick has healed."""
    quiet = {"NumberOfMessagesDeleted": (0.0, 0.0)}
    old = deployed(NOW - 61 * MINUTE)
    assert isinstance(CURE.detect(WORKER, seen(WORKER, old, **quiet)), Healthy)
    assert isinstance(CURE.recovered(WORKER, FINDING, seen(WORKER, old, **quiet)), Sick)
    assert isinstance(CURE.recovered(WORKER, FINDING, seen(WORKER, old)), Healthy)
    blind = CURE.recovered(WORKER, FINDING, seen(WORKER, old, NumberOfMessagesDeleted=Unread("no")))
    assert isinstance(blind, Unknown)


def test_what_goes_wrong_long_after_is_not_the_releases_doing() -> None:
    """An hour is suspicious; more is not."""
    bad = {"HTTPCode_Target_5XX_Count": (None, 24.0)}
    found = CURE.detect(API, seen(API, deployed(NOW - 61 * MINUTE), **bad))
    assert isinstance(found, Healthy)
    assert found.summary == "deployed 1 hours ago"


def test_right_after_a_deployment_nothing_can_be_said() -> None:
    """Fifteen minutes without anything finished must all lie after it, and three with an unhealthy target."""
    young = NOW - 5 * MINUTE
    quiet = {"NumberOfMessagesDeleted": series(9.0, 0.0, began=young)}
    assert isinstance(CURE.detect(WORKER, seen(WORKER, deployed(young), **quiet)), Healthy)
    soon = NOW - 4 * MINUTE
    hosts = {"UnHealthyHostCount": series(0.0, 1.0, began=soon)}
    assert isinstance(CURE.detect(API, seen(API, deployed(soon), **hosts)), Healthy)


def test_what_was_deployed_since_is_no_recovery_before_it_could_fail() -> None:
    """A release upon the bad one: unknown while too young to tell, well if it serves, and sick where it does not."""
    young, quiet = NOW - 5 * MINUTE, {"NumberOfMessagesDeleted": (0.0, 0.0)}
    found = CURE.recovered(WORKER, FINDING, seen(WORKER, deployed(young), **quiet))
    assert isinstance(found, Unknown)
    assert "too lately to tell" in found.reason
    assert isinstance(CURE.recovered(WORKER, FINDING, seen(WORKER, deployed(young))), Healthy)
    older = NOW - CURE.stalled_for - 5 * MINUTE
    assert isinstance(CURE.recovered(WORKER, FINDING, seen(WORKER, deployed(older), **quiet)), Sick)
    idle = {"NumberOfMessagesDeleted": (0.0, 0.0), "ApproximateNumberOfMessagesVisible": (0.0, 0.0)}
    assert isinstance(CURE.recovered(WORKER, FINDING, seen(WORKER, deployed(older), **idle)), Healthy)
    assert isinstance(CURE.recovered(WORKER, FINDING, seen(WORKER, deployed(desiredCount=0))), Healthy)
    failed = deployed(young, deployment={"rolloutState": "FAILED"})
    assert isinstance(CURE.recovered(WORKER, FINDING, seen(WORKER, failed)), Sick)


def test_a_rollout_that_gets_on_is_left_alone() -> None:
    """Under way, nothing failed, not late: no finding."""
    under_way = {"rolloutState": "IN_PROGRESS", "failedTasks": 2}
    assert isinstance(CURE.detect(API, seen(API, deployed(deployment=under_way))), Healthy)


def test_a_stop_on_purpose_is_health() -> None:
    """Desired count 0."""
    found = CURE.detect(API, seen(API, deployed(desiredCount=0, deployment={"rolloutState": "FAILED"})))
    assert isinstance(found, Healthy)
    assert "stopped on purpose" in found.summary


@pytest.mark.parametrize(
    "described",
    [
        Unread("throttled"),
        None,
        deployed(status="DRAINING"),
        deployed(desiredCount="2"),
        deployed(deployment={"createdAt": None}),
        deployed(deployment={"createdAt": NOW.replace(tzinfo=None)}),
        deployed(deployments="none"),
        deployed(deployments=[]),
    ],
)
def test_what_is_not_said_is_unknown(described: Any) -> None:
    """No guess is made."""
    assert isinstance(CURE.detect(API, seen(API, described)), Unknown)
    assert isinstance(CURE.verify(API, FINDING, seen(API, described)), Unknown)


@pytest.mark.parametrize("target, name", [(API, "RequestCount"), (WORKER, "NumberOfMessagesDeleted")])
def test_a_metric_that_cannot_be_read_is_unknown(target: Target, name: str) -> None:
    """Neither well nor sick, before and after."""
    look = seen(target, deployed(), **{name: Unread("throttled")})
    assert CURE.detect(target, look) == Unknown("throttled")
    assert CURE.verify(target, FINDING, look) == Unknown("throttled")


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just(NOW),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = ("status", "desiredCount", "runningCount", "deployments")


@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, JUNK)),
    st.fixed_dictionaries(
        {"status": st.just("PRIMARY")}, optional=dict.fromkeys(("createdAt", "rolloutState", "failedTasks"), JUNK)
    ),
)
def test_detection_is_total(described: dict[str, Any], deployment: dict[str, Any]) -> None:
    """Whatever ECS says, a look ends in one of three values."""
    for said in (described, {"status": "ACTIVE", "desiredCount": 2, "deployments": [deployment]} | described):
        look = seen(API, said)
        assert isinstance(CURE.detect(API, look), Healthy | Sick | Unknown)


# -- diagnosis -------------------------------------------------------------------------------------------------------


def release(
    number: int,
    definition: str,
    digest: str,
    *,
    ago: timedelta,
    status: str = "SUCCESSFUL",
    took: timedelta = 3 * MINUTE,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A service deployment and its revision, as ECS lists them."""
    began = NOW - ago
    over = {} if status in {"PENDING", "IN_PROGRESS"} else {"finishedAt": began + 3 * MINUTE}
    deployment = {
        "serviceDeploymentArn": f"{DEPLOYMENT}{number}",
        "targetServiceRevisionArn": f"r{number}",
        "status": status,
        "createdAt": began,
        **over,
    }
    tag = definition.rpartition(":")[2]
    images = [{"containerName": "app", "image": f"{IMAGE}:v{tag}", "imageDigest": digest}]
    return deployment, {"serviceRevisionArn": f"r{number}", "taskDefinition": definition, "containerImages": images}


BAD_RELEASE = release(9, BAD_TD, BAD, ago=20 * MINUTE)
FAILED_RELEASE = release(8, GOOD_TD.replace(":7", ":8"), "sha256:" + "d" * 64, ago=30 * MINUTE, status="STOPPED")
GOOD_RELEASE = release(7, GOOD_TD, GOOD, ago=48 * HOUR)


def account(*releases: tuple[dict[str, Any], dict[str, Any]], described: Any = None, **answers: Any) -> Account:
    """An account with that history, oldest last."""
    listed = releases or (BAD_RELEASE, GOOD_RELEASE)
    known = {
        "ecs:ListServiceDeployments": {"serviceDeployments": [each for each, _ in listed]},
        "ecs:DescribeServiceRevisions": {"serviceRevisions": [each for _, each in listed]},
        "ecs:DescribeTaskDefinition": {"taskDefinition": {"status": "ACTIVE", "executionRoleArn": str(ROLE)}},
        "ecr:DescribeImages": {"imageDetails": [{"imageDigest": GOOD}]},
    }
    return Account(answers=known | answers, services={SERVICE: described or deployed()})


def diagnosed(there: Account, target: Target = API) -> Diagnosis:
    """The diagnosis of an account."""
    return CURE.diagnose(Eyes(there, EcsDeploymentBad), target, FINDING)


def refused(there: Account, target: Target = API) -> Refused:
    """What the diagnosis says no to."""
    with pytest.raises(Refused) as caught:
        diagnosed(there, target)
    return caught.value


@pytest.mark.corrects("task-definition-latest")
def test_the_newest_release_that_ran_well_is_what_is_gone_back_to() -> None:
    """By what was deployed, not by what was registered; restarts of it count as it."""
    restart = release(8, GOOD_TD, GOOD, ago=30 * MINUTE)
    older = release(5, GOOD_TD.replace(":7", ":5"), "sha256:" + "c" * 64, ago=99 * HOUR)
    for history in (
        (BAD_RELEASE, GOOD_RELEASE),
        (BAD_RELEASE, restart, GOOD_RELEASE, older),
        (GOOD_RELEASE, BAD_RELEASE),
    ):
        found = diagnosed(account(*history))
        assert found.facts["back_to"] == GOOD_TD
        assert found.facts["task_definition"] == BAD_TD
        assert found.facts["roles"] == [str(ROLE)]
        assert "service_deployment" not in found.facts
        assert "worker:7 had run for 47 hours" in " ".join(found.evidence)
        assert "worker:7 -> worker:9, images aaaaaaaaaaaa -> bbbbbbbbbbbb" in " ".join(found.evidence)


def test_a_deployment_that_failed_and_was_left_is_gone_back_from() -> None:
    """Stopped by a circuit breaker that does not roll back."""
    found = diagnosed(account(release(9, BAD_TD, BAD, ago=20 * MINUTE, status="STOPPED"), GOOD_RELEASE))
    assert found.facts["back_to"] == GOOD_TD
    assert "the deployment is STOPPED" in found.rejected[1].why_not


UNDER_WAY = release(9, BAD_TD, BAD, ago=20 * MINUTE, status="IN_PROGRESS")


def test_a_deployment_under_way_is_ended_by_ecs_itself() -> None:
    """Then images and roles are ECS's business: it knows what ran. Also where task definitions are the same."""
    same = release(9, GOOD_TD, BAD, ago=20 * MINUTE, status="PENDING")
    for newest in (UNDER_WAY, same):
        found = diagnosed(account(newest, GOOD_RELEASE), replace(API, roles=()))
        assert found.facts["service_deployment"] == f"{DEPLOYMENT}9"
        assert "it has no circuit breaker" in found.rejected[1].why_not


def test_a_circuit_breaker_that_only_stops_does_not_keep_us() -> None:
    """It would not roll back."""
    rules = {"deploymentCircuitBreaker": {"enable": True, "rollback": False}}
    found = diagnosed(account(UNDER_WAY, GOOD_RELEASE, described=deployed(deploymentConfiguration=rules)))
    assert "only stops" in found.rejected[1].why_not


@pytest.mark.parametrize("name", ["deploymentCircuitBreaker", "alarms"])
def test_what_ecs_would_roll_back_itself_is_left_to_it(name: str) -> None:
    """Asked again in two minutes: it may not come to it."""
    described = deployed(deploymentConfiguration={name: {"enable": True, "rollback": True}})
    no = refused(account(UNDER_WAY, GOOD_RELEASE, described=described))
    assert (no.guard, no.retry_after) == ("circuit-breaker", 2 * MINUTE)
    assert diagnosed(account(described=described)).facts["back_to"] == GOOD_TD  # it watches no more


@pytest.mark.parametrize(
    "described, guard",
    [
        (deployed(status="INACTIVE"), "state"),
        (deployed(desiredCount=0), "state"),
        (deployed(deploymentController={"type": "CODE_DEPLOY"}), "controller"),
    ],
)
def test_services_that_are_not_ours_to_roll_back(described: Any, guard: str) -> None:
    """For good."""
    no = refused(account(described=described))
    assert (no.guard, no.retry_after) == (guard, None)


@pytest.mark.parametrize(
    "status, guard, later",
    [
        ("ROLLBACK_REQUESTED", "rollback", True),
        ("ROLLBACK_IN_PROGRESS", "rollback", True),
        ("STOP_REQUESTED", "rollback", True),
        ("ROLLBACK_SUCCESSFUL", "rollback", False),
        ("ROLLBACK_FAILED", "rollback", False),
    ],
)
def test_what_is_going_back_or_has_gone_back_is_left(status: str, guard: str, later: bool) -> None:
    """By ECS or by somebody: nobody goes back twice."""
    no = refused(account(release(9, BAD_TD, BAD, ago=20 * MINUTE, status=status), GOOD_RELEASE))
    assert (no.guard, no.retry_after is not None) == (guard, later)


@pytest.mark.parametrize(
    "releases, guard, says",
    [
        ((BAD_RELEASE,), "history", "no deployment before"),
        ((BAD_RELEASE, FAILED_RELEASE), "history", "no release before it had succeeded"),
        ((BAD_RELEASE, release(7, GOOD_TD, GOOD, ago=70 * MINUTE)), "history", "for 47 minutes only"),
        ((BAD_RELEASE, release(9, BAD_TD, BAD, ago=50 * HOUR)), "release", "a restart"),
        ((BAD_RELEASE, GOOD_RELEASE, release(6, BAD_TD, BAD, ago=90 * HOUR)), "rollback", "itself a way back"),
        ((release(9, GOOD_TD, BAD, ago=20 * MINUTE), GOOD_RELEASE), "image", "push the good image again (aaaa"),
        ((UNDER_WAY, FAILED_RELEASE, GOOD_RELEASE), "history", "which had not succeeded either"),
    ],
)
def test_there_must_be_something_good_to_go_back_to(releases: Any, guard: str, says: str) -> None:
    """Refused for good, with the reason."""
    no = refused(account(*releases))
    assert (no.guard, no.retry_after) == (guard, None)
    assert says in no.reason


@pytest.mark.parametrize("newest", [UNDER_WAY, BAD_RELEASE])
def test_what_was_rolled_back_before_it_is_no_release_to_go_back_to(newest: Any) -> None:
    """ECS went back from it within the same service deployment: what had run before it has run again since."""
    rolled_back = release(8, GOOD_TD.replace(":7", ":8"), "sha256:" + "d" * 64, ago=47 * HOUR + 40 * MINUTE)
    rolled_back[0]["status"] = "ROLLBACK_SUCCESSFUL"
    diagnosis = diagnosed(account(newest, rolled_back, GOOD_RELEASE))
    assert diagnosis.facts["back_to"] == GOOD_TD


def test_a_release_of_which_ecs_does_not_say_when_it_was_complete_proves_nothing() -> None:
    """Zero minutes."""
    deployment, revision = GOOD_RELEASE
    no = refused(account(BAD_RELEASE, ({**deployment, "finishedAt": None}, revision)))
    assert "for 0 minutes only" in no.reason


@pytest.mark.parametrize("missing", ["revision", "date"])
def test_a_history_with_holes_is_no_history(missing: str) -> None:
    """What was to run, and when, must be known of each."""
    deployment, revision = GOOD_RELEASE
    hole = (
        (deployment, {**revision, "serviceRevisionArn": "other"})
        if missing == "revision"
        else ({**deployment, "createdAt": None}, revision)
    )
    assert refused(account(BAD_RELEASE, hole)).guard == "history"


def details(**params: Any) -> dict[str, Any]:
    """ECR, whose tag has moved on."""
    assert params["imageIds"] == [{"imageTag": "v7"}]
    return {"imageDetails": [{"imageDigest": BAD}]}


def test_a_tag_that_has_moved_on_is_not_gone_back_to() -> None:
    """Tags are resolved again: something else would start."""
    assert "has moved on" in refused(account(**{"ecr:DescribeImages": details})).reason


@pytest.mark.parametrize("error", [Missing, Rejected])
def test_an_image_that_is_gone_is_not_gone_back_to(error: type[Missing | Rejected]) -> None:
    """A rollback could not pull it."""
    there = account()
    there.fails["ecr:DescribeImages"] = error("ecr:DescribeImages", "ImageNotFoundException", "gone")
    assert "cannot be found any more" in refused(there).reason


@pytest.mark.parametrize(
    "image, says",
    [("docker.io/team/worker:v7", "in no ECR repository"), (f"{IMAGE}@{GOOD}", None), (IMAGE, "has moved on")],
)
def test_images_by_digest_are_what_they_were_and_others_must_be_readable(image: str, says: str | None) -> None:
    """Without a tag it is the tag `latest`."""
    deployment, revision = GOOD_RELEASE
    good = (
        deployment,
        {**revision, "containerImages": [{"containerName": "app", "image": image, "imageDigest": GOOD}]},
    )

    def latest(**params: Any) -> dict[str, Any]:
        assert params["imageIds"] == [{"imageTag": "latest"}]
        return {"imageDetails": [{"imageDigest": BAD}]}

    there = account(BAD_RELEASE, good, **{"ecr:DescribeImages": latest})
    if says is None:
        assert diagnosed(there).facts["back_to"] == GOOD_TD
    else:
        assert says in refused(there).reason


def test_a_task_definition_that_is_gone_is_not_gone_back_to() -> None:
    """Deregistered since."""
    no = refused(account(**{"ecs:DescribeTaskDefinition": {"taskDefinition": {"status": "INACTIVE"}}}))
    assert no.guard == "definition"


def test_only_roles_that_the_target_names_are_passed_on() -> None:
    """Task role and execution role; the one that is not named is said."""
    no = refused(account(), replace(API, roles=()))
    assert no.guard == "roles"
    assert str(ROLE) in no.reason
    none = account(**{"ecs:DescribeTaskDefinition": {"taskDefinition": {"status": "ACTIVE"}}})
    assert diagnosed(none, replace(API, roles=())).facts["roles"] == []


def test_reads_are_what_is_declared() -> None:
    """Nothing is declared that is never used."""
    eyes = Eyes(account(), EcsDeploymentBad)
    CURE.diagnose(eyes, API, FINDING)
    stop = planned(account(UNDER_WAY, GOOD_RELEASE)).calls[0]
    eyes.account.answers["ecs:DescribeServiceDeployments"] = {}
    CURE.reconcile(eyes, stop, NOW)
    assert eyes.used == set(EcsDeploymentBad.reads)


# -- the plan --------------------------------------------------------------------------------------------------------


def planned(there: Account | None = None, target: Target = API) -> Plan:
    """Diagnose and plan."""
    return CURE.plan(diagnosed(there or account(), target))


def test_a_complete_release_is_replaced_by_the_full_name_of_the_good_one() -> None:
    """One call, with the roles that it passes on; equal diagnoses give equal plans."""
    plan = planned()
    [call] = plan.calls
    assert call.action == "ecs:UpdateService"
    assert call.params == {"cluster": "prod", "service": "worker", "taskDefinition": GOOD_TD}
    assert call.grants == (("iam:PassRole", str(ROLE)),)
    assert plan.lease is None
    assert "roll worker in prod back to worker:7" in plan.summary
    assert "worker:9" in plan.undo_by_hand
    assert planned().hash == plan.hash


def test_a_deployment_under_way_is_stopped() -> None:
    """ECS asks for leave on the deployment and on its service."""
    [call] = planned(account(UNDER_WAY, GOOD_RELEASE)).calls
    assert call.action == "ecs:StopServiceDeployment"
    assert call.resource == f"{DEPLOYMENT}9"
    assert call.params == {"serviceDeploymentArn": f"{DEPLOYMENT}9", "stopType": "ROLLBACK"}
    assert call.grants == (("ecs:StopServiceDeployment", str(SERVICE)),)


def test_what_is_declared_is_what_is_planned() -> None:
    """Writes and delegates."""
    calls = (*planned().calls, *planned(account(UNDER_WAY, GOOD_RELEASE)).calls)
    assert {call.action for call in calls} == set(CURE.writes)
    assert {action for call in calls for action, _ in call.grants} - set(CURE.writes) == set(CURE.delegates)


def test_the_effect_of_a_call_is_told_as_far_as_ecs_tells_it() -> None:
    """StopServiceDeployment answers with an ARN only."""
    update, stop = planned().calls[0], planned(account(UNDER_WAY, GOOD_RELEASE)).calls[0]
    answer = {"service": deployed(deployment={"id": "ecs-svc/2"})}
    assert CURE.effect(update, answer) == {"deployment": "ecs-svc/2", "task_definition": BAD_TD}
    assert CURE.effect(stop, {"serviceDeploymentArn": "x"}) == {}


# -- how it goes -----------------------------------------------------------------------------------------------------

UPDATE = planned().calls[0]
STOP = planned(account(UNDER_WAY, GOOD_RELEASE)).calls[0]
ROLLING = {"id": "ecs-svc/2", "taskDefinition": GOOD_TD, "rolloutState": "IN_PROGRESS"}
BACK = {"id": "ecs-svc/2", "taskDefinition": GOOD_TD, "createdAt": NOW}


def reconciled(call: Call, described: Any, *, after: timedelta = timedelta(0), **answers: Any) -> Outcome:
    """What is found, so long after the call."""
    there = account(described=described, **answers)
    there.now = NOW + after
    return CURE.reconcile(Eyes(there, EcsDeploymentBad), call, NOW)


@pytest.mark.parametrize(
    "described, after, outcome",
    [
        (deployed(deployment=BACK), timedelta(0), Outcome.DONE),
        (deployed(deployment={**BACK, "taskDefinition": "other"}), timedelta(0), Outcome.UNKNOWN),
        (deployed(deployment={**BACK, "createdAt": NOW - 2 * MINUTE}), timedelta(0), Outcome.UNKNOWN),
        (deployed(deployment={**BACK, "createdAt": None}), timedelta(0), Outcome.UNKNOWN),
        (deployed(deployment={**BACK, "createdAt": NOW + 3 * MINUTE}), 4 * MINUTE, Outcome.DONE),
        (deployed(deployment={**BACK, "createdAt": NOW + 4 * MINUTE}), 4 * MINUTE, Outcome.UNKNOWN),  # somebody else's
        (deployed(), timedelta(0), Outcome.UNKNOWN),
        (deployed(), MINUTE, Outcome.NOT_DONE),
        (deployed(deployments=[]), MINUTE, Outcome.UNKNOWN),
    ],
)
def test_a_lost_answer_of_an_update_is_found_out_by_looking(described: Any, after: timedelta, outcome: Outcome) -> None:
    """Not done only once a late request cannot land any more."""
    assert reconciled(UPDATE, described, after=after) is outcome


@pytest.mark.parametrize(
    "status, after, outcome",
    [
        ("ROLLBACK_IN_PROGRESS", timedelta(0), Outcome.DONE),
        ("ROLLBACK_SUCCESSFUL", timedelta(0), Outcome.DONE),
        ("IN_PROGRESS", timedelta(0), Outcome.UNKNOWN),
        ("IN_PROGRESS", MINUTE, Outcome.NOT_DONE),
        ("SUCCESSFUL", MINUTE, Outcome.NOT_DONE),
        ("STOPPED", MINUTE, Outcome.UNKNOWN),
        (None, MINUTE, Outcome.UNKNOWN),
    ],
)
def test_a_lost_answer_of_a_stop_is_found_out_by_looking(
    status: str | None, after: timedelta, outcome: Outcome
) -> None:
    """By what ECS says the deployment is now."""
    found = [] if status is None else [{"status": status}]
    answers = {"ecs:DescribeServiceDeployments": {"serviceDeployments": found}}
    assert reconciled(STOP, deployed(), after=after, **answers) is outcome


def went(described: Any, plan: Plan | None = None) -> tuple[Progress, str]:
    """How a rollback is doing."""
    plan = plan or planned()
    progress, why, ledger = CURE.progress(Eyes(account(described=described), EcsDeploymentBad), plan, plan.steps[0], {})
    assert ledger is None
    return progress, why


@pytest.mark.parametrize(
    "described, progress, says",
    [
        (deployed(deployment=BACK), Progress.NEXT, "2 tasks of the revision before run"),
        (deployed(NOW, deployment=ROLLING), Progress.WAIT, "IN_PROGRESS"),
        (deployed(NOW - 20 * MINUTE, deployment=ROLLING), Progress.STOP, "after 20 minutes still"),
        (deployed(None, deployment=ROLLING), Progress.STOP, "after 20 minutes still"),
        (deployed(deployment={**BACK, "rolloutState": "FAILED"}), Progress.STOP, "no reason was given"),
        (deployed(deployment={**BACK, "taskDefinition": "other"}), Progress.STOP, "somebody has deployed"),
        (deployed(), Progress.STOP, "no rollback has appeared"),
        (deployed(deployments=[]), Progress.STOP, "no rollback has appeared"),
    ],
)
def test_a_rollback_settles_when_its_tasks_run(described: Any, progress: Progress, says: str) -> None:
    """And is given up when it does not."""
    found, why = went(described)
    assert found is progress
    assert says in why


@pytest.mark.parametrize(
    "status, progress",
    [("ROLLBACK_REQUESTED", Progress.WAIT), ("ROLLBACK_IN_PROGRESS", Progress.WAIT), ("STOPPED", Progress.STOP)],
)
def test_a_rollback_that_ecs_has_been_asked_for_is_waited_for(status: str, progress: Progress) -> None:
    """A stop is a request: the deployment that is given up is still the first one until its rollback starts."""
    plan = planned(account(UNDER_WAY, GOOD_RELEASE))
    answers = {"ecs:DescribeServiceDeployments": {"serviceDeployments": [{"status": status}]}}
    eyes = Eyes(account(described=deployed(), **answers), EcsDeploymentBad)
    assert CURE.progress(eyes, plan, plan.steps[0], {})[0] is progress


def test_which_task_definition_ecs_rolls_back_to_is_its_own_business() -> None:
    """A stopped deployment: whatever the new one runs."""
    stop = planned(account(UNDER_WAY, GOOD_RELEASE))
    assert went(deployed(deployment={**BACK, "taskDefinition": "other"}), stop)[0] is Progress.NEXT


RECENTLY = NOW - 5 * MINUTE
IDLE_SINCE = {"NumberOfMessagesDeleted": series(9.0, 0.0, began=RECENTLY)}


def verified(target: Target = API, described: Any = None, **metrics: Any) -> Healthy | Sick | Unknown:
    """What a look after the rollback says."""
    return CURE.verify(target, FINDING, seen(target, described or deployed(), **metrics))


def test_only_what_is_well_since_the_rollback_is_fixed() -> None:
    """Whatever was before it: requests are answered, targets healthy, messages finished."""
    before = {"HTTPCode_Target_5XX_Count": (24.0, None), "UnHealthyHostCount": (1.0, 0.0)}
    found = verified(API, **before)
    assert isinstance(found, Healthy)
    assert found.summary == "0 % of 600 requests failed; every target healthy"
    assert verified(WORKER, NumberOfMessagesDeleted=(0.0, 4.0)) == Healthy("60 messages finished in 15 minutes")
    plain = verified(PLAIN)
    assert isinstance(plain, Healthy)
    assert plain.summary == "every task of the revision runs"


@pytest.mark.parametrize(
    "target, metrics",
    [
        (API, {"HTTPCode_Target_5XX_Count": (24.0, 24.0)}),
        (API, {"UnHealthyHostCount": (1.0, 1.0)}),
        (WORKER, {"NumberOfMessagesDeleted": (0.0, 0.0)}),
    ],
)
def test_what_is_as_sick_as_before_is_not_fixed(target: Target, metrics: dict[str, Any]) -> None:
    """That it was sick before the rollback is no excuse now."""
    found = verified(target, **metrics)
    assert isinstance(found, Sick)
    assert found.finding.symptom.startswith("since the rollback ")


@pytest.mark.parametrize(
    "target, described, metrics, says",
    [
        (API, deployed(deployment={"rolloutState": "IN_PROGRESS"}), {}, "cannot be judged yet"),
        (API, deployed(runningCount=1), {}, "cannot be judged yet: 1 of 2 tasks run"),
        (API, deployed(desiredCount=0), {}, "somebody has stopped the service"),
        (API, None, {"RequestCount": (60.0, 1.0)}, "too little since the rollback to tell"),
        (API, deployed(NOW - 3 * MINUTE), {}, "too little since the rollback to tell"),
        (WORKER, deployed(RECENTLY), IDLE_SINCE, "too little since the rollback to tell"),
    ],
)
def test_what_cannot_be_told_is_not_fixed(
    target: Target, described: Any, metrics: Mapping[str, Any], says: str
) -> None:
    """While tasks are being replaced, and before there was enough to tell."""
    found = verified(target, described, **metrics)
    assert isinstance(found, Unknown)
    assert says in found.reason


@pytest.mark.parametrize(
    "settings", [{"max_attempts": 2}, {"error_percent": 0}, {"suspect_for": 60}, {"rollout": timedelta(0)}]
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    """A second rollback, and no time at all."""
    with pytest.raises(ValidationError):
        EcsDeploymentBad.model_validate(settings)


@pytest.mark.parametrize("status", ["ROLLBACK_SUCCESSFUL", "STOPPED"])
def test_a_bad_release_that_is_deployed_again_is_no_restart(status: str) -> None:
    """The first time it was taken back, so that something else had run before: that is gone back to."""
    found = diagnosed(
        account(
            release(9, BAD_TD, BAD, ago=20 * MINUTE),
            release(8, BAD_TD, BAD, ago=90 * MINUTE, status=status),
            GOOD_RELEASE,
        )
    )
    assert found.facts["back_to"] == GOOD_TD


def test_where_all_before_it_was_rolled_back_there_is_nothing_to_go_back_to() -> None:
    """The first release of a service that ever came up is the bad one."""
    gone = release(8, GOOD_TD, GOOD, ago=90 * MINUTE, status="ROLLBACK_SUCCESSFUL")
    with pytest.raises(Refused, match="no release before it had succeeded"):
        diagnosed(account(release(9, BAD_TD, BAD, ago=20 * MINUTE), gone))
