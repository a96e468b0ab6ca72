"""
An ingestion that has stopped (runbook 1): which schedule is enabled again, which is left, and who is asked.

Whatever happens, a rule that is meant to be disabled stays so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from nightshift.model import Incident, Mode, Phase, SwitchState, Verdict

from sandbox.deployment import Deployment
from sandbox.faults import Kind
from sandbox.scenes import NIGHT, failures
from sandbox.systems.ingestion import Ingestion, schedule_configuration
from sandbox.world import World

DISABLED = "schedule-disabled"
HOURS = "hours-missing"
PIPELINE = "deploy-pipeline"
ENABLES = f'[remediations.{DISABLED}]\nmode = "auto"\nautomations = ["{PIPELINE}"]\n'
FILLS = f'[remediations.{HOURS}]\nmode = "auto"\n'


@dataclass(frozen=True)
class Night:
    """The ingestion, and Nightshift switched on."""

    world: World
    system: Ingestion
    nightshift: Deployment

    @property
    def written(self) -> list[str]:
        """What was changed under any incident's name, or may have been."""
        return [each.name for each in self.world.trail.of(writes=True, function="nightshift-tick", where=_for_incident)]

    def only(self, remediation: str = DISABLED) -> Incident:
        """The one incident of a remediation."""
        [incident] = self.nightshift.of(remediation)
        return incident

    def minutes(self, count: float) -> None:
        """Let so many minutes pass."""
        self.world.run(timedelta(minutes=count))

    def until(self, condition: Callable[[], object], limit: float = 600) -> None:
        """Let time pass until something is so."""
        self.world.run_until(condition, timedelta(minutes=limit))

    def until_asked(self) -> None:
        """Until a person is asked."""
        self.until(lambda: any(each.phase is Phase.AWAITING for each in self.nightshift.all))

    def until_settled(self, limit: float = 600) -> None:
        """Until there was an incident and none is open."""
        self.until(lambda: self.nightshift.all and not any(each.open for each in self.nightshift.all), limit)


def _for_incident(event: Any) -> bool:
    return event.principal.role_arn is not None


@contextmanager
def night(*settings: str, thin: bool = True, **more: Any) -> Iterator[Night]:
    """A night on which every hour was fetched so far."""
    with World(NIGHT, thin=thin) as world:
        system = Ingestion(world)
        system.tag("auto-enable", "enabled")
        with Deployment(world, schedule_configuration(system, settings=settings or (ENABLES,), **more)) as nightshift:
            nightshift.resume()
            on = Night(world, system, nightshift)
            on.minutes(30)
            assert nightshift.all == []
            yield on
            assert system.twice == []
            assert failures(world) == ()


# -- enabled again -----------------------------------------------------------------------------------------------------


@pytest.mark.scenario("1.3", "schedule-disabled")
@pytest.mark.scenario("1.5", "schedule-disabled")
@pytest.mark.parametrize("thin", [True, False])
def test_a_rule_that_an_automation_forgot_is_enabled_and_runs_again(thin: bool) -> None:
    """Nobody is asked, because its owner's tag and the configuration say so; it is over when it has run."""
    with night(thin=thin) as on:
        on.system.disable(by=PIPELINE)
        on.until_settled()
        incident = on.only()
        assert incident.verdict is Verdict.FIXED
        assert incident.diagnosis is not None
        assert PIPELINE in incident.diagnosis.cause
        assert on.system.enabled
        assert on.written == ["events.EnableRule"]
        assert on.world.now >= NIGHT + timedelta(hours=1)  # its next run is the proof, not that a call was answered
        assert on.system.runs[-1].stored


@pytest.mark.scenario("1.5", "schedule-disabled")
def test_after_a_person_a_person_is_asked() -> None:
    """Whatever the modes and the tag say: who it was stands in the question, and a yes enables it."""
    with night() as on:
        on.system.disable()
        on.until_asked()
        assert not on.system.enabled
        assert "user/operator" in on.world.mail[-1].text
        assert on.nightshift.answer(on.only(), yes=True, why="it was a test")
        on.until_settled()
        assert on.only().verdict is Verdict.FIXED
        assert on.system.enabled


@pytest.mark.scenario("1.5", "schedule-disabled")
def test_without_its_owners_tag_a_person_is_asked() -> None:
    """Also where an automation disabled it."""
    with night() as on:
        on.system.untag("auto-enable")
        on.system.disable(by=PIPELINE)
        on.until_asked()
        assert on.nightshift.answer(on.only(), yes=False, why="the API's owners asked us to stop")
        on.until_settled()
        assert on.only().verdict is Verdict.REFUSED
        assert not on.system.enabled


@pytest.mark.scenario("1.5", "schedule-disabled")
def test_what_cloudtrail_does_not_say_is_asked() -> None:
    """Nobody knows who it was: perhaps somebody who meant it."""
    with night() as on:
        on.system.trail.late = timedelta(days=1)
        on.system.disable(by=PIPELINE)
        on.until_asked()
        assert "CloudTrail does not say by whom" in on.world.mail[-1].text
        assert not on.system.enabled


@pytest.mark.scenario("1.5", "schedule-disabled")
def test_what_is_disabled_again_after_we_enabled_it_is_asked() -> None:
    """Two who disagree are not settled by who is quicker."""
    with night() as on:
        on.system.disable(by=PIPELINE)
        on.until_settled()
        on.minutes(20)
        on.system.disable(by=PIPELINE)
        on.until_asked()
        assert not on.system.enabled
        assert "disabled it again" in on.world.mail[-1].text


# -- and left ----------------------------------------------------------------------------------------------------------


@pytest.mark.scenario("1.5", "schedule-disabled")
def test_what_the_configuration_expects_to_be_disabled_stays_so() -> None:
    """And nobody is told."""
    with night(more='expected = "disabled"\n', hours=False) as on:
        on.system.disable()
        on.minutes(300)
        assert on.nightshift.all == []
        assert not on.system.enabled


@pytest.mark.scenario("1.5", "schedule-disabled")
@pytest.mark.parametrize(
    "say, guard",
    [(("expected", "disabled"), "on-purpose"), (("protected", "true"), "protected")],
)
def test_what_its_tag_says_is_meant_stays_disabled(say: tuple[str, str], guard: str) -> None:
    """It is told once, with what the tag says."""
    with night() as on:
        on.system.tag(*say)
        on.system.disable(by=PIPELINE)
        on.until_settled()
        incident = on.only()
        assert incident.verdict is Verdict.REFUSED
        assert incident.refusal is not None
        assert incident.refusal.guard == guard
        assert not on.system.enabled
        assert on.written == []


@pytest.mark.scenario("1.5", "schedule-disabled")
def test_what_is_only_watched_is_told_and_stays_disabled() -> None:
    """In mode observe the report says what would be done."""
    with night(mode="observe") as on:
        on.system.disable(by=PIPELINE)
        on.until_settled()
        assert on.only().verdict is Verdict.REFUSED
        assert "enable the rule" in on.world.mail[-1].text
        assert not on.system.enabled


@pytest.mark.scenario("1.5", "schedule-disabled")
def test_a_rule_whose_stack_is_being_updated_is_left_until_that_is_over() -> None:
    """Then it is found enabled by whoever had disabled it, and has recovered when it has run."""
    with night() as on:
        on.world.stacks.set_status(on.system.stack, "UPDATE_IN_PROGRESS")
        on.system.disable(by=PIPELINE)
        on.minutes(25)
        assert on.written == []
        on.system.enable()
        on.world.stacks.set_status(on.system.stack, "UPDATE_COMPLETE")
        on.until_settled()
        assert on.only().verdict is Verdict.RECOVERED
        assert on.written == []


def test_the_kill_switch_keeps_it_disabled() -> None:
    """Until somebody switches it on again."""
    with night() as on:
        on.nightshift.set_switch(SwitchState.PAUSED, "not tonight")
        on.system.disable(by=PIPELINE)
        on.minutes(60)
        assert not on.system.enabled
        on.nightshift.resume()
        on.until_settled()
        assert on.only().verdict is Verdict.FIXED


# -- what enabling does not cure ---------------------------------------------------------------------------------------


@pytest.mark.scenario("1.5", "schedule-disabled")
@pytest.mark.parametrize(
    "cause, says",
    [("may_start", "its permission or the rule's target is wrong"), ("has_target", "still starts nothing")],
)
def test_a_rule_that_does_not_run_although_it_was_enabled_is_escalated_once(cause: str, says: str) -> None:
    """It may not start the function any more: it stays enabled, and a person is told after one period."""
    with night() as on:
        setattr(on.system, cause, False)
        on.system.disable(by=PIPELINE)
        on.until_settled()
        assert on.only().verdict is Verdict.ESCALATED
        assert says in on.only().why
        assert on.world.now < NIGHT + timedelta(hours=3)
        assert on.written == ["events.EnableRule"]
        on.minutes(180)
        assert len(on.nightshift.of(DISABLED)) == 1


@pytest.mark.scenario("1.3", "schedule-disabled")
def test_a_rule_that_may_not_start_its_function_is_told() -> None:
    """Permissions are people's to mend: nothing is changed."""
    with night() as on:
        on.system.may_start = False
        on.until_settled()
        incident = on.only()
        assert incident.verdict is Verdict.ESCALATED
        assert incident.diagnosis is not None
        assert "its permission or the rule's target is wrong" in incident.diagnosis.cause
        assert any("get-policy" in advice for advice in incident.diagnosis.advice)
        assert on.written == []


@pytest.mark.scenario("1.3", "schedule-disabled")
def test_a_rule_that_starts_nothing_is_told_after_one_and_a_half_periods() -> None:
    """And a quarter of an hour, in which CloudTrail may yet say that it has only just been enabled."""
    with night() as on:
        on.system.has_target = False
        on.until_settled()
        incident = on.only()
        assert incident.verdict is Verdict.ESCALATED
        assert "started nothing in 95 minutes" in incident.finding.symptom
        assert on.world.now - incident.opened_at >= timedelta(minutes=15)


@pytest.mark.scenario("1.3", "schedule-disabled")
def test_a_rule_that_somebody_enabled_after_a_long_time_is_not_called_silent() -> None:
    """Nothing ran for hours because it was meant so: its first run shows that all is well."""
    with night(mode="observe") as on:
        on.system.disable()
        on.until_settled()
        on.minutes(200)
        told = len(on.world.mail)
        on.system.enable()
        on.minutes(90)
        assert on.system.runs[-1].stored
        assert len(on.world.mail) == told


@pytest.mark.parametrize("kind", [Kind.TIMEOUT_AFTER, Kind.TIMEOUT_BEFORE, Kind.ERROR_BEFORE, Kind.LANDS_LATE])
def test_an_answer_that_is_lost_enables_it_at_most_once_more(kind: Kind) -> None:
    """What became of the call is found out by looking."""
    with night() as on:
        on.world.faults.add(kind, "events.EnableRule", times=1)
        on.system.disable(by=PIPELINE)
        on.until_settled()
        assert on.only().verdict is Verdict.FIXED
        assert on.system.enabled


def test_mode_auto_is_only_for_who_may() -> None:
    """The default is to watch."""
    with night(f"[remediations.{DISABLED}]\n") as on:
        assert on.nightshift.policy.remediations[DISABLED].mode is Mode.OBSERVE


# -- hours that are missing --------------------------------------------------------------------------------------------


@pytest.mark.scenario("1.2", "hours-missing")
@pytest.mark.scenario("1.5", "schedule-disabled")
@pytest.mark.scenario("1.6", "hours-missing")
def test_hours_that_a_disabled_rule_has_missed_are_filled_in_once_it_runs() -> None:
    """Each is asked for once, the oldest first, and only after a regular run has stored something again."""
    with night(ENABLES, FILLS) as on:
        on.system.disable()
        on.until_asked()
        on.minutes(30 + 3 * 60)
        assert on.nightshift.of(HOURS) == []  # it has an incident already, and that comes first
        assert on.nightshift.answer(on.only(), yes=True, why="the maintenance is over")
        on.until(lambda: on.nightshift.of(HOURS))
        lost = on.system.missing()
        on.until_settled()
        on.until(lambda: on.system.missing() == [])  # the newest was not due before
        assert {each.verdict for each in on.nightshift.of(HOURS)} <= {Verdict.FIXED, None}
        assert [run.hour for run in on.system.asked] == lost
        assert len(lost) >= 3
        assert {len(on.system.stored(hour)) for hour in lost} == {1}
        assert not on.system.runs[0].asked


@pytest.mark.scenario("1.2", "hours-missing")
@pytest.mark.scenario("1.3", "hours-missing")
@pytest.mark.scenario("1.6", "hours-missing")
def test_what_is_fetched_from_is_not_hammered_while_it_is_down() -> None:
    """The regular runs fail: nothing is asked for until one has stored something; then the hours are filled in."""
    with night(FILLS) as on:
        on.system.api_down = True
        on.minutes(6 * 60)
        assert on.system.asked == []
        incident = on.only(HOURS)
        assert incident.refusal is not None
        assert incident.refusal.guard == "regular-run"
        on.system.api_down = False
        on.until_settled()
        assert on.only(HOURS).verdict is Verdict.FIXED
        assert len(on.system.asked) >= 4


@pytest.mark.scenario("1.6", "hours-missing")
@pytest.mark.parametrize("thin", [True, False])
def test_missing_hours_are_filled_in_one_after_the_other(thin: bool) -> None:
    """Both clouds answer alike."""
    with night(FILLS, thin=thin) as on:
        lost = on.system.lose(5, 4)
        on.until_settled()
        assert on.only(HOURS).verdict is Verdict.FIXED
        assert [run.hour for run in on.system.asked] == lost
        assert on.system.missing() == []
        assert set(on.written) == {"lambda.Invoke"}


@pytest.mark.scenario("1.4", "hours-missing")
@pytest.mark.scenario("1.6", "hours-missing")
def test_it_ends_after_two_hours_that_fail() -> None:
    """A function error is a failure though AWS answers 200; the hours behind are left, and a person is told once."""
    with night(FILLS) as on:
        lost = on.system.lose(6, 5, 4, 3)
        on.system.never |= set(lost[:2])
        on.until_settled()
        assert on.only(HOURS).verdict is Verdict.ESCALATED
        assert [run.hour for run in on.system.asked] == lost[:2]
        on.minutes(300)
        assert len(on.nightshift.of(HOURS)) == 1


@pytest.mark.scenario("1.6", "hours-missing")
def test_one_hour_that_fails_does_not_keep_the_others_back() -> None:
    """They are filled in, and what is left is handed over."""
    with night(FILLS) as on:
        lost = on.system.lose(6, 5, 4)
        on.system.never.add(lost[1])
        on.until_settled()
        assert on.only(HOURS).verdict is Verdict.ESCALATED
        assert on.system.missing() == [lost[1]]


@pytest.mark.scenario("1.6", "hours-missing")
@pytest.mark.parametrize("kind", [Kind.TIMEOUT_AFTER, Kind.TIMEOUT_BEFORE, Kind.ERROR_AFTER, Kind.LANDS_LATE])
def test_an_answer_that_is_lost_asks_for_no_hour_twice(kind: Kind) -> None:
    """What became of it is seen in the bucket."""
    with night(FILLS) as on:
        on.system.lose(5, 4)
        on.world.faults.add(kind, "lambda.Invoke", times=1)
        on.until_settled()
        assert on.system.twice == []
        if kind is not Kind.TIMEOUT_BEFORE:
            assert on.system.missing() == []


@pytest.mark.corrects("fixed-hours")
@pytest.mark.scenario("1.6", "hours-missing")
def test_what_somebody_fills_in_by_hand_meanwhile_is_not_asked_for() -> None:
    """Each hour is looked at once more, right before."""
    with night(FILLS) as on:
        lost = on.system.lose(6, 5, 4, 3)
        on.until(lambda: on.system.asked)
        on.system.store(lost[2])
        on.until_settled()
        assert on.only(HOURS).verdict is Verdict.FIXED
        assert [run.hour for run in on.system.asked] == [lost[0], lost[1], lost[3]]


@pytest.mark.scenario("1.6", "hours-missing")
def test_an_object_that_is_empty_is_no_data() -> None:
    """A run that stored nothing but a name is a run that failed."""
    with night(FILLS) as on:
        [lost] = on.system.lose(4)
        on.system.store(lost, "empty.json", b"")
        on.until_settled()
        assert [run.hour for run in on.system.asked] == [lost]


@pytest.mark.scenario("1.6", "hours-missing")
def test_the_kill_switch_ends_it_between_two_hours() -> None:
    """And what is left goes on when it is switched on again."""
    with night(FILLS) as on:
        on.system.lose(6, 5, 4)
        on.until(lambda: on.system.asked)
        on.nightshift.set_switch(SwitchState.PAUSED, "not now")
        before = len(on.system.asked)
        on.minutes(30)
        assert len(on.system.asked) <= before + 1
        on.nightshift.resume()
        on.until_settled()
        assert on.system.missing() == []


@pytest.mark.scenario("1.6", "hours-missing")
@pytest.mark.parametrize("mode", ["observe", "approve"])
def test_it_only_acts_where_it_may(mode: str) -> None:
    """What would be done is named."""
    with night(FILLS, mode=mode) as on:
        on.system.lose(5, 4)
        on.until(lambda: on.world.mail)
        on.minutes(60)
        assert on.system.asked == []
        assert "start opendata-pulse-ingest for each hour" in on.world.mail[-1].text


@pytest.mark.scenario("1.6", "hours-missing")
def test_a_function_that_somebody_has_stopped_is_not_started() -> None:
    """Reserved concurrency 0 is a decision."""
    with night(FILLS) as on:
        on.system.reserved = 0
        on.system.lose(5)
        on.minutes(30)
        assert on.system.asked == []
        incident = on.only(HOURS)
        assert incident.refusal is not None
        assert incident.refusal.guard == "stopped"
