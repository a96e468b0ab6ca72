"""A service that hangs: seen, told from one that is being changed, restarted once, and never into new code."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from nightshift.errors import Denied, Missing, Refused, Rejected, Unreadable
from nightshift.model import Call, Finding, Healthy, Observation, Outcome, Plan, Query, Severity, Sick, Target, Unknown
from nightshift.remediation import Progress, Readings, Series, Unread
from nightshift.remediations.ecs_service_stalled import EcsServiceStalled
from nightshift.signals import queue_metric
from pydantic import ValidationError

from tests.nightshift.remediations.account import NOW, SERVICE, SOURCE, Account, Eyes, Hand, read, service

CURE = EcsServiceStalled()
API = Target(SERVICE, "orders")
WORKER = Target(SERVICE, "orders", queue=SOURCE)
FINDING = Finding(CURE.name, str(SERVICE), "1 of 2 tasks of worker run")
MINUTE = timedelta(minutes=1)
WAITING = queue_metric(SOURCE, "ApproximateNumberOfMessagesVisible", "Minimum", 15)
FINISHED = queue_metric(SOURCE, "NumberOfMessagesDeleted", "Sum", 15)
IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/team/worker:v1"
DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64


def points(*values: float) -> Series:
    """A series of the last minutes."""
    return Series(tuple((NOW - (len(values) + 1 - n) * MINUTE, value) for n, value in enumerate(values)))


def seen(described: Any, waiting: Any = None, finished: Any = None) -> Readings:
    """What a look read."""
    answers: dict[Query, Any] = {read("ecs.service", SERVICE): described}
    if waiting is not None:
        answers |= {WAITING: waiting, FINISHED: finished}
    return Readings(NOW, answers)


def container(image: str = IMAGE, digest: str | None = DIGEST) -> dict[str, Any]:
    """A container of a task."""
    return {"image": image} | ({"imageDigest": digest} if digest else {})


def running(*containers: dict[str, Any], **task: Any) -> dict[str, Any]:
    """One task that runs these."""
    return {"lastStatus": "RUNNING", "taskDefinitionArn": "td:7", "containers": list(containers)} | task


def account(*tasks: dict[str, Any], tag: Any = DIGEST, **other: Any) -> Account:
    """An account whose service runs these tasks, and whose tag points there."""
    details = [{"imageDigest": tag}] if isinstance(tag, str) else tag
    answers = {
        "ecs:ListTasks": {"taskArns": [f"t{number}" for number, _ in enumerate(tasks)]},
        "ecs:DescribeTasks": {"tasks": list(tasks)},
        "ecs:ListServiceDeployments": {"serviceDeployments": [{"targetServiceRevisionArn": "r7"}]},
        "ecs:DescribeServiceRevisions": {"serviceRevisions": [{"containerImages": [container()]}]},
        "ecr:DescribeImages": {"imageDetails": details},
    }
    services = {SERVICE: other.pop("described", service())}
    return Account(answers=answers | other.pop("answers", {}), services=services, **other)


def healthy_account(**other: Any) -> Account:
    """An account in which a restart would be safe."""
    return account(running(container()), running(container()), **other)


def diagnosed(there: Account, cure: EcsServiceStalled = CURE) -> tuple[str, ...]:
    """The evidence of the diagnosis."""
    return cure.diagnose(Eyes(there, EcsServiceStalled), API, FINDING).evidence


def refused(there: Account, cure: EcsServiceStalled = CURE) -> Refused:
    """What the diagnosis says no to."""
    with pytest.raises(Refused) as caught:
        diagnosed(there, cure)
    return caught.value


def planned(there: Account | None = None) -> Plan:
    """Diagnose and plan."""
    return CURE.plan(CURE.diagnose(Eyes(there or healthy_account(), EcsServiceStalled), API, FINDING))


def restart() -> Call:
    """The plan's one call."""
    [call] = planned().calls
    return call


# -- seeing ----------------------------------------------------------------------------------------------------------


def test_a_service_is_read_and_the_flow_of_what_it_consumes() -> None:
    """A queue only where the service has one."""
    assert CURE.watch(API) == (read("ecs.service", SERVICE),)
    assert CURE.watch(WORKER) == (read("ecs.service", SERVICE), WAITING, FINISHED)
    assert CURE.examine(WORKER) == CURE.watch(WORKER)
    assert CURE.takes(API)


@pytest.mark.parametrize(
    "described, severity",
    [
        (service(runningCount=1), Severity.SEV3),
        (service(runningCount=0), Severity.SEV1),
        (service(runningCount=1, deployment={"rolloutState": "IN_PROGRESS"}), Severity.SEV3),
    ],
)
def test_too_few_tasks_are_a_symptom(described: Any, severity: Severity) -> None:
    """Also while it is being deployed: whether that is ours to fix is for the diagnosis."""
    found = CURE.detect(API, seen(described))
    assert isinstance(found, Sick)
    assert found.finding.severity is severity
    assert "of 2 tasks of worker run" in found.finding.symptom


@pytest.mark.parametrize(
    "described",
    [service(), service(runningCount=3), service(desiredCount=0, runningCount=0), service(desiredCount=0)],
)
def test_enough_tasks_are_health_and_so_is_having_been_stopped(described: Any) -> None:
    """Desired 0 is somebody's decision."""
    found = CURE.detect(API, seen(described))
    assert isinstance(found, Healthy)
    assert ("stopped on purpose" in found.summary) is (described["desiredCount"] == 0)


FULL = (3.0,) * 15
NONE = (0.0,) * 15


@pytest.mark.parametrize(
    "waiting, finished, sick",
    [
        (FULL, NONE, True),
        (FULL, (), True),  # a counter without points is a zero
        (FULL, (*NONE[:14], 1.0), False),
        ((*FULL[:14], 0.0), NONE, False),  # a minute without messages: there was nothing to do
        ((3.0,) * 12, NONE, True),
        ((3.0,) * 11, NONE, False),  # too little was reported to say so
        ((), (), False),
    ],
)
def test_a_consumer_that_finishes_nothing_while_messages_wait_hangs(
    waiting: tuple[float, ...], finished: tuple[float, ...], sick: bool
) -> None:
    """A quarter of an hour, every minute of it with messages, and not one finished."""
    found = CURE.detect(WORKER, seen(service(), points(*waiting), points(*finished)))
    assert isinstance(found, Sick) is sick
    if isinstance(found, Sick):
        assert found.finding.severity is Severity.SEV2
        assert "finished nothing for 15 minutes; messages wait in orders" in found.finding.symptom


@pytest.mark.parametrize(
    "readings, reason",
    [
        (seen(Unread("throttled"), Series(), Series()), "throttled"),
        (seen(None), "does not exist"),
        (seen(service(status="DRAINING")), "DRAINING"),
        (seen({"status": "ACTIVE", "runningCount": 1}), "did not say"),
        (seen({"status": "ACTIVE", "desiredCount": 1}), "did not say"),
        (seen(service(), Unread("no metric"), Series()), "no metric"),
        (seen(service(), Series(), Unread("no metric")), "no metric"),
        (Readings(NOW), "was not read"),
    ],
)
def test_what_cannot_be_seen_is_unknown(readings: Readings, reason: str) -> None:
    """Never sick, never healthy."""
    found = CURE.detect(WORKER, readings)
    assert isinstance(found, Unknown)
    assert reason in found.reason


# -- diagnosis -------------------------------------------------------------------------------------------------------


def test_a_service_that_nobody_changes_and_whose_images_are_its_own_may_be_restarted() -> None:
    """The diagnosis says what it saw, and which other causes it rejected."""
    found = CURE.diagnose(Eyes(healthy_account(), EcsServiceStalled), API, FINDING)
    assert found.facts == {"service": str(SERVICE), "deployment": "ecs-svc/1", "task_definition": "td:7"}
    assert found.evidence == (
        FINDING.symptom,
        "deployment ecs-svc/1 is complete since 48 hours, and there is no other",
        f"{IMAGE} is what runs (aaaaaaaaaaaa)",
    )
    assert len(found.rejected) == 3


def test_the_diagnosis_uses_no_more_than_it_declares_and_declares_no_more_than_it_uses() -> None:
    """A permission that nobody needs is one too many."""
    with_tasks, without = (Eyes(there, EcsServiceStalled) for there in (healthy_account(), account()))
    for eyes in (with_tasks, without):
        CURE.diagnose(eyes, API, FINDING)
    assert with_tasks.used | without.used == set(CURE.reads)
    assert CURE.writes == ("ecs:UpdateService",)


@pytest.mark.parametrize(
    "described, guard, reason, later",
    [
        (service(status="DRAINING"), "state", "DRAINING", False),
        (service(desiredCount=0), "state", "stopped", False),
        (service(deploymentController={"type": "CODE_DEPLOY"}), "controller", "CODE_DEPLOY", False),
        (service(deployment={"rolloutState": "IN_PROGRESS"}), "mid-change", "IN_PROGRESS", True),
        (
            service(deployments=[{"rolloutState": "IN_PROGRESS"}, {"rolloutState": "COMPLETED"}]),
            "mid-change",
            "being",
            True,
        ),
        (service(deployments=[{}]), "mid-change", "unknown", True),
        (service(deployments=[]), "mid-change", "no deployment", True),
        (service(deployment={"rolloutState": "FAILED"}), "mid-change", "start the same again", False),
    ],
)
def test_what_somebody_stopped_or_changes_is_not_restarted(
    described: Any, guard: str, reason: str, later: bool
) -> None:
    """A deployment ends some day; the other reasons need a person."""
    said = refused(healthy_account(described=described))
    assert said.guard == guard
    assert re.search(reason, said.reason)
    assert said.retry_after == (2 * MINUTE if later else None)


@pytest.mark.parametrize(
    "desired, least, most, reason",
    [
        (1, 100, 200, ""),
        (1, 50, 200, ""),  # half of one task is one task
        (2, 50, 100, ""),
        (4, 75, 100, ""),
        (1, 0, 100, "an outage"),
        (1, 0, 200, "an outage"),
        (4, 0, 200, "an outage"),
        (1, 50, 100, "neither stop a task nor start"),
        (2, 100, 100, "neither stop a task nor start"),
        (2, 100, 149, "neither stop a task nor start"),
        (2, 100, 150, ""),
        (3, 66, 100, ""),
    ],
)
def test_a_restart_may_not_stop_all_tasks_at_once(desired: int, least: int, most: int, reason: str) -> None:
    """ECS keeps the minimum, rounded up, and starts up to the maximum, rounded down."""
    rules = {"minimumHealthyPercent": least, "maximumPercent": most}
    there = healthy_account(described=service(desiredCount=desired, deploymentConfiguration=rules))
    if not reason:
        assert diagnosed(there)
        return
    said = refused(there)
    assert (said.guard, said.retry_after) == ("rolling", None)
    assert reason in said.reason
    assert said.numbers == {"desired": desired, "minimum_percent": least, "maximum_percent": most}


def test_without_rules_the_defaults_of_ecs_count() -> None:
    """A hundred and two hundred per cent."""
    assert diagnosed(healthy_account(described=service(deploymentConfiguration={})))


@pytest.mark.parametrize(
    "there, reason",
    [
        (healthy_account(tag=OTHER), "has moved on"),
        (account(running(container()), running(container(digest=OTHER))), "has moved on"),
        (account(running(container(digest=None))), "has moved on"),
        (healthy_account(tag=[]), "has moved on"),
        (account(running(container("public.ecr.aws/nginx:latest"))), "in no ECR repository"),
        (account(running(container("nginx"))), "in no ECR repository"),
        (
            account(running(container(), lastStatus="PENDING"), answers={"ecs:ListServiceDeployments": {}}),
            "cannot be told",
        ),
        (account(answers={"ecs:ListServiceDeployments": {"serviceDeployments": [{}]}}), "cannot be told"),
        (account(answers={"ecs:DescribeServiceRevisions": {}}), "cannot be told"),
    ],
)
def test_a_restart_must_not_bring_new_code(there: Account, reason: str) -> None:
    """A forced deployment resolves every tag again: where that is not what runs, or is unknown, a person decides."""
    said = refused(there)
    assert (said.guard, said.retry_after) == ("image", None)
    assert reason in said.reason


@pytest.mark.parametrize(
    "error", [Missing("a", "RepositoryNotFoundException"), Rejected("a", "ImageNotFoundException")]
)
def test_an_image_that_is_gone_could_not_be_pulled(error: Exception) -> None:
    """A restart would replace tasks by nothing."""
    said = refused(healthy_account(fails={"ecr:DescribeImages": error}))
    assert said.guard == "image"
    assert "could not pull it" in said.reason


@pytest.mark.parametrize("error", [Denied("a", "AccessDenied"), Unreadable("a", "Throttling")])
def test_an_image_that_cannot_be_looked_up_is_not_restarted(error: Exception) -> None:
    """The engine hears why."""
    with pytest.raises(type(error)):
        diagnosed(healthy_account(fails={"ecr:DescribeImages": error}))


@pytest.mark.parametrize(
    "image, tag",
    [
        (IMAGE, "v1"),
        (IMAGE.removesuffix(":v1"), "latest"),
        (IMAGE.replace("amazonaws.com", "amazonaws.com.cn"), "v1"),
    ],
)
def test_a_tag_is_looked_up_in_its_own_repository(image: str, tag: str) -> None:
    """Registry, repository with its path, and tag; without one it is `latest`."""
    asked: list[dict[str, Any]] = []

    def describe(**params: Any) -> dict[str, Any]:
        asked.append(params)
        return {"imageDetails": [{"imageDigest": DIGEST}]}

    diagnosed(account(running(container(image)), answers={"ecr:DescribeImages": describe}))
    assert asked == [{"registryId": "123456789012", "repositoryName": "team/worker", "imageIds": [{"imageTag": tag}]}]


def test_an_image_that_is_pinned_cannot_change() -> None:
    """A digest in its name is what it is."""
    pinned = f"{IMAGE}@{DIGEST}"
    there = account(running(container(pinned)), fails={"ecr:DescribeImages": Denied("a", "b")})
    assert f"{pinned} is pinned by its digest" in diagnosed(there)


def test_a_sidecar_that_the_configuration_trusts_may_change() -> None:
    """Named by the beginning of its name; the others are compared all the same."""
    sidecar = "public.ecr.aws/datadog/agent:7"
    cure = EcsServiceStalled(trusted_images=("public.ecr.aws/datadog/",))
    there = account(running(container(), container(sidecar)))
    assert any(f"{sidecar} may be newer" in each for each in diagnosed(there, cure))
    assert refused(account(running(container(), container(sidecar)), tag=OTHER), cure).guard == "image"


@pytest.mark.parametrize("task", [{"lastStatus": "PENDING"}, {"taskDefinitionArn": "td:6"}])
def test_only_tasks_that_run_what_is_deployed_count(task: dict[str, Any]) -> None:
    """A task that starts has no digest yet, and one of another revision is on its way out."""
    assert diagnosed(account(running(container()), running(container(digest=OTHER), **task)))


def test_without_tasks_the_last_deployment_says_what_would_run() -> None:
    """Nothing runs: ECS knows by which digests it deployed."""
    assert diagnosed(account())[-1] == f"{IMAGE} is what runs (aaaaaaaaaaaa)"
    assert refused(account(tag=OTHER)).guard == "image"
    assert refused(account(running(container(), lastStatus="PENDING"), tag=OTHER)).guard == "image"


def test_what_cannot_be_read_is_no_diagnosis() -> None:
    """The engine tries again; nothing is guessed."""
    with pytest.raises(Unreadable):
        diagnosed(healthy_account(described=Unread("throttled")))


def test_a_deployment_without_a_date_is_one_without_an_age() -> None:
    """What ECS does not say is not said."""
    there = healthy_account(described=service(deployment={"createdAt": None}))
    assert "deployment ecs-svc/1 is complete, and there is no other" in diagnosed(there)


# -- the plan --------------------------------------------------------------------------------------------------------


def test_the_plan_is_one_call_that_changes_nothing_but_the_tasks() -> None:
    """A new deployment of the same task definition, and not a parameter more."""
    [step] = planned().steps
    assert [(call.action, dict(call.params), call.free, call.times) for call in step.calls] == [
        ("ecs:UpdateService", {"cluster": "prod", "service": "worker", "forceNewDeployment": True}, (), 1)
    ]
    assert step.calls[0].resource == str(SERVICE)
    assert step.calls[0].before == {"deployment": "ecs-svc/1", "task_definition": "td:7"}
    assert step.undo == ()


def test_another_deployment_is_another_plan_and_another_count_of_tasks_is_not() -> None:
    """What somebody deployed in between was not decided upon; a task more or less was."""
    fewer = healthy_account(described=service(runningCount=1), now=NOW + MINUTE)
    assert planned(fewer).hash == planned().hash
    newer = healthy_account(described=service(deployment={"id": "ecs-svc/2"}))
    assert planned(newer).hash != planned().hash


def test_a_restart_is_made_once_and_the_report_shows_the_new_deployment() -> None:
    """By default a step's calls are made as they stand."""
    plan = planned()
    there = healthy_account()
    CURE.apply(Hand(there, plan.steps[0]), plan, plan.steps[0])
    assert there.calls == ["UpdateService"]
    assert CURE.effect(restart(), {"service": service(deployment={"id": "ecs-svc/2"})}) == {
        "deployment": "ecs-svc/2",
        "task_definition": "td:7",
    }
    assert CURE.effect(restart(), {}) == {"deployment": None, "task_definition": None}


@pytest.mark.parametrize(
    "deployment, later, outcome",
    [
        ({"id": "ecs-svc/2", "createdAt": NOW}, 0, Outcome.DONE),
        ({"id": "ecs-svc/2", "createdAt": NOW - timedelta(seconds=59)}, 0, Outcome.DONE),
        ({"id": "ecs-svc/2", "createdAt": NOW + timedelta(seconds=180)}, 240, Outcome.DONE),
        ({"id": "ecs-svc/2", "createdAt": NOW + timedelta(seconds=181)}, 240, Outcome.UNKNOWN),  # somebody else's
        ({"id": "ecs-svc/2", "createdAt": NOW - timedelta(seconds=61)}, 0, Outcome.UNKNOWN),
        ({"id": "ecs-svc/2", "createdAt": NOW, "taskDefinition": "td:8"}, 0, Outcome.UNKNOWN),
        ({"id": "ecs-svc/2", "createdAt": None}, 0, Outcome.UNKNOWN),
        ({}, 59, Outcome.UNKNOWN),
        ({}, 60, Outcome.NOT_DONE),
        ({"status": "ACTIVE"}, 60, Outcome.UNKNOWN),
    ],
)
def test_what_became_of_a_restart_is_found_by_looking(deployment: dict[str, Any], later: int, outcome: Outcome) -> None:
    """A newer deployment of the same is ours; the old one, a minute later, means that nothing happened."""
    there = healthy_account(described=service(deployment=deployment), now=NOW + timedelta(seconds=later))
    assert CURE.reconcile(Eyes(there, EcsServiceStalled), restart(), NOW) is outcome


# -- how it goes -----------------------------------------------------------------------------------------------------

NEW = {"id": "ecs-svc/2", "createdAt": NOW}


def went(described: dict[str, Any], minutes: int = 5) -> tuple[Progress, str]:
    """How the restart goes."""
    there = healthy_account(described=described, now=NOW + minutes * MINUTE)
    plan = planned()
    progress, why, ledger = CURE.progress(Eyes(there, EcsServiceStalled), plan, plan.steps[0], {})
    assert ledger is None
    return progress, why


@pytest.mark.parametrize(
    "described, progress, why",
    [
        (service(deployment=NEW), Progress.NEXT, "2 new tasks run"),
        (service(), Progress.STOP, "no new deployment"),
        (service(deployments=[]), Progress.STOP, "no new deployment"),
        (service(deployment={**NEW, "taskDefinition": "td:8"}), Progress.STOP, "somebody has deployed"),
        (service(deployment={**NEW, "rolloutState": "FAILED"}), Progress.STOP, "no reason was given"),
        (
            service(deployment={**NEW, "rolloutState": "FAILED", "rolloutStateReason": "tasks failed to start."}),
            Progress.STOP,
            "tasks failed to start",
        ),
        (service(deployment={**NEW, "rolloutState": "IN_PROGRESS"}), Progress.WAIT, "IN_PROGRESS"),
        (service(deployment={**NEW, "failedTasks": 2}), Progress.WAIT, "2 tasks of its deployment failed"),
        (service(deployment=NEW, runningCount=1), Progress.WAIT, "1 of 2 tasks run"),
        (service(deployment={**NEW, "rolloutState": "IN_PROGRESS", "createdAt": None}), Progress.STOP, "still"),
    ],
)
def test_a_restart_is_over_when_the_new_tasks_run(described: dict[str, Any], progress: Progress, why: str) -> None:
    """One deployment, complete, every task, none failed; anything else is waited for or stops."""
    found, said = went(described)
    assert found is progress
    assert why in said


def test_a_restart_is_waited_for_as_long_as_a_rollout_may_take() -> None:
    """Draining and protected tasks take their time, but not for ever."""
    slow = service(deployment={**NEW, "rolloutState": "IN_PROGRESS"})
    assert went(slow, 19)[0] is Progress.WAIT
    assert went(slow, 20) == (Progress.STOP, "after 20 minutes still: its deployment is IN_PROGRESS")


@pytest.mark.parametrize(
    "readings, kind",
    [
        (seen(service(), Series(), Series()), Healthy),
        (seen(service(deployment={"rolloutState": "IN_PROGRESS"}), Series(), Series()), Unknown),
        (seen(service(runningCount=1), Series(), Series()), Sick),
        (seen(service(), points(*FULL), points(*NONE)), Sick),
        (seen(Unread("throttled")), Unknown),
        (seen(service(desiredCount=0, runningCount=0), Series(), Series()), Healthy),
    ],
)
def test_health_during_a_rollout_proves_nothing(readings: Readings, kind: type[Observation]) -> None:
    """The old tasks may still be there: only a complete deployment counts."""
    assert isinstance(CURE.verify(WORKER, FINDING, readings), kind)


# -- settings --------------------------------------------------------------------------------------------------------


def test_a_restart_is_rare_by_default() -> None:
    """One an incident, an hour apart (R3)."""
    assert (CURE.max_attempts, CURE.cooldown, CURE.confirm) == (1, timedelta(hours=1), 3)


@pytest.mark.parametrize(
    "settings",
    [{"stalled_for": MINUTE}, {"rollout": MINUTE}, {"max_attempts": 4}, {"stop_all": True}],
)
def test_a_setting_out_of_bounds_is_refused_where_it_is_written(settings: dict[str, Any]) -> None:
    """Before anything is deployed."""
    with pytest.raises(ValidationError):
        EcsServiceStalled(**settings)


def test_the_time_without_work_is_a_setting() -> None:
    """Longer than the longest job."""
    cure = EcsServiceStalled(stalled_for=timedelta(minutes=30))
    assert {query.minutes for query in cure.watch(WORKER)[1:]} == {30}  # type: ignore[union-attr]
    assert replace(WORKER, queue=None).queue is None
