"""
Work on a service: it is stopped for whoever asks, left alone meanwhile, and started again; by them, or by the clock.

Played in the thin cloud, except for the one night that is told whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest
from nightshift.model import Incident, Phase, Severity, Verdict

from sandbox.deployment import Deployment
from sandbox.fakes.autoscaling import Scalable
from sandbox.faults import Kind
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
SUSPENDED = ("DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended")
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Night:
    """The API, two tasks of it, and somebody who wants to work on it."""

    world: World
    system: UsageMetrics
    nightshift: Deployment

    @property
    def api(self) -> Service:
        """The service."""
        return self.system.api

    @property
    def incident(self) -> Incident:
        """The maintenance."""
        [incident] = self.nightshift.of("ecs-maintenance")
        return incident

    @property
    def written(self) -> list[str]:
        """What was changed under any incident's name."""
        calls = (each for each in self.world.trail.of(writes=True) if each.principal.role_arn and not each.error)
        return [each.name.partition(".")[2] for each in calls]

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

    def until(self, phase: Phase, limit: float = 120) -> None:
        """Let time pass until the maintenance has come so far."""
        self.world.run_until(lambda: self.incident.phase is phase, timedelta(minutes=limit))

    def start(self, minutes: float = 60, why: str = "new schema") -> Incident | None:
        """Somebody asks for it."""
        return self.nightshift.start_maintenance(self.api.arn, timedelta(minutes=minutes), why)

    def autoscale(self, least: int, most: int) -> None:
        """Somebody has the API scaled by its CPU."""
        client = self.world.client("application-autoscaling")
        client.register_scalable_target(**NAME, MinCapacity=least, MaxCapacity=most)
        client.put_scaling_policy(
            **NAME,
            PolicyName="cpu",
            PolicyType="TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration={"TargetValue": 70.0, **CPU},
        )


@contextmanager
def night(*, thin: bool = True, mode: str = "auto", more: str = "", extra: str = "") -> Iterator[Night]:
    """A calm night until now."""
    with World(NIGHT, thin=thin) as world:
        system = UsageMetrics(world)
        toml = f"""
            name = "demo"
            account = "{world.account}"
            region = "{world.region}"
            [notify]
            emails = ["oncall@example.com"]
            {extra}
            [remediations.ecs-maintenance]
            mode = "{mode}"
            [remediations.ecs-service-stalled]
            mode = "auto"
            [remediations.ecs-capacity-short]
            mode = "auto"
            [[systems]]
            name = "usage"
            [[systems.targets]]
            arn = "{system.api.arn}"
            mode = "auto"
            {more}
        """
        with Deployment(world, "\n".join(line.strip() for line in toml.splitlines())) as nightshift:
            nightshift.resume()
            system.requests(600)
            world.run(timedelta(minutes=10))
            yield Night(world, system, nightshift)
            assert failures(world) == ()


# -- stopped, and started again --------------------------------------------------------------------------------------


@pytest.mark.scenario("2.20", "ecs-maintenance")
def test_a_service_is_stopped_for_whoever_asks_and_starts_again_when_they_say_so() -> None:
    """No task runs and autoscaling is suspended; when the work is done, both are as they were, autoscaling last."""
    with night(thin=False) as on:
        on.autoscale(2, 4)
        asked = on.start()
        assert asked is not None
        on.until(Phase.LEASED, 15)
        assert (on.api.desired, on.api.running) == (0, [])
        assert [on.scaling.suspended[name] for name in SUSPENDED] == [True] * 3
        assert on.written == ["RegisterScalableTarget", "UpdateService"]
        on.minutes(20)
        assert on.nightshift.end_maintenance(on.incident)
        on.until(Phase.CLOSED, 5)
        assert on.incident.verdict is Verdict.FIXED
        assert on.api.desired == 2
        assert [on.scaling.suspended[name] for name in SUSPENDED] == [False] * 3
        assert (on.scaling.least, on.scaling.most) == (2, 4)
        assert on.written[2:] == ["UpdateService", "RegisterScalableTarget"]
        on.minutes(10)
        assert on.api.completed
        assert len(on.nightshift.all) == 1
        assert "operator" in on.incident.why


@pytest.mark.scenario("2.20", "ecs-maintenance")
def test_what_nobody_ends_starts_again_at_its_end_and_people_are_told() -> None:
    """The dead man's timer: at the time that was said it runs again, and somebody is paged."""
    with night() as on:
        asked = on.start(30)
        assert asked is not None
        until = asked.deadline
        on.until(Phase.CLOSED)
        assert timedelta(0) <= on.world.now - until <= timedelta(minutes=2)
        assert on.api.desired == 2
        assert on.incident.verdict is Verdict.ESCALATED
        assert on.incident.severity is Severity.SEV2
        assert "nobody has ended it" in on.incident.why
        on.minutes(1)
        assert on.told == ["STOPPED until 01:40 UTC", "ESCALATED, needs you"]
        on.minutes(15)
        assert on.api.completed
        assert len(on.nightshift.all) == 1


@pytest.mark.scenario("2.20", "ecs-maintenance")
def test_of_two_people_at_once_the_second_is_told_who_was_first() -> None:
    """One maintenance of a service at a time: the second is not begun, and the first one's end is not moved."""
    with night() as on:
        assert on.start(30, "mine") is not None
        assert (
            on.nightshift.start_maintenance(on.api.arn, timedelta(hours=5), "no, mine", "arn:aws:iam::1:user/b") is None
        )
        on.until(Phase.CLOSED)
        assert on.written == ["UpdateService", "UpdateService"]
        assert on.world.now - on.incident.opened_at <= timedelta(minutes=31)


@pytest.mark.scenario("2.20", "ecs-maintenance")
def test_the_next_maintenance_needs_no_memory_of_the_last() -> None:
    """However the last one ended, a service can be stopped again."""
    with night() as on:
        on.start(20)
        on.until(Phase.CLOSED)
        on.minutes(10)
        assert on.start(30) is not None
        on.world.run_until(lambda: on.api.desired == 0, timedelta(minutes=5))
        on.minutes(35)
        assert on.api.desired == 2
        assert [each.verdict for each in on.nightshift.all] == [Verdict.ESCALATED] * 2


@pytest.mark.scenario("2.20", "ecs-maintenance")
def test_a_service_that_was_changed_before_it_was_stopped_is_asked_about_again() -> None:
    """The yes was to stop two tasks. Three are another plan: nothing is done until somebody says yes to that one."""
    with night() as on:
        on.start(60)
        on.api.scale(3)
        on.minutes(3)
        assert on.written == []
        assert on.incident.phase is Phase.AWAITING
        assert on.told == ["APPROVE? by 02:10 UTC"]
        assert on.nightshift.answer(on.incident, yes=True, why="three, then")
        on.until(Phase.LEASED)
        assert on.api.desired == 0
        on.until(Phase.CLOSED)
        assert on.api.desired == 3


@pytest.mark.scenario("2.20", "ecs-maintenance")
def test_what_ecs_refuses_leaves_autoscaling_as_it_was() -> None:
    """Suspended for a service that nobody may stop, it goes on at once: what was refused needs no taking back."""
    with night() as on:
        on.autoscale(1, 4)
        on.world.faults.add(Kind.DENIED, "ecs.UpdateService", times=None)
        on.start(60)
        on.until(Phase.CLOSED, 5)
        assert on.incident.verdict is Verdict.REVERTED
        assert "ecs:UpdateService" in on.incident.why
        assert [on.scaling.suspended[name] for name in SUSPENDED] == [False] * 3
        assert on.api.desired == 2
        on.minutes(10)
        assert on.nightshift.of("lease-not-restored") == []


@pytest.mark.scenario("2.20", "ecs-maintenance")
def test_what_somebody_started_meanwhile_is_left_as_they_have_it() -> None:
    """A number that is neither ours nor the old one is somebody's: it is not overwritten, and people are told."""
    with night() as on:
        on.autoscale(1, 4)
        on.start(60)
        on.until(Phase.LEASED)
        on.api.scale(1)
        on.until(Phase.CLOSED)
        assert on.api.desired == 1
        assert all(on.scaling.suspended[name] for name in SUSPENDED)
        assert on.written == ["RegisterScalableTarget", "UpdateService"]
        assert "changed by somebody else" in on.incident.why
        on.minutes(2)
        [own] = on.nightshift.of("lease-not-restored")
        assert own.verdict is Verdict.ESCALATED
        assert own.diagnosis is not None
        assert any("--desired-count 2" in each for each in own.diagnosis.advice)


@pytest.mark.scenario("2.20", "ecs-maintenance")
def test_what_somebody_started_as_it_was_has_its_autoscaling_back() -> None:
    """Started by hand with as many tasks as before, and forgotten: what is still as we set it goes back."""
    with night() as on:
        on.autoscale(2, 4)
        on.start(60)
        on.until(Phase.LEASED)
        on.api.scale(2)
        assert on.nightshift.end_maintenance(on.incident)
        on.until(Phase.CLOSED)
        assert (on.api.desired, on.incident.verdict) == (2, Verdict.FIXED)
        assert not any(on.scaling.suspended[name] for name in SUSPENDED)


@pytest.mark.scenario("2.20", "ecs-maintenance")
def test_what_was_suspended_before_stays_suspended() -> None:
    """Somebody had suspended scaling in: that is how it was, and so how it is again."""
    with night() as on:
        on.autoscale(2, 4)
        client = on.world.client("application-autoscaling")
        client.register_scalable_target(**NAME, SuspendedState={"DynamicScalingInSuspended": True})
        on.start(20)
        on.until(Phase.CLOSED)
        assert [on.scaling.suspended[name] for name in SUSPENDED] == [True, False, False]


# -- when it must wait, and when it must not -------------------------------------------------------------------------


@pytest.mark.scenario("2.20", "ecs-maintenance")
def test_a_pause_does_not_keep_a_service_stopped() -> None:
    """Paused means that what we did is taken back: also that a service is stopped."""
    with night() as on:
        on.start(30)
        on.until(Phase.LEASED)
        on.nightshift.pause("looking into something else")
        on.until(Phase.CLOSED)
        assert on.api.desired == 2


@pytest.mark.scenario("2.20", "ecs-maintenance")
def test_a_halt_at_its_end_keeps_it_stopped_and_says_so() -> None:
    """Halted means that nothing is written: people hear that it should be running, and once they resume, it is."""
    with night() as on:
        on.start(30)
        on.until(Phase.LEASED)
        on.nightshift.pause("all hands off", hard=True)
        on.minutes(60)
        assert on.api.desired == 0
        [own] = on.nightshift.of("lease-not-restored")
        assert (own.verdict, own.severity, own.links) == (Verdict.ESCALATED, Severity.SEV2, (on.incident.id,))
        assert on.told == ["STOPPED until 01:40 UTC", "ESCALATED, needs you"]
        on.nightshift.resume()
        on.minutes(7)
        assert on.api.desired == 2


@pytest.mark.scenario("2.20", "ecs-maintenance")
def test_nothing_is_stopped_while_it_is_being_deployed() -> None:
    """It waits until the deployment is complete, and stops then what that has left."""
    with night() as on:
        on.start(60)
        on.world.client("ecs").update_service(cluster=on.api.cluster, service=on.api.name, forceNewDeployment=True)
        on.minutes(1.5)
        assert on.api.desired == 2
        on.until(Phase.LEASED)
        assert on.api.desired == 0


@pytest.mark.scenario("2.20", "ecs-maintenance")
def test_a_window_in_which_people_work_is_when_this_is_done() -> None:
    """A maintenance window holds cures back, and not what people ask for."""
    window = """
        [[calendar.windows]]
        name = "work"
        begins = "00:00"
        ends = "23:59"
    """
    with night(extra=window, more='maintenance = ["work"]') as on:
        on.start(30)
        on.until(Phase.LEASED, 10)
        assert on.api.desired == 0


@pytest.mark.scenario("2.20", "ecs-maintenance")
def test_what_is_ended_before_it_was_begun_is_never_begun() -> None:
    """Halted, so it waits; then it is withdrawn."""
    with night() as on:
        on.nightshift.pause("not now")
        asked = on.start(60)
        assert asked is not None
        on.minutes(3)
        assert on.nightshift.end_maintenance(asked)
        assert not on.nightshift.end_maintenance(asked)
        on.nightshift.resume()
        on.minutes(3)
        assert (on.incident.verdict, on.written) == (Verdict.REFUSED, [])
        assert "withdrawn by" in on.incident.why


@pytest.mark.scenario("2.20", "ecs-maintenance")
@pytest.mark.parametrize("mode, more", [("observe", ""), ("auto", "protected = true")], ids=["observed", "protected"])
def test_what_may_not_be_touched_is_not_stopped_for_anybody(mode: str, more: str) -> None:
    """Where Nightshift only watches, or the service is protected, nothing is begun."""
    with night(mode=mode, more=more) as on:
        assert on.start() is None
        on.minutes(3)
        assert (on.nightshift.all, on.written) == ([], [])


@pytest.mark.scenario("2.20", "ecs-maintenance")
def test_what_runs_outside_its_limits_is_not_stopped() -> None:
    """The call that suspends would bring it within them: somebody has to say first what is right."""
    with night() as on:
        on.autoscale(2, 4)
        on.api.scale(6)
        assert on.start() is None


@pytest.mark.scenario("2.20", "ecs-maintenance")
def test_a_service_that_will_not_stop_is_given_back() -> None:
    """Somebody starts it while it is being stopped: it is theirs, it is told, and nothing more is done."""
    with night() as on:
        on.start(60)
        on.world.run_until(lambda: on.api.desired == 0, timedelta(minutes=5))
        on.api.scale(5)
        on.until(Phase.CLOSED)
        assert (on.api.desired, on.incident.verdict) == (5, Verdict.ESCALATED)
        assert on.written == ["UpdateService"]


@pytest.mark.scenario("2.20", "ecs-maintenance")
def test_no_cure_is_begun_where_people_work() -> None:
    """Somebody tries to start it, and nothing runs: it is theirs until they are done, and then it is looked after."""
    with night() as on:
        on.start(60, "new schema")
        on.until(Phase.LEASED)
        on.api.desired = 2  # and ECS finds no place for them
        on.minutes(20)
        [stalled] = on.nightshift.of("ecs-service-stalled")
        assert (stalled.attempts, on.written) == ((), ["UpdateService"])
        assert stalled.refusal is not None
        assert stalled.refusal.guard == "window"
        assert "new schema" in stalled.refusal.reason
