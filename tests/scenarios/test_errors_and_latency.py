"""
Requests that fail or take too long: what is found behind them, what is told of it, and the one thing that is done.

Played in the thin cloud. Each night has the API of the usage metrics system behind its load balancer, and a Nightshift
that looks after its answers, its releases, its capacity and its tasks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest
from nightshift.model import Incident, Verdict

from sandbox.deployment import Deployment
from sandbox.faults import Kind
from sandbox.scenes import NIGHT, failures
from sandbox.services import Service
from sandbox.systems.usage_metrics import UsageMetrics
from sandbox.world import World

ERRORS, LATENCY = "ecs-errors-high", "ecs-latency-high"
CALM, BUSY = 600, 1150
"""requests a minute; a task of the API answers 600"""


@dataclass(frozen=True)
class Night:
    """The API, two tasks of it, and Nightshift."""

    world: World
    system: UsageMetrics
    nightshift: Deployment

    @property
    def api(self) -> Service:
        """The service."""
        return self.system.api

    def minutes(self, span: float) -> None:
        """Let so many minutes pass."""
        self.world.run(timedelta(minutes=span))

    def until_ended(self, remediation: str, limit: float = 200) -> None:
        """Until there was an incident of a remediation and none is open."""
        own = self.nightshift.of
        self.world.run_until(
            lambda: own(remediation) and not any(each.open for each in own(remediation)), timedelta(minutes=limit)
        )

    def only(self, remediation: str) -> Incident:
        """The one incident of a remediation."""
        [incident] = self.nightshift.of(remediation)
        return incident

    def told(self, remediation: str) -> str:
        """The one report that needs somebody about a remediation's incident."""
        [mail] = [each for each in self.world.mail if remediation in each.text and "needs you" in (each.subject or "")]
        return " ".join(mail.text.split())

    @property
    def written(self) -> list[str]:
        """What was changed under any incident's name."""
        return [each.name for each in self.world.trail.of(writes=True) if each.principal.role_arn and not each.error]

    @property
    def queries(self) -> int:
        """How many queries over logs were begun."""
        return len(self.world.trail.of("logs.StartQuery"))


@contextmanager
def night(
    *, settings: str = "", log: bool = True, needs: str = "", more: str = "", warm: float = 65
) -> Iterator[Night]:
    """A calm hour until now."""
    with World(NIGHT, thin=True) as world:
        system = UsageMetrics(world)
        group = system.target_group
        names = (ERRORS, LATENCY, "ecs-deployment-bad", "ecs-capacity-short", "ecs-targets-unhealthy")
        own = {"ecs-capacity-short": "task_dollars_per_hour = 0.05\n"}
        tables = "\n".join(f'[remediations.{name}]\nmode = "auto"\n{own.get(name, "")}' for name in names)
        toml = f"""
name = "demo"
account = "{world.account}"
region = "{world.region}"
[notify]
emails = ["oncall@example.com"]
{tables}{settings}
[[systems]]
name = "usage"
{more.format(system=system)}
[[systems.targets]]
arn = "{system.api.arn}"
mode = "auto"
load_balancer = "{group.load_balancer_arn}"
target_group = "{group.arn}"
roles = ["{system.execution_role}"]
{f'log_group = "{system.log_group}"' if log else ""}
{needs.format(system=system)}
"""
        system.tag(system.api.arn, "auto-rollback", "enabled")
        system.requests(CALM)
        world.run(timedelta(minutes=10))  # what a load balancer has never reported cannot be seen
        with Deployment(world, toml) as nightshift:
            nightshift.resume()
            world.run(timedelta(minutes=warm))
            yield Night(world, system, nightshift)
            assert failures(world) == ()


# -- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.scenario("1.22", "ecs-errors-high")
@pytest.mark.scenario("4.2", "ecs-errors-high")
@pytest.mark.scenario("3.2", "ecs-errors-high")
@pytest.mark.scenario("4.10", "ecs-errors-high")
def test_one_path_that_fails_is_named_in_the_report() -> None:
    """By the application's own log, counted once: its path and its numbers, no message and no customer."""
    with night() as on:
        on.system.fail_path("/v1/export", 0.6)
        on.until_ended(ERRORS)
        incident = on.only(ERRORS)
        assert incident.verdict is Verdict.ESCALATED
        assert "one path of delivery-standard fails: /v1/export" in incident.why
        said = on.told(ERRORS)
        assert "/v1/customers/*: 0 of" in said
        assert "4711" not in said
        assert "ook at the code behind /v1/export" in said
        assert (on.queries, on.written) == (1, [])
        on.minutes(60)
        assert (on.queries, len(on.nightshift.all)) == (1, 1)


@pytest.mark.scenario("4.2", "ecs-errors-high")
def test_requests_that_fail_everywhere_point_to_what_all_paths_share() -> None:
    """No release, no sick task, no load: a dependency, and people are told to look there."""
    with night() as on:
        on.system.fail_requests(0.3)
        on.until_ended(ERRORS)
        assert "4 of 4 paths of delivery-standard fail" in on.only(ERRORS).why
        assert "the database, the caches and services it calls" in on.told(ERRORS)
        assert on.written == []


@pytest.mark.scenario("0.24", "ecs-errors-high")
@pytest.mark.scenario("4.2", "ecs-errors-high")
def test_tasks_that_are_killed_for_their_memory_are_named_as_the_cause() -> None:
    """The report says so, and no query over logs is paid for."""
    with night() as on:
        on.system.fail_requests(0.3)
        task = on.api.running[0]
        task.container_reason = "OutOfMemoryError: Container killed due to memory usage"
        on.api.fail_task(task, "EssentialContainerExited", "Essential container in task exited", exit_code=137)
        on.until_ended(ERRORS)
        assert "run out of memory" in on.only(ERRORS).why
        assert "ive each task more memory" in on.told(ERRORS)
        assert (on.queries, on.written) == (0, [])


@pytest.mark.scenario("4.2", "ecs-errors-high")
def test_errors_wait_for_what_the_service_needs_and_close_when_that_is_well_again() -> None:
    """The aggregator that it depends on is sick itself: linked, held, and recovered with it."""
    needs = 'depends_on = ["{system.service_arn}"]'
    more = '[[systems.targets]]\narn = "{system.service_arn}"\nmode = "auto"'
    with night(needs=needs, more=more) as on:
        on.system.service.cannot_start = "CannotPullContainerError: pull access denied"
        on.system.service.stop_task(on.system.service.running[0], "UserInitiated", "by hand")
        on.system.fail_requests(0.3)
        on.minutes(40)
        incident = on.only(ERRORS)
        assert incident.open
        assert incident.refusal is not None
        assert incident.refusal.guard == "dependency"
        on.system.service.cannot_start = None
        on.system.service.scale(on.system.service.desired)
        on.system.fail_requests(0.0)
        on.until_ended(ERRORS)
        assert on.only(ERRORS).verdict is Verdict.RECOVERED
        assert on.written == []


def test_a_release_on_trial_is_one_report_and_one_action() -> None:
    """Errors since a release are the release's: it is rolled back, and this incident closes by itself."""
    with night() as on:
        on.system.release(service=on.api)
        on.world.run_until(lambda: on.api.completed, timedelta(minutes=20))
        on.system.fail_requests(0.4)
        on.world.run_until(lambda: "ecs.UpdateService" in on.written, timedelta(minutes=60))
        on.system.fail_requests(0.0)
        on.until_ended(ERRORS)
        assert on.only("ecs-deployment-bad").verdict is Verdict.FIXED
        assert on.only(ERRORS).verdict is Verdict.RECOVERED
        assert on.written == ["ecs.UpdateService"]
        assert on.queries == 0
        assert not [mail for mail in on.world.mail if "needs you" in (mail.subject or "")]


def test_a_log_that_may_not_be_read_does_not_keep_the_report_back() -> None:
    """It says which permission is missing, and the rest of what was found."""
    with night() as on:
        on.world.faults.add(Kind.DENIED, "logs.StartQuery", times=99)
        on.system.fail_requests(0.3)
        on.until_ended(ERRORS)
        assert on.only(ERRORS).verdict is Verdict.ESCALATED
        assert "logs:StartQuery" in on.told(ERRORS)


def test_a_query_that_never_ends_is_waited_for_a_few_minutes() -> None:
    """Then the report says that it gave no answer."""
    with night() as on:
        on.world.insights.never_ready = True
        on.system.fail_requests(0.3)
        on.until_ended(ERRORS)
        assert "Insights gave no answer (Running)" in on.told(ERRORS)
        assert on.queries == 1


def test_without_a_log_group_the_report_says_what_is_missing() -> None:
    """The cause is told as far as it is known."""
    with night(log=False) as on:
        on.system.fail_requests(0.3)
        on.until_ended(ERRORS)
        assert "names no log_group" in on.told(ERRORS)
        assert on.queries == 0


# -- latency ---------------------------------------------------------------------------------------------------------


@pytest.mark.scenario("4.3", "ecs-latency-high")
def test_a_service_short_of_cpu_is_lent_to_and_latency_closes_by_itself() -> None:
    """High CPU is another incident's, which lends a task: when that helps, this one is recovered."""
    with night() as on:
        on.system.requests(BUSY)
        on.world.run_until(lambda: on.nightshift.of(LATENCY), timedelta(minutes=30))
        on.world.run_until(lambda: on.api.desired == 3, timedelta(minutes=30))
        on.world.run_until(lambda: not on.only(LATENCY).open, timedelta(minutes=40))
        assert on.only(LATENCY).verdict is Verdict.RECOVERED
        assert on.written == ["ecs.UpdateService"]
        assert on.queries == 0


@pytest.mark.scenario("4.3", "ecs-latency-high")
@pytest.mark.scenario("4.9", "ecs-latency-high")
def test_leaking_tasks_that_are_slow_are_restarted_once() -> None:
    """Memory has risen by itself for an hour: new tasks, one after the other, and answers are quick again."""
    with night(warm=0) as on:
        on.api.settle(timedelta(0))
        on.system.leak_memory(30)
        first = {task.id for task in on.api.running}
        on.until_ended(LATENCY)
        incident = on.only(LATENCY)
        assert incident.verdict is Verdict.FIXED
        assert on.written == ["ecs.UpdateService"]
        assert not first & {task.id for task in on.api.running}
        assert on.queries == 0


@pytest.mark.scenario("4.3", "ecs-latency-high")
def test_a_leak_whose_restart_does_not_help_is_handed_over_once() -> None:
    """What it calls is slow, too: one restart, one report, no second restart."""
    with night(warm=0) as on:
        on.api.settle(timedelta(0))
        on.system.leak_memory(30)
        on.world.run_until(lambda: on.nightshift.of(LATENCY), timedelta(minutes=120))
        on.system.slow_dependency(4.0)
        on.until_ended(LATENCY)
        incident = on.only(LATENCY)
        assert incident.verdict is Verdict.ESCALATED
        assert [attempt.verdict for attempt in incident.attempts] == [Verdict.INEFFECTIVE]
        assert on.written == ["ecs.UpdateService"]
        on.told(LATENCY)
        on.minutes(60)
        assert on.written == ["ecs.UpdateService"]


@pytest.mark.scenario("4.3", "ecs-latency-high")
@pytest.mark.scenario("3.2", "ecs-latency-high")
@pytest.mark.scenario("4.10", "ecs-latency-high")
def test_one_slow_path_is_named_in_the_report() -> None:
    """The code behind it, and nothing is restarted."""
    with night() as on:
        on.system.slow_path("/v1/export", 3.0)
        on.until_ended(LATENCY)
        assert "one path of delivery-standard is slow: /v1/export" in on.only(LATENCY).why
        assert "ook at the code behind /v1/export" in on.told(LATENCY)
        assert (on.queries, on.written) == (1, [])


@pytest.mark.scenario("4.3", "ecs-latency-high")
def test_answers_that_are_slow_everywhere_point_to_what_all_paths_share() -> None:
    """CPU is calm, so more tasks would not help: people are told, and nothing is done."""
    with night() as on:
        on.system.slow_dependency(2.0)
        on.until_ended(LATENCY)
        assert "4 or more of 4 paths of delivery-standard are slow" in on.only(LATENCY).why
        assert on.written == []


# -- wrong turns -----------------------------------------------------------------------------------------------------


def test_on_a_calm_day_nothing_is_opened_and_nothing_is_asked() -> None:
    """Some errors, some load: below the thresholds."""
    with night() as on:
        on.system.fail_requests(0.03)
        on.minutes(180)
        assert (on.nightshift.all, on.written, on.queries) == ([], [], 0)


def test_with_too_little_traffic_nothing_is_concluded() -> None:
    """Half of eight requests a minute fail, say: that is too few to tell."""
    with night() as on:
        on.system.requests(8)
        on.minutes(20)
        on.system.fail_requests(0.5)
        on.minutes(60)
        assert (on.nightshift.all, on.written) == ([], [])


def test_traffic_that_dries_up_is_no_recovery() -> None:
    """Requests failed, and hardly any come in since: for half an hour nobody says that it is well again."""
    with night() as on:
        on.system.fail_requests(0.3)
        on.world.run_until(lambda: on.nightshift.of(ERRORS), timedelta(minutes=30))
        on.system.requests(2)
        on.minutes(20)
        assert on.only(ERRORS).verdict is not Verdict.RECOVERED
