"""An API behind a load balancer whose tasks do not answer: what is replaced, what is left alone, and what is said."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest
from nightshift.model import Incident, Outcome, Severity, Verdict

from sandbox.deployment import Deployment
from sandbox.faults import Kind
from sandbox.scenes import NIGHT, STALLED, UNHEALTHY, Stage, api_configuration, failures
from sandbox.services import Pace, Task
from sandbox.systems.usage_metrics import API, UsageMetrics
from sandbox.world import World


@dataclass(frozen=True)
class Api(Stage):
    """A stage on which the API behind the load balancer is played."""

    system: UsageMetrics

    @property
    def incident(self) -> Incident:
        """The one incident about its targets."""
        [incident] = self.nightshift.of(UNHEALTHY)
        return incident

    @property
    def healthy(self) -> int:
        """How many tasks the load balancer calls healthy."""
        return [state for _, state, _ in self.system.target_group.targets].count("healthy")

    @property
    def running(self) -> list[Task]:
        """The tasks that run."""
        return self.system.api.running

    @property
    def writes(self) -> list[str]:
        """What was changed under any incident's name."""
        written = self.world.trail.of(writes=True)
        return [event.name for event in written if event.principal.role_arn and not event.error]


@contextmanager
def staged(*, mode: str = "auto", settings: str = "", ecs_replaces: bool = False) -> Iterator[Api]:
    """The API at work for twenty minutes, deployed a week ago, and Nightshift switched on."""
    with World(NIGHT, thin=True) as world:
        system = UsageMetrics(world)
        if not ecs_replaces:
            system.ecs_stops_replacing()
        system.requests(300)
        world.run(timedelta(minutes=10))  # a load balancer that has never reported is one that cannot be seen
        with Deployment(world, api_configuration(system, mode=mode, settings=settings)) as nightshift:
            nightshift.resume()
            on = Api(world, system, nightshift)
            on.minutes(10)
            assert nightshift.all == []
            yield on
            assert failures(world) == ()


# -- what it cures -----------------------------------------------------------------------------------------------------


@pytest.mark.scenario("4.4", UNHEALTHY)
@pytest.mark.parametrize("how", ["fails its health checks", "hangs"])
def test_one_bad_task_is_stopped_and_its_successor_is_well(how: str) -> None:
    """Only the bad task is gone, the other one has never stopped, and both of the service's tasks are healthy."""
    with staged() as on:
        bad, good = on.running
        if how == "hangs":
            on.system.hang_api(1)
        else:
            on.system.fail_checks(1)
        on.until_settled()
        assert on.incident.verdict is Verdict.FIXED
        assert on.incident.severity is Severity.SEV3
        assert on.writes == ["ecs.StopTask"]
        assert (bad.status, bad.stop_code) == ("STOPPED", "UserInitiated")
        assert good in on.running
        assert (len(on.running), on.healthy) == (2, 2)
        [mail] = on.world.mail
        assert "FIXED" in (mail.subject or "")
        assert bad.id in mail.text
        assert all(incident.verdict is Verdict.RECOVERED for incident in on.nightshift.of(STALLED))


@pytest.mark.scenario("4.4", UNHEALTHY)
def test_ecs_has_its_five_minutes_before_a_task_is_stopped_for_it() -> None:
    """Nothing is written before the task has been unhealthy for that long."""
    with staged() as on:
        on.system.fail_checks(1)
        began = on.world.now
        on.until(lambda: on.writes)
        assert on.world.now - began > timedelta(minutes=5)


@pytest.mark.scenario("4.4", UNHEALTHY)
def test_several_bad_tasks_are_stopped_one_at_a_time() -> None:
    """Of four tasks two are bad: never more than one is being replaced, and in the end all four are well."""
    with staged() as on:
        on.system.api.scale(4)
        on.minutes(10)
        on.system.fail_checks(2)
        bad = on.running[:2]
        fewest = 4

        def watched() -> bool:
            nonlocal fewest
            fewest = min(fewest, len(on.running))
            return on.nightshift.settled

        on.until(watched, timedelta(hours=3))
        assert on.incident.verdict is Verdict.FIXED
        assert on.writes == ["ecs.StopTask", "ecs.StopTask"]
        assert [task.status for task in bad] == ["STOPPED", "STOPPED"]
        assert fewest == 3
        assert on.healthy == 4


@pytest.mark.scenario("4.4", UNHEALTHY)
def test_where_no_task_is_healthy_all_are_restarted_once_and_none_is_stopped_by_hand() -> None:
    """The load balancer still sends requests to every one of them: ECS replaces them one after the other."""
    with staged() as on:
        before = set(on.running)
        on.system.hang_api()
        on.until_settled()
        assert on.incident.verdict is Verdict.FIXED
        assert on.incident.severity is Severity.SEV1
        assert on.writes == ["ecs.UpdateService"]
        assert before.isdisjoint(on.running)
        assert on.healthy == 2


@pytest.mark.scenario("4.4", UNHEALTHY)
def test_a_restart_that_does_not_help_is_the_last_thing_that_is_tried() -> None:
    """What the health checks need is gone: one restart, one escalation, then quiet; the old tasks still answer."""
    with staged() as on:
        before = set(on.running)
        on.system.break_checks()
        on.until_settled()
        on.minutes(120)
        assert on.incident.verdict is Verdict.ESCALATED
        assert [attempt.verdict for attempt in on.incident.attempts] == [Verdict.INEFFECTIVE]
        assert on.writes == ["ecs.UpdateService"]
        assert before <= set(on.running)
        assert len(on.world.mail.about("ESCALATED")) == 1


def test_a_stop_whose_answer_is_lost_happens_once() -> None:
    """StopTask times out after its effect: ECS shows for what reason the task was stopped, and that is all."""
    with staged() as on:
        on.world.faults.add(Kind.TIMEOUT_AFTER, "ecs.StopTask", times=1)
        on.system.fail_checks(1)
        on.until_settled()
        assert on.incident.verdict is Verdict.FIXED
        assert len(on.world.trail.of("ecs.StopTask")) == 1
        assert {call.outcome for call in on.incident.calls} == {Outcome.DONE}


# -- what is not its business ------------------------------------------------------------------------------------------


@pytest.mark.scenario("4.4", UNHEALTHY)
def test_what_ecs_replaces_by_itself_is_left_to_it() -> None:
    """Recovered: nothing was written, and two healthy tasks run."""
    with staged(ecs_replaces=True) as on:
        on.system.target_group.replaced_after = timedelta(minutes=4)
        on.system.hang_api(1)
        on.until_settled()
        assert on.incident.verdict is Verdict.RECOVERED
        assert on.writes == []
        assert on.healthy == 2


@pytest.mark.scenario("4.4", UNHEALTHY)
def test_after_a_release_nothing_is_touched_and_the_report_names_the_release() -> None:
    """Half an hour after a deployment a task falls ill: held, told once while it lasts, and refused at the deadline."""
    with staged(settings='deadline = "PT2H"') as on:
        on.world.images.push(API)
        on.system.api.deploy()
        on.minutes(30)
        on.system.fail_checks(1)
        on.until_settled()
        assert on.incident.verdict is Verdict.REFUSED
        assert on.incident.refusal is not None
        assert (on.incident.refusal.guard, on.incident.refusal.link) == ("cause", on.system.api.arn)
        assert on.incident.id not in on.incident.links
        assert on.writes == []
        assert [("release came first" in mail.text) for mail in on.world.mail] == [True, True]


@pytest.mark.scenario("4.4", UNHEALTHY)
def test_while_it_is_being_deployed_nothing_is_touched() -> None:
    """A release whose tasks never become healthy: the old ones stay, and the deployment is a person's."""
    with staged(settings='deadline = "PT1H"') as on:
        on.system.break_checks()
        on.world.images.push(API)
        on.system.api.deploy()
        on.until_settled()
        assert on.incident.verdict is Verdict.REFUSED
        assert on.incident.refusal is not None
        assert on.incident.refusal.guard == "mid-change"
        assert on.writes == []


def test_a_service_that_was_stopped_on_purpose_is_not_started() -> None:
    """Desired count 0 is somebody's decision, and no failure."""
    with staged() as on:
        on.system.hang_api()
        on.system.api.scale(0)
        on.minutes(60)
        assert on.nightshift.all == []
        assert on.writes == []


def test_what_another_controller_deploys_is_not_touched() -> None:
    """CodeDeploy has a say in which task serves whom: refused, and told."""
    with staged() as on:
        on.system.api.controller = "CODE_DEPLOY"
        on.system.fail_checks(1)
        on.until_settled()
        assert on.incident.verdict is Verdict.REFUSED
        assert "CODE_DEPLOY" in on.world.mail[-1].text
        assert on.writes == []


def test_a_protected_service_is_never_touched() -> None:
    """The tag `protected` forbids everything, and the report says so."""
    with staged() as on:
        on.system.protect(on.system.api.arn)
        on.system.fail_checks(1)
        on.until_settled()
        assert on.incident.verdict is Verdict.REFUSED
        assert "protected" in on.world.mail[-1].text
        assert on.writes == []


def test_in_mode_observe_the_report_says_what_would_have_been_done() -> None:
    """The task, and that it would have been stopped; and nothing is."""
    with staged(mode="observe") as on:
        bad, _ = on.running
        on.system.fail_checks(1)
        on.until_settled()
        assert on.incident.verdict is Verdict.REFUSED
        assert bad.status == "RUNNING"
        assert any("ecs:StopTask" in mail.text and bad.id in mail.text for mail in on.world.mail)
        assert on.writes == []


def test_where_tasks_are_missing_the_stalled_service_goes_first_and_only_one_of_the_two_acts() -> None:
    """A task is bad and a third one does not come: the restart replaces them all, and no task is stopped by hand."""
    with staged() as on:
        on.system.fail_checks(1)
        quick, on.system.api.pace = on.system.api.pace, Pace(start_ms=(10**8, 10**8))
        on.system.api.scale(3)
        on.system.api.pace = quick
        on.until_settled()
        assert [incident.verdict for incident in on.nightshift.of(STALLED)] == [Verdict.FIXED]
        assert on.incident.verdict is Verdict.RECOVERED
        assert on.writes == ["ecs.UpdateService"]
        assert on.healthy == 3


# -- forensics ---------------------------------------------------------------------------------------------------------


@pytest.mark.scenario("2.8", UNHEALTHY)
def test_what_became_of_tasks_that_stopped_stands_in_the_report() -> None:
    """A task was killed because its memory was full, and its successor is bad: the report says both."""
    with staged() as on:
        first, _ = on.running
        first.container_reason = "OutOfMemoryError: Container killed due to memory usage"
        on.system.api.fail_task(first, "EssentialContainerExited", "Essential container in task exited", exit_code=137)
        on.minutes(5)
        on.system.fail_checks(1)
        on.until_settled()
        assert on.incident.verdict is Verdict.FIXED
        assert on.incident.diagnosis is not None
        assert "1 stopped task: killed: out of memory" in on.incident.diagnosis.evidence
        assert "out of memory" in on.world.mail[-1].text


@pytest.mark.scenario("2.8", UNHEALTHY)
def test_where_tasks_cannot_be_started_none_is_stopped_and_a_person_is_told_at_once() -> None:
    """A third task is wanted and its image cannot be pulled: one fewer would be worse."""
    with staged() as on:
        on.system.fail_checks(1)
        on.until(lambda: on.nightshift.of(UNHEALTHY))
        on.system.break_pulls()
        on.system.api.scale(3)
        on.until(lambda: not on.incident.open)
        assert on.incident.verdict is Verdict.REFUSED
        assert any("could not be fetched" in mail.text for mail in on.world.mail)
        assert "ecs.StopTask" not in on.writes
        assert len(on.running) == 2
