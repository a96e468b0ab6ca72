"""Answers that take too long: a leak is restarted once and proven by enough quick answers; the rest is for people."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from nightshift import serving
from nightshift.errors import Refused, Unreadable
from nightshift.model import (
    Diagnosis,
    Finding,
    Healthy,
    MetricQuery,
    Observation,
    Outcome,
    Sick,
    Signal,
    Target,
    Unknown,
)
from nightshift.remediation import Progress, Readings, Unread
from nightshift.remediations.ecs_latency_high import EcsLatencyHigh
from nightshift.serving import Times

from tests.nightshift.remediations.account import NOW, SERVICE, Account, Eyes, read, service
from tests.nightshift.remediations.test_ecs_errors_high import API, BALANCER, health, parts, row

CURE = EcsLatencyHigh()
FINDING = Finding(CURE.name, str(SERVICE), "slow", (Signal("TargetResponseTime p95", 2.0, 1.0, "5 minutes"),))
MINUTE = timedelta(minutes=1)
IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/team/worker:v1"
LEAK = {("prod", "MemoryUtilization"): [20 + minute * 1.0 for minute in range(65)]}


def times() -> Times:
    """The metrics."""
    found = Times.of(API, serving.WINDOW)
    assert found is not None
    return found


def seen(requests: Any, p95: Any, described: Any = None) -> Readings:
    """What a look read."""
    asked = times()

    def series(query: MetricQuery, values: Any) -> Any:
        return values if isinstance(values, Unread) else parts(query, *values)

    return Readings(
        NOW,
        {
            asked.requests: series(asked.requests, requests),
            asked.p95: series(asked.p95, p95),
            read("ecs.service", SERVICE): service() if described is None else described,
        },
    )


def there(**other: Any) -> Account:
    """An account whose service has been slow for an hour, and whose restart would be safe."""
    metrics = {
        ("app/alb/1", "RequestCount"): [100.0] * 190,
        ("app/alb/1", "TargetResponseTime"): [0.2] * 130 + [2.0] * 60,
        ("prod", "CPUUtilization"): [30.0] * 65,
        ("prod", "MemoryUtilization"): [40.0] * 65,
        **other.pop("metrics", {}),
    }
    running = {
        "lastStatus": "RUNNING",
        "taskDefinitionArn": "td:7",
        "containers": [{"image": IMAGE, "imageDigest": "sha256:a"}],
    }

    def listed(**asked: Any) -> dict[str, Any]:
        return {"taskArns": [] if asked.get("desiredStatus") == "STOPPED" else ["t1"]}

    answers = {
        "ecs:ListTasks": listed,
        "ecs:DescribeTasks": {"tasks": [running]},
        "ecr:DescribeImages": {"imageDetails": [{"imageDigest": other.pop("tag", "sha256:a")}]},
        "elasticloadbalancing:DescribeTargetHealth": health("healthy", "healthy"),
        **other.pop("answers", {}),
    }
    return Account(answers=answers, metrics=metrics, services={SERVICE: service(**other.pop("described", {}))}, **other)


def diagnosed(account: Account, target: Target = API) -> Diagnosis:
    """The diagnosis."""
    return CURE.diagnose(Eyes(account, EcsLatencyHigh), target, FINDING)


# -- seeing ----------------------------------------------------------------------------------------------------------


def test_it_takes_a_service_behind_a_load_balancer() -> None:
    """Without one there is nothing to look at, and nothing is known."""
    bare = Target(SERVICE, "orders", load_balancer=BALANCER)
    assert (CURE.takes(API), CURE.takes(bare), CURE.watch(bare)) == (True, False, ())
    assert CURE.watch(API) == (*times().all, read("ecs.service", SERVICE))
    assert isinstance(CURE.detect(bare, seen([100], [2])), Unknown)
    with pytest.raises(Refused):
        diagnosed(there(), bare)


@pytest.mark.parametrize(
    "requests, p95, kind",
    [
        ([100] * 3, [1.1, 1.1, 1.1], Sick),
        ([100] * 3, [1.1, 0.1, 1.1], Sick),
        ([100] * 3, [1.0, 1.0, 1.0], Healthy),
        ([100] * 3, [0.1, 0.1, 9.0], Healthy),
        ([49] * 3, [9.0, 9.0, 9.0], Healthy),
        ([100, 100, 100, 5, 5], [9.0, 9.0, 9.0, 9.0, 9.0], Unknown),
        ([100] * 3, [None, None, None], Healthy),
    ],
)
def test_two_of_three_parts_with_enough_requests_decide(requests: Any, p95: Any, kind: type[Observation]) -> None:
    """In seconds; what was slow before too few requests came in is not known to be quick."""
    assert isinstance(CURE.detect(API, seen(requests, p95)), kind)


def test_too_few_requests_prove_nothing() -> None:
    """They are no failure, and no health either."""
    assert CURE.detect(API, seen([3] * 3, [9.0] * 3)) == Healthy(
        "too few requests to tell: fewer than 50 in five minutes", idle=True
    )


def test_what_cannot_be_read_or_should_not_run_is_not_judged() -> None:
    """Any of the metrics, and the service."""
    assert CURE.detect(API, seen(Unread("a"), [1])) == Unknown("a")
    assert CURE.detect(API, seen([1], Unread("b"))) == Unknown("b")
    assert isinstance(CURE.detect(API, seen([100] * 3, [9] * 3, service(desiredCount=0))), Healthy)
    with pytest.raises(Unreadable):
        diagnosed(there(metrics={("app/alb/1", "TargetResponseTime"): Unread("b")}))


# -- what is behind it -----------------------------------------------------------------------------------------------


def test_what_nothing_explains_is_for_people() -> None:
    """With what was ruled out."""
    found = diagnosed(there())
    assert "slow in its code, or in what it calls" in found.cause
    assert found.advice[0].startswith("look at what all paths share")
    assert len(found.rejected) == 4


def test_a_leak_that_has_come_far_enough_is_restarted() -> None:
    """One call, the last that is tried, with nothing to undo."""
    found = diagnosed(there(metrics=LEAK))
    assert (found.cause, found.advice) == ("worker leaks memory, and is slow because of it", ())
    plan = CURE.plan(found)
    [call] = plan.calls
    assert (plan.final, plan.lease) == (True, None)
    assert call.params == {"cluster": "prod", "service": "worker", "forceNewDeployment": True}
    assert CURE.plan(found).hash == plan.hash
    assert (CURE.max_attempts, CURE.freeze_safe) == (1, True)


@pytest.mark.parametrize(
    "memory, cpu",
    [
        ([10 + minute * 0.9 for minute in range(65)], [30.0] * 65),
        ([20 + minute * 1.0 for minute in range(65)], [10 + minute * 1.0 for minute in range(65)]),
        ([80.0] * 65, [30.0] * 65),
        ([80.0] * 20, [30.0] * 65),
    ],
)
def test_what_is_no_clear_leak_is_not_restarted(memory: list[float], cpu: list[float]) -> None:
    """Not far enough, explained by load, steady, or too little known of it."""
    found = diagnosed(there(metrics={("prod", "MemoryUtilization"): memory, ("prod", "CPUUtilization"): cpu}))
    assert "slow in its code" in found.cause


def test_a_restart_that_is_never_safe_is_for_people_and_one_that_may_be_soon_waits() -> None:
    """The reason stands in the report."""
    found = diagnosed(there(metrics=LEAK, tag="sha256:b"))
    assert found.advice[0] == "restart its tasks once that is safe"
    assert "no restart was made: the tag" in found.evidence[-1]
    unknown = {"deployment": {"rolloutState": None}}
    with pytest.raises(Refused) as caught:
        diagnosed(there(metrics=LEAK, described=unknown))
    assert caught.value.guard == "mid-change"


def test_what_has_another_cause_is_told_as_that() -> None:
    """A release, say."""
    found = diagnosed(there(metrics=LEAK, described={"deployment": {"createdAt": NOW - 65 * MINUTE}}))
    assert "the release of 01:55 UTC" in found.cause
    assert found.advice


def test_it_waits_where_the_newest_minute_was_quick() -> None:
    """It may be over."""
    with pytest.raises(Refused) as caught:
        diagnosed(there(metrics={("app/alb/1", "TargetResponseTime"): [2.0] * 189 + [0.2]}))
    assert caught.value.guard == "passing"


# -- by path ---------------------------------------------------------------------------------------------------------


def detailed(*rows: Any, status: str = "Complete", by_path: bool = True) -> Diagnosis:
    """What becomes of a diagnosis once the query has answered."""
    facts = {"by_path": True} if by_path else {}
    before = Diagnosis(str(SERVICE), "slow", ("seen",), facts=facts, advice=("shared", "more"))
    account = there(answers={"logs:GetQueryResults": {"status": status, "results": list(rows)}})
    notes = {"query": "q", "asked": NOW.isoformat()}
    return CURE.detail(Eyes(account, EcsLatencyHigh), API, before, notes)


def test_one_slow_path_is_told_from_all_of_them() -> None:
    """Above the threshold, in milliseconds."""
    quick, slow = row("/a", "100", "0", "900"), row("/b", "100", "0", "3000")
    assert detailed(quick, slow).cause == "one path of worker is slow: /b"
    assert detailed(quick, slow).advice[0] == "look at the code behind /b, and at what only that calls"
    assert "it is what they share" in detailed(slow, row("/c", "9", "0", "2000")).cause
    assert "it is what they share" in detailed(slow).cause
    assert detailed(slow).evidence == ("seen", "/b: 0 of 100 requests went wrong, p95 3000 ms")
    assert "no path is slow" in detailed(quick).evidence[-1]
    assert "cannot be told" in detailed(status="Failed").evidence[-1]
    assert detailed(slow, by_path=False).cause == "slow"


# -- how it goes -----------------------------------------------------------------------------------------------------


def test_a_restart_is_followed_and_its_lost_answer_found_out() -> None:
    """As every restart is."""
    plan = CURE.plan(diagnosed(there(metrics=LEAK)))
    done = {"deployment": {"id": "ecs-svc/2", "createdAt": NOW}}
    eyes = Eyes(there(described=done), EcsLatencyHigh)
    assert CURE.progress(eyes, plan, plan.steps[0], {})[0] is Progress.NEXT
    assert CURE.reconcile(eyes, plan.calls[0], NOW) is Outcome.DONE
    assert CURE.effect(plan.calls[0], {"service": service(**done)}) == {
        "deployment": "ecs-svc/2",
        "task_definition": "td:7",
    }


RESTARTED = {"deployment": {"createdAt": NOW - 20 * MINUTE}}


@pytest.mark.parametrize(
    "requests, p95, described, kind",
    [
        ([100] * 3, [0.3, 0.3, 0.3], service(**RESTARTED), Healthy),
        ([100] * 3, [0.3, 1.5, 0.3], service(**RESTARTED), Sick),
        ([100] * 3, [3.0, 3.0, 3.0], service(**RESTARTED), Sick),
        ([100, 100, 10], [0.3, 0.3, 0.3], service(**RESTARTED), Healthy),
        ([100, 10, 10], [0.3, 0.3, 0.3], service(**RESTARTED), Unknown),
        ([100] * 3, [0.3, 0.3, 0.3], service(deployment={"createdAt": NOW - 9 * MINUTE}), Unknown),
        ([100] * 3, [0.3, 0.3, 0.3], service(deployment={"createdAt": None}), Unknown),
        ([100] * 3, [0.3, 0.3, 0.3], service(runningCount=1), Unknown),
        ([100] * 3, [0.3, 0.3, 0.3], service(desiredCount=0), Healthy),
        ([100] * 3, [0.3, 0.3, 0.3], Unread("throttled"), Unknown),
    ],
)
def test_it_is_cured_by_two_quick_parts_since_the_restart(
    requests: Any, p95: Any, described: Any, kind: type[Observation]
) -> None:
    """Enough requests in each, every task there, and none of it before the restart."""
    assert isinstance(CURE.verify(API, FINDING, seen(requests, p95, described)), kind)


def test_hardly_quicker_is_not_cured() -> None:
    """Just below the threshold, where it was just above it, is chance."""
    before = replace(FINDING, signals=(Signal("TargetResponseTime p95", 1.1, 1.0, "5 minutes"),))
    look = seen([100] * 3, [0.95, 0.95, 0.95], service(**RESTARTED))
    found = CURE.verify(API, before, look)
    assert isinstance(found, Sick)
    assert "hardly quicker" in found.finding.symptom
    assert isinstance(CURE.verify(API, FINDING, look), Healthy)


def test_an_incident_that_began_with_what_could_not_be_seen_is_judged_by_the_threshold() -> None:
    """Its finding has no figure to compare with."""
    unseen = replace(FINDING, signals=())
    assert isinstance(CURE.verify(API, unseen, seen([100] * 3, [0.5, 0.5, 0.5], service(**RESTARTED))), Healthy)
    assert isinstance(CURE.verify(API, unseen, seen([100] * 3, [0.95, 0.95, 0.95], service(**RESTARTED))), Sick)
