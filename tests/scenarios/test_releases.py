"""Bad releases: rolled back where that is right, left alone where it is not, one cause and one action."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest
from nightshift.model import Incident, Outcome, Verdict

from sandbox.deployment import Deployment
from sandbox.images import Behaviour
from sandbox.scenes import NIGHT, RELEASE, failures, release_configuration
from sandbox.services import Service
from sandbox.systems.usage_metrics import UsageMetrics
from sandbox.world import World


@dataclass(frozen=True)
class Night:
    """The usage metrics API and its aggregator, with Nightshift at work."""

    world: World
    system: UsageMetrics
    nightshift: Deployment

    @property
    def api(self) -> Service:
        """The service behind the load balancer."""
        return self.system.api

    def minutes(self, span: float) -> None:
        """Let time pass."""
        self.world.run(timedelta(minutes=span))

    def until_settled(self, limit: float = 300) -> None:
        """Until there was an incident and none is open."""
        self.world.run_until(lambda: self.nightshift.settled, timedelta(minutes=limit))

    def until(self, condition: Callable[[], object], limit: float = 120) -> None:
        """Until something is so."""
        self.world.run_until(condition, timedelta(minutes=limit))

    def only(self, remediation: str = RELEASE) -> Incident:
        """The one incident of a remediation."""
        [incident] = self.nightshift.of(remediation)
        return incident

    @property
    def writes(self) -> list[str]:
        """What was changed under any incident's name."""
        events = self.world.trail.of(writes=True)
        return [event.name for event in events if event.principal.role_arn and not event.error]


@contextmanager
def night(
    *, mode: str = "auto", settings: str = "", others: bool = False, free: bool = True, roles: bool = True
) -> Iterator[Night]:
    """A quiet half-hour under load; ``free``: the services are tagged so that nobody is asked."""
    with World(NIGHT, thin=True) as world:
        system = UsageMetrics(world)
        if free:
            for arn in (system.api.arn, system.service_arn):
                system.tag(arn, "auto-rollback", "enabled")
        toml = release_configuration(system, mode=mode, settings=settings, others=others, roles=roles)
        with Deployment(world, toml) as nightshift:
            nightshift.resume()
            system.offer(20)
            system.requests(200)
            world.run(timedelta(minutes=35))
            yield Night(world, system, nightshift)
            assert failures(world) == ()


@pytest.mark.scenario("4.7", RELEASE)
@pytest.mark.scenario("4.2", RELEASE)
@pytest.mark.scenario("4.4", RELEASE)
def test_a_release_that_fails_requests_is_rolled_back_to_what_ran_before() -> None:
    """Deployed completely, then 5xx: the last task definition that succeeded, in one write, and requests are well."""
    with night() as on:
        before = on.api.task_definition
        on.system.release(service=on.api)
        on.until(lambda: on.api.completed)
        on.system.fail_requests(0.4)
        bad = on.api.task_definition
        on.until(lambda: on.api.task_definition == before)
        on.system.fail_requests(0.0)
        on.until_settled()
        incident = on.only()
        assert (bad != before, on.api.task_definition) == (True, before)
        assert incident.verdict is Verdict.FIXED
        assert on.writes == ["ecs.UpdateService"]
        assert [(call.action, call.outcome) for call in incident.calls] == [("ecs:UpdateService", Outcome.DONE)]
        assert "bring the release back" in on.world.mail[-1].text


@pytest.mark.scenario("4.7", RELEASE)
def test_a_rollback_that_does_not_help_is_not_repeated_and_is_handed_over_once() -> None:
    """The database is the cause, and it broke when the release came: one rollback, one escalation."""
    with night() as on:
        on.system.release(service=on.api)
        on.until(lambda: on.api.completed)
        on.system.fail_requests(0.4)
        on.until_settled()
        incident = on.only()
        assert incident.verdict is Verdict.ESCALATED
        assert on.writes == ["ecs.UpdateService"]
        on.minutes(60)
        assert on.writes == ["ecs.UpdateService"]


@pytest.mark.scenario("4.7", RELEASE)
@pytest.mark.scenario("2.8", RELEASE)
def test_a_deployment_whose_tasks_crash_is_stopped_and_rolled_back_by_ecs() -> None:
    """Under way, without a circuit breaker: StopServiceDeployment, and the tasks of the revision before stay."""
    with night() as on:
        before = on.api.task_definition
        on.system.release(Behaviour.CRASHES, service=on.api)
        on.until_settled()
        assert on.only().verdict is Verdict.FIXED
        assert on.writes == ["ecs.StopServiceDeployment"]
        assert on.api.task_definition == before
        assert on.api.completed


@pytest.mark.scenario("4.7", RELEASE)
def test_what_ecs_rolls_back_itself_is_left_to_it() -> None:
    """With a circuit breaker that rolls back, it is held however many tasks fail, and nothing is written."""
    with night(settings="failed_tasks = 1\nconfirm = 1") as on:
        before = on.api.task_definition
        on.api.breaker = on.api.breaker_rolls_back = True
        on.system.release(Behaviour.CRASHES, service=on.api)
        on.until_settled()
        assert on.writes == []
        assert on.api.task_definition == before
        assert on.only().verdict is Verdict.RECOVERED


@pytest.mark.scenario("4.7", RELEASE)
def test_a_consumer_whose_release_finishes_nothing_is_rolled_back() -> None:
    """No load balancer: messages wait, and nothing was finished since the release."""
    with night() as on:
        before = on.system.service.task_definition
        on.system.release(Behaviour.HANGS)
        on.until_settled()
        incident = on.only()
        assert incident.target == on.system.service_arn
        assert incident.verdict is Verdict.FIXED
        assert on.system.service.task_definition == before
        on.minutes(30)
        assert on.system.backlog < 20


@pytest.mark.scenario("4.7", RELEASE)
def test_one_bad_release_is_one_cause_and_one_action() -> None:
    """It shows as a stalled consumer and as dead letters, too: those are held and linked, and heal with it."""
    with night(others=True) as on:
        on.system.release(Behaviour.HANGS)
        on.system.send(5)
        on.until_settled()
        on.minutes(30)
        release = on.only()
        assert release.verdict is Verdict.FIXED
        assert on.writes == ["ecs.UpdateService"]
        others = [each for each in on.nightshift.all if each.id != release.id]
        assert {each.verdict for each in others} <= {Verdict.RECOVERED}
        assert all(release.id in each.links for each in others if each.target == release.target)


@pytest.mark.scenario("4.7", RELEASE)
def test_while_a_release_waits_for_a_yes_it_alone_is_told_of() -> None:
    """Stalled tasks and dead letters come of it: they are held, linked, and have no mail of their own."""
    with night(others=True, free=False) as on:
        on.system.release(Behaviour.HANGS)
        on.system.send(5)
        on.until(lambda: on.nightshift.of(RELEASE))
        on.minutes(45)
        release, others = on.only(), [each for each in on.nightshift.all if each.remediation != RELEASE]
        assert release.open
        assert others
        assert {each.refusal.guard for each in others if each.refusal} == {"one-cause"}
        assert on.writes == []
        assert [mail.subject.split()[0] for mail in on.world.mail if mail.subject] == ["APPROVE?"]
        assert {each.id for each in others} <= set(on.nightshift.incidents.links(release.id))


# -- where going back would be wrong ---------------------------------------------------------------------------------


def test_a_person_is_asked_unless_the_service_says_otherwise() -> None:
    """Mode auto, and no tag: a rollback may meet data that the release has changed, so it waits for a yes."""
    with night(free=False) as on:
        on.system.release(service=on.api)
        on.until(lambda: on.api.completed)
        on.system.fail_requests(0.4)
        on.until(lambda: on.nightshift.all and on.only().approval is not None)
        on.minutes(5)
        assert on.writes == []
        on.nightshift.answer(on.only(), yes=True, why="roll it back")
        on.until(lambda: on.writes)
        on.system.fail_requests(0.0)
        on.until_settled()
        assert on.only().verdict is Verdict.FIXED


def test_what_was_sick_before_the_release_is_not_blamed_on_it() -> None:
    """Requests failed all along: the release is not the cause, and nobody rolls it back."""
    with night() as on:
        on.system.fail_requests(0.4)
        on.minutes(40)
        on.system.release(service=on.api)
        on.minutes(50)
        assert on.nightshift.of(RELEASE) == []
        assert on.writes == []


def test_a_restart_is_no_release() -> None:
    """Forced by hand, the same images: there is nothing to go back from."""
    with night() as on:
        on.api.deploy()
        on.until(lambda: on.api.completed)
        on.system.fail_requests(0.4)
        on.until_settled()
        assert on.only().verdict is Verdict.REFUSED
        assert "restart" in on.only().why
        assert on.writes == []


def test_a_tag_that_has_moved_on_cannot_be_gone_back_from() -> None:
    """The same task definition with another image under its tag: the report says which digest was good."""
    with night() as on:
        good = on.api.primary.image.digest.removeprefix("sha256:")[:12]
        on.system.ship_bad_api(Behaviour.FAILS)
        on.until(lambda: on.nightshift.all and on.nightshift.settled)
        incident = on.only()
        if on.writes:  # caught under way: ECS knows which images ran
            assert on.writes == ["ecs.StopServiceDeployment"]
        else:
            assert incident.verdict is Verdict.REFUSED
            assert good in incident.why


def test_a_release_is_not_rolled_back_to_one_that_has_proved_nothing() -> None:
    """Two releases within half an hour: nobody knows whether the first was good."""
    with night() as on:
        on.system.release(service=on.api)
        on.minutes(20)
        on.system.release(service=on.api)
        on.until(lambda: on.api.completed)
        on.system.fail_requests(0.4)
        on.until_settled()
        assert on.only().verdict is Verdict.REFUSED
        assert on.writes == []


def test_nobody_goes_back_twice() -> None:
    """A person has gone back already, and it is still sick: the cause is another one."""
    with night() as on:
        before = on.api.task_definition
        on.system.release(service=on.api)
        on.minutes(70)
        client = on.world.client("ecs")
        client.update_service(cluster=on.api.cluster, service=on.api.name, taskDefinition=before)
        on.until(lambda: on.api.completed)
        on.system.fail_requests(0.4)
        on.until_settled()
        assert on.only().verdict is Verdict.REFUSED
        assert "way back" in on.only().why
        assert on.writes == []


@pytest.mark.scenario("4.6", RELEASE)
def test_a_good_release_is_left_alone() -> None:
    """It rolls, it completes, it serves: no incident."""
    with night() as on:
        on.system.release(service=on.api)
        on.system.release()
        on.minutes(90)
        assert on.nightshift.all == []


def test_roles_that_nobody_named_are_not_passed_on() -> None:
    """Going back would start tasks with a role that the configuration does not name: refused, with its name."""
    with night(roles=False) as on:
        on.system.release(service=on.api)
        on.until(lambda: on.api.completed)
        on.system.fail_requests(0.4)
        on.until_settled()
        assert on.only().verdict is Verdict.REFUSED
        assert on.system.execution_role in on.only().why
        assert on.writes == []


def test_too_few_requests_prove_nothing() -> None:
    """Hardly any traffic after the rollback: whether it helped cannot be told, and the report says so."""
    with night() as on:
        before = on.api.task_definition
        on.system.release(service=on.api)
        on.until(lambda: on.api.completed)
        on.system.fail_requests(0.4)
        on.until(lambda: on.api.task_definition == before)
        on.system.fail_requests(0.0)
        on.system.requests(0.4)
        on.until_settled()
        assert on.only().verdict is Verdict.UNVERIFIABLE


def test_what_is_protected_is_not_rolled_back() -> None:
    """The tag `protected` forbids it, and the report says so."""
    with night() as on:
        on.system.protect(on.api.arn)
        on.system.release(service=on.api)
        on.until(lambda: on.api.completed)
        on.system.fail_requests(0.4)
        on.until_settled()
        assert on.only().verdict is Verdict.REFUSED
        assert on.writes == []
