"""
The usage metrics API under load: what is lent and given back, and what is left to autoscaling, to people, or alone.

Played in the thin cloud, where an hour takes a second, except for the one night that is told whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from nightshift.model import Incident, Outcome, Phase, Verdict

from sandbox.deployment import Deployment
from sandbox.fakes.autoscaling import Scalable
from sandbox.load_balancers import NAMESPACE
from sandbox.scenes import NIGHT, failures
from sandbox.services import Service
from sandbox.systems.usage_metrics import UsageMetrics
from sandbox.world import World

NAME = {
    "ServiceNamespace": "ecs",
    "ResourceId": "service/ioanyt-prod/delivery-standard",
    "ScalableDimension": "ecs:service:DesiredCount",
}
CPU = {"PredefinedMetricSpecification": {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"}}
CALM, BUSY, FLOOD = 600, 1150, 6000
"""requests a minute; a task of the API answers 600"""
QUICK = 'history = "PT20M"\n'


@dataclass(frozen=True)
class Night:
    """The API, two tasks of it, and a Nightshift that looks at nothing but its capacity."""

    world: World
    system: UsageMetrics
    nightshift: Deployment

    @property
    def api(self) -> Service:
        """The service."""
        return self.system.api

    @property
    def incident(self) -> Incident:
        """The one loan."""
        [incident] = self.nightshift.of("ecs-capacity-short")
        return incident

    @property
    def written(self) -> list[str]:
        """What was changed under any incident's name."""
        return [each.name for each in self.world.trail.of(writes=True) if each.principal.role_arn and not each.error]

    @property
    def told(self) -> list[str]:
        """What was mailed, by its first words."""
        return [(mail.subject or "").partition(": delivery-standard")[0] for mail in self.world.mail]

    @property
    def scaling(self) -> Scalable:
        """What autoscaling has been told."""
        return self.world.autoscaling.all[NAME["ResourceId"]]

    def minutes(self, count: float) -> None:
        """Let so many minutes pass."""
        self.world.run(timedelta(minutes=count))

    def until(self, phase: Phase, limit: float = 90) -> None:
        """Let time pass until the incident has come so far."""
        self.world.run_until(lambda: any(each.phase is phase for each in self.nightshift.all), timedelta(minutes=limit))

    def until_lent(self) -> None:
        """Let time pass until something is lent."""
        self.world.run_until(lambda: any(each.lent for each in self.nightshift.all), timedelta(minutes=60))

    def autoscale(self, least: int, most: int, *, target: float = 70.0) -> None:
        """Somebody has the API scaled by its CPU."""
        client = self.world.client("application-autoscaling")
        client.register_scalable_target(**NAME, MinCapacity=least, MaxCapacity=most)
        client.put_scaling_policy(
            **NAME,
            PolicyName="cpu",
            PolicyType="TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration={"TargetValue": target, **CPU},
        )

    def latency(self, ago: int = 3) -> float:
        """The 95th percentile of the response time a few minutes ago, in seconds."""
        minute = self.world.agenda.ms // 60_000 - ago
        series = self.world.metrics.of(NAMESPACE, "TargetResponseTime", self.system.target_group.dims)
        return series.buckets(minute, minute + 1, 1)[minute].statistic("p95")


@contextmanager
def night(*, settings: str = QUICK, warm: float = 25, mode: str = "auto", thin: bool = True) -> Iterator[Night]:
    """A calm night until now."""
    with World(NIGHT, thin=thin) as world:
        system = UsageMetrics(world)
        toml = f"""
            name = "demo"
            account = "{world.account}"
            region = "{world.region}"
            [notify]
            emails = ["oncall@example.com"]
            [remediations.ecs-capacity-short]
            {settings}
            [[systems]]
            name = "usage"
            [[systems.targets]]
            arn = "{system.api.arn}"
            mode = "{mode}"
        """
        toml = "\n".join(line.strip() for line in toml.splitlines())
        own = '[remediations.ecs-capacity-short]\nmode = "auto"'
        if "task_dollars_per_hour" not in settings:
            own += "\ntask_dollars_per_hour = 0.05"
        toml = toml.replace("[remediations.ecs-capacity-short]", own)
        with Deployment(world, toml) as nightshift:
            nightshift.resume()
            system.requests(CALM)
            world.run(timedelta(minutes=warm))
            yield Night(world, system, nightshift)
            assert failures(world) == ()


# -- lent, and given back --------------------------------------------------------------------------------------------


@pytest.mark.scenario("1.25", "ecs-capacity-short")
@pytest.mark.scenario("2.5", "ecs-capacity-short")
@pytest.mark.scenario("4.3", "ecs-capacity-short")
@pytest.mark.scenario("4.8", "ecs-capacity-short")
def test_a_service_under_load_is_lent_a_task_for_an_hour() -> None:
    """CPU and latency rise, one task more is lent, both fall, that is proven, and the task is given back."""
    with night(settings="", warm=62, thin=False) as on:
        on.system.requests(BUSY)
        on.until_lent()
        slow = on.latency()
        assert (on.api.desired, len(on.api.deployments)) == (3, 1)
        on.until(Phase.LEASED)
        assert on.incident.verdict is Verdict.FIXED
        assert on.latency() < slow / 3
        on.system.requests(CALM)
        on.until(Phase.CLOSED)
        assert (on.api.desired, on.incident.verdict) == (2, Verdict.FIXED)
        began = on.incident.attempts[0].started_at
        assert on.incident.closed_at == began + timedelta(hours=1)
        assert on.written == ["ecs.UpdateService"] * 2
        assert [(call.before, call.after) for call in on.incident.calls] == [
            ({"desiredCount": 2}, {"desiredCount": 3}),
            ({"desiredCount": 3}, {"desiredCount": 2}),
        ]
        assert on.told == ["FIXED, ON LEASE until 03:09 UTC", "FIXED, lease returned"]
        assert "$0.05 an hour" in on.world.mail[0].text
        on.minutes(30)
        assert len(on.nightshift.all) == 1


@pytest.mark.scenario("4.8", "ecs-capacity-short")
def test_load_that_is_still_there_when_the_lease_ends_is_lent_to_again() -> None:
    """What was lent goes back in any case; what is short then is a new incident, with a loan of its own."""
    with night() as on:
        on.system.requests(BUSY)
        on.until(Phase.CLOSED)
        assert on.api.desired == 2
        on.world.run_until(lambda: on.api.desired == 3, timedelta(minutes=30))
        assert len(on.nightshift.all) == 2


@pytest.mark.scenario("4.8", "ecs-capacity-short")
def test_a_maximum_that_autoscaling_has_reached_is_raised_and_restored() -> None:
    """Autoscaling starts the task itself; the minimum and what is suspended stay as they are."""
    with night() as on:
        on.autoscale(1, 2)
        on.system.requests(BUSY)
        on.until_lent()
        assert (on.scaling.least, on.scaling.most) == (1, 3)
        on.until(Phase.LEASED)
        assert (on.api.desired, on.incident.verdict) == (3, Verdict.FIXED)
        on.until(Phase.CLOSED)
        assert (on.scaling.least, on.scaling.most, on.api.desired) == (1, 2, 2)
        assert on.written == ["application-autoscaling.RegisterScalableTarget"] * 2
        assert not any(on.scaling.suspended.values())


@pytest.mark.scenario("4.8", "ecs-capacity-short")
def test_what_does_not_help_is_taken_back_and_handed_over_once() -> None:
    """Load far above what one loan carries: no second loan, the first is taken back, one report, then quiet."""
    with night() as on:
        on.system.requests(FLOOD)
        on.until(Phase.CLOSED)
        assert on.incident.verdict is Verdict.REVERTED
        assert [attempt.verdict for attempt in on.incident.attempts] == [Verdict.INEFFECTIVE]
        assert on.api.desired == 2
        on.minutes(60)
        assert on.told == ["REVERTED, needs you"]
        assert on.written == ["ecs.UpdateService"] * 2


@pytest.mark.scenario("4.8", "ecs-capacity-short")
def test_a_person_is_asked_first_where_the_mode_says_so() -> None:
    """With the plan and what it costs; after a yes it is done."""
    with night(mode="approve") as on:
        on.system.requests(BUSY)
        on.until(Phase.AWAITING)
        assert on.api.desired == 2
        assert "run 3 tasks of delivery-standard instead of 2" in on.world.mail[-1].text
        assert "$0.05 an hour" in on.world.mail[-1].text
        assert on.nightshift.answer(on.incident, yes=True, why="go")
        on.until_lent()
        assert on.api.desired == 3


@pytest.mark.scenario("2.5", "ecs-capacity-short")
def test_where_nobody_has_said_what_a_task_costs_none_is_lent() -> None:
    """What may be spent could not be kept: people are told so, and nothing is changed."""
    with night(settings=QUICK + "# no task_dollars_per_hour\n") as on:
        on.system.requests(BUSY)
        on.until(Phase.CLOSED)
        assert on.incident.verdict is Verdict.REFUSED
        assert on.incident.refusal is not None
        assert on.incident.refusal.guard == "cost"
        assert (on.api.desired, on.written) == (2, [])


# -- somebody else's -------------------------------------------------------------------------------------------------


@pytest.mark.scenario("2.5", "ecs-capacity-short")
def test_below_its_maximum_the_number_of_tasks_is_autoscalings() -> None:
    """It is waited for, and has started the task itself before anything else could be done."""
    with night(settings=QUICK + "short_for = 2\n") as on:
        on.autoscale(2, 4, target=80.0)
        on.system.requests(BUSY)
        on.until(Phase.CLOSED)
        assert on.api.desired == 3
        assert on.written == []
        assert on.incident.verdict is Verdict.RECOVERED


def test_autoscaling_that_does_not_act_is_told_and_left_alone() -> None:
    """Below its maximum, and its policy wants it so: a person hears of it, and nothing is done."""
    with night(settings=QUICK + 'deadline = "PT40M"\n') as on:
        on.autoscale(2, 4, target=95.0)
        on.system.requests(BUSY)
        on.until(Phase.CLOSED)
        assert (on.written, on.api.desired) == ([], 2)
        assert on.incident.verdict is Verdict.REFUSED
        assert on.incident.refusal is not None
        assert on.incident.refusal.guard == "autoscaling"
        assert "autoscaling may still start tasks itself" in on.world.mail[0].text


def test_autoscaling_that_somebody_has_suspended_is_left_alone() -> None:
    """Somebody is at it."""
    with night() as on:
        on.autoscale(2, 2)
        on.world.client("application-autoscaling").register_scalable_target(
            **NAME, SuspendedState={"DynamicScalingOutSuspended": True}
        )
        on.system.requests(BUSY)
        on.until(Phase.CLOSED)
        assert (on.written, on.incident.verdict) == ([], Verdict.REFUSED)
        assert "suspended" in on.incident.why


@pytest.mark.scenario("4.8", "ecs-capacity-short")
def test_a_number_that_somebody_has_set_since_is_left_alone() -> None:
    """The lease ends, and nothing is put back: the report says that somebody else has changed it."""
    with night() as on:
        on.system.requests(BUSY)
        on.until(Phase.LEASED)
        on.api.scale(5)
        on.until(Phase.CLOSED)
        assert (on.api.desired, on.incident.verdict) == (5, Verdict.FIXED)
        assert on.written == ["ecs.UpdateService"]
        assert "changed by somebody else" in on.world.mail[-1].text


def test_a_number_that_somebody_sets_at_once_is_left_alone_too() -> None:
    """Before the loan has shown whether it helps: what they did is judged, and not undone."""
    with night() as on:
        on.system.requests(BUSY)
        on.until_lent()
        on.api.scale(6)
        on.until(Phase.CLOSED, limit=120)
        assert on.api.desired == 6
        assert on.written == ["ecs.UpdateService"]
        assert "changed by somebody else" in on.incident.why


def test_what_autoscaling_has_pulled_back_meanwhile_is_left_alone() -> None:
    """Somebody has the service scaled during the lease: its number of tasks is autoscaling's from then on."""
    with night() as on:
        on.system.requests(BUSY)
        on.until(Phase.LEASED)
        on.autoscale(1, 2, target=60.0)
        on.system.requests(CALM)
        on.world.run_until(lambda: on.api.desired == 2, timedelta(minutes=30))
        on.until(Phase.CLOSED)
        assert on.written == ["ecs.UpdateService"]
        assert "changed by somebody else" in on.incident.why


def test_a_service_that_somebody_has_stopped_meanwhile_is_not_started_by_giving_back() -> None:
    """Autoscaling is suspended and the service stopped, for maintenance: new limits would clamp it to the minimum."""
    with night() as on:
        on.autoscale(2, 2)
        on.system.requests(BUSY)
        on.until(Phase.LEASED)
        suspended = dict.fromkeys(on.scaling.suspended, True)
        on.world.client("application-autoscaling").register_scalable_target(**NAME, SuspendedState=suspended)
        on.api.scale(0)
        on.until(Phase.CLOSED)
        assert on.api.desired == 0
        assert on.written == ["application-autoscaling.RegisterScalableTarget"]
        assert "changed by somebody else" in on.incident.why


def test_a_service_that_was_stopped_on_purpose_is_not_scaled() -> None:
    """Desired count 0 is somebody's decision, however much load there is."""
    with night() as on:
        on.system.requests(FLOOD)
        on.minutes(3)
        on.api.scale(0)
        on.minutes(60)
        assert on.api.desired == 0
        assert (on.nightshift.all, on.written) == ([], [])


def test_a_protected_service_is_not_scaled() -> None:
    """The tag `protected` forbids everything."""
    with night() as on:
        on.system.protect(on.api.arn)
        on.system.requests(BUSY)
        on.until(Phase.CLOSED)
        assert (on.written, on.incident.verdict) == ([], Verdict.REFUSED)
        assert "protected" in on.world.mail[-1].text


# -- other causes ----------------------------------------------------------------------------------------------------


@pytest.mark.scenario("2.11", "ecs-capacity-short")
def test_a_leak_is_told_from_load_and_the_report_advises_a_restart() -> None:
    """Memory rises with the age of the tasks, and load does not: more tasks would leak, too."""
    with night(settings="", warm=0) as on:
        on.api.settle(timedelta(0))
        on.system.leak_memory(38)
        on.until(Phase.CLOSED, limit=100)
        assert (on.written, on.api.desired) == ([], 2)
        assert on.incident.verdict is Verdict.REFUSED
        assert on.incident.refusal is not None
        assert on.incident.refusal.guard == "leak"
        assert "restart its tasks" in on.world.mail[-1].text


@pytest.mark.scenario("2.11", "ecs-capacity-short")
def test_tasks_that_are_killed_for_their_memory_are_not_multiplied() -> None:
    """They are too small: a person must give them more."""
    with night() as on:
        on.api.fail_task(on.api.running[0], "EssentialContainerExited", "OutOfMemoryError: killed", exit_code=137)
        on.system.requests(BUSY)
        on.until(Phase.CLOSED)
        assert (on.written, on.incident.verdict) == ([], Verdict.REFUSED)
        assert "killed for their memory" in on.incident.why


def test_a_service_that_is_being_deployed_is_left_alone() -> None:
    """A release that never becomes healthy, under load: held, and refused at the deadline."""
    with night(settings=QUICK + 'deadline = "PT30M"\n') as on:
        on.system.ship_bad_api()
        on.system.requests(BUSY)
        on.until(Phase.CLOSED)
        assert (on.written, on.incident.verdict) == ([], Verdict.REFUSED)
        assert on.incident.refusal is not None
        assert on.incident.refusal.guard == "mid-change"


def test_what_began_after_a_release_is_the_releases_doing() -> None:
    """For an hour; and the incident is not linked with itself."""
    with night(settings=QUICK + 'deadline = "PT30M"\n') as on:
        on.world.images.push("delivery-standard")
        on.api.deploy()
        on.minutes(5)
        on.system.requests(BUSY)
        on.until(Phase.CLOSED)
        assert (on.written, on.incident.verdict, on.incident.links) == ([], Verdict.REFUSED, ())
        assert on.incident.refusal is not None
        assert on.incident.refusal.guard == "cause"


@pytest.mark.scenario("2.5", "ecs-capacity-short")
@pytest.mark.parametrize("scaled", [False, True])
def test_nothing_is_lent_above_the_ceiling(scaled: bool) -> None:
    """At the ceiling a person is told, at once."""
    with night(settings=QUICK + "ceiling = 2\n") as on:
        if scaled:
            on.autoscale(2, 2)
        on.system.requests(BUSY)
        on.until(Phase.CLOSED)
        assert (on.written, on.incident.verdict) == ([], Verdict.REFUSED)
        assert "the ceiling is 2" in on.world.mail[-1].text


def test_a_task_for_which_there_is_no_place_is_given_back_at_once() -> None:
    """ECS says so, and the report says it in ECS's words."""
    with night() as on:
        place: Any = on.api
        message = "was unable to place a task. Reason: Capacity is unavailable at this time."
        place._begin = lambda task: place._say(message)
        on.system.requests(BUSY)
        on.until(Phase.CLOSED)
        assert on.api.desired == 2
        assert on.incident.verdict is Verdict.REVERTED
        assert "Capacity is unavailable at this time" in on.incident.why
        assert on.incident.closed_at is not None
        assert on.incident.closed_at - on.incident.opened_at < timedelta(minutes=10)
        assert {call.outcome for call in on.incident.calls} == {Outcome.DONE}
