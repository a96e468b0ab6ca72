"""
The table of OpenData Pulse under load: what is lent and given back, what is left to autoscaling, and what is told.

Played in the thin cloud, where an hour takes a second, except for the one night that is told whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest
from nightshift import loans
from nightshift.model import Incident, Outcome, Phase, Severity, Verdict
from nightshift.prices import per_hour

from sandbox.deployment import Deployment
from sandbox.faults import Kind
from sandbox.scenes import NIGHT, failures
from sandbox.systems.hot_aggregates import INDEX, HotAggregates, table_configuration
from sandbox.world import World

THROTTLED = "dynamodb-throttled"
SYDNEY = "ap-southeast-2"
BUSY = 35
"""writes a second: the table has 25"""
UPDATES = "dynamodb.UpdateTable"
LIMITS = "application-autoscaling.RegisterScalableTarget"


@dataclass(frozen=True)
class Night:
    """The table and its index, and a Nightshift that looks at nothing but their capacity."""

    world: World
    system: HotAggregates
    nightshift: Deployment

    @property
    def incident(self) -> Incident:
        """The one incident, beside what is said of a loan that is not back."""
        [incident] = [each for each in self.nightshift.all if each.remediation != loans.NAME]
        return incident

    @property
    def not_back(self) -> Incident:
        """The one incident that says of it that its loan is not back."""
        [own] = self.nightshift.of(loans.NAME)
        assert (own.links, self.incident.links) == ((self.incident.id,), (own.id,))
        return own

    def of(self, arn: str) -> Incident:
        """The one incident of a target."""
        [incident] = [each for each in self.nightshift.all if each.target == arn]
        return incident

    @property
    def written(self) -> list[str]:
        """What was changed under any incident's name."""
        return [each.name for each in self.world.trail.of(writes=True) if each.principal.role_arn and not each.error]

    @property
    def told(self) -> list[str]:
        """What was mailed, by its first words."""
        return [(mail.subject or "").partition(": ")[0] for mail in self.world.mail]

    @property
    def mailed(self) -> list[str]:
        """The mails, each as one line."""
        return [" ".join(mail.text.split()) for mail in self.world.mail]

    def minutes(self, count: float) -> None:
        """Let so many minutes pass."""
        self.world.run(timedelta(minutes=count))

    def until(self, phase: Phase, limit: float = 120) -> None:
        """Let time pass until an incident has come so far; one about a loan that is not back does not count."""

        def come() -> bool:
            return any(each.phase is phase for each in self.nightshift.all if each.remediation != loans.NAME)

        self.world.run_until(come, timedelta(minutes=limit))

    def until_lent(self) -> None:
        """Let time pass until something is lent."""
        self.world.run_until(lambda: any(each.lent for each in self.nightshift.all), timedelta(minutes=60))


@contextmanager
def night(
    *, settings: str = "", mode: str = "auto", thin: bool = True, more: str = "", index: bool = True
) -> Iterator[Night]:
    """A calm night until now, in Sydney, whose prices are known."""
    with World(NIGHT, thin=thin, region=SYDNEY) as world:
        system = HotAggregates(world)
        toml = table_configuration(system, mode=mode, settings=(settings,), more=more, index=index)
        with Deployment(world, toml) as nightshift:
            nightshift.resume()
            world.run(timedelta(minutes=20))
            yield Night(world, system, nightshift)
            assert failures(world) == ()


def price(item: str) -> float:
    """The list price in Sydney."""
    found = per_hour(SYDNEY, item)
    assert found is not None
    return found


# -- lent, and given back --------------------------------------------------------------------------------------------


@pytest.mark.scenario("1.11", THROTTLED)
@pytest.mark.scenario("1.15", THROTTLED)
@pytest.mark.parametrize("thin", [True, False], ids=["thin", "full"])
def test_a_table_that_throttles_is_lent_capacity_for_an_hour(thin: bool) -> None:
    """Half as many writes again, reads as they were; proven, given back, and paid for as the report says."""
    with night(thin=thin) as on:
        on.system.ask(write=BUSY)
        on.until(Phase.LEASED)
        assert on.system.capacity == (50, 38)
        assert not on.system.throttles
        assert on.incident.verdict is Verdict.FIXED
        on.system.ask(write=5)
        on.until(Phase.CLOSED)
        on.minutes(3)
        assert on.system.capacity == (50, 25)
        assert on.incident.closed_at == on.incident.attempts[0].started_at + timedelta(hours=1)
        assert [(call.before, call.after, call.outcome) for call in on.incident.calls] == [
            (units(50, 25), units(50, 38), Outcome.DONE),
            (units(50, 38), units(50, 25), Outcome.DONE),
        ]
        assert on.written == [UPDATES] * 2
        assert on.told == ["FIXED, ON LEASE until 02:27 UTC", "FIXED, lease returned"]
        assert on.incident.plan is not None
        assert on.incident.plan.dollars == pytest.approx(13 * price("dynamodb-write-unit"))
        assert on.system.dollars(price) == pytest.approx(on.incident.plan.dollars, abs=1e-6)


def units(read: int, write: int) -> dict[str, int]:
    """A capacity, as AWS says it."""
    return {"ReadCapacityUnits": read, "WriteCapacityUnits": write}


@pytest.mark.scenario("1.15", THROTTLED)
def test_an_index_that_throttles_writes_is_raised_itself() -> None:
    """It holds up the writes of its table, which waits for it, and is not touched."""
    with night() as on:
        on.system.ask(write=BUSY, index=INDEX)
        on.system.ask(write=20)
        on.until(Phase.LEASED)
        assert on.system.index.provisioned == {"Read": 25, "Write": 38}
        assert on.system.capacity == (50, 25)
        assert on.of(on.system.index_arn).verdict is Verdict.FIXED
        on.system.ask(write=5, index=INDEX)
        on.minutes(90)
        assert on.of(on.system.arn).verdict is Verdict.RECOVERED
        assert on.of(on.system.arn).id in on.of(on.system.index_arn).links
        assert on.system.index.provisioned == {"Read": 25, "Write": 25}
        assert on.written == [UPDATES] * 2


@pytest.mark.scenario("1.15", THROTTLED)
def test_an_index_that_nobody_registered_is_told_and_not_touched() -> None:
    """What the configuration does not list is nobody's to change; who reads the report knows which it is."""
    with night(index=False) as on:
        on.system.ask(write=BUSY, index=INDEX)
        on.system.ask(write=20)
        on.until(Phase.CLOSED)
        assert (on.written, on.incident.verdict) == ([], Verdict.ESCALATED)
        assert f"register {on.system.index_arn}" in on.mailed[0]


@pytest.mark.scenario("1.11", THROTTLED)
def test_reads_are_lent_as_writes_are() -> None:
    """What its peak needs, where that is more than half as much again."""
    with night() as on:
        on.system.ask(read=60)
        on.until(Phase.LEASED)
        assert on.system.capacity == (75, 25)
        assert on.incident.verdict is Verdict.FIXED


@pytest.mark.scenario("1.15", THROTTLED)
def test_a_person_is_asked_first_where_the_mode_says_so() -> None:
    """With the plan and what it costs; after a yes it is done."""
    with night(mode="approve") as on:
        on.system.ask(write=BUSY)
        on.until(Phase.AWAITING)
        on.minutes(5)
        assert on.system.capacity == (50, 25)
        assert "provision 38 writes instead of 25 a second for opendata-pulse-hot-aggregates" in on.mailed[0]
        assert on.nightshift.answer(on.incident, yes=True, why="go")
        on.until_lent()
        on.minutes(3)
        assert on.system.capacity == (50, 38)


@pytest.mark.scenario("1.15", THROTTLED)
@pytest.mark.parametrize("mode, more", [("observe", ""), ("auto", "protected = true\n")], ids=["observe", "protected"])
def test_what_may_not_be_touched_is_not(mode: str, more: str) -> None:
    """It is said what would be done, and nothing is."""
    with night(mode=mode, more=more) as on:
        on.system.ask(write=BUSY)
        on.until(Phase.CLOSED)
        assert (on.written, on.system.capacity) == ([], (50, 25))
        assert on.incident.verdict is Verdict.REFUSED


def test_a_table_without_the_tag_is_not_touched() -> None:
    """The configuration alone is not enough; an index has the tags of its table."""
    with night() as on:
        on.system.untag("auto-remediation")
        on.system.ask(write=BUSY, index=INDEX)
        on.until(Phase.CLOSED)
        on.minutes(5)
        assert on.written == []
        refusal = on.of(on.system.index_arn).refusal
        assert refusal is not None
        assert refusal.guard == "opted-in"


@pytest.mark.scenario("1.15", THROTTLED)
def test_a_lost_answer_is_found_out_and_nothing_is_sent_twice() -> None:
    """While the table is being changed nobody can tell; afterwards it has what was written."""
    with night() as on:
        on.world.faults.add(Kind.TIMEOUT_AFTER, UPDATES, times=1)
        on.system.ask(write=BUSY)
        on.until(Phase.LEASED)
        assert on.system.capacity == (50, 38)
        on.system.ask(write=5)
        on.until(Phase.CLOSED)
        on.minutes(3)
        assert on.system.capacity == (50, 25)
        assert len(on.world.trail.of(UPDATES)) == 2


# -- what more capacity does not help ----------------------------------------------------------------------------------


@pytest.mark.scenario("1.15", THROTTLED)
@pytest.mark.parametrize("tells", [True, False], ids=["by its metric", "by what is used"])
def test_a_hot_key_is_told_once_and_no_capacity_bought(tells: bool) -> None:
    """Whether DynamoDB names the partition's limit, or most of the capacity is idle while it throttles."""
    with night() as on:
        on.system.hot_key(tells=tells)
        on.system.ask(write=20)
        on.until(Phase.CLOSED)
        on.minutes(60)
        assert (on.written, on.incident.verdict) == ([], Verdict.ESCALATED)
        assert len(on.told) == 1
        assert "one key, or one partition" in on.mailed[0]
        assert "update-contributor-insights" in on.mailed[0]


@pytest.mark.scenario("1.15", THROTTLED)
def test_a_loan_that_does_not_help_is_taken_back_and_handed_over_once() -> None:
    """A key turns hot once the loan is out: no second loan, and the report says why capacity does not help."""
    with night() as on:
        on.system.ask(write=BUSY)
        on.until_lent()
        on.minutes(3)
        on.system.hot_key(tells=False)
        on.until(Phase.CLOSED)
        on.minutes(60)
        assert on.incident.verdict is Verdict.REVERTED
        assert on.system.capacity == (50, 25)
        assert on.told == ["REVERTED, needs you"]
        assert "that is a hot key, which capacity does not help" in on.mailed[0]
        assert on.written == [UPDATES] * 2


@pytest.mark.scenario("1.15", THROTTLED)
def test_load_far_above_what_a_loan_carries_is_handed_over_once() -> None:
    """One loan, at most twice what there was; it is taken back, and a person hears of it."""
    with night() as on:
        on.system.ask(write=500)
        on.until(Phase.CLOSED)
        on.minutes(60)
        assert on.incident.verdict is Verdict.REVERTED
        assert on.told == ["REVERTED, needs you"]
        assert on.system.capacity == (50, 25)


@pytest.mark.scenario("1.15", THROTTLED)
def test_a_quota_of_the_account_is_told() -> None:
    """Nothing that is bought here would be had."""
    with night() as on:
        on.system.table.own.account_limit = True
        on.system.ask(write=BUSY)
        on.until(Phase.CLOSED)
        assert (on.written, on.incident.verdict) == ([], Verdict.ESCALATED)
        assert "a quota of this account and Region" in on.mailed[0]


@pytest.mark.scenario("1.15", THROTTLED)
def test_a_table_on_demand_never_gets_a_capacity() -> None:
    """It has none that could be set; why it throttles is told."""
    with night() as on:
        on.system.table.on_demand = True
        on.system.hot_key()
        on.system.ask(write=BUSY)
        on.until(Phase.CLOSED)
        assert (on.written, on.incident.verdict) == ([], Verdict.ESCALATED)


# -- money -----------------------------------------------------------------------------------------------------------


@pytest.mark.scenario("1.15", THROTTLED)
def test_what_has_no_known_price_is_not_bought() -> None:
    """The list has prices of the standard class; another class costs otherwise."""
    with night() as on:
        on.system.table.table_class = "STANDARD_INFREQUENT_ACCESS"
        on.system.ask(write=BUSY)
        on.until(Phase.CLOSED)
        assert (on.written, on.incident.verdict) == ([], Verdict.REFUSED)
        assert on.incident.refusal is not None
        assert on.incident.refusal.guard == "cost"


@pytest.mark.scenario("1.15", THROTTLED)
def test_a_loan_stays_within_the_ceiling_that_its_target_says() -> None:
    """The first time it gets what is left; at the ceiling nothing."""
    with night(more="throughput = { write = 30 }\n") as on:
        on.system.ask(write=28)
        on.until(Phase.LEASED)
        assert on.system.capacity == (50, 30)
    with night(more="throughput = { write = 25 }\n") as on:
        on.system.ask(write=28)
        on.until(Phase.CLOSED)
        assert (on.written, on.incident.verdict) == ([], Verdict.REFUSED)
        assert "the ceiling is 25" in on.incident.why


# -- somebody else's -------------------------------------------------------------------------------------------------


@pytest.mark.scenario("1.15", THROTTLED)
def test_a_capacity_that_somebody_has_set_since_is_left_alone() -> None:
    """The lease ends, and nothing is put back: people hear once what was there, and may set it back by hand."""
    with night() as on:
        on.system.ask(write=BUSY)
        on.until(Phase.LEASED)
        on.system.set_by_hand(50, 60)
        on.until(Phase.CLOSED)
        on.minutes(30)
        assert on.system.capacity == (50, 60)
        assert on.written == [UPDATES]
        assert "changed by somebody else" in on.incident.why
        assert (on.not_back.verdict, on.not_back.severity) == (Verdict.ESCALATED, Severity.SEV3)
        assert on.told == ["FIXED, ON LEASE until 02:27 UTC", "FIXED", "ESCALATED, needs you"]
        assert "ReadCapacityUnits=50,WriteCapacityUnits=25 (this writes)" in on.mailed[2]


@pytest.mark.scenario("1.15", THROTTLED)
def test_a_loan_that_aws_does_not_take_back_stays_out_and_is_told() -> None:
    """Four decreases are made today: it goes back an hour after the last of them, and people know that it is out."""
    with night() as on:
        on.system.ask(write=BUSY)
        on.until(Phase.LEASED)
        lease = on.incident.lease_ends
        assert lease is not None
        on.system.ask(write=5)
        on.system.lowered(4, since=lease - timedelta(minutes=10))
        on.until(Phase.CLOSED)
        on.minutes(3)
        assert on.system.capacity == (50, 25)
        assert on.incident.closed_at is not None
        assert on.incident.closed_at >= lease + timedelta(minutes=53)
        assert on.told == ["FIXED, ON LEASE until 02:27 UTC", "ESCALATED, needs you", "FIXED, lease returned"]
        assert (on.not_back.verdict, on.not_back.severity) == (Verdict.ESCALATED, Severity.SEV2)
        assert "Nightshift goes on trying" in on.mailed[1]
        assert "was lowered 4 times today: AWS takes the next decrease an hour after the last one" in on.mailed[1]
        assert on.written == [UPDATES] * 2


def test_a_loan_of_the_day_s_last_decrease_waits_for_the_next_day() -> None:
    """Twenty-seven are made: nothing more is taken before midnight, UTC, and people hear once that it is out."""
    with night() as on:
        on.system.ask(write=BUSY)
        on.until(Phase.LEASED)
        on.system.ask(write=5)
        on.system.lowered(27, since=on.world.now)
        on.until(Phase.CLOSED, 30 * 60)
        assert on.incident.closed_at is not None
        assert on.incident.closed_at.date() > on.incident.opened_at.date()
        assert on.incident.verdict is Verdict.FIXED
        assert on.not_back.closed_at is not None
        assert on.not_back.closed_at.date() == on.incident.opened_at.date()
        assert on.told == ["FIXED, ON LEASE until 02:27 UTC", "ESCALATED, needs you", "FIXED, lease returned"]
        assert "AWS takes the next decrease tomorrow (UTC)" in on.mailed[1]


# -- autoscaling -----------------------------------------------------------------------------------------------------


@pytest.mark.scenario("1.15", THROTTLED)
def test_below_its_maximum_the_capacity_is_autoscalings() -> None:
    """It is waited for, and has raised the capacity before anything else could be done."""
    with night() as on:
        on.system.autoscale("Write", 5, 100)
        on.system.ask(write=60)
        on.minutes(60)
        assert on.written == []
        assert all(each.verdict is Verdict.RECOVERED for each in on.nightshift.all)
        assert on.system.capacity[1] >= 60


@pytest.mark.scenario("1.15", THROTTLED)
def test_a_maximum_that_autoscaling_has_reached_is_raised_and_restored() -> None:
    """Autoscaling sets the capacity itself, both times; the minimum and what is suspended stay as they are."""
    with night() as on:
        scaled = on.system.autoscale("Write", 5, 25)
        on.system.ask(write=BUSY)
        on.until(Phase.LEASED)
        assert (scaled.least, scaled.most) == (5, 38)
        assert (on.system.capacity, on.incident.verdict) == ((50, 38), Verdict.FIXED)
        on.system.ask(write=5)
        on.until(Phase.CLOSED)
        on.minutes(3)
        assert (scaled.least, scaled.most) == (5, 25)
        assert on.system.capacity[1] <= 25
        assert on.written == [LIMITS] * 2
        assert not any(scaled.suspended.values())


@pytest.mark.scenario("1.15", THROTTLED)
def test_autoscaling_that_does_nothing_for_ten_minutes_gets_a_higher_minimum() -> None:
    """Its limits move the capacity at once; the minimum goes back, and how far it then scales in is autoscaling's."""
    with night() as on:
        scaled = on.system.autoscale("Write", 5, 100)
        scaled.asleep = True
        began = on.world.now
        on.system.ask(write=BUSY)
        on.until_lent()
        assert on.world.now - began >= timedelta(minutes=10)
        assert (scaled.least, scaled.most) == (38, 100)
        on.until(Phase.LEASED)
        assert (on.system.capacity, on.incident.verdict) == ((50, 38), Verdict.FIXED)
        on.until(Phase.CLOSED)
        assert (scaled.least, scaled.most, on.system.capacity) == (5, 100, (50, 38))
        assert on.written == [LIMITS] * 2


def test_autoscaling_that_somebody_has_suspended_is_left_alone() -> None:
    """Somebody is at it."""
    with night() as on:
        on.system.autoscale("Write", 5, 25).suspended["DynamicScalingOutSuspended"] = True
        on.system.ask(write=BUSY)
        on.until(Phase.CLOSED)
        assert (on.written, on.incident.verdict) == ([], Verdict.REFUSED)
        assert "suspended" in on.incident.why


@pytest.mark.scenario("1.15", THROTTLED)
@pytest.mark.scenario("1.16", THROTTLED)
def test_a_table_of_which_autoscaling_sets_one_half_is_told() -> None:
    """UpdateTable says both numbers, and would write over what autoscaling sets of the other."""
    with night() as on:
        on.system.autoscale("Read", 5, 100)
        on.system.ask(write=BUSY)
        on.until(Phase.CLOSED)
        assert (on.written, on.incident.verdict) == ([], Verdict.ESCALATED)
        assert "Have autoscaling set its writes, too" in on.mailed[0]
        assert "put-scaling-policy" in on.mailed[0]


@pytest.mark.scenario("1.16", THROTTLED)
def test_a_table_that_nothing_scales_is_told_how_it_would_be() -> None:
    """With what was lent: both calls, because limits without a policy scale nothing; neither is made."""
    with night() as on:
        on.system.ask(write=BUSY)
        on.until(Phase.LEASED)
        assert "register-scalable-target" in on.mailed[0]
        assert "put-scaling-policy" in on.mailed[0]
        assert not on.world.trail.of(LIMITS)
