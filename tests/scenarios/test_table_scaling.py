"""
The table of OpenData Pulse that lacks capacity again and again: a person is asked whether it is to be scaled.

Played in the thin cloud, where an hour takes a second, except for the one night that is told whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest
from nightshift.model import Incident, Outcome, Phase, SwitchState, Verdict
from nightshift.prices import per_hour

from sandbox.deployment import Deployment
from sandbox.fakes.tables import Scalable
from sandbox.faults import Kind
from sandbox.scenes import NIGHT, failures
from sandbox.systems.hot_aggregates import INDEX, HotAggregates, table_configuration
from sandbox.world import World

MISSING = "dynamodb-autoscaling-missing"
THROTTLED = "dynamodb-throttled"
SYDNEY = "ap-southeast-2"
REGISTER, FOLLOW, END = "RegisterScalableTarget", "PutScalingPolicy", "DeregisterScalableTarget"
BOTH = [REGISTER, FOLLOW] * 2
AUTOSCALING = "application-autoscaling."


@dataclass(frozen=True)
class Night:
    """The table and its index, and a Nightshift that asks whether they are to be scaled."""

    world: World
    system: HotAggregates
    nightshift: Deployment

    @property
    def incident(self) -> Incident:
        """The one incident."""
        [incident] = self.nightshift.of(MISSING)
        return incident

    @property
    def scaled(self) -> dict[str, Scalable]:
        """What is scaled, by dimension."""
        return {dimension.rpartition(":")[2]: each for (_, dimension), each in self.system.tables.scaled.items()}

    @property
    def written(self) -> list[str]:
        """What was changed under any incident's name."""
        calls = (each for each in self.world.trail.of(writes=True) if each.principal.role_arn and not each.error)
        return [each.name.partition(".")[2] for each in calls]

    @property
    def mailed(self) -> list[str]:
        """The mails, each as one line, under its subject."""
        return [" ".join(f"{mail.subject} {mail.text}".split()) for mail in self.world.mail]

    def minutes(self, count: float) -> None:
        """Let so many minutes pass."""
        self.world.run(timedelta(minutes=count))

    def until(self, condition: Callable[[], object], limit: float = 300) -> None:
        """Let time pass until something is so."""
        self.world.run_until(condition, timedelta(minutes=limit))

    def until_phase(self, *phases: Phase, limit: float = 300) -> None:
        """Let time pass until the incident has come so far."""
        self.until(lambda: any(each.phase in phases for each in self.nightshift.of(MISSING)), limit)

    def say(self, *, yes: bool = True) -> None:
        """A person answers the question, once there is one."""
        self.until_phase(Phase.AWAITING)
        assert self.nightshift.answer(self.incident, yes=yes, why="we have talked about it")


@contextmanager
def night(
    *lacked: float, settings: str = "", mode: str = "auto", thin: bool = True, index: bool = False, region: str = SYDNEY
) -> Iterator[Night]:
    """A calm night, of a table that lacked writes so many hours ago."""
    with World(NIGHT, thin=thin, region=region) as world:
        system = HotAggregates(world)
        system.has_lacked(*lacked)
        toml = table_configuration(system, mode=mode, settings=(settings,), index=index, table=MISSING)
        with Deployment(world, toml) as nightshift:
            nightshift.resume()
            yield Night(world, system, nightshift)
            assert failures(world) == ()


def price(item: str) -> float:
    """The list price in Sydney."""
    found = per_hour(SYDNEY, item)
    assert found is not None
    return found


# -- asked, and done -------------------------------------------------------------------------------------------------


@pytest.mark.scenario("1.16", MISSING)
@pytest.mark.parametrize("thin", [True, False], ids=["thin", "full"])
def test_a_table_that_lacks_capacity_again_is_scaled_once_a_person_has_said_yes(thin: bool) -> None:
    """Both ways get limits and a policy; it is told what that costs at most, that it stays, and how to end it."""
    with night(60, 20, thin=thin) as on:
        on.until_phase(Phase.AWAITING)
        [question] = on.mailed
        dollars = 3 * 25 * price("dynamodb-write-unit") + 3 * 50 * price("dynamodb-read-unit")
        assert f"${dollars:.2f} an hour" in question
        for said in ("25 to 100 writes and 50 to 200 reads", "for good", "only people make"):
            assert said in question
        assert on.written == []
        on.say()
        on.until_phase(Phase.CLOSED)
        assert on.incident.verdict is Verdict.FIXED
        assert on.written == BOTH
        assert {name: (each.least, each.most) for name, each in on.scaled.items()} == {
            "WriteCapacityUnits": (25, 100),
            "ReadCapacityUnits": (50, 200),
        }
        assert [list(each.policies.values()) for each in on.scaled.values()] == [[70.0], [70.0]]
        assert on.system.capacity == (50, 25)
        assert "deregister-scalable-target" in on.mailed[-1]
        assert "DRIFT" in on.mailed[-1]
        on.system.ask(write=35)
        on.until(lambda: not on.system.throttles, 15)
        on.minutes(60)
        assert on.system.capacity[1] > 35
        assert len(on.world.mail) == 2


@pytest.mark.scenario("1.16", MISSING)
def test_of_a_table_of_which_one_half_is_scaled_the_other_is_too() -> None:
    """What somebody has had scaled stays as it is."""
    with night(60, 20) as on:
        theirs = on.system.autoscale("Read", 5, 70)
        on.say()
        on.until_phase(Phase.CLOSED)
        assert on.written == BOTH[:2]
        assert (theirs.least, theirs.most, list(theirs.policies.values())) == (5, 70, [70.0])
        assert on.incident.verdict is Verdict.FIXED


@pytest.mark.scenario("1.16", MISSING)
def test_an_index_is_scaled_itself() -> None:
    """It is a target of its own, and its table is left alone: it lacked nothing itself."""
    with night(60, 20, index=True) as on:
        on.system.has_lacked(60, 20, index=INDEX)
        on.until(lambda: [each for each in on.nightshift.all if each.phase is Phase.AWAITING], 60)
        [asked] = [each for each in on.nightshift.all if each.phase is Phase.AWAITING]
        assert asked.target == on.system.index_arn
        assert on.nightshift.answer(asked, yes=True, why="it is needed")
        on.until(lambda: on.nightshift.settled, 60)
        assert {resource for resource, _ in on.system.tables.scaled} == {f"table/{on.system.name}/index/{INDEX}"}
        [other] = [each for each in on.nightshift.all if each.target == on.system.arn]
        assert (other.verdict, other.refusal and other.refusal.guard) == (Verdict.REFUSED, "index")


# -- what is not done ------------------------------------------------------------------------------------------------


@pytest.mark.scenario("1.16", MISSING)
@pytest.mark.parametrize(
    "lacked",
    [(20,), (20, 19.5), (200, 20)],
    ids=["once", "one time that lasted", "too long ago"],
)
def test_what_happened_once_is_no_reason(lacked: tuple[float, ...]) -> None:
    """One evening is what a loan is for."""
    with night(*lacked) as on:
        on.minutes(90)
        assert on.nightshift.all == []


@pytest.mark.scenario("1.16", MISSING)
@pytest.mark.parametrize("why", ["KeyRangeThroughput", "AccountLimit"])
def test_what_more_capacity_does_not_help_does_not_count(why: str) -> None:
    """A hot key, or a quota: autoscaling would buy what nobody can use."""
    with night() as on:
        on.system.has_lacked(60, 20, why=why)
        on.minutes(90)
        assert on.nightshift.all == []


@pytest.mark.scenario("1.16", MISSING)
def test_a_table_on_demand_and_one_that_is_scaled_are_left_alone() -> None:
    """The one grows by itself, of the other the limits are somebody's: also such as scale nothing."""
    with night(60, 20) as on:
        on.system.table.on_demand = True
        on.minutes(40)
        on.system.table.on_demand = False
        for way in ("Read", "Write"):
            on.system.autoscale(way, 5, 70, policy=False)
        on.minutes(40)
        assert on.nightshift.all == []


@pytest.mark.scenario("1.16", MISSING)
def test_what_nobody_says_yes_to_is_not_done() -> None:
    """Nor is it asked again for a week."""
    with night(60, 20) as on:
        on.say(yes=False)
        on.until_phase(Phase.CLOSED)
        on.minutes(180)
        assert on.written == []
        assert len(on.nightshift.all) == 1


@pytest.mark.scenario("1.16", MISSING)
def test_it_only_says_what_it_would_do_where_it_is_observed() -> None:
    """Whatever the remediation's mode is, the target's counts."""
    with night(60, 20, mode="observe") as on:
        on.until_phase(Phase.CLOSED)
        assert (on.incident.verdict, on.written) == (Verdict.REFUSED, [])
        assert "have opendata-pulse-hot-aggregates scaled" in on.mailed[-1]


@pytest.mark.scenario("1.16", MISSING)
def test_what_is_protected_is_not_touched() -> None:
    """Somebody has said hands off."""
    with night(60, 20) as on:
        on.system.tag("protected", "true")
        on.until_phase(Phase.CLOSED)
        assert (on.incident.verdict, on.written) == (Verdict.REFUSED, [])


@pytest.mark.scenario("1.16", MISSING)
@pytest.mark.parametrize("settings, region", [("write_dollars_per_hour = 0.9", SYDNEY), ("", "eu-central-1")])
def test_what_would_cost_too_much_or_has_no_price_is_not_even_asked(settings: str, region: str) -> None:
    """The highest limit is what counts, for a day."""
    with night(60, 20, settings=settings, region=region) as on:
        on.until_phase(Phase.CLOSED)
        assert on.incident.refusal is not None
        assert (on.incident.refusal.guard, on.written) == ("cost", [])


@pytest.mark.scenario("1.16", MISSING)
def test_it_waits_while_the_table_throttles() -> None:
    """First the failure, then what keeps it from coming back; and what is short then is asked about."""
    with night(60, 20) as on:
        on.system.ask(write=35)
        on.until_phase(Phase.OPEN)
        on.minutes(30)
        assert on.incident.refusal is not None
        assert (on.incident.phase, on.incident.refusal.guard) == (Phase.OPEN, "throttled")
        on.system.ask(write=5)
        on.until_phase(Phase.AWAITING)


@pytest.mark.scenario("1.16", MISSING)
@pytest.mark.scenario("1.15", THROTTLED)
def test_a_loan_and_the_question_do_not_get_into_each_others_way() -> None:
    """What is lent goes back first: it never becomes the least; and what is scaled is not lent to any more."""
    with night(60, 20, settings=f'[remediations.{THROTTLED}]\nmode = "auto"\nlease = "PT30M"') as on:
        on.system.ask(write=35)
        on.until(lambda: any(each.lent for each in on.nightshift.of(THROTTLED)), 60)
        on.system.ask(write=5)
        on.say()
        on.minutes(30)
        assert on.written == ["UpdateTable"] * 2 + BOTH
        assert on.system.capacity == (50, 25)
        assert {each.least for each in on.scaled.values()} == {25, 50}
        assert [each.verdict for each in on.nightshift.of(THROTTLED)] == [Verdict.FIXED]


# -- both or none ----------------------------------------------------------------------------------------------------


@pytest.mark.scenario("1.16", MISSING)
@pytest.mark.parametrize("kind", [Kind.DENIED, Kind.TIMEOUT_BEFORE])
def test_limits_that_got_no_policy_are_taken_back_and_told(kind: Kind) -> None:
    """They scale nothing, and would keep loans from the table: both or none, whatever became of the second call."""
    with night(60, 20) as on:
        on.until_phase(Phase.AWAITING)
        on.world.faults.add(kind, AUTOSCALING + FOLLOW)
        on.say()
        on.until_phase(Phase.CLOSED)
        assert on.scaled == {}
        assert on.written[0] == REGISTER
        assert on.written[-1] == END
        assert on.incident.verdict is Verdict.ESCALATED
        assert on.system.capacity == (50, 25)
        assert len(on.world.mail) == 2


@pytest.mark.scenario("1.16", MISSING)
@pytest.mark.parametrize("skip", [0, 1], ids=["the first one", "the second one"])
@pytest.mark.parametrize("kind", [Kind.TIMEOUT_BEFORE, Kind.TIMEOUT_AFTER])
def test_what_is_taken_back_in_two_calls_is_taken_back_whole(kind: Kind, skip: int) -> None:
    """What became of one of two calls that IAM knows by the same name says nothing of the other."""
    with night(60, 20) as on:
        on.until_phase(Phase.AWAITING)
        on.world.faults.add(Kind.TIMEOUT_AFTER, AUTOSCALING + REGISTER, times=1)
        on.world.faults.add(kind, AUTOSCALING + END, times=1, skip=skip)
        on.say()
        on.until_phase(Phase.CLOSED)
        assert on.scaled == {}
        assert on.incident.verdict is Verdict.ESCALATED


@pytest.mark.scenario("1.16", MISSING)
@pytest.mark.parametrize("name", [REGISTER, FOLLOW])
def test_an_answer_that_was_lost_is_found_out_by_looking(name: str) -> None:
    """Nothing is sent twice; what is then half there is taken back."""
    with night(60, 20) as on:
        on.until_phase(Phase.AWAITING)
        on.world.faults.add(Kind.TIMEOUT_AFTER, AUTOSCALING + name, times=1)
        on.say()
        on.until_phase(Phase.CLOSED)
        assert on.scaled == {}
        assert on.incident.verdict is Verdict.ESCALATED
        assert Outcome.DONE in {each.outcome for each in on.incident.calls}


@pytest.mark.scenario("1.16", MISSING)
def test_without_the_role_of_aws_nothing_is_changed_and_people_are_told() -> None:
    """Nobody of us makes roles."""
    with night(60, 20) as on:
        on.system.tables.has_role = False
        on.say()
        on.until_phase(Phase.CLOSED)
        assert (on.scaled, on.written) == ({}, [])
        assert on.incident.verdict is Verdict.ESCALATED
        assert "CreateServiceLinkedRole" in on.mailed[-1]


@pytest.mark.scenario("1.16", MISSING)
def test_what_somebody_has_made_theirs_meanwhile_is_not_taken_back() -> None:
    """Another policy, or other limits: then it is left as it is, and said."""
    with night(60, 20) as on:
        on.until_phase(Phase.AWAITING)
        on.world.faults.add(Kind.TIMEOUT_AFTER, AUTOSCALING + REGISTER, times=1)
        on.say()
        on.until(lambda: on.scaled, 20)
        on.system.autoscale("Write", 10, 60)
        on.until_phase(Phase.CLOSED)
        assert END not in on.written
        assert [(each.least, each.most) for each in on.scaled.values()] == [(10, 60)]


@pytest.mark.scenario("1.16", MISSING)
def test_a_halt_between_the_question_and_the_answer_holds() -> None:
    """The kill switch is read right before each call."""
    with night(60, 20) as on:
        on.until_phase(Phase.AWAITING)
        on.nightshift.set_switch(SwitchState.HALTED, "a drill")
        on.say()
        on.minutes(30)
        assert on.written == []
