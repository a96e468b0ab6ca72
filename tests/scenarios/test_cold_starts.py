"""
A function of OpenData Pulse whose calls wait for it to start: what is kept ready for a while, and what is only told.

Whatever happens, nothing is kept ready without a person's yes, and no number of somebody else's is touched.
Played in the thin cloud, except for the one night that is told whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from nightshift import loans, prices
from nightshift.model import Incident, Phase, SwitchState, Verdict

from sandbox.deployment import Deployment
from sandbox.faults import Kind
from sandbox.scenes import NIGHT, failures
from sandbox.systems.ready_instances import Instances, ReadyInstances, instances_configuration
from sandbox.world import World

COLD = "lambda-cold-starts"
REGION = "ap-southeast-2"  # where the runbook's system is, and where the price is known
TABLE = f'[remediations.{COLD}]\nmode = "auto"\n'
KEEPS, LETS_GO = "lambda.PutProvisionedConcurrencyConfig", "lambda.DeleteProvisionedConcurrencyConfig"


@dataclass(frozen=True)
class Night:
    """The functions, and a Nightshift that looks at how their calls start."""

    world: World
    system: ReadyInstances
    nightshift: Deployment

    @property
    def api(self) -> Instances:
        """Those of the one function."""
        return self.system.api

    @property
    def incident(self) -> Incident:
        """The one incident, beside what is said of a loan that is not back."""
        [incident] = [each for each in self.nightshift.all if each.remediation != loans.NAME]
        return incident

    @property
    def written(self) -> list[str]:
        """What was changed under any incident's name, or may have been."""
        return [each.name for each in self.world.trail.of(writes=True) if each.principal.role_arn]

    @property
    def mail(self) -> str:
        """The last report, as one line."""
        last = list(self.world.mail)[-1]
        return " ".join(f"{last.subject} {last.text}".split())

    def minutes(self, count: float) -> None:
        """Let so many minutes pass."""
        self.world.run(timedelta(minutes=count))

    def until(self, phase: Phase, limit: float = 420) -> None:
        """Let time pass until the incident has come so far."""
        self.world.run_until(lambda: any(each.phase is phase for each in self.nightshift.all), timedelta(minutes=limit))

    def until_kept(self) -> None:
        """Let time pass until something is kept ready."""
        self.world.run_until(self.system.kept, timedelta(minutes=60))

    def until_settled(self, limit: float = 600) -> None:
        """Until there was an incident and none is open."""
        self.world.run_until(lambda: self.nightshift.settled, timedelta(minutes=limit))

    def say(self, *, yes: bool = True) -> None:
        """A person answers the question, once there is one."""
        self.until(Phase.AWAITING)
        assert self.nightshift.answer(self.incident, yes=yes, why="sign-ups open at three")

    def told(self, *texts: str) -> None:
        """It ended with people being told of all of this, nobody was asked, and nothing was changed."""
        self.until_settled()
        assert self.incident.verdict is Verdict.ESCALATED
        assert self.incident.approval is None
        assert [text for text in texts if text not in self.mail] == []
        assert self.written == []


@contextmanager
def night(
    tables: str = TABLE, *, mode: str = "auto", thin: bool = True, region: str = REGION, ceiling: int = 20, **has: Any
) -> Iterator[Night]:
    """A calm night until now, of a function that has this."""
    with World(NIGHT, thin=thin, region=region) as world:
        system = ReadyInstances(world)
        for name, value in has.items():
            setattr(system.etl if hasattr(system.etl, name) else system.api, name, value)
        toml = instances_configuration(system, tables=tables, mode=mode, ceiling=ceiling)
        with Deployment(world, toml) as nightshift:
            nightshift.resume()
            on = Night(world, system, nightshift)
            on.minutes(20)
            assert nightshift.all == []
            yield on
            assert failures(world) == ()


# -- kept ready, and given up ------------------------------------------------------------------------------------------


@pytest.mark.scenario("1.23", COLD)
@pytest.mark.scenario("1.25", COLD)
@pytest.mark.parametrize("thin", [True, False])
def test_instances_are_kept_ready_for_two_hours_once_a_person_has_said_yes(thin: bool) -> None:
    """The question says how many, for which alias and what it costs; calls find them, and in the end they are gone."""
    with night(thin=thin) as on:
        on.system.steep()
        on.until(Phase.AWAITING)
        for said in ("keep 15 instances", "for calls as live", "calls or not", "$0.06 an hour", "450 of 1500 calls"):
            assert said in on.mail
        assert on.system.kept() is None
        on.say()
        on.until_kept()
        assert on.system.kept() == 15
        on.until(Phase.LEASED)
        assert not on.system.waits(on.system.etl.name)
        on.until_settled()
        assert on.incident.verdict is Verdict.FIXED
        assert on.system.kept() is None
        assert on.written == [KEEPS, LETS_GO]
        assert [(call.before, call.after) for call in on.incident.calls] == [
            ({"ProvisionedConcurrentExecutions": "none"}, {"ProvisionedConcurrentExecutions": 15}),
            ({"ProvisionedConcurrentExecutions": 15}, {"ProvisionedConcurrentExecutions": "none"}),
        ]


@pytest.mark.scenario("1.23", COLD)
def test_what_the_report_says_it_costs_is_what_it_costs() -> None:
    """By the hour, by memory, by how many."""
    with night() as on:
        on.system.steep()
        on.say()
        on.until_settled()
        plan = on.incident.plan
        assert plan is not None
        assert plan.dollars == pytest.approx(15 * 0.25 * 2 * 0.0172728)
        assert on.world.bill.dollars(lambda item: prices.per_hour(REGION, item) or 0) == pytest.approx(
            plan.dollars, rel=0.02
        )


@pytest.mark.scenario("1.23", COLD)
def test_where_its_price_is_not_known_nothing_is_kept_ready() -> None:
    """Nobody is asked for money that nobody can count."""
    with night(region="eu-central-1") as on:
        on.system.steep()
        on.until_settled()
        assert on.incident.verdict is Verdict.REFUSED
        assert on.incident.refusal is not None
        assert on.incident.refusal.guard == "cost"
        assert on.written == []


@pytest.mark.scenario("1.23", COLD)
def test_no_more_are_kept_ready_than_was_said() -> None:
    """The ceiling is the configuration's; what goes past it waits, and where that is too much it is told once."""
    with night(ceiling=4) as on:
        on.system.steep()
        on.say()
        on.until_kept()
        assert on.system.kept() == 4
        on.until_settled()
        assert on.incident.verdict is Verdict.REVERTED
        assert on.system.kept() is None
        on.minutes(120)
        assert on.written == [KEEPS, LETS_GO]


@pytest.mark.scenario("1.23", COLD)
@pytest.mark.parametrize("somebody", ["sets a number", "gives it up", "has it scaled"])
def test_what_somebody_has_set_since_is_theirs(somebody: str) -> None:
    """It is left as it is when the lease ends, and people hear that."""
    with night() as on:
        on.system.steep()
        on.say()
        on.until(Phase.LEASED)
        if somebody == "sets a number":
            on.system.set_kept(30)
        elif somebody == "gives it up":
            on.api.kept.clear()
            on.system.steep(0.0)  # and knew why
        else:
            on.api.scaled = True
        left = on.system.kept()
        on.until_settled()
        assert (on.incident.verdict, on.system.kept(), on.written) == (Verdict.FIXED, left, [KEEPS])
        assert "changed by somebody else" in on.incident.why


@pytest.mark.scenario("1.23", COLD)
def test_instances_that_aws_cannot_start_are_given_up() -> None:
    """They would be paid for, and help nobody."""
    with night(cannot=True) as on:
        on.system.steep()
        on.say()
        on.until_settled()
        assert on.incident.verdict is Verdict.REVERTED
        assert on.system.kept() is None
        assert on.written == [KEEPS, LETS_GO]


@pytest.mark.scenario("1.23", COLD)
def test_instances_that_take_too_long_are_given_up_when_aws_lets_us() -> None:
    """AWS takes nothing else while it is at it: it is tried until it does."""
    with night(TABLE + 'allocating = "PT5M"\n') as on:
        on.system.takes = timedelta(minutes=25)
        on.system.steep()
        on.say()
        on.until_settled()
        on.minutes(5)
        assert on.system.kept() is None


@pytest.mark.scenario("1.23", COLD)
@pytest.mark.parametrize("kind", [Kind.TIMEOUT_AFTER, Kind.ERROR_BEFORE, Kind.LANDS_LATE])
@pytest.mark.parametrize("call", [KEEPS, LETS_GO])
def test_a_lost_answer_changes_nothing(call: str, kind: Kind) -> None:
    """Whether it happened is found out by looking, and in the end nothing is kept ready."""
    with night() as on:
        on.world.faults.add(kind, call, times=1)
        on.system.steep()
        on.say()
        on.until_settled()
        on.minutes(10)
        assert on.system.kept() is None
        assert not any(each.lent for each in on.nightshift.all)


# -- not without a yes -------------------------------------------------------------------------------------------------


@pytest.mark.scenario("1.23", COLD)
def test_a_no_is_a_no() -> None:
    """It ends, and nothing is kept ready."""
    with night() as on:
        on.system.steep()
        on.say(yes=False)
        on.until_settled()
        assert on.incident.verdict is Verdict.REFUSED
        assert on.written == []


@pytest.mark.scenario("1.23", COLD)
def test_where_it_only_watches_it_says_what_it_would_do() -> None:
    """And asks nobody."""
    with night(mode="observe") as on:
        on.system.steep()
        on.until_settled()
        assert on.incident.verdict is Verdict.REFUSED
        assert "keep 15 instances" in on.mail
        assert on.written == []


@pytest.mark.scenario("1.23", COLD)
def test_a_function_that_is_protected_is_left_alone() -> None:
    """Whoever says yes."""
    with night() as on:
        on.system.etl.tags["protected"] = "true"
        on.system.steep()
        on.until_settled()
        assert on.incident.verdict is Verdict.REFUSED
        assert on.written == []


@pytest.mark.scenario("1.23", COLD)
def test_a_halt_between_yes_and_act_forbids_it() -> None:
    """A yes is no more than leave."""
    with night() as on:
        on.system.steep()
        on.until(Phase.AWAITING)
        on.nightshift.set_switch(SwitchState.HALTED, "not tonight")
        assert on.nightshift.answer(on.incident, yes=True, why="yes")
        on.minutes(30)
        assert on.written == []


@pytest.mark.scenario("1.23", COLD)
def test_somebody_who_is_quicker_is_not_overruled() -> None:
    """Between the question and the yes a person has set a number: it stands."""
    with night() as on:
        on.system.steep()
        on.until(Phase.AWAITING)
        on.system.set_kept(3)
        assert on.nightshift.answer(on.incident, yes=True, why="yes")
        on.until_settled()
        assert on.system.kept() == 3
        assert on.written == []


@pytest.mark.scenario("1.23", COLD)
def test_calls_that_wait_no_more_have_recovered() -> None:
    """While somebody thinks about it the load has settled."""
    with night() as on:
        on.system.steep()
        on.until(Phase.AWAITING)
        on.system.steep(0.0)
        on.until_settled()
        assert on.incident.verdict is Verdict.RECOVERED
        assert on.written == []


# -- where it would not help -------------------------------------------------------------------------------------------


@pytest.mark.scenario("1.23", COLD)
def test_nothing_is_guessed_where_nobody_measures_starts() -> None:
    """Lambda Insights is off: people hear that nobody can see it, once, and nobody is asked for anything."""
    with night() as on:
        on.api.insights = False
        on.system.steep()
        on.until_settled()
        assert on.incident.verdict is Verdict.UNVERIFIABLE
        assert "Lambda Insights is off" in on.mail
        assert on.written == []


@pytest.mark.scenario("1.23", COLD)
def test_a_few_calls_that_wait_are_no_symptom() -> None:
    """The first calls after a pause always wait."""
    with night(asks=15) as on:
        on.system.steep(0.9)
        on.minutes(60)
        assert on.nightshift.all == []


@pytest.mark.scenario("1.23", COLD)
@pytest.mark.parametrize(
    "has, says",
    [
        ({"version": "$LATEST"}, "leads to $LATEST, of which AWS keeps none ready"),
        ({"by_alias": 0.4, "others_cold": 0.0}, "but not of what live leads to"),
        ({"scaled": True}, "autoscaling sets how many are kept ready"),
        ({"reserved": None, "asks": 25, "takes": 2.0}, ""),
    ],
)
def test_where_it_is_somebodys_or_would_not_help_it_is_told(has: dict[str, Any], says: str) -> None:
    """What AWS keeps ready of nothing, what others start, and what autoscaling sets."""
    with night(**has) as on:
        if not says:
            on.system.limit = 160  # of which ten are left to nobody
        if "others_cold" in has:
            on.api.others_cold = 0.3
        else:
            on.system.steep()
        on.told(says or "none to spare, of the account's 160")


@pytest.mark.scenario("1.23", COLD)
@pytest.mark.parametrize("label", ["live", "7"])
def test_a_number_that_is_there_stays(label: str) -> None:
    """Of the alias, or of the version that it leads to: AWS would refuse both at once."""
    with night() as on:
        on.system.set_kept(2, label)
        on.system.steep(0.5)
        on.told("although some are kept ready")
        assert {name: each.number for name, each in on.api.kept.items()} == {label: 2}


@pytest.mark.scenario("1.23", COLD)
def test_an_alias_that_is_being_moved_is_waited_for() -> None:
    """Whoever moves it is not disturbed; when it is done, people are asked."""
    with night(weights={"8": 0.1}) as on:
        on.system.steep()
        on.minutes(40)
        assert on.incident.phase is Phase.OPEN
        assert on.incident.refusal is not None
        assert on.incident.refusal.guard == "mid-change"
        on.api.weights.clear()
        on.until(Phase.AWAITING)
        assert on.written == []


@pytest.mark.scenario("1.23", COLD)
def test_calls_that_are_turned_away_or_fail_go_first() -> None:
    """To have it ready is no cure for those."""
    with night() as on:
        on.system.steep()
        on.system.etl.failing = 0.2
        on.minutes(40)
        assert on.incident.phase is Phase.OPEN
        assert on.incident.refusal is not None
        assert on.incident.refusal.guard == "cause"
        on.system.etl.failing = 0.0
        on.until(Phase.AWAITING)
        assert on.written == []
